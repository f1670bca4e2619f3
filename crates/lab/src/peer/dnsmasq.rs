//! dnsmasq answering for names of a test, and NXDOMAIN for what else is in their domains.

use std::net::IpAddr;

use super::{directory, write};
use crate::Result;
use crate::host::Host;
use crate::process::{Process, Transport};

/// What a dnsmasq will be. Start with [`Dnsmasq::builder`].
#[derive(Debug, Clone, Default)]
pub struct DnsmasqBuilder {
    hosts: String,
    options: Vec<String>,
}

impl DnsmasqBuilder {
    /// A name with an address. Give a name twice for two addresses.
    pub fn host(mut self, name: &str, address: impl Into<IpAddr>) -> Self {
        self.hosts.push_str(&format!("{} {name}\n", address.into()));
        self
    }

    /// A name that is another name for one of the hosts.
    pub fn alias(mut self, alias: &str, name: &str) -> Self {
        self.options.push(format!("cname={alias},{name}"));
        self
    }

    /// A domain in which every name that is not a host is answered with NXDOMAIN. `test` is one from
    /// the start; elsewhere the answer is REFUSED.
    pub fn domain(mut self, domain: &str) -> Self {
        self.options.push(format!("local=/{domain}/"));
        self
    }

    /// One more line of dnsmasq's configuration.
    pub fn option(mut self, line: &str) -> Self {
        self.options.push(line.to_owned());
        self
    }

    /// Starts it on port 53 of both addresses of a host and waits until it listens.
    ///
    /// # Errors
    /// [`LabError::MissingTool`](crate::LabError::MissingTool),
    /// [`LabError::NotReady`](crate::LabError::NotReady) with its log.
    pub fn start(self, host: &Host) -> Result<Dnsmasq> {
        let dir = directory(host, "dnsmasq")?;
        let (hosts, config) = (dir.join("hosts"), dir.join("dnsmasq.conf"));
        write(&hosts, &self.hosts)?;
        let mut lines = format!(
            "keep-in-foreground\nuser=root\npid-file\nno-resolv\nno-hosts\nno-poll\naddn-hosts={}\n\
             listen-address={},{}\nbind-interfaces\nlog-queries\nlog-facility=-\nlocal=/test/\n",
            hosts.display(),
            host.ipv4(),
            host.ipv6(),
        );
        for option in &self.options {
            lines.push_str(option);
            lines.push('\n');
        }
        write(&config, &lines)?;
        let mut command = host.command("dnsmasq")?;
        command.arg(format!("--conf-file={}", config.display()));
        let mut process = Process::start(host, "dnsmasq", &mut command)?;
        process.wait_listening(Transport::Udp, 53)?;
        process.wait_listening(Transport::Tcp, 53)?;
        // Sockets are bound before the hosts are read.
        process.wait_log("read ")?;
        Ok(Dnsmasq { process })
    }
}

/// A running dnsmasq.
#[derive(Debug)]
pub struct Dnsmasq {
    process: Process,
}

impl Dnsmasq {
    /// A dnsmasq to be, that knows no name yet.
    pub fn builder() -> DnsmasqBuilder {
        DnsmasqBuilder::default()
    }

    /// The running program.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Every query and what came of it, one line each.
    pub fn query_log(&self) -> String {
        self.process.log()
    }
}
