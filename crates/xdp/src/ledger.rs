//! Who owns each chunk: bookkeeping that proves frame conservation in debug builds.
//!
//! The token type rules out two owners inside this process; it cannot rule out a driver that hands the
//! same chunk back twice, or an error in the rings. So a debug build writes down every move and
//! compares at each flush. In a release build the ledger is empty and its methods vanish.

/// Where a chunk is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Owner {
    /// On the free list.
    Free,
    /// With the kernel, to receive into.
    Fill,
    /// In a batch or with the application, as a token.
    Held,
    /// With the kernel, to be sent.
    Transmit,
}

/// The owner of every chunk.
#[derive(Debug)]
pub(crate) struct Ledger {
    #[cfg(debug_assertions)]
    owners: Vec<Owner>,
}

impl Ledger {
    /// All chunks free.
    pub(crate) fn new(frames: u32) -> Self {
        let _ = frames;
        Ledger {
            #[cfg(debug_assertions)]
            owners: vec![Owner::Free; frames as usize],
        }
    }

    /// Writes down a move, checking that the chunk was where the caller says.
    #[inline]
    pub(crate) fn moved(&mut self, index: u32, from: Owner, to: Owner) {
        #[cfg(debug_assertions)]
        {
            let known = self.owners.get_mut(index as usize);
            debug_assert_eq!(known.as_deref(), Some(&from), "chunk {index} moves to {to:?} from elsewhere");
            if let Some(owner) = known {
                *owner = to;
            }
        }
        let _ = (index, from, to);
    }

    /// Checks that the lists and rings hold as many chunks as the ledger says they do.
    #[inline]
    pub(crate) fn check(&self, free: usize, fill: usize, transmit: usize) {
        #[cfg(debug_assertions)]
        {
            let mut seen = [0usize; 4];
            for owner in &self.owners {
                seen[*owner as usize] += 1;
            }
            debug_assert_eq!(
                (seen[Owner::Free as usize], seen[Owner::Fill as usize], seen[Owner::Transmit as usize]),
                (free, fill, transmit),
                "free, fill and transmit do not add up"
            );
        }
        let _ = (free, fill, transmit);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(debug_assertions)]
    #[should_panic(expected = "chunk 1 moves")]
    fn a_chunk_that_comes_back_twice_is_caught() {
        let mut ledger = Ledger::new(2);
        ledger.moved(1, Owner::Free, Owner::Fill);
        ledger.moved(1, Owner::Fill, Owner::Held);
        ledger.moved(1, Owner::Fill, Owner::Held);
    }

    #[test]
    #[cfg(debug_assertions)]
    #[should_panic(expected = "do not add up")]
    fn a_chunk_that_vanishes_is_caught() {
        let mut ledger = Ledger::new(2);
        ledger.moved(1, Owner::Free, Owner::Fill);
        ledger.check(1, 0, 0);
    }
}
