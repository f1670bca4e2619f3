//! The request target (RFC 9112 section 3.2) to a path, and a path back to a URL.

use super::super::files::normalise;

/// Where a target leads: `path` has it, decoded and without dots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Where {
    /// It ends in a slash.
    pub(super) slash: bool,
    /// Where the query begins in the target, or its end.
    pub(super) query_at: usize,
}

/// Reads a target in origin or absolute form. `None`: it is neither, has a broken escape, a zero, or leads above the
/// root. `decoded` is working space.
pub(super) fn read(target: &str, decoded: &mut Vec<u8>, path: &mut Vec<u8>) -> Option<Where> {
    let start = if target.starts_with('/') {
        0
    } else {
        let rest = target.get(..7).filter(|scheme| scheme.eq_ignore_ascii_case("http://"))?;
        target[rest.len()..].find(['/', '?']).map_or(target.len(), |at| at + rest.len())
    };
    let query_at = target.find('?').unwrap_or(target.len());
    let raw = target.as_bytes().get(start..query_at.max(start)).unwrap_or_default();
    decoded.clear();
    let mut at = 0;
    while let Some(&byte) = raw.get(at) {
        if byte == b'%' {
            let digit = |at: usize| raw.get(at).and_then(|b| char::from(*b).to_digit(16));
            decoded.push((digit(at + 1)? << 4 | digit(at + 2)?) as u8);
            at += 3;
        } else if byte == b'#' {
            return None;
        } else {
            decoded.push(byte);
            at += 1;
        }
    }
    normalise(decoded, path)?;
    let slash =
        matches!(decoded.last(), None | Some(b'/')) || decoded.ends_with(b"/.") || decoded.ends_with(b"/..");
    Some(Where { slash, query_at })
}

/// Appends `path` as it is written in a URL.
pub(super) fn escape(path: &[u8], out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for byte in path {
        if byte.is_ascii_alphanumeric() || b"-._~/!$&'()*+,;=@".contains(byte) {
            out.push(*byte);
        } else {
            let hex = |n: u8| HEX.get(usize::from(n)).copied().unwrap_or_default();
            out.extend_from_slice(&[b'%', hex(byte >> 4), hex(byte & 15)]);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn path(target: &str) -> Option<(String, bool)> {
        let (mut decoded, mut path) = (Vec::new(), Vec::new());
        let found = read(target, &mut decoded, &mut path)?;
        Some((String::from_utf8_lossy(&path).into_owned(), found.slash))
    }

    #[test]
    fn targets_become_paths() {
        for (target, expected) in [
            ("/", ("", true)),
            ("/a/b", ("a/b", false)),
            ("/a/b/?x=/../..", ("a/b", true)),
            ("/a%20b%2Fc", ("a b/c", false)),
            ("/a/../b/..", ("", true)),
            ("http://host:80/x?y", ("x", false)),
            ("HTTP://host", ("", true)),
            ("http://host?x", ("", true)),
            ("//evil//x", ("evil/x", false)),
        ] {
            assert_eq!(path(target), Some((expected.0.to_owned(), expected.1)), "{target}");
        }
    }

    #[test]
    fn targets_that_lead_nowhere_are_refused() {
        for target in [
            "*",
            "host:80",
            "ftp://h/x",
            "/..",
            "/%2e%2e/x",
            "/a/..%2f..",
            "/%",
            "/%zz",
            "/%4",
            "/a%00",
            "/a#b",
        ] {
            assert_eq!(path(target), None, "{target}");
        }
    }

    proptest! {
        #[test]
        fn an_escaped_path_is_read_back(name in "\\PC{0,20}") {
            let name: String = name.split('/').filter(|p| !matches!(*p, "" | "." | "..")).collect::<Vec<_>>().join("/");
            let mut url = b"/".to_vec();
            escape(name.as_bytes(), &mut url);
            prop_assert_eq!(path(std::str::from_utf8(&url).unwrap()).map(|p| p.0), Some(name));
        }
    }
}
