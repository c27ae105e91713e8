//! What a condition may read, and where each value comes from: only what it names is looked up.

use std::{
    borrow::Cow,
    collections::HashMap,
    sync::{
        OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
};

use cel::{
    common::{
        types::{CelBool, CelInt, CelList, CelMap, CelMapKey, CelString},
        value::{CowVal, Val},
    },
    context::VariableResolver,
};

use super::{MAX_LOOKED_AT, check::Type};
use crate::{
    call::Identity,
    parse::Facts,
    plan::asked::{Asked, Details, Fields, MAX_ENTRIES, MAX_TEXT},
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

/// The values of one call, for all of its conditions: each is looked up once, when the first of them reads it.
pub struct Variables<'a> {
    asked: &'a Asked<'a>,
    /// By row of [`TABLE`].
    values: [OnceLock<Option<Looked<'a>>>; TABLE.len()],
    /// Bytes that may still be looked at.
    left: AtomicUsize,
}

/// A value, and how many bytes each look at it counts.
struct Looked<'a> {
    value: Box<dyn Val + 'a>,
    bytes: usize,
}

impl<'a> Variables<'a> {
    /// Looks nothing up yet.
    #[must_use]
    pub fn new(asked: &'a Asked<'a>) -> Self {
        Self { asked, values: [const { OnceLock::new() }; TABLE.len()], left: AtomicUsize::new(MAX_LOOKED_AT) }
    }

    fn look_up(&self, variable: &str) -> Option<Looked<'a>> {
        let Asked { identity, model, facts, details, .. } = *self.asked;
        match variable {
            "caller.labels" => map(identity.labels.iter().map(|(key, value)| (Cow::from(key), Cow::from(value)))),
            "caller.namespace" => text(Cow::from(&identity.tenant)),
            "request.inputTokens" => int(input_tokens(facts)),
            "request.json" => bool(facts.json),
            "request.maxOutputTokens" => int(facts.max_output_tokens.unwrap_or(0)),
            "request.messages" => int(details.messages()),
            "request.metadata" => map(details.metadata().into_iter()),
            "request.model" => text(Cow::from(model)),
            "request.stream" => bool(facts.stream),
            "request.tools" => list(details.tools()),
            "request.user" => text(details.user()),
            _ => None,
        }
    }
}

impl VariableResolver for Variables<'_> {
    fn resolve<'b>(&'b self, variable: &str) -> Option<CowVal<'b, 'b>> {
        let row = TABLE.iter().position(|row| row.0 == variable)?;
        let looked = self.values[row].get_or_init(|| self.look_up(variable)).as_ref()?;
        let enough = |left: usize| left.checked_sub(looked.bytes);
        self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, enough).ok()?;
        Some(CowVal::Borrowed(&*looked.value))
    }
}

fn bool<'a>(value: bool) -> Option<Looked<'a>> {
    Some(Looked { value: Box::new(CelBool::from(value)), bytes: 1 })
}

fn int<'a>(value: u32) -> Option<Looked<'a>> {
    Some(Looked { value: Box::new(CelInt::from(i64::from(value))), bytes: 1 })
}

fn text(value: Cow<'_, str>) -> Option<Looked<'_>> {
    let bytes = cost(&value)?;
    Some(Looked { value: Box::new(CelString::from(value)), bytes })
}

fn list(values: Vec<Cow<'_, str>>) -> Option<Looked<'_>> {
    if values.len() > MAX_ENTRIES {
        return None;
    }
    let mut bytes = 1;
    let mut all: Vec<Box<dyn Val + '_>> = Vec::with_capacity(values.len());
    for value in values {
        bytes += cost(&value)?;
        all.push(Box::new(CelString::from(value)));
    }
    Some(Looked { value: Box::new(CelList::from(all)), bytes })
}

fn map<'a>(entries: impl ExactSizeIterator<Item = (Cow<'a, str>, Cow<'a, str>)>) -> Option<Looked<'a>> {
    if entries.len() > MAX_ENTRIES {
        return None;
    }
    let mut bytes = 1;
    let mut all: HashMap<CelMapKey<'a>, Box<dyn Val + 'a>> = HashMap::with_capacity(entries.len());
    for (key, value) in entries {
        bytes += cost(&key)? + cost(&value)?;
        let key = match key {
            Cow::Borrowed(key) => CelMapKey::from(key),
            Cow::Owned(key) => CelMapKey::from(key),
        };
        all.insert(key, Box::new(CelString::from(value)));
    }
    Some(Looked { value: Box::new(CelMap::from(all)), bytes })
}

/// What a look at a text counts; `None` beyond what conditions read.
fn cost(text: &str) -> Option<usize> {
    (text.len() <= MAX_TEXT).then_some(text.len() + 1)
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
