//! The program is killed before and after every single write that it makes.
//!
//! Each case is a workload of its own, `bare-3-after` say: when the third write about it has been done
//! and before the program hears of that, the program is killed; then it is started again. All cases
//! run at once, so each goes through the deaths of all others too. A write that such a death swallowed
//! is not counted, so its case may come to nothing; then it is tried again, among fewer others.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::PATIENCE;
use crate::instance::{Instance, Process};
use crate::invariants::{path, polite, rightful};
use crate::stage::{Stage, is_anchor, manifest};
use crate::support::kubelet::Program;
use crate::support::proxy::{Call, Kind, Moment, Verdict};
use crate::support::wait_until;
use crate::world::{bare, deployment, name, owner, uid, workload};

const NAMESPACE: &str = "kills";

/// What happens to a workload, how many writes that takes, and how many cases there are: more, since
/// that the last ones never come to pass shows that no write was left out.
const SCENARIOS: [(&str, usize, usize); 4] = [
    // Up, ready, deleted.
    ("bare", 5, 10),
    // Up; its anchor is deleted by hand, so it is replaced; deleted.
    ("lost", 11, 20),
    // Up; its anchor gets another IP; deleted.
    ("moved", 6, 14),
    // A Job's: it ends by itself.
    ("job", 4, 9),
];
/// How often a case is tried.
const ROUNDS: usize = 6;

/// A case: its scenario, which write, and whether before or after it.
type Case = (&'static str, usize, &'static str);

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (scenario, _, count) in SCENARIOS {
        for nth in 1..=count {
            cases.push((scenario, nth, "before"));
            cases.push((scenario, nth, "after"));
        }
    }
    cases
}

fn called((scenario, nth, moment): Case) -> String {
    format!("{scenario}-{nth}-{moment}")
}

/// What came to pass, and how.
#[derive(Default)]
struct Toll {
    answered: BTreeMap<Case, usize>,
    fell: BTreeMap<Case, String>,
}

impl Toll {
    /// What is to be done at this moment of a write.
    fn at(&mut self, moment: Moment, call: &Call, process: &Process) -> Verdict {
        if call.kind != Kind::Write {
            return Verdict::Pass;
        }
        let body = call.json();
        let about = match call.method.as_str() {
            "POST" => body["metadata"]["name"].as_str().unwrap_or_default(),
            _ => call.path.split('/').nth(6).unwrap_or_default(),
        };
        let of = |case: &Case| {
            about == called(*case) || about.starts_with(&format!("{}-", called(*case)))
        };
        let Some(case) = cases().into_iter().find(of) else {
            return Verdict::Pass;
        };
        let answered = self.answered.entry(case).or_default();
        if moment == Moment::After {
            *answered += 1;
        }
        let (_, nth, when) = case;
        let now = match moment {
            Moment::Before => when == "before" && *answered + 1 == nth,
            Moment::After => when == "after" && *answered == nth,
        };
        if !now || self.fell.contains_key(&case) {
            return Verdict::Pass;
        }
        let what = format!(
            "{} {}",
            call.method,
            call.path.rsplit_once("/pods").unwrap_or_default().1
        );
        self.fell.insert(case, what);
        // A dead one may still have sent this.
        process.kill();
        Verdict::Cut
    }
}

#[test]
fn killed_before_and_after_every_write() {
    let Some(stage) = Stage::start() else { return };
    stage.namespace(NAMESPACE);
    let jobs = |pod: &k8s_openapi::api::core::v1::Pod, container: &str| {
        let name = pod.metadata.name.as_deref().unwrap_or_default();
        container == "albums" && name.starts_with("job-") && !name.contains("-anchor-")
    };
    stage
        .kubelet
        .program(jobs, Program::that_ends(Duration::from_secs(4), 0));
    let mut instance = Instance::start(&stage, "controller", &[]);
    instance.until_it_leads();
    let toll = Arc::new(Mutex::new(Toll::default()));
    let (shared, process) = (Arc::clone(&toll), instance.process());
    instance
        .proxy
        .on_call(move |moment, call| shared.lock().unwrap().at(moment, call, &process));

    let mut left = cases();
    for round in 1..=ROUNDS {
        let started = Instant::now();
        toll.lock().unwrap().answered.clear();
        live_through(&stage, &mut instance, &left);
        let toll = toll.lock().unwrap();
        left.retain(|case| !toll.fell.contains_key(case) && is_due(*case));
        eprintln!(
            "round {round}: {:?}, {} lives so far, {} cases came to pass, left: {left:?}",
            started.elapsed(),
            instance.lives,
            toll.fell.len(),
        );
        if left.is_empty() {
            break;
        }
    }
    let toll = toll.lock().unwrap();
    for (case, what) in &toll.fell {
        eprintln!("{}: {what}", called(*case));
    }
    assert!(left.is_empty(), "never came to pass: {left:?}");
    for (scenario, _, count) in SCENARIOS {
        for when in ["before", "after"] {
            let last = (scenario, count, when);
            assert!(
                !toll.fell.contains_key(&last),
                "{scenario}: more writes than cases"
            );
        }
    }
    rightful(&instance.proxy.log());
    polite(&instance.proxy.log());
}

/// Whether a case has to come to pass.
fn is_due((scenario, nth, _): Case) -> bool {
    SCENARIOS
        .iter()
        .any(|(known, writes, _)| *known == scenario && nth <= *writes)
}

/// The whole life of the workloads of some cases.
fn live_through(stage: &Stage, instance: &mut Instance, cases: &[Case]) {
    for case in cases {
        stage.create(NAMESPACE, &made(*case));
    }
    let live = cases
        .iter()
        .filter(|(scenario, ..)| *scenario != "job")
        .count();
    let mut again = || {
        if instance.is_killed() {
            stage.free_the_lease();
            instance.begin();
        }
    };
    jobs_are_done(stage, &mut again);
    let pods = stage.until_settled_while(live, &mut again);

    let mut lost = BTreeSet::new();
    for anchor in pods.iter().filter(|pod| is_anchor(pod)) {
        if name(anchor).starts_with("lost-") {
            lost.insert(owner(anchor).to_owned());
            stage.admin.delete(&path(anchor)).unwrap();
        } else if name(anchor).starts_with("moved-") {
            stage.kubelet.new_ip(NAMESPACE, name(anchor));
        }
    }
    let replaced = |pods: &[Value]| {
        let old = pods.iter().find(|pod| lost.contains(uid(pod)))?;
        Some(format!("{} is still there", name(old)))
    };
    stage.until_settled_and(&mut again, replaced);

    stage.delete_everything(NAMESPACE);
    stage.until_settled_and(&mut again, |pods| Some(name(pods.first()?).to_owned()));
}

/// The workload of a case.
fn made(case: Case) -> Value {
    let name = called(case);
    let yaml = match case.0 {
        "lost" => deployment(&name, 1),
        "job" => workload("Job", "batch/v1", &name, "backoffLimit: 0")
            .replace("    spec:\n", "    spec:\n      restartPolicy: Never\n"),
        _ => bare(&name),
    };
    manifest(&yaml)
}

fn jobs_are_done(stage: &Stage, act: &mut dyn FnMut()) {
    wait_until("the Jobs are complete", PATIENCE, || {
        act();
        let jobs = stage
            .admin
            .list(&format!("/apis/batch/v1/namespaces/{NAMESPACE}/jobs"));
        let done = |job: &Value| job["status"]["succeeded"] == 1;
        jobs.ok()?.iter().all(done).then_some(())
    });
}
