//! Rows 9 and 10: connections a second, and requests on kept ones, beside wrk and nginx.

use crate::Error;
use crate::contest::{Contest, Figure, Ours, Subject};
use crate::options::Options;
use crate::program::{json, number, output};
use crate::wire::{HTTP_PORT, Place, RR_PORT, Served, Side, Wire, client};

/// Clients at the same time.
const CLIENTS: &str = "16";
/// Ports of one address would not last: closed connections keep theirs for a while.
const ADDRESSES: &str = "198.18.0.50-198.18.0.65/24";

/// A connection for each request of 64 bytes. Nobody else's tool in Debian does that but by HTTP.
pub(super) fn crr<'a>(options: &'a Options, place: &'a Place, wire: &'a Wire) -> Contest<'a> {
    let crr = move || {
        let target = format!("{}:{RR_PORT}", wire.plain.far_ip());
        let args = ["load", "crr", &target, "--protocol", "bypath", "--local-ips", ADDRESSES];
        load(options, place, wire, &args)
    };
    Contest {
        name: "9 crr".into(),
        figures: vec![Figure::more("", "connections/s")],
        ours: vec![Ours { subject: Subject::new("load and serve", crr), ceiling: None }],
        peers: wrk_and_nginx(options, wire, false),
    }
}

/// 1 KiB by HTTP.
pub(super) fn http<'a>(options: &'a Options, place: &'a Place, wire: &'a Wire, keep: bool) -> Contest<'a> {
    let both = move || {
        let url = format!("http://{}:{HTTP_PORT}/small", wire.plain.far_ip());
        let more = if keep { vec![] } else { vec!["--close", "--local-ips", ADDRESSES] };
        let args: Vec<&str> = ["load", "http", &url].into_iter().chain(more).collect();
        load(options, place, wire, &args)
    };
    let server = move || {
        let _served = Served::start(place, wire, &["--poll", "busy"])?;
        wrk(options, &wire.plain, HTTP_PORT, keep)
    };
    let client = move || {
        let url = format!("http://{}/small", wire.plain.far_ip());
        let mut command = client(place, wire, &["load", "http", &url, "--poll", "busy"]);
        if !keep {
            command.args(["--close", "--local-ips", ADDRESSES]);
        }
        command.args(["-c", CLIENTS, "-t", &options.seconds.to_string(), "--json"]);
        Ok(vec![number(&json(&mut command)?, "/rates/requests_per_second")?])
    };
    let ours = |name: &str, once: Box<dyn Fn() -> Result<Vec<f64>, Error> + 'a>| Ours {
        subject: Subject::new(name, once),
        ceiling: None,
    };
    Contest {
        name: if keep { "10 http keep-alive" } else { "9 http close" }.into(),
        figures: vec![Figure::more("", "requests/s")],
        ours: vec![
            ours("load and serve", Box::new(both)),
            ours("wrk and serve", Box::new(server)),
            ours("load and nginx", Box::new(client)),
        ],
        peers: wrk_and_nginx(options, wire, keep),
    }
}

fn wrk_and_nginx<'a>(options: &'a Options, wire: &'a Wire, keep: bool) -> Vec<Subject<'a>> {
    let close = if keep { "" } else { ", close" };
    let peer = |offloads: &str, side: &'a Side| {
        Subject::new(format!("wrk and nginx{close}{offloads}"), move || wrk(options, side, 80, keep))
    };
    vec![peer("", &wire.plain), peer(", offloads on", &wire.offloaded)]
}

/// Both ends ours.
fn load(options: &Options, place: &Place, wire: &Wire, args: &[&str]) -> Result<Vec<f64>, Error> {
    let _served = Served::start(place, wire, &["--poll", "busy"])?;
    let mut command = client(place, wire, args);
    command.args(["-c", CLIENTS, "-t", &options.seconds.to_string(), "--json", "--poll", "busy"]);
    Ok(vec![number(&json(&mut command)?, "/rates/requests_per_second")?])
}

fn wrk(options: &Options, side: &Side, port: u16, keep: bool) -> Result<Vec<f64>, Error> {
    let mut command = side.near("wrk")?;
    command.args(["-t", "1", "-c", CLIENTS, "-d", &options.seconds.to_string()]);
    if !keep {
        command.args(["-H", "Connection: close"]);
    }
    let printed = output(command.arg(format!("http://{}:{port}/small", side.far_ip())))?;
    let line = printed.lines().find_map(|line| line.trim().strip_prefix("Requests/sec:"));
    let rate = line.and_then(|rate| rate.trim().parse().ok());
    rate.map(|rate| vec![rate]).ok_or_else(|| format!("wrk printed {printed:?}"))
}
