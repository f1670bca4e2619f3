//! What the kernel knows about a network interface, read without changing anything.
//!
//! Everything comes from ioctls on a socket of the calling thread's network namespace. Sysfs is not
//! asked: it keeps showing the namespace in which it was mounted after a thread has moved to another.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use bypath_wire::ethernet::MacAddr;

use crate::error::XdpError;

/// An attached XDP program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct XdpProgram {
    /// Its id, as bpftool shows it.
    pub id: u32,
    /// Its name in the kernel, at most 15 characters.
    pub name: String,
    /// True when it runs in the driver.
    pub native: bool,
}

/// A number as it is now and as it could be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tunable {
    /// The value now.
    pub current: u32,
    /// The largest the driver accepts.
    pub max: u32,
}

/// Facts about one interface at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NicFacts {
    /// Interface name.
    pub name: String,
    /// Its index in this network namespace.
    pub ifindex: u32,
    /// Hardware address; all zero where there is none.
    pub mac: MacAddr,
    /// Largest IP packet in bytes.
    pub mtu: u32,
    /// Of the link, bits a second, as the driver has it.
    pub speed: Option<u64>,
    /// Kernel driver; empty when unknown.
    pub driver: String,
    /// Version the driver reports; empty when unknown.
    pub driver_version: String,
    /// Administratively up.
    pub up: bool,
    /// The link is there.
    pub carrier: bool,
    /// Queues that only receive.
    pub rx_queues: Tunable,
    /// Queues that only send.
    pub tx_queues: Tunable,
    /// Queues that do both.
    pub combined: Tunable,
    /// Descriptors of an RX ring; zero when the driver does not say.
    pub rx_ring: Tunable,
    /// Descriptors of a TX ring; zero when the driver does not say.
    pub tx_ring: Tunable,
    /// Offloads that change what AF_XDP or a peer sees, and whether they are on.
    pub offloads: Vec<(String, bool)>,
    /// The XDP program attached, if any.
    pub program: Option<XdpProgram>,
    /// Release of the running kernel.
    pub kernel: String,
}

impl NicFacts {
    /// Reads the facts about the interface called `name` in this thread's network namespace.
    ///
    /// Errors: [`XdpError::NoSuchInterface`], or the kernel's refusal to answer.
    pub fn read(name: &str) -> Result<NicFacts, XdpError> {
        let ifindex = index_of(name)?;
        let nic = Query::open(name)?;
        let flags = u32::from(nic.flags()? as u16);
        let up = flags & libc::IFF_UP as u32 != 0;
        let running = flags & libc::IFF_RUNNING as u32 != 0;
        let driver = nic.driver();
        let channels = nic.numbers::<8>(ETHTOOL_GCHANNELS).unwrap_or_default();
        let rings = nic.numbers::<8>(ETHTOOL_GRINGPARAM).unwrap_or_default();
        let tunable = |numbers: &[u32; 8], at: usize| Tunable { max: numbers[at], current: numbers[at + 4] };
        Ok(NicFacts {
            name: name.to_owned(),
            ifindex,
            mac: nic.mac()?,
            mtu: nic.mtu()?,
            speed: nic.speed(),
            driver: text(&driver.driver),
            driver_version: text(&driver.version),
            up,
            carrier: up && nic.number(ETHTOOL_GLINK).map_or(running, |link| link != 0),
            rx_queues: tunable(&channels, 0),
            tx_queues: tunable(&channels, 1),
            combined: tunable(&channels, 3),
            rx_ring: tunable(&rings, 0),
            tx_ring: tunable(&rings, 3),
            offloads: nic.offloads(),
            program: attached_program(ifindex),
            kernel: std::fs::read_to_string("/proc/sys/kernel/osrelease")
                .map(|release| release.trim().to_owned())
                .unwrap_or_default(),
        })
    }

    /// Queues that it could have, as far as the driver tells.
    pub fn most_queues(&self) -> u32 {
        (self.combined.max + self.rx_queues.max).max(self.queues())
    }

    /// Queues that AF_XDP sockets can be bound to. A driver without channels has one.
    pub fn queues(&self) -> u32 {
        (self.combined.current + self.rx_queues.current).max(1)
    }
}

