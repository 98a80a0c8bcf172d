//! What the broker says, put right so that the library can read it.
//!
//! The library parses a frame before anybody else sees it, and an error there ends the connection: the broker delivers
//! the same message again, and whatever waits behind it never comes. RabbitMQ takes, confirms and delivers what the
//! library cannot parse: short strings that are not UTF-8, headers that are larger than the frames that were agreed on,
//! and tables so deep that a parser which calls itself runs out of stack, and takes the process with it. So the library
//! is given a socket that reads the frames first, and what becomes of such a message is left to the contract.
//!
//! Changed are `basic.deliver` and the headers of contents, and `connection.tune` is looked at; all else passes as it is,
//! bodies without being collected first. No frame is added, left out or moved. Never panics, and allocates nothing for a
//! frame of the usual size; what does not look like AMQP passes as well, and the library says what is wrong with it.

use std::io;
use std::ops::Range;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_util::io::{AsyncRead, AsyncWrite};
use tokio_util::compat::{Compat, TokioAsyncReadCompatExt};

use super::connection::FRAME_BYTES_MAX;
use super::message::DEPTH_MAX;
use crate::contract::LEFT_OUT_HEADERS;

/// A connection, plain or by TLS.
pub(super) trait Duplex: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin {}

impl<S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin> Duplex for S {}

/// The socket that the library is given: reads from another one, and puts right what comes.
pub(super) struct Parsable {
    stream: Compat<Box<dyn Duplex>>,
    frames: Frames,
}

impl Parsable {
    pub(super) fn new(stream: impl Duplex + 'static) -> Self {
        let stream: Box<dyn Duplex> = Box::new(stream);
        Self { stream: stream.compat(), frames: Frames::default() }
    }
}

impl AsyncRead for Parsable {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let Self { stream, frames } = &mut *self;
        loop {
            let handed_on = frames.hand_on(buffer);
            if handed_on > 0 || buffer.is_empty() {
                return Poll::Ready(Ok(handed_on));
            }
            match ready!(Pin::new(&mut *stream).poll_read(context, frames.room()))? {
                0 => return Poll::Ready(Ok(frames.hand_on_rest(buffer))),
                count => frames.came(count),
            }
        }
    }
}

impl AsyncWrite for Parsable {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_close(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_close(context)
    }
}

/// How much is read at once.
const READ_BYTES: usize = 32 * 1024;

/// The largest frame that is collected; a larger one passes as it is.
const COLLECTED_BYTES_MAX: usize = 16 * 1024 * 1024;

/// What stands before the payload of a frame: type, channel and size.
const HEAD_BYTES: usize = 7;

/// Head and end of a frame, which is a byte.
const AROUND_BYTES: usize = HEAD_BYTES + 1;

/// What has come and is not handed on yet.
struct Frames {
    /// All of it initialized; filled up to `filled`.
    bytes: Vec<u8>,
    /// `handed_on` ≤ `ready` ≤ `filled`: what is between the first two may be handed on, what is behind is the
    /// beginning of a frame that is to be put right.
    handed_on: usize,
    ready: usize,
    filled: usize,
    /// How much of the frame at hand passes as it is.
    passing: usize,
    /// How large the frame is that is being collected; 0 where there is none, or not so much is known of it.
    collecting: usize,
    /// The largest frame that the library takes.
    frame_bytes_max: usize,
}

impl Default for Frames {
    fn default() -> Self {
        Self {
            bytes: Vec::new(),
            handed_on: 0,
            ready: 0,
            filled: 0,
            passing: 0,
            collecting: 0,
            frame_bytes_max: FRAME_BYTES_MAX as usize,
        }
    }
}

impl Frames {
    /// Hands on as much as is ready and as there is room for.
    fn hand_on(&mut self, buffer: &mut [u8]) -> usize {
        let count = buffer.len().min(self.ready - self.handed_on);
        buffer[..count].copy_from_slice(&self.bytes[self.handed_on..][..count]);
        self.handed_on += count;
        count
    }

