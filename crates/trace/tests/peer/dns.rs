//! Messages of DNS, built byte by byte.

pub(crate) fn name(name: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for label in name.split('.').filter(|label| !label.is_empty()) {
        bytes.push(label.len() as u8);
        bytes.extend(label.as_bytes());
    }
    bytes.push(0);
    bytes
}

pub(crate) fn question(flags: u16, counts: [u16; 4], kind: u16, class: u16) -> Vec<u8> {
    let mut message = [4711_u16.to_be_bytes(), flags.to_be_bytes()].concat();
    counts.iter().for_each(|count| message.extend(count.to_be_bytes()));
    message.extend(name("host.example"));
    message.extend([kind.to_be_bytes(), class.to_be_bytes()].concat());
    message
}

/// A record whose name points to the question's.
pub(crate) fn record(kind: u16, class: u16, ttl: u32, data: &[u8]) -> Vec<u8> {
    let mut record = vec![0xc0, 12];
    record.extend([kind.to_be_bytes(), class.to_be_bytes()].concat());
    record.extend(ttl.to_be_bytes());
    record.extend((data.len() as u16).to_be_bytes());
    record.extend(data);
    record
}
