//! Who calls: keys are known by their hashes only, each with a tenant and labels.

use std::{collections::BTreeMap, collections::HashMap, net::IpAddr, sync::Arc};

use http::{HeaderMap, Uri, header};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use tradewind_core::{Call, Code, Dials, Error, Identity};

use crate::sync::protocol::CallerKey;

/// A known caller.
#[derive(Debug, Default)]
pub struct Caller {
    /// Its namespace and the key's labels.
    pub identity: Identity,
    /// The key's name, for people.
    pub name: String,
}

/// A caller, and whose routes it addresses.
#[derive(Clone, Debug)]
pub struct Addressed<'a> {
    /// Who calls.
    pub caller: Arc<Caller>,
    /// The namespace of the path; `None` for the caller's own.
    pub namespace: Option<&'a str>,
    /// As the [`Peer`]'s.
    pub promised: bool,
}

impl Addressed<'_> {
    /// The namespace whose routes are asked.
    #[must_use]
    pub fn namespace(&self) -> &str {
        self.namespace.unwrap_or(&self.caller.identity.tenant)
    }

    /// The call that a body is.
    #[must_use]
    pub fn call<'b>(&'b self, body: &'b [u8]) -> Call<'b> {
        Call { body, identity: &self.caller.identity, namespace: self.namespace(), dials: Dials::default() }
    }
}

/// Where a request came from.
#[derive(Clone, Copy, Debug, Default)]
pub struct Peer {
    /// The address; `None` where there is none, such as on a Unix socket.
    pub address: Option<IpAddr>,
    /// Whether its connection was to stay by what it was last answered: its call is taken though the gateway drains.
    pub promised: bool,
}

/// All keys. Looking one up compares hashes of what was sent, so time tells nothing about a key.
#[derive(Debug, Default)]
pub struct Keys {
    by_hash: Option<HashMap<[u8; 32], Arc<Caller>>>,
    anonymous: Arc<Caller>,
    /// Whether they are still to come from a controller.
    pending: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    keys: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    sha256: String,
    tenant: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    labels: BTreeMap<String, String>,
}

impl Keys {
    /// Keys from `{"keys": [{"sha256", "tenant", "name", "labels"}]}`.
    ///
    /// # Errors
    /// A sentence that names the place; never a key.
    pub fn parse(json: &[u8]) -> Result<Self, String> {
        let file: File = serde_json::from_slice(json).map_err(|error| format!("the keys cannot be read: {error}"))?;
        let mut by_hash = HashMap::with_capacity(file.keys.len());
        for (index, entry) in file.keys.into_iter().enumerate() {
            let hash = unhex(&entry.sha256).ok_or_else(|| format!("keys[{index}].sha256 is not 64 hexadecimal digits"))?;
            if entry.tenant.is_empty() {
                return Err(format!("keys[{index}].tenant is empty"));
            }
            let caller = Caller { identity: Identity { tenant: entry.tenant, labels: entry.labels }, name: entry.name };
            if by_hash.insert(hash, Arc::new(caller)).is_some() {
                return Err(format!("keys[{index}].sha256 stands there twice"));
            }
        }
        Ok(Self { by_hash: Some(by_hash), ..Self::default() })
    }

    /// No keys yet: until a controller gives some, nobody is known.
    #[must_use]
    pub fn pending() -> Self {
        Self { by_hash: Some(HashMap::new()), pending: true, ..Self::default() }
    }

    /// Keys that a controller gave. One that cannot be used is left out.
    #[must_use]
    pub fn delivered(callers: &[CallerKey]) -> Self {
        let entry = |key: &CallerKey| {
            let Some(hash) = unhex(&key.sha256).filter(|_| !key.tenant.is_empty()) else {
                tracing::warn!(tenant = key.tenant, name = key.name, "a caller's key cannot be used: it has no hash, or no tenant");
                return None;
            };
            let identity = Identity { tenant: key.tenant.clone(), labels: key.labels.clone() };
            Some((hash, Arc::new(Caller { identity, name: key.name.clone() })))
        };
        Self { by_hash: Some(callers.iter().filter_map(entry).collect()), ..Self::default() }
    }

    /// No keys: whoever shares the pod's network is the pod's namespace.
    #[must_use]
    pub fn sidecar(namespace: &str) -> Self {
        let identity = Identity { tenant: namespace.to_owned(), ..Identity::default() };
        Self { anonymous: Arc::new(Caller { identity, ..Caller::default() }), ..Self::default() }
    }

    /// Whether callers need a key. Without keys there is one tenant, `default`, on loopback.
    #[must_use]
    pub fn required(&self) -> bool {
        self.by_hash.is_some()
    }

    /// Whether it can be told who calls.
    ///
    /// # Errors
    /// `identity_unavailable` as long as keys have not come from a controller.
    pub fn known(&self) -> Result<(), Error> {
        if self.pending {
            return Err(Error::new(Code::IdentityUnavailable, "", "callers' keys have not come from the controller yet").after(1000));
        }
        Ok(())
    }

