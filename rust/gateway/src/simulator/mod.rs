//! An OpenAI-compatible upstream that answers without a model: several models with prices, unary and streamed answers with
//! usage, delays, and faults on demand. For trying policies, for the demo, for tests and for benches.
//!
//! - `settings`: from flags to what a simulator does, checked once.
//! - `server`: accepts, routes paths, drains.
//! - `chat`: one chat call, from its body to an answer or a fault.
//! - `request`, `table`, `answer`, `instance`: what is asked; what the user wants answered; what is answered.
//! - `stream`: an answer as server-sent events, paced.
//! - `fault`: what goes wrong, how often. `wire` can reset a connection.
//! - `books`: what was served: totals, and a log that survives a kill.

mod settings;
mod server;
mod chat;
mod request;
mod table;
mod answer;
mod instance;
mod stream;
mod fault;
mod wire;
mod books;
#[cfg(test)]
mod tests;

pub use self::{
    books::{Served, Totals},
    fault::{Fault, FaultKind},
    server::{Simulator, run, run_until_signal},
    settings::{Error, Flags, Model, Settings},
    table::{Row, Table, ToolCall},
};
