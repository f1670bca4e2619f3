//! From a host's name to a connection: resolve, order the addresses, try one after the other.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use tracing::debug;

use crate::dns::{Family, Resolver};
use crate::error::FetchError;
use crate::fetch::Exchange;
use crate::net::Stream;
use crate::target::{Target, host_port};

/// Connects to the host of `target`, noting the times of the steps in the report.
pub(crate) fn dial(x: &mut Exchange<'_>, target: &Target) -> Result<Box<dyn Stream>, FetchError> {
    let addresses = resolve(x, target)?;
    x.report.timings.namelookup = Some(x.budget.started.elapsed());
    let stream = connect_any(x, &target.host(), &addresses)?;
    x.report.timings.connect = Some(x.budget.started.elapsed());
    x.report.remote = stream.peer_addr().ok();
    x.report.local = stream.local_addr().ok();
    Ok(stream)
}

fn resolve(x: &mut Exchange<'_>, target: &Target) -> Result<Vec<SocketAddr>, FetchError> {
    let port = target.port();
    if let Some(ip) = target.host_ip() {
        return Ok(vec![SocketAddr::new(ip, port)]);
    }
    let lookup =
        Resolver::new(x.network, x.resolver).lookup_within(&target.host(), x.request.family, &x.budget)?;
    x.report.resolved_name = Some(lookup.name.clone());
    x.report.names_tried = lookup.tried.clone();
    let mut addresses = lookup.addresses;
    if x.request.family == Family::Any {
        prefer_reachable(x, &mut addresses);
    }
    Ok(addresses.into_iter().map(|ip| SocketAddr::new(ip, port)).collect())
}

/// IPv6 first where there is a way to it, last where there is none (RFC 6724 section 6, rules 1 and 6,
/// as far as they matter with one source address a family).
fn prefer_reachable(x: &Exchange<'_>, addresses: &mut [IpAddr]) {
    let rank = |ip: &IpAddr| (x.network.local_ip_for(*ip).is_err(), ip.is_ipv4());
    addresses.sort_by_cached_key(rank);
}

fn connect_any(
    x: &Exchange<'_>,
    host: &str,
    addresses: &[SocketAddr],
) -> Result<Box<dyn Stream>, FetchError> {
    let give_up = Instant::now() + x.connect_timeout;
    let mut last = None;
    for (i, &addr) in addresses.iter().enumerate() {
        x.budget.check("connecting")?;
        let left = give_up.saturating_duration_since(Instant::now());
        // A silent first address must leave time for the next one.
        let share = if i + 1 < addresses.len() { left / 2 } else { left };
        let wait = x.budget.cap(share.max(Duration::from_millis(1)));
        match x.network.connect(addr, wait) {
            Ok(stream) => return Ok(stream),
            Err(e) => {
                debug!(%addr, error = %e, "connecting failed");
                last = Some((addr, e));
            }
        }
    }
    x.budget.check("connecting")?;
    match last {
        Some((addr, e)) if e.kind() == io::ErrorKind::TimedOut => {
            Err(FetchError::Timeout { doing: format!("connecting to {addr}"), after: x.connect_timeout })
        }
        Some((addr, source)) => {
            let peer = if host.parse::<IpAddr>().is_ok() {
                addr.to_string()
            } else {
                format!("{} ({addr})", host_port(host, addr.port()))
            };
            Err(FetchError::Connect { peer, source })
        }
        None => Err(FetchError::Connect { peer: host.to_owned(), source: io::ErrorKind::NotFound.into() }),
    }
}
