//! Conditions: what holds, what is refused and why, and that no text does harm.

use proptest::prelude::*;

use std::{
    borrow::Cow,
    sync::atomic::{AtomicUsize, Ordering},
};

use super::*;
use crate::plan::{Asked, Details, Fields, MAX_ENTRIES, MAX_TEXT};
use crate::{
    Call, Dials, Identity,
    parse::{self, Request},
};

fn request(body: &str) -> Request<'_> {
    let identity = Box::leak(Box::new(Identity::default()));
    parse::request(&Call::new(body.as_bytes(), identity, Dials::default())).unwrap()
}

fn holds(when: &When, body: &str) -> bool {
    let request = request(body);
    let mut identity = Identity::of("team-a");
    identity.labels.insert("tier".to_owned(), "gold".to_owned());
    let asked = Asked { namespace: "platform", identity: &identity, model: &request.model, facts: &request.facts, details: &request };
    when.holds(&Variables::new(&asked))
}

fn check(text: &str) -> bool {
    let body = r#"{"model":"auto","stream":true,"max_tokens":100,"user":"ada","metadata":{"team":"blue","size":"7"},"response_format":{"type":"json_object"},"tools":[{"type":"function","function":{"name":"look"}},{"type":"function","function":{"name":"search_web"}}],"messages":[{"role":"user","content":"Why is the sky blue?"}]}"#;
    holds(&When::compile(text).unwrap_or_else(|refusal| panic!("{text}: {}", refusal.message)), body)
}

fn refused(text: &str) -> String {
    When::compile(text).err().unwrap_or_else(|| panic!("{text} is taken")).message
}

#[test]
fn every_variable_can_be_asked_for() {
    for text in [
        r#"request.model == "auto""#,
        "request.stream",
        "request.json",
        "size(request.tools) == 2",
        "request.inputTokens > 50 && request.inputTokens < 200",
        "request.maxOutputTokens == 100",
        "request.messages == 1",
        r#"request.user == "ada""#,
        r#"request.metadata.team == "blue""#,
        r#"request.metadata["team"] == "blue""#,
        r#"caller.namespace == "team-a""#,
        r#"caller.labels.tier == "gold""#,
    ] {
        assert!(check(text), "{text}");
        assert!(!check(&format!("!({text})")), "{text}");
    }
    let covered = include_str!("tests.rs");
    assert!(variables::TABLE.iter().all(|row| covered.contains(row.0)), "one row of this test per variable");
}

#[test]
fn operators_functions_and_loops_work_as_in_cel() {
    for text in [
        r#"request.model in ["auto", "best"] && !("x" in [])"#,
        r#""search_web" in request.tools"#,
        r#""team" in request.metadata && !has(request.metadata.colour)"#,
        r#"has(request.metadata.team) ? request.metadata.team == "blue" : false"#,
        r#"request.tools.exists(tool, tool.startsWith("search_"))"#,
        r#"request.tools.all(tool, size(tool) > 3)"#,
        r#"caller.labels.exists(key, key == "tier" && caller.labels[key] == "gold")"#,
        r#"request.tools[1].endsWith("web") && request.tools[0].contains("oo")"#,
        r#"int(request.metadata.size) * 2 - 1 == 13 && string(request.messages) == "1""#,
        r#"request.messages + 5 % 3 / 2 >= -1"#,
        r#"[1, 2] == [1, 2] && [] != ["a"]"#,
        "1 < 2 || request.metadata.none == \"x\"",
    ] {
        assert!(check(text), "{text}");
    }
}

#[test]
fn what_cannot_be_evaluated_does_not_hold() {
    for text in [
        r#"request.metadata.none == "x""#,
        r#"request.metadata.none != "x""#,
        r#"!(request.metadata.none == "x")"#,
        "request.tools[7] == \"x\"",
        "int(request.user) == 1",
        "1 / (request.messages - 1) == 0",
        "9223372036854775807 + request.messages > 0",
    ] {
        assert!(!check(text), "{text}");
    }
}

