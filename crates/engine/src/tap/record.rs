//! A packet in the ring between a worker and the reader of its tap: a header of fixed length, then bytes.

/// Bytes of [`Header`] in the ring.
pub(super) const HEADER_LEN: usize = 32;
/// Where the verdict lies in it, which is written once more when it is known.
pub(super) const VERDICT_AT: usize = 19;

/// What a record stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Received,
    /// Its time follows with the next [`Kind::HandedOver`].
    Sent,
    /// The end of a round: at this time everything sent in it was handed over.
    HandedOver,
}

/// See the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) time: u64,
    pub(super) captured: u32,
    pub(super) original: u32,
    pub(super) queue: u16,
    pub(super) kind: Kind,
    /// Cause and note as they are counted: 0 stands for none.
    pub(super) verdict: [u8; 2],
    /// Packets missing before this one.
    pub(super) missed: u32,
}

impl Header {
    pub(super) fn to_bytes(self) -> [u8; HEADER_LEN] {
        let mut bytes = [0; HEADER_LEN];
        bytes[..8].copy_from_slice(&self.time.to_ne_bytes());
        bytes[8..12].copy_from_slice(&self.captured.to_ne_bytes());
        bytes[12..16].copy_from_slice(&self.original.to_ne_bytes());
        bytes[16..18].copy_from_slice(&self.queue.to_ne_bytes());
        bytes[18] = self.kind as u8;
        bytes[VERDICT_AT..VERDICT_AT + 2].copy_from_slice(&self.verdict);
        bytes[24..28].copy_from_slice(&self.missed.to_ne_bytes());
        bytes
    }

    pub(super) fn from_bytes(bytes: &[u8; HEADER_LEN]) -> Self {
        let four = |at: usize| [bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]];
        let mut time = [0; 8];
        time.copy_from_slice(&bytes[..8]);
        Self {
            time: u64::from_ne_bytes(time),
            captured: u32::from_ne_bytes(four(8)),
            original: u32::from_ne_bytes(four(12)),
            queue: u16::from_ne_bytes([bytes[16], bytes[17]]),
            kind: match bytes[18] {
                0 => Kind::Received,
                1 => Kind::Sent,
                _ => Kind::HandedOver,
            },
            verdict: [bytes[VERDICT_AT], bytes[VERDICT_AT + 1]],
            missed: u32::from_ne_bytes(four(24)),
        }
    }
}

/// Room that a record of so many packet bytes takes, so that headers lie at multiples of eight.
pub(super) fn record_len(captured: usize) -> usize {
    HEADER_LEN + captured.next_multiple_of(8)
}
