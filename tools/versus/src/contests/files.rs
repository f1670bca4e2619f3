//! Row 11: a large file by HTTP, and the processor time that both ends took for it, beside curl and nginx.

use std::process::Command;

use crate::Error;
use crate::contest::{Contest, Figure, Ours, Subject};
use crate::options::Options;
use crate::program::{json, number, output, with_processor_time};
use crate::wire::{HTTP_PORT, Place, Served, Side, Wire, bypath, client};

pub(super) fn contest<'a>(options: &'a Options, place: &'a Place, wire: &'a Wire) -> Contest<'a> {
    let plain = &wire.plain;
    let get_nginx = move || get(options, place, wire, 80, plain.nginx());
    let curl_serve = move || {
        let served = Served::start(place, wire, &[])?;
        curl(options, plain, HTTP_PORT, served.id())
    };
    let get_serve = move || {
        let served = Served::start(place, wire, &[])?;
        get(options, place, wire, HTTP_PORT, served.id())
    };
    // The pump has the processor that the server leaves.
    let by =
        move |tx: &str| Served::start(place, wire, &["--tx", tx, "--pump-core", &place.sender().to_string()]);
    let curl_pump = move || {
        let _gro = TakesPumped::at(plain)?;
        let served = by("pump")?;
        curl(options, plain, HTTP_PORT, served.id())
    };
    let get_pump = move || {
        // Before a client is there nobody takes pumped frames: the server changes over under load.
        let served = by("auto")?;
        let large = url(wire, HTTP_PORT);
        let args = ["get", "--json", "-o", "/dev/null", "--max-time", "120", &large];
        let mut command = bypath(place, plain.lab.near(), place.receiver(), &args);
        timed(options, served.id(), || number(&json(&mut command)?, "/speed_download"))
    };
    let ours = |name: &str, once: Box<dyn Fn() -> Result<Vec<f64>, Error> + 'a>| Ours {
        subject: Subject::new(name, once),
        ceiling: None,
    };
    let peer = |name: &str, side: &'a Side| Subject::new(name, move || curl(options, side, 80, side.nginx()));
    Contest {
        name: format!("11 file {} MiB", options.file_bytes >> 20),
        figures: vec![Figure::more("", "Gbit/s"), Figure::less("processor time", "s/GB")],
        ours: vec![
            ours("get from nginx", Box::new(get_nginx)),
            ours("curl from serve", Box::new(curl_serve)),
            ours("get from serve", Box::new(get_serve)),
            ours("curl, with GRO, from serve by pump", Box::new(curl_pump)),
            ours("get from serve by auto", Box::new(get_pump)),
        ],
        peers: vec![
            peer("curl from nginx", &wire.plain),
            peer("curl from nginx, offloads on", &wire.offloaded),
        ],
    }
}

/// The kernel's end of a veth pair takes pumped frames while GRO is on there.
struct TakesPumped<'a>(&'a Side);

impl<'a> TakesPumped<'a> {
    fn at(side: &'a Side) -> Result<Self, Error> {
        let taker = Self(side);
        taker.gro("on")?;
        Ok(taker)
    }

    fn gro(&self, state: &str) -> Result<(), Error> {
        output(self.0.near("ethtool")?.args(["-K", self.0.lab.near().interface(), "gro", state])).map(drop)
    }
}

impl Drop for TakesPumped<'_> {
    fn drop(&mut self) {
        // The next to measure would fail if it were not so.
        let _ = self.gro("off");
    }
}

fn url(wire: &Wire, port: u16) -> String {
    format!("http://{}:{port}/large", wire.plain.far_ip())
}

fn get(options: &Options, place: &Place, wire: &Wire, port: u16, server: u32) -> Result<Vec<f64>, Error> {
    let url = url(wire, port);
    let mut command = client(place, wire, &["get", "--json", "-o", "/dev/null", "--max-time", "120", &url]);
    timed(options, server, || number(&json(&mut command)?, "/speed_download"))
}

fn curl(options: &Options, side: &Side, port: u16, server: u32) -> Result<Vec<f64>, Error> {
    let mut command: Command = side.near("curl")?;
    command.args(["-sSf", "-o", "/dev/null", "--max-time", "120", "-w", "%{speed_download}"]);
    command.arg(format!("http://{}:{port}/large", side.far_ip()));
    timed(options, server, || {
        let printed = output(&mut command)?;
        printed.trim().parse().map_err(|_| format!("curl printed {printed:?}"))
    })
}

fn timed(
    options: &Options,
    server: u32,
    bytes_per_second: impl FnOnce() -> Result<f64, Error>,
) -> Result<Vec<f64>, Error> {
    let (rate, cpu) = with_processor_time(server, bytes_per_second)?;
    Ok(vec![rate * 8.0 / 1e9, cpu / (options.file_bytes as f64 / 1e9)])
}
