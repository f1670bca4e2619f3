//! TCP/IP header compression for slow links, by Van Jacobson (RFC 1144), both ways.
//!
//! A [`Compressor`] remembers the headers of the last packet of some connections, each in a *slot*, and sends of the
//! next one only what changed. An [`Expander`] does the same from the other side and puts the headers back. Frames
//! come in three [`Kind`]s, which the link tells apart (PPP by its protocol field): a packet as it is, a packet whose
//! protocol byte holds the slot's number, and the short form:
//!
//! ```text
//! mask  -C I P S A W U   which of these follow; S, A, W and U together mean one of two special cases
//! C     slot             left out where it is that of the frame before
//!       TCP checksum     two bytes, as it was: it guards the headers as much as the data
//! U W A S I              urgent pointer, window, acknowledgement, sequence number, IP identification: by how much
//!                        they grew, in one byte, or a zero byte and two bytes; without I the identification grew by 1
//! ```
//!
//! `S A W U` says that sequence number grew by the length of the data of the packet before, `S W U` that the
//! acknowledgement did as well (RFC 1144 §3.2.2).
//!
//! Nothing here knows of links: `ppp::Link` feeds frames of a capture to one expander for each direction.

mod compress;
mod expand;
mod headers;
#[cfg(test)]
mod tests;

pub use compress::Compressor;
pub(crate) use expand::Ends;
pub use expand::{Expander, Tossed};

/// Bits of the first byte of a compressed frame.
mod mask {
    /// A slot number follows.
    pub(super) const SLOT: u8 = 0x40;
    /// The IP identification grew by something else than one.
    pub(super) const ID: u8 = 0x20;
    /// TCP's PSH flag itself.
    pub(super) const PUSH: u8 = 0x10;
    /// The sequence number grew.
    pub(super) const SEQ: u8 = 0x08;
    /// The acknowledgement grew.
    pub(super) const ACK: u8 = 0x04;
    /// The window changed.
    pub(super) const WINDOW: u8 = 0x02;
    /// URG is set, and the urgent pointer follows.
    pub(super) const URGENT: u8 = 0x01;

    /// All that the special cases are made of.
    pub(super) const SPECIALS: u8 = SEQ | ACK | WINDOW | URGENT;
    /// Echoed terminal traffic: sequence number and acknowledgement grew by the length of the last data.
    pub(super) const ECHOED: u8 = SEQ | WINDOW | URGENT;
    /// Data one way: the sequence number grew by the length of the last data.
    pub(super) const STREAM: u8 = SEQ | ACK | WINDOW | URGENT;
}

/// What a frame is, which the link tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// An IP packet as it is: `TYPE_IP`, PPP protocol 0021.
    Ip,
    /// A TCP/IP packet that has the slot number in the place of the IP protocol: `UNCOMPRESSED_TCP`, PPP protocol 002f.
    UncompressedTcp,
    /// Mask, changes and data: `COMPRESSED_TCP`, PPP protocol 002d.
    CompressedTcp,
}
