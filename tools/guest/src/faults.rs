//! What happens to NICs in use: links that go down, queues that come and go, processes that are killed, drivers that are
//! taken away. Afterwards the NIC is the kernel's again and works.

use std::fs;
use std::thread::sleep;
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::engine::{Engine, remark};
use crate::program::{Result, until};
use crate::site::{Host, Site};

/// How long a link stays down: an outage that is noticed, and shorter than any time limit.
const OUTAGE: Duration = Duration::from_millis(700);

/// The client's link goes down and comes back.
pub(crate) fn near_link_flaps(site: &Site) -> Result<String> {
    flap(site, &site.near)
}

/// The server's does.
pub(crate) fn far_link_flaps(site: &Site) -> Result<String> {
    flap(site, &site.far)
}

fn flap(site: &Site, host: &Host) -> Result<String> {
    let _server = Engine::on(&site.far, "1").serve(site)?;
    let mut download = Engine::on(&site.near, "0").get(site.far.engine_ip)?;
    download.wait_until_under_way()?;
    host.set_link("down")?;
    sleep(OUTAGE);
    host.set_link("up")?;
    let result = download.finish(site)?;
    Ok(remark(&result))
}

/// Rings of another size: the driver takes the NIC's queues down and makes them anew.
pub(crate) fn rings_change(site: &Site) -> Result<String> {
    let _server = Engine::on(&site.far, "1").serve(site)?;
    let mut download = Engine::on(&site.near, "0").get(site.far.engine_ip)?;
    download.wait_until_under_way()?;
    // Where the driver refuses that while sockets are bound, the transfer goes on as well.
    let change = |size: &str| site.far.run("ethtool", &["-G", site.far.nic, "rx", size]);
    let refused = change("128").is_err();
    let result = download.finish(site);
    let back = if refused { Ok(String::new()) } else { change("256") };
    back.and(result).map(|result| format!("{}{}", if refused { "refused; " } else { "" }, remark(&result)))
}

/// The kernel does not take away a queue that has a socket. Whether or not it is asked to, the transfer goes on.
pub(crate) fn fewer_queues(site: &Site) -> Result<String> {
    if site.queues == 1 {
        return Ok("nothing to take away".to_owned());
    }
    let server = Engine::on(&site.far, "1").serve(site)?;
    let mut download = Engine::on(&site.near, "0").get(site.far.engine_ip)?;
    download.wait_until_under_way()?;
    let refused = site.far.set_queues(1).is_err();
    let result = download.finish(site);
    drop(server);
    site.far.set_queues(site.queues).or_else(|error| if refused { Ok(()) } else { Err(error) })?;
    if !refused {
        return Err("the kernel took away a queue with a socket on it".to_owned());
    }
    result.map(|result| remark(&result))
}

/// The NIC gets more queues than the engine has opened, in mid-transfer.
pub(crate) fn more_queues(site: &Site) -> Result<String> {
    if site.queues == 1 {
        return Ok("there are no more".to_owned());
    }
    site.far.set_queues(1)?;
    site.kernels_reach_each_other()?;
    let server = Engine::on(&site.far, "1").serve(site)?;
    let mut download = Engine::on(&site.near, "0").get(site.far.engine_ip)?;
    download.wait_until_under_way()?;
    // virtio_net changes no queues while an XDP program is there: then the download must not notice the attempt.
    let refused = site.far.set_queues(site.queues).is_err();
    let result = download.finish(site);
    let queues = site.far.queues()?;
    let said = server.said();
    drop(server);
    if refused {
        site.far.set_queues(site.queues)?;
        if site.driver != "virtio_net" {
            return Err("the driver refused more queues".to_owned());
        }
    }
    let result = result.map_err(|why| format!("{why}\nthe server said:\n{said}"))?;
    Ok(format!("1 to {queues}; {}", remark(&result)))
}

