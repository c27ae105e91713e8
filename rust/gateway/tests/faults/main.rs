//! What happens when things break, with real processes: upstreams are killed with SIGKILL, plans are edited under load, certificates
//! are not trusted.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod accounts;
mod chaos;
mod client;
mod kill;
mod plan_edit;
mod processes;
mod tls;
