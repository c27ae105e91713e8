//! What only conditions read of a request: each is parsed when one asks for it.

use std::{borrow::Cow, collections::BTreeMap, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{Error as _, MapAccess, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

use super::{Request, Text};
use crate::plan::{Details, Fields, MAX_ENTRIES};

impl Details for Request<'_> {
    fn known(&self) -> Fields {
        Fields::ALL
    }

    fn tools(&self) -> Vec<Cow<'_, str>> {
        let mut names = Vec::new();
        for raw in self.details.tools.iter().flatten() {
            read_up_to_the_bound(raw, Tools(&mut names));
        }
        names
    }

    fn user(&self) -> Cow<'_, str> {
        self.details.user.and_then(string).unwrap_or_default()
    }

    fn metadata(&self) -> Vec<(Cow<'_, str>, Cow<'_, str>)> {
        let mut entries = BTreeMap::new();
        if let Some(raw) = self.details.metadata {
            read_up_to_the_bound(raw, Entries(&mut entries));
        }
        entries.into_iter().collect()
    }

    fn messages(&self) -> u32 {
        self.details.messages
    }
}

/// What is no such value has nothing in it, and what has too much is left where that shows: neither is an error here.
fn read_up_to_the_bound<'a>(raw: &'a RawValue, visitor: impl Visitor<'a>) {
    let _ = serde_json::Deserializer::from_str(raw.get()).deserialize_any(visitor);
}

/// Adds the names of tools.
struct Tools<'t, 'a>(&'t mut Vec<Cow<'a, str>>);

impl<'a> Visitor<'a> for Tools<'_, 'a> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("tools")
    }

    fn visit_seq<S: SeqAccess<'a>>(self, mut tools: S) -> Result<(), S::Error> {
        while let Some(tool) = tools.next_element::<&RawValue>()? {
            self.0.push(serde_json::from_str::<Tool<'_>>(tool.get()).unwrap_or_default().name());
            if self.0.len() > MAX_ENTRIES {
                return Err(S::Error::custom("too many"));
            }
        }
        Ok(())
    }
}

/// Adds the entries of a map that are texts.
struct Entries<'t, 'a>(&'t mut BTreeMap<Cow<'a, str>, Cow<'a, str>>);

impl<'a> Visitor<'a> for Entries<'_, 'a> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("metadata")
    }

    fn visit_map<M: MapAccess<'a>>(self, mut entries: M) -> Result<(), M::Error> {
        while let Some((key, value)) = entries.next_entry::<Text<'a>, &RawValue>()? {
            match string(value) {
                Some(value) => self.0.insert(key.0, value),
                // Of two entries of one key the last one counts.
                None => self.0.remove(&key.0),
            };
            if self.0.len() > MAX_ENTRIES {
                return Err(M::Error::custom("too many"));
            }
        }
        Ok(())
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
