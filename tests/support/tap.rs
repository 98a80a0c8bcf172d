//! Reads the frames of a connection, to catch the service at one exact step.
//!
//! Of either protocol it knows where a frame ends, and the few frames that mark a step between receiving a
//! message and having its effect committed.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use tokio::sync::watch;

/// Which way bytes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From the service.
    ToServer,
    /// To the service.
    ToClient,
}

/// The step at which a tap catches a connection, and holds it from there on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// AMQP: the frame of a delivery was forwarded, its content is not.
    Delivered,
    /// AMQP: one request for deliveries is lost; all else is forwarded, heartbeats too.
    Consuming,
    /// AMQP: an acknowledgement is not forwarded.
    Acknowledging,
    /// AMQP: an acknowledgement was forwarded.
    Acknowledged,
    /// Postgres: a statement with this text is not forwarded.
    Running(&'static str),
    /// Postgres: the COMMIT of the n-th transaction that ran a statement with this text is not forwarded.
    Committing(&'static str, u32),
    /// Postgres: that COMMIT was forwarded and done, its answer is not forwarded.
    Committed(&'static str, u32),
    /// AMQP: on one connection, deliveries from the next one on are lost without a trace.
    LosingDeliveries,
    /// AMQP: the broker closes the channel of one connection, with an error.
    ClosingChannel,
    /// AMQP: the broker says to one connection that it does not read from it for now.
    Blocking,
    /// Nothing is caught; frames are counted.
    Nothing,
}

impl Step {
    fn is_of_postgres(self) -> bool {
        matches!(self, Self::Running(_) | Self::Committing(..) | Self::Committed(..))
    }
}

/// What a tap has seen from the service, by AMQP class and method.
pub type Methods = HashMap<(u16, u16), u32>;

/// What several connections through one proxy are watched for.
#[derive(Debug)]
pub struct Tap {
    postgres: bool,
    state: Mutex<State>,
    caught: watch::Sender<bool>,
}

#[derive(Debug)]
struct State {
    /// None once it was caught: that happens once.
    step: Option<Step>,
    commits: u32,
    methods: Methods,
    startups: Vec<String>,
}

impl Tap {
    /// A tap that catches at this step; of which protocol, the step says.
    pub fn at(step: Step) -> Arc<Self> {
        Self::new(Some(step), step.is_of_postgres())
    }

    /// A tap on AMQP that catches nothing yet.
    pub fn on_broker() -> Arc<Self> {
        Self::new(Some(Step::Nothing), false)
    }

    /// A tap on Postgres that catches nothing.
    pub fn on_postgres() -> Arc<Self> {
        Self::new(Some(Step::Nothing), true)
    }

    fn new(step: Option<Step>, postgres: bool) -> Arc<Self> {
        let state = State { step, commits: 0, methods: Methods::new(), startups: Vec::new() };
        Arc::new(Self { postgres, state: Mutex::new(state), caught: watch::Sender::new(false) })
    }

    /// From now on, catches at this step.
    pub fn set(&self, step: Step) {
        assert_eq!(step.is_of_postgres(), self.postgres);
        self.state.lock().unwrap().step = Some(step);
    }

    /// Waits until a connection was caught.
    pub async fn caught(&self) {
        self.caught.subscribe().wait_for(|caught| *caught).await.unwrap();
    }

    /// Which methods the service has called, and how often.
    pub fn methods(&self) -> Methods {
        self.state.lock().unwrap().methods.clone()
    }

    /// What the service has said of each session at its start: user, database, options.
    pub fn startups(&self) -> Vec<String> {
        self.state.lock().unwrap().startups.clone()
    }

    fn catch(&self) {
        self.caught.send_replace(true);
    }
}

/// What happens to a frame.
pub(super) enum Verdict {
    Forward,
    /// It is dropped.
    Swallow,
    /// It is forwarded, and these bytes after it.
    Follow(Vec<u8>),
    /// Neither it nor anything after it is forwarded.
    Hold,
}

/// One connection, as far as both its directions are read.
pub(super) struct Watch {
    tap: Arc<Tap>,
    /// Postgres: the texts of prepared statements by their names.
    statements: HashMap<Vec<u8>, Vec<u8>>,
    /// Postgres: whether the transaction at hand ran the statement that is waited for.
    ran: bool,
    /// Postgres: the next COMMIT that is answered is caught.
    catch_answer: bool,
    /// AMQP: frames of the delivery that was caught are to be held.
    delivered: bool,
    /// AMQP: deliveries are lost, and this one's content is not at its end.
    losing: bool,
}

impl Watch {
    pub(super) fn new(tap: Arc<Tap>) -> Self {
        Self {
            tap,
            statements: HashMap::new(),
            ran: false,
            catch_answer: false,
            delivered: false,
            losing: false,
        }
    }

    fn verdict(&mut self, direction: Direction, first: bool, frame: &[u8]) -> Verdict {
        let tap = Arc::clone(&self.tap);
        let mut state = tap.state.lock().unwrap();
        match (tap.postgres, direction) {
            (true, Direction::ToServer) => self.postgres_hears(&tap, &mut state, first, frame),
            (true, Direction::ToClient) => self.postgres_says(&tap, frame),
            (false, Direction::ToServer) => self.broker_hears(&tap, &mut state, first, frame),
            (false, Direction::ToClient) => self.broker_says(&tap, &mut state, frame),
        }
    }

    fn postgres_hears(&mut self, tap: &Tap, state: &mut State, first: bool, frame: &[u8]) -> Verdict {
        if first {
            // Or it asks to cancel what runs in another session.
            if frame[4..8] == PROTOCOL_3 {
                state.startups.push(String::from_utf8_lossy(&frame[8..]).replace('\0', " "));
            }
            return Verdict::Forward;
        }
        let wanted = match state.step {
            Some(Step::Running(text) | Step::Committing(text, _) | Step::Committed(text, _)) => Some(text),
            _ => None,
        };
        let mut texts = frame[5..].split(|byte| *byte == 0);
        let mut text = || texts.next().unwrap_or_default().to_vec();
        match frame[0] {
            b'P' => {
                let (name, statement) = (text(), text());
                self.statements.insert(name, statement);
            }
            b'B' => {
                let (_portal, name) = (text(), text());
                let statement = self.statements.get(&name).map(|text| String::from_utf8_lossy(text));
                if wanted.is_some_and(|wanted| statement.is_some_and(|text| text.contains(wanted))) {
                    self.ran = true;
                    if let Some(Step::Running(_)) = state.step {
                        state.step = None;
                        tap.catch();
                        return Verdict::Hold;
                    }
                }
            }
            b'Q' => match (text().as_slice(), self.ran) {
                (b"COMMIT", true) => {
                    self.ran = false;
                    state.commits += 1;
                    match state.step {
                        Some(Step::Committing(_, nth)) if nth == state.commits => {
                            state.step = None;
                            tap.catch();
                            return Verdict::Hold;
                        }
                        Some(Step::Committed(_, nth)) if nth == state.commits => {
                            state.step = None;
                            self.catch_answer = true;
                        }
                        _ => {}
                    }
                }
                (b"ROLLBACK", _) => self.ran = false,
                _ => {}
            },
            _ => {}
        }
        Verdict::Forward
    }

    fn postgres_says(&mut self, tap: &Tap, frame: &[u8]) -> Verdict {
        if self.catch_answer && frame[0] == b'C' && frame[5..].starts_with(b"COMMIT") {
            tap.catch();
            return Verdict::Hold;
        }
        Verdict::Forward
    }

    fn broker_hears(&mut self, tap: &Tap, state: &mut State, first: bool, frame: &[u8]) -> Verdict {
        let Some(method) = method(frame).filter(|_| !first) else { return Verdict::Forward };
        *state.methods.entry(method).or_default() += 1;
        match (method, state.step) {
            (BASIC_CONSUME, Some(Step::Consuming)) => {
                state.step = None;
                tap.catch();
                Verdict::Swallow
            }
            (BASIC_ACK, Some(Step::Acknowledging)) => {
                state.step = None;
                tap.catch();
                Verdict::Hold
            }
            (BASIC_ACK, Some(Step::Acknowledged)) => {
                state.step = None;
                tap.catch();
                Verdict::Forward
            }
            _ => Verdict::Forward,
        }
    }

    fn broker_says(&mut self, tap: &Tap, state: &mut State, frame: &[u8]) -> Verdict {
        if self.delivered {
            tap.catch();
            return Verdict::Hold;
        }
        let channel = u16::from_be_bytes([frame[1], frame[2]]);
        let delivery = method(frame) == Some(BASIC_DELIVER);
        if self.losing {
            return if channel == 1 { Verdict::Swallow } else { Verdict::Forward };
        }
        match state.step {
            Some(Step::Delivered) if delivery => {
                state.step = None;
                self.delivered = true;
                Verdict::Forward
            }
            Some(Step::LosingDeliveries) if delivery => {
                state.step = None;
                self.losing = true;
                tap.catch();
                Verdict::Swallow
            }
            // After a heartbeat, which never stands between the frames of a delivery's content and it.
            Some(Step::ClosingChannel) if frame[0] == 8 => {
                state.step = None;
                tap.catch();
                Verdict::Follow(channel_close())
            }
            // After a delivery's content, which is one frame where it is small.
            Some(Step::Blocking) if frame[0] == 3 => {
                state.step = None;
                tap.catch();
                Verdict::Follow(connection_blocked())
            }
            _ => Verdict::Forward,
        }
    }
}

/// The version of Postgres' protocol with which a session starts.
const PROTOCOL_3: [u8; 4] = [0, 3, 0, 0];

const BASIC_CONSUME: (u16, u16) = (60, 20);
const BASIC_DELIVER: (u16, u16) = (60, 60);
const BASIC_ACK: (u16, u16) = (60, 80);

/// Class and method of a method frame.
fn method(frame: &[u8]) -> Option<(u16, u16)> {
    let number = |at: usize| u16::from_be_bytes([frame[at], frame[at + 1]]);
    (frame.len() >= 12 && frame[0] == 1).then(|| (number(7), number(9)))
}

/// The broker's word that it closes channel 1: PRECONDITION_FAILED, as for an acknowledgement that it does not
/// know.
fn channel_close() -> Vec<u8> {
    let mut payload = vec![0, 20, 0, 40];
    payload.extend(406_u16.to_be_bytes());
    payload.extend(short_text("PRECONDITION_FAILED - a test says so"));
    payload.extend([0, 60, 0, 80]);
    method_frame(1, &payload)
}

/// The broker's word that it does not read from the connection for now.
fn connection_blocked() -> Vec<u8> {
    let mut payload = vec![0, 10, 0, 60];
    payload.extend(short_text("a test says so"));
    method_frame(0, &payload)
}

fn short_text(text: &str) -> Vec<u8> {
    let mut bytes = vec![text.len() as u8];
    bytes.extend(text.bytes());
    bytes
}

fn method_frame(channel: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![1, 0, channel];
    frame.extend((payload.len() as u32).to_be_bytes());
    frame.extend(payload);
    frame.push(0xce);
    frame
}

/// The frames of one direction of a connection.
pub(super) struct Frames {
    direction: Direction,
    watch: Arc<Mutex<Watch>>,
    unread: Vec<u8>,
    first: bool,
}

impl Frames {
    pub(super) fn new(direction: Direction, watch: Arc<Mutex<Watch>>) -> Self {
        Self { direction, watch, unread: Vec::new(), first: true }
    }

    /// The frames that are complete with these bytes, and what happens to each.
    pub(super) fn read(&mut self, bytes: &[u8]) -> Vec<(Vec<u8>, Verdict)> {
        self.unread.extend(bytes);
        let mut watch = self.watch.lock().unwrap();
        let (mut frames, mut start) = (Vec::new(), 0);
        let postgres = watch.tap.postgres;
        while let Some(length) = length(&self.unread[start..], postgres, self.direction, self.first) {
            if self.unread.len() - start < length {
                break;
            }
            let frame = self.unread[start..start + length].to_vec();
            start += length;
            let verdict = watch.verdict(self.direction, self.first, &frame);
            self.first = false;
            frames.push((frame, verdict));
        }
        self.unread.drain(..start);
        frames
    }
}

/// How long the frame is that these bytes begin; none where they are too few to tell.
fn length(bytes: &[u8], postgres: bool, direction: Direction, first: bool) -> Option<usize> {
    let number = |at: usize| {
        let bytes = bytes.get(at..at + 4)?;
        Some(u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]) as usize)
    };
    match (postgres, direction, first) {
        // Without a type: the startup.
        (true, Direction::ToServer, true) => number(0),
        (true, _, _) => Some(number(1)? + 1),
        // The protocol's name.
        (false, Direction::ToServer, true) => Some(8),
        (false, _, _) => Some(number(3)? + 8),
    }
}
