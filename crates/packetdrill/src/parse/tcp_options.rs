//! TCP options as scripts write them: `<mss 1460,sackOK,TS val 100 ecr 0,nop,wscale 7>`.

use crate::cursor::Cursor;
use crate::failure::Trouble;
use crate::script::TcpOption;

/// `<…>`; none is no options, `<...>` is `None`: any.
pub(super) fn options(cursor: &mut Cursor<'_>, inbound: bool) -> Result<Option<Vec<TcpOption>>, Trouble> {
    if !cursor.eat("<") {
        return Ok(Some(Vec::new()));
    }
    if cursor.looks_at("...") && !inbound {
        let mut ahead = cursor.clone();
        if ahead.eat("...") && ahead.eat(">") {
            *cursor = ahead;
            return Ok(None);
        }
    }
    let mut options = Vec::new();
    while !cursor.eat(">") {
        if !options.is_empty() {
            cursor.expect(",")?;
        }
        if inbound && cursor.looks_at("...") {
            return Err(cursor.trouble("`...` is for outbound packets only"));
        }
        options.push(option(cursor)?);
    }
    Ok(Some(options))
}

fn option(cursor: &mut Cursor<'_>) -> Result<TcpOption, Trouble> {
    if cursor.eat("...") {
        return Ok(TcpOption::Rest);
    }
    let before = cursor.clone();
    Ok(match cursor.word()? {
        "nop" => TcpOption::Nop,
        "eol" => TcpOption::Eol,
        "mss" => TcpOption::Mss(cursor.unsigned()?),
        "wscale" => TcpOption::WindowScale(cursor.unsigned()?),
        "sackOK" => TcpOption::SackOk,
        "sack" => {
            let mut blocks = Vec::new();
            while cursor.peek_word().starts_with(|c: char| c.is_ascii_digit()) {
                let left = cursor.unsigned()?;
                cursor.expect(":")?;
                blocks.push((left, cursor.unsigned()?));
            }
            TcpOption::Sack(blocks)
        }
        "TS" => {
            cursor.expect("val")?;
            let value = cursor.unsigned()?;
            cursor.expect("ecr")?;
            TcpOption::Timestamps { value, echo: cursor.unsigned()? }
        }
        "md5" => TcpOption::Md5(hex(cursor)?),
        "FO" => TcpOption::FastOpen(hex(cursor)?),
        "FOEXP" => TcpOption::FastOpenExp(hex(cursor)?),
        "ECN" => acc_ecn(cursor)?,
        "option" => {
            // An extension: any kind by its number, with its bytes in hexadecimal.
            let kind = cursor.unsigned()?;
            TcpOption::Other(kind, hex(cursor)?)
        }
        // An extension: bytes as they are, to write options that are not well formed.
        "raw" => TcpOption::Raw(hex(cursor)?),
        other => return Err(before.trouble(format!("the TCP option `{other}` is not known"))),
    })
}

/// `ECN e0b 1 ceb 0 e1b 1`: which counter comes first says which of the two kinds it is.
fn acc_ecn(cursor: &mut Cursor<'_>) -> Result<TcpOption, Trouble> {
    let mut counters = Vec::new();
    let mut ect1_first = false;
    while matches!(cursor.peek_word(), "e0b" | "e1b" | "ceb") {
        let name = cursor.word()?;
        ect1_first |= counters.is_empty() && name == "e1b";
        counters.push(cursor.unsigned()?);
    }
    Ok(TcpOption::AccEcn(ect1_first, counters))
}

/// Bytes in hexadecimal; none if no word stands here. The names of cookies that upstream's settings define stand for
/// cookies of eight bytes.
fn hex(cursor: &mut Cursor<'_>) -> Result<Vec<u8>, Trouble> {
    let before = cursor.clone();
    let word = cursor.peek_word();
    if word.is_empty() {
        return Ok(Vec::new());
    }
    let word = cursor.word().unwrap_or(word);
    if word.starts_with("TFO_COOKIE") {
        let name = word.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        return Ok(name.to_be_bytes().to_vec());
    }
    let digits: Option<Vec<u32>> = word.chars().map(|c| c.to_digit(16)).collect();
    match digits {
        Some(digits) if digits.len() % 2 == 0 => {
            let pair = |pair: &[u32]| u8::try_from(pair.iter().fold(0, |byte, digit| byte * 16 + digit));
            digits
                .chunks(2)
                .map(pair)
                .collect::<Result<_, _>>()
                .map_err(|_| before.trouble("not hexadecimal"))
        }
        _ => Err(before.trouble("bytes are written in hexadecimal, two digits each")),
    }
}
