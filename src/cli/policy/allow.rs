//! What `--allow` says: `GET /x/y on http from shop/frontend`.
//!
//! ```text
//! RULE  = WHAT ["on" PORT] "from" WHO {"," WHO}
//! WHAT  = METHOD {"," METHOD} PATH | "ANY" PATH | "tcp"
//! PATH  = "/x/y" that path | "/x/*" it and everything below
//! WHO   = [NAMESPACE "/"] SERVICEACCOUNT | NAMESPACE "/*" | "*" | CIDR
//! ```

use std::collections::BTreeSet;
use std::fmt;

use ipnet::IpNet;

use super::matching::{Match, Path};

/// The methods that an HTTPRoute can name (Gateway API, `HTTPMethod`).
pub(super) const METHODS: [&str; 9] = [
    "GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH",
];
/// How long a path may be (the `CustomResourceDefinition` of Linkerd's HTTPRoute).
const PATH_MAX: usize = 1024;

/// Who may ask.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Client {
    /// Everybody who has an identity of the mesh.
    Mesh,
    /// Every ServiceAccount of a namespace.
    Namespace(String),
    /// One ServiceAccount.
    ServiceAccount {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
    },
    /// Whoever asks from there, without an identity.
    Network(IpNet),
}

impl fmt::Display for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mesh => f.write_str("everybody in the mesh"),
            Self::Namespace(namespace) => write!(f, "{namespace}/*"),
            Self::ServiceAccount { namespace, name } => write!(f, "{namespace}/{name}"),
            Self::Network(network) => write!(f, "{network}"),
        }
    }
}

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum What {
    /// Requests; one match for each method.
    Http(Vec<Match>),
    /// Connections.
    Tcp,
}

/// One `--allow`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Allow {
    /// As it was typed.
    pub(super) text: String,
    pub(super) what: What,
    /// Name or number, where it says one.
    pub(super) port: Option<String>,
    pub(super) clients: BTreeSet<Client>,
}

/// What is wrong with an `--allow`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("--allow {text:?}: {fault}")]
pub(super) struct AllowError {
    text: String,
    fault: String,
}

const SHAPE: &str = "expected METHOD PATH [on PORT] from WHO, as in 'GET /x/y from \
                     shop/frontend', or 'tcp on PORT from WHO'";

impl Allow {
    /// Reads a rule; a ServiceAccount without a namespace is of `namespace`.
    pub(super) fn parse(text: &str, namespace: &str) -> Result<Self, AllowError> {
        let fail = |fault: String| AllowError {
            text: text.to_owned(),
            fault,
        };
        let words: Vec<&str> = text.split_whitespace().collect();
        let from = words.iter().position(|word| *word == "from");
        let from = from.ok_or_else(|| fail(format!("it says nothing of who may: {SHAPE}")))?;
        let (what, who) = words.split_at(from);
        let (what, port) = match what {
            [what @ .., "on", port] => (what, Some((*port).to_owned())),
            what => (what, None),
        };
        let what = match what {
            ["tcp" | "TCP"] => What::Tcp,
            [methods, path] => What::Http(requests(methods, path).map_err(fail)?),
            _ => return Err(fail(SHAPE.to_owned())),
        };
        let who = who.get(1..).unwrap_or_default().join(" ");
        let clients = who
            .split(',')
            .map(|one| client(one.trim(), namespace))
            .collect::<Result<BTreeSet<_>, _>>()
            .map_err(fail)?;
        Ok(Self {
            text: words.join(" "),
            what,
            port,
            clients,
        })
    }
}

fn requests(methods: &str, text: &str) -> Result<Vec<Match>, String> {
    let path = path(text)?;
    if methods.eq_ignore_ascii_case("any") {
        return Ok(vec![Match { method: None, path }]);
    }
    let one = |word: &str| {
        let method = word.to_ascii_uppercase();
        let known = METHODS.iter().find(|known| **known == method);
        let known = known.ok_or_else(|| {
            format!(
                "{word:?} is no method: expected one of {}, or ANY",
                METHODS.join(", ")
            )
        })?;
        Ok(Match {
            method: Some(known),
            path: path.clone(),
        })
    };
    methods.split(',').map(one).collect()
}

fn path(text: &str) -> Result<Path, String> {
    let fault = |what: &str| Err(format!("the path {text:?} {what}"));
    if !text.starts_with('/') {
        return fault("is not absolute: expected one that begins with /");
    }
    if text.len() > PATH_MAX {
        return fault("is longer than 1024 characters");
    }
    if text.contains(['?', '#']) {
        return fault("has a query or a fragment: Linkerd compares the path only");
    }
    let plain = |c: char| c.is_ascii_graphic();
    if !text.chars().all(plain) {
        return fault(
            "has characters that stand in no request line: write them as %XX, as clients send them",
        );
    }
    let (path, below) = match text.strip_suffix("/*") {
        Some(path) => (path, true),
        None => (text, false),
    };
    if path.contains('*') {
        return fault("has a * inside: expected one path, as in /x/y, or /x/* for all below /x");
    }
    if path.split('/').any(|part| matches!(part, "." | "..")) {
        return fault("has . or .. in it, which clients resolve before they ask");
    }
    if below {
        // A proxy cuts them off before it compares.
        let folder = path.trim_end_matches('/');
        let folder = if folder.is_empty() { "/" } else { folder };
        return Ok(Path::Below(folder.to_owned()));
    }
    Ok(Path::Exact(path.to_owned()))
}

