//! Writing to stdout: text and tables for people, JSON for programs.
//!
//! On a terminal, tables fit its width, one line a row, and have colours unless `NO_COLOR` is set. Elsewhere
//! nothing is cut and nothing coloured. Everything is written at once, at the end.

use std::io::{ErrorKind, IsTerminal, Write as _};

use comfy_table::{Attribute, Cell, Color, ColumnConstraint, ContentArrangement, Row, Table};
use jiff::Timestamp;
use serde::Serialize;

use super::error::Failure;
use super::words;

/// How wide a value or a text may be in a table on a terminal.
const CELL_WIDTH_MAX: usize = 60;

/// How narrow such a column may become before names are cut too.
const LONG_WIDTH_MIN: u16 = 8;

/// How wide a terminal must be for times in tables to be given twice, as time and as distance.
const TIMES_WIDTH_MIN: u16 = 140;

/// What is to be printed.
pub(super) struct Output {
    text: String,
    /// How wide the terminal is, where there is one.
    width: Option<u16>,
    colours: bool,
    /// What "ago" counts from.
    pub(super) now: Timestamp,
}

/// What a cell holds, and how it is shown.
pub(super) enum Content {
    /// A name or a number: never cut.
    Name(String),
    /// A text that may be cut on a terminal.
    Long(String),
    /// A state, in its colour.
    State(String),
    /// Nothing.
    Empty,
}

impl Content {
    pub(super) fn name(name: impl Into<String>) -> Self {
        Self::Name(name.into())
    }

    pub(super) fn name_or_empty(name: Option<&String>) -> Self {
        name.map_or(Self::Empty, |name| Self::Name(name.clone()))
    }
}

impl Output {
    /// Nothing yet.
    pub(super) fn text() -> Self {
        let terminal = std::io::stdout().is_terminal();
        let width = if terminal { Table::new().width() } else { None };
        let colours = terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Self { text: String::new(), width, colours, now: Timestamp::now() }
    }

    /// A line, with control characters written out.
    pub(super) fn line(mut self, line: &str) -> Self {
        self.text.push_str(&words::one_line(line));
        self.text.push('\n');
        self
    }

    /// A heading, after an empty line.
    pub(super) fn heading(mut self, line: &str) -> Self {
        if !self.text.is_empty() {
            self.text.push('\n');
        }
        let line = words::one_line(line);
        self.text.push_str(&if self.colours { format!("\u{1b}[1m{line}\u{1b}[0m\n") } else { line + "\n" });
        self
    }

    /// Text of our own, as it is.
    pub(super) fn raw(mut self, text: &str) -> Self {
        self.text.push_str(text);
        self
    }

    /// Text of somebody else's, with its line ends, but no other control characters.
    pub(super) fn foreign(mut self, text: &str) -> Self {
        self.text.push_str(&words::lines(text));
        if !text.ends_with('\n') {
            self.text.push('\n');
        }
        self
    }

    /// Names and what stands for them, a pair a line; those with nothing to say are left out.
    pub(super) fn pairs(self, pairs: Vec<(&str, Content)>) -> Self {
        let rows = pairs
            .into_iter()
            .filter(|(_, content)| !matches!(content, Content::Empty))
            .map(|(name, content)| vec![Content::name(name), content])
            .collect();
        self.rows(None, rows, false)
    }

    /// A table.
    pub(super) fn table(self, header: &[&str], rows: Vec<Vec<Content>>) -> Self {
        self.rows(Some(header), rows, true)
    }

    /// Rows in columns; with `fit`, one line a row that is no wider than the terminal.
    fn rows(mut self, header: Option<&[&str]>, rows: Vec<Vec<Content>>, fit: bool) -> Self {
        let width = self.width.filter(|_| fit);
        let mut table = Table::new();
        table.load_style(comfy_table::presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
        if let Some(width) = width {
            table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width);
            table.set_truncation_indicator("…");
        }
        if self.colours {
            table.enforce_styling();
        } else {
            table.force_no_tty();
        }
        if let Some(header) = header {
            let header = header.iter().map(|name| Cell::new(name).add_attribute(Attribute::Bold));
            let mut header = Row::from(header);
            header.max_height(1);
            table.set_header(header);
        }
        let mut fixed = vec![true; rows.first().map_or(0, Vec::len)];
        for row in rows {
            let mut cells = Row::new();
            for (fixed, content) in fixed.iter_mut().zip(row) {
                *fixed &= !matches!(content, Content::Long(_));
                cells.add_cell(cell(content, width.is_some()));
            }
            if fit {
                cells.max_height(1);
            }
            table.add_row(cells);
        }
        // Names stay whole where there is room for that; else all columns but the first become narrower.
        let needed: usize = table
            .column_max_content_widths()
            .iter()
            .zip(&fixed)
            .map(|(width, fixed)| usize::from(if *fixed { *width } else { LONG_WIDTH_MIN }) + 2)
            .sum();
        let room = width.is_some_and(|width| needed <= width.into());
        for (place, (column, fixed)) in table.column_iter_mut().zip(fixed).enumerate() {
            column.set_padding((0, 2));
            if width.is_some() && fixed && (room || place == 0) {
                column.set_constraint(ColumnConstraint::ContentWidth);
            }
        }
        for line in table.lines() {
            self.text.push_str(line.trim_end());
            self.text.push('\n');
        }
        self
    }

