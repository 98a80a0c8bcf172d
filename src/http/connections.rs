//! Connections: so many at once and no more, and none that keeps us waiting for long.
//!
//! A connection waits for its client until a request is there whole, head and body, and again once the answer has been
//! handed over. What always holds: where all places are taken, whoever has waited longest for its client makes room for
//! the next, so that any number of connections that send nothing keeps nobody out; a connection whose request is being
//! answered is never closed for another, and no answer is cut off; each wait ends by itself ([`Timeouts`]).

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::error::Error;
use std::iter::successors;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use axum::serve::Listener;
use axum::{BoxError, Router};
use hyper::body::{Body as _, Frame, Incoming, SizeHint};
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::Sleep;
use tokio_io_timeout::TimeoutStream;
use tokio_util::sync::CancellationToken;

/// The largest head of a request, the request line and all headers together; a larger one is answered by 431.
pub const HEAD_BYTES_MAX: usize = 64 * 1024;

/// How often it is said that all places are taken, at most.
const SAID_EVERY: Duration = Duration::from_secs(60);

/// How long a client is waited for.
#[derive(Debug, Clone, Copy)]
pub struct Timeouts {
    /// For the head of a request, from the connection's begin or the answer before on. So a connection may lie idle for
    /// as long: longer than a proxy leaves one, which would otherwise send into a connection that ends just then.
    pub head: Duration,
    /// For the whole body of a request.
    pub body: Duration,
    /// For the client to take anything at all of an answer.
    pub answer: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        let [head, body, answer] = [75, 60, 30].map(Duration::from_secs);
        Self { head, body, answer }
    }
}

/// The body of a request has not come in time.
#[derive(Debug, thiserror::Error)]
#[error("the body has not come within {0:?}")]
pub(super) struct TooSlow(Duration);

impl TooSlow {
    /// Where this is why a body could not be read.
    pub(super) fn behind<'e>(error: &'e (dyn Error + 'static)) -> Option<&'e Self> {
        successors(Some(error), |&error| error.source()).find_map(|error| error.downcast_ref())
    }
}

/// Answers connections by a router.
#[derive(Debug, Clone)]
pub(super) struct Connections {
    router: TowerToHyperService<Router>,
    timeouts: Timeouts,
    waiting: Arc<Mutex<Waiting>>,
}

impl Connections {
    pub(super) fn new(router: Router, timeouts: Timeouts) -> Self {
        Self { router: TowerToHyperService::new(router), timeouts, waiting: Arc::default() }
    }

    /// Serves at most so many connections at once, until `stop`, then those with a request in hand until it is answered.
    pub(super) async fn serve(
        self,
        mut listener: TcpListener,
        connections_max: usize,
        stop: CancellationToken,
    ) {
        let places = Arc::new(Semaphore::new(connections_max));
        // Dropped with this future, and all connections with it.
        let mut tasks = JoinSet::new();
        let mut said: Option<Instant> = None;
        loop {
            let (stream, _) = tokio::select! {
                () = stop.cancelled() => break,
                Some(_) = tasks.join_next() => continue,
                accepted = Listener::accept(&mut listener) => accepted,
            };
            if places.available_permits() == 0 {
                lock(&self.waiting).make_room();
                if said.is_none_or(|said| said.elapsed() >= SAID_EVERY) {
                    said = Some(Instant::now());
                    tracing::warn!(
                        connections_max,
                        "all HTTP connections are taken; who waits longest for its client makes room"
                    );
                }
            }
            let place = tokio::select! {
                () = stop.cancelled() => break,
                place = Arc::clone(&places).acquire_owned() => place,
            };
            lock(&self.waiting).wanted = false;
            let (connections, stop) = (self.clone(), stop.clone());
            tasks.spawn(async move {
                connections.answer(stream, &stop).await;
                drop(place);
            });
        }
        drop(listener);
        while tasks.join_next().await.is_some() {}
    }

