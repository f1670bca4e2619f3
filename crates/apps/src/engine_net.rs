//! The engine's sockets as a [`Network`]. They keep to the conventions of `std`, so there is nothing to
//! translate.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr};
use std::time::Duration;

use bypath::{Engine, TcpListener, TcpStream, UdpSocket};

use crate::net::{Listener, Network, Stream, Udp};

/// Sockets of a running engine.
#[derive(Clone, Debug)]
pub struct EngineNetwork(Engine);

impl EngineNetwork {
    /// Opens sockets in `engine`, which lives as long as any of them.
    pub fn new(engine: Engine) -> Self {
        EngineNetwork(engine)
    }
}

impl Network for EngineNetwork {
    fn connect(&self, addr: SocketAddr, timeout: Duration) -> io::Result<Box<dyn Stream>> {
        let stream = TcpStream::connect_timeout(&self.0, addr, timeout)?;
        stream.set_nodelay(true)?;
        Ok(Box::new(EngineStream(stream)))
    }

    fn listen(&self, local: SocketAddr) -> io::Result<Box<dyn Listener>> {
        Ok(Box::new(EngineListener(TcpListener::bind(&self.0, local)?)))
    }

    fn udp(&self, local: SocketAddr) -> io::Result<Box<dyn Udp>> {
        Ok(Box::new(EngineUdp(UdpSocket::bind(&self.0, local)?)))
    }

    fn local_ip_for(&self, peer: IpAddr) -> io::Result<IpAddr> {
        self.0.source_for(peer)
    }
}

struct EngineStream(TcpStream);

impl Read for EngineStream {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.read(buf)
    }
}

impl Write for EngineStream {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.0.write(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl Stream for EngineStream {
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
        Ok(self.0.local_addr())
    }

    fn peer_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.0.peer_addr())
    }

    fn retransmits(&self) -> u64 {
        self.0.info().retransmits
    }
}

struct EngineListener(TcpListener);

impl Listener for EngineListener {
    fn accept(&self, timeout: Duration) -> io::Result<(Box<dyn Stream>, SocketAddr)> {
        self.0.set_accept_timeout(Some(timeout));
        let (stream, peer) = self.0.accept()?;
        Ok((Box::new(EngineStream(stream)), peer))
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.0.local_addr())
    }
}

struct EngineUdp(UdpSocket);

impl Udp for EngineUdp {
    fn send_to(&self, data: &[u8], to: SocketAddr) -> io::Result<usize> {
        self.0.send_to(data, to)
    }

    fn recv_from(&self, buf: &mut [u8], timeout: Duration) -> io::Result<(usize, SocketAddr)> {
        self.0.set_read_timeout(Some(timeout))?;
        self.0.recv_from(buf)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.0.local_addr())
    }
}
