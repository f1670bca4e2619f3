//! One AF_XDP socket on one queue: made, filled, bound and closed, in the order that drivers survive.
//!
//! Configuration types come from xsk-rs; the calls go to libxdp (through libxdp-sys) directly, because
//! xsk-rs hands out the fill ring only after it has bound, and binding with an empty fill ring leaks or
//! hangs on some drivers. Each queue registers the same memory on its own, as drivers expect of one
//! socket a queue; frames may still travel between the queues.

use std::ffi::CString;
use std::io;
use std::os::fd::{BorrowedFd, RawFd};
use std::ptr::NonNull;
use std::sync::Arc;

use libxdp_sys::{xdp_desc, xsk_ring_cons, xsk_ring_prod, xsk_socket, xsk_umem};
use xsk_rs::config::{BindFlags, FrameSize, LibxdpFlags, QueueSize, SocketConfig, UmemConfig};

use crate::error::XdpError;
use crate::ring::{Consumer, Producer, RingMemory};
use crate::umem::UmemArea;

/// Another descriptor continues the packet (`XDP_PKT_CONTD`).
pub(crate) const CONTINUED: u32 = 1;

// <linux/if_xdp.h>
const XDP_STATISTICS: i32 = 7;
const XDP_OPTIONS: i32 = 8;
/// Since Linux 6.17: how many packets one sendto() may send.
const XDP_MAX_TX_SKB_BUDGET: i32 = 9;
const XDP_OPTIONS_ZEROCOPY: u32 = 1;

/// Ring sizes of a socket, each a power of two.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RingSizes {
    pub(crate) rx: u32,
    pub(crate) tx: u32,
    pub(crate) fill: u32,
    pub(crate) completion: u32,
}

/// Settings of kernel busy polling.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BusyPoll {
    /// How long a poll may spin, in microseconds (`SO_BUSY_POLL`).
    pub micros: u32,
    /// Packets handled a call (`SO_BUSY_POLL_BUDGET`).
    pub budget: u32,
}

impl Default for BusyPoll {
    fn default() -> Self {
        BusyPoll { micros: 20, budget: 64 }
    }
}

/// What the kernel counted on one socket (`struct xdp_statistics`).
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct SocketStats {
    pub(crate) rx_dropped: u64,
    pub(crate) rx_invalid_descs: u64,
    pub(crate) tx_invalid_descs: u64,
    pub(crate) rx_ring_full: u64,
    pub(crate) fill_ring_empty: u64,
    pub(crate) tx_ring_empty: u64,
}

/// Registered memory with its fill and completion rings, not bound to a queue yet.
#[derive(Debug)]
pub(crate) struct Registered {
    fill: Producer<u64>,
    completion: Consumer<u64>,
    sizes: RingSizes,
    umem: UmemHandle,
}

/// A socket bound to a queue. Fields are dropped in order: rings, socket, memory.
#[derive(Debug)]
pub(crate) struct BoundSocket {
    pub(crate) fill: Producer<u64>,
    pub(crate) completion: Consumer<u64>,
    pub(crate) rx: Consumer<xdp_desc>,
    pub(crate) tx: Producer<xdp_desc>,
    socket: SocketHandle,
}

impl Registered {
    /// Registers the area with the kernel and makes its fill and completion rings.
    pub(crate) fn new(area: &Arc<UmemArea>, sizes: RingSizes) -> Result<Self, XdpError> {
        let config = UmemConfig::builder()
            .frame_size(frame_size(area)?)
            .fill_queue_size(queue_size("fill ring", sizes.fill)?)
            .comp_queue_size(queue_size("completion ring", sizes.completion)?)
            .build()
            .map_err(|error| bad_frame_size(area, &error))?;
        let mut raw = std::ptr::null_mut();
        let mut rings = Box::new((empty_producer(), empty_consumer()));
        let (base, len) = area.memory();
        // SAFETY: base and len describe the area's mapping, which the handle keeps alive; the ring
        // structures are boxed, so they stay where they are for as long as libxdp refers to them.
        let error = unsafe {
            let config = config.into();
            libxdp_sys::xsk_umem__create(&mut raw, base, len, &mut rings.0, &mut rings.1, &config)
        };
        let raw = NonNull::new(raw).filter(|_| error == 0).ok_or_else(|| {
            match -error {
                // Pinned memory counts against RLIMIT_MEMLOCK for want of CAP_IPC_LOCK; the kernel says only this.
                libc::ENOBUFS => {
                    XdpError::NotPermitted { action: "pinning packet memory beyond `ulimit -l`" }
                }
                errno => XdpError::system(
                    "registering packet memory for AF_XDP",
                    io::Error::from_raw_os_error(errno),
                ),
            }
        })?;
        // SAFETY: libxdp has filled in the rings, they stay mapped until the UMEM is deleted, which the
        // handle does after its rings are gone (field order), and libxdp itself never moves their cursors.
        let (fill, completion) = unsafe { (producer(&rings.0)?, consumer(&rings.1)?) };
        Ok(Registered { fill, completion, sizes, umem: UmemHandle { raw, rings, area: Arc::clone(area) } })
    }

