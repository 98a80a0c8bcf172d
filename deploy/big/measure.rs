//! Asks, and notes how long it took.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::SLOW;

/// How often a question was answered, and how fast.
#[derive(Debug)]
pub(crate) struct Answers {
    pub(crate) question: String,
    /// In the order of their length.
    pub(crate) times: Vec<Duration>,
    pub(crate) lines: usize,
    /// What was wrong with an answer.
    pub(crate) wrong: Option<String>,
}

impl Answers {
    pub(crate) fn median(&self) -> Duration {
        self.times[self.times.len() / 2]
    }

    pub(crate) fn max(&self) -> Duration {
        self.times.last().copied().unwrap_or_default()
    }

    pub(crate) fn are_slow(&self) -> bool {
        self.max() > SLOW
    }

    pub(crate) fn are_good(&self) -> bool {
        self.wrong.is_none() && !self.are_slow()
    }
}

/// Asks the program, and the service.
pub(crate) struct Asker {
    program: PathBuf,
    variables: Vec<(String, String)>,
    base: String,
    places: BTreeMap<&'static str, String>,
    rounds: u32,
}

impl Asker {
    pub(crate) fn new(
        program: PathBuf,
        variables: Vec<(String, String)>,
        base: String,
        places: BTreeMap<&'static str, String>,
        rounds: u32,
    ) -> Self {
        Self { program, variables, base, places, rounds }
    }

    /// By a command line: the whole time that the program runs. The first of each counts as well.
    pub(crate) fn command(&self, question: &str) -> Answers {
        let question = self.filled(question);
        let (line, code) = match question.strip_prefix("! ") {
            Some(line) => (line, 1),
            None => (question.as_str(), 0),
        };
        let mut answers = Answers { question: line.to_owned(), times: Vec::new(), lines: 0, wrong: None };
        for _ in 0..self.rounds {
            let mut command = Command::new(&self.program);
            command.args(line.split_whitespace()).envs(self.variables.iter().cloned()).stdin(Stdio::null());
            let begun = Instant::now();
            let output = command.output().unwrap();
            answers.times.push(begun.elapsed());
            answers.lines = output.stdout.iter().filter(|&&byte| byte == b'\n').count();
            if output.status.code() != Some(code) {
                let said = String::from_utf8_lossy(&output.stderr);
                answers.wrong = Some(format!("{}, not {code}: {}", output.status, said.trim()));
            }
        }
        answers.times.sort();
        answers
    }

    /// By GET: until the last byte of the answer has come.
    pub(crate) async fn path(&self, path: &str) -> Answers {
        let question = self.filled(path);
        let mut answers =
            Answers { question: format!("GET {question}"), times: Vec::new(), lines: 0, wrong: None };
        let client = reqwest::Client::new();
        for _ in 0..self.rounds {
            let begun = Instant::now();
            let answer = client.get(format!("{}{question}", self.base)).send().await.unwrap();
            let status = answer.status();
            let body = answer.text().await.unwrap();
            answers.times.push(begun.elapsed());
            answers.lines = body.lines().count();
            if !status.is_success() {
                answers.wrong = Some(format!("{status}: {}", body.lines().next().unwrap_or_default()));
            }
        }
        answers.times.sort();
        answers
    }

    fn filled(&self, question: &str) -> String {
        let mut filled = question.to_owned();
        for (name, place) in &self.places {
            filled = filled.replace(&format!("{{{name}}}"), place);
        }
        assert!(!filled.contains('{'), "{question}: nothing stands for what is in braces");
        filled
    }
}
