//! The path of an FTP URL as the commands that it stands for (RFC 1738 section 3.2.2): a CWD for each
//! directory, and the file's name.

use crate::error::FetchError;
use crate::target::{Target, percent_decode};

/// What kind of transfer the URL asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// TYPE I: as it is.
    Image,
    /// TYPE A: with line ends translated.
    Ascii,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FtpPath {
    /// Directories to change into, one after the other, from where the login leads to.
    pub(super) directories: Vec<Vec<u8>>,
    /// The file; none asks for a listing.
    pub(super) file: Option<Vec<u8>>,
    pub(super) kind: Kind,
}

impl FtpPath {
    pub(super) fn of(target: &Target) -> Result<FtpPath, FetchError> {
        let bad = |reason: &str| FetchError::BadUrl { url: target.public_url(), reason: reason.to_owned() };
        let path = target.path();
        let (path, kind) = match path.rsplit_once(";type=") {
            None => (path, Kind::Image),
            Some((path, "i" | "I")) => (path, Kind::Image),
            Some((path, "a" | "A")) => (path, Kind::Ascii),
            Some((_, _)) => return Err(bad("its ;type= is neither i nor a")),
        };
        let path = path.strip_prefix('/').unwrap_or(path);
        let mut segments: Vec<Vec<u8>> = path.split('/').map(percent_decode).collect();
        // A line end in a name would smuggle commands in.
        if segments.iter().flatten().any(|b| *b < b' ' || *b == 0x7f) {
            return Err(bad("its path contains a control character"));
        }
        let file = segments.pop().filter(|name| !name.is_empty());
        // "//x" begins at the root; further empty segments mean nothing.
        if let Some(first) = segments.first_mut().filter(|first| first.is_empty()) {
            first.push(b'/');
        }
        segments.retain(|segment| !segment.is_empty());
        Ok(FtpPath { directories: segments, file, kind })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(url: &str) -> (Vec<String>, Option<String>) {
        let path = FtpPath::of(&Target::parse(url).unwrap()).unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (path.directories.into_iter().map(text).collect(), path.file.map(text))
    }

    fn dirs(names: &[&str]) -> Vec<String> {
        names.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn changes_into_each_directory() {
        assert_eq!(path("ftp://h/pub/a%20b/file"), (dirs(&["pub", "a b"]), Some("file".into())));
        assert_eq!(path("ftp://h/file"), (dirs(&[]), Some("file".into())));
    }

    #[test]
    fn an_encoded_slash_begins_at_the_root() {
        assert_eq!(path("ftp://h/%2Fetc/motd"), (dirs(&["/etc"]), Some("motd".into())));
        assert_eq!(path("ftp://h//etc/motd"), (dirs(&["/", "etc"]), Some("motd".into())));
    }

    #[test]
    fn a_final_slash_asks_for_a_listing() {
        assert_eq!(path("ftp://h/pub/"), (dirs(&["pub"]), None));
        assert_eq!(path("ftp://h"), (dirs(&[]), None));
    }

    #[test]
    fn line_ends_cannot_be_smuggled_in() {
        for url in ["ftp://h/a%0d%0aDELE%20b", "ftp://h/%00", "ftp://h/a%0Ab/f"] {
            let error = FtpPath::of(&Target::parse(url).unwrap()).unwrap_err();
            assert_eq!(error.exit_code(), 3, "{url}");
        }
    }

    #[test]
    fn reads_the_transfer_type() {
        let kind = |url: &str| FtpPath::of(&Target::parse(url).unwrap()).map(|path| path.kind);
        assert_eq!(kind("ftp://h/f;type=a").unwrap(), Kind::Ascii);
        assert_eq!(kind("ftp://h/f;type=i").unwrap(), Kind::Image);
        assert_eq!(kind("ftp://h/f;type=x").unwrap_err().exit_code(), 3);
    }
}