    /// The fill ring, to be filled before binding.
    pub(crate) fn fill_ring(&mut self) -> &mut Producer<u64> {
        &mut self.fill
    }

    /// Binds to a queue, without any program of libxdp's.
    pub(crate) fn bind(self, name: &str, queue: u32, flags: BindFlags) -> Result<BoundSocket, BindError> {
        let Registered { fill, completion, sizes, umem } = self;
        let config = SocketConfig::builder()
            .rx_queue_size(queue_size("RX ring", sizes.rx).map_err(BindError::Other)?)
            .tx_queue_size(queue_size("TX ring", sizes.tx).map_err(BindError::Other)?)
            .libxdp_flags(LibxdpFlags::XSK_LIBXDP_FLAGS_INHIBIT_PROG_LOAD)
            .bind_flags(flags)
            .build();
        let interface = CString::new(name)
            .map_err(|_| BindError::Other(XdpError::NoSuchInterface { name: name.to_owned() }))?;
        let mut raw = std::ptr::null_mut();
        let mut rings = Box::new((empty_consumer(), empty_producer()));
        // SAFETY: the UMEM is alive and not used by another socket, the name ends in NUL, and the ring
        // structures are boxed, as for the UMEM.
        let error = unsafe {
            let (umem, config) = (umem.raw.as_ptr(), config.into());
            let (rx, tx) = (&mut rings.0, &mut rings.1);
            libxdp_sys::xsk_socket__create(&mut raw, interface.as_ptr(), queue, umem, rx, tx, &config)
        };
        let raw = NonNull::new(raw).filter(|_| error == 0).ok_or(BindError::Errno(-error))?;
        let socket = SocketHandle { raw, rings, _umem: umem };
        // SAFETY: as in `new`: mapped until the socket is deleted, which happens after these are gone.
        let rx = unsafe { consumer(&socket.rings.0) }.map_err(BindError::Other)?;
        // SAFETY: likewise.
        let tx = unsafe { producer(&socket.rings.1) }.map_err(BindError::Other)?;
        let bound = BoundSocket { fill, completion, rx, tx, socket };
        // Older kernels have no such option and send 32 packets a call; both are fine.
        let _ = bound.set_option(libc::SOL_XDP, XDP_MAX_TX_SKB_BUDGET, sizes.tx);
        Ok(bound)
    }
}

/// Why binding failed.
#[derive(Debug)]
pub(crate) enum BindError {
    /// The kernel's errno.
    Errno(i32),
    /// Something that has its words already.
    Other(XdpError),
}

