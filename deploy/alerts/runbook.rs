//! What `docs/runbook.md` says, word for word.

const RUNBOOK: &str = include_str!("../../docs/runbook.md");

/// The query that the section of an alert tells to ask.
pub(crate) fn query(alert: &str) -> &'static str {
    let sections = RUNBOOK.split("\n## ");
    let section = sections.into_iter().find(|section| section.lines().next() == Some(alert));
    let query = section.and_then(|section| section.split("```sql\n").nth(1)?.split("```").next());
    query.unwrap_or_else(|| panic!("the runbook has no query for {alert}"))
}
