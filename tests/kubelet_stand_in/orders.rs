//! Pods whose containers really run: what is ordered and when, by the clock and without a runtime.

use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::{Pod, PodStatus};
use serde_json::{Value, json};

use crate::support::kubelet::machine::Machine;
use crate::support::kubelet::orders::{Order, Report};
use crate::support::kubelet::program::Knobs;
use crate::support::kubelet::status;

/// A pod at a time of its own, and what was ordered of it.
struct Life {
    pod: Pod,
    knobs: Knobs,
    machine: Machine,
    begin: Instant,
    now: Instant,
}

impl Life {
    fn new(spec: &Value) -> Self {
        let mut pod = json!({
            "metadata": {"name": "pod", "namespace": "shop", "uid": "1"},
            "spec": {"nodeName": "win-1", "containers": [{"name": "main"}]},
            "status": {"phase": "Pending"},
        });
        let spec = spec.as_object().unwrap().clone();
        pod["spec"].as_object_mut().unwrap().extend(spec);
        let pod: Pod = serde_json::from_value(pod).unwrap();
        let mut knobs = Knobs::default();
        knobs.settings.real = true;
        knobs.settings.start = Duration::ZERO;
        let now = Instant::now();
        Self {
            machine: Machine::new(&pod, &knobs, now),
            pod,
            knobs,
            begin: now,
            now,
        }
    }

    /// One with the sandbox up and everything started.
    fn running(spec: &Value) -> Self {
        let mut life = Self::new(spec);
        assert!(matches!(life.orders()[..], [Order::Sandbox]));
        life.hear(Report::Sandbox { ip: None });
        loop {
            let orders = life.orders();
            if orders.is_empty() {
                return life;
            }
            life.start_all(orders);
        }
    }

    fn start_all(&mut self, orders: Vec<Order>) {
        for order in orders {
            let Order::Start { container, id, .. } = order else {
                panic!("{order:?}");
            };
            self.hear(Report::Started { container, id });
        }
    }

    /// What is ordered now.
    fn orders(&mut self) -> Vec<Order> {
        let mut no_ip = || panic!("the runtime gives addresses");
        let (pod, knobs) = (&self.pod, &mut self.knobs);
        self.machine.advance(pod, knobs, &mut no_ip, self.now);
        self.status();
        self.machine.take_orders()
    }

    /// What is ordered at a time from the beginning, and not before.
    fn orders_at(&mut self, seconds: u64) -> Vec<Order> {
        self.now = self.begin + Duration::from_millis(seconds * 1000 - 1);
        let early = self.orders();
        assert!(early.is_empty(), "{early:?}");
        self.now += Duration::from_millis(1);
        self.orders()
    }

    fn hear(&mut self, report: Report) {
        self.machine.hear(report, &self.pod, self.now);
    }

    fn status(&mut self) -> PodStatus {
        let (wanted, _) = status::status(
            &self.machine,
            &self.pod,
            &self.knobs,
            "10.245.0.1",
            self.now,
        );
        self.pod.status = Some(wanted.clone());
        wanted
    }

    /// The run of a container that goes on.
    fn id(&self, container: usize) -> String {
        self.machine.containers[container].id.clone().unwrap()
    }

    fn end(&mut self, container: usize, code: i32) {
        let id = self.id(container);
        let message = (code != 0).then(|| "it said so".to_owned());
        self.hear(Report::Ended {
            container,
            id,
            code,
            message,
        });
    }

    fn delete(&mut self, grace: i64) {
        let time = serde_json::from_value(json!("2026-01-01T00:00:00Z")).unwrap();
        self.pod.metadata.deletion_timestamp = Some(time);
        self.pod.metadata.deletion_grace_period_seconds = Some(grace);
    }
}

fn phase(status: &PodStatus) -> &str {
    status.phase.as_deref().unwrap()
}

/// The containers that are to be stopped, and how long each has.
fn stops(orders: &[Order]) -> Vec<(usize, u64)> {
    let stop = |order: &Order| match order {
        Order::Stop {
            container, grace, ..
        } => (*container, grace.as_secs()),
        other => panic!("{other:?}"),
    };
    orders.iter().map(stop).collect()
}

fn with_pre_stop(handler: &Value) -> Value {
    json!({"containers": [{"name": "main", "lifecycle": {"preStop": handler}}]})
}

