//! The broker's management API: what AMQP cannot tell. Reads only, and only what is asked for by name.

use std::sync::Arc;

use axum_extra::headers::{Authorization, HeaderMapExt};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Bytes;
use hyper::header::HOST;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use percent_encoding::percent_decode_str;
use rustls::pki_types::ServerName;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::error::BrokerError;
use crate::config::BrokerConfig;
use crate::tls::{self, TlsClient, TlsFiles};

/// The largest answer that is read.
const ANSWER_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Where the management API is, and who asks.
#[derive(Clone)]
pub struct Management {
    tls: Option<TlsClient>,
    host: String,
    port: u16,
    /// What stands before `/api`, where a proxy puts it elsewhere.
    path: String,
    user: String,
    password: String,
}

impl Management {
    /// Reads a URL such as `https://user:password@host:15671`. Without a user in it, that of the broker's own URL asks,
    /// and https believes whom the link to the broker believes.
    ///
    /// # Errors
    /// What was expected instead, as a sentence that shows no password.
    pub fn new(url: &str, config: &BrokerConfig) -> Result<Self, String> {
        let expected = "expected a URL such as http://user:password@host:15672";
        let url = url::Url::parse(url).map_err(|error| format!("{expected} ({error})"))?;
        let https = match url.scheme() {
            "http" => false,
            "https" => true,
            _ => return Err(format!("{expected}: the scheme is http or https")),
        };
        let host = match url.host() {
            Some(url::Host::Ipv6(address)) => address.to_string(),
            Some(host) => host.to_string(),
            None => return Err(format!("{expected}: it names no host")),
        };
        let of_broker = super::connection::uri(config).map_err(|error| error.to_string())?.authority.userinfo;
        let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
        let (user, password) = match (url.username(), url.password()) {
            ("", None) => (of_broker.username, of_broker.password),
            (user, password) => (decoded(user), decoded(password.unwrap_or_default())),
        };
        let tls = match (https, &config.tls) {
            (false, _) => None,
            (true, Some(tls)) => Some(tls.clone()),
            (true, None) => Some(TlsClient::new(&TlsFiles::default()).map_err(|problem| problem.expected)?),
        };
        let port = url.port().unwrap_or(if https { 15_671 } else { 15_672 });
        Ok(Self { tls, host, port, path: url.path().trim_end_matches('/').to_owned(), user, password })
    }

    /// What is at this path below `/api/`; none where there is nothing.
    pub(super) async fn get(&self, path: &str) -> Result<Option<Value>, BrokerError> {
        let lost = |error: &dyn std::error::Error| self.lost(error.to_string());
        let stream =
            TcpStream::connect((self.host.as_str(), self.port)).await.map_err(|error| lost(&error))?;
        match &self.tls {
            None => self.ask(stream, path).await,
            Some(tls) => {
                let name = ServerName::try_from(self.host.clone()).map_err(|error| lost(&error))?;
                let connector = TlsConnector::from(Arc::clone(tls.config()));
                let stream = connector.connect(name, stream).await.map_err(|error| self.failed(&error))?;
                self.ask(stream, path).await
            }
        }
    }

    async fn ask<S>(&self, stream: S, path: &str) -> Result<Option<Value>, BrokerError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let failed = |error: hyper::Error| self.failed(&error);
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(failed)?;
        let driving = tokio::spawn(connection);
        let mut request = Request::get(format!("{}/api/{path}", self.path))
            .header(HOST, &self.host)
            .body(Empty::<Bytes>::new())
            .map_err(|error| self.lost(error.to_string()))?;
        request.headers_mut().typed_insert(Authorization::basic(&self.user, &self.password));
        let response = sender.send_request(request).await.map_err(failed)?;
        let status = response.status();
        let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await;
        driving.abort();
        match status {
            StatusCode::OK => {
                let body = body.map_err(|error| self.lost(error.to_string()))?.to_bytes();
                let value = serde_json::from_slice(&body).map_err(|error| self.lost(error.to_string()))?;
                Ok(Some(value))
            }
            StatusCode::NOT_FOUND => Ok(None),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Err(BrokerError::Forbidden {
                action: self.action(),
                reason: format!(
                    "status {status} for the user {:?}; expected one with the tag monitoring, say, and any permission \
                     on the virtual host",
                    self.user
                ),
            }),
            status => Err(self.lost(format!("status {status}"))),
        }
    }

    fn action(&self) -> String {
        format!("ask the management API at {}:{}", self.host, self.port)
    }

    fn lost(&self, reason: String) -> BrokerError {
        BrokerError::Lost { action: self.action(), reason }
    }

    fn failed(&self, error: &(dyn std::error::Error + 'static)) -> BrokerError {
        match tls::failure(error) {
            Some(reason) => BrokerError::Untrusted { host: self.host.clone(), reason },
            None => self.lost(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn user_and_password_are_those_of_the_url() {
        let config = Config::load(None, [("AMQP_URL".to_owned(), "amqp://me:pw@h".to_owned())].into_iter());
        let config = config.unwrap().broker;
        for (url, user, password) in [
            ("http://h", "me", "pw"),
            ("http://a:b&c=d+e@h", "a", "b&c=d+e"),
            ("http://m%40e:p%25%26%2fw@h", "m@e", "p%&/w"),
        ] {
            let management = Management::new(url, &config).unwrap();
            assert_eq!((management.user.as_str(), management.password.as_str()), (user, password), "{url}");
        }
    }
}
