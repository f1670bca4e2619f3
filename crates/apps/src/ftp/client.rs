//! One FTP session from greeting to QUIT.

use std::time::Duration;

use crate::conn::Conn;
use crate::dial::dial;
use crate::error::FetchError;
use crate::fetch::{BodyInfo, ByteRange, Credentials, Exchange};
use crate::ftp::control::Control;
use crate::ftp::data::{self, Accepted, DataPath};
use crate::ftp::path::{FtpPath, Kind};
use crate::ftp::reply::{Reply, mentioned_size};

/// How long the closing reply is waited for when it can only confirm what is known, or explain what
/// went wrong.
const CLOSING_REPLY: Duration = Duration::from_secs(10);

/// Fetches the request's URL.
pub(crate) fn get(x: &mut Exchange<'_>) -> Result<(), FetchError> {
    let target = x.request.target.clone();
    let path = FtpPath::of(&target)?;
    let resumed = x.request.resume_from.is_some_and(|from| from > 0);
    if path.file.is_none() && !x.request.head && resumed {
        // It would be appended to whatever is here already.
        return Err(FetchError::Range("the listing of a directory cannot be resumed".to_owned()));
    }
    let credentials = login_as(x)?;
    let mut control = Control::new(dial(x, &target)?)?;
    let result = session(x, &mut control, &credentials, &path);
    match &result {
        // The control connection is gone or stuck: there is nobody to take leave of.
        Err(
            FetchError::Recv(_) | FetchError::Send(_) | FetchError::Timeout { .. } | FetchError::Interrupted,
        ) => {
            control.close();
        }
        _ => control.quit(&x.budget),
    }
    x.report.retransmits += control.take_retransmits();
    result
}

fn login_as(x: &Exchange<'_>) -> Result<Credentials, FetchError> {
    let given = x.request.credentials.clone().or_else(|| x.request.target.credentials());
    let credentials = given.unwrap_or_else(|| Credentials {
        user: "anonymous".to_owned(),
        password: "anonymous@example.com".to_owned(),
    });
    let bytes = || credentials.user.bytes().chain(credentials.password.bytes());
    if bytes().any(|b| b < b' ') {
        let reason = "its user name or password contains a control character".to_owned();
        return Err(FetchError::BadUrl { url: x.request.target.public_url(), reason });
    }
    Ok(credentials)
}

fn session(
    x: &mut Exchange<'_>,
    control: &mut Control,
    credentials: &Credentials,
    path: &FtpPath,
) -> Result<(), FetchError> {
    let greeting = control.greeting(&x.budget)?;
    if greeting.code == 220 {
        control.login(credentials, &x.budget)?;
    }
    for directory in &path.directories {
        let reply = control.command("CWD", directory, &x.budget)?;
        if !reply.is_positive() {
            let directory = String::from_utf8_lossy(directory).into_owned();
            return Err(FetchError::AccessDenied { directory, reply: reply.to_string() });
        }
    }
    match &path.file {
        Some(file) if x.request.head => describe(x, control, file),
        Some(file) => retrieve(x, control, file, path.kind),
        None if x.request.head => Ok(()),
        None => list(x, control),
    }
}

fn set_type(x: &Exchange<'_>, control: &mut Control, kind: Kind) -> Result<(), FetchError> {
    let code: &[u8] = match kind {
        Kind::Image => b"I",
        Kind::Ascii => b"A",
    };
    let reply = control.command("TYPE", code, &x.budget)?;
    if reply.is_positive() { Ok(()) } else { Err(FetchError::TypeFailed(reply.to_string())) }
}

/// SIZE (RFC 3659 section 4), where the server has it.
fn size_of(x: &Exchange<'_>, control: &mut Control, file: &[u8]) -> Result<Result<u64, Reply>, FetchError> {
    let reply = control.command("SIZE", file, &x.budget)?;
    Ok(match (reply.code, reply.text.parse()) {
        (213, Ok(size)) => Ok(size),
        _ => Err(reply),
    })
}

