//! One HTTP attempt: requests until there is an answer that leads nowhere else, all within one deadline.
//! After `DoHTTPProbe` and `RedirectChecker` (pkg/probe/http/http.go) and `Client.do` (Go's net/http/client.go).

use std::io::{BufReader, Write as _};
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use super::Outcome;
use super::connection::{Connection, Timed, Tls, words};
use super::request::Headers;
use super::response::Head;
use super::url::Target;

/// How many requests one attempt makes at most.
const MOST_REQUESTS: u32 = 10;

/// What is asked for.
pub(super) struct Get<'a> {
    pub(super) ip: IpAddr,
    pub(super) port: u16,
    pub(super) path: &'a str,
    pub(super) https: bool,
    pub(super) headers: &'a [(String, String)],
}

/// What one request led to.
enum Answer {
    Outcome(Outcome),
    /// A redirect, the address that it names, and its status.
    Elsewhere(String, u16),
}

impl Get<'_> {
    pub(super) fn attempt(&self, deadline: Instant, tls: &dyn Tls) -> Outcome {
        let headers = match Headers::of_probe(self.headers) {
            Ok(headers) => headers,
            Err(why) => return Outcome::Failure(why),
        };
        let own = self.ip.to_string();
        let mut target = Target::of_probe(self.https, own.clone(), self.port, self.path);
        let mut host = headers.host().map(str::to_owned);
        let mut referer: Option<String> = None;
        let mut requests = 0;
        loop {
            let request = headers.request(&target, host.as_deref(), referer.as_deref());
            requests += 1;
            let (location, status) = match self.ask(&target, &request, deadline, tls) {
                Answer::Outcome(outcome) => return outcome,
                Answer::Elsewhere(location, status) => (location, status),
            };
            let failed = |why: &str| Outcome::Failure(format!("GET {}: {why}", target.url()));
            let Some(next) = target.follow(&location) else {
                return failed(&format!(
                    "status {status} leads to `{location}`, which is no URL"
                ));
            };
            // Host names are compared as they are written, ports are not (`RedirectChecker`).
            if next.host != own {
                return Outcome::Warning(format!(
                    "GET {}: status {status} leads to another host, {}, and is not followed",
                    target.url(),
                    next.url()
                ));
            }
            if requests == MOST_REQUESTS {
                return failed(&format!("stopped after {MOST_REQUESTS} redirects"));
            }
            if !matches!(next.scheme.as_str(), "http" | "https") {
                return failed(&format!(
                    "status {status} leads to {}, which is no HTTP",
                    next.url()
                ));
            }
            if Target::is_absolute(&location) {
                host = None;
            }
            referer = (target.scheme == "http" || next.scheme == "https").then(|| target.url());
            target = next;
        }
    }

    fn ask(&self, target: &Target, request: &str, deadline: Instant, tls: &dyn Tls) -> Answer {
        let url = target.url();
        let failed = |why: String| Answer::Outcome(Outcome::Failure(format!("GET {url}: {why}")));
        let Some(port) = target.port_number() else {
            return failed("there is no such port".to_owned());
        };
        let connect = || -> std::io::Result<Box<dyn Connection>> {
            let plain = Timed::connect(SocketAddr::new(self.ip, port), deadline)?;
            if target.scheme == "https" {
                tls.client(plain)
            } else {
                Ok(Box::new(plain))
            }
        };
        let mut connection = match connect() {
            Ok(connection) => connection,
            Err(error) => return failed(words(&error)),
        };
        // A program may answer, and close, without having read all of the request.
        let written = connection
            .write_all(request.as_bytes())
            .and_then(|()| connection.flush());
        let mut from = BufReader::new(connection);
        let head = match (Head::read(&mut from), written) {
            (Ok(head), _) => head,
            (Err(_), Err(error)) => return failed(words(&error)),
            (Err(broken), Ok(())) => return failed(broken.to_string()),
        };
        if let (301 | 302 | 303 | 307 | 308, Some(location)) = (head.status, &head.location) {
            return Answer::Elsewhere(location.clone(), head.status);
        }
        Answer::Outcome(match (head.read_body(&mut from), head.status) {
            (Err(broken), status) => Outcome::Unknown(format!(
                "GET {url}: status {status}, but its body cannot be read: {broken}"
            )),
            (Ok(()), 200..300) => Outcome::Success,
            (Ok(()), status @ 300..400) => {
                Outcome::Warning(format!("GET {url}: status {status} leads nowhere"))
            }
            (Ok(()), status) => Outcome::Failure(format!(
                "GET {url}: HTTP probe failed with statuscode: {status}"
            )),
        })
    }
}

#[cfg(test)]
#[path = "http_tests.rs"]
mod tests;
