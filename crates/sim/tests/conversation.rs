//! The tracking of connections in `bypath-trace`, on captures of simulated networks: beside tshark, and beside what
//! really happened, which only a simulator knows.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::process::Command;

use bypath_sim::capture::Capture as SimCapture;
use bypath_sim::{runner, scenario};
use bypath_trace::conversation::{Marks, Observation, Segment, Table};
use bypath_trace::layers::dissect;
use bypath_trace::read::Capture;
use bypath_trace::{Direction, LinkType, Record, Timestamp};

/// A packet of one host's view.
struct Packet {
    time: Timestamp,
    direction: Direction,
    link: LinkType,
    /// With addresses that no other view has, so that one run of tshark can read many views.
    renamed: Vec<u8>,
    /// As it was on the wire, with right checksums.
    data: Vec<u8>,
    view: usize,
}

/// What a host has seen of a simulated network.
fn view(capture: &SimCapture, host: u32, number: usize) -> Vec<Packet> {
    let mut reader = Capture::open(capture.as_bytes()).expect("what the simulator writes");
    let mut packets = Vec::new();
    while let Some(record) = reader.next_record().expect("a whole capture") {
        if record.interface != Some(host) {
            continue;
        }
        let mut renamed = record.data.to_vec();
        let ip = if record.link == LinkType::ETHERNET { 14 } else { 0 };
        let places: &[usize] = match renamed.get(ip).map_or(0, |b| b >> 4) {
            4 => &[12, 16],
            6 => &[8, 24],
            _ => &[],
        };
        for at in places {
            let [high, low] = (number as u16 + 1).to_be_bytes();
            // 10.0.x.y and fd00::x, of which these bytes are 0; the first of IPv4 becomes another class A.
            if places[0] == 12 {
                renamed[ip + at] = 11 + high;
                renamed[ip + at + 1] = low;
            } else {
                renamed[ip + at + 2] = high;
                renamed[ip + at + 3] = low;
            }
        }
        let direction = record.direction.expect("the simulator says");
        let (time, link) = (record.time, record.link);
        packets.push(Packet { time, direction, link, renamed, data: record.data.to_vec(), view: number });
    }
    packets
}

fn record(packet: &Packet, number: u64) -> Record<'_> {
    Record {
        number,
        time: packet.time,
        link: packet.link,
        interface: Some(0),
        direction: Some(packet.direction),
        original_len: packet.data.len() as u32,
        data: &packet.data,
        ..Record::default()
    }
}

/// What tracking says about packets, by their place.
fn observe(packets: &[Packet]) -> Vec<Option<Observation>> {
    let mut tables: HashMap<usize, Table> = HashMap::new();
    let each = packets.iter().zip(1..).map(|(packet, number)| {
        let table = tables.entry(packet.view).or_default();
        let record = record(packet, number);
        let packet = dissect(record.link, record.data);
        Segment::of(&record, &packet, record.data).map(|segment| table.observe(&segment))
    });
    each.collect()
}

fn write_pcap(packets: &[Packet], path: &Path) {
    let mut file = Vec::new();
    file.extend(0xa1b2_3c4du32.to_le_bytes());
    file.extend([2, 0, 4, 0]);
    file.extend([0; 8]);
    file.extend(262_144u32.to_le_bytes());
    file.extend(101u32.to_le_bytes());
    for packet in packets {
        let data =
            if packet.link == LinkType::ETHERNET { &packet.renamed[14..] } else { &packet.renamed[..] };
        let (seconds, nanos) = packet.time.parts();
        file.extend((seconds as u32).to_le_bytes());
        file.extend(nanos.to_le_bytes());
        file.extend((data.len() as u32).to_le_bytes());
        file.extend((data.len() as u32).to_le_bytes());
        file.extend(data);
    }
    std::fs::write(path, file).expect("a directory of our own");
}

const FIELDS: [(&str, Marks); 8] = [
    ("retransmission", Marks::RETRANSMISSION),
    ("out_of_order", Marks::OUT_OF_ORDER),
    ("duplicate_ack", Marks::DUPLICATE_ACK),
    ("zero_window", Marks::ZERO_WINDOW),
    ("window_update", Marks::WINDOW_UPDATE),
    ("window_full", Marks::WINDOW_FULL),
    ("keep_alive", Marks::KEEP_ALIVE),
    ("zero_window_probe", Marks::ZERO_WINDOW_PROBE),
];

/// What tshark says, by their place.
fn tshark(packets: &[Packet]) -> Vec<Marks> {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("views.pcap");
    write_pcap(packets, &path);
    let mut command = Command::new("tshark");
    command.arg("-r").arg(&path).args(["-T", "fields"]);
    for (name, _) in FIELDS {
        command.arg("-e").arg(format!("tcp.analysis.{name}"));
    }
    let output = command.output().expect("tshark: cargo xtask setup");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let marks = text.lines().map(|line| {
        let said = line.split('\t').zip(FIELDS).filter(|(field, _)| !field.is_empty());
        said.fold(Marks::empty(), |marks, (_, (_, mark))| marks | mark)
    });
    marks.collect()
}

