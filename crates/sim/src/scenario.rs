//! A network and what goes on in it, from nothing but a seed. Small on purpose: a hundred packets say more in a
//! thousand different networks than a hundred thousand in one.

use std::time::Duration;

use bypath::by_hand::StackOptions;
use bypath_tcp::{Config, CongestionControl, CookieMode, EcnMode, MetricsCache, MtuProbing, Pacing};

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
    let fast_open = rng.chance(0.15);
    if fast_open {
        plan.hosts.iter_mut().for_each(|host| host.fast_open = true);
        plan.rules.replays = true;
    }
    if rng.chance(0.1) {
        // Slower than the peers open, but not than they give up. What has no room is not answered: a handshake by
        // cookie whose end finds none would be refused.
        plan.hosts.iter_mut().for_each(|host| {
            host.options.tcp.syn_cookies = CookieMode::Off;
            host.accept_pause = Duration::from_millis(rng.between(1, 1_500));
            host.backlog = rng.pick(&[16, 2, 1]);
        });
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
        // Those that are later may have a cookie from those before.
        let at = Duration::from_micros(rng.between(0, if fast_open { 2_000_000 } else { 100_000 }));
        plan.connections.push(ConnectionPlan { hosts, ports, scripts: [client, server], at, after: None });
    }
    if !plan.rules.may_fail && !plan.rules.replays && style < 9 && rng.chance(0.15) {
        follow(&mut rng, &mut plan, share / 2);
    }
    plan.rules.most_events = 2_000_000;
    plan
}

/// Another connection between the same ports as one before, as soon as that is over or a while later: through its
/// TIME-WAIT at either end.
fn follow(rng: &mut Rng, plan: &mut Plan, share: u64) {
    for _ in 0..rng.between(1, 2) {
        let before = plan.connections.len() - 1;
        let style = rng.between(0, 8);
        let (client, server) = scripts(rng, style, share);
        let ConnectionPlan { hosts, ports, .. } = plan.connections[before];
        let at = Duration::from_millis(rng.pick(&[0, 1, 50, 1_000, 30_000, 61_000]));
        let after = Some(before);
        plan.connections.push(ConnectionPlan { hosts, ports, scripts: [client, server], at, after });
    }
}

fn host(rng: &mut Rng, v6: bool, mtu: u32) -> HostPlan {
    let tcp = Config {
        congestion: rng.pick(&[
            CongestionControl::Cubic,
            CongestionControl::Cubic,
            CongestionControl::NewReno,
            CongestionControl::Bbr,
            CongestionControl::Dctcp,
            CongestionControl::None,
        ]),
        ecn: rng.pick(&[EcnMode::Accept, EcnMode::Accept, EcnMode::Request, EcnMode::Accurate, EcnMode::Off]),
        pacing: rng.pick(&[Pacing::Auto, Pacing::Auto, Pacing::Auto, Pacing::On, Pacing::Off]),
        mtu_probing: rng.pick(&[
            MtuProbing::OnBlackHole,
            MtuProbing::OnBlackHole,
            MtuProbing::Always,
            MtuProbing::Off,
        ]),
        metrics: rng.pick(&[
            MetricsCache::Careful,
            MetricsCache::Careful,
            MetricsCache::Full,
            MetricsCache::Off,
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
        dsack: rng.chance(0.9),
        rack: rng.chance(0.85),
        tail_loss_probe: rng.chance(0.9),
        prr: rng.chance(0.9),
        undo: rng.chance(0.9),
        f_rto: rng.chance(0.9),
        limited_transmit: rng.chance(0.9),
        rto_restart: rng.chance(0.1),
        strict_nagle: rng.chance(0.1),
        time_wait_reuse: rng.chance(0.9),
        keep_alive: rng.chance(0.1).then(|| Duration::from_millis(rng.between(100, 60_000))),
        ..Config::default()
    };
    // Now and then less than the connections would like.
    let memory = |rng: &mut Rng, all: u64| if rng.chance(0.1) { 1 << rng.between(12, 17) } else { all };
    let defaults = StackOptions::default();
    HostPlan {
        options: StackOptions {
            mtu,
            tcp,
            send_buffer: 1 << rng.between(12, 18),
            max_connections: 16,
            receive_memory: memory(rng, defaults.receive_memory),
            reassembly_memory: memory(rng, defaults.reassembly_memory),
            ..defaults
        },
        v6,
        coalesce: Duration::from_nanos(if rng.chance(0.4) { rng.between(1_000, 200_000) } else { 0 }),
        backlog: 16,
        ..HostPlan::default()
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
