//! A week's worth of churn: a random walk over everything that people, nodes and machines do.
//!
//! The seed says what is done in which order, and is printed with every step. `NATIVE_HOST_WALK_SEED`
//! walks that one again, `NATIVE_HOST_WALK_MINUTES` for longer. (What the steps meet depends on the
//! clock too, so one that failed may want several tries.)

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::PATIENCE;
use crate::admin::Refused;
use crate::instance::Instance;
use crate::invariants::{path, polite};
use crate::stage::{Stage, is_anchor, manifest};
use crate::support::kubelet::Program;
use crate::support::proxy::Gone;
use crate::support::wait_until;
use crate::world::{bare, deployment, finished, name, terminating, workload};

const NAMESPACE: &str = "walk";
/// Those that every run walks, beside one that nobody knows.
const SEEDS: [u64; 2] = [1, 20];
/// For how long each seed is walked, unless said otherwise.
const USUAL: Duration = Duration::from_secs(20);
/// After how many steps at most the dust settles.
const STEPS: u64 = 12;

/// SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn of<'t, T>(&mut self, list: &'t [T]) -> Option<&'t T> {
        let at = self.next();
        let len = u64::try_from(list.len()).unwrap();
        (len > 0).then(|| &list[usize::try_from(at % len).unwrap()])
    }
}

/// What is walked over.
struct Walk {
    stage: Stage,
    instances: [Instance; 2],
    random: Random,
    made: u64,
}

#[test]
fn a_week_of_churn() {
    let Some(stage) = Stage::start() else { return };
    stage.namespace(NAMESPACE);
    let jobs = |pod: &k8s_openapi::api::core::v1::Pod, container: &str| {
        let name = pod.metadata.name.as_deref().unwrap_or_default();
        container == "albums" && name.starts_with("job-") && !name.contains("-anchor-")
    };
    stage
        .kubelet
        .program(jobs, Program::that_ends(Duration::from_millis(700), 0));
    let instances = ["controller-a", "controller-b"].map(|name| Instance::start(&stage, name, &[]));
    let number = |name: &str| {
        std::env::var(name)
            .ok()
            .map(|text| text.parse::<u64>().unwrap())
    };
    let unknown = RandomState::new().build_hasher().finish() % 1_000_000;
    let seeds = match number("NATIVE_HOST_WALK_SEED") {
        Some(seed) => vec![seed],
        None => SEEDS.into_iter().chain([unknown]).collect(),
    };
    let each = match number("NATIVE_HOST_WALK_MINUTES") {
        Some(minutes) => Duration::from_secs(60 * minutes) / u32::try_from(seeds.len()).unwrap(),
        None => USUAL,
    };
    let mut walk = Walk {
        stage,
        instances,
        random: Random(0),
        made: 0,
    };
    for seed in seeds {
        walk.walk(seed, each);
    }
    for instance in &walk.instances {
        polite(&instance.proxy.log());
    }
}

impl Walk {
    fn walk(&mut self, seed: u64, limit: Duration) {
        self.random = Random(seed);
        let started = Instant::now();
        let mut step = 0;
        while started.elapsed() < limit {
            for _ in 0..=self.random.below(STEPS) {
                step += 1;
                let what = self.step();
                eprintln!("walk {seed} step {step}: {what}");
                // Sometimes one upon the other, sometimes not.
                let pause = [0, 0, 50, 300][usize::try_from(self.random.below(4)).unwrap()];
                std::thread::sleep(Duration::from_millis(pause));
            }
            let settling = Instant::now();
            let pods = self.settle();
            eprintln!(
                "walk {seed}: {} pods, settled in {:?}",
                pods.len(),
                settling.elapsed()
            );
        }
        self.stage.delete_everything(NAMESPACE);
        self.settle();
        eprintln!("walk {seed}: {step} steps in {:?}", started.elapsed());
    }

