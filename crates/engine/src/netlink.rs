//! A blocking rtnetlink socket: requests with their acknowledgement, dumps, and multicast notifications.
//!
//! Only the mechanics are here: sequence numbers, multipart answers, timeouts, errors as `std::io::Error`
//! with the kernel's errno. What the messages mean is the business of [`crate::kernel`]. The socket belongs
//! to the network namespace of the thread that opened it.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{Socket, SocketAddr};
use socket2::SockRef;

/// Largest datagram the kernel sends: it sizes dumps by the reader's buffer, up to 32 KiB.
const BUFFER_LEN: usize = 64 << 10;
/// How long the kernel may take to answer; it answers at once, so this only ends a hang.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// A dump during which the tables changed is tried again this often.
const DUMP_ATTEMPTS: usize = 5;
/// The kernel's NLM_F_DUMP_INTR.
const DUMP_INTERRUPTED: u16 = 0x10;
/// Room for notifications while the reader is busy.
const NOTIFICATION_BUFFER: usize = 1 << 20;

/// A socket of the NETLINK_ROUTE family.
pub(crate) struct RouteSocket {
    socket: Socket,
    sequence: u32,
    buffer: Vec<u8>,
}

impl std::fmt::Debug for RouteSocket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RouteSocket").field("sequence", &self.sequence).finish_non_exhaustive()
    }
}

