//! Somebody else's text, as it can be shown: nothing that comes out of here controls a terminal, ends a line of a log,
//! or turns the direction of the text around it.

/// `text` with every control character written out.
pub(crate) fn harmless(text: &str) -> String {
    escaped(text, |_| false)
}

/// As [`harmless`], with line ends and tabs as spaces.
pub(crate) fn one_line(text: &str) -> String {
    harmless(&text.replace("\r\n", " ").replace(['\n', '\t'], " "))
}

/// As [`harmless`], keeping line ends and tabs.
pub(crate) fn lines(text: &str) -> String {
    escaped(text, |c| matches!(c, '\n' | '\t'))
}

/// `text` with every control character written out, but for those that stay.
fn escaped(text: &str, stays: impl Fn(char) -> bool) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if controls(c) && !stays(c) {
            escaped.extend(c.escape_default());
        } else {
            escaped.push(c);
        }
    }
    escaped
}

/// Control characters, those that turn the direction of the text around them, and those that nobody sees.
pub(crate) fn controls(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}'
                       | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_controls_the_terminal() {
        assert_eq!(harmless("a\u{1b}[31mb"), "a\\u{1b}[31mb");
        assert_eq!(harmless("a\u{9b}b\u{202e}c"), "a\\u{9b}b\\u{202e}c");
        assert_eq!(one_line("a\r\nb\tc"), "a b c");
        assert_eq!(lines("a\n\tb\u{7}"), "a\n\tb\\u{7}");
        assert_eq!(harmless("a\u{200b}b\u{feff}"), "a\\u{200b}b\\u{feff}");
        assert_eq!(harmless("wäre"), "wäre");
    }
}
