#![allow(clippy::unwrap_used, clippy::panic)]

use super::*;
use crate::cli::explain::finding::{Finding, Severity};
use crate::cli::status::fixtures::{anchor, at, hp, yaml};
use crate::policy::Policy;

fn namespace(change: &str) -> Namespace {
    let object =
        serde_json::from_value(yaml(&format!("metadata: {{name: shop, {change}}}"))).unwrap();
    admission::policy_of(&object, &Policy::builtin())
}

fn facts(hp_change: &str, anchor_change: Option<&str>) -> Facts {
    Facts {
        pod: hp(hp_change),
        namespace: Ok(namespace("")),
        anchor: anchor_change.map(anchor),
        events: Ok(Vec::new()),
        anchor_events: Ok(Vec::new()),
        rules: Rules::default(),
    }
}

fn event(text: &str) -> Event {
    serde_json::from_value(yaml(text)).unwrap()
}

fn told(facts: &Facts) -> Explanation {
    explain(facts, at("10:05:00"))
}

/// The one finding about it of that weight.
#[track_caller]
fn only(explanation: &Explanation, severity: Severity, about: Topic) -> &Finding {
    let mut all = explanation.findings.iter();
    let mut all = all
        .by_ref()
        .filter(|f| f.severity == severity && f.about == about);
    let first = all
        .next()
        .unwrap_or_else(|| panic!("none: {:#?}", explanation.findings));
    assert!(all.next().is_none(), "{:#?}", explanation.findings);
    first
}

fn holds_up(explanation: &Explanation) -> usize {
    let heavy = |f: &&Finding| matches!(f.severity, Severity::Error | Severity::Warning);
    explanation.findings.iter().filter(heavy).count()
}

const NEW: &str = "metadata: {annotations: {'@/anchor-status': null}}";

#[test]
fn a_pair_that_serves_is_told_in_full_and_nothing_is_wrong() {
    let explanation = told(&facts("{}", Some("{}")));
    let anchor = crate::anchor::name("albums-0", "hp-uid");
    assert_eq!(
        explanation.to_text(false),
        format!(
            r"Pod shop/albums-0: Ready for 4m30s.

ok       It is a pod of the native-host workload albums ({0}workload)

ok       It was injected ({0}injected: v1)

info     Container albums starts C:\apps\albums.exe --config C:\apps\prod.json by C:\native-host\bin\native-host-launcher.exe as NT AUTHORITY\SYSTEM

info     Its readiness is probed by the kubelet on the anchor: GET http://10.244.1.7:8081/ready, every 10 s, not ready after 3 failures

info     Its liveness is probed by the launcher, inside the compartment: GET http://:8081/live, every 10 s; after 3 failures the container is restarted

ok       It serves at 10.244.1.7: the anchor {anchor} is ready
",
            crate::names::PREFIX
        )
    );
}

#[test]
fn an_unlabelled_pod_is_told_which_label_and_where() {
    let change = "{metadata: {labels: {'@/workload': null}, annotations: null}, spec: {containers: [{name: albums, image: \
         base, command: ['C:\\apps\\albums.exe'], ports: [{containerPort: 8080}]}]}}";
    let explanation = told(&facts(change, None));
    assert_eq!(explanation.state, None);
    let next = only(&explanation, Severity::Error, Topic::Label)
        .next
        .as_deref()
        .unwrap();
    assert!(
        next.contains("workload: albums into the labels of the pod template"),
        "{next}"
    );
    assert!(next.contains("StatefulSet albums"), "{next}");
    let would = only(&explanation, Severity::Ok, Topic::Injection);
    assert_eq!(would.text, "With the label, it would be injected");
}

#[test]
fn what_would_refuse_an_unlabelled_pod_is_admissions_own_message() {
    let change = "{metadata: {labels: {'@/workload': null}, annotations: null}, spec: {securityContext: {runAsNonRoot: true}, \
         containers: [{name: albums, image: base, command: ['C:\\apps\\albums.exe']}]}}";
    let explanation = told(&facts(change, None));
    let refused = &only(&explanation, Severity::Error, Topic::Injection).text;
    assert!(
        refused.starts_with("With the label, it would be refused: "),
        "{refused}"
    );
    assert!(refused.contains("runAsNonRoot"), "{refused}");
}

#[test]
fn a_labelled_pod_without_the_marker_is_to_be_created_anew() {
    let plain = "{metadata: {annotations: null}, spec: {containers: [{name: albums, image: base, command: \
         ['C:\\apps\\albums.exe'], ports: [{containerPort: 8080}]}]}}";
    let explanation = told(&facts(plain, None));
    assert_eq!(explanation.state.as_ref().unwrap().0, "NotInjected");
    let finding = only(&explanation, Severity::Error, Topic::Injection);
    assert!(
        finding.text.contains("while the webhook was not asked"),
        "{}",
        finding.text
    );
    assert!(
        finding
            .next
            .as_deref()
            .unwrap()
            .contains("kubectl delete pod albums-0")
    );
    let off = Facts {
        namespace: Ok(namespace("annotations: {'@/mode': 'off'}")),
        ..facts(plain, None)
    };
    let explanation = told(&off);
    let finding = only(&explanation, Severity::Error, Topic::Injection);
    assert!(
        finding.text.contains("its namespace's mode is off"),
        "{}",
        finding.text
    );
    only(&explanation, Severity::Warning, Topic::Namespace);
}

