//! From body bytes to the few fields that are routed on; everything else passes through byte for byte.
//!
//! One scan of the top level borrows each field as a raw slice; only `messages` and a few small fields are read further.
//! Routing text is the user's own last utterance: tool results, retrieved text and system preambles are not it.

mod details;
mod messages;

use std::{borrow::Cow, fmt, marker::PhantomData, ops::Range};

use serde::{
    Deserialize, Deserializer, Serialize,
    de::{IgnoredAny, MapAccess, Visitor},
};
use serde_json::value::RawValue;

use crate::{
    call::Call,
    error::{Code, Error},
};

/// Deeper nesting than any client sends; beyond it a body is refused.
pub const MAX_DEPTH: usize = 96;

/// What a call asks of a model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Facts {
    /// Bytes of the whole body.
    pub input_bytes: u32,
    /// Tools are offered.
    #[serde(default, skip_serializing_if = "is_false")]
    pub tools: bool,
    /// `response_format` is JSON.
    #[serde(default, skip_serializing_if = "is_false")]
    pub json: bool,
    /// `stream: true`.
    #[serde(default, skip_serializing_if = "is_false")]
    pub stream: bool,
    /// `max_completion_tokens`, else `max_tokens`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_output_tokens: Option<u32>,
    /// `n`; 1 where absent.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub choices: u32,
}

const fn one() -> u32 {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_one(value: &u32) -> bool {
    *value == 1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_false(value: &bool) -> bool {
    !*value
}

impl Facts {
    /// The capabilities needed, by name.
    #[must_use]
    pub fn needs(&self) -> Vec<&'static str> {
        [(self.tools, "tools"), (self.json, "json")].into_iter().filter_map(|(needed, name)| needed.then_some(name)).collect()
    }
}

/// A parsed request. Borrows from the body.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    /// The model or alias asked for.
    pub model: Cow<'a, str>,
    /// Routing text: the user's own last utterance; empty if there is none.
    pub text: Cow<'a, str>,
    /// Whether the last turn is an utterance of the user. If not, the session's last prediction is inherited.
    pub own_turn: bool,
    /// What is asked of a model.
    pub facts: Facts,
    /// Where the JSON value of `model` stands in the body, for the splice.
    pub model_span: Range<usize>,
    /// `stream_options`: where its JSON value stands, and whether the client asked for usage.
    pub stream_options: Option<(Range<usize>, bool)>,
    /// What only conditions read, still raw.
    details: Raw<'a>,
}

/// Fields that are read only where a condition asks for them.
#[derive(Clone, Debug)]
struct Raw<'a> {
    messages: u32,
    tools: [Option<&'a RawValue>; 2],
    user: Option<&'a RawValue>,
    metadata: Option<&'a RawValue>,
}

/// Reads a chat completions body.
///
/// # Errors
/// `invalid_json`, `invalid_request` or `unsupported_content`, with the path of the field.
pub fn request<'a>(call: &Call<'a>) -> Result<Request<'a>, Error> {
    let body = std::str::from_utf8(call.body)
        .map_err(|error| Error::new(Code::InvalidJson, "", format!("the body is not UTF-8 at byte {}", error.valid_up_to())))?;
    if depth_exceeds(body.as_bytes(), MAX_DEPTH) {
        return Err(Error::new(Code::InvalidJson, "", format!("the body is nested deeper than {MAX_DEPTH} levels")));
    }
    let fields: Fields<'a> = serde_json::from_str(body).map_err(|error| malformed(&error))?;
    let model_raw = fields.model.ok_or_else(|| missing("model", "the name of a model or alias, such as `auto`"))?;
    let model: Text<'a> = read("model", "a string", model_raw)?;
    if model.0.is_empty() {
        return Err(Error::new(Code::InvalidRequest, "model", "`model` is empty; expected the name of a model or alias, such as `auto`"));
    }
    let messages = messages::read(fields.messages.ok_or_else(|| missing("messages", "an array of messages"))?)?;
    let stream = optional::<bool>("stream", "true or false", fields.stream)?.unwrap_or(false);
    // Kept where it is `null` too: whoever asks for usage must replace the value, not write the key a second time.
    let stream_options = fields.stream_options.map(|raw| {
        let options: Option<StreamOptions> = read("stream_options", "an object", raw)?;
        Ok::<_, Error>((span(body, raw), options.and_then(|options| options.include_usage).unwrap_or(false)))
    });
    let facts = Facts {
        input_bytes: u32::try_from(body.len()).unwrap_or(u32::MAX),
        tools: needs_tools(&fields)?,
        json: optional::<ResponseFormat>("response_format", "an object with a `type`", fields.response_format)?
            .is_some_and(|format| format.r#type.0 != "text"),
        stream,
        max_output_tokens: match positive("max_completion_tokens", fields.max_completion_tokens)? {
            Some(tokens) => Some(tokens),
            None => positive("max_tokens", fields.max_tokens)?,
        },
        choices: positive("n", fields.n)?.unwrap_or(1),
    };
    if facts.choices > 128 {
        return Err(Error::new(Code::InvalidRequest, "n", format!("`n` is {}; expected an integer from 1 to 128", facts.choices)));
    }
    Ok(Request {
        model: model.0,
        text: messages.text,
        own_turn: messages.own_turn,
        facts,
        model_span: span(body, model_raw),
        stream_options: stream_options.transpose()?,
        details: Raw { messages: messages.count, tools: [fields.tools, fields.functions], user: fields.user, metadata: fields.metadata },
    })
}

