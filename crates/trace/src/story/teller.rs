//! Which sentences a segment is worth.

use std::net::SocketAddr;

use crate::conversation::{Cause, Conversation, End, Kind, Marks, Observation, Segment, State};
use crate::layers::TcpFlags;

use super::Detail;
use super::sentences as say;
use super::talk::{Talk, Words};

/// What the story says about a packet.
pub(super) struct Remark {
    pub(super) text: String,
    /// A short story tells it.
    pub(super) matters: bool,
}

/// What is known from elsewhere about a connection that begins.
#[derive(Default)]
pub(super) struct Background {
    /// The name that the server's address was looked up by, and where.
    pub(super) name: Option<(String, u64)>,
    /// The packet that announced this data connection, and who sent it.
    pub(super) announced: Option<(u64, End)>,
    /// What it is for.
    pub(super) command: Option<String>,
}

/// Sentences, one after the other.
#[derive(Default)]
struct Text(String);

impl Text {
    /// A clause that more may be said in.
    fn clause(&mut self, clause: &str) {
        self.0.push_str(clause);
    }

    fn full_stop(&mut self) {
        if !self.0.ends_with(['.', ':']) {
            self.0.push('.');
        }
    }

    fn sentence(&mut self, sentence: &str) {
        if !self.0.is_empty() {
            self.full_stop();
            self.0.push(' ');
        }
        self.0.push_str(sentence);
    }
}

/// The remark about a segment.
pub(super) fn remark(
    o: &Observation,
    segment: &Segment<'_>,
    conversation: &Conversation,
    talk: &mut Talk,
    background: &Background,
    words: &Words,
) -> Remark {
    let mut text = Text::default();
    let mut matters = opening(o, segment, conversation, talk, words, &mut text);
    matters |= match o.kind {
        Kind::Syn | Kind::SynAck | Kind::HandshakeAck => false,
        Kind::Data | Kind::Fin => data(o, segment, words, &mut text),
        Kind::Reset => reset(o, conversation, talk, &mut text),
        Kind::Ignored => ignored(o, &mut text),
        _ => answer(o, &mut text),
    };
    if o.first {
        beginning(o, segment, background, &mut text);
    }
    if o.kind == Kind::Data && o.from == End::Client && o.covered.is_some_and(|covered| covered.syn) {
        // The third segment of the handshake, with data.
        text.sentence(&say::stands(conversation.handshake()));
        if let Some(agreed) = conversation.agreed() {
            text.sentence(&say::agreed(&agreed));
        }
        matters = true;
    }
    matters |= afterwards(o, talk, &mut text);
    if o.kind == Kind::Syn || o.kind == Kind::SynAck {
        talk.answered |= o.kind == Kind::SynAck;
    }
    talk.states = o.states;
    text.full_stop();
    Remark { text: text.0, matters }
}

fn ends(from: End, segment: &Segment<'_>) -> (SocketAddr, SocketAddr) {
    if from == End::Client { (segment.from, segment.to) } else { (segment.to, segment.from) }
}

/// How a connection begins.
fn opening(
    o: &Observation,
    segment: &Segment<'_>,
    conversation: &Conversation,
    talk: &Talk,
    words: &Words,
    text: &mut Text,
) -> bool {
    let after = o.again.and_then(|again| again.after);
    let crosses = o.is(Marks::SIMULTANEOUS_OPEN);
    match o.kind {
        Kind::SynAck if crosses && o.again.is_none() => {
            text.sentence(&say::accepts_crossing(o.covered.and_then(|c| c.rtt)));
            if o.is(Marks::STANDS) {
                text.sentence(&say::stands(conversation.handshake()));
                if let Some(agreed) = conversation.agreed() {
                    text.sentence(&say::agreed(&agreed));
                }
            }
        }
        Kind::Syn if o.again.is_some() => {
            text.sentence(&say::asks_again(after, o.again.map_or(2, |again| again.times)));
        }
        Kind::Syn => {
            let ecn = segment.flags.contains(TcpFlags::ECE | TcpFlags::CWR);
            text.sentence(&say::asks_for_connection(segment.from, segment.to, &segment.options, ecn));
            if crosses {
                text.sentence(&say::opens_at_the_same_time());
            }
            match segment.options.fast_open {
                Some(0) => text.sentence(&say::asks_for_cookie()),
                Some(len) => text.sentence(&say::shows_cookie(len)),
                None => {}
            }
            in_syn(o, segment, words, text);
        }
        Kind::SynAck if o.again.is_some() => {
            text.sentence(&say::accepts_again(o.again.map_or(Cause::Unknown, |again| again.cause), after));
        }
        Kind::SynAck => {
            let after = o.covered.and_then(|c| c.rtt).or((!o.first).then_some(o.since_previous));
            text.sentence(&say::accepts(after, &segment.options, segment.has(TcpFlags::ECE)));
            if let Some(len) = segment.options.fast_open.filter(|len| *len > 0) {
                text.sentence(&say::gives_cookie(len));
            }
            if let Some(covered) = o.covered.filter(|c| c.bytes > 0) {
                let what = say::acknowledges(covered.bytes, covered.packets, false, false);
                text.sentence(&say::also_acknowledges(&what));
            }
            in_syn(o, segment, words, text);
        }
        Kind::HandshakeAck => {
            text.sentence(&say::confirms(conversation.handshake()));
            if let Some(agreed) = conversation.agreed() {
                text.sentence(&say::agreed(&agreed));
            }
        }
        _ if o.first => {}
        _ => return false,
    }
    // Of the handshake a short story tells what was asked and that it stands.
    o.first
        || crosses
        || o.kind == Kind::HandshakeAck
        || o.again.is_some()
        || talk.answered && o.kind == Kind::Syn
}

