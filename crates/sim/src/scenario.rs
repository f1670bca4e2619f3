//! A network and what goes on in it, from nothing but a seed. Small on purpose: a hundred packets say more in a
//! thousand different networks than a hundred thousand in one.

use std::time::Duration;

use bypath::by_hand::StackOptions;
use bypath_tcp::{Config, CongestionControl, CookieMode};

use crate::app::{Script, Step};
use crate::link::{LinkSpec, Queue};
use crate::loss::Loss;
use crate::packet::Medium;
use crate::plan::{ConnectionPlan, HostPlan, Plan};
use crate::rng::Rng;

/// The network of a seed.
pub fn from_seed(seed: u64) -> Plan {
    let mut rng = Rng::new(seed);
    let v6 = rng.chance(0.2);
    let mtu = if rng.chance(0.8) { 1500 } else { rng.pick(&[1280, 1400, 4000, 9000]) };
    let hosts = [host(&mut rng, v6, mtu), host(&mut rng, v6, mtu)];
    let there = link(&mut rng, mtu);
    let mut back = if rng.chance(0.5) { there.clone() } else { link(&mut rng, mtu) };
    if rng.chance(0.3) {
        back.loss = Loss::None;
    }
    let mut plan = Plan::pair(seed, hosts, there, back);
    if rng.chance(0.15) && !plan.links.iter().any(|l| l.mtu < mtu || !l.mtu_changes.is_empty()) {
        plan.medium = Medium::Ethernet;
        // A link may be down for all three questions about the neighbour.
        plan.rules.may_fail |= plan.links.iter().any(|l| !l.flaps.is_empty());
    }
    if rng.chance(0.1) {
        press(&mut rng, &mut plan);
    }
    let connections = if rng.chance(0.6) { 1 } else { rng.between(2, 4) };
    let style = rng.between(0, 9);
    // Many at once are smaller, so that each seed costs about the same.
    let share = 400_000 / connections;
    for n in 0..connections {
        let (client, server) = scripts(&mut rng, style, share);
        let turned = rng.chance(0.3);
        let (hosts, ports) =
            if turned { ([1, 0], [50_000 + n as u16, 81]) } else { ([0, 1], [40_000 + n as u16, 80]) };
        let at = Duration::from_micros(rng.between(0, 100_000));
        plan.connections.push(ConnectionPlan { hosts, ports, scripts: [client, server], at });
    }
    plan.rules.most_events = 2_000_000;
    plan
}

fn host(rng: &mut Rng, v6: bool, mtu: u32) -> HostPlan {
    let tcp = Config {
        congestion: rng.pick(&[
            CongestionControl::Cubic,
            CongestionControl::Cubic,
            CongestionControl::NewReno,
            CongestionControl::Bbr,
            CongestionControl::None,
        ]),
        receive_buffer: 1 << rng.between(12, 18),
        initial_receive_buffer: 1 << rng.between(12, 17),
        tune_receive_buffer: rng.chance(0.7),
        tune_send_buffer: rng.chance(0.7),
        ack_every: rng.pick(&[2, 2, 2, 1, 4]),
        push_each_write: rng.chance(0.8),
        fixed_window: 1 << rng.between(12, 17),
        timestamps: rng.chance(0.8),
        sack: rng.chance(0.8),
        window_scaling: rng.chance(0.8),
        nodelay: rng.chance(0.3),
        initial_window_segments: rng.pick(&[10, 10, 10, 1, 2, 4, 30]),
        keep_alive: rng.chance(0.1).then(|| Duration::from_millis(rng.between(100, 60_000))),
        ..Config::default()
    };
    HostPlan {
        options: StackOptions {
            mtu,
            tcp,
            send_buffer: 1 << rng.between(12, 18),
            max_connections: 16,
            ..StackOptions::default()
        },
        v6,
        coalesce: Duration::from_nanos(if rng.chance(0.4) { rng.between(1_000, 200_000) } else { 0 }),
        backlog: 16,
    }
}

/// Little room for connections that open. What a cookie does not carry is lost with it: a handshake whose last
/// acknowledgement does not arrive is refused at the first data that does.
fn press(rng: &mut Rng, plan: &mut Plan) {
    for host in &mut plan.hosts {
        host.options.tcp.max_half_open = rng.pick(&[4_096, 2, 1]);
        host.options.tcp.syn_cookies = rng.pick(&[CookieMode::Auto, CookieMode::Always, CookieMode::Off]);
        host.backlog = rng.pick(&[16, 2, 1]);
    }
    plan.rules.may_fail = true;
    plan.rules.replays = true;
}

