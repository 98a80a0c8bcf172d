//! Connections to Postgres: with TLS where the configuration says so, and then never without.

use std::fmt;
use std::future::Future;
use std::pin::Pin;

use deadpool_postgres::Connect;
use futures_util::stream::{self, BoxStream, StreamExt};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinHandle;
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres::{AsyncMessage, CancelToken, Client, Config, Connection, NoTls, Socket};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::error::StoreError;
use crate::tls::TlsClient;

/// How connections to the database are made.
#[derive(Clone)]
pub(super) struct Dial {
    config: Config,
    tls: Option<MakeRustlsConnect>,
}

impl fmt::Debug for Dial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dial").field("config", &self.config).field("tls", &self.tls.is_some()).finish()
    }
}

/// What the server sends by itself. Who holds it drives the connection; it ends with the connection.
pub(super) type Messages = BoxStream<'static, Result<AsyncMessage, tokio_postgres::Error>>;

impl Dial {
    pub(super) fn new(mut config: Config, tls: Option<&TlsClient>) -> Self {
        // What the driver calls "require" falls back to nothing less, and `tls` verifies the server.
        config.ssl_mode(if tls.is_some() { SslMode::Require } else { SslMode::Disable });
        let tls = tls.map(|tls| MakeRustlsConnect::new(tls.config().as_ref().clone()));
        Self { config, tls }
    }

    pub(super) fn config(&self) -> &Config {
        &self.config
    }

    /// The host, or the hosts, as messages name them.
    pub(super) fn host(&self) -> String {
        let names = self.config.get_hosts().iter().map(|host| match host {
            Host::Tcp(name) => name.clone(),
            Host::Unix(path) => path.display().to_string(),
        });
        names.collect::<Vec<_>>().join(", ")
    }

    /// A connection of its own, beside the pool.
    ///
    /// # Errors
    /// Where the server cannot be reached, or does not let this program in.
    pub(super) async fn connect(&self, config: &Config) -> Result<(Client, Messages), StoreError> {
        self.open(config).await.map_err(|error| StoreError::no_connection(&error, &self.host()))
    }

    /// Asks the server to cancel what runs on a connection.
    ///
    /// # Errors
    /// Where the server cannot be asked.
    pub(super) async fn cancel(&self, token: &CancelToken) -> Result<(), tokio_postgres::Error> {
        match self.tls.clone() {
            None => token.cancel_query(NoTls).await,
            Some(tls) => token.cancel_query(tls).await,
        }
    }

    async fn open(&self, config: &Config) -> Result<(Client, Messages), tokio_postgres::Error> {
        Ok(match self.tls.clone() {
            None => {
                let (client, connection) = config.connect(NoTls).await?;
                (client, messages(connection))
            }
            Some(tls) => {
                let (client, connection) = config.connect(tls).await?;
                (client, messages(connection))
            }
        })
    }
}

fn messages<T>(mut connection: Connection<Socket, T>) -> Messages
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    stream::poll_fn(move |context| connection.poll_message(context)).boxed()
}

type Connecting<'a> =
    Pin<Box<dyn Future<Output = Result<(Client, JoinHandle<()>), tokio_postgres::Error>> + Send + 'a>>;

impl Connect for Dial {
    fn connect(&self, config: &Config) -> Connecting<'_> {
        let config = config.clone();
        Box::pin(async move {
            let (client, mut messages) = self.open(&config).await?;
            let driving = tokio::spawn(async move {
                while let Some(message) = messages.next().await {
                    if let Err(error) = message {
                        // Whoever uses the connection is told the same, and logs it.
                        tracing::debug!(%error, "a connection to the database ends");
                        break;
                    }
                }
            });
            Ok((client, driving))
        })
    }
}
