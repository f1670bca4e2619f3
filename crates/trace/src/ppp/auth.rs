//! Who is there: name and password (RFC 1334), or a challenge and its response (RFC 1994).

use super::{Code, Control};

/// A packet of PAP. Its bytes are shown as they are, the password as well: whoever has the capture has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pap<'a> {
    /// Name and password.
    Request(&'a [u8], &'a [u8]),
    /// It was right, and what the peer says to it.
    Ack(&'a [u8]),
    /// It was wrong, and what the peer says to it.
    Nak(&'a [u8]),
    /// Something else.
    Other,
}

impl<'a> Pap<'a> {
    /// The meaning of a packet. Fields that are cut off are as long as they are.
    #[must_use]
    pub fn read(packet: &Control<'a>) -> Self {
        match packet.code {
            Code(1) => {
                let (name, rest) = counted(packet.body);
                Self::Request(name, counted(rest).0)
            }
            Code(2) => Self::Ack(counted(packet.body).0),
            Code(3) => Self::Nak(counted(packet.body).0),
            _ => Self::Other,
        }
    }
}

/// A packet of CHAP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chap<'a> {
    /// The value to be hashed with the secret, and who asks.
    Challenge(&'a [u8], &'a [u8]),
    /// The hash, and who answers.
    Response(&'a [u8], &'a [u8]),
    /// It was right, and what the peer says to it.
    Success(&'a [u8]),
    /// It was wrong, and what the peer says to it.
    Failure(&'a [u8]),
    /// Something else.
    Other,
}

impl<'a> Chap<'a> {
    /// The meaning of a packet. Fields that are cut off are as long as they are.
    #[must_use]
    pub fn read(packet: &Control<'a>) -> Self {
        match packet.code {
            Code(1) => {
                let (value, name) = counted(packet.body);
                Self::Challenge(value, name)
            }
            Code(2) => {
                let (value, name) = counted(packet.body);
                Self::Response(value, name)
            }
            Code(3) => Self::Success(packet.body),
            Code(4) => Self::Failure(packet.body),
            _ => Self::Other,
        }
    }
}

/// A field after a byte that counts its length, as far as it is there, and what follows it.
fn counted(bytes: &[u8]) -> (&[u8], &[u8]) {
    match bytes {
        [len, rest @ ..] => rest.split_at(rest.len().min((*len).into())),
        [] => (&[], &[]),
    }
}