#[test]
fn what_is_wrong_is_said() {
    for (text, part) in [
        ("", "not CEL"),
        ("request.stream &&", "not CEL: line 1, column"),
        ("request.strem", "unknown variable `request.strem`; expected one of `caller.labels`, "),
        ("strem", "unknown variable `strem`"),
        ("request", "unknown variable `request`"),
        ("requests.stream", "unknown variable `requests.stream`"),
        ("request.model", "this one gives a string"),
        ("size(request.tools)", "this one gives an int"),
        ("request.model == 1", "`==` does not take a string and an int"),
        ("request.stream && 1", "`&&` does not take a bool and an int"),
        ("request.user + \"a\" == \"b\"", "`+` does not take a string and a string"),
        ("request.model.length == 3", "a string has no field `length`"),
        ("has(request.user)", "`has` asks for a key of"),
        ("has(request.user.name)", "`has` asks for a key of"),
        ("matches(request.model, \"a\")", "unknown function `matches`; expected one of `all`, `contains`, "),
        ("request.model.lowerAscii() == \"a\"", "unknown function `lowerAscii`"),
        ("timestamp(\"2026-01-01T00:00:00Z\") == timestamp(\"2026-01-01T00:00:00Z\")", "unknown function `timestamp`"),
        ("request.tools.map(t, t) == []", "unknown function `map`, `filter` or `exists_one`"),
        ("request.tools.exists_one(t, t == \"a\")", "unknown function"),
        ("request.tools.exists(t, request.tools.exists(u, u == t))", "do not nest"),
        ("request.tools.exists(request, request == \"a\")", "other than `caller` and `request`"),
        ("request.tools.exists(t, t)", "not for a string"),
        ("request.tools.exists(t, t.name == \"a\")", "`t` has no fields"),
        ("request.model.exists(t, t == \"a\")", "not a string"),
        ("{\"a\": 1} == {\"a\": 1}", "makes no maps"),
        ("1.5 < 2.5", "a value is a string, an integer, true or false"),
        ("null == null", "a value is a string"),
        ("[1, \"a\"] == []", "one simple type"),
        ("request.tools.exists(t, t == \"a\") || ".repeat(5).trim_end_matches(" || "), "at most 4"),
        (&"a".repeat(1025), "at most 1024 bytes"),
    ] {
        let message = refused(text);
        assert!(message.contains(part), "{text}: {message}");
    }
    assert_eq!(When::compile("x").err().unwrap().accepted.len(), variables::TABLE.len());
}

#[test]
fn no_depth_overflows_a_stack() {
    for text in [
        format!("{}true{}", "(".repeat(500), ")".repeat(500)),
        "(".repeat(1024),
        "[".repeat(1024),
        "{".repeat(1024),
        "true ? ".repeat(140),
        format!("{}true", "true ? true : ".repeat(70)),
        format!("{}true", "!".repeat(1000)),
        format!("{}1 == 1", "-".repeat(1000)),
        format!("{}1 == 1", "- ".repeat(500)),
        format!("1{} == 1", "+1".repeat(500)),
        format!("request{}", ".a".repeat(500)),
        format!("request{}", ".a()".repeat(250)),
        format!("request.tools{}", "[0]".repeat(300)),
        format!("true{}", "&&true".repeat(160)),
        format!("1{}", "==1".repeat(330)),
        format!("\"{}\" == \"\"", "(".repeat(900)),
        "request.tools.exists(a, ".repeat(40),
    ] {
        let text = &text[..text.len().min(MAX_BYTES)];
        // Test threads have the stack of the gateway's: 2 MiB. It must come back, with whatever.
        let _ = When::compile(text);
    }
    assert!(When::compile(&format!("true{}", "&&true".repeat(160))).is_ok());
}

/// Details that count how often they are looked up.
struct Counted {
    tools: Vec<String>,
    user: String,
    looked: [AtomicUsize; 3],
}

impl Counted {
    fn new(tools: usize, user: usize) -> Self {
        Self { tools: (0..tools).map(|index| format!("tool-{index}")).collect(), user: "u".repeat(user), looked: Default::default() }
    }

    fn look(&self, which: usize) {
        self.looked[which].fetch_add(1, Ordering::Relaxed);
    }
}

impl Details for Counted {
    fn known(&self) -> Fields {
        Fields::ALL
    }

    fn tools(&self) -> Vec<Cow<'_, str>> {
        self.look(0);
        self.tools.iter().map(Cow::from).collect()
    }

    fn user(&self) -> Cow<'_, str> {
        self.look(1);
        Cow::from(&self.user)
    }

    fn metadata(&self) -> Vec<(Cow<'_, str>, Cow<'_, str>)> {
        self.look(2);
        vec![(Cow::from("key"), Cow::from(&self.user))]
    }

    fn messages(&self) -> u32 {
        1
    }
}

fn counted(details: &Counted, conditions: &[&str]) -> Vec<bool> {
    let (identity, facts) = (Identity::default(), parse::Facts::default());
    let asked = Asked { namespace: "a", identity: &identity, model: "auto", facts: &facts, details };
    let variables = Variables::new(&asked);
    let compiled = |text: &&str| When::compile(text).unwrap_or_else(|refusal| panic!("{text}: {}", refusal.message));
    conditions.iter().map(|text| compiled(text).holds(&variables)).collect()
}

#[test]
fn a_variable_is_looked_up_once_for_all_loops_and_conditions_of_a_call() {
    let loops = ["!request.tools.exists(t, request.user.contains(t) || request.metadata.key.contains(t))"; 4].join(" && ");
    let details = Counted::new(MAX_ENTRIES, 64);
    let found = counted(&details, &[&loops, "size(request.user) == 64", "size(request.tools) == 128", &loops]);
    assert_eq!(found, [true, true, true, true]);
    assert_eq!(details.looked.map(AtomicUsize::into_inner), [1, 1, 1]);
}

