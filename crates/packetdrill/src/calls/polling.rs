//! poll() and ioctl(): what could be done without blocking.

use super::{Kind, Returned, errno};
use crate::runner::Runner;
use crate::script::Value;
use crate::symbols::number;

const IN: i64 = 1;
const OUT: i64 = 4;
const ERR: i64 = 8;
const HUP: i64 = 0x10;
const RDHUP: i64 = 0x2000;

impl Runner {
    /// poll(): the number of descriptors with something to tell, once there are some, or the time is over.
    pub(super) fn poll(&mut self, list: &[Value], until: Option<u64>) -> Result<Option<Returned>, String> {
        let mut ready = 0;
        let mut wrong = None;
        for entry in list {
            let Value::Record(members) = entry else {
                return Err("poll wants {fd=…, events=…, revents=…}".to_owned());
            };
            let member = |name: &str| {
                let found =
                    members.iter().find(|(member, _)| member == name).and_then(|(_, value)| number(value));
                found.ok_or_else(|| format!("`{name}` of poll is missing or not known"))
            };
            let (fd, events) = (member("fd")?, member("events")?);
            let revents = self.state_of(fd)? & (events | ERR | HUP);
            ready += i64::from(revents != 0);
            let wanted = member("revents").unwrap_or(0);
            if revents != wanted {
                wrong = Some(format!("poll says {revents:#x} of descriptor {fd}, not {wanted:#x}"));
            }
        }
        if ready == 0 && until.is_none_or(|until| self.now < until) {
            return Ok(None);
        }
        wrong.map_or(Ok(Some(Ok(ready))), Err)
    }

    fn state_of(&mut self, fd: i64) -> Result<i64, String> {
        match self.descriptor(fd)?.kind {
            Kind::Fresh => Ok(OUT | HUP),
            Kind::Listener(port) => {
                if let Some(socket) = self.stack()?.accept(port) {
                    self.descriptor(fd)?.waiting.push_back(socket);
                }
                Ok(if self.descriptor(fd)?.waiting.is_empty() { 0 } else { IN })
            }
            Kind::Connection(socket) => {
                let stack = self.stack()?;
                let readable = stack.readable(socket).map_err(|e| errno(&e))? > 0;
                let writable = stack.writable(socket).map_err(|e| errno(&e))? > 0;
                let peer_closed = stack.peer_closed(socket).map_err(|e| errno(&e))?;
                let connected = stack.is_connected(socket);
                let over = stack.is_closed(socket);
                let told = self.descriptor(fd)?.told;
                let mut state = 0;
                if readable || peer_closed || over {
                    state |= IN;
                }
                if over || writable && matches!(connected, Ok(true)) {
                    state |= OUT;
                }
                if peer_closed || over {
                    state |= RDHUP;
                }
                if over {
                    state |= HUP;
                }
                if connected.is_err() && !told {
                    state |= ERR;
                }
                Ok(state)
            }
        }
    }

    /// SIOCINQ and SIOCOUTQ.
    pub(super) fn ioctl(
        &mut self,
        fd: i64,
        request: i64,
        expected: Option<&Value>,
    ) -> Result<Returned, String> {
        let Some(socket) = self.connection(fd)? else { return Ok(Err("EINVAL".to_owned())) };
        let capacity = self.settings.stack.send_buffer.next_power_of_two();
        let stack = self.stack()?;
        let value = match request {
            0x541b => stack.readable(socket),
            // What was written and is not acknowledged.
            0x5411 => stack.writable(socket).map(|free| capacity.saturating_sub(free)),
            other => return Err(format!("ioctl with the request {other:#x} is not known")),
        };
        let value = i64::try_from(value.map_err(|e| errno(&e))?).map_err(|e| e.to_string())?;
        match expected {
            Some(Value::Any) | None => Ok(Ok(0)),
            Some(wanted) if number(wanted) == Some(value) => Ok(Ok(0)),
            Some(_) => Err(format!("ioctl says {value}")),
        }
    }
}