    fn step(&mut self) -> String {
        let pods = self.stage.look().unwrap_or_default();
        let live = |pod: &&Value| !finished(pod) && !terminating(pod);
        let (anchors, hps): (Vec<_>, Vec<_>) =
            pods.iter().filter(live).partition(|pod| is_anchor(pod));
        let hp = self.random.of(&hps).copied().cloned();
        let anchor = self.random.of(&anchors).copied().cloned();
        let either = if self.random.below(2) == 0 {
            hp.clone()
        } else {
            anchor.clone()
        };
        match self.random.below(26) {
            0..=3 => self.make(),
            4..=6 => self.scale(),
            7 => self.unmake(),
            8 => self.on(hp, "delete", |stage, pod| stage.admin.delete(&path(pod))),
            9 => self.on(hp, "force-delete", |stage, pod| {
                stage.admin.force_delete(&path(pod))
            }),
            10 => self.on(anchor, "delete", |stage, pod| {
                stage.admin.delete(&path(pod))
            }),
            11 => self.on(anchor, "force-delete", |stage, pod| {
                stage.admin.force_delete(&path(pod))
            }),
            12 => self.on(either, "evict", |stage, pod| {
                stage.admin.evict(NAMESPACE, name(pod))
            }),
            13 => self.on(anchor, "give a new IP to", |stage, pod| {
                stage.kubelet.new_ip(NAMESPACE, name(pod));
                Ok(Value::Null)
            }),
            14 => self.on(either, "evict locally", |stage, pod| {
                stage.kubelet.evict_locally(NAMESPACE, name(pod));
                Ok(Value::Null)
            }),
            15 => self.on(either, "crash", |stage, pod| {
                let container = pod["spec"]["containers"][0]["name"].as_str().unwrap();
                stage.kubelet.exit(NAMESPACE, name(pod), container, 3);
                Ok(Value::Null)
            }),
            16 => {
                let node = self.random.of(&self.stage.nodes).unwrap().clone();
                self.stage.kubelet.reboot(&node);
                format!("reboot {node}")
            }
            17 => {
                let node = self.random.of(&self.stage.nodes).unwrap().clone();
                let cordoned = self.random.below(2) == 0;
                let answer = self.cordon(&node, cordoned);
                format!("cordon {node}: {cordoned} {answer:?}")
            }
            18 | 19 => {
                let which = usize::try_from(self.random.below(2)).unwrap();
                let instance = &mut self.instances[which];
                instance.process().kill();
                instance.begin();
                format!("kill and restart instance {which}")
            }
            20 => {
                let which = usize::try_from(self.random.below(2)).unwrap();
                let signal = *self.random.of(&["STOP", "CONT"]).unwrap();
                self.instances[which].process().signal(signal);
                format!("{signal} instance {which}")
            }
            21 => {
                let which = usize::try_from(self.random.below(2)).unwrap();
                let proxy = &self.instances[which].proxy;
                let how = *self.random.of(&[Gone::Event, Gone::Status]).unwrap();
                proxy.expire_watches(2, how);
                proxy.cut_watches();
                format!("cut the watches of instance {which}, expired by {how:?}")
            }
            22 => {
                let which = usize::try_from(self.random.below(2)).unwrap();
                let proxy = &self.instances[which].proxy;
                let what = self.random.below(4);
                match what {
                    0 => proxy.refuse(),
                    1 => proxy.conflict_first(true),
                    _ => {
                        proxy.restore();
                        proxy.conflict_first(false);
                    }
                }
                format!("network of instance {which}: {what}")
            }
            23 => {
                self.stage.plane.restart_apiserver();
                "crash and restart the API server".into()
            }
            _ => {
                self.stage.free_the_lease();
                "free the Lease".into()
            }
        }
    }

    /// Does something to a pod, which may be gone by now, or be protected.
    fn on(
        &self,
        pod: Option<Value>,
        what: &str,
        act: impl FnOnce(&Stage, &Value) -> Result<Value, Refused>,
    ) -> String {
        let Some(pod) = pod else {
            return format!("{what} nothing");
        };
        let answer = act(&self.stage, &pod).map(drop);
        format!("{what} {}: {answer:?}", name(&pod))
    }

    fn cordon(&self, node: &str, cordoned: bool) -> Result<(), Refused> {
        let patch = json!({"spec": {"unschedulable": cordoned}});
        let path = format!("/api/v1/nodes/{node}");
        self.stage.admin.merge(&path, &patch).map(drop)
    }

