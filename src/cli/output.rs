//! Writing to stdout: text and tables for people, JSON for programs.
//!
//! On a terminal, tables fit its width, one line a row. Elsewhere nothing is cut. Whether there are colours is
//! decided in `terminal`; JSON never has any. Everything is written at once, at the end.

use std::io::{ErrorKind, Write as _};

use comfy_table::{Attribute, Cell, Color, ColumnConstraint, ContentArrangement, Row, Table};
use jiff::Timestamp;
use serde::Serialize;

use super::error::Failure;
use super::{terminal, words};
use crate::harmless::{lines, one_line};

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
        let width = terminal::size().map(|(columns, _)| columns);
        let colours = terminal::has_colours(&std::io::stdout());
        Self { text: String::new(), width, colours, now: Timestamp::now() }
    }

    /// A line, with control characters written out.
    pub(super) fn line(mut self, line: &str) -> Self {
        self.text.push_str(&one_line(line));
        self.text.push('\n');
        self
    }

    /// A heading, after an empty line.
    pub(super) fn heading(mut self, line: &str) -> Self {
        if !self.text.is_empty() {
            self.text.push('\n');
        }
        let line = one_line(line);
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
        self.text.push_str(&lines(text));
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

    /// A table of which columns may be left off, the first of `dispensable` first, where the terminal has no room for
    /// whole names.
    pub(super) fn table_without(
        self,
        dispensable: &[&str],
        header: &[&str],
        mut rows: Vec<Vec<Content>>,
    ) -> Self {
        let Some(width) = self.width.map(usize::from) else { return self.rows(Some(header), rows, true) };
        let mut header = header.to_vec();
        for name in dispensable {
            if width_needed(&header, &rows) <= width {
                break;
            }
            if let Some(place) = header.iter().position(|known| known == name) {
                header.remove(place);
                for row in &mut rows {
                    row.remove(place);
                }
            }
        }
        self.rows(Some(&header), rows, true)
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

    /// All that is to be printed.
    pub(super) fn into_text(self) -> String {
        self.text
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

/// Writes a struct to stdout as one line of JSON.
pub(super) fn json_line(value: &impl Serialize) -> Result<(), Failure> {
    let mut text = serde_json::to_vec(value)
        .map_err(|error| Failure::new(format!("write the result as JSON: {error}")))?;
    text.push(b'\n');
    write(&text)
}

/// Says something on stderr that is no result.
pub(super) fn note(text: &str) {
    // Where stderr is gone, nobody reads on.
    let _ = writeln!(std::io::stderr().lock(), "{}", one_line(text));
}

/// Says on stderr what to do next.
pub(super) fn hint(text: &str) {
    note_labelled(Label::Hint, text);
}

fn note_labelled(label: Label, text: &str) {
    let _ = std::io::stderr().lock().write_all(labelled(label, text).as_bytes());
}

/// What a line on stderr begins with.
#[derive(Debug, Clone, Copy)]
pub(super) enum Label {
    /// What could not be done.
    Error,
    /// What to do next.
    Hint,
}

/// A line for stderr, with its label in its colour.
pub(super) fn labelled(label: Label, text: &str) -> String {
    let (name, style) = match label {
        Label::Error => ("error:", "1;31"),
        Label::Hint => ("hint:", "1;36"),
    };
    let text = one_line(text);
    if terminal::has_colours(&std::io::stderr()) {
        format!("\u{1b}[{style}m{name}\u{1b}[0m {text}\n")
    } else {
        format!("{name} {text}\n")
    }
}

/// Writes to stdout.
pub(super) fn write(bytes: &[u8]) -> Result<(), Failure> {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Err(Failure::ReaderGone),
        Err(error) => Err(Failure::new(format!("write to stdout: {error}"))),
    }
}

/// How wide a table is with whole names, and texts as narrow as they may become.
fn width_needed(header: &[&str], rows: &[Vec<Content>]) -> usize {
    let widest = |place: usize| {
        rows.iter()
            .map(|row| match row.get(place) {
                Some(Content::Name(text) | Content::State(text)) => one_line(text).chars().count(),
                Some(Content::Long(_)) => usize::from(LONG_WIDTH_MIN),
                Some(Content::Empty) | None => 0,
            })
            .max()
            .unwrap_or(0)
    };
    header.iter().enumerate().map(|(place, name)| widest(place).max(name.chars().count()) + 2).sum()
}

fn cell(content: Content, cut: bool) -> Cell {
    match content {
        Content::Empty => Cell::new(""),
        Content::Name(text) => Cell::new(one_line(&text)),
        Content::Long(text) => {
            let text = one_line(&text);
            Cell::new(if cut { words::cut(&text, CELL_WIDTH_MAX) } else { text })
        }
        Content::State(state) => {
            let cell = Cell::new(one_line(&state));
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
    fn columns_that_can_be_spared_make_room_for_whole_names() {
        let printed = |width| {
            let output = Output { text: String::new(), width, colours: false, now: Timestamp::UNIX_EPOCH };
            let row = vec![Content::name("17-3"), Content::name("sync-change"), Content::name("pac-energy")];
            output.table_without(&["kind", "job"], &["job", "kind", "organization"], vec![row]).text
        };
        let whole = "job   kind         organization\n17-3  sync-change  pac-energy\n";
        assert_eq!(printed(None), whole);
        assert_eq!(printed(Some(40)), whole);
        assert_eq!(printed(Some(30)), "job   organization\n17-3  pac-energy\n");
        assert_eq!(printed(Some(15)), "organization\npac-energy\n");
    }

    #[test]
    fn colours_come_where_they_are_wanted_alone() {
        assert!(!printed(Some(80), false).contains('\u{1b}'));
        assert!(printed(Some(80), true).contains("\u{1b}["));
    }

    #[test]
    fn colours_take_no_room() {
        for width in [None, Some(30), Some(80)] {
            let mut plain = String::new();
            let mut coloured = printed(width, true);
            while let Some((before, after)) = coloured.split_once("\u{1b}[") {
                let (_, after) = after.split_once('m').unwrap();
                plain.push_str(before);
                coloured = after.to_owned();
            }
            plain.push_str(&coloured);
            let lines: Vec<&str> = plain.lines().map(str::trim_end).collect();
            assert_eq!(lines, printed(width, false).lines().collect::<Vec<_>>());
        }
    }
}
