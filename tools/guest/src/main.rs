//! The zero-copy tests, inside an emulated machine with two NICs wired to each other. `cargo xtask test --zero-copy` makes
//! the machine and has its first process (`init.sh`) run this. Anywhere else it would move the interfaces eth0 and eth1
//! to namespaces of its own, so it asks for the environment that `init.sh` sets.

mod engine;
mod faults;
mod memory;
mod program;
mod site;
mod transfers;

use std::process::ExitCode;
use std::time::Instant;

use program::Result;
use site::Site;

/// A test: its name, and what it does. What it returns is printed beside its name.
type Test = (&'static str, fn(&Site) -> Result<String>);

/// For the ordinary suite.
const SHORT: &[Test] = &[("fetches_from_the_kernel", transfers::fetches_from_the_kernel)];

/// All, those that take NICs away last.
const ALL: &[Test] = &[
    ("fetches_from_the_kernel", transfers::fetches_from_the_kernel),
    ("fetches_with_ports_of_the_kernels_address", transfers::fetches_with_the_kernels_ports),
    ("serves_the_kernel", transfers::serves_the_kernel),
    ("serves_itself", transfers::serves_itself),
    ("answers_a_load_of_requests", transfers::answers_requests),
    ("answers_a_load_of_http", transfers::answers_http),
    ("connections_are_spread_over_all_queues", transfers::spreads_over_queues),
    ("packet_memory_lies_on_huge_pages", memory::lies_on_huge_pages),
    ("a_download_survives_its_link_going_down", faults::near_link_flaps),
    ("a_download_survives_the_servers_link_going_down", faults::far_link_flaps),
    ("a_download_survives_rings_of_another_size", faults::rings_change),
    ("queues_in_use_stay_when_fewer_are_asked_for", faults::fewer_queues),
    ("a_download_survives_more_queues", faults::more_queues),
    ("a_killed_server_gives_its_nic_back", faults::killed_server),
    ("a_killed_client_gives_its_nic_back", faults::killed_client),
    ("a_server_whose_nic_goes_ends_and_one_on_the_next_serves", faults::nic_goes),
];

fn main() -> ExitCode {
    let (mut tests, mut only) = (ALL, None);
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        match word.as_str() {
            "--short" => tests = SHORT,
            "--only" => only = words.next(),
            _ => {
                eprintln!("usage: bypath-guest [--short] [--only TEXT]");
                return ExitCode::from(2);
            }
        }
    }
    let start = Instant::now();
    let site = match Site::set_up() {
        Ok(site) => site,
        Err(why) => {
            println!("the guest is not as it should be: {why}");
            return ExitCode::from(3);
        }
    };
    println!(
        "  two {} with {} queues, after {:.1} s",
        site.driver,
        site.queues,
        start.elapsed().as_secs_f64()
    );
    let mut failed = 0;
    for (name, test) in tests.iter().filter(|(name, _)| only.as_ref().is_none_or(|text| name.contains(text)))
    {
        let start = Instant::now();
        let result = site.is_quiet().and_then(|()| test(&site));
        let seconds = start.elapsed().as_secs_f64();
        match result {
            Ok(remark) => println!("  ok      {name} ({seconds:.1} s) {remark}"),
            Err(why) => {
                failed += 1;
                println!("  FAILED  {name} ({seconds:.1} s)");
                why.lines().for_each(|line| println!("          {line}"));
            }
        }
    }
    ExitCode::from(u8::from(failed > 0))
}
