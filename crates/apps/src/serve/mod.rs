//! Servers that run on the engine's workers.

pub mod load_protocol;
