//! What the demo prints: for a terminal of 80 to 100 columns, in colours only where a terminal wants them.

use std::io::{IsTerminal, Write};

use comfy_table::{ColumnConstraint, ContentArrangement, LineStyle, Table, TableStyle};

/// Writes to standard output. A reader that has gone away stops nothing.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Report {
    width: usize,
    colours: bool,
}

const WIDTH_MIN: usize = 76;
const WIDTH_MAX: usize = 100;
const INDENT: &str = "  ";

const BOLD: &str = "1";
const DIM: &str = "2";
const RED: &str = "31";
const GREEN: &str = "32";
const CYAN: &str = "1;36";

impl Report {
    /// For the standard output at hand.
    pub(crate) fn new() -> Self {
        let terminal = std::io::stdout().is_terminal();
        let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
            || std::env::var_os("TERM").is_some_and(|value| value == "dumb");
        let columns = Table::new().width().map_or(WIDTH_MAX, usize::from);
        Self { width: columns.clamp(WIDTH_MIN, WIDTH_MAX) - 1, colours: terminal && !refused }
    }

    /// The title of the whole.
    pub(crate) fn title(self, text: &str) {
        self.line(&self.painted(BOLD, text));
    }

    /// The headline of a chapter.
    pub(crate) fn headline(self, number: usize, text: &str) {
        let headline = format!("{number}  {text} ");
        let rule = "─".repeat(self.width.saturating_sub(headline.chars().count()));
        self.line("");
        self.line(&format!("{}{}", self.painted(CYAN, &headline), self.painted(DIM, &rule)));
    }

    /// A paragraph.
    pub(crate) fn say(self, text: &str) {
        self.line("");
        for line in wrapped(text, self.width) {
            self.line(&line);
        }
    }

    /// Something that is as it must be.
    pub(crate) fn good(self, text: &str) {
        self.marked(&self.painted(GREEN, "✓"), text);
    }

    /// Something that is not. What follows a line break is printed as it is.
    pub(crate) fn bad(self, text: &str) {
        let mut lines = text.lines();
        self.marked(&self.painted(RED, "✗"), lines.next().unwrap_or_default());
        for line in lines {
            self.line(line);
        }
    }

    /// A detail.
    pub(crate) fn detail(self, text: &str) {
        self.marked(&self.painted(DIM, "·"), text);
    }

    /// Text that must not be wrapped, since it is to be copied.
    pub(crate) fn verbatim(self, text: &str) {
        self.line("");
        for line in text.lines() {
            self.line(&format!("{INDENT}{line}"));
        }
    }

    /// A table. Columns whose header ends with `…` are broken where there is too little room, the others
    /// never.
    pub(crate) fn table<const N: usize>(self, header: [&str; N], rows: &[[String; N]]) {
        let mut table = Table::new();
        let rule = LineStyle::none().fill('─').junction('─');
        table.load_style(TableStyle::new().header_separator(rule));
        table.set_content_arrangement(ContentArrangement::Dynamic);
        table.set_width(u16::try_from(self.width - INDENT.len()).unwrap_or(u16::MAX));
        table.set_header(header.map(|name| name.trim_end_matches('…')));
        table.add_rows(rows.iter().map(|row| row.iter()));
        for (column, name) in table.column_iter_mut().zip(header) {
            column.set_padding((0, 2));
            if !name.ends_with('…') {
                column.set_constraint(ColumnConstraint::ContentWidth);
            }
        }
        self.line("");
        for (index, line) in table.lines().enumerate() {
            let line = line.trim_end();
            let line = if index < 2 { self.painted(DIM, line) } else { line.to_owned() };
            self.line(&format!("{INDENT}{line}"));
        }
    }

    /// Room between two parts.
    pub(crate) fn gap(self) {
        self.line("");
    }

    fn marked(self, mark: &str, text: &str) {
        let room = self.width - INDENT.len() - 2;
        for (index, line) in wrapped(text, room).iter().enumerate() {
            let mark = if index == 0 { mark } else { " " };
            self.line(&format!("{INDENT}{mark} {line}"));
        }
    }

    fn painted(self, code: &str, text: &str) -> String {
        if self.colours { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }

    fn line(self, text: &str) {
        // Nobody reads on: the demo goes on all the same, and its exit code says how it ended.
        let _ = writeln!(std::io::stdout(), "{text}");
    }
}

/// Breaks a text between words. A word that is too long stands alone.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let line = lines.last().map_or(0, |line| line.chars().count());
        if line > 0 && line + 1 + word.chars().count() > width {
            lines.push(String::new());
        }
        if let Some(line) = lines.last_mut() {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines
}
