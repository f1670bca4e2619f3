//! One comparison: ours and the peers measured in turn, round after round, and the rows that come of it.

use crate::Error;
use crate::options::Options;
use crate::row::{Row, Spread, median, spread};
use crate::wire::Wire;

/// One of the figures that a measurement gives.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Figure {
    /// What is added to the comparison's name: `p99`; nothing for the main one.
    pub(crate) name: &'static str,
    pub(crate) unit: &'static str,
    /// Whether the smaller one is the better.
    pub(crate) less_is_better: bool,
    /// Whether the ceiling is in its unit.
    pub(crate) has_ceiling: bool,
}

impl Figure {
    /// The more the better.
    pub(crate) const fn more(name: &'static str, unit: &'static str) -> Figure {
        Figure { name, unit, less_is_better: false, has_ceiling: false }
    }

    /// The less the better.
    pub(crate) const fn less(name: &'static str, unit: &'static str) -> Figure {
        Figure { name, unit, less_is_better: true, has_ceiling: false }
    }

    fn suffix(&self) -> String {
        if self.name.is_empty() { String::new() } else { format!(", {}", self.name) }
    }

    /// The ceiling is a limit to it.
    pub(crate) const fn below_ceiling(self) -> Figure {
        Figure { has_ceiling: true, ..self }
    }
}

/// Measures once: a value for each figure.
type Once<'a> = Box<dyn Fn() -> Result<Vec<f64>, Error> + 'a>;

/// Somebody who is measured.
pub(crate) struct Subject<'a> {
    pub(crate) name: String,
    once: Once<'a>,
    values: Vec<Vec<f64>>,
    failed: Option<Error>,
}

impl<'a> Subject<'a> {
    pub(crate) fn new(
        name: impl Into<String>,
        once: impl Fn() -> Result<Vec<f64>, Error> + 'a,
    ) -> Subject<'a> {
        Subject { name: name.into(), once: Box::new(once), values: Vec::new(), failed: None }
    }

    /// Who fails is not asked again: its other rounds would be compared with something else's.
    fn measure(&mut self) {
        if self.failed.is_some() {
            return;
        }
        match (self.once)() {
            Ok(values) => self.values.push(values),
            Err(error) => self.failed = Some(error),
        }
    }

    fn figure(&self, number: usize) -> Vec<f64> {
        self.values.iter().filter_map(|values| values.get(number).copied()).collect()
    }
}

/// One of ours.
pub(crate) struct Ours<'a> {
    pub(crate) subject: Subject<'a>,
    /// What raw frames reach by the same transmit path.
    pub(crate) ceiling: Option<Subject<'a>>,
}

/// One comparison.
pub(crate) struct Contest<'a> {
    /// The rows of the table of goals that it answers, and what is compared.
    pub(crate) name: String,
    pub(crate) figures: Vec<Figure>,
    pub(crate) ours: Vec<Ours<'a>>,
    pub(crate) peers: Vec<Subject<'a>>,
}

impl<'a> Contest<'a> {
    /// Everybody once in each round. Returns the rows, and what could not be measured.
    pub(crate) fn run(mut self, options: &Options, wire: &Wire) -> (Vec<Row>, Vec<String>) {
        for _ in 0..options.rounds {
            self.subjects().for_each(Subject::measure);
        }
        let name = self.name.clone();
        let troubles = self.subjects().filter_map(|subject| {
            subject.failed.as_ref().map(|error| format!("{name}, {}: {error}", subject.name))
        });
        let troubles: Vec<String> = troubles.collect();
        let mut rows = Vec::new();
        for (number, figure) in self.figures.iter().enumerate() {
            for ours in &self.ours {
                let ceiling = ours.ceiling.as_ref().filter(|_| figure.has_ceiling);
                let limit = ceiling.map(|ceiling| median(&ceiling.figure(0))).filter(|limit| *limit > 0.0);
                for peer in ceiling.into_iter().chain(&self.peers) {
                    let of_peer = if ceiling.is_some_and(|c| std::ptr::eq(c, peer)) { 0 } else { number };
                    let (our_values, their_values) = (ours.subject.figure(number), peer.figure(of_peer));
                    if our_values.is_empty() || their_values.is_empty() {
                        continue;
                    }
                    let (bypath, peer_value) = (median(&our_values), median(&their_values));
                    rows.push(Row {
                        name: format!(
                            "{}: {}{}, MTU {}",
                            self.name,
                            ours.subject.name,
                            figure.suffix(),
                            wire.mtu
                        ),
                        unit: figure.unit,
                        bypath,
                        peer: peer.name.clone(),
                        peer_value,
                        ceiling: limit,
                        ratio: if peer_value > 0.0 { bypath / peer_value } else { 0.0 },
                        spread: Spread { bypath: spread(&our_values), peer: spread(&their_values) },
                        conditions: wire.conditions(options, figure.less_is_better),
                    });
                }
            }
        }
        (rows, troubles)
    }

    fn subjects(&mut self) -> impl Iterator<Item = &mut Subject<'a>> {
        let ours = self.ours.iter_mut();
        let ours = ours.flat_map(|ours| std::iter::once(&mut ours.subject).chain(ours.ceiling.as_mut()));
        ours.chain(&mut self.peers)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    fn counting(name: &str, first: f64) -> Subject<'static> {
        let next = Cell::new(first);
        Subject::new(name, move || {
            next.set(next.get() + 1.0);
            Ok(vec![next.get(), 7.0])
        })
    }

    #[test]
    fn who_fails_is_named_and_not_asked_again() {
        let mut failing = Subject::new("x", || Err("no".to_owned()));
        failing.measure();
        assert_eq!((failing.failed.as_deref(), failing.figure(0).len()), (Some("no"), 0));
        let mut counting = counting("y", 0.0);
        counting.measure();
        counting.measure();
        assert_eq!((counting.figure(0), counting.figure(1)), (vec![1.0, 2.0], vec![7.0, 7.0]));
    }
}
