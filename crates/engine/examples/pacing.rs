//! How exactly a paced connection sends, on the real clock: the rate achieved beside the rate asked for, and how far
//! batches stray from their schedule. Two stacks by hand on one thread, 2 ms apart; once by a loop that spins, once
//! by one that sleeps until the next deadline, as an adaptive worker does.
//!
//! ```text
//! cargo run --release --example pacing
//! ```

use std::collections::VecDeque;
use std::io::Result;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroU64;
use std::time::{Duration, Instant as Clock};

use bypath::by_hand::{Stack, StackOptions};
use bypath::{CongestionControl, Instant, Pacing, TcpConfig};

const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 18, 0, 1));
const SERVER: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 18, 0, 2));
const DELAY_NS: u64 = 1_000_000;
const FOR: Duration = Duration::from_secs(2);

fn main() -> Result<()> {
    let _ = rustix::thread::set_current_timer_slack(NonZeroU64::new(1));
    println!("loop    asked MB/s  achieved  batches/s  late µs: p50   p99   max");
    for sleeps in [false, true] {
        for window in [25_000, 250_000, 1_000_000] {
            measure(window, sleeps)?;
        }
    }
    Ok(())
}

fn measure(window: u32, sleeps: bool) -> Result<()> {
    let tcp = TcpConfig {
        congestion: CongestionControl::None,
        fixed_window: window,
        pacing: Pacing::On,
        receive_buffer: 1 << 23,
        ..TcpConfig::default()
    };
    let options =
        |seed| StackOptions { tcp: tcp.clone(), seed, send_buffer: 1 << 23, ..StackOptions::default() };
    let mut stacks = [Stack::new(&options(1))?, Stack::new(&options(2))?];
    stacks[0].add_address(CLIENT, 24);
    stacks[1].add_address(SERVER, 24);
    let port = SocketAddr::new(SERVER, 9);
    let listener = stacks[1].listen(port, 1);
    let client = stacks[0].connect(port, 0)?;
    let mut server = None;
    let mut wire: VecDeque<(u64, usize, Vec<u8>)> = VecDeque::new();
    let mut buffer = vec![0; 1 << 20];
    let begin = Clock::now();
    let (mut sent, mut batches, mut measured_from) = (0u64, Vec::new(), 0u64);
    loop {
        let now_ns = begin.elapsed().as_nanos() as u64;
        let now = Instant::from_nanos(now_ns);
        while wire.front().is_some_and(|(at, ..)| *at <= now_ns)
            && let Some((_, to, packet)) = wire.pop_front()
        {
            stacks[to].receive(now, &packet);
        }
        let mut batch = 0;
        for from in [0, 1] {
            stacks[from].poll(now);
            while let Some(packet) = stacks[from].transmit() {
                batch += if from == 0 { packet.len().saturating_sub(52) as u64 } else { 0 };
                wire.push_back((now_ns + DELAY_NS, 1 - from, packet));
            }
        }
        // The first half of a second lets the round trip settle.
        if now_ns > 500_000_000 && batch > 0 {
            if measured_from == 0 {
                measured_from = now_ns;
            } else {
                sent += batch;
            }
            batches.push((now_ns, batch));
        }
        if begin.elapsed() > FOR {
            break;
        }
        server = server.or_else(|| stacks[1].accept(listener));
        if let Some(server) = server {
            while stacks[0].send(client, &buffer)? > 0 {}
            while matches!(stacks[1].recv(server, &mut buffer)?, Some(n) if n > 0) {}
        }
        if sleeps {
            let deadlines = stacks.iter().filter_map(Stack::next_deadline).map(Instant::as_nanos);
            let next = deadlines.chain(wire.front().map(|(at, ..)| *at)).min().unwrap_or(0);
            let now_ns = begin.elapsed().as_nanos() as u64;
            std::thread::sleep(Duration::from_nanos(next.saturating_sub(now_ns)));
        }
    }
    let Some(info) = stacks[0].tcp_info(client) else { return Ok(()) };
    let asked = info.pacing_rate as f64;
    let took = (batches.last().map_or(0, |(at, _)| *at) - measured_from) as f64 / 1e9;
    // A batch is due when those before it have left at the rate.
    let mut late: Vec<f64> = batches
        .windows(2)
        .map(|pair| (pair[1].0 - pair[0].0) as f64 / 1e3 - pair[0].1 as f64 / asked * 1e6)
        .collect();
    late.sort_by(f64::total_cmp);
    let at =
        |part: f64| late.get((late.len() as f64 * part) as usize).or(late.last()).copied().unwrap_or(0.0);
    println!(
        "{:<7} {:>10.2} {:>9.2} {:>10.0} {:>13.1} {:>5.1} {:>5.1}",
        if sleeps { "sleeps" } else { "spins" },
        asked / 1e6,
        sent as f64 / took / 1e6,
        batches.len() as f64 / took,
        at(0.5),
        at(0.99),
        at(1.0),
    );
    Ok(())
}
