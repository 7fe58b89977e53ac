//! The request of an HTTP probe, byte for byte as the kubelet would write it
//! (`newProbeRequest`, pkg/probe/http/request.go; `Request.write`, Go's net/http/request.go), but for the version
//! in `User-Agent`.

use std::fmt::Write as _;

use super::url::Target;

/// Programs and log filters know probes by `kube-probe/`. The kubelet puts its own version after it, which
/// is not known here.
const USER_AGENT: &str = concat!(
    "kube-probe/",
    env!("CARGO_PKG_VERSION"),
    " (native-host-launcher)"
);

/// The headers that a probe sends with each of its requests, and the host that it names.
#[derive(Debug)]
pub(super) struct Headers {
    /// `Host`, if the probe sets one.
    host: String,
    user_agent: String,
    /// All others, sorted by name, in the order of each name's values.
    others: Vec<(String, String)>,
}

impl Headers {
    /// Those of a probe, and those that a probe has unless it says otherwise. An error is a header that cannot be
    /// sent, in words.
    pub(super) fn of_probe(given: &[(String, String)]) -> Result<Self, String> {
        let mut headers: Vec<(String, String)> = Vec::with_capacity(given.len() + 1);
        for (name, value) in given {
            if name.is_empty() || !name.bytes().all(is_token) {
                return Err(format!("`{name}` cannot be a header's name"));
            }
            // httpguts.ValidHeaderFieldValue
            if value
                .bytes()
                .any(|byte| byte != b'\t' && (byte < b' ' || byte == 0x7f))
            {
                return Err(format!("header {name} holds a control character"));
            }
            headers.push((canonical(name), value.clone()));
        }
        let first = |wanted: &str| {
            let found = headers.iter().find(|(name, _)| name == wanted);
            found.map(|(_, value)| value.as_str())
        };
        let host = first("Host").unwrap_or_default().to_owned();
        let user_agent = first("User-Agent").unwrap_or(USER_AGENT).trim().to_owned();
        let accept = first("Accept").map(str::to_owned);
        // What the client writes itself or does not let through (`reqWriteExcludeHeader`).
        let own = [
            "Host",
            "User-Agent",
            "Content-Length",
            "Transfer-Encoding",
            "Trailer",
        ];
        headers.retain(|(name, _)| !own.contains(&name.as_str()));
        match accept.as_deref() {
            None => headers.push(("Accept".to_owned(), "*/*".to_owned())),
            Some("") => headers.retain(|(name, _)| name != "Accept"),
            Some(_) => {}
        }
        headers.sort_by(|(one, _), (other, _)| one.cmp(other));
        Ok(Self {
            host,
            user_agent,
            others: headers,
        })
    }

    /// The host that the probe names, if it names one.
    pub(super) fn host(&self) -> Option<&str> {
        Some(self.host.as_str()).filter(|host| !host.is_empty())
    }

    /// A GET. `host` goes before that of the target, `referer` is the URL that led here.
    pub(super) fn request(
        &self,
        target: &Target,
        host: Option<&str>,
        referer: Option<&str>,
    ) -> String {
        let own = target.authority();
        let host = host.unwrap_or(&own);
        let host = if is_host(host) { host } else { "" };
        let mut text = format!("GET {} HTTP/1.1\r\nHost: {host}\r\n", target.path);
        let mut write = |name: &str, value: &str| {
            // Writing to a String cannot fail.
            let _ = write!(text, "{name}: {}\r\n", value.trim_matches([' ', '\t']));
        };
        if !self.user_agent.is_empty() {
            write("User-Agent", &self.user_agent);
        }
        let given = |wanted: &str| self.others.iter().any(|(name, _)| name == wanted);
        let referer = referer.filter(|_| !given("Referer"));
        let after = self
            .others
            .partition_point(|(name, _)| name.as_str() < "Referer");
        for (name, value) in &self.others[..after] {
            write(name, value);
        }
        if let Some(referer) = referer {
            write("Referer", referer);
        }
        for (name, value) in &self.others[after..] {
            write(name, value);
        }
        let connection = |wanted: &str| {
            let tokens = self.others.iter().filter(|(name, _)| name == "Connection");
            let mut tokens = tokens.flat_map(|(_, value)| value.split(','));
            tokens.any(|token| token.trim().eq_ignore_ascii_case(wanted))
        };
        let stays = given("Upgrade") && connection("upgrade");
        if !(connection("close") || stays) {
            write("Connection", "close");
        }
        text.push_str("\r\n");
        text
    }
}

/// A character of a header's name (RFC 9110, `tchar`).
pub(super) fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// `httpguts.ValidHostHeader`: in another host the kubelet sends none.
fn is_host(host: &str) -> bool {
    host.bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"!$%&()*+,-.:;=@[]'_~".contains(&byte))
}

/// `content-type` as `Content-Type`, which is how Go's client writes it.
fn canonical(name: &str) -> String {
    let mut start = true;
    let letter = |c: char| {
        let written = if start {
            c.to_ascii_uppercase()
        } else {
            c.to_ascii_lowercase()
        };
        start = c == '-';
        written
    };
    name.chars().map(letter).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn request(headers: &[(&str, &str)]) -> String {
        let given: Vec<_> = headers
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        let target = Target::of_probe(false, "10.1.2.3".to_owned(), 80, "/live?full=1");
        let headers = Headers::of_probe(&given).unwrap();
        headers.request(&target, headers.host(), None)
    }

    #[test]
    fn says_what_the_kubelet_says() {
        let version = env!("CARGO_PKG_VERSION");
        assert_eq!(
            request(&[]),
            format!(
                "GET /live?full=1 HTTP/1.1\r\nHost: 10.1.2.3:80\r\n\
                 User-Agent: kube-probe/{version} (native-host-launcher)\r\nAccept: */*\r\nConnection: close\r\n\r\n"
            )
        );
    }

    #[test]
    fn a_probes_own_headers_go_first() {
        assert_eq!(
            request(&[
                ("x-token", "  a "),
                ("host", "albums.local"),
                ("USER-AGENT", "mine"),
                ("Accept", "text/plain"),
                ("X-Token", "b"),
                ("Content-Length", "7"),
                ("authorization", "Bearer x"),
            ]),
            "GET /live?full=1 HTTP/1.1\r\nHost: albums.local\r\nUser-Agent: mine\r\nAccept: text/plain\r\n\
             Authorization: Bearer x\r\nX-Token: a\r\nX-Token: b\r\nConnection: close\r\n\r\n"
        );
    }

    #[test]
    fn empty_ones_are_taken_away() {
        assert_eq!(
            request(&[("User-Agent", ""), ("Accept", ""), ("Connection", "Close")]),
            "GET /live?full=1 HTTP/1.1\r\nHost: 10.1.2.3:80\r\nConnection: Close\r\n\r\n"
        );
    }

    #[test]
    fn nothing_gets_into_the_request_by_a_header() {
        for (name, value) in [
            ("a b", "c"),
            ("", "c"),
            ("a:", "c"),
            ("a", "c\r\nd: e"),
            ("a", "\0"),
            ("a\n", "b"),
        ] {
            let given = [(name.to_owned(), value.to_owned())];
            assert!(Headers::of_probe(&given).is_err(), "{name:?}: {value:?}");
        }
        assert!(request(&[("Host", "a b")]).contains("\r\nHost: \r\n"));
    }
}