impl BoundSocket {
    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        // SAFETY: the descriptor belongs to libxdp's socket, which lives as long as self.
        unsafe { BorrowedFd::borrow_raw(self.raw_fd()) }
    }

    fn raw_fd(&self) -> RawFd {
        // SAFETY: the socket is alive until its handle is dropped.
        unsafe { libxdp_sys::xsk_socket__fd(self.socket.raw.as_ptr()) }
    }

    /// True when the NIC itself reads and writes our memory: what the kernel says, not what was asked.
    pub(crate) fn is_zero_copy(&self) -> io::Result<bool> {
        Ok(self.option::<u32>(XDP_OPTIONS)? & XDP_OPTIONS_ZEROCOPY != 0)
    }

    /// What the kernel counted.
    pub(crate) fn statistics(&self) -> io::Result<SocketStats> {
        self.option(XDP_STATISTICS)
    }

    /// Asks for busy polling. False when the kernel knows nothing of it.
    pub(crate) fn set_busy_poll(&self, busy: BusyPoll) -> bool {
        let all = [
            (libc::SO_PREFER_BUSY_POLL, 1),
            (libc::SO_BUSY_POLL, busy.micros),
            (libc::SO_BUSY_POLL_BUDGET, busy.budget),
        ];
        all.into_iter().all(|(option, value)| self.set_option(libc::SOL_SOCKET, option, value).is_ok())
    }

    /// Has the kernel send what is on the TX ring.
    pub(crate) fn kick_tx(&self) -> io::Result<()> {
        // SAFETY: no data and no address: the call only names the descriptor, which is open.
        let sent = unsafe {
            libc::sendto(self.raw_fd(), std::ptr::null(), 0, libc::MSG_DONTWAIT, std::ptr::null(), 0)
        };
        if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    /// Has the kernel look at the fill ring and the NIC.
    pub(crate) fn kick_rx(&self) -> io::Result<()> {
        let none = std::ptr::null_mut();
        // SAFETY: as in `kick_tx`: nothing is written, no buffer is given.
        let got = unsafe {
            libc::recvfrom(self.raw_fd(), none, 0, libc::MSG_DONTWAIT, none.cast(), std::ptr::null_mut())
        };
        if got < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    fn option<T: Default + Copy>(&self, option: i32) -> io::Result<T> {
        let mut value = T::default();
        let mut len = size_of::<T>() as libc::socklen_t;
        let at = (&raw mut value).cast();
        // SAFETY: the kernel writes at most `len` bytes to `value`; T is a plain C structure of numbers.
        if unsafe { libc::getsockopt(self.raw_fd(), libc::SOL_XDP, option, at, &mut len) } < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(value)
    }

    fn set_option(&self, level: i32, option: i32, value: u32) -> io::Result<()> {
        let len = size_of::<u32>() as libc::socklen_t;
        // SAFETY: the kernel reads four bytes from `value`.
        if unsafe { libc::setsockopt(self.raw_fd(), level, option, (&raw const value).cast(), len) } < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(())
    }
}

/// libxdp's UMEM, deleted at drop, with what it refers to.
#[derive(Debug)]
struct UmemHandle {
    raw: NonNull<xsk_umem>,
    #[expect(dead_code, reason = "libxdp refers to the ring structures until the UMEM is deleted")]
    rings: Box<(xsk_ring_prod, xsk_ring_cons)>,
    #[expect(dead_code, reason = "the kernel uses the memory until the UMEM is deleted")]
    area: Arc<UmemArea>,
}

/// libxdp's socket, deleted at drop before its UMEM.
#[derive(Debug)]
struct SocketHandle {
    raw: NonNull<xsk_socket>,
    rings: Box<(xsk_ring_cons, xsk_ring_prod)>,
    _umem: UmemHandle,
}

// SAFETY: libxdp keeps no state per thread; a handle is used by the one thread that owns it.
unsafe impl Send for UmemHandle {}
// SAFETY: as above.
unsafe impl Send for SocketHandle {}

impl Drop for SocketHandle {
    fn drop(&mut self) {
        // SAFETY: the socket has not been deleted before, and its rings have been dropped (field order).
        unsafe { libxdp_sys::xsk_socket__delete(self.raw.as_ptr()) };
    }
}

impl Drop for UmemHandle {
    fn drop(&mut self) {
        // SAFETY: no socket uses the UMEM any more: SocketHandle deletes its own first.
        let error = unsafe { libxdp_sys::xsk_umem__delete(self.raw.as_ptr()) };
        if error != 0 {
            tracing::warn!(errno = -error, "packet memory is still in use by the kernel");
        }
    }
}

fn frame_size(area: &UmemArea) -> Result<FrameSize, XdpError> {
    let size = u32::try_from(area.chunk_size()).unwrap_or(u32::MAX);
    FrameSize::try_from(size).map_err(|error| bad_frame_size(area, &error))
}

fn bad_frame_size(area: &UmemArea, error: &dyn std::error::Error) -> XdpError {
    tracing::debug!(%error, "frame size refused");
    let remedy = "AF_XDP takes 2048 or 4096 bytes on pages of 4096";
    XdpError::BadConfig { setting: "the frame size", value: area.chunk_size().to_string(), remedy }
}

fn queue_size(setting: &'static str, size: u32) -> Result<QueueSize, XdpError> {
    let remedy = "a ring's size is a power of two";
    QueueSize::try_from(size).map_err(|_| XdpError::BadConfig { setting, value: size.to_string(), remedy })
}

fn empty_producer() -> xsk_ring_prod {
    // SAFETY: the structure holds numbers and pointers, for which zero is a value ("not mapped").
    unsafe { std::mem::zeroed() }
}

fn empty_consumer() -> xsk_ring_cons {
    // SAFETY: as above.
    unsafe { std::mem::zeroed() }
}

fn unmapped() -> XdpError {
    XdpError::system("mapping a ring", io::ErrorKind::OutOfMemory.into())
}

/// # Safety
/// As for [`Producer::new`].
unsafe fn producer<T: Copy>(ring: &xsk_ring_prod) -> Result<Producer<T>, XdpError> {
    let at = |pointer: *mut u32| NonNull::new(pointer.cast()).ok_or_else(unmapped);
    let memory = RingMemory {
        producer: at(ring.producer)?,
        consumer: at(ring.consumer)?,
        flags: at(ring.flags)?,
        entries: NonNull::new(ring.ring.cast()).ok_or_else(unmapped)?,
        size: ring.size,
    };
    // SAFETY: promised by the caller; libxdp's sizes are powers of two.
    Ok(unsafe { Producer::new(memory) })
}

/// # Safety
/// As for [`Consumer::new`].
unsafe fn consumer<T: Copy>(ring: &xsk_ring_cons) -> Result<Consumer<T>, XdpError> {
    let at = |pointer: *mut u32| NonNull::new(pointer.cast()).ok_or_else(unmapped);
    let memory = RingMemory {
        producer: at(ring.producer)?,
        consumer: at(ring.consumer)?,
        flags: at(ring.flags)?,
        entries: NonNull::new(ring.ring.cast()).ok_or_else(unmapped)?,
        size: ring.size,
    };
    // SAFETY: promised by the caller; libxdp's sizes are powers of two.
    Ok(unsafe { Consumer::new(memory) })
}
