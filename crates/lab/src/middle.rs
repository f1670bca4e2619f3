//! The box in between: a bad wire in user space. One thread for each direction reads frames from a
//! packet socket on one interface, lets [`crate::impair`] decide, and writes them to the other.
//!
//! Frames are read and written a batch at a time with recvmmsg(2) and sendmmsg(2), which carries some
//! hundred thousand frames a second. Packet sockets get VLAN tags on the side, so tags do not survive.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::socket::{setsockopt, sockopt};
use socket2::{Domain, Socket, Type};

use crate::Result;
use crate::error::Doing;
use crate::host::inside;
use crate::impair::{Dice, Impairments};

const BATCH: usize = 64;
/// How long a reordered frame waits for others to overtake it when none come.
const HOLD_MS: u8 = 2;
/// Enough for the frames of a few scheduler ticks; each is accounted with its whole buffer.
const RECEIVE_BUFFER_BYTES: usize = 64 << 20;
const ETHERNET_HEADER: usize = 14;

/// What the box did in one direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MiddleCounts {
    /// Frames read.
    pub received: u64,
    /// Frames written, duplicates included.
    pub sent: u64,
    /// Frames lost on purpose.
    pub lost: u64,
    /// Frames held back that others overtook. One that is still held may count though nobody overtakes it in the end.
    pub reordered: u64,
    /// Frames written twice.
    pub duplicated: u64,
    /// Frames with a flipped bit.
    pub corrupted: u64,
    /// Frames the box was too slow for, or that were longer than the MTU, or that could not be written.
    /// Not on purpose: a test of exact counts wants this to be zero.
    pub failed: u64,
}

#[derive(Debug, Default)]
struct Counters {
    received: AtomicU64,
    sent: AtomicU64,
    lost: AtomicU64,
    reordered: AtomicU64,
    duplicated: AtomicU64,
    corrupted: AtomicU64,
    failed: AtomicU64,
}

impl Counters {
    fn read(&self) -> MiddleCounts {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        MiddleCounts {
            received: get(&self.received),
            sent: get(&self.sent),
            lost: get(&self.lost),
            reordered: get(&self.reordered),
            duplicated: get(&self.duplicated),
            corrupted: get(&self.corrupted),
            failed: get(&self.failed),
        }
    }
}

fn add(counter: &AtomicU64, n: usize) {
    counter.fetch_add(n as u64, Ordering::Relaxed);
}

/// A running box. Dropping it cuts the wire.
#[derive(Debug)]
pub struct MiddleBox {
    stop: Arc<EventFd>,
    directions: [Arc<Counters>; 2],
    threads: Vec<JoinHandle<()>>,
}

impl MiddleBox {
    pub(crate) fn start(
        netns: &str,
        near_side: &str,
        far_side: &str,
        mtu: u32,
        outward: Impairments,
        inward: Impairments,
    ) -> Result<MiddleBox> {
        let stop = Arc::new(EventFd::from_flags(EfdFlags::EFD_CLOEXEC).doing(|| "making an eventfd".into())?);
        let mut this = MiddleBox { stop, directions: Default::default(), threads: Vec::new() };
        let ways =
            [(near_side, far_side, outward, "box-outward"), (far_side, near_side, inward, "box-inward")];
        for ((from, to, impairments, name), counters) in ways.into_iter().zip(this.directions.clone()) {
            let sockets = inside(netns, || io::Result::Ok((open(from, true)?, open(to, false)?)))?;
            let (receiver, sender) =
                sockets.doing(|| format!("opening packet sockets on {from} and {to}"))?;
            let mut forwarder = Forwarder {
                receiver,
                sender,
                dice: Dice::new(impairments),
                held: VecDeque::new(),
                counters,
                slots: Slots::new(mtu as usize + ETHERNET_HEADER),
            };
            let stop = Arc::clone(&this.stop);
            let thread =
                std::thread::Builder::new().name(name.into()).spawn(move || forwarder.forward(&stop));
            this.threads.push(thread.doing(|| "starting the box".into())?);
        }
        Ok(this)
    }

    /// What it did to frames from near to far.
    pub fn outward(&self) -> MiddleCounts {
        self.directions[0].read()
    }

    /// What it did to frames from far to near.
    pub fn inward(&self) -> MiddleCounts {
        self.directions[1].read()
    }
}

impl Drop for MiddleBox {
    fn drop(&mut self) {
        let _ = self.stop.write(1);
        for thread in self.threads.drain(..) {
            // A panic of the box was printed where it happened.
            let _ = thread.join();
        }
    }
}

