//! Every sentence of a story. Whoever translates the story translates this file: the rest knows facts, and no words.
//!
//! The subject of a remark is whoever sent the packet, who stands before it; so remarks begin with a verb. What is quoted
//! is said by applications, and stays in their language.

use std::fmt::Display;
use std::net::SocketAddr;

use crate::conversation::{Agreed, Cause, Close, End, Options, State, Summary};
use crate::numbers::{Count, Rate, Time};

/// An end, as a noun.
pub(super) fn end(end: End) -> &'static str {
    match end {
        End::Client => "client",
        End::Server => "server",
    }
}

/// `n things`, with the plural where it is needed.
fn several(n: u64, thing: &str) -> String {
    let plural = if n == 1 { "" } else { "s" };
    format!("{} {thing}{plural}", Count(n))
}

pub(super) fn bytes(n: u64) -> String {
    several(n, "byte")
}

/// "packet 7", "packets 7 to 9".
pub(super) fn packets((first, last): (u64, u64)) -> String {
    if first == last { format!("packet {first}") } else { format!("packets {first} to {last}") }
}

fn list(items: &[String]) -> String {
    match items {
        [] => String::new(),
        [one] => one.clone(),
        [rest @ .., last] => format!("{} and {last}", rest.join(", ")),
    }
}

// The beginning.

fn offers(options: &Options, ecn: bool) -> String {
    let mut offers = Vec::new();
    if let Some(shift) = options.window_scale {
        offers.push(format!("windows scaled by {}", 1_u32 << shift.min(14)));
    }
    if options.sack_permitted {
        offers.push("SACK".to_owned());
    }
    if options.stamps.is_some() {
        offers.push("timestamps".to_owned());
    }
    if ecn {
        offers.push("ECN".to_owned());
    }
    if options.multipath {
        offers.push("Multipath TCP".to_owned());
    }
    if options.fast_open.is_some() {
        offers.push("Fast Open".to_owned());
    }
    if options.signed {
        offers.push("signed segments".to_owned());
    }
    let size = options.mss.map_or("It names no largest segment".to_owned(), |mss| {
        format!("It takes segments of up to {} bytes", Count(u64::from(mss)))
    });
    match offers.is_empty() {
        true => format!("{size}, and offers no options beyond that."),
        false => format!("{size} and offers {}.", list(&offers)),
    }
}

pub(super) fn asks_for_connection(from: SocketAddr, to: SocketAddr, options: &Options, ecn: bool) -> String {
    format!("asks for a connection from {from} to {to} (SYN). {}", offers(options, ecn))
}

pub(super) fn asks_again(after: Option<i64>, times: u32) -> String {
    match after {
        Some(after) => format!("asks again, for the {} time: no answer for {}.", ordinal(times), Time(after)),
        None => "asks again for a connection (SYN).".to_owned(),
    }
}

pub(super) fn accepts(after: Option<i64>, options: &Options, ecn: bool) -> String {
    let accepts = match after {
        Some(after) if after < 0 => format!("accepts (SYN and ACK); {CLOCK_WENT_BACK}"),
        Some(after) => format!("accepts after {} (SYN and ACK)", Time(after)),
        None => "accepts (SYN and ACK)".to_owned(),
    };
    format!("{accepts}. {}", offers(options, ecn))
}

/// Instead of a delay that would be negative.
const CLOCK_WENT_BACK: &str = "the capture's clock went back meanwhile";

pub(super) fn opens_at_the_same_time() -> String {
    "Both ends have asked at the same time (simultaneous open).".to_owned()
}

pub(super) fn accepts_crossing(after: Option<i64>) -> String {
    let after = after.map_or(String::new(), |after| format!(" after {}", Time(after)));
    format!("accepts{after} what the other end has asked at the same time (SYN and ACK).")
}

pub(super) fn accepts_again(cause: Cause, after: Option<i64>) -> String {
    match (cause, after) {
        (Cause::Asked, _) => "accepts again, because it was asked again.".to_owned(),
        (_, Some(after)) => format!("accepts again: no acknowledgment for {}.", Time(after)),
        _ => "accepts again.".to_owned(),
    }
}

pub(super) fn confirms(handshake: Option<i64>) -> String {
    match handshake {
        Some(time) => {
            format!("confirms (ACK): the connection stands, {} after it was asked for.", Time(time))
        }
        None => "confirms (ACK): the connection stands.".to_owned(),
    }
}

