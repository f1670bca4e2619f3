//! Captures that are made to break things: whatever packets there are, stories, tables, streams and pictures come to an end.

mod vectors;

use bypath_trace::conversation::End;
use bypath_trace::diagram::Diagram;
use bypath_trace::story::{Detail, Story};
use bypath_trace::style::Style;
use bypath_trace::style::conversations::Conversations;
use bypath_trace::style::follow::{Follow, Form};
use bypath_trace::{Direction, LinkType, Record, Timestamp};
use proptest::prelude::*;

/// A packet of a made-up capture.
#[derive(Clone, Debug)]
struct Made {
    time: i64,
    link: u16,
    interface: Option<u32>,
    outward: Option<bool>,
    more: u32,
    data: Vec<u8>,
}

fn any_packet() -> impl Strategy<Value = Made> {
    let links = prop::sample::select(vec![0_u16, 1, 9, 50, 101, 113, 204, 228, 229, 276, 999]);
    let data = prop::collection::vec(any::<u8>(), 0..120);
    (any::<i64>(), links, prop::option::of(0..3_u32), any::<Option<bool>>(), any::<u32>(), data).prop_map(
        |(time, link, interface, outward, more, data)| Made { time, link, interface, outward, more, data },
    )
}

/// Packets of the known sessions, some of their bytes changed, cut, repeated, out of order, at odd times.
fn changed() -> impl Strategy<Value = Vec<Made>> {
    let changes = prop::collection::vec((any::<u8>(), any::<u8>(), 0..60_u8), 0..6);
    let packet = (0..98_usize, changes, prop::option::of(0..80_usize), any::<i16>());
    prop::collection::vec(packet, 0..120).prop_map(|picks| {
        let mut known = vectors::ftp_download();
        known.extend(vectors::pop3_over_ppp());
        let made = picks.into_iter().map(|(pick, changes, cut, time)| {
            let packet = &known[pick % known.len()];
            let mut data = packet.bytes.clone();
            for (value, place, spread) in changes {
                let at = (usize::from(place) + usize::from(spread)) % data.len().max(1);
                if let Some(byte) = data.get_mut(at) {
                    *byte = value;
                }
            }
            let whole = data.len();
            data.truncate(cut.unwrap_or(whole));
            Made {
                time: packet.time.0 + i64::from(time) * 1_000_000,
                link: packet.link.0,
                interface: Some(packet.interface),
                outward: packet.direction.map(|d| d == Direction::Out),
                more: (whole - data.len()) as u32,
                data,
            }
        });
        made.collect()
    })
}

fn tell(packets: &[Made]) {
    let styles: Vec<Box<dyn Style>> = vec![
        Box::new(Story::new(Detail::Full)),
        Box::new(Story::new(Detail::Short)),
        Box::new(Conversations::new(true)),
        Box::new(Conversations::new(false)),
        Box::new(Follow::new(1, Form::Hex, None)),
        Box::new(Follow::new(1, Form::Text, Some(End::Server))),
        Box::new(Diagram::new(None)),
    ];
    for mut style in styles {
        let mut out = Vec::new();
        style.begin(&mut out).unwrap();
        for (packet, number) in packets.iter().zip(1..) {
            let record = Record {
                number,
                time: Timestamp(packet.time),
                link: LinkType(packet.link),
                interface: packet.interface,
                direction: packet.outward.map(|out| if out { Direction::Out } else { Direction::In }),
                original_len: (packet.data.len() as u32).saturating_add(packet.more),
                data: &packet.data,
                ..Record::default()
            };
            style.record(&record, &mut out).unwrap();
        }
        // To follow what is not there is an error, and no panic.
        let _ = style.end(&mut out);
        assert!(out.len() < 1 << 22);
        assert!(std::str::from_utf8(&out).is_ok());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_packets_come_to_an_end(packets in prop::collection::vec(any_packet(), 0..40)) {
        tell(&packets);
    }

    #[test]
    fn changed_sessions_come_to_an_end(packets in changed()) {
        tell(&packets);
    }
}