/// The top level, every routed field still raw.
#[derive(Default)]
struct Fields<'a> {
    model: Option<&'a RawValue>,
    messages: Option<&'a RawValue>,
    tools: Option<&'a RawValue>,
    functions: Option<&'a RawValue>,
    response_format: Option<&'a RawValue>,
    stream: Option<&'a RawValue>,
    stream_options: Option<&'a RawValue>,
    max_tokens: Option<&'a RawValue>,
    max_completion_tokens: Option<&'a RawValue>,
    n: Option<&'a RawValue>,
    user: Option<&'a RawValue>,
    metadata: Option<&'a RawValue>,
}

impl<'de> Deserialize<'de> for Fields<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Top;
        impl<'de> Visitor<'de> for Top {
            type Value = Fields<'de>;
            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object with `model` and `messages`")
            }
            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
                let mut fields = Fields::default();
                while let Some(key) = map.next_key::<Text<'de>>()? {
                    let slot = match &*key.0 {
                        "model" => &mut fields.model,
                        "messages" => &mut fields.messages,
                        "tools" => &mut fields.tools,
                        "functions" => &mut fields.functions,
                        "response_format" => &mut fields.response_format,
                        "stream" => &mut fields.stream,
                        "stream_options" => &mut fields.stream_options,
                        "max_tokens" => &mut fields.max_tokens,
                        "max_completion_tokens" => &mut fields.max_completion_tokens,
                        "n" => &mut fields.n,
                        "user" => &mut fields.user,
                        "metadata" => &mut fields.metadata,
                        _ => {
                            map.next_value::<IgnoredAny>()?;
                            continue;
                        }
                    };
                    // Parsers differ on which of two equal keys wins; what is routed on must be what the upstream reads.
                    if slot.is_some() {
                        return Err(serde::de::Error::custom(format!("duplicate field `{}`", key.0)));
                    }
                    *slot = Some(map.next_value()?);
                }
                Ok(fields)
            }
        }
        deserializer.deserialize_map(Top)
    }
}

#[derive(Deserialize)]
struct StreamOptions {
    #[serde(default)]
    include_usage: Option<bool>,
}

#[derive(Deserialize)]
struct ResponseFormat<'a> {
    #[serde(borrow)]
    r#type: Text<'a>,
}

/// A string that borrows where it has no escapes (`Cow` alone always copies inside other types).
#[derive(Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Text<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Borrow<'a>(PhantomData<Text<'a>>);
        impl<'de: 'a, 'a> Visitor<'de> for Borrow<'a> {
            type Value = Text<'a>;
            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a string")
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Borrowed(text)))
            }
            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
            fn visit_string<E>(self, text: String) -> Result<Self::Value, E> {
                Ok(Text(Cow::Owned(text)))
            }
        }
        deserializer.deserialize_str(Borrow(PhantomData))
    }
}

