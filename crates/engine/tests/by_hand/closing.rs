//! Connections that end: in order, at once, by accident.

use std::io::ErrorKind;

use crate::net::*;

#[test]
fn a_half_closed_connection_still_carries_the_other_direction() {
    let mut net = Net::clean();
    let (client, server, _) = net.connected(Family::V4);
    net.stacks[A].send(client, b"request").unwrap();
    net.stacks[A].shutdown(client).unwrap();
    assert_eq!(net.stacks[A].send(client, b"more").unwrap_err().kind(), ErrorKind::BrokenPipe);
    net.run(SECOND);
    let mut buffer = [0; 64];
    assert_eq!(net.stacks[B].recv(server, &mut buffer).unwrap(), Some(7));
    assert_eq!(net.stacks[B].recv(server, &mut buffer).unwrap(), Some(0));
    net.run(30 * SECOND);
    net.stacks[B].send(server, b"the answer").unwrap();
    net.run(SECOND);
    assert_eq!(net.stacks[A].recv(client, &mut buffer).unwrap(), Some(10));
    assert_eq!(net.stacks[A].recv(client, &mut buffer).unwrap(), None);
    net.stacks[B].close(server);
    net.run(SECOND);
    assert_eq!(net.stacks[A].recv(client, &mut buffer).unwrap(), Some(0));
}

#[test]
fn who_closes_first_keeps_time_wait_and_then_nothing_is_left() {
    for family in FAMILIES {
        let mut net = Net::clean();
        let (client, server, _) = net.connected(family);
        net.stacks[A].close(client);
        net.run(SECOND);
        net.stacks[B].close(server);
        net.run(SECOND);
        assert_eq!(net.connections(), [1, 0]);
        net.run(61 * SECOND);
        assert_eq!(net.connections(), [0, 0]);
        assert_eq!(net.stacks[A].next_deadline(), None);
    }
}

#[test]
fn both_may_close_at_the_same_time() {
    for seed in 0..8 {
        let mut net = Net::new([options(A), options(B)], if seed == 0 { CLEAN } else { BAD }, seed);
        let (client, server, _) = net.connected(Family::V4);
        net.run(SECOND);
        net.stacks[A].close(client);
        net.stacks[B].close(server);
        net.run(300 * SECOND);
        assert_eq!(net.connections(), [0, 0], "seed {seed}");
    }
}

#[test]
fn what_was_written_before_close_is_delivered() {
    for seed in 0..8 {
        let mut net = Net::new([ethernet(A), ethernet(B)], BAD, seed);
        let (client, server, _) = net.connected(Family::V6);
        let given = net.stacks[A].send(client, &stream(0, 0, 200_000)).unwrap();
        net.stacks[A].close(client);
        let mut b = Pump::new(B, server, 0);
        assert!(net.until(120 * SECOND, |net| {
            b.turn(net);
            b.ended
        }));
        assert_eq!(b.received, given as u64);
        net.stacks[B].close(server);
        net.run(400 * SECOND);
        assert_eq!(net.connections(), [0, 0]);
    }
}

#[test]
fn an_abort_resets_the_peer_in_mid_stream() {
    let mut net = Net::clean();
    let (client, server, _) = net.connected(Family::V4);
    net.stacks[A].send(client, &[7; 100_000]).unwrap();
    net.run(3 * MS);
    net.stacks[A].abort(client).unwrap();
    net.run(SECOND);
    assert_eq!(net.connections(), [0, 0]);
    assert!(net.stacks[A].is_closed(client) && net.stacks[B].is_closed(server));
    let mut buffer = vec![0; 200_000];
    while let Ok(Some(n)) = net.stacks[B].recv(server, &mut buffer) {
        assert!(n > 0, "a reset is not an end of stream");
    }
    let error = net.stacks[B].recv(server, &mut buffer).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
}

#[test]
fn closing_with_unread_data_resets_the_peer() {
    let mut net = Net::clean();
    let (client, server, _) = net.connected(Family::V4);
    net.stacks[A].send(client, b"never read").unwrap();
    net.run(SECOND);
    net.stacks[B].close(server);
    net.run(SECOND);
    assert_eq!(net.stacks[A].is_connected(client).unwrap_err().kind(), ErrorKind::ConnectionReset);
    assert_eq!(net.connections(), [0, 0]);
}

