//! Making a lab and removing it: namespaces, the veth pair, addresses, offloads.
//!
//! ```text
//!   near ── near0 ═══ far0 ── far           without a box
//!   near ── near0 ═══ box0 ▒ box1 ═══ far0 ── far    through a box
//! ```

use std::fs;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use crate::error::{Doing, LabError};
use crate::host::{Host, inside};
use crate::impair::Impairments;
use crate::middle::MiddleBox;
use crate::record::{
    HostRecord, LabRecord, check_name, lock, netns_path, record_path, this_process, work_dir,
};
use crate::{Result, tool, tune};

// 198.18.0.0/15 is set aside for benchmarks (RFC 2544, appendix C.2.2); fd00::/8 for local use (RFC 4193).
const NEAR_IPV4: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 1);
const FAR_IPV4: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 2);
const NEAR_IPV6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0x198, 0x18, 0, 0, 0, 0, 1);
const FAR_IPV6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0x198, 0x18, 0, 0, 0, 0, 2);
// Locally administered unicast.
const NEAR_MAC: &str = "02:b1:9a:00:00:01";
const FAR_MAC: &str = "02:b1:9a:00:00:02";

/// How long a link may take to have carrier, and killed processes to be gone.
const PATIENCE: Duration = Duration::from_secs(5);

static COUNTER: AtomicU32 = AtomicU32::new(0);

/// What a lab will be. Start with [`Lab::builder`].
#[derive(Debug, Clone)]
pub struct LabBuilder {
    name: Option<String>,
    prefix: String,
    mtu: u32,
    queues: u32,
    offloads: bool,
    gro: bool,
    keep: bool,
    middle: Option<(Impairments, Impairments)>,
}

impl LabBuilder {
    /// The MTU of the wire in bytes, 1280 to 65535; 1500 unless said otherwise.
    pub fn mtu(mut self, bytes: u32) -> Self {
        self.mtu = bytes;
        self
    }

    /// Receive and transmit queues of each interface, 1 to 64; 1 unless said otherwise.
    pub fn queues(mut self, queues: u32) -> Self {
        self.queues = queues;
        self
    }

    /// Whether the kernel keeps its offloads (segmentation, receive merging, unfilled checksums). Off
    /// unless said otherwise: frames are no longer than the MTU and every checksum is filled in. With
    /// offloads on a kernel host leaves TCP checksums to a NIC that does not exist, so only another
    /// kernel host can talk to it.
    pub fn offloads(mut self, on: bool) -> Self {
        self.offloads = on;
        self
    }

    /// Whether the kernel merges received segments (GRO) although its other offloads are off. A veth interface then takes
    /// frames that its other end redirects to it without an skb, as the pump does; without GRO, and without an
    /// XDP program, they vanish.
    pub fn gro(mut self, on: bool) -> Self {
        self.gro = on;
        self
    }

    /// The exact name of the lab; its namespaces are NAME-near and NAME-far.
    pub fn name(mut self, name: &str) -> Self {
        self.name = Some(name.to_owned());
        self
    }

    /// The beginning of a name that is otherwise made up and unique on this machine.
    pub fn name_prefix(mut self, prefix: &str) -> Self {
        self.prefix = prefix.to_owned();
        self
    }

    /// Leaves the lab standing when the [`Lab`] is dropped, and when this process ends.
    pub fn keep(mut self, keep: bool) -> Self {
        self.keep = keep;
        self
    }

    /// Puts a box in between that does this to frames from near to far, and that from far to near.
    pub fn through_box(mut self, near_to_far: Impairments, far_to_near: Impairments) -> Self {
        self.middle = Some((near_to_far, far_to_near));
        self
    }

    /// Makes the lab. What earlier processes left behind is removed first.
    ///
    /// # Errors
    /// Every [`LabError`]; nothing is left behind then.
    pub fn up(self) -> Result<Lab> {
        tool::check_prerequisites()?;
        check_range("the MTU", "1280 to 65535", self.mtu, 1280..=65535)?;
        check_range("the number of queues", "1 to 64", self.queues, 1..=64)?;
        if self.keep && self.middle.is_some() {
            // The box is a pair of threads of this process.
            return Err(LabError::Io {
                action: "keeping a lab with a box in it".into(),
                source: std::io::ErrorKind::Unsupported.into(),
            });
        }
        let name = self.name.clone().unwrap_or_else(|| {
            let serial = COUNTER.fetch_add(1, Ordering::Relaxed);
            format!("{}{}x{serial}", self.prefix, std::process::id())
        });
        check_name(&name)?;

        let _lock = lock()?;
        sweep();
        let record = self.record(&name);
        let taken = |netns: &String| netns_path(netns).exists();
        if taken(&record.near.netns) || taken(&record.far.netns) || record_path(&name).exists() {
            return Err(LabError::AlreadyUp { name });
        }
        record.save()?;
        self.build(&record).inspect_err(|_| remove(&record))
    }

