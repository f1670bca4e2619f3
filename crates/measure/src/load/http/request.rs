//! What is asked for: methods, pages, headers, bodies, made into bytes once before the run.

use std::sync::Arc;

use crate::load::settings::Impossible;
use crate::load::wire::{Wire, send_all};

/// Bodies up to this size go into one buffer with their head.
const SMALL: usize = 16 * 1024;

/// How a page is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Method {
    /// GET.
    #[default]
    Get,
    /// HEAD: answers have no body.
    Head,
    /// POST, with a body.
    Post,
    /// PUT, with a body.
    Put,
}

impl Method {
    /// As it stands in the request.
    pub fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Post => "POST",
            Self::Put => "PUT",
        }
    }
}

/// A page of the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// Path and query, encoded.
    pub path: String,
    /// How often it is asked for in a round through all pages.
    pub weight: u32,
}

/// Of `http`.
#[derive(Clone, Debug)]
pub struct HttpSettings {
    /// Value of the Host header.
    pub authority: String,
    /// Asked for in turn.
    pub pages: Vec<Page>,
    /// How.
    pub method: Method,
    /// Further header lines, `Name: value`.
    pub headers: Vec<String>,
    /// Sent with POST and PUT.
    pub body: Arc<Vec<u8>>,
    /// Connections are kept for many requests.
    pub keep_alive: bool,
    /// What every body must be, if it is known.
    pub expected_body: Option<Arc<Vec<u8>>>,
    /// The status that every answer must have; any 2xx otherwise.
    pub expected_status: Option<u16>,
}

impl HttpSettings {
    /// Whether they can be.
    pub(in crate::load) fn check(&self) -> Result<(), Impossible> {
        let impossible = |why: String| Err(Impossible(why));
        if self.pages.iter().all(|page| page.weight == 0) {
            return impossible("there is no page to ask for: give a URL".into());
        }
        if self.pages.iter().map(|page| u64::from(page.weight)).sum::<u64>() > 1_000_000 {
            return impossible("the weights of all pages together are above 1000000: lower them".into());
        }
        for header in &self.headers {
            let name = header.split_once(':').map(|(name, _)| name).unwrap_or_default();
            let good = !name.is_empty() && name.bytes().all(|b| b.is_ascii_graphic() && b != b':');
            if !good || header.bytes().any(|b| b == b'\r' || b == b'\n') {
                return impossible(format!("\"{header}\" is not a header: write Name: value"));
            }
            if ["content-length", "transfer-encoding", "connection"]
                .iter()
                .any(|own| name.eq_ignore_ascii_case(own))
            {
                return impossible(format!("the header {name} is set by bypath: see --body and --close"));
            }
        }
        Ok(())
    }

    /// The requests of one round, as bytes.
    pub(super) fn requests(&self) -> Vec<Prepared> {
        let pages = self.pages.iter().filter(|page| page.weight > 0);
        let prepared: Vec<(u32, Prepared)> = pages.map(|page| (page.weight, self.prepare(page))).collect();
        // A page of weight three is not asked for three times in a row when there are others.
        let most = prepared.iter().map(|(weight, _)| *weight).max().unwrap_or(0);
        let mut round = Vec::new();
        for turn in 0..most {
            round.extend(prepared.iter().filter(|(weight, _)| *weight > turn).map(|(_, p)| p.clone()));
        }
        round
    }

    fn prepare(&self, page: &Page) -> Prepared {
        let mut head =
            format!("{} {} HTTP/1.1\r\nHost: {}\r\n", self.method.name(), page.path, self.authority);
        let given = |name: &str| {
            self.headers.iter().any(|h| h.split(':').next().is_some_and(|n| n.eq_ignore_ascii_case(name)))
        };
        if !given("user-agent") {
            head.push_str(concat!("User-Agent: bypath/", env!("CARGO_PKG_VERSION"), "\r\n"));
        }
        if !given("accept") {
            head.push_str("Accept: */*\r\n");
        }
        for header in &self.headers {
            head.push_str(header);
            head.push_str("\r\n");
        }
        if !self.keep_alive {
            head.push_str("Connection: close\r\n");
        }
        let with_body = matches!(self.method, Method::Post | Method::Put);
        if with_body {
            head.push_str(&format!("Content-Length: {}\r\n", self.body.len()));
        }
        head.push_str("\r\n");
        let mut head = head.into_bytes();
        let mut body = None;
        if with_body && self.body.len() <= SMALL {
            head.extend_from_slice(&self.body);
        } else if with_body {
            body = Some(self.body.clone());
        }
        Prepared { head: Arc::new(head), body }
    }
}

/// A request as bytes.
#[derive(Clone, Debug)]
pub(super) struct Prepared {
    head: Arc<Vec<u8>>,
    body: Option<Arc<Vec<u8>>>,
}

impl Prepared {
    pub(super) fn send(&self, wire: &mut dyn Wire) {
        send_all(wire, &self.head);
        if let Some(body) = &self.body {
            wire.send(body.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(in crate::load::http) fn settings(method: Method) -> HttpSettings {
        HttpSettings {
            authority: "server:8080".into(),
            pages: vec![Page { path: "/a".into(), weight: 2 }, Page { path: "/b".into(), weight: 1 }],
            method,
            headers: vec!["X-Test: 1".into()],
            body: Arc::new(b"body".to_vec()),
            keep_alive: true,
            expected_body: None,
            expected_status: None,
        }
    }

    fn text(prepared: &Prepared) -> String {
        String::from_utf8_lossy(&prepared.head).into_owned()
    }

    #[test]
    fn a_round_has_each_page_as_often_as_it_weighs() {
        let round = settings(Method::Get).requests();
        let lines: Vec<String> = round.iter().map(|p| text(p).lines().next().unwrap().to_owned()).collect();
        assert_eq!(lines, ["GET /a HTTP/1.1", "GET /b HTTP/1.1", "GET /a HTTP/1.1"]);
    }

    #[test]
    fn a_post_has_its_body_and_its_length() {
        let round = HttpSettings { keep_alive: false, ..settings(Method::Post) }.requests();
        let text = text(&round[0]);
        assert!(text.contains("\r\nContent-Length: 4\r\n\r\nbody"), "{text}");
        assert!(text.contains("\r\nConnection: close\r\n"), "{text}");
        assert!(text.contains("\r\nX-Test: 1\r\n"), "{text}");
    }

    #[test]
    fn headers_that_would_break_the_request_are_refused() {
        for bad in ["no colon", "A: b\r\nC: d", "Content-Length: 5", ": x", "Na me: x"] {
            let settings = HttpSettings { headers: vec![bad.into()], ..settings(Method::Get) };
            assert!(settings.check().is_err(), "{bad:?}");
        }
        assert_eq!(settings(Method::Get).check(), Ok(()));
    }
}
