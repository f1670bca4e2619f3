//! What lets others in, and is left out of a story: passwords, tokens and what stands for them, in commands, addresses
//! and fields. What a story quotes of an application passes through here.

use crate::app::Command;
use crate::app::http::Http;
use crate::printable::Printable;

use super::sentences;

/// Which words a line of commands begins with.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Language {
    Ftp,
    Pop3,
    Smtp,
}

/// A command, without what is secret in it.
pub(super) fn command(command: &Command<'_>, language: Language) -> String {
    // Servers are lenient about blanks, so words are told apart here, not by the first space.
    let line = [command.verb, b" ", command.argument].concat();
    let mut words = line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    let verb = words.next().unwrap_or_default();
    let is = |name: &str| verb.eq_ignore_ascii_case(name.as_bytes());
    let open = match language {
        Language::Ftp if is("PASS") || is("ACCT") || is("ADAT") => 0,
        Language::Pop3 if is("PASS") => 0,
        // A name, and a digest that can be tried against passwords (RFC 1939 §7).
        Language::Pop3 if is("APOP") => 1,
        // A mechanism, and perhaps an initial response (RFC 4954 §4, RFC 5034 §4).
        Language::Pop3 | Language::Smtp if is("AUTH") => 1,
        // Answers to challenges that came unasked, or whose challenge was not captured.
        Language::Pop3 | Language::Smtp if !is_word(verb) => return sentences::secret().to_owned(),
        _ => return command.to_string(),
    };
    let mut told = verb.to_ascii_uppercase();
    for word in words.by_ref().take(open) {
        told.push(b' ');
        told.extend(word);
    }
    let told = Printable(&told).to_string();
    if words.next().is_some() { format!("{told} {}", sentences::secret()) } else { told }
}

/// Whether this may be the word of a command: the Base64 of a log-in hardly ever is.
fn is_word(verb: &[u8]) -> bool {
    verb.len() <= 10 && verb.iter().all(u8::is_ascii_alphabetic)
}

/// A first line or field of HTTP, or a line that is neither, without what is secret in it.
pub(super) fn http(http: &Http<'_>) -> String {
    match *http {
        Http::Request { method, target, version } => {
            // `CONNECT` has an authority alone (RFC 9112 §3.2.3).
            let bare = if target.contains(&b'/') { None } else { after_userinfo(target) };
            let target = match bare {
                Some(rest) => [sentences::secret().as_bytes(), &target[rest..]].concat(),
                None => text(target),
            };
            Http::Request { method, target: &target, version }.to_string()
        }
        Http::Field { name, .. } if is_secret_field(name) => {
            format!("{}: {}", Printable(name), sentences::secret())
        }
        Http::Field { name, value } => Http::Field { name, value: &text(value) }.to_string(),
        // The rest of a field that went over several lines, whichever it was.
        Http::Other([b' ' | b'\t', ..]) => sentences::secret().to_owned(),
        Http::Other(line) => match line.iter().position(|&byte| byte == b':') {
            Some(colon) if is_secret_field(&line[..colon]) => {
                format!("{}: {}", Printable(&line[..colon]), sentences::secret())
            }
            _ => Http::Other(&text(line)).to_string(),
        },
        http => http.to_string(),
    }
}

/// Fields of HTTP that let others in, and what begins with a blank: more of the field before it.
fn is_secret_field(name: &[u8]) -> bool {
    let named = [&b"authorization"[..], b"proxy-authorization", b"cookie", b"set-cookie"]
        .iter()
        .any(|secret| name.trim_ascii().eq_ignore_ascii_case(secret));
    named || name.starts_with(b" ") || name.starts_with(b"\t") || is_secret_name(name)
}

/// Where in an authority the host begins, if a user is named before it.
fn after_userinfo(authority: &[u8]) -> Option<usize> {
    let end = authority.iter().position(|byte| b"/?# ".contains(byte)).unwrap_or(authority.len());
    authority[..end].iter().rposition(|&byte| byte == b'@')
}

