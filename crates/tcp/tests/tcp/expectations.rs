//! What a connection takes over from earlier ones to the same host (RFC 9040), and a Fast Open that crosses.

use bypath_tcp::{Config, MetricsCache, PathMetrics};
use bypath_wire::tcp::TcpFlags;

use crate::script::{RTT, Script, Seg, plain, ranges};

const MS: u64 = 1_000_000;

fn open_with(metrics: MetricsCache, known: PathMetrics) -> Script {
    let mut s = Script::connecting(Config { metrics, ..plain() });
    s.conn.expect_path(known);
    s.poll();
    s.now = s.now + RTT;
    s.deliver(Seg::syn_ack().mss(1_000));
    s.poll();
    s
}

fn known() -> PathMetrics {
    PathMetrics { srtt_ns: 2_000 * MS, rttvar_ns: 250 * MS, ssthresh: 5_000, cwnd: 3_000, path_mss: 700 }
}

#[test]
fn a_round_trip_that_used_to_be_longer_makes_the_first_timeout_longer() {
    assert_eq!(open_with(MetricsCache::Careful, known()).conn.info().rto_ns, 3_000 * MS);
    assert_eq!(open_with(MetricsCache::Off, known()).conn.info().rto_ns, 300 * MS);
    // One that used to be shorter changes nothing.
    let shorter = PathMetrics { srtt_ns: 10 * MS, ..known() };
    assert_eq!(open_with(MetricsCache::Careful, shorter).conn.info().rto_ns, 300 * MS);
}

#[test]
fn thresholds_and_windows_of_the_past_count_only_if_that_is_wanted() {
    let careful = open_with(MetricsCache::Careful, known());
    assert_eq!((careful.conn.ssthresh(), careful.conn.cwnd()), (u32::MAX, 7_000));
    let full = open_with(MetricsCache::Full, known());
    assert_eq!((full.conn.ssthresh(), full.conn.cwnd()), (5_000, 3_000));
}

#[test]
fn what_a_router_said_of_the_path_is_kept_to_from_the_first_segment() {
    assert_eq!(open_with(MetricsCache::Careful, known()).conn.mss(), 700);
    assert_eq!(open_with(MetricsCache::Off, known()).conn.mss(), 1_000);
}

#[test]
fn a_connection_tells_what_it_has_seen_and_nothing_before_it_has() {
    assert_eq!(Script::connecting(plain()).conn.path_metrics(), None);
    let s = Script::open(plain());
    let seen = s.conn.path_metrics().unwrap();
    assert_eq!((seen.srtt_ns, seen.ssthresh, seen.path_mss), (100 * MS, 0, 0));
}

#[test]
fn data_of_a_syn_that_crosses_the_peer_s_goes_again_after_the_handshake() {
    let mut s = Script::connecting(plain());
    s.conn.offer_fast_open(Some([1; 8].into_iter().collect()), None);
    s.conn.set_queued(100);
    let syn = s.poll().unwrap();
    assert_eq!((syn.flags, syn.seq, syn.len), (TcpFlags::SYN, -1, 100));
    let answer = s.answer(Seg::syn());
    assert_eq!((answer[0].flags, answer[0].len), (TcpFlags::SYN | TcpFlags::ACK, 0));
    let sent = s.answer(Seg::syn_ack());
    assert_eq!(ranges(&sent), [(0, 100)]);
}
