//! Ports for passive data connections: each waits for one connection from the host that it was told to.

use std::net::IpAddr;

use bypath::ConnectionId;

use crate::serve::config::ServeConfig;

/// The ports of one worker.
#[derive(Debug)]
pub(crate) struct Passive {
    ports: Vec<(u16, Option<Waiting>)>,
    next: usize,
}

#[derive(Clone, Copy, Debug)]
struct Waiting {
    control: ConnectionId,
    from: IpAddr,
}

impl Passive {
    /// Of `workers`, each has those ports whose remainder is its number.
    pub(crate) fn new(config: &ServeConfig, worker: usize, workers: usize) -> Self {
        let ours = |port: &u16| config.has_ftp() && usize::from(*port) % workers.max(1) == worker;
        Self { ports: config.passive_ports.clone().filter(ours).map(|port| (port, None)).collect(), next: 0 }
    }

    /// A port that waits for a connection from `from` from now on; `None`: all are waiting.
    pub(crate) fn wait(&mut self, control: ConnectionId, from: IpAddr) -> Option<u16> {
        let count = self.ports.len();
        for step in 0..count {
            let at = (self.next + step) % count;
            if let Some((port, free @ None)) = self.ports.get_mut(at) {
                *free = Some(Waiting { control, from });
                self.next = at + 1;
                return Some(*port);
            }
        }
        None
    }

    /// Whom a connection from `from` is for. A stranger's changes nothing.
    pub(crate) fn take(&mut self, port: u16, from: IpAddr) -> Option<ConnectionId> {
        let (_, waiting) = self.ports.iter_mut().find(|(ours, _)| *ours == port)?;
        let control = waiting.filter(|waiting| waiting.from == from)?.control;
        *waiting = None;
        Some(control)
    }

    /// The port waits no more.
    pub(crate) fn free(&mut self, port: u16) {
        if let Some((_, waiting)) = self.ports.iter_mut().find(|(ours, _)| *ours == port) {
            *waiting = None;
        }
    }
}
