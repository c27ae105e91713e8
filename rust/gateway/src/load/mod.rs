//! Load and timings for `tradewind bench`: library functions that return figures; who starts which process is the caller's business.
//!
//! - `bodies`: distinct request bodies of a wanted size, seeded, of our own words.
//! - `decide`: body bytes → decision, timed one by one.
//! - `http`: keep-alive connections that send bodies to a door or an upstream, unary or streamed.
//! - `percentile`: figures from samples.
//! - `process`: CPU time and resident memory of a process; pinning this thread to a core.

pub mod bodies;
pub mod decide;
pub mod http;
mod percentile;
pub mod process;

pub use self::percentile::Samples;
