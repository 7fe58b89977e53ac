//! URLs as Go's `net/url` reads them, as far as a probe needs: the path of a probe, which the kubelet
//! reads as a URL (`formatURL`, pkg/probe/http/request.go), and the `Location` of a redirect.

use std::fmt::Write as _;

/// Where a request goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    /// `http`, `https`, or whatever a redirect names.
    pub(super) scheme: String,
    /// The host as it is written, without brackets.
    pub(super) host: String,
    /// The port as it is written; none or an empty one is the scheme's.
    pub(super) port: Option<String>,
    /// Path and query of the request line.
    pub(super) path: String,
}

impl Target {
    /// The target of a probe's `path` on a host. What cannot be read as a URL is a path as a whole, as in
    /// `formatURL`.
    pub(super) fn of_probe(https: bool, host: String, port: u16, path: &str) -> Self {
        let reference = Reference::parse(path)
            .filter(|reference| !reference.opaque)
            .unwrap_or_else(|| Reference {
                path: percent_encode(path.as_bytes()),
                ..Reference::default()
            });
        let slash = if reference.path.starts_with('/') {
            ""
        } else {
            "/"
        };
        Self {
            scheme: if https { "https" } else { "http" }.to_owned(),
            host,
            port: Some(port.to_string()),
            path: format!("{slash}{}{}", reference.path, reference.query()),
        }
    }

    /// Where a `Location` leads from here, by RFC 3986, section 5; `None` if it is no URL.
    pub(super) fn follow(&self, location: &str) -> Option<Self> {
        let to = Reference::parse(location)?;
        if to.opaque {
            return Some(Self {
                scheme: to.scheme.unwrap_or_default(),
                host: String::new(),
                port: None,
                path: String::new(),
            });
        }
        let query = to.query();
        let absolute = to.scheme.is_some();
        let scheme = to.scheme.unwrap_or_else(|| self.scheme.clone());
        if let Some((host, port)) = to.authority {
            let path = resolve("", &to.path) + &query;
            return Some(Self {
                scheme,
                host,
                port,
                path: rooted(path),
            });
        }
        if absolute {
            // `http:/x`: a host is missing.
            return Some(Self {
                scheme,
                host: String::new(),
                port: None,
                path: rooted(to.path + &query),
            });
        }
        let (own, own_query) = self
            .path
            .split_at(self.path.find('?').unwrap_or(self.path.len()));
        let query = if to.path.is_empty() && query.is_empty() {
            own_query
        } else {
            &query
        };
        Some(Self {
            path: rooted(resolve(own, &to.path) + query),
            ..self.clone()
        })
    }

    /// Whether a redirect from there to here was by a location without a scheme.
    pub(super) fn is_absolute(location: &str) -> bool {
        Reference::parse(location).is_some_and(|reference| reference.scheme.is_some())
    }

    /// Host and port as they stand in a URL.
    pub(super) fn authority(&self) -> String {
        let host = if self.host.contains(':') {
            format!("[{}]", self.host)
        } else {
            self.host.clone()
        };
        match self.port.as_deref() {
            None | Some("") => host,
            Some(port) => format!("{host}:{port}"),
        }
    }

    /// The port to connect to.
    pub(super) fn port_number(&self) -> Option<u16> {
        match self.port.as_deref() {
            None | Some("") if self.scheme == "https" => Some(443),
            None | Some("") => Some(80),
            Some(port) => port.parse().ok(),
        }
    }

    /// The whole URL.
    pub(super) fn url(&self) -> String {
        format!("{}://{}{}", self.scheme, self.authority(), self.path)
    }
}

/// `path` with a slash at its beginning: what a request line needs.
fn rooted(path: String) -> String {
    if path.starts_with('/') {
        path
    } else {
        format!("/{path}")
    }
}

/// A URL reference, its fragment dropped.
#[derive(Debug, Default)]
struct Reference {
    /// In small letters.
    scheme: Option<String>,
    /// `mailto:x`: nothing a request can be sent to.
    opaque: bool,
    /// Host, and port if there is a colon for one; after `//`.
    authority: Option<(String, Option<String>)>,
    /// Percent-encoded, as it goes over the wire.
    path: String,
    /// Without its `?`.
    query: Option<String>,
}

