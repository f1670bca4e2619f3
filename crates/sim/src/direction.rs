//! One direction of a connection as the wire shows it: what was sent, what was acknowledged, what was promised.
//! Places in it count from the initial sequence number, which is 0, so that nothing wraps.

use bypath_lab::Pattern;
use bypath_wire::SeqNum;
use bypath_wire::tcp::TcpFlags;

use crate::invariants::{Offer, unwrap_seq};
use crate::packet::TcpPacket;

/// What limits all directions.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) mtu: usize,
    pub(crate) replays: bool,
}

/// What a SYN has offered.
#[derive(Clone, Copy, Debug)]
struct Offered {
    mss: usize,
    scale: Option<u8>,
    sack: bool,
    timestamps: bool,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Direction {
    iss: Option<SeqNum>,
    syn: Option<Offered>,
    /// Just after the last place sent.
    end: i64,
    /// Place of FIN.
    fin: Option<i64>,
    /// What was last acknowledged of the other direction, a place in that one.
    ack: i64,
    /// Right edge of the window granted to the other direction, a place in that one.
    edge: Option<i64>,
    ts_value: Option<u32>,
    reset: bool,
    /// The other side has opened a new connection: what this one still says is about an old one.
    past: bool,
    /// A second answer to the other side, which has acknowledged another one before and still means that.
    contested: bool,
    /// There was a connection on these addresses and ports before: its segments may still arrive.
    used_before: bool,
}

type Check = Result<(), String>;

fn ensure(holds: bool, why: impl FnOnce() -> String) -> Check {
    if holds { Ok(()) } else { Err(why()) }
}

impl Direction {
    /// Whether a SYN with this number begins something new.
    pub(crate) fn opens_anew(&self, seq: SeqNum) -> bool {
        self.iss != Some(seq) || self.past
    }

    /// The direction that a SYN-ACK opens. After another one, a SYN of `peer` has come again to a host that has
    /// forgotten the connection, and `peer` speaks of the answer that it has had, or that is still under way.
    pub(crate) fn answering(peer: &Direction, before: &Direction) -> Self {
        let another = before.iss.is_some() && !before.past;
        let still = before.contested && before.reset;
        Self { contested: another || still || peer.ack > 0, ..Self::after(before) }
    }

    /// The direction that a SYN opens where `before` was.
    pub(crate) fn after(before: &Direction) -> Self {
        Self { used_before: before.iss.is_some(), ..Self::default() }
    }

    pub(crate) fn is_contested(&self) -> bool {
        self.contested
    }

    pub(crate) fn belongs_to_the_past(&mut self) {
        (self.past, self.contested) = (true, false);
    }

    /// Stream bytes of the other direction that were acknowledged here.
    pub(crate) fn acked_bytes(&self) -> u64 {
        u64::try_from(self.ack - 1).unwrap_or(0)
    }

    fn place(&self, seq: SeqNum) -> Option<i64> {
        let near = self.iss? + self.end as u32;
        Some(unwrap_seq(seq, near, self.end))
    }

