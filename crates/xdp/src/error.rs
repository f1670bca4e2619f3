//! What can go wrong when a NIC is opened, each with what to do about it.

use std::io;
use std::net::IpAddr;

/// An error of the steering program, the sockets or the NIC's facts.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum XdpError {
    /// The process may not load BPF programs or open AF_XDP sockets.
    #[error(
        "{action} is not permitted: run as root (sudo), or grant the capabilities cap_net_admin, cap_net_raw, cap_bpf, cap_perfmon and cap_ipc_lock"
    )]
    NotPermitted {
        /// What was refused.
        action: &'static str,
    },
    /// No interface of that name in the current network namespace.
    #[error(
        "no network interface is called `{name}` here: `ip link` lists them; one in another namespace needs --netns"
    )]
    NoSuchInterface {
        /// The name asked for.
        name: String,
    },
    /// The interface is administratively down, or has no carrier.
    #[error(
        "{name} is down ({reason}): bring it up with `ip link set {name} up` and check its peer or cable"
    )]
    LinkDown {
        /// The interface.
        name: String,
        /// What is missing.
        reason: &'static str,
    },
    /// Another XDP program sits on the interface.
    #[error(
        "another XDP program, `{program}` (id {id}), is attached to {name}: stop what uses it, or detach it with `ip link set {name} xdp off`"
    )]
    OtherProgram {
        /// The interface.
        name: String,
        /// The program's name in the kernel.
        program: String,
        /// Its id, as bpftool shows it.
        id: u32,
    },
    /// The driver cannot run XDP itself.
    #[error("the driver {driver} of {name} has no native XDP: use --xdp generic or auto")]
    NoNativeXdp {
        /// The interface.
        name: String,
        /// Its driver.
        driver: String,
    },
    /// Native XDP refuses the MTU.
    #[error("{name} cannot run XDP at its MTU of {mtu}: lower it (`ip link set {name} mtu 3498` is safe)")]
    MtuTooLarge {
        /// The interface.
        name: String,
        /// Its MTU.
        mtu: u32,
    },
    /// The interface has fewer queues.
    #[error(
        "{name} has no queue {queue}: its queues are 0 to {last}; `ethtool -L {name}` changes their number"
    )]
    QueueOutOfRange {
        /// The interface.
        name: String,
        /// The queue asked for.
        queue: u32,
        /// The last queue there is.
        last: u32,
    },
    /// Another socket has the queue.
    #[error(
        "queue {queue} of {name} already has an AF_XDP socket: stop the program that uses it, or choose another queue"
    )]
    QueueBusy {
        /// The interface.
        name: String,
        /// The queue.
        queue: u32,
    },
    /// The driver cannot read and write user memory.
    #[error("the driver {driver} of {name} cannot do zero-copy on queue {queue}: use --mode copy or auto")]
    NoZeroCopy {
        /// The interface.
        name: String,
        /// Its driver.
        driver: String,
        /// The queue.
        queue: u32,
    },
    /// The kernel or the driver cannot spread a packet over several frames.
    #[error(
        "{name} cannot receive its MTU of {mtu} in frames of {frame_size} bytes: packets over several frames need Linux 6.6 and a driver that knows them; lower the MTU (`ip link set {name} mtu {fits}`)"
    )]
    NoMultiBuffer {
        /// The interface.
        name: String,
        /// Its MTU.
        mtu: u32,
        /// Bytes of a frame.
        frame_size: u32,
        /// The largest MTU that fits one frame.
        fits: u32,
    },
    /// A setting that cannot work.
    #[error("{setting} cannot be {value}: {remedy}")]
    BadConfig {
        /// Which setting.
        setting: &'static str,
        /// Its value.
        value: String,
        /// What would do.
        remedy: &'static str,
    },
    /// The packet memory would be larger than what is free.
    #[error(
        "{frames} frames need {} MiB of packet memory, and {} MiB are available: ask for fewer frames, or use fewer workers",
        .wanted >> 20, .available >> 20
    )]
    NoMemory {
        /// Frames asked for.
        frames: u64,
        /// Bytes that they take.
        wanted: u64,
        /// Bytes that the kernel could give.
        available: u64,
    },
    /// An address is already owned in the other way.
    #[error(
        "{address} is already owned in another way: give it up first; an address is either the engine's own or shared by ports"
    )]
    OwnedOtherwise {
        /// The address.
        address: IpAddr,
    },
    /// No room for another owned address.
    #[error("no room to own {address}: at most {limit} addresses {kind}")]
    TooManyAddresses {
        /// The address.
        address: IpAddr,
        /// How many there can be.
        limit: u32,
        /// Of which kind.
        kind: &'static str,
    },
    /// The kernel refused the steering program.
    #[error(
        "the kernel refused the steering program: {reason} (Linux 6.6 or newer with CONFIG_XDP_SOCKETS is needed)"
    )]
    Program {
        /// What libbpf said.
        reason: String,
    },
    /// The interface cannot be sent to by the pump.
    #[error("the pump cannot send by {name}: {reason}; or use --tx ring")]
    NoPump {
        /// The interface.
        name: String,
        /// What is in the way, and what to do about it.
        reason: String,
    },
    /// The kernel refused the pump's program.
    #[error("the pump cannot run on this kernel: {reason}; use --tx ring")]
    PumpProgram {
        /// What the kernel or libbpf said.
        reason: String,
    },
    /// Another refusal by the kernel.
    #[error("{action}: {source}")]
    System {
        /// What was being done.
        action: String,
        /// What the kernel said.
        source: io::Error,
    },
}

impl XdpError {
    /// Wraps a refusal, telling the lack of permission from other causes.
    pub(crate) fn system(action: &'static str, source: io::Error) -> Self {
        match source.raw_os_error() {
            Some(libc::EPERM | libc::EACCES) => XdpError::NotPermitted { action },
            _ => XdpError::System { action: action.to_owned(), source },
        }
    }
}
