//! Fetching, serving and loading, with the kernel and with ourselves at the other end.

use std::path::Path;

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::engine::{Engine, json, remark};
use crate::program::{Program, Result};
use crate::site::Site;

/// A file from a server on the kernel's stack.
pub(crate) fn fetches_from_the_kernel(site: &Site) -> Result<String> {
    let _server = site.kernel_server()?;
    let result = Engine::on(&site.near, "0").get(site.far.ip)?.finish(site)?;
    Ok(remark(&result))
}

/// The same over a port of the kernel's own address, whose other traffic stays with the kernel meanwhile.
pub(crate) fn fetches_with_the_kernels_ports(site: &Site) -> Result<String> {
    let _server = site.kernel_server()?;
    let engine = Engine { own_address: false, ..Engine::on(&site.near, "0") };
    let mut download = engine.get(site.far.ip)?;
    download.wait_until_under_way()?;
    site.near.run("ping", &["-q", "-c", "2", "-W", "5", site.far.ip])?;
    Ok(remark(&download.finish(site)?))
}

/// A file for a client on the kernel's stack.
pub(crate) fn serves_the_kernel(site: &Site) -> Result<String> {
    let server = Engine::on(&site.far, "1").serve(site)?;
    let file = "/run/wget.received";
    let url = format!("http://{}/file", site.far.engine_ip);
    Program::start(&mut site.near.command("wget", &["-q", "-O", file, &url]), 120)?.succeed()?;
    site.check(Path::new(file))?;
    end(server, site)
}

/// Both ends in zero-copy mode.
pub(crate) fn serves_itself(site: &Site) -> Result<String> {
    let server = Engine::on(&site.far, "1").serve(site)?;
    let result = Engine::on(&site.near, "0").get(site.far.engine_ip)?.finish(site)?;
    end(server, site)?;
    Ok(remark(&result))
}

/// Requests and responses on many connections, with a worker on each processor where there are queues for them.
pub(crate) fn answers_requests(site: &Site) -> Result<String> {
    let target = format!("{}:5000", site.far.engine_ip);
    load(site, &["rr", &target, "--protocol", "bypath", "-c", "32", "--size", "512"])
}

/// HTTP requests on connections that are closed each time.
pub(crate) fn answers_http(site: &Site) -> Result<String> {
    let url = format!("http://{}/small", site.far.engine_ip);
    load(site, &["http", &url, "-c", "16", "--close"])
}

/// With connections enough, each queue of the server's NIC receives some of them.
pub(crate) fn spreads_over_queues(site: &Site) -> Result<String> {
    let target = format!("{}:5000", site.far.engine_ip);
    let (server, before) = server(site)?;
    load_server(site, &["rr", &target, "--protocol", "bypath", "-c", "128", "--size", "64"])?;
    let after = site.far.received_by_queue()?;
    end(server, site)?;
    let gained: Vec<u64> =
        after.iter().zip(&before).map(|(after, before)| after - before.min(after)).collect();
    // Most of the packets are the connections', which differ in their ports.
    if gained.len() != site.queues as usize || gained.iter().any(|count| *count < 100) {
        return Err(format!("packets by queue: {gained:?}"));
    }
    Ok(format!("packets by queue {gained:?}"))
}

/// Loads a server on far for two seconds.
fn load(site: &Site, args: &[&str]) -> Result<String> {
    let (server, _) = server(site)?;
    let remark = load_server(site, args)?;
    end(server, site)?;
    Ok(remark)
}

/// A server to be loaded, and what its queues have received by then.
fn server(site: &Site) -> Result<(Program, Vec<u64>)> {
    let cores = if site.queues > 1 { "0-1" } else { "1" };
    let server = Engine::on(&site.far, cores).serve(site)?;
    Ok((server, site.far.received_by_queue()?))
}

fn load_server(site: &Site, args: &[&str]) -> Result<String> {
    let client = Engine::on(&site.near, if site.queues > 1 { "0-1" } else { "0" });
    let (pattern, rest) = args.split_first().ok_or("no pattern")?;
    let time = ["-t", "2", "--json"];
    let mut all = vec![*pattern];
    all.extend(rest.iter().chain(&time));
    let ended = client.start("load", &all, 90)?.wait()?;
    let result = json(&ended.out)?;
    let (totals, conditions) = (&result["totals"], &result["conditions"]);
    let queues = conditions["queues"].as_array().map_or(0, Vec::len);
    let good = ended.status.success()
        && result["state"] == "complete"
        && conditions["mode"] == "zerocopy"
        && queues == site.queues as usize
        && totals["requests"].as_u64().unwrap_or_default() > 100
        && result["errors"].as_object().is_none_or(|errors| errors.values().all(|count| *count == 0));
    if !good {
        let part = |name: &str| format!("{name}: {}\n", result[name]);
        let parts = ["state", "error", "conditions", "totals", "errors", "drops"].map(part).concat();
        return Err(format!("({})\n{parts}{}", ended.status, ended.err));
    }
    let rate = result["rates"]["requests_per_second"].as_f64().unwrap_or_default();
    Ok(format!("{rate:.0} requests/s, drops {}", result.get("drops").unwrap_or(&Value::Null)))
}

/// Ends a server as Ctrl-C does, after which the NICs are the kernel's. Returns its counts of drops.
fn end(server: Program, site: &Site) -> Result<String> {
    server.signal(Signal::SIGINT)?;
    let ended = server.succeed()?;
    site.is_quiet()?;
    let start = ended.out.find('{').ok_or_else(|| format!("no result of the server:\n{}", ended.out))?;
    let result = json(&ended.out[start..])?;
    Ok(format!("drops {}", result.get("drops").unwrap_or(&Value::Null)))
}