fn needs_tools(fields: &Fields<'_>) -> Result<bool, Error> {
    let tools = optional::<Vec<IgnoredAny>>("tools", "an array", fields.tools)?;
    let functions = optional::<Vec<IgnoredAny>>("functions", "an array", fields.functions)?;
    Ok([tools, functions].iter().flatten().any(|list| !list.is_empty()))
}

fn span(body: &str, raw: &RawValue) -> Range<usize> {
    let start = raw.get().as_ptr().addr() - body.as_ptr().addr();
    start..start + raw.get().len()
}

fn read<'a, T: Deserialize<'a>>(path: &'static str, expected: &str, raw: &'a RawValue) -> Result<T, Error> {
    serde_json::from_str(raw.get()).map_err(|_| {
        Error::new(Code::InvalidRequest, path, format!("`{path}` is {}; expected {expected}", crate::error::excerpt(raw.get())))
    })
}

fn optional<'a, T: Deserialize<'a>>(path: &'static str, expected: &str, raw: Option<&'a RawValue>) -> Result<Option<T>, Error> {
    raw.filter(|raw| raw.get() != "null").map(|raw| read(path, expected, raw)).transpose()
}

fn positive(path: &'static str, raw: Option<&RawValue>) -> Result<Option<u32>, Error> {
    match optional::<u32>(path, "an integer of at least 1", raw)? {
        Some(0) => Err(Error::new(Code::InvalidRequest, path, format!("`{path}` is 0; expected an integer of at least 1"))),
        value => Ok(value),
    }
}

fn missing(path: &'static str, expected: &str) -> Error {
    Error::new(Code::InvalidRequest, path, format!("`{path}` is missing; expected {expected}"))
}

fn malformed(error: &serde_json::Error) -> Error {
    let code = if error.is_data() { Code::InvalidRequest } else { Code::InvalidJson };
    Error::new(code, "", format!("the body cannot be read: {error}"))
}

