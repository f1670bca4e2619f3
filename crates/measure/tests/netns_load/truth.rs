//! Whether the figures are true: against a server that stalls, an independent witness, and a starved generator.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bypath_lab::{Lab, TcpJob, TcpService};
use bypath_measure::load::{LoadSettings, Rate};
use bypath_measure::result::{ReasonCode, RunResult, RunState};

use super::{echo, lab, load, settings, told};

/// An echo server for one connection after another, that waits before each answer for as long as it is told. What it waited
/// longer than that at most, because others had its processor, is in `late_ns`.
fn delaying(
    lab: &Lab,
    late_ns: &Arc<AtomicU64>,
    mut wait: impl FnMut() -> Duration + Send + 'static,
) -> SocketAddr {
    let late_ns = late_ns.clone();
    let at = lab.far().at(7);
    let listener = lab.far().run(|| TcpListener::bind(at)).unwrap().unwrap();
    let serve = move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.set_nodelay(true);
            let mut request = [0; 100];
            while stream.read_exact(&mut request).is_ok() {
                let until = Instant::now() + wait();
                // Exactly so long, which no sleep is.
                while Instant::now() < until {
                    if until - Instant::now() > Duration::from_millis(5) {
                        std::thread::sleep(Duration::from_millis(1));
                    }
                }
                if stream.write_all(&request).is_err() {
                    break;
                }
                late_ns.fetch_max(until.elapsed().as_nanos() as u64, Ordering::Relaxed);
            }
        }
    };
    lab.far().spawn("delaying-server", serve).unwrap();
    at
}

/// Coordinated omission: a tenth of all requests should have begun during a stall, and waited up to 100 ms. A generator that
/// waits with its server would begin none of them, and see one slow request a second.
#[test]
fn netns_a_server_that_stalls_is_not_flattered() {
    let lab = lab();
    let begun = Instant::now();
    let late_ns = Arc::new(AtomicU64::new(0));
    let at = delaying(&lab, &late_ns, move || {
        let phase = begun.elapsed().as_millis() % 1000;
        Duration::from_millis(u64::try_from(100u128.saturating_sub(phase)).unwrap_or(0))
    });
    let mut settings = settings(echo(), at);
    settings.duration = Some(Duration::from_secs(4));
    settings.rate = Some(Rate { per_second: 1_000.0, poisson: false });
    let result = load(&lab, &settings);
    assert_eq!(result.state, RunState::Complete, "{}", told(&result));
    let millis = |name: &str| result.latency[name].p99_ns as f64 / 1e6;
    let (corrected, uncorrected) = (millis("request"), millis("request_service"));
    // What server and generator waited for a processor comes on top, and both know how long that was.
    let generator = result.generator.as_ref().map_or(0, |generator| generator.lateness.max_ns);
    let waited = (late_ns.load(Ordering::Relaxed) + generator) as f64 / 1e6;
    assert!(
        (80.0..=115.0 + waited).contains(&corrected),
        "p99 {corrected} ms, and it should be about 90, with {waited} ms of waiting"
    );
    assert!(
        uncorrected < corrected - 20.0,
        "p99 {uncorrected} ms of what was begun, {corrected} ms of what was due"
    );
}

/// Clients look every 10 ms at what has no time of its own. A request of 1 ms ends between two such looks: the run ends
/// with it, and not with the next look.
#[test]
fn netns_a_counted_run_ends_with_the_last_of_its_requests() {
    let lab = lab();
    let at = delaying(&lab, &Arc::default(), || Duration::from_millis(1));
    let mut ends = Vec::new();
    for _ in 0..TRIES {
        let mut settings = settings(echo(), at);
        settings.duration = None;
        settings.count = Some(1);
        let result = load(&lab, &settings);
        assert_eq!(result.state, RunState::Complete, "{}", told(&result));
        assert_eq!(result.totals.requests, Some(1));
        let took = |name: &str| result.latency[name].max_ns as f64 / 1e6;
        ends.push((result.duration_seconds * 1e3, took("connect"), took("request")));
    }
    // The run is the handshake and the request after it. What lies between them is our own time, and a lost
    // processor may make it long; that it is as long as the rest of a tick each time is no accident.
    let told_late = |&(took, connect, request): &(f64, f64, f64)| took > connect + request + 3.0;
    assert!(!ends.iter().all(told_late), "milliseconds of run, handshake and request: {ends:?}");
}

