//! Socket options. Those of connections count from the next listen() or connect() on: accepted sockets have what their
//! listener had.

use super::{Kind, Returned, errno};
use crate::runner::Runner;
use crate::script::{Call, Value};
use crate::symbols::number;

/// Options that scripts set and that change nothing here.
const WITHOUT_EFFECT: &[&str] = &[
    "SO_REUSEADDR",
    "SO_REUSEPORT",
    "SO_PRIORITY",
    "SO_MARK",
    "SO_BUSY_POLL",
    "SO_TIMESTAMPING",
    "SO_RCVLOWAT",
    "IP_TOS",
    "IP_MTU_DISCOVER",
    "IPV6_TCLASS",
    "IPV6_V6ONLY",
    "IP_BIND_ADDRESS_NO_PORT",
    "TCP_NOTSENT_LOWAT",
    "TCP_THIN_LINEAR_TIMEOUTS",
    "TCP_THIN_DUPACK",
];

impl Runner {
    pub(super) fn set_option(&mut self, line: usize, call: &Call) -> Result<Returned, String> {
        let (fd, level, name) = names(call)?;
        let value = call.arguments.get(3);
        if name == "SO_LINGER" {
            let Some(Value::Record(members)) = value.map(only) else {
                return Err("SO_LINGER wants {onoff=…, linger=…}".to_owned());
            };
            let member = |index: usize| members.get(index).and_then(|(_, value)| number(value)).unwrap_or(0);
            self.descriptor(fd)?.abortive = member(0) != 0 && member(1) == 0;
            return Ok(Ok(0));
        }
        if name == "TCP_FASTOPEN" {
            let pending = value.and_then(number).and_then(|n| usize::try_from(n).ok());
            let pending = pending.ok_or("TCP_FASTOPEN wants a number")?;
            self.descriptor(fd)?.fast_open = pending;
            if let Kind::Listener(port) = self.descriptor(fd)?.kind {
                self.stack()?.set_fast_open(port, pending);
            }
            return Ok(Ok(0));
        }
        if WITHOUT_EFFECT.contains(&name) {
            return Ok(Ok(0));
        }
        let text = match value.map(only) {
            Some(Value::Text(text)) => Some(text.as_str()),
            _ => None,
        };
        let set = value.and_then(number);
        if set.is_none() && text.is_none() {
            return Err(format!("the value of {name} is not known"));
        }
        if let Kind::Connection(socket) = self.descriptor(fd)?.kind {
            if name == "TCP_NODELAY" {
                let on = set != Some(0);
                return Ok(self.stack()?.set_nodelay(socket, on).map(|()| 0).map_err(|e| errno(&e)));
            }
            let millis = std::time::Duration::from_millis(set.unwrap_or(0).unsigned_abs());
            let stack = self.stack()?;
            let done = match name {
                "SO_KEEPALIVE" => Some(stack.set_keep_alive(socket, set != Some(0))),
                "TCP_KEEPIDLE" => Some(stack.set_keep_alive_idle(socket, millis * 1_000)),
                "TCP_USER_TIMEOUT" => Some(stack.set_user_timeout(socket, millis)),
                _ => None,
            };
            if let Some(done) = done {
                return Ok(done.map(|()| 0).map_err(|e| errno(&e)));
            }
            if name == "SO_SNDBUF" || name == "SO_RCVBUF" {
                self.settings.notes.push(format!("line {line}: {name} of an open connection is skipped"));
                return Ok(Ok(0));
            }
            return Err(format!("{name} must be set before listen() or connect()"));
        }
        match self.settings.socket_option(level, name, set.unwrap_or(0), text)? {
            true if self.stack.is_some() => {
                Err(format!("{name} must be set before the first listen() or connect() of the script"))
            }
            true => Ok(Ok(0)),
            false => Err(format!("the socket option {name} is not known")),
        }
    }

    pub(super) fn get_option(&mut self, call: &Call) -> Result<Returned, String> {
        let (fd, _, name) = names(call)?;
        let Some(socket) = self.connection(fd)? else {
            return Err(format!("{name} of a socket that is not connected is not looked at"));
        };
        let expected = call.arguments.get(3).map(only);
        let info = self.stack()?.tcp_info(socket);
        let value = match name {
            "SO_ERROR" => {
                let error = self.stack()?.is_connected(socket).err();
                let descriptor = self.descriptor(fd)?;
                let told = descriptor.told;
                descriptor.told |= error.is_some();
                let actual = error.filter(|_| !told).map_or("0".to_owned(), |e| errno(&e));
                return match expected {
                    Some(Value::Any) | None => Ok(Ok(0)),
                    Some(Value::Word(word)) if *word == actual => Ok(Ok(0)),
                    Some(Value::Number(0)) if actual == "0" => Ok(Ok(0)),
                    Some(_) => Err(format!("SO_ERROR is {actual}")),
                };
            }
            "TCP_MAXSEG" => info.map_or(0, |info| i64::from(info.mss)),
            _ => return Err(format!("the socket option {name} is not looked at")),
        };
        match expected {
            Some(Value::Any) | None => Ok(Ok(0)),
            Some(wanted) if number(wanted) == Some(value) => Ok(Ok(0)),
            Some(_) => Err(format!("{name} is {value}")),
        }
    }
}

/// Descriptor, level and name.
fn names(call: &Call) -> Result<(i64, i64, &str), String> {
    let number_at = |index: usize| {
        let found = call.arguments.get(index).and_then(number);
        found.ok_or_else(|| format!("argument {} of {} is no number that is known", index + 1, call.name))
    };
    match call.arguments.get(2) {
        Some(Value::Word(name)) => Ok((number_at(0)?, number_at(1)?, name)),
        _ => Err("the name of the socket option is missing".to_owned()),
    }
}

/// `[x]` is x.
fn only(value: &Value) -> &Value {
    match value {
        Value::List(list) => list.first().unwrap_or(value),
        other => other,
    }
}
