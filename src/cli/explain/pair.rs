//! Sentences about a pair: where it stands by the controller's rules, and each thing that holds it up.

use k8s_openapi::api::core::v1::{Event, Pod};
use k8s_openapi::jiff::Timestamp;

use super::admission::{self, Read};
use super::container;
use super::event::{latest, sentence};
use super::finding::{Explanation, Findings, Topic};
use crate::anchor::pair::{Reason, State};
use crate::anchor::rules::Rules;
use crate::anchor::view::{Anchor, Published};
use crate::cli::status::age::age;
use crate::cli::status::row::{Row, assess};
use crate::cli::status::seen::{AnchorSeen, HpSeen};
use crate::names::{annotation, policy as key};
use crate::plan::anchor_spec::AnchorSpec;
use crate::policy::Namespace;

/// What was read about a pod.
#[derive(Debug)]
pub(super) struct Facts {
    pub(super) pod: Pod,
    pub(super) namespace: Read<Namespace>,
    /// Its anchor's manifest, where there is one.
    pub(super) anchor: Option<Pod>,
    /// Events of the pod.
    pub(super) events: Read<Vec<Event>>,
    /// Events of the anchor.
    pub(super) anchor_events: Read<Vec<Event>>,
    /// By which the pair stands where it stands.
    pub(super) rules: Rules,
}

/// How long the controller may take before its silence is remarkable.
const CONTROLLER_SECONDS: i64 = 10;

/// Everything about a pod.
pub(super) fn explain(facts: &Facts, now: Timestamp) -> Explanation {
    let mut findings = Findings::default();
    let metadata = &facts.pod.metadata;
    let namespace = metadata.namespace.clone().unwrap_or_default();
    if let Some(anchor) = Anchor::of(&facts.pod) {
        return orphan(&anchor);
    }
    let injected = admission::pod(&facts.pod, &facts.namespace, &mut findings);
    if !injected || facts.namespace.is_err() {
        admission::namespace(&namespace, &facts.namespace, &mut findings);
    }
    let hp = HpSeen::of(&facts.pod).filter(HpSeen::is_ours);
    let anchor = facts.anchor.as_ref().and_then(AnchorSeen::of);
    let row = hp
        .as_ref()
        .and_then(|hp| Row::of(Some(hp), anchor.as_ref(), &facts.rules, now))
        .map(|(row, _)| row);
    if let Some(hp) = hp.as_ref().filter(|_| injected) {
        let pair = Pair {
            facts,
            hp,
            anchor: anchor.as_ref(),
            now,
        };
        pair.tell(&mut findings);
    }
    Explanation {
        kind: "Pod",
        name: metadata.name.clone().unwrap_or_default(),
        namespace,
        state: row.map(|row| {
            let since = row.since.map(|since| age(since, now));
            (row.state.as_str(), since)
        }),
        findings: findings.0,
    }
}

/// An anchor is explained by its HP pod, as long as that is there.
fn orphan(anchor: &Anchor) -> Explanation {
    let mut findings = Findings::default();
    let what = format!("It is the anchor of pod {}, which is gone", anchor.owner);
    if anchor.terminating.is_some() {
        findings.info(Topic::End, format!("{what}; it is being deleted"));
    } else {
        findings.warning(
            Topic::End,
            format!("{what}; it is not being deleted yet"),
            "Wait a moment; if it lasts, look at native-host's controller: its pods, its Lease and its log",
        );
    }
    Explanation {
        kind: "Pod",
        name: anchor.id.name.to_string(),
        namespace: anchor.id.namespace.to_string(),
        state: Some((State::Ending.as_str(), None)),
        findings: findings.0,
    }
}

struct Pair<'f> {
    facts: &'f Facts,
    hp: &'f HpSeen,
    anchor: Option<&'f AnchorSeen>,
    now: Timestamp,
}