    /// Checks a packet of this direction and remembers what it says.
    pub(crate) fn sent(
        &mut self,
        limits: &Limits,
        tcp: &TcpPacket<'_>,
        peer: &Direction,
        offer: Option<&Offer>,
    ) -> Check {
        let flags = tcp.header.flags;
        ensure(tcp.ip_len <= limits.mtu, || "longer than the MTU".into())?;
        ensure(tcp.ecn != 3, || "a host marks its own packet".into())?;
        ensure(flags.contains(TcpFlags::URG) || tcp.header.urgent == 0, || {
            "urgent pointer without URG".into()
        })?;
        if flags.contains(TcpFlags::SYN) {
            ensure(!flags.intersects(TcpFlags::FIN | TcpFlags::RST), || "SYN with FIN or RST".into())?;
            self.iss = Some(tcp.header.seq);
            self.syn = Some(Offered {
                mss: usize::from(tcp.options.mss.unwrap_or(if tcp.from.is_ipv4() { 536 } else { 1220 })),
                scale: tcp.options.window_scale,
                sack: tcp.options.sack_permitted,
                timestamps: tcp.options.timestamps.is_some(),
            });
        }
        if self.past || self.iss.is_none() {
            return Ok(());
        }
        if flags.contains(TcpFlags::RST) {
            // An answer to what belongs to an earlier connection has its numbers, and resets that one.
            let own = self.place(tcp.header.seq).is_some_and(|at| (0..=self.end.max(1)).contains(&at));
            self.reset |= own;
            self.past = own && limits.replays;
            return ensure(tcp.payload.is_empty(), || "RST with data".into());
        }
        let answers = flags.contains(TcpFlags::SYN | TcpFlags::ACK);
        let behind = |ack: i64| {
            (ack < 0 && (answers || self.contested)) || (answers && limits.replays && ack < self.ack)
        };
        if peer.place(tcp.header.ack).is_some_and(behind) {
            // A SYN of an earlier connection came again; or one got the same cookie, long after what it opened.
            self.contested = true;
            return Ok(());
        }
        self.sequence(tcp, peer, offer)?;
        if flags.contains(TcpFlags::ACK) && !peer.past && !peer.contested && peer.iss.is_some() {
            self.acknowledgement(tcp, peer, offer)?;
            self.options(limits, tcp, peer)?;
        } else if let Some(ts) = tcp.options.timestamps {
            self.ts_value = Some(ts.value);
        }
        Ok(())
    }

    fn sequence(&mut self, tcp: &TcpPacket<'_>, peer: &Direction, offer: Option<&Offer>) -> Check {
        let flags = tcp.header.flags;
        let Some(start) = self.place(tcp.header.seq) else { return Ok(()) };
        let syn = i64::from(flags.contains(TcpFlags::SYN));
        let fin = i64::from(flags.contains(TcpFlags::FIN));
        let len = tcp.payload.len() as i64;
        let end = start + syn + len + fin;
        if self.contested && (start < 0 || start > self.end.max(1)) {
            // It counts from the answer before.
            return Ok(());
        }
        ensure(start >= 0, || "before the initial sequence number".into())?;
        ensure(start <= self.end.max(1), || {
            format!("leaves out {} of its own sequence numbers", start - self.end)
        })?;
        if len + fin > 0 {
            ensure(!self.reset, || "data or FIN after a reset".into())?;
        }
        if len > 0 {
            ensure(flags.intersects(TcpFlags::ACK | TcpFlags::SYN), || "data without ACK".into())?;
            // RFC 6691: the peer's MSS counts options as well.
            if let Some(offered) = &peer.syn {
                let most = offered.mss.max(48);
                ensure(tcp.payload.len() + tcp.options_len <= most, || {
                    format!("longer than the peer's MSS of {most}")
                })?;
            }
        }
        if let Some(offer) = offer {
            let stream = offer.bytes as i64 + 1;
            // An acknowledgement may come from beyond FIN.
            ensure(len == 0 || end - fin <= stream, || {
                format!("carries {} bytes that the application has not given", end - fin - stream)
            })?;
            ensure(fin == 0 || (offer.closed && end == stream + 1), || {
                "FIN before the application has closed, or before its last byte".into()
            })?;
            if let (Some(seed), true) = (offer.pattern, len > 0) {
                let offset = (start + syn - 1) as u64;
                ensure(Pattern::new(seed).mismatch(offset, tcp.payload).is_none(), || {
                    format!("other bytes than the application's at offset {offset}")
                })?;
            }
        }
        if fin > 0 {
            ensure(self.fin.is_none_or(|at| at == end), || "FIN at two places".into())?;
            self.fin = Some(end);
        }
        ensure(self.fin.is_none_or(|at| end <= at), || "beyond its own FIN".into())?;
        // One byte beyond the window may be a probe (RFC 9293 section 3.8.6.1).
        if let (Some(edge), true) = (peer.edge, !peer.past && end > self.end && len + fin > 0) {
            ensure(end <= edge + 1, || format!("{} bytes beyond the window", end - edge))?;
        }
        self.end = self.end.max(end);
        Ok(())
    }

