//! The clients.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{CONNECTION, HOST, HeaderValue};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until, timeout};

use super::record::{Failure, Kind, Request};
use super::{Shared, endpoints};

/// How long a connection may take to come about.
const CONNECT: Duration = Duration::from_secs(5);

/// A connection, and where it goes.
struct Connection {
    sender: SendRequest<Empty<Bytes>>,
    endpoint: SocketAddr,
}

/// One client.
struct Client<'a> {
    shared: &'a Shared,
    kind: Kind,
    slow: bool,
    random: Random,
    kept: Option<Connection>,
}

/// All clients, until the load is over; each ends with the request that it is at.
pub async fn run(shared: &Arc<Shared>) {
    let plan = &shared.plan;
    let mut routes = shared.routes.subscribe();
    let first = routes.wait_for(|routes| {
        !routes.usable.is_empty() || shared.stopping.load(std::sync::atomic::Ordering::Relaxed)
    });
    // Without one all requests fail, which is right.
    let _ = timeout(endpoints::FIRST_ENDPOINT, first).await;

    let quick = u32::try_from(plan.quick * 2).unwrap_or(u32::MAX).max(1);
    let interval = Duration::from_secs_f64(f64::from(quick) / plan.rate.max(0.1));
    let mut clients = tokio::task::JoinSet::new();
    for place in 0..(plan.quick + plan.slow) * 2 {
        let shared = Arc::clone(shared);
        let kind = if place % 2 == 0 {
            Kind::Kept
        } else {
            Kind::Fresh
        };
        let slow = place >= shared.plan.quick * 2;
        clients.spawn(async move {
            let mut client = Client {
                shared: &shared,
                kind,
                slow,
                random: Random::new(place as u64),
                kept: None,
            };
            // Not all at once.
            let first = Instant::now() + interval.mul_f64(client.random.share());
            client.run(first, interval).await;
        });
    }
    while let Some(ended) = clients.join_next().await {
        assert!(ended.is_ok(), "a client panicked");
    }
}

impl Client<'_> {
    async fn run(&mut self, mut next: Instant, interval: Duration) {
        loop {
            sleep_until(next).await;
            if !self.shared.issue() {
                return;
            }
            let asked = if self.slow {
                self.shared.plan.slowest.mul_f64(self.random.share())
            } else {
                Duration::ZERO
            };
            // Whole milliseconds, which is what is asked for.
            self.request(Duration::from_millis(
                u64::try_from(asked.as_millis()).unwrap_or(0),
            ))
            .await;
            // A client that was held up does not catch up: the rate is a bound.
            next = (next + interval).max(Instant::now());
        }
    }

    async fn request(&mut self, asked: Duration) {
        let at = self.shared.now();
        let mut endpoint = None;
        let patience = self.shared.plan.patience + asked;
        let result = timeout(patience, self.exchange(asked, &mut endpoint)).await;
        let result = result.unwrap_or(Err(Failure::Timeout));
        if result.is_err() {
            self.kept = None;
        }
        let request = Request {
            at,
            took: self.shared.now().saturating_sub(at),
            asked,
            kind: self.kind,
            endpoint,
            result,
        };
        self.shared.log().requests.push(request);
    }

    /// Sends one request and reads the whole answer.
    async fn exchange(
        &mut self,
        asked: Duration,
        endpoint: &mut Option<SocketAddr>,
    ) -> Result<(), Failure> {
        let mut connection = self.connection(endpoint).await?;
        let plan = &self.shared.plan;
        let uri = if asked.is_zero() {
            plan.path.clone()
        } else {
            format!("{}?delay={}ms", plan.path, asked.as_millis())
        };
        let mut request = hyper::Request::get(uri)
            .header(HOST, plan.service.as_str())
            .body(Empty::new())
            .map_err(|error| Failure::Broken(error.to_string()))?;
        if self.kind == Kind::Fresh {
            let close = HeaderValue::from_static("close");
            request.headers_mut().insert(CONNECTION, close);
        }
        let answer = connection
            .sender
            .send_request(request)
            .await
            .map_err(|error| broken(&error))?;
        let status = answer.status().as_u16();
        let ends = answer
            .headers()
            .get(CONNECTION)
            .is_some_and(|it| it == "close");
        let body = answer
            .into_body()
            .collect()
            .await
            .map_err(|error| broken(&error))?
            .to_bytes();
        if self.kind == Kind::Kept && !ends {
            self.kept = Some(connection);
        }
        match status {
            200 if body.starts_with(b"[") && body.ends_with(b"]") => Ok(()),
            200 => Err(Failure::Body),
            status => Err(Failure::Status(status)),
        }
    }

    /// The connection that was kept, if it still stands, or a new one.
    async fn connection(
        &mut self,
        endpoint: &mut Option<SocketAddr>,
    ) -> Result<Connection, Failure> {
        if let Some(mut kept) = self.kept.take() {
            // One that was closed while nothing was under way is nobody's loss.
            if kept.sender.ready().await.is_ok() {
                *endpoint = Some(kept.endpoint);
                return Ok(kept);
            }
        }
        let routes = self.shared.routes.borrow().clone();
        let chosen = self
            .random
            .choose(&routes.usable)
            .ok_or(Failure::NoEndpoint)?;
        *endpoint = Some(chosen);
        let refused = |error: &dyn std::fmt::Display| Failure::Connect(error.to_string());
        let stream = timeout(CONNECT, TcpStream::connect(chosen))
            .await
            .map_err(|error| refused(&error))?
            .map_err(|error| refused(&error))?;
        let _ = stream.set_nodelay(true);
        let (sender, connection) = handshake(TokioIo::new(stream))
            .await
            .map_err(|error| broken(&error))?;
        // It ends with its sender.
        tokio::spawn(connection);
        Ok(Connection {
            sender,
            endpoint: chosen,
        })
    }
}

/// hyper says what it was at, and its source why.
fn broken(error: &hyper::Error) -> Failure {
    let cause = std::error::Error::source(error).map(|source| format!(": {source}"));
    Failure::Broken(format!("{error}{}", cause.unwrap_or_default()))
}

/// Chances that only have to differ (xorshift64*).
struct Random(u64);

impl Random {
    fn new(seed: u64) -> Self {
        Self((seed + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    /// From 0 to 1.
    fn share(&mut self) -> f64 {
        f64::from(u32::try_from(self.next() >> 32).unwrap_or(0)) / f64::from(u32::MAX)
    }

    fn choose<T: Copy>(&mut self, among: &[T]) -> Option<T> {
        let count = u64::try_from(among.len()).unwrap_or(0);
        let place = (count > 0).then(|| self.next() % count)?;
        among.get(usize::try_from(place).unwrap_or(0)).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chance_finds_every_endpoint_about_as_often() {
        let mut random = Random::new(7);
        let mut counts = [0; 3];
        for _ in 0..3_000 {
            counts[random.choose(&[0_usize, 1, 2]).unwrap()] += 1;
        }
        assert!(
            counts.iter().all(|count| (800..1_200).contains(count)),
            "{counts:?}"
        );
        assert_eq!(random.choose::<u8>(&[]), None);
        assert!((0..1_000).all(|_| (0.0..=1.0).contains(&random.share())));
    }
}
