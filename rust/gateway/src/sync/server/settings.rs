//! What the server is told once.

use std::time::Duration;

use http::Uri;
use serde::Deserialize;

use crate::upstream::is_loopback;

/// Settings of a server. Every field has a default.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Address to listen on, `host:port`. Default `127.0.0.1:0`.
    pub listen: String,
    /// ServiceAccounts of gateways, `namespace/name`; whoever else comes is a sidecar. Default none.
    pub gateway_accounts: Vec<String>,
    /// Base URL of the gateway by which sidecars reach other namespaces' models, https unless it is on loopback: they show it their
    /// token. Default none: they do not.
    pub hop_url: Option<String>,
    /// Seconds that a poll is parked. Default 30.
    pub park_s: f64,
    /// Seconds without a poll after which a session is dropped. Default 45: a parked poll and some time to come back.
    pub silence_s: f64,
    /// Seconds for a request's head, and that a connection without a request is kept. Default 10: a data plane polls again at once.
    pub idle_s: f64,
    /// Seconds that a token's identity is remembered. Default 300.
    pub identity_cache_s: f64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:0".to_owned(),
            gateway_accounts: Vec::new(),
            hop_url: None,
            park_s: 30.0,
            silence_s: 45.0,
            idle_s: 10.0,
            identity_cache_s: 300.0,
        }
    }
}

impl Settings {
    /// Reads settings from JSON.
    ///
    /// # Errors
    /// A sentence.
    pub fn parse(json: &[u8]) -> Result<Self, String> {
        let settings: Self = serde_json::from_slice(json).map_err(|error| format!("the settings cannot be read: {error}"))?;
        let seconds = [
            ("park_s", settings.park_s),
            ("silence_s", settings.silence_s),
            ("idle_s", settings.idle_s),
            ("identity_cache_s", settings.identity_cache_s),
        ];
        for (name, value) in seconds {
            if !(0.0..=86_400.0).contains(&value) {
                return Err(format!("{name} is {value}; expected seconds, at most a day"));
            }
        }
        if settings.silence_s <= settings.park_s {
            return Err(format!("silence_s is {}; expected more than park_s, which is {}", settings.silence_s, settings.park_s));
        }
        settings.hop_url.as_deref().map_or(Ok(()), hop)?;
        Ok(settings)
    }

    pub(super) fn park(&self) -> Duration {
        Duration::from_secs_f64(self.park_s)
    }

    pub(super) fn idle(&self) -> Duration {
        Duration::from_secs_f64(self.idle_s)
    }

    pub(super) fn silence(&self) -> Duration {
        Duration::from_secs_f64(self.silence_s)
    }
}

fn hop(url: &str) -> Result<(), String> {
    let uri: Uri = url.parse().map_err(|error| format!("hop_url `{url}` is not a URL: {error}"))?;
    match (uri.scheme_str(), uri.host()) {
        (Some("https"), Some(_)) => Ok(()),
        (Some("http"), Some(host)) if is_loopback(host) => Ok(()),
        (Some("http"), Some(_)) => Err(format!(
            "hop_url `{url}` is plain http: sidecars would show their token to the network; expected https, or a loopback address"
        )),
        _ => Err(format!("hop_url `{url}` is no base URL; expected such as `https://gateway.tradewind.svc:4000/v1`")),
    }
}
