//! Payload to the application: handed over in place, or kept until its turn comes.

use bypath_tcp::{Instant, Received};

use bypath_wire::SeqNum;

use super::Stack;
use crate::account::Phase;
use crate::flow::{App, ServiceEnd};
use crate::packet::{RxPacket, Slices};
use crate::service::About;
use crate::tap::Note;

impl Stack {
    /// The peer's urgent mark has moved: the socket learns where it lies in the stream, of which `next` was the next
    /// octet before this segment.
    pub(super) fn tell_urgent(&mut self, index: u32, next: SeqNum) {
        if let Some(flow) = self.flows.at_mut(index)
            && let Some(mark) = flow.conn.urgent_mark()
            && let App::Socket(end) = &flow.app
        {
            let ahead = u64::from(mark.offset_from(next).unsigned_abs());
            end.shared.set_urgent_in(end.incoming.committed() + ahead);
        }
    }

    /// Hands payload to the application, or keeps it, as the connection has decided.
    pub(super) fn place_payload(
        &mut self,
        now: Instant,
        index: u32,
        received: &Received,
        packet: &RxPacket<'_>,
        payload: usize,
    ) {
        if received.deliver == 0 && received.store.is_none() {
            return;
        }
        if received.store.is_some() {
            self.note = Note::AheadOfTurn;
        }
        let before = self.account.enter(Phase::Application);
        self.place_in(now, index, received, packet, payload);
        self.account.back(before);
    }

    fn place_in(
        &mut self,
        now: Instant,
        index: u32,
        received: &Received,
        packet: &RxPacket<'_>,
        payload: usize,
    ) {
        let id = self.flows.id_at(index);
        let (Some(flow), Some(id)) = (self.flows.at_mut(index), id) else { return };
        let pieces = match &received.store {
            Some(store) => packet.range(payload + store.skip as usize, store.len as usize),
            None => packet.range(payload + received.skip as usize, received.deliver as usize),
        };
        let about = About { id, key: &flow.key, now };
        match &mut flow.app {
            App::Socket(end) => {
                if let Some(store) = &received.store {
                    keep(store.ahead, &pieces, |at, bytes| end.incoming.write_at(at, bytes));
                    return;
                }
                for piece in &pieces {
                    end.incoming.write(piece);
                }
                end.incoming.commit(received.released as usize);
                end.readable = true;
            }
            App::Service(end) => {
                let ServiceEnd { queue, reassembly, unread, .. } = &mut **end;
                if let Some(store) = &received.store {
                    if let Some((producer, _)) = reassembly {
                        keep(store.ahead, &pieces, |at, bytes| producer.write_at(at, bytes));
                    }
                    return;
                }
                let mut abort = false;
                let mut connection = about.connection(&mut flow.conn, queue, unread, &mut abort);
                for piece in &pieces {
                    self.service.on_data(&mut connection, piece);
                }
                if let Some((producer, consumer)) = reassembly {
                    let delivered = received.deliver as usize;
                    producer.commit(delivered);
                    consumer.consume(delivered);
                    producer.commit(received.released as usize);
                    let released = received.released as usize;
                    let (a, b) = consumer.peek_at(consumer.head(), released);
                    for piece in [a, b] {
                        if !piece.is_empty() {
                            self.service.on_data(&mut connection, piece);
                        }
                    }
                    consumer.consume(released);
                }
                if !flow.conn.has_holes()
                    && let Some(ring) = end.reassembly.take()
                {
                    self.spare_rings.push(ring);
                }
                flow.conn.on_read(now, end.unread);
                flow.conn.set_receive_space(flow.conn.receive_buffer().saturating_sub(end.unread));
                if abort {
                    self.abort_flow(now, index);
                }
            }
        }
    }
}

fn keep(ahead: u32, pieces: &Slices<'_>, mut write_at: impl FnMut(usize, &[u8]) -> usize) {
    let mut at = ahead as usize;
    for piece in pieces {
        write_at(at, piece);
        at += piece.len();
    }
}
