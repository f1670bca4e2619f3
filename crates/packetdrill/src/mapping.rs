//! Which live number a number of a script means. Scripts count sequence numbers from 0 and name timestamps and
//! cookies as they like; the stack chooses its own.

use std::collections::HashMap;

use crate::script::{TcpOption, TcpSpec, flag};
use crate::wire::Live;

/// Added to the peer's sequence numbers, which scripts begin at 0: they wrap around in every connection that carries more than
/// a few kilobytes.
pub(crate) const REMOTE_OFFSET: u32 = 0xffff_f000;

/// The byte at `offset` of every stream, in either direction.
fn stream_byte(offset: u32) -> u8 {
    offset.wrapping_mul(31).wrapping_add(offset >> 8).to_le_bytes()[0]
}

/// The first place, from `offset` on, where `bytes` are not those of a stream.
pub(crate) fn first_wrong_byte(offset: u32, bytes: &[u8]) -> Option<u32> {
    let places = (0_u32..).map(|i| offset.wrapping_add(i));
    places.zip(bytes).find(|(at, byte)| stream_byte(*at) != **byte).map(|(at, _)| at)
}

/// `len` bytes of a stream from `offset` on.
pub(crate) fn stream_bytes(offset: u32, len: u32) -> Vec<u8> {
    (0..len).map(|i| stream_byte(offset.wrapping_add(i))).collect()
}

/// What one connection, or one attempt at it, has taught.
#[derive(Clone, Debug, Default)]
pub(crate) struct Mapping {
    /// Live less script number of our stream; unknown before our SYN, or the first packet.
    local: Option<u32>,
    /// Script number of the last SYN that arrived: another one may open another connection in the same place.
    last_syn: Option<u32>,
    may_rebind: bool,
    /// Script number of our SYN.
    first: u32,
    /// Script to live.
    timestamps: HashMap<u32, u32>,
    first_timestamp: Option<(u32, u32)>,
    cookies: HashMap<Vec<u8>, Vec<u8>>,
}

impl Mapping {
    fn local(&self) -> u32 {
        self.local.unwrap_or(0)
    }

    /// A connection of this name opens anew: our next SYN has a number of its own.
    pub(crate) fn reopen(&mut self) {
        self.may_rebind = true;
    }

    /// The live number of byte `seq` of our stream.
    pub(crate) fn local_to_live(&self, seq: u32) -> u32 {
        seq.wrapping_add(self.local())
    }

    /// Where the payload of a segment of ours, in script numbers, lies in our stream.
    pub(crate) fn local_offset(&self, seq: u32, syn: bool) -> u32 {
        seq.wrapping_sub(self.first).wrapping_add(u32::from(syn)).wrapping_sub(1)
    }

    /// The same of the peer's stream.
    pub(crate) fn remote_offset(&self, seq: u32, syn: bool) -> u32 {
        seq.wrapping_sub(self.last_syn.unwrap_or(0)).wrapping_add(u32::from(syn)).wrapping_sub(1)
    }

    /// What arrives when the script says `spec`. Ports, addresses and the IP header are the caller's.
    ///
    /// # Errors
    /// When the script echoes a timestamp that was never sent.
    pub(crate) fn inbound(&mut self, spec: &TcpSpec, live: &mut Live, scaled: bool) -> Result<(), String> {
        if spec.flags & (flag::SYN | flag::ACK) == flag::SYN && self.last_syn != Some(spec.seq) {
            self.last_syn = Some(spec.seq);
            self.may_rebind = true;
        }
        live.flags = spec.flags;
        live.seq = spec.seq.wrapping_add(REMOTE_OFFSET);
        let has_ack = spec.flags & flag::ACK != 0;
        live.ack = if has_ack { self.local_to_live(spec.ack) } else { 0 };
        live.window = spec.window.unwrap_or(0);
        live.urgent = spec.urgent;
        for option in spec.options.iter().flatten() {
            live.options.push(match option {
                TcpOption::Sack(blocks) => TcpOption::Sack(
                    blocks.iter().map(|(l, r)| (self.local_to_live(*l), self.local_to_live(*r))).collect(),
                ),
                TcpOption::Timestamps { value, echo } if has_ack => {
                    TcpOption::Timestamps { value: *value, echo: self.echo(*echo, scaled)? }
                }
                TcpOption::FastOpen(cookie) => {
                    TcpOption::FastOpen(self.cookies.get(cookie).unwrap_or(cookie).clone())
                }
                other => other.clone(),
            });
        }
        Ok(())
    }

