//! What a condition may read, and where each value comes from: only what it names is looked up.

use std::{borrow::Cow, collections::HashMap};

use cel::{
    common::{
        types::{CelBool, CelInt, CelList, CelMap, CelMapKey, CelString},
        value::{CowVal, Val},
    },
    context::VariableResolver,
};

use super::{MAX_ENTRIES, check::Type};
use crate::{
    call::Identity,
    parse::Facts,
    plan::asked::{Asked, Details, Fields},
    predict::DEFAULT_BYTES_PER_TOKEN,
};

/// Every variable, with its type and the detail that it reads.
pub const TABLE: &[(&str, Type, Fields)] = &[
    ("caller.labels", Type::Map, Fields::LABELS),
    ("caller.namespace", Type::TEXT, Fields::NONE),
    ("request.inputTokens", Type::INT, Fields::NONE),
    ("request.json", Type::BOOL, Fields::NONE),
    ("request.maxOutputTokens", Type::INT, Fields::NONE),
    ("request.messages", Type::INT, Fields::MESSAGES),
    ("request.metadata", Type::Map, Fields::METADATA),
    ("request.model", Type::TEXT, Fields::NONE),
    ("request.stream", Type::BOOL, Fields::NONE),
    ("request.tools", Type::TEXTS, Fields::TOOLS),
    ("request.user", Type::TEXT, Fields::USER),
];

/// The values of one call.
pub struct Variables<'a> {
    asked: &'a Asked<'a>,
}

impl<'a> Variables<'a> {
    pub fn new(asked: &'a Asked<'a>) -> Self {
        Self { asked }
    }
}

impl VariableResolver for Variables<'_> {
    fn resolve<'b>(&'b self, variable: &str) -> Option<CowVal<'b, 'b>> {
        let Asked { identity, model, facts, details, .. } = *self.asked;
        Some(match variable {
            "caller.labels" => map(identity.labels.iter().map(|(key, value)| (Cow::from(key), Cow::from(value))))?,
            "caller.namespace" => text(&identity.tenant),
            "request.inputTokens" => int(input_tokens(facts)),
            "request.json" => bool(facts.json),
            "request.maxOutputTokens" => int(facts.max_output_tokens.unwrap_or(0)),
            "request.messages" => int(details.messages()),
            "request.metadata" => map(details.metadata().into_iter())?,
            "request.model" => text(model),
            "request.stream" => bool(facts.stream),
            "request.tools" => list(details.tools())?,
            "request.user" => text(details.user()),
            _ => return None,
        })
    }
}

fn bool<'b>(value: bool) -> CowVal<'b, 'b> {
    CowVal::owned(CelBool::from(value))
}

fn int<'b>(value: u32) -> CowVal<'b, 'b> {
    CowVal::owned(CelInt::from(i64::from(value)))
}

fn text<'b>(value: impl Into<Cow<'b, str>>) -> CowVal<'b, 'b> {
    CowVal::owned(CelString::from(value.into()))
}

fn list<'b>(values: Vec<Cow<'b, str>>) -> Option<CowVal<'b, 'b>> {
    if values.len() > MAX_ENTRIES {
        return None;
    }
    let boxed = |value| -> Box<dyn Val + 'b> { Box::new(CelString::from(value)) };
    Some(CowVal::owned(CelList::from(values.into_iter().map(boxed).collect::<Vec<_>>())))
}

fn map<'b>(entries: impl ExactSizeIterator<Item = (Cow<'b, str>, Cow<'b, str>)>) -> Option<CowVal<'b, 'b>> {
    if entries.len() > MAX_ENTRIES {
        return None;
    }
    let entry = |(key, value): (Cow<'b, str>, Cow<'b, str>)| -> (CelMapKey<'b>, Box<dyn Val + 'b>) {
        let key = match key {
            Cow::Borrowed(key) => CelMapKey::from(key),
            Cow::Owned(key) => CelMapKey::from(key),
        };
        (key, Box::new(CelString::from(value)))
    };
    Some(CowVal::owned(CelMap::from(entries.map(entry).collect::<HashMap<_, _>>())))
}

/// Input tokens at the ratio that holds before any model is looked at.
#[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "bounded, positive token counts")]
fn input_tokens(facts: &Facts) -> u32 {
    (facts.input_bytes as f32 / DEFAULT_BYTES_PER_TOKEN).ceil() as u32
}

/// A call to try a condition out on.
#[derive(Default)]
pub struct Example {
    identity: Identity,
    facts: Facts,
}

impl Example {
    pub fn asked(&self) -> Asked<'_> {
        Asked { namespace: "default", identity: &self.identity, model: "auto", facts: &self.facts, details: self }
    }
}

impl Details for Example {
    fn known(&self) -> Fields {
        Fields::ALL
    }

    fn tools(&self) -> Vec<Cow<'_, str>> {
        vec![Cow::Borrowed("lookup")]
    }

    fn user(&self) -> Cow<'_, str> {
        Cow::Borrowed("somebody")
    }

    fn metadata(&self) -> Vec<(Cow<'_, str>, Cow<'_, str>)> {
        vec![(Cow::Borrowed("key"), Cow::Borrowed("value"))]
    }

    fn messages(&self) -> u32 {
        1
    }
}
