//! Process facts: read once, then frozen. Routing is not here: that is a plan, swapped whole.

pub mod variables;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use tradewind_core::record::CaptureKind;

use crate::executor::Executor;
pub use crate::upstream::{guard::Network, hosts::Host};

/// Settings of a data plane. Every field has a default, so a door names only what differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Address of the native listener, `host:port`. Default `127.0.0.1:4000`: other hosts only with keys.
    pub listen: String,
    /// Port of the TLS door, on the host of `listen`; 0 takes a free one. Its certificate comes from controllers, and is held in memory
    /// only. Default none: no such door.
    pub tls_port: Option<u16>,
    /// Address of `/healthz`, `/readyz`, `/startupz`, `/metrics` and `/plan` alone, `host:port`: plain HTTP, no keys. Default none.
    pub health_listen: String,
    /// Seconds after which `/startupz` is 200 though no plan is loaded. Default 30: whoever waits for it starts without us then.
    pub startup_wait_s: u64,
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
    /// Seconds from SIGTERM in which calls are still taken, each answered with `connection: close`, while `/readyz` is 503; then the
    /// drain begins. A connection of the native door whose last answer began before stays for as long after its end. Default 0: nobody
    /// sends any more. In a pod, 2: what was told that the pod leaves, hears it late.
    pub linger_s: u64,
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
    /// Milliseconds that a call waits for a second tier, before it goes on with what the first has said. Default 100.
    pub second_tier_timeout_ms: u64,
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
    /// URLs of controllers, `https://host:port`; each replica that a host name resolves to is polled. They give plans, keys and trust.
    /// Plain `http` to loopback only. Default none.
    pub controllers: Vec<String>,
    /// File of the token that controllers know this pod by; read for each poll. Default none.
    pub controller_token: Option<PathBuf>,
    /// PEM bundle of certificates to trust controllers by, until they give another. Default: those of the system.
    pub controller_trust: Option<PathBuf>,
    /// The bundle itself, PEM, in place of the file. Default none.
    pub controller_trust_pem: String,
    /// Folder for the last plan that has served well, so that a restart needs no controller. Default none.
    pub plan_cache: Option<PathBuf>,
    /// Seconds that a plan serves before it is kept in `plan_cache`. Default 10.
    pub plan_cache_after_s: u64,
    /// Plan source to begin with while there is no other, `plan.json` or `plan.json.gz`, or the folder of such a file; it may be missing.
    pub bootstrap_plan: Option<PathBuf>,
    /// Folder for keys and credentials, so that a restart needs no controller. Only in memory (tmpfs). Default none.
    pub keys_cache: Option<PathBuf>,
    /// Networks that may be called though they are this machine's, a controller's, the API server's or nobody's. A gateway without
    /// controllers calls everything. Default none: whoever may write a pool would reach, through the gateway, what only it can.
    pub allow_upstreams: Vec<Network>,
    /// Host of the Kubernetes API server, which a gateway with controllers does not call. Default none.
    pub api_server: String,
    /// Addresses of upstream hosts, `host=address`, that are not asked of DNS; a host may have several. Default none.
    pub hosts: Vec<Host>,
    /// A fault to play, for conformance tests of controllers. Default `none`.
    pub sync_fault: SyncFault,
    /// What runs the predictors. Default `native`.
    pub executor: Executor,
    /// The shared library of ONNX Runtime, for executor `onnxruntime` and for graphs of a user's own.
    pub onnxruntime_library: Option<PathBuf>,
}

/// What a data plane does wrong on purpose, so that a controller's tests see how it deals with that. Never in production.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
#[value(rename_all = "snake_case")]
pub enum SyncFault {
    /// Nothing.
    #[default]
    None,
    /// It acknowledges plans that it does not serve.
    AckUnswapped,
    /// It serves plans that it does not acknowledge.
    NeverAck,
}

impl Settings {
    /// The same with as many workers as cores may be used, where it says none.
    #[must_use]
    pub fn with_workers(mut self) -> Self {
        if self.workers == 0 {
            self.workers = Self::default().workers;
        }
        self
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:4000".to_owned(),
            tls_port: None,
            health_listen: String::new(),
            startup_wait_s: 30,
            workers: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            max_body_bytes: 10 << 20,
            max_header_bytes: 64 << 10,
            header_read_timeout_ms: 30_000,
            body_read_timeout_ms: 30_000,
            max_connections: 16_384,
            max_calls_in_flight: 4_096,
            drain_s: 30,
            linger_s: 0,
            connect_timeout_ms: 2_000,
            max_idle_connections: 256,
            idle_connection_ms: 60_000,
            max_answer_bytes: 32 << 20,
            rest_ms: 1_000,
            max_rest_ms: 30_000,
            max_sessions: 100_000,
            session_ttl_s: 3_600,
            second_tier_timeout_ms: 100,
            ledger_dir: None,
            ledger_rotate_bytes: 64 << 20,
            capture: CaptureKind::Features,
            predictors: Vec::new(),
            plan: None,
            keys: None,
            secrets_dir: None,
            controllers: Vec::new(),
            controller_token: None,
            controller_trust: None,
            controller_trust_pem: String::new(),
            plan_cache: None,
            plan_cache_after_s: 10,
            bootstrap_plan: None,
            keys_cache: None,
            allow_upstreams: Vec::new(),
            api_server: String::new(),
            hosts: Vec::new(),
            sync_fault: SyncFault::None,
            executor: Executor::Native,
            onnxruntime_library: None,
        }
    }
}
