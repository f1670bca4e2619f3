//! What is remembered of other hosts when their connections are gone: round trip, threshold, path MTU (RFC 9040
//! calls it temporal sharing) and Fast Open cookies (RFC 7413 section 4.1.3). Bounded: in each set of four places
//! the one that was used longest ago makes room.

use std::hash::{Hash, Hasher};
use std::net::IpAddr;

use bypath_tcp::{FastOpenCookie, FastOpenReport, Instant, PathMetrics};
use siphasher::sip::SipHasher13;

/// Places in a set.
const WAYS: usize = 4;
/// What a router said of the path's MTU is believed this long (RFC 1191 section 6.3, RFC 8201 section 4).
const PATH_MTU_NS: u64 = 600_000_000_000;
/// Other metrics are believed this long (Linux: an hour).
const METRICS_NS: u64 = 3_600_000_000_000;
/// After a SYN with the option went unanswered it is left out this long (RFC 7413 section 4.1.3).
const NO_FAST_OPEN_NS: u64 = 3_600_000_000_000;

#[derive(Clone, Debug)]
struct Destination {
    ip: IpAddr,
    used: u64,
    metrics: Option<(PathMetrics, Instant)>,
    cookie: Option<(FastOpenCookie, u16)>,
    no_fast_open_until: Instant,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Destinations {
    sets: usize,
    key: (u64, u64),
    /// Taken when the first host is remembered.
    places: Vec<Option<Destination>>,
    clock: u64,
}

/// How a Fast Open may be tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum FastOpenTry {
    /// Not now.
    No,
    /// With this cookie, to a peer that takes segments of this size; without one, to ask for it.
    Yes(Option<(FastOpenCookie, u16)>),
}

impl Destinations {
    /// For about `capacity` hosts; none for 0.
    pub(crate) fn new(capacity: usize, key: (u64, u64)) -> Self {
        Self { sets: capacity.div_ceil(WAYS), key, places: Vec::new(), clock: 0 }
    }

    /// Hosts remembered.
    #[cfg(test)]
    fn len(&self) -> usize {
        self.places.iter().flatten().count()
    }

    fn set_of(&self, ip: IpAddr) -> std::ops::Range<usize> {
        let mut hasher = SipHasher13::new_with_keys(self.key.0, self.key.1);
        ip.hash(&mut hasher);
        let set = (hasher.finish() % self.sets.max(1) as u64) as usize;
        set * WAYS..(set + 1) * WAYS
    }

    fn find(&mut self, ip: IpAddr) -> Option<&mut Destination> {
        let set = self.set_of(ip);
        self.clock += 1;
        let clock = self.clock;
        let found = self.places.get_mut(set)?.iter_mut().flatten().find(|d| d.ip == ip)?;
        found.used = clock;
        Some(found)
    }

    fn find_or_make(&mut self, ip: IpAddr) -> Option<&mut Destination> {
        if self.sets == 0 {
            return None;
        }
        if self.places.is_empty() {
            self.places.resize(self.sets * WAYS, None);
        }
        if self.find(ip).is_none() {
            let set = self.set_of(ip);
            let used = self.clock;
            let oldest =
                self.places.get_mut(set)?.iter_mut().min_by_key(|p| p.as_ref().map_or(0, |d| d.used + 1))?;
            *oldest = Some(Destination {
                ip,
                used,
                metrics: None,
                cookie: None,
                no_fast_open_until: Instant::ZERO,
            });
        }
        self.find(ip)
    }

    /// What is known of the path to `ip`.
    pub(crate) fn metrics(&mut self, now: Instant, ip: IpAddr) -> Option<PathMetrics> {
        let (mut metrics, at) = self.find(ip)?.metrics?;
        let age = now.nanos_since(at);
        if age > METRICS_NS {
            return None;
        }
        if age > PATH_MTU_NS {
            metrics.path_mss = 0;
        }
        Some(metrics)
    }

    /// A connection to `ip` has seen this.
    pub(crate) fn learn(&mut self, now: Instant, ip: IpAddr, seen: PathMetrics) {
        let before = self.metrics(now, ip);
        if let Some(found) = self.find_or_make(ip) {
            found.metrics = Some((before.map_or(seen, |before| before.merged(seen)), now));
        }
    }

