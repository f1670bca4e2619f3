//! What a file is that is no capture: people open the wrong one, or forget to unpack it.

use super::ReadError;

/// Bytes of the beginning that tell.
pub(super) const ENOUGH: usize = 512;

const KNOWN: &[(&[u8], &str)] = &[
    (b"\x1f\x8b", "compressed by gzip: unpack it first, as in `gunzip -c FILE | bypath decode -`"),
    (b"\x28\xb5\x2f\xfd", "compressed by zstd: unpack it first, as in `zstd -dc FILE | bypath decode -`"),
    (b"\xfd7zXZ\0", "compressed by xz: unpack it first, as in `xz -dc FILE | bypath decode -`"),
    (b"BZh", "compressed by bzip2: unpack it first, as in `bzip2 -dc FILE | bypath decode -`"),
    (b"\x04\x22\x4d\x18", "compressed by lz4: unpack it first, as in `lz4 -dc FILE | bypath decode -`"),
    (b"PK\x03\x04", "a ZIP archive: unpack it first"),
    (b"\x7fELF", "a program (ELF)"),
    (b"snoop\0\0\0", "a snoop capture: `editcap FILE OUT.pcapng` of Wireshark turns it into one"),
    (
        b"btsnoop\0",
        "a btsnoop capture of Bluetooth: `editcap FILE OUT.pcapng` of Wireshark turns it into one",
    ),
    (b"iptrace 1.0", "an iptrace capture of AIX: `editcap FILE OUT.pcapng` of Wireshark turns it into one"),
    (b"iptrace 2.0", "an iptrace capture of AIX: `editcap FILE OUT.pcapng` of Wireshark turns it into one"),
    (b"GMBU", "a Network Monitor capture: `editcap FILE OUT.pcapng` of Wireshark turns it into one"),
    (b"RTSS", "a Network Monitor capture: `editcap FILE OUT.pcapng` of Wireshark turns it into one"),
    (b"TRSNIFF data    \x1a", "a Sniffer capture: `editcap FILE OUT.pcapng` of Wireshark turns it into one"),
    (b"\x89PNG", "a picture (PNG)"),
    (b"\xff\xd8\xff", "a picture (JPEG)"),
    (b"%PDF", "a PDF document"),
    (b"SQLite format 3\0", "an SQLite database"),
    (b"\xa1\xe2\xcb\x12", "a pcap capture of Navtel's kind"),
    (b"\x12\xcb\xe2\xa1", "a pcap capture of Navtel's kind"),
];

/// The error that names what begins with these bytes.
pub(super) fn name(beginning: &[u8]) -> ReadError {
    if let Some((_, what)) = KNOWN.iter().find(|(magic, _)| beginning.starts_with(magic)) {
        return ReadError::Foreign((*what).to_owned());
    }
    if beginning.iter().all(|&byte| byte == 0) {
        return ReadError::Foreign("zeros".to_owned());
    }
    if is_text(beginning) {
        let line = beginning.split(|&byte| byte == b'\n' || byte == b'\r').next().unwrap_or_default();
        let line: String = String::from_utf8_lossy(line).chars().take(40).collect();
        return ReadError::Foreign(format!("text, which begins with {line:?}"));
    }
    let magic: String = beginning.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    ReadError::Foreign(format!("something that begins with the bytes {magic}"))
}

/// Whether all of it could have been typed. A character of several bytes may be cut at the end.
fn is_text(bytes: &[u8]) -> bool {
    let valid = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) if error.error_len().is_none() => {
            std::str::from_utf8(bytes.get(..error.valid_up_to()).unwrap_or_default()).unwrap_or_default()
        }
        Err(_) => return false,
    };
    !valid.is_empty() && valid.chars().all(|c| !c.is_control() || matches!(c, '\n' | '\r' | '\t' | '\x1b'))
}
