//! Prints the raw one-way frame rate between two interfaces: `ceiling NETNS/IFACE NETNS/IFACE [LEN]…`.
//!
//! The first end sends, the second receives; a namespace of `-` is the current one. Needs root.

use std::error::Error;
use std::net::IpAddr;
use std::time::Duration;

use bypath_xdp::{AttachMode, Device, QueueConfig, Steering, XdpDevice, ceiling};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// How long each length is measured.
const DURATION: Duration = Duration::from_secs(2);

fn open(end: &str) -> Result<(Steering, XdpDevice), Box<dyn Error + Send + Sync>> {
    let (netns, interface) = end.split_once('/').ok_or("an end is written NETNS/IFACE, or -/IFACE")?;
    if netns != "-" {
        let namespace = std::fs::File::open(format!("/run/netns/{netns}"))?;
        move_into_link_name_space(std::os::fd::AsFd::as_fd(&namespace), Some(LinkNameSpaceType::Network))?;
    }
    let steering = Steering::attach(interface, AttachMode::Auto)?;
    steering.own_address(IpAddr::V4(ceiling::DESTINATION))?;
    let device = XdpDevice::open(&steering, &QueueConfig::default())?;
    Ok((steering, device))
}

fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [from, to, lengths @ ..] = arguments.as_slice() else {
        return Err("usage: ceiling NETNS/IFACE NETNS/IFACE [LEN]…".into());
    };
    // Each end is opened on a thread of its own, which alone changes its namespace.
    let open_at = |end: &str| std::thread::scope(|scope| scope.spawn(|| open(end)).join());
    let panicked = |_| "opening an end failed";
    let (_tx_steering, mut tx) = open_at(from).map_err(panicked)??;
    let (_rx_steering, mut rx) = open_at(to).map_err(panicked)??;
    let lengths: Vec<usize> = lengths.iter().map(|len| len.parse()).collect::<Result<_, _>>()?;
    let lengths = if lengths.is_empty() { vec![64, tx.info().mtu as usize + 14] } else { lengths };
    for len in lengths {
        println!("{}", ceiling::measure(&mut tx, &mut rx, len, DURATION));
    }
    Ok(())
}
