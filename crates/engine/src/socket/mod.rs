//! Sockets: what applications on other threads hold of a connection, in the manner of `std::net`.

pub(crate) mod end;
pub(crate) mod listener;
pub(crate) mod options;
pub(crate) mod shared;
mod stream;
mod tcp_listener;
pub(crate) mod udp;
mod udp_socket;

pub use options::Report;
pub use stream::{TcpInfo, TcpStream};
pub use tcp_listener::TcpListener;
pub use udp_socket::UdpSocket;
