//! Ports that the engine uses: taken for services, sockets and listeners, kept as long as anybody uses them, and steered here
//! meanwhile.

use std::collections::HashMap;
use std::io::{Error, ErrorKind, Result};
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use bypath_xdp::Protocol;

use super::{Attachment, Control};
use crate::ports::{PortError, PortLease, Transport};

/// What a port is kept for: its lease, and how many flows, listeners and sockets use it.
pub(super) struct PortUse {
    /// Held for its effect: the kernel may not use the port meanwhile, nor another socket if it is exclusive.
    pub(super) lease: PortLease,
    /// A listener has, or had it: the connections that it took are not in [`Control::outgoing`].
    pub(super) listened: bool,
    pub(super) users: usize,
}

impl Control {
    /// Takes the ports of a service, at each of our addresses, for as long as the engine runs.
    pub(crate) fn serve(&mut self, transport: Transport, ports: &[u16]) -> Result<()> {
        let ours: Vec<IpAddr> = self.routes.addresses().iter().map(crate::route::Prefix::addr).collect();
        for ip in ours {
            for port in ports {
                let local = SocketAddr::new(ip, *port);
                self.claim(transport, local)
                    .map_err(|error| Error::new(error.kind(), format!("port {port} of {ip}: {error}")))?;
            }
        }
        Ok(())
    }

    /// Takes `count` source ports of each of our addresses for connections that services open, for as long as the
    /// engine runs.
    pub(crate) fn reserve(&mut self, count: usize) -> Result<HashMap<IpAddr, Vec<u16>>> {
        let ours: Vec<IpAddr> = self.routes.addresses().iter().map(crate::route::Prefix::addr).collect();
        // Each of them keeps a socket of the kernel open.
        raise_file_limit(ours.len() * count);
        let mut reserved = HashMap::new();
        for ip in ours {
            let ports: &mut Vec<u16> = reserved.entry(ip).or_default();
            for _ in 0..count {
                ports.push(self.claim(Transport::Tcp, SocketAddr::new(ip, 0))?.port());
            }
        }
        Ok(reserved)
    }

    /// A port that no connection to `remote` has, or that of one in TIME-WAIT, if nearly all are in use.
    pub(super) fn source_port(&mut self, source: IpAddr, remote: SocketAddr) -> Result<PortLease> {
        let all = self.ports.candidates();
        let crowded = self.outgoing.count(source, remote) >= all - all / 8;
        if crowded && let Some(lease) = self.follow(source, remote) {
            return Ok(lease);
        }
        let (outgoing, uses) = (&self.outgoing, &self.uses);
        let lease = self.ports.for_connection(Transport::Tcp, source, remote, |port| {
            let local = SocketAddr::new(source, port);
            outgoing.is_free(local, remote)
                && uses.get(&(Transport::Tcp, local)).is_none_or(|found| !found.listened)
        });
        match lease {
            Err(PortError::Exhausted { .. }) if !crowded => match self.follow(source, remote) {
                Some(lease) => Ok(lease),
                None => Ok(lease?),
            },
            lease => Ok(lease?),
        }
    }

    pub(super) fn follow(&mut self, source: IpAddr, remote: SocketAddr) -> Option<PortLease> {
        let local = self.outgoing.successor(source, remote, Instant::now())?;
        self.ports.share(Transport::Tcp, local).ok()
    }

    /// Takes a port by name, or any for port 0. The unspecified address means the first of ours.
    pub(super) fn claim(&mut self, transport: Transport, wanted: SocketAddr) -> Result<SocketAddr> {
        let ip = if wanted.ip().is_unspecified() {
            let ours = self.routes.addresses().iter().map(crate::route::Prefix::addr);
            ours.into_iter().find(|ip| ip.is_ipv4() == wanted.is_ipv4()).ok_or_else(|| {
                Error::new(ErrorKind::AddrNotAvailable, "the interface has no address of this family")
            })?
        } else if self.routes.is_local(wanted.ip()) {
            wanted.ip()
        } else {
            let text = format!("{} is not an address of the interface", wanted.ip());
            return Err(Error::new(ErrorKind::AddrNotAvailable, text));
        };
        let lease = self.ports.exactly(transport, SocketAddr::new(ip, wanted.port()))?;
        let local = SocketAddr::new(ip, lease.port());
        self.use_port(transport, local, lease)?;
        Ok(local)
    }

    /// From here on the port's traffic comes to the engine.
    pub(super) fn use_port(
        &mut self,
        transport: Transport,
        local: SocketAddr,
        lease: PortLease,
    ) -> Result<()> {
        if let Some(found) = self.uses.get_mut(&(transport, local)) {
            found.users += 1;
            if lease.is_exclusive() {
                found.lease = lease;
                found.listened = true;
            }
            return Ok(());
        }
        if let Attachment::Shared { steering, .. } = &mut self.attachment {
            let port = local.port();
            steering.own_ports(local.ip(), protocol(transport), port..=port).map_err(Error::other)?;
        }
        let listened = lease.is_exclusive();
        self.uses.insert((transport, local), PortUse { lease, listened, users: 1 });
        Ok(())
    }

    pub(super) fn unuse(&mut self, transport: Transport, local: SocketAddr) {
        let key = (transport, local);
        let Some(found) = self.uses.get_mut(&key) else { return };
        found.users -= 1;
        if found.users > 0 {
            return;
        }
        if let Attachment::Shared { steering, .. } = &mut self.attachment {
            let port = local.port();
            if let Err(error) = steering.disown_ports(local.ip(), protocol(transport), port..=port) {
                tracing::warn!(%local, %error, "the port stays with the engine");
            }
        }
        self.uses.remove(&key);
    }
}

/// Lets this process have `more` files open, as far as it may.
fn raise_file_limit(more: usize) {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let wanted = limit.current.map(|soft| soft.saturating_add(more as u64));
    let current = match (wanted, limit.maximum) {
        (Some(wanted), Some(hard)) => Some(wanted.min(hard)),
        (wanted, _) => wanted,
    };
    // What is still too low is told of by the port that cannot be reserved.
    let _ = setrlimit(Resource::Nofile, Rlimit { current, ..limit });
}

fn protocol(transport: Transport) -> Protocol {
    match transport {
        Transport::Tcp => Protocol::Tcp,
        Transport::Udp => Protocol::Udp,
    }
}
