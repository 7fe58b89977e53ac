#![allow(clippy::unwrap_used)]

use super::*;

fn key(name: &str) -> Key {
    name.into()
}

fn queue() -> Queue {
    let queue = Queue::default();
    queue.open();
    queue
}

/// What can be taken without waiting.
async fn ready(queue: &Queue) -> Vec<String> {
    let mut taken = Vec::new();
    while let Ok(key) = tokio::time::timeout(Duration::from_millis(1), queue.take()).await {
        taken.push(key.to_string());
    }
    taken
}

#[tokio::test(start_paused = true)]
async fn a_pair_waits_once_however_often_it_is_added() {
    let queue = queue();
    for name in ["a", "b", "a", "a"] {
        queue.add(&key(name), Lane::Usual);
    }
    assert_eq!(queue.depth(), 2);
    assert_eq!(ready(&queue).await, ["a", "b"]);
}

#[tokio::test(start_paused = true)]
async fn who_lacks_its_anchor_goes_first_and_once() {
    let queue = queue();
    queue.add(&key("mirror"), Lane::Usual);
    queue.add(&key("both"), Lane::Usual);
    queue.add(&key("both"), Lane::Urgent);
    queue.add(&key("create"), Lane::Urgent);
    assert_eq!(ready(&queue).await, ["both", "create", "mirror"]);
}

#[tokio::test(start_paused = true)]
async fn added_meanwhile_is_worked_on_again_and_never_twice_at_once() {
    let queue = queue();
    let a = key("a");
    queue.add(&a, Lane::Usual);
    assert_eq!(ready(&queue).await, ["a"]);
    queue.add(&a, Lane::Usual);
    assert!(ready(&queue).await.is_empty(), "it is being worked on");
    queue.done(&a, Turn::Done(None));
    assert_eq!(ready(&queue).await, ["a"]);
    queue.done(&a, Turn::Done(None));
    assert!(ready(&queue).await.is_empty());
    assert!(queue.inner().entries.is_empty(), "nothing is kept of it");
}

#[tokio::test(start_paused = true)]
async fn failures_come_back_later_and_later_with_jitter() {
    let queue = queue();
    let a = key("a");
    queue.add(&a, Lane::Usual);
    let mut waits = Vec::new();
    for _ in 0..12 {
        let asked = Instant::now();
        assert_eq!(&*queue.take().await, "a");
        waits.push(asked.elapsed());
        queue.done(&a, Turn::Failed);
    }
    for (turn, wait) in waits[1..].iter().enumerate() {
        let full = (FIRST * (1 << turn)).min(LONGEST);
        assert!(
            *wait >= full / 2 && *wait <= full + Duration::from_millis(1),
            "{turn}: {wait:?}"
        );
    }
    assert!(queue.hold(&a).is_some());
    queue.recovered(&a);
    assert_eq!(queue.hold(&a), None);
}

#[tokio::test(start_paused = true)]
async fn an_event_does_not_wait_for_the_backoff_but_sees_the_hold() {
    let queue = queue();
    let a = key("a");
    queue.add(&a, Lane::Usual);
    queue.take().await;
    queue.done(&a, Turn::Failed);
    queue.add(&a, Lane::Usual);
    assert_eq!(ready(&queue).await, ["a"]);
    assert!(queue.hold(&a).is_some());
}

#[tokio::test(start_paused = true)]
async fn time_alone_brings_a_pair_back_at_its_latest_time_only() {
    let queue = queue();
    let a = key("a");
    queue.add(&a, Lane::Usual);
    queue.take().await;
    queue.done(&a, Turn::Done(Some(Duration::from_secs(60))));
    queue.add(&a, Lane::Usual);
    queue.take().await;
    queue.done(&a, Turn::Done(Some(Duration::from_secs(5))));
    let asked = Instant::now();
    queue.take().await;
    assert_eq!(asked.elapsed().as_secs(), 5);
    queue.done(&a, Turn::Done(None));
    assert!(queue.inner().timers.is_empty());
}

#[tokio::test(start_paused = true)]
async fn one_worker_wakes_the_next() {
    let queue = Arc::new(queue());
    let workers: Vec<_> = (0..3)
        .map(|_| {
            let queue = Arc::clone(&queue);
            tokio::spawn(async move { queue.take().await })
        })
        .collect();
    tokio::task::yield_now().await;
    for name in ["a", "b", "c"] {
        queue.add(&key(name), Lane::Usual);
    }
    let mut taken = Vec::new();
    for worker in workers {
        taken.push(worker.await.unwrap().to_string());
    }
    taken.sort();
    assert_eq!(taken, ["a", "b", "c"]);
}

#[tokio::test(start_paused = true)]
async fn closing_forgets_everything_and_takes_nothing() {
    let queue = queue();
    let (a, b) = (key("a"), key("b"));
    queue.add(&a, Lane::Usual);
    queue.take().await;
    queue.add(&a, Lane::Usual);
    queue.add(&b, Lane::Urgent);
    queue.close();
    assert_eq!(queue.depth(), 0);
    queue.add(&b, Lane::Urgent);
    queue.done(&a, Turn::Failed);
    assert!(ready(&queue).await.is_empty());
    assert!(queue.inner().entries.is_empty());
    queue.open();
    queue.add(&b, Lane::Urgent);
    assert_eq!(ready(&queue).await, ["b"]);
}
