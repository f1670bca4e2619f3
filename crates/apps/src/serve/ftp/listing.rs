//! Directories as FTP tells of them: LIST in the manner of `ls -l`, NLST, and the facts of MLSD and MLST (RFC 3659
//! section 7).

use crate::serve::civil::Civil;
use crate::serve::files::{DirEntry, Facts};

/// Half a year: `ls` shows the year of what is older, and the time of what is younger.
const HALF_A_YEAR: i64 = 15_778_476;

/// How a listing looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    List,
    Names,
    Facts,
}

/// The lines of `entries`. Names that would break a line are left out.
pub(super) fn lines(form: Form, entries: &[DirEntry], now: i64, writable: bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(entries.len() * 80);
    for entry in entries {
        if entry.name.iter().any(|b| matches!(b, b'\r' | b'\n')) {
            continue;
        }
        match form {
            Form::List => list(&entry.facts, now, &mut out),
            Form::Names => {}
            Form::Facts => {
                out.extend_from_slice(facts(&entry.facts, writable).as_bytes());
                out.push(b' ');
            }
        }
        out.extend_from_slice(&entry.name);
        out.extend_from_slice(b"\r\n");
    }
    out
}

fn list(facts: &Facts, now: i64, out: &mut Vec<u8>) {
    out.push(if facts.is_dir { b'd' } else { b'-' });
    for shift in [6, 3, 0] {
        let bits = facts.mode >> shift;
        for (bit, letter) in [(4, b'r'), (2, b'w'), (1, b'x')] {
            out.push(if bits & bit == 0 { b'-' } else { letter });
        }
    }
    let time = Civil::of(facts.modified);
    let recent = (now - HALF_A_YEAR..=now + 86_400).contains(&facts.modified);
    let moment =
        if recent { format!("{:02}:{:02}", time.hour, time.minute) } else { format!("{:5}", time.year) };
    let rest = format!(" 1 ftp ftp {:>12} {} {:2} {moment} ", facts.len, time.month_name(), time.day);
    out.extend_from_slice(rest.as_bytes());
}

/// The facts of one thing, each with its semicolon.
pub(super) fn facts(facts: &Facts, writable: bool) -> String {
    let time = Civil::of(facts.modified).compact();
    match (facts.is_dir, writable) {
        (true, false) => format!("type=dir;modify={time};perm=el;"),
        (true, true) => format!("type=dir;modify={time};perm=elcmfdp;"),
        (false, false) => format!("type=file;size={};modify={time};perm=r;", facts.len),
        (false, true) => format!("type=file;size={};modify={time};perm=radfw;", facts.len),
    }
}
