//! What a target is, by pattern: ADDRESS:PORT or NAME:PORT, or a URL; and lists of pages and files.

use std::net::{SocketAddr, ToSocketAddrs};
use std::path::Path;

use bypath_apps::{Scheme, Target};
use bypath_measure::load::Page;
use bypath_measure::result::ErrorCode;

pub(super) type Failure = (ErrorCode, String);

pub(super) fn usage<T>(why: impl Into<String>) -> Result<T, Failure> {
    Err((ErrorCode::Usage, why.into()))
}

/// The address of `HOST:PORT`, of the family that is wanted.
pub(super) fn address(text: &str, v4: bool, v6: bool) -> Result<SocketAddr, Failure> {
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    let Some((host, port)) = text.rsplit_once(':') else {
        return usage(format!("\"{text}\" has no port: write HOST:PORT"));
    };
    let Ok(port) = port.parse::<u16>() else {
        return usage(format!("\"{port}\" is not a port: write HOST:PORT, and IPv6 addresses in brackets"));
    };
    resolve(host.trim_start_matches('[').trim_end_matches(']'), port, v4, v6)
}

/// The address of a URL's server.
pub(super) fn server(target: &Target, v4: bool, v6: bool) -> Result<SocketAddr, Failure> {
    match target.host_ip() {
        Some(ip) => Ok(SocketAddr::new(ip, target.port())),
        None => resolve(&target.host(), target.port(), v4, v6),
    }
}

/// Asks the system's resolver: names are looked up once, before the engine starts.
fn resolve(host: &str, port: u16, v4: bool, v6: bool) -> Result<SocketAddr, Failure> {
    let addresses = (host, port).to_socket_addrs();
    let addresses = addresses.map_err(|e| (ErrorCode::Resolve, format!("{host}: {e}")))?;
    let mut fitting = addresses.filter(|a| (!v4 || a.is_ipv4()) && (!v6 || a.is_ipv6()));
    fitting.next().ok_or_else(|| (ErrorCode::Resolve, format!("{host} has no address of that family")))
}

/// Reads a URL.
pub(super) fn url(text: &str) -> Result<Target, Failure> {
    Target::parse(text).map_err(|error| (ErrorCode::Usage, error.to_string()))
}

/// The pages of a list: one on each line, a path below the target or a whole URL of the same server, with a weight
/// behind it if it is not 1. Empty lines and those that begin with # are left out.
pub(super) fn pages(target: &Target, list: Option<&Path>) -> Result<Vec<Page>, Failure> {
    let Some(list) = list else {
        return Ok(vec![Page { path: target.path_and_query(), weight: 1 }]);
    };
    let text = std::fs::read_to_string(list)
        .map_err(|error| (ErrorCode::Usage, format!("reading {}: {error}", list.display())))?;
    let mut pages = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let mut words = line.split_whitespace();
        let Some(page) = words.next().filter(|word| !word.starts_with('#')) else { continue };
        let place = || format!("{}, line {}", list.display(), number + 1);
        let weight = match words.next().map(str::parse) {
            None => 1,
            Some(Ok(weight)) if words.next().is_none() => weight,
            _ => return usage(format!("{}: write a path, and a whole number as its weight", place())),
        };
        pages.push(Page {
            path: path_of(target, page).map_err(|why| (ErrorCode::Usage, format!("{}: {why}", place())))?,
            weight,
        });
    }
    if pages.is_empty() {
        return usage(format!("{} has no pages", list.display()));
    }
    Ok(pages)
}

fn path_of(target: &Target, page: &str) -> Result<String, String> {
    let whole = if page.contains("://") {
        page.to_owned()
    } else {
        let scheme = if target.scheme() == Scheme::Ftp { "ftp" } else { "http" };
        let base = target.path().rsplit_once('/').map_or("", |(base, _)| base);
        let path = if page.starts_with('/') { page.to_owned() } else { format!("{base}/{page}") };
        format!("{scheme}://{}{path}", target.authority())
    };
    let parsed = Target::parse(&whole).map_err(|error| error.to_string())?;
    if !parsed.same_origin(target) {
        return Err(format!("{page} is on another server"));
    }
    Ok(parsed.path_and_query())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_what_is_missing_is_told() {
        assert_eq!(address("198.18.0.2:7", false, false), Ok("198.18.0.2:7".parse().unwrap()));
        assert_eq!(address("[fd00::1]:7", false, false), Ok("[fd00::1]:7".parse().unwrap()));
        assert_eq!(address("localhost:7", true, false), Ok("127.0.0.1:7".parse().unwrap()));
        for bad in ["198.18.0.2", "198.18.0.2:x", "198.18.0.2:70000"] {
            assert_eq!(address(bad, false, false).unwrap_err().0, ErrorCode::Usage, "{bad}");
        }
    }

    #[test]
    fn a_list_of_pages_has_paths_and_weights() {
        let dir = tempfile::tempdir().unwrap();
        let list = dir.path().join("list");
        let target = url("http://h:81/dir/index").unwrap();
        let read = |text: &str| {
            std::fs::write(&list, text).unwrap();
            pages(&target, Some(&list))
        };
        let page = |path: &str, weight| Page { path: path.into(), weight };
        let text = "# files\na 3\n\n/b\nhttp://h:81/c?x=1 2\n";
        assert_eq!(read(text), Ok(vec![page("/dir/a", 3), page("/b", 1), page("/c?x=1", 2)]));
        assert!(
            read("a b\n").unwrap_err().1.ends_with("line 1: write a path, and a whole number as its weight")
        );
        assert!(read("http://other/\n").unwrap_err().1.contains("another server"));
        assert!(read("\n").is_err());
    }
}