impl AsFd for RouteSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl RouteSocket {
    /// A socket for requests.
    pub(crate) fn open() -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        SockRef::from(&socket).set_read_timeout(Some(ANSWER_TIMEOUT))?;
        Ok(RouteSocket { socket, sequence: 0, buffer: Vec::with_capacity(BUFFER_LEN) })
    }

    /// A socket that receives the notifications of these multicast groups (RTNLGRP_*).
    pub(crate) fn subscribe(groups: &[u32]) -> io::Result<Self> {
        let this = Self::open()?;
        for &group in groups {
            this.socket.add_membership(group)?;
        }
        // Larger than rmem_max only with CAP_NET_ADMIN, which the engine has; otherwise the default stays.
        let _ = SockRef::from(&this.socket).set_recv_buffer_size(NOTIFICATION_BUFFER);
        Ok(this)
    }

    /// Sends a request and waits for the kernel's verdict.
    pub(crate) fn request(&mut self, message: RouteNetlinkMessage, flags: u16) -> io::Result<()> {
        self.send(message, NLM_F_ACK | flags)?;
        self.answers(|_| ())
    }

    /// Sends a request for one object and returns what came before the acknowledgement.
    pub(crate) fn get(&mut self, message: RouteNetlinkMessage) -> io::Result<Vec<RouteNetlinkMessage>> {
        self.send(message, NLM_F_ACK)?;
        let mut found = Vec::new();
        self.answers(|m| found.push(m))?;
        Ok(found)
    }

    /// Reads a whole table; once more if it changed meanwhile.
    pub(crate) fn dump(&mut self, message: &RouteNetlinkMessage) -> io::Result<Vec<RouteNetlinkMessage>> {
        let mut last = io::Error::from(io::ErrorKind::Interrupted);
        for _ in 0..DUMP_ATTEMPTS {
            self.send(message.clone(), NLM_F_DUMP)?;
            let mut found = Vec::new();
            match self.answers(|m| found.push(m)) {
                Ok(()) => return Ok(found),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => last = e,
                Err(e) => return Err(e),
            }
        }
        Err(last)
    }

    /// Waits up to `timeout` for notifications and appends them; returns whether there were any. No timeout
    /// means for ever. ENOBUFS means that some were lost and the tables have to be read again.
    pub(crate) fn notifications(
        &mut self,
        timeout: Option<Duration>,
        out: &mut VecDeque<RouteNetlinkMessage>,
    ) -> io::Result<bool> {
        let mut flags = 0;
        match timeout {
            Some(timeout) if timeout.is_zero() => flags = libc::MSG_DONTWAIT,
            // The kernel takes a timeout of zero microseconds for none at all.
            Some(timeout) => {
                let timeout = timeout.max(Duration::from_micros(1));
                SockRef::from(&self.socket).set_read_timeout(Some(timeout))?;
            }
            None => SockRef::from(&self.socket).set_read_timeout(None)?,
        }
        let before = out.len();
        match self.receive(flags) {
            Ok(()) => {}
            Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {
                return Ok(false);
            }
            Err(e) => return Err(e),
        }
        for_each_message(&self.buffer, |message| {
            if let NetlinkPayload::InnerMessage(inner) = message.payload {
                out.push_back(inner);
            }
            Ok(true)
        })?;
        Ok(out.len() > before)
    }

    fn send(&mut self, message: RouteNetlinkMessage, flags: u16) -> io::Result<()> {
        self.sequence = self.sequence.wrapping_add(1);
        let mut header = NetlinkHeader::default();
        header.flags = NLM_F_REQUEST | flags;
        header.sequence_number = self.sequence;
        let mut message = NetlinkMessage::new(header, NetlinkPayload::InnerMessage(message));
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        self.socket.send(&bytes, 0).map(drop)
    }

    /// Reads datagrams until the answer to the last request is complete.
    fn answers(&mut self, mut found: impl FnMut(RouteNetlinkMessage)) -> io::Result<()> {
        let mut interrupted = false;
        let mut done = false;
        while !done {
            self.receive(0)?;
            let sequence = self.sequence;
            for_each_message(&self.buffer, |message| {
                if message.header.sequence_number != sequence {
                    return Ok(true);
                }
                interrupted |= message.header.flags & DUMP_INTERRUPTED != 0;
                match message.payload {
                    NetlinkPayload::InnerMessage(inner) => found(inner),
                    NetlinkPayload::Error(error) if error.code.is_some() => return Err(error.to_io()),
                    NetlinkPayload::Error(_) | NetlinkPayload::Done(_) => done = true,
                    _ => {}
                }
                Ok(!done)
            })?;
        }
        if interrupted { Err(io::ErrorKind::Interrupted.into()) } else { Ok(()) }
    }

    fn receive(&mut self, flags: i32) -> io::Result<()> {
        loop {
            self.buffer.clear();
            match self.socket.recv(&mut self.buffer, flags) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
                Ok(len) if len > self.buffer.len() => {
                    return Err(io::Error::new(io::ErrorKind::InvalidData, "netlink datagram too long"));
                }
                Ok(_) => return Ok(()),
            }
        }
    }
}

/// Calls `each` for every message of a datagram until it returns false. Messages that cannot be read are
/// skipped: a newer kernel may send attributes that this build does not know.
fn for_each_message(
    mut bytes: &[u8],
    mut each: impl FnMut(NetlinkMessage<RouteNetlinkMessage>) -> io::Result<bool>,
) -> io::Result<()> {
    const HEADER_LEN: usize = 16;
    while let Some(length) = bytes.first_chunk::<4>() {
        let length = u32::from_ne_bytes(*length) as usize;
        if length < HEADER_LEN || length > bytes.len() {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "netlink message of impossible length"));
        }
        match NetlinkMessage::deserialize(&bytes[..length]) {
            Ok(message) => {
                if !each(message)? {
                    return Ok(());
                }
            }
            Err(error) => tracing::debug!(%error, "skipped a netlink message"),
        }
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_of_impossible_length_ends_the_reading() {
        for length in [0u32, 15, 64] {
            let mut bytes = [0u8; 32];
            bytes[..4].copy_from_slice(&length.to_ne_bytes());
            assert!(for_each_message(&bytes, |_| Ok(true)).is_err());
        }
        assert!(for_each_message(&[1, 2, 3], |_| Ok(true)).is_ok());
    }
}
