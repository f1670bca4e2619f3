//! The style tcpdump held against tcpdump itself.

use bypath_trace::style::Names;
use bypath_trace::style::tcpdump::{Dump, Options, Tcpdump, TimeForm};

use super::build::{ethernet, pcap};
use super::{assert_same_lines, printed, tcpdump_is_4_99, tool};

/// Options as they are given to tcpdump, and what they are here.
pub(crate) fn options(flags: &str) -> Options {
    let count = |letter| flags.matches(letter).count();
    let dump = match () {
        () if count('X') > 0 => Dump::HexAscii,
        () if count('x') > 0 => Dump::Hex,
        () if count('A') > 0 => Dump::Ascii,
        () => Dump::None,
    };
    Options {
        time: TimeForm::of_count(count('t') as u8).unwrap(),
        verbose: count('v') as u8,
        link: count('e') > 0,
        absolute: count('S') > 0,
        dump,
        dump_link: count('x').max(count('X')).max(count('A')) > 1,
        numeric: count('n') > 0,
        numbers: count('#') > 0,
    }
}

pub(crate) fn compare(capture: &[u8], flags: &[&str]) {
    if !tcpdump_is_4_99() {
        return;
    }
    for flags in flags {
        let theirs = tool("tcpdump", &["-r", "-", flags], capture);
        // The zone of the environment is tcpdump's alone, so lines with local times are compared where there is none.
        let ours = printed(&mut Tcpdump::new(options(flags), Names::of_system()), capture);
        assert_same_lines(&ours, &theirs, flags);
    }
}

/// Everything but local times.
pub(crate) const FLAGS: &[&str] = &[
    "-nt", "-ntv", "-ntvv", "-ntvvv", "-nte", "-ntev", "-ntS", "-ntSvv", "-ntt", "-nttt", "-nttttt", "-ntX",
    "-ntXX", "-ntx", "-ntxx", "-ntA", "-ntAA", "-nt#", "-ntevvX#",
];

pub(crate) fn compare_frames(packets: &[Vec<u8>]) {
    compare(&pcap(1, packets), FLAGS);
}

pub(crate) fn v4_frames(packets: impl IntoIterator<Item = Vec<u8>>) -> Vec<Vec<u8>> {
    packets.into_iter().map(|packet| ethernet(0x0800, &packet)).collect()
}
