#![allow(clippy::unwrap_used)]

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::net::TcpListener;

use super::*;
use crate::admission::metrics as server;

struct Stage {
    board: Arc<Board>,
    queue: Arc<Queue>,
    metrics: Arc<Metrics>,
    probes: Probes,
    key: Key,
}

fn stage(places: usize) -> Stage {
    let (board, queue) = (Arc::new(Board::default()), Arc::new(Queue::default()));
    queue.open();
    let metrics = Arc::new(Metrics::new(&server::Metrics::new().unwrap()).unwrap());
    let probes = Probes::new(
        Prober::new().unwrap(),
        places,
        Arc::clone(&board),
        Arc::clone(&queue),
        Arc::clone(&metrics),
    );
    Stage {
        board,
        queue,
        metrics,
        probes,
        key: "shop/albums".into(),
    }
}

fn pace() -> Pace {
    Pace {
        period: Duration::from_millis(20),
        timeout: Duration::from_secs(5),
        failures: 2,
        successes: 1,
    }
}

impl Stage {
    fn keep(&self, probe: &Probe, addresses: &BTreeSet<IpAddr>) {
        let none = BTreeSet::new();
        self.board
            .stand(&self.key, &"u".into(), pace(), addresses, &none);
        self.probes.keep(&self.key, probe, pace(), addresses, &none);
    }

    fn up(&self, addresses: &BTreeSet<IpAddr>) -> BTreeSet<IpAddr> {
        self.board
            .stand(&self.key, &"u".into(), pace(), addresses, &BTreeSet::new())
            .up
    }
}

fn loopback(count: u8) -> BTreeSet<IpAddr> {
    (1..=count)
        .map(|last| IpAddr::from([127, 20, 9, last]))
        .collect()
}

#[tokio::test]
async fn what_answers_turns_up_and_what_stops_turns_down() {
    let stage = stage(8);
    let addresses = loopback(1);
    let address = *addresses.first().unwrap();
    let listener = TcpListener::bind((address, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    stage.keep(&Probe::Tcp(vec![port]), &addresses);
    // A turn is asked for each time that it turns, and not before.
    assert_eq!(stage.queue.take().await, stage.key);
    assert_eq!(stage.up(&addresses), addresses);
    stage
        .queue
        .done(&stage.key, crate::anchor::queue::Turn::Done(None));
    drop(listener);
    assert_eq!(stage.queue.take().await, stage.key);
    assert!(stage.up(&addresses).is_empty());
    let why = stage
        .board
        .stand(
            &stage.key,
            &"u".into(),
            pace(),
            &addresses,
            &BTreeSet::new(),
        )
        .why;
    assert!(why[&address].contains("connection refused"), "{why:?}");
}

#[tokio::test]
async fn no_more_than_so_many_are_under_way() {
    let (at_once, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let listener = TcpListener::bind(("0.0.0.0", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (now, highest) = (Arc::clone(&at_once), Arc::clone(&most));
    let served = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&served);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (now, highest, count) =
                (Arc::clone(&now), Arc::clone(&highest), Arc::clone(&count));
            tokio::spawn(async move {
                use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
                let mut stream = stream;
                let mut request = [0; 512];
                let _ = stream.read(&mut request).await;
                highest.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                tokio::time::sleep(Duration::from_millis(5)).await;
                now.fetch_sub(1, Ordering::SeqCst);
                count.fetch_add(1, Ordering::SeqCst);
                let _ = stream
                    .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
                    .await;
            });
        }
    });
    let stage = stage(3);
    let probe = Probe::Http {
        https: false,
        port,
        path: "/".into(),
    };
    let addresses = loopback(40);
    stage.keep(&probe, &addresses);
    while served.load(Ordering::SeqCst) < 200 {
        tokio::time::sleep(Duration::from_millis(5)).await;
        assert!(stage.metrics.in_flight.get() <= 3);
    }
    assert!(most.load(Ordering::SeqCst) <= 3, "{most:?}");
    while stage.up(&addresses) != addresses {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    stage.probes.end(&stage.key);
    while stage.metrics.in_flight.get() > 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let after = served.load(Ordering::SeqCst);
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(
        served.load(Ordering::SeqCst) <= after + 3,
        "nothing is probed any more"
    );
}

#[test]
fn a_late_attempt_does_not_make_the_next_ones_early() {
    let (start, period) = (Instant::now(), Duration::from_secs(10));
    assert_eq!(
        next(start, period, start + Duration::from_secs(2)),
        start + period
    );
    let late = start + Duration::from_secs(25);
    assert_eq!(next(start, period, late), late);
}