    fn record(&self, name: &str) -> LabRecord {
        LabRecord {
            name: name.to_owned(),
            owner: (!self.keep).then(this_process),
            mtu: self.mtu,
            queues: self.queues,
            offloads: self.offloads,
            gro: self.offloads || self.gro,
            middle: self.middle.is_some().then(|| format!("{name}-box")),
            near: HostRecord {
                netns: format!("{name}-near"),
                interface: "near0".into(),
                mac: NEAR_MAC.into(),
                ipv4: NEAR_IPV4,
                ipv6: NEAR_IPV6,
            },
            far: HostRecord {
                netns: format!("{name}-far"),
                interface: "far0".into(),
                mac: FAR_MAC.into(),
                ipv4: FAR_IPV4,
                ipv6: FAR_IPV6,
            },
        }
    }

    fn build(&self, record: &LabRecord) -> Result<Lab> {
        let dir = work_dir(&record.name);
        fs::create_dir_all(&dir).doing(|| format!("making {}", dir.display()))?;
        // Servers that give up root read what is in there.
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o755))
            .doing(|| format!("opening up {}", dir.display()))?;

        let namespaces = [Some(&record.near.netns), Some(&record.far.netns), record.middle.as_ref()];
        for netns in namespaces.into_iter().flatten() {
            tool::run("ip", &["netns", "add", netns])?;
        }
        let near = Host::open(&record.name, record.near.clone())?;
        let far = Host::open(&record.name, record.far.clone())?;
        for host in [&near, &far] {
            host.run(tune::quiet_ipv6)?;
        }
        if let Some(netns) = &record.middle {
            // The box is no host: nothing of its own may get onto the wire.
            inside(netns, || tune::set_ipv6(&[("disable_ipv6", "1")]))?;
        }
        let near_end = End { netns: near.netns(), name: near.interface(), mac: Some(near.mac()) };
        let far_end = End { netns: far.netns(), name: far.interface(), mac: Some(far.mac()) };
        let middle = match (&record.middle, self.middle) {
            (Some(netns), Some(impairments)) => {
                let [box0, box1] = ["box0", "box1"].map(|name| End { netns, name, mac: None });
                self.join(&near_end, &box0)?;
                self.join(&far_end, &box1)?;
                Some((netns.clone(), impairments))
            }
            _ => {
                self.join(&near_end, &far_end)?;
                None
            }
        };
        for host in [&near, &far] {
            let (netns, dev) = (host.netns(), host.interface());
            tool::run("ip", &["-n", netns, "addr", "add", &format!("{}/24", host.ipv4()), "dev", dev])?;
            let ipv6 = format!("{}/64", host.ipv6());
            tool::run("ip", &["-n", netns, "addr", "add", &ipv6, "dev", dev, "nodad"])?;
            tune::wait_for_carrier(host)?;
            tune::sending(host)?;
        }
        let middle = match middle {
            Some((netns, (outward, inward))) => {
                Some(MiddleBox::start(&netns, "box0", "box1", self.mtu, outward, inward)?)
            }
            None => None,
        };
        Ok(Lab { record: record.clone(), near, far, middle, keep: self.keep })
    }

    /// Makes one veth pair with an end in each of two namespaces, and brings it up.
    fn join(&self, a: &End<'_>, b: &End<'_>) -> Result<()> {
        let (mtu, queues) = (self.mtu.to_string(), self.queues.to_string());
        let mut args = vec!["link", "add"];
        for (end, rest) in [(a, &["type", "veth", "peer"][..]), (b, &[])] {
            args.extend(["name", end.name, "netns", end.netns, "mtu", &mtu]);
            args.extend(["numrxqueues", &queues, "numtxqueues", &queues]);
            args.extend(end.mac.map(|mac| ["address", mac]).into_iter().flatten());
            args.extend(rest);
        }
        tool::run("ip", &args)?;
        for end in [a, b] {
            // A box reads frames from packet sockets: offloads would show it frames that no wire carries.
            if !self.offloads || self.middle.is_some() {
                let mut ethtool = vec!["netns", "exec", end.netns, "ethtool", "-K", end.name];
                ethtool.extend("tx off rx off sg off tso off gso off gro off".split(' '));
                tool::run("ip", &ethtool)?;
            }
            tool::run("ip", &["-n", end.netns, "link", "set", "lo", "up"])?;
            tool::run("ip", &["-n", end.netns, "link", "set", end.name, "up"])?;
        }
        for end in [a, b].iter().filter(|_| self.gro && !self.offloads && self.middle.is_none()) {
            // On an interface that is up: only then does veth tell its other end that it takes redirected frames.
            tool::run("ip", &["netns", "exec", end.netns, "ethtool", "-K", end.name, "gro", "on"])?;
        }
        Ok(())
    }
}

/// One end of a veth pair to be made.
struct End<'a> {
    netns: &'a str,
    name: &'a str,
    mac: Option<&'a str>,
}

