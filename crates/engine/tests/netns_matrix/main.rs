//! The engine against a kernel peer for every pair of options, both ways and in both families, on a bad wire:
//! what is agreed upon is what both allow, and every byte arrives. Closing, resetting, ten thousand connections.
//! Needs root.

mod closing;
mod options;
mod path;

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener as KernelListener, TcpStream as KernelStream};
use std::time::{Duration, Instant};

use bypath::{Engine, EngineBuilder, TcpConfig, TcpListener, TcpStream};
use bypath_lab::{Impairments, Lab, LabBuilder, Pattern, kernel_tcp};

/// Longer than anything here takes: a test that waits for it has failed.
const LONG: Duration = Duration::from_secs(30);
const OURS: Pattern = Pattern::new(1);
const THEIRS: Pattern = Pattern::new(2);

/// Who opens a connection, and in which family.
#[derive(Clone, Copy, Debug)]
struct Way {
    we_open: bool,
    v6: bool,
}

/// All there are.
const WAYS: [Way; 4] = [
    Way { we_open: true, v6: false },
    Way { we_open: false, v6: false },
    Way { we_open: true, v6: true },
    Way { we_open: false, v6: true },
];

fn lab() -> LabBuilder {
    Lab::builder().name_prefix("m")
}

fn bad_wire(mtu: u32) -> Lab {
    let bad = Impairments { seed: 7, loss: 0.01, reorder: 0.02, ..Impairments::default() };
    lab().mtu(mtu).through_box(bad, bad.seeded(8)).up().unwrap()
}

fn engine(lab: &Lab, tcp: TcpConfig) -> EngineBuilder {
    Engine::builder().netns(lab.near().netns()).interface(lab.near().interface()).tcp(tcp)
}

/// TIME-WAIT short enough to be waited for.
fn hasty() -> TcpConfig {
    TcpConfig { time_wait: Duration::from_millis(50), ..TcpConfig::default() }
}

fn far_at(lab: &Lab, v6: bool) -> SocketAddr {
    if v6 { lab.far().at_v6(0) } else { lab.far().at(0) }
}

fn near_at(lab: &Lab, v6: bool) -> SocketAddr {
    if v6 { lab.near().at_v6(0) } else { lab.near().at(0) }
}

/// A connection, seen from both ends.
type Pair = (TcpStream, KernelStream);

fn pair(lab: &Lab, engine: &Engine, way: Way) -> Pair {
    let (ours, theirs) = if way.we_open {
        let at = far_at(lab, way.v6);
        let listener = lab.far().run(|| KernelListener::bind(at)).unwrap().unwrap();
        let ours = TcpStream::connect_timeout(engine, listener.local_addr().unwrap(), LONG).unwrap();
        (ours, listener.accept().unwrap().0)
    } else {
        let listener = TcpListener::bind(engine, near_at(lab, way.v6)).unwrap();
        listener.set_accept_timeout(Some(LONG));
        let theirs = lab.far().run(|| KernelStream::connect(listener.local_addr())).unwrap().unwrap();
        (listener.accept().unwrap().0, theirs)
    };
    let pair = (ours, theirs);
    limit(&pair);
    pair
}

/// No read or write takes longer than [`LONG`].
fn limit((ours, theirs): &Pair) {
    theirs.set_read_timeout(Some(LONG)).unwrap();
    theirs.set_write_timeout(Some(LONG)).unwrap();
    ours.set_read_timeout(Some(LONG)).unwrap();
    ours.set_write_timeout(Some(LONG)).unwrap();
    assert_eq!(ours.peer_addr(), theirs.local_addr().unwrap());
}

fn send(mut stream: impl Write, pattern: Pattern, len: u64) {
    assert_eq!(std::io::copy(&mut pattern.reader(len), &mut stream).unwrap(), len);
}

/// Reads to the end, which must be the pattern's first bytes.
fn receive(stream: impl Read, pattern: Pattern, len: u64) {
    let (mut received, mut mismatch) = (0, None);
    kernel_tcp::receive(stream, Some(pattern), &mut received, &mut mismatch).unwrap();
    assert_eq!((received, mismatch), (len, None));
}

/// Bytes that each end of a pair sends: so many, or as many MiB as `BYPATH_MATRIX_MIB` says.
fn amount(usual: u64) -> u64 {
    let mib = std::env::var("BYPATH_MATRIX_MIB").ok();
    mib.map_or(usual, |mib| mib.parse::<u64>().expect("BYPATH_MATRIX_MIB is a number") << 20)
}

/// Both ends send so much at once and read to the end.
fn exchange((ours, theirs): &Pair, len: u64) {
    std::thread::scope(|scope| {
        scope.spawn(|| {
            send(ours, OURS, len);
            ours.shutdown(Shutdown::Write).unwrap();
        });
        scope.spawn(|| {
            send(theirs, THEIRS, len);
            theirs.shutdown(Shutdown::Write).unwrap();
        });
        scope.spawn(|| receive(theirs, OURS, len));
        receive(ours, THEIRS, len);
    });
}

/// What ss(8) of the far host says of the kernel's end: its state, addresses and options, a line.
fn kernel_says(lab: &Lab, pair: &Pair) -> String {
    let sockets = lab.far().output("ss", &["-tanoiHO"]).unwrap();
    let (local, peer) = (pair.0.peer_addr().to_string(), pair.0.local_addr().to_string());
    let ours = |line: &&str| {
        let mut fields = line.split_whitespace().skip(3);
        fields.next() == Some(&local) && fields.next() == Some(&peer)
    };
    sockets.lines().find(ours).unwrap_or_else(|| panic!("{local} {peer} is not in\n{sockets}")).to_owned()
}

/// Whether a line of [`kernel_says`] has a word, or one that begins with it and a colon.
fn has_word(line: &str, word: &str) -> bool {
    line.split_whitespace()
        .any(|w| w == word || w.strip_prefix(word).is_some_and(|rest| rest.starts_with(':')))
}

/// Waits until no connection is left on our side, in whatever state.
fn wait_for_no_flows(engine: &Engine) {
    let started = Instant::now();
    while engine.stats().flows > 0 {
        assert!(started.elapsed() < LONG, "{:?}", engine.stats());
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// The states of the far host's sockets that are no TIME-WAIT, and how many are. A socket that has just been
/// closed may still be on its way there.
fn states_left(lab: &Lab) -> (Vec<String>, usize) {
    let started = Instant::now();
    loop {
        let sockets = lab.far().output("ss", &["-tanH"]).unwrap();
        let states = || sockets.lines().filter_map(|line| line.split_whitespace().next());
        let waiting = states().filter(|state| *state == "TIME-WAIT").count();
        let others: Vec<String> = states().filter(|state| *state != "TIME-WAIT").map(str::to_owned).collect();
        if others.is_empty() || started.elapsed() > Duration::from_secs(10) {
            return (others, waiting);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}
