//! Process facts: read once, then frozen. Routing is not here: that is a plan, swapped whole.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use tradewind_core::record::CaptureKind;

use crate::executor::Executor;

/// Settings of a data plane. Every field has a default, so a door names only what differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Address of the native listener, `host:port`. Default `127.0.0.1:4000`: other hosts only with keys.
    pub listen: String,
    /// Worker threads of the native listener, each with its own runtime and connections. Default: as many as cores may be used.
    pub workers: usize,
    /// Largest request body in bytes. Default 10 MiB: longer than any context window, short enough to hold.
    pub max_body_bytes: usize,
    /// Largest request head in bytes: request line and headers, without blanks that mean nothing. Larger ones are answered 431
    /// `head_too_large`. Default 64 KiB.
    pub max_header_bytes: usize,
    /// Milliseconds in which a request head must be complete; also how long an idle client connection is kept. Default 30,000.
    pub header_read_timeout_ms: u64,
    /// Milliseconds in which a request body must be complete. Default 30,000.
    pub body_read_timeout_ms: u64,
    /// Client connections open at once; more wait to be accepted. Default 16,384.
    pub max_connections: usize,
    /// Calls in flight at once; more are answered 429 `overloaded`. Default 4,096.
    pub max_calls_in_flight: usize,
    /// Seconds that calls in flight may take to finish after a shutdown began. Default 30: what Kubernetes grants.
    pub drain_s: u64,
    /// Milliseconds in which an upstream must accept a connection, TLS included. Default 2,000.
    pub connect_timeout_ms: u64,
    /// Idle connections kept per upstream and worker. Default 256.
    pub max_idle_connections: usize,
    /// Milliseconds after which an idle upstream connection is not used again. Default 60,000.
    pub idle_connection_ms: u64,
    /// Largest unary answer of an upstream in bytes. Default 32 MiB.
    pub max_answer_bytes: usize,
    /// Milliseconds that a model rests after its first failure, when the upstream names no time. Doubles with each. Default 1,000.
    pub rest_ms: u64,
    /// Longest rest in milliseconds that doubling comes to; what an upstream asks for is kept up to an hour. Default 30,000.
    pub max_rest_ms: u64,
    /// Sessions remembered at once (`x-tradewind-session`). Default 100,000.
    pub max_sessions: usize,
    /// Seconds after which an unused session is forgotten. Default 3,600.
    pub session_ttl_s: u64,
    /// Folder of the outcome log. Default none: outcomes are counted in the metrics and not kept.
    pub ledger_dir: Option<PathBuf>,
    /// Bytes after which the outcome log goes on in another file. Default 64 MiB.
    pub ledger_rotate_bytes: u64,
    /// How much of a call an outcome keeps. Default `features`: what replay needs, no word of the prompt.
    pub capture: CaptureKind,
    /// Predictor files (ONNX). The plan names them by digest.
    pub predictors: Vec<PathBuf>,
    /// Plan source to load and to watch. Default none: the door that owns the engine swaps plans in.
    pub plan: Option<PathBuf>,
    /// Callers' keys (`keys.json`). Default none: one tenant, `default`, on loopback only.
    pub keys: Option<PathBuf>,
    /// Folder of upstream credentials, `<secret>/<key>`. Default none.
    pub secrets_dir: Option<PathBuf>,
    /// What runs the predictors. Default `native`.
    pub executor: Executor,
    /// The shared library of ONNX Runtime, for executor `onnxruntime`.
    pub onnxruntime_library: Option<PathBuf>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:4000".to_owned(),
            workers: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            max_body_bytes: 10 << 20,
            max_header_bytes: 64 << 10,
            header_read_timeout_ms: 30_000,
            body_read_timeout_ms: 30_000,
            max_connections: 16_384,
            max_calls_in_flight: 4_096,
            drain_s: 30,
            connect_timeout_ms: 2_000,
            max_idle_connections: 256,
            idle_connection_ms: 60_000,
            max_answer_bytes: 32 << 20,
            rest_ms: 1_000,
            max_rest_ms: 30_000,
            max_sessions: 100_000,
            session_ttl_s: 3_600,
            ledger_dir: None,
            ledger_rotate_bytes: 64 << 20,
            capture: CaptureKind::Features,
            predictors: Vec::new(),
            plan: None,
            keys: None,
            secrets_dir: None,
            executor: Executor::Native,
            onnxruntime_library: None,
        }
    }
}
