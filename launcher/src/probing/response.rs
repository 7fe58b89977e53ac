//! Reading a response as strictly and as leniently as Go's client does (net/http/response.go,
//! transfer.go, internal/chunked.go; net/textproto/reader.go), since that is what the kubelet probes with.

use std::fmt;
use std::io::{self, BufRead, Read as _};

use super::connection::words;
use super::request::is_token;
use super::url::ascii;

/// How many bytes of headers a response may have, informational ones before it included
/// (`MaxResponseHeaderBytes` of Go's transport).
const MOST_HEADERS: u64 = 10 << 20;
/// How much of a body is read (`maxRespBodyLength`, pkg/probe/http/http.go).
const MOST_BODY: u64 = 10 << 10;
/// How long the line before a chunk, and all trailers, may be: Go's buffer.
const MOST_LINE: u64 = 4 << 10;

/// Why a response cannot be read.
#[derive(Debug)]
pub(super) enum Broken {
    /// The connection.
    Connection(io::Error),
    /// What came over it.
    Malformed(&'static str),
}

impl From<io::Error> for Broken {
    fn from(error: io::Error) -> Self {
        Self::Connection(error)
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connection(error) => f.write_str(&words(error)),
            Self::Malformed(what) => write!(f, "malformed HTTP response: {what}"),
        }
    }
}

/// Status and headers, as far as they matter.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) status: u16,
    /// The first `Location`, not empty.
    pub(super) location: Option<String>,
    body: Framing,
}

/// Where the body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framing {
    Length(u64),
    Chunked,
    UntilClose,
}

impl Head {
    /// Reads the final response's head; 100, 102 and 103 go before it. 101 is final: nobody asked for it.
    pub(super) fn read(from: &mut dyn BufRead) -> Result<Self, Broken> {
        let mut left = MOST_HEADERS;
        loop {
            let head = Self::read_one(from, &mut left)?;
            if head.status / 100 != 1 || head.status == 101 {
                return Ok(head);
            }
        }
    }

    fn read_one(from: &mut dyn BufRead, left: &mut u64) -> Result<Self, Broken> {
        let first = line(from, left)?;
        let (status, is_1_1) = status(&first)?;
        let mut fields = Fields::default();
        let mut previous: Option<Vec<u8>> = None;
        loop {
            let next = line(from, left)?;
            if matches!(next.first(), Some(b' ' | b'\t')) {
                // Part of the header before.
                let whole = previous
                    .as_mut()
                    .ok_or(Broken::Malformed("the first header begins with a space"))?;
                whole.push(b' ');
                whole.extend_from_slice(next.trim_ascii());
                continue;
            }
            if let Some(whole) = previous.take() {
                fields.add(&whole)?;
            }
            if next.is_empty() {
                break;
            }
            if !next.contains(&b':') {
                return Err(Broken::Malformed("a header has no colon"));
            }
            previous = Some(next);
        }
        let body = fields.framing(status, is_1_1)?;
        let location = fields.location.filter(|location| !location.is_empty());
        Ok(Self {
            status,
            location,
            body,
        })
    }

    /// Reads the body, or as much of it as the kubelet would: it does not look at it, but it does notice one
    /// that breaks off.
    pub(super) fn read_body(&self, from: &mut dyn BufRead) -> Result<(), Broken> {
        match self.body {
            Framing::Length(length) => read_exactly(from, length.min(MOST_BODY)),
            Framing::UntilClose => {
                io::copy(&mut from.take(MOST_BODY), &mut io::sink())?;
                Ok(())
            }
            Framing::Chunked => read_chunks(from),
        }
    }
}

/// The headers that say something about the body, or lead elsewhere.
#[derive(Debug, Default)]
struct Fields {
    location: Option<String>,
    lengths: Vec<Vec<u8>>,
    encodings: Vec<Vec<u8>>,
}

impl Fields {
    fn add(&mut self, field: &[u8]) -> Result<(), Broken> {
        let colon = field.iter().position(|&byte| byte == b':');
        let colon = colon.ok_or(Broken::Malformed("a header has no colon"))?;
        let (name, value) = (&field[..colon], &field[colon + 1..]);
        // Go lets names with spaces pass, and so they are nobody's.
        if name.is_empty() || !name.iter().all(|&byte| byte == b' ' || is_token(byte)) {
            return Err(Broken::Malformed("a header's name is none"));
        }
        if value
            .iter()
            .any(|&byte| byte != b'\t' && (byte < b' ' || byte == 0x7f))
        {
            return Err(Broken::Malformed("a header holds a control character"));
        }
        let value = value.trim_ascii();
        let is = |wanted: &str| name.eq_ignore_ascii_case(wanted.as_bytes());
        if is("Location") {
            self.location.get_or_insert_with(|| ascii(value));
        } else if is("Content-Length") {
            self.lengths.push(value.to_vec());
        } else if is("Transfer-Encoding") {
            self.encodings.push(value.to_vec());
        }
        Ok(())
    }

    fn framing(&self, status: u16, is_1_1: bool) -> Result<Framing, Broken> {
        let chunked = match self.encodings.as_slice() {
            // HTTP/1.0 knows none.
            [] => false,
            _ if !is_1_1 => false,
            [one] if one.eq_ignore_ascii_case(b"chunked") => true,
            _ => return Err(Broken::Malformed("a transfer encoding other than chunked")),
        };
        let length = match self.lengths.as_slice() {
            [] => None,
            [first, more @ ..] => {
                if more.iter().any(|other| other != first) {
                    return Err(Broken::Malformed("two lengths that differ"));
                }
                Some(length(first).ok_or(Broken::Malformed("a length that is no number"))?)
            }
        };
        Ok(match (status, chunked, length) {
            // Nobody asked for another protocol.
            (101 | 204 | 304, ..) => Framing::Length(0),
            (_, true, _) => Framing::Chunked,
            (_, false, Some(length)) => Framing::Length(length),
            (_, false, None) => Framing::UntilClose,
        })
    }
}

