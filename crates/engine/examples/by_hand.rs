//! Two stacks, a wire that loses a packet now and then, and a clock that this program moves: a whole TCP
//! conversation without a network, a thread or root.
//!
//! ```sh
//! cargo run -p bypath --example by_hand
//! ```

use std::io::Result;

use bypath::Instant;
use bypath::by_hand::{Stack, StackOptions};

const DELAY_NS: u64 = 5_000_000;
const BYTES: usize = 1_000_000;

fn stack(address: &str, seed: u64) -> Result<Stack> {
    let mut stack = Stack::new(&StackOptions { seed, ..StackOptions::default() })?;
    stack.add_address(address.parse().expect("an address"), 24);
    Ok(stack)
}

fn main() -> Result<()> {
    let mut stacks = [stack("198.18.0.1", 1)?, stack("198.18.0.2", 2)?];
    let server = "198.18.0.2:80".parse().expect("an address");
    let listener = stacks[1].listen(server, 8);
    let client = stacks[0].connect(server, 0)?;

    // Packets under way, in the order of their arrival: when, to whom, bytes.
    let mut wire = std::collections::VecDeque::<(u64, usize, Vec<u8>)>::new();
    let (mut now, mut packets, mut lost) = (0u64, 0u64, 0u64);
    let (mut accepted, mut given, mut got) = (None, 0, 0);
    let mut buffer = vec![0; 65_536];
    let data: Vec<u8> = (0..BYTES).map(|n| (n / 7) as u8).collect();

    loop {
        // What arrives now.
        while let Some((at, side, packet)) = wire.pop_front() {
            if at > now {
                wire.push_front((at, side, packet));
                break;
            }
            stacks[side].receive(Instant::from_nanos(now), &packet);
        }
        // The applications: one writes and closes, the other reads to the end.
        if stacks[0].is_connected(client)? && given < BYTES {
            if given == 0 {
                println!("{:>8.3} ms  connected", now as f64 / 1e6);
            }
            given += stacks[0].send(client, &data[given..])?;
            if given == BYTES {
                stacks[0].shutdown(client)?;
                println!("{:>8.3} ms  all of it written, this direction closed", now as f64 / 1e6);
            }
        }
        if accepted.is_none() {
            accepted = stacks[1].accept(listener);
        }
        if let Some(socket) = accepted {
            while let Some(n) = stacks[1].recv(socket, &mut buffer)? {
                if n == 0 {
                    println!("{:>8.3} ms  end of the stream after {got} bytes", now as f64 / 1e6);
                    println!(
                        "             {packets} packets, {lost} lost, {} segments sent again",
                        stacks[0].retransmits() + stacks[1].retransmits()
                    );
                    return Ok(());
                }
                assert_eq!(&buffer[..n], &data[got..got + n], "the bytes that were sent");
                got += n;
            }
        }
        // What they want to send. Every hundredth packet is lost.
        for side in [0, 1] {
            stacks[side].poll(Instant::from_nanos(now));
            while let Some(packet) = stacks[side].transmit() {
                packets += 1;
                if packets % 100 == 0 {
                    lost += 1;
                } else {
                    wire.push_back((now + DELAY_NS, 1 - side, packet));
                }
            }
        }
        // The next thing that happens: a packet arrives, or a timer fires.
        let timers = stacks.iter().filter_map(|s| s.next_deadline().map(Instant::as_nanos));
        let arrival = wire.front().map(|(at, ..)| *at);
        now = timers.chain(arrival).min().expect("something is to happen").max(now);
    }
}
