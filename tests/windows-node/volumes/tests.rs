use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::*;
use crate::objects::shelf::Shelf;
use serde_json::{Value, json};
use tempfile::TempDir;

/// A node's volumes, and one pod.
struct Stage {
    folder: TempDir,
    volumes: Volumes<Shelf>,
    pod: Pod,
}

impl Stage {
    /// One volume of this source, mounted at `C:\v`.
    fn new(source: &Value) -> Self {
        let mut volume = source.clone();
        volume["name"] = json!("v");
        Self::of(
            &json!([volume]),
            &json!([{"name": "v", "mountPath": r"C:\v"}]),
        )
    }

    fn of(volumes: &Value, mounts: &Value) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let drive = folder.path().join("c");
        fs::create_dir(&drive).unwrap();
        let pod = json!({
            "metadata": {"name": "albums-0", "namespace": "music", "uid": "u-1",
                "annotations": {"status": "one"}},
            "spec": {"serviceAccountName": "albums", "volumes": volumes,
                "containers": [{"name": "albums", "volumeMounts": mounts}]},
        });
        let allocatable = Allocatable::default();
        let made = Volumes::new(
            Shelf::default(),
            folder.path().join("pods"),
            drive,
            allocatable,
        );
        Self {
            volumes: made.with_gap(Duration::ZERO),
            folder,
            pod: serde_json::from_value(pod).unwrap(),
        }
    }

    async fn sync(&self) -> Synced {
        self.volumes.sync(&self.pod).await
    }

    fn mounts(&self) -> Result<Vec<Mount>, String> {
        let container = &self.pod.spec.as_ref().unwrap().containers[0];
        let environment = Environment::from([("POD", "albums-0")]);
        self.volumes.mounts(&self.pod, container, &environment)
    }

    fn seen(&self) -> PathBuf {
        self.mounts().unwrap()[0].host.clone()
    }

    fn read(&self, file: &str) -> String {
        fs::read_to_string(self.seen().join(file)).unwrap()
    }

    /// What a program sees there that lists the folder.
    fn list(&self) -> Vec<String> {
        let entries = fs::read_dir(self.seen()).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<_> = names.filter(|name| !name.starts_with("..2")).collect();
        names.sort();
        names
    }
}

fn mounted() -> Synced {
    Synced::default()
}

fn status_volume() -> Value {
    let field = json!({"fieldPath": "metadata.annotations['status']"});
    json!({"downwardAPI": {"items": [{"path": "status", "fieldRef": field}]}})
}

fn annotate(pod: &mut Pod, value: &str) {
    let annotations = pod.metadata.annotations.as_mut().unwrap();
    annotations.insert("status".into(), value.into());
}

#[tokio::test]
async fn a_downward_api_volume_follows_the_pod() {
    let mut stage = Stage::new(&status_volume());
    assert_eq!(stage.sync().await, mounted());
    assert_eq!(stage.read("status"), "one");
    assert_eq!(stage.list(), ["..data", "status"]);
    annotate(&mut stage.pod, "two");
    assert_eq!(stage.sync().await, mounted());
    assert_eq!(stage.read("status"), "two");
    assert_eq!(stage.list(), ["..data", "status"]);
    assert!(stage.mounts().unwrap()[0].read_only);
}

#[tokio::test]
async fn a_volume_that_is_the_same_is_not_written_again() {
    let stage = Stage::new(&status_volume());
    stage.sync().await;
    let before = fs::read_link(stage.seen().join("..data")).unwrap();
    stage.sync().await;
    assert_eq!(fs::read_link(stage.seen().join("..data")).unwrap(), before);
}

/// On Windows the change of `..data` is not atomic: a reader sees the old file, the new one, or none,
/// but never half of one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_it_changes_a_reader_finds_no_file_and_never_half_of_one() {
    let mut stage = Stage::new(&status_volume());
    stage.volumes = stage.volumes.with_gap(Duration::from_millis(50));
    let texts = ["a".repeat(50_000), "b".repeat(50_000)];
    annotate(&mut stage.pod, &texts[0]);
    stage.sync().await;
    let (file, done) = (
        stage.seen().join("status"),
        Arc::new(AtomicBool::new(false)),
    );
    let reader = std::thread::spawn({
        let done = done.clone();
        move || {
            let (mut missing, mut read) = (0, BTreeSet::new());
            while !done.load(Ordering::Relaxed) {
                match fs::read_to_string(&file) {
                    Ok(text) => _ = read.insert(text),
                    Err(error) if error.kind() == std::io::ErrorKind::NotFound => missing += 1,
                    Err(error) => panic!("{error}"),
                }
            }
            (missing, read)
        }
    });
    for round in 1..=6 {
        annotate(&mut stage.pod, &texts[round % 2]);
        assert_eq!(stage.sync().await, mounted());
    }
    done.store(true, Ordering::Relaxed);
    let (missing, read) = reader.join().unwrap();
    assert!(missing > 0, "the gap was never seen");
    assert!(
        read.iter().all(|text| texts.contains(text)),
        "half a file was seen"
    );
}