/// A text without what is secret in the addresses in it: users and their passwords, and parameters that say by their names that
/// they are secret.
fn text(line: &[u8]) -> Vec<u8> {
    let mut told = Vec::with_capacity(line.len());
    let mut at = 0;
    while at < line.len() {
        if line[at..].starts_with(b"://") {
            told.extend(b"://");
            at += 3;
            if let Some(host) = after_userinfo(&line[at..]) {
                told.extend(sentences::secret().as_bytes());
                at += host;
            }
            continue;
        }
        told.push(line[at]);
        at += 1;
        if !b"?&;#".contains(&line[at - 1]) {
            continue;
        }
        let name = &line[at..];
        let Some(equals) = name.iter().position(|byte| b"=?&;# ".contains(byte)) else { continue };
        if name[equals] != b'=' || !is_secret_name(&name[..equals]) {
            continue;
        }
        // Up to what no value can hold: a blank would be one, were the address well-formed.
        let value = &name[equals + 1..];
        let len = value.iter().position(|byte| b"&#".contains(byte)).unwrap_or(value.len());
        told.extend(&name[..=equals]);
        told.extend(sentences::secret().as_bytes());
        at += equals + 1 + len;
    }
    told
}

/// Whether a name says that its value is secret, however it is written: `access_token`, `X-Api-Key`, `user%5Bpassword%5D`.
fn is_secret_name(name: &[u8]) -> bool {
    const ANYWHERE: [&str; 7] =
        ["password", "passwd", "passphrase", "secret", "token", "apikey", "signature"];
    const WHOLE_WORDS: [&str; 3] = ["pass", "pwd", "sig"];
    let mut words = String::with_capacity(name.len());
    let mut rest = name;
    while let [first, after @ ..] = rest {
        let (byte, after) = match rest {
            [b'%', high, low, after @ ..] => (unescaped(*high, *low).unwrap_or(b'%'), after),
            _ => (*first, after),
        };
        words.push(if byte.is_ascii_alphanumeric() { byte.to_ascii_lowercase().into() } else { ' ' });
        rest = after;
    }
    let joined = words.replace(' ', "");
    ANYWHERE.iter().any(|secret| joined.contains(secret))
        || words.split(' ').any(|word| WHOLE_WORDS.contains(&word))
        || joined.ends_with("pwd")
}

fn unescaped(high: u8, low: u8) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    u8::try_from(digit(high)? * 16 + digit(low)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(line: &str) -> String {
        String::from_utf8(text(line.as_bytes())).unwrap().replace(sentences::secret(), "*")
    }

    #[test]
    fn only_what_is_secret_is_left_out_of_an_address() {
        for (line, without) in [
            ("/x?a=1&password=pw&b=2#c", "/x?a=1&password=*&b=2#c"),
            ("/x?Access_Token=t", "/x?Access_Token=*"),
            ("/x?api%5Fkey=t&apikey=u&pass%77ord=v", "/x?api%5Fkey=*&apikey=*&pass%77ord=*"),
            ("/x?user[pwd]=v;sig=w", "/x?user[pwd]=*"),
            ("/x?X-Amz-Signature=v&X-Amz-Date=d", "/x?X-Amz-Signature=*&X-Amz-Date=d"),
            ("http://bob:pw@h:8080/@x?design=1&q=sig", "http://*@h:8080/@x?design=1&q=sig"),
            ("http://b:p@q@[::1]/", "http://*@[::1]/"),
            ("/login?next=http://u:p@h/", "/login?next=http://*@h/"),
            ("/password/reset?step=2", "/password/reset?step=2"),
            ("?token=", "?token=*"),
            ("?token", "?token"),
            ("http://", "http://"),
            ("/x?%&%4=1&=", "/x?%&%4=1&="),
        ] {
            assert_eq!(told(line), without);
        }
    }

    #[test]
    fn an_answer_whose_challenge_is_not_known_is_no_command() {
        let line = Command { verb: b"c2VjcmV0cHc=", argument: b"" };
        assert_eq!(command(&line, Language::Smtp), sentences::secret());
        let line = Command { verb: b"", argument: b"\tpass pw" };
        assert!(!command(&line, Language::Ftp).contains("pw"));
    }
}