#[test]
fn a_container_starts_once_the_sandbox_and_what_comes_before_it_allow() {
    let mut life = Life::new(&json!({"initContainers": [{"name": "init"}]}));
    assert!(matches!(life.orders()[..], [Order::Sandbox]));
    assert!(life.orders().is_empty(), "it is ordered once");
    life.hear(Report::Sandbox {
        ip: Some("10.244.1.2".into()),
    });
    let orders = life.orders();
    assert!(matches!(orders[..], [Order::Start { container: 0, .. }]));
    life.start_all(orders);
    assert!(life.orders().is_empty());
    life.end(0, 0);
    let orders = life.orders();
    assert!(matches!(orders[..], [Order::Start { container: 1, .. }]));
    assert_eq!(phase(&life.status()), "Pending");
    life.start_all(orders);
    let status = life.status();
    assert_eq!(phase(&status), "Running");
    assert_eq!(status.pod_ip.as_deref(), Some("10.244.1.2"));
}

#[test]
fn a_container_is_ready_once_its_probes_have_said_so() {
    let probed =
        json!({"containers": [{"name": "main", "startupProbe": {}, "readinessProbe": {}}]});
    let mut life = Life::running(&probed);
    let mut probed = |started, ready| {
        let id = life.id(0);
        life.hear(Report::Probed {
            container: 0,
            id,
            started: Some(started),
            ready: Some(ready),
        });
        let status = life.status().container_statuses.unwrap().remove(0);
        (status.started.unwrap(), status.ready)
    };
    assert_eq!(probed(false, false), (false, false));
    assert_eq!(probed(true, false), (true, false));
    assert_eq!(probed(true, true), (true, true));
    assert_eq!(probed(true, false), (true, false));
}

#[test]
fn a_hook_comes_before_the_stop_and_takes_of_its_grace() {
    let mut life = Life::running(&with_pre_stop(&json!({"exec": {"command": ["a"]}})));
    life.delete(30);
    assert!(matches!(life.orders()[..], [Order::Hook { .. }]));
    life.now += Duration::from_secs(10);
    assert!(life.orders().is_empty());
    let id = life.id(0);
    life.hear(Report::Hooked { container: 0, id });
    assert_eq!(stops(&life.orders()), [(0, 20)]);
    assert!(life.orders().is_empty(), "it is ordered once");
    life.end(0, 0);
    assert!(matches!(life.orders()[..], [Order::Remove]));
    assert!(!life.machine.finished, "the sandbox is still there");
    life.hear(Report::Removed);
    life.orders();
    assert!(life.machine.finished);
    assert_eq!(phase(&life.status()), "Succeeded");
}

#[test]
fn a_hook_that_hangs_is_left_to_itself() {
    let mut life = Life::running(&with_pre_stop(&json!({"exec": {"command": ["a"]}})));
    life.delete(30);
    life.orders();
    // At least two seconds are left for the stop.
    assert_eq!(stops(&life.orders_at(30)), [(0, 2)]);
}

#[test]
fn a_sleep_is_the_kubelets_own() {
    let mut life = Life::running(&with_pre_stop(&json!({"sleep": {"seconds": 25}})));
    life.delete(30);
    assert!(life.orders().is_empty());
    assert_eq!(stops(&life.orders_at(25)), [(0, 5)]);
}

#[test]
fn sidecars_are_stopped_one_by_one_after_the_program() {
    let mut life = Life::running(&json!({"initContainers": [
        {"name": "first", "restartPolicy": "Always"},
        {"name": "second", "restartPolicy": "Always"},
    ]}));
    life.delete(30);
    for container in [2, 1, 0] {
        assert_eq!(stops(&life.orders()), [(container, 30)]);
        life.end(container, 0);
    }
    assert!(matches!(life.orders()[..], [Order::Remove]));
}

#[test]
fn sidecars_do_not_wait_for_longer_than_the_grace_period() {
    let mut life = Life::running(&json!({"initContainers": [
        {"name": "sidecar", "restartPolicy": "Always"},
    ]}));
    life.delete(30);
    assert_eq!(stops(&life.orders()), [(1, 30)]);
    assert_eq!(stops(&life.orders_at(30)), [(0, 2)]);
}

