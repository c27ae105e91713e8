//! Settings from the variables of a process, by the names and meanings that Python's `tradewind.settings` gives them.

use serde_json::{Map, Value, json};
use tradewind_core::error::unknown;

use super::Settings;

/// What the name of each variable begins with.
const PREFIX: &str = "TRADEWIND_";
/// Variables of the controller, `TRADEWIND_CONTROLLER_` and the name in capitals, which are let be. The two that a data plane has too,
/// `CONTROLLER_TOKEN` and `CONTROLLER_TRUST`, are none of them.
const CONTROLLER: &[&str] = &[
    "account",
    "audience",
    "ca_secret",
    "certificates_s",
    "gateway_accounts",
    "gateway_selector",
    "gateway_tls_secret",
    "gateway_url",
    "identity",
    "lease_name",
    "listen",
    "log_level",
    "metrics_listen",
    "names",
    "namespace",
    "plan_name",
    "predictor",
    "predictor_cache",
    "resync_s",
    "tls",
    "tls_secret",
    "trust_name",
    "trust_predictor_urls",
];

/// What the variables say.
#[derive(Debug)]
pub struct Given {
    /// Settings; those without a variable have their default.
    pub settings: Settings,
    /// Least level that is logged, as `tracing` names it.
    pub log_level: &'static str,
}

/// Names of the settings that have a variable: `TRADEWIND_` and the name in capitals.
#[must_use]
pub fn names() -> Vec<String> {
    let ours = ["host", "port", "log_level"].map(str::to_owned);
    let mut names: Vec<String> = document(&Settings::default()).into_iter().map(|(name, _)| name).chain(ours).collect();
    // It is HOST and PORT.
    names.retain(|name| name != "listen");
    names.sort_unstable();
    names
}

/// Reads settings from variables, of which those without our prefix are passed over.
///
/// # Errors
/// A sentence that names the variable and what is accepted: an unknown one would silently do nothing.
pub fn read(variables: impl IntoIterator<Item = (String, String)>) -> Result<Given, String> {
    let known = names();
    let mut given = Map::new();
    let mut log_level = "info";
    let (mut host, mut port) = ("127.0.0.1".to_owned(), 4000);
    let variables: Vec<(String, String)> = variables.into_iter().collect();
    let services: Vec<String> = variables.iter().filter_map(|(name, _)| Some(name.strip_suffix("_SERVICE_HOST")?.to_owned())).collect();
    for (variable, text) in variables {
        if services.iter().any(|service| is_link(&variable, service, &text)) {
            continue;
        }
        let Some(capitals) = variable.strip_prefix(PREFIX) else { continue };
        let name = if capitals == capitals.to_uppercase() { capitals.to_lowercase() } else { String::new() };
        match &*name {
            "host" => host = text,
            "port" => port = text.parse().map_err(|_| format!("{variable} is `{text}`; expected a port, 0 to 65535"))?,
            "log_level" => log_level = level(&text)?,
            _ if known.contains(&name) => {
                let value = value(&name, &text).map_err(|why| format!("{variable} is `{text}`; {why}"))?;
                given.insert(name, value);
            }
            _ if name.strip_prefix("controller_").is_some_and(|name| CONTROLLER.contains(&name)) => {}
            _ => {
                let known: Vec<String> = known.iter().map(|name| format!("{PREFIX}{}", name.to_uppercase())).collect();
                let known: Vec<&str> = known.iter().map(String::as_str).collect();
                return Err(unknown("environment variable", &variable, &known));
            }
        }
    }
    let host = if host.contains(':') { format!("[{host}]") } else { host };
    given.insert("listen".to_owned(), json!(format!("{host}:{port}")));
    let settings: Settings = serde_json::from_value(Value::Object(given)).map_err(|error| error.to_string())?;
    Ok(Given { settings: settings.with_workers(), log_level })
}

/// Whether a kubelet has set a variable for a Service of the pod's namespace: of `tradewind-gateway`, `TRADEWIND_GATEWAY_SERVICE_HOST`
/// and others. They are none of ours. `_PORT` is one only as a URL: `TRADEWIND_PORT` is a setting.
fn is_link(variable: &str, service: &str, text: &str) -> bool {
    let Some(rest) = variable.strip_prefix(service) else { return false };
    let number = |rest: &str| {
        let (number, rest) = rest.split_once('_')?;
        let protocol = ["TCP", "UDP", "SCTP"].iter().find_map(|protocol| rest.strip_prefix(protocol))?;
        Some(number.parse::<u16>().is_ok() && matches!(protocol, "" | "_PROTO" | "_PORT" | "_ADDR"))
    };
    match rest {
        "_SERVICE_HOST" | "_SERVICE_PORT" => true,
        "_PORT" => text.contains("://"),
        _ => {
            rest.strip_prefix("_SERVICE_PORT_").is_some_and(|name| !name.is_empty())
                || rest.strip_prefix("_PORT_").and_then(number).unwrap_or(false)
        }
    }
}

fn document(settings: &Settings) -> Map<String, Value> {
    match serde_json::to_value(settings) {
        Ok(Value::Object(document)) => document,
        _ => Map::new(),
    }
}

/// A value as the setting has it: an integer, a list with commas, else a text.
fn value(name: &str, text: &str) -> Result<Value, String> {
    let value = if takes(name, json!(1)) {
        match text.parse::<i64>() {
            Ok(number @ 0..) => json!(number),
            Ok(_) => return Err("expected 0 or more".to_owned()),
            Err(_) => return Err("expected an integer".to_owned()),
        }
    } else if takes(name, json!([])) {
        text.split(',').map(str::trim).filter(|part| !part.is_empty()).collect()
    } else {
        json!(text)
    };
    serde_json::from_value::<Settings>(json!({name: value})).map_err(|error| error.to_string())?;
    Ok(value)
}

