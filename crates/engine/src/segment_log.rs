//! What a connection of a service has sent, segment by segment, until the peer has acknowledged it: from the
//! moment that a frame is handed to the device to the moment that the first acknowledgement that covers it is
//! taken from it. Kept only where [`crate::EngineBuilder::observe_segments`] asks for it; it grows with the window
//! and allocates nothing for a segment after that.

use std::collections::VecDeque;

use bypath_tcp::Instant;

/// A data segment that the peer has acknowledged, selectively or with all before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AckedSegment {
    /// When its first transmission was handed to the device.
    pub first_sent: Instant,
    /// When the first acknowledgement that covers it was taken from the device.
    pub acked: Instant,
    /// Payload.
    pub bytes: u32,
    /// How often it was sent. Of more than one nobody knows which was acknowledged.
    pub transmissions: u8,
}

/// Not handed to the device yet.
const UNSTAMPED: Instant = Instant::NEVER;

#[derive(Clone, Copy, Debug)]
struct Sent {
    /// Where it begins in the stream.
    offset: u64,
    first_sent: Instant,
    bytes: u32,
    transmissions: u8,
    /// Acknowledged selectively, and told of.
    told: bool,
}

impl Sent {
    fn end(&self) -> u64 {
        self.offset + u64::from(self.bytes)
    }

    fn acked(&self, acked: Instant) -> AckedSegment {
        let &Self { first_sent, bytes, transmissions, .. } = self;
        // A peer that answers what was not handed over yet is not believed to be faster than light.
        AckedSegment { first_sent: first_sent.min(acked), acked, bytes, transmissions }
    }
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct SegmentLog {
    sent: VecDeque<Sent>,
    /// So many of the last have no time yet.
    unstamped: usize,
}

impl SegmentLog {
    /// Nothing is outstanding.
    pub(crate) fn is_empty(&self) -> bool {
        self.sent.is_empty()
    }

    /// A segment is on its way to the device. `true`: the first since [`SegmentLog::stamp`].
    pub(crate) fn send(&mut self, offset: u64, bytes: u32) -> bool {
        self.sent.push_back(Sent { offset, first_sent: UNSTAMPED, bytes, transmissions: 1, told: false });
        self.unstamped += 1;
        self.unstamped == 1
    }

    /// A part of the stream is sent once more: all segments that it touches.
    pub(crate) fn send_again(&mut self, offset: u64, bytes: u32) {
        let end = offset + u64::from(bytes);
        let from = self.sent.partition_point(|sent| sent.end() <= offset);
        for sent in self.sent.iter_mut().skip(from).take_while(|sent| sent.offset < end) {
            sent.transmissions = sent.transmissions.saturating_add(1);
        }
    }

    /// All that was sent since the last time goes to the device now.
    pub(crate) fn stamp(&mut self, now: Instant) {
        for sent in self.sent.iter_mut().rev().take(self.unstamped) {
            sent.first_sent = now;
        }
        self.unstamped = 0;
    }

    /// The peer has everything before `offset`.
    pub(crate) fn acknowledge(&mut self, offset: u64, now: Instant, samples: &mut Vec<AckedSegment>) {
        while let Some(first) = self.sent.front().filter(|first| first.end() <= offset) {
            if !first.told {
                samples.push(first.acked(now));
            }
            self.sent.pop_front();
        }
        self.unstamped = self.unstamped.min(self.sent.len());
    }

    /// The peer has what lies between these two, and not all before.
    pub(crate) fn acknowledge_range(
        &mut self,
        range: std::ops::Range<u64>,
        now: Instant,
        samples: &mut Vec<AckedSegment>,
    ) {
        let from = self.sent.partition_point(|sent| sent.offset < range.start);
        for sent in self.sent.iter_mut().skip(from).take_while(|sent| sent.end() <= range.end) {
            if !sent.told {
                sent.told = true;
                samples.push(sent.acked(now));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(micros: u64) -> Instant {
        Instant::from_nanos(micros * 1_000)
    }

    fn sent(log: &mut SegmentLog, segments: u64, micros: u64) {
        let begin = log.sent.back().map_or(0, Sent::end);
        for n in 0..segments {
            log.send(begin + n * 100, 100);
        }
        log.stamp(at(micros));
    }

    #[test]
    fn each_segment_is_told_of_once_with_the_time_of_its_first_sending() {
        let mut log = SegmentLog::default();
        sent(&mut log, 2, 10);
        sent(&mut log, 1, 20);
        log.send_again(150, 10);
        let mut samples = Vec::new();
        log.acknowledge(250, at(50), &mut samples);
        log.acknowledge(300, at(60), &mut samples);
        log.acknowledge(300, at(70), &mut samples);
        let sample = |first, acked, transmissions| AckedSegment {
            first_sent: at(first),
            acked: at(acked),
            bytes: 100,
            transmissions,
        };
        assert_eq!(samples, [sample(10, 50, 1), sample(10, 50, 2), sample(20, 60, 1)]);
    }

    #[test]
    fn what_is_acknowledged_selectively_does_not_wait_for_what_is_lost_before_it() {
        let mut log = SegmentLog::default();
        sent(&mut log, 4, 10);
        let mut samples = Vec::new();
        // A block that begins inside a segment covers only those after it.
        log.acknowledge_range(150..300, at(30), &mut samples);
        log.acknowledge_range(150..300, at(31), &mut samples);
        assert_eq!(samples.len(), 1);
        assert_eq!(samples[0].acked, at(30));
        samples.clear();
        log.acknowledge(400, at(40), &mut samples);
        assert_eq!(samples.len(), 3, "the one that was told of is not told of again");
        assert!(log.sent.is_empty());
    }

    #[test]
    fn only_what_was_sent_since_the_last_time_is_stamped() {
        let mut log = SegmentLog::default();
        assert!(log.send(0, 10));
        assert!(!log.send(10, 10));
        log.stamp(at(1));
        assert!(log.send(20, 10));
        log.stamp(at(2));
        let mut samples = Vec::new();
        log.acknowledge(30, at(3), &mut samples);
        let times: Vec<_> = samples.iter().map(|sample| sample.first_sent).collect();
        assert_eq!(times, [at(1), at(1), at(2)]);
    }
}
