//! Captures: written, read, decoded, and told as the story of a connection.
//!
//! A [`Record`] is one packet as a capture holds it. [`read`] gets them out of files, [`layers`] takes them apart, and a
//! [`style`] prints them. Everything here is made of records and bytes, and knows nothing of devices and engines.

pub mod layers;
pub mod read;
mod record;
pub mod style;
pub mod write;

pub use record::{Direction, LinkType, Record, Timestamp};
