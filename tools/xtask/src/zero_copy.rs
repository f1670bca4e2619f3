//! `cargo xtask test --zero-copy`: the engine on NICs whose drivers do zero-copy, in emulated machines.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use crate::guest::{Image, Machine, Nic, Parts, parts};
use crate::setup;
use crate::shell::{self, Failure, Result, cargo, output, target_dir};

/// How many queues a NIC is tried with.
const QUEUES: [u32; 3] = [1, 2, 8];
/// Until a guest is ended, seconds: with one short transfer, and with everything.
const SHORT: u32 = 300;
const LONG: u32 = 600;
/// Of 2 MiB: enough for the packet memory of two engines.
const HUGE_PAGES: u32 = 64;

const USAGE: &str = "\
usage: cargo xtask test --zero-copy [GUEST…] [--only TEXT]

  GUEST        igb-1, igb-2, igb-8, virtio-1, virtio-2, virtio-8; all if none is named
  --only TEXT  only the tests whose names contain it
";

/// Runs all tests in the guests that are named.
pub(crate) fn run(args: &[String]) -> Result<()> {
    let all = [Nic::Igb, Nic::Virtio].into_iter().flat_map(|nic| QUEUES.map(|queues| (nic, queues)));
    let (mut guests, mut only) = (Vec::new(), None);
    let mut words = args.iter();
    while let Some(word) = words.next() {
        if word == "--only" {
            only = Some(words.next().ok_or_else(|| Failure(format!("--only wants a text\n{USAGE}")))?);
            continue;
        }
        let named = all.clone().find(|(nic, queues)| *word == format!("{}-{queues}", nic.name()));
        guests.push(named.ok_or_else(|| Failure(format!("there is no guest \"{word}\"\n{USAGE}")))?);
    }
    if guests.is_empty() {
        guests = all.collect();
    }
    setup::ensure()?;
    let parts = parts()?;
    let files = files(&parts, &only.map_or_else(Vec::new, |text| vec!["--only", text]))?;
    let mut failed = Vec::new();
    for (nic, queues) in &guests {
        if let Err(Failure(why)) = boot(&parts, &files, *nic, *queues, LONG) {
            println!("{why}");
            failed.push(format!("{}-{queues}", nic.name()));
        }
    }
    if failed.is_empty() {
        println!("zero copy: all {} guests passed", guests.len());
        return Ok(());
    }
    Err(Failure(format!("{} of {} guests failed: {}", failed.len(), guests.len(), failed.join(", "))))
}

/// One transfer in one guest, for the ordinary suite. Where guests cannot be made it says why, and is no failure.
pub(crate) fn run_short() -> Result<()> {
    let parts = match parts() {
        Ok(parts) => parts,
        Err(Failure(why)) => {
            println!("zero copy: skipped: {why}");
            return Ok(());
        }
    };
    let files = files(&parts, &["--short"])?;
    boot(&parts, &files, Nic::Igb, 2, SHORT)
}

fn boot(parts: &Parts, files: &Files, nic: Nic, queues: u32, seconds: u32) -> Result<()> {
    println!("zero copy: {} with {queues} queue{}", nic.name(), if queues == 1 { "" } else { "s" });
    let start = Instant::now();
    let machine = Machine { parts, nic, queues, huge_pages: HUGE_PAGES, seconds };
    machine.run(&files.image, &files.dir)?;
    println!("zero copy: {} with {queues}: passed in {:.0} s", nic.name(), start.elapsed().as_secs_f64());
    Ok(())
}

/// What all guests boot from.
struct Files {
    dir: PathBuf,
    image: PathBuf,
}

/// Builds what runs in the guests, and their file system.
fn files(parts: &Parts, arguments: &[&str]) -> Result<Files> {
    // As the tests are built: every check of a debug build is on.
    shell::run(&mut cargo(&["build", "--locked", "-p", "bypath-cli", "-p", "bypath-guest"]))?;
    let dir = target_dir().join("guest");
    let failed = |error: std::io::Error| Failure(format!("{}: {error}", dir.display()));
    fs::create_dir_all(&dir).map_err(failed)?;
    let mut image = Image::new();
    image.script("init", include_str!("../../guest/init.sh"));
    image.file("bin/busybox", &parts.busybox)?;
    let mut order = String::new();
    for module in &parts.modules {
        let name = module.file_name().unwrap_or_default().to_string_lossy();
        image.file(&format!("modules/{name}"), module)?;
        order += &format!("{name}\n");
    }
    image.text("modules/order", &order);
    for program in ["ip", "ethtool"] {
        image.program(&format!("bin/{program}"), &on_path(program)?)?;
    }
    for program in ["bypath", "bypath-guest"] {
        let built = target_dir().join("debug").join(program);
        let stripped = dir.join(program);
        let strip = Command::new("strip").arg("--strip-debug").arg("-o").arg(&stripped).arg(&built).status();
        // Names of lines would be most of the file; where they cannot be taken out they go along.
        let file = if strip.is_ok_and(|status| status.success()) { &stripped } else { &built };
        image.program(&format!("bin/{program}"), file)?;
    }
    let quoted: Vec<String> =
        arguments.iter().map(|word| format!("'{}'", word.replace('\'', r"'\''"))).collect();
    image.text("command", &format!("exec /bin/bypath-guest {}\n", quoted.join(" ")));
    let file = dir.join("initrd");
    image.write(&file)?;
    Ok(Files { dir, image: file })
}

fn on_path(program: &str) -> Result<PathBuf> {
    let find = format!("PATH=$PATH:/usr/sbin:/sbin command -v {program}");
    let found = output(Command::new("sh").args(["-c", &find]));
    let found = found.map(|path| Path::new(path.trim()).to_owned());
    found.ok_or_else(|| Failure(format!("there is no {program} here: cargo xtask setup installs it")))
}
