//! Calls that open and close: listen, accept, connect, shutdown, close.

use std::net::SocketAddr;

use super::{Begun, Descriptor, Kind, Operation, Returned, errno};
use crate::mapping::stream_bytes;
use crate::runner::Runner;
use crate::script::Value;
use crate::symbols::number;

/// Port that the first socket without bind() connects from; the next ones follow.
const FIRST_LOCAL_PORT: u16 = 53_001;

impl Runner {
    pub(super) fn listen(&mut self, fd: i64, backlog: usize) -> Returned {
        let bind_port = self.settings.bind_port;
        let local = self.settings.local;
        let bound = self.descriptor(fd)?.bound.unwrap_or(bind_port);
        let port = self.stack()?.listen(SocketAddr::new(local, bound), backlog);
        let pending = self.descriptor(fd)?.fast_open;
        self.stack()?.set_fast_open(port, pending);
        self.descriptor(fd)?.kind = Kind::Listener(port);
        self.settings.bind_port = bound;
        self.awaits_peer = true;
        Ok(0)
    }

    pub(super) fn accept(&mut self, fd: i64, name: i64) -> Result<Option<Returned>, String> {
        let descriptor = self.descriptor(fd)?;
        let Kind::Listener(port) = descriptor.kind else { return Ok(Some(Err("EINVAL".to_owned()))) };
        let socket = match descriptor.waiting.pop_front() {
            Some(socket) => socket,
            None => match self.stack()?.accept(port) {
                Some(socket) => socket,
                None => return Ok(None),
            },
        };
        if name < 0 || self.descriptors.open.contains_key(&name) {
            return Err(format!("accept succeeded, and cannot be descriptor {name}"));
        }
        let connected = Descriptor { connected: true, ..Descriptor::new(Kind::Connection(socket), false) };
        self.descriptors.open.insert(name, connected);
        Ok(Some(Ok(name)))
    }

    /// connect(), or sendto() with MSG_FASTOPEN of `data` bytes.
    pub(super) fn connect(
        &mut self,
        fd: i64,
        port: Option<u16>,
        data: Option<usize>,
    ) -> Result<Begun, String> {
        let remote = SocketAddr::new(self.settings.remote, port.unwrap_or(self.settings.connect_port));
        let next_port = FIRST_LOCAL_PORT + self.descriptors.connects;
        let descriptor = self.descriptor(fd)?;
        match descriptor.kind {
            Kind::Fresh => {}
            Kind::Listener(_) => return Ok(Begun::Done(Err("EINVAL".to_owned()))),
            Kind::Connection(_) => return self.connect_again(fd).map(Begun::Done),
        }
        let local = descriptor.bound.unwrap_or(next_port);
        let opened = match data {
            None => self.stack()?.connect(remote, local).map(|socket| (socket, 0)),
            Some(len) => {
                let bytes = stream_bytes(0, u32::try_from(len).map_err(|e| e.to_string())?);
                self.stack()?.connect_with_data(remote, local, &bytes)
            }
        };
        let (socket, given) = match opened {
            Ok(opened) => opened,
            Err(error) => return Ok(Begun::Done(Err(errno(&error)))),
        };
        let descriptor = self.descriptor(fd)?;
        descriptor.kind = Kind::Connection(socket);
        descriptor.written = u32::try_from(given).map_err(|e| e.to_string())?;
        self.descriptors.connects += 1;
        let known = self.peers.iter().position(|p| (p.local_port, p.remote_port) == (local, remote.port()));
        let peer = known.unwrap_or_else(|| self.add_peer(local, remote.port()));
        if let Some(peer) = self.peers.get_mut(peer) {
            peer.mapping.reopen();
        }
        self.current = Some(peer);
        self.awaits_peer = false;
        if data.is_some() {
            let given = i64::try_from(given).map_err(|e| e.to_string())?;
            return Ok(Begun::Done(Ok(given)));
        }
        Ok(Begun::Maybe(Operation::Connect { fd }))
    }

    pub(super) fn is_connected(&mut self, fd: i64) -> Result<Option<Returned>, String> {
        let Some(socket) = self.connection(fd)? else { return Ok(Some(Err("EINVAL".to_owned()))) };
        let state = self.stack()?.is_connected(socket);
        let descriptor = self.descriptor(fd)?;
        Ok(match state {
            Ok(true) => {
                descriptor.connected = true;
                Some(Ok(0))
            }
            Ok(false) => None,
            Err(error) => {
                descriptor.told = true;
                Some(Err(errno(&error)))
            }
        })
    }

    /// connect() on a socket that is connecting, or connected.
    pub(super) fn connect_again(&mut self, fd: i64) -> Result<Returned, String> {
        if self.descriptor(fd)?.connected {
            return Ok(Err("EISCONN".to_owned()));
        }
        Ok(self.is_connected(fd)?.unwrap_or_else(|| Err("EALREADY".to_owned())))
    }

    pub(super) fn shutdown(&mut self, fd: i64, how: i64) -> Result<Returned, String> {
        let Some(socket) = self.connection(fd)? else { return Ok(Err("ENOTCONN".to_owned())) };
        if how != 1 {
            self.descriptor(fd)?.shut_reading = true;
        }
        if how == 0 {
            return Ok(Ok(0));
        }
        let stack = self.stack()?;
        let over = stack.is_closed(socket);
        let returned = if over {
            Err("ENOTCONN".to_owned())
        } else {
            stack.shutdown(socket).map(|()| 0).map_err(|e| errno(&e))
        };
        Ok(returned)
    }

    pub(super) fn close(&mut self, fd: i64) -> Returned {
        let Some(descriptor) = self.descriptors.open.remove(&fd) else { return Err("EBADF".to_owned()) };
        match descriptor.kind {
            Kind::Fresh => {}
            Kind::Listener(port) => {
                self.stack()?.close_listener(port);
                self.awaits_peer = false;
            }
            Kind::Connection(socket) => {
                let now = bypath::Instant::from_nanos(self.now);
                let stack = self.stack()?;
                if descriptor.abortive {
                    let _ = stack.abort(socket);
                    stack.poll(now);
                }
                stack.close(socket);
            }
        }
        Ok(0)
    }
}

/// The port in an address that the script writes out.
pub(super) fn port_of(address: Option<&Value>) -> Option<u16> {
    let Some(Value::Record(members)) = address else { return None };
    let port = members.iter().find(|(name, _)| name == "sin_port" || name == "sin6_port")?;
    u16::try_from(number(&port.1)?).ok()
}
