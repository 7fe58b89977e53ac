//! Pods of a pair for the tests of `status` and `explain`, as the API server has them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::jiff::Timestamp;
use serde_json::Value;

use crate::names::PREFIX;

/// The HP pod: bound, told of its anchor, its own containers ready. `@/` is our prefix.
const HP: &str = r#"
apiVersion: v1
kind: Pod
metadata:
  namespace: shop
  name: albums-0
  uid: hp-uid
  resourceVersion: '7'
  creationTimestamp: '2026-11-21T10:00:00Z'
  labels: {'@/workload': albums, app: albums}
  annotations:
    '@/injected': v1
    '@/anchor-spec': '{"version":1,"image":"pause","containers":[{"name":"albums","ports":[{"port":8080}],"readiness":{"check":{"httpGet":{"port":8081,"path":"/ready"}},"timing":{"initialDelaySeconds":0,"periodSeconds":10,"timeoutSeconds":1,"successThreshold":1,"failureThreshold":3}}}]}'
    '@/anchor-status': '{"ip":"10.244.1.7","started":"2026-11-21T10:00:10Z","uid":"anchor-uid"}'
  ownerReferences: [{apiVersion: apps/v1, kind: StatefulSet, name: albums, uid: set-uid, controller: true}]
spec:
  nodeName: win-1
  containers:
  - name: albums
    image: base
    command: ['C:\native-host\bin\native-host-launcher.exe']
    args: [run, --container, albums, --timeout, 180s, --liveness, 'http:8081/live,delay=0,period=10,timeout=1,failures=3,successes=1', --, 'C:\apps\albums.exe', --config, 'C:\apps\prod.json']
    securityContext: {windowsOptions: {hostProcess: true, runAsUserName: 'NT AUTHORITY\SYSTEM'}}
status:
  phase: Running
  conditions:
  - {type: PodScheduled, status: 'True', lastTransitionTime: '2026-11-21T10:00:05Z'}
  - {type: ContainersReady, status: 'True', lastTransitionTime: '2026-11-21T10:00:20Z'}
  - {type: '@/anchor-ready', status: 'True', reason: AnchorReady, lastTransitionTime: '2026-11-21T10:00:31Z'}
  containerStatuses:
  - {name: albums, image: base, imageID: '', ready: true, restartCount: 2, state: {running: {startedAt: '2026-11-21T10:00:20Z'}}}
"#;

/// Its anchor: ready. `NAME` is its name.
const ANCHOR: &str = r"
apiVersion: v1
kind: Pod
metadata:
  namespace: shop
  name: NAME
  uid: anchor-uid
  resourceVersion: '8'
  creationTimestamp: '2026-11-21T10:00:06Z'
  labels: {'@/role': anchor, '@/anchor': albums, '@/anchor-for': hp-uid}
  ownerReferences: [{apiVersion: v1, kind: Pod, name: albums-0, uid: hp-uid, controller: true}]
spec:
  nodeName: win-1
  containers: [{name: albums, image: pause}]
status:
  phase: Running
  podIP: 10.244.1.7
  conditions:
  - {type: PodScheduled, status: 'True', lastTransitionTime: '2026-11-21T10:00:07Z'}
  - {type: ContainersReady, status: 'True', lastTransitionTime: '2026-11-21T10:00:30Z'}
  - {type: Ready, status: 'True', lastTransitionTime: '2026-11-21T10:00:30Z'}
  containerStatuses:
  - {name: albums, image: pause, imageID: '', ready: true, restartCount: 0, state: {running: {startedAt: '2026-11-21T10:00:10Z'}}}
";

/// YAML with our names in it as a value.
pub(in crate::cli) fn yaml(text: &str) -> Value {
    serde_saphyr::from_str(&text.replace("@/", PREFIX)).expect(text)
}

fn merged(base: &str, change: &str) -> Pod {
    let mut value = yaml(base);
    json_patch::merge(&mut value, &yaml(change));
    serde_json::from_value(value).expect(change)
}

/// The HP pod with a JSON merge patch (in YAML) on it.
pub(in crate::cli) fn hp(change: &str) -> Pod {
    merged(HP, change)
}

/// The anchor with a JSON merge patch (in YAML) on it.
pub(in crate::cli) fn anchor(change: &str) -> Pod {
    let name = crate::anchor::name("albums-0", "hp-uid");
    merged(&ANCHOR.replace("NAME", &name), change)
}

/// A time of day of the fixtures' day.
pub(in crate::cli) fn at(time: &str) -> Timestamp {
    format!("2026-11-21T{time}Z").parse().expect(time)
}
