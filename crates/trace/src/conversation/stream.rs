//! The bytes of one direction, put in order: each once, gaps told where the capture lacks something. What arrives early
//! is kept, but not more than there is room for.

use crate::layers::TcpFlags;
use std::collections::BTreeMap;

use super::segment::Segment;
use super::spans::Offset;

/// A piece of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// The next bytes.
    Bytes(&'a [u8]),
    /// So many are not in the capture.
    Gap(u64),
}

/// One direction of a connection.
#[derive(Clone, Debug)]
pub struct Stream {
    next: Offset,
    held: BTreeMap<Offset, (Vec<u8>, u32)>,
    held_bytes: usize,
    room: usize,
}

impl Stream {
    /// A stream of which nothing has come, and that keeps so many bytes until those before them come.
    #[must_use]
    pub fn new(room: usize) -> Self {
        Self { next: 1, held: BTreeMap::new(), held_bytes: 0, room }
    }

    /// Takes the data of a segment that begins at `seq`, as its [`Observation`](super::Observation) says.
    pub fn take(&mut self, seq: Offset, segment: &Segment<'_>, piece: &mut dyn FnMut(Piece<'_>)) {
        if segment.len == 0 {
            return;
        }
        let at = seq + i64::from(segment.has(TcpFlags::SYN));
        let bytes = segment.payload.get(..segment.len as usize).unwrap_or(segment.payload);
        if at > self.next {
            if self.held_bytes + bytes.len() > self.room {
                self.skip_to(at, piece);
            } else {
                let kept = self.held.entry(at).or_default();
                if bytes.len() > kept.0.len() {
                    self.held_bytes += bytes.len() - kept.0.len();
                    *kept = (bytes.to_vec(), segment.len);
                }
                return;
            }
        }
        self.give(at, bytes, segment.len, piece);
        self.drain(piece);
    }

    /// The peer has acknowledged everything before `to`: what has not come by now is not in the capture.
    pub fn acknowledged(&mut self, to: Offset, piece: &mut dyn FnMut(Piece<'_>)) {
        if to > self.next {
            self.skip_to(to, piece);
            self.drain(piece);
        }
    }

    /// There is nothing more to come: gives what is left, with its gaps.
    pub fn finish(&mut self, piece: &mut dyn FnMut(Piece<'_>)) {
        while let Some(&at) = self.held.keys().next() {
            self.skip_to(at, piece);
            self.drain(piece);
        }
    }

    /// The position of the next byte.
    #[must_use]
    pub fn next(&self) -> Offset {
        self.next
    }

    fn give(&mut self, at: Offset, bytes: &[u8], len: u32, piece: &mut dyn FnMut(Piece<'_>)) {
        let end = at + i64::from(len);
        let known = at + bytes.len() as i64;
        if known > self.next {
            piece(Piece::Bytes(&bytes[(self.next - at).max(0) as usize..]));
            self.next = known;
        }
        if end > self.next {
            // Cut off by the capture.
            piece(Piece::Gap((end - self.next) as u64));
            self.next = end;
        }
    }

    fn drain(&mut self, piece: &mut dyn FnMut(Piece<'_>)) {
        while let Some(entry) = self.held.first_entry() {
            if *entry.key() > self.next {
                break;
            }
            let (at, (bytes, len)) = entry.remove_entry();
            self.held_bytes -= bytes.len();
            self.give(at, &bytes, len, piece);
        }
    }

    /// Gives up on what is missing before `to`, and gives what is held before it.
    fn skip_to(&mut self, to: Offset, piece: &mut dyn FnMut(Piece<'_>)) {
        while self.next < to {
            let until = self.held.keys().next().map_or(to, |&at| at.min(to));
            if until > self.next {
                piece(Piece::Gap((until - self.next) as u64));
                self.next = until;
            }
            self.drain(piece);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddr};

    use bypath_wire::seq::SeqNum;

    use super::*;
    use crate::Timestamp;
    use crate::conversation::Options;

    const ROOM: usize = 1 << 20;

    fn segment(payload: &[u8], len: u32) -> Segment<'_> {
        let end = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
        Segment {
            number: 1,
            time: Timestamp(0),
            interface: None,
            from: end,
            to: end,
            seq: SeqNum(0),
            ack: SeqNum(0),
            flags: TcpFlags::ACK,
            window: 0,
            options: Options::default(),
            len,
            payload,
            congestion: false,
            damaged: false,
            wire_len: 0,
            id: None,
        }
    }

    fn told(steps: &[(Offset, &[u8], u32)]) -> String {
        let mut stream = Stream::new(ROOM);
        let mut text = String::new();
        let mut tell = |piece: Piece<'_>| match piece {
            Piece::Bytes(bytes) => text.push_str(std::str::from_utf8(bytes).unwrap()),
            Piece::Gap(len) => text.push_str(&format!("[{len}]")),
        };
        for (at, bytes, len) in steps {
            stream.take(*at, &segment(bytes, *len), &mut tell);
        }
        stream.finish(&mut tell);
        text
    }

    #[test]
    fn bytes_come_in_order_and_once() {
        assert_eq!(told(&[(4, b"def", 3), (1, b"abc", 3), (1, b"abc", 3), (6, b"fgh", 3)]), "abcdefgh");
    }

    #[test]
    fn what_the_capture_has_cut_or_lost_is_a_gap() {
        assert_eq!(told(&[(1, b"ab", 5), (6, b"x", 1)]), "ab[3]x");
        assert_eq!(told(&[(1, b"a", 1), (5, b"e", 1), (9, b"i", 1)]), "a[3]e[3]i");
    }

    #[test]
    fn acknowledged_bytes_are_not_waited_for() {
        let mut stream = Stream::new(ROOM);
        let mut gaps = Vec::new();
        stream.take(11, &segment(b"later", 5), &mut |_| ());
        stream.acknowledged(16, &mut |piece| {
            gaps.push(match piece {
                Piece::Gap(len) => len as i64,
                Piece::Bytes(bytes) => -(bytes.len() as i64),
            });
        });
        assert_eq!(gaps, [10, -5]);
        assert_eq!(stream.next(), 16);
    }

    #[test]
    fn not_more_is_held_than_there_is_room_for() {
        let mut stream = Stream::new(ROOM);
        let block = vec![0; 60_000];
        for n in 0..100 {
            stream.take(2 + n * 100_000, &segment(&block, 60_000), &mut |_| ());
            assert!(stream.held_bytes <= ROOM);
        }
    }
}