pub(super) fn stands(handshake: Option<i64>) -> String {
    match handshake {
        Some(time) => format!("With that the connection stands, {} after it was asked for.", Time(time)),
        None => "With that the connection stands.".to_owned(),
    }
}

pub(super) fn agreed(agreed: &Agreed) -> String {
    let mut has = Vec::new();
    let mut lacks = Vec::new();
    let mut note =
        |there: bool, name: &str| if there { has.push(name.to_owned()) } else { lacks.push(name.to_owned()) };
    note(agreed.window_scale.is_some(), "window scaling");
    note(agreed.sack, "SACK");
    note(agreed.timestamps, "timestamps");
    note(agreed.ecn, "ECN");
    let smaller = agreed.mss.into_iter().flatten().min();
    let size =
        smaller.map_or(String::new(), |mss| format!(" Segments both can take: {} bytes.", Count(mss.into())));
    let options = match (has.is_empty(), lacks.is_empty()) {
        (true, _) => format!("Agreed is nothing beyond RFC 793: no {}.", or_list(&lacks)),
        (_, true) => format!("Agreed: {}.", list(&has)),
        _ => format!("Agreed: {}; not {}.", list(&has), or_list(&lacks)),
    };
    let fast = if agreed.fast_open { " The data in the SYN was taken (Fast Open)." } else { "" };
    format!("{options}{size}{fast}")
}

fn or_list(items: &[String]) -> String {
    list(items).replace(" and ", " or ")
}

pub(super) fn address_from_look_up(name: &str, packet: u64) -> String {
    format!("Packet {packet} has given this address for {name}.")
}

pub(super) fn data_connection(packet: u64, by: End, command: Option<&str>) -> String {
    let command = command.map_or(String::new(), |command| format!(", for {command}"));
    format!("This is the data connection that the FTP {} has announced in packet {packet}{command}.", end(by))
}

pub(super) fn ports_taken_again() -> String {
    "Its ports had another connection before.".to_owned()
}

pub(super) fn begins_in_the_middle(from: SocketAddr, to: SocketAddr) -> String {
    format!(
        "The capture begins in the middle of this connection from {from} to {to}; who opened it is a guess."
    )
}

pub(super) fn asks_for_cookie() -> String {
    "It asks for a Fast Open cookie.".to_owned()
}

pub(super) fn shows_cookie(len: u8) -> String {
    format!("It shows the Fast Open cookie of {} that it was given before.", bytes(len.into()))
}

pub(super) fn gives_cookie(len: u8) -> String {
    format!("It gives a Fast Open cookie of {}.", bytes(len.into()))
}

// Data.

/// Words of an application, or a line of them, in quotation marks.
pub(super) fn quoted(words: &str) -> String {
    format!("\"{words}\"")
}

pub(super) fn says(from: End, greets: bool, quotes: &[String], more: usize, len: u64) -> String {
    let verb = match from {
        End::Client => "asks",
        End::Server if greets => "greets",
        End::Server => "answers",
    };
    match quotes.is_empty() {
        true => format!("sends {} ({})", lines(more), bytes(len)),
        false => format!("{verb} {} ({})", quotes_and_more(quotes, more), bytes(len)),
    }
}

fn lines(n: usize) -> String {
    if n == 1 { "one more line".to_owned() } else { format!("{n} more lines") }
}

fn quotes_and_more(quotes: &[String], more: usize) -> String {
    match more {
        0 => list(quotes),
        more => format!("{}, and {}", list(quotes), lines(more)),
    }
}

pub(super) fn sends(len: u64, first: i64, last: i64) -> String {
    if len == 1 { format!("sends byte {first}") } else { format!("sends {}, {first} to {last}", bytes(len)) }
}

pub(super) fn sends_body(len: u64, so_far: u64, total: Option<u64>) -> String {
    match total {
        Some(total) => format!("sends {} of the body, {} of {}", bytes(len), Count(so_far), Count(total)),
        None => format!("sends {} of the body, {} so far", bytes(len), Count(so_far)),
    }
}

pub(super) fn body_complete(total: u64) -> String {
    format!("That completes the body of {}.", bytes(total))
}

pub(super) fn body_follows(len: Option<u64>) -> String {
    match len {
        Some(len) => format!("A body of {} follows.", bytes(len)),
        None => "A body follows.".to_owned(),
    }
}

pub(super) fn nothing_new_to_quote(len: u64) -> String {
    format!("sends {}, which end no line yet", bytes(len))
}

pub(super) fn secret() -> &'static str {
    "(kept from this story)"
}

