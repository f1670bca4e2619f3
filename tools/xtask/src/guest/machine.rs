//! Running a guest under QEMU, without KVM: a program in it decides, and its exit code is told through a serial port.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Stdio};

use super::packages::Parts;
use crate::shell::{Failure, Result, is_root};

/// The kind of both NICs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Nic {
    /// Intel's 82576.
    Igb,
    /// virtio-net.
    Virtio,
}

impl Nic {
    /// As it is named on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Nic::Igb => "igb",
            Nic::Virtio => "virtio",
        }
    }

    /// The guest's driver for it.
    pub(crate) fn driver(self) -> &'static str {
        match self {
            Nic::Igb => "igb",
            Nic::Virtio => "virtio_net",
        }
    }
}

/// A guest to be run.
pub(crate) struct Machine<'a> {
    pub(crate) parts: &'a Parts,
    pub(crate) nic: Nic,
    /// Queue pairs of each NIC.
    pub(crate) queues: u32,
    /// Pages of 2 MiB that the kernel keeps from the start.
    pub(crate) huge_pages: u32,
    /// Seconds until it is ended, finished or not.
    pub(crate) seconds: u32,
}

/// Processors and memory (MiB) of a guest.
const CPUS: u32 = 2;
const MEMORY: u32 = 1024;

impl Machine<'_> {
    /// Boots the image and waits for its end. What the guest's program prints is printed. Fails when its exit code says so;
    /// files are kept in `dir` then, the kernel's log among them.
    pub(crate) fn run(&self, image: &Path, dir: &Path) -> Result<()> {
        let (console, status) = (dir.join("console"), dir.join("status"));
        for file in [&console, &status] {
            fs::write(file, "").map_err(|error| Failure(format!("{}: {error}", file.display())))?;
        }
        let ended = self
            .command(image, &console, &status)
            .stdin(Stdio::null())
            .status()
            .map_err(|error| Failure(format!("timeout: {error}")))?;
        let said = fs::read_to_string(&status).unwrap_or_default();
        let code = said.lines().find_map(|line| line.strip_prefix("status ")?.trim().parse::<u32>().ok());
        let why = match code {
            Some(0) => return Ok(()),
            Some(code) => format!("the tests in the guest failed ({code})"),
            None if ended.code() == Some(124) => format!("the guest was not done within {} s", self.seconds),
            None => match ended.signal() {
                Some(signal) => format!("the guest was ended by signal {signal}"),
                None => format!("the guest ended by itself ({ended})"),
            },
        };
        if code.is_none() {
            print_end_of(&console);
        }
        Err(Failure(format!("{why}; its kernel's log: {}", console.display())))
    }

    /// QEMU, below everything else that runs here, with an end in any case.
    fn command(&self, image: &Path, console: &Path, status: &Path) -> Command {
        let mut command = self.parts.command(Path::new("timeout"));
        command.args(["--foreground", "-k", "5", &self.seconds.to_string(), "nice", "-n", "10"]);
        let (links, options) = self.network();
        if matches!(links, Links::Taps) {
            let user = if is_root() { "-n" } else { "-rn" };
            command.args(["unshare", user, "sh", "-c", BRIDGE, "bridge"]);
        }
        command.arg(&self.parts.qemu);
        for firmware in self.parts.firmware() {
            command.arg("-L").arg(firmware);
        }
        command.args(["-M", "q35", "-accel", "tcg,thread=multi", "-cpu", "max"]);
        command.args(["-smp", &CPUS.to_string(), "-m", &MEMORY.to_string()]);
        command.args(["-nodefaults", "-no-user-config", "-display", "none", "-vga", "none", "-no-reboot"]);
        // A byte written to this port ends QEMU: shutting down the NICs in order takes seconds.
        command.args(["-device", "isa-debug-exit,iobase=0xf4,iosize=1"]);
        command.args(["-chardev", "stdio,id=out,signal=off"]);
        let to_file = |file: &Path| format!("file:{}", file.display());
        command.args(["-serial", &to_file(console), "-serial", "chardev:out", "-serial", &to_file(status)]);
        command.arg("-kernel").arg(&self.parts.kernel).arg("-initrd").arg(image);
        let Machine { nic, queues, huge_pages, .. } = self;
        let line = format!(
            "console=ttyS0 panic=-1 hugepages={huge_pages} guest_queues={queues} guest_driver={}",
            nic.driver()
        );
        command.args(["-append", &line]).args(options);
        command
    }

    /// The NICs, wired to each other.
    fn network(&self) -> (Links, Vec<String>) {
        let queues = self.queues;
        let (links, model, more) = match self.nic {
            Nic::Igb => (Links::Hub, "igb", String::new()),
            // The driver does zero-copy only with devices that go through the IOMMU's interface for DMA.
            Nic::Virtio => {
                let dma = ",iommu_platform=on,disable-legacy=on";
                match queues {
                    1 => (Links::Hub, "virtio-net-pci", dma.to_owned()),
                    _ => {
                        let spread = format!(",mq=on,vectors={}", 2 * queues + 2);
                        (Links::Taps, "virtio-net-pci", format!("{dma}{spread}"))
                    }
                }
            }
        };
        let mut options = Vec::new();
        for end in 0..2 {
            let backend = match links {
                Links::Hub => format!("hubport,id=n{end},hubid=0"),
                // A queue of virtio's is one of the tap's.
                Links::Taps => {
                    let tap = format!("tap,id=n{end},ifname=guest{end},script=no,downscript=no");
                    format!("{tap},queues={queues},vhost=off")
                }
            };
            let port = format!("pcie-root-port,id=r{end},chassis={end},slot={}", end + 1);
            let mac = format!("52:54:00:00:00:0{}", end + 1);
            let device = format!("{model},bus=r{end},netdev=n{end},mac={mac}{more}");
            for (option, value) in [("-netdev", backend), ("-device", port), ("-device", device)] {
                options.extend([option.to_owned(), value]);
            }
        }
        (links, options)
    }
}

/// What the NICs are wired to.
#[derive(Clone, Copy)]
enum Links {
    /// A hub in QEMU.
    Hub,
    /// Taps on a bridge, in a network namespace of their own.
    Taps,
}

/// Two taps on a bridge that has nothing else on it, then the program.
const BRIDGE: &str = r#"
set -e
ip link add guests type bridge mcast_snooping 0
for tap in guest0 guest1; do
    ip tuntap add dev $tap mode tap multi_queue vnet_hdr
    [ ! -e /proc/sys/net/ipv6/conf/$tap ] || echo 1 > /proc/sys/net/ipv6/conf/$tap/disable_ipv6 || :
    ip link set $tap master guests up
done
ip link set guests up
exec "$@"
"#;

fn print_end_of(console: &Path) {
    let bytes = fs::read(console).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().collect();
    for line in &lines[lines.len().saturating_sub(30)..] {
        println!("guest's kernel: {}", line.trim_end());
    }
}
