//! What records say, by their types.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use crate::layers::bytes::{array_at, u8_at, u16_at, u32_at};
use crate::printable::Printable;

use super::{Kind, Name};

/// What a record says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Data<'a> {
    /// An IPv4 address.
    A(Ipv4Addr),
    /// An IPv6 address.
    Aaaa(Ipv6Addr),
    /// A name: of NS, CNAME, DNAME and PTR.
    Name(Name<'a>),
    /// Who runs a zone, and how it is kept (RFC 1035 §3.3.13).
    Soa {
        /// The first name server.
        primary: Name<'a>,
        /// The mailbox of the one responsible, its first label being the user.
        mailbox: Name<'a>,
        /// The version of the zone.
        serial: u32,
        /// Seconds after which a secondary asks again.
        refresh: u32,
        /// Seconds after which it asks again when that failed.
        retry: u32,
        /// Seconds after which it gives up.
        expire: u32,
        /// Seconds that absence may be remembered.
        minimum: u32,
    },
    /// Who takes mail.
    Mx {
        /// The lowest is tried first.
        preference: u16,
        /// The host.
        exchange: Name<'a>,
    },
    /// Texts, each after its length: of TXT, SPF and HINFO.
    Texts(&'a [u8]),
    /// Where a service is.
    Srv {
        /// The lowest is tried first.
        priority: u16,
        /// Share among those of the same priority.
        weight: u16,
        /// The port.
        port: u16,
        /// The host.
        target: Name<'a>,
    },
    /// Where a service is and how to talk to it: of SVCB and HTTPS (RFC 9460).
    Service {
        /// 0 for an alias, else the lowest is tried first.
        priority: u16,
        /// The host; the root for the owner itself.
        target: Name<'a>,
        /// Keys and values, raw.
        parameters: &'a [u8],
    },
    /// Who may issue certificates.
    Caa {
        /// 128 for critical.
        flags: u8,
        /// `issue` and its like.
        tag: &'a [u8],
        /// The issuer.
        value: &'a [u8],
    },
    /// Extensions, raw: pairs of code and data.
    Options(&'a [u8]),
    /// Another type, or a known one that makes no sense: the bytes.
    Other(&'a [u8]),
}

impl<'a> Data<'a> {
    /// The data of a record, which is all in the message.
    pub(super) fn read(kind: Kind, message: &'a [u8], at: usize, len: usize) -> Self {
        let end = at.saturating_add(len);
        let bytes = message.get(at..end).unwrap_or_default();
        // Names may point anywhere before, but do not end behind their record.
        let bounded = message.get(..end).unwrap_or_default();
        let name = |at: usize| {
            let name = Name::new(bounded, at);
            name.encoded_len().map(|len| (name, at + len))
        };
        let known = || {
            Some(match kind.0 {
                1 => Self::A(array_at::<4>(bytes, 0).filter(|_| len == 4)?.into()),
                28 => Self::Aaaa(array_at::<16>(bytes, 0).filter(|_| len == 16)?.into()),
                2 | 5 | 12 | 39 => Self::Name(name(at)?.0),
                6 => {
                    let (primary, at) = name(at)?;
                    let (mailbox, at) = name(at)?;
                    let number = |place: usize| u32_at(bounded, at + 4 * place);
                    Self::Soa {
                        primary,
                        mailbox,
                        serial: number(0)?,
                        refresh: number(1)?,
                        retry: number(2)?,
                        expire: number(3)?,
                        minimum: number(4)?,
                    }
                }
                15 => Self::Mx { preference: u16_at(bytes, 0)?, exchange: name(at + 2)?.0 },
                13 | 16 | 99 => Self::Texts(bytes),
                33 => Self::Srv {
                    priority: u16_at(bytes, 0)?,
                    weight: u16_at(bytes, 2)?,
                    port: u16_at(bytes, 4)?,
                    target: name(at + 6)?.0,
                },
                64 | 65 => {
                    let (target, parameters) = name(at + 2)?;
                    Self::Service {
                        priority: u16_at(bytes, 0)?,
                        target,
                        parameters: bounded.get(parameters..).unwrap_or_default(),
                    }
                }
                257 => {
                    let tag_len = usize::from(u8_at(bytes, 1)?);
                    Self::Caa {
                        flags: u8_at(bytes, 0)?,
                        tag: bytes.get(2..2 + tag_len)?,
                        value: bytes.get(2 + tag_len..)?,
                    }
                }
                41 => Self::Options(bytes),
                _ => return None,
            })
        };
        known().unwrap_or(Self::Other(bytes))
    }

    /// The texts of [`Data::Texts`], as far as they are there.
    pub fn texts(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let mut rest = if let Self::Texts(bytes) = self { *bytes } else { &[] };
        std::iter::from_fn(move || {
            let (&len, after) = rest.split_first()?;
            let (text, after) = after.split_at(after.len().min(len.into()));
            rest = after;
            Some(text)
        })
    }
}

impl fmt::Display for Data<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::A(address) => address.fmt(f),
            Self::Aaaa(address) => address.fmt(f),
            Self::Name(name) => name.fmt(f),
            Self::Soa { primary, mailbox, serial, refresh, retry, expire, minimum } => {
                write!(f, "{primary} {mailbox} {serial} {refresh} {retry} {expire} {minimum}")
            }
            Self::Mx { preference, exchange } => write!(f, "{preference} {exchange}"),
            Self::Texts(_) => {
                let mut between = "";
                self.texts().try_for_each(|text| {
                    write!(f, "{between}\"{}\"", Printable(text))?;
                    between = " ";
                    Ok(())
                })
            }
            Self::Srv { priority, weight, port, target } => {
                write!(f, "{priority} {weight} {port} {target}")
            }
            Self::Service { priority, target, parameters: [] } => write!(f, "{priority} {target}"),
            Self::Service { priority, target, parameters } => {
                write!(f, "{priority} {target} with {} bytes of parameters", parameters.len())
            }
            Self::Caa { flags, tag, value } => {
                write!(f, "{flags} {} \"{}\"", Printable(tag), Printable(value))
            }
            Self::Options(bytes) | Self::Other(bytes) => write!(f, "({} bytes)", bytes.len()),
        }
    }
}
