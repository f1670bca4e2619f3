//! Each pattern against servers that behave.

use std::sync::Arc;
use std::time::Duration;

use bypath::{Engine, EngineBuilder};
use bypath_apps::serve::load_protocol::TestPattern;
use bypath_apps::serve::{Role, ServeConfig, Server, Site};
use bypath_lab::peer::{Nginx, Vsftpd};
use bypath_lab::{Lab, Pattern as Bytes, TcpJob, TcpService};
use bypath_measure::load::{
    Direction, FileProtocol, FilesSettings, FtpSettings, HttpSettings, LoadSettings, Method, Page, Pattern,
    Protocol, Ramp, Rate, SinkSettings, StreamSettings,
};
use bypath_measure::result::{ErrorCode, RunResult, RunState};

use super::{echo, lab, load, rr, settings, told};

fn complete(result: &RunResult) {
    assert_eq!(result.state, RunState::Complete, "{}", told(result));
}

fn counted(settings: LoadSettings, count: u64) -> LoadSettings {
    LoadSettings { duration: None, count: Some(count), ..settings }
}

fn stream(direction: Direction, protocol: Protocol, size: Option<u64>) -> Pattern {
    let sink = SinkSettings::Null;
    Pattern::Stream(StreamSettings { direction, size, protocol, source: None, sink })
}

#[test]
fn netns_requests_to_a_kernel_echo_are_counted_timed_and_compared() {
    let lab = lab();
    let server = TcpService::start(lab.far(), lab.far().at(7), TcpJob::Echo).unwrap();
    let mut settings = counted(settings(echo(), server.address()), 5_000);
    settings.connections = 3;
    settings.pipeline = 4;
    let result = load(&lab, &settings);
    complete(&result);
    let totals = &result.totals;
    assert_eq!((totals.requests, totals.requests_started), (Some(5_000), Some(5_000)));
    assert_eq!((totals.bytes_sent, totals.bytes_verified), (Some(500_000), Some(500_000)));
    assert_eq!(totals.connections_opened, Some(3));
    let count = |name: &str| result.latency.get(name).map_or(0, |latency| latency.count);
    assert_eq!((count("connect"), count("request"), count("request_service")), (3, 5_000, 5_000));
    assert!(count("packet") > 1_000, "requests share segments, but not that many");
    let by_interval: u64 = result.intervals.iter().filter_map(|interval| interval.totals.requests).sum();
    assert_eq!(by_interval, 5_000);
}

#[test]
fn netns_a_schedule_is_kept_whatever_its_arrivals() {
    let lab = lab();
    let server = TcpService::start(lab.far(), lab.far().at(7), TcpJob::Echo).unwrap();
    for poisson in [false, true] {
        let mut settings = settings(echo(), server.address());
        settings.connections = 20;
        settings.rate = Some(Rate { per_second: 2_000.0, poisson });
        let result = load(&lab, &settings);
        complete(&result);
        let generator = result.generator.as_ref().expect("an open loop");
        let intended = generator.intended as f64;
        // Four deviations of a Poisson process.
        assert!((intended - 2_000.0).abs() < if poisson { 180.0 } else { 2.0 }, "{intended}");
        // A machine that is busy with other things makes some late, and loses none of them.
        assert_eq!(generator.started + generator.not_started, generator.intended, "{generator:?}");
    }
}

/// Steps of 0.4 s and intervals of 1 s: no step but the last ends with an interval of that length.
#[test]
fn netns_each_step_of_a_ramp_has_its_own_figures() {
    let lab = lab();
    let server = TcpService::start(lab.far(), lab.far().at(7), TcpJob::Echo).unwrap();
    let mut settings = settings(echo(), server.address());
    settings.connections = 8;
    settings.duration = Some(Duration::from_millis(1_600));
    settings.interval = Duration::from_secs(1);
    settings.rate = Some(Rate { per_second: 2_000.0, poisson: false });
    settings.ramp = Some(Ramp { steps: 4, over: None });
    let result = load(&lab, &settings);
    complete(&result);
    let planned: Vec<_> = result.steps.iter().map(|step| step.intended_per_second.unwrap()).collect();
    assert_eq!(planned, [500.0, 1_000.0, 1_500.0, 2_000.0]);
    for (n, step) in result.steps.iter().enumerate() {
        assert!((step.start_seconds - 0.4 * n as f64).abs() < 1e-6, "{n}: {}", step.start_seconds);
        // What was due at its end may be begun in the next, where the machine was late.
        let (begun, due) = (step.totals.requests_started.unwrap() as f64, planned[n] * 0.4);
        assert!((begun - due).abs() < 100.0, "{n}: {begun} of {due}");
    }
    let by_step: u64 = result.steps.iter().filter_map(|step| step.totals.requests).sum();
    assert_eq!(Some(by_step), result.totals.requests);
}

