//! Jobs: programs that end, and what counts as their failure.

use std::time::Duration;

use serde_json::{Value, json};

use crate::manifests::{programs_of, yaml};
use crate::support::kubelet::Program;
use crate::world::{World, condition, finished, is, name, terminating, uid, workload};

/// A Job; `head` is what its spec has beside the template.
fn job(name: &str, head: &str) -> Value {
    let mut job = yaml(&workload("Job", "batch/v1", name, head));
    job["spec"]["template"]["spec"]["restartPolicy"] = "Never".into();
    job
}

/// Waits until a Job has a condition, and gives the Job.
fn until(world: &World, ns: &str, job: &str, kind: &str) -> Value {
    let what = format!("jobs/{job}");
    world
        .eyes
        .until(ns, &what, &format!("is {kind}"), |job| is(job, kind))
}

/// Its pods stay, their anchors are gone, and all of it went without a Warning of ours.
fn ended_quietly(world: &World, ns: &str, count: usize) -> Vec<Value> {
    world.until_no_anchors(ns);
    let (pods, _) = world.pods(ns);
    assert_eq!(pods.len(), count);
    for pod in &pods {
        assert!(finished(pod) && !terminating(pod), "{}", name(pod));
        for (reason, said) in world.events(ns, name(pod)) {
            assert!(reason != "AnchorLost" && reason != "PairReplaced", "{said}");
        }
    }
    pods
}

#[test]
fn a_job_completes_and_its_anchors_go() {
    let Some(world) = World::shared() else { return };
    let ns = "job";
    world.namespace(ns);
    let program = Program::that_ends(Duration::from_secs(1), 0);
    world.kubelet.program(programs_of(ns, "import"), program);
    world.apply(
        ns,
        &job("import", "completions: 3\n  parallelism: 2").to_string(),
    );
    let done = until(world, ns, "import", "Complete");
    assert_eq!(done["status"]["succeeded"], 3);
    assert_eq!(done["status"]["failed"], Value::Null);
    ended_quietly(world, ns, 3);
}

#[test]
fn an_indexed_job_has_a_pair_for_each_index() {
    let Some(world) = World::shared() else { return };
    let ns = "indexed";
    world.namespace(ns);
    let head = "completionMode: Indexed\n  completions: 3\n  parallelism: 3";
    world.apply(ns, &job("shards", head).to_string());
    // Its hostname, and so its name within a subdomain, is the anchor's.
    let (pods, anchors) = world.pairs(ns, 3);
    let hosts = |pods: &[Value]| {
        let mut all: Vec<_> = pods
            .iter()
            .map(|pod| pod["spec"]["hostname"].clone())
            .collect();
        all.sort_by_key(ToString::to_string);
        all
    };
    assert_eq!(hosts(&anchors), ["shards-0", "shards-1", "shards-2"]);
    for pod in &pods {
        world.kubelet.exit(ns, name(pod), "albums", 0);
    }
    let done = until(world, ns, "shards", "Complete");
    assert_eq!(done["status"]["completedIndexes"], "0-2");
    ended_quietly(world, ns, 3);
}

#[test]
fn a_job_gives_up_when_its_program_keeps_failing() {
    let Some(world) = World::shared() else { return };
    let ns = "backoff";
    world.namespace(ns);
    let program = Program::that_ends(Duration::from_millis(300), 7);
    world.kubelet.program(programs_of(ns, "import"), program);
    // The second try comes 10 s after the first failure (`DefaultJobPodFailureBackOff`).
    world.apply(ns, &job("import", "backoffLimit: 1").to_string());
    let failed = until(world, ns, "import", "Failed");
    assert_eq!(
        condition(&failed, "Failed")["reason"],
        "BackoffLimitExceeded"
    );
    assert_eq!(failed["status"]["failed"], 2);
    let pods = ended_quietly(world, ns, 2);
    assert!(pods.iter().all(|pod| pod["status"]["phase"] == "Failed"));
}

