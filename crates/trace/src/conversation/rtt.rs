//! Round-trip times as the place of capture sees them: from a segment to the acknowledgment that covers it. At the
//! sender that is the round-trip time; at the receiver only what its acknowledgment took.

/// Samples of one end's data, nanoseconds.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct RoundTrips {
    pub(super) samples: u64,
    pub(super) min: i64,
    pub(super) max: i64,
    sum: f64,
    srtt: i64,
    var: i64,
    /// From SYN to the acknowledgment that ends the handshake: both halves, wherever it was captured.
    pub(super) handshake: Option<i64>,
}

/// RFC 6298 §2.1.
const INITIAL_RTO: i64 = 1_000_000_000;
/// Shortest time before a timeout in use today, beyond the smoothed round-trip time.
const MIN_RTO: i64 = 200_000_000;

impl RoundTrips {
    pub(super) fn add(&mut self, sample: i64) {
        if sample < 0 {
            return;
        }
        if self.samples == 0 {
            (self.min, self.max, self.srtt, self.var) = (sample, sample, sample, sample / 2);
        } else {
            self.min = self.min.min(sample);
            self.max = self.max.max(sample);
            // RFC 6298 §2.3.
            self.var += ((self.srtt - sample).abs() - self.var) / 4;
            self.srtt += (sample - self.srtt) / 8;
        }
        self.samples += 1;
        self.sum += sample as f64;
    }

    pub(super) fn smoothed(&self) -> Option<i64> {
        (self.samples > 0).then_some(self.srtt)
    }

    pub(super) fn average(&self) -> Option<i64> {
        (self.samples > 0).then(|| (self.sum / self.samples as f64) as i64)
    }

    /// The shortest whole round trip that is known of.
    pub(super) fn shortest(&self) -> Option<i64> {
        match (self.samples > 0, self.handshake) {
            (true, Some(handshake)) => Some(self.min.max(handshake)),
            (true, None) => Some(self.min),
            (false, handshake) => handshake,
        }
    }

    /// When the sender's retransmission timer runs out, about (RFC 6298 §2.3, with the least that is usual).
    pub(super) fn rto(&self) -> i64 {
        match self.smoothed().into_iter().chain(self.handshake).max() {
            Some(srtt) => srtt.saturating_add(self.var.saturating_mul(4).max(MIN_RTO)),
            None => INITIAL_RTO,
        }
    }
}
