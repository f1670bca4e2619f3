//! The story of transfers in simulated networks, where it is known what was lost and why.

use bypath_sim::app::Script;
use bypath_sim::link::LinkSpec;
use bypath_sim::loss::Loss;
use bypath_sim::plan::{HostPlan, Plan};
use bypath_sim::runner;
use bypath_trace::read::Capture;
use bypath_trace::story::{Detail, Story};
use bypath_trace::style::Style;

/// The story of a transfer of which the data packets of these numbers are lost, as its sender saw it.
fn story(bytes: u64, lost: &[u64], detail: Detail) -> String {
    let there = LinkSpec { loss: Loss::Exactly(lost.to_vec()), ..LinkSpec::default() };
    let plan = Plan::pair(3, [HostPlan::default(), HostPlan::default()], there, LinkSpec::default());
    told(&plan.with(Script::bulk(bytes), Script::sink()), detail)
}

fn told(plan: &Plan, detail: Detail) -> String {
    let capture = runner::capture_plan(plan).expect("a run");
    let mut reader = Capture::open(capture.as_bytes()).expect("a capture");
    let mut story = Story::new(detail);
    let mut out = Vec::new();
    while let Some(record) = reader.next_record().expect("whole") {
        story.record(&record, &mut out).expect("memory");
    }
    story.end(&mut out).expect("memory");
    let text = String::from_utf8(out).expect("text");
    if std::env::var_os("SHOW").is_some() {
        println!("{text}");
    }
    // In one line each, however they were broken.
    text.lines().fold(String::new(), |told, line| match line.strip_prefix("      ") {
        Some(rest) if !rest.trim_start().starts_with(|c: char| c.is_ascii_digit()) => {
            format!("{told} {}", rest.trim_start())
        }
        _ => format!("{told}\n{line}"),
    })
}

#[test]
fn a_segment_lost_in_the_middle_is_sent_again_because_sack_shows_it() {
    let told = story(60_000, &[8], Detail::Normal);
    assert!(told.contains("something behind it has arrived (duplicate ACK)"), "{told}");
    assert!(told.contains("so it counts as lost"), "{told}");
    assert!(told.contains("The client sent 1 segment again"), "{told}");
    assert!(told.contains("1 by duplicate ACKs and SACK"), "{told}");
}

#[test]
fn a_lost_tail_is_probed_for_and_the_story_says_so() {
    // 42 segments carry 60,000 bytes; the last is lost.
    let told = story(60_000, &[41], Detail::Normal);
    assert!(told.contains("a tail loss probe"), "{told}");
    assert!(told.contains("1 as tail loss probes"), "{told}");
}

#[test]
fn silence_ends_in_timeouts_that_double_and_the_story_counts_them() {
    // The only data packet, its probe and the first timeouts.
    let told = story(1_000, &[0, 1, 2, 3], Detail::Normal);
    assert!(told.contains("the retransmission timer ran out"), "{told}");
    assert!(told.contains("time in a row; it doubles each time"), "{told}");
}

#[test]
fn a_short_story_tells_of_losses_and_counts_the_rest() {
    let told = story(60_000, &[8], Detail::Short);
    assert!(told.contains("so it counts as lost"), "{told}");
    assert!(told.contains("with 14,480 bytes from the client") || told.contains("segments with"), "{told}");
    assert!(told.lines().count() < 40, "{told}");
}

#[test]
fn a_full_story_has_all_numbers() {
    let told = story(3_000, &[], Detail::Full);
    assert!(told.contains("seq 1:1449; ack 1; window"), "{told}");
    assert!(told.contains("client SYN-SENT, server LISTEN"), "{told}");
    assert!(told.contains("client LAST-ACK") || told.contains("client FIN-WAIT-1"), "{told}");
}
