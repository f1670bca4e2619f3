//! Packets on their way from the worker that received them to the worker that owns their flow.
//!
//! One ring per ordered pair of workers, built on the byte ring: a packet is a short record header and its
//! bytes, committed together, so the owner sees whole packets only. All memory is there from the start. A
//! full ring refuses the packet, and the sender counts the drop: a worker that cannot keep up must not
//! block the one that feeds it.

use crate::ring::{ByteConsumer, ByteProducer, byte_ring};

/// Record header: length of the packet (u32), then how many hand-offs it has behind it (u8), padded.
const HEADER_LEN: usize = 8;

/// Makes a hand-off ring with room for `packets` of `max_len` bytes each; more of them if they are shorter.
pub(crate) fn handoff(packets: usize, max_len: usize) -> (HandoffSender, HandoffReceiver) {
    let room = packets.max(1).saturating_mul(max_len + HEADER_LEN);
    let (producer, consumer) = byte_ring(room);
    (HandoffSender { ring: producer, max_len }, HandoffReceiver { ring: consumer, whole: vec![0; max_len] })
}

/// A packet was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum HandoffError {
    /// The receiving worker lags behind.
    #[error("the worker that owns the flow has no room for more packets")]
    Full,
    /// Longer than the ring was made for.
    #[error("the packet is longer than any that this interface may receive")]
    TooLong,
}

/// The end of the worker that received the packet.
#[derive(Debug)]
pub(crate) struct HandoffSender {
    ring: ByteProducer,
    max_len: usize,
}

impl HandoffSender {
    /// Passes on the packet that `chunks` make up one after the other.
    ///
    /// `hops` counts hand-offs, so that a disagreement about the owner cannot send a packet round for ever.
    pub(crate) fn push(&mut self, chunks: &[&[u8]], hops: u8) -> Result<(), HandoffError> {
        let len: usize = chunks.iter().map(|chunk| chunk.len()).sum();
        if len > self.max_len {
            return Err(HandoffError::TooLong);
        }
        let mut header = [0u8; HEADER_LEN];
        header[..4].copy_from_slice(&(len as u32).to_ne_bytes());
        header[4] = hops;
        // The record is stored from its far end, so that a ring too full for it is noticed at once.
        let mut at = HEADER_LEN + len;
        for chunk in chunks.iter().rev() {
            at -= chunk.len();
            if self.ring.write_at(at, chunk) < chunk.len() {
                return Err(HandoffError::Full);
            }
        }
        if self.ring.write_at(0, &header) < HEADER_LEN {
            return Err(HandoffError::Full);
        }
        self.ring.commit(HEADER_LEN + len);
        Ok(())
    }
}

/// The end of the worker that owns the flow.
#[derive(Debug)]
pub(crate) struct HandoffReceiver {
    ring: ByteConsumer,
    /// Where a packet is put together that wraps around the end of the ring.
    whole: Vec<u8>,
}