pub(super) fn encrypted() -> String {
    "From here on they talk TLS, which nobody else can read.".to_owned()
}

pub(super) fn last_data() -> String {
    "and no more: these are its last (FIN)".to_owned()
}

pub(super) fn in_syn(quotes: &[String], more: usize, len: u64, fast_open: bool) -> String {
    let by = if fast_open { " (Fast Open)" } else { "" };
    match quotes.is_empty() {
        true => format!("{} of data are in it already{by}.", bytes(len)),
        false => {
            format!("Its data is in it already{by}: {} ({}).", quotes_and_more(quotes, more), bytes(len))
        }
    }
}

pub(super) fn fills_window(peer: End) -> String {
    format!("That fills the {}'s window to the last byte: it has to wait.", end(peer))
}

pub(super) fn gap(missing: u64) -> String {
    format!("Before it {} are missing: lost on the way here, or overtaken.", bytes(missing))
}

pub(super) fn overtaken(since: Option<i64>) -> String {
    let since = since.map_or(String::new(), |ns| format!(", {} later", Time(ns)));
    format!("That fills a gap{since}: it was overtaken on its way, and not sent again.")
}

// Losses.

fn ordinal(n: u32) -> String {
    match n {
        1 => "first".to_owned(),
        2 => "second".to_owned(),
        3 => "third".to_owned(),
        n => format!("{n}th"),
    }
}

pub(super) fn sends_again(len: u64, first: i64, last: i64, packet: Option<u64>, times: u32) -> String {
    let what = match len {
        0 => "its end (FIN)".to_owned(),
        1 => format!("byte {first}"),
        _ => format!("{}, {first} to {last}", bytes(len)),
    };
    let before = packet.map_or(String::new(), |packet| format!(", which packet {packet} carried"));
    let times = if times > 2 { format!(", for the {} time", ordinal(times - 1)) } else { String::new() };
    format!("sends again {what}{before}{times}")
}

pub(super) fn because(cause: Cause, after: Option<i64>, peer: End) -> String {
    let peer = end(peer);
    match cause {
        Cause::DuplicateAcks(n) if n >= 3 => {
            format!("{n} duplicate ACKs have asked for it (fast retransmission).")
        }
        Cause::DuplicateAcks(1) => "One duplicate ACK has asked for it, and no more could come.".to_owned(),
        Cause::DuplicateAcks(n) => format!("{n} duplicate ACKs have asked for it, and no more could come."),
        Cause::Sacked(behind) => {
            format!("The {peer} has {} behind it (SACK), so it counts as lost.", bytes(behind))
        }
        Cause::Timeout(1) => match after {
            Some(after) => {
                format!("Nothing was acknowledged for {}: the retransmission timer ran out.", Time(after))
            }
            None => "The retransmission timer ran out.".to_owned(),
        },
        Cause::Timeout(n) => {
            let after = after.map_or(String::new(), |after| format!(" after {}", Time(after)));
            format!(
                "The retransmission timer ran out{after}, for the {} time in a row; it doubles each time.",
                ordinal(n)
            )
        }
        Cause::TailProbe => {
            let after = after.map_or(String::new(), |after| format!(" for {}", Time(after)));
            format!(
                "Nothing came back{after}, and nothing follows that could show a loss: a tail loss probe."
            )
        }
        Cause::Recovery(packet) => format!("The recovery that began with packet {packet} goes on."),
        Cause::AfterTimeout(packet) => {
            format!("After the timeout of packet {packet}, all that is not acknowledged goes out again.")
        }
        Cause::AlreadyAcknowledged => {
            format!(
                "Needlessly: the {peer} had acknowledged it. That acknowledgment was lost or came too late."
            )
        }
        Cause::Asked => "It was asked again.".to_owned(),
        Cause::Unknown => "The packets do not tell why.".to_owned(),
    }
}

pub(super) fn also_new(len: u64) -> String {
    format!("{} of it are new.", bytes(len))
}

pub(super) fn was_needless(packet: u64) -> String {
    format!("So packet {packet} was needless: what it carried had arrived.")
}

pub(super) fn arrived_twice(first: i64, last: i64) -> String {
    format!("Bytes {first} to {last} have arrived twice (D-SACK).")
}

// Acknowledgments.

