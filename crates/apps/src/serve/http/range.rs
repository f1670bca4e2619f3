//! The Range header (RFC 9110 section 14).

use arrayvec::ArrayVec;

use super::request::digits;

/// Ranges of one answer; who asks for more gets the whole.
pub(super) const MOST_RANGES: usize = 16;

/// First byte and the byte after the last.
pub(super) type Part = (u64, u64);

/// What a Range header asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(clippy::large_enum_variant, reason = "it lives on the stack while one request is answered")]
pub(super) enum Ranges {
    /// Nothing that is understood or sensible: the whole is the answer.
    Whole,
    /// Nothing that the file has.
    Unsatisfiable,
    /// These parts, in the order in which they were asked for.
    Parts(ArrayVec<Part, MOST_RANGES>),
}

/// Reads the header's value for a file of `len` bytes.
pub(super) fn parse(value: &[u8], len: u64) -> Ranges {
    let Some((unit, set)) = value.split_at_checked(6) else { return Ranges::Whole };
    if !unit.eq_ignore_ascii_case(b"bytes=") {
        return Ranges::Whole;
    }
    let mut parts = ArrayVec::new();
    let mut asked = 0u64;
    for spec in set.split(|b| *b == b',') {
        let spec = spec.trim_ascii();
        if spec.is_empty() {
            continue;
        }
        let Some(part) = one(spec, len) else { return Ranges::Whole };
        if let Some((first, end)) = part {
            asked = asked.saturating_add(end - first);
            if parts.try_push((first, end)).is_err() {
                return Ranges::Whole;
            }
        }
    }
    // RFC 9110 section 14.2: ranges that overlap so that they are more than the file are an attack.
    if parts.len() > 1 && asked > len {
        return Ranges::Whole;
    }
    if parts.is_empty() { Ranges::Unsatisfiable } else { Ranges::Parts(parts) }
}

/// One range: `None` when it is none, nothing inside when the file has nothing of it.
fn one(spec: &[u8], len: u64) -> Option<Option<Part>> {
    let dash = spec.iter().position(|b| *b == b'-')?;
    let (first, last) = (&spec[..dash], &spec[dash + 1..]);
    let part = match (first, last) {
        (b"", count) => {
            let count = digits(count)?.min(len);
            (len - count, len)
        }
        (first, b"") => (digits(first)?, len),
        (first, last) => {
            let (first, last) = (digits(first)?, digits(last)?);
            if last < first {
                return None;
            }
            (first, last.saturating_add(1).min(len))
        }
    };
    Some((part.0 < part.1).then_some(part))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parts(value: &str) -> Vec<Part> {
        match parse(value.as_bytes(), 1000) {
            Ranges::Parts(parts) => parts.to_vec(),
            other => panic!("{value}: {other:?}"),
        }
    }

    #[test]
    fn ranges_are_cut_to_the_file() {
        assert_eq!(parts("bytes=0-0"), [(0, 1)]);
        assert_eq!(parts("Bytes=900-"), [(900, 1000)]);
        assert_eq!(parts("bytes=-1"), [(999, 1000)]);
        assert_eq!(parts("bytes=-5000"), [(0, 1000)]);
        assert_eq!(parts("bytes=990-18446744073709551"), [(990, 1000)]);
        assert_eq!(parts("bytes=5-6, 0-1 ,2000-, -2"), [(5, 7), (0, 2), (998, 1000)]);
    }

    #[test]
    fn what_is_not_there_is_unsatisfiable_and_what_makes_no_sense_is_ignored() {
        for none in ["bytes=1000-", "bytes=-0", "bytes=1000-2000,5000-"] {
            assert_eq!(parse(none.as_bytes(), 1000), Ranges::Unsatisfiable, "{none}");
        }
        for whole in ["bytes=2-1", "bytes=a-", "bytes=-", "lines=0-1", "bytes", "bytes=1-2;3", "bytes=1--2"] {
            assert_eq!(parse(whole.as_bytes(), 1000), Ranges::Whole, "{whole}");
        }
        assert_eq!(parse(b"bytes=0-", 0), Ranges::Unsatisfiable);
    }

    #[test]
    fn too_many_ranges_or_too_much_of_the_same_is_the_whole() {
        let many = format!("bytes={}", "0-0,".repeat(MOST_RANGES + 1));
        assert_eq!(parse(many.as_bytes(), 1000), Ranges::Whole);
        assert_eq!(parse(b"bytes=0-,0-,0-", 1000), Ranges::Whole);
    }

    proptest! {
        #[test]
        fn parts_lie_in_the_file(value in "bytes=[0-9,\\- ]{0,40}", len in 0u64..10_000) {
            if let Ranges::Parts(parts) = parse(value.as_bytes(), len) {
                prop_assert!(!parts.is_empty());
                for (first, end) in parts {
                    prop_assert!(first < end && end <= len);
                }
            }
        }
    }
}