/// The data that came with a SYN.
fn in_syn(o: &Observation, segment: &Segment<'_>, words: &Words, text: &mut Text) {
    if o.is(Marks::FAST_OPEN_DATA) {
        let fast_open = segment.options.fast_open.is_some();
        text.sentence(&say::in_syn(&words.quotes, words.more, u64::from(o.len), fast_open));
    }
}

/// What is known from elsewhere about a connection that begins, behind what its first packet does.
fn beginning(o: &Observation, segment: &Segment<'_>, background: &Background, text: &mut Text) {
    if let Some((name, packet)) = &background.name {
        text.sentence(&say::address_from_look_up(name, *packet));
    }
    if let Some((packet, by)) = background.announced {
        text.sentence(&say::data_connection(packet, by, background.command.as_deref()));
    }
    if o.reuses_ports {
        text.sentence(&say::ports_taken_again());
    }
    if o.is(Marks::BEGINS_IN_THE_MIDDLE) {
        let (client, server) = ends(o.from, segment);
        text.sentence(&say::begins_in_the_middle(client, server));
    }
}

fn data(o: &Observation, segment: &Segment<'_>, words: &Words, text: &mut Text) -> bool {
    let len = u64::from(o.len);
    let (first, last) = (o.seq + i64::from(segment.has(TcpFlags::SYN)), o.seq + i64::from(o.len) - 1);
    let mut matters = !words.quotes.is_empty() || words.encrypted;
    if let Some(again) = o.again {
        text.sentence(&say::sends_again(len, first, last, again.first, again.times));
        text.sentence(&say::because(again.cause, again.after, o.from.other()));
        if again.new_bytes > 0 && again.new_bytes < len && again.first.is_some() {
            text.sentence(&say::also_new(again.new_bytes));
        }
        matters = true;
    } else if o.kind == Kind::Fin {
        // The first to close leaves the other half open; the second has got the first's FIN, or none.
        let second = matches!(
            o.states[own(o.from)],
            State::LastAck | State::Closing | State::Closed | State::TimeWait
        ) || matches!(o.states[own(o.from.other())], State::FinWait1 | State::FinWait2);
        text.sentence(&say::closes(!second, o.from.other()));
        matters = true;
    } else {
        spoken(o, words, len, first, last, text);
    }
    if o.is(Marks::FIN) && o.kind == Kind::Data {
        text.clause(", ");
        text.clause(&say::last_data());
        matters = true;
    }
    if words.encrypted {
        text.sentence(&say::encrypted());
    }
    let begins = words.complete.is_none() && (words.body.is_none() || !words.quotes.is_empty());
    if let Some(len) = words.follows.filter(|_| begins) {
        text.sentence(&say::body_follows(len));
    }
    if let Some(total) = words.complete {
        text.sentence(&say::body_complete(total));
        matters = true;
    }
    if o.gap > 0 {
        text.sentence(&say::gap(o.gap));
        matters = true;
    }
    if o.is(Marks::OUT_OF_ORDER) {
        text.sentence(&say::overtaken(None));
        matters = true;
    }
    if let Some(covered) = o.covered.filter(|c| c.bytes > 0 || c.fin) {
        let what = say::acknowledges(covered.bytes, covered.packets, covered.syn, covered.fin);
        text.sentence(&say::also_acknowledges(&what));
    }
    if o.is(Marks::WINDOW_FULL) {
        text.sentence(&say::fills_window(o.from.other()));
        matters = true;
    }
    matters
}

/// New data, in the application's words where there are any.
fn spoken(o: &Observation, words: &Words, len: u64, first: i64, last: i64, text: &mut Text) {
    if !words.quotes.is_empty() || words.more > 0 && words.body.is_none() {
        text.sentence(&say::says(o.from, words.greets, &words.quotes, words.more, len));
    } else if let Some((len, so_far, total)) = words.body {
        text.sentence(&say::sends_body(len, so_far, total));
    } else if words.understood && words.complete.is_none() && words.follows.is_none() {
        text.sentence(&say::nothing_new_to_quote(len));
    } else {
        text.sentence(&say::sends(len, first, last));
    }
}

fn own(end: End) -> usize {
    usize::from(end == End::Server)
}

