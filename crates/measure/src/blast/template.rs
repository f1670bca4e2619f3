//! A frame as it will be sent, except for what changes from one to the next: addresses and ports that have ranges,
//! the signature, and the checksums, which are completed from sums taken in advance (RFC 1071 §2).

use std::net::IpAddr;
use std::sync::{Arc, LazyLock};

use bypath_wire::checksum::{self, Sum};
use bypath_wire::ip::protocol;
use bypath_wire::udp;

use super::inspect::{self, Layers};
use super::range::{FieldRange, FieldValue};
use super::signature;

/// What payloads are filled with: bytes without a period, so that a shifted payload is not the same.
static FILLER: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut state = 0x2545_f491_4f6c_dd1du64;
    (0..=u16::MAX)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 32) as u8
        })
        .collect()
});

/// Which checksums a field is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// None.
    Link,
    /// The transport's, and that of an IPv4 header.
    Address,
    /// The transport's.
    Transport,
}

/// A header field with several values.
#[derive(Debug, Clone)]
pub struct Field {
    at: usize,
    width: usize,
    place: Place,
    first: u128,
    count: u64,
    turn: u64,
}

impl Field {
    /// The field `at` so many bytes from the start of the frame.
    pub fn new<T: FieldValue>(at: usize, place: Place, range: FieldRange<T>) -> Field {
        let first = range.first();
        let width = first.bits() as usize / 8;
        Field { at, width, place, first: first.to_number(), count: range.count(), turn: 0 }
    }

    /// How many values it takes.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Begins at another value.
    pub fn start_at(&mut self, index: u64) {
        self.turn = index % self.count;
    }
}

/// A frame to be sent.
#[derive(Debug, Clone)]
pub struct Template {
    /// Headers, and room for the signature where there is one.
    head: Vec<u8>,
    /// What follows, for a frame that was captured; else filler.
    rest: Option<Arc<[u8]>>,
    frame_len: usize,
    /// Where the signature goes.
    signature_at: Option<usize>,
    layers: Option<Layers>,
    ip_sum: Sum,
    l4_sum: Sum,
}

impl Template {
    /// A frame of these headers and filler, checksums not filled in.
    pub fn generated(head: Vec<u8>, frame_len: usize, signed: bool) -> Template {
        let headers = head.len();
        let mut template = Template {
            head,
            rest: None,
            frame_len: frame_len.max(headers),
            signature_at: signed.then_some(headers),
            layers: None,
            ip_sum: Sum::default(),
            l4_sum: Sum::default(),
        };
        if signed {
            template.head.resize(headers + signature::LEN, 0);
        }
        template.settle();
        template
    }

    /// A captured frame. It is signed when asked to and when it has a place for that: a whole TCP or UDP packet with
    /// at least as many bytes of payload. What is not signed is sent as it was captured.
    pub fn captured(bytes: &[u8], sign: bool) -> Template {
        let place = inspect::layers(bytes).filter(|layers| {
            sign && layers.is_whole
                && bytes.len() >= layers.payload_at + signature::LEN
                && layers.l4_end >= layers.payload_at + signature::LEN
        });
        let head = place.map_or(0, |layers| layers.payload_at + signature::LEN);
        let mut template = Template {
            head: bytes[..head].to_vec(),
            rest: Some(bytes[head..].into()),
            frame_len: bytes.len(),
            signature_at: place.map(|layers| layers.payload_at),
            layers: None,
            ip_sum: Sum::default(),
            l4_sum: Sum::default(),
        };
        if let Some(at) = template.signature_at {
            template.head[at..].fill(0);
            template.settle();
        }
        template
    }

