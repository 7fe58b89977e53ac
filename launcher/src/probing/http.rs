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
    /// A redirect on the same host: to where, and whether its location was absolute.
    Further(Target, bool),
}

impl Get<'_> {
    pub(super) fn attempt(&self, deadline: Instant, tls: &dyn Tls) -> Outcome {
        let headers = match Headers::of_probe(self.headers) {
            Ok(headers) => headers,
            Err(why) => return Outcome::Failure(why),
        };
        let own = self.ip.to_string();
        let mut target = Target::of_probe(self.https, own, self.port, self.path);
        let mut host = headers.host().map(str::to_owned);
        let mut referer: Option<String> = None;
        let mut requests = 0;
        loop {
            let request = headers.request(&target, host.as_deref(), referer.as_deref());
            requests += 1;
            let (next, absolute) = match self.ask(&target, &request, deadline, tls) {
                Ok(Answer::Outcome(outcome)) => return outcome,
                Ok(Answer::Further(next, absolute)) => (next, absolute),
                Err(why) => return Outcome::Failure(format!("GET {}: {why}", target.url())),
            };
            let failed = |why: &str| Outcome::Failure(format!("GET {}: {why}", target.url()));
            if requests == MOST_REQUESTS {
                return failed(&format!("stopped after {MOST_REQUESTS} redirects"));
            }
            if !matches!(next.scheme.as_str(), "http" | "https") {
                return failed(&format!("it leads to {}, which is no HTTP", next.url()));
            }
            if absolute {
                host = None;
            }
            referer = (target.scheme == "http" || next.scheme == "https").then(|| target.url());
            target = next;
        }
    }

    /// Makes one request. An error is why there is no answer to it.
    fn ask(
        &self,
        target: &Target,
        request: &str,
        deadline: Instant,
        tls: &dyn Tls,
    ) -> Result<Answer, String> {
        let port = target.port_number().ok_or("there is no such port")?;
        let connect = || -> std::io::Result<Box<dyn Connection>> {
            let plain = Timed::connect(SocketAddr::new(self.ip, port), deadline)?;
            if target.scheme == "https" {
                tls.client(plain)
            } else {
                Ok(Box::new(plain))
            }
        };
        let mut connection = connect().map_err(|error| words(&error))?;
        // A program may answer, and close, without having read all of the request.
        let written = connection
            .write_all(request.as_bytes())
            .and_then(|()| connection.flush());
        let mut from = BufReader::new(connection);
        let head = match (Head::read(&mut from), written) {
            (Ok(head), _) => head,
            (Err(_), Err(error)) => return Err(words(&error)),
            (Err(broken), Ok(())) => return Err(broken.to_string()),
        };
        let (url, status) = (target.url(), head.status);
        let mut warning = format!("GET {url}: status {status} leads nowhere");
        if let (301 | 302 | 303 | 307 | 308, Some(location)) = (status, &head.location) {
            let next = target
                .follow(location)
                .ok_or_else(|| format!("status {status} leads to `{location}`, which is no URL"))?;
            // Host names are compared as they are written, ports are not (`RedirectChecker`).
            if next.host == target.host {
                return Ok(Answer::Further(next, Target::is_absolute(location)));
            }
            let next = next.url();
            warning = format!(
                "GET {url}: status {status} leads to another host, {next}, and is not followed"
            );
        }
        Ok(Answer::Outcome(match (head.read_body(&mut from), status) {
            (Err(broken), _) => Outcome::Unknown(format!(
                "GET {url}: status {status}, but its body cannot be read: {broken}"
            )),
            (Ok(()), 200..300) => Outcome::Success,
            (Ok(()), 300..400) => Outcome::Warning(warning),
            (Ok(()), _) => Outcome::Failure(format!(
                "GET {url}: HTTP probe failed with statuscode: {status}"
            )),
        }))
    }
}

#[cfg(test)]
#[path = "http_tests.rs"]
mod tests;
