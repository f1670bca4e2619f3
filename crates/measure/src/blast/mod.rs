//! Raw frames over AF_XDP: sent at a rate or as fast as the wire takes them, counted, timed and sent back at the
//! other end. No TCP and no sockets: what a wire, a NIC or a box in between does to frames.
//!
//! What is sent is described by [`headers`] and [`sizes`] or taken from a [`capture`], made into [`template`]s, and put into
//! the device by [`maker`]. Every frame carries a [`signature`]; [`inspect`] reads it at the other end and [`sequence`]
//! tells what became of the others.

pub mod bench;
pub mod capture;
pub mod clock;
pub mod error;
pub mod headers;
pub mod inspect;
pub mod judge;
pub mod maker;
pub mod neighbour;
pub mod netns;
pub mod outcome;
pub mod pacer;
pub mod port;
pub mod range;
pub mod receive;
pub mod sequence;
pub mod signature;
pub mod sizes;
pub mod template;
pub mod transmit;

pub use error::BlastError;

#[cfg(test)]
mod tests;