/// The index of an interface in this thread's network namespace.
pub(crate) fn index_of(name: &str) -> Result<u32, XdpError> {
    let missing = || XdpError::NoSuchInterface { name: name.to_owned() };
    let name = CString::new(name).map_err(|_| missing())?;
    // SAFETY: the name is a NUL-terminated string that outlives the call.
    match unsafe { libc::if_nametoindex(name.as_ptr()) } {
        0 => Err(missing()),
        index => Ok(index),
    }
}

/// Whether the interface is up, and whether its link is.
pub(crate) fn link_state(name: &str) -> Result<(bool, bool), XdpError> {
    let nic = Query::open(name)?;
    let flags = i32::from(nic.flags()?);
    let up = flags & libc::IFF_UP != 0;
    let running = flags & libc::IFF_RUNNING != 0;
    Ok((up, up && nic.number(ETHTOOL_GLINK).map_or(running, |link| link != 0)))
}

/// The XDP program on an interface.
pub(crate) fn attached_program(ifindex: u32) -> Option<XdpProgram> {
    let mut query = libbpf_sys::bpf_xdp_query_opts {
        sz: size_of::<libbpf_sys::bpf_xdp_query_opts>() as libbpf_sys::size_t,
        ..Default::default()
    };
    // SAFETY: the options live through the call and carry their own size.
    let answer = unsafe { libbpf_sys::bpf_xdp_query(i32::try_from(ifindex).ok()?, 0, &mut query) };
    let programs = [query.prog_id, query.drv_prog_id, query.skb_prog_id, query.hw_prog_id];
    let id = programs.into_iter().find(|id| *id != 0).filter(|_| answer == 0)?;
    let name = program_name(id).unwrap_or_else(|| "unnamed".to_owned());
    Some(XdpProgram { id, name, native: query.skb_prog_id == 0 })
}

/// `NETDEV_XDP_ACT_NDO_XMIT` of <linux/netdev.h>.
const XDP_ACT_NDO_XMIT: u64 = 4;

/// Whether frames can be redirected to an interface: what its driver says of itself (netdev's `xdp-features`). `None`:
/// the kernel does not tell.
pub(crate) fn can_xdp_xmit(ifindex: u32) -> Option<bool> {
    let mut query = libbpf_sys::bpf_xdp_query_opts {
        sz: size_of::<libbpf_sys::bpf_xdp_query_opts>() as libbpf_sys::size_t,
        ..Default::default()
    };
    // SAFETY: the options live through the call and carry their own size.
    let answer = unsafe { libbpf_sys::bpf_xdp_query(i32::try_from(ifindex).ok()?, 0, &mut query) };
    // Zero is also what libbpf says on kernels that know nothing of it.
    (answer == 0 && query.feature_flags != 0).then_some(query.feature_flags & XDP_ACT_NDO_XMIT != 0)
}

fn program_name(id: u32) -> Option<String> {
    // SAFETY: a plain number goes in, a descriptor or a negative error comes out.
    let fd = unsafe { libbpf_sys::bpf_prog_get_fd_by_id(id) };
    if fd < 0 {
        return None;
    }
    // SAFETY: the descriptor is new and nobody else's.
    let fd = unsafe { OwnedFd::from_raw_fd(fd) };
    let mut info = libbpf_sys::bpf_prog_info::default();
    let mut len = size_of::<libbpf_sys::bpf_prog_info>() as u32;
    // SAFETY: info is a plain structure of `len` bytes in which zeroes ask for nothing further.
    let answer =
        unsafe { libbpf_sys::bpf_obj_get_info_by_fd(fd.as_raw_fd(), (&raw mut info).cast(), &mut len) };
    let name: Vec<u8> = info.name.iter().map(|byte| *byte as u8).collect();
    (answer == 0).then(|| text(&name))
}

/// How a NIC spreads packets, as its driver tells (`struct ethtool_rxfh`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RssTable {
    /// The hash is Toeplitz.
    pub(crate) toeplitz: bool,
    /// Source and destination are combined before they are hashed.
    pub(crate) combines_directions: bool,
    pub(crate) key: Vec<u8>,
    /// Which queue each value of the hash, modulo their number, goes to.
    pub(crate) queues: Vec<u32>,
}

/// Where the interface sits on its bus, and how it spreads packets, if the driver tells.
pub(crate) fn bus_and_rss(name: &str) -> Result<(String, Option<RssTable>), XdpError> {
    let nic = Query::open(name)?;
    let driver = nic.driver();
    // `bus_info` follows name, version and firmware version.
    let bus = text(driver.rest.get(32..64).unwrap_or_default());
    Ok((bus, nic.rss()))
}

