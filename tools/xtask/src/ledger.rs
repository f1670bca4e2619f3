//! `cargo xtask ledger`: hands over to the tool, which has dependencies and so is no part of us.

use crate::shell::{self, Result, cargo};

/// Makes `docs/compliance.md` anew, or only checks it with `--check`.
pub(crate) fn run(args: &[String]) -> Result<()> {
    let mut tool = cargo(&["run", "--quiet", "--locked", "-p", "bypath-ledger", "--"]);
    shell::run(tool.args(args))
}
