//! Packets as the stack sees them: received ones as a head and, where the device split them, further chunks;
//! outgoing ones as room to build in. Where the bytes live is the device's affair.

use arrayvec::ArrayVec;
use bypath_wire::checksum::{Sum, copy_and_sum};

use crate::tap::Note;

/// Most chunks of a packet: what AF_XDP carries in copy mode.
pub(crate) const MAX_CHUNKS: usize = 18;

/// A received packet, from its Ethernet header on. All headers lie in the head.
#[derive(Clone, Debug)]
pub(crate) struct RxPacket<'a> {
    pub(crate) head: &'a [u8],
    pub(crate) rest: ArrayVec<&'a [u8], MAX_CHUNKS>,
    /// Index of the flow that it seems to belong to, see `stack::foresight`.
    pub(crate) flow: u32,
}

/// No flow is known.
pub(crate) const NO_FLOW: u32 = u32::MAX;

impl<'a> RxPacket<'a> {
    /// A packet in one piece.
    pub(crate) fn whole(head: &'a [u8]) -> Self {
        Self { head, rest: ArrayVec::new(), flow: NO_FLOW }
    }

    /// Bytes in all chunks.
    pub(crate) fn len(&self) -> usize {
        self.head.len() + self.rest.iter().map(|c| c.len()).sum::<usize>()
    }

    /// The `len` bytes from `start` on, in pieces; fewer where the packet ends.
    pub(crate) fn range(&self, start: usize, len: usize) -> Slices<'a> {
        let mut out = Slices::new();
        let (mut skip, mut left) = (start, len);
        for chunk in std::iter::once(&self.head).chain(&self.rest) {
            if skip >= chunk.len() {
                skip -= chunk.len();
                continue;
            }
            let piece = &chunk[skip..];
            let piece = &piece[..piece.len().min(left)];
            skip = 0;
            left -= piece.len();
            if !piece.is_empty() && out.try_push(piece).is_err() {
                break;
            }
            if left == 0 {
                break;
            }
        }
        out
    }

    /// Checksum of the `len` bytes from `start` on.
    pub(crate) fn sum(&self, start: usize, len: usize) -> Sum {
        if let (true, Some(bytes)) = (self.rest.is_empty(), self.head.get(start..start + len)) {
            return Sum::of(bytes);
        }
        let mut sum = Sum::default();
        let mut at = 0;
        for piece in self.range(start, len) {
            sum = sum.add_at(Sum::of(piece), at);
            at += piece.len();
        }
        sum
    }
}

/// Pieces of a packet, in order.
pub(crate) type Slices<'a> = ArrayVec<&'a [u8], { MAX_CHUNKS + 1 }>;

/// Room for an outgoing packet.
#[derive(Debug)]
pub(crate) struct TxPacket<'p, 'a> {
    pub(crate) head: &'p mut [u8],
    pub(crate) rest: &'p mut [&'a mut [u8]],
}

impl TxPacket<'_, '_> {
    /// Copies `piece` to `start`, counted from the front of the packet, and sums it on the way.
    #[inline]
    pub(crate) fn fill_one(&mut self, start: usize, piece: &[u8]) -> Sum {
        match self.head.get_mut(start..start + piece.len()) {
            Some(room) => copy_and_sum(piece, room),
            None => self.fill(start, &[piece]),
        }
    }

    /// Copies `pieces` to `start`, counted from the front of the packet, and sums them on the way.
    pub(crate) fn fill(&mut self, start: usize, pieces: &[&[u8]]) -> Sum {
        let mut sum = Sum::default();
        let mut done = 0;
        let mut chunk = 0;
        let mut at = start;
        let mut size = self.head.len();
        while at > size && chunk < self.rest.len() {
            at -= size;
            size = self.rest[chunk].len();
            chunk += 1;
        }
        for mut piece in pieces.iter().copied() {
            while !piece.is_empty() {
                let room: &mut [u8] = if chunk == 0 {
                    self.head.get_mut(at..).unwrap_or_default()
                } else {
                    match self.rest.get_mut(chunk - 1) {
                        Some(r) => r.get_mut(at..).unwrap_or_default(),
                        None => return sum,
                    }
                };
                let n = room.len().min(piece.len());
                if n == 0 {
                    chunk += 1;
                    at = 0;
                    continue;
                }
                sum = sum.add_at(copy_and_sum(&piece[..n], &mut room[..n]), done);
                done += n;
                at += n;
                piece = &piece[n..];
            }
        }
        sum
    }
}