/// Size and time of a file in the form of HTTP fields, as curl has it.
fn describe(x: &mut Exchange<'_>, control: &mut Control, file: &[u8]) -> Result<(), FetchError> {
    set_type(x, control, Kind::Image)?;
    let mut text = String::new();
    match size_of(x, control, file)? {
        Ok(size) => text.push_str(&format!("Content-Length: {size}\r\n")),
        Err(reply) if reply.code == 550 => return Err(FetchError::NotFound(reply.to_string())),
        Err(_) => {}
    }
    let reply = control.command("MDTM", file, &x.budget)?;
    let stamp = reply.text.trim();
    if reply.code == 213 && stamp.len() >= 14 && stamp.bytes().take(14).all(|b| b.is_ascii_digit()) {
        let part = |from: usize, to: usize| stamp.get(from..to).unwrap_or_default();
        text.push_str(&format!(
            "Last-Modified: {}-{}-{}T{}:{}:{}Z\r\n",
            part(0, 4),
            part(4, 6),
            part(6, 8),
            part(8, 10),
            part(10, 12),
            part(12, 14)
        ));
    }
    text.push_str("Accept-ranges: bytes\r\n");
    x.begin(BodyInfo { offset: 0, length: Some(text.len() as u64) })?;
    x.first_byte();
    x.deliver(text.as_bytes())
}

fn list(x: &mut Exchange<'_>, control: &mut Control) -> Result<(), FetchError> {
    set_type(x, control, Kind::Ascii)?;
    let path = data::prepare(x, control)?;
    let reply = control.command("LIST", b"", &x.budget)?;
    x.report.status = Some(reply.code);
    if reply.code == 450 {
        // "No files found": an empty directory, in the words of some servers.
        return x.begin(BodyInfo { offset: 0, length: Some(0) });
    }
    receive(x, control, path, reply, &Plan::default())
}

/// Which part of the file is wanted.
#[derive(Clone, Copy, Debug, Default)]
struct Plan {
    start: u64,
    /// Bytes that are coming, if that is known.
    expected: Option<u64>,
    /// Bytes after which we have enough, though more may be coming.
    enough: Option<u64>,
}

fn plan(x: &Exchange<'_>, size: Option<u64>) -> Result<Plan, FetchError> {
    let (start, enough) = match (x.request.resume_from, x.request.range) {
        (Some(have), _) => match size {
            Some(size) if have > size => return Err(FetchError::BadResume { have, size }),
            _ => (have, None),
        },
        (None, Some(ByteRange::From(first))) => (first, None),
        (None, Some(ByteRange::Inclusive(first, last))) => {
            (first, Some(last.saturating_sub(first).saturating_add(1)))
        }
        (None, Some(ByteRange::Last(count))) => match size {
            Some(size) => (size.saturating_sub(count), None),
            None => return Err(FetchError::Range("the server does not tell the file's size".to_owned())),
        },
        (None, None) => (0, None),
    };
    let rest = match size {
        Some(size) if start > size => {
            return Err(FetchError::Range(format!("byte {start} is behind the end of the file, {size}")));
        }
        size => size.map(|size| size - start),
    };
    let expected = match (rest, enough) {
        (Some(rest), Some(enough)) => Some(rest.min(enough)),
        (rest, _) => rest,
    };
    // A part that reaches the end of the file ends by itself.
    let enough = enough.filter(|enough| rest.is_none_or(|rest| *enough < rest));
    Ok(Plan { start, expected, enough })
}

fn retrieve(x: &mut Exchange<'_>, control: &mut Control, file: &[u8], kind: Kind) -> Result<(), FetchError> {
    set_type(x, control, kind)?;
    // The size in TYPE A would be that of the translated text, which few servers count; and a server
    // without SIZE may well have the file, so RETR has the last word.
    let size = match kind {
        Kind::Image => size_of(x, control, file)?.ok(),
        Kind::Ascii => None,
    };
    let mut plan = plan(x, size)?;
    if plan.start > 0 && plan.expected == Some(0) && x.request.resume_from.is_some() {
        return Ok(());
    }
    let path = data::prepare(x, control)?;
    if plan.start > 0 {
        let reply = control.command("REST", plan.start.to_string().as_bytes(), &x.budget)?;
        if reply.code != 350 {
            return Err(FetchError::RestFailed(reply.to_string()));
        }
    }
    let reply = control.command("RETR", file, &x.budget)?;
    x.report.status = Some(reply.code);
    if kind == Kind::Image && plan.start == 0 && plan.enough.is_none() && reply.is_preliminary() {
        plan.expected = plan.expected.or_else(|| mentioned_size(&reply.text));
    }
    receive(x, control, path, reply, &plan)
}

