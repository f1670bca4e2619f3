//! Packet memory on huge pages, which the guest's kernel has kept from its start.

use std::fs;

use crate::engine::{Engine, remark};
use crate::program::Result;
use crate::site::Site;

/// The engine takes its pages from them, says so, works, and gives them back.
pub(crate) fn lies_on_huge_pages(site: &Site) -> Result<String> {
    let before = free()?;
    if before == 0 {
        return Err("the guest has no huge pages".to_owned());
    }
    let server = Engine { more: &["--huge-pages"], ..Engine::on(&site.far, "1") }.serve(site)?;
    let taken = before - free()?.min(before);
    if taken == 0 {
        return Err(format!("none of {before} huge pages were taken"));
    }
    let client = Engine { more: &["--huge-pages"], ..Engine::on(&site.near, "0") };
    let result = client.get(site.far.engine_ip)?.finish(site)?;
    if result["engine"]["huge_pages"] != true {
        return Err(format!("the client does not say that it has huge pages: {}", result["engine"]));
    }
    drop(server);
    site.is_quiet()?;
    let after = free()?;
    if after != before {
        return Err(format!("{before} huge pages were free before, {after} are now"));
    }
    Ok(format!("{taken} pages for the server; {}", remark(&result)))
}

fn free() -> Result<u64> {
    let text = fs::read_to_string("/proc/meminfo").map_err(|error| error.to_string())?;
    let line = text.lines().find_map(|line| line.strip_prefix("HugePages_Free:"));
    line.and_then(|count| count.trim().parse().ok())
        .ok_or_else(|| "no huge pages in /proc/meminfo".to_owned())
}