#[test]
fn a_namespace_in_the_way_is_named_with_its_own_errors() {
    let plain = "metadata: {annotations: null}";
    let with = |change: &str| Facts {
        namespace: Ok(namespace(change)),
        ..facts(plain, None)
    };
    let explanation = told(&with("annotations: {'@/mode': sometimes}"));
    let text = &only(&explanation, Severity::Error, Topic::Namespace).text;
    assert!(
        text.contains("sometimes") && text.contains("enforce"),
        "{text}"
    );
    let explanation = told(&with(
        "labels: {pod-security.kubernetes.io/enforce: baseline}",
    ));
    let finding = only(&explanation, Severity::Error, Topic::Namespace);
    assert!(finding.text.contains("baseline"), "{}", finding.text);
    assert!(
        finding
            .next
            .as_deref()
            .unwrap()
            .ends_with("enforce=privileged")
    );
    let unread = Facts {
        namespace: Err("Error from server (Forbidden): no".into()),
        ..facts("{}", Some("{}"))
    };
    let text = told(&unread).to_text(false);
    assert!(
        text.contains("its policy is not known: Error from server (Forbidden): no"),
        "{text}"
    );
}

#[test]
fn an_unbound_pod_quotes_the_scheduler() {
    let change = "{metadata: {annotations: {'@/anchor-status': null}}, spec: {nodeName: null}, status: {phase: Pending, \
         containerStatuses: null, conditions: [{type: PodScheduled, status: 'False', message: '0/3 nodes are \
         available: 3 Insufficient cpu.'}]}}";
    let explanation = told(&facts(change, None));
    let text = &only(&explanation, Severity::Error, Topic::Placement).text;
    assert!(
        text.ends_with("The scheduler says: 0/3 nodes are available: 3 Insufficient cpu."),
        "{text}"
    );
}

#[test]
fn a_missing_anchor_is_the_controllers_or_the_api_servers_doing() {
    let silent = "{metadata: {annotations: {'@/anchor-status': null}}, status: {conditions: [{type: PodScheduled, status: \
         'True', lastTransitionTime: '2026-11-21T10:04:00Z'}]}}";
    let finding = told(&facts(silent, None));
    let finding = only(&finding, Severity::Error, Topic::Anchor);
    assert!(
        finding.text.ends_with("is not there yet, after 60s"),
        "{}",
        finding.text
    );
    let just_now = silent.replace("10:04:00", "10:04:55");
    let explanation = told(&facts(&just_now, None));
    assert_eq!(holds_up(&explanation), 0, "{:#?}", explanation.findings);
    let refused = "{metadata: {annotations: {'@/anchor-status': null}}, status: {conditions: [{type: '@/anchor-ready', status: \
         'False', reason: AnchorRefused, message: 'exceeded quota: small'}]}}";
    let explanation = told(&facts(refused, None));
    let text = &only(&explanation, Severity::Error, Topic::Anchor).text;
    assert!(
        text.contains("refuses its anchor") && text.ends_with("exceeded quota: small"),
        "{text}"
    );
}

#[test]
fn an_anchor_that_does_not_start_is_told_with_its_trouble_and_its_events() {
    let pulling = "status: {phase: Pending, podIP: null, conditions: [{type: ContainersReady, status: 'False'}], \
         containerStatuses: [{name: albums, image: pause, imageID: '', ready: false, restartCount: 0, state: {waiting: \
         {reason: ErrImagePull}}}]}";
    let mut facts = facts(NEW, Some(pulling));
    facts.anchor_events = Ok(vec![
        event(
            "{metadata: {}, involvedObject: {}, type: Warning, reason: Failed, message: 'pull access denied', count: 4, \
             lastTimestamp: '2026-11-21T10:04:00Z'}",
        ),
        event(
            "{metadata: {}, involvedObject: {}, type: Normal, reason: Pulling, message: 'Pulling'}",
        ),
    ]);
    let explanation = told(&facts);
    assert_eq!(explanation.state.as_ref().unwrap().0, "Stuck");
    let text = &only(&explanation, Severity::Error, Topic::Anchor).text;
    assert!(text.contains("ImagePullBackOff (image pause)"), "{text}");
    let event = &only(&explanation, Severity::Info, Topic::Event).text;
    assert_eq!(
        event,
        "Event of the anchor, 60s ago (4 times): Failed: pull access denied"
    );
}