pub(super) fn acknowledges(len: u64, carried: Option<(u64, u64)>, syn: bool, fin: bool) -> String {
    let carried = carried.map_or(String::new(), |range| format!(" of {}", packets(range)));
    match (len, fin) {
        (0, true) => "acknowledges the end (FIN)".to_owned(),
        (len, true) => format!("acknowledges the last {}{carried} and the end (FIN)", bytes(len)),
        (0, false) if syn => "acknowledges the SYN".to_owned(),
        (len, false) => format!("acknowledges {}{carried}", bytes(len)),
    }
}

pub(super) fn since_sent(since: i64, several: bool) -> String {
    let what = if several { "the last of them" } else { "it" };
    format!(", {} after {what} was sent", Time(since))
}

pub(super) fn held(time: i64) -> String {
    format!(" It was held back for about {}, for data to go with it (delayed ACK).", Time(time))
}

pub(super) fn also_acknowledges(what: &str) -> String {
    format!("It {what}.")
}

pub(super) fn capture_lacks() -> String {
    "The capture lacks some of that.".to_owned()
}

pub(super) fn duplicate_ack(n: u32, waits_for: i64, sack: bool) -> String {
    let what = format!("repeats that it waits for byte {waits_for}");
    match n {
        1 => format!("{what}: something behind it has arrived (duplicate ACK)."),
        2 => format!("{what} (second duplicate ACK)."),
        3 if !sack => format!("{what} (third duplicate ACK): reason enough to send it again."),
        n => format!("{what} ({} duplicate ACK).", ordinal(n)),
    }
}

pub(super) fn has_behind(fresh: u64, missing: Option<(i64, i64)>) -> String {
    match missing {
        Some((from, to)) => {
            format!("By SACK it has {} more behind the gap of bytes {from} to {}.", Count(fresh), to - 1)
        }
        None => format!("By SACK it has {} more.", Count(fresh)),
    }
}

pub(super) fn old_ack() -> String {
    "acknowledges less than before: this ACK was overtaken on its way.".to_owned()
}

pub(super) fn repeats() -> String {
    "repeats its acknowledgment, with nothing outstanding.".to_owned()
}

// Windows.

pub(super) fn closes_window() -> String {
    "It closes its window: no room is left, and the other end has to stop.".to_owned()
}

pub(super) fn opens_window(closed: i64, now: u64) -> String {
    format!("opens its window again, after {}: room for {}.", Time(closed), bytes(now))
}

pub(super) fn also_opens_window(closed: i64, now: u64) -> String {
    format!("It {}", opens_window(closed, now))
}

pub(super) fn window_shrinks(now: u64) -> String {
    format!("Its window has shrunk to {}: its application does not keep up.", bytes(now))
}

pub(super) fn window_update(before: Option<u64>, now: u64) -> String {
    match before {
        Some(before) => format!("tells a new window: {}, which was {}.", bytes(now), Count(before)),
        None => format!("tells a new window: {}.", bytes(now)),
    }
}

pub(super) fn window_probe(peer: End) -> String {
    format!("asks whether the {}'s window has opened (window probe).", end(peer))
}

pub(super) fn still_closed() -> String {
    "answers that its window is still closed.".to_owned()
}

pub(super) fn keep_alive(silence: i64, peer: End) -> String {
    if silence < 0 {
        return format!("asks whether the {} is still there (keep-alive); {CLOCK_WENT_BACK}.", end(peer));
    }
    format!("asks after {} of silence whether the {} is still there (keep-alive).", Time(silence), end(peer))
}

pub(super) fn keep_alive_ack() -> String {
    "answers that it is.".to_owned()
}

// Congestion.

pub(super) fn congestion_marked() -> String {
    "A router has marked this packet: congestion (CE).".to_owned()
}

pub(super) fn congestion_echoed() -> String {
    "It reports the congestion that a router has marked (ECE).".to_owned()
}

pub(super) fn window_reduced() -> String {
    "It has slowed down (CWR).".to_owned()
}

// The end.

pub(super) fn closes(first: bool, peer: End) -> String {
    match first {
        true => format!("has no more to send, and closes its half (FIN). The {} may go on.", end(peer)),
        false => "has no more to send either, and closes the other half (FIN).".to_owned(),
    }
}

pub(super) fn is_over(waits: Option<End>) -> String {
    match waits {
        Some(waits) => format!(
            "With that the connection is over. The {} keeps its port for a while (TIME-WAIT).",
            end(waits)
        ),
        None => "With that the connection is over.".to_owned(),
    }
}

pub(super) fn refuses() -> String {
    "refuses (RST): nobody listens on that port.".to_owned()
}