#[tokio::test]
async fn a_config_map_gives_all_its_keys_or_those_that_are_named() {
    let stage = Stage::new(&json!({"configMap": {"name": "config"}}));
    let map = json!({"metadata": {"name": "config"},
        "data": {"a": "1", "b": "2"}, "binaryData": {"c": "/wA="}});
    stage.volumes.objects.put_config_map("music", map.clone());
    assert_eq!(stage.sync().await, mounted());
    assert_eq!(stage.list(), ["..data", "a", "b", "c"]);
    assert_eq!(fs::read(stage.seen().join("c")).unwrap(), [255, 0]);

    let items = json!([{"key": "a", "path": "deep/er/x"}, {"key": "b", "path": "deep/y"}]);
    let stage = Stage::new(&json!({"configMap": {"name": "config", "items": items}}));
    stage.volumes.objects.put_config_map("music", map);
    assert_eq!(stage.sync().await, mounted());
    assert_eq!(stage.list(), ["..data", "deep"]);
    assert_eq!(
        (stage.read("deep/er/x"), stage.read("deep/y")),
        ("1".into(), "2".into())
    );
}

#[tokio::test]
async fn keys_that_go_take_their_files_with_them() {
    let stage = Stage::new(&json!({"configMap": {"name": "config"}}));
    let map = |data: Value| json!({"metadata": {"name": "config"}, "data": data});
    stage
        .volumes
        .objects
        .put_config_map("music", map(json!({"a": "1", "b": "2"})));
    stage.sync().await;
    stage
        .volumes
        .objects
        .put_config_map("music", map(json!({"b": "2", "c": "3"})));
    assert_eq!(stage.sync().await, mounted());
    assert_eq!(stage.list(), ["..data", "b", "c"]);
}

#[tokio::test]
async fn the_pod_waits_for_what_is_missing_and_keeps_what_goes_later() {
    let stage = Stage::new(&json!({"configMap": {"name": "config"}}));
    let synced = stage.sync().await;
    assert_eq!(synced.unmounted, ["v"]);
    let failure = "MountVolume.SetUp failed for volume \"v\" : configmap \"config\" not found";
    assert_eq!(synced.failures, [failure]);
    assert_eq!(
        synced.waited(),
        "Unable to attach or mount volumes: unmounted volumes=[v], unattached volumes=[], \
         failed to process volumes=[]: context deadline exceeded"
    );

    let map = json!({"metadata": {"name": "config"}, "data": {"a": "1"}});
    stage.volumes.objects.put_config_map("music", map);
    assert_eq!(stage.sync().await, mounted());

    stage.volumes.objects.config_maps.lock().unwrap().clear();
    let synced = stage.sync().await;
    assert_eq!((synced.unmounted.len(), synced.failures.len()), (0, 1));
    assert_eq!(stage.read("a"), "1");
}

#[tokio::test]
async fn optional_ones_may_be_missing() {
    let items = json!([{"key": "a", "path": "a"}]);
    for source in [
        json!({"configMap": {"name": "x", "optional": true}}),
        json!({"secret": {"secretName": "x", "optional": true, "items": items}}),
        json!({"projected": {"sources": [{"secret": {"name": "x", "optional": true}}]}}),
    ] {
        let stage = Stage::new(&source);
        assert_eq!(stage.sync().await, mounted(), "{source}");
        assert_eq!(stage.list(), ["..data"]);
    }
}

#[tokio::test]
async fn missing_keys_and_bad_paths_are_said() {
    for (items, expected) in [
        (
            json!([{"key": "x", "path": "x"}]),
            "references non-existent secret key: x",
        ),
        (
            json!([{"key": "a", "path": "../x"}]),
            "invalid path: must not contain '..': ../x",
        ),
        (
            json!([{"key": "a", "path": "..x"}]),
            "invalid path: must not start with '..': ..x",
        ),
    ] {
        let stage = Stage::new(&json!({"secret": {"secretName": "key", "items": items}}));
        let secret = json!({"metadata": {"name": "key"}, "data": {"a": "MQ=="}});
        stage.volumes.objects.put_secret("music", secret);
        let failures = stage.sync().await.failures;
        let expected = format!("MountVolume.SetUp failed for volume \"v\" : {expected}");
        assert_eq!(failures, [expected]);
    }
}

#[tokio::test]
async fn modes_leave_the_bit_that_windows_has() {
    let items = json!([{"key": "a", "path": "a"}, {"key": "a", "path": "b", "mode": 0o400}]);
    let stage = Stage::new(&json!({"secret": {"secretName": "key", "items": items}}));
    let secret = json!({"metadata": {"name": "key"}, "data": {"a": "MQ=="}});
    stage.volumes.objects.put_secret("music", secret);
    stage.sync().await;
    let read_only = |file: &str| {
        let meta = fs::metadata(stage.seen().join(file)).unwrap();
        meta.permissions().readonly()
    };
    assert!(!read_only("a") && read_only("b"));
    // And it can be removed again.
    stage.volumes.remove("u-1").unwrap();
    assert!(!stage.folder.path().join("pods/u-1").exists());
}

