//! Loads on servers in a lab: the kernel's, nginx, vsftpd, our own, and bad ones.

mod bad;
mod patterns;
mod truth;

use std::net::SocketAddr;
use std::time::Duration;

use bypath::{Engine, EngineBuilder};
use bypath_lab::Lab;
use bypath_measure::load::{LoadSettings, Observer, Pattern, Protocol, RrSettings, run};
use bypath_measure::result::RunResult;

/// A load that is short, and gives up soon.
fn settings(pattern: Pattern, target: SocketAddr) -> LoadSettings {
    LoadSettings {
        duration: Some(Duration::from_secs(1)),
        interval: Duration::from_millis(250),
        timeout: Duration::from_secs(3),
        ..LoadSettings::new(pattern, target)
    }
}

fn rr(request_bytes: u32, response_bytes: u32, protocol: Protocol) -> RrSettings {
    RrSettings { request_bytes, response_bytes, protocol }
}

/// Echoed requests of 100 bytes.
fn echo() -> Pattern {
    Pattern::Rr(rr(100, 100, Protocol::Echo))
}

fn near(lab: &Lab) -> EngineBuilder {
    Engine::builder().netns(lab.near().netns()).interface(lab.near().interface())
}

fn load(lab: &Lab, settings: &LoadSettings) -> RunResult {
    observed(lab, settings, &mut ())
}

fn observed(lab: &Lab, settings: &LoadSettings, observer: &mut dyn Observer) -> RunResult {
    run(settings, near(lab), 1, observer)
}

fn lab() -> Lab {
    Lab::builder().name_prefix("ld").up().unwrap()
}

/// What the result says of itself, when it is not as it should be.
fn told(result: &RunResult) -> String {
    format!("{:?} {:?} {:#?}", result.state, result.error, result.totals)
}
