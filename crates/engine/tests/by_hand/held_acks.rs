//! Acknowledgements of a stream that wait for more segments to cover, and those that do not.

use std::time::Duration;

use bypath::by_hand::{StackOptions, TcpSocket};
use bypath_wire::tcp::{TcpFlags, TcpHeader};

use crate::attacks::forged;
use crate::buffers::tcp_of;
use crate::net::*;

const US: u64 = 1_000;
const FULL: usize = 1_460;

/// A connection to a stack that has patience, at whose other end the test writes segments.
struct Streamed {
    net: Net,
    server: TcpSocket,
    next: TcpHeader,
    began: u32,
}

impl Streamed {
    /// The beginning, whose segments are acknowledged at once, is over.
    fn new(patience: Duration) -> Self {
        let mut both = [options(A), StackOptions { ack_patience: patience, ..options(B) }];
        for side in &mut both {
            side.tcp.timestamps = false;
            side.tcp.quick_acks = 0;
        }
        let mut net = Net::new(both, CLEAN, 1);
        net.log = Some(Vec::new());
        let (_, server, _) = net.connected(Family::V4);
        net.run(SECOND);
        // The peer's own stack knows nothing of what the test writes in its name.
        net.wire.loss = 1_000;
        let log = net.log.as_ref().unwrap();
        let (mut next, ..) = tcp_of(&log.iter().rev().find(|(side, _)| *side == A).unwrap().1);
        next.flags = TcpFlags::ACK;
        let mut all = Self { net, server, next, began: next.seq.0 };
        // What a full segment is, is learnt from the first.
        assert_eq!(all.arrives(TcpFlags::ACK), []);
        assert_eq!(all.passes(SECOND), [1]);
        all
    }

    /// How many segments are acknowledged by each answer since the last look.
    fn answers(&mut self) -> Vec<u32> {
        let log = self.net.log.replace(Vec::new()).unwrap();
        let acks = log.iter().filter(|(side, _)| *side == B).map(|(_, packet)| tcp_of(packet).0.ack.0);
        acks.map(|ack| ack.wrapping_sub(self.began) / FULL as u32).collect()
    }

    /// The next full segment comes.
    fn arrives(&mut self, flags: TcpFlags) -> Vec<u32> {
        self.net.log = Some(Vec::new());
        self.net.inject(B, &forged(Family::V4, A, &TcpHeader { flags, ..self.next }, &[7; FULL]));
        self.next.seq += FULL as u32;
        self.net.poll();
        let _ = self.net.stacks[B].recv(self.server, &mut [0; 2 * FULL]);
        self.answers()
    }

    fn passes(&mut self, ns: u64) -> Vec<u32> {
        self.net.run(ns);
        self.answers()
    }
}

const PATIENCE: Duration = Duration::from_micros(20);

#[test]
fn without_patience_every_second_segment_is_acknowledged() {
    let mut s = Streamed::new(Duration::ZERO);
    for n in 1..20 {
        let answers = s.arrives(TcpFlags::ACK);
        assert_eq!(answers, if n % 2 == 0 { vec![n + 1] } else { vec![] });
    }
}

#[test]
fn segments_in_quick_succession_are_acknowledged_together() {
    let mut s = Streamed::new(PATIENCE);
    let mut answers = Vec::new();
    for _ in 0..60 {
        answers.extend(s.arrives(TcpFlags::ACK));
        answers.extend(s.passes(3 * US));
    }
    // The second segment waits, and with it what comes in the next 20 µs.
    let steps: Vec<u32> = answers.windows(2).map(|two| two[1] - two[0]).collect();
    assert!(answers.len() > 5 && steps.iter().all(|step| (7..=9).contains(step)), "{answers:?}");
}

#[test]
fn sixteen_segments_are_acknowledged_however_quickly_they_come() {
    let mut s = Streamed::new(PATIENCE);
    let mut answers = Vec::new();
    for _ in 0..64 {
        answers.extend(s.arrives(TcpFlags::ACK));
    }
    assert_eq!(answers, [17, 33, 49, 65]);
}

#[test]
fn when_nothing_more_comes_the_wait_is_short() {
    let mut s = Streamed::new(PATIENCE);
    assert_eq!(s.arrives(TcpFlags::ACK), []);
    assert_eq!(s.arrives(TcpFlags::ACK), []);
    assert_eq!(s.passes(4 * US), []);
    assert_eq!(s.passes(2 * US), [3]);
    assert_eq!(s.passes(SECOND), []);
}

#[test]
fn the_end_of_a_write_is_acknowledged_at_once() {
    let mut s = Streamed::new(PATIENCE);
    assert_eq!(s.arrives(TcpFlags::ACK), []);
    assert_eq!(s.arrives(TcpFlags::ACK), []);
    assert_eq!(s.arrives(TcpFlags::ACK | TcpFlags::PSH), [4]);
}

#[test]
fn a_hole_is_told_at_once() {
    let mut s = Streamed::new(PATIENCE);
    assert_eq!(s.arrives(TcpFlags::ACK), []);
    assert_eq!(s.arrives(TcpFlags::ACK), []);
    s.next.seq += FULL as u32;
    assert_eq!(s.arrives(TcpFlags::ACK), [3], "what was held is told with it");
    assert_eq!(s.passes(SECOND), []);
}

#[test]
fn what_is_sent_meanwhile_carries_the_acknowledgement() {
    let mut s = Streamed::new(PATIENCE);
    assert_eq!(s.arrives(TcpFlags::ACK), []);
    assert_eq!(s.arrives(TcpFlags::ACK), []);
    s.net.stacks[B].send(s.server, b"answer").unwrap();
    s.net.poll();
    assert_eq!(s.answers(), [3]);
    assert_eq!(s.passes(100 * US), []);
}
