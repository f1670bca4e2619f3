//! The kernel's own stack as a [`Network`]: the yardstick for side-by-side runs, and what the tests
//! of the protocols run on.

use std::io::{self, Read, Write};
use std::mem::MaybeUninit;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsRawFd;
use std::time::Duration;

use socket2::SockRef;

use crate::net::{Listener, Network, Stream, Udp};

/// Sockets of the Linux kernel, in the network namespace of the calling thread.
#[derive(Clone, Copy, Debug, Default)]
pub struct KernelNetwork;

impl Network for KernelNetwork {
    fn connect(&self, addr: SocketAddr, timeout: Duration) -> io::Result<Box<dyn Stream>> {
        let stream = TcpStream::connect_timeout(&addr, timeout)?;
        stream.set_nodelay(true)?;
        Ok(Box::new(KernelStream(stream)))
    }

    fn listen(&self, local: SocketAddr) -> io::Result<Box<dyn Listener>> {
        Ok(Box::new(KernelListener(TcpListener::bind(local)?)))
    }

    fn udp(&self, local: SocketAddr) -> io::Result<Box<dyn Udp>> {
        Ok(Box::new(KernelUdp(UdpSocket::bind(local)?)))
    }

    fn local_ip_for(&self, peer: IpAddr) -> io::Result<IpAddr> {
        let any: IpAddr = match peer {
            IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        // Connecting a UDP socket sends nothing: the kernel only looks the route up. The port is discard's.
        let socket = UdpSocket::bind((any, 0))?;
        socket.connect((peer, 9))?;
        Ok(socket.local_addr()?.ip())
    }
}

struct KernelStream(TcpStream);

impl Read for KernelStream {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.read(buf)
    }
}

impl Write for KernelStream {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.0.write(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Stream for KernelStream {
    fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.0.set_read_timeout(timeout)
    }

    fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.0.set_write_timeout(timeout)
    }

    fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.0.shutdown(how)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }

    fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.0.peer_addr()
    }

    fn retransmits(&self) -> u64 {
        total_retransmits(&self.0).unwrap_or(0)
    }
}

/// `tcpi_total_retrans` of TCP_INFO.
fn total_retransmits(stream: &TcpStream) -> Option<u64> {
    let mut info = MaybeUninit::<libc::tcp_info>::zeroed();
    let mut len = size_of::<libc::tcp_info>() as libc::socklen_t;
    // SAFETY: the descriptor is open for as long as `stream` is borrowed, and the kernel writes at most
    // `len` bytes, the size of the buffer that the pointer names.
    let result = unsafe {
        libc::getsockopt(
            stream.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            info.as_mut_ptr().cast(),
            &raw mut len,
        )
    };
    // SAFETY: tcp_info consists of integers alone, for which the zeroes it was filled with are valid
    // wherever an older kernel wrote less than the whole of it.
    let info = unsafe { info.assume_init() };
    (result == 0).then_some(u64::from(info.tcpi_total_retrans))
}

struct KernelListener(TcpListener);

impl Listener for KernelListener {
    fn accept(&self, timeout: Duration) -> io::Result<(Box<dyn Stream>, SocketAddr)> {
        // On Linux SO_RCVTIMEO bounds accept() as well (socket(7)).
        SockRef::from(&self.0).set_read_timeout(Some(at_least_a_tick(timeout)))?;
        let (stream, peer) = self.0.accept()?;
        Ok((Box::new(KernelStream(stream)), peer))
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

struct KernelUdp(UdpSocket);

impl Udp for KernelUdp {
    fn send_to(&self, data: &[u8], to: SocketAddr) -> io::Result<usize> {
        self.0.send_to(data, to)
    }

    fn recv_from(&self, buf: &mut [u8], timeout: Duration) -> io::Result<(usize, SocketAddr)> {
        self.0.set_read_timeout(Some(at_least_a_tick(timeout)))?;
        self.0.recv_from(buf)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

/// A zero timeout means "for ever" to the kernel, the opposite of what a caller with no time left wants.
fn at_least_a_tick(timeout: Duration) -> Duration {
    timeout.max(Duration::from_millis(1))
}
