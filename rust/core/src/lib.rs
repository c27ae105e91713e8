//! Tradewind's core: a call and a plan become a decision. Pure: no I/O, no clock, no environment.
//!
//! Read `decide.rs` first; it names the stages, one type each:
//! call → request → features → prediction → forecasts → admitted → objective → ranking → decision.

pub mod call;
pub mod parse;
pub mod features;
pub mod predict;
pub mod plan;
pub mod policy;
pub mod objective;
pub mod strategy;
pub mod decision;
pub mod decide;
pub mod resume;
pub mod record;
pub mod live;
pub mod money;
pub mod digest;
pub mod error;

pub use self::{
    call::{Call, Dials, Identity},
    decide::{Hints, decide},
    decision::Decision,
    error::{Code, Error},
    live::{LiveView, Now},
    plan::Plan,
    resume::{Attempt, Step, resume},
};

#[cfg(test)]
mod fixture;
#[cfg(test)]
mod second_tier_tests;
#[cfg(test)]
mod tests;
