//! Nobody answers: labelled pods wait, and nothing else of the cluster notices.

use native_host::admission::self_signed::Authority;
use native_host::names::webhook;
use serde_json::json;

use super::program::{Certificate, Program, mount};
use super::{ALONE, is_injected, own_plane, pod, put_in_force, stderr, yaml};
use crate::support::wait_until;

const DEPLOYMENT: &str = r"
apiVersion: apps/v1
kind: Deployment
metadata: {name: albums}
spec:
  selector: {matchLabels: {app: albums}}
  template:
    metadata: {labels: {app: albums, '@/workload': albums}}
    spec: {containers: [{name: albums, image: registry.example/albums, command: ['C:\albums.exe']}]}
";

#[test]
fn while_the_program_is_down_only_labelled_pods_are_refused() {
    let _alone = ALONE.blocking_lock();
    let Some(plane) = own_plane() else {
        return;
    };
    let (folder, pki) = (tempfile::tempdir().unwrap(), Authority::new().unwrap());
    let names = ["127.0.0.1".to_owned()];
    mount(folder.path(), 0, &pki.issue_pem(&names).unwrap());
    let ca = pki.pem();
    let mounted = Certificate::Mounted {
        folder: folder.path(),
        ca: &ca,
    };
    let mut program = Program::start(&plane, "native-host", mounted);
    put_in_force(&plane, &program.url(), &ca, &[&program]);
    program.kill();

    let create =
        |pod: &serde_json::Value| plane.kubectl_stdin(&["create", "-f", "-"], &pod.to_string());
    let refused = create(&pod());
    assert_eq!(refused.status.code(), Some(1));
    let said = stderr(&refused);
    let begin = format!("failed calling webhook \"{}\"", webhook::PODS);
    assert!(
        said.contains(&begin) && said.contains("connection refused"),
        "{said}"
    );

    let mut unlabelled = pod();
    unlabelled["metadata"] = json!({"name": "bystander"});
    assert!(create(&unlabelled).status.success());
    // A workload, a policy: only their pods need us.
    plane.apply(&yaml(DEPLOYMENT).to_string());
    plane.apply(&super::namespace("guarded", &[("@/mode", "warn")], &[]));
    let names = plane.kubectl_ok(&["get", "pods", "-o", "name"]);
    assert_eq!(
        names.trim(),
        "pod/bystander",
        "nothing of the refused pod is left"
    );

    program.begin();
    // The API server may keep a moment's memory of the refused connection.
    let limit = std::time::Duration::from_secs(10);
    wait_until("pods are taken again", limit, || {
        create(&pod()).status.success().then_some(())
    });
    assert!(is_injected(&plane.get(&["pod", "albums"])));
}
