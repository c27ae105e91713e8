//! Calls through the engine over loopback, against upstreams that play what a test tells them. Whole processes are in `faults`.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod upstream;
mod gateway;
mod answers;
mod failover;
mod guard;
mod streams;
mod pages;
mod outcomes;
mod second_tier;
mod native;
mod controller;
mod sync;
