//! Puts one frame after the other into a device, ready to be sent. What a chunk of the packet memory already holds
//! from an earlier frame is not written again: mostly only headers and signature change.

use std::path::Path;
use std::sync::Arc;

use bypath_wire::ethernet::MacAddr;
use bypath_xdp::{Device, Frame};

use super::BlastError;
use super::headers::HeaderSpec;
use super::signature::{Kind, MAX_STREAMS, Signature};
use super::sizes::{FCS_LEN, Sizes};
use super::template::{Field, Template};

/// Flows that have sequence numbers of their own. With more of them a worker's frames are numbered together.
pub const MAX_FLOWS: u64 = 4096;

/// What is sent: templates, the order in which they are, and the fields that vary.
#[derive(Debug)]
pub struct Content {
    templates: Vec<Template>,
    order: Vec<u32>,
    fields: Vec<Field>,
    flows: u64,
}

impl Content {
    /// Frames with these headers, of these sizes.
    ///
    /// # Errors
    /// As [`HeaderSpec::templates`].
    pub fn generated(headers: &HeaderSpec, sizes: &Sizes, signed: bool) -> Result<Arc<Content>, BlastError> {
        let (mut templates, order) = headers.templates(sizes, signed)?;
        let fields = headers.fields();
        for template in &mut templates {
            template.vary(&fields);
        }
        let flows = fields.iter().fold(1, |flows, field| least_common_multiple(flows, field.count()));
        Ok(Arc::new(Content { templates, order, fields, flows }))
    }

    /// The frames of a capture, pcap or pcapng, again and again. Signed where they have room for it and `sign` is set;
    /// link addresses replaced where given.
    ///
    /// # Errors
    /// [`BlastError::Capture`].
    pub fn captured(
        path: &Path,
        sign: bool,
        dst_mac: Option<MacAddr>,
        src_mac: Option<MacAddr>,
    ) -> Result<Arc<Content>, BlastError> {
        let mut frames = super::capture::read(path)?;
        for frame in &mut frames {
            for (at, mac) in [(0, dst_mac), (6, src_mac)] {
                if let (Some(mac), Some(place)) = (mac, frame.get_mut(at..at + 6)) {
                    place.copy_from_slice(&mac.0);
                }
            }
        }
        let templates: Vec<Template> = frames.iter().map(|frame| Template::captured(frame, sign)).collect();
        let order = (0..templates.len() as u32).collect();
        Ok(Arc::new(Content { templates, order, fields: Vec::new(), flows: 1 }))
    }

    /// Streams of one worker: numbered apart.
    pub fn streams(&self) -> u32 {
        if self.flows <= MAX_FLOWS { self.flows as u32 } else { 1 }
    }

    /// Different combinations of header fields, at most 2^64 - 1.
    pub fn flows(&self) -> u64 {
        self.flows
    }

    /// The longest frame, in bytes without FCS.
    pub fn longest(&self) -> usize {
        self.templates.iter().map(Template::frame_len).max().unwrap_or(0)
    }

    /// Mean size, in bytes with FCS.
    pub fn mean_size(&self) -> f64 {
        let bytes: usize =
            self.order.iter().map(|at| self.templates[*at as usize].frame_len() + FCS_LEN).sum();
        bytes as f64 / self.order.len().max(1) as f64
    }

    /// Whether every frame carries a signature.
    pub fn is_signed(&self) -> bool {
        self.templates.iter().all(Template::is_signed)
    }

    /// The frames.
    pub fn templates(&self) -> &[Template] {
        &self.templates
    }
}

fn least_common_multiple(a: u64, b: u64) -> u64 {
    let (mut x, mut y) = (a, b);
    while y != 0 {
        (x, y) = (y, x % y);
    }
    (a / x.max(1)).saturating_mul(b)
}

/// What a chunk holds: filler from `base` on (a position in the filler, for the chunk's first byte), up to byte `upto`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Prepared {
    base: i32,
    upto: u32,
}

/// Makes the frames of one worker.
#[derive(Debug)]
pub struct FrameMaker {
    content: Arc<Content>,
    fields: Vec<Field>,
    turn: usize,
    first_stream: u32,
    flow: usize,
    /// The next number of each stream.
    next: Vec<u64>,
    prepared: Vec<Prepared>,
}