fn check_range(
    what: &'static str,
    wanted: &'static str,
    given: u32,
    range: std::ops::RangeInclusive<u32>,
) -> Result<()> {
    if range.contains(&given) {
        return Ok(());
    }
    Err(LabError::OutOfRange { what, wanted, given: given.into() })
}

/// A lab that is up. Dropping it removes everything in it, unless it is to be kept.
#[derive(Debug)]
pub struct Lab {
    record: LabRecord,
    near: Host,
    far: Host,
    middle: Option<MiddleBox>,
    keep: bool,
}

impl Lab {
    /// A lab to be: MTU 1500, one queue, offloads off, a unique name, no box.
    pub fn builder() -> LabBuilder {
        LabBuilder {
            name: None,
            prefix: "bp".into(),
            mtu: 1500,
            queues: 1,
            offloads: false,
            gro: false,
            keep: false,
            middle: None,
        }
    }

    /// The lab of that name that another process made. Dropping it leaves it standing.
    ///
    /// # Errors
    /// [`LabError::NoSuchLab`], [`LabError::Io`].
    pub fn open(name: &str) -> Result<Lab> {
        let record = LabRecord::load(name)?;
        if !record.is_up() {
            return Err(LabError::NoSuchLab { name: name.to_owned() });
        }
        let near = Host::open(name, record.near.clone())?;
        let far = Host::open(name, record.far.clone())?;
        Ok(Lab { record, near, far, middle: None, keep: true })
    }

    /// Removes the lab of that name, with every process that runs in it.
    ///
    /// # Errors
    /// [`LabError::NoSuchLab`] when there is nothing of that name; [`LabError::NotRoot`].
    pub fn down(name: &str) -> Result<()> {
        tool::check_prerequisites()?;
        check_name(name)?;
        let _lock = lock()?;
        match LabRecord::load(name) {
            Ok(record) => remove(&record),
            Err(LabError::NoSuchLab { .. }) => {
                // The record may be lost while the namespaces are not.
                let record = LabBuilder { name: Some(name.to_owned()), ..Lab::builder() }.record(name);
                let middle = format!("{name}-box");
                let left =
                    [&record.near.netns, &record.far.netns, &middle].map(|netns| netns_path(netns).exists());
                if !left.contains(&true) {
                    return Err(LabError::NoSuchLab { name: name.to_owned() });
                }
                remove(&LabRecord { middle: Some(middle), ..record });
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.record.name
    }

    /// The host that the engine and the tests stand on.
    pub fn near(&self) -> &Host {
        &self.near
    }

    /// The host that the peers run on.
    pub fn far(&self) -> &Host {
        &self.far
    }

    /// The box in between, when there is one.
    pub fn middle(&self) -> Option<&MiddleBox> {
        self.middle.as_ref()
    }

    /// All about it, as it is written down.
    pub fn record(&self) -> &LabRecord {
        &self.record
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        self.middle = None;
        if !self.keep {
            let _lock = lock();
            remove(&self.record);
        }
    }
}

/// Removes labs whose owner is gone. The caller holds the lock.
fn sweep() {
    for record in LabRecord::all().unwrap_or_default() {
        if record.is_abandoned() {
            tracing::debug!(lab = record.name, "removing a lab whose owner is gone");
            remove(&record);
        }
    }
}

/// Removes all there may be of a lab; what is not there is not missed.
fn remove(record: &LabRecord) {
    let namespaces = [Some(&record.near.netns), Some(&record.far.netns), record.middle.as_ref()];
    for netns in namespaces.into_iter().flatten().filter(|netns| netns_path(netns).exists()) {
        end_processes(netns);
    }
    for host in [&record.near, &record.far].into_iter().filter(|host| netns_path(&host.netns).exists()) {
        // The pair by name: a namespace that something still holds open would keep its links.
        let _ = tool::run("ip", &["-n", &host.netns, "link", "del", &host.interface]);
    }
    for netns in namespaces.into_iter().flatten().filter(|netns| netns_path(netns).exists()) {
        if let Err(error) = tool::run("ip", &["netns", "del", netns]) {
            tracing::warn!("{error}");
        }
    }
    remove_quietly(&record.name);
}

fn remove_quietly(name: &str) {
    let _ = fs::remove_dir_all(work_dir(name));
    let _ = fs::remove_file(record_path(name));
}

/// Kills what runs in a namespace, each process by its id, and waits until it is gone.
fn end_processes(netns: &str) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let listed = tool::run("ip", &["netns", "pids", netns]).unwrap_or_default();
        let mut left = false;
        for pid in listed.split_whitespace().filter_map(|word| word.parse::<i32>().ok()) {
            // A test's own process may be listed when its main thread entered the namespace.
            if pid.unsigned_abs() != std::process::id() && Path::new(&format!("/proc/{pid}")).exists() {
                let _ = nix::sys::signal::kill(
                    nix::unistd::Pid::from_raw(pid),
                    nix::sys::signal::Signal::SIGKILL,
                );
                left = true;
            }
        }
        if !left || Instant::now() >= deadline {
            return;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}
