//! The body for an upstream: the client's, byte for byte, but for the model's name and, in streams, the wish for usage.

use bytes::Bytes;
use serde_json::{Map, Value};
use tradewind_core::parse::Request;

const WITH_USAGE: &str = r#"{"include_usage":true}"#;

/// Puts the upstream's name of the model into a body, and asks for usage where the answer is a stream.
#[must_use]
pub fn body(body: &[u8], request: &Request<'_>, model: &[u8]) -> Bytes {
    let mut edits: Vec<(std::ops::Range<usize>, Vec<u8>)> = vec![(request.model_span.clone(), model.to_vec())];
    if request.facts.stream {
        match &request.stream_options {
            Some((_, true)) => {}
            Some((span, false)) => edits.push((span.clone(), with_usage(&body[span.clone()]))),
            None => {
                let end = body.iter().rposition(|&byte| byte == b'}').unwrap_or(body.len());
                edits.push((end..end, format!(r#","stream_options":{WITH_USAGE}"#).into_bytes()));
            }
        }
        edits.sort_by_key(|(span, _)| span.start);
    }
    let mut out = Vec::with_capacity(body.len() + model.len() + 64);
    let mut at = 0;
    for (span, text) in edits {
        out.extend_from_slice(&body[at..span.start]);
        out.extend_from_slice(&text);
        at = span.end;
    }
    out.extend_from_slice(&body[at..]);
    out.into()
}

/// The client's options and our wish.
fn with_usage(options: &[u8]) -> Vec<u8> {
    match serde_json::from_slice::<Map<String, Value>>(options) {
        Ok(mut options) => {
            options.insert("include_usage".to_owned(), Value::Bool(true));
            Value::Object(options).to_string().into_bytes()
        }
        Err(_) => WITH_USAGE.as_bytes().to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use tradewind_core::{Call, Dials, Identity, parse};

    use super::*;

    fn check(more: &str) -> String {
        let text = format!(r#"{{"messages":[{{"role":"user","content":"x"}}], "model" : "auto"{more}}}  "#);
        let identity = Identity::default();
        let request = parse::request(&Call::new(text.as_bytes(), &identity, Dials::default())).unwrap();
        let out = String::from_utf8(body(text.as_bytes(), &request, br#""up/stream""#).to_vec()).unwrap();
        out.strip_prefix(r#"{"messages":[{"role":"user","content":"x"}], "model" : "up/stream""#).unwrap().trim_end().to_owned()
    }

    #[test]
    fn only_the_model_and_the_wish_for_usage_change() {
        for (more, expected) in [
            ("", "}"),
            (r#", "n": 2, "x":{"model":"y"}"#, r#", "n": 2, "x":{"model":"y"}}"#),
            (r#","stream":false"#, r#","stream":false}"#),
            (r#","stream":true"#, r#","stream":true,"stream_options":{"include_usage":true}}"#),
            (r#","stream":true,"stream_options":{"include_usage":true}"#, r#","stream":true,"stream_options":{"include_usage":true}}"#),
            (
                r#","stream_options":{"z":[1],"include_usage":false},"stream":true"#,
                r#","stream_options":{"include_usage":true,"z":[1]},"stream":true}"#,
            ),
            (r#","stream_options":null,"stream":true"#, r#","stream_options":{"include_usage":true},"stream":true}"#),
        ] {
            assert_eq!(check(more), expected, "{more}");
        }
    }
}