/// Opens a packet socket on an interface of the calling thread's namespace.
fn open(interface: &str, receives: bool) -> io::Result<Socket> {
    // Protocol 0 receives nothing until it is bound: no frame of another interface can slip in.
    let socket = Socket::new(Domain::PACKET, Type::RAW, None)?;
    let index = nix::net::if_::if_nametoindex(interface)?;
    if receives {
        let on: libc::c_int = 1;
        // SAFETY: the option value is a c_int that lives through the call, and its length is given.
        let done = unsafe {
            libc::setsockopt(
                socket.as_raw_fd(),
                libc::SOL_PACKET,
                libc::PACKET_IGNORE_OUTGOING,
                (&raw const on).cast(),
                size_of_val(&on) as libc::socklen_t,
            )
        };
        check(done)?;
        setsockopt(&socket, sockopt::RcvBufForce, &RECEIVE_BUFFER_BYTES)?;
    }
    // SAFETY: sockaddr_ll is plain integers, for which zero is a value.
    let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
    address.sll_family = libc::AF_PACKET as u16;
    address.sll_protocol = if receives { (libc::ETH_P_ALL as u16).to_be() } else { 0 };
    address.sll_ifindex = index as i32;
    // SAFETY: the address lives through the call, and its length is given.
    let done = unsafe {
        libc::bind(socket.as_raw_fd(), (&raw const address).cast(), size_of_val(&address) as libc::socklen_t)
    };
    check(done)?;
    Ok(socket)
}

fn check(returned: libc::c_int) -> io::Result<()> {
    if returned < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Room for one batch of frames.
#[derive(Debug)]
struct Slots {
    bytes: Vec<u8>,
    slot: usize,
    /// The length of each frame, as it was on the wire.
    lens: [usize; BATCH],
}

impl Slots {
    fn new(longest_frame: usize) -> Slots {
        // One byte more than the longest frame tells a longer one from it.
        let slot = longest_frame + 1;
        Slots { bytes: vec![0; slot * BATCH], slot, lens: [0; BATCH] }
    }

    fn frame(&self, i: usize) -> &[u8] {
        &self.bytes[i * self.slot..][..self.lens[i].min(self.slot)]
    }

    fn is_too_long(&self, i: usize) -> bool {
        self.lens[i] >= self.slot
    }

    /// Receives what is there, without waiting.
    fn receive(&mut self, socket: &Socket) -> io::Result<usize> {
        let mut vectors = self
            .bytes
            .chunks_exact_mut(self.slot)
            .map(|slot| libc::iovec { iov_base: slot.as_mut_ptr().cast(), iov_len: slot.len() })
            .collect::<Vec<_>>();
        let mut messages: Vec<libc::mmsghdr> = vectors.iter_mut().map(message).collect();
        let flags = libc::MSG_DONTWAIT | libc::MSG_TRUNC;
        // SAFETY: each message points to one vector and each vector to one slot of `bytes`; all of them
        // live, unmoved and otherwise untouched, through the call.
        let received = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                messages.as_mut_ptr(),
                messages.len() as u32,
                flags as _,
                std::ptr::null_mut(),
            )
        };
        check(received)?;
        for (len, message) in self.lens.iter_mut().zip(&messages[..received as usize]) {
            *len = message.msg_len as usize;
        }
        Ok(received as usize)
    }
}

fn message(vector: &mut libc::iovec) -> libc::mmsghdr {
    // SAFETY: mmsghdr is integers and pointers, for which zero is a value; null says "not given".
    let mut message: libc::mmsghdr = unsafe { std::mem::zeroed() };
    message.msg_hdr.msg_iov = vector;
    message.msg_hdr.msg_iovlen = 1;
    message
}

/// A frame to be written: still in its slot, or taken out because it waits.
enum Outgoing {
    Slot(usize),
    Taken(Vec<u8>),
}

/// A frame that is being overtaken.
struct Held {
    /// How many are still to go first.
    to_go: u32,
    /// One has gone first.
    overtaken: bool,
    frame: Vec<u8>,
}

/// One direction.
struct Forwarder {
    receiver: Socket,
    sender: Socket,
    dice: Dice,
    /// Frames that are being overtaken.
    held: VecDeque<Held>,
    counters: Arc<Counters>,
    slots: Slots,
}

