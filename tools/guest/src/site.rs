//! The two hosts: a network namespace for each NIC, with an address of the kernel's and one for the engine.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::program::{Program, Result, run, until};

/// How long a link may take to come up: drivers reset the NIC when a program attaches, and this is emulated.
const LINK_PATIENCE: Duration = Duration::from_secs(30);
/// Bytes of the file that is transferred.
const FILE_BYTES: usize = 12 << 20;

/// One NIC and what belongs to it.
#[derive(Debug)]
pub(crate) struct Host {
    /// The namespace.
    name: &'static str,
    /// The NIC.
    pub(crate) nic: &'static str,
    /// The kernel's address.
    pub(crate) ip: &'static str,
    /// The engine's.
    pub(crate) engine_ip: &'static str,
}

impl Host {
    /// A command that runs in this host.
    pub(crate) fn command(&self, program: &str, args: &[&str]) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", self.name, program]).args(args);
        command
    }

    /// Runs a command in this host to its end.
    pub(crate) fn run(&self, program: &str, args: &[&str]) -> Result<String> {
        run(&mut self.command(program, args))
    }

    /// Sets the NIC up or down.
    pub(crate) fn set_link(&self, state: &str) -> Result<()> {
        self.run("ip", &["link", "set", self.nic, state]).map(|_| ())
    }

    /// Changes the number of queues.
    pub(crate) fn set_queues(&self, queues: u32) -> Result<()> {
        self.run("ethtool", &["-L", self.nic, "combined", &queues.to_string()]).map(|_| ())
    }

    /// How many queues there are.
    pub(crate) fn queues(&self) -> Result<u32> {
        let text = self.run("ethtool", &["-l", self.nic])?;
        let last = text.lines().filter_map(|line| line.strip_prefix("Combined:")).next_back();
        last.and_then(|number| number.trim().parse().ok()).ok_or_else(|| format!("no queues in:\n{text}"))
    }

    /// Waits for the link.
    pub(crate) fn wait_for_link(&self) -> Result<()> {
        until(&format!("the link of {}", self.nic), LINK_PATIENCE, || {
            self.link().is_ok_and(|text| text.contains("LOWER_UP"))
        })
    }

    fn link(&self) -> Result<String> {
        self.run("ip", &["link", "show", self.nic])
    }

    /// Whether an XDP program is attached.
    pub(crate) fn has_program(&self) -> Result<bool> {
        self.link().map(|text| text.contains("prog/xdp"))
    }

    /// Packets that each queue has received, as the driver counts.
    pub(crate) fn received_by_queue(&self) -> Result<Vec<u64>> {
        let text = self.run("ethtool", &["-S", self.nic])?;
        let numbered = text.lines().filter_map(|line| {
            let (name, value) = line.trim().split_once(':')?;
            // igb has rx_queue_0_packets, virtio_net rx0_xdp_packets.
            let rest = name.strip_prefix("rx")?.strip_suffix("_packets")?;
            let rest = rest.strip_prefix("_queue_").or_else(|| rest.strip_suffix("_xdp")).unwrap_or(rest);
            let queue: usize = rest.parse().ok()?;
            Some((queue, value.trim().parse().ok()?))
        });
        let mut counts: Vec<(usize, u64)> = numbered.collect();
        counts.sort_unstable();
        Ok(counts.into_iter().map(|(_, count)| count).collect())
    }

    fn set_up(&self) -> Result<()> {
        run(Command::new("ip").args(["netns", "add", self.name]))?;
        run(Command::new("ip").args(["link", "set", self.nic, "netns", self.name]))?;
        self.run("ip", &["link", "set", "lo", "up"])?;
        self.configure()
    }

    /// Gives the NIC its address and sets it up.
    pub(crate) fn configure(&self) -> Result<()> {
        self.run("ip", &["addr", "add", &format!("{}/24", self.ip), "dev", self.nic])?;
        self.set_link("up")
    }
}

/// The two hosts and what they transfer.
#[derive(Debug)]
pub(crate) struct Site {
    pub(crate) near: Host,
    pub(crate) far: Host,
    /// Of both NICs.
    pub(crate) driver: String,
    /// Queue pairs of each.
    pub(crate) queues: u32,
    /// What is served.
    pub(crate) dir: PathBuf,
    file: Vec<u8>,
}

impl Site {
    /// Moves the NICs to their hosts and waits until these see each other.
    pub(crate) fn set_up() -> Result<Site> {
        let variable = |name: &str| std::env::var(name).map_err(|_| format!("{name} is not set"));
        let (driver, queues) = (variable("GUEST_DRIVER")?, variable("GUEST_QUEUES")?);
        let queues = queues.parse().map_err(|_| format!("GUEST_QUEUES is {queues}"))?;
        let near = Host { name: "near", nic: "eth0", ip: "198.18.0.1", engine_ip: "198.18.0.11" };
        let far = Host { name: "far", nic: "eth1", ip: "198.18.0.2", engine_ip: "198.18.0.12" };
        let dir = PathBuf::from("/run/served");
        let site = Site { near, far, driver, queues, dir, file: contents(FILE_BYTES) };
        fs::create_dir_all(&site.dir).map_err(|error| error.to_string())?;
        fs::write(site.dir.join("file"), &site.file).map_err(|error| error.to_string())?;
        fs::write(site.dir.join("small"), &site.file[..1024]).map_err(|error| error.to_string())?;
        site.near.set_up()?;
        site.far.set_up()?;
        site.kernels_reach_each_other()?;
        Ok(site)
    }

    /// Both links are up and the hosts' kernels hear each other: the NICs are the kernel's.
    pub(crate) fn kernels_reach_each_other(&self) -> Result<()> {
        for host in [&self.near, &self.far] {
            host.wait_for_link()?;
        }
        for (from, to) in [(&self.near, &self.far), (&self.far, &self.near)] {
            until(&format!("{} hears {}", from.ip, to.ip), LINK_PATIENCE, || {
                from.run("ping", &["-q", "-c", "1", "-W", "1", to.ip]).is_ok()
            })?;
        }
        Ok(())
    }

    /// What a test expects at its start: whatever the last one has left, nothing is attached and links are up.
    pub(crate) fn is_quiet(&self) -> Result<()> {
        for host in [&self.near, &self.far] {
            until(&format!("{} has no program", host.nic), Duration::from_secs(10), || {
                host.has_program().is_ok_and(|attached| !attached)
            })?;
            host.wait_for_link()?;
        }
        Ok(())
    }

    /// Compares a received file with the one that is served.
    pub(crate) fn check(&self, file: &Path) -> Result<()> {
        let got = fs::read(file).map_err(|error| format!("{}: {error}", file.display()))?;
        let _ = fs::remove_file(file);
        if got == self.file {
            return Ok(());
        }
        let at = got.iter().zip(&self.file).position(|(got, sent)| got != sent).unwrap_or(got.len());
        Err(format!("{} of {} bytes arrived, and from {at} on they are wrong", got.len(), self.file.len()))
    }

    /// A server on far's kernel.
    pub(crate) fn kernel_server(&self) -> Result<Program> {
        let address = format!("{}:80", self.far.ip);
        let dir = self.dir.to_string_lossy();
        let server =
            Program::start(&mut self.far.command("httpd", &["-f", "-p", &address, "-h", &dir]), 120)?;
        until("httpd listens", Duration::from_secs(10), || {
            self.far.run("netstat", &["-ltn"]).is_ok_and(|text| text.contains(&address))
        })?;
        Ok(server)
    }
}

/// Bytes that are nowhere the same for long.
fn contents(len: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}
