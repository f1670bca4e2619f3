//! One host of a lab: a network namespace with one interface, and ways to run something inside it.

use std::fs::File;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::thread::JoinHandle;

use nix::sched::{CloneFlags, setns};

use crate::Result;
use crate::error::Doing;
use crate::record::{HostRecord, netns_path, work_dir};
use crate::tool;

/// A host. Clones are the same host.
#[derive(Debug, Clone)]
pub struct Host {
    record: Arc<HostRecord>,
    netns: Arc<File>,
    lab: Arc<str>,
}

impl Host {
    pub(crate) fn open(lab: &str, record: HostRecord) -> Result<Host> {
        let netns = open_netns(&record.netns)?;
        Ok(Host { record: Arc::new(record), netns: Arc::new(netns), lab: lab.into() })
    }

    /// The name of its network namespace.
    pub fn netns(&self) -> &str {
        &self.record.netns
    }

    /// The name of its interface.
    pub fn interface(&self) -> &str {
        &self.record.interface
    }

    /// The MAC address of its interface, written with colons.
    pub fn mac(&self) -> &str {
        &self.record.mac
    }

    /// Its IPv4 address, in a /24.
    pub fn ipv4(&self) -> Ipv4Addr {
        self.record.ipv4
    }

    /// Its IPv6 address, in a /64.
    pub fn ipv6(&self) -> Ipv6Addr {
        self.record.ipv6
    }

    /// Another address of its /24, for an engine that owns one: `.10` upwards are free.
    pub fn spare_ipv4(&self, last: u8) -> Ipv4Addr {
        let [a, b, c, _] = self.record.ipv4.octets();
        Ipv4Addr::new(a, b, c, last)
    }

    /// Another address of its /64, for an engine that owns one: `::10` upwards are free.
    pub fn spare_ipv6(&self, last: u16) -> Ipv6Addr {
        let mut segments = self.record.ipv6.segments();
        segments[7] = last;
        Ipv6Addr::from(segments)
    }

    /// Its IPv4 address with a port.
    pub fn at(&self, port: u16) -> SocketAddr {
        SocketAddr::new(IpAddr::V4(self.ipv4()), port)
    }

    /// Its IPv6 address with a port.
    pub fn at_v6(&self, port: u16) -> SocketAddr {
        SocketAddr::new(IpAddr::V6(self.ipv6()), port)
    }

    /// A directory for configuration and logs. It is removed with the lab.
    pub fn work_dir(&self) -> PathBuf {
        work_dir(&self.lab)
    }

    /// A command that will run inside, with a `/sys` that shows this host's interfaces.
    ///
    /// # Errors
    /// [`LabError::MissingTool`](crate::LabError::MissingTool) when there is no such program.
    pub fn command(&self, program: &str) -> Result<Command> {
        let program = if program.contains('/') { PathBuf::from(program) } else { tool::find(program)? };
        let mut command = tool::command("ip")?;
        command.args(["netns", "exec", self.netns()]).arg(program);
        Ok(command)
    }

    /// Runs a program inside to its end and returns what it printed.
    ///
    /// # Errors
    /// [`LabError::Command`](crate::LabError::Command) with what it said when it did not succeed.
    pub fn output(&self, program: &str, args: &[&str]) -> Result<String> {
        tool::output(self.command(program)?.args(args))
    }

    /// Moves the calling thread inside for good: sockets that it opens from now on belong to this host.
    ///
    /// # Errors
    /// [`LabError::Io`](crate::LabError::Io), for want of CAP_SYS_ADMIN.
    pub fn enter(&self) -> Result<()> {
        setns(&*self.netns, CloneFlags::CLONE_NEWNET).doing(|| format!("entering {}", self.netns()))
    }

    /// Runs a closure inside, on a thread of its own, and waits for it. The caller stays where it is.
    ///
    /// # Errors
    /// [`LabError::Io`](crate::LabError::Io) when the thread cannot enter.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T> {
        run_after(|| self.enter(), work)
    }

    /// Starts a thread inside.
    ///
    /// # Errors
    /// [`LabError::Io`](crate::LabError::Io) when the thread cannot be made.
    pub fn spawn<T: Send + 'static>(
        &self,
        name: &str,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<JoinHandle<Result<T>>> {
        let host = self.clone();
        std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || host.enter().map(|()| work()))
            .doing(|| format!("starting the thread {name}"))
    }

    /// Sets a parameter of this host's network alone, `net.ipv4.tcp_sack` say, as sysctl(8) would.
    ///
    /// # Errors
    /// [`LabError::Io`](crate::LabError::Io) when there is no such parameter, or none that a namespace has of its own.
    pub fn set_parameter(&self, name: &str, value: &str) -> Result<()> {
        let path = format!("/proc/sys/{}", name.replace('.', "/"));
        self.run(|| std::fs::write(&path, value))?.doing(|| format!("setting {name} to {value}"))
    }

    /// One of the kernel's counters of this host, by the names of `/proc/net/snmp` and
    /// `/proc/net/netstat`: `("Tcp", "InCsumErrors")`, `("TcpExt", "TCPTimeouts")`.
    ///
    /// # Errors
    /// [`LabError::Io`](crate::LabError::Io) when the thread cannot enter.
    pub fn counter(&self, group: &str, name: &str) -> Result<Option<u64>> {
        self.run(|| {
            // `/proc/net` is of the process; this is of the calling thread.
            ["/proc/thread-self/net/snmp", "/proc/thread-self/net/netstat"]
                .iter()
                .filter_map(|path| std::fs::read_to_string(path).ok())
                .find_map(|table| find_counter(&table, group, name))
        })
    }
}

/// Opens a namespace by name.
pub(crate) fn open_netns(netns: &str) -> Result<File> {
    let path = netns_path(netns);
    File::open(&path).doing(|| format!("opening {}", path.display()))
}

/// Runs a closure inside a namespace that is no host.
pub(crate) fn inside<T: Send>(netns: &str, work: impl FnOnce() -> T + Send) -> Result<T> {
    let file = open_netns(netns)?;
    run_after(|| setns(&file, CloneFlags::CLONE_NEWNET).doing(|| format!("entering {netns}")), work)
}

/// Runs two closures one after the other on a thread that is gone afterwards.
fn run_after<T: Send>(
    enter: impl FnOnce() -> Result<()> + Send,
    work: impl FnOnce() -> T + Send,
) -> Result<T> {
    std::thread::scope(|scope| {
        let inside = scope.spawn(|| enter().map(|()| work()));
        inside.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// Both tables are pairs of lines, the names and then the values, each headed by the group.
fn find_counter(table: &str, group: &str, name: &str) -> Option<u64> {
    let head = format!("{group}:");
    let mut rows = table.lines().filter(|line| line.split_whitespace().next() == Some(&head));
    let (names, values) = (rows.next()?, rows.next()?);
    let column = names.split_whitespace().position(|column| column == name)?;
    values.split_whitespace().nth(column)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::find_counter;

    #[test]
    fn reads_a_counter_by_group_and_name() {
        let table = "Tcp: InSegs InCsumErrors\nTcp: 12 3\nUdp: InDatagrams\nUdp: 7\n";
        assert_eq!(find_counter(table, "Tcp", "InCsumErrors"), Some(3));
        assert_eq!(find_counter(table, "Udp", "InDatagrams"), Some(7));
        assert_eq!(find_counter(table, "Udp", "NoSuch"), None);
        assert_eq!(find_counter(table, "Icmp", "InMsgs"), None);
    }
}