/// When requests arrived at the far host, seconds, as tcpdump saw them there.
fn arrivals(capture: &str) -> Vec<f64> {
    let requests =
        capture.lines().filter(|line| line.contains("> 198.18.0.2.7:") && line.contains("length 100"));
    requests.filter_map(|line| line.split_whitespace().next()?.parse().ok()).collect()
}

fn quantile(sorted: &[f64], share: f64) -> f64 {
    sorted[((sorted.len() as f64 * share).ceil() as usize).clamp(1, sorted.len()) - 1]
}

/// What the delaying server waits more for one request in 33.
const SLOW_MICROS: u64 = 20_000;

/// How often both are asked again where others had the processors meanwhile.
const TRIES: usize = 3;
/// With a larger share of its time spent waiting for a processor, a worker tells of that and not of the wire.
const QUIET: f64 = 0.005;

/// One connection begins the next request when it has the answer: the time between two arrivals at the far host is what one
/// request took. The server is slow by known amounts, and much slower for three requests in a hundred: what is compared at the
/// 99th percentile is then that known delay. Ours and the witness's figures are of the same requests, but not of the same
/// moments: a thread that loses its processor in between makes them differ. Who measures wrongly does so each time; so it is
/// enough that they agree once, and where the worker never had its processor only what holds at all times is looked at.
#[test]
fn netns_latencies_agree_with_tcpdump_at_the_other_end() {
    let lab = lab();
    let delay = Arc::new(AtomicU64::new(0));
    let known = delay.clone();
    let mut requests = 0u64;
    let at = delaying(&lab, &Arc::default(), move || {
        requests += 1;
        let slow = if requests.is_multiple_of(33) { SLOW_MICROS } else { 0 };
        Duration::from_micros(known.load(Ordering::Relaxed) + slow)
    });
    for micros in [1_000, 3_000] {
        delay.store(micros, Ordering::Relaxed);
        let mut disagreements = Vec::new();
        let mut quiet = false;
        for _ in 0..TRIES {
            let (result, gaps) = witnessed(&lab, at);
            let waited = result.cpu.iter().flat_map(|cpu| &cpu.workers).filter_map(|w| w.waiting_ratio);
            quiet |= waited.fold(0.0, f64::max) < QUIET;
            for (figure, slow) in [("p50", 0), ("p99", SLOW_MICROS)] {
                let least = (micros + slow) as f64 * 1e3;
                let packet = told_by(&result, "packet", figure);
                assert!(packet > least, "{figure}: packet {packet} ns, and {least} ns were added");
            }
            match agree(&result, &gaps, micros) {
                Ok(()) => disagreements.clear(),
                Err(why) => disagreements.push(why),
            }
            if disagreements.is_empty() {
                break;
            }
        }
        assert!(disagreements.is_empty() || !quiet, "{disagreements:#?}");
    }
}

fn told_by(result: &RunResult, name: &str, figure: &str) -> f64 {
    let latency = &result.latency[name];
    (if figure == "p50" { latency.p50_ns } else { latency.p99_ns }) as f64
}

/// A thousand requests, and the sorted times between their arrivals as tcpdump saw them.
fn witnessed(lab: &Lab, at: SocketAddr) -> (RunResult, Vec<f64>) {
    let mut tcpdump = lab.far().command("tcpdump").unwrap();
    tcpdump.args(["-i", lab.far().interface(), "-n", "-l", "-tt", "-B", "65536", "-Z", "root"]);
    tcpdump.args(["--time-stamp-precision=nano", "tcp", "and", "dst", "port", "7"]);
    let file = tempfile::NamedTempFile::new().unwrap();
    let out = file.reopen().unwrap();
    let mut tcpdump = tcpdump.stdout(out).stderr(Stdio::piped()).spawn().unwrap();
    let mut ready = [0; 1];
    // It says that it listens before it does anything else.
    tcpdump.stderr.as_mut().unwrap().read_exact(&mut ready).unwrap();
    let mut settings = settings(echo(), at);
    settings.duration = None;
    settings.count = Some(1_000);
    let result = load(lab, &settings);
    assert_eq!(result.state, RunState::Complete, "{}", told(&result));
    let pid = nix::unistd::Pid::from_raw(tcpdump.id().cast_signed());
    // What it has captured last waits in the kernel for its next look.
    let begun = Instant::now();
    let seen = || arrivals(&std::fs::read_to_string(file.path()).unwrap());
    while seen().len() < 1_000 && begun.elapsed() < Duration::from_secs(10) {
        std::thread::sleep(Duration::from_millis(50));
    }
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGINT).unwrap();
    tcpdump.wait().unwrap();
    let seen = seen();
    assert_eq!(seen.len(), 1_000, "the witness saw all");
    let mut gaps: Vec<f64> = seen.windows(2).map(|two| (two[1] - two[0]) * 1e9).collect();
    gaps.sort_by(f64::total_cmp);
    (result, gaps)
}

