//! The table.

use std::fmt::Write as _;
use std::time::Duration;

use super::measure::Answers;

/// Says on stderr what was slow or wrong, as it is found.
pub(crate) fn progress(answers: &Answers) {
    if !answers.are_good() {
        eprintln!("  {}", line(answers));
    }
}

/// All answers, the slowest first, and how many were slow or wrong.
pub(crate) fn table(all: &[Answers], rounds: u32) -> String {
    let mut sorted: Vec<&Answers> = all.iter().collect();
    sorted.sort_by_key(|answers| std::cmp::Reverse(answers.max()));
    let mut text = format!("{:>9}  {:>9}  {:>7}  question\n", "median ms", "max ms", "lines");
    for answers in &sorted {
        writeln!(text, "{}", line(answers)).unwrap();
    }
    let mut maxima: Vec<Duration> = all.iter().map(Answers::max).collect();
    maxima.sort();
    let slow = all.iter().filter(|answers| answers.are_slow()).count();
    let wrong = all.iter().filter(|answers| answers.wrong.is_some()).count();
    let middle = maxima.get(maxima.len() / 2).copied().unwrap_or_default();
    write!(
        text,
        "{} questions, {rounds} times each: {slow} slow, {wrong} wrong; half of them always within {:.0} ms, all within {:.0} ms",
        all.len(),
        ms(middle),
        ms(maxima.last().copied().unwrap_or_default())
    )
    .unwrap();
    text
}

fn line(answers: &Answers) -> String {
    let mark = if answers.are_slow() { "  SLOW" } else { "" };
    let wrong = answers.wrong.as_ref().map(|wrong| format!("  WRONG: {wrong}")).unwrap_or_default();
    format!(
        "{:>9.0}  {:>9.0}  {:>7}  {}{mark}{wrong}",
        ms(answers.median()),
        ms(answers.max()),
        answers.lines,
        answers.question
    )
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1_000.0
}
