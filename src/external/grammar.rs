//! The values of an external Service's annotations, each read in one way only.
//!
//! A value that is read leniently is one that two programs read differently, and here it says where
//! traffic goes. Every error says what was expected.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use kube::core::Expression;

/// The most addresses that one Service may list: ten slices.
pub const MOST_ADDRESSES: usize = 1000;
/// The most requirements of a selector of nodes.
const MOST_REQUIREMENTS: usize = 50;
/// The shortest and the longest period and timeout.
const TIMES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(3600));
/// The longest path of a probe.
const LONGEST_PATH: usize = 1024;

/// What one attempt does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Probe {
    /// A connection to each of these ports opens.
    Tcp(Vec<u16>),
    /// A GET is answered with 200 to 399.
    Http {
        /// TLS, its certificate not verified, as the kubelet does it.
        https: bool,
        /// The port.
        port: u16,
        /// Path and query.
        path: String,
    },
}

impl std::fmt::Display for Probe {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tcp(ports) => {
                for (index, port) in ports.iter().enumerate() {
                    let comma = if index == 0 { "" } else { ", " };
                    write!(f, "{comma}tcp://:{port}")?;
                }
                Ok(())
            }
            Self::Http { https, port, path } => {
                let s = if *https { "s" } else { "" };
                write!(f, "http{s}://:{port}{path}")
            }
        }
    }
}

/// The entries of a list: separated by commas or newlines.
fn entries(text: &str) -> impl Iterator<Item = &str> {
    let entries = text.split([',', '\n']).map(str::trim);
    entries.filter(|entry| !entry.is_empty())
}

/// Addresses, in the order in which they stand. Whether they may be published is another question.
pub fn addresses(text: &str) -> Result<Vec<IpAddr>, String> {
    let (mut seen, mut read) = (BTreeSet::new(), Vec::new());
    for entry in entries(text) {
        if read.len() == MOST_ADDRESSES {
            return Err(format!(
                "expected at most {MOST_ADDRESSES} addresses; use several Services, or select nodes"
            ));
        }
        let address: IpAddr = entry.parse().map_err(|_| not_an_address(entry))?;
        if !seen.insert(address) {
            return Err(format!("{address} stands there twice; take one away"));
        }
        read.push(address);
    }
    if read.is_empty() {
        return Err(
            "expected IP addresses, for example \"172.19.1.1\" or \"172.19.1.1,fd00:172:19::1\""
                .into(),
        );
    }
    Ok(read)
}

fn not_an_address(entry: &str) -> String {
    let shown: String = entry
        .chars()
        .take(60)
        .flat_map(char::escape_debug)
        .collect();
    let why = if entry.contains('/') {
        "a network is not an address; list each address"
    } else if entry.starts_with('[') || entry.matches(':').count() == 1 {
        "the ports are those of spec.ports; leave the port out"
    } else if entry.contains('%') {
        "an address with a zone is of one machine only"
    } else if entry.bytes().any(|byte| byte.is_ascii_alphabetic()) && !entry.contains(':') {
        "a name is not an address: EndpointSlices hold addresses only"
    } else {
        "expected an IP address, for example \"172.19.1.1\" (no leading zeros) or \"fd00:172:19::1\""
    };
    format!("\"{shown}\": {why}")
}

/// The name part of a qualified name, and label values (`IsQualifiedName`, `IsValidLabelValue` of
/// k8s.io/apimachinery/pkg/util/validation).
fn is_label_text(text: &str) -> bool {
    let edge = |byte: Option<u8>| byte.is_none_or(|byte| byte.is_ascii_alphanumeric());
    text.len() <= 63
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
        && edge(text.bytes().next())
        && edge(text.bytes().next_back())
}

fn key(text: &str) -> Result<String, String> {
    let (prefix, name) = text.split_once('/').unwrap_or(("", text));
    let plain = |byte: u8| {
        byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'.')
    };
    let sound = prefix.len() <= 253
        && prefix.bytes().all(plain)
        && !(text.contains('/') && prefix.is_empty())
        && !name.is_empty()
        && is_label_text(name);
    if sound {
        Ok(text.to_owned())
    } else {
        Err(format!("{text:?} is not a label's key"))
    }
}

fn value(text: &str) -> Result<String, String> {
    if is_label_text(text) {
        Ok(text.to_owned())
    } else {
        Err(format!("{text:?} is not a label's value"))
    }
}

/// A label selector as kubectl takes it (k8s.io/apimachinery/pkg/labels/selector.go), without `<`
/// and `>`: `os=windows,tier!=test,zone in (a,b),!spare`.
pub fn selector(text: &str) -> Result<Vec<Expression>, String> {
    let mut read = Vec::new();
    for part in requirements(text)? {
        if read.len() == MOST_REQUIREMENTS {
            return Err(format!("expected at most {MOST_REQUIREMENTS} requirements"));
        }
        read.push(requirement(part)?);
    }
    if read.is_empty() {
        return Err(
            "expected a label selector of nodes, for example \"kubernetes.io/os=windows\"".into(),
        );
    }
    Ok(read)
}