#[test]
fn netns_streams_go_up_down_and_both_ways() {
    let lab = lab();
    let far = lab.far();
    let sink = TcpService::start(far, far.at(9), TcpJob::Sink(None)).unwrap();
    let up = load(&lab, &settings(stream(Direction::Up, Protocol::Plain, None), sink.address()));
    complete(&up);
    let received = sink.reports(1, Duration::from_secs(5)).unwrap()[0].received;
    let sent = up.totals.bytes_sent.unwrap();
    // What the kernel had acknowledged when the time was up; a little more was under way, and lost with the reset.
    assert!(sent > 1_000_000 && received <= sent + (64 << 20), "{sent} sent, {received} received");

    let source = TcpService::start(far, far.at(19), TcpJob::Source(Bytes::new(1), 3_000_000)).unwrap();
    let down = stream(Direction::Down, Protocol::Plain, None);
    let down = load(&lab, &counted(settings(down, source.address()), 2));
    complete(&down);
    assert_eq!(down.totals.bytes_received, Some(6_000_000), "until the server closes, twice");

    let server = TcpService::start(far, far.at(7), TcpJob::Echo).unwrap();
    let both = stream(Direction::Both, Protocol::Echo, Some(3_000_000));
    let both = load(&lab, &LoadSettings { duration: None, ..settings(both, server.address()) });
    complete(&both);
    assert_eq!((both.totals.bytes_sent, both.totals.bytes_verified), (Some(3_000_000), Some(3_000_000)));
}

