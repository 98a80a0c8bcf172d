//! A proxy in front of a server, which does to the connections through it what networks and dying peers do.
//!
//! It forwards bytes, or does with them what a [`Fault`] says. With a [`Tap`] it reads the frames of either
//! protocol as far as is needed to stop a connection at one exact step of the service; a byte that is held
//! there is never forwarded later, unless its tap is released.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::watch;

use super::tap::{Direction, Frames, Tap, Verdict, Watch};

/// What a proxy does with what comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Forwards it.
    None,
    /// Closes all connections, and every new one.
    Refuse,
    /// Lets nothing through in either direction, and closes nothing: a peer that hangs.
    BlackHole,
    /// Lets nothing through in one direction, and everything in the other.
    HalfOpen(Direction),
    /// Forwards what it reads at once after a pause.
    Latency(Duration),
    /// Resets each connection after so many bytes, wherever in a frame that is.
    ResetAfter(u64),
    /// Forwards each byte by itself.
    Trickle,
}

/// A proxy in front of one server.
pub struct Proxy {
    address: SocketAddr,
    fault: watch::Sender<Fault>,
    socket: Mutex<Option<TcpSocket>>,
    target: Arc<Mutex<String>>,
    tap: Option<Arc<Tap>>,
}

impl Proxy {
    /// A proxy in front of the broker that `AMQP_URL` names.
    pub async fn before_broker() -> Self {
        Self::before(&server("AMQP_URL", 5672), None).await
    }

    /// A proxy in front of the TLS port of the broker, which `AMQPS_URL` names.
    pub async fn before_broker_tls() -> Self {
        Self::before(&server("AMQPS_URL", 5671), None).await
    }

    /// The same as [`Proxy::before_broker`], with a tap.
    pub async fn before_broker_with(tap: &Arc<Tap>) -> Self {
        Self::before(&server("AMQP_URL", 5672), Some(Arc::clone(tap))).await
    }

    /// A proxy in front of the Postgres that `DATABASE_URL` names.
    pub async fn before_postgres() -> Self {
        Self::before(&server("DATABASE_URL", 5432), None).await
    }

    /// The same, with a tap.
    pub async fn before_postgres_with(tap: &Arc<Tap>) -> Self {
        Self::before(&server("DATABASE_URL", 5432), Some(Arc::clone(tap))).await
    }

    /// A proxy in front of a broker that is not there yet: its port is closed.
    pub async fn closed_before_broker() -> Self {
        Self::closed_before(&server("AMQP_URL", 5672), None)
    }

    /// A proxy in front of a Postgres that is not there yet: its port is closed.
    pub async fn closed_before_postgres() -> Self {
        Self::closed_before(&server("DATABASE_URL", 5432), None)
    }

    /// A proxy in front of a server at this host and port.
    pub async fn before_host(target: &str) -> Self {
        Self::before(target, None).await
    }

    /// From now on, new connections go to this host and port.
    pub fn aim(&self, target: &str) {
        target.clone_into(&mut self.target.lock().unwrap());
    }

    async fn before(target: &str, tap: Option<Arc<Tap>>) -> Self {
        let proxy = Self::closed_before(target, tap);
        proxy.open();
        proxy
    }

    fn closed_before(target: &str, tap: Option<Arc<Tap>>) -> Self {
        // Bound and not listened on, it is nobody else's, and whoever connects is refused.
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = socket.local_addr().unwrap();
        Self {
            address,
            fault: watch::Sender::new(Fault::None),
            socket: Mutex::new(Some(socket)),
            target: Arc::new(Mutex::new(target.to_owned())),
            tap,
        }
    }

    /// Opens the port of a proxy that was closed.
    pub fn open(&self) {
        let socket = self.socket.lock().unwrap().take().expect("the port is closed");
        let listener = socket.listen(128).unwrap();
        let (target, tap, faults) = (Arc::clone(&self.target), self.tap.clone(), self.fault.subscribe());
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (target, tap, faults) = (target.lock().unwrap().clone(), tap.clone(), faults.clone());
                tokio::spawn(async move {
                    if let Ok(server) = TcpStream::connect(&target).await {
                        forward(client, server, faults, tap).await;
                    }
                });
            }
        });
    }

    /// The port on 127.0.0.1 that it listens on.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// From now on, this happens to all connections.
    pub fn set(&self, fault: Fault) {
        self.fault.send_replace(fault);
    }

    /// Lets everything through again that comes over new connections, or was held back.
    pub fn restore(&self) {
        self.set(Fault::None);
    }
}

