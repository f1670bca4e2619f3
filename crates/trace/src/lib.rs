//! Captures: written, read, decoded, and told as the story of a connection.
//!
//! A [`Record`] is one packet as a capture holds it. [`read`] gets them out of files, [`layers`] takes them apart, and a
//! [`style`] prints them; [`ppp`] and [`vj`] read what a serial link carries, [`app`] what applications say. Everything here
//! is made of records and bytes, and knows nothing of devices and engines.

pub mod app;
pub mod conversation;
pub mod diagram;
pub mod filter;
pub mod layers;
mod numbers;
mod packet_options;
pub mod ppp;
mod printable;
pub mod read;
mod record;
pub mod story;
pub mod style;
pub mod vj;
pub mod write;

pub use record::{Direction, LinkType, Record, Timestamp, XdpAction};