#[test]
fn netns_a_file_is_sent_and_received_as_it_is() {
    let lab = lab();
    let far = lab.far();
    let dir = tempfile::tempdir().unwrap();
    let (out, back) = (dir.path().join("out"), dir.path().join("back"));
    let sent: Vec<u8> = (0..2_000_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    std::fs::write(&out, &sent).unwrap();
    let file = |direction, source, sink| {
        let size = None;
        Pattern::Stream(StreamSettings { direction, size, protocol: Protocol::Plain, source, sink })
    };
    let server = TcpService::start(far, far.at(9), TcpJob::Sink(None)).unwrap();
    let up = file(Direction::Up, Some(out), SinkSettings::Null);
    let up = load(&lab, &LoadSettings { duration: None, ..settings(up, server.address()) });
    complete(&up);
    assert_eq!(up.totals.bytes_sent, Some(2_000_000));
    assert_eq!(server.reports(1, Duration::from_secs(5)).unwrap()[0].received, 2_000_000);

    let source = TcpService::start(far, far.at(19), TcpJob::Source(Bytes::new(1), 2_000_000)).unwrap();
    let down = file(Direction::Down, None, SinkSettings::File(back.clone()));
    complete(&load(&lab, &counted(settings(down, source.address()), 1)));
    assert_eq!(std::fs::metadata(back).unwrap().len(), 2_000_000);
}

#[test]
fn netns_connections_are_opened_and_closed_one_after_another_and_kept() {
    let lab = lab();
    let server = TcpService::start(lab.far(), lab.far().at(7), TcpJob::Echo).unwrap();
    let at = server.address();
    for reset in [false, true] {
        let settings = counted(settings(Pattern::Connect, at), 200);
        let result = load(&lab, &LoadSettings { connections: 5, reset, ..settings });
        complete(&result);
        assert_eq!(result.totals.connections_opened, Some(200));
    }
    let crr = Pattern::Crr(rr(64, 64, Protocol::Echo));
    let result = load(&lab, &LoadSettings { connections: 5, ..counted(settings(crr, at), 200) });
    complete(&result);
    assert_eq!((result.totals.requests, result.totals.connections_opened), (Some(200), Some(200)));

    let trickle = Some(Duration::from_millis(200));
    let hold = LoadSettings { connections: 100, ..settings(Pattern::Hold { trickle }, at) };
    let result = load(&lab, &hold);
    complete(&result);
    assert_eq!(result.totals.connections_open_at_end, Some(100));
    let trickled = result.totals.bytes_sent.unwrap();
    // Fewer, where the machine was late with them.
    assert!((1..=500).contains(&trickled), "{trickled} bytes, one each 200 ms on 100 connections");
}

fn web(path: &str, keep_alive: bool) -> HttpSettings {
    HttpSettings {
        authority: "far".into(),
        pages: vec![Page { path: path.into(), weight: 1 }],
        method: Method::Get,
        headers: Vec::new(),
        body: Arc::default(),
        keep_alive,
        expected_body: None,
        expected_status: None,
    }
}

#[test]
fn netns_nginx_answers_are_checked() {
    let lab = lab();
    let dir = tempfile::tempdir().unwrap();
    std::fs::set_permissions(dir.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    std::fs::write(dir.path().join("page"), b"what is on the page").unwrap();
    let nginx = Nginx::serving(dir.path()).start(lab.far()).unwrap();
    let at = lab.far().at(nginx.port());
    let ask = |http: HttpSettings, pipeline| {
        let settings = counted(settings(Pattern::Http(http), at), 300);
        load(&lab, &LoadSettings { connections: 4, pipeline, ..settings })
    };
    for (keep_alive, pipeline) in [(true, 1), (true, 8), (false, 1)] {
        let body = Some(Arc::new(b"what is on the page".to_vec()));
        let result = ask(HttpSettings { expected_body: body, ..web("/page", keep_alive) }, pipeline);
        complete(&result);
        assert_eq!(result.totals.requests, Some(300), "{}", told(&result));
        assert_eq!(result.totals.bytes_verified, Some(300 * 19));
        let opened = result.totals.connections_opened.unwrap();
        assert_eq!(opened, if keep_alive { 4 } else { 300 });
    }
    let body = Some(Arc::new(b"what is on the pagE".to_vec()));
    let wrong = ask(HttpSettings { expected_body: body, ..web("/page", true) }, 1);
    assert_eq!(wrong.totals.errors.get("wrong_content"), Some(&300));
    let missing = ask(web("/missing", true), 1);
    assert_eq!(missing.state, RunState::Failed);
    assert_eq!(missing.totals.errors.get("http_4xx"), Some(&300));
    let error = missing.error.expect("why it failed");
    assert_eq!(error.code, ErrorCode::UnexpectedStatus);
    assert!(error.message.contains("status 404"), "{}", error.message);
}

#[test]
fn netns_files_come_by_http_and_ftp_and_are_told_apart_by_size() {
    let lab = lab();
    let dir = tempfile::tempdir().unwrap();
    std::fs::set_permissions(dir.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let sinks = tempfile::tempdir().unwrap();
    for (name, len) in [("small", 1_000), ("large", 500_000)] {
        std::fs::write(dir.path().join(name), vec![7u8; len]).unwrap();
    }
    let nginx = Nginx::serving(dir.path()).start(lab.far()).unwrap();
    let vsftpd = Vsftpd::serving(dir.path()).start(lab.far()).unwrap();
    let page = |path: &str, weight| Page { path: path.into(), weight };
    let pages = vec![page("/small", 3), page("/large", 1)];
    let http = FileProtocol::Http(HttpSettings { pages, ..web("", true) });
    let files = vec![("/small".to_owned(), 3), ("/large".to_owned(), 1)];
    let (user, password) = ("anonymous".to_owned(), "x".to_owned());
    let ftp = FileProtocol::Ftp(FtpSettings { user, password, files, store: None });
    for (protocol, port) in [(http, nginx.port()), (ftp, vsftpd.port())] {
        let sink = SinkSettings::Directory(sinks.path().to_owned());
        let pattern = Pattern::Files(FilesSettings { protocol: protocol.clone(), sink });
        let mut settings = counted(settings(pattern, lab.far().at(port)), 80);
        settings.connections = 2;
        let result = load(&lab, &settings);
        complete(&result);
        assert_eq!(result.totals.files, Some(80), "{}", told(&result));
        let classes: Vec<_> =
            result.classes.iter().map(|class| (class.max_bytes, class.totals.files)).collect();
        assert_eq!(classes, [(Some(1_000), Some(60)), (Some(500_000), Some(20))], "{}", protocol.name());
        let large = &result.classes[1];
        assert!(large.latency["file"].p50_ns >= large.latency["first_byte"].p50_ns);
        assert!(result.cpu.as_ref().unwrap().seconds_per_gigabyte.is_some());
        assert_eq!(std::fs::read_dir(sinks.path()).unwrap().count(), 0, "what is complete is removed");
    }
}

#[test]
fn netns_files_go_to_an_ftp_server_whole() {
    let lab = lab();
    let dir = tempfile::tempdir().unwrap();
    let inside = dir.path().join("in");
    std::fs::create_dir(&inside).unwrap();
    for (dir, mode) in [(dir.path(), 0o755), (inside.as_path(), 0o777)] {
        std::fs::set_permissions(dir, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
    }
    let mut vsftpd = Vsftpd::serving(dir.path());
    for option in ["write_enable", "anon_upload_enable", "anon_other_write_enable"] {
        vsftpd = vsftpd.option(option, "YES");
    }
    let vsftpd = vsftpd.start(lab.far()).unwrap();
    let protocol = FileProtocol::Ftp(FtpSettings {
        user: "anonymous".to_owned(),
        password: "x".to_owned(),
        files: vec![("/in/a".to_owned(), 1)],
        store: Some(300_000),
    });
    let pattern = Pattern::Files(FilesSettings { protocol, sink: SinkSettings::Null });
    let mut settings = counted(settings(pattern, lab.far().at(vsftpd.port())), 20);
    settings.connections = 2;
    let result = load(&lab, &settings);
    complete(&result);
    assert_eq!(
        (result.totals.files, result.totals.bytes_sent),
        (Some(20), Some(6_000_000)),
        "{}",
        told(&result)
    );
    assert_eq!(result.classes[0].totals.files, Some(20));
    let stored: Vec<_> = std::fs::read_dir(&inside).unwrap().map(|file| file.unwrap().path()).collect();
    assert_eq!(stored.len(), 2, "one for each client: {stored:?}");
    for file in stored {
        let bytes = std::fs::read(&file).unwrap();
        assert_eq!((bytes.len(), TestPattern.mismatch(0, &bytes)), (300_000, None), "{file:?}");
    }
}

#[test]
fn netns_more_connections_than_ports_are_refused_before_any_is_opened() {
    let lab = lab();
    let mut settings = settings(Pattern::Hold { trickle: None }, lab.far().at(9));
    settings.connections = 100_000;
    let result = load(&lab, &settings);
    let error = result.error.as_ref().expect("a failure");
    assert!(result.state == RunState::Failed && error.message.contains("--local-ips"), "{}", told(&result));
    assert_eq!(result.totals.connections_attempted, None);
}

/// Our own server on the far host.
fn serve(lab: &Lab) -> Engine {
    let sites = vec![Site { port: 5000, role: Role::Rr }, Site { port: 5001, role: Role::Stream }];
    let config = Arc::new(ServeConfig { sites, ..ServeConfig::default() });
    let builder: EngineBuilder =
        Engine::builder().netns(lab.far().netns()).interface(lab.far().interface()).cores(vec![0]);
    let make = move |worker| Server::new(config.clone(), Arc::default(), (worker, 1), None);
    builder.service(vec![5000, 5001], make).start().unwrap()
}

#[test]
fn netns_our_own_server_is_told_what_to_send_and_reports_what_it_got() {
    let lab = lab();
    let _server = serve(&lab);
    let sized = Pattern::Rr(rr(50, 10_000, Protocol::Bypath));
    let result = load(&lab, &counted(settings(sized, lab.far().at(5000)), 500));
    complete(&result);
    assert_eq!(result.totals.bytes_verified, Some(5_000_000), "{}", told(&result));
    for direction in [Direction::Up, Direction::Down, Direction::Both] {
        let pattern = stream(direction, Protocol::Bypath, Some(4_000_000));
        let result = load(&lab, &LoadSettings { duration: None, ..settings(pattern, lab.far().at(5001)) });
        complete(&result);
        assert_eq!(result.totals.requests, Some(1), "{direction:?}: {}", told(&result));
    }
}
