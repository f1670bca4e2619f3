//! The tables as they are written: `docs/compliance/rfcNNNN.toml`, `deviations.toml`, and the list of the ids of
//! RFC 9293, which says what may not be missing.

use std::path::Path;

use serde::Deserialize;

use crate::Problem;

/// Where bypath stands with a requirement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum State {
    /// As written.
    #[serde(rename = "met")]
    Met,
    /// In substance, with a difference that the reason tells.
    #[serde(rename = "met with a reason")]
    MetWithReason,
    /// Not, and the reason says why.
    #[serde(rename = "not met")]
    NotMet,
    /// It asks something of what is not here, or allows what is not done.
    #[serde(rename = "not applicable")]
    NotApplicable,
}

impl State {
    /// All of them, as the page lists them.
    pub const ALL: [Self; 4] = [Self::Met, Self::MetWithReason, Self::NotMet, Self::NotApplicable];

    /// As it is written in the tables.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Met => "met",
            Self::MetWithReason => "met with a reason",
            Self::NotMet => "not met",
            Self::NotApplicable => "not applicable",
        }
    }

    /// Whether the row claims something that tests must show.
    pub const fn claims(self) -> bool {
        matches!(self, Self::Met | Self::MetWithReason)
    }
}

/// A row.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Requirement {
    /// `MUST-14` as RFC 9293 counts, `6298-3` as we do.
    pub id: String,
    /// Sections, separated by blanks.
    pub section: String,
    /// The requirement in our words, one line.
    pub text: String,
    /// Where we stand.
    pub state: State,
    /// Why it is not simply met.
    #[serde(default)]
    pub reason: String,
    /// Tests as nextest prints them, and scripts as `pkt/THEME/NAME`.
    #[serde(default)]
    pub tests: Vec<String>,
}

/// The table of one RFC.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Table {
    /// Its number.
    pub rfc: u32,
    /// What it is about, a few words.
    pub title: String,
    /// Which of its requirements are here.
    pub scope: String,
    /// The rows.
    #[serde(rename = "requirement")]
    pub requirements: Vec<Requirement>,
}

/// Where bypath differs from an RFC on purpose, or chooses among what it leaves open.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Deviation {
    /// RFC and section.
    pub rfc: String,
    /// What is done here.
    pub here: String,
    /// Why.
    pub why: String,
    /// What shows it.
    #[serde(default)]
    pub tests: Vec<String>,
}

/// `deviations.toml`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Deviations {
    #[serde(rename = "deviation", default)]
    deviations: Vec<Deviation>,
}

/// An id that must be there, with its sections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// As in the RFC.
    pub id: String,
    /// Sections, separated by blanks.
    pub section: String,
}

/// All tables.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    /// By RFC, 9293 first, the others by number.
    pub tables: Vec<Table>,
    /// The deviations.
    pub deviations: Vec<Deviation>,
    /// What the table of RFC 9293 must contain.
    pub known: Vec<Known>,
}

impl Ledger {
    /// Reads a directory of tables.
    ///
    /// # Errors
    /// When a file cannot be read or is no table.
    pub fn read(dir: &Path) -> Result<Self, Problem> {
        let mut ledger = Self::default();
        let mut files: Vec<_> = std::fs::read_dir(dir)
            .map_err(|error| Problem(format!("{}: {error}", dir.display())))?
            .filter_map(|entry| Some(entry.ok()?.path()))
            .collect();
        files.sort();
        for file in files {
            let text = || {
                std::fs::read_to_string(&file)
                    .map_err(|error| Problem(format!("{}: {error}", file.display())))
            };
            match file.file_name().and_then(|name| name.to_str()) {
                Some("rfc9293-ids.csv") => ledger.known = known(&text()?),
                Some("deviations.toml") => {
                    ledger.deviations = parse::<Deviations>(&file, &text()?)?.deviations;
                }
                Some(name) if name.ends_with(".toml") => ledger.tables.push(parse(&file, &text()?)?),
                _ => {}
            }
        }
        ledger.tables.sort_by_key(|table| (table.rfc != 9293, table.rfc));
        Ok(ledger)
    }
}

fn parse<T: serde::de::DeserializeOwned>(file: &Path, text: &str) -> Result<T, Problem> {
    toml::from_str(text).map_err(|error| Problem(format!("{}: {error}", file.display())))
}

/// Lines of `id,sections` behind a heading.
fn known(csv: &str) -> Vec<Known> {
    csv.lines()
        .skip(1)
        .filter_map(|line| line.split_once(','))
        .map(|(id, section)| Known { id: id.trim().into(), section: section.trim().into() })
        .collect()
}
