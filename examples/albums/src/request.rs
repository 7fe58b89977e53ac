//! As much HTTP/1.1 (RFC 9112) as it takes: what came, what goes.

use std::io::{self, BufRead, Read, Write};

/// No header section is longer, and no body is read beyond that.
const LIMIT: u64 = 16 * 1024;

/// What came.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) method: String,
    /// Without the query.
    pub(crate) path: String,
    query: String,
    /// Whether the client wants to send another one on this connection.
    pub(crate) keep_alive: bool,
}

impl Request {
    /// A value of the query; nothing is decoded, for nothing that is asked for needs it.
    pub(crate) fn query(&self, name: &str) -> Option<&str> {
        let pairs = self
            .query
            .split('&')
            .filter_map(|pair| pair.split_once('='));
        pairs
            .into_iter()
            .find(|(key, _)| *key == name)
            .map(|(_, value)| value)
    }
}

/// What goes.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// JSON.
    pub(crate) body: String,
}

/// Why a connection ends.
#[derive(Debug)]
pub(crate) enum Broken {
    /// It went away, or took too long.
    Gone,
    /// What came is no HTTP that is understood here; with the status that says so.
    Bad(u16),
}

impl From<io::Error> for Broken {
    fn from(_: io::Error) -> Self {
        Self::Gone
    }
}

/// Reads one request and throws its body away.
pub(crate) fn read(from: &mut impl BufRead) -> Result<Request, Broken> {
    let mut head = from.by_ref().take(LIMIT);
    let line = line(&mut head)?;
    let mut words = line.split(' ');
    let (Some(method), Some(target), Some(version), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(Broken::Bad(400));
    };
    if method.is_empty() || !target.starts_with('/') {
        return Err(Broken::Bad(400));
    }
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut request = Request {
        method: method.into(),
        path: path.into(),
        query: query.into(),
        keep_alive: match version {
            "HTTP/1.1" => true,
            "HTTP/1.0" => false,
            _ => return Err(Broken::Bad(505)),
        },
    };
    let mut length = 0;
    loop {
        let line = self::line(&mut head)?;
        if line.is_empty() {
            break;
        }
        let (name, value) = line.split_once(':').ok_or(Broken::Bad(400))?;
        let value = value.trim();
        match name.to_ascii_lowercase().as_str() {
            "connection" => {
                let has = |token| {
                    value
                        .split(',')
                        .any(|one| one.trim().eq_ignore_ascii_case(token))
                };
                request.keep_alive = (request.keep_alive || has("keep-alive")) && !has("close");
            }
            "content-length" => length = value.parse().map_err(|_| Broken::Bad(400))?,
            "transfer-encoding" => return Err(Broken::Bad(501)),
            _ => {}
        }
    }
    if length > LIMIT {
        return Err(Broken::Bad(413));
    }
    if io::copy(&mut from.by_ref().take(length), &mut io::sink())? < length {
        return Err(Broken::Gone);
    }
    Ok(request)
}

/// A line without its end.
fn line(head: &mut io::Take<impl BufRead>) -> Result<String, Broken> {
    let mut line = Vec::new();
    head.read_until(b'\n', &mut line)?;
    if line.pop() != Some(b'\n') {
        // Either it ended, or the limit was met first.
        return Err(if head.limit() == 0 {
            Broken::Bad(431)
        } else {
            Broken::Gone
        });
    }
    if line.last() == Some(&b'\r') {
        line.pop();
    }
    String::from_utf8(line).map_err(|_| Broken::Bad(400))
}