fn length(text: &[u8]) -> Option<u64> {
    let digits = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    let number: u64 = std::str::from_utf8(text)
        .ok()
        .filter(|_| digits)?
        .parse()
        .ok()?;
    i64::try_from(number).is_ok().then_some(number)
}

/// `HTTP/1.1 200 OK`: the status, and whether it is HTTP/1.1 or newer.
fn status(line: &[u8]) -> Result<(u16, bool), Broken> {
    let no_http = || Broken::Malformed("it does not begin with HTTP/1.1 and a status");
    let mut words = line.splitn(2, |&byte| byte == b' ');
    let version = words.next().unwrap_or_default();
    let rest = words.next().ok_or_else(no_http)?;
    let [b'H', b'T', b'T', b'P', b'/', major, b'.', minor] = version else {
        return Err(no_http());
    };
    if !(major.is_ascii_digit() && minor.is_ascii_digit()) {
        return Err(no_http());
    }
    let start = rest
        .iter()
        .position(|&byte| byte != b' ')
        .unwrap_or(rest.len());
    let code = rest[start..]
        .split(|&byte| byte == b' ')
        .next()
        .unwrap_or_default();
    let code = match code {
        // strconv.Atoi takes a sign.
        [b'+', digits @ ..] if digits.len() == 2 => digits,
        three if three.len() == 3 => three,
        _ => return Err(no_http()),
    };
    if !code.iter().all(u8::is_ascii_digit) {
        return Err(no_http());
    }
    let number = code
        .iter()
        .fold(0, |number, digit| number * 10 + u16::from(digit - b'0'));
    Ok((number, (*major, *minor) >= (b'1', b'1')))
}

/// A line without its end, of which no more may be read than is left.
fn line(from: &mut dyn BufRead, left: &mut u64) -> Result<Vec<u8>, Broken> {
    let mut line = Vec::new();
    let read = from.take(*left).read_until(b'\n', &mut line)?;
    *left -= read as u64;
    if line.pop() != Some(b'\n') {
        return Err(if *left == 0 {
            Broken::Malformed("its headers are too long")
        } else {
            ended()
        });
    }
    if line.last() == Some(&b'\r') {
        line.pop();
    }
    Ok(line)
}

fn ended() -> Broken {
    Broken::Connection(io::ErrorKind::UnexpectedEof.into())
}

fn read_exactly(from: &mut dyn BufRead, length: u64) -> Result<(), Broken> {
    if io::copy(&mut from.take(length), &mut io::sink())? < length {
        return Err(ended());
    }
    Ok(())
}

fn read_chunks(from: &mut dyn BufRead) -> Result<(), Broken> {
    let mut left = MOST_BODY;
    // Lines that say more than they bring: Go's bound on what is not data.
    let mut excess: u64 = 0;
    loop {
        let line = chunk_line(from)?;
        let length = chunk_length(&line)?;
        excess = (excess + line.len() as u64 + 4).saturating_sub(16 + 2 * length.min(MOST_BODY));
        if excess > 16 << 10 {
            return Err(Broken::Malformed("its chunks hold too little"));
        }
        if length == 0 {
            return read_trailers(from);
        }
        let wanted = length.min(left);
        read_exactly(from, wanted)?;
        left -= wanted;
        if left == 0 {
            return Ok(());
        }
        let mut end = [0; 2];
        from.read_exact(&mut end)?;
        if &end != b"\r\n" {
            return Err(Broken::Malformed("a chunk is longer than it says"));
        }
    }
}

/// The line before a chunk, without its end.
fn chunk_line(from: &mut dyn BufRead) -> Result<Vec<u8>, Broken> {
    let mut line = Vec::new();
    from.take(MOST_LINE).read_until(b'\n', &mut line)?;
    if line.last() != Some(&b'\n') {
        return Err(if line.len() as u64 == MOST_LINE {
            Broken::Malformed("the line before a chunk is too long")
        } else {
            ended()
        });
    }
    if !line.ends_with(b"\r\n") || line[..line.len() - 2].contains(&b'\r') {
        return Err(Broken::Malformed(
            "the line before a chunk has another end than CR LF",
        ));
    }
    line.truncate(line.len() - 2);
    Ok(line)
}

fn chunk_length(line: &[u8]) -> Result<u64, Broken> {
    let number = line.trim_ascii_end();
    let number = number
        .split(|&byte| byte == b';')
        .next()
        .unwrap_or_default();
    let number = std::str::from_utf8(number).unwrap_or_default();
    let digits = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_hexdigit());
    Some(number)
        .filter(|_| digits)
        .and_then(|number| u64::from_str_radix(number, 16).ok())
        .ok_or(Broken::Malformed("the length of a chunk is no number"))
}

/// What follows the last chunk: mostly an empty line.
fn read_trailers(from: &mut dyn BufRead) -> Result<(), Broken> {
    let mut left = MOST_LINE;
    let mut fields = Fields::default();
    loop {
        let line = line(from, &mut left)?;
        if line.is_empty() {
            return Ok(());
        }
        fields.add(&line)?;
    }
}

#[cfg(test)]
#[path = "response_tests.rs"]
mod tests;
