//! How fast a capture of a million packets is printed, beside tcpdump: both read the same file and write to /dev/null, in
//! turn, three times. Prints medians, the ratio, and the most memory that each had.
//!
//! ```sh
//! cargo run --release -p bypath-trace --example speed [FILE]
//! ```
//!
//! Without a file it makes one: connections of full segments, acknowledgements and datagrams. With `--decode FILE` it is
//! the program that is measured.

use std::error::Error;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::process::{Command, Stdio};
use std::time::Instant;

use bypath_trace::read::Capture;
use bypath_trace::style::Names;
use bypath_trace::style::Style;
use bypath_trace::style::tcpdump::{Options, Tcpdump};

const PACKETS: u32 = 1_000_000;

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if let [flag, file] = args.as_slice()
        && flag == "--decode"
    {
        return decode(file);
    }
    let own = std::env::temp_dir().join(format!("bypath-speed-{}.pcap", std::process::id()));
    let file = match args.first() {
        Some(file) => file.clone(),
        None => {
            make(&own)?;
            own.display().to_string()
        }
    };
    let program = std::env::current_exe()?.display().to_string();
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        ours.push(measure(&[&program, "--decode", &file])?);
        theirs.push(measure(&["tcpdump", "-n", "-r", &file])?);
    }
    if args.is_empty() {
        std::fs::remove_file(own)?;
    }
    for runs in [&mut ours, &mut theirs] {
        runs.sort_by(|a, b| a.0.total_cmp(&b.0));
    }
    println!("bypath: {:.3} s, at most {} KiB of memory", ours[1].0, ours[1].1);
    println!("tcpdump: {:.3} s, at most {} KiB of memory", theirs[1].0, theirs[1].1);
    println!("ratio: {:.2}", theirs[1].0 / ours[1].0);
    Ok(())
}

fn decode(file: &str) -> Result<(), Box<dyn Error>> {
    let mut capture = Capture::open(File::open(file)?)?;
    let mut style = Tcpdump::new(Options { numeric: true, ..Options::default() }, Names::default());
    let mut out = BufWriter::with_capacity(128 * 1024, File::options().write(true).open("/dev/null")?);
    while let Some(record) = capture.next_record()? {
        style.record(&record, &mut out)?;
    }
    out.flush()?;
    // "VmHWM: 1234 kB": the most memory that there was.
    let status = std::fs::read_to_string("/proc/self/status")?;
    let most = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or("0");
    println!("{}", most.trim().trim_end_matches(" kB"));
    Ok(())
}

/// Seconds, and KiB of memory.
fn measure(command: &[&str]) -> Result<(f64, u64), Box<dyn Error>> {
    let start = Instant::now();
    let is_tcpdump = command[0] == "tcpdump";
    let output =
        if is_tcpdump { Stdio::from(File::options().write(true).open("/dev/null")?) } else { Stdio::piped() };
    let mut child =
        Command::new(command[0]).args(&command[1..]).stdout(output).stderr(Stdio::null()).spawn()?;
    let mut most = 0;
    if is_tcpdump {
        // tcpdump does not tell; it is looked at while it runs.
        let status = format!("/proc/{}/status", child.id());
        while child.try_wait()?.is_none() {
            let text = std::fs::read_to_string(&status).unwrap_or_default();
            let now = text.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or("0");
            most = most.max(now.trim().trim_end_matches(" kB").parse().unwrap_or(0));
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        return Ok((start.elapsed().as_secs_f64(), most));
    }
    let output = child.wait_with_output()?;
    let seconds = start.elapsed().as_secs_f64();
    most = String::from_utf8_lossy(&output.stdout).trim().parse().unwrap_or(0);
    Ok((seconds, most))
}

fn make(path: &std::path::Path) -> Result<(), Box<dyn Error>> {
    let mut file = BufWriter::new(File::create(path)?);
    file.write_all(&0xa1b2_c3d4_u32.to_le_bytes())?;
    file.write_all(&[2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0])?;
    file.write_all(&262_144_u32.to_le_bytes())?;
    file.write_all(&1_u32.to_le_bytes())?;
    for number in 0..PACKETS {
        let flow = number / 10 % 1000;
        let (answers, data) = (number % 2 == 1, if number % 2 == 1 { 0 } else { 1448 });
        let mut frame = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0, 0x45, 0];
        frame.extend((52 + data as u16).to_be_bytes());
        frame.extend([0, 7, 0x40, 0, 64, 6, 0, 0]);
        let (here, there) = ([10, 0, (flow >> 8) as u8, flow as u8], [10, 1, 0, 1]);
        let (from, to) = if answers { (there, here) } else { (here, there) };
        frame.extend(from);
        frame.extend(to);
        let (from, to) = if answers { (443_u16, 40_000_u16) } else { (40_000_u16, 443_u16) };
        frame.extend(from.to_be_bytes());
        frame.extend(to.to_be_bytes());
        frame.extend(number.wrapping_mul(1448).to_be_bytes());
        frame.extend(number.wrapping_mul(7).to_be_bytes());
        frame.extend([0x80, 0x10, 1, 0, 0, 0, 0, 0, 1, 1, 8, 10]);
        frame.extend(number.to_be_bytes());
        frame.extend((number / 2).to_be_bytes());
        frame.resize(frame.len() + data, b'x');
        file.write_all(&(1_700_000_000 + number / 100_000).to_le_bytes())?;
        file.write_all(&(number % 100_000 * 10).to_le_bytes())?;
        file.write_all(&(frame.len() as u32).to_le_bytes())?;
        file.write_all(&(frame.len() as u32).to_le_bytes())?;
        file.write_all(&frame)?;
    }
    file.flush()?;
    Ok(())
}
