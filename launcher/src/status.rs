//! The anchor's status as the launcher reads it: the one file of the downwardAPI volume.
//!
//! The controller writes `{"ip":…,"started":…,"uid":…}` into an annotation, and the kubelet into a file
//! (`src/anchor/status.rs` of the webhook). On Windows it does not swap that file atomically, and a reader
//! may meet none, an empty or half a file (kubernetes `pkg/volume/util/atomic_writer.go`, where the rename of
//! `..data` is two steps on Windows). Half an object is no JSON, so a status that can be read is whole.

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::time::Duration;

use crate::json::Value;
use crate::timestamp::Timestamp;

/// For how long a file must hold the same wrong text before it counts as wrong. A write that was cut in
/// two takes microseconds; a machine that stands still in the middle of one is given this long.
const WRONG_FOR: Duration = Duration::from_secs(2);

/// The anchor, as its status has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Anchor {
    /// Its IP: that of the compartment.
    pub ip: IpAddr,
    /// When the first of its containers started.
    pub started: Timestamp,
    /// Its pod's UID.
    pub uid: String,
}

impl Anchor {
    /// Reads the file's text strictly: these three members, once each, and nothing besides.
    pub fn parse(text: &str) -> Result<Self, String> {
        let value = Value::parse(text).map_err(|error| error.to_string())?;
        let Value::Object(members) = &value else {
            return Err("no JSON object".to_owned());
        };
        if let Some((name, _)) = members
            .iter()
            .find(|(name, _)| !["ip", "started", "uid"].contains(&name.as_str()))
        {
            return Err(format!("unknown member `{name}`"));
        }
        let text = |name: &str| {
            value
                .get(name)
                .and_then(Value::as_str)
                .ok_or_else(|| format!("`{name}` is missing or no string"))
        };
        let wrong =
            |name: &str, text: &str, what: &str| format!("`{name}` is `{text}`: expected {what}");
        let (ip, started, uid) = (text("ip")?, text("started")?, text("uid")?);
        let address: IpAddr = ip.parse().map_err(|_| wrong("ip", ip, "one IP address"))?;
        if address.is_unspecified() || address.is_multicast() {
            return Err(wrong("ip", ip, "the address of one pod"));
        }
        let start = Timestamp::parse(started)
            .ok_or_else(|| wrong("started", started, "a time such as 2026-11-21T10:00:00Z"))?;
        if uid.is_empty() {
            return Err("`uid` is empty".to_owned());
        }
        Ok(Self {
            ip: address,
            started: start,
            uid: uid.to_owned(),
        })
    }
}

/// What one look at the file gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reading {
    /// A whole status.
    Anchor(Anchor),
    /// None yet: no file, an empty one, or one that is being written. With the reason.
    NotYet(String),
    /// The same wrong text for some time. With what is wrong.
    Wrong(String),
}

/// Reads the file again and again.
#[derive(Debug, Default)]
pub struct Reader {
    /// The wrong text that was seen last, and since when it stands there.
    wrong: Option<(Vec<u8>, Duration)>,
}

impl Reader {
    /// Judges what the file holds `now`.
    pub fn judge(&mut self, content: &io::Result<Vec<u8>>, now: Duration) -> Reading {
        let bytes = match content {
            Ok(bytes) => bytes,
            Err(error) => {
                self.wrong = None;
                return Reading::NotYet(match error.kind() {
                    io::ErrorKind::NotFound => "there is no status file".to_owned(),
                    _ => format!("the status file cannot be read: {error}"),
                });
            }
        };
        if bytes.iter().all(u8::is_ascii_whitespace) {
            self.wrong = None;
            return Reading::NotYet("the status file is empty".to_owned());
        }
        let fault = match std::str::from_utf8(bytes) {
            Ok(text) => match Anchor::parse(text) {
                Ok(anchor) => {
                    self.wrong = None;
                    return Reading::Anchor(anchor);
                }
                Err(fault) => fault,
            },
            Err(_) => "no UTF-8".to_owned(),
        };
        let since = match &self.wrong {
            Some((known, since)) if known == bytes => *since,
            _ => {
                self.wrong = Some((bytes.clone(), now));
                now
            }
        };
        let fault = format!("the status file holds something else: {fault}");
        if now.saturating_sub(since) >= WRONG_FOR {
            Reading::Wrong(fault)
        } else {
            Reading::NotYet(fault)
        }
    }
}

