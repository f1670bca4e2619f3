//! A place in the text of a script: skips blanks and comments, counts lines.

use crate::failure::Trouble;

/// See the module.
#[derive(Clone, Debug)]
pub(crate) struct Cursor<'a> {
    text: &'a str,
    at: usize,
    line: usize,
    comments: bool,
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Self { text, at: 0, line: 1, comments: true }
    }

    /// Of a text in which `//` begins no comment.
    pub(crate) fn without_comments(text: &'a str) -> Self {
        Self { comments: false, ..Self::new(text) }
    }

    pub(crate) fn line(&self) -> usize {
        self.line
    }

    pub(crate) fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    /// An error at this line, with what stands here.
    pub(crate) fn trouble(&self, message: impl AsRef<str>) -> Trouble {
        let here = self.rest().lines().next().unwrap_or_default().trim_end();
        let here = if here.is_empty() { "the end of the line" } else { here };
        Trouble::new(self.line, format!("{}, at `{here}`", message.as_ref()))
    }

    fn advance(&mut self, bytes: usize) -> &'a str {
        let (taken, _) = self.rest().split_at_checked(bytes).unwrap_or((self.rest(), ""));
        self.at += taken.len();
        self.line += taken.matches('\n').count();
        taken
    }

    /// Skips blanks, line ends and comments.
    pub(crate) fn skip(&mut self) {
        loop {
            let rest = self.rest();
            let blank = rest.len() - rest.trim_start().len();
            if blank > 0 {
                self.advance(blank);
            } else if !self.comments {
                return;
            } else if rest.starts_with("//") {
                self.advance(rest.find('\n').unwrap_or(rest.len()));
            } else if rest.starts_with("/*") {
                self.advance(rest.find("*/").map_or(rest.len(), |end| end + 2));
            } else {
                return;
            }
        }
    }

    /// Whether only blanks and comments are left.
    pub(crate) fn at_end(&mut self) -> bool {
        self.skip();
        self.rest().is_empty()
    }

    /// Whether `what` stands here, after blanks.
    pub(crate) fn looks_at(&mut self, what: &str) -> bool {
        self.skip();
        self.rest().starts_with(what)
    }

    /// Takes `what` if it stands here.
    pub(crate) fn eat(&mut self, what: &str) -> bool {
        let here = self.looks_at(what);
        if here {
            self.advance(what.len());
        }
        here
    }

    /// Takes `what`, which must stand here.
    pub(crate) fn expect(&mut self, what: &str) -> Result<(), Trouble> {
        if self.eat(what) { Ok(()) } else { Err(self.trouble(format!("`{what}` is missing"))) }
    }

    /// Takes all characters that are as `wanted`, without skipping blanks.
    pub(crate) fn take_while(&mut self, wanted: impl Fn(char) -> bool) -> &'a str {
        let rest = self.rest();
        let len = rest.find(|c| !wanted(c)).unwrap_or(rest.len());
        self.advance(len)
    }

    /// The word that stands here, not taken; empty if none does.
    pub(crate) fn peek_word(&mut self) -> &'a str {
        self.skip();
        let rest = self.rest();
        let len = rest.find(|c: char| !is_word(c)).unwrap_or(rest.len());
        rest.get(..len).unwrap_or_default()
    }

    /// Takes the word that stands here.
    pub(crate) fn word(&mut self) -> Result<&'a str, Trouble> {
        self.skip();
        match self.take_while(is_word) {
            "" => Err(self.trouble("a word is missing")),
            word => Ok(word),
        }
    }

    /// Takes `word` if that is the whole word here.
    pub(crate) fn eat_word(&mut self, word: &str) -> bool {
        let here = self.peek_word() == word;
        if here {
            self.advance(word.len());
        }
        here
    }

    /// Takes a whole number, decimal or `0x…`, maybe with a sign.
    pub(crate) fn number(&mut self) -> Result<i64, Trouble> {
        self.skip();
        let before = self.clone();
        let negative = self.eat("-");
        let digits = self.take_while(|c| c.is_ascii_alphanumeric());
        let value = match digits.strip_prefix("0x") {
            Some(hex) => i64::from_str_radix(hex, 16),
            None => digits.parse(),
        };
        value.map(|n| if negative { -n } else { n }).map_err(|_| before.trouble("a number is missing"))
    }

    /// Takes a number that fits the type wanted.
    pub(crate) fn unsigned<T: TryFrom<i64>>(&mut self) -> Result<T, Trouble> {
        let before = self.clone();
        let number = self.number()?;
        T::try_from(number).map_err(|_| before.trouble(format!("{number} is out of range")))
    }

    /// Takes what stands between `open` and `close`.
    pub(crate) fn between(&mut self, open: &str, close: &str) -> Result<&'a str, Trouble> {
        self.expect(open)?;
        let Some(len) = self.rest().find(close) else {
            return Err(self.trouble(format!("no `{close}` follows")));
        };
        let inner = self.advance(len);
        self.advance(close.len());
        Ok(inner)
    }
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}