    /// The same at the end of the stream: a frame that was never complete goes on as far as it came.
    fn hand_on_rest(&mut self, buffer: &mut [u8]) -> usize {
        self.ready = self.filled;
        self.hand_on(buffer)
    }

    /// Where to read to. Never empty, and only asked for when all that was ready is handed on.
    fn room(&mut self) -> &mut [u8] {
        self.bytes.copy_within(self.handed_on..self.filled, 0);
        self.filled -= self.handed_on;
        (self.handed_on, self.ready) = (0, 0);
        // Small again after a large frame: what is left here is less than a head, or less than what is collected.
        let length = self.collecting.max(READ_BYTES);
        if self.bytes.len() != length {
            self.bytes.resize(length, 0);
            self.bytes.shrink_to_fit();
        }
        &mut self.bytes[self.filled..]
    }

    /// So much was read to [`Self::room`].
    fn came(&mut self, count: usize) {
        self.filled += count;
        self.collecting = 0;
        while self.ready < self.filled {
            let come = &mut self.bytes[self.ready..self.filled];
            if self.passing > 0 {
                let passes = self.passing.min(come.len());
                self.passing -= passes;
                self.ready += passes;
                continue;
            }
            let Some(&[kind, _, _, ref size @ ..]) = come.first_chunk::<HEAD_BYTES>() else { return };
            let length = (u32::from_be_bytes(*size) as usize).saturating_add(AROUND_BYTES);
            if !matches!(kind, METHOD | CONTENT_HEADER) || length > COLLECTED_BYTES_MAX {
                self.passing = length;
                continue;
            }
            let Some(frame) = come.get_mut(..length) else {
                self.collecting = length;
                return;
            };
            let kept = if kind == METHOD {
                method(frame, &mut self.frame_bytes_max);
                length
            } else {
                content_header(frame, self.frame_bytes_max)
            };
            self.bytes.copy_within(self.ready + length..self.filled, self.ready + kept);
            self.ready += kept;
            self.filled -= length - kept;
        }
    }
}

const METHOD: u8 = 1;
const CONTENT_HEADER: u8 = 2;

const BASIC: u16 = 60;
const DELIVER: (u16, u16) = (BASIC, 60);
const TUNE: (u16, u16) = (10, 30);

/// What a frame holds.
fn payload(frame: &mut [u8]) -> Fields<'_> {
    Fields(
        frame.get_mut(HEAD_BYTES..).and_then(|rest| rest.split_last_mut()).map_or(&mut [], |(_, rest)| rest),
    )
}

/// Puts a delivery right, and notes what is agreed on: the lesser of what either side takes for a frame.
///
/// What does not fit, here as below, is left to the library.
fn method(frame: &mut [u8], frame_bytes_max: &mut usize) -> Option<()> {
    let mut fields = payload(frame);
    match (fields.u16()?, fields.u16()?) {
        DELIVER => {
            fields.short_text()?;
            // Tag and whether it was delivered before.
            fields.take(8 + 1)?;
            fields.short_text()?;
            fields.short_text()
        }
        TUNE => {
            let _channels_max = fields.u16()?;
            let proposed = fields.u32()? as usize;
            // The library takes that much in any case; 0 stands for no limit.
            const AT_LEAST: usize = 4096;
            if proposed > 0 {
                *frame_bytes_max = proposed.max(AT_LEAST).min(*frame_bytes_max);
            }
            Some(())
        }
        _ => None,
    }
}

/// Puts the header of a content right; returns how long the frame is afterwards.
fn content_header(frame: &mut [u8], frame_bytes_max: usize) -> usize {
    match properties(payload(frame)) {
        Some(Some(headers)) if frame.len() > frame_bytes_max => without(frame, headers),
        _ => frame.len(),
    }
}

