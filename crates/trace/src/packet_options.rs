//! The options of a packet in a pcapng file, by their numbers in draft-ietf-opsawg-pcapng.

/// Ends the options.
pub(crate) const END: u16 = 0;
/// A remark, UTF-8.
pub(crate) const COMMENT: u16 = 1;
/// 32 bits, of which the lowest two say which way the packet went.
pub(crate) const FLAGS: u16 = 2;
/// 64 bits: packets missing since the one before.
pub(crate) const DROP_COUNT: u16 = 4;
/// 32 bits: the queue.
pub(crate) const QUEUE: u16 = 6;
/// What has decided about the packet, a byte, and what it decided.
pub(crate) const VERDICT: u16 = 7;

/// Among types of verdicts, that of an XDP program in eBPF; 64 bits follow.
pub(crate) const VERDICT_OF_XDP: u8 = 2;
