//! The views that readers rely on: their names, and their columns with types, in their order.

use std::collections::BTreeMap;

use tokio_postgres::Client;

/// What `docs/api.md` promises to readers of the database.
const PROMISED: [&str; 5] =
    ["setting_view", "partnership_view", "job_view", "event_view", "rejected_message_view"];

/// The columns of each promised view, with their types.
pub(crate) type Views = BTreeMap<String, Vec<String>>;

/// What is there now.
pub(crate) async fn views(client: &Client) -> Views {
    let query = "select table_name::text, column_name || ' ' || data_type
                   from information_schema.columns
                  where table_schema = 'channel_sync' and table_name = any ($1)
                  order by table_name, ordinal_position";
    let mut views: Views = PROMISED.iter().map(|name| ((*name).to_owned(), Vec::new())).collect();
    for row in client.query(query, &[&PROMISED.as_slice()]).await.unwrap() {
        views.entry(row.get(0)).or_default().push(row.get(1));
    }
    views
}

/// What is other than it was, in words.
pub(crate) fn differences(before: &Views, after: &Views) -> Vec<String> {
    let differ =
        before.iter().filter(|(name, columns)| columns.is_empty() || after.get(*name) != Some(columns));
    differ.map(|(name, columns)| format!("{name} has {:?}, and had {columns:?}", after.get(name))).collect()
}