/// Writes an answer, in one piece. With `head` it is the answer to HEAD: all but the body.
pub(crate) fn write(
    to: &mut impl Write,
    answer: &Answer,
    instance: Option<&str>,
    head: bool,
    close: bool,
) -> io::Result<()> {
    let mut text = format!(
        "HTTP/1.1 {} {}\r\nContent-Type: application/json; charset=utf-8\r\nContent-Length: {}\r\n",
        answer.status,
        reason(answer.status),
        answer.body.len()
    );
    if answer.status == 405 {
        text.push_str("Allow: GET, HEAD\r\n");
    }
    if let Some(instance) = instance {
        text.push_str("Albums-Instance: ");
        text.push_str(instance);
        text.push_str("\r\n");
    }
    text.push_str(if close {
        "Connection: close\r\n\r\n"
    } else {
        "\r\n"
    });
    if !head {
        text.push_str(&answer.body);
    }
    to.write_all(text.as_bytes())
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        400 => "Bad Request",
        404 => "Not Found",
        405 => "Method Not Allowed",
        413 => "Content Too Large",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        503 => "Service Unavailable",
        505 => "HTTP Version Not Supported",
        _ => "Answer",
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn status(text: &str) -> Option<u16> {
        match read(&mut text.as_bytes()) {
            Ok(_) => Some(200),
            Err(Broken::Bad(status)) => Some(status),
            Err(Broken::Gone) => None,
        }
    }

    #[test]
    fn reads_what_clients_send() {
        let mut two =
            "GET /albums?delay=4s&x=1 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc\
                       GET / HTTP/1.1\r\nConnection: Upgrade, Close\r\n\r\n"
                .as_bytes();
        let first = read(&mut two).unwrap();
        assert_eq!(
            (first.method.as_str(), first.path.as_str()),
            ("GET", "/albums")
        );
        assert_eq!((first.query("delay"), first.query("y")), (Some("4s"), None));
        assert!(first.keep_alive);
        assert!(!read(&mut two).unwrap().keep_alive);
        assert!(matches!(read(&mut two), Err(Broken::Gone)));
        let old = |headers: &str| format!("GET / HTTP/1.0\r\n{headers}\r\n");
        assert!(!read(&mut old("").as_bytes()).unwrap().keep_alive);
        let kept = old("connection: keep-alive\r\n");
        assert!(read(&mut kept.as_bytes()).unwrap().keep_alive);
    }

    #[test]
    fn refuses_what_it_does_not_understand() {
        for (text, expected) in [
            ("GET / HTTP/1.1\r\n\r\n", Some(200)),
            ("GET / HTTP/1.1\n\n", Some(200)),
            ("GET / HTTP/2.0\r\n\r\n", Some(505)),
            ("GET  / HTTP/1.1\r\n\r\n", Some(400)),
            ("GET http://a/ HTTP/1.1\r\n\r\n", Some(400)),
            ("\r\n", Some(400)),
            ("GET / HTTP/1.1\r\nno colon\r\n\r\n", Some(400)),
            ("GET / HTTP/1.1\r\nContent-Length: x\r\n\r\n", Some(400)),
            ("GET / HTTP/1.1\r\nContent-Length: 99999\r\n\r\n", Some(413)),
            (
                "GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
                Some(501),
            ),
            ("GET / HTTP/1.1\r\nContent-Length: 9\r\n\r\nabc", None),
            ("GET / HTTP/1.1\r\nHost: a", None),
            ("", None),
        ] {
            assert_eq!(status(text), expected, "{text:?}");
        }
        let long = format!("GET / HTTP/1.1\r\nA: {}\r\n\r\n", "x".repeat(20_000));
        assert_eq!(status(&long), Some(431));
    }

    #[test]
    fn writes_an_answer_that_clients_can_read() {
        let answer = Answer {
            status: 200,
            body: "[]".into(),
        };
        let mut bytes = Vec::new();
        write(&mut bytes, &answer, Some("blue"), false, true).unwrap();
        assert_eq!(
            String::from_utf8(bytes).unwrap(),
            "HTTP/1.1 200 OK\r\nContent-Type: application/json; charset=utf-8\r\nContent-Length: 2\r\n\
             Albums-Instance: blue\r\nConnection: close\r\n\r\n[]"
        );
        let mut bytes = Vec::new();
        write(&mut bytes, &answer, None, true, false).unwrap();
        assert!(bytes.ends_with(b"Content-Length: 2\r\n\r\n"));
    }
}