fn link(rng: &mut Rng, mtu: u32) -> LinkSpec {
    let chance =
        |rng: &mut Rng, share: f64, most: f64| if rng.chance(share) { rng.unit() * most } else { 0.0 };
    let loss = match rng.between(0, 9) {
        0..=3 => Loss::None,
        4..=7 => Loss::Random(rng.unit() * rng.pick(&[0.01, 0.05, 0.15])),
        _ => Loss::Bursts {
            begin: rng.unit() * 0.02,
            end: 0.1 + rng.unit() * 0.5,
            loss: 0.5 + rng.unit() * 0.5,
        },
    };
    let mut spec = LinkSpec {
        rate: rng.pick(&[0, 1_000_000, 10_000_000, 100_000_000, 1_000_000_000]),
        delay: Duration::from_micros(rng.pick(&[10, 100, 1_000, 5_000, 20_000, 100_000])),
        jitter: Duration::from_micros(if rng.chance(0.3) { rng.between(1, 5_000) } else { 0 }),
        queue: if rng.chance(0.5) {
            Queue::Packets(rng.between(3, 100) as u32)
        } else {
            Queue::Bytes(rng.between(10_000, 300_000))
        },
        loss,
        reorder: chance(rng, 0.25, 0.1),
        reorder_depth: rng.between(1, 8) as u32,
        reorder_hold: Duration::from_micros(rng.between(100, 30_000)),
        duplicate: chance(rng, 0.2, 0.05),
        corrupt: chance(rng, 0.2, 0.02),
        mtu,
        mark_above: rng.chance(0.3).then(|| rng.between(3_000, 50_000)),
        ..LinkSpec::default()
    };
    if rng.chance(0.08) {
        let start = rng.between(0, 300);
        for n in 0..rng.between(1, 3) {
            let down = start + n * 800;
            let up = down + rng.between(1, 700);
            spec.flaps.push((Duration::from_millis(down), Duration::from_millis(up)));
        }
    }
    if rng.chance(0.08) && mtu >= 1400 {
        let least = 1280;
        if rng.chance(0.5) {
            spec.mtu = least;
        } else {
            spec.mtu_changes.push((Duration::from_millis(rng.between(1, 400)), least));
        }
    }
    spec
}

/// What the two ends of a connection do: the client's, the server's.
fn scripts(rng: &mut Rng, style: u64, share: u64) -> (Script, Script) {
    let size = |rng: &mut Rng| {
        let most = rng.pick(&[10, 1_000, 20_000, 100_000, share]);
        rng.between(1, most.min(share))
    };
    let mut client = Script::default();
    let mut server = Script::default();
    match style {
        // There, back, and both at once.
        0 | 1 => client = Script::bulk(size(rng)),
        2 => server = Script::bulk(size(rng)),
        3 | 4 => {
            client = Script::bulk(size(rng));
            server = Script::bulk(size(rng));
        }
        // Requests and responses.
        5 | 6 => {
            let (mut asked, mut answered) = (0, 0);
            client.steps.clear();
            server.steps.clear();
            for _ in 0..rng.between(1, 6) {
                let (request, response) = (rng.between(1, 2_000), rng.between(1, share / 6));
                asked += request;
                answered += response;
                client.steps.extend([Step::Write(request), Step::Await(answered)]);
                server.steps.extend([Step::Await(asked), Step::Write(response)]);
                if rng.chance(0.3) {
                    client.steps.push(Step::Pause(Duration::from_millis(rng.between(1, 3_000))));
                }
            }
            client.steps.push(Step::Finish);
            server.steps.push(Step::Finish);
        }
        // The server answers when the client has closed its half.
        7 => {
            client = Script::bulk(size(rng));
            server.steps = vec![Step::AwaitEnd, Step::Write(size(rng)), Step::Finish];
        }
        // Pauses.
        8 => {
            client.steps.clear();
            for _ in 0..rng.between(2, 5) {
                client.steps.push(Step::Write(size(rng) / 4 + 1));
                client.steps.push(Step::Pause(Duration::from_millis(rng.between(1, 2_000))));
            }
            client.steps.push(Step::Finish);
        }
        // Somebody gives up.
        _ => {
            let mut steps = vec![Step::Write(size(rng))];
            if rng.chance(0.5) {
                steps.push(Step::Pause(Duration::from_micros(rng.between(1, 300_000))));
            }
            steps.push(Step::Abort);
            server = Script::bulk(size(rng));
            client.steps = steps;
            if rng.chance(0.5) {
                std::mem::swap(&mut client, &mut server);
            }
        }
    }
    for script in [&mut client, &mut server] {
        script.nodelay = rng.chance(0.3);
        if rng.chance(0.2) {
            let pause = Duration::from_micros(rng.between(1, 20_000));
            script.write = (rng.between(500, 5_000) as usize, pause);
        }
        // A slow reader closes the window.
        if rng.chance(0.2) {
            let pause = Duration::from_micros(rng.between(1, 200_000));
            script.read = (rng.between(300, 10_000) as usize, pause);
        }
    }
    (client, server)
}
