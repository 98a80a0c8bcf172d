//! A database of its own for each test, cloned from a template that is migrated once.

use std::sync::atomic::{AtomicU32, Ordering};

use channel_sync::store::Store;
use tokio_postgres::{Client, NoTls};

static COUNT: AtomicU32 = AtomicU32::new(0);
pub struct Database {
    url: String,
}
async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.expect("reach Postgres");
    tokio::spawn(connection);
    client
}
impl Database {
    pub async fn create() -> Self {
        let admin = std::env::var("DATABASE_URL")
            .expect("DATABASE_URL is not set: run the tests by `deploy/dev test`");
        let client = connect(&admin).await;
        let name = format!("test_{}_{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        client.batch_execute(&format!("create database {name}")).await.unwrap();
        let mut url = url::Url::parse(&admin).unwrap();
        url.set_path(&name);
        let this = Self { url: url.to_string() };
        this.store().migrate().await.unwrap();
        this
    }
    pub fn url(&self) -> &str {
        &self.url
    }
    pub fn store(&self) -> Store {
        let environment = [("DATABASE_URL".to_owned(), self.url.clone())];
        let config = channel_sync::config::Config::load(None, environment.into_iter()).unwrap();
        Store::new(&config.database).unwrap()
    }
    pub async fn client(&self) -> Client {
        connect(&self.url).await
    }
}