// <linux/ethtool.h>
const ETHTOOL_GRSSH: u32 = 0x46;
const ETH_RSS_HASH_TOP: u8 = 1;
/// Words of tables and keys that are read; NICs have up to 2048 and 64 bytes.
const RSS_WORDS: usize = 4096;
const ETHTOOL_GSET: u32 = 0x01;
const ETHTOOL_GDRVINFO: u32 = 0x03;
const ETHTOOL_GLINK: u32 = 0x0a;
const ETHTOOL_GRINGPARAM: u32 = 0x10;
const ETHTOOL_GFLAGS: u32 = 0x25;
const ETHTOOL_GCHANNELS: u32 = 0x3c;

/// Offloads with an ethtool command of their own.
const OFFLOADS: [(&str, u32); 6] = [
    ("rx-checksumming", 0x14),
    ("tx-checksumming", 0x16),
    ("scatter-gather", 0x18),
    ("tcp-segmentation-offload", 0x1e),
    ("generic-segmentation-offload", 0x23),
    ("generic-receive-offload", 0x2b),
];

/// Offloads that share the word which ETHTOOL_GFLAGS returns.
const FLAGS: [(&str, u32); 5] = [
    ("tx-vlan-offload", 1 << 7),
    ("rx-vlan-offload", 1 << 8),
    ("large-receive-offload", 1 << 15),
    ("ntuple-filters", 1 << 27),
    ("receive-hashing", 1 << 28),
];

/// `struct ethtool_drvinfo`.
#[repr(C)]
struct DriverInfo {
    command: u32,
    driver: [u8; 32],
    version: [u8; 32],
    rest: [u8; 32 * 3 + 12 + 5 * 4],
}

/// `struct ethtool_value`, `ethtool_ringparam` and `ethtool_channels`: a command, then numbers.
#[repr(C)]
struct Numbers<const N: usize> {
    command: u32,
    values: [u32; N],
}

/// `struct ethtool_rxfh`, with room for the table and the key behind it.
#[repr(C)]
struct Rxfh {
    command: u32,
    context: u32,
    table_len: u32,
    key_len: u32,
    function: u8,
    transformation: u8,
    reserved: [u8; 6],
    data: [u32; RSS_WORDS],
}

/// A socket to ask about one interface.
struct Query {
    socket: OwnedFd,
    name: String,
}

