//! Upstream calls over kept connections. Each worker has its own pool; a connection is driven by the call that uses it.
//!
//! - `endpoint`: where a model is served, prepared once per plan.
//! - `hosts`: where a host is.
//! - `guard`: addresses that are not called.
//! - `connection`: one HTTP/1.1 connection, plain or TLS.
//! - `pool`: idle connections of this worker, and the safe second try when an idle one turns out to be stale.

mod connection;
mod endpoint;
pub mod guard;
pub mod hosts;
mod pool;

pub use self::{
    connection::{Answered, Body},
    endpoint::{Endpoint, is_loopback},
    pool::{Failure, Pool, call},
};
