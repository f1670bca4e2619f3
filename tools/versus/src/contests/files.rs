//! Row 11: a large file by HTTP, and the processor time that both ends took for it, beside curl and nginx.

use std::process::Command;

use crate::Error;
use crate::contest::{Contest, Figure, Ours, Subject};
use crate::options::Options;
use crate::program::{json, number, output, with_processor_time};
use crate::wire::{HTTP_PORT, Place, Served, Side, Wire, client};

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
        ],
        peers: vec![
            peer("curl from nginx", &wire.plain),
            peer("curl from nginx, offloads on", &wire.offloaded),
        ],
    }
}

fn get(options: &Options, place: &Place, wire: &Wire, port: u16, server: u32) -> Result<Vec<f64>, Error> {
    let url = format!("http://{}:{port}/large", wire.plain.far_ip());
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
