//! Workers, by a clock that the tests turn.

use super::*;

/// A container that is probed by commands, and its workers.
struct Stage {
    script: Arc<Script>,
    seen: watch::Sender<Seen>,
    updates: mpsc::UnboundedReceiver<Update>,
    workers: Option<Workers>,
}

impl Stage {
    fn new(probes: &[(&str, Value)]) -> Self {
        let mut container = json!({"name": "albums"});
        for (probe, of) in probes {
            container[*probe] = of.clone();
            container[*probe]["exec"] = json!({"command": [probe]});
        }
        let pod = json!({"metadata": {"uid": "u-1"}, "spec": {"containers": [container]}});
        let pod: Pod = serde_json::from_value(pod).unwrap();
        let script = Arc::new(Script::default());
        let (seen, watched) = watch::channel(Seen::default());
        let (sender, updates) = mpsc::unbounded_channel();
        let prober = Prober::new(script.clone(), sender);
        let workers = prober.add(&pod, &pod.spec.as_ref().unwrap().containers[0], &watched);
        Self {
            script,
            seen,
            updates,
            workers: Some(workers),
        }
    }

    fn runs(&self, id: &str, started: bool) {
        self.seen.send_replace(Seen {
            id: Some(id.into()),
            state: State::Running(tokio::time::Instant::now().into_std()),
            started,
            ..Seen::default()
        });
    }

    async fn next(&mut self) -> (Kind, News) {
        let update = self.updates.recv().await.unwrap();
        assert_eq!(
            (update.pod.as_str(), update.container.as_str()),
            ("u-1", "albums")
        );
        (update.kind, update.news)
    }

    /// What is new of one probe, up to this.
    async fn until(&mut self, kind: Kind, last: &News) -> Vec<News> {
        let mut all = Vec::new();
        while all.last() != Some(last) {
            assert!(all.len() < 20, "{last:?} does not come: {all:?}");
            let (of, news) = tokio::time::timeout(Duration::from_secs(600), self.next())
                .await
                .unwrap_or_else(|_| panic!("{last:?} does not come: {all:?}"));
            if of == kind {
                all.push(news);
            }
        }
        all
    }

    fn asked(&self) -> Vec<String> {
        let asked = self.script.asked.lock().unwrap();
        asked
            .iter()
            .map(|(_, command)| command[0].clone())
            .collect()
    }
}

#[tokio::test(start_paused = true)]
async fn a_container_starts_becomes_ready_and_is_killed() {
    use Outcome::{Failure, Success, Unknown};
    let mut stage = Stage::new(&[
        (
            "startupProbe",
            json!({"periodSeconds": 1, "failureThreshold": 10}),
        ),
        (
            "livenessProbe",
            json!({"periodSeconds": 7, "failureThreshold": 2}),
        ),
    ]);
    // Nothing has run yet.
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert!(stage.asked().is_empty());

    *stage.script.answers.lock().unwrap() = vec![code(1), code(0)];
    stage.runs("a", false);
    let unhealthy = |text: &str| News::Event("Unhealthy", text.into());
    let startup = stage.until(Kind::Startup, &News::Outcome(Success)).await;
    assert_eq!(
        startup,
        [
            News::Outcome(Unknown),
            unhealthy("Startup probe failed: ended with 1"),
            News::Outcome(Success),
        ]
    );

    stage.runs("a", true);
    *stage.script.answers.lock().unwrap() = vec![code(0), code(2), code(3)];
    let liveness = stage.until(Kind::Liveness, &News::Outcome(Failure)).await;
    assert_eq!(
        &liveness[liveness.len() - 3..],
        [
            unhealthy("Liveness probe failed: ended with 2"),
            unhealthy("Liveness probe failed: ended with 3"),
            News::Outcome(Failure),
        ]
    );

    // It is asked no more until there is a new run.
    let asked = stage.asked().len();
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(stage.asked().len(), asked);
    stage.runs("b", false);
    stage.until(Kind::Startup, &News::Outcome(Success)).await;
}

#[tokio::test(start_paused = true)]
async fn readiness_can_be_looked_at_before_its_time_and_goes_on_to_the_end() {
    let probe = json!({"periodSeconds": 600});
    let mut stage = Stage::new(&[("readinessProbe", probe.clone()), ("livenessProbe", probe)]);
    tokio::time::sleep(Duration::from_secs(1)).await;
    stage.runs("a", true);
    let start = tokio::time::Instant::now();
    stage.workers.as_ref().unwrap().look_again();
    assert_eq!(
        stage.next().await,
        (Kind::Readiness, News::Outcome(Outcome::Failure))
    );
    assert_eq!(
        stage.next().await,
        (Kind::Readiness, News::Outcome(Outcome::Success))
    );
    assert_eq!(start.elapsed(), Duration::ZERO);

    // Only readiness is asked from here on, and nothing when the workers are gone.
    stage.workers.as_ref().unwrap().only_readiness();
    tokio::time::sleep(Duration::from_secs(601)).await;
    assert_eq!(stage.asked(), ["readinessProbe", "readinessProbe"]);
    stage.workers.take();
    while let Some(update) = stage.updates.recv().await {
        assert_eq!(update.kind, Kind::Readiness);
    }
}