impl Pair<'_> {
    fn tell(&self, findings: &mut Findings) {
        let spec = if self.hp.view.on_host {
            None
        } else {
            self.spec(findings)
        };
        let ip = self.anchor.and_then(|anchor| anchor.view.ip);
        if let Some(spec) = &spec {
            container::injection(&self.facts.pod, spec, ip, findings);
        }
        let assessment = assess(Some(self.hp), self.anchor, &self.facts.rules, self.now);
        match assessment.state {
            State::Unscheduled => self.unscheduled(findings),
            State::Pending => self.pending(findings),
            State::Starting | State::Stuck if self.anchor.is_none() => self.pending(findings),
            State::Starting | State::Stuck => {
                self.starting(assessment.state, &assessment.why, findings);
            }
            State::Running => self.running(spec.as_ref(), findings),
            State::Ready => findings.ok(
                Topic::Readiness,
                format!(
                    "It serves at {}: the anchor {} is ready",
                    self.ip(),
                    self.anchor_name()
                ),
            ),
            State::Lost => self.lost(&assessment.why, findings),
            State::Draining => findings.info(
                Topic::End,
                "It is going down. Its network stands until the program has ended",
            ),
            State::Ending | State::Finished => findings.info(
                Topic::End,
                format!(
                    "It has ended ({}), and its anchor ends with it",
                    self.hp.view.phase
                ),
            ),
            State::OnHost => findings.info(
                Topic::Anchor,
                format!(
                    "It is on the host's network ({}), so it has no anchor and no IP of its own: its probes, \
                     ports and conditions are those of any HostProcess pod",
                    key::NETWORK
                ),
            ),
            // Said with the marker.
            State::NotInjected => {}
        }
        if assessment.state != State::Ready {
            container::states(&self.facts.pod, self.now, findings);
            self.events(findings);
        }
    }

    /// The anchor's specification.
    fn spec(&self, findings: &mut Findings) -> Option<AnchorSpec> {
        let annotations = self.facts.pod.metadata.annotations.as_ref();
        let text = annotations.and_then(|all| all.get(annotation::ANCHOR_SPEC));
        let problem = match text.map(|text| AnchorSpec::parse(text)) {
            Some(Ok(spec)) => return Some(spec),
            Some(Err(error)) => error.to_string(),
            None => "it is missing".to_owned(),
        };
        findings.error(
            Topic::Anchor,
            format!(
                "No anchor can be made of its annotation {}: {problem}",
                annotation::ANCHOR_SPEC
            ),
            "Delete the pod, and apply the original manifest, without what native-host wrote into it",
        );
        None
    }

    fn anchor_name(&self) -> String {
        let id = &self.hp.view.id;
        crate::anchor::name(&id.name, &id.uid)
    }

    fn ip(&self) -> String {
        let ip = self.anchor.and_then(|anchor| anchor.view.ip);
        ip.map_or_else(|| "no IP".to_owned(), |ip| ip.to_string())
    }

    fn node(&self) -> &str {
        self.hp.view.node.as_deref().unwrap_or("no node")
    }

    fn namespace(&self) -> &str {
        &self.hp.view.id.namespace
    }

    fn unscheduled(&self, findings: &mut Findings) {
        match &self.hp.unscheduled {
            Some(scheduler) => findings.error(
                Topic::Placement,
                format!("No node takes it, so its anchor waits too. The scheduler says: {scheduler}"),
                "Compare its requests, tolerations and nodeSelector with `kubectl describe nodes -l \
                 kubernetes.io/os=windows`",
            ),
            None => findings.warning(
                Topic::Placement,
                "It is not bound to a node yet, so its anchor waits too",
                "Wait a moment; if it lasts, look at the scheduler",
            ),
        }
    }

    fn pending(&self, findings: &mut Findings) {
        let name = self.anchor_name();
        let gate = self.hp.view.gate.as_ref();
        if let Some(refused) = gate.filter(|gate| &*gate.reason == Reason::Refused.as_str()) {
            findings.error(
                Topic::Anchor,
                format!("The API server refuses its anchor {name}: {}", refused.message),
                "Make room in the quota, or change the policy or webhook that the message names; it is tried \
                 again by itself",
            );
            return;
        }
        let waits = self.now.duration_since(self.hp.view.bound).as_secs();
        let text = format!(
            "It is bound to node {} and waits for its anchor {name}, which is not there yet",
            self.node()
        );
        if waits < CONTROLLER_SECONDS {
            findings.info(Topic::Anchor, text);
        } else {
            findings.error(
                Topic::Anchor,
                format!("{text}, after {}", age(self.hp.view.bound, self.now)),
                "Does native-host's controller run, and does one replica lead? Look at its pods, its Lease and \
                 its log",
            );
        }
    }

    fn starting(&self, state: State, why: &str, findings: &mut Findings) {
        let name = self.anchor_name();
        let trouble = self
            .anchor
            .and_then(|anchor| anchor.view.trouble.as_deref());
        let next = format!("kubectl describe pod -n {} {name}", self.namespace());
        match (trouble, state) {
            (Some(trouble), _) => findings.error(
                Topic::Anchor,
                format!("Its anchor {name} does not run, so the launcher waits. {trouble}"),
                next,
            ),
            (None, State::Stuck) => findings.error(
                Topic::Anchor,
                format!("Its anchor {name} does not run in time, so the launcher waits: {why}"),
                next,
            ),
            _ => findings.info(
                Topic::Anchor,
                format!("Its anchor {name} is there and starts; the launcher waits for it"),
            ),
        }
    }

    fn running(&self, spec: Option<&AnchorSpec>, findings: &mut Findings) {
        let name = self.anchor_name();
        findings.ok(
            Topic::Anchor,
            format!(
                "Its anchor {name} runs on node {} with the IP {}",
                self.node(),
                self.ip()
            ),
        );
        if self.hp.view.published == Published::Nothing {
            findings.warning(
                Topic::Anchor,
                "The launcher was not told of that yet",
                "Wait a moment; if it lasts, look at the log of native-host's controller",
            );
        }
        let own = self.hp.view.containers_ready.as_ref();
        if !own.is_some_and(|own| own.holds) {
            let why = own.map_or("", |own| &own.message);
            findings.error(
                Topic::Readiness,
                format!("The pod's own containers are not ready, so its endpoint is out. {why}"),
                format!(
                    "kubectl logs -n {} {} --all-containers",
                    self.namespace(),
                    self.hp.view.id.name
                ),
            );
            return;
        }
        let ip = self.anchor.and_then(|anchor| anchor.view.ip);
        let checks: Vec<_> = spec
            .iter()
            .flat_map(|spec| &spec.containers)
            .filter_map(|one| one.readiness.as_ref())
            .map(|probe| container::check(&probe.check, ip))
            .collect();
        let last = self.anchor_events_of(|event| event.reason.as_deref() == Some("Unhealthy"));
        let last = last.first().and_then(|event| event.message.as_deref());
        let said = last.map_or(String::new(), |text| format!(". The kubelet says: {text}"));
        let ready = self.anchor.and_then(|anchor| anchor.view.ready.as_ref());
        if ready.is_some_and(|ready| &*ready.reason == "ContainersNotReady") && !checks.is_empty() {
            findings.error(
                Topic::Readiness,
                format!("The program runs, but does not answer as ready: {}{said}", checks.join(", ")),
                format!(
                    "Does it listen on {} (or on all addresses) and not on localhost or the node's IP? Look at \
                     its log: kubectl logs -n {} {}",
                    self.ip(),
                    self.namespace(),
                    self.hp.view.id.name
                ),
            );
        } else {
            findings.warning(
                Topic::Readiness,
                "The program runs; the anchor is not ready yet",
                "Wait a moment; if it lasts, look at the anchor's conditions and at the log of native-host's \
                 controller",
            );
        }
    }

    fn lost(&self, why: &str, findings: &mut Findings) {
        let next = if self.hp.view.is_replaced_by_its_controller() {
            "Nothing: the pod is deleted, for its controller to make another pair"
        } else {
            "Nothing: it gets a new anchor, and its launcher restarts the program there"
        };
        findings.error(
            Topic::Anchor,
            format!("It has lost its network: {why}"),
            next,
        );
    }

    fn anchor_events_of(&self, wanted: impl Fn(&Event) -> bool) -> Vec<&Event> {
        latest(self.facts.anchor_events.as_ref(), wanted)
    }

    /// The last Events of ours, and the anchor's Warnings.
    fn events(&self, findings: &mut Findings) {
        let ours = |event: &Event| {
            let reason = event.reason.as_deref();
            let known = Reason::ALL.iter().any(|one| Some(one.as_str()) == reason);
            known || event.type_.as_deref() == Some("Warning")
        };
        for event in latest(self.facts.events.as_ref(), ours) {
            findings.info(Topic::Event, sentence("pod", event, self.now));
        }
        for event in self.anchor_events_of(|event| event.type_.as_deref() == Some("Warning")) {
            findings.info(Topic::Event, sentence("anchor", event, self.now));
        }
        let unread = [&self.facts.events, &self.facts.anchor_events];
        if let Some(error) = unread.into_iter().find_map(|read| read.as_ref().err()) {
            findings.info(Topic::Event, format!("Its Events cannot be read: {error}"));
        }
    }
}

#[cfg(test)]
#[path = "pair_tests.rs"]
mod tests;
