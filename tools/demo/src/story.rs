//! What the demo does, in its order.

use std::path::Path;
use std::process::Command;

use bypath_lab::Lab;
use bypath_lab::peer::{Dnsmasq, Nginx, Vsftpd};

use crate::Paths;
use crate::error::{Result, expect, io};
use crate::files;
use crate::get::{Transfer, bypath, curl};
use crate::programs::Stop;

const SMALL: u64 = 26_752;
const LARGE: u64 = 1 << 30;
const SEARCH: [&str; 3] = ["first.test", "second.test", "third.test"];
/// Side by side, each stack in turn: the middle one of so many counts.
const ROUNDS: usize = 5;

pub(crate) fn tell(paths: &Paths) -> Result<()> {
    let stop = Stop::on_signals()?;
    let served = paths.files.join("served");
    std::fs::create_dir_all(&served).map_err(io("making the directory for the demo's files"))?;
    let (small, large) = (served.join("small.bin"), served.join("large.bin"));
    files::make(&small, 1, SMALL)?;
    files::make(&large, 2, LARGE)?;
    let inbox = files::inbox(LARGE, &paths.files)?;

    let lab = Lab::builder().name_prefix("demo").up()?;
    let far = lab.far();
    let dns = Dnsmasq::builder().host("files.third.test", far.ipv4()).start(far)?;
    let ftp = Vsftpd::serving(&served).start(far)?;
    let _http = Nginx::serving(&served).start(far)?;
    println!(
        "lab: near {} ═══ far {}, MTU 1500, offloads off; dnsmasq, vsftpd and nginx on far",
        lab.near().ipv4(),
        far.ipv4()
    );

    let story = Story { stop, paths, lab: &lab, inbox: inbox.path() };
    let name_server = far.ipv4().to_string();
    let named = ["--dns", &name_server, "--search", &SEARCH.join(",")];

    println!("\nI just wanted to download a file: ftp://files/small.bin, active mode");
    let transfer =
        story.checked(&small, SMALL, &[&named[..], &["-P", "-", "ftp://files/small.bin"]].concat())?;
    let resolved = transfer.facts["resolved_name"].as_str().unwrap_or_default();
    expect("the name that had an address", resolved, "files.third.test")?;
    let queries = dns.query_log();
    for miss in &SEARCH[..2] {
        let answer = format!("files.{miss} is NXDOMAIN");
        expect(&format!("the name server's answer for files.{miss}"), queries.contains(&answer), true)?;
    }
    println!(
        "  name       files is files.third.test, after NXDOMAIN for files.first.test and files.second.test"
    );
    let protocol = ftp.protocol_log();
    let active = ["PORT ", "EPRT "].iter().any(|command| protocol.contains(command));
    expect("that the server was told to connect to us", active, true)?;
    let ms = transfer.facts["time_total"].as_f64().unwrap_or(0.0) * 1e3;
    println!("  file       {SMALL} bytes, SHA-256 as served, in {ms:.1} ms; the server connected to us");
    println!("  transfer   {}", transfer.summary());

    println!("\n1 GiB from each server, received into a file, SHA-256 by sha256sum");
    for scheme in ["http", "ftp"] {
        let url = format!("{scheme}://files/large.bin");
        let transfer = story.checked(&large, LARGE, &[&named[..], &[&url]].concat())?;
        println!("  {scheme:<10} SHA-256 as served; {}", transfer.summary());
    }

    println!("\n1 GiB by HTTP to /dev/null, in turn, the middle one of {ROUNDS}");
    let url = format!("http://{}/large.bin", far.ipv4());
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        ours.push(story.bypath(&["-o", "/dev/null", &url])?);
        theirs.push(curl(&story.stop, &lab, &url)?);
    }
    let (ours, theirs) = (middle(ours), middle(theirs));
    for transfer in [&ours, &theirs] {
        expect("bytes", transfer.bytes, LARGE)?;
    }
    println!("  bypath     {}", ours.summary());
    println!("  curl       {} (the kernel's TCP, same wire, same packets)", theirs.summary());
    println!("  ratio      {:.2}", ours.goodput / theirs.goodput);
    println!("  engine     {}", ours.wire());

    if let Some(ceiling) = &paths.ceiling {
        println!("\nThe raw AF_XDP ceiling of this wire: frames one way, no TCP");
        let [from, to] = [far, lab.near()].map(|host| format!("{}/{}", host.netns(), host.interface()));
        for line in story.stop.run(Command::new(ceiling).args([from, to]))?.lines() {
            println!("  {line}");
        }
    }
    println!();
    Ok(())
}

/// Of an odd number of transfers, the one of middle goodput.
fn middle(mut transfers: Vec<Transfer>) -> Transfer {
    transfers.sort_by(|a, b| a.goodput.total_cmp(&b.goodput));
    transfers.swap_remove(transfers.len() / 2)
}

struct Story<'a> {
    stop: Stop,
    paths: &'a Paths,
    lab: &'a Lab,
    inbox: &'a Path,
}

impl Story<'_> {
    fn bypath(&self, args: &[&str]) -> Result<Transfer> {
        bypath(&self.stop, &self.paths.bypath, self.lab, args)
    }

    /// Fetches into a file that must be the same as the one that is served.
    fn checked(&self, served: &Path, len: u64, args: &[&str]) -> Result<Transfer> {
        let file = self.inbox.join("received");
        let path = file.display().to_string();
        let transfer = self.bypath(&[&["-o", &path], args].concat())?;
        expect("bytes", transfer.bytes, len)?;
        let (got, expected) = (files::sha256(&self.stop, &file)?, files::sha256(&self.stop, served)?);
        expect("SHA-256", got, expected)?;
        std::fs::remove_file(&file).map_err(io("removing what was received"))?;
        Ok(transfer)
    }
}
