//! Who is believed, who is let in, who may do what, and what is never shown: TLS on both links, secrets, the roles of
//! Postgres, the permissions of RabbitMQ. All on the real servers; docs/security.md says what is promised.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "../support/mod.rs"]
mod support;

mod injection;
mod permissions;
mod roles;
mod secrets;
mod tls;

use std::path::Path;

use channel_sync::config::Config;

use support::database::admin_client;
use support::process::Process;

/// The configuration of these variables, without the prefix that all names but the URLs' have.
fn config(variables: &[(&str, &str)]) -> Config {
    let named = variables.iter().map(|(name, value)| (long(name), (*value).to_owned()));
    Config::load(None, named).unwrap_or_else(|problems| panic!("{problems}"))
}

/// The real program, running with these variables.
fn start(variables: &[(&str, &str)]) -> Process {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let named: Vec<_> = variables.iter().map(|(name, value)| (long(name), (*value).to_owned())).collect();
    Process::start(Path::new(env!("CARGO_BIN_EXE_channel-sync")), folder, &named)
}

fn long(name: &str) -> String {
    format!("CHANNEL_SYNC__{name}")
}

/// Makes a user of Postgres that really has to say its password, with these attributes.
async fn create_role_with_password(name: &str, password: &str, attributes: &str) {
    let statements = format!(
        "do $$ begin create role password_only;
               exception when duplicate_object or unique_violation then null; end $$;
         drop role if exists {name};
         create role {name} login {attributes} password '{password}' in role password_only"
    );
    admin_client().await.batch_execute(&statements).await.unwrap();
}

/// A file among the certificates of the private servers.
fn server_file(name: &str) -> String {
    let folder =
        std::env::var("TLS_FOLDER").expect("TLS_FOLDER is not set: run the tests by `deploy/dev test`");
    format!("{folder}/{name}")
}
