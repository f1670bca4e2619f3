//! Rows 5, 6 and 7: as many bytes as go on one connection, by each transmit path; the raw ceilings, and iperf3.

use crate::Error;
use crate::contest::{Contest, Figure, Ours, Subject};
use crate::options::Options;
use crate::program::{json, number, with_processor_time};
use crate::wire::{IPERF_PORT, Place, STREAM_PORT, Served, Side, Wire, both_cores, client, client_with_pump};

/// The largest MTU that a pump can send: its frames are of one page.
const LARGEST_PUMPED: u32 = 3306;

pub(super) fn contest<'a>(options: &'a Options, place: &'a Place, wire: &'a Wire) -> Contest<'a> {
    let fits = |tx: &&&str| **tx != "pump" || wire.mtu <= LARGEST_PUMPED;
    let ours = place.paths.iter().filter(fits).map(|tx| Ours {
        subject: Subject::new(*tx, move || ours(options, place, wire, tx)),
        ceiling: Some(Subject::new(format!("raw frames by {tx}"), move || ceiling(options, place, wire, tx))),
    });
    Contest {
        name: "5-7 stream".into(),
        figures: vec![Figure::more("", "Gbit/s").below_ceiling(), Figure::less("processor time", "s/GB")],
        ours: ours.collect(),
        peers: vec![
            Subject::new("iperf3", || iperf3(options, &wire.plain)),
            Subject::new("iperf3, offloads on", || iperf3(options, &wire.offloaded)),
        ],
    }
}

fn ours(options: &Options, place: &Place, wire: &Wire, tx: &str) -> Result<Vec<f64>, Error> {
    // The server sends acknowledgements only, for which the ring is good enough.
    let served = Served::start(place, wire, &[])?;
    let target = format!("{}:{STREAM_PORT}", wire.plain.far_ip());
    let seconds = options.seconds.to_string();
    let args = ["load", "stream", &target, "--protocol", "bypath"];
    let mut command = match tx {
        "pump" => client_with_pump(place, wire, &args),
        _ => client(place, wire, &args),
    };
    command.args(["--json", "-t", &seconds]);
    let (result, cpu) = with_processor_time(served.id(), || json(&mut command))?;
    let rate = number(&result, "/rates/goodput_sent_bits_per_second")?;
    let gigabytes = number(&result, "/totals/bytes_sent")? / 1e9;
    Ok(vec![rate / 1e9, cpu / gigabytes])
}

fn iperf3(options: &Options, side: &Side) -> Result<Vec<f64>, Error> {
    let mut command = side.near("iperf3")?;
    command.args(["-c", &side.far_ip(), "-p", &IPERF_PORT.to_string(), "-J"]);
    command.args(["-t", &options.seconds.to_string()]);
    let (result, cpu) = with_processor_time(side.iperf3(), || json(&mut command))?;
    let rate = number(&result, "/end/sum_received/bits_per_second")?;
    let gigabytes = number(&result, "/end/sum_received/bytes")? / 1e9;
    Ok(vec![rate / 1e9, cpu / gigabytes])
}

/// Payload that raw frames of the MTU's size carry one way, as much as TCP would have in them.
fn ceiling(options: &Options, place: &Place, wire: &Wire, tx: &str) -> Result<Vec<f64>, Error> {
    let (near, far) = (wire.plain.lab.near(), wire.plain.lab.far());
    let mut command = std::process::Command::new(&place.bypath);
    command.args(["blast", "--json", "--size", &(wire.mtu + 18).to_string()]);
    command.args(["-t", &options.seconds.to_string()]);
    command.args(["--netns", near.netns(), "--dev", near.interface()]);
    command.args(["--to-netns", far.netns(), "--to-dev", far.interface()]);
    if tx == "pump" {
        // It does the receiver's kernel's work as well: sender and receiver share what it leaves, as TCP's ends do.
        let shared = place.receiver();
        command.args(["--cores", &format!("{shared},{shared}"), "--tx", tx]);
        command.args(["--pump-core", &place.sender().to_string()]);
    } else {
        command.args(["--cores", &both_cores(place)]);
    }
    let frames = number(&json(&mut command)?, "/rates/packets_received_per_second")?;
    // Less IP and TCP headers with timestamps.
    Ok(vec![frames * f64::from(wire.mtu - 52) * 8.0 / 1e9])
}
