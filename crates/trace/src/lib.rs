//! Captures: written, read, decoded, and told as the story of a connection.
//!
//! A [`Record`] is one packet as a capture holds it. Everything here is made of records and bytes, and knows nothing
//! of devices and engines.

mod record;
pub mod write;

pub use record::{Direction, LinkType, Record, Timestamp};
