//! URLs as the clients need them: scheme, host, port, credentials and an undecoded path.

use std::net::{IpAddr, SocketAddr};

use url::{Host, Url};

use crate::error::FetchError;
use crate::fetch::Credentials;

/// The protocols that are spoken here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// HTTP/1.1 without TLS.
    Http,
    /// FTP without TLS.
    Ftp,
}

/// A URL that a client can fetch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    url: Url,
    scheme: Scheme,
}

impl Target {
    /// Reads a URL. Without a scheme it is taken for HTTP, or for FTP if the host begins with "ftp.".
    pub fn parse(text: &str) -> Result<Target, FetchError> {
        let bad = |reason: String| FetchError::BadUrl { url: text.to_owned(), reason };
        if text.bytes().any(|b| b.is_ascii_control() || b == b' ') {
            return Err(bad("it contains a space or a control character".to_owned()));
        }
        let url = if text.contains("://") {
            Url::parse(text)
        } else {
            let scheme = if text.to_ascii_lowercase().starts_with("ftp.") { "ftp" } else { "http" };
            Url::parse(&format!("{scheme}://{text}"))
        };
        Target::from_url(url.map_err(|e| bad(e.to_string()))?)
    }

    fn from_url(url: Url) -> Result<Target, FetchError> {
        let scheme = match url.scheme() {
            "http" => Scheme::Http,
            "ftp" => Scheme::Ftp,
            other => return Err(FetchError::UnsupportedScheme(other.to_owned())),
        };
        let bad = |reason: &str| FetchError::BadUrl { url: url.to_string(), reason: reason.to_owned() };
        if url.host().is_none() {
            return Err(bad("it names no host"));
        }
        if url.port() == Some(0) {
            return Err(bad("port 0 cannot be connected to"));
        }
        Ok(Target { url, scheme })
    }

    /// Where a `Location` header leads from here (RFC 9110 section 10.2.2).
    pub(crate) fn join(&self, location: &str) -> Result<Target, FetchError> {
        let url = self
            .url
            .join(location)
            .map_err(|e| FetchError::BadUrl { url: location.to_owned(), reason: e.to_string() })?;
        let next = Target::from_url(url)?;
        match next.scheme {
            Scheme::Http => Ok(next),
            // A web page must not be able to make us speak another protocol.
            Scheme::Ftp => Err(FetchError::UnsupportedScheme("ftp, after a redirect".to_owned())),
        }
    }

    /// The protocol.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The URL, without its credentials.
    pub fn public_url(&self) -> String {
        let mut url = self.url.clone();
        // Both only fail for URLs without a host, which `from_url` has refused.
        let _ = url.set_username("");
        let _ = url.set_password(None);
        url.to_string()
    }

    /// The host's name, or its address without brackets.
    pub fn host(&self) -> String {
        match self.url.host() {
            Some(Host::Domain(name)) => name.to_owned(),
            Some(Host::Ipv4(ip)) => ip.to_string(),
            Some(Host::Ipv6(ip)) => ip.to_string(),
            None => String::new(),
        }
    }

    /// The host as an address, if it is one.
    pub fn host_ip(&self) -> Option<IpAddr> {
        match self.url.host()? {
            Host::Domain(_) => None,
            Host::Ipv4(ip) => Some(ip.into()),
            Host::Ipv6(ip) => Some(ip.into()),
        }
    }

    /// The port, the protocol's own unless another is given.
    pub fn port(&self) -> u16 {
        self.url.port().unwrap_or(match self.scheme {
            Scheme::Http => 80,
            Scheme::Ftp => 21,
        })
    }