/// Host and port of the server that a variable names.
pub fn server(variable: &str, default_port: u16) -> String {
    let url = std::env::var(variable)
        .unwrap_or_else(|_| panic!("{variable} is not set: run the tests by `deploy/dev test`"));
    let url = url::Url::parse(&url).unwrap_or_else(|error| panic!("{variable} is a URL: {error}"));
    format!("{}:{}", url.host_str().unwrap(), url.port().unwrap_or(default_port))
}

/// Forwards both directions until either ends; then both sockets are closed.
async fn forward(
    client: TcpStream,
    server: TcpStream,
    faults: watch::Receiver<Fault>,
    tap: Option<Arc<Tap>>,
) {
    for stream in [&client, &server] {
        let _ = stream.set_nodelay(true);
    }
    let watch = tap.map(|tap| Arc::new(Mutex::new(Watch::new(tap))));
    let bytes = Arc::new(AtomicU64::new(0));
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let mut one = Pump {
        direction: Direction::ToServer,
        from: from_client,
        to: to_server,
        faults: faults.clone(),
        bytes: Arc::clone(&bytes),
        frames: watch.as_ref().map(|watch| Frames::new(Direction::ToServer, Arc::clone(watch))),
    };
    let mut other = Pump {
        direction: Direction::ToClient,
        from: from_server,
        to: to_client,
        faults,
        bytes,
        frames: watch.map(|watch| Frames::new(Direction::ToClient, watch)),
    };
    let reset = tokio::select! {
        reset = one.run() => reset,
        reset = other.run() => reset,
    };
    if reset {
        for stream in [one.from.as_ref(), other.from.as_ref()] {
            let _: std::io::Result<()> = stream.set_zero_linger();
        }
    }
}

/// One direction of a connection.
struct Pump {
    direction: Direction,
    from: OwnedReadHalf,
    to: OwnedWriteHalf,
    faults: watch::Receiver<Fault>,
    /// Forwarded in both directions while connections are reset after so many.
    bytes: Arc<AtomicU64>,
    frames: Option<Frames>,
}

impl Pump {
    /// Forwards until the end; true where the connection is to be reset.
    async fn run(&mut self) -> bool {
        let mut chunk = vec![0; 64 * 1024];
        loop {
            let fault = *self.faults.borrow_and_update();
            match fault {
                Fault::Refuse => return false,
                Fault::BlackHole => {
                    if self.faults.changed().await.is_err() {
                        return false;
                    }
                    continue;
                }
                Fault::HalfOpen(dead) if dead == self.direction => {
                    if self.faults.changed().await.is_err() {
                        return false;
                    }
                    continue;
                }
                Fault::None
                | Fault::HalfOpen(_)
                | Fault::Latency(_)
                | Fault::ResetAfter(_)
                | Fault::Trickle => {}
            }
            let read = tokio::select! {
                read = self.from.read(&mut chunk) => read,
                changed = self.faults.changed() => match changed {
                    Ok(()) => continue,
                    Err(_) => return false,
                },
            };
            let Ok(read @ 1..) = read else { return false };
            let written = match fault {
                Fault::ResetAfter(limit) => {
                    let before = self.bytes.fetch_add(read as u64, Ordering::Relaxed);
                    let left = limit.saturating_sub(before);
                    if left < read as u64 {
                        let _ = self.to.write_all(&chunk[..left as usize]).await;
                        return true;
                    }
                    self.to.write_all(&chunk[..read]).await
                }
                Fault::Trickle => self.trickle(&chunk[..read]).await,
                Fault::Latency(pause) => {
                    tokio::time::sleep(pause).await;
                    self.write(&chunk[..read]).await
                }
                _ => self.write(&chunk[..read]).await,
            };
            if written.is_err() {
                return false;
            }
        }
    }

    async fn trickle(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        for byte in bytes.chunks(1) {
            self.to.write_all(byte).await?;
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    /// Forwards, by way of the tap where there is one.
    async fn write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        let Some(frames) = &mut self.frames else { return self.to.write_all(bytes).await };
        for (frame, verdict) in frames.read(bytes) {
            match verdict {
                Verdict::Forward => self.to.write_all(&frame).await?,
                Verdict::Swallow => {}
                Verdict::Follow(with) => {
                    self.to.write_all(&frame).await?;
                    self.to.write_all(&with).await?;
                }
                Verdict::Hold => {
                    // Reads on all the same, so that the end of the peer ends this connection.
                    let mut rest = [0; 4096];
                    while self.from.read(&mut rest).await? > 0 {}
                    return Err(std::io::ErrorKind::UnexpectedEof.into());
                }
            }
        }
        Ok(())
    }
}