fn client(text: &str, namespace: &str) -> Result<Client, String> {
    let shape = "expected a ServiceAccount as NAMESPACE/NAME or NAME, NAMESPACE/* for all of a namespace, * \
                 for everybody in the mesh, or a network as 10.0.0.0/8 for who is not in the mesh";
    if text.is_empty() {
        return Err(format!("there is nobody after \"from\": {shape}"));
    }
    if text == "*" {
        return Ok(Client::Mesh);
    }
    if let Ok(network) = network(text) {
        return Ok(Client::Network(network));
    }
    let (namespace, name) = text.split_once('/').unwrap_or((namespace, text));
    if !is_dns_label(namespace) {
        return Err(format!("{text:?} is nobody: {shape}"));
    }
    if name == "*" {
        return Ok(Client::Namespace(namespace.to_owned()));
    }
    if name.is_empty() || name.len() > 253 || !name.split('.').all(is_dns_label) {
        return Err(format!("{text:?} is nobody: {shape}"));
    }
    Ok(Client::ServiceAccount {
        namespace: namespace.to_owned(),
        name: name.to_owned(),
    })
}

/// A network, or one address.
pub(super) fn network(text: &str) -> Result<IpNet, String> {
    if let Ok(address) = text.parse::<std::net::IpAddr>() {
        return Ok(IpNet::from(address));
    }
    match text.parse::<IpNet>() {
        Ok(network) if network.trunc() == network => Ok(network),
        Ok(network) => Err(format!(
            "{text:?} has bits beyond its prefix: write {}",
            network.trunc()
        )),
        Err(_) => Err(format!(
            "{text:?} is no network: expected one as 10.0.0.0/8, or an address"
        )),
    }
}

/// RFC 1123, as namespaces and the parts of ServiceAccounts' names are.
fn is_dns_label(text: &str) -> bool {
    let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    text.len() <= 63
        && edge(text.chars().next())
        && edge(text.chars().last())
        && text
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Allow {
        Allow::parse(text, "home").unwrap()
    }

    fn account(namespace: &str, name: &str) -> Client {
        Client::ServiceAccount {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        }
    }

    #[test]
    fn a_rule_says_what_where_and_who() {
        let rule = parse("get,HEAD /x/y on http from shop/frontend, batch,10.1.0.0/16");
        assert_eq!(
            rule.text,
            "get,HEAD /x/y on http from shop/frontend, batch,10.1.0.0/16"
        );
        let path = Path::Exact("/x/y".to_owned());
        let of = |method| Match {
            method,
            path: path.clone(),
        };
        assert_eq!(
            rule.what,
            What::Http(vec![of(Some("GET")), of(Some("HEAD"))])
        );
        assert_eq!(rule.port.as_deref(), Some("http"));
        let network = Client::Network("10.1.0.0/16".parse().unwrap());
        assert_eq!(
            rule.clients,
            [
                account("shop", "frontend"),
                account("home", "batch"),
                network
            ]
            .into()
        );
        assert_eq!(parse("tcp on 27000 from *").what, What::Tcp);
        assert_eq!(parse("tcp on 27000 from *").clients, [Client::Mesh].into());
        assert_eq!(
            parse("ANY /* from shop/*").clients,
            [Client::Namespace("shop".to_owned())].into()
        );
    }

    #[test]
    fn a_star_at_the_end_means_all_below() {
        let path = |text: &str| match parse(&format!("GET {text} from a")).what {
            What::Http(matches) => matches[0].path.clone(),
            What::Tcp => panic!("{text}"),
        };
        assert_eq!(path("/*"), Path::Below("/".to_owned()));
        assert_eq!(path("/x/*"), Path::Below("/x".to_owned()));
        assert_eq!(path("/x/"), Path::Exact("/x/".to_owned()));
        assert_eq!(path("/"), Path::Exact("/".to_owned()));
    }

    #[test]
    fn what_is_no_rule_says_what_one_is() {
        for (text, expected) in [
            ("GET /x", "it says nothing of who may: expected METHOD PATH"),
            ("GET from a", "expected METHOD PATH [on PORT] from WHO"),
            (
                "FETCH /x from a",
                "\"FETCH\" is no method: expected one of GET, HEAD",
            ),
            ("GET x from a", "the path \"x\" is not absolute"),
            ("GET /x?a=b from a", "has a query or a fragment"),
            ("GET /x*y from a", "has a * inside"),
            ("GET /a/../b from a", "has . or .. in it"),
            ("GET /ä from a", "write them as %XX"),
            ("GET /x from", "there is nobody after \"from\""),
            (
                "GET /x from Shop/a",
                "\"Shop/a\" is nobody: expected a ServiceAccount",
            ),
            ("GET /x from a/b/c", "\"a/b/c\" is nobody"),
            ("GET /x from 10.0.0.1/8", "\"10.0.0.1/8\" is nobody"),
        ] {
            let error = Allow::parse(text, "home").unwrap_err().to_string();
            assert!(error.starts_with(&format!("--allow {text:?}: ")), "{error}");
            assert!(error.contains(expected), "{error}");
        }
        assert_eq!(
            network("10.0.0.1/8").unwrap_err(),
            "\"10.0.0.1/8\" has bits beyond its prefix: write 10.0.0.0/8"
        );
    }
}
