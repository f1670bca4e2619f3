//! The benchmarks of RFC 2544, section 26: throughput, latency, frame loss rate and back-to-back frames of whatever is
//! between two interfaces.
//!
//! [`search`] decides which rates and bursts are tried and knows nothing of frames; [`run`] tries them.

pub mod run;
pub mod search;

pub use run::{Benchmark, Settings, Tests};
