//! One connection to the broker: made within a time, and gone for good when it is dropped.
//!
//! The library gives each connection a thread, and neither a dropped attempt nor a dropped connection ends
//! it while the peer is silent. So a second handle on the socket is kept here: shutting that down ends
//! the thread, whatever the peer does. The same is done where nothing has come from the broker for almost twice
//! the heartbeat: then all that is under way on the connection fails.

use std::net::{Shutdown, TcpStream};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use lapin::uri::AMQPUri;
use lapin::{AsyncTcpStream, Channel, Connection, ConnectionProperties, ErrorKind};
use rustls::pki_types::ServerName;
use tokio::sync::mpsc;
use tokio_rustls::TlsConnector;

use super::error::{BrokerError, codes, reason, reply_code};
use super::parsable::Parsable;
use super::silence::LastHeard;
use crate::config::{BrokerAuth, BrokerConfig};
use crate::tls;

const CONNECT: &str = "connect to the broker";

/// How long an orderly goodbye may take before the socket is shut down.
pub(super) const CLOSE_TIMEOUT: Duration = Duration::from_secs(3);

/// A connection and the second handle on its socket.
pub(super) struct Wire {
    /// Who else looks at it does so for a moment, and does not keep it.
    connection: Arc<Connection>,
    socket: Socket,
    watch: SilenceWatch,
}

/// Makes a connection, named `channel-sync <purpose>` in the broker's listings.
///
/// The attempt takes at most `connect_timeout`, and may be dropped at any time: it leaves nothing behind.
pub(super) async fn connect(config: &BrokerConfig, purpose: &str) -> Result<Wire, BrokerError> {
    let uri = uri(config)?;
    let user = match config.auth {
        BrokerAuth::Plain => uri.authority.userinfo.username.clone(),
        BrokerAuth::External => "of the client certificate".to_owned(),
    };
    let (host, vhost) = (uri.authority.host.clone(), uri.vhost.clone());
    let lost = |reason: String| BrokerError::Lost { action: CONNECT.to_owned(), reason };
    let last_heard = LastHeard::now();
    let runtime = last_heard.runtime();
    let properties = ConnectionProperties::default()
        .with_connection_name(format!("channel-sync {purpose}").into())
        .with_client_property("product".into(), "channel-sync".into())
        .with_client_property("version".into(), env!("CARGO_PKG_VERSION").into());

    let socket = Socket::default();
    let timeout = config.connect_timeout;
    let dialled = socket.handle();
    let listening = last_heard.clone();
    // Where dialling fails, the library does not always say so: seen with a port that is closed, on a busy machine.
    let (tell, mut told) = mpsc::unbounded_channel();
    let tls = config.tls.as_ref().map(|tls| TlsConnector::from(Arc::clone(tls.config())));
    // Runs on the library's thread: what it waits for must end by itself.
    let dial = async move |uri: AMQPUri, _| {
        let dialling = async {
            let authority = &uri.authority;
            let addresses: Vec<_> =
                tokio::net::lookup_host((authority.host.as_str(), authority.port)).await?.collect();
            let stream = listening.connect(&addresses).await?;
            dialled.open(stream.socket().as_fd().try_clone_to_owned()?.into())?;
            let stream = match &tls {
                None => Parsable::new(stream),
                Some(tls) => {
                    let name = ServerName::try_from(authority.host.clone()).map_err(std::io::Error::other)?;
                    Parsable::new(tls.connect(name, stream).await?)
                }
            };
            // To the library it is plain in either case: it must not see what comes before it is put right.
            std::io::Result::Ok(AsyncTcpStream::Plain(stream))
        };
        let dialled = match tokio::time::timeout(timeout, dialling).await {
            Ok(dialled) => dialled.map_err(lapin::Error::from),
            Err(_) => Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into()),
        };
        dialled.inspect_err(|error| {
            // Nobody listens where the attempt was dropped.
            let _ = tell.send(error.clone());
        })
    };
    let attempt = Connection::connector(uri, runtime, dial, properties);
    let refused = |error: lapin::Error| match (reply_code(&error), error.kind()) {
        (Some(codes::ACCESS_REFUSED | codes::NOT_ALLOWED), _) | (_, ErrorKind::InvalidProtocolVersion(_)) => {
            BrokerError::Refused { user, vhost, reason: reason(&error) }
        }
        _ => match tls_failure(&error) {
            Some(reason) => BrokerError::Untrusted { host, reason },
            None => lost(reason(&error)),
        },
    };
    let attempt = async {
        tokio::select! {
            connection = attempt => connection,
            Some(error) = told.recv() => Err(error),
        }
    };
    match tokio::time::timeout(timeout, attempt).await {
        Ok(Ok(connection)) => {
            let watch = SilenceWatch::begin(last_heard, silence_max(config.heartbeat), socket.handle());
            Ok(Wire { connection: Arc::new(connection), socket, watch })
        }
        Ok(Err(error)) => Err(refused(error)),
        Err(_) => Err(BrokerError::Timeout { action: CONNECT.to_owned(), after: timeout, blocked: false }),
    }
}

