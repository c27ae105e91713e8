//! What goes over the channel, as both ends see it. Fields that are not known are let be: ends of two versions talk.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tradewind_core::digest;

/// Where a data plane asks for what differs.
pub const SYNC: &str = "/v1/sync";
/// Where a gateway asks who a caller's token is.
pub const IDENTIFY: &str = "/v1/identify";
/// Code of the refusal where the token asked about is nobody's; any other refusal is about the one who asks.
pub const UNKNOWN_TOKEN: &str = "unknown_token";
/// Predictor files by digest lie below.
pub const PREDICTORS: &str = "/v1/predictors/";
/// Largest predictor file in bytes.
pub const MAX_PREDICTOR_BYTES: usize = 64 << 20;

/// What a data plane asks: all that it has, so that the answer holds what differs.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Poll {
    /// Newest plan schema that it reads.
    pub schema: u32,
    /// Its version, for people.
    #[serde(default)]
    pub version: String,
    /// Lineage of the plan in service; empty where there is none.
    #[serde(default)]
    pub lineage: String,
    /// Serial of the plan in service.
    #[serde(default)]
    pub serial: u64,
    /// What is in service: this is the acknowledgement.
    #[serde(default)]
    pub have: Have,
    /// The plan that it refused, as long as it is the newest one that it was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reject: Option<Reject>,
}

/// Digests of what is in service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Have {
    /// Id of the plan.
    #[serde(default)]
    pub plan: Option<String>,
    /// Digest of the keys, as the server gave it.
    #[serde(default)]
    pub keys: Option<String>,
    /// Digest of the trust bundle, as the server gave it.
    #[serde(default)]
    pub trust: Option<String>,
    /// Digest of the TLS door's certificate, as the server gave it; empty where there is none yet. Absent where there is no such door:
    /// who does not ask is given none, and an older gateway does not ask.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<String>,
}

/// Why a plan was refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reject {
    /// Id of the plan.
    pub plan: String,
    /// Code of a problem.
    pub code: String,
    /// What is wrong, as a sentence.
    pub message: String,
}

/// What a data plane is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Serves every namespace.
    Gateway,
    /// Serves the pod it runs in.
    Sidecar,
}

/// Who asked, as the controller knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Its namespace.
    pub namespace: String,
    /// Its role.
    pub role: Role,
}

/// What differs. Only the data plane reads it as a whole; the controller writes it in pieces.
#[derive(Deserialize)]
pub struct Update<'a> {
    /// Lineage of the plan that the data plane is to have.
    pub lineage: String,
    /// Its serial.
    pub serial: u64,
    /// Who asked.
    pub identity: Identity,
    /// Id of the plan of that serial; absent where none is to be taken. Without `plan` it is the one that was there already.
    #[serde(default)]
    pub plan_id: Option<String>,
    /// The plan source.
    #[serde(default, borrow)]
    pub plan: Option<&'a RawValue>,
    /// Callers' keys and upstream credentials.
    #[serde(default)]
    pub keys: Option<Keys>,
    /// Certificates to trust.
    #[serde(default)]
    pub trust: Option<Trust>,
    /// The certificate of a gateway's TLS door.
    #[serde(default)]
    pub certificate: Option<Certificate>,
}

/// Callers' keys and upstream credentials.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Keys {
    /// To be named in `have`.
    #[serde(default)]
    pub digest: String,
    /// Orders what several replicas give; the largest one counts.
    #[serde(default)]
    pub revision: u64,
    /// Hashes of callers' keys.
    #[serde(default)]
    pub callers: Vec<CallerKey>,
    /// Values by `namespace/secret/key`.
    #[serde(default)]
    pub credentials: BTreeMap<String, String>,
}

/// A caller's key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallerKey {
    /// Hash of the key, 64 hexadecimal digits.
    pub sha256: String,
    /// The caller's namespace.
    pub tenant: String,
    /// The key's name, for people.
    #[serde(default)]
    pub name: String,
    /// The caller's labels.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
}

impl fmt::Debug for Keys {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} callers, {} credentials", self.callers.len(), self.credentials.len())
    }
}

impl Keys {
    /// The same with its digest, which two replicas with the same keys agree on.
    #[must_use]
    pub fn sealed(mut self) -> Self {
        self.digest = String::new();
        let revision = std::mem::take(&mut self.revision);
        self.digest = digest::sha256(&serde_json::to_vec(&self).unwrap_or_default());
        self.revision = revision;
        self
    }
}

/// Certificates to trust.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trust {
    /// To be named in `have`.
    pub digest: String,
    /// PEM.
    pub bundle: String,
}

/// A certificate and its key, for the TLS door of gateways. It is held in memory only.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certificate {
    /// To be named in `have`.
    pub digest: String,
    /// PEM of the certificate, and of those between it and its root.
    pub chain: String,
    /// PEM of the key.
    pub key: String,
}

impl fmt::Debug for Certificate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.digest)
    }
}

/// `POST /v1/identify`.
#[derive(Serialize, Deserialize)]
pub struct Question {
    /// The token that a caller presented.
    pub token: String,
}

/// Who a token is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Account {
    /// Namespace of the ServiceAccount.
    pub namespace: String,
    /// Its name.
    pub service_account: String,
    /// Seconds for which this is good still, from now on; an older controller does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_s: Option<f64>,
}

/// A refusal.
#[derive(Debug, Serialize, Deserialize)]
pub struct Refused {
    /// What happened.
    pub error: Fault,
}

/// What happened.
#[derive(Debug, Serialize, Deserialize)]
pub struct Fault {
    /// Stable snake_case name.
    pub code: String,
    /// A sentence.
    pub message: String,
}