#[test]
fn what_conditions_look_at_together_is_bounded() {
    let once = "!request.tools.exists(t, request.user.contains(t))";
    let details = Counted::new(MAX_ENTRIES, MAX_TEXT);
    let found = counted(&details, &[once; 12]);
    // 128 looks of 4 KiB are half of what there is.
    assert_eq!(found.iter().filter(|&&holds| holds).count(), MAX_LOOKED_AT / (MAX_ENTRIES * (MAX_TEXT + 100)));
    assert!(found[0] && !found[11], "{found:?}");
    assert_eq!(details.looked.map(AtomicUsize::into_inner), [1, 1, 0]);
}

#[test]
fn a_condition_looks_at_so_much_and_no_more() {
    let body = |more: &str| format!(r#"{{"model":"auto","messages":[{{"role":"user","content":"x"}}],{more}}}"#);
    let text = |bytes: usize| "é".repeat(bytes / 2) + &"x".repeat(bytes % 2);
    let tools = |count: usize| format!(r#""tools":[{}]"#, vec![r#"{"type":"function","function":{"name":"abcdefgh"}}"#; count].join(","));
    let pairs =
        |count: usize| format!(r#""metadata":{{{}}}"#, (0..count).map(|key| format!(r#""{key}":"x""#)).collect::<Vec<_>>().join(","));
    let user = |bytes: usize| format!(r#""user":"{}""#, text(bytes));
    let value = |bytes: usize| format!(r#""metadata":{{"0":"{}"}}"#, text(bytes));
    for (condition, within, beyond) in [
        (r#"!request.tools.exists(t, t == "x")"#, tools(MAX_ENTRIES), tools(MAX_ENTRIES + 1)),
        (r#"!request.tools.exists(t, t == "x")"#, tools(MAX_ENTRIES), tools(100_000)),
        (r#"request.metadata["0"] == "x""#, pairs(MAX_ENTRIES), pairs(MAX_ENTRIES + 1)),
        (r#"request.user != """#, user(MAX_TEXT), user(MAX_TEXT + 1)),
        (r#"request.metadata["0"] != """#, value(MAX_TEXT), value(MAX_TEXT + 1)),
    ] {
        let when = When::compile(condition).unwrap_or_else(|refusal| panic!("{condition}: {}", refusal.message));
        assert!(holds(&when, &body(&within)), "{condition}");
        assert!(!holds(&when, &body(&beyond)), "beyond the bound {condition} does not hold");
    }
}

#[test]
fn a_condition_says_what_it_reads() {
    let reads = |text| When::compile(text).unwrap_or_else(|refusal| panic!("{}", refusal.message)).reads();
    assert_eq!(reads("request.stream || request.model == caller.namespace"), Fields::NONE);
    assert_eq!(reads("request.user == \"a\" && size(request.tools) > 0"), Fields::USER.and(Fields::TOOLS));
    assert_eq!(reads("has(caller.labels.a) && has(request.metadata.b)"), Fields::LABELS.and(Fields::METADATA));
}

/// Pieces of CEL, so that much of what is thrown at the parser is nearly right.
fn pieces() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "request",
        "caller",
        ".",
        "model",
        "tools",
        "metadata",
        "labels",
        "stream",
        "(",
        ")",
        "[",
        "]",
        "{",
        "}",
        "&&",
        "||",
        "!",
        "-",
        "==",
        "<",
        "in",
        "has(",
        "size(",
        ".exists(t,",
        ".all(t,",
        ".map(t,",
        "t",
        "1",
        "-9223372036854775808",
        "9223372036854775807",
        "0u",
        "1.5e308",
        "\"a\"",
        "'",
        "b'\\xff'",
        "r\"\\\"",
        "\"\\u00e9\"",
        "\"\\ud800\"",
        "'''",
        "?",
        ":",
        ",",
        "+",
        "%",
        "/",
        "0",
        " ",
        "\n",
        "//",
        "`",
        "é",
        "\u{0}",
        "null",
        "true",
        "request.tools",
        "request.user",
        "request.metadata.k",
    ]);
    proptest::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn no_text_makes_it_panic(text in "\\PC{0,200}") {
        let _ = When::compile(&text).map(|when| holds(&when, r#"{"model":"auto","messages":[{"role":"user","content":"x"}]}"#));
    }

    #[test]
    fn no_pieces_make_it_panic(text in pieces()) {
        let _ = When::compile(&text).map(|when| holds(&when, r#"{"model":"auto","messages":[{"role":"user","content":"x"}]}"#));
    }
}
