//! Compiling: all problems at once, each with a path; and who may ask for what.

use serde_json::{Value, json};

use crate::{Code, fixture};

#[test]
fn all_problems_come_at_once_with_their_paths() {
    let mut source = fixture::source();
    source["models"][0]["upstream"]["url"] = json!("ftp://x");
    source["models"][1]["upstream"]["dialect"] = json!("klingon");
    source["models"][1]["id"] = json!("a/pool/cheap");
    source["models"][2]["capabilities"] = json!(["telepathy"]);
    source["models"][2]["price"]["input_nanousd_per_million"] = json!(-1);
    source["routes"][0]["candidates"] = json!(["a/pool/cheap", "a/pool/none"]);
    source["routes"][0]["constraints"] = json!({"min_quality": 1.5});
    source["routes"][0]["predictor"] = json!("sha256:0");
    let problems = fixture::compile(&source).err().unwrap();
    let found: Vec<&str> = problems.iter().map(|problem| problem.path.as_str()).collect();
    for path in [
        "models[0].upstream.url",
        "models[1].upstream.dialect",
        "models[1].id",
        "models[2].capabilities[0]",
        "models[2].price.input_nanousd_per_million",
        "routes[0].candidates[1]",
        "routes[0].constraints.min_quality",
        "routes[0].predictor",
    ] {
        assert!(found.contains(&path), "{path} not in {found:?}");
    }
}

#[test]
fn unknown_fields_and_other_schemas_are_refused() {
    for change in [
        (|s| s["routes"][0]["colour"] = json!("red")) as fn(&mut Value),
        |s| s["profiles"]["cheap"]["mood"] = json!(1),
        |s| s["schema"] = json!("tradewind.plan/v2"),
        |s| s["models"][0].as_object_mut().unwrap().remove("price").map_or((), drop),
    ] {
        let mut source = fixture::source();
        change(&mut source);
        assert!(fixture::compile(&source).is_err());
    }
}

#[test]
fn a_profile_of_another_predictor_is_refused() {
    let mut source = fixture::source();
    source["profiles"]["cheap"] = json!({"bias": 0.0, "latent": [1.0, 2.0, 3.0]});
    let problems = fixture::compile(&source).err().unwrap();
    assert_eq!(problems[0].code, "profile_mismatch");
}

#[test]
fn a_route_may_read_another_profile_of_a_model() {
    let mut source = fixture::source();
    source["routes"][0]["profiles"] = json!({"a/pool/cheap": "dear"});
    let plan = fixture::compile(&source).map_err(|problems| panic!("{problems:?}")).unwrap().plan;
    let logits: Vec<f32> = plan.routes()[0].candidates.iter().map(|model| model.profile.logit()).collect();
    assert_eq!((logits[0], plan.models()[0].profile.logit()), (logits[2], 0.0));
    source["routes"][0]["profiles"] = json!({"a/pool/cheap": "none", "a/pool/stranger": "dear"});
    source["models"][1]["profile"] = json!("nobody");
    let problems = fixture::compile(&source).err().unwrap();
    let found: Vec<(&str, &str)> = problems.iter().map(|problem| (problem.code, problem.path.as_str())).collect();
    assert_eq!(
        found,
        [
            ("missing_profile", "models[1].profile"),
            ("missing_profile", "routes[0].profiles.a/pool/cheap"),
            ("unknown_name", "routes[0].profiles.a/pool/stranger"),
        ]
    );
}

#[test]
fn the_id_names_the_content_and_not_its_spelling() {
    let source = fixture::source();
    let id = |json: &str| {
        let predictor = fixture::predictor();
        let predictors = super::Predictors::from([(predictor.digest().to_string(), predictor)]);
        super::compile(json.as_bytes(), &predictors).map_err(|problems| panic!("{problems:?}")).unwrap().plan.id().to_string()
    };
    assert_eq!(id(&source.to_string()), id(&serde_json::to_string_pretty(&source).unwrap()));
    let mut other = source.clone();
    other["models"][0]["price"]["input_nanousd_per_million"] = json!(1);
    assert_ne!(id(&source.to_string()), id(&other.to_string()));
}

#[test]
fn names_resolve_inside_the_callers_namespace_only() {
    let mut source = fixture::source();
    let mut other = source["routes"][0].clone();
    other["id"] = json!("b/other");
    other["candidates"] = json!(["a/pool/dear"]);
    source["routes"].as_array_mut().unwrap().push(other);
    let plan = fixture::compile(&source).map_err(|problems| panic!("{problems:?}")).unwrap().plan;
    let chosen =
        |tenant: &str, model: &str| plan.find(tenant, model).map(|view| (view.route.id.to_string(), view.candidates.len(), view.named));
    assert_eq!(chosen("a", "auto").unwrap(), ("a/default".to_owned(), 3, false));
    assert_eq!(chosen("b", "auto").unwrap(), ("b/other".to_owned(), 1, false));
    assert_eq!(chosen("a", "cheap").unwrap(), ("a/default".to_owned(), 1, true));
    assert_eq!(chosen("b", "a/pool/dear").unwrap(), ("b/other".to_owned(), 1, true));
    for (tenant, model) in [("b", "cheap"), ("c", "auto"), ("a", "nothing")] {
        assert_eq!(chosen(tenant, model).unwrap_err().code, Code::ModelNotFound);
    }
    let names: Vec<String> = plan.names("a").into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["auto", "cheap", "dear", "middle"]);
}

#[test]
fn the_loser_of_an_alias_is_told_who_won() {
    let mut source = fixture::source();
    let mut late = source["routes"][0].clone();
    late["id"] = json!("a/late");
    source["routes"].as_array_mut().unwrap().push(late);
    let compiled = fixture::compile(&source).map_err(|problems| panic!("{problems:?}")).unwrap();
    assert_eq!(compiled.warnings[0].code, "conflicted");
    assert!(compiled.warnings[0].message.contains("already belongs to `a/default`"));
}