/// A pod whose anchor was lost, of a Job that forgives no failure.
fn loses_its_anchor(world: &World, ns: &str, job: &Value) -> Value {
    world.namespace(ns);
    let stops_badly = Program {
        stop: Duration::from_secs(1),
        stop_exit: 1,
        ..Program::default()
    };
    world
        .kubelet
        .program(programs_of(ns, "import"), stops_badly);
    world.apply(ns, &job.to_string());
    let (mut pods, anchors) = world.pairs(ns, 1);
    world.delete(ns, &anchors[0]);
    pods.remove(0)
}

#[test]
fn a_lost_anchor_is_no_failure_of_a_job_that_ignores_disruptions() {
    let Some(world) = World::shared() else { return };
    let ns = "job-disrupted";
    let mut forgiving = job("import", "backoffLimit: 0");
    forgiving["spec"]["podFailurePolicy"] = json!({"rules": [
        {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
    ]});
    let lost = loses_its_anchor(world, ns, &forgiving);
    let again = world.until_pods(ns, "another pod", |pods, _| {
        let mut others = pods.iter().filter(|pod| uid(pod) != uid(&lost));
        others.find(|pod| is(pod, "Ready")).cloned()
    });
    world.kubelet.exit(ns, name(&again), "albums", 0);
    let done = until(world, ns, "import", "Complete");
    assert_eq!(done["status"]["failed"], Value::Null);
    world.until_no_anchors(ns);
}

#[test]
fn a_lost_anchor_fails_a_job_that_does_not() {
    let Some(world) = World::shared() else { return };
    let ns = "job-not-forgiven";
    loses_its_anchor(world, ns, &job("import", "backoffLimit: 0"));
    let failed = until(world, ns, "import", "Failed");
    assert_eq!(
        condition(&failed, "Failed")["reason"],
        "BackoffLimitExceeded"
    );
    world.until_no_anchors(ns);
}

#[test]
fn a_suspended_job_has_no_pairs_until_it_is_resumed() {
    let Some(world) = World::shared() else { return };
    let ns = "suspended";
    world.namespace(ns);
    world.apply(
        ns,
        &job("import", "parallelism: 2\n  completions: 2").to_string(),
    );
    world.pairs(ns, 2);
    let suspend = |suspend: bool| {
        let patch = json!({"spec": {"suspend": suspend}}).to_string();
        world.kubectl(ns, &["patch", "job", "import", "-p", &patch]);
    };
    suspend(true);
    until(world, ns, "import", "Suspended");
    world.pairs(ns, 0);
    suspend(false);
    let (pods, _) = world.pairs(ns, 2);
    for pod in &pods {
        world.kubelet.exit(ns, name(pod), "albums", 0);
    }
    until(world, ns, "import", "Complete");
    world.until_no_anchors(ns);
}

#[test]
fn a_cron_job_makes_a_pair_each_time() {
    let Some(world) = World::shared() else { return };
    let ns = "cron";
    world.namespace(ns);
    let program = Program::that_ends(Duration::from_millis(500), 0);
    world.kubelet.program(programs_of(ns, "nightly"), program);
    let job = job("nightly", "completions: 1");
    let cron = json!({
        "apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "nightly"},
        "spec": {"schedule": "0 3 * * *", "jobTemplate": {"spec": job["spec"]}},
    });
    world.apply(ns, &cron.to_string());
    // The last time was two days ago, so that one is due now.
    let past = k8s_openapi::jiff::Timestamp::now() - Duration::from_secs(2 * 86_400);
    let past = k8s_openapi::jiff::Timestamp::from_second(past.as_second()).unwrap();
    let patch = json!({"status": {"lastScheduleTime": past}}).to_string();
    let by_status = ["patch", "cronjob", "nightly", "--subresource=status"];
    world.kubectl(
        ns,
        &[&by_status[..], &["--type=merge", "-p", &patch]].concat(),
    );
    world.eyes.until(ns, "cronjobs/nightly", "has run", |cron| {
        cron["status"]["lastSuccessfulTime"].is_string()
    });
    let pods = ended_quietly(world, ns, 1);
    assert!(pods[0]["status"]["phase"] == "Succeeded");
    // It had a pair like any other.
    let said = world.event(ns, name(&pods[0]), "AnchorCreated");
    assert!(said.contains("nightly"), "{said}");
}
