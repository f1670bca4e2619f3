//! What happens to a frame on a bad wire, decided by a seed and by nothing else: the same frames in the
//! same order meet the same fate. No I/O; [`crate::middle`] carries it out.
//!
//! Frames to groups (ARP and neighbour requests, multicast listener reports) are dealt with from dice of
//! their own: kernels send them when they please, and that must not change what happens to the others.

use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{Rng, SeedableRng};

/// How bad one direction of a wire is. Probabilities are from 0 to 1, for each frame.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Impairments {
    /// Where the random numbers start.
    pub seed: u64,
    /// The frame never arrives.
    pub loss: f64,
    /// The frame is overtaken by one to [`Impairments::MAX_OVERTAKEN`] frames behind it.
    pub reorder: f64,
    /// The frame arrives twice.
    pub duplicate: f64,
    /// One bit past the Ethernet header is flipped.
    pub corrupt: f64,
}

impl Impairments {
    /// How many frames may overtake one that is reordered.
    pub const MAX_OVERTAKEN: u32 = 8;

    /// A wire that does nothing to frames.
    pub const NONE: Impairments =
        Impairments { seed: 0, loss: 0.0, reorder: 0.0, duplicate: 0.0, corrupt: 0.0 };

    /// The same, decided by another seed.
    pub fn seeded(self, seed: u64) -> Impairments {
        Impairments { seed, ..self }
    }
}

/// What is to happen to one frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Fate {
    pub(crate) lost: bool,
    pub(crate) duplicated: bool,
    /// The bit to flip, counted from the beginning of the frame.
    pub(crate) flipped_bit: Option<usize>,
    /// Frames that go first.
    pub(crate) overtaken_by: u32,
}

/// Deals out fates.
#[derive(Debug)]
pub(crate) struct Dice {
    impairments: Impairments,
    /// For frames to one host, and for frames to groups.
    random: [Xoshiro256PlusPlus; 2],
}

const ETHERNET_HEADER: usize = 14;
const ETHERTYPE_ARP: [u8; 2] = [0x08, 0x06];

impl Dice {
    pub(crate) fn new(impairments: Impairments) -> Dice {
        let seed = impairments.seed;
        Dice { impairments, random: [seed, !seed].map(Xoshiro256PlusPlus::seed_from_u64) }
    }

    pub(crate) fn roll(&mut self, frame: &[u8]) -> Fate {
        let Impairments { loss, reorder, duplicate, corrupt, .. } = self.impairments;
        // The lowest bit of the first byte tells a group address: IEEE 802.3, section 3.2.3.
        let to_group = frame.first().is_some_and(|byte| byte & 1 == 1);
        let mut chance = Chance(&mut self.random[usize::from(to_group)]);
        if chance.of(loss) {
            return Fate { lost: true, ..Fate::default() };
        }
        let mut fate = Fate { duplicated: chance.of(duplicate), ..Fate::default() };
        if chance.of(reorder) {
            fate.overtaken_by = 1 + chance.below(Impairments::MAX_OVERTAKEN as usize) as u32;
        }
        if chance.of(corrupt) && may_corrupt(frame) {
            let bits = (frame.len() - ETHERNET_HEADER) * 8;
            fate.flipped_bit = Some(ETHERNET_HEADER * 8 + chance.below(bits));
        }
        fate
    }
}

struct Chance<'a>(&'a mut Xoshiro256PlusPlus);

impl Chance<'_> {
    fn of(&mut self, probability: f64) -> bool {
        // 53 random bits make an evenly spread number from 0 up to but not including 1.
        let number = (self.0.next_u64() >> 11) as f64 / (1u64 << 53) as f64;
        number < probability
    }

    fn below(&mut self, bound: usize) -> usize {
        ((u128::from(self.0.next_u64()) * bound as u128) >> 64) as usize
    }
}

/// ARP has no checksum: a flipped bit would be believed, and is not what a transport can be blamed for.
fn may_corrupt(frame: &[u8]) -> bool {
    frame.len() > ETHERNET_HEADER && frame[12..14] != ETHERTYPE_ARP
}

#[cfg(test)]
mod tests {
    use super::*;

    const BAD: Impairments = Impairments { seed: 7, loss: 0.1, reorder: 0.2, duplicate: 0.3, corrupt: 0.4 };

    fn fates(impairments: Impairments, frame: &[u8]) -> Vec<Fate> {
        let mut dice = Dice::new(impairments);
        (0..20_000).map(|_| dice.roll(frame)).collect()
    }

    fn share(fates: &[Fate], of: impl Fn(&Fate) -> bool) -> f64 {
        fates.iter().filter(|fate| of(fate)).count() as f64 / fates.len() as f64
    }

    #[test]
    fn the_same_seed_deals_the_same_fates() {
        assert_eq!(fates(BAD, &[0; 100]), fates(BAD, &[0; 100]));
        assert_ne!(fates(BAD, &[0; 100]), fates(BAD.seeded(8), &[0; 100]));
    }

    #[test]
    fn frames_to_groups_do_not_change_the_fate_of_the_others() {
        let (mut calm, mut busy) = (Dice::new(BAD), Dice::new(BAD));
        for _ in 0..1000 {
            busy.roll(&[0xff; 60]);
            assert_eq!(calm.roll(&[0; 100]), busy.roll(&[0; 100]));
        }
    }

    #[test]
    fn shares_are_as_asked() {
        let fates = fates(BAD, &[0; 100]);
        let arrived: Vec<Fate> = fates.iter().copied().filter(|fate| !fate.lost).collect();
        for (is, wanted) in [
            (share(&fates, |fate| fate.lost), 0.1),
            (share(&arrived, |fate| fate.overtaken_by > 0), 0.2),
            (share(&arrived, |fate| fate.duplicated), 0.3),
            (share(&arrived, |fate| fate.flipped_bit.is_some()), 0.4),
        ] {
            assert!((is - wanted).abs() < 0.02, "{is} instead of {wanted}");
        }
    }

    #[test]
    fn a_good_wire_does_nothing() {
        assert!(fates(Impairments::NONE, &[0; 100]).iter().all(|fate| *fate == Fate::default()));
    }

    #[test]
    fn spares_the_ethernet_header_and_arp() {
        let certain = Impairments { corrupt: 1.0, ..Impairments::NONE };
        assert!(
            fates(certain, &[0; 16])
                .iter()
                .all(|fate| { fate.flipped_bit.is_some_and(|bit| (14 * 8..16 * 8).contains(&bit)) })
        );
        let mut arp = [0; 42];
        arp[12..14].copy_from_slice(&ETHERTYPE_ARP);
        assert!(fates(certain, &arp).iter().all(|fate| fate.flipped_bit.is_none()));
    }
}