    /// Answers the requests of one connection, until either side ends it.
    pub(super) async fn answer(&self, stream: impl AsyncRead + AsyncWrite + Send, stop: &CancellationToken) {
        let mut stream = TimeoutStream::new(stream);
        stream.set_write_timeout(Some(self.timeouts.answer));
        let wait = Wait::new(&self.waiting);
        // Dropped after the connection, whose bodies would begin to wait once more.
        let _over = Over(wait.clone());
        wait.begin();
        let service = service_fn(|request: hyper::Request<Incoming>| {
            wait.end();
            let request = request.map(|body| uploaded(body, self.timeouts.body, &wait));
            let (answer, at_work) = (self.router.call(request), AtWork(wait.clone()));
            async move {
                let answer = answer.await?;
                Ok::<_, Infallible>(answer.map(|body| Download { body, _at_work: at_work }))
            }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.timeouts.head)
            .max_buf_size(HEAD_BYTES_MAX)
            .serve_connection(TokioIo::new(Box::pin(stream)), service);
        let mut connection = std::pin::pin!(connection);
        let close = async {
            tokio::select! {
                () = wait.close.cancelled() => {}
                () = stop.cancelled() => {}
            }
        };
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = close => match wait.is_answering() {
                true => {
                    // What is in hand is answered, and no other request taken.
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
                false => Ok(()),
            },
        };
        // Whatever a client does, for whoever looks into that client.
        if let Err(error) = ended {
            tracing::debug!(%error, "an HTTP connection ended");
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The connections that wait for their client, by the turn in which they began to.
#[derive(Debug, Default)]
struct Waiting {
    turns: u64,
    connections: BTreeMap<u64, CancellationToken>,
    /// Whether the next one that would wait is to make room in place of that.
    wanted: bool,
}

impl Waiting {
    /// Closes the connection that has waited longest, or else the one that waits next.
    fn make_room(&mut self) {
        match self.connections.pop_first() {
            Some((_, close)) => close.cancel(),
            None => self.wanted = true,
        }
    }
}

/// Whether one connection waits for its client.
#[derive(Debug, Clone)]
struct Wait {
    waiting: Arc<Mutex<Waiting>>,
    state: Arc<Mutex<WaitState>>,
    /// Cancelled to make room for another.
    close: CancellationToken,
}

#[derive(Debug, Default)]
struct WaitState {
    /// Since which turn, where it waits.
    turn: Option<u64>,
    /// Whether an answer is made, or the end of one may still be on its way to the client.
    answering: bool,
    /// Whether the connection has ended.
    over: bool,
}

impl Wait {
    fn new(waiting: &Arc<Mutex<Waiting>>) -> Self {
        Self { waiting: Arc::clone(waiting), state: Arc::default(), close: CancellationToken::new() }
    }

    /// A request is waited for, or the rest of one.
    fn begin(&self) {
        lock(&self.state).answering = false;
        self.take_turn();
    }

    /// A request is there.
    fn end(&self) {
        let mut state = lock(&self.state);
        state.answering = true;
        if let Some(turn) = state.turn.take() {
            lock(&self.waiting).connections.remove(&turn);
        }
    }

    fn take_turn(&self) {
        let (mut state, mut waiting) = (lock(&self.state), lock(&self.waiting));
        if state.over || state.turn.is_some() {
            return;
        }
        if waiting.wanted {
            waiting.wanted = false;
            self.close.cancel();
        } else {
            waiting.turns += 1;
            let turn = waiting.turns;
            waiting.connections.insert(turn, self.close.clone());
            state.turn = Some(turn);
        }
    }

    fn is_answering(&self) -> bool {
        lock(&self.state).answering
    }
}

/// Ends a connection's waits for good.
struct Over(Wait);

impl Drop for Over {
    fn drop(&mut self) {
        self.0.end();
        lock(&self.0.state).over = true;
    }
}

/// An answer is made, or handed over. After that, the connection waits for its client again.
#[derive(Debug)]
struct AtWork(Wait);

impl Drop for AtWork {
    fn drop(&mut self) {
        self.0.take_turn();
    }
}

/// The body of a request, as the router takes it. Until it is there, or nobody wants it any more, the connection waits.
fn uploaded(body: Incoming, timeout: Duration, wait: &Wait) -> Body {
    if body.is_end_stream() {
        return Body::empty();
    }
    wait.begin();
    Body::new(Upload { body, timeout, late: Box::pin(tokio::time::sleep(timeout)), wait: wait.clone() })
}

/// The body of a request, which must be there in time.
struct Upload {
    body: Incoming,
    timeout: Duration,
    late: Pin<Box<Sleep>>,
    wait: Wait,
}

impl Drop for Upload {
    fn drop(&mut self) {
        self.wait.end();
    }
}

impl hyper::body::Body for Upload {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) {
            return Poll::Ready(frame.map(|frame| frame.map_err(BoxError::from)));
        }
        ready!(self.late.as_mut().poll(context));
        Poll::Ready(Some(Err(TooSlow(self.timeout).into())))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The body of an answer.
struct Download {
    body: Body,
    _at_work: AtWork,
}

impl hyper::body::Body for Download {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
