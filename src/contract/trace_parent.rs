//! The W3C `traceparent`, by which a publisher's trace goes on in this program's log lines and spans.

use std::fmt;

/// A checked W3C `traceparent`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceParent(String);

/// Version, trace id, parent id and flags, with a hyphen between each two.
const LENGTH: usize = 55;
/// What a later version may append is not ours to read; this is as much of it as is worth keeping.
const LENGTH_MAX: usize = 128;

impl TraceParent {
    /// Checks a text against the W3C Trace Context recommendation; none where it is not well formed, which
    /// by that recommendation is to be ignored, not refused.
    pub fn parse(text: &str) -> Option<Self> {
        let well_formed = text.is_ascii() && (LENGTH..=LENGTH_MAX).contains(&text.len()) && {
            let (known, appended) = text.split_at(LENGTH);
            let mut parts = known.split('-');
            let version = parts.next().filter(|part| is_hex(part, 2))?;
            let trace_id = parts.next().filter(|part| is_hex(part, 32))?;
            let parent_id = parts.next().filter(|part| is_hex(part, 16))?;
            let flags = parts.next().filter(|part| is_hex(part, 2));
            let appendix = appended.is_empty() || (version != "00" && appended.starts_with('-'));
            flags.is_some() && version != "ff" && !is_zero(trace_id) && !is_zero(parent_id) && appendix
        };
        let printable = text.bytes().all(|byte| byte.is_ascii_graphic());
        (well_formed && printable).then(|| Self(text.to_owned()))
    }

    /// The id of the whole trace: 32 lower-case hexadecimal digits.
    pub fn trace_id(&self) -> &str {
        &self.0[3..35]
    }

    /// The id of the publisher's span: 16 lower-case hexadecimal digits.
    pub fn parent_id(&self) -> &str {
        &self.0[36..52]
    }

    /// Whether the publisher says that it keeps this trace.
    pub fn is_sampled(&self) -> bool {
        u8::from_str_radix(&self.0[53..55], 16).is_ok_and(|flags| flags & 1 == 1)
    }

    /// The whole text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn is_hex(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

fn is_zero(text: &str) -> bool {
    text.bytes().all(|byte| byte == b'0')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_parts() {
        let text = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7";
        let parse = |flags: &str| TraceParent::parse(&format!("{text}-{flags}")).unwrap();
        assert_eq!(parse("01").trace_id(), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!(parse("01").parent_id(), "00f067aa0ba902b7");
        let sampled = ["00", "01", "02", "03", "ff"].map(|flags| parse(flags).is_sampled());
        assert_eq!(sampled, [false, true, false, true, true]);
    }
}
