//! A pod's life by the clock, without a control plane: time is handed in.

use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::{Pod, PodStatus};
use serde_json::{Value, json};

use crate::support::kubelet::Program;
use crate::support::kubelet::machine::Machine;
use crate::support::kubelet::program::Knobs;
use crate::support::kubelet::status;

/// A pod at a time of its own.
struct Life {
    pod: Pod,
    knobs: Knobs,
    machine: Machine,
    begin: Instant,
    now: Instant,
    ips: u32,
}

impl Life {
    fn new(spec: &Value, knobs: Knobs) -> Self {
        let mut pod = json!({
            "metadata": {"name": "pod", "namespace": "shop", "uid": "1"},
            "spec": {"nodeName": "win-1", "containers": [{"name": "main"}]},
            "status": {"phase": "Pending"},
        });
        let spec = spec.as_object().unwrap().clone();
        pod["spec"].as_object_mut().unwrap().extend(spec);
        let pod: Pod = serde_json::from_value(pod).unwrap();
        let now = Instant::now();
        let machine = Machine::new(&pod, &knobs, now);
        let mut life = Self {
            pod,
            knobs,
            machine,
            begin: now,
            now,
            ips: 0,
        };
        life.until(Duration::from_secs(1));
        life
    }

    /// Lives from event to event until this time from the beginning.
    fn until(&mut self, time: Duration) -> PodStatus {
        loop {
            let mut new_ip = || {
                self.ips += 1;
                format!("10.244.0.{}", self.ips)
            };
            let (pod, knobs) = (&self.pod, &mut self.knobs);
            let due = self.machine.advance(pod, knobs, &mut new_ip, self.now);
            let (wanted, at) = status::status(&self.machine, pod, knobs, "172.30.0.1", self.now);
            self.pod.status = Some(wanted.clone());
            let next = due.into_iter().chain(at).min();
            let Some(next) = next.filter(|next| *next <= self.begin + time) else {
                self.now = self.begin + time;
                return wanted;
            };
            self.now = next.max(self.now + Duration::from_millis(1));
        }
    }

    fn at(&mut self, seconds: u64) -> PodStatus {
        self.until(Duration::from_secs(seconds))
    }

    fn delete(&mut self, grace: i64) {
        let time = serde_json::from_value(json!("2026-01-01T00:00:00Z")).unwrap();
        self.pod.metadata.deletion_timestamp = Some(time);
        self.pod.metadata.deletion_grace_period_seconds = Some(grace);
    }

    fn exit(&mut self, container: &str, code: i32) {
        let key = ("shop".into(), "pod".into(), container.into());
        self.knobs.exits.insert(key, code);
    }
}

fn phase(status: &PodStatus) -> &str {
    status.phase.as_deref().unwrap()
}

fn sleeping(seconds: i64) -> Value {
    json!({"containers": [
        {"name": "main", "lifecycle": {"preStop": {"sleep": {"seconds": seconds}}}},
    ]})
}

#[test]
fn a_sleep_ends_with_the_grace_period() {
    let mut life = Life::new(&sleeping(60), Knobs::default());
    life.delete(10);
    assert_eq!(phase(&life.at(10)), "Running");
    assert_eq!(phase(&life.at(12)), "Succeeded");
    assert!(life.machine.finished);
}

#[test]
fn a_program_that_ends_does_not_end_the_sleep() {
    let mut life = Life::new(&sleeping(20), Knobs::default());
    life.delete(60);
    life.at(5);
    life.exit("main", 3);
    let status = life.at(6);
    let state = status.container_statuses.unwrap()[0].state.clone().unwrap();
    assert_eq!(state.terminated.unwrap().exit_code, 3);
    assert_eq!(status.phase.as_deref(), Some("Running"));
    assert!(!life.machine.finished);
    assert_eq!(phase(&life.at(22)), "Failed");
}

#[test]
fn a_second_delete_counts_only_where_the_kubelet_is_mended() {
    for mended in [false, true] {
        let mut knobs = Knobs::default();
        knobs.settings.shorter_grace_cuts = mended;
        let mut life = Life::new(&sleeping(60), knobs);
        life.delete(90);
        life.at(10);
        life.delete(1);
        life.at(20);
        assert_eq!(life.machine.finished, mended);
        life.at(62);
        assert!(life.machine.finished);
    }
}

