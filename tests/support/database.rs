//! A database of its own for each test, cloned from a template that is migrated once.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicU32, Ordering};

use channel_sync::config::Config;
use channel_sync::domain::catalogue::{BUILT_IN, Catalogue};
use channel_sync::store::Store;
use tokio_postgres::{Client, NoTls};

/// Where the schema that the template holds is written down: another one makes another template.
pub const MIGRATIONS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/store/migrations");

/// The lock under which a template is made: one test program at a time.
const TEMPLATE_LOCK: i64 = 0x63_73_74_65_73_74;

/// A migrated database that nobody else uses; dropped with this.
pub struct Database {
    name: String,
    url: String,
}

impl Database {
    /// Makes one.
    ///
    /// # Panics
    /// Where the environment names no Postgres, or none answers.
    pub async fn create() -> Self {
        let admin = connect(&admin_url()).await;
        let template = template(&admin).await;
        Self::made_of(&admin, &template).await
    }

    /// Makes one that is not migrated.
    pub async fn create_empty() -> Self {
        Self::made_of(&connect(&admin_url()).await, "template0").await
    }

    /// A copy of it as it is now. Whoever is connected to it is disconnected.
    pub async fn copy(&self) -> Self {
        let admin = connect(&admin_url()).await;
        run(&admin, &disconnect(&self.name)).await;
        // By files: a copy may be large, and is not to fill the log.
        Self::made_of(&admin, &format!("{} strategy file_copy", self.name)).await
    }

    async fn made_of(admin: &Client, template: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("test_{}_{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        // What an earlier process of the same id may have left.
        run(admin, &format!("drop database if exists {name} with (force)")).await;
        run(admin, &format!("create database {name} template {template}")).await;
        let url = url_of(&name);
        Self { name, url }
    }

    /// Its URL.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The store over it, with the built-in configuration.
    pub fn store(&self) -> Store {
        store(&self.url)
    }

    /// A connection of the test's own.
    pub async fn client(&self) -> Client {
        connect(&self.url).await
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let (url, drop) = (admin_url(), format!("drop database if exists {} with (force)", self.name));
        // Not on the test's runtime, which may be at its end.
        let dropping = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async { run(&connect(&url).await, &drop).await });
        });
        let _ = dropping.join();
    }
}

/// A connection to the database that the environment names, for what concerns databases as a whole.
pub async fn admin_client() -> Client {
    connect(&admin_url()).await
}

/// The name of the migrated template, which is made where it is not there yet.
async fn template(admin: &Client) -> String {
    // Another schema makes another template.
    let mut hash = DefaultHasher::new();
    (schema(), BUILT_IN).hash(&mut hash);
    let name = format!("channel_sync_template_{:x}", hash.finish());
    run(admin, &format!("select pg_advisory_lock({TEMPLATE_LOCK})")).await;
    let known = admin.query_opt("select from pg_database where datname = $1", &[&name]).await.unwrap();
    if known.is_none() {
        let unfinished = format!("{name}_unfinished");
        run(admin, &format!("drop database if exists {unfinished} with (force)")).await;
        run(admin, &format!("create database {unfinished}")).await;
        let store = store(&url_of(&unfinished));
        store.migrate().await.unwrap();
        store.put_catalogue(&Catalogue::parse(BUILT_IN).unwrap()).await.unwrap();
        drop(store);
        run(admin, &disconnect(&unfinished)).await;
        run(admin, &format!("alter database {unfinished} rename to {name}")).await;
    }
    run(admin, &format!("select pg_advisory_unlock({TEMPLATE_LOCK})")).await;
    name
}

/// Ends all sessions of a database: nobody may be connected to what is copied or renamed.
fn disconnect(database: &str) -> String {
    format!("select pg_terminate_backend(pid) from pg_stat_activity where datname = '{database}'")
}

/// The text of all migrations, in the order of their names.
fn schema() -> Vec<(String, String)> {
    let files = std::fs::read_dir(MIGRATIONS).expect("the folder of the migrations").map(|file| {
        let file = file.expect("a migration");
        let text = std::fs::read_to_string(file.path()).expect("a migration is UTF-8");
        (file.file_name().to_string_lossy().into_owned(), text)
    });
    let mut files: Vec<(String, String)> = files.collect();
    files.sort();
    files
}

fn store(url: &str) -> Store {
    let environment = [("DATABASE_URL".to_owned(), url.to_owned())];
    Store::new(&Config::load(None, environment.into_iter()).unwrap().database).unwrap()
}

fn admin_url() -> String {
    std::env::var("DATABASE_URL").expect("DATABASE_URL is not set: run the tests by `deploy/dev test`")
}

fn url_of(database: &str) -> String {
    let mut url = url::Url::parse(&admin_url()).expect("DATABASE_URL is a URL");
    url.set_path(database);
    url.to_string()
}

async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls)
        .await
        .expect("reach Postgres at DATABASE_URL; `deploy/dev test` starts one");
    tokio::spawn(connection);
    client
}

async fn run(client: &Client, statement: &str) {
    client.batch_execute(statement).await.unwrap_or_else(|error| panic!("{statement}: {error:?}"));
}