#[test]
fn data_for_a_socket_that_is_gone_is_answered_with_a_reset() {
    let mut net = Net::clean();
    let (client, server, _) = net.connected(Family::V4);
    net.stacks[B].close(server);
    net.run(SECOND);
    net.stacks[A].send(client, b"anybody there?").unwrap();
    net.run(SECOND);
    assert_eq!(net.stacks[A].is_connected(client).unwrap_err().kind(), ErrorKind::ConnectionReset);
    assert_eq!(net.connections(), [0, 0]);
}

#[test]
fn a_port_is_used_again_right_after_time_wait_and_by_the_peer_before() {
    let mut net = Net::clean();
    let listener = net.stacks[B].listen(Family::V4.at(B, 80), 8);
    for round in 0..20 {
        // The server closes first, so that TIME-WAIT is on its side, and the client comes from the same port.
        let client = net.stacks[A].connect(Family::V4.at(B, 80), 4321).unwrap();
        net.run(SECOND);
        assert!(net.stacks[A].is_connected(client).unwrap(), "round {round}");
        let server = net.stacks[B].accept(listener).unwrap();
        net.stacks[B].close(server);
        net.run(SECOND);
        net.stacks[A].close(client);
        net.run(SECOND);
        assert_eq!(net.connections(), [0, 1]);
    }
    net.run(61 * SECOND);
    assert_eq!(net.connections(), [0, 0]);
}

#[test]
fn a_thousand_connections_come_and_go_and_nothing_stays() {
    let mut net = Net::new([ethernet(A), ethernet(B)], Wire { loss: 20, ..CLEAN }, 5);
    let listener = net.stacks[B].listen(Family::V4.at(B, 80), 64);
    let mut buffer = [0; 64];
    for _ in 0..50 {
        let clients: Vec<_> =
            (0..20).map(|_| net.stacks[A].connect(Family::V4.at(B, 80), 0).unwrap()).collect();
        let (mut servers, mut done) = (Vec::new(), 0);
        let open =
            net.until(60 * SECOND, |net| clients.iter().all(|c| net.stacks[A].is_connected(*c).unwrap()));
        assert!(open);
        for client in &clients {
            assert_eq!(net.stacks[A].send(*client, b"hello").unwrap(), 5);
            net.stacks[A].shutdown(*client).unwrap();
        }
        net.until(60 * SECOND, |net| {
            while let Some(server) = net.stacks[B].accept(listener) {
                servers.push(server);
            }
            servers.retain(|server| {
                let at_end = matches!(net.stacks[B].recv(*server, &mut buffer), Ok(Some(0)));
                if at_end {
                    net.stacks[B].close(*server);
                    done += 1;
                }
                !at_end
            });
            done == 20
        });
        assert_eq!(done, 20);
        for client in clients {
            net.stacks[A].close(client);
        }
    }
    net.run(400 * SECOND);
    assert_eq!(net.connections(), [0, 0]);
}

#[test]
fn connections_that_nobody_accepted_end_with_their_listener() {
    let mut net = Net::clean();
    let listener = net.stacks[B].listen(Family::V4.at(B, 80), 8);
    let first = net.stacks[A].connect(Family::V4.at(B, 80), 0).unwrap();
    let talker = net.stacks[A].connect(Family::V4.at(B, 80), 0).unwrap();
    net.run(SECOND);
    net.stacks[A].send(talker, b"hello").unwrap();
    // One is still on its way when the listener goes.
    let late = net.stacks[A].connect(Family::V4.at(B, 80), 0).unwrap();
    net.run(MS + MS / 2);
    net.stacks[B].close_listener(listener);
    net.run(SECOND);
    // With the listener went the half-open connection too. Those that had waited in vain are reset as on Linux,
    // whether or not they had sent something.
    for socket in [first, talker, late] {
        assert_eq!(net.stacks[A].is_connected(socket).unwrap_err().kind(), ErrorKind::ConnectionReset);
    }
    net.run(100 * SECOND);
    assert_eq!(net.connections(), [0, 0]);
    let refused = net.stacks[A].connect(Family::V4.at(B, 80), 0).unwrap();
    net.run(SECOND);
    assert_eq!(net.stacks[A].is_connected(refused).unwrap_err().kind(), ErrorKind::ConnectionRefused);
}
