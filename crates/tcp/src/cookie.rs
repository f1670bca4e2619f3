//! SYN cookies (RFC 4987 section 3.6): under pressure a SYN is answered and nothing of it is kept. The initial
//! sequence number holds the peer's MSS and a keyed hash; the low bits of the timestamp, which the peer gives
//! back, hold its other options. The acknowledgement then says all that a request would have kept.
//!
//! ```text
//! sequence number = irs + F(ends) + (minute << 24) + ((G(ends, irs, minute) + (MSS index << 21)) mod 2^24)
//! timestamp       = clock with its six low bits: ecn, sack, window scale (4; 15: none)
//! ```

use core::hash::{Hash, Hasher};
use core::net::SocketAddr;

use bypath_wire::seq::SeqNum;
use bypath_wire::tcp::{TcpFlags, TcpOptions, Timestamps};
use siphasher::sip::SipHasher24;

use crate::config::Config;
use crate::ecn::is_classic_agreed;
use crate::open::offer;
use crate::request::{Kept, Request, clock, first_window};
use crate::reset::bare;
use crate::segment::{Segment, TxSegment};
use crate::time::Instant;

/// The sizes that a cookie can tell apart, of IPv4 and IPv6 over the usual links; the next smaller one is used.
/// Few, because each makes a cookie easier to guess.
const SIZES: [u16; 8] = [48, 536, 1220, 1300, 1400, 1440, 1460, 8940];
/// Nanoseconds of the counter's tick.
const MINUTE_NS: u64 = 60_000_000_000;
/// A cookie of this minute or the one before is good: it lives for one to two minutes.
const MINUTES: u32 = 2;

const LOW_24: u32 = 0x00ff_ffff;
/// The index has the uppermost of these 24 bits.
const INDEX_SHIFT: u32 = 21;
const SCALE_MASK: u32 = 0xf;
const SACK_BIT: u32 = 1 << 4;
const ECN_BIT: u32 = 1 << 5;
const KEPT_MASK: u32 = 0x3f;

/// Makes and checks cookies. One per stack, keyed with secret random numbers; stacks that may see each other's
/// answers have the same key.
#[derive(Clone, Debug)]
pub struct SynCookies {
    key: (u64, u64),
}

impl SynCookies {
    /// With a secret key.
    pub const fn new(key: (u64, u64)) -> Self {
        Self { key }
    }

    fn hash(&self, local: SocketAddr, remote: SocketAddr, more: Option<(SeqNum, u64)>) -> u32 {
        let mut hasher = SipHasher24::new_with_keys(self.key.0, self.key.1);
        (local, remote, more.map(|(irs, minute)| (irs.0, minute))).hash(&mut hasher);
        hasher.finish() as u32
    }

    /// The answer to `syn`, of which nothing need be kept.
    pub fn syn_ack(
        &self,
        config: &Config,
        now: Instant,
        (local, remote): (SocketAddr, SocketAddr),
        ts_offset: u32,
        syn: &Segment<'_>,
    ) -> TxSegment {
        let irs = syn.header.seq;
        let minute = now.as_nanos() / MINUTE_NS;
        let mss = syn.options.mss.unwrap_or(536);
        let index = SIZES.iter().rposition(|size| *size <= mss).unwrap_or(0) as u32;
        let base = irs.0.wrapping_add(self.hash(local, remote, None)).wrapping_add((minute as u32) << 24);
        let low = self.hash(local, remote, Some((irs, minute))).wrapping_add(index << INDEX_SHIFT) & LOW_24;
        let mut segment = bare(SeqNum(base.wrapping_add(low)), irs + 1, TcpFlags::SYN | TcpFlags::ACK);
        segment.window = first_window(config);
        segment.options = self.options(config, now, ts_offset, syn);
        if segment.options.timestamps.is_some() && is_classic_agreed(config, syn.header.flags) {
            segment.flags |= TcpFlags::ECE;
        }
        segment
    }

    /// Without timestamps there is nowhere to keep what would be agreed on: then only the MSS is.
    fn options(&self, config: &Config, now: Instant, ts_offset: u32, syn: &Segment<'_>) -> TcpOptions {
        let mut options = offer(config, Some(syn.options), clock(now, ts_offset));
        let Some(ts) = &mut options.timestamps else {
            return TcpOptions { mss: options.mss, ..TcpOptions::default() };
        };
        let scale = syn.options.window_scale.filter(|_| options.window_scale.is_some());
        let kept = Kept {
            scale: scale.map(|s| s.min(14)),
            sack: options.sack_permitted,
            ecn: is_classic_agreed(config, syn.header.flags),
        };
        *ts = Timestamps { value: kept.write(ts.value), echo: ts.echo };
        options
    }

    /// The request that `ack` (ACK set, neither SYN nor RST) completes, if it acknowledges a cookie.
    pub fn recall(
        &self,
        config: &Config,
        now: Instant,
        (local, remote): (SocketAddr, SocketAddr),
        ack: &Segment<'_>,
    ) -> Option<Request> {
        let (irs, cookie) = (ack.header.seq - 1, ack.header.ack - 1);
        let base = irs.0.wrapping_add(self.hash(local, remote, None));
        let minute_now = now.as_nanos() / MINUTE_NS;
        for age in 0..u64::from(MINUTES) {
            let Some(minute) = minute_now.checked_sub(age) else { break };
            let low = cookie.0.wrapping_sub(base).wrapping_sub((minute as u32) << 24);
            if low > LOW_24 {
                continue;
            }
            let index = low.wrapping_sub(self.hash(local, remote, Some((irs, minute)))) & LOW_24;
            // A number beside a cookie is no cookie: the eight that are lie far from each other.
            let exact = index.trailing_zeros() >= INDEX_SHIFT;
            if let Some(mss) = SIZES.get((index >> INDEX_SHIFT) as usize).filter(|_| exact) {
                let kept = ack.options.timestamps.filter(|_| config.timestamps).map(|ts| Kept::read(ts.echo));
                return Some(Request::recalled(ack, *mss, kept.unwrap_or_default()));
            }
        }
        None
    }
}

impl Kept {
    /// Puts it into the low bits of a timestamp, which is never later than `clock`.
    fn write(self, clock: u32) -> u32 {
        let mut bits = self.scale.map_or(SCALE_MASK, u32::from);
        bits |= if self.sack { SACK_BIT } else { 0 };
        bits |= if self.ecn { ECN_BIT } else { 0 };
        let value = clock & !KEPT_MASK | bits;
        if value > clock { value.wrapping_sub(KEPT_MASK + 1) } else { value }
    }

    fn read(stamp: u32) -> Self {
        let scale = (stamp & SCALE_MASK) as u8;
        Self { scale: (scale < 15).then_some(scale), sack: stamp & SACK_BIT != 0, ecn: stamp & ECN_BIT != 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_timestamp_keeps_comes_back_and_the_clock_does_not_run_ahead() {
        for clock in [0u32, 63, 64, 1_000_003, u32::MAX] {
            for bits in 0..64 {
                let kept = Kept::read(bits);
                let value = kept.write(clock);
                assert_eq!(Kept::read(value), kept);
                assert!((clock.wrapping_sub(value) as i32) >= 0 && clock.wrapping_sub(value) < 128);
            }
        }
    }
}
