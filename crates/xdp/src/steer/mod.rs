//! Loads `bpf/steer.bpf.c`, attaches it to an interface and tells it what the engine owns.
//!
//! The program hangs on a `bpf_link` whose only descriptor is held here, so it goes when the
//! [`Steering`] is dropped, and also when the process dies without saying goodbye.

mod ports;
mod strays;

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::ops::RangeInclusive;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::sync::{Mutex, MutexGuard, PoisonError};

use libbpf_rs::{ErrorKind, MapCore, MapFlags, MapHandle, Object, ObjectBuilder, ProgramInput};

use crate::device::Attached;
use crate::error::XdpError;
use crate::nic::{self, NicFacts};
use ports::PortBitmaps;
pub use strays::Strays;

/// Constants and cause names of `bpf/steer.h`.
mod layout {
    #![allow(dead_code, reason = "not every limit of the header concerns the loader")]
    include!(concat!(env!("OUT_DIR"), "/steer_h.rs"));
}
pub(crate) use layout::*;

/// The compiled program. ELF structures are read in place, hence the alignment.
#[repr(C, align(8))]
struct Aligned<Bytes: ?Sized>(Bytes);
static PROGRAM: &Aligned<[u8]> = &Aligned(*include_bytes!(concat!(env!("OUT_DIR"), "/steer.bpf.o")));

/// Where the steering program is asked to run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum AttachMode {
    /// In the driver where it can, else in the stack.
    #[default]
    Auto,
    /// In the driver or not at all.
    Native,
    /// In the stack.
    Generic,
}

/// A protocol whose ports can be owned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

/// The loaded program's maps, without an attachment. The tests run the program from here.
#[derive(Debug)]
pub struct SteeringProgram {
    object: Object,
    xsks: MapHandle,
    owned: MapHandle,
    counters: MapHandle,
    strays: MapHandle,
    strays_are_read: MapHandle,
    book: Mutex<Book>,
}

/// Which address is owned how.
#[derive(Debug)]
struct Book {
    owners: HashMap<IpAddr, Owner>,
    bitmaps: PortBitmaps,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Owner {
    Whole,
    Ports { slot: u32 },
}

impl SteeringProgram {
    /// Loads the program and its maps into the kernel.
    ///
    /// Errors: [`XdpError::NotPermitted`], or [`XdpError::Program`] with the verifier's reason.
    pub fn load() -> Result<Self, XdpError> {
        let refused = |error: libbpf_rs::Error| match error.kind() {
            ErrorKind::PermissionDenied => XdpError::NotPermitted { action: "loading the steering program" },
            _ => XdpError::Program { reason: format!("{error:#}") },
        };
        route_libbpf_messages();
        let object =
            ObjectBuilder::default().open_memory(&PROGRAM.0).and_then(|open| open.load()).map_err(refused)?;
        let map = |name: &str| -> Result<MapHandle, XdpError> {
            let found = object.maps().find(|map| map.name() == name);
            let found =
                found.ok_or_else(|| XdpError::Program { reason: format!("it has no map `{name}`") })?;
            MapHandle::try_from(&found).map_err(refused)
        };
        let (xsks, owned, counters, ports) = (map("xsks")?, map("owned")?, map("counters")?, map("ports")?);
        let (strays, strays_are_read) = (map("strays")?, map("strays_are_read")?);
        let bitmaps = PortBitmaps::map(ports.as_fd())?;
        let book = Mutex::new(Book { owners: HashMap::new(), bitmaps });
        Ok(SteeringProgram { object, xsks, owned, counters, strays, strays_are_read, book })
    }

    /// What the program decides about one Ethernet frame that arrives on queue 0, without any NIC
    /// (`BPF_PROG_TEST_RUN`): an XDP action. The verdict is counted like any other.
    pub fn verdict(&self, frame: &[u8]) -> Result<u32, XdpError> {
        let refused = |error: libbpf_rs::Error| XdpError::Program { reason: format!("{error:#}") };
        let mut programs = self.object.progs_mut();
        let program = programs.find(|program| program.name() == "steer").ok_or_else(no_program)?;
        let input = ProgramInput { data_in: Some(frame), ..Default::default() };
        program.test_run(input).map(|output| output.return_value).map_err(refused)
    }

    fn program_fd(&self) -> Result<RawFd, XdpError> {
        let program = self.object.progs().find(|program| program.name() == "steer");
        program.map(|program| program.as_fd().as_raw_fd()).ok_or_else(no_program)
    }

    /// Sends everything for this address to the engine.
    pub fn own_address(&self, address: IpAddr) -> Result<(), XdpError> {
        let mut book = self.book();
        match book.owners.get(&address) {
            Some(Owner::Whole) => return Ok(()),
            Some(Owner::Ports { .. }) => return Err(XdpError::OwnedOtherwise { address }),
            None => {}
        }
        self.write_owner(address, OWN_ADDRESS, 0)?;
        book.owners.insert(address, Owner::Whole);
        Ok(())
    }