#[test]
fn an_unready_program_is_told_with_its_probe_and_what_the_kubelet_saw() {
    let unready = "status: {conditions: [{type: Ready, status: 'False', reason: ContainersNotReady, message: 'containers with \
         unready status: [albums]'}]}";
    let mut facts = facts("{}", Some(unready));
    facts.anchor_events = Ok(vec![event(
        "{metadata: {}, involvedObject: {}, type: Warning, reason: Unhealthy, message: 'Readiness probe failed: connection refused'}",
    )]);
    let explanation = told(&facts);
    let finding = only(&explanation, Severity::Error, Topic::Readiness);
    assert!(
        finding.text.contains("GET http://10.244.1.7:8081/ready"),
        "{}",
        finding.text
    );
    assert!(
        finding
            .text
            .ends_with("Readiness probe failed: connection refused"),
        "{}",
        finding.text
    );
    assert!(
        finding
            .next
            .as_deref()
            .unwrap()
            .contains("listen on 10.244.1.7")
    );
}

#[test]
fn a_launcher_that_ended_is_told_in_its_own_words() {
    let ended = |code: u32| {
        format!(
            "status: {{conditions: [{{type: ContainersReady, status: 'False', message: not ready}}], containerStatuses: \
             [{{name: albums, image: base, imageID: '', ready: false, restartCount: 3, state: {{waiting: {{reason: \
             CrashLoopBackOff}}}}, lastState: {{terminated: {{exitCode: {}, message: 'last line', finishedAt: \
             '2026-11-21T10:04:00Z'}}}}}}]}}",
            code.cast_signed()
        )
    };
    let unready =
        "status: {conditions: [{type: Ready, status: 'False', reason: ReadinessGatesNotReady}]}";
    let explanation = told(&facts(&ended(7708), Some(unready)));
    let finding = only(&explanation, Severity::Error, Topic::Container);
    assert_eq!(
        finding.text,
        "The launcher of container albums ended with its own exit code 7708 60s ago, restarted 3 times: the liveness \
         probe failed, so the program was ended. Its last words: last line"
    );
    // An access violation, as Windows numbers it.
    let explanation = told(&facts(&ended(0xC000_0005), Some(unready)));
    let text = &only(&explanation, Severity::Error, Topic::Container).text;
    assert!(
        text.contains("exit code 3221225477, the program's own"),
        "{text}"
    );
    only(&explanation, Severity::Error, Topic::Readiness);
}

#[test]
fn a_lost_anchor_says_who_mends_it() {
    let explanation = told(&facts("{}", None));
    let next = only(&explanation, Severity::Error, Topic::Anchor)
        .next
        .as_deref()
        .unwrap();
    assert!(
        next.contains("for its controller to make another"),
        "{next}"
    );
    let explanation = told(&facts("metadata: {ownerReferences: null}", None));
    let next = only(&explanation, Severity::Error, Topic::Anchor)
        .next
        .as_deref()
        .unwrap();
    assert!(next.contains("gets a new anchor"), "{next}");
}

#[test]
fn a_label_that_was_taken_off_is_to_be_put_back() {
    let explanation = told(&facts(
        "metadata: {labels: {'@/workload': null}}",
        Some("{}"),
    ));
    assert_eq!(explanation.state.as_ref().unwrap().0, "Ready");
    only(&explanation, Severity::Warning, Topic::Label);
}

#[test]
fn an_anchor_whose_pod_is_gone_is_an_anchor() {
    let orphan = |change: &str| Facts {
        pod: anchor(change),
        ..facts("{}", None)
    };
    let explanation = told(&orphan("{}"));
    assert_eq!(explanation.state.as_ref().unwrap().0, "Ending");
    only(&explanation, Severity::Warning, Topic::End);
    let deleted = orphan("metadata: {deletionTimestamp: '2026-11-21T10:06:05Z'}");
    assert_eq!(holds_up(&told(&deleted)), 0);
}

#[test]
fn a_forged_specification_is_an_error() {
    let explanation = told(&facts(
        "metadata: {annotations: {'@/anchor-spec': '{}'}}",
        Some("{}"),
    ));
    only(&explanation, Severity::Error, Topic::Anchor);
}

#[test]
fn documents_have_every_sentence() {
    let explanation = told(&facts("{}", None));
    let document = explanation.to_document();
    assert_eq!(document["kind"], "Explanation");
    assert_eq!(
        document["of"],
        yaml("{kind: Pod, namespace: shop, name: albums-0}")
    );
    assert_eq!(document["state"], "Lost");
    let findings = document["findings"].as_array().unwrap();
    assert_eq!(findings.len(), explanation.findings.len());
    let last = findings.iter().rfind(|f| f["severity"] == "error").unwrap();
    assert_eq!(last["about"], "anchor");
    assert!(last["next"].is_string() && last["text"].is_string());
}