/// The largest frame; a larger body comes in several. The library has room for 32 frames in each direction, from the
/// first moment on: with the broker's 128 KiB, that was 8 MiB at rest. Most bodies have some hundred bytes. Properties
/// and headers always come in one frame, however large; headers that there is no room for are left out (`parsable`).
pub(super) const FRAME_BYTES_MAX: u32 = 32 * 1024;

/// After so long without a byte, the broker hangs: twice the heartbeat, less what it takes to say so. It sends
/// one twice in each.
fn silence_max(heartbeat: Duration) -> Duration {
    heartbeat * 2 - heartbeat / 10
}

/// What it is about TLS that went wrong, where that is what did.
fn tls_failure(error: &lapin::Error) -> Option<String> {
    match error.kind() {
        ErrorKind::IOError(error) => tls::failure(&**error),
        _ => tls::failure(error),
    }
}

/// What the library is to connect to, with what it reads differently put right.
pub(super) fn uri(config: &BrokerConfig) -> Result<AMQPUri, BrokerError> {
    // The configuration is checked, so this never happens; the library's own words would show the password.
    let malformed =
        || BrokerError::Lost { action: CONNECT.to_owned(), reason: "broker.url is no URL".to_owned() };
    let text = config.url.expose();
    let mut uri: AMQPUri = text.parse().map_err(|_| malformed())?;
    let url = url::Url::parse(text).map_err(|_| malformed())?;
    // It would take localhost in place of an address of IPv6.
    if let Some(url::Host::Ipv6(address)) = url.host() {
        uri.authority.host = address.to_string();
    }
    // It would take a virtual host without a name, which nobody has.
    if uri.vhost.is_empty() {
        uri.vhost = "/".to_owned();
    }
    if let Some(password) = &config.password {
        password.expose().clone_into(&mut uri.authority.userinfo.password);
    }
    // The library does not export the type, but knows the names.
    let mechanism = match config.auth {
        BrokerAuth::Plain => "plain",
        BrokerAuth::External => "external",
    };
    uri.query.auth_mechanism = mechanism.parse().ok();
    uri.query.frame_max = Some(FRAME_BYTES_MAX);
    uri.query.heartbeat = Some(u16::try_from(config.heartbeat.as_secs()).unwrap_or(u16::MAX));
    Ok(uri)
}

impl Wire {
    /// Opens a channel.
    pub(super) async fn channel(&self) -> Result<Channel, BrokerError> {
        self.connection.create_channel().await.map_err(|error| BrokerError::of("open a channel", &error))
    }

    /// The connection, for as long as it is here.
    pub(super) fn weak(&self) -> Weak<Connection> {
        Arc::downgrade(&self.connection)
    }

    /// Whether the connection is there, as far as the library knows.
    pub(super) fn connected(&self) -> bool {
        self.connection.status().connected()
    }

    /// Whether the broker has said that it does not read from this connection for now.
    pub(super) fn blocked(&self) -> bool {
        self.connection.status().blocked()
    }