    fn echo(&self, script: u32, scaled: bool) -> Result<u32, String> {
        if let Some(live) = self.timestamps.get(&script) {
            return Ok(*live);
        }
        match self.first_timestamp {
            Some((first_script, first_live)) if scaled => {
                Ok(script.wrapping_sub(first_script).wrapping_add(first_live))
            }
            // Nothing was sent with a timestamp yet, or a lie is told on purpose: see `--tcp_ts_ecr_scaled`.
            None => Ok(script),
            Some(_) => Err(format!(
                "`ecr {script}`: no segment of ours had that timestamp (--tcp_ts_ecr_scaled takes any)"
            )),
        }
    }

    /// Rewrites what the stack has sent into the script's numbers, as far as they are known, learning from what the
    /// script expects.
    pub(crate) fn outbound(&mut self, live: &mut Live, expected: &TcpSpec) {
        let syn = live.flags & flag::SYN != 0;
        if syn && (self.local.is_none() || self.may_rebind)
            || self.local.is_none() && live.flags & flag::RST == 0
        {
            self.local = Some(live.seq.wrapping_sub(expected.seq));
            self.first = if syn { expected.seq } else { 0 };
            self.may_rebind = false;
        }
        let expected_timestamps = expected.options.iter().flatten().find_map(|option| match option {
            TcpOption::Timestamps { value, .. } => Some(*value),
            _ => None,
        });
        let expected_cookie = expected.options.iter().flatten().find_map(|option| match option {
            TcpOption::FastOpen(cookie) => Some(cookie.clone()),
            _ => None,
        });
        for option in &live.options {
            match (option, &expected_timestamps, &expected_cookie) {
                (TcpOption::Timestamps { value, .. }, Some(script), _) => {
                    self.timestamps.insert(*script, *value);
                    self.first_timestamp.get_or_insert((*script, *value));
                }
                // A cookie that the stack gives out: the script's name for it stands for it from here on.
                (TcpOption::FastOpen(cookie), _, Some(script))
                    if syn && live.flags & flag::ACK != 0 && !cookie.is_empty() && !script.is_empty() =>
                {
                    self.cookies.entry(script.clone()).or_insert_with(|| cookie.clone());
                }
                _ => {}
            }
        }
        self.to_script(live);
    }

    /// Rewrites live numbers of a segment of ours into the script's.
    pub(crate) fn to_script(&self, live: &mut Live) {
        live.seq = live.seq.wrapping_sub(self.local());
        if live.flags & flag::ACK != 0 {
            live.ack = live.ack.wrapping_sub(REMOTE_OFFSET);
        }
        for option in &mut live.options {
            match option {
                TcpOption::Sack(blocks) => {
                    for (left, right) in blocks {
                        *left = left.wrapping_sub(REMOTE_OFFSET);
                        *right = right.wrapping_sub(REMOTE_OFFSET);
                    }
                }
                TcpOption::Timestamps { value, .. } => {
                    if let Some((first_script, first_live)) = self.first_timestamp {
                        *value = value.wrapping_sub(first_live).wrapping_add(first_script);
                    }
                }
                TcpOption::FastOpen(cookie) => {
                    if let Some((script, _)) = self.cookies.iter().find(|(_, live)| *live == cookie) {
                        script.clone_into(cookie);
                    }
                }
                _ => {}
            }
        }
    }
}