pub(super) fn resets(lost: u64) -> String {
    match lost {
        0 => "breaks the connection off (RST).".to_owned(),
        lost => format!("breaks the connection off (RST), with {} not acknowledged.", bytes(lost)),
    }
}

pub(super) fn resets_after_close() -> String {
    "answers with a reset (RST): it knows of no such connection any more.".to_owned()
}

pub(super) fn reset_ignored() -> String {
    "sends a reset (RST) outside of the window, which the other end ignores.".to_owned()
}

pub(super) fn after_close() -> String {
    "The connection had been reset.".to_owned()
}

// What is ignored.

pub(super) fn damaged() -> String {
    "sends a segment that has been damaged on its way: its checksum is wrong, and it is dropped.".to_owned()
}

pub(super) fn stray_syn() -> String {
    "asks for a connection (SYN) where one is alive already. As long as that is not accepted, it changes nothing."
        .to_owned()
}

pub(super) fn of_earlier(from: End) -> String {
    match from {
        End::Server => {
            "answers for an earlier connection between these ports, which it does not know to be over."
                .to_owned()
        }
        End::Client => "resets that earlier connection (RST), and will ask again.".to_owned(),
    }
}

// Short stories leave packets out.

pub(super) fn left_out(data: &[(End, u64, u64)], acks: u64) -> String {
    let mut parts: Vec<String> = data
        .iter()
        .map(|(from, segments, len)| {
            format!("{} with {} from the {}", several(*segments, "segment"), bytes(*len), end(*from))
        })
        .collect();
    if acks > 0 {
        parts.push(several(acks, "acknowledgment"));
    }
    format!("… {}", list(&parts))
}

// Numbers, for those who want all of them.

pub(super) struct Details {
    pub(super) seq: i64,
    pub(super) end: i64,
    pub(super) ack: Option<i64>,
    pub(super) window: u64,
    pub(super) scale_unknown: bool,
    pub(super) in_flight: u64,
    pub(super) room: Option<u64>,
    pub(super) srtt: Option<i64>,
    pub(super) states: [State; 2],
}

pub(super) fn details(d: &Details) -> String {
    let mut parts = vec![format!("seq {}", d.seq)];
    if d.end > d.seq {
        parts[0] = format!("seq {}:{}", d.seq, d.end);
    }
    parts.extend(d.ack.map(|ack| format!("ack {ack}")));
    let unknown = if d.scale_unknown { " (scale unknown)" } else { "" };
    parts.push(format!("window {}{unknown}", Count(d.window)));
    if d.in_flight > 0 {
        parts.push(format!("{} in flight", Count(d.in_flight)));
        parts.extend(d.room.map(|room| format!("room for {}", Count(room))));
    }
    parts.extend(d.srtt.map(|srtt| format!("smoothed RTT {}", Time(srtt))));
    let [client, server] = d.states.map(State::name);
    parts.push(format!("client {client}, server {server}"));
    parts.join("; ")
}

pub(super) fn missing(packets: u64) -> String {
    match packets {
        1 => "a packet before this one is missing: the capture did not keep up".to_owned(),
        n => format!("{} packets before this one are missing: the capture did not keep up", Count(n)),
    }
}

pub(super) fn note_of_capture(comment: &str) -> String {
    format!("note in the capture: {comment}")
}

// Other protocols.

pub(super) fn looks_up(questions: &[(String, String)]) -> String {
    let asked: Vec<String> = questions
        .iter()
        .map(|(name, kind)| match kind.as_str() {
            "A" => format!("the address of {name}"),
            "AAAA" => format!("the IPv6 address of {name}"),
            "PTR" => format!("the name behind {name}"),
            "MX" => format!("who takes mail for {name}"),
            "NS" => format!("the name servers of {name}"),
            kind => format!("{kind} of {name}"),
        })
        .collect();
    format!("asks the name server for {}.", list(&asked))
}

pub(super) fn look_up_answered(asked: Option<(u64, i64)>, answer: &str) -> String {
    match asked {
        Some((packet, after)) if after < 0 => {
            format!("answers packet {packet} ({CLOCK_WENT_BACK}): {answer}.")
        }
        Some((packet, after)) => format!("answers packet {packet} after {}: {answer}.", Time(after)),
        None => format!("answers: {answer}."),
    }
}

pub(super) fn no_such_name(result: &str) -> String {
    match result.eq_ignore_ascii_case("NXDOMAIN") {
        true => "there is no such name".to_owned(),
        false => format!("it cannot tell ({result})"),
    }
}

