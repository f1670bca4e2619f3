//! Three traces of other people, whose packets are rebuilt from what they tell, and printed line for line as they were.

mod peer;

use bypath_trace::style::tcpdump::{OldOptions, Options, Tcpdump, Tcpdump3, TimeForm};
use bypath_trace::style::{Names, Style};
use bypath_trace::{Direction, LinkType, Record, Timestamp};
use peer::build::{Segment, V4};

const TELNET: &str = include_str!("traces/telnet-handshake.tcpdump3.txt");
const HTTP_BY_TELNET: &str = include_str!("traces/http-1.0-telnet.tcpdump3.txt");
const HTTP: &str = include_str!("traces/http-get-nc.tcpdump4.txt");

/// The hosts of the traces, and the addresses that they are given here.
const HOSTS: &str = "10.9.8.7 cericon.cranzgot.co.za\n207.25.71.5 www1.cnn.com\n";
/// Ports as they were called then.
const SERVICES: &str = "telnet 23/tcp\nwww 80/tcp http\n";

/// What a line tells of its packet.
#[derive(Clone, Debug, Default)]
struct Told {
    nanos: i64,
    direction: Option<Direction>,
    from: ([u8; 4], u16),
    to: ([u8; 4], u16),
    flags: u16,
    sequence: u32,
    len: usize,
    acknowledgment: Option<u32>,
    window: u16,
    options: Vec<u8>,
    dont_fragment: bool,
    text: String,
}

/// "a.b.80" in parts.
fn end(text: &str) -> ([u8; 4], u16) {
    let (host, port) = text.trim_end_matches(':').rsplit_once('.').unwrap();
    let address = match host {
        "cericon.cranzgot.co.za" => [10, 9, 8, 7],
        "www1.cnn.com" => [207, 25, 71, 5],
        numeric => numeric.parse::<std::net::Ipv4Addr>().unwrap().octets(),
    };
    (address, if port == "www" { 80 } else { port.parse().unwrap() })
}

fn number_after(text: &str, word: &str) -> Option<u32> {
    let rest = &text[text.find(word)? + word.len()..];
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    rest[..end].parse().ok()
}

/// The options of the old form. What was cut off at the margin is made up: it is not compared.
fn old_options(text: &str) -> Vec<u8> {
    let Some((_, list)) = text.split_once('<') else { return Vec::new() };
    let mut options = Vec::new();
    for option in list.split('>').next().unwrap().split(',') {
        let mut words = option.split(' ');
        match words.next().unwrap() {
            "nop" => options.push(1),
            "sackOK" => options.extend([4, 2]),
            "mss" => options
                .extend([&[2, 4][..], &words.next().unwrap().parse::<u16>().unwrap().to_be_bytes()].concat()),
            "wscale" => options.extend([3, 3, words.next().unwrap().parse().unwrap()]),
            "timestamp" => {
                options.extend([8, 10]);
                words.for_each(|word| options.extend(word.parse::<u32>().unwrap().to_be_bytes()));
            }
            other => panic!("{other}"),
        }
    }
    options
}

fn flags(letters: &str) -> u16 {
    let bit = |letter| match letter {
        'F' => 1,
        'S' => 2,
        'R' => 4,
        'P' => 8,
        _ => 0,
    };
    letters.chars().map(bit).sum()
}

/// A line of the old form, without time, interface and direction.
fn old_line(line: &str) -> Told {
    let words: Vec<&str> = line.split_whitespace().collect();
    let range = words[4].split_once(':').map(|(first, rest)| {
        let len = number_after(rest, "(").unwrap();
        (first.parse::<u32>().unwrap(), len as usize)
    });
    let acknowledgment = number_after(line, " ack ");
    Told {
        from: end(words[0]),
        to: end(words[2]),
        flags: flags(words[3]) | if acknowledgment.is_some() { 0x10 } else { 0 },
        sequence: range.map_or(0, |range| range.0),
        len: range.map_or(0, |range| range.1),
        acknowledgment,
        window: number_after(line, " win ").unwrap() as u16,
        options: old_options(line),
        dont_fragment: line.contains("(DF)"),
        ..Told::default()
    }
}

/// A line of the current form, without time.
fn current_line(line: &str) -> Told {
    let words: Vec<&str> = line.split_whitespace().collect();
    let letters = line.split_once('[').unwrap().1.split_once(']').unwrap().0;
    let acknowledgment = number_after(line, "ack ");
    Told {
        from: end(words[1]),
        to: end(words[3]),
        flags: flags(letters) | if letters.contains('.') { 0x10 } else { 0 },
        sequence: number_after(line, "seq ").unwrap_or(0),
        len: number_after(line, "length ").unwrap() as usize,
        acknowledgment,
        window: number_after(line, "win ").unwrap() as u16,
        text: line.split_once("HTTP: ").map_or(String::new(), |(_, text)| format!("{text}\r\n")),
        ..Told::default()
    }
}