#[test]
fn a_reboot_ends_a_sleep() {
    let mut life = Life::new(&sleeping(60), Knobs::default());
    life.delete(90);
    life.at(10);
    life.knobs.boots.insert("win-1".into(), 1);
    assert_eq!(phase(&life.at(11)), "Failed");
    assert!(life.machine.finished);
}

#[test]
fn sidecars_stop_after_the_program_and_from_last_to_first() {
    let spec = json!({"initContainers": [
        {"name": "first", "restartPolicy": "Always"},
        {"name": "second", "restartPolicy": "Always"},
    ]});
    let knobs = Knobs::default();
    let mut life = Life::new(&spec, knobs);
    for container in &mut life.machine.containers {
        container.program = Program::that_stops_in(Duration::from_secs(5));
    }
    life.delete(60);
    let running = |life: &Life| {
        let runs = life.machine.containers.iter().filter(|c| c.runs());
        runs.map(|c| c.name.clone()).collect::<Vec<_>>()
    };
    life.at(4);
    assert_eq!(running(&life), ["first", "second", "main"]);
    life.at(8);
    assert_eq!(running(&life), ["first", "second"]);
    life.at(13);
    assert_eq!(running(&life), ["first"]);
    assert_eq!(phase(&life.at(18)), "Succeeded");
}

#[test]
fn restarts_follow_the_policy() {
    // Policy, exit code, and the phase and the restarts after it.
    let cases = [
        ("Always", 0, "Running", 1),
        ("Always", 1, "Running", 1),
        ("OnFailure", 0, "Succeeded", 0),
        ("OnFailure", 1, "Running", 1),
        ("Never", 0, "Succeeded", 0),
        ("Never", 1, "Failed", 0),
    ];
    for (policy, code, wanted, restarts) in cases {
        let mut life = Life::new(&json!({"restartPolicy": policy}), Knobs::default());
        life.exit("main", code);
        let status = life.at(5);
        assert_eq!(phase(&status), wanted, "{policy} {code}");
        let count = status.container_statuses.unwrap()[0].restart_count;
        assert_eq!(count, restarts, "{policy} {code}");
    }
}

#[test]
fn crashes_wait_twice_as_long_each_time() {
    let mut life = Life::new(&json!({}), Knobs::default());
    let restarts = |life: &mut Life, at: u64| {
        let status = life.at(at);
        status.container_statuses.unwrap()[0].restart_count
    };
    life.exit("main", 1);
    assert_eq!(restarts(&mut life, 2), 1);
    life.exit("main", 1);
    assert_eq!(restarts(&mut life, 11), 1);
    assert_eq!(restarts(&mut life, 13), 2);
    life.exit("main", 1);
    assert_eq!(restarts(&mut life, 32), 2);
    assert_eq!(restarts(&mut life, 34), 3);
}

#[test]
fn a_lost_sandbox_ends_what_is_never_restarted() {
    let mut life = Life::new(&json!({"restartPolicy": "Never"}), Knobs::default());
    let lost = ("shop".into(), "pod".into());
    life.knobs.lost_sandboxes.insert(lost);
    let status = life.at(5);
    assert_eq!(phase(&status), "Failed");
    assert_eq!(status.pod_ip.as_deref(), Some("10.244.0.1"));
}

#[test]
fn a_failed_init_container_fails_the_pod_or_runs_again() {
    let init = json!([{"name": "init"}]);
    for (policy, wanted) in [("Never", "Failed"), ("Always", "Pending")] {
        let mut knobs = Knobs::default();
        let which = |_: &Pod, container: &str| container == "init";
        let fails = Program::that_ends(Duration::ZERO, 1);
        knobs.rules.push((std::sync::Arc::new(which), fails));
        let spec = json!({"restartPolicy": policy, "initContainers": init});
        let mut life = Life::new(&spec, knobs);
        let status = life.at(5);
        assert_eq!(phase(&status), wanted);
        let init = &status.init_container_statuses.unwrap()[0];
        assert_eq!(init.restart_count > 0, policy == "Always");
        let main = status.container_statuses.unwrap()[0].state.clone().unwrap();
        assert!(main.running.is_none());
    }
}
