//! One ICMP echo from a host's kernel, without a program that may not be installed.

use std::io;
use std::mem::MaybeUninit;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, Socket, Type};

use crate::Result;
use crate::error::Doing;
use crate::host::Host;

const PAYLOAD: &[u8] = b"an echo of the lab";
const HEADER_LEN: usize = 8;

impl Host {
    /// Sends echo requests to an address, twice a second, until the first is answered.
    ///
    /// # Errors
    /// [`LabError::Io`](crate::LabError::Io), of kind `TimedOut` when none is.
    pub fn ping(&self, to: IpAddr, patience: Duration) -> Result<()> {
        self.run(|| echo(to, patience))?.doing(|| format!("pinging {to} from {}", self.netns()))
    }
}

fn echo(to: IpAddr, patience: Duration) -> io::Result<()> {
    // Echo request and reply: RFC 792 and RFC 4443, section 4.
    let (domain, protocol, request, reply) = match to {
        IpAddr::V4(_) => (Domain::IPV4, Protocol::ICMPV4, 8, 0),
        IpAddr::V6(_) => (Domain::IPV6, Protocol::ICMPV6, 128, 129),
    };
    let socket = Socket::new(domain, Type::RAW, Some(protocol))?;
    socket.set_read_timeout(Some(Duration::from_millis(500)))?;
    socket.connect(&SocketAddr::new(to, 0).into())?;
    let identifier = (std::process::id() as u16).to_be_bytes();
    let deadline = Instant::now() + patience;
    let mut sequence = 0_u16;
    while Instant::now() < deadline {
        sequence += 1;
        let mut message = vec![request, 0, 0, 0];
        message.extend(identifier);
        message.extend(sequence.to_be_bytes());
        message.extend(PAYLOAD);
        if to.is_ipv4() {
            // The kernel fills in that of ICMPv6.
            let sum = checksum(&message);
            message[2..4].copy_from_slice(&sum.to_be_bytes());
        }
        // Nobody may answer ARP yet, or ever.
        if socket.send(&message).is_err() {
            std::thread::sleep(Duration::from_millis(20));
            continue;
        }
        while let Some(packet) = receive(&socket) {
            // A raw socket of IPv4 shows the IP header as well.
            let start = if to.is_ipv4() { usize::from(packet.first().unwrap_or(&0) & 15) * 4 } else { 0 };
            let message = packet.get(start..).unwrap_or_default();
            let ours = message.get(4..6) == Some(&identifier[..]);
            if message.first() == Some(&reply) && ours && message.get(HEADER_LEN..) == Some(PAYLOAD) {
                return Ok(());
            }
        }
    }
    Err(io::ErrorKind::TimedOut.into())
}

/// The next packet, `None` when it takes too long.
fn receive(socket: &Socket) -> Option<Vec<u8>> {
    let mut buffer = [MaybeUninit::<u8>::uninit(); 256];
    let len = socket.recv(&mut buffer).ok()?;
    // SAFETY: recv has written the first `len` bytes.
    Some(buffer[..len].iter().map(|byte| unsafe { byte.assume_init() }).collect())
}

/// RFC 1071.
fn checksum(message: &[u8]) -> u16 {
    let mut sum = 0_u32;
    for pair in message.chunks(2) {
        sum += u32::from(u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)]));
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}