/// Puts the properties of a content right; returns where in the payload its headers are, where it has any.
fn properties(mut fields: Fields<'_>) -> Option<Option<Range<usize>>> {
    let whole = fields.0.len();
    if fields.u16()? != BASIC {
        return None;
    }
    // A weight that nobody uses, and the size of the body.
    fields.take(2 + 8)?;
    let flags = fields.u16()?;
    let mut headers = None;
    // The first one has the highest bit.
    for (place, property) in PROPERTIES.iter().enumerate() {
        if flags & (1 << (15 - place)) == 0 {
            continue;
        }
        match property {
            Property::Text => fields.short_text()?,
            Property::Number(bytes) => drop(fields.take(*bytes)?),
            Property::Table => {
                let start = whole - fields.0.len();
                fields.table(1)?;
                headers = Some(start..whole - fields.0.len());
            }
        }
    }
    Some(headers)
}

enum Property {
    Text,
    /// Of so many bytes.
    Number(usize),
    Table,
}

const PROPERTIES: [Property; 14] = [
    Property::Text,      // content_type
    Property::Text,      // content_encoding
    Property::Table,     // headers
    Property::Number(1), // delivery_mode
    Property::Number(1), // priority
    Property::Text,      // correlation_id
    Property::Text,      // reply_to
    Property::Text,      // expiration
    Property::Text,      // message_id
    Property::Number(8), // timestamp
    Property::Text,      // type
    Property::Text,      // user_id
    Property::Text,      // app_id
    Property::Text,      // cluster_id
];

/// Replaces the headers of a frame, which are here in its payload, by one that says how many bytes they had. Returns
/// how long the frame is afterwards.
fn without(frame: &mut [u8], headers: Range<usize>) -> usize {
    let (start, end) = (HEAD_BYTES + headers.start, HEAD_BYTES + headers.end);
    let bytes = u32::try_from(headers.len()).unwrap_or(u32::MAX);
    let name = LEFT_OUT_HEADERS.as_bytes();
    let mut entry = vec![u8::try_from(name.len()).unwrap_or_default()];
    entry.extend(name);
    entry.push(b'i');
    entry.extend(bytes.to_be_bytes());
    let length_of = |bytes: usize| u32::try_from(bytes).unwrap_or_default().to_be_bytes();
    let mut short = [&frame[..start], &length_of(entry.len()), &entry, &frame[end..]].concat();
    let size = length_of(short.len() - AROUND_BYTES);
    short[HEAD_BYTES - size.len()..HEAD_BYTES].copy_from_slice(&size);
    match frame.get_mut(..short.len()) {
        Some(place) => {
            place.copy_from_slice(&short);
            short.len()
        }
        None => frame.len(),
    }
}

/// What is left to read of a payload, or of a part of it. Each reading is none where it does not fit.
struct Fields<'a>(&'a mut [u8]);