impl Forwarder {
    fn forward(&mut self, stop: &EventFd) {
        loop {
            let timeout = if self.held.is_empty() { PollTimeout::NONE } else { HOLD_MS.into() };
            let mut watched = [
                PollFd::new(self.receiver.as_fd(), PollFlags::POLLIN),
                PollFd::new(stop.as_fd(), PollFlags::POLLIN),
            ];
            let ready = poll(&mut watched, timeout).unwrap_or(0);
            if watched[1].any() == Some(true) {
                return self.count_overruns();
            }
            let mut outgoing = Vec::with_capacity(BATCH + self.held.len());
            if ready == 0 {
                let counters = &self.counters;
                outgoing.extend(self.held.drain(..).map(|held| {
                    // Nobody came to overtake it.
                    if !held.overtaken {
                        counters.reordered.fetch_sub(1, Ordering::Relaxed);
                    }
                    Outgoing::Taken(held.frame)
                }));
            } else {
                // The link going down and the like is told once and passes.
                let received = self.slots.receive(&self.receiver).unwrap_or(0);
                add(&self.counters.received, received);
                for i in 0..received {
                    self.decide(i, &mut outgoing);
                }
                self.count_overruns();
            }
            self.send(&outgoing);
        }
    }

    fn decide(&mut self, i: usize, outgoing: &mut Vec<Outgoing>) {
        let counters = &self.counters;
        if self.slots.is_too_long(i) {
            return add(&counters.failed, 1);
        }
        let fate = self.dice.roll(self.slots.frame(i));
        if fate.lost {
            return add(&counters.lost, 1);
        }
        if let Some(bit) = fate.flipped_bit {
            self.slots.bytes[i * self.slots.slot + bit / 8] ^= 0x80 >> (bit % 8);
            add(&counters.corrupted, 1);
        }
        if fate.duplicated {
            outgoing.push(Outgoing::Slot(i));
            add(&counters.duplicated, 1);
        }
        if fate.overtaken_by > 0 {
            let frame = self.slots.frame(i).to_vec();
            self.held.push_back(Held { to_go: fate.overtaken_by, overtaken: false, frame });
            return add(&counters.reordered, 1);
        }
        outgoing.push(Outgoing::Slot(i));
        // This frame went past those that wait; who has been passed often enough follows it.
        for held in &mut self.held {
            held.to_go -= 1;
            held.overtaken = true;
        }
        let mut waiting = VecDeque::new();
        for held in self.held.drain(..) {
            if held.to_go == 0 {
                outgoing.push(Outgoing::Taken(held.frame));
            } else {
                waiting.push_back(held);
            }
        }
        self.held = waiting;
    }

    fn send(&mut self, outgoing: &[Outgoing]) {
        let mut vectors: Vec<libc::iovec> = outgoing
            .iter()
            .map(|frame| match frame {
                Outgoing::Slot(i) => self.slots.frame(*i),
                Outgoing::Taken(frame) => frame,
            })
            .map(|frame| libc::iovec { iov_base: frame.as_ptr().cast_mut().cast(), iov_len: frame.len() })
            .collect();
        let mut messages: Vec<libc::mmsghdr> = vectors.iter_mut().map(message).collect();
        let mut rest = &mut messages[..];
        while !rest.is_empty() {
            // SAFETY: each message points to one vector and each vector to a frame in `slots` or in
            // `outgoing`, which live through the call; sendmmsg only reads the frames.
            let sent =
                unsafe { libc::sendmmsg(self.sender.as_raw_fd(), rest.as_mut_ptr(), rest.len() as u32, 0) };
            // An error is about the first frame of the rest: it is given up, the others are tried.
            let done = usize::try_from(sent).unwrap_or(0);
            add(&self.counters.sent, done);
            if done == 0 {
                add(&self.counters.failed, 1);
            }
            rest = &mut rest[done.max(1)..];
        }
    }

    /// Frames that found the receive buffer full; the kernel forgets the number when it is read.
    fn count_overruns(&self) {
        let mut stats = libc::tpacket_stats { tp_packets: 0, tp_drops: 0 };
        let mut len = size_of_val(&stats) as libc::socklen_t;
        // SAFETY: `stats` and `len` live through the call, and `len` is the size of `stats`.
        let done = unsafe {
            libc::getsockopt(
                self.receiver.as_raw_fd(),
                libc::SOL_PACKET,
                libc::PACKET_STATISTICS,
                (&raw mut stats).cast(),
                &raw mut len,
            )
        };
        if done == 0 {
            add(&self.counters.failed, stats.tp_drops as usize);
        }
    }
}