    /// The caller of a request.
    ///
    /// # Errors
    /// `unauthorized` without a known key; `forbidden` from another host, or its web page, where there are no keys;
    /// `identity_unavailable` where nobody can be known yet.
    pub fn caller(&self, headers: &HeaderMap, peer: Peer) -> Result<Arc<Caller>, Error> {
        let Some(by_hash) = &self.by_hash else {
            if peer.address.is_some_and(|address| !address.to_canonical().is_loopback()) {
                return Err(Error::new(
                    Code::Forbidden,
                    "",
                    "this gateway has no keys, so it serves loopback only; give it keys to serve other hosts",
                ));
            }
            if from_a_foreign_page(headers) {
                return Err(Error::new(
                    Code::Forbidden,
                    "origin",
                    "this gateway has no keys, so web pages of other hosts may not use it; give it keys to serve them",
                ));
            }
            return Ok(Arc::clone(&self.anonymous));
        };
        // Nor is it known whether keys will be needed: a sidecar's callers have none.
        self.known()?;
        let key = presented(headers).ok_or_else(|| {
            Error::new(Code::Unauthorized, "", "no key; expected `Authorization: Bearer <key>`, `api-key` or `x-api-key`")
        })?;
        let hash: [u8; 32] = Sha256::digest(key).into();
        by_hash.get(&hash).cloned().ok_or_else(|| Error::new(Code::Unauthorized, "", "this key is not known"))
    }
}

/// Browsers let any page post to this machine, and say which page it was.
fn from_a_foreign_page(headers: &HeaderMap) -> bool {
    let Some(origin) = headers.get(header::ORIGIN) else { return false };
    let uri: Option<Uri> = origin.to_str().ok().and_then(|origin| origin.parse().ok());
    let host = uri.as_ref().and_then(Uri::host).unwrap_or_default();
    let address: Option<IpAddr> = host.trim_matches(['[', ']']).parse().ok();
    host != "localhost" && !address.is_some_and(|address| address.is_loopback())
}

pub(crate) fn presented(headers: &HeaderMap) -> Option<&[u8]> {
    let bearer = headers.get(header::AUTHORIZATION).and_then(|value| {
        let (scheme, key) = value.as_bytes().split_at_checked(7)?;
        scheme.eq_ignore_ascii_case(b"bearer ").then(|| key.trim_ascii())
    });
    bearer.or_else(|| ["api-key", "x-api-key"].iter().find_map(|&name| headers.get(name)).map(|value| value.as_bytes().trim_ascii()))
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    let text = text.strip_prefix("sha256:").unwrap_or(text).as_bytes();
    let mut hash = [0; 32];
    if text.len() != 64 {
        return None;
    }
    for (byte, pair) in hash.iter_mut().zip(text.chunks_exact(2)) {
        let digit = |c: u8| char::from(c).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH_OF_ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    fn check(name: &'static str, value: &str) -> Result<String, Code> {
        let keys =
            Keys::parse(format!(r#"{{"keys":[{{"sha256":"{HASH_OF_ABC}","tenant":"team-a","labels":{{"team":"a"}}}}]}}"#).as_bytes())
                .unwrap();
        let mut headers = HeaderMap::new();
        headers.insert(name, value.parse().unwrap());
        keys.caller(&headers, Peer::default()).map(|caller| caller.identity.tenant.clone()).map_err(|error| error.code)
    }

    #[test]
    fn a_key_is_taken_from_three_headers_and_names_its_tenant() {
        for (name, value) in [("authorization", "Bearer abc"), ("authorization", "bearer  abc"), ("api-key", "abc"), ("x-api-key", "abc")] {
            assert_eq!(check(name, value), Ok("team-a".to_owned()), "{name}: {value}");
        }
        for (name, value) in [("authorization", "Bearer abd"), ("authorization", "Basic abc"), ("authorization", ""), ("cookie", "abc")] {
            assert_eq!(check(name, value), Err(Code::Unauthorized), "{name}: {value}");
        }
    }

    #[test]
    fn until_keys_come_nobody_is_told_that_his_is_wrong() {
        let mut headers = HeaderMap::new();
        assert_eq!(Keys::pending().caller(&headers, Peer::default()).unwrap_err().code, Code::IdentityUnavailable);
        headers.insert("api-key", "abc".parse().unwrap());
        assert_eq!(Keys::pending().caller(&headers, Peer::default()).unwrap_err().code, Code::IdentityUnavailable);
    }

    #[test]
    fn without_keys_only_loopback_is_served() {
        let from = |address: &str| {
            Keys::default()
                .caller(&HeaderMap::new(), Peer { address: Some(address.parse().unwrap()), ..Peer::default() })
                .map_err(|error| error.code)
        };
        assert_eq!(from("127.0.0.1").unwrap().identity.tenant, "default");
        assert!(from("::1").is_ok() && from("::ffff:127.0.0.1").is_ok());
        assert_eq!(from("10.0.0.1").unwrap_err(), Code::Forbidden);
    }

    #[test]
    fn without_keys_pages_of_other_hosts_are_not_served() {
        let from = |origin: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ORIGIN, origin.parse().unwrap());
            Keys::default()
                .caller(&headers, Peer { address: Some("127.0.0.1".parse().unwrap()), ..Peer::default() })
                .map_err(|error| error.code)
        };
        for origin in ["http://localhost:4001", "http://127.0.0.1:4001", "http://[::1]:4001"] {
            assert!(from(origin).is_ok(), "{origin}");
        }
        for origin in ["https://example.com", "http://localhost.example.com", "http://10.0.0.1", "null", "file://", ""] {
            assert_eq!(from(origin).unwrap_err(), Code::Forbidden, "{origin}");
        }
    }

    #[test]
    fn bad_keys_are_refused_by_place() {
        for (json, part) in [
            ("{", "cannot be read"),
            (r#"{"keys":[{"sha256":"12","tenant":"a"}]}"#, "keys[0].sha256"),
            (r#"{"keys":[{"sha256":"12","tenant":"a","key":"x"}]}"#, "unknown field"),
        ] {
            assert!(Keys::parse(json.as_bytes()).unwrap_err().contains(part));
        }
    }
}