pub(super) fn no_such_record() -> String {
    "the name exists, but has no such record".to_owned()
}

pub(super) fn record_is(name: &str, kind: &str, value: &str) -> String {
    match kind {
        "A" | "AAAA" => format!("{name} is {value}"),
        "CNAME" => format!("{name} is another name of {value}"),
        kind => format!("{name} has {kind} {value}"),
    }
}

pub(super) fn more_records(n: usize) -> String {
    format!("and {n} more records")
}

pub(super) fn udp(len: u64, source: u16, destination: u16, in_fragments: bool) -> String {
    let parts = if in_fragments { ", in parts of which this is the first" } else { "" };
    format!("sends a datagram with {}, port {source} to {destination}{parts}.", bytes(len))
}

pub(super) fn who_has(target: &dyn Display, to_all: bool) -> String {
    match to_all {
        true => format!("asks all on the link who has {target} (ARP)."),
        false => format!("asks whether it has {target} (ARP)."),
    }
}

pub(super) fn announces(address: &dyn Display) -> String {
    format!("tells all on the link that it has {address} (gratuitous ARP).")
}

pub(super) fn is_at(address: &dyn Display, at: &str) -> String {
    format!("answers that {address} is at {at} (ARP).")
}

pub(super) fn echo(answer: bool) -> String {
    if answer { "answers the ping.".to_owned() } else { "asks whether anybody is there (ping).".to_owned() }
}

pub(super) fn unreachable(what: &str, quoted: Option<&str>) -> String {
    let about = quoted.map_or(String::new(), |quoted| format!(" about {quoted}"));
    format!("reports{about}: {what} (ICMP).")
}

pub(super) const NO_HOST: &str = "the destination cannot be reached";
pub(super) const NO_PORT: &str = "nobody listens on that port";
pub(super) const NO_NETWORK: &str = "there is no way to that network";
pub(super) const FORBIDDEN: &str = "a filter forbids it";
pub(super) const TOO_BIG: &str = "the packet is too big for the way and may not be cut";
pub(super) const EXPIRED: &str = "the packet has passed too many routers";
pub(super) const BAD_PACKET: &str = "the packet's header is wrong";
pub(super) const SLOWER: &str = "packets come too fast (Source Quench)";
pub(super) const REDIRECT: &str = "there is a shorter way";

pub(super) fn asks_neighbour() -> String {
    "asks for the link address of a neighbour (Neighbor Solicitation).".to_owned()
}

pub(super) fn answers_neighbour() -> String {
    "tells its link address (Neighbor Advertisement).".to_owned()
}

pub(super) fn asks_router() -> String {
    "asks for routers (Router Solicitation).".to_owned()
}

pub(super) fn is_router() -> String {
    "tells that it is a router (Router Advertisement).".to_owned()
}

pub(super) fn asks_time() -> String {
    "asks what time it is (ICMP Timestamp).".to_owned()
}

pub(super) fn tells_time() -> String {
    "tells what time it is (ICMP Timestamp Reply).".to_owned()
}

pub(super) fn asks_mask() -> String {
    "asks how long the network's prefix is (ICMP Address Mask Request).".to_owned()
}

pub(super) fn tells_mask() -> String {
    "tells how long the network's prefix is (ICMP Address Mask Reply).".to_owned()
}

pub(super) fn asks_listeners() -> String {
    "asks who listens to multicast groups (Multicast Listener Query).".to_owned()
}

pub(super) fn listens() -> String {
    "tells which multicast groups it listens to (Multicast Listener Report).".to_owned()
}

pub(super) fn listens_no_more() -> String {
    "tells that it has left a multicast group (Multicast Listener Done).".to_owned()
}

pub(super) fn other_icmp(protocol: &str, kind: u8) -> String {
    format!("sends an {protocol} message of type {kind}.")
}

pub(super) fn fragment(offset: u16) -> String {
    format!("sends a part of a packet, from byte {offset} on.")
}

pub(super) fn other_protocol(number: u8) -> String {
    format!("sends a packet of IP protocol {number}.")
}

pub(super) fn other_frame(ethertype: u16) -> String {
    format!("a frame of type 0x{ethertype:04x}.")
}

pub(super) fn unreadable() -> String {
    "too little of the packet was captured to tell anything.".to_owned()
}

pub(super) fn unknown_link(number: u16) -> String {
    format!("a packet of link type {number}, which is not known here.")
}