    pub(crate) fn fast_open(&mut self, now: Instant, ip: IpAddr) -> FastOpenTry {
        match self.find(ip) {
            Some(found) if found.no_fast_open_until > now => FastOpenTry::No,
            Some(found) => FastOpenTry::Yes(found.cookie.clone()),
            None => FastOpenTry::Yes(None),
        }
    }

    /// What became of a Fast Open to `ip`, which announced `mss`.
    pub(crate) fn learn_fast_open(&mut self, now: Instant, ip: IpAddr, report: &FastOpenReport, mss: u16) {
        if !report.offered {
            return;
        }
        let Some(found) = self.find_or_make(ip) else { return };
        if report.lost && report.acknowledged == 0 {
            found.no_fast_open_until = now.plus_nanos(NO_FAST_OPEN_NS);
            found.cookie = None;
        } else if let Some(cookie) = &report.granted {
            found.cookie = Some((cookie.clone(), mss));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn host(n: u32) -> IpAddr {
        std::net::Ipv4Addr::from_bits(0x0a00_0000 + n).into()
    }

    fn at(seconds: u64) -> Instant {
        Instant::from_nanos(seconds * SECOND)
    }

    fn seen(srtt_ns: u64) -> PathMetrics {
        PathMetrics { srtt_ns, path_mss: 500, ..PathMetrics::default() }
    }

    #[test]
    fn remembers_no_more_hosts_than_there_are_places_and_those_used_last() {
        let mut table = Destinations::new(64, (1, 2));
        for n in 0..10_000 {
            table.learn(at(0), host(n), seen(u64::from(n)));
            // One that is asked for all the time stays.
            table.learn(at(0), host(3), seen(3));
        }
        assert!(table.len() <= 64);
        assert!(table.metrics(at(0), host(9_999)).is_some() && table.metrics(at(0), host(3)).is_some());
        assert_eq!(table.metrics(at(0), host(100)), None);
    }

    #[test]
    fn a_cache_of_no_size_remembers_nothing() {
        let mut table = Destinations::new(0, (1, 2));
        table.learn(at(0), host(1), seen(5));
        assert_eq!(table.metrics(at(0), host(1)), None);
    }

    #[test]
    fn the_path_s_mtu_is_forgotten_after_ten_minutes_and_everything_after_an_hour() {
        let mut table = Destinations::new(8, (1, 2));
        table.learn(at(0), host(1), seen(5));
        assert_eq!(table.metrics(at(600), host(1)).map(|m| m.path_mss), Some(500));
        assert_eq!(table.metrics(at(601), host(1)).map(|m| (m.path_mss, m.srtt_ns)), Some((0, 5)));
        assert_eq!(table.metrics(at(3_601), host(1)), None);
    }

    #[test]
    fn a_longer_round_trip_is_believed_at_once_and_a_shorter_one_by_an_eighth() {
        let mut table = Destinations::new(8, (1, 2));
        table.learn(at(0), host(1), seen(800));
        table.learn(at(1), host(1), seen(1_600));
        assert_eq!(table.metrics(at(1), host(1)).unwrap().srtt_ns, 1_600);
        table.learn(at(2), host(1), seen(800));
        assert_eq!(table.metrics(at(2), host(1)).unwrap().srtt_ns, 1_500);
    }

    #[test]
    fn a_syn_that_was_lost_with_its_cookie_is_sent_plain_for_an_hour() {
        let mut table = Destinations::new(8, (1, 2));
        let cookie: FastOpenCookie = [1, 2, 3, 4, 5, 6, 7, 8].into_iter().collect();
        let granted =
            FastOpenReport { offered: true, granted: Some(cookie.clone()), ..FastOpenReport::default() };
        table.learn_fast_open(at(0), host(1), &granted, 1_460);
        assert_eq!(table.fast_open(at(0), host(1)), FastOpenTry::Yes(Some((cookie, 1_460))));
        let lost = FastOpenReport { offered: true, sent: 10, lost: true, ..FastOpenReport::default() };
        table.learn_fast_open(at(1), host(1), &lost, 1_460);
        assert_eq!(table.fast_open(at(3_600), host(1)), FastOpenTry::No);
        assert_eq!(table.fast_open(at(3_601), host(1)), FastOpenTry::Yes(None));
    }
}