impl<'a> Fields<'a> {
    fn take(&mut self, count: usize) -> Option<&'a mut [u8]> {
        self.0.split_off_mut(..count)
    }

    fn u8(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    fn u16(&mut self) -> Option<u16> {
        self.take(2)?.first_chunk().copied().map(u16::from_be_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.take(4)?.first_chunk().copied().map(u32::from_be_bytes)
    }

    /// A string of at most 255 bytes, in which what is not UTF-8 becomes question marks.
    fn short_text(&mut self) -> Option<()> {
        let length = self.u8()?;
        let mut text = self.take(length.into())?;
        while let Err(error) = std::str::from_utf8(text) {
            let wrong = error.error_len().unwrap_or(text.len() - error.valid_up_to());
            text = &mut text[error.valid_up_to()..];
            text.split_off_mut(..wrong)?.fill(b'?');
        }
        Some(())
    }

    /// What stands behind its length.
    fn measured(&mut self) -> Option<Fields<'a>> {
        let length = self.u32()?;
        self.take(usize::try_from(length).ok()?).map(Fields)
    }

    /// A table whose values are this deep.
    fn table(&mut self, depth: usize) -> Option<()> {
        let mut entries = self.measured()?;
        while !entries.0.is_empty() {
            entries.short_text()?;
            entries.value(depth)?;
        }
        Some(())
    }

    /// A list whose values are this deep.
    fn array(&mut self, depth: usize) -> Option<()> {
        let mut values = self.measured()?;
        while !values.0.is_empty() {
            values.value(depth)?;
        }
        Some(())
    }

    /// A value with its type. A table or list that is too deep becomes bytes, which are laid out like it.
    fn value(&mut self, depth: usize) -> Option<()> {
        let kind = self.take(1)?.first_mut()?;
        if depth > DEPTH_MAX && matches!(kind, b'A' | b'F') {
            *kind = b'x';
        }
        let bytes = match kind {
            b'A' => return self.array(depth + 1),
            b'F' => return self.table(depth + 1),
            b'S' | b'x' => return self.measured().map(drop),
            b'V' => 0,
            b't' | b'b' | b'B' => 1,
            b's' | b'U' | b'u' => 2,
            b'I' | b'i' | b'f' => 4,
            b'D' => 5,
            b'l' | b'L' | b'd' | b'T' => 8,
            _ => return None,
        };
        self.take(bytes).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use lapin::types::parsing::parse_field_table;
    use proptest::prelude::*;

    use super::*;
    use crate::contract::HEADERS_BYTES_MAX;

    fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
        [&[kind, 0, 1], &long(payload)[..], &[0xce]].concat()
    }

    fn long(bytes: &[u8]) -> Vec<u8> {
        [&(bytes.len() as u32).to_be_bytes(), bytes].concat()
    }

    fn short(bytes: &[u8]) -> Vec<u8> {
        [&[bytes.len() as u8], bytes].concat()
    }

    fn entry(name: &[u8], kind: u8, value: &[u8]) -> Vec<u8> {
        [&short(name), &[kind][..], value].concat()
    }

    fn deliver(exchange: &[u8], key: &[u8]) -> Vec<u8> {
        let tag = [0, 0, 0, 0, 0, 0, 0xff, 0xff, 1];
        frame(
            METHOD,
            &[&[0, 60, 0, 60], &short(b"consumer")[..], &tag, &short(exchange), &short(key)].concat(),
        )
    }

    /// The header of a content with all properties, this text wherever there is one.
    fn header(text: &[u8], headers: &[u8]) -> Vec<u8> {
        let mut payload = vec![0, 60, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3, 0xff, 0xfc];
        for property in &PROPERTIES {
            payload.extend(match property {
                Property::Text => short(text),
                Property::Number(bytes) => vec![0xff; *bytes],
                Property::Table => long(headers),
            });
        }
        frame(CONTENT_HEADER, &payload)
    }

    /// An entry of every type that has no others within it.
    fn entries(name: &[u8]) -> Vec<u8> {
        let sizes = b"t1 b1 B1 s2 U2 u2 I4 i4 f4 l8 L8 d8 T8 D5 V0";
        let numbers = sizes.split(|byte| *byte == b' ');
        let numbers = numbers.flat_map(|type_| entry(name, type_[0], &vec![0xfe; (type_[1] - b'0').into()]));
        let texts = [b'S', b'x'].into_iter().flat_map(|type_| entry(name, type_, &long(b"caf\xe9")));
        numbers.chain(texts).collect()
    }

    fn body() -> Vec<u8> {
        frame(3, b"\xff\x01\xce")
    }

    fn heartbeat() -> Vec<u8> {
        frame(8, b"")
    }

    /// What is handed on, so much at a time, where bytes come in these pieces.
    fn handed_on(frames: &mut Frames, pieces: &[&[u8]], at_once: usize) -> Vec<u8> {
        let (mut all, mut buffer) = (Vec::new(), vec![0; at_once]);
        for mut piece in pieces.iter().copied() {
            while !piece.is_empty() {
                let room = frames.room();
                let count = room.len().min(piece.len());
                room[..count].copy_from_slice(&piece[..count]);
                piece = &piece[count..];
                frames.came(count);
                while let count @ 1.. = frames.hand_on(&mut buffer) {
                    all.extend(&buffer[..count]);
                }
            }
        }
        while let count @ 1.. = frames.hand_on_rest(&mut buffer) {
            all.extend(&buffer[..count]);
        }
        all
    }

    /// What comes of bytes that come at once.
    fn put_right(bytes: &[u8]) -> Vec<u8> {
        handed_on(&mut Frames::default(), &[bytes], 4096)
    }

    /// That this comes of these bytes, wherever they are cut.
    #[track_caller]
    fn check(bytes: &[u8], expected: &[u8]) {
        for at in 0..=bytes.len() {
            let (first, second) = bytes.split_at(at);
            assert!(handed_on(&mut Frames::default(), &[first, second], 64) == expected, "cut at {at}");
        }
        let single: Vec<&[u8]> = bytes.chunks(1).collect();
        for at_once in [1, 7, 100_000] {
            assert!(handed_on(&mut Frames::default(), &single, at_once) == expected, "{at_once} at once");
        }
    }

    #[test]
    fn what_can_be_read_passes_as_it_is_wherever_it_is_cut() {
        let within =
            [&entries("name".as_bytes())[..], &entry(b"t", b'F', &long(&entries("ä".as_bytes())))].concat();
        let headers =
            [entry(b"", b'A', &long(&[&b"F"[..], &long(&within)].concat())), entries(b"x")].concat();
        let other_method = frame(METHOD, b"\0\x3c\0\x50\xff\xff\xff\xff\xff\xff\xff\xff\x01");
        let frames = [
            heartbeat(),
            deliver(b"", "schlüssel".as_bytes()),
            header("größe".as_bytes(), &headers),
            body(),
            other_method,
            header(b"", b""),
            heartbeat(),
        ]
        .concat();
        check(&frames, &frames);
    }

    #[test]
    fn texts_that_are_not_utf8_have_question_marks_wherever_they_are_cut() {
        // (bytes, what they become): cut off, alone, too long for what they say, surrogates.
        let cases: [(&[u8], &[u8]); 6] = [
            (b"caf\xe9", b"caf?"),
            (b"\xe9t\xe9", b"?t?"),
            (b"\xc3\xa4\xc3", b"\xc3\xa4?"),
            (b"\xc0\x80x", b"??x"),
            (b"\xed\xa0\x80", b"???"),
            (&[0xff; 255], &[b'?'; 255]),
        ];
        for (odd, right) in cases {
            let frames = |text: &[u8]| {
                let table = [entries(text), entry(text, b'F', &long(&entries(text)))].concat();
                let table = [&b"F"[..], &long(&table)].concat();
                let headers = entry(text, b'A', &long(&table));
                [deliver(text, text), header(text, &headers), body(), deliver(b"", text), heartbeat()]
                    .concat()
            };
            let (bytes, expected) = (frames(odd), frames(right));
            if odd.len() < 255 {
                check(&bytes, &expected);
            }
            assert!(put_right(&bytes) == expected, "{odd:?}");
        }
    }

    #[test]
    fn what_is_nested_too_deep_becomes_bytes() {
        // Each of a list's, or of a table's, which has a name of no bytes.
        fn nested(count: usize, kind: &[u8]) -> Vec<u8> {
            (0..count).fold(Vec::new(), |within, _| [kind, &long(&within)].concat())
        }
        for count in [DEPTH_MAX, DEPTH_MAX + 1, 4_000] {
            // What is within bytes is left as it is.
            let too_deep = count.saturating_sub(DEPTH_MAX);
            let mut arrays = nested(count, b"A");
            let bytes = header(b"", &[b"\0", &arrays[..]].concat());
            if too_deep > 0 {
                arrays[5 * DEPTH_MAX] = b'x';
            }
            assert!(put_right(&bytes) == header(b"", &[b"\0", &arrays[..]].concat()), "{count} arrays");

            let mut tables = nested(count, b"\0F");
            let bytes = header(b"", &tables);
            if too_deep > 0 {
                tables[6 * DEPTH_MAX + 1] = b'x';
            }
            let expected = header(b"", &tables);
            assert!(put_right(&bytes) == expected, "{count} tables");
            parse_field_table(&long(&tables)[..]).unwrap();
        }
    }

    #[test]
    fn headers_too_large_for_a_frame_are_replaced_by_how_large_they_were() {
        let fits = |bytes: usize| header(b"text", &entry(b"n", b'S', &long(&vec![0xff; bytes])));
        let around = fits(0).len();
        let (largest, too_large) = (FRAME_BYTES_MAX as usize - around, FRAME_BYTES_MAX as usize - around + 1);
        let in_its_place = |bytes: usize| {
            let bytes = (bytes + 4 + 7) as u32;
            header(b"text", &entry(LEFT_OUT_HEADERS.as_bytes(), b'i', &bytes.to_be_bytes()))
        };
        let mut frames = Frames::default();
        for (bytes, expected) in [
            (largest, fits(largest)),
            (too_large, in_its_place(too_large)),
            (1_000_000, in_its_place(1_000_000)),
        ] {
            let stream = [deliver(b"", b"k"), fits(bytes), body(), heartbeat()].concat();
            let expected = [deliver(b"", b"k"), expected, body(), heartbeat()].concat();
            assert!(handed_on(&mut frames, &[&stream], 4096) == expected, "{bytes}");
            assert!(
                handed_on(&mut frames, &stream.chunks(999).collect::<Vec<_>>(), 4096) == expected,
                "{bytes}"
            );
            frames.room();
            assert_eq!(frames.bytes.capacity(), READ_BYTES);
        }
        // The other properties are never too large: with texts of 255 bytes, all of them fit by far.
        assert!(header(&[b'x'; 255], b"").len() + (HEADERS_BYTES_MAX as usize) < FRAME_BYTES_MAX as usize);
    }

    #[test]
    fn a_broker_that_proposes_smaller_frames_is_heard() {
        let tune = |bytes: u32| {
            frame(METHOD, &[&[0, 10, 0, 30, 7, 255], &bytes.to_be_bytes()[..], &[0, 60]].concat())
        };
        for (proposed, agreed) in [(0, 32_768), (131_072, 32_768), (8_192, 8_192), (1, 4_096)] {
            let mut frames = Frames::default();
            assert_eq!(handed_on(&mut frames, &[&tune(proposed)], 64), tune(proposed));
            assert_eq!(frames.frame_bytes_max, agreed, "{proposed}");
        }
    }

    #[test]
    fn what_does_not_fit_is_left_to_the_library() {
        let table = |entries: &[u8]| header(b"", entries);
        let too_short = |mut frame: Vec<u8>| {
            frame.truncate(frame.len() - 4);
            let size = (frame.len() - HEAD_BYTES) as u32;
            frame[3..7].copy_from_slice(&size.to_be_bytes());
            frame.push(0xce);
            frame
        };
        let mut collected_never = frame(CONTENT_HEADER, b"");
        collected_never[3..7].copy_from_slice(&u32::MAX.to_be_bytes());
        let cases = [
            b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(),
            b"AMQP\0\0\x09\x01".to_vec(),
            b"no".to_vec(),
            table(&entry(b"n", b'?', b"")),
            table(&entry(b"n", b'S', b"\xff\xff\xff\xff")),
            table(&entry(b"n", b'A', &long(b"S"))),
            table(b"\xff"),
            too_short(header(b"text", b"")),
            too_short(deliver(b"exchange", b"key")),
            frame(CONTENT_HEADER, b"\0\x0a"),
            frame(METHOD, b"\0"),
            frame(METHOD, b""),
            collected_never,
            deliver(b"", b"k")[..20].to_vec(),
        ];
        for bytes in cases {
            check(&bytes, &bytes);
        }
    }

    /// A table that the library must be able to read when it was put right.
    fn table(seed: &mut dyn Iterator<Item = u8>, depth: usize) -> Vec<u8> {
        let mut entries = Vec::new();
        for _ in 0..seed.next().unwrap_or_default() % 4 {
            let length = seed.next().unwrap_or_default() % 8;
            let name: Vec<u8> = seed.take(length.into()).collect();
            entries.extend(short(&name));
            entries.extend(value(seed, depth));
        }
        long(&entries)
    }

    fn value(seed: &mut dyn Iterator<Item = u8>, depth: usize) -> Vec<u8> {
        match seed.next().unwrap_or_default() % 8 {
            0 => vec![b'V'],
            1 => vec![b't', 1],
            2 => [&b"S"[..], &long(b"\xff\0")].concat(),
            3 => [&b"D"[..], &[2, 0, 0, 0, 1]].concat(),
            4 | 5 if depth < 60 => {
                let count = seed.next().unwrap_or_default() % 4;
                let values: Vec<u8> = (0..count).flat_map(|_| value(seed, depth + 1)).collect();
                [&b"A"[..], &long(&values)].concat()
            }
            6 | 7 if depth < 60 => [&b"F"[..], &table(seed, depth + 1)].concat(),
            _ => vec![b'l', 0, 0, 0, 0, 0, 0, 0, 7],
        }
    }

    proptest! {
        #[test]
        fn whatever_comes_nothing_panics_and_only_what_is_looked_into_changes(
            frames in prop::collection::vec((0_u8..9, prop::collection::vec(any::<u8>(), 0..300)), 0..20),
            basic in any::<bool>(),
            cuts in 1_usize..500,
        ) {
            let frames: Vec<Vec<u8>> = frames
                .into_iter()
                .map(|(kind, payload)| match kind {
                    METHOD if basic => frame(kind, &[&[0, 60, 0, 60], &payload[..]].concat()),
                    CONTENT_HEADER if basic => frame(kind, &[&[0, 60], &payload[..]].concat()),
                    _ => frame(kind, &payload),
                })
                .collect();
            let bytes = frames.concat();
            let out = handed_on(&mut Frames::default(), &bytes.chunks(cuts).collect::<Vec<_>>(), cuts);
            prop_assert_eq!(out.len(), bytes.len());
            let mut out = &out[..];
            for frame in frames {
                let (came, rest) = out.split_at(frame.len());
                prop_assert!(matches!(frame[0], METHOD | CONTENT_HEADER) || came == frame);
                prop_assert_eq!(&came[..HEAD_BYTES], &frame[..HEAD_BYTES]);
                out = rest;
            }
        }

        #[test]
        fn any_bytes_at_all_come_out_as_many(bytes in prop::collection::vec(any::<u8>(), 0..2_000)) {
            prop_assert_eq!(put_right(&bytes).len(), bytes.len());
        }

        #[test]
        fn every_table_can_be_read_by_the_library_afterwards(seed in prop::collection::vec(any::<u8>(), 0..400)) {
            let table = table(&mut seed.into_iter(), 1);
            let bytes = header(b"", &table[4..]);
            let out = put_right(&bytes);
            prop_assert_eq!(out.len(), bytes.len());
            // Behind the head, twelve bytes, the flags and two texts without any.
            let (rest, _) = parse_field_table(&out[HEAD_BYTES + 16..]).unwrap();
            prop_assert_eq!(rest.len(), bytes.len() - HEAD_BYTES - 16 - table.len());
        }
    }
}
