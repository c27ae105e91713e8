//! The messages: their roles and parts are checked, and the user's own last utterance is kept.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

use super::Text;
use crate::error::{Code, Error, excerpt, unknown};

const ROLES: &[&str] = &["system", "developer", "user", "assistant", "tool", "function"];
const PARTS: &[&str] = &["text", "refusal"];

/// Utterances that carry no task of their own, in the languages we test. Compared without case and punctuation.
const CONTINUATIONS: &[&str] = &["continue", "go on", "go ahead", "more", "weiter", "continuez", "continúa", "continua", "继续", "続けて"];

pub(super) struct Messages<'a> {
    pub text: Cow<'a, str>,
    pub own_turn: bool,
    pub count: u32,
}

pub(super) fn read<'a>(raw: &'a RawValue) -> Result<Messages<'a>, Error> {
    let list: Vec<Message<'a>> = serde_json::from_str(raw.get()).map_err(|error| place(raw, &error))?;
    if list.is_empty() {
        return Err(Error::new(Code::InvalidRequest, "messages", "`messages` is empty; expected at least one message"));
    }
    for (index, message) in list.iter().enumerate() {
        check(index, message)?;
    }
    let count = u32::try_from(list.len()).unwrap_or(u32::MAX);
    let own_turn = list.last().is_some_and(|last| last.role.as_deref() == Some("user") && !last.content.is_continuation());
    let text = list
        .into_iter()
        .rev()
        .find(|message| message.role.as_deref() == Some("user") && !message.content.is_continuation())
        .map_or(Cow::Borrowed(""), |message| message.content.into_text());
    Ok(Messages { text, own_turn, count })
}

#[derive(Default)]
struct Message<'a> {
    role: Option<Cow<'a, str>>,
    content: Content<'a>,
}

impl<'de> Deserialize<'de> for Message<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;
        impl<'de> Visitor<'de> for Fields {
            type Value = Message<'de>;
            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a message")
            }
            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
                let mut message = Message::default();
                while let Some(key) = map.next_key::<Text<'de>>()? {
                    match &*key.0 {
                        "role" => message.role = Some(map.next_value::<Text<'de>>()?.0),
                        "content" => message.content = map.next_value()?,
                        _ => {
                            map.next_value::<IgnoredAny>()?;
                        }
                    }
                }
                Ok(message)
            }
        }
        deserializer.deserialize_map(Fields)
    }
}

#[derive(Default)]
enum Content<'a> {
    #[default]
    Absent,
    Text(Cow<'a, str>),
    Parts(Vec<Part<'a>>),
    /// Neither a string, nor parts, nor null.
    Wrong,
}

#[derive(Default)]
struct Part<'a> {
    kind: Cow<'a, str>,
    text: Option<Cow<'a, str>>,
}

impl<'a> Content<'a> {
    fn is_continuation(&self) -> bool {
        let bare = |text: &str| {
            let text = text.trim().trim_end_matches(['.', '!', '…', '。']).trim_end();
            text.is_empty() || (text.len() < 20 && CONTINUATIONS.contains(&text.to_lowercase().as_str()))
        };
        match self {
            Content::Text(text) => bare(text),
            Content::Parts(parts) => parts.iter().all(|part| part.text.as_deref().is_none_or(bare)),
            Content::Absent | Content::Wrong => true,
        }
    }

    fn into_text(self) -> Cow<'a, str> {
        match self {
            Content::Text(text) => text,
            Content::Parts(parts) => {
                let mut texts = parts.into_iter().filter_map(|part| part.text);
                let Some(first) = texts.next() else { return Cow::Borrowed("") };
                texts.fold(first, |joined, next| Cow::Owned(format!("{joined}\n{next}")))
            }
            Content::Absent | Content::Wrong => Cow::Borrowed(""),
        }
    }
}

