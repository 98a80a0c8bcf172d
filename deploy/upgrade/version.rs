//! One version of the program: as a service that can be killed, and as a command.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use super::support::process::Process;
use super::support::stage::Variables;

/// Records that the load brings about: messages and events that are refused, jobs that are made to fail.
const OF_THE_LOAD: [&str; 3] = ["message rejected", "event rejected", "it is full"];

/// A version of the program, with the service that runs of it, if one does.
pub(crate) struct Version {
    /// What it is called in what is printed.
    pub(crate) name: &'static str,
    program: PathBuf,
    folder: PathBuf,
    variables: Variables,
    service: Option<Process>,
    /// What it wrote of other warnings and errors, without what differs each time.
    warnings: BTreeSet<String>,
    /// What it did that it must not do: ended by itself, or failed as a command.
    pub(crate) failures: Vec<String>,
}

impl Version {
    pub(crate) fn new(name: &'static str, program: &Path, folder: &Path, variables: &Variables) -> Self {
        Self {
            name,
            program: program.to_owned(),
            folder: folder.to_owned(),
            variables: variables.clone(),
            service: None,
            warnings: BTreeSet::new(),
            failures: Vec::new(),
        }
    }

    /// Starts the service, and waits until it is ready.
    pub(crate) async fn start(&mut self) {
        let service = Process::start(&self.program, &self.folder, &self.variables.pairs());
        self.service.insert(service).ready().await;
    }

    /// Kills the service, and starts it again.
    pub(crate) async fn kill_and_start(&mut self) {
        if let Some(mut service) = self.service.take() {
            match service.has_ended() {
                Some(status) => {
                    self.failures.push(format!(
                        "{}: ended by itself: {status}\n{}",
                        self.name,
                        service.log()
                    ));
                }
                None => service.kill(),
            }
            self.note_warnings(&service.log());
        }
        self.start().await;
    }

    /// Stops the service in order.
    pub(crate) async fn stop(&mut self) {
        let Some(mut service) = self.service.take() else { return };
        if service.has_ended().is_none() {
            service.signal("TERM");
        }
        let status = service.ended().await;
        self.note_warnings(&service.log());
        if !status.success() {
            self.failures.push(format!("{}: ended with {status}\n{}", self.name, service.log()));
        }
    }

    /// Runs a command, which must succeed; returns what it prints.
    pub(crate) async fn command(&mut self, arguments: &[&str]) -> String {
        let output = self.output(arguments).await;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        if !output.status.success() {
            let (arguments, errors) = (arguments.join(" "), String::from_utf8_lossy(&output.stderr));
            self.failures
                .push(format!("{}: `{arguments}` ended with {}\n{said}{errors}", self.name, output.status));
        }
        said
    }

    async fn output(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(&self.program);
        command.args(arguments).envs(self.variables.pairs()).stdin(Stdio::null());
        tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap()
    }

    /// Prints which kinds of warnings it wrote, so that somebody may look at them.
    pub(crate) fn print_warnings(&self) {
        for warning in &self.warnings {
            println!("{}: {warning}", self.name);
        }
    }

    fn note_warnings(&mut self, log: &str) {
        let warnings = log
            .lines()
            .filter(|line| line.contains(" WARN ") || line.contains("ERROR"))
            .filter(|line| !OF_THE_LOAD.iter().any(|expected| line.contains(expected)));
        self.warnings.extend(warnings.map(without_numbers));
    }
}

/// A record of the log without its time, and each number in it as `#`.
fn without_numbers(line: &str) -> String {
    let record = line.split_once(' ').map_or(line, |(_, record)| record).trim();
    let mut text = String::new();
    for character in record.chars() {
        match character {
            '0'..='9' if text.ends_with('#') => {}
            '0'..='9' => text.push('#'),
            other => text.push(other),
        }
    }
    text
}