impl fmt::Display for Anchor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} (uid {}, started {})",
            self.ip, self.uid, self.started
        )
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;

    const STATUS: &str = r#"{"ip":"10.244.1.7","started":"2026-11-21T10:00:00Z","uid":"a-b"}"#;

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn reads_what_the_controller_writes() {
        let anchor = Anchor::parse(STATUS).unwrap();
        assert_eq!(anchor.ip, IpAddr::from([10, 244, 1, 7]));
        assert_eq!(anchor.started.to_string(), "2026-11-21T10:00:00Z");
        assert_eq!(anchor.uid, "a-b");
        let six = STATUS.replace("10.244.1.7", "fd00::7");
        assert!(Anchor::parse(&six).unwrap().ip.is_ipv6());
    }

    #[test]
    fn refuses_all_else_with_the_reason() {
        for (from, to, reason) in [
            ("10.244.1.7", "10.244.1.7,10.244.1.8", "`ip` is"),
            ("10.244.1.7", "localhost", "expected one IP address"),
            ("10.244.1.7", "010.244.1.7", "expected one IP address"),
            ("10.244.1.7", "0.0.0.0", "the address of one pod"),
            ("10.244.1.7", "239.1.1.1", "the address of one pod"),
            ("2026-11-21T10:00:00Z", "yesterday", "expected a time"),
            ("\"a-b\"", "\"\"", "`uid` is empty"),
            ("\"a-b\"", "7", "`uid` is missing or no string"),
            ("\"uid\"", "\"id\"", "unknown member `id`"),
            (",\"uid\":\"a-b\"", "", "`uid` is missing"),
            (
                "\"a-b\"}",
                "\"a-b\",\"command\":\"x\"}",
                "unknown member `command`",
            ),
            ("{", "[", "no JSON"),
        ] {
            let text = STATUS.replacen(from, to, 1);
            let fault = Anchor::parse(&text).unwrap_err();
            assert!(fault.contains(reason), "{text}: {fault}");
        }
    }

    #[test]
    fn what_is_missing_or_empty_is_never_wrong() {
        let mut reader = Reader::default();
        for second in 0..100 {
            let content = match second % 3 {
                0 => Err(io::Error::from(io::ErrorKind::NotFound)),
                1 => Err(io::Error::from(io::ErrorKind::PermissionDenied)),
                _ => Ok(b" \n".to_vec()),
            };
            let reading = reader.judge(&content, at(second));
            assert!(matches!(reading, Reading::NotYet(_)), "{reading:?}");
        }
    }

    #[test]
    fn every_torn_file_is_waited_for_and_the_whole_one_is_read() {
        for length in 0..STATUS.len() {
            let mut reader = Reader::default();
            let torn = Ok(STATUS.as_bytes()[..length].to_vec());
            let reading = reader.judge(&torn, at(0));
            assert!(
                matches!(reading, Reading::NotYet(_)),
                "{length}: {reading:?}"
            );
            let whole = reader.judge(&Ok(STATUS.into()), at(1));
            assert_eq!(whole, Reading::Anchor(Anchor::parse(STATUS).unwrap()));
        }
    }

    #[test]
    fn only_the_same_wrong_text_for_some_time_is_wrong() {
        let mut reader = Reader::default();
        let mut judge = |text: &str, second| reader.judge(&Ok(text.into()), at(second));
        assert!(matches!(judge("{", 0), Reading::NotYet(_)));
        assert!(matches!(judge("{]", 2), Reading::NotYet(_)), "another text");
        assert!(matches!(judge("", 3), Reading::NotYet(_)));
        assert!(matches!(judge("{]", 4), Reading::NotYet(_)), "anew");
        assert!(matches!(judge("{]", 5), Reading::NotYet(_)));
        match judge("{]", 6) {
            Reading::Wrong(why) => assert!(why.contains("no JSON at byte 1"), "{why}"),
            other => panic!("{other:?}"),
        }
    }
}
