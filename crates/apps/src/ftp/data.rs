//! The data connection: EPSV or PASV when we open it, EPRT or PORT when the server does. Either way
//! its other end is the host that the control connection leads to, whatever the server says: else a
//! server could make us connect anywhere, or somebody could slip a file in (RFC 2577).

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use tracing::debug;

use crate::budget::TICK;
use crate::conn::{BODY_BUFFER, Conn};
use crate::error::FetchError;
use crate::fetch::{DataMode, Exchange};
use crate::ftp::control::Control;
use crate::ftp::reply::{Reply, extended_port, passive_address};
use crate::net::{Listener, Stream, is_transient};

/// How long a server may take to connect back; curl's default as well.
const ACCEPT_TIMEOUT: Duration = Duration::from_secs(60);

/// A data connection that is there, or awaited.
pub(super) enum DataPath {
    Open(Conn),
    Awaited(Box<dyn Listener>),
}

/// Agrees with the server upon a data connection.
pub(super) fn prepare(x: &mut Exchange<'_>, control: &mut Control) -> Result<DataPath, FetchError> {
    match x.request.data_mode {
        DataMode::Passive => Ok(DataPath::Open(passive(x, control)?)),
        DataMode::Active(address) => Ok(DataPath::Awaited(active(x, control, address)?)),
    }
}

fn passive(x: &mut Exchange<'_>, control: &mut Control) -> Result<Conn, FetchError> {
    let host = control.peer.ip();
    let reply = control.command("EPSV", b"", &x.budget)?;
    let mut failure = reply.to_string();
    if reply.code == 229 {
        let port = extended_port(&reply.text)
            .ok_or_else(|| FetchError::PassiveFailed(format!("there is no port in \"{reply}\"")))?;
        match connect(x, SocketAddr::new(host, port)) {
            Ok(conn) => return Ok(conn),
            // Middleboxes that rewrite PASV often know nothing of EPSV.
            Err(e @ FetchError::Connect { .. }) if host.is_ipv4() => failure = e.to_string(),
            Err(e) => return Err(e),
        }
    }
    if host.is_ipv6() {
        return Err(FetchError::PassiveFailed(failure));
    }
    debug!(failure, "EPSV failed, trying PASV");
    let reply = control.command("PASV", b"", &x.budget)?;
    if reply.code != 227 {
        return Err(FetchError::PassiveFailed(reply.to_string()));
    }
    let (named, port) = passive_address(&reply.text)
        .ok_or_else(|| FetchError::PassiveFailed(format!("there is no address in \"{reply}\"")))?;
    if IpAddr::from(named) != host {
        x.note(format!("PASV named {named} instead of the server; connected to {host} all the same"));
    }
    connect(x, SocketAddr::new(host, port))
}

fn connect(x: &Exchange<'_>, addr: SocketAddr) -> Result<Conn, FetchError> {
    x.budget.check("opening the data connection")?;
    let stream = x.network.connect(addr, x.budget.cap(x.connect_timeout)).map_err(|source| {
        match x.budget.check("opening the data connection") {
            Err(over) => over,
            Ok(()) => FetchError::Connect { peer: format!("{addr} for data"), source },
        }
    })?;
    Conn::new(stream, BODY_BUFFER)
}

fn active(
    x: &mut Exchange<'_>,
    control: &mut Control,
    address: Option<IpAddr>,
) -> Result<Box<dyn Listener>, FetchError> {
    let failed = |e: io::Error| FetchError::PortFailed(format!("cannot listen: {e}"));
    let own = control.local.ip();
    let announced = address.unwrap_or(own);
    // An address to announce need not be one of ours: it may be the outside of a translator.
    let listen = |ip: IpAddr| x.network.listen(SocketAddr::new(ip, 0));
    let listener = listen(announced).or_else(|_| listen(own)).map_err(failed)?;
    let port = listener.local_addr().map_err(failed)?.port();

    let family = if announced.is_ipv4() { 1 } else { 2 };
    let argument = format!("|{family}|{announced}|{port}|");
    let mut reply = control.command("EPRT", argument.as_bytes(), &x.budget)?;
    if let (false, IpAddr::V4(ip)) = (reply.is_positive(), announced) {
        let ([a, b, c, d], [high, low]) = (ip.octets(), port.to_be_bytes());
        let argument = format!("{a},{b},{c},{d},{high},{low}");
        reply = control.command("PORT", argument.as_bytes(), &x.budget)?;
    }
    if reply.is_positive() { Ok(listener) } else { Err(FetchError::PortFailed(reply.to_string())) }
}

/// What came of waiting for the server to connect back.
pub(super) enum Accepted {
    Data(Conn),
    /// It gave up and said so on the control connection.
    Refused(Reply),
}

/// Accepts the data connection, from the control connection's peer alone. `finished` says that the
/// server has reported the end of the transfer already.
pub(super) fn accept(
    x: &mut Exchange<'_>,
    control: &mut Control,
    listener: &dyn Listener,
    finished: bool,
) -> Result<Accepted, FetchError> {
    let doing = "waiting for the server to connect back";
    let since = Instant::now();
    while since.elapsed() < ACCEPT_TIMEOUT {
        x.budget.check(doing)?;
        match listener.accept(x.budget.cap(TICK)) {
            Ok((stream, peer)) if peer.ip() == control.peer.ip() => {
                return Ok(Accepted::Data(Conn::new(stream, BODY_BUFFER)?));
            }
            Ok((stream, peer)) => turn_away(x, stream, peer),
            Err(e) if is_transient(&e) => {}
            Err(e) => return Err(FetchError::PortFailed(format!("cannot accept: {e}"))),
        }
        if finished {
            continue;
        }
        if let Some(reply) = control.reply_within(Duration::from_millis(1))? {
            return Ok(Accepted::Refused(reply));
        }
    }
    let listening = listener.local_addr().map(|a| a.to_string()).unwrap_or_default();
    Err(FetchError::AcceptTimeout { listening, after: since.elapsed() })
}

fn turn_away(x: &mut Exchange<'_>, stream: Box<dyn Stream>, peer: SocketAddr) {
    x.note(format!("turned away a data connection from {peer}, which is not the server"));
    let _ = stream.shutdown(std::net::Shutdown::Both);
}