    /// Finds the checksums and takes the sums of everything that stays.
    fn settle(&mut self) {
        let mut whole = vec![0; self.frame_len];
        self.render_rest(0, &mut whole);
        whole[..self.head.len()].copy_from_slice(&self.head);
        let Some(layers) = inspect::layers(&whole) else { return };
        if let Some((at, _)) = layers.ipv4 {
            self.head[at + 10..at + 12].fill(0);
            whole[at + 10..at + 12].fill(0);
            self.ip_sum = Sum::of(&whole[at..layers.l4_at]);
        }
        let checksum = layers.checksum_at;
        self.head[checksum..checksum + 2].fill(0);
        whole[checksum..checksum + 2].fill(0);
        let segment = &whole[layers.l4_at..layers.l4_end];
        let pseudo = checksum::pseudo_header(layers.src, layers.dst, layers.protocol, segment.len() as u32);
        self.l4_sum = pseudo.add(Sum::of(segment));
        self.layers = Some(layers);
    }

    /// Prepares fields that will be written: their places count as zero in the sums.
    pub fn vary(&mut self, fields: &[Field]) {
        for field in fields {
            if let Some(bytes) = self.head.get_mut(field.at..field.at + field.width) {
                bytes.fill(0);
            }
        }
        // The sums anew, with those fields at zero: addresses of the pseudo-header are read from the packet.
        self.settle();
    }

    /// Bytes of the frame, without FCS.
    pub fn frame_len(&self) -> usize {
        self.frame_len
    }

    /// Whether it carries a signature.
    pub fn is_signed(&self) -> bool {
        self.signature_at.is_some()
    }

    /// Bytes that are written anew for each frame.
    pub fn head_len(&self) -> usize {
        self.head.len()
    }

    /// Whether what follows the head is the filler, alike for all templates with a head of this length.
    pub fn is_generated(&self) -> bool {
        self.rest.is_none()
    }

    /// Destination address and port, when it is IP with TCP or UDP.
    pub fn destination(&self) -> Option<(IpAddr, u16, u8)> {
        let layers = self.layers.or_else(|| inspect::layers(self.rest.as_deref()?))?;
        Some((layers.dst, layers.dst_port, layers.protocol))
    }

    /// Writes the head: the headers with these fields' next values, the signature, the checksums.
    #[inline]
    pub fn write_head(&self, fields: &mut [Field], signature: Option<&[u8; signature::LEN]>, out: &mut [u8]) {
        let Some(out) = out.get_mut(..self.head.len()) else { return };
        out.copy_from_slice(&self.head);
        let (mut ip_sum, mut l4_sum) = (self.ip_sum, self.l4_sum);
        for field in fields {
            let value = (field.first + u128::from(field.turn)).to_be_bytes();
            let value = &value[16 - field.width..];
            field.turn += 1;
            if field.turn == field.count {
                field.turn = 0;
            }
            let Some(place) = out.get_mut(field.at..field.at + field.width) else { continue };
            place.copy_from_slice(value);
            if field.place != Place::Link {
                let sum = Sum::of(value);
                l4_sum = l4_sum.add(sum);
                if field.place == Place::Address {
                    ip_sum = ip_sum.add(sum);
                }
            }
        }
        let Some(layers) = &self.layers else { return };
        if let (Some(at), Some(signature)) = (self.signature_at, signature) {
            out[at..at + signature::LEN].copy_from_slice(signature);
            // TCP and UDP headers have an even length, so the payload begins with a whole word.
            l4_sum = l4_sum.add(Sum::of(signature));
        }
        if let Some((at, _)) = layers.ipv4 {
            out[at + 10..at + 12].copy_from_slice(&ip_sum.finish().to_be_bytes());
        }
        let mut sum = l4_sum.finish();
        if layers.protocol == protocol::UDP {
            sum = udp::stored_checksum(sum);
        }
        out[layers.checksum_at..layers.checksum_at + 2].copy_from_slice(&sum.to_be_bytes());
    }

    /// Writes what follows the head into the piece of the frame that begins at byte `at`. The head's own bytes in it
    /// are left alone.
    pub fn render_rest(&self, at: usize, out: &mut [u8]) {
        let skip = self.head.len().saturating_sub(at).min(out.len());
        let from = (at + skip).saturating_sub(self.head.len());
        let out = &mut out[skip..];
        let source = self.rest.as_deref().unwrap_or(&FILLER);
        let len = out.len().min(source.len().saturating_sub(from));
        out[..len].copy_from_slice(&source[from..from + len]);
    }
}