/// Numbers that are relative become absolute: `start` is of the side with the lower port, and of the other.
fn rebuild(told: &[Told]) -> Vec<(Told, Vec<u8>)> {
    let mut starts: [Option<u32>; 2] = [None, None];
    let mut packets = Vec::new();
    for told in told {
        let mine = usize::from(told.from.1 > told.to.1);
        let (mut sequence, mut acknowledgment) = (told.sequence, told.acknowledgment.unwrap_or(0));
        if told.flags & 2 != 0 {
            starts[mine] = Some(sequence);
        } else {
            let relative = |number: u32, start: Option<u32>| match start {
                Some(start) if number < 1 << 24 => start.wrapping_add(number),
                _ => number,
            };
            // A pure ACK in the current form does not tell its sequence number.
            sequence = relative(sequence, starts[mine]);
            acknowledgment = relative(acknowledgment, starts[1 - mine]);
        }
        let mut data = told.text.clone().into_bytes();
        data.resize(told.len, 0);
        let segment = Segment {
            from: told.from.1,
            to: told.to.1,
            sequence,
            acknowledgment,
            flags: told.flags,
            window: told.window,
            options: &told.options,
            data: &data,
            ..Segment::default()
        };
        let fragment = if told.dont_fragment { 0x4000 } else { 0 };
        let ip = V4 { from: told.from.0, to: told.to.0, fragment, ..V4::default() };
        packets.push((told.clone(), ip.carry(6, &segment.bytes(), 16)));
    }
    packets
}

fn print(style: &mut dyn Style, packets: &[(Told, Vec<u8>)]) -> String {
    let mut out = Vec::new();
    for (at, (told, packet)) in packets.iter().enumerate() {
        let record = Record {
            number: at as u64 + 1,
            time: Timestamp(told.nanos),
            link: LinkType::RAW,
            interface: told.direction.map(|_| 0),
            direction: told.direction,
            original_len: packet.len() as u32,
            data: packet,
            ..Record::default()
        };
        style.record(&record, &mut out).unwrap();
    }
    String::from_utf8(out).unwrap()
}

fn options() -> Options {
    Options { time: TimeForm::None, ..Options::default() }
}

#[test]
fn the_handshake_of_telnet_is_printed_as_it_was() {
    let told: Vec<Told> = TELNET.lines().map(old_line).collect();
    let options = Options { absolute: true, numeric: true, ..options() };
    let mut style = Tcpdump3::new(options, OldOptions::default(), Names::default());
    assert_eq!(print(&mut style, &rebuild(&told)), TELNET);
}

#[test]
fn the_page_fetched_by_nc_is_printed_as_it_was() {
    let told: Vec<Told> = HTTP.lines().map(current_line).collect();
    let mut style = Tcpdump::new(Options { numeric: true, ..options() }, Names::default());
    let text = print(&mut style, &rebuild(&told));
    for (ours, theirs) in text.lines().zip(HTTP.lines()) {
        // A request that is nothing but zeros here says at the end of its line that it is HTTP.
        assert_eq!(ours.strip_suffix(": HTTP").unwrap_or(ours), theirs);
    }
    assert_eq!(text.lines().count(), HTTP.lines().count());
}

#[test]
fn the_page_fetched_by_telnet_is_printed_as_it_was() {
    let lines: Vec<&str> = HTTP_BY_TELNET.lines().collect();
    let told: Vec<Told> = lines.chunks(2).map(wrapped_line).collect();
    let old = OldOptions { empty_ranges: true, wrap: true };
    let names = Names::from_text(HOSTS, SERVICES);
    let mut style = Tcpdump3::new(Options { time: TimeForm::Clock, ..Options::default() }, old, names);
    style.interfaces(&[bypath_trace::read::Interface::named("eth0", LinkType::RAW)]);
    let text = print(&mut style, &rebuild(&told));
    let ours: Vec<&str> = text.lines().collect();
    assert_eq!(ours.len(), lines.len());
    for (at, (ours, theirs)) in ours.iter().zip(&lines).enumerate() {
        match at {
            // Cut at the right margin in the source.
            1 | 3 => assert!(ours.starts_with(&theirs[..theirs.len().min(80)]), "{ours}\n{theirs}"),
            _ => assert_eq!(ours, theirs, "line {}", at + 1),
        }
    }
}

/// A time, an interface, a direction and addresses; on the next line the rest.
fn wrapped_line(lines: &[&str]) -> Told {
    let mut words = lines[0].split(' ');
    let (time, _interface, direction) = (words.next().unwrap(), words.next().unwrap(), words.next().unwrap());
    let rest: Vec<&str> = words.collect();
    let mut told = old_line(&format!("{} {}", rest.join(" "), lines[1].trim_start()));
    let parts: Vec<i64> = time.split([':', '.']).map(|part| part.parse().unwrap()).collect();
    told.nanos = ((parts[0] * 60 + parts[1]) * 60 + parts[2]) * 1_000_000_000 + parts[3] * 1000;
    told.direction = Some(if direction == "<" { Direction::In } else { Direction::Out });
    told
}
