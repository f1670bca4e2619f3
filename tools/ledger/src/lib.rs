//! The compliance ledger: what each RFC requires, where bypath stands, and the tests that show it.
//!
//! The tables are `docs/compliance/*.toml`, a file an RFC, and `deviations.toml` for what differs on purpose
//! ([`table`]). Every test that they name must exist in the sources ([`scan`]); what else must hold of a row is in
//! [`check`]; [`page`] makes `docs/compliance.md` of it all.

pub mod check;
pub mod page;
pub mod scan;
pub mod table;

use std::fmt;
use std::path::{Path, PathBuf};

use crate::scan::Evidence;
use crate::table::Ledger;

/// What is wrong with the ledger, in words for whoever changes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem(pub String);

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where the tables are in a repository.
pub fn tables(root: &Path) -> PathBuf {
    root.join("docs/compliance")
}

/// Where the page is in a repository.
pub fn page_file(root: &Path) -> PathBuf {
    root.join("docs/compliance.md")
}

/// Everything that is wrong with the ledger of the repository at `root`: its rows, their tests, and with
/// `stale` also the page.
///
/// # Errors
/// When a table or a source cannot be read.
pub fn examine(root: &Path, stale: bool) -> Result<Vec<Problem>, Problem> {
    let ledger = Ledger::read(&tables(root))?;
    let evidence = Evidence::of(root)?;
    let mut problems = check::problems(&ledger, &evidence);
    if stale {
        let expected = page::render(&ledger, &evidence);
        let found = std::fs::read_to_string(page_file(root)).unwrap_or_default();
        if found != expected {
            problems.push(Problem("docs/compliance.md is stale: run `cargo xtask ledger`".into()));
        }
    }
    Ok(problems)
}

/// Writes the page of the repository at `root`.
///
/// # Errors
/// When a table or a source cannot be read, or the page cannot be written.
pub fn write_page(root: &Path) -> Result<(), Problem> {
    let ledger = Ledger::read(&tables(root))?;
    let page = page::render(&ledger, &Evidence::of(root)?);
    let file = page_file(root);
    std::fs::write(&file, page).map_err(|error| Problem(format!("{}: {error}", file.display())))
}
