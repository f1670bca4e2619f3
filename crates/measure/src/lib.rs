//! Measurements on the engine: load patterns, raw frames, histograms, verdicts, and the results that are made of them.

pub mod blast;
pub mod capture;
pub mod conditions;
pub mod export;
pub mod histogram;
pub mod latency;
pub mod load;
pub mod profile;
pub mod repeat;
pub mod report;
pub mod result;
pub mod rfc2544;
pub mod schedule;
pub mod stats;
pub mod text;
pub mod verdict;
