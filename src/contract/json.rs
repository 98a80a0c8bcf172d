//! Reads JSON text into a tree that borrows from it.
//!
//! Not `serde_json`, for what its values cannot tell: which keys stand twice, how a number was spelled, and
//! where an object only looks like a number (with `arbitrary_precision`, one whose key is its private
//! marker). What always holds: a text is accepted here exactly where RFC 8259 accepts it, it is no deeper than
//! asked for, and its escapes make Unicode text (no lone surrogate); reading never overflows the stack, whatever the text.

use std::borrow::Cow;

/// A JSON value, with all that its text said.
#[derive(Debug)]
pub(super) enum Json<'a> {
    Null,
    Bool(bool),
    /// As it was spelled.
    Number(&'a str),
    Text(Cow<'a, str>),
    List(Vec<Json<'a>>),
    /// In the order of the text; a key may stand twice.
    Object(Vec<Entry<'a>>),
}

/// A key and its value.
pub(super) type Entry<'a> = (Cow<'a, str>, Json<'a>);

/// Reading is recursive: no limit that a caller sets may take it deeper than this.
pub(super) const DEPTH_CEILING: usize = 512;

/// Why a text could not be read. `at` is a byte offset into it.
#[derive(Debug, Clone, Copy)]
pub(super) enum ReadError {
    Malformed { at: usize, expected: &'static str },
    TooDeep { at: usize },
}

/// The line and column of a byte offset, both from 1; columns count characters.
pub(super) fn line_and_column(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let line = before.bytes().filter(|&byte| byte == b'\n').count() + 1;
    (line, before[line_start..].chars().count() + 1)
}

/// Reads a text that is one JSON value, with white space around it, of at most `depth_max` open brackets.
pub(super) fn read(text: &str, depth_max: usize) -> Result<Json<'_>, ReadError> {
    let mut reader = Reader::new(text, depth_max);
    reader.skip_white_space();
    let json = reader.value(0)?;
    reader.skip_white_space();
    if reader.at < text.len() { Err(reader.expected("the end of the text")) } else { Ok(json) }
}

/// Reads values one after another from a text.
pub(super) struct Reader<'a> {
    text: &'a str,
    at: usize,
    depth_max: usize,
}

impl<'a> Reader<'a> {
    /// A reader at the start of `text`.
    pub(super) fn new(text: &'a str, depth_max: usize) -> Self {
        Self { text, at: 0, depth_max: depth_max.min(DEPTH_CEILING) }
    }

    /// The next value after any white space, with its offset and its text; none at the end.
    pub(super) fn next(&mut self) -> Result<Option<(usize, &'a str, Json<'a>)>, ReadError> {
        self.skip_white_space();
        let start = self.at;
        if start == self.text.len() {
            return Ok(None);
        }
        let json = self.value(0)?;
        Ok(Some((start, &self.text[start..self.at], json)))
    }

    fn expected(&self, expected: &'static str) -> ReadError {
        ReadError::Malformed { at: self.at, expected }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn skip_white_space(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.peek() {
            self.at += 1;
        }
    }

    fn skip_digits(&mut self) -> Result<(), ReadError> {
        let start = self.at;
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
        if self.at == start { Err(self.expected("a digit")) } else { Ok(()) }
    }

    fn value(&mut self, depth: usize) -> Result<Json<'a>, ReadError> {
        match self.peek() {
            Some(b'"') => Ok(Json::Text(self.string()?)),
            Some(b'{') => self.object(depth + 1),
            Some(b'[') => self.list(depth + 1),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.word("true", Json::Bool(true)),
            Some(b'f') => self.word("false", Json::Bool(false)),
            Some(b'n') => self.word("null", Json::Null),
            _ => Err(self.expected("a JSON value")),
        }
    }

    fn word(&mut self, word: &'static str, json: Json<'a>) -> Result<Json<'a>, ReadError> {
        if self.text.as_bytes()[self.at..].starts_with(word.as_bytes()) {
            self.at += word.len();
            Ok(json)
        } else {
            Err(self.expected("a JSON value"))
        }
    }

    fn number(&mut self) -> Result<Json<'a>, ReadError> {
        let start = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        if self.peek() == Some(b'0') {
            self.at += 1;
        } else {
            self.skip_digits()?;
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.skip_digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            self.skip_digits()?;
        }
        Ok(Json::Number(&self.text[start..self.at]))
    }

    fn list(&mut self, depth: usize) -> Result<Json<'a>, ReadError> {
        self.open(depth)?;
        let mut items = Vec::new();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(Json::List(items));
        }
        loop {
            items.push(self.value(depth)?);
            self.skip_white_space();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b']') => {
                    self.at += 1;
                    return Ok(Json::List(items));
                }
                _ => return Err(self.expected("a comma or a closing ]")),
            }
            self.skip_white_space();
        }
    }

    fn object(&mut self, depth: usize) -> Result<Json<'a>, ReadError> {
        self.open(depth)?;
        let mut entries = Vec::new();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(Json::Object(entries));
        }
        loop {
            if self.peek() != Some(b'"') {
                return Err(self.expected("a key in double quotes"));
            }
            let key = self.string()?;
            self.skip_white_space();
            if self.peek() != Some(b':') {
                return Err(self.expected("a colon"));
            }
            self.at += 1;
            self.skip_white_space();
            entries.push((key, self.value(depth)?));
            self.skip_white_space();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') => {
                    self.at += 1;
                    return Ok(Json::Object(entries));
                }
                _ => return Err(self.expected("a comma or a closing }")),
            }
            self.skip_white_space();
        }
    }

    fn open(&mut self, depth: usize) -> Result<(), ReadError> {
        if depth > self.depth_max {
            return Err(ReadError::TooDeep { at: self.at });
        }
        self.at += 1;
        self.skip_white_space();
        Ok(())
    }

    fn string(&mut self) -> Result<Cow<'a, str>, ReadError> {
        self.at += 1;
        let start = self.at;
        self.skip_plain();
        if self.peek() == Some(b'"') {
            let text = &self.text[start..self.at];
            self.at += 1;
            return Ok(Cow::Borrowed(text));
        }
        let mut text = self.text[start..self.at].to_owned();
        loop {
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(Cow::Owned(text));
                }
                Some(b'\\') => text.push(self.escape()?),
                Some(_) => {
                    return Err(self.expected("an escape, since a string holds no bare control character"));
                }
                None => return Err(self.expected("a closing double quote")),
            }
            let start = self.at;
            self.skip_plain();
            text.push_str(&self.text[start..self.at]);
        }
    }

    fn skip_plain(&mut self) {
        let rest = &self.text.as_bytes()[self.at..];
        let plain = rest.iter().position(|&byte| byte < b' ' || byte == b'"' || byte == b'\\');
        self.at += plain.unwrap_or(rest.len());
    }

    fn escape(&mut self) -> Result<char, ReadError> {
        let start = self.at;
        self.at += 1;
        let plain = match self.peek() {
            Some(b'u') => {
                self.at += 1;
                return self.unicode_escape(start);
            }
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            _ => return Err(self.expected("one of \"\\/bfnrtu after a backslash")),
        };
        self.at += 1;
        Ok(plain)
    }

    fn unicode_escape(&mut self, start: usize) -> Result<char, ReadError> {
        let first = self.four_digits()?;
        let code = if (0xD800..0xDC00).contains(&first) && self.text.as_bytes()[self.at..].starts_with(b"\\u")
        {
            self.at += 2;
            let second = self.four_digits()?;
            let low = second.checked_sub(0xDC00).filter(|&low| low < 0x400);
            low.map(|low| 0x10000 + ((first - 0xD800) << 10) + low)
        } else {
            Some(first)
        };
        code.and_then(char::from_u32)
            .ok_or(ReadError::Malformed { at: start, expected: "a whole surrogate pair" })
    }

    fn four_digits(&mut self) -> Result<u32, ReadError> {
        let digits = self.text.as_bytes().get(self.at..self.at + 4);
        let code = digits.and_then(|digits| {
            digits.iter().try_fold(0, |code, &digit| Some(code * 16 + char::from(digit).to_digit(16)?))
        });
        let code = code.ok_or_else(|| self.expected("four hexadecimal digits"))?;
        self.at += 4;
        Ok(code)
    }
}
