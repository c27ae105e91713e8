//! Tradewind's core.
pub mod features;
