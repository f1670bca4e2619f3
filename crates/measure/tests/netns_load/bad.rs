//! Servers that are not there, go away, close, reset, stall or lie; users who stop.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use bypath_lab::{Lab, TcpJob, TcpService};
use bypath_measure::load::{
    Direction, LoadSettings, Observer, Pattern, Protocol, SinkSettings, StreamSettings,
};
use bypath_measure::result::{ErrorCode, Interval, RunResult, RunState};

use super::{echo, lab, load, observed, rr, settings, told};

fn error(result: &RunResult) -> Option<ErrorCode> {
    result.error.as_ref().map(|error| error.code)
}

/// A server of the far host that does this with each connection, one after another, for ever.
fn server(lab: &Lab, port: u16, job: impl Fn(TcpStream) + Send + 'static) -> SocketAddr {
    let at = lab.far().at(port);
    let listener = lab.far().run(|| TcpListener::bind(at)).unwrap().unwrap();
    lab.far()
        .spawn("bad-server", move || {
            for stream in listener.incoming().flatten() {
                job(stream);
            }
        })
        .unwrap();
    at
}

#[test]
fn netns_a_port_where_nobody_listens_ends_the_run_at_once() {
    let lab = lab();
    let duration = Some(Duration::from_secs(30));
    let result = load(&lab, &LoadSettings { duration, ..settings(echo(), lab.far().at(77)) });
    assert_eq!((result.state, error(&result)), (RunState::Failed, Some(ErrorCode::Refused)));
    assert!(result.duration_seconds < 15.0, "much sooner than the run would have lasted");
    assert!(result.totals.errors["connection_refused"] >= 3);
}

/// A server that takes requests for something else, as `bypath serve --rr` takes an echo's.
#[test]
fn netns_a_server_that_is_no_echo_is_told_of_with_what_it_may_be() {
    let lab = lab();
    let silent = TcpService::start(lab.far(), lab.far().at(7), TcpJob::Sink(None)).unwrap();
    let result = load(&lab, &settings(echo(), silent.address()));
    assert_eq!(result.state, RunState::Failed, "{}", told(&result));
    let message = result.error.map(|error| error.message).unwrap_or_default();
    assert!(message.contains("raise -t") && message.contains("--protocol bypath"), "{message}");
}

#[test]
fn netns_an_address_that_nobody_has_is_unreachable() {
    let lab = lab();
    let nobody = SocketAddr::new(lab.far().spare_ipv4(77).into(), 7);
    let result =
        load(&lab, &LoadSettings { duration: Some(Duration::from_secs(20)), ..settings(echo(), nobody) });
    assert_eq!(result.state, RunState::Failed, "{}", told(&result));
    assert!(
        matches!(error(&result), Some(ErrorCode::Unreachable | ErrorCode::TimedOut)),
        "{}",
        told(&result)
    );
    assert!(result.duration_seconds < 15.0);
}

#[test]
fn netns_a_server_that_goes_away_ends_the_run_with_what_was_measured() {
    let lab = lab();
    let server = TcpService::start(lab.far(), lab.far().at(7), TcpJob::Echo).unwrap();
    let at = server.address();
    let leaving = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(600));
        drop(server);
    });
    let duration = Some(Duration::from_secs(60));
    let result = load(&lab, &LoadSettings { duration, connections: 2, ..settings(echo(), at) });
    leaving.join().unwrap();
    assert_eq!(
        (result.state, error(&result)),
        (RunState::Partial, Some(ErrorCode::PeerGone)),
        "{}",
        told(&result)
    );
    assert!(result.totals.requests.unwrap() > 100);
    assert!(result.duration_seconds < 10.0, "{}", result.duration_seconds);
    assert!(result.verdict.is_some_and(|verdict| !verdict.valid));
}

#[test]
fn netns_a_server_that_falls_silent_is_noticed() {
    let lab = lab();
    let at = server(&lab, 7, |mut stream| {
        let mut request = [0; 100];
        for _ in 0..50 {
            let done = stream.read_exact(&mut request).and_then(|()| stream.write_all(&request));
            if done.is_err() {
                return;
            }
        }
        // The connection stays, and nothing more is said on it.
        let _ = stream.read_to_end(&mut Vec::new());
    });
    let mut settings = settings(echo(), at);
    settings.duration = Some(Duration::from_secs(4));
    settings.timeout = Duration::from_millis(700);
    let result = load(&lab, &settings);
    assert!(result.totals.errors["stalled"] >= 1, "{}", told(&result));
    assert_eq!(result.totals.requests.unwrap() % 50, 0);
}