pub(super) fn negotiates(protocol: &dyn Display, message: &dyn Display) -> String {
    format!("sets up the link, {protocol}: {message}")
}

pub(super) fn ppp_frame(protocol: &dyn Display) -> String {
    format!("sends a PPP frame of {protocol}.")
}

pub(super) fn tossed(why: &dyn Display) -> String {
    format!("sends a compressed packet that cannot be put together: {why}. It is tossed.")
}

pub(super) const THIS_END: &str = "this end";
pub(super) const OTHER_END: &str = "the other end";
pub(super) const SOME_END: &str = "an end";

// The summary.

pub(super) fn heading(summary: &Summary, service: Option<&str>) -> String {
    let service = service.map_or(String::new(), |name| format!(" ({name})"));
    format!("Connection {}: {} to {}{service}", summary.id, summary.client, summary.server)
}

pub(super) fn lasted(summary: &Summary) -> String {
    let handshake =
        summary.handshake_ns.map_or(String::new(), |ns| format!("; the handshake took {}", Time(ns)));
    format!(
        "It lasted {}, with {}{handshake}.",
        Time(summary.duration_ns),
        several(summary.packets(), "packet")
    )
}

pub(super) fn carried(summary: &Summary, goodput: Option<(End, f64)>) -> String {
    let (client, server) = (&summary.from_client, &summary.from_server);
    let rate = goodput.map_or(String::new(), |(from, rate)| {
        format!(" The {}'s data went at {} (goodput).", end(from), Rate(rate))
    });
    format!("The client sent {}, the server {}.{rate}", bytes(client.bytes), bytes(server.bytes))
}

pub(super) fn round_trips(summary: &Summary) -> Option<String> {
    let of = |end: End| {
        let rtt = if end == End::Client { summary.client_rtt } else { summary.server_rtt };
        let (min, avg, max) = (rtt.min_ns?, rtt.avg_ns?, rtt.max_ns?);
        let times = format!("the {}'s after {} / {} / {}", self::end(end), Time(min), Time(avg), Time(max));
        (summary.from(end).bytes > 0).then_some(times)
    };
    let both: Vec<String> = [End::Client, End::Server].into_iter().filter_map(of).collect();
    let told = list(&both);
    (!told.is_empty())
        .then(|| format!("Data was acknowledged, seen from here, {told} (shortest / average / longest)."))
}

pub(super) fn losses(summary: &Summary) -> String {
    let told: Vec<String> =
        [End::Client, End::Server].into_iter().filter_map(|end| losses_of(summary, end)).collect();
    let late = summary.from_client.out_of_order + summary.from_server.out_of_order;
    let late = match late {
        0 => String::new(),
        1 => " One segment was overtaken on its way.".to_owned(),
        n => format!(" {} segments were overtaken on their way.", Count(n)),
    };
    match told.is_empty() {
        true => format!("Nothing was sent twice.{late}"),
        false => format!("{}{late}", told.join(" ")),
    }
}

fn losses_of(summary: &Summary, from: End) -> Option<String> {
    let counts = summary.from(from);
    if counts.retransmissions == 0 {
        return None;
    }
    let mut why = Vec::new();
    let mut note = |n: u64, what: &str| {
        if n > 0 {
            why.push(format!("{} {what}", Count(n)));
        }
    };
    note(counts.fast_retransmissions, "by duplicate ACKs and SACK");
    note(counts.timeouts, "by timeout");
    note(counts.tail_probes, "as tail loss probes");
    let told = counts.fast_retransmissions + counts.timeouts + counts.tail_probes;
    if told > 0 {
        note(counts.retransmissions.saturating_sub(told), "otherwise");
    }
    let why = if why.is_empty() { String::new() } else { format!(": {}", list(&why)) };
    // Not another reason: those with one may have been needless, too.
    let needless = match counts.needless_retransmissions.min(counts.retransmissions) {
        0 => String::new(),
        1 if counts.retransmissions == 1 => "; it was needless".to_owned(),
        n => format!("; {} of these needlessly", Count(n)),
    };
    let with_data = counts.retransmissions.saturating_sub(counts.retransmissions_without_data);
    let share = with_data as f64 * 100.0 / counts.data_segments.max(1) as f64;
    let which = match (counts.retransmissions, with_data) {
        (1, 0) => "without data".to_owned(),
        (_, 0) => "none of them with data".to_owned(),
        (all, n) if all == n => format!("{share:.1} % of those with data"),
        (_, n) => format!("{} of them with data, {share:.1} % of all with data", Count(n)),
    };
    Some(format!(
        "The {} sent {} again, {which}{why}{needless}.",
        end(from),
        several(counts.retransmissions, "segment")
    ))
}

