//! How a link loses packets: by chance, in bursts, or exactly those that a test names.

use std::time::Duration;

use crate::link::nanos;
use crate::rng::Rng;

/// A model of loss.
#[derive(Clone, Debug, PartialEq)]
pub enum Loss {
    /// Nothing is lost.
    None,
    /// Each packet with this probability.
    Random(f64),
    /// Gilbert and Elliott's two states: good ones pass, bad ones are lost with `loss`. A burst ends as well
    /// when nothing has come for [`BURST_IDLE`], or it would last for ever on a link that few packets use.
    Bursts {
        /// Probability, at each packet, that a burst begins.
        begin: f64,
        /// Probability, at each packet, that it ends.
        end: f64,
        /// Probability of loss within it.
        loss: f64,
    },
    /// The packets of these numbers among those that are longer than an acknowledgement, in ascending order,
    /// counted from 0.
    Exactly(Vec<u64>),
}

/// Ends a burst in which no packets come.
pub const BURST_IDLE: Duration = Duration::from_millis(100);

/// The model, as it stands.
#[derive(Clone, Debug)]
pub(crate) struct LossState {
    model: Loss,
    burst: bool,
    last: u64,
    seen: u64,
    next: usize,
}

/// Longest packet that counts as an acknowledgement, link header included.
const ACKNOWLEDGEMENT: usize = 14 + 40 + 60;

impl LossState {
    pub(crate) fn new(model: Loss) -> Self {
        Self { model, burst: false, last: 0, seen: 0, next: 0 }
    }

    pub(crate) fn loses(&mut self, now: u64, len: usize, rng: &mut Rng) -> bool {
        match &self.model {
            Loss::None => false,
            Loss::Random(p) => rng.chance(*p),
            Loss::Bursts { begin, end, loss } => {
                self.burst &= now - self.last < nanos(BURST_IDLE);
                self.last = now;
                self.burst = if self.burst { !rng.chance(*end) } else { rng.chance(*begin) };
                self.burst && rng.chance(*loss)
            }
            Loss::Exactly(numbers) => {
                if len <= ACKNOWLEDGEMENT {
                    return false;
                }
                let number = self.seen;
                self.seen += 1;
                let hit = numbers.get(self.next) == Some(&number);
                self.next += usize::from(hit);
                hit
            }
        }
    }
}
