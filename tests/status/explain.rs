//! `native-host explain`, in its main branches.

use super::*;

impl Place<'_> {
    fn explain(&self, object: &str) -> String {
        ok(self.plane, &["explain", object, "-n", self.name])
    }
}

#[track_caller]
fn says(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part:?} is not in:\n{text}");
    }
}

#[test]
fn goes_from_the_label_to_the_network() {
    let Some(plane) = plane() else { return };
    let place = Place::new(plane, "explain-pair", "").with_account();
    let anchor = place.ready_pair("albums-0", "10.244.8.7");
    let served = [
        "Pod explain-pair/albums-0: Ready for ",
        "a pod of the native-host workload albums",
        r"starts C:\apps\albums.exe by C:\native-host\bin\native-host-launcher.exe",
        "GET http://10.244.8.7:8081/ready",
        "It serves at 10.244.8.7",
    ];
    says(&place.explain("albums-0"), &served);
    says(&place.explain(&format!("pod/{anchor}")), &served);

    place.status(&anchor, &running("10.244.8.7", "'False'", UNREADY));
    place.create(&json!({
        "apiVersion": "v1", "kind": "Event", "metadata": {"name": "unhealthy", "namespace": place.name},
        "involvedObject": {"kind": "Pod", "name": anchor, "namespace": place.name,
            "uid": place.kubectl(&["get", "pod", &anchor, "-o", "jsonpath={.metadata.uid}"])},
        "type": "Warning", "reason": "Unhealthy", "message": "Readiness probe failed: HTTP 503",
    }));
    says(
        &place.explain("albums-0"),
        &[
            "Running for ",
            "does not answer as ready",
            "The kubelet says: Readiness probe failed: HTTP 503",
        ],
    );

    place.status(
        "albums-0",
        "{conditions: [{type: ContainersReady, status: 'False'}], containerStatuses: [{name: albums, image: i, imageID: '', ready: \
         false, restartCount: 1, state: {terminated: {exitCode: 7703, message: 'no compartment holds 10.244.8.7'}}}]}",
    );
    says(
        &place.explain("albums-0"),
        &[
            "its own exit code 7703",
            "Its last words: no compartment holds 10.244.8.7",
            "doctor",
        ],
    );
}

#[test]
fn quotes_the_scheduler_and_the_refusal_of_an_anchor() {
    let Some(plane) = plane() else { return };
    let place = Place::new(plane, "explain-waits", "").with_account();
    place.hp("unscheduled", "spec: {nodeSelector: {disk: none-such}}");
    wait_until("the scheduler looked", PATIENCE, || {
        place
            .explain("unscheduled")
            .contains("The scheduler says: ")
            .then_some(())
    });
    place.hp("refused", "spec: {nodeName: win-1}");
    place.status(
        "refused",
        "{conditions: [{type: '@/anchor-ready', status: 'False', reason: AnchorRefused, message: 'exceeded quota: small'}]}",
    );
    says(
        &place.explain("refused"),
        &[
            "Pending",
            "The API server refuses its anchor refused-anchor-",
            "exceeded quota: small",
        ],
    );
}

#[test]
fn tells_an_ordinary_pod_what_it_lacks() {
    let Some(plane) = plane() else { return };
    let place = Place::new(
        plane,
        "explain-plain",
        "annotations: {'@/allowed-users': 'contoso\\albums'}",
    )
    .with_account();
    place.create(&yaml(
        "{apiVersion: v1, kind: Pod, metadata: {name: plain, labels: {app: albums}}, spec: {containers: [{name: albums, image: i, \
         command: ['C:\\apps\\albums.exe']}]}}",
    ));
    let text = place.explain("plain");
    says(
        &text,
        &[
            "It does not carry the label",
            &named("Put @/workload: albums into its labels"),
            "With the label, it would be refused: ",
            "allowed-users",
        ],
    );
    place.kubectl(&[
        "annotate",
        "namespace",
        place.name,
        &named("@/allowed-users-"),
        &named("@/mode=off"),
    ]);
    says(&place.explain("plain"), &[&named("has @/mode: off")]);
    place.kubectl(&[
        "annotate",
        "--overwrite",
        "namespace",
        place.name,
        &named("@/mode=sometimes"),
    ]);
    says(
        &place.explain("plain"),
        &[
            "is invalid, so none of its workloads is admitted",
            "sometimes",
        ],
    );
}