pub(super) fn windows(summary: &Summary) -> Option<String> {
    let told = [End::Client, End::Server].into_iter().filter_map(|end| {
        let counts = summary.from(end);
        let times = match counts.windows_closed {
            0 => return None,
            1 => "once".to_owned(),
            n => format!("{} times", Count(n)),
        };
        Some(format!(
            "The {}'s window was closed {times}, for {} in all.",
            self::end(end),
            Time(counts.closed_ns as i64)
        ))
    });
    let told: Vec<String> = told.collect();
    (!told.is_empty()).then(|| told.join(" "))
}

pub(super) fn closing(summary: &Summary) -> String {
    let took = summary.closing_ns.map_or(String::new(), |ns| format!("; that took {}", Time(ns)));
    match (summary.closed_by, summary.closed_how) {
        (Some(by), Some(Close::Fin)) if summary.states.iter().all(|s| is_closed(*s)) => {
            format!("The {} closed first{took}.", end(by))
        }
        (Some(by), Some(Close::Fin)) => {
            format!("The {} closed its half; the capture does not show the end of the other.", end(by))
        }
        (Some(by), _) => format!("The {} broke it off by a reset.", end(by)),
        (None, _) => "It was still open when the capture ended.".to_owned(),
    }
}

fn is_closed(state: State) -> bool {
    matches!(state, State::Closed | State::TimeWait)
}

pub(super) fn incomplete(summary: &Summary) -> Option<String> {
    let lacking = summary.from_client.not_captured_bytes + summary.from_server.not_captured_bytes;
    let mut parts = Vec::new();
    if lacking > 0 {
        parts.push(format!("{} were acknowledged that the capture does not have", bytes(lacking)));
    }
    if summary.cut_bytes > 0 {
        parts.push(format!("{} of data are cut off", bytes(summary.cut_bytes)));
    }
    (!parts.is_empty()).then(|| format!("The capture is not complete: {}.", list(&parts)))
}

pub(super) fn all(packets: u64, time: i64, connections: u64, look_ups: u64) -> String {
    let mut parts = Vec::new();
    if connections > 0 {
        parts.push(several(connections, "TCP connection"));
    }
    if look_ups > 0 {
        parts.push(several(look_ups, "DNS look-up"));
    }
    let what = if parts.is_empty() { String::new() } else { format!(": {}", list(&parts)) };
    format!("{} in {}{what}.", several(packets, "packet"), Time(time))
}

pub(super) fn forgotten(n: u64) -> String {
    format!(
        "{} were taken out to make room; their packets begin connections anew.",
        several(n, "silent connection")
    )
}

pub(super) fn other_view(interface: u32) -> String {
    format!("The same connections were also seen on interface {interface}; they are told once.")
}

pub(crate) fn reading_failed(error: &str) -> String {
    format!("Here the capture ends: {error}")
}

// The picture. Arrows have the terms of the protocol, which are the same in every language.

pub(crate) const DIAGRAM_TITLE: &str = "TCP sequence diagram";
pub(crate) const CLIENT: &str = "client";
pub(crate) const SERVER: &str = "server";
pub(crate) const LEGEND: [(&str, &str); 6] = [
    ("data", "data"),
    ("ack", "acknowledgment"),
    ("open", "SYN, FIN, RST"),
    ("again", "sent again"),
    ("lost", "lost"),
    ("odd", "duplicate ACK, out of order, window"),
];

pub(crate) fn overview(end: End) -> String {
    format!("Bytes of the {} over time: a dot for each segment. A click goes to the packet.", self::end(end))
}

pub(crate) fn pause(ns: i64) -> String {
    format!("{} pass", Time(ns))
}

pub(crate) fn not_drawn(packets: u64) -> String {
    format!("{} more packets are not drawn.", Count(packets))
}

pub(crate) fn no_connection() -> String {
    "There is no TCP connection in this capture.".to_owned()
}

pub(crate) fn help() -> String {
    "n and p go to the next and the previous remark; point at an arrow for all that is known of the packet."
        .to_owned()
}

pub(crate) fn only_remarks() -> String {
    "hide acknowledgments".to_owned()
}

pub(crate) fn more_connections(n: u64) -> String {
    format!("{} are not drawn: --connection N draws one.", several(n, "more connection"))
}
