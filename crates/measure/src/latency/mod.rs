//! There and back: a message goes to an echo server, and the next one goes when the answer is there, or when it is due.
//!
//! [`Rounds`] keeps the schedule and the figures and knows neither sockets nor engine. [`engine`] runs it on a worker of
//! the engine, [`socket`] on blocking or spinning sockets. Raw frames are timed by [`crate::blast`].

pub mod engine;
pub mod rounds;
mod slices;
pub mod socket;

pub use rounds::{PingPlan, PingReport, Rounds};
pub use slices::{PingRecorder, Tell};