    fn make(&mut self) -> String {
        self.made += 1;
        let (nth, replicas) = (self.made, u32::try_from(self.random.below(6)).unwrap());
        let (name, yaml) = match self.random.below(4) {
            0 => {
                let name = format!("deploy-{nth}");
                let yaml = deployment(&name, replicas);
                (name, yaml)
            }
            1 => {
                let name = format!("set-{nth}");
                let head = format!(
                    "replicas: {replicas}\n  serviceName: {name}\n  selector: {{matchLabels: {{app: {name}}}}}"
                );
                let yaml = workload("StatefulSet", "apps/v1", &name, &head);
                (name, yaml)
            }
            2 => {
                let name = format!("job-{nth}");
                let head = format!("completions: {replicas}\n  parallelism: 2");
                let yaml = workload("Job", "batch/v1", &name, &head);
                let yaml = yaml.replace("    spec:\n", "    spec:\n      restartPolicy: Never\n");
                (name, yaml)
            }
            _ => {
                let name = format!("bare-{nth}");
                let yaml = bare(&name);
                (name, yaml)
            }
        };
        self.stage.create(NAMESPACE, &manifest(&yaml));
        format!("create {name} ({replicas})")
    }

    /// The paths of all workloads that are there.
    fn workloads(&self, resources: &[(&str, &str)]) -> Vec<(String, Value)> {
        let mut all = Vec::new();
        for (group, resource) in resources {
            let path = format!("/{group}/namespaces/{NAMESPACE}/{resource}");
            for object in self.stage.admin.list(&path).unwrap_or_default() {
                all.push((format!("{path}/{}", name(&object)), object));
            }
        }
        all
    }

    fn scale(&mut self) -> String {
        let all = self.workloads(&[
            ("apis/apps/v1", "deployments"),
            ("apis/apps/v1", "statefulsets"),
        ]);
        let replicas = self.random.below(7);
        let Some((path, _)) = self.random.of(&all) else {
            return "scale nothing".into();
        };
        let patch = json!({"spec": {"replicas": replicas}});
        let answer = self.stage.admin.merge(path, &patch).map(drop);
        format!("scale {path} to {replicas}: {answer:?}")
    }

    fn unmake(&mut self) -> String {
        let all = self.workloads(&WORKLOADS);
        let Some((path, _)) = self.random.of(&all) else {
            return "delete nothing".into();
        };
        let answer = self.stage.admin.delete(path).map(drop);
        format!("delete {path}: {answer:?}")
    }

    /// Everything works again, and the dust settles.
    fn settle(&self) -> Vec<Value> {
        for instance in &self.instances {
            instance.proxy.restore();
            instance.proxy.conflict_first(false);
            instance.process().signal("CONT");
        }
        for node in &self.stage.nodes {
            wait_until("uncordoned", PATIENCE, || self.cordon(node, false).ok());
        }
        self.stage.until_settled_and(
            || self.stage.plane.revive().unwrap(),
            |_| {
                let all = self.workloads(&WORKLOADS);
                all.iter().find_map(|(path, object)| {
                    incomplete(object).map(|why| format!("{path}: {why}"))
                })
            },
        )
    }
}

const WORKLOADS: [(&str, &str); 3] = [
    ("apis/apps/v1", "deployments"),
    ("apis/apps/v1", "statefulsets"),
    ("apis/batch/v1", "jobs"),
];

/// What a workload still waits for.
fn incomplete(object: &Value) -> Option<String> {
    let status = &object["status"];
    if object["spec"]["completions"].is_u64() || status["terminating"].is_u64() {
        let is = |kind| crate::world::is(object, kind);
        return (!is("Complete") && !is("Failed")).then(|| format!("{status}"));
    }
    let wanted = object["spec"]["replicas"].as_u64();
    let there = |field: &str| Some(status[field].as_u64().unwrap_or_default());
    let settled = status["observedGeneration"] == object["metadata"]["generation"]
        && there("replicas") == wanted
        && there("readyReplicas") == wanted;
    (!settled).then(|| format!("{status}"))
}