    /// The value of HTTP's Host header: brackets around IPv6, a port unless it is the default.
    pub fn authority(&self) -> String {
        let host = self.url.host_str().unwrap_or_default();
        match self.url.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_owned(),
        }
    }

    /// The request target of HTTP: path and query, still encoded.
    pub fn path_and_query(&self) -> String {
        match self.url.query() {
            Some(query) => format!("{}?{query}", self.url.path()),
            None => self.url.path().to_owned(),
        }
    }

    /// The path, still encoded, beginning with a slash.
    pub fn path(&self) -> &str {
        self.url.path()
    }

    /// The last path segment as it stands in the URL, for naming a local file; `None` if the path
    /// ends in a slash.
    pub fn file_name(&self) -> Option<&str> {
        let name = self.url.path().rsplit('/').next()?;
        let name = match self.scheme {
            Scheme::Ftp => name.split(";type=").next()?,
            Scheme::Http => name,
        };
        (!name.is_empty()).then_some(name)
    }

    /// User and password from the URL, decoded.
    pub fn credentials(&self) -> Option<Credentials> {
        if self.url.username().is_empty() && self.url.password().is_none() {
            return None;
        }
        let text = |part: &str| String::from_utf8_lossy(&percent_decode(part)).into_owned();
        Some(Credentials {
            user: text(self.url.username()),
            password: text(self.url.password().unwrap_or_default()),
        })
    }

    /// Whether two URLs lead to the same server, so that credentials for one may go to the other.
    pub fn same_origin(&self, other: &Target) -> bool {
        self.scheme == other.scheme && self.url.host() == other.url.host() && self.port() == other.port()
    }
}

/// Undoes percent-encoding; a stray percent sign stands for itself.
pub fn percent_decode(text: &str) -> Vec<u8> {
    let hex = |b: u8| (b as char).to_digit(16).map(|d| d as u8);
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&b) = bytes.get(at) {
        let escaped = match (b, bytes.get(at + 1), bytes.get(at + 2)) {
            (b'%', Some(&high), Some(&low)) => hex(high).zip(hex(low)),
            _ => None,
        };
        match escaped {
            Some((high, low)) => {
                out.push(high << 4 | low);
                at += 3;
            }
            None => {
                out.push(b);
                at += 1;
            }
        }
    }
    out
}

/// `host:port`, with the brackets that IPv6 needs, for messages.
pub(crate) fn host_port(host: &str, port: u16) -> String {
    match host.parse::<IpAddr>() {
        Ok(ip) => SocketAddr::new(ip, port).to_string(),
        Err(_) => format!("{host}:{port}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_a_bare_host_for_http_and_ftp_dot_for_ftp() {
        assert_eq!(Target::parse("files.example/x").unwrap().public_url(), "http://files.example/x");
        assert_eq!(Target::parse("ftp.example/x").unwrap().scheme(), Scheme::Ftp);
        assert_eq!(Target::parse("host.example:8080/x").unwrap().port(), 8080);
    }

    #[test]
    fn reads_an_ipv6_literal() {
        let target = Target::parse("http://[2001:db8::1]:8080/a").unwrap();
        assert_eq!(target.host_ip(), Some("2001:db8::1".parse().unwrap()));
        assert_eq!(target.authority(), "[2001:db8::1]:8080");
    }

    #[test]
    fn decodes_credentials_and_hides_them() {
        let target = Target::parse("ftp://me%40home:p%3Aw@h/f").unwrap();
        let credentials = target.credentials().unwrap();
        assert_eq!((credentials.user.as_str(), credentials.password.as_str()), ("me@home", "p:w"));
        assert_eq!(target.public_url(), "ftp://h/f");
    }

    #[test]
    fn refuses_what_cannot_be_fetched() {
        let code = |text: &str| Target::parse(text).unwrap_err().exit_code();
        assert_eq!(code("gopher://h/"), 1);
        assert_eq!(code("http://"), 3);
        assert_eq!(code("http://h:99999/"), 3);
        assert_eq!(code("http://h:0/"), 3);
        assert_eq!(code("http://h/a\r\nX: y"), 3);
    }

    #[test]
    fn a_redirect_cannot_change_to_ftp() {
        let from = Target::parse("http://h/a/b").unwrap();
        assert_eq!(from.join("../c?d").unwrap().public_url(), "http://h/c?d");
        assert_eq!(from.join("ftp://h/x").unwrap_err().exit_code(), 1);
    }

    #[test]
    fn a_stray_percent_sign_stands_for_itself() {
        assert_eq!(percent_decode("100%/%41%4"), b"100%/A%4");
    }
}