/// Where packets go: the device of a worker, or a list for a stack driven by hand.
pub(crate) trait Egress {
    /// How many packets of `len` bytes can be sent now.
    fn room(&self, len: usize) -> usize;

    /// Sends a packet of `len` bytes that `build` writes, on the device's queue `queue`. `false`: no room,
    /// `build` was not called.
    fn send(&mut self, len: usize, queue: u16, build: impl FnOnce(&mut TxPacket<'_, '_>)) -> bool;

    /// Whether anybody wants to know what packets mean.
    fn is_watched(&self) -> bool {
        false
    }

    /// What the packet means that is sent next, and the number of the cause behind it.
    fn note(&mut self, _note: Note, _cause: u8) {}
}

/// A list of packets.
#[derive(Debug, Default)]
pub(crate) struct PacketList {
    pub(crate) packets: std::collections::VecDeque<Vec<u8>>,
}

impl Egress for PacketList {
    fn room(&self, _len: usize) -> usize {
        usize::MAX
    }

    fn send(&mut self, len: usize, _queue: u16, build: impl FnOnce(&mut TxPacket<'_, '_>)) -> bool {
        let mut bytes = vec![0; len];
        build(&mut TxPacket { head: &mut bytes, rest: &mut [] });
        self.packets.push_back(bytes);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn ranges_and_sums_do_not_depend_on_where_a_packet_is_split(
            bytes in prop::collection::vec(any::<u8>(), 1..400),
            cuts in prop::collection::vec(0usize..400, 0..4),
            start in 0usize..200, len in 0usize..400,
        ) {
            let mut cuts: Vec<usize> = cuts.into_iter().filter(|c| *c < bytes.len()).collect();
            cuts.sort_unstable();
            let head_len = cuts.first().copied().unwrap_or(bytes.len());
            let mut packet = RxPacket::whole(&bytes[..head_len]);
            for (i, c) in cuts.iter().enumerate() {
                packet.rest.push(&bytes[*c..cuts.get(i + 1).copied().unwrap_or(bytes.len())]);
            }
            prop_assert_eq!(packet.len(), bytes.len());
            let start = start.min(bytes.len());
            let len = len.min(bytes.len() - start);
            let flat: Vec<u8> = packet.range(start, len).iter().flat_map(|s| s.to_vec()).collect();
            prop_assert_eq!(&flat[..], &bytes[start..start + len]);
            prop_assert_eq!(packet.sum(start, len).finish(), Sum::of(&bytes[start..start + len]).finish());
        }

        #[test]
        fn filling_across_chunks_copies_and_sums_what_one_chunk_would(
            bytes in prop::collection::vec(any::<u8>(), 0..300), cut in 0usize..300,
            head in 54usize..100, chunk in 1usize..200,
        ) {
            let cut = cut.min(bytes.len());
            let mut first = vec![0u8; head];
            let mut more: Vec<Vec<u8>> = (0..bytes.len().div_ceil(chunk)).map(|_| vec![0u8; chunk]).collect();
            let mut rest: Vec<&mut [u8]> = more.iter_mut().map(Vec::as_mut_slice).collect();
            let sum = TxPacket { head: &mut first, rest: &mut rest }.fill(54, &[&bytes[..cut], &bytes[cut..]]);
            let mut flat = first[54..].to_vec();
            flat.extend(more.concat());
            prop_assert_eq!(&flat[..bytes.len()], &bytes[..]);
            prop_assert_eq!(sum.finish(), Sum::of(&bytes).finish());
        }
    }
}
