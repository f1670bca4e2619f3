//! Fast Open towards a service of the worker: it has the data of a SYN before the handshake is complete.

use std::sync::{Arc, Mutex};

use bypath::by_hand::Stack;
use bypath::{CloseReason, ConnectionId, Service, ServiceConnection, TcpState};
use bypath_wire::tcp::TcpOptions;

use crate::net::*;
use crate::raw::*;

/// Answers what it is asked, takes data with SYNs for so many at once, and tells what it was called for.
struct Answers {
    limit: usize,
    told: Arc<Mutex<Vec<String>>>,
}

impl Answers {
    fn tell(&self, what: String) {
        self.told.lock().unwrap().push(what);
    }
}

impl Service for Answers {
    fn fast_open(&self) -> usize {
        self.limit
    }

    fn on_open(&mut self, connection: &mut ServiceConnection<'_>) {
        self.tell(format!("open {:?}", connection.state()));
    }

    fn on_data(&mut self, connection: &mut ServiceConnection<'_>, data: &[u8]) {
        assert_eq!(connection.write(b"answer"), 6);
        if data == b"abort" {
            connection.abort();
        }
        self.tell(format!("{} bytes {:?}", data.len(), connection.state()));
    }

    fn on_closed(&mut self, _: ConnectionId, reason: CloseReason) {
        self.tell(format!("closed {reason:?}"));
    }
}

/// A stack with the service, and a cookie for peer 9.
fn served(limit: usize) -> (Lone, Option<TcpOptions>, Arc<Mutex<Vec<String>>>) {
    let told = Arc::default();
    let service = Answers { limit, told: Arc::clone(&told) };
    let stack = Stack::with_service(&options(B), service, &[80]).unwrap();
    let mut lone = Lone { stack: with_addresses(stack, B), now: 0 };
    let ask = TcpOptions { mss: Some(1_460), fast_open: Some(Default::default()), ..TcpOptions::default() };
    let syn_ack = lone.answer(&Tcp::new(peer(9), SYN, 0, 0).options(ask.clone()));
    let options = syn_ack.options.fast_open.map(|cookie| TcpOptions { fast_open: Some(cookie), ..ask });
    lone.pass(100 * SECOND);
    assert_eq!(lone.stack.connections(), 0);
    (lone, options, told)
}

fn syn(port: u16, options: &TcpOptions, bytes: &[u8]) -> Tcp {
    let syn = Tcp { peer: (peer(9).0, port), ..Tcp::new(peer(9), SYN, 50, 0) };
    syn.options(options.clone()).payload(bytes)
}

#[test]
fn a_service_answers_the_data_of_a_syn_before_the_handshake_is_complete_and_is_told_once() {
    let (mut lone, options, told) = served(4);
    let sent = lone.give(&syn(2_000, &options.unwrap(), b"question"));
    let seen: Vec<_> = sent.iter().map(|s| (s.flags.contains(SYN), s.ack, s.payload.clone())).collect();
    assert_eq!(seen, [(true, 59, Vec::new()), (false, 59, b"answer".to_vec())]);
    let ack = Tcp { peer: (peer(9).0, 2_000), ..Tcp::new(peer(9), ACK, 59, sent[1].seq + 6) };
    lone.give(&ack);
    lone.give(&Tcp { flags: ACK | FIN, ..ack });
    assert_eq!(*told.lock().unwrap(), ["open SynReceived", "8 bytes SynReceived"]);
    assert_eq!(lone.counted("fast_open_taken"), 1);
}

#[test]
fn a_service_that_does_not_ask_for_it_has_data_after_the_handshake_only() {
    let (lone, options, _) = served(0);
    assert_eq!((options, lone.counted("fast_open_taken")), (None, 0));
}

#[test]
fn no_more_wait_than_the_service_allows_and_whoever_goes_makes_room() {
    let (mut lone, options, told) = served(1);
    let options = options.unwrap();
    let first = lone.give(&syn(2_000, &options, b"question"));
    assert_eq!(lone.answer(&syn(2_001, &options, b"question")).ack, 51, "as always");
    assert_eq!(lone.counted("fast_open_limit"), 1);
    // The first completes its handshake.
    lone.give(&Tcp { peer: (peer(9).0, 2_000), ..Tcp::new(peer(9), ACK, 59, first[0].seq + 1) });
    assert_eq!(lone.give(&syn(2_002, &options, b"question"))[0].ack, 59);
    // This one never does, and is given up.
    lone.pass(200 * SECOND);
    assert!(told.lock().unwrap().contains(&"closed TimedOut".to_string()), "{told:?}");
    assert_eq!(lone.give(&syn(2_003, &options, b"question"))[0].ack, 59);
    // And this one is aborted by its peer.
    lone.give(&Tcp { peer: (peer(9).0, 2_003), ..Tcp::new(peer(9), RST, 59, 0) });
    assert_eq!(lone.give(&syn(2_004, &options, b"abort"))[0].flags, RST | ACK);
    assert_eq!(lone.give(&syn(2_005, &options, b"question"))[0].ack, 59);
    assert_eq!(lone.counted("fast_open_taken"), 5);
}

#[test]
fn a_service_has_the_state_of_its_connection_in_hand_when_its_data_came_early() {
    let mut net = Net::clean();
    let told = Arc::default();
    let service = Answers { limit: 4, told: Arc::clone(&told) };
    net.stacks[B] = with_addresses(Stack::with_service(&options(B), service, &[80]).unwrap(), B);
    for _ in 0..2 {
        let (client, _) = net.stacks[A].connect_with_data(Family::V4.at(B, 80), 0, b"question").unwrap();
        net.run(SECOND);
        let mut buffer = [0; 16];
        assert_eq!(net.stacks[A].recv(client, &mut buffer).unwrap(), Some(6));
        net.stacks[A].close(client);
        net.run(SECOND);
    }
    let early = format!("8 bytes {:?}", TcpState::SynReceived);
    let told = told.lock().unwrap();
    assert_eq!(told.iter().filter(|t| **t == early).count(), 1, "{told:?}");
    assert_eq!(told.iter().filter(|t| t.starts_with("open")).count(), 2);
    assert_eq!((net.counted(A, "fast_open_sent"), net.connections()[B]), (1, 0));
}