/// From the first reply to RETR or LIST to the last.
fn receive(
    x: &mut Exchange<'_>,
    control: &mut Control,
    path: DataPath,
    reply: Reply,
    plan: &Plan,
) -> Result<(), FetchError> {
    // A short file may be reported as sent before anything else is said of it.
    let finished = reply.is_positive();
    if !finished && !reply.is_preliminary() {
        return Err(refusal(&reply));
    }
    let mut closing = finished.then_some(reply);
    let mut data = match path {
        DataPath::Open(conn) => conn,
        DataPath::Awaited(listener) => loop {
            match data::accept(x, control, &*listener, closing.is_some())? {
                Accepted::Data(conn) => break conn,
                // 226 overtook the data connection, which is in the listener's queue.
                Accepted::Refused(reply) if reply.is_positive() => closing = Some(reply),
                Accepted::Refused(reply) if reply.is_preliminary() => {}
                Accepted::Refused(reply) => return Err(refusal(&reply)),
            }
        },
    };
    x.begin(BodyInfo { offset: plan.start, length: plan.expected })?;
    let ended = read_data(x, &mut data, plan);
    x.report.retransmits += data.take_retransmits();
    data.close();
    drop(data);
    conclude(x, control, ended?, closing, plan)
}

fn refusal(reply: &Reply) -> FetchError {
    match reply.code {
        550 => FetchError::NotFound(reply.to_string()),
        425 | 426 => FetchError::Partial { received: 0, expected: None, cause: reply.to_string() },
        _ => FetchError::RetrFailed(reply.to_string()),
    }
}

/// How the data connection ended.
enum Ended {
    /// In order, by the server.
    Closed,
    /// By us: we have enough.
    Enough,
    /// Not in order.
    Broken(String),
}

fn read_data(x: &mut Exchange<'_>, data: &mut Conn, plan: &Plan) -> Result<Ended, FetchError> {
    loop {
        match data.fill(&x.budget, "receiving the file") {
            Ok(0) => return Ok(Ended::Closed),
            Ok(_) => x.first_byte(),
            Err(FetchError::Recv(cause)) => return Ok(Ended::Broken(cause)),
            Err(e) => return Err(e),
        }
        let bytes = data.buffered();
        let wanted = plan.enough.map_or(u64::MAX, |enough| enough - x.report.bytes);
        let len = usize::try_from(wanted).map_or(bytes.len(), |wanted| wanted.min(bytes.len()));
        x.deliver(&bytes[..len])?;
        data.consume(len);
        if plan.enough == Some(x.report.bytes) {
            return Ok(Ended::Enough);
        }
    }
}

/// Judges the transfer by its length and by the server's closing reply.
fn conclude(
    x: &mut Exchange<'_>,
    control: &mut Control,
    ended: Ended,
    closing: Option<Reply>,
    plan: &Plan,
) -> Result<(), FetchError> {
    let cause = match ended {
        Ended::Enough => return Ok(()),
        Ended::Closed => None,
        Ended::Broken(cause) => Some(cause),
    };
    let received = x.report.bytes;
    let partial = |cause: String| FetchError::Partial { received, expected: plan.expected, cause };
    let complete = plan.expected.map(|expected| received >= expected);
    let closing = match (closing, complete) {
        (Some(reply), _) => Ok(Some(reply)),
        // Nothing else can tell whether that was all.
        (None, None) => control.reply(&x.budget, "waiting for the end of the transfer").map(Some),
        (None, Some(_)) => control.reply_within(x.budget.cap(CLOSING_REPLY)),
    };
    if let Ok(Some(reply)) = &closing {
        x.report.status = Some(reply.code);
    }
    let closed_early = || cause.clone().unwrap_or_else(|| "the data connection was closed early".to_owned());
    match (complete, closing) {
        (Some(false), Ok(Some(reply))) => Err(partial(format!("{} ({reply})", closed_early()))),
        (Some(false), _) => Err(partial(closed_early())),
        (_, Ok(Some(reply))) if !reply.is_positive() => Err(partial(reply.to_string())),
        (None, _) if cause.is_some() => Err(partial(closed_early())),
        (_, Ok(Some(_))) => Ok(()),
        (None, Err(FetchError::Recv(cause))) => Err(partial(cause)),
        (None, Err(e)) => Err(e),
        (_, Ok(None) | Err(FetchError::Recv(_) | FetchError::Timeout { .. })) => {
            x.note("the file is complete, but the server did not confirm it".to_owned());
            Ok(())
        }
        (_, Err(e)) => Err(e),
    }
}
