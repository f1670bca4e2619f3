//! The words of a filter.

/// A word and where it begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Token<'a> {
    pub(super) text: &'a str,
    pub(super) at: usize,
}

/// Words: parentheses and operators are words of their own; everything else ends at a blank.
pub(super) fn tokens(text: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        let blanks = rest.len() - rest.trim_start().len();
        if blanks > 0 {
            at += blanks;
            continue;
        }
        let operator =
            ["&&", "||", "(", ")", "!", "[", "]"].into_iter().find(|operator| rest.starts_with(operator));
        let len = operator.map_or_else(|| word_len(rest), str::len);
        tokens.push(Token { text: &rest[..len], at });
        at += len;
    }
    tokens
}

fn word_len(rest: &str) -> usize {
    rest.find(|c: char| c.is_whitespace() || "()!&|[]".contains(c)).unwrap_or(rest.len()).max(1)
}
