//! The single list of errors: what went wrong, whose side it is on, whether another try may help, and where.
//!
//! A code is stable: it is the HTTP `error.code`, the metric label and, later, the condition's reason.

use std::borrow::Cow;

use serde::Serialize;

/// Whose doing an error is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// The caller sent something that cannot be served.
    Client,
    /// A model's server failed.
    Upstream,
    /// Tradewind itself, or its configuration, cannot serve now.
    Internal,
}

/// One row of the list of errors.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// Stable snake_case name.
    pub code: &'static str,
    /// Whose doing it is.
    pub side: Side,
    /// Whether the same call may succeed later or elsewhere.
    pub retry: bool,
    /// HTTP status that both doors answer.
    pub status: u16,
    /// OpenAI's `error.type`.
    pub kind: &'static str,
    /// One sentence for the documentation.
    pub about: &'static str,
}

macro_rules! codes {
    ($($variant:ident $code:literal $side:ident $retry:literal $status:literal $kind:literal $about:literal;)*) => {
        /// Every error Tradewind can answer with.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Code { $(#[doc = $about] $variant,)* }

        impl Code {
            /// All codes, in the order of the list.
            pub const ALL: &'static [Code] = &[$(Code::$variant),*];

            /// The row of this code.
            #[must_use]
            pub const fn row(self) -> &'static Row {
                match self {
                    $(Code::$variant => &Row { code: $code, side: Side::$side, retry: $retry, status: $status, kind: $kind, about: $about },)*
                }
            }
        }
    };
}

codes! {
    InvalidJson "invalid_json" Client false 400 "invalid_request_error" "the body is not JSON, or is nested too deeply";
    InvalidRequest "invalid_request" Client false 400 "invalid_request_error" "a field of the request is missing or has the wrong type";
    UnsupportedContent "unsupported_content" Client false 400 "invalid_request_error" "a content part that routing and accounting cannot handle yet";
    InvalidHeader "invalid_header" Client false 400 "invalid_request_error" "a request header has a value that is not accepted";
    DialIgnored "dial_ignored" Client false 400 "invalid_request_error" "a dial that the route's strategy would ignore";
    HeadTooLarge "head_too_large" Client false 431 "invalid_request_error" "the request line and headers exceed the limit of this gateway";
    BodyTooLarge "body_too_large" Client false 413 "invalid_request_error" "the body exceeds the limit of this gateway";
    Unauthorized "unauthorized" Client false 401 "invalid_request_error" "no key, or a key that is not known";
    Forbidden "forbidden" Client false 403 "invalid_request_error" "the caller may not use this";
    ModelNotFound "model_not_found" Client false 404 "invalid_request_error" "no alias or model of that name that the caller may use";
    NoRoute "no_route" Client false 404 "invalid_request_error" "no policy takes this call: the conditions of all that could do not hold";
    NotFound "not_found" Client false 404 "invalid_request_error" "no such path";
    MethodNotAllowed "method_not_allowed" Client false 405 "invalid_request_error" "the path exists, with another method";
    NoCandidate "no_candidate" Client false 422 "invalid_request_error" "the route's policies leave no model for this call";
    RequestTimeout "request_timeout" Client true 408 "invalid_request_error" "the client did not send its request in time";
    Overloaded "overloaded" Internal true 429 "rate_limit_error" "the gateway has as many calls in flight as its settings allow";
    AllResting "all_resting" Upstream true 503 "api_error" "every admitted model rests after a failure or is at its concurrency limit";
    UpstreamConnect "upstream_connect" Upstream true 502 "api_error" "no connection to the model's server";
    UpstreamForbidden "upstream_forbidden" Upstream true 502 "api_error" "the model's server is at an address that this gateway does not call";
    CredentialMissing "credential_missing" Internal true 503 "api_error" "the credential that a model needs has not been delivered to this gateway";
    UpstreamTimeout "upstream_timeout" Upstream true 504 "api_error" "the model's server was not in time";
    UpstreamStatus "upstream_status" Upstream true 502 "api_error" "the model's server answered with an error";
    UpstreamRejected "upstream_rejected" Upstream true 502 "api_error" "the model's server refused our credential or does not know the model";
    UpstreamRateLimited "upstream_rate_limited" Upstream true 429 "rate_limit_error" "the model's server answered that it is overloaded";
    UpstreamBroken "upstream_broken" Upstream true 502 "api_error" "the model's server broke off its answer";
    UpstreamInvalid "upstream_invalid" Upstream true 502 "api_error" "the model's server answered something that is not HTTP or too large";
    ClientGone "client_gone" Client false 499 "invalid_request_error" "the client left before the answer was complete";
    NoPlan "no_plan" Internal true 503 "api_error" "no plan is loaded yet";
    IdentityUnavailable "identity_unavailable" Internal true 503 "api_error" "who the caller is cannot be told now: keys have not come from the controller, or it cannot be asked";
    Draining "draining" Internal true 503 "api_error" "the gateway is shutting down";
    DrainTimeout "drain_timeout" Internal true 503 "api_error" "the gateway shut down before the answer was complete";
    InvalidPlan "invalid_plan" Internal false 500 "api_error" "a plan that does not compile";
    InvalidPredictor "invalid_predictor" Internal false 500 "api_error" "a predictor that cannot be loaded, or was trained on other features";
    PredictorFailed "predictor_failed" Internal false 500 "api_error" "the predictor could not be run on this call, or gave what is no forecast";
    Internal "internal" Internal true 500 "api_error" "a fault of ours";
}