    /// Gives an address back, whether it was owned whole or by ports. Unknown addresses are no error.
    pub fn disown_address(&self, address: IpAddr) -> Result<(), XdpError> {
        let mut book = self.book();
        let Some(owner) = book.owners.remove(&address) else { return Ok(()) };
        let result = self.erase_owner(address);
        if let Owner::Ports { slot } = owner {
            book.bitmaps.free(slot);
        }
        result
    }

    /// Sends these ports of an address that the kernel keeps to the engine. Cheap enough for a port of
    /// each connection: apart from the first port of an address it sets bits in mapped memory.
    pub fn own_ports(
        &self,
        address: IpAddr,
        protocol: Protocol,
        ports: RangeInclusive<u16>,
    ) -> Result<(), XdpError> {
        let mut book = self.book();
        let slot = match book.owners.get(&address) {
            Some(Owner::Whole) => return Err(XdpError::OwnedOtherwise { address }),
            Some(Owner::Ports { slot }) => *slot,
            None => {
                let kind = "can be shared by ports";
                let full = XdpError::TooManyAddresses { address, limit: MAX_SHARED, kind };
                let slot = book.bitmaps.allocate().ok_or(full)?;
                if let Err(error) = self.write_owner(address, SHARED_PORTS, slot) {
                    book.bitmaps.free(slot);
                    return Err(error);
                }
                book.owners.insert(address, Owner::Ports { slot });
                slot
            }
        };
        book.bitmaps.set(slot, protocol, ports, true);
        Ok(())
    }

    /// Gives ports back. The address itself goes with its last port. Unknown ports are no error.
    pub fn disown_ports(
        &self,
        address: IpAddr,
        protocol: Protocol,
        ports: RangeInclusive<u16>,
    ) -> Result<(), XdpError> {
        let mut book = self.book();
        let Some(Owner::Ports { slot }) = book.owners.get(&address).copied() else { return Ok(()) };
        book.bitmaps.set(slot, protocol, ports, false);
        if book.bitmaps.is_empty(slot) {
            book.owners.remove(&address);
            book.bitmaps.free(slot);
            self.erase_owner(address)?;
        }
        Ok(())
    }

    /// Verdicts since loading, by cause, summed over the CPUs. All causes are listed, also those at zero.
    pub fn counters(&self) -> Vec<(String, u64)> {
        let sum = |cause: u32| -> u64 {
            let per_cpu = self.counters.lookup_percpu(&cause.to_ne_bytes(), MapFlags::ANY);
            let per_cpu = per_cpu.ok().flatten().unwrap_or_default();
            per_cpu
                .iter()
                .filter_map(|value| Some(u64::from_ne_bytes(value.get(..8)?.try_into().ok()?)))
                .sum()
        };
        CAUSES.iter().zip(0u32..).map(|(name, cause)| ((*name).to_owned(), sum(cause))).collect()
    }

    /// Lets a bound socket receive what arrives on a queue. The kernel forgets it when the socket closes.
    pub fn set_socket(&self, queue: u32, socket: BorrowedFd<'_>) -> Result<(), XdpError> {
        self.xsks
            .update(&queue.to_ne_bytes(), &socket.as_raw_fd().to_ne_bytes(), MapFlags::ANY)
            .map_err(|error| refused_map("entering a socket into the steering program's map", error))
    }

    /// From here on frames for the engine that arrive on queues without a socket are kept, for whoever reads them.
    pub fn strays(&self) -> Result<Strays, XdpError> {
        self.strays_are_read
            .update(&0u32.to_ne_bytes(), &1u32.to_ne_bytes(), MapFlags::ANY)
            .map_err(|error| refused_map("asking for frames of queues without a socket", error))?;
        let refused = |error| refused_map("reading frames of queues without a socket", error);
        Ok(Strays::new(MapHandle::try_from(&self.strays).map_err(refused)?))
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_owner(&self, address: IpAddr, mode: u32, slot: u32) -> Result<(), XdpError> {
        let mut value = [0; 8];
        value[..4].copy_from_slice(&mode.to_ne_bytes());
        value[4..].copy_from_slice(&slot.to_ne_bytes());
        self.owned.update(&key(address), &value, MapFlags::ANY).map_err(|error| {
            if error.kind() == ErrorKind::Other {
                XdpError::TooManyAddresses { address, limit: MAX_OWNED, kind: "can be owned" }
            } else {
                refused_map("entering an address into the steering program's map", error)
            }
        })
    }

    fn erase_owner(&self, address: IpAddr) -> Result<(), XdpError> {
        self.owned
            .delete(&key(address))
            .map_err(|error| refused_map("removing an address from the steering program's map", error))
    }
}

fn no_program() -> XdpError {
    XdpError::Program { reason: "it has no program `steer`".to_owned() }
}

/// libbpf writes to stderr unless told otherwise.
pub(crate) fn route_libbpf_messages() {
    libbpf_rs::set_print(Some((libbpf_rs::PrintLevel::Info, |level, message| {
        tracing::debug!(?level, "libbpf: {}", message.trim_end());
    })));
}

/// IPv4 addresses are kept as IPv4-mapped IPv6 addresses (RFC 4291 §2.5.5.2).
fn key(address: IpAddr) -> [u8; 16] {
    let mapped: Ipv6Addr = match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped(),
        IpAddr::V6(v6) => v6,
    };
    mapped.octets()
}

fn refused_map(action: &'static str, error: libbpf_rs::Error) -> XdpError {
    XdpError::System { action: action.to_owned(), source: std::io::Error::other(format!("{error:#}")) }
}

/// The steering program, attached to one interface for as long as this lives.
#[derive(Debug)]
pub struct Steering {
    _link: OwnedFd,
    program: SteeringProgram,
    interface: String,
    mode: Attached,
}

impl std::ops::Deref for Steering {
    type Target = SteeringProgram;