#[tokio::test]
async fn a_projected_volume_has_all_its_sources() {
    let sources = json!([
        {"serviceAccountToken": {"path": "token", "expirationSeconds": 3607}},
        {"configMap": {"name": "ca", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
        {"downwardAPI": {"items": [{"path": "namespace",
            "fieldRef": {"fieldPath": "metadata.namespace"}}]}},
    ]);
    let stage = Stage::new(&json!({"projected": {"sources": sources}}));
    let synced = stage.sync().await;
    assert!(
        synced.failures[0].ends_with(": configmap \"ca\" not found"),
        "{synced:?}"
    );

    let map = json!({"metadata": {"name": "ca"}, "data": {"ca.crt": "pem"}});
    stage.volumes.objects.put_config_map("music", map);
    assert_eq!(stage.sync().await, mounted());
    assert_eq!(stage.list(), ["..data", "ca.crt", "namespace", "token"]);
    assert_eq!(stage.read("namespace"), "music");
    // Asked for at the first sync, and not again.
    assert_eq!(stage.read("token"), "token 1");

    let asked = stage.volumes.objects.tokens.lock().unwrap();
    let [(account, request)] = asked.as_slice() else {
        panic!("{asked:?}")
    };
    assert_eq!(account, "music/albums");
    let bound = request.spec.bound_object_ref.as_ref().unwrap();
    assert_eq!(
        (bound.kind.as_deref(), bound.uid.as_deref()),
        (Some("Pod"), Some("u-1"))
    );
    assert_eq!(request.spec.expiration_seconds, Some(3607));
}

#[tokio::test]
async fn an_empty_dir_keeps_what_is_in_it() {
    let stage = Stage::new(&json!({"emptyDir": {}}));
    assert_eq!(stage.sync().await, mounted());
    assert!(!stage.mounts().unwrap()[0].read_only);
    fs::write(stage.seen().join("launcher.exe"), "MZ").unwrap();
    stage.volumes.forget();
    assert_eq!(stage.sync().await, mounted());
    assert_eq!(stage.read("launcher.exe"), "MZ");
}

#[tokio::test]
async fn a_host_path_is_found_on_the_nodes_drive_without_case() {
    let stage = Stage::new(&json!({"hostPath": {"path": r"c:\Apps\data", "type": "Directory"}}));
    let failures = stage.sync().await.failures;
    assert!(failures[0].ends_with(r"hostPath type check failed: c:\Apps\data is not a directory"));
    let folder = stage.folder.path().join("c/apps/Data");
    fs::create_dir_all(&folder).unwrap();
    assert_eq!(stage.sync().await, mounted());
    assert_eq!(stage.seen(), folder);

    let stage = Stage::new(&json!({"hostPath": {"path": "/new/x", "type": "DirectoryOrCreate"}}));
    assert_eq!(stage.sync().await, mounted());
    assert!(stage.folder.path().join("c/new/x").is_dir());
}

#[tokio::test]
async fn sub_paths_lie_below_their_volume() {
    let mounts = json!([
        {"name": "v", "mountPath": r"C:\a", "subPath": "a/b", "readOnly": true},
        {"name": "v", "mountPath": "/c", "subPathExpr": "$(POD)"},
    ]);
    let stage = Stage::of(&json!([{"name": "v", "emptyDir": {}}]), &mounts);
    stage.sync().await;
    let seen = stage.mounts().unwrap();
    assert!(seen[0].host.ends_with("kubernetes.io~empty-dir/v/a/b") && seen[0].host.is_dir());
    assert!(seen[0].read_only && !seen[1].read_only);
    assert!(seen[1].host.ends_with("v/albums-0"));
    assert_eq!(
        (seen[0].container.as_str(), seen[1].container.as_str()),
        (r"C:\a", "c:/c")
    );

    for (sub_path, expected) in [
        ("/x", "error SubPath `/x` must not be an absolute path"),
        (
            "a/../b",
            "unable to provision SubPath `a/../b`: must not contain '..'",
        ),
    ] {
        let mounts = json!([{"name": "v", "mountPath": "/x", "subPath": sub_path}]);
        let stage = Stage::of(&json!([{"name": "v", "emptyDir": {}}]), &mounts);
        stage.sync().await;
        assert_eq!(stage.mounts(), Err(expected.into()));
    }
}

#[tokio::test]
async fn what_no_container_mounts_is_not_made() {
    let volumes = json!([{"name": "v", "configMap": {"name": "missing"}}]);
    let stage = Stage::of(&volumes, &json!([]));
    assert_eq!(stage.sync().await, mounted());
}

#[tokio::test]
async fn a_mount_of_no_volume_is_refused() {
    let stage = Stage::of(&json!([]), &json!([{"name": "v", "mountPath": "/v"}]));
    let expected = "cannot find volume \"v\" to mount into container \"albums\"";
    assert_eq!(stage.mounts(), Err(expected.into()));
}