/// An error with its place and, where there is a closed set, the accepted values.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    /// Which error.
    pub code: Code,
    /// What happened and what is accepted, as a sentence.
    pub message: String,
    /// The place: a JSON path of the body, a header, a target; empty if there is none.
    pub path: Cow<'static, str>,
    /// Milliseconds after which another try makes sense, where known.
    pub retry_after_ms: Option<u64>,
}

impl Error {
    /// An error at a place.
    pub fn new(code: Code, path: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), path: path.into(), retry_after_ms: None }
    }

    /// The same error, saying when to try again.
    #[must_use]
    pub fn after(mut self, milliseconds: u64) -> Self {
        self.retry_after_ms = Some(milliseconds);
        self
    }

    /// The body that both doors answer, in OpenAI's shape.
    #[must_use]
    pub fn to_openai(&self) -> Vec<u8> {
        #[derive(Serialize)]
        struct Body<'a> {
            error: Inner<'a>,
        }
        #[derive(Serialize)]
        struct Inner<'a> {
            message: &'a str,
            r#type: &'a str,
            param: Option<&'a str>,
            code: &'a str,
        }
        let row = self.code.row();
        let param = (!self.path.is_empty()).then_some(&*self.path);
        serde_json::to_vec(&Body { error: Inner { message: &self.message, r#type: row.kind, param, code: row.code } }).unwrap_or_default()
    }
}

/// `unknown strategy `cheapst`; expected one of `best`, …`: the one way to refuse a name.
#[must_use]
pub fn unknown(what: &str, found: &str, known: &[&str]) -> String {
    let list = known.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    let list = if list.is_empty() { "nothing".to_owned() } else { list };
    format!("unknown {what} `{}`; expected one of {list}", excerpt(found))
}

/// The first 80 characters of a text from outside, for messages.
#[must_use]
pub fn excerpt(text: &str) -> String {
    match text.char_indices().nth(80) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_unique_snake_case_and_explained() {
        let mut seen = std::collections::BTreeSet::new();
        for code in Code::ALL {
            let row = code.row();
            assert!(seen.insert(row.code), "{} twice", row.code);
            assert!(row.code.chars().all(|c| c.is_ascii_lowercase() || c == '_'));
            assert!(!row.about.is_empty());
        }
    }

    #[test]
    fn an_unknown_name_lists_the_known_ones() {
        assert_eq!(unknown("strategy", "cheapst", &["best", "cheapest"]), "unknown strategy `cheapst`; expected one of `best`, `cheapest`");
    }
}