/// Views of both hosts of these seeds, without networks that damage packets: tshark takes those for good.
fn views(seeds: std::ops::Range<u64>) -> Vec<Packet> {
    let mut packets = Vec::new();
    for (index, seed) in seeds.enumerate() {
        let plan = scenario::from_seed(seed);
        if plan.links.iter().any(|link| link.corrupt > 0.0) {
            continue;
        }
        let capture = runner::capture_plan(&plan).expect("a run");
        packets.extend(view(&capture, 0, index * 2));
        packets.extend(view(&capture, 1, index * 2 + 1));
    }
    packets
}

/// How often which of two had a mark: (ours, theirs).
#[derive(Default, Debug)]
struct Tally {
    both: u64,
    ours: u64,
    theirs: u64,
}

impl Tally {
    fn add(&mut self, ours: bool, theirs: bool) {
        match (ours, theirs) {
            (true, true) => self.both += 1,
            (true, false) => self.ours += 1,
            (false, true) => self.theirs += 1,
            _ => {}
        }
    }
}

#[test]
fn tshark_agrees_on_what_is_remarkable() {
    let packets = views(0..100);
    let (ours, theirs) = (observe(&packets), tshark(&packets));
    assert_eq!(ours.len(), theirs.len());
    let pairs =
        || ours.iter().zip(&theirs).filter_map(|(own, their)| own.as_ref().map(|own| (own.marks, *their)));
    // Sent before, or overtaken: which of the two is a matter of judgement, and the next test's.
    let old = Marks::RETRANSMISSION | Marks::OUT_OF_ORDER;
    let same = [
        Marks::DUPLICATE_ACK,
        Marks::ZERO_WINDOW,
        Marks::WINDOW_UPDATE,
        Marks::KEEP_ALIVE,
        Marks::ZERO_WINDOW_PROBE,
    ];
    for mark in same.into_iter().chain([old, Marks::WINDOW_FULL]) {
        let mut tally = Tally::default();
        pairs().for_each(|(own, their)| tally.add(own.intersects(mark), their.intersects(mark)));
        println!("{mark:?}: {tally:?}");
        if same.contains(&mark) {
            assert!(tally.both > 0 && tally.ours == 0 && tally.theirs == 0, "{mark:?}: {tally:?}");
        } else {
            let differ = tally.ours + tally.theirs;
            assert!(tally.both > 100 && differ * 50 <= tally.both, "{mark:?}: {tally:?}");
        }
    }
}

/// What the sender knows: whether it has sent this before. Of what arrives, the first copy counts.
fn truths(seed: u64) -> Vec<(Packet, Option<bool>)> {
    let capture = runner::capture_plan(&scenario::from_seed(seed)).expect("a run");
    let hosts = [view(&capture, 0, 2 * seed as usize), view(&capture, 1, 2 * seed as usize + 1)];
    let mut sent: HashMap<Vec<u8>, Option<bool>> = HashMap::new();
    for packets in &hosts {
        for (packet, observation) in packets.iter().zip(observe(packets)) {
            if packet.direction == Direction::Out
                && let Some(observation) = observation
            {
                // The same bytes twice: whether the first or the second arrived, nobody can say.
                let again = observation.is(Marks::RETRANSMISSION);
                sent.entry(packet.data.clone()).and_modify(|truth| *truth = None).or_insert(Some(again));
            }
        }
    }
    let mut arrived = HashSet::new();
    let all = hosts.into_iter().flatten().map(|packet| {
        let counts = packet.direction == Direction::In && arrived.insert(packet.data.clone());
        let truth = sent.get(&packet.data).copied().flatten().filter(|_| counts);
        (packet, truth)
    });
    all.collect()
}

#[test]
fn what_was_overtaken_is_told_from_what_was_sent_again() {
    let (packets, truths): (Vec<_>, Vec<_>) = (0..300).flat_map(truths).unzip();
    let (ours, theirs) = (observe(&packets), tshark(&packets));
    let old = Marks::RETRANSMISSION | Marks::OUT_OF_ORDER;
    let [mut right, mut wrong, mut tshark_wrong] = [0; 3];
    for ((own, their), truth) in ours.iter().zip(&theirs).zip(&truths) {
        let (Some(own), Some(again)) = (own, truth) else { continue };
        if own.marks.intersects(old) {
            let is_right = own.is(Marks::RETRANSMISSION) == *again;
            *if is_right { &mut right } else { &mut wrong } += 1;
            tshark_wrong +=
                u64::from(their.intersects(old) && their.contains(Marks::RETRANSMISSION) != *again);
        }
    }
    println!("right {right}, wrong {wrong}; tshark wrong {tshark_wrong}");
    // A packet that is late by more than a round trip looks like one that was sent again; timestamps tell, where there are any.
    assert!(right > 500);
    assert!(
        wrong * 10 <= right && wrong * 2 <= tshark_wrong,
        "right {right}, wrong {wrong}; tshark {tshark_wrong}"
    );
}