impl Query {
    fn open(name: &str) -> Result<Self, XdpError> {
        // SAFETY: plain numbers go in, a descriptor or -1 comes out.
        let fd = unsafe { libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0) };
        if fd < 0 {
            return Err(XdpError::system(
                "opening a socket to ask about the interface",
                io::Error::last_os_error(),
            ));
        }
        // SAFETY: the descriptor is new and nobody else's.
        let socket = unsafe { OwnedFd::from_raw_fd(fd) };
        Ok(Query { socket, name: name.to_owned() })
    }

    fn request(&self) -> libc::ifreq {
        // SAFETY: ifreq is plain data for which all zeroes is a value.
        let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
        for (to, from) in request.ifr_name.iter_mut().take(libc::IFNAMSIZ - 1).zip(self.name.bytes()) {
            *to = from as libc::c_char;
        }
        request
    }

    fn ask(&self, request: libc::c_ulong, about: &mut libc::ifreq) -> io::Result<()> {
        // SAFETY: every request used here reads and writes an ifreq, and the ethtool one additionally the
        // structure that its data pointer names, which the caller holds for the call.
        if unsafe { libc::ioctl(self.socket.as_raw_fd(), request as _, about) } < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(())
    }

    fn interface(&self, request: libc::c_ulong) -> Result<libc::ifreq, XdpError> {
        let mut about = self.request();
        self.ask(request, &mut about).map_err(|error| match error.raw_os_error() {
            Some(libc::ENODEV) => XdpError::NoSuchInterface { name: self.name.clone() },
            _ => XdpError::system("asking about the interface", error),
        })?;
        Ok(about)
    }

    fn flags(&self) -> Result<i16, XdpError> {
        // SAFETY: SIOCGIFFLAGS has filled in this member of the union.
        Ok(unsafe { self.interface(libc::SIOCGIFFLAGS)?.ifr_ifru.ifru_flags })
    }

    fn mtu(&self) -> Result<u32, XdpError> {
        // SAFETY: SIOCGIFMTU has filled in this member of the union.
        let mtu = unsafe { self.interface(libc::SIOCGIFMTU)?.ifr_ifru.ifru_mtu };
        Ok(u32::try_from(mtu).unwrap_or(0))
    }

    fn mac(&self) -> Result<MacAddr, XdpError> {
        // SAFETY: SIOCGIFHWADDR has filled in this member of the union.
        let address = unsafe { self.interface(libc::SIOCGIFHWADDR)?.ifr_ifru.ifru_hwaddr };
        let mut mac = [0; 6];
        for (to, from) in mac.iter_mut().zip(address.sa_data) {
            *to = from as u8;
        }
        Ok(MacAddr(mac))
    }

    fn ethtool<T>(&self, data: &mut T) -> io::Result<()> {
        let mut about = self.request();
        about.ifr_ifru.ifru_data = std::ptr::from_mut(data).cast();
        self.ask(libc::SIOCETHTOOL, &mut about)
    }

    fn numbers<const N: usize>(&self, command: u32) -> Option<[u32; N]> {
        let mut data = Numbers { command, values: [0; N] };
        self.ethtool(&mut data).ok().map(|()| data.values)
    }

    fn number(&self, command: u32) -> Option<u32> {
        self.numbers::<1>(command).map(|[value]| value)
    }

    fn rss(&self) -> Option<RssTable> {
        let ask = |table_len: u32, key_len: u32| {
            let mut answer = Box::new(Rxfh {
                command: ETHTOOL_GRSSH,
                context: 0,
                table_len,
                key_len,
                function: 0,
                transformation: 0,
                reserved: [0; 6],
                data: [0; RSS_WORDS],
            });
            self.ethtool(&mut *answer).ok().map(|()| answer)
        };
        // Sizes of zero ask for the sizes.
        let sizes = ask(0, 0)?;
        let (table, key) = (sizes.table_len as usize, sizes.key_len as usize);
        if table == 0 || table + key.div_ceil(4) > RSS_WORDS {
            return None;
        }
        let answer = ask(sizes.table_len, sizes.key_len)?;
        let key_words = answer.data.get(table..)?.iter().flat_map(|word| word.to_ne_bytes());
        Some(RssTable {
            toeplitz: answer.function & ETH_RSS_HASH_TOP != 0,
            combines_directions: answer.transformation != 0,
            key: key_words.take(key).collect(),
            queues: answer.data.get(..table)?.to_vec(),
        })
    }

    fn driver(&self) -> DriverInfo {
        let mut info =
            DriverInfo { command: ETHTOOL_GDRVINFO, driver: [0; 32], version: [0; 32], rest: [0; 128] };
        // A driver that does not answer leaves the names empty.
        let _ = self.ethtool(&mut info);
        info
    }

    /// `struct ethtool_cmd` has the speed in two halves, in Mbit/s; all ones: unknown.
    fn speed(&self) -> Option<u64> {
        let settings = self.numbers::<10>(ETHTOOL_GSET)?;
        let mbits = (settings[2] & 0xffff) | (settings[6] << 16);
        (mbits != 0 && mbits != u32::MAX && mbits != 0xffff).then_some(u64::from(mbits) * 1_000_000)
    }

    fn offloads(&self) -> Vec<(String, bool)> {
        let single = OFFLOADS.iter().filter_map(|(name, command)| Some((*name, self.number(*command)? != 0)));
        let word = self.number(ETHTOOL_GFLAGS);
        let shared = FLAGS.iter().filter_map(|(name, bit)| Some((*name, word? & bit != 0)));
        single.chain(shared).map(|(name, on)| (name.to_owned(), on)).collect()
    }
}

/// Text up to the first NUL.
fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_has_an_index_an_mtu_and_no_hardware_address() {
        let facts = NicFacts::read("lo").expect("lo");
        assert!(facts.ifindex > 0 && facts.mtu >= 1280);
        assert_eq!(facts.mac, MacAddr([0; 6]));
        assert_eq!(facts.queues(), 1);
        assert!(!facts.kernel.is_empty());
    }

    #[test]
    fn a_name_that_is_no_interface_is_told_with_the_remedy() {
        for name in ["nope0", "", "much-too-long-for-a-name", "nul\0"] {
            let error = NicFacts::read(name).expect_err("no such interface").to_string();
            assert!(error.contains("`ip link` lists them"), "{error}");
        }
    }
}