#[test]
fn what_fails_its_liveness_probe_is_stopped_and_started_anew() {
    let mut life = Life::running(&json!({"terminationGracePeriodSeconds": 20}));
    let id = life.id(0);
    let grace = Some(Duration::from_secs(7));
    life.hear(Report::Unhealthy {
        container: 0,
        id,
        grace,
    });
    assert_eq!(stops(&life.orders()), [(0, 7)]);
    life.end(0, 3);
    let orders = life.orders();
    let [Order::Start { restarts: 1, .. }] = &orders[..] else {
        panic!("{orders:?}");
    };
    life.start_all(orders);
    let status = life.status().container_statuses.unwrap().remove(0);
    assert_eq!(status.restart_count, 1);
    let last = status.last_state.unwrap().terminated.unwrap();
    assert_eq!(last.exit_code, 3);
    assert_eq!(last.message.as_deref(), Some("it said so"));
}

#[test]
fn what_is_refused_says_why_and_is_tried_again() {
    let mut life = Life::new(&json!({}));
    life.orders();
    life.hear(Report::Sandbox { ip: None });
    let orders = life.orders();
    let [Order::Start { container, id, .. }] = &orders[..] else {
        panic!("{orders:?}");
    };
    life.hear(Report::Refused {
        container: *container,
        id: id.clone(),
        reason: "CreateContainerConfigError".into(),
        message: "secret \"key\" not found".into(),
    });
    let status = life.status().container_statuses.unwrap().remove(0);
    let waiting = status.state.unwrap().waiting.unwrap();
    assert_eq!(
        waiting.reason.as_deref(),
        Some("CreateContainerConfigError")
    );
    assert_eq!(waiting.message.as_deref(), Some("secret \"key\" not found"));
    let orders = life.orders_at(10);
    life.start_all(orders);
    assert_eq!(phase(&life.status()), "Running");
}

#[test]
fn what_starts_while_the_pod_goes_is_stopped() {
    let mut life = Life::new(&json!({}));
    life.orders();
    life.hear(Report::Sandbox { ip: None });
    let orders = life.orders();
    life.delete(30);
    assert!(life.orders().is_empty(), "it waits for what was begun");
    life.start_all(orders);
    assert_eq!(stops(&life.orders()), [(0, 30)]);
    life.end(0, 0);
    assert!(matches!(life.orders()[..], [Order::Remove]));
}

#[test]
fn after_a_reboot_everything_is_ordered_anew() {
    let mut life = Life::running(&json!({"initContainers": [{"name": "init"}]}));
    assert_eq!(phase(&life.status()), "Pending");
    life.end(0, 0);
    let orders = life.orders();
    life.start_all(orders);
    let old = life.id(1);
    life.knobs.boots.insert("win-1".into(), 1);
    assert!(matches!(life.orders()[..], [Order::Lost, Order::Sandbox]));
    // A word of before the reboot.
    life.hear(Report::Ended {
        container: 1,
        id: old,
        code: 7,
        message: None,
    });
    life.hear(Report::Sandbox { ip: None });
    let orders = life.orders();
    assert!(matches!(
        orders[..],
        [Order::Start {
            container: 0,
            restarts: 1,
            ..
        }]
    ));
    life.start_all(orders);
    life.end(0, 0);
    let orders = life.orders();
    life.start_all(orders);
    let status = life.status().container_statuses.unwrap().remove(0);
    assert_eq!(status.restart_count, 1);
    let last = status.last_state.unwrap().terminated.unwrap();
    assert_eq!(last.exit_code, 255);
}

#[test]
fn a_reboot_ends_a_pod_that_was_going() {
    let mut life = Life::running(&with_pre_stop(&json!({"exec": {"command": ["a"]}})));
    life.delete(30);
    life.orders();
    life.knobs.boots.insert("win-1".into(), 1);
    assert!(matches!(life.orders()[..], [Order::Lost, Order::Remove]));
    life.hear(Report::Removed);
    life.orders();
    assert!(life.machine.finished);
    assert_eq!(phase(&life.status()), "Failed");
}

#[test]
fn a_job_ends_with_its_last_container() {
    for (code, wanted) in [(0, "Succeeded"), (3, "Failed")] {
        let mut life = Life::running(&json!({"restartPolicy": "Never"}));
        life.end(0, code);
        assert!(matches!(life.orders()[..], [Order::Remove]));
        life.hear(Report::Removed);
        life.orders();
        assert_eq!(phase(&life.status()), wanted);
    }
}