/// Splits at commas outside of parentheses.
fn requirements(text: &str) -> Result<Vec<&str>, String> {
    let (mut parts, mut start, mut open) = (Vec::new(), 0, false);
    for (at, c) in text.char_indices() {
        match c {
            '(' if open => return Err("a parenthesis stands in another one".into()),
            '(' => open = true,
            ')' if !open => return Err("a \")\" has no \"(\" before it".into()),
            ')' => open = false,
            ',' if !open => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    if open {
        return Err("a \"(\" has no \")\" behind it".into());
    }
    parts.push(&text[start..]);
    let parts: Vec<_> = parts.into_iter().map(str::trim).collect();
    if parts.len() > 1 && parts.contains(&"") {
        return Err("a comma has nothing on one side of it".into());
    }
    Ok(parts.into_iter().filter(|part| !part.is_empty()).collect())
}

fn requirement(part: &str) -> Result<Expression, String> {
    if let Some(absent) = part.strip_prefix('!') {
        return Ok(Expression::DoesNotExist(key(absent.trim())?));
    }
    if let Some(list) = part.strip_suffix(')') {
        let (head, list) = list
            .split_once('(')
            .ok_or_else(|| format!("{part:?} is not \"KEY in (VALUE,...)\""))?;
        let mut words = head.split_whitespace();
        let (name, operator) = (words.next().unwrap_or_default(), words.next());
        let values: Result<BTreeSet<_>, _> = list.split(',').map(|one| value(one.trim())).collect();
        return match (operator, words.next()) {
            (Some("in"), None) => Ok(Expression::In(key(name)?, values?)),
            (Some("notin"), None) => Ok(Expression::NotIn(key(name)?, values?)),
            _ => Err(format!(
                "{part:?}: expected \"in\" or \"notin\" before the parenthesis"
            )),
        };
    }
    if let Some((name, unequal)) = part.split_once("!=") {
        return Ok(Expression::NotEqual(
            key(name.trim())?,
            value(unequal.trim())?,
        ));
    }
    if let Some((name, equal)) = part.split_once('=') {
        let equal = equal.strip_prefix('=').unwrap_or(equal);
        return Ok(Expression::Equal(key(name.trim())?, value(equal.trim())?));
    }
    Ok(Expression::Exists(key(part)?))
}

/// Where the probe goes: `http://:8081/health/readiness`, `https://:8443/`, `tcp://:8080`.
pub fn probe(text: &str) -> Result<Probe, String> {
    const EXPECTED: &str = "expected http://:PORT/PATH, https://:PORT/PATH or tcp://:PORT";
    let Some((scheme, rest)) = text.split_once("://") else {
        return Err(EXPECTED.into());
    };
    let path = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(path);
    let Some(port) = authority.strip_prefix(':') else {
        return Err(format!(
            "it names a host, and the probe goes to every published address: leave the host out; {EXPECTED}"
        ));
    };
    let digits = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    let port = match port.parse::<u16>() {
        Ok(port) if digits && port > 0 => port,
        _ => return Err(format!("its port is no number from 1 to 65535; {EXPECTED}")),
    };
    match scheme {
        "tcp" if path.is_empty() => Ok(Probe::Tcp(vec![port])),
        "tcp" => Err("a tcp probe has no path: it is passed when the connection opens".into()),
        "http" | "https" => {
            let path = if path.is_empty() { "/" } else { path };
            let plain = |c: char| {
                c.is_ascii_graphic()
                    && !matches!(
                        c,
                        '#' | '"' | '<' | '>' | '\\' | '^' | '`' | '{' | '|' | '}'
                    )
            };
            if !path.starts_with('/') || path.len() > LONGEST_PATH || !path.chars().all(plain) {
                return Err(format!(
                    "its path is none: expected one that begins with a slash, has at most {LONGEST_PATH} characters, all \
                     of them printable ASCII (others written as %XX), and no \"#\""
                ));
            }
            Ok(Probe::Http {
                https: scheme == "https",
                port,
                path: path.to_owned(),
            })
        }
        _ => Err(format!(
            "its scheme is none of http, https and tcp; {EXPECTED}"
        )),
    }
}

/// A period or a timeout: whole seconds and minutes, or milliseconds.
pub fn time(text: &str) -> Result<Duration, String> {
    let (shortest, longest) = TIMES;
    let expected = || {
        format!(
            "expected a time from {}s to {}h, for example \"10s\" or \"1500ms\"",
            shortest.as_secs(),
            longest.as_secs() / 3600
        )
    };
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let each = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        _ => return Err(expected()),
    };
    let number: u64 = number.parse().map_err(|_| expected())?;
    let time = Duration::from_millis(number.saturating_mul(each));
    if (shortest..=longest).contains(&time) {
        Ok(time)
    } else {
        Err(expected())
    }
}

/// How many in a row.
pub fn threshold(text: &str) -> Result<u32, String> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse::<u32>() {
        Ok(number) if digits && (1..=1000).contains(&number) => Ok(number),
        _ => Err("expected a whole number from 1 to 1000".into()),
    }
}

/// `true` or `false`.
pub fn switch(text: &str) -> Result<bool, String> {
    match text {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err("expected \"true\" or \"false\"".into()),
    }
}

#[cfg(test)]
#[path = "grammar_tests.rs"]
mod tests;