fn takes(name: &str, value: Value) -> bool {
    serde_json::from_value::<Settings>(json!({name: value})).is_ok()
}

fn level(text: &str) -> Result<&'static str, String> {
    match text {
        "error" => Ok("error"),
        "warning" => Ok("warn"),
        "info" => Ok("info"),
        "debug" => Ok("debug"),
        _ => Err(unknown("log_level", text, &["error", "warning", "info", "debug"])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::SyncFault;

    fn check(variables: &[(&str, &str)]) -> Result<Given, String> {
        read(variables.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())))
    }

    #[test]
    fn every_kind_of_setting_has_a_variable() {
        let given = check(&[
            ("TRADEWIND_HOST", "::1"),
            ("TRADEWIND_PORT", "7"),
            ("TRADEWIND_CONTROLLERS", "https://a:1, https://b:2"),
            ("TRADEWIND_CONTROLLER_TOKEN", "/token"),
            ("TRADEWIND_ALLOW_UPSTREAMS", "127.0.0.0/8"),
            ("TRADEWIND_HOSTS", "a.example=10.0.0.7"),
            ("TRADEWIND_DRAIN_S", "5"),
            ("TRADEWIND_SYNC_FAULT", "never_ack"),
            ("TRADEWIND_LOG_LEVEL", "warning"),
            ("TRADEWIND_CONTROLLER_GATEWAY_URL", "https://ours.is.not"),
            ("KUBERNETES_SERVICE_HOST", "10.0.0.1"),
        ])
        .unwrap();
        let settings = given.settings;
        assert_eq!((&*settings.listen, settings.drain_s, given.log_level), ("[::1]:7", 5, "warn"));
        assert_eq!(settings.controllers, ["https://a:1", "https://b:2"]);
        assert_eq!((settings.controller_token, settings.sync_fault), (Some("/token".into()), SyncFault::NeverAck));
        assert_eq!((settings.allow_upstreams.len(), settings.hosts.len()), (1, 1));
        assert_eq!(check(&[]).unwrap().settings, Settings::default());
        assert_eq!(check(&[("TRADEWIND_WORKERS", "0")]).unwrap().settings, Settings::default());
    }

    #[test]
    fn what_a_kubelet_says_of_services_is_passed_over() {
        let links = [
            ("TRADEWIND_GATEWAY_SERVICE_HOST", "10.96.0.7"),
            ("TRADEWIND_GATEWAY_SERVICE_PORT", "80"),
            ("TRADEWIND_GATEWAY_SERVICE_PORT_HTTP", "80"),
            ("TRADEWIND_GATEWAY_PORT", "tcp://10.96.0.7:80"),
            ("TRADEWIND_GATEWAY_PORT_80_TCP", "tcp://10.96.0.7:80"),
            ("TRADEWIND_GATEWAY_PORT_80_TCP_PROTO", "tcp"),
            ("TRADEWIND_GATEWAY_PORT_80_TCP_ADDR", "10.96.0.7"),
            ("TRADEWIND_SERVICE_HOST", "10.96.0.8"),
            ("TRADEWIND_PORT", "tcp://10.96.0.8:80"),
        ];
        assert_eq!(check(&links).unwrap().settings, Settings::default());
        let ours = check(&[("TRADEWIND_SERVICE_HOST", "10.96.0.8"), ("TRADEWIND_PORT", "7")]).unwrap();
        assert_eq!(ours.settings.listen, "127.0.0.1:7");
        let odd = check(&[("TRADEWIND_GATEWAY_SERVICE_HOST", "10.96.0.7"), ("TRADEWIND_GATEWAY_PROT", "1")]);
        assert!(odd.unwrap_err().contains("`TRADEWIND_GATEWAY_PROT`"));
    }

    #[test]
    fn a_variable_that_is_not_accepted_is_named_with_what_is() {
        for (name, text, part) in [
            ("TRADEWIND_PROT", "1", "unknown environment variable `TRADEWIND_PROT`"),
            ("TRADEWIND_PROT", "1", "`TRADEWIND_PORT`"),
            ("TRADEWIND_LISTEN", "x", "unknown environment variable"),
            ("TRADEWIND_drain_s", "1", "unknown environment variable"),
            ("TRADEWIND_host", "1", "unknown environment variable"),
            ("TRADEWIND_TLS_PORT", "70000", "TRADEWIND_TLS_PORT is `70000`; invalid value: integer `70000`, expected u16"),
            ("TRADEWIND_CONTROLLER_TRSUT", "x", "unknown environment variable `TRADEWIND_CONTROLLER_TRSUT`"),
            ("TRADEWIND_PORT", "many", "TRADEWIND_PORT is `many`; expected a port"),
            ("TRADEWIND_DRAIN_S", "many", "TRADEWIND_DRAIN_S is `many`; expected an integer"),
            ("TRADEWIND_DRAIN_S", "-1", "TRADEWIND_DRAIN_S is `-1`; expected 0 or more"),
            ("TRADEWIND_CAPTURE", "all", "expected one of `none`, `features`, `text`"),
            ("TRADEWIND_ALLOW_UPSTREAMS", "here", "TRADEWIND_ALLOW_UPSTREAMS is `here`; "),
            ("TRADEWIND_LOG_LEVEL", "loud", "unknown log_level `loud`; expected one of `error`, `warning`"),
        ] {
            let error = check(&[(name, text)]).unwrap_err();
            assert!(error.contains(part), "{error}");
        }
    }
}