#[test]
fn netns_servers_that_close_reset_or_lie_are_counted_by_cause() {
    let lab = lab();
    let closes = server(&lab, 7, |mut stream| {
        let _ = stream.read(&mut [0; 100]);
    });
    let resets = server(&lab, 8, |mut stream| {
        // What was received and not read makes the close a reset.
        let _ = stream.read(&mut [0; 1]);
    });
    let lies = server(&lab, 9, |mut stream| {
        let _ = stream.read(&mut [0; 100]);
        let _ = stream.write_all(&[0x55; 100]);
        let _ = stream.read(&mut [0; 1]);
    });
    for (at, cause) in [(closes, "closed_early"), (resets, "reset_by_peer"), (lies, "wrong_content")] {
        let result = load(&lab, &settings(echo(), at));
        assert_eq!(result.state, RunState::Failed, "{cause}: {}", told(&result));
        assert!(result.totals.errors.contains_key(cause), "{cause}: {}", told(&result));
        assert_eq!(result.totals.requests, Some(0));
    }
}

/// Ends 50 ms away from when the clients come again, which is every 100 ms.
fn hold(at: SocketAddr, connections: u32) -> LoadSettings {
    let duration = Some(Duration::from_millis(350));
    LoadSettings { connections, duration, ..settings(Pattern::Hold { trickle: None }, at) }
}

#[test]
fn netns_what_was_not_held_is_no_success() {
    let lab = lab();
    let closes = server(&lab, 7, drop);
    let resets = server(&lab, 8, |stream| {
        // Linger of no time: the close is a reset.
        nix::sys::socket::setsockopt(
            &stream,
            nix::sys::socket::sockopt::Linger,
            &nix::libc::linger { l_onoff: 1, l_linger: 0 },
        )
        .unwrap();
    });
    for (at, cause) in [(closes, "closed_early"), (resets, "reset_by_peer")] {
        let result = load(&lab, &hold(at, 20));
        // One that the machine was slow with may have been open when the interval ended.
        assert_ne!(result.state, RunState::Complete, "{cause}: {}", told(&result));
        assert_eq!(error(&result), Some(ErrorCode::PeerGone), "{cause}: {}", told(&result));
        let lost = result.totals.errors.get(cause).copied().unwrap_or(0);
        // At 0, 100, 200 and 300 ms, and no sooner.
        assert!((20..=80).contains(&lost), "{cause}: {}", told(&result));
    }
}

#[test]
fn netns_a_part_that_was_held_is_not_valid() {
    let lab = lab();
    let at = lab.far().at(7);
    let listener = lab.far().run(|| TcpListener::bind(at)).unwrap().unwrap();
    let serve = move || {
        // Every second connection is kept to the end.
        let mut kept = Vec::new();
        for (n, stream) in listener.incoming().flatten().enumerate() {
            if n % 2 == 0 && kept.len() < 5 {
                kept.push(stream);
            }
        }
    };
    lab.far().spawn("picky-server", serve).unwrap();
    let result = load(&lab, &hold(at, 10));
    assert_eq!(result.state, RunState::Complete, "{}", told(&result));
    assert_eq!(result.totals.connections_open_at_end, Some(5), "{}", told(&result));
    let verdict = result.verdict.expect("a run that was measured is judged");
    assert!(!verdict.valid);
    let told = verdict.reasons.iter().any(|reason| reason.message.starts_with("5 of 10 connections"));
    assert!(told, "{:?}", verdict.reasons);
}

/// The kernel acknowledges what fits before the reset; nothing came of it all the same. The transfer is larger than what the
/// kernel takes for a program that reads nothing.
#[test]
fn netns_streams_that_are_all_reset_have_failed() {
    let lab = lab();
    let at = server(&lab, 8, |mut stream| {
        let _ = stream.read(&mut [0; 1]);
    });
    let up = StreamSettings {
        direction: Direction::Up,
        size: Some(200_000_000),
        protocol: Protocol::Plain,
        source: None,
        sink: SinkSettings::Null,
    };
    let mut settings = settings(Pattern::Stream(up), at);
    settings.duration = None;
    settings.count = Some(5);
    settings.interval = Duration::from_secs(1);
    let result = load(&lab, &settings);
    assert_eq!(result.totals.requests_failed, Some(5), "{}", told(&result));
    assert_eq!(
        (result.state, error(&result)),
        (RunState::Failed, Some(ErrorCode::PeerGone)),
        "{}",
        told(&result)
    );
}

/// Stops after some intervals.
struct Impatient(u32);

impl Observer for Impatient {
    fn interval(&mut self, _interval: &Interval) {
        self.0 = self.0.saturating_sub(1);
    }
    fn wants_to_stop(&mut self) -> bool {
        self.0 == 0
    }
}

#[test]
fn netns_a_run_that_is_stopped_tells_what_it_has() {
    let lab = lab();
    let server = TcpService::start(lab.far(), lab.far().at(7), TcpJob::Echo).unwrap();
    let pattern = Pattern::Rr(rr(64, 64, Protocol::Echo));
    let mut settings = settings(pattern, server.address());
    settings.duration = Some(Duration::from_secs(60));
    let result = observed(&lab, &settings, &mut Impatient(2));
    assert_eq!((result.state, error(&result)), (RunState::Partial, Some(ErrorCode::Interrupted)));
    assert_eq!(result.exit_code(false), 130);
    assert!(result.duration_seconds < 5.0 && result.totals.requests.unwrap() > 0, "{}", told(&result));
}
