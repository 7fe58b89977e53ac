//! A probe that the launcher carries out itself, as one word of its command line:
//!
//! ```text
//! http:8081/health/liveness,delay=0,period=10,timeout=1,failures=3,successes=1
//! tcp:8080,delay=5,period=10,timeout=1,failures=3,successes=1,grace=30
//! https:8443/live,delay=0,period=10,timeout=1,failures=3,successes=1,header=Host:albums.local
//! ```
//!
//! All numbers are always there, so that nobody who reads a pod has to know defaults.

use std::fmt;
use std::str::FromStr;

use crate::options::{UsageError, number};
use crate::word::{escape, escape_but, unescape};

/// What one attempt does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// A GET that succeeds on 200 to 399, as the kubelet's (`pkg/probe/http/request.go`).
    Http {
        /// The port.
        port: u16,
        /// Path and query, as the pod has them.
        path: String,
        /// TLS, its certificate not verified, as the kubelet does it.
        https: bool,
        /// Request headers in order; `Host` among them sets the request's host.
        headers: Vec<(String, String)>,
    },
    /// A connection that opens.
    Tcp {
        /// The port.
        port: u16,
    },
}

/// A liveness or startup probe with its numbers, in seconds and attempts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// What one attempt does.
    pub action: Action,
    /// `initialDelaySeconds`
    pub initial_delay: u32,
    /// `periodSeconds`
    pub period: u32,
    /// `timeoutSeconds`
    pub timeout: u32,
    /// `failureThreshold`
    pub failure_threshold: u32,
    /// `successThreshold`
    pub success_threshold: u32,
    /// `terminationGracePeriodSeconds` of the probe itself.
    pub grace: Option<u32>,
}

impl Probe {
    /// What the API server would refuse too, and so never arrives here from a real pod.
    pub(crate) fn fault(&self) -> Option<&'static str> {
        let (Action::Http { port, .. } | Action::Tcp { port }) = &self.action;
        if *port == 0 {
            return Some("port is 0");
        }
        if let Action::Http { headers, .. } = &self.action
            && headers.iter().any(|(name, _)| name.is_empty())
        {
            return Some("a header has no name");
        }
        [
            (self.period, "period is 0"),
            (self.timeout, "timeout is 0"),
            (self.failure_threshold, "failures is 0"),
            (self.success_threshold, "successes is 0"),
        ]
        .into_iter()
        .find_map(|(number, fault)| (number == 0).then_some(fault))
    }
}

impl fmt::Display for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.action {
            Action::Http {
                port, path, https, ..
            } => {
                let scheme = if *https { "https" } else { "http" };
                // A path that begins with a digit would be read as part of the port.
                write!(f, "{scheme}:{port}")?;
                match path.bytes().next().filter(u8::is_ascii_digit) {
                    Some(digit) => write!(f, "~{digit:02X}{}", escape(&path[1..]))?,
                    None => f.write_str(&escape(path))?,
                }
            }
            Action::Tcp { port } => write!(f, "tcp:{port}")?,
        }
        write!(
            f,
            ",delay={},period={},timeout={},failures={},successes={}",
            self.initial_delay,
            self.period,
            self.timeout,
            self.failure_threshold,
            self.success_threshold
        )?;
        if let Some(grace) = self.grace {
            write!(f, ",grace={grace}")?;
        }
        if let Action::Http { headers, .. } = &self.action {
            for (name, value) in headers {
                write!(f, ",header={}", header_word(name, value))?;
            }
        }
        Ok(())
    }
}

impl FromStr for Probe {
    type Err = UsageError;

    fn from_str(word: &str) -> Result<Self, UsageError> {
        let refused = |why: &str| UsageError::new(format!("probe `{word}`: {why}"));
        let probe = read(word).ok_or_else(|| {
            refused(
                "expected http:PORT/PATH, https:PORT/PATH or tcp:PORT, then \
                 ,delay=S,period=S,timeout=S,failures=N,successes=N[,grace=S][,header=NAME:VALUE]...",
            )
        })?;
        if let Some(fault) = probe.fault() {
            return Err(refused(fault));
        }
        if probe.to_string() != word {
            return Err(refused(&format!("is written `{probe}`")));
        }
        Ok(probe)
    }
}

/// Reads a probe's word. Other spellings than the one may pass; the caller compares.
fn read(word: &str) -> Option<Probe> {
    let mut parts = word.split(',');
    let (scheme, target) = parts.next()?.split_once(':')?;
    let digits = target.bytes().take_while(u8::is_ascii_digit).count();
    let (port, path) = target.split_at(digits);
    let port = number(port)?;

    let mut named = |name: &str| number::<u32>(parts.next()?.strip_prefix(name)?);
    let initial_delay = named("delay=")?;
    let period = named("period=")?;
    let timeout = named("timeout=")?;
    let failure_threshold = named("failures=")?;
    let success_threshold = named("successes=")?;

    let mut grace = None;
    let mut headers = Vec::new();
    for part in parts {
        if let Some(seconds) = part.strip_prefix("grace=") {
            grace = Some(number(seconds)?);
        } else {
            headers.push(header(part.strip_prefix("header=")?)?);
        }
    }
    let https = scheme == "https";
    let action = match scheme {
        "http" | "https" => Action::Http {
            port,
            path: unescape(path)?,
            https,
            headers,
        },
        "tcp" if path.is_empty() && headers.is_empty() => Action::Tcp { port },
        _ => return None,
    };
    Some(Probe {
        action,
        initial_delay,
        period,
        timeout,
        failure_threshold,
        success_threshold,
        grace,
    })
}

