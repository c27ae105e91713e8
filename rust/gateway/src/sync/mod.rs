//! The channel between controllers and data planes: plans, keys and trust go out, acknowledgements come back.
//!
//! A data plane asks (`protocol`) every replica of the controller (`server`) what differs from what it has, and waits for the answer.

pub mod protocol;
pub mod certificates;
pub mod server;
pub mod client;
