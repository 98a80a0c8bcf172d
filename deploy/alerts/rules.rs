//! The alerts as they are deployed, and the same with times in which one can wait for them: no more than numbers differ.

const RULES: &str = include_str!("../prometheus/alerts.yaml");

/// What is shortened: ages in seconds, stretches of time, and how long something must be so. All else stays: how many
/// messages are many, which share of files is much.
const SHORTER: [(&str, &str); 15] = [
    ("> 120 ", "> 3 "),
    ("> 300", "> 3"),
    ("> 900 ", "> 3 "),
    ("> 86400", "> 3"),
    ("[5m]", "[10s]"),
    ("[15m]", "[30s]"),
    ("[1h]", "[40s]"),
    // It is tried once a minute.
    ("[3h]", "[150s]"),
    ("for: 1m", "for: 2s"),
    ("for: 2m", "for: 2s"),
    ("for: 5m", "for: 2s"),
    ("for: 10m", "for: 2s"),
    ("for: 15m", "for: 2s"),
    ("for: 30m", "for: 2s"),
    ("for: 1h", "for: 2s"),
];

/// The rules as they are deployed.
pub(crate) fn deployed() -> String {
    RULES.to_owned()
}

/// The rules with short times.
pub(crate) fn short() -> String {
    let short =
        |line: &str| shorter(line).fold(line.to_owned(), |line, (long, short)| line.replace(long, short));
    RULES.lines().map(|line| short(line) + "\n").collect()
}

/// What differs, a line for each alert.
pub(crate) fn changes() -> Vec<String> {
    let mut changes: Vec<String> = Vec::new();
    for line in RULES.lines() {
        if let Some(name) = name(line) {
            changes.push(format!("{name:<17}"));
        }
        for (long, short) in shorter(line) {
            let last = changes.last_mut().unwrap();
            last.push_str(&format!(" {} → {};", long.trim(), short.trim()));
        }
    }
    changes
}

/// The names of all alerts.
pub(crate) fn names() -> Vec<String> {
    RULES.lines().filter_map(name).map(str::to_owned).collect()
}

fn name(line: &str) -> Option<&str> {
    line.trim().strip_prefix("- alert: ")
}

/// What is shortened in this line.
fn shorter(line: &str) -> impl Iterator<Item = (&'static str, &'static str)> {
    let is_time = ["expr: ", "for: "].iter().any(|field| line.trim().starts_with(field));
    SHORTER.into_iter().filter(move |(long, _)| is_time && line.contains(long))
}