fn answer(o: &Observation, text: &mut Text) -> bool {
    let peer = o.from.other();
    let mut matters = true;
    match o.kind {
        Kind::DuplicateAck(n) => {
            text.sentence(&say::duplicate_ack(n, o.ack.unwrap_or_default(), o.selective.fresh > 0));
            matters = n == 1;
        }
        Kind::WindowUpdate => match o.window.was_closed_for {
            Some(closed) => text.sentence(&say::opens_window(closed, o.window.now)),
            None => {
                text.sentence(&say::window_update(o.window.before, o.window.now));
                matters = false;
            }
        },
        Kind::KeepAlive => text.sentence(&say::keep_alive(o.since_previous, peer)),
        Kind::KeepAliveAck => text.sentence(&say::keep_alive_ack()),
        Kind::WindowProbe => text.sentence(&say::window_probe(peer)),
        Kind::WindowProbeAck => text.sentence(&say::still_closed()),
        Kind::OldAck => text.sentence(&say::old_ack()),
        Kind::Repeat => {
            text.sentence(&say::repeats());
            matters = false;
        }
        _ => match o.covered {
            Some(covered) => {
                text.sentence(&say::acknowledges(covered.bytes, covered.packets, covered.syn, covered.fin));
                if let Some(since) = covered.since.filter(|since| *since >= 0) {
                    let several = covered.packets.is_some_and(|(first, last)| first != last);
                    text.clause(&say::since_sent(since, several));
                }
                if let Some(held) = covered.held {
                    text.full_stop();
                    text.clause(&say::held(held));
                }
                matters = covered.fin;
            }
            None => {
                text.sentence(&say::repeats());
                matters = false;
            }
        },
    }
    if o.selective.fresh > 0 {
        text.sentence(&say::has_behind(o.selective.fresh, o.selective.missing));
    }
    matters
}

fn reset(o: &Observation, conversation: &Conversation, talk: &Talk, text: &mut Text) -> bool {
    let unanswered = !talk.answered && !conversation.begins_in_the_middle() && o.from == End::Server;
    let gone = matches!(talk.states[own(o.from)], State::Closed | State::TimeWait);
    text.sentence(&match () {
        () if o.is(Marks::RESET_IGNORED) => say::reset_ignored(),
        () if unanswered => say::refuses(),
        () if gone => say::resets_after_close(),
        () => say::resets(o.in_flight),
    });
    true
}

fn ignored(o: &Observation, text: &mut Text) -> bool {
    text.sentence(&match () {
        () if o.is(Marks::DAMAGED) => say::damaged(),
        () if o.is(Marks::OF_EARLIER) => say::of_earlier(o.from),
        () => say::stray_syn(),
    });
    true
}

/// What may be said of any segment.
fn afterwards(o: &Observation, talk: &mut Talk, text: &mut Text) -> bool {
    let mut matters = false;
    let mut add = |sentence: String| {
        text.sentence(&sentence);
        matters = true;
    };
    if o.is(Marks::ACKED_UNSEEN) {
        add(say::capture_lacks());
    }
    if let Some((first, end)) = o.selective.twice {
        add(say::arrived_twice(first, end - 1));
    }
    if let Some(packet) = o.needless {
        add(say::was_needless(packet));
    }
    if o.is(Marks::ZERO_WINDOW) && o.window.before != Some(0) {
        add(say::closes_window());
    }
    if let Some(closed) = o.window.was_closed_for.filter(|_| o.kind != Kind::WindowUpdate) {
        add(say::also_opens_window(closed, o.window.now));
    }
    let told = &mut talk.told_window[own(o.from)];
    let now = o.window.now;
    let plain = !o.flags.intersects(TcpFlags::SYN | TcpFlags::RST) && o.kind != Kind::Ignored;
    if plain && now > 0 && *told != u64::MAX && now <= *told / 2 {
        *told = now;
        add(say::window_shrinks(now));
    } else if plain && (*told == u64::MAX || now > *told) {
        *told = now;
    }
    if o.is(Marks::CONGESTION) {
        add(say::congestion_marked());
    }
    if !o.flags.contains(TcpFlags::SYN) && o.flags.contains(TcpFlags::ECE) {
        add(say::congestion_echoed());
    }
    if !o.flags.contains(TcpFlags::SYN) && o.flags.contains(TcpFlags::CWR) {
        add(say::window_reduced());
    }
    if o.is(Marks::AFTER_CLOSE) {
        add(say::after_close());
    }
    let over = |states: [State; 2]| states.iter().all(|s| matches!(s, State::Closed | State::TimeWait));
    if over(o.states) && !over(talk.states) && o.kind != Kind::Reset {
        let waits = [End::Client, End::Server].into_iter().find(|end| o.states[own(*end)] == State::TimeWait);
        add(say::is_over(waits));
    }
    matters
}

/// All numbers of a segment.
pub(super) fn details(o: &Observation) -> String {
    say::details(&say::Details {
        seq: o.seq,
        end: o.end(),
        ack: o.ack,
        window: o.window.now,
        scale_unknown: o.window.scale_unknown,
        in_flight: o.in_flight,
        room: o.room,
        srtt: o.srtt,
        states: o.states,
    })
}

/// Whether a packet is told in a story of this detail.
pub(super) fn is_told(remark: &Remark, detail: Detail) -> bool {
    detail != Detail::Short || remark.matters
}