/// SIGKILL: nothing can be tidied up. The kernel has the NIC back, and so has the next server.
pub(crate) fn killed_server(site: &Site) -> Result<String> {
    let engine = Engine::on(&site.far, "1");
    let server = engine.serve(site)?;
    let mut download = Engine::on(&site.near, "0").get(site.far.engine_ip)?;
    download.wait_until_under_way()?;
    server.signal(Signal::SIGKILL)?;
    drop(server);
    drop(download);
    site.is_quiet()?;
    site.kernels_reach_each_other()?;
    let _server = engine.serve(site)?;
    Engine::on(&site.near, "0").get(site.far.engine_ip)?.finish(site).map(|result| remark(&result))
}

/// The same at the other end.
pub(crate) fn killed_client(site: &Site) -> Result<String> {
    let _server = site.kernel_server()?;
    let engine = Engine::on(&site.near, "0");
    let mut download = engine.get(site.far.ip)?;
    download.wait_until_under_way()?;
    download.program.signal(Signal::SIGKILL)?;
    drop(download);
    site.is_quiet()?;
    site.kernels_reach_each_other()?;
    engine.get(site.far.ip)?.finish(site).map(|result| remark(&result))
}

/// The driver lets go of the server's NIC, as when it is pulled out. The server says so and ends; with the NIC back,
/// the next one serves.
pub(crate) fn nic_goes(site: &Site) -> Result<String> {
    let engine = Engine::on(&site.far, "1");
    let server = engine.serve(site)?;
    let mut download = Engine::on(&site.near, "0").get(site.far.engine_ip)?;
    download.wait_until_under_way()?;
    let (driver, device) = driver_of(site, &site.far)?;
    let tell = |file: &str| {
        fs::write(format!("{driver}/{file}"), &device).map_err(|error| format!("{driver}/{file}: {error}"))
    };
    tell("unbind")?;
    let ended = server.wait()?;
    drop(download);
    tell("bind")?;
    if ended.status.success() || !ended.err.contains("gone") {
        return Err(format!("the server ended ({}) and said:\n{}", ended.status, ended.err));
    }
    // It comes back in the namespace of the machine, and in the order of the names that are free there.
    until("the NIC is back", Duration::from_secs(20), || !names_of(&device).is_empty())?;
    let name = names_of(&device).join(" ");
    let ip = |args: &[&str]| crate::program::run(std::process::Command::new("ip").args(args));
    ip(&["link", "set", &name, "down"])?;
    ip(&["link", "set", &name, "netns", "far", "name", site.far.nic])?;
    // Queues are the driver's default again.
    let _ = site.far.set_queues(site.queues);
    site.far.configure()?;
    site.kernels_reach_each_other()?;
    let _server = engine.serve(site)?;
    Engine::on(&site.near, "0").get(site.far.engine_ip)?.finish(site).map(|result| remark(&result))
}

/// The driver's directory and the device's name there.
fn driver_of(site: &Site, host: &Host) -> Result<(String, String)> {
    let text = host.run("ethtool", &["-i", host.nic])?;
    let device = text.lines().find_map(|line| line.strip_prefix("bus-info:")).map(str::trim);
    let pci = device.ok_or_else(|| format!("{} is not on a bus:\n{text}", host.nic))?.to_owned();
    if site.driver != "virtio_net" {
        return Ok((format!("/sys/bus/pci/drivers/{}", site.driver), pci));
    }
    // virtio_net drives a device that the PCI device brings along.
    let below = fs::read_dir(format!("/sys/bus/pci/devices/{pci}")).map_err(|error| error.to_string())?;
    let names = below.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
    let device = names.into_iter().find(|name| name.starts_with("virtio")).unwrap_or(pci);
    Ok(("/sys/bus/virtio/drivers/virtio_net".to_owned(), device))
}

/// Interfaces of a device, in the namespace of the machine.
fn names_of(device: &str) -> Vec<String> {
    let dirs =
        [format!("/sys/bus/pci/devices/{device}/net"), format!("/sys/bus/virtio/devices/{device}/net")];
    let entries = dirs.iter().filter_map(|dir| fs::read_dir(dir).ok()).flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}