fn agree(result: &RunResult, gaps: &[f64], micros: u64) -> Result<(), String> {
    for (share, figure) in [(0.5, "p50"), (0.99, "p99")] {
        let seen = quantile(gaps, share);
        let allowed = (seen * 0.05).max(2_000.0);
        let (request, packet) = (told_by(result, "request", figure), told_by(result, "packet", figure));
        // A packet has not waited for us between the answer and the next request: the arrivals have.
        if (request - seen).abs() > allowed || (packet - seen).abs() > allowed {
            return Err(format!(
                "{figure}: request {request} ns, packet {packet} ns, tcpdump {seen} ns, with {micros} µs added"
            ));
        }
    }
    Ok(())
}

/// Three runs against the same server, each with an engine of its own. The server takes a known time that is long beside
/// what others may take from the processors, so that what is compared is the instrument.
#[test]
fn netns_the_same_test_three_times_has_medians_within_five_percent() {
    let lab = lab();
    let at = delaying(&lab, &Arc::default(), || Duration::from_millis(2));
    let runs: Vec<RunResult> = (0..3)
        .map(|_| {
            let mut settings = settings(echo(), at);
            settings.duration = None;
            settings.count = Some(400);
            load(&lab, &settings)
        })
        .collect();
    for name in ["request", "packet", "first_byte", "request_service"] {
        let mut medians: Vec<f64> = runs.iter().map(|run| told_by(run, name, "p50")).collect();
        medians.sort_by(f64::total_cmp);
        assert!(medians[0] >= 2e6, "{name}: {medians:?} ns, and the server takes 2 ms");
        assert!(medians[2] - medians[0] < 0.05 * medians[1], "{name}: {medians:?} ns");
        assert!(runs.iter().all(|run| run.latency[name].count == 400), "{name}");
    }
}

/// Spinners on the worker's core until they are dropped.
struct Spinners(Arc<AtomicBool>, Vec<std::thread::JoinHandle<()>>);

impl Spinners {
    fn on(core: usize, count: usize) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let spin = |_| {
            let stop = stop.clone();
            std::thread::spawn(move || {
                core_affinity::set_for_current(core_affinity::CoreId { id: core });
                while !stop.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            })
        };
        let threads = (0..count).map(spin).collect();
        Self(stop, threads)
    }
}

impl Drop for Spinners {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
        for thread in self.1.drain(..) {
            let _ = thread.join();
        }
    }
}

#[test]
fn netns_a_starved_generator_is_not_believed() {
    let lab = lab();
    let server = TcpService::start(lab.far(), lab.far().at(7), TcpJob::Echo).unwrap();
    let mut settings = settings(echo(), server.address());
    settings.duration = Some(Duration::from_secs(2));
    settings.rate = Some(Rate { per_second: 2_000.0, poisson: false });
    settings.connections = 8;
    let core = core_affinity::get_core_ids().and_then(|ids| ids.last().copied()).unwrap();
    let spinners = Spinners::on(core.id, 2);
    let result = load(&lab, &LoadSettings { ..settings });
    drop(spinners);
    let verdict = result.verdict.expect("a run that was measured is judged");
    let codes: Vec<ReasonCode> = verdict.reasons.iter().map(|reason| reason.code).collect();
    assert!(!verdict.valid, "believed with {:?}", result.cpu);
    assert!(
        codes.contains(&ReasonCode::CpuShared) || codes.contains(&ReasonCode::GeneratorLate),
        "{codes:?} {:?}",
        result.cpu
    );
}