impl FrameMaker {
    /// The frames of worker `worker` of `workers`. They begin at different flows.
    pub fn new(content: &Arc<Content>, worker: usize, workers: usize) -> FrameMaker {
        let streams = content.streams();
        let offset = content.flows / workers.max(1) as u64 * worker as u64;
        let mut fields = content.fields.clone();
        for field in &mut fields {
            field.start_at(offset);
        }
        FrameMaker {
            content: Arc::clone(content),
            fields,
            turn: 0,
            first_stream: (worker as u32 * streams) % MAX_STREAMS,
            flow: (offset % u64::from(streams)) as usize,
            next: vec![0; streams as usize],
            prepared: Vec::new(),
        }
    }

    /// Bytes of the next frame, without FCS.
    #[inline]
    pub fn next_len(&self) -> usize {
        self.template().frame_len()
    }

    #[inline]
    fn template(&self) -> &Template {
        &self.content.templates[self.content.order[self.turn] as usize]
    }

    /// Begins to count anew: what comes now is measured.
    pub fn restart_numbers(&mut self) {
        self.next.fill(0);
    }

    /// Frames made of each stream since, with the stream's number.
    pub fn numbers(&self) -> impl Iterator<Item = (u32, u64)> {
        self.next.iter().zip(self.first_stream..).map(|(next, stream)| (stream, *next))
    }

    /// The chunk has been used by somebody else: received into, say.
    #[inline]
    pub fn forget(&mut self, slot: usize) {
        if let Some(prepared) = self.prepared.get_mut(slot) {
            *prepared = Prepared::default();
        }
    }

    /// Queues the next frame on the device, for `queue`. Returns its length without FCS; `None` when there is no room, and
    /// then nothing has happened.
    #[inline]
    pub fn send(&mut self, device: &mut dyn Device, queue: u16, kind: Kind, now_ns: u64) -> Option<usize> {
        let chunk = device.area().chunk_size();
        let len = self.next_len();
        if device.tx_room() < len.div_ceil(chunk) {
            return None;
        }
        let signature = Signature {
            stream: self.first_stream + self.flow as u32,
            kind,
            sequence: self.next[self.flow] as u32,
            time_ns: now_ns,
        };
        let bytes = signature.to_bytes();
        let mut at = 0;
        while at < len {
            let mut frame = device.alloc()?;
            let part = (len - at).min(chunk);
            self.write_piece(device, &mut frame, at, part, &bytes);
            at += part;
            frame.set_len(part as u32);
            frame.set_more(at < len);
            frame.set_queue(queue);
            device.transmit(frame);
        }
        self.next[self.flow] += 1;
        self.advance();
        Some(len)
    }

    /// Queues a frame for each stream that says how many frames it had. Returns how many found room.
    pub fn send_end_marks(&mut self, device: &mut dyn Device, queue: u16, now_ns: u64) -> u64 {
        let numbers = self.next.clone();
        let mut sent = 0;
        for _ in 0..numbers.len() {
            while self.send(device, queue, Kind::End, now_ns).is_none() {
                device.flush();
                if device.tx_room() == 0 {
                    return sent;
                }
            }
            sent += 1;
            device.flush();
        }
        // A mark carries the number that would be next and is none of the frames.
        self.next = numbers;
        sent
    }

    #[inline]
    fn write_piece(
        &mut self,
        device: &dyn Device,
        frame: &mut Frame,
        at: usize,
        part: usize,
        signature: &[u8; super::signature::LEN],
    ) {
        let slot = frame.slot();
        if self.prepared.is_empty() {
            self.prepared = vec![Prepared::default(); device.area().frames() as usize];
        }
        let template = &self.content.templates[self.content.order[self.turn] as usize];
        let room = device.area().bytes_mut(frame);
        let base = at as i32 - template.head_len() as i32;
        let holds = self.prepared[slot];
        let is_there = template.is_generated() && holds.base == base && holds.upto as usize >= part;
        if !is_there {
            template.render_rest(at, &mut room[..part]);
            let generated = Prepared { base, upto: part as u32 };
            self.prepared[slot] = if template.is_generated() { generated } else { Prepared::default() };
        }
        if at == 0 {
            let signature = template.is_signed().then_some(signature);
            template.write_head(&mut self.fields, signature, room);
        }
    }

    #[inline]
    fn advance(&mut self) {
        self.turn += 1;
        if self.turn == self.content.order.len() {
            self.turn = 0;
        }
        self.flow += 1;
        if self.flow == self.next.len() {
            self.flow = 0;
        }
    }
}