impl HandoffReceiver {
    /// Whether a packet waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.ring.is_empty()
    }

    /// Hands the oldest packet, with its hand-off count, to `take`; returns what that returns.
    pub(crate) fn pop<R>(&mut self, take: impl FnOnce(&[u8], u8) -> R) -> Option<R> {
        let start = self.ring.head();
        let (a, b) = self.ring.peek_at(start, HEADER_LEN);
        if a.len() + b.len() < HEADER_LEN {
            return None;
        }
        let mut header = [0u8; HEADER_LEN];
        header[..a.len()].copy_from_slice(a);
        header[a.len()..].copy_from_slice(b);
        let [l0, l1, l2, l3, hops, ..] = header;
        let len = u32::from_ne_bytes([l0, l1, l2, l3]) as usize;
        let (a, b) = self.ring.peek_at(start + HEADER_LEN as u64, len);
        let result = if b.is_empty() {
            take(a, hops)
        } else {
            self.whole[..a.len()].copy_from_slice(a);
            self.whole[a.len()..len].copy_from_slice(b);
            take(&self.whole[..len], hops)
        };
        self.ring.consume(HEADER_LEN + len);
        Some(result)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn packets_arrive_whole_and_in_order() {
        let (mut tx, mut rx) = handoff(4, 100);
        assert!(rx.is_empty());
        tx.push(&[b"head", b"", b"body"], 0).unwrap();
        tx.push(&[], 3).unwrap();
        assert_eq!(rx.pop(|bytes, hops| (bytes.to_vec(), hops)), Some((b"headbody".to_vec(), 0)));
        assert_eq!(rx.pop(|bytes, hops| (bytes.len(), hops)), Some((0, 3)));
        assert_eq!(rx.pop(|_, _| ()), None);
    }

    #[test]
    fn a_full_ring_and_an_oversized_packet_are_refused_without_a_trace() {
        let (mut tx, mut rx) = handoff(2, 56);
        tx.push(&[&[1; 56]], 0).unwrap();
        tx.push(&[&[2; 56]], 0).unwrap();
        assert_eq!(tx.push(&[b"x"], 0), Err(HandoffError::Full));
        assert_eq!(tx.push(&[&[0; 57]], 0), Err(HandoffError::TooLong));
        assert_eq!(rx.pop(|bytes, _| bytes == [1; 56]), Some(true));
        tx.push(&[&[3; 56]], 0).unwrap();
        assert_eq!(rx.pop(|bytes, _| bytes == [2; 56]), Some(true));
        assert_eq!(rx.pop(|bytes, _| bytes == [3; 56]), Some(true));
    }

    #[test]
    fn the_promised_number_of_full_packets_fits() {
        for (packets, max_len) in [(1, 1), (3, 1514), (64, 9014), (512, 1514)] {
            let (mut tx, _rx) = handoff(packets, max_len);
            let packet = vec![7; max_len];
            for n in 0..packets {
                assert_eq!(tx.push(&[&packet], 0), Ok(()), "packet {n} of {packets}");
            }
        }
    }

    #[test]
    fn two_workers_exchange_packets() {
        let (mut tx, mut rx) = handoff(8, 200);
        let sender = std::thread::spawn(move || {
            let mut n = 0u32;
            while n < 100_000 {
                let body = vec![n as u8; (n % 190) as usize];
                match tx.push(&[&n.to_ne_bytes(), &body], n as u8) {
                    Ok(()) => n += 1,
                    Err(_) => std::thread::yield_now(),
                }
            }
        });
        let mut n = 0u32;
        while n < 100_000 {
            let popped = rx.pop(|bytes, hops| {
                assert_eq!(bytes[..4], n.to_ne_bytes());
                assert_eq!((bytes.len() - 4, hops), ((n % 190) as usize, n as u8));
                assert!(bytes[4..].iter().all(|&b| b == n as u8));
            });
            match popped {
                Some(()) => n += 1,
                None => std::thread::yield_now(),
            }
        }
        assert!(sender.join().is_ok());
    }

    proptest! {
        #[test]
        fn behaves_like_a_queue_of_packets(ops in prop::collection::vec(
            prop::option::of((prop::collection::vec(prop::collection::vec(any::<u8>(), 0..30), 0..4), any::<u8>())),
            1..200,
        )) {
            let (mut tx, mut rx) = handoff(3, 64);
            let mut model: VecDeque<(Vec<u8>, u8)> = VecDeque::new();
            for op in ops {
                match op {
                    Some((chunks, hops)) => {
                        let slices: Vec<&[u8]> = chunks.iter().map(Vec::as_slice).collect();
                        let whole = chunks.concat();
                        match tx.push(&slices, hops) {
                            Ok(()) => model.push_back((whole, hops)),
                            Err(HandoffError::TooLong) => prop_assert!(whole.len() > 64),
                            Err(HandoffError::Full) => prop_assert!(model.len() >= 3),
                        }
                    }
                    None => {
                        prop_assert_eq!(rx.pop(|b, hops| (b.to_vec(), hops)), model.pop_front());
                    }
                }
                prop_assert_eq!(rx.is_empty(), model.is_empty());
            }
        }
    }
}