/// A header as one word; the first `:` separates, so a name has none.
pub(crate) fn header_word(name: &str, value: &str) -> String {
    format!("{}:{}", escape_but(name, |c| c == ':'), escape(value))
}

/// The inverse of [`header_word`].
pub(crate) fn header(word: &str) -> Option<(String, String)> {
    let (name, value) = word.split_once(':')?;
    Some((unescape(name)?, unescape(value)?))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub(crate) mod tests {
    use super::*;
    use crate::word::is_plain;
    use proptest::option;
    use proptest::prelude::*;

    pub(crate) fn any_probe() -> impl Strategy<Value = Probe> {
        let headers = proptest::collection::vec((".+", any::<String>()), 0..3);
        let action = prop_oneof![
            (1..=u16::MAX).prop_map(|port| Action::Tcp { port }),
            (1..=u16::MAX, any::<String>(), any::<bool>(), headers).prop_map(
                |(port, path, https, headers)| Action::Http {
                    port,
                    path,
                    https,
                    headers
                }
            ),
            (1..=u16::MAX, "[0-9/a-z~,=:]{0,6}", any::<bool>()).prop_map(|(port, path, https)| {
                Action::Http {
                    port,
                    path,
                    https,
                    headers: Vec::new(),
                }
            }),
        ];
        let numbers = (
            any::<u32>(),
            1u32..,
            1u32..,
            1u32..,
            1u32..,
            option::of(any::<u32>()),
        );
        (action, numbers).prop_map(
            |(action, (initial_delay, period, timeout, failures, successes, grace))| Probe {
                action,
                initial_delay,
                period,
                timeout,
                failure_threshold: failures,
                success_threshold: successes,
                grace,
            },
        )
    }

    fn probe(action: Action) -> Probe {
        Probe {
            action,
            initial_delay: 0,
            period: 10,
            timeout: 1,
            failure_threshold: 3,
            success_threshold: 1,
            grace: None,
        }
    }

    #[test]
    fn reads_like_the_yaml() {
        let mut liveness = probe(Action::Http {
            port: 8081,
            path: "/health/liveness".to_owned(),
            https: false,
            headers: Vec::new(),
        });
        assert_eq!(
            liveness.to_string(),
            "http:8081/health/liveness,delay=0,period=10,timeout=1,failures=3,successes=1"
        );
        liveness.action = Action::Http {
            port: 8443,
            path: "/live?full=1".to_owned(),
            https: true,
            headers: vec![("Host".to_owned(), "albums:80".to_owned())],
        };
        liveness.grace = Some(30);
        assert_eq!(
            liveness.to_string(),
            "https:8443/live~3Ffull~3D1,delay=0,period=10,timeout=1,failures=3,successes=1,\
             grace=30,header=Host:albums:80"
        );
        assert_eq!(
            probe(Action::Tcp { port: 80 }).to_string(),
            "tcp:80,delay=0,period=10,timeout=1,failures=3,successes=1"
        );
    }

    #[test]
    fn refuses_every_second_spelling() {
        let numbers = "delay=0,period=10,timeout=1,failures=3,successes=1";
        for word in [
            "",
            "tcp:80",
            "tcp:80,",
            &format!("udp:80,{numbers}"),
            &format!("tcp:0,{numbers}"),
            &format!("tcp:080,{numbers}"),
            &format!("tcp:65536,{numbers}"),
            &format!("tcp:+80,{numbers}"),
            &format!("tcp:80/,{numbers}"),
            &format!("tcp:80,{numbers},header=a:b"),
            &format!("tcp:80,{numbers},grace=1,grace=1"),
            &format!("tcp:80,{numbers},"),
            &format!("http:80/a b,{numbers}"),
            &format!("http:80/~61,{numbers}"),
            &format!("http:80/,{numbers},header=a"),
            &format!("http:80/,{numbers},header=:b"),
            &format!("http:80/,{numbers},header=a:b,grace=1"),
            "tcp:80,period=10,delay=0,timeout=1,failures=3,successes=1",
            "tcp:80,delay=0,period=0,timeout=1,failures=3,successes=1",
            "tcp:80,delay=0,period=10,timeout=1,failures=03,successes=1",
        ] {
            assert!(word.parse::<Probe>().is_err(), "{word}");
        }
    }

    #[test]
    fn says_how_it_is_written() {
        let error = "http:80/~61,delay=0,period=10,timeout=1,failures=3,successes=1"
            .parse::<Probe>()
            .unwrap_err();
        assert!(
            error.to_string().contains("is written `http:80/a,delay=0"),
            "{error}"
        );
    }

    proptest! {
        #[test]
        fn every_probe_comes_back(probe in any_probe()) {
            let word = probe.to_string();
            prop_assert!(word.chars().all(is_plain), "{}", word);
            prop_assert_eq!(word.parse(), Ok(probe));
        }

        #[test]
        fn no_word_panics(word in any::<String>()) {
            let _ = word.parse::<Probe>();
        }
    }
}