impl<'de> Deserialize<'de> for Content<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Content<'de>;
            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a string, an array of parts or null")
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Content::Text(Cow::Borrowed(text)))
            }
            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Content::Text(Cow::Owned(text.to_owned())))
            }
            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok(Content::Absent)
            }
            fn visit_seq<S: SeqAccess<'de>>(self, mut seq: S) -> Result<Self::Value, S::Error> {
                let mut parts = Vec::new();
                while let Some(part) = seq.next_element()? {
                    parts.push(part);
                }
                Ok(Content::Parts(parts))
            }
            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Content::Wrong)
            }
            fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
                Ok(Content::Wrong)
            }
            fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
                Ok(Content::Wrong)
            }
            fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
                Ok(Content::Wrong)
            }
            fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
                Ok(Content::Wrong)
            }
        }
        deserializer.deserialize_any(Any)
    }
}

impl<'de> Deserialize<'de> for Part<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;
        impl<'de> Visitor<'de> for Fields {
            type Value = Part<'de>;
            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a content part")
            }
            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
                let mut part = Part::default();
                while let Some(key) = map.next_key::<Text<'de>>()? {
                    match &*key.0 {
                        "type" => part.kind = map.next_value::<Text<'de>>()?.0,
                        "text" => part.text = Some(map.next_value::<Text<'de>>()?.0),
                        _ => {
                            map.next_value::<IgnoredAny>()?;
                        }
                    }
                }
                Ok(part)
            }
        }
        deserializer.deserialize_map(Fields)
    }
}

fn check(index: usize, message: &Message<'_>) -> Result<(), Error> {
    let role = message.role.as_deref().ok_or_else(|| {
        Error::new(
            Code::InvalidRequest,
            format!("messages[{index}].role"),
            format!("`messages[{index}].role` is missing; expected one of {}", ROLES.join(", ")),
        )
    })?;
    if !ROLES.contains(&role) {
        return Err(Error::new(Code::InvalidRequest, format!("messages[{index}].role"), unknown("role", role, ROLES)));
    }
    match &message.content {
        Content::Wrong => Err(Error::new(
            Code::InvalidRequest,
            format!("messages[{index}].content"),
            format!("`messages[{index}].content` has the wrong type; expected a string, an array of parts or null"),
        )),
        Content::Parts(parts) => match parts.iter().position(|part| !PARTS.contains(&&*part.kind)) {
            Some(at) => Err(Error::new(
                Code::UnsupportedContent,
                format!("messages[{index}].content[{at}]"),
                format!(
                    "content part of type `{}` cannot be routed and accounted for yet; expected one of {}",
                    excerpt(&parts[at].kind),
                    PARTS.join(", ")
                ),
            )),
            None => match parts.iter().position(|part| &*part.kind == "text" && part.text.is_none()) {
                Some(at) => Err(Error::new(
                    Code::InvalidRequest,
                    format!("messages[{index}].content[{at}].text"),
                    format!("`messages[{index}].content[{at}].text` is missing; expected a string"),
                )),
                None => Ok(()),
            },
        },
        Content::Absent | Content::Text(_) => Ok(()),
    }
}

/// Finds the message that does not read: errors are rare, so the list is read again, one by one.
fn place(raw: &RawValue, error: &serde_json::Error) -> Error {
    let Ok(list) = serde_json::from_str::<Vec<&RawValue>>(raw.get()) else {
        return Error::new(
            Code::InvalidRequest,
            "messages",
            format!("`messages` is {}; expected an array of messages", excerpt(raw.get())),
        );
    };
    for (index, message) in list.iter().enumerate() {
        if let Err(error) = serde_json::from_str::<Message<'_>>(message.get()) {
            let path = format!("messages[{index}]");
            return Error::new(Code::InvalidRequest, path.clone(), format!("`{path}` cannot be read: {error}"));
        }
    }
    Error::new(Code::InvalidRequest, "messages", format!("`messages` cannot be read: {error}"))
}
