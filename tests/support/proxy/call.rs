//! What a program asks of the API server, and what comes of it.

use hyper::Method;
use hyper::body::Bytes;
use hyper::http::request::Parts;
use serde_json::Value;

/// What a call is to a test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It changes nothing: reads, dry runs, reviews of access and of tokens.
    Read,
    /// A watch.
    Watch,
    /// It changes an object.
    Write,
    /// It changes a Lease.
    Lease,
    /// It writes an Event.
    Event,
}

/// A call.
#[derive(Debug, Clone)]
pub struct Call {
    /// What it is to a test.
    pub kind: Kind,
    /// Its method.
    pub method: String,
    /// Its path, without the query.
    pub path: String,
    /// Its query; empty if there is none.
    pub query: String,
    /// Its body.
    pub body: Bytes,
}

/// A call and its answer.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The call.
    pub call: Call,
    /// The status of the answer that the program got; none where it was cut off.
    pub status: Option<u16>,
}

impl Call {
    /// A request as a call.
    pub fn new(head: &Parts, body: Bytes) -> Self {
        let path = head.uri.path().to_owned();
        let query = head.uri.query().unwrap_or_default().to_owned();
        Self {
            kind: kind(&head.method, &path, &query),
            method: head.method.to_string(),
            path,
            query,
            body,
        }
    }

    /// Its body as JSON; null where it is something else.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// By what two tries of one write are known as such.
    pub fn identity(&self) -> String {
        let name = if self.method == "POST" {
            let body = self.json();
            let metadata = &body["metadata"];
            let name = metadata["name"]
                .as_str()
                .or(metadata["generateName"].as_str());
            name.unwrap_or_default().to_owned()
        } else {
            String::new()
        };
        format!("{} {} {name}", self.method, self.path)
    }
}

impl std::fmt::Display for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.call.method, self.call.path)?;
        match self.status {
            Some(status) => write!(f, " {status}"),
            None => f.write_str(" cut"),
        }
    }
}

fn kind(method: &Method, path: &str, query: &str) -> Kind {
    let has = |wanted: &str| query.split('&').any(|pair| pair == wanted);
    if matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS) {
        // `true` is what kube and client-go send; `1` is understood too.
        let watches = has("watch=true") || has("watch=1");
        return if watches { Kind::Watch } else { Kind::Read };
    }
    let group = path
        .strip_prefix("/apis/")
        .and_then(|rest| rest.split('/').next());
    match group {
        _ if has("dryRun=All") => Kind::Read,
        Some("authorization.k8s.io" | "authentication.k8s.io") => Kind::Read,
        Some("coordination.k8s.io") => Kind::Lease,
        Some("events.k8s.io") => Kind::Event,
        None if resource(path) == Some("events") => Kind::Event,
        _ => Kind::Write,
    }
}

/// The resource of a path of the core group, e.g. of `/api/v1/namespaces/shop/events/x`.
fn resource(path: &str) -> Option<&str> {
    let mut parts = path.strip_prefix("/api/v1/")?.split('/');
    match parts.next()? {
        "namespaces" => parts.nth(1),
        resource => Some(resource),
    }
}