    /// A time in a table.
    pub(super) fn time_in_table(&self, at: Timestamp) -> Content {
        match self.width {
            Some(width) if width < TIMES_WIDTH_MIN => Content::name(words::distance(at, self.now)),
            _ => self.time(at),
        }
    }

    /// A time, and how far away it is.
    pub(super) fn time(&self, at: Timestamp) -> Content {
        Content::name(words::time(at, self.now))
    }

    /// As [`Output::time`]; nothing where there is none.
    pub(super) fn time_or_empty(&self, at: Option<Timestamp>) -> Content {
        at.map_or(Content::Empty, |at| self.time(at))
    }

    /// Writes everything to stdout.
    pub(super) fn finish(self) -> Result<(), Failure> {
        write(self.text.as_bytes())
    }
}

/// Writes a struct to stdout as JSON.
pub(super) fn json(value: &impl Serialize) -> Result<(), Failure> {
    let mut text = serde_json::to_vec_pretty(value)
        .map_err(|error| Failure::new(format!("write the result as JSON: {error}")))?;
    text.push(b'\n');
    write(&text)
}

/// Says on stderr how to see more of a list.
pub(super) fn note(text: &str) {
    // Where stderr is gone, nobody asks for more.
    let _ = writeln!(std::io::stderr().lock(), "{}", words::one_line(text));
}

fn write(bytes: &[u8]) -> Result<(), Failure> {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Err(Failure::ReaderGone),
        Err(error) => Err(Failure::new(format!("write to stdout: {error}"))),
    }
}

fn cell(content: Content, cut: bool) -> Cell {
    match content {
        Content::Empty => Cell::new(""),
        Content::Name(text) => Cell::new(words::one_line(&text)),
        Content::Long(text) => {
            let text = words::one_line(&text);
            Cell::new(if cut { words::cut(&text, CELL_WIDTH_MAX) } else { text })
        }
        Content::State(state) => {
            let cell = Cell::new(words::one_line(&state));
            match colour(&state) {
                Some(colour) => cell.fg(colour),
                None => cell,
            }
        }
    }
}

fn colour(state: &str) -> Option<Color> {
    match state {
        "succeeded" | "done" | "right" => Some(Color::Green),
        "failed" | "rejected" | "wrong" => Some(Color::Red),
        "retrying" | "syncing" | "locked" | "running" | "advice" => Some(Color::Yellow),
        "ignored" | "superseded" | "discarded" | "replayed" | "cancelled" | "refused" | "off" | "ended" => {
            Some(Color::DarkGrey)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(width: Option<u16>, colours: bool) -> String {
        let output = Output { text: String::new(), width, colours, now: Timestamp::UNIX_EPOCH };
        let value = "0123456789".repeat(8);
        let row = |key: &str, state: &str| {
            vec![Content::name(key), Content::State(state.to_owned()), Content::Long(value.clone())]
        };
        output.table(&["key", "state", "value"], vec![row("a", "done"), row("module/x", "failed")]).text
    }

    #[test]
    fn elsewhere_than_on_a_terminal_nothing_is_cut() {
        let value = "0123456789".repeat(8);
        let expected =
            format!("key       state   value\na         done    {value}\nmodule/x  failed  {value}\n");
        assert_eq!(printed(None, false), expected);
    }

    #[test]
    fn on_a_terminal_a_row_is_a_line_that_fits() {
        for width in 30..120 {
            let text = printed(Some(width), false);
            assert_eq!(text.lines().count(), 3, "{text}");
            let longest = text.lines().map(|line| line.chars().count()).max().unwrap_or(0);
            assert!(longest <= width.into(), "{longest} > {width}: {text}");
            assert!(text.contains("module/x  failed  01"), "{text}");
            assert!(text.contains('…'), "{text}");
        }
    }

    #[test]
    fn colours_come_where_they_are_wanted_alone() {
        assert!(!printed(Some(80), false).contains('\u{1b}'));
        assert!(printed(Some(80), true).contains("\u{1b}["));
    }
}
