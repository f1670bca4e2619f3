//! How the hosts of a lab are set before anything is measured in it: IPv6 quiet, and kernels that send alike
//! on every machine.

use std::fs;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::{Duration, Instant};

use crate::Result;
use crate::error::LabError;
use crate::host::Host;
use crate::tool;

/// How long a link may take to have carrier.
const CARRIER_PATIENCE: Duration = Duration::from_secs(5);

/// Has the kernel of a host send the way a machine with a NIC does, by an algorithm that is named.
pub(crate) fn sending(host: &Host) -> Result<()> {
    name_congestion_control(host)?;
    queue_like_a_nic(host)
}

/// A queue before the interface, as every NIC has one. A veth pair comes without: then what the other end
/// has not taken yet is dropped after 256 frames, and a sender measures those losses; with it the sender is
/// held back (Linux 6.16 and later).
fn queue_like_a_nic(host: &Host) -> Result<()> {
    let args = ["-n", host.netns(), "qdisc", "replace", "dev", host.interface(), "root", "pfifo"];
    tool::run("tc", &args).map(drop)
}

/// Addresses usable at once, and no router solicitations: nothing on the wire that a test did not send.
pub(crate) fn quiet_ipv6() {
    set_ipv6(&[
        ("accept_dad", "0"),
        ("dad_transmits", "0"),
        ("accept_ra", "0"),
        ("router_solicitations", "0"),
    ]);
}

/// Sets IPv6 parameters of the calling thread's namespace, for interfaces to come.
pub(crate) fn set_ipv6(parameters: &[(&str, &str)]) {
    for (key, value) in parameters {
        for scope in ["all", "default"] {
            // A kernel without IPv6 has no such file; adding the address will then say so.
            let _ = fs::write(format!("/proc/sys/net/ipv6/conf/{scope}/{key}"), value);
        }
    }
}

/// Has the host's own TCP send by CUBIC on this wire, whatever the machine's default is. A figure measured
/// against the kernel means little while the kernel's sender is a setting of the machine, and BBR, a default
/// of some, is steered by the very scheduling noise that is to be measured. The route says it, because
/// the sysctl of a namespace takes only the algorithms that the machine allows to everybody.
fn name_congestion_control(host: &Host) -> Result<()> {
    let (netns, dev, local) = (host.netns(), host.interface(), host.ipv4().to_string());
    let with = ["dev", dev, "proto", "kernel", "congctl", "cubic"];
    let network = format!("{}/24", Ipv4Addr::from_bits(host.ipv4().to_bits() & !0xff));
    let v4 = ["-n", netns, "route", "change", &network, "scope", "link", "src", &local];
    tool::run("ip", &[&v4[..], &with].concat())?;
    let network = format!("{}/64", Ipv6Addr::from_bits(host.ipv6().to_bits() & !u128::from(u64::MAX)));
    let v6 = ["-n", netns, "-6", "route", "change", &network, "metric", "256"];
    tool::run("ip", &[&v6[..], &with].concat()).map(drop)
}

pub(crate) fn wait_for_carrier(host: &Host) -> Result<()> {
    let deadline = Instant::now() + CARRIER_PATIENCE;
    loop {
        let link = tool::run("ip", &["-n", host.netns(), "-o", "link", "show", "dev", host.interface()])?;
        if link.contains("LOWER_UP") && link.contains("state UP") {
            return Ok(());
        }
        if Instant::now() >= deadline {
            return Err(LabError::NotReady {
                name: host.interface().to_owned(),
                waited: CARRIER_PATIENCE,
                why: "the link has no carrier".into(),
                log: link,
            });
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}