    /// What went wrong on this connection, given what the library says of it.
    pub(super) fn explain(&self, error: BrokerError) -> BrokerError {
        match error {
            BrokerError::Lost { action, .. } if self.watch.barked() => {
                let reason =
                    format!("nothing came from the broker for {:.1} s", self.watch.limit.as_secs_f64());
                BrokerError::Lost { action, reason }
            }
            error => error,
        }
    }

    /// Says goodbye, for at most [`CLOSE_TIMEOUT`]. Dropping the connection does without.
    pub(super) async fn close(self) {
        let goodbye = self.connection.close(200, "goodbye".into());
        match tokio::time::timeout(CLOSE_TIMEOUT, goodbye).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%error, "close the connection to the broker"),
            Err(_) => tracing::debug!("close the connection to the broker: no answer"),
        }
        drop(self.socket);
    }
}

/// The second handle on the socket. Dropping it shuts the socket down, now or as soon as there is one.
#[derive(Default)]
struct Socket(SocketHandle);

#[derive(Default, Clone)]
struct SocketHandle(Arc<Mutex<SocketState>>);

#[derive(Default)]
enum SocketState {
    #[default]
    Dialling,
    Open(TcpStream),
    Gone,
}

impl Socket {
    fn handle(&self) -> SocketHandle {
        self.0.clone()
    }
}

/// Shuts the socket down where the broker is silent for too long, which the library would notice later.
struct SilenceWatch {
    limit: Duration,
    barked: Arc<AtomicBool>,
    task: tokio::task::JoinHandle<()>,
}

impl SilenceWatch {
    fn begin(last_heard: LastHeard, limit: Duration, socket: SocketHandle) -> Self {
        let barked = Arc::new(AtomicBool::new(false));
        let barks = Arc::clone(&barked);
        let task = tokio::spawn(async move {
            last_heard.silent_for(limit).await;
            barks.store(true, Ordering::Release);
            socket.shut();
        });
        Self { limit, barked, task }
    }

    fn barked(&self) -> bool {
        self.barked.load(Ordering::Acquire)
    }
}

impl Drop for SilenceWatch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl SocketHandle {
    /// Notes the socket.
    ///
    /// # Errors
    /// Where nobody waits for it any more.
    fn open(&self, socket: TcpStream) -> std::io::Result<()> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(*state, SocketState::Gone) {
            return Err(std::io::ErrorKind::TimedOut.into());
        }
        *state = SocketState::Open(socket);
        Ok(())
    }

    /// Shuts the socket down, now or as soon as there is one.
    fn shut(&self) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let SocketState::Open(socket) = &*state {
            // It fails where the peer was faster, which is as good.
            let _ = socket.shutdown(Shutdown::Both);
        }
        *state = SocketState::Gone;
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.0.shut();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn the_library_is_given_what_the_url_means() {
        // (the URL, host, port, virtual host, user)
        let cases = [
            ("amqp://127.0.0.1", "127.0.0.1", 5672, "/", "guest"),
            ("amqp://me:pw@broker.example:1234/", "broker.example", 1234, "/", "me"),
            ("amqp://broker.example/%2f", "broker.example", 5672, "/", "guest"),
            ("amqps://m%40e:p%2fw@broker.example/a%2Fb", "broker.example", 5671, "a/b", "m@e"),
            ("amqp://[::1]:1234/v", "::1", 1234, "v", "guest"),
        ];
        for (url, host, port, vhost, user) in cases {
            let environment = [
                ("AMQP_URL".to_owned(), url.to_owned()),
                ("CHANNEL_SYNC__BROKER__HEARTBEAT_SECONDS".to_owned(), "7".to_owned()),
            ];
            let uri = uri(&Config::load(None, environment.into_iter()).unwrap().broker).unwrap();
            assert_eq!(uri.authority.host, host, "{url}");
            assert_eq!(uri.authority.port, port, "{url}");
            assert_eq!(uri.vhost, vhost, "{url}");
            assert_eq!(uri.authority.userinfo.username, user, "{url}");
            assert_eq!(uri.query.heartbeat, Some(7), "{url}");
        }
    }
}
