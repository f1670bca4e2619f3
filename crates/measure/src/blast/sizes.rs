//! How long frames are: one size, a list with weights, a range, or IMIX.
//!
//! A size counts the whole Ethernet frame with its check sequence (FCS), as RFC 2544 does: 64 is the shortest
//! frame there is, 1518 the longest of an MTU of 1500. The NIC adds the FCS, so a program handles 4 bytes less.

use std::fmt;
use std::str::FromStr;

/// Bytes of the frame check sequence that the NIC adds.
pub const FCS_LEN: usize = 4;
/// The shortest Ethernet frame (IEEE 802.3 §3.2.8), FCS included.
pub const MIN_SIZE: u16 = 64;
/// Preamble, start delimiter and the gap between frames: what a frame takes on the wire beyond its own bytes.
pub const WIRE_OVERHEAD: u64 = 20;
/// The simple Internet mix: seven frames of 64 bytes, four of 594, one of 1518.
pub const IMIX: [(u16, u32); 3] = [(64, 7), (594, 4), (1518, 1)];
/// The sizes of RFC 2544, section 9.1.
pub const RFC2544_SIZES: [u16; 7] = [64, 128, 256, 512, 1024, 1280, 1518];

/// The sizes of one frame after the other, from the beginning again after the last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sizes {
    cycle: Vec<u16>,
    text: String,
}

impl Sizes {
    /// All frames of one size.
    pub fn fixed(size: u16) -> Self {
        Sizes { cycle: vec![size], text: size.to_string() }
    }

    /// One round of sizes in bytes, FCS included. Never empty.
    pub fn cycle(&self) -> &[u16] {
        &self.cycle
    }

    /// The longest.
    pub fn longest(&self) -> u16 {
        self.cycle.iter().copied().max().unwrap_or(MIN_SIZE)
    }

    /// The shortest.
    pub fn shortest(&self) -> u16 {
        self.cycle.iter().copied().min().unwrap_or(MIN_SIZE)
    }

    /// Mean size in bytes.
    pub fn mean(&self) -> f64 {
        self.cycle.iter().map(|size| f64::from(*size)).sum::<f64>() / self.cycle.len() as f64
    }

    /// Sizes in these shares, mixed as evenly as it goes: after every round each has come exactly as often as
    /// its weight says.
    pub fn weighted(shares: &[(u16, u32)]) -> Result<Self, String> {
        let total: u64 = shares.iter().map(|(_, weight)| u64::from(*weight)).sum();
        if total == 0 || total > 65_536 {
            return Err(String::from("the weights of the sizes add up to a number from 1 to 65536"));
        }
        // Everyone gains its weight each turn; who has most goes, and pays for a whole round.
        let mut credit = vec![0i64; shares.len()];
        let mut cycle = Vec::new();
        for _ in 0..total {
            for (credit, (_, weight)) in credit.iter_mut().zip(shares) {
                *credit += i64::from(*weight);
            }
            let next = (0..shares.len()).max_by_key(|at| (credit[*at], std::cmp::Reverse(*at))).unwrap_or(0);
            credit[next] -= total as i64;
            cycle.push(shares[next].0);
        }
        Ok(Sizes { cycle, text: String::new() })
    }
}

impl fmt::Display for Sizes {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.text)
    }
}

impl FromStr for Sizes {
    type Err = String;

    /// `1518`, `64,512,1518`, `64x7,594x4,1518`, `64-1518`, `imix`.
    fn from_str(text: &str) -> Result<Self, String> {
        let size = |word: &str| match word.parse::<u16>() {
            Ok(size) if size >= MIN_SIZE => Ok(size),
            _ => Err(format!(
                "\"{word}\" is not a frame size: a number of bytes from {MIN_SIZE} to {}, FCS included",
                u16::MAX
            )),
        };
        let sizes = if text.eq_ignore_ascii_case("imix") {
            Sizes::weighted(&IMIX)?
        } else if let Some((first, last)) = text.split_once('-') {
            let (first, last) = (size(first)?, size(last)?);
            if first > last {
                return Err(format!("\"{text}\" counts downwards"));
            }
            Sizes { cycle: (first..=last).collect(), text: String::new() }
        } else {
            let share = |word: &str| -> Result<(u16, u32), String> {
                match word.split_once('x') {
                    None => Ok((size(word)?, 1)),
                    Some((bytes, weight)) => match weight.parse() {
                        Ok(weight) if weight > 0 => Ok((size(bytes)?, weight)),
                        _ => Err(format!("the weight in \"{word}\" is not a number from 1")),
                    },
                }
            };
            Sizes::weighted(&text.split(',').map(share).collect::<Result<Vec<_>, _>>()?)?
        };
        Ok(Sizes { text: text.to_ascii_lowercase(), ..sizes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cycle(text: &str) -> Vec<u16> {
        text.parse::<Sizes>().unwrap().cycle().to_vec()
    }

    #[test]
    fn imix_is_seven_four_one_in_every_twelve() {
        let cycle = cycle("imix");
        let count = |size| cycle.iter().filter(|is| **is == size).count();
        assert_eq!((cycle.len(), count(64), count(594), count(1518)), (12, 7, 4, 1));
        // Mixed, not in blocks: no more than two short ones in a row.
        assert!(!cycle.windows(3).any(|three| three == [64, 64, 64]), "{cycle:?}");
    }

    #[test]
    fn lists_and_ranges() {
        assert_eq!(cycle("64,512"), [64, 512]);
        assert_eq!(cycle("64x2,512"), [64, 512, 64]);
        assert_eq!(cycle("64-66"), [64, 65, 66]);
        for bad in ["", "63", "65536", "64,", "100-64", "64x0", "64x70000", "big"] {
            assert!(bad.parse::<Sizes>().is_err(), "{bad}");
        }
    }
}