    fn deref(&self) -> &SteeringProgram {
        &self.program
    }
}

impl Steering {
    /// Loads the program and attaches it to the interface called `name` in this thread's network
    /// namespace. It owns nothing at first, so all traffic passes.
    ///
    /// Errors name the remedy: no such interface, not permitted, another program attached, no native XDP.
    pub fn attach(name: &str, mode: AttachMode) -> Result<Self, XdpError> {
        let facts = NicFacts::read(name)?;
        if let Some(other) = &facts.program {
            return Err(occupied(name, other));
        }
        let program = SteeringProgram::load()?;
        let fd = program.program_fd()?;
        let native = || link(fd, facts.ifindex, libbpf_sys::XDP_FLAGS_DRV_MODE);
        let generic = || link(fd, facts.ifindex, libbpf_sys::XDP_FLAGS_SKB_MODE);
        let attempt = match mode {
            AttachMode::Native => native().map(|link| (link, Attached::Native)),
            AttachMode::Generic => generic().map(|link| (link, Attached::Generic)),
            AttachMode::Auto => native().map(|link| (link, Attached::Native)).or_else(|error| {
                if error == libc::EBUSY || error == libc::EEXIST || error == libc::EPERM {
                    return Err(error);
                }
                generic().map(|link| (link, Attached::Generic)).map_err(|_| error)
            }),
        };
        let (link, mode) = attempt.map_err(|errno| attach_error(errno, &facts))?;
        tracing::debug!(interface = name, %mode, "steering program attached");
        Ok(Steering { _link: link, program, interface: name.to_owned(), mode })
    }

    /// Where the program runs.
    pub fn mode(&self) -> Attached {
        self.mode
    }

    /// The interface it is attached to.
    pub fn interface(&self) -> &str {
        &self.interface
    }
}

/// Attaches by a link. The error is an errno.
fn link(program: RawFd, ifindex: u32, flags: u32) -> Result<OwnedFd, i32> {
    let options = libbpf_sys::bpf_link_create_opts {
        sz: size_of::<libbpf_sys::bpf_link_create_opts>() as libbpf_sys::size_t,
        flags,
        ..Default::default()
    };
    let ifindex = i32::try_from(ifindex).map_err(|_| libc::ENODEV)?;
    // SAFETY: the options live through the call and carry their own size; the rest are plain numbers.
    let fd = unsafe { libbpf_sys::bpf_link_create(program, ifindex, libbpf_sys::BPF_XDP, &options) };
    if fd < 0 {
        return Err(-fd);
    }
    // SAFETY: the descriptor is new and nobody else's.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn occupied(name: &str, other: &nic::XdpProgram) -> XdpError {
    XdpError::OtherProgram { name: name.to_owned(), program: other.name.clone(), id: other.id }
}

fn attach_error(errno: i32, facts: &NicFacts) -> XdpError {
    let name = facts.name.clone();
    match errno {
        // Lost a race: somebody attached between our look and our attempt.
        libc::EBUSY | libc::EEXIST => match nic::attached_program(facts.ifindex) {
            Some(other) => occupied(&name, &other),
            None => {
                XdpError::system("attaching the steering program", std::io::Error::from_raw_os_error(errno))
            }
        },
        libc::EOPNOTSUPP => XdpError::NoNativeXdp { name, driver: facts.driver.clone() },
        libc::ERANGE | libc::EINVAL | libc::EMSGSIZE => XdpError::MtuTooLarge { name, mtu: facts.mtu },
        _ => XdpError::system("attaching the steering program", std::io::Error::from_raw_os_error(errno)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_are_named_once_and_say_what_happens() {
        for (at, cause) in CAUSES.iter().enumerate() {
            assert!(["redirect_", "pass_", "drop_"].iter().any(|verb| cause.starts_with(verb)), "{cause}");
            assert!(!CAUSES[..at].contains(cause), "{cause} twice");
        }
    }

    #[test]
    fn v4_addresses_are_mapped_into_v6() {
        let key = key("198.18.0.1".parse().expect("address"));
        assert_eq!(key, [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 198, 18, 0, 1]);
    }
}