impl Reference {
    fn parse(text: &str) -> Option<Self> {
        if text.bytes().any(|byte| byte < b' ' || byte == 0x7f) {
            return None;
        }
        let text = text.split_once('#').map_or(text, |(before, _)| before);
        let (scheme, rest) = scheme(text)?;
        let (rest, query) = match rest.split_once('?') {
            Some((rest, query)) => (rest, Some(query.to_owned())),
            None => (rest, None),
        };
        if !rest.starts_with('/') {
            if scheme.is_some() {
                return Some(Self {
                    scheme,
                    opaque: true,
                    ..Self::default()
                });
            }
            // "1a:b" could be meant as a scheme.
            if rest
                .split('/')
                .next()
                .is_some_and(|first| first.contains(':'))
            {
                return None;
            }
        }
        let (authority, path) = match rest.strip_prefix("//") {
            Some(after) if scheme.is_some() || !after.starts_with('/') => {
                let (authority, path) = after.split_at(after.find('/').unwrap_or(after.len()));
                (Some(host_and_port(authority)?), path)
            }
            _ => (None, rest),
        };
        Some(Self {
            scheme,
            opaque: false,
            authority,
            path: encoded(path)?,
            query,
        })
    }

    /// With its `?`; an empty one stays one, as Go's `ForceQuery`.
    fn query(&self) -> String {
        self.query
            .as_ref()
            .map_or(String::new(), |query| format!("?{query}"))
    }
}

/// Splits a scheme off; `None` for a colon before which nothing stands.
fn scheme(text: &str) -> Option<(Option<String>, &str)> {
    for (i, c) in text.char_indices() {
        match c {
            'a'..='z' | 'A'..='Z' => {}
            '0'..='9' | '+' | '-' | '.' if i > 0 => {}
            ':' if i == 0 => return None,
            ':' => return Some((Some(text[..i].to_ascii_lowercase()), &text[i + 1..])),
            _ => break,
        }
    }
    Some((None, text))
}

/// Host and port of an authority. A user's name and password before `@` are dropped: nobody's probe has any.
fn host_and_port(authority: &str) -> Option<(String, Option<String>)> {
    let host = authority
        .rsplit_once('@')
        .map_or(authority, |(_, host)| host);
    let digits = |port: &str| port.bytes().all(|byte| byte.is_ascii_digit());
    if let Some(rest) = host.strip_prefix('[') {
        let (host, port) = rest.split_once(']')?;
        let port = match port.strip_prefix(':') {
            Some(port) if digits(port) => Some(port.to_owned()),
            None if port.is_empty() => None,
            _ => return None,
        };
        return Some((host.to_owned(), port));
    }
    let (host, port) = match host.rsplit_once(':') {
        Some((host, port)) if digits(port) => (host, Some(port.to_owned())),
        Some(_) => return None,
        None => (host, None),
    };
    let is_host = |c: char| {
        !c.is_ascii() || c.is_ascii_alphanumeric() || "-_.~!$&'()*+,;=:[]<>\"%".contains(c)
    };
    host.chars().all(is_host).then(|| (host.to_owned(), port))
}

/// A path as `URL.EscapedPath` gives it: as it is written, if every character of it may stand there; else
/// unescaped and escaped again. `None` if a `%` is not followed by two digits.
fn encoded(path: &str) -> Option<String> {
    let bytes = unescaped(path)?;
    let may_stand = |byte: u8| byte == b'%' || stays(byte) || b"!'()*[]".contains(&byte);
    if path.bytes().all(may_stand) {
        return Some(path.to_owned());
    }
    Some(percent_encode(&bytes))
}

fn unescaped(path: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let mut digit = || char::from(rest.next()?).to_digit(16);
            let value = digit()? << 4 | digit()?;
            bytes.push(u8::try_from(value).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    Some(bytes)
}

/// Whether Go leaves a byte of a path as it is (`shouldEscape` with `encodePath`).
fn stays(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-_.~$&+,/:;=@".contains(&byte)
}

fn percent_encode(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for &byte in bytes {
        if stays(byte) {
            text.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(text, "%{byte:02X}");
        }
    }
    text
}

/// A header's bytes as text: what is not ASCII is percent-encoded, which is what a URL makes of it.
pub(super) fn ascii(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for &byte in bytes {
        if byte.is_ascii() {
            text.push(char::from(byte));
        } else {
            let _ = write!(text, "%{byte:02X}");
        }
    }
    text
}

/// A reference's path on a base's, without `.` and `..` (RFC 3986, 5.2.3 and 5.2.4).
fn resolve(base: &str, path: &str) -> String {
    let full = if path.is_empty() {
        base.to_owned()
    } else if path.starts_with('/') {
        path.to_owned()
    } else {
        let folder = base.rfind('/').map_or("", |slash| &base[..=slash]);
        format!("{folder}{path}")
    };
    if full.is_empty() {
        return full;
    }
    let mut segments: Vec<&str> = Vec::new();
    let mut ends_in_folder = false;
    for segment in full.strip_prefix('/').unwrap_or(&full).split('/') {
        ends_in_folder = matches!(segment, "." | "..");
        match segment {
            "." => {}
            ".." => {
                segments.pop();
            }
            segment => segments.push(segment),
        }
    }
    if ends_in_folder {
        segments.push("");
    }
    format!("/{}", segments.join("/"))
}

#[cfg(test)]
#[path = "url_tests.rs"]
mod tests;
