//! Tradewind's data plane: HTTP in, decide, call the upstream, relay, account. The engine behind both doors.
//!
//! Read `chat.rs` first: the journey of one call. The engine (`engine.rs`) owns the parts and serves every path; the native
//! listener (`server.rs`) and the ASGI shim both hand it whole requests and relay its answers.

pub mod settings;
pub mod engine;
pub mod server;
pub mod health;
pub mod tls;
pub mod answer;
mod chat;
mod pages;
pub mod keys;
pub mod secrets;
pub mod plan_source;
pub mod sync;
mod routing;
mod live;
mod sessions;
mod templates;
mod splice;
mod upstream;
mod attempt;
mod sse;
mod usage;
mod relay;
mod account;
mod second_tier;
pub mod ledger;
mod metrics;
pub mod executor;
mod onnxruntime;
pub mod simulator;
pub mod load;

pub use self::{
    answer::AnswerBody,
    engine::{Engine, PlanStatus},
    executor::Executor,
    health::{Health, serve_health},
    keys::{Keys, Peer},
    server::{Server, serve, serve_tls, shutdown},
    settings::Settings,
    sync::client::SyncClient,
};