    fn acknowledgement(&mut self, tcp: &TcpPacket<'_>, peer: &Direction, offer: Option<&Offer>) -> Check {
        let Some(ack) = peer.place(tcp.header.ack) else { return Ok(()) };
        ensure(ack <= peer.end, || format!("acknowledges {} bytes never sent", ack - peer.end))?;
        ensure(ack >= self.ack, || format!("the acknowledgement goes back by {}", self.ack - ack))?;
        self.ack = ack;
        let syn = tcp.header.flags.contains(TcpFlags::SYN);
        let shift = match (&self.syn, &peer.syn) {
            (Some(Offered { scale: Some(shift), .. }), Some(Offered { scale: Some(_), .. })) if !syn => {
                *shift
            }
            _ => 0,
        };
        let edge = ack + (i64::from(tcp.header.window) << shift);
        let before = self.edge.unwrap_or(0);
        // Rounding by the scale may take back less than one unit (RFC 7323 section 2.4). A SYN-ACK that goes out
        // again after data, as with Fast Open it may, has no scale, and cannot name all that was granted.
        ensure(syn || edge + (1 << shift) > before, || {
            format!("the right edge moves left by {}", before - edge)
        })?;
        if let Some(limit) = offer.and_then(|o| o.receive_limit) {
            let taken = offer.map_or(0, |o| o.taken) as i64;
            // SYN and FIN take no room.
            ensure(edge <= taken + 2 + limit as i64 + (1 << shift), || {
                format!("promises {} bytes more than the receive buffer has", edge - taken - 1 - limit as i64)
            })?;
        }
        self.edge = Some(before.max(edge));
        Ok(())
    }

    fn options(&mut self, limits: &Limits, tcp: &TcpPacket<'_>, peer: &Direction) -> Check {
        let (Some(own), Some(other)) = (&self.syn, &peer.syn) else { return Ok(()) };
        let syn = tcp.header.flags.contains(TcpFlags::SYN);
        if !syn {
            ensure(tcp.options.mss.is_none() && tcp.options.window_scale.is_none(), || {
                "an option of SYNs beyond the SYN".into()
            })?;
        }
        let agreed = own.timestamps && other.timestamps;
        match tcp.options.timestamps {
            Some(ts) if agreed => {
                // A cookie has options in the last digits.
                if let Some(before) = self.ts_value.filter(|_| !(syn && limits.replays)) {
                    ensure((ts.value.wrapping_sub(before) as i32) >= 0, || "its timestamp goes back".into())?;
                }
                let latest = self.ts_value.filter(|before| (ts.value.wrapping_sub(*before) as i32) < 0);
                self.ts_value = latest.or(Some(ts.value));
                if let Some(sent) = peer.ts_value {
                    ensure((sent.wrapping_sub(ts.echo) as i32) >= 0, || {
                        "echoes a timestamp never sent".into()
                    })?;
                }
            }
            Some(_) => ensure(syn, || "a timestamp that was not agreed on".into())?,
            None => ensure(!agreed, || "without the timestamp agreed on".into())?,
        }
        ensure(tcp.options.sack.is_empty() || (own.sack && other.sack), || {
            "selective acknowledgement that was not agreed on".into()
        })?;
        for (i, block) in tcp.options.sack.iter().enumerate() {
            let (Some(left), Some(right)) = (peer.place(block.left), peer.place(block.right)) else {
                continue;
            };
            ensure(left < right, || "an empty or reversed block".into())?;
            // A late segment of an earlier connection lies where this one has sent nothing, and is reported as the
            // duplicate that it looks like.
            let earlier = i == 0 && peer.used_before && right <= self.ack;
            let sent = left >= 1 && right <= peer.end;
            ensure(sent || earlier, || "a block of what was never sent".into())?;
            // Only the first may report a duplicate (RFC 2883 section 4).
            ensure(i == 0 || left > self.ack, || "a block below the acknowledgement".into())?;
        }
        Ok(())
    }
}
