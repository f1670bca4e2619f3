//! `cargo xtask versus`: bypath beside the kernel's stack and the raw ceiling, on the same wire, in turn: a file and small
//! answers by HTTP from nginx, round trips to an echo server. Every figure is the median of its rounds.

mod measure;
mod row;

use std::path::PathBuf;
use std::process::ExitCode;

use bypath_lab::peer::Nginx;
use bypath_lab::{Lab, TcpJob, TcpService};

use measure::{Bench, ECHO_PORT, Error};
use row::{Row, table};

const USAGE: &str = "\
usage: cargo xtask versus [--rounds N] [--seconds N] [--mtu LIST] [--file-bytes N] [--json FILE]
";

/// What is asked for.
struct Options {
    bypath: PathBuf,
    rounds: usize,
    seconds: u32,
    mtus: Vec<u32>,
    file_bytes: u64,
    json: Option<PathBuf>,
}

fn options() -> Result<Options, String> {
    let mut options = Options {
        bypath: "bypath".into(),
        rounds: 5,
        seconds: 2,
        mtus: vec![1500, 3498, 9000],
        file_bytes: 1 << 30,
        json: None,
    };
    let mut args = std::env::args().skip(1);
    while let Some(name) = args.next() {
        let value = args.next().ok_or_else(|| format!("{name} needs a value"))?;
        let bad = || format!("{name} cannot be {value}");
        match name.as_str() {
            "--bypath" => options.bypath = value.into(),
            "--rounds" => options.rounds = value.parse().ok().filter(|n| *n > 0).ok_or_else(bad)?,
            "--seconds" => options.seconds = value.parse().ok().filter(|n| *n > 0).ok_or_else(bad)?,
            "--file-bytes" => options.file_bytes = value.parse().ok().filter(|n| *n > 0).ok_or_else(bad)?,
            "--json" => options.json = Some(value.into()),
            "--mtu" => {
                let mtus: Result<Vec<u32>, _> = value.split(',').map(str::parse).collect();
                options.mtus = mtus.map_err(|_| bad())?;
            }
            _ => return Err(format!("there is no option {name}")),
        }
    }
    Ok(options)
}

fn main() -> ExitCode {
    let options = match options() {
        Ok(options) => options,
        Err(message) => {
            eprint!("versus: {message}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match run(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("versus: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<(), Error> {
    let served = tempfile::tempdir().map_err(|error| format!("making a directory: {error}"))?;
    let write = |name: &str, bytes: u64| {
        let file = std::fs::File::create(served.path().join(name));
        file.and_then(|file| file.set_len(bytes)).map_err(|error| format!("making {name}: {error}"))
    };
    write("large", options.file_bytes)?;
    write("small", 128)?;
    let mut rows: Vec<Row> = Vec::new();
    for mtu in &options.mtus {
        // The engine and a kernel with its offloads on cannot talk: a veth pair has no NIC that fills checksums in.
        let plain = Lab::builder().name_prefix("vs").mtu(*mtu).up().map_err(|error| error.to_string())?;
        let offloaded = Lab::builder().name_prefix("vs").mtu(*mtu).offloads(true).up();
        let offloaded = offloaded.map_err(|error| error.to_string())?;
        let start = |lab: &Lab| -> Result<_, Error> {
            let nginx = Nginx::serving(served.path()).start(lab.far()).map_err(|error| error.to_string())?;
            let echo = TcpService::start(lab.far(), lab.far().at(ECHO_PORT), TcpJob::Echo);
            echo.map(|echo| (nginx, echo)).map_err(|error| error.to_string())
        };
        let _servers = (start(&plain)?, start(&offloaded)?);
        let bench = Bench {
            bypath: &options.bypath,
            plain: &plain,
            offloaded: &offloaded,
            mtu: *mtu,
            rounds: options.rounds,
            seconds: options.seconds,
            file_bytes: options.file_bytes,
        };
        println!("MTU {mtu}: {} rounds, each of them in turn", options.rounds);
        bench.run(&mut rows)?;
    }
    println!("\n{}", table(&rows));
    if let Some(path) = &options.json {
        let text = serde_json::to_string_pretty(&rows).map_err(|error| error.to_string())?;
        std::fs::write(path, text + "\n").map_err(|error| format!("writing {}: {error}", path.display()))?;
    }
    Ok(())
}
