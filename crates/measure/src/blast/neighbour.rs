//! Whose station a frame is for: the kernel's neighbours are asked, and made to ask.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::process::Command;
use std::time::{Duration, Instant};

use bypath_wire::ethernet::MacAddr;

use super::BlastError;
use super::netns::within;

/// How long a neighbour may take to answer: three tries of the kernel, a second apart.
const PATIENCE: Duration = Duration::from_millis(3500);
/// RFC 863. Nobody needs to be there: the address is resolved before anything is sent.
const DISCARD: u16 = 9;

/// The MAC address to which frames for `address` go: the station's own, or its router's.
///
/// # Errors
/// [`BlastError::Unreachable`] when nobody answers.
pub fn resolve(interface: &str, netns: Option<&str>, address: IpAddr) -> Result<MacAddr, BlastError> {
    match address {
        IpAddr::V4(v4) if v4.is_multicast() => return Ok(MacAddr::multicast_v4(v4)),
        IpAddr::V6(v6) if v6.is_multicast() => return Ok(MacAddr::multicast_v6(v6)),
        _ => {}
    }
    let unreachable = || BlastError::Unreachable { address, interface: interface.to_owned() };
    within(netns, || {
        let hop = next_hop(interface, address).ok_or_else(unreachable)?;
        let started = Instant::now();
        // A datagram to the discard port: the kernel asks for the neighbour before it sends it.
        provoke(address).map_err(|_| unreachable())?;
        loop {
            if let Some(mac) = neighbour(interface, hop) {
                return Ok(mac);
            }
            if started.elapsed() > PATIENCE {
                return Err(unreachable());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    })?
}

fn provoke(address: IpAddr) -> io::Result<()> {
    let any: IpAddr = match address {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind(SocketAddr::new(any, 0))?;
    socket.send_to(&[], SocketAddr::new(address, DISCARD)).map(|_| ())
}

/// The router on the way to an address, or the address itself when it is on the link. `None`: no route that leaves by
/// this interface.
fn next_hop(interface: &str, address: IpAddr) -> Option<IpAddr> {
    let route = run_ip(&["route", "get", &address.to_string()])?;
    let words: Vec<&str> = route.split_whitespace().collect();
    let after = |word: &str| Some(*words.get(words.iter().position(|is| *is == word)? + 1)?);
    if after("dev")? != interface {
        return None;
    }
    after("via").map_or(Some(address), |via| via.parse().ok())
}

fn neighbour(interface: &str, address: IpAddr) -> Option<MacAddr> {
    let shown = run_ip(&["neigh", "show", &address.to_string(), "dev", interface])?;
    let mut words = shown.split_whitespace();
    words.find(|word| *word == "lladdr")?;
    words.next()?.parse().ok()
}

fn run_ip(args: &[&str]) -> Option<String> {
    let output = Command::new("ip").args(args).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}
