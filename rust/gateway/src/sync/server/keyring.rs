//! Keys, cut for each namespace when they are set, so that a poll finds its part ready.

use std::{collections::BTreeMap, fmt};

use bytes::Bytes;
use serde::Deserialize;

use super::super::protocol::{CallerKey, Keys, Role};

/// A part of an answer, shared by all who get it.
#[derive(Clone)]
pub struct Blob {
    /// To be named in `have`.
    pub digest: String,
    /// Its JSON.
    pub json: Bytes,
}

impl fmt::Debug for Blob {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} ({} bytes)", self.digest, self.json.len())
    }
}

/// All keys. They are in no `Debug`, no error and no log.
pub struct KeyRing {
    gateways: Blob,
    by_namespace: BTreeMap<String, Blob>,
    none: Blob,
}

/// What the controller sets.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Given {
    #[serde(default)]
    revision: u64,
    callers: Vec<CallerKey>,
    credentials: BTreeMap<String, String>,
}

impl KeyRing {
    /// Reads `{"callers": […], "credentials": {"namespace/secret/key": value}, "revision"?: n}`.
    ///
    /// # Errors
    /// A sentence that names the place; never a key.
    pub fn parse(json: &[u8]) -> Result<Self, String> {
        // The reader's own message may quote what it found, and that may be a key.
        let given: Given = serde_json::from_slice(json)
            .map_err(|error| format!("the keys cannot be read at line {}, column {}", error.line(), error.column()))?;
        let mut parts: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
        for (name, value) in &given.credentials {
            let mut pieces = name.splitn(3, '/');
            let (Some(namespace), Some(_), Some(_)) = (pieces.next(), pieces.next(), pieces.next()) else {
                return Err(format!("credentials: `{name}` is not `namespace/secret/key`"));
            };
            parts.entry(namespace.to_owned()).or_default().insert(name.clone(), value.clone());
        }
        let revision = given.revision;
        let part = |credentials| blob(Keys { revision, credentials, ..Keys::default() });
        Ok(Self {
            by_namespace: parts
                .into_iter()
                .map(|(namespace, credentials)| Ok((namespace, part(credentials)?)))
                .collect::<Result<_, String>>()?,
            none: part(BTreeMap::new())?,
            gateways: blob(Keys { revision, callers: given.callers, credentials: given.credentials, ..Keys::default() })?,
        })
    }

    /// The part of a data plane.
    pub fn part(&self, role: Role, namespace: &str) -> &Blob {
        match role {
            Role::Gateway => &self.gateways,
            Role::Sidecar => self.by_namespace.get(namespace).unwrap_or(&self.none),
        }
    }
}

fn blob(keys: Keys) -> Result<Blob, String> {
    let keys = keys.sealed();
    let json = serde_json::to_vec(&keys).map_err(|_| "the keys cannot be written".to_owned())?;
    Ok(Blob { digest: keys.digest, json: json.into() })
}
