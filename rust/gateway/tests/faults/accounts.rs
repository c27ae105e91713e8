//! The books of both sides agree: what clients saw, the ledger, the simulators' logs.

use std::collections::{BTreeMap, HashMap};

use serde_json::Value;

use crate::{client::Seen, processes::Upstream};

type Figures = (u64, u64, u64, i64);

/// Checks that each call has one outcome which tells what the client saw, and that attempts with reported usage agree with the
/// simulators' logs to the nano-dollar. Gives the outcomes in the order of the calls.
pub fn check(seen: &[Seen], ledger: &[Value], upstreams: &[&Upstream]) -> Vec<Value> {
    let mut outcomes: HashMap<&str, &Value> = HashMap::new();
    for outcome in ledger {
        let id = outcome["id"].as_str().unwrap();
        assert!(outcomes.insert(id, outcome).is_none(), "two outcomes of call {id}");
    }
    assert_eq!(ledger.len(), seen.len(), "outcomes and calls");
    let logs: HashMap<String, Vec<Value>> = upstreams.iter().map(|upstream| (upstream.name.clone(), upstream.log())).collect();
    let mut ordered = Vec::new();
    // By model: what the ledger says was reported.
    let mut reported: BTreeMap<&str, Vec<Figures>> = BTreeMap::new();
    for call in seen {
        let outcome = outcomes[call.header("x-tradewind-decision")];
        let attempts = outcome["attempts"].as_array().unwrap();
        if call.done && call.status == 200 {
            check_answered(call, attempts.last().unwrap(), &logs);
            assert_eq!(outcome["error"], Value::Null, "{outcome}");
        }
        for attempt in attempts {
            assert!(["reported", "estimated"].contains(&attempt["usage"].as_str().unwrap()));
            if attempt["usage"] == "reported" {
                reported.entry(short(attempt)).or_default().push(attempt_figures(attempt));
            }
        }
        ordered.push(outcome.clone());
    }
    for upstream in upstreams {
        // A kill may fall between the log's line and the bytes that carry the usage: then the log has more, never less.
        let mut logged: Vec<Figures> = logs[&upstream.name].iter().filter(|line| line["usage_reported"] == true).map(log_figures).collect();
        for figures in reported.remove(upstream.name.as_str()).unwrap_or_default() {
            let place =
                logged.iter().position(|line| *line == figures).unwrap_or_else(|| panic!("{} has not logged {figures:?}", upstream.name));
            logged.swap_remove(place);
        }
        if upstream.is_alive() {
            assert!(logged.is_empty(), "{} reported usage that the ledger lacks: {logged:?}", upstream.name);
        }
    }
    assert!(reported.is_empty(), "{reported:?}");
    ordered
}

/// An answer that a client has in full: its log line, found by the answer's id, and its attempt are the same sums.
fn check_answered(call: &Seen, attempt: &Value, logs: &HashMap<String, Vec<Value>>) {
    assert_eq!((attempt["usage"].as_str(), &attempt["error"]), (Some("reported"), &Value::Null), "{attempt}");
    assert_eq!(call.header("x-tradewind-model"), attempt["model"]);
    let line = logs[short(attempt)].iter().find(|line| line["id"] == call.answer()).expect("a logged answer");
    assert_eq!(line["user"], call.user);
    assert_eq!(log_figures(line), attempt_figures(attempt));
}

fn short(attempt: &Value) -> &str {
    attempt["model"].as_str().unwrap().rsplit('/').next().unwrap()
}

fn attempt_figures(attempt: &Value) -> Figures {
    figures(attempt, ["input_tokens", "cached_tokens", "output_tokens"])
}

fn log_figures(line: &Value) -> Figures {
    figures(line, ["prompt_tokens", "cached_tokens", "completion_tokens"])
}

fn figures(line: &Value, names: [&str; 3]) -> Figures {
    let [input, cached, output] = names.map(|name| line[name].as_u64().unwrap());
    (input, cached, output, line["cost_nanousd"].as_i64().unwrap())
}
