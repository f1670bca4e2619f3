//! Measurements on the engine: load patterns, raw frames, histograms, verdicts, and the results that are made of them.

<<<<<<< HEAD
pub mod histogram;
=======
pub mod blast;
>>>>>>> 70f3e3b (Raw frames: interfaces, workers and trials)
pub mod result;
pub mod schedule;
pub mod stats;
pub mod text;
pub mod verdict;
