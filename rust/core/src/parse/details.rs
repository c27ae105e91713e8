//! What only conditions read of a request: each is parsed when one asks for it.

use std::{borrow::Cow, collections::BTreeMap};

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Request, Text};
use crate::plan::{Details, Fields};

impl Details for Request<'_> {
    fn known(&self) -> Fields {
        Fields::ALL
    }

    fn tools(&self) -> Vec<Cow<'_, str>> {
        let lists = self.details.tools.iter().flatten().filter_map(|raw| serde_json::from_str::<Vec<&RawValue>>(raw.get()).ok());
        lists.flatten().map(|tool| serde_json::from_str::<Tool<'_>>(tool.get()).unwrap_or_default().name()).collect()
    }

    fn user(&self) -> Cow<'_, str> {
        self.details.user.and_then(string).unwrap_or_default()
    }

    fn metadata(&self) -> Vec<(Cow<'_, str>, Cow<'_, str>)> {
        let entries = self.details.metadata.and_then(|raw| serde_json::from_str::<BTreeMap<Text<'_>, &RawValue>>(raw.get()).ok());
        entries.into_iter().flatten().filter_map(|(key, value)| Some((key.0, string(value)?))).collect()
    }

    fn messages(&self) -> u32 {
        self.details.messages
    }
}

fn string(raw: &RawValue) -> Option<Cow<'_, str>> {
    serde_json::from_str::<Text<'_>>(raw.get()).ok().map(|text| text.0)
}

/// A tool of OpenAI's: a function, a custom one, or an old style function, which is its own.
#[derive(Default, Deserialize)]
struct Tool<'a> {
    #[serde(borrow, default)]
    function: Option<Named<'a>>,
    #[serde(borrow, default)]
    custom: Option<Named<'a>>,
    #[serde(borrow, default)]
    name: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct Named<'a> {
    #[serde(borrow, default)]
    name: Text<'a>,
}

impl<'a> Tool<'a> {
    /// Empty for one that has none: it counts all the same.
    fn name(self) -> Cow<'a, str> {
        self.function.or(self.custom).map(|named| named.name).or(self.name).map_or(Cow::Borrowed(""), |text| text.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::{Call, Dials, Identity};

    fn check(more: &str, read: impl Fn(&dyn Details) -> String) -> String {
        let body = format!(r#"{{"model":"auto","messages":[{{"role":"user","content":"x"}},{{"role":"user","content":"y"}}]{more}}}"#);
        let identity = Identity::default();
        let request = super::super::request(&Call::new(body.as_bytes(), &identity, Dials::default())).unwrap();
        read(&request)
    }

    #[test]
    fn every_kind_of_tool_has_its_name() {
        let tools = |details: &dyn Details| details.tools().join(",");
        assert_eq!(check("", tools), "");
        assert_eq!(check(r#","tools":[{"type":"function","function":{"name":"a"}},{"custom":{"name":"b"}},7,{}]"#, tools), "a,b,,");
        assert_eq!(check(r#","functions":[{"name":"old"}],"tools":null"#, tools), "old");
    }

    #[test]
    fn what_is_not_a_string_is_absent() {
        assert_eq!(check(r#","user":"me""#, |details| details.user().into_owned()), "me");
        assert_eq!(check(r#","user":7"#, |details| details.user().into_owned()), "");
        let metadata = |details: &dyn Details| format!("{:?}", details.metadata());
        assert_eq!(check(r#","metadata":{"a\u0062":"x","n":1}"#, metadata), r#"[("ab", "x")]"#);
        assert_eq!(check(r#","metadata":[1]"#, metadata), "[]");
        assert_eq!(check("", |details| details.messages().to_string()), "2");
    }
}