#[test]
fn shows_why_a_deployment_has_no_pods() {
    let Some(plane) = plane() else { return };
    let level = "labels: {pod-security.kubernetes.io/enforce: baseline}";
    let place = Place::new(plane, "explain-refused", level).with_account();
    place.create(&yaml(
        "{apiVersion: apps/v1, kind: Deployment, metadata: {name: albums}, spec: {selector: {matchLabels: {app: albums}}, template: \
         {metadata: {labels: {app: albums, '@/workload': albums}}, spec: {hostNetwork: true, containers: [{name: albums, image: i, \
         command: ['C:\\apps\\albums.exe'], ports: [{containerPort: 8080}]}]}}}}",
    ));
    let text = wait_until("the refusal is an Event", PATIENCE, || {
        let text = place.explain("deployment/albums");
        text.contains("FailedCreate").then_some(text)
    });
    says(
        &text,
        &[
            "Deployment explain-refused/albums:",
            "Pod Security level baseline, which refuses HostProcess pods",
            "A pod could not be created.",
            "violates PodSecurity",
            "It has no pods of a workload at the moment",
        ],
    );
    // A bare name finds it too, and so does its ReplicaSet's.
    says(
        &place.explain("albums"),
        &["Deployment explain-refused/albums:"],
    );
    let set = place.kubectl(&[
        "get",
        "replicasets",
        "-o",
        "jsonpath={.items[0].metadata.name}",
    ]);
    says(
        &place.explain(&set),
        &["ReplicaSet explain-refused/", "violates PodSecurity"],
    );
}

#[test]
fn lists_the_pods_of_a_deployment_that_are_not_ready() {
    let Some(plane) = plane() else { return };
    let place = Place::new(plane, "explain-pods", "").with_account();
    place.create(&yaml(
        "{apiVersion: apps/v1, kind: Deployment, metadata: {name: albums}, spec: {replicas: 2, selector: {matchLabels: {app: albums}}, \
         template: {metadata: {labels: {app: albums, '@/workload': albums}}, spec: {containers: [{name: albums, image: i, \
         command: ['C:\\apps\\albums.exe'], ports: [{containerPort: 8080}]}]}}}}",
    ));
    // A pod of the same labels that is none of its.
    place.hp("stranger", "spec: {nodeName: win-1}");
    let text = wait_until("both pods are there", PATIENCE, || {
        let text = place.explain("deploy/albums");
        text.contains("Of its 2 pairs 0 are as they should be")
            .then_some(text)
    });
    assert_eq!(
        text.matches("-> native-host explain -n explain-pods albums-")
            .count(),
        2,
        "{text}"
    );
    assert!(!text.contains("stranger"), "{text}");
}

#[test]
fn prints_documents() {
    let Some(plane) = plane() else { return };
    let place = Place::new(plane, "explain-documents", "").with_account();
    place.hp(
        "albums-0",
        "{metadata: {annotations: null}, spec: {nodeName: win-1}}",
    );
    let args = ["explain", "albums-0", "-n", place.name, "-o"];
    let document: Value =
        serde_json::from_str(&ok(plane, &[&args[..], &["json"]].concat())).unwrap();
    assert_eq!(
        (&document["kind"], &document["state"]),
        (&json!("Explanation"), &json!("NotInjected"))
    );
    let errors = document["findings"].as_array().unwrap().iter();
    let about: Vec<_> = errors
        .filter(|f| f["severity"] == "error")
        .map(|f| &f["about"])
        .collect();
    assert!(about.contains(&&json!("injection")), "{document:#}");
    let yaml: Value = serde_saphyr::from_str(&ok(plane, &[&args[..], &["yaml"]].concat())).unwrap();
    assert_eq!(yaml, document);
}

#[test]
fn says_what_is_not_there_and_what_it_may_not_read() {
    let Some(plane) = plane() else { return };
    let place = Place::new(plane, "explain-missing", "").with_account();
    place.hp("albums-0", "spec: {nodeName: win-1}");
    let explain = |args: &[&str]| run(plane, &[&["explain", "-n", place.name], args].concat());
    let ran = explain(&["albums"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (1, ""));
    says(
        &ran.stderr,
        &[
            "there is no pod albums",
            "a workload of this name has the pods albums-0",
        ],
    );
    let ran = explain(&["sts/books"]);
    assert_eq!(ran.code, 1);
    says(
        &ran.stderr,
        &["error: there is no StatefulSet books in namespace explain-missing; -n"],
    );
    // An external Service can be explained, and this one is not there.
    let ran = explain(&["service/books"]);
    assert_eq!(ran.code, 1);
    says(
        &ran.stderr,
        &["error: there is no Service books in namespace explain-missing; -n"],
    );
    assert_eq!(explain(&["secret/albums"]).code, 2);
    assert_eq!(explain(&[]).code, 2);
    // May read pods, and nothing else.
    place.kubectl(&[
        "create",
        "role",
        "pods",
        "--verb=get,list",
        "--resource=pods",
    ]);
    place.kubectl(&[
        "create",
        "rolebinding",
        "pods",
        "--role=pods",
        "--user=podreader",
    ]);
    let config = as_user(plane, "podreader");
    let text = wait_until("the role is in force", PATIENCE, || {
        let ran = explain(&["albums-0", "--kubeconfig", config.to_str().unwrap()]);
        (ran.code == 0).then_some(ran.stdout)
    });
    says(
        &text,
        &[
            "cannot be read, so its policy is not known",
            "Its Events cannot be read",
        ],
    );
    let config = as_user(plane, "nobody");
    let ran = explain(&["albums-0", "--kubeconfig", config.to_str().unwrap()]);
    assert_eq!(ran.code, 1);
    assert!(
        ran.stderr.starts_with("Error from server (Forbidden): "),
        "{}",
        ran.stderr
    );
}
