//! A directory as a page of HTML: names escaped for where they stand, nothing to load, no script.

use super::super::civil::Civil;
use super::super::files::DirEntry;
use super::target::escape;

/// The page of the directory `path`.
pub(super) fn page(path: &[u8], entries: &[DirEntry]) -> Vec<u8> {
    let mut out = Vec::with_capacity(512 + entries.len() * 128);
    out.extend_from_slice(b"<!DOCTYPE html>\n<html><head><meta charset=\"utf-8\"><title>Index of /");
    text(path, &mut out);
    out.extend_from_slice(
        b"</title><style>td{padding-right:2em;font-family:monospace}</style></head><body><h1>Index of /",
    );
    text(path, &mut out);
    out.extend_from_slice(b"</h1><table>\n");
    if !path.is_empty() {
        out.extend_from_slice(b"<tr><td><a href=\"../\">../</a></td></tr>\n");
    }
    for entry in entries {
        let slash: &[u8] = if entry.facts.is_dir { b"/" } else { b"" };
        // The dot keeps a name with a colon from being a scheme.
        out.extend_from_slice(b"<tr><td><a href=\"./");
        escape_attribute(&entry.name, &mut out);
        out.extend_from_slice(slash);
        out.extend_from_slice(b"\">");
        text(&entry.name, &mut out);
        out.extend_from_slice(slash);
        let time = Civil::of(entry.facts.modified);
        let size = if entry.facts.is_dir { "-".to_owned() } else { entry.facts.len.to_string() };
        let row = format!(
            "</a></td><td>{:04}-{:02}-{:02} {:02}:{:02}</td><td>{size}</td></tr>\n",
            time.year, time.month, time.day, time.hour, time.minute
        );
        out.extend_from_slice(row.as_bytes());
    }
    out.extend_from_slice(b"</table></body></html>\n");
    out
}

/// As it is written in a URL, and in quotation marks: the path's `&` and `'` mean nothing there.
fn escape_attribute(name: &[u8], out: &mut Vec<u8>) {
    let mut url = Vec::with_capacity(name.len() * 3);
    escape(name, &mut url);
    text(&url, out);
}

/// As text between tags. What is no UTF-8 becomes the replacement character.
pub(super) fn text(bytes: &[u8], out: &mut Vec<u8>) {
    for c in String::from_utf8_lossy(bytes).chars() {
        match c {
            '&' => out.extend_from_slice(b"&amp;"),
            '<' => out.extend_from_slice(b"&lt;"),
            '>' => out.extend_from_slice(b"&gt;"),
            '"' => out.extend_from_slice(b"&quot;"),
            '\'' => out.extend_from_slice(b"&#39;"),
            c if c.is_control() => out.extend_from_slice("\u{fffd}".as_bytes()),
            c => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_leave_their_place_in_the_page() {
        let name = b"<script>\"'&javascript:x\n".to_vec();
        let dir = std::env::temp_dir();
        let root = super::super::super::files::Root::open(&dir).unwrap();
        let facts = root.facts(b"").unwrap();
        let page = page(b"<b>", &[DirEntry { name, facts }]);
        let page = String::from_utf8(page).unwrap();
        assert!(!page.contains("<script>") && !page.contains("<b>"), "{page}");
        assert!(page.contains("href=\"./%3Cscript%3E%22&#39;&amp;javascript%3Ax%0A/\""), "{page}");
    }
}