/// Whether brackets outside strings nest deeper than `limit`. Counts first: ordinary bodies have few brackets.
fn depth_exceeds(body: &[u8], limit: usize) -> bool {
    let brackets = body.iter().filter(|&&byte| byte | 0x20 == b'{').count();
    if brackets <= limit {
        return false;
    }
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for &byte in body {
        if in_string {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => in_string = false,
                _ => {}
            }
            continue;
        }
        match byte {
            b'"' => in_string = true,
            b'{' | b'[' => {
                depth += 1;
                if depth > limit {
                    return true;
                }
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::call::{Dials, Identity};

    fn check(body: &[u8]) -> Result<Request<'_>, Error> {
        let identity = Box::leak(Box::new(Identity::default()));
        request(&Call::new(body, identity, Dials::default()))
    }

    #[test]
    fn only_the_fields_routed_on_are_read() {
        let body = br#"{"model":"auto","messages":[{"role":"system","content":"be nice"},{"role":"user","content":"hi \"you\""}],"temperature":0.1,"tools":[{}],"response_format":{"type":"json_object"},"stream":true,"stream_options":{"include_usage":true},"max_tokens":7,"n":2,"x":{"y":[1]}}"#;
        let request = check(body).unwrap();
        assert_eq!((&*request.model, &*request.text, request.own_turn), ("auto", "hi \"you\"", true));
        assert_eq!(&body[request.model_span.clone()], br#""auto""#);
        assert_eq!(request.facts.needs(), ["tools", "json"]);
        assert_eq!((request.facts.max_output_tokens, request.facts.choices, request.facts.stream), (Some(7), 2, true));
        let (span, asked) = request.stream_options.unwrap();
        assert_eq!((&body[span], asked), (&br#"{"include_usage":true}"#[..], true));
    }

    #[test]
    fn bad_bodies_name_the_place() {
        for (body, code, path) in [
            (r#"{"#, Code::InvalidJson, ""),
            (r#"[]"#, Code::InvalidRequest, ""),
            (r#"{"messages":[]}"#, Code::InvalidRequest, "model"),
            (r#"{"model":1,"messages":[]}"#, Code::InvalidRequest, "model"),
            (r#"{"model":"","messages":[]}"#, Code::InvalidRequest, "model"),
            (r#"{"model":"a"}"#, Code::InvalidRequest, "messages"),
            (r#"{"model":"a","messages":[]}"#, Code::InvalidRequest, "messages"),
            (r#"{"model":"a","messages":{}}"#, Code::InvalidRequest, "messages"),
            (r#"{"model":"a","model":"b","messages":[]}"#, Code::InvalidRequest, ""),
            (r#"{"model":"a","messages":[{"role":"user","content":"x"}],"max_tokens":0}"#, Code::InvalidRequest, "max_tokens"),
            (r#"{"model":"a","messages":[{"role":"user","content":"x"}],"max_tokens":-3}"#, Code::InvalidRequest, "max_tokens"),
            (r#"{"model":"a","messages":[{"role":"user","content":"x"}],"stream":"yes"}"#, Code::InvalidRequest, "stream"),
            (r#"{"model":"a","messages":[{"role":"user","content":"x"}],"n":1000}"#, Code::InvalidRequest, "n"),
            (r#"{"model":"a","messages":[{"role":"king","content":"x"}]}"#, Code::InvalidRequest, "messages[0].role"),
            (r#"{"model":"a","messages":[{"content":"x"}]}"#, Code::InvalidRequest, "messages[0].role"),
            (
                r#"{"model":"a","messages":[{"role":"user","content":"x"},{"role":"user","content":7}]}"#,
                Code::InvalidRequest,
                "messages[1].content",
            ),
            (
                r#"{"model":"a","messages":[{"role":"user","content":[{"type":"text","text":"x"},{"type":"image_url"}]}]}"#,
                Code::UnsupportedContent,
                "messages[0].content[1]",
            ),
        ] {
            let error = check(body.as_bytes()).unwrap_err();
            assert_eq!((error.code, &*error.path), (code, path), "{body}: {error}");
        }
        let deep = format!(r#"{{"model":"a","messages":[],"x":{}{}}}"#, "[".repeat(5000), "]".repeat(5000));
        assert_eq!(check(deep.as_bytes()).unwrap_err().code, Code::InvalidJson);
    }

    #[test]
    fn brackets_in_strings_do_not_nest() {
        let body = format!(r#"{{"model":"a","messages":[{{"role":"user","content":"{}"}}]}}"#, "[{".repeat(500));
        assert!(check(body.as_bytes()).is_ok());
    }

    #[test]
    fn a_turn_without_own_text_is_said_to_be_one() {
        for (messages, text, own) in [
            (
                r#"[{"role":"user","content":"prove it"},{"role":"assistant","content":null,"tool_calls":[]},{"role":"tool","content":"42","tool_call_id":"a"}]"#,
                "prove it",
                false,
            ),
            (
                r#"[{"role":"user","content":"prove it"},{"role":"assistant","content":"…"},{"role":"user","content":" Continue. "}]"#,
                "prove it",
                false,
            ),
            (r#"[{"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]}]"#, "a\nb", true),
            (r#"[{"role":"system","content":"s"}]"#, "", false),
        ] {
            let body = format!(r#"{{"model":"auto","messages":{messages}}}"#);
            let request = check(body.as_bytes()).unwrap();
            assert_eq!((&*request.text, request.own_turn), (text, own), "{messages}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = check(&bytes);
        }

        #[test]
        fn no_cut_or_flip_of_a_good_body_makes_it_panic(cut in 0usize..200, at in 0usize..200, byte in any::<u8>()) {
            let mut body = br#"{"model":"auto","messages":[{"role":"user","content":[{"type":"text","text":"h\u00e9\n"}]},{"role":"tool","content":"x"}],"stream":true,"stream_options":{"include_usage":false},"max_tokens":5}"#.to_vec();
            let at = at % body.len();
            body[at] = byte;
            body.truncate(cut.max(1));
            let _ = check(&body);
        }

        #[test]
        fn any_text_comes_out_as_it_went_in(text in "\\PC*") {
            let body = serde_json::json!({"model": "auto", "messages": [{"role": "user", "content": text}]}).to_string();
            let request = check(body.as_bytes()).unwrap();
            prop_assert!(request.text == text || !request.own_turn);
        }
    }
}
