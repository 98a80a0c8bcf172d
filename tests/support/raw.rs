//! A publisher that writes AMQP frames by itself: what it sends need not be what a library would send.

use percent_encoding::percent_decode_str;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::proxy::server;

/// A message as bytes, whatever they are; the body has at least one.
#[derive(Debug, Clone, Default)]
pub struct RawMessage {
    pub routing_key: Vec<u8>,
    pub content_type: Vec<u8>,
    pub correlation_id: Option<Vec<u8>>,
    /// The entries of the table: see [`entry`].
    pub headers: Vec<u8>,
    pub body: Vec<u8>,
}

/// An entry of a table: its name, the letter of its type, and the value as that type has it.
pub fn entry(name: &[u8], kind: u8, value: &[u8]) -> Vec<u8> {
    [&short(name), &[kind][..], value].concat()
}

/// Bytes behind their length, as long strings, tables and arrays have it.
pub fn long(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u32).to_be_bytes(), bytes].concat()
}

/// The same, as short strings have it.
pub fn short(bytes: &[u8]) -> Vec<u8> {
    [&[bytes.len().try_into().unwrap()], bytes].concat()
}

impl RawMessage {
    /// What stands in the frame of the content's header.
    fn header(&self) -> Vec<u8> {
        const CONTENT_TYPE: u16 = 1 << 15;
        const HEADERS: u16 = 1 << 13;
        const DELIVERY_MODE: u16 = 1 << 12;
        const CORRELATION_ID: u16 = 1 << 10;
        let flags = CONTENT_TYPE | HEADERS | DELIVERY_MODE;
        let flags = flags | if self.correlation_id.is_some() { CORRELATION_ID } else { 0 };
        let mut header = vec![0, 60, 0, 0];
        header.extend((self.body.len() as u64).to_be_bytes());
        header.extend(flags.to_be_bytes());
        header.extend(short(&self.content_type));
        header.extend(long(&self.headers));
        header.push(2);
        header.extend(self.correlation_id.iter().flat_map(|id| short(id)));
        header
    }
}

/// A connection with one channel, on which messages are confirmed.
pub struct RawPublisher(TcpStream);

impl RawPublisher {
    /// Connects to the virtual host and with the password of this URL.
    pub async fn connect(url: &str) -> Self {
        let url = url::Url::parse(url).unwrap();
        let decoded = |text: &str| percent_decode_str(text).decode_utf8().unwrap().into_owned();
        let (user, password) = (decoded(url.username()), decoded(url.password().unwrap_or("guest")));
        let stream = TcpStream::connect(server("AMQP_URL", 5672)).await.unwrap();
        let mut publisher = Self(stream);
        publisher.0.write_all(b"AMQP\0\0\x09\x01").await.unwrap();
        publisher.expect([10, 10]).await;
        let response = format!("\0{user}\0{password}");
        let start_ok = [long(b""), short(b"PLAIN"), long(response.as_bytes()), short(b"en_US")].concat();
        publisher.call(0, [10, 11], &start_ok).await;
        let tune = publisher.expect([10, 30]).await;
        // Channels and frames as proposed; no heartbeat.
        publisher.call(0, [10, 31], &[&tune[..6], &[0, 0]].concat()).await;
        let vhost = decoded(&url.path()[1..]);
        publisher.call(0, [10, 40], &[short(vhost.as_bytes()), vec![0, 0]].concat()).await;
        publisher.expect([10, 41]).await;
        publisher.call(1, [20, 10], &[0]).await;
        publisher.expect([20, 11]).await;
        publisher.call(1, [85, 10], &[0]).await;
        publisher.expect([85, 11]).await;
        publisher
    }

    /// Publishes, and waits until the broker has confirmed it.
    pub async fn publish(&mut self, exchange: &str, message: &RawMessage) {
        let taken = self.offer(exchange, &message.routing_key, &message.header(), &message.body).await;
        assert!(taken, "the broker takes {message:?}");
    }

    /// Publishes with whatever in the frame of the content's header; says whether the broker confirms it. Where it does
    /// not, this connection is of no more use.
    pub async fn offer(&mut self, exchange: &str, routing_key: &[u8], header: &[u8], body: &[u8]) -> bool {
        let publish = [&[0, 0], &short(exchange.as_bytes())[..], &short(routing_key), &[0]].concat();
        self.call(1, [60, 40], &publish).await;
        self.frame(2, 1, header).await;
        self.frame(3, 1, body).await;
        let (kind, answer) = self.read().await;
        kind == 1 && answer.starts_with(&[0, 60, 0, 80])
    }

    async fn call(&mut self, channel: u8, [class, method]: [u8; 2], arguments: &[u8]) {
        self.frame(1, channel, &[&[0, class, 0, method], arguments].concat()).await;
    }

    async fn frame(&mut self, kind: u8, channel: u8, payload: &[u8]) {
        let frame = [&[kind, 0, channel], &long(payload)[..], &[0xce]].concat();
        self.0.write_all(&frame).await.unwrap();
    }

    /// Reads the next frame, which must be of this method; returns its arguments.
    async fn expect(&mut self, [class, method]: [u8; 2]) -> Vec<u8> {
        let (kind, payload) = self.read().await;
        let text = String::from_utf8_lossy(&payload);
        assert!(kind == 1 && payload.starts_with(&[0, class, 0, method]), "{kind} {text}");
        payload[4..].to_vec()
    }

    /// The next frame: its type, and its payload with the byte at its end.
    async fn read(&mut self) -> (u8, Vec<u8>) {
        let mut head = [0; 7];
        self.0.read_exact(&mut head).await.unwrap();
        let size = u32::from_be_bytes([head[3], head[4], head[5], head[6]]);
        let mut payload = vec![0; size as usize + 1];
        self.0.read_exact(&mut payload).await.unwrap();
        (head[0], payload)
    }
}
