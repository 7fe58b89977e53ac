//! The program's own server with nothing in it: what HTTP, TLS and limits cost without a review.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use native_host::admission::certificates::{Certificates, Folder};
use native_host::admission::limits::Limits;
use native_host::admission::metrics::Metrics;
use native_host::admission::readiness::Readiness;
use native_host::admission::server::{Config, Shutdown};
use native_host::admission::{Answer, Door, Reviews, tls};
use native_host::plan::reason::{Outcome, Reason};

/// The answer is chosen by the body's length, as the floor's is by its path.
struct Fixed(Vec<(usize, Vec<u8>)>);

impl Reviews for Fixed {
    async fn answer(&self, _door: Door, body: &[u8]) -> Answer {
        let answer = self.0.iter().find(|(length, _)| *length == body.len());
        Answer {
            status: 200,
            body: answer.map(|(_, bytes)| bytes.clone()).unwrap_or_default(),
            outcome: Outcome::Injected,
            reason: Reason::None,
            namespace: String::new(),
            name: String::new(),
            kind: String::new(),
            message: None,
            dry_run: false,
        }
    }
}

/// Serves `folder`'s certificate and answers until it is killed. Says its port first.
#[tokio::main]
pub async fn run(folder: &Path) {
    let metrics = Arc::new(Metrics::new().unwrap());
    let (_, pair) = Folder::open(folder).unwrap();
    let certificates = Arc::new(Certificates::new(pair, Arc::clone(&metrics)));
    let tls = tls::config(certificates, None).unwrap();
    let bound = Config {
        https: Some("127.0.0.1:0".parse().unwrap()),
        http: None,
        limits: Limits::default(),
        operations_limits: Limits::operations(),
        shutdown: Shutdown {
            delay: Duration::ZERO,
            grace: Duration::ZERO,
        },
    }
    .bind()
    .await
    .unwrap();
    println!("{}", bound.https_address().unwrap());
    let answers = crate::SIZES.iter().enumerate().map(|(n, (_, size))| {
        let answer = std::fs::read(folder.join(format!("answer-{n}"))).unwrap();
        (crate::bodies::review(*size).len(), answer)
    });
    let readiness = Arc::new(Readiness::new(Arc::clone(&metrics)));
    let _running = bound.start(Some((Fixed(answers.collect()), tls)), readiness, &metrics);
    std::future::pending::<()>().await;
}
