//! `native-host status --watch`: lines, and its ends.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::Child;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};

use super::*;
use crate::support::Options;

/// A running `status --watch`, whose lines are read as they come.
struct Watch {
    child: Child,
    lines: Receiver<String>,
}

impl Watch {
    fn start(place: &Place, args: &[&str]) -> Self {
        let args = [&["status", "-w", "-n", place.name], args].concat();
        let mut child = command(place.plane, &args)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (send, lines) = channel();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || {
            stdout
                .lines()
                .try_for_each(|line| send.send(line.unwrap()).map_err(|_| ()))
        });
        Watch { child, lines }
    }

    /// The next line.
    fn line(&self) -> String {
        self.lines.recv_timeout(PATIENCE).expect("another line")
    }

    /// Lines until one that has all of these.
    fn until(&self, parts: &[&str]) -> String {
        loop {
            let line = self.line();
            if parts.iter().all(|part| line.contains(part)) {
                return line;
            }
        }
    }

    /// Ends as by Ctrl-C; gives the exit code and standard error.
    fn interrupt(mut self) -> (i32, String) {
        let pid = self.child.id().to_string();
        assert!(
            Command::new("kill")
                .args(["-s", "INT", &pid])
                .status()
                .unwrap()
                .success()
        );
        let code = self.child.wait().unwrap().code().unwrap();
        let mut stderr = String::new();
        self.child
            .stderr
            .take()
            .unwrap()
            .read_to_string(&mut stderr)
            .unwrap();
        (code, stderr)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

trait Interrupted {
    fn ended_well(self);
}

impl Interrupted for (i32, String) {
    #[track_caller]
    fn ended_well(self) {
        assert_eq!(self, (130, String::new()));
    }
}

#[test]
fn prints_the_table_and_then_each_change() {
    let Some(plane) = plane() else { return };
    let place = Place::new(plane, "status-watch", "").with_account();
    let anchor = place.ready_pair("albums-0", "10.244.4.7");
    place.ready_pair("albums-1", "10.244.4.8");
    let watch = Watch::start(&place, &[]);
    assert!(watch.line().starts_with("WORKLOAD "));
    assert!(watch.line().contains(" albums-0 "));
    assert!(watch.line().contains(" albums-1 "));
    // What changes nothing that is shown is no line.
    place.kubectl(&["label", "pod", "albums-1", "colour=blue"]);
    place.status(&anchor, &running("10.244.4.7", "'False'", UNREADY));
    let line = watch.line();
    assert!(
        line.contains(" albums-0 ") && line.contains(" Running "),
        "{line}"
    );
    place.hp("albums-2", "spec: {nodeName: win-1}");
    let line = watch.until(&[" albums-2 "]);
    assert!(line.contains(" Pending "), "{line}");
    place.kubectl(&["delete", "pod", "albums-2", "--force"]);
    watch.until(&[" albums-2 ", " Finished ", "both pods are gone"]);
    let quiet = watch.lines.recv_timeout(Duration::from_millis(500));
    assert_eq!(quiet, Err(RecvTimeoutError::Timeout));
    watch.interrupt().ended_well();
}

#[test]
fn prints_a_document_for_each_change() {
    let Some(plane) = plane() else { return };
    let place = Place::new(plane, "status-watch-json", "").with_account();
    let anchor = place.ready_pair("albums-0", "10.244.5.7");
    place.hp(
        "books-0",
        "{metadata: {labels: {'@/workload': books}}, spec: {nodeName: win-1}}",
    );
    let watch = Watch::start(&place, &["-o", "json", "albums"]);
    let document = |line: String| -> Value { serde_json::from_str(&line).expect(&line) };
    let first = document(watch.line());
    assert_eq!(
        (&first["kind"], &first["state"]),
        (&json!("Pair"), &json!("Ready"))
    );
    // Not of that name.
    place.kubectl(&["delete", "pod", "books-0", "--force"]);
    place.status(&anchor, &running("10.244.5.7", "'False'", UNREADY));
    let second = document(watch.line());
    assert_eq!(
        (&second["pod"]["name"], &second["state"]),
        (&json!("albums-0"), &json!("Running"))
    );
    watch.interrupt().ended_well();
}

#[test]
fn follows_a_selector_and_labels_that_change() {
    let Some(plane) = plane() else { return };
    let place = Place::new(plane, "status-watch-labels", "").with_account();
    place.ready_pair("albums-0", "10.244.9.7");
    place.ready_pair("albums-1", "10.244.9.8");
    place.hp(
        "books-0",
        "{metadata: {labels: {'@/workload': books, app: books}}, spec: {nodeName: win-1}}",
    );
    let all = Watch::start(&place, &["--no-headers"]);
    let some = Watch::start(&place, &["--no-headers", "-l", "app=albums"]);
    for pod in [" albums-0 ", " albums-1 ", " books-0 "] {
        all.until(&[pod, " win-1 "]);
    }
    some.until(&[" albums-1 "]);
    // Out of the selector is not gone, and without its label a pod still has its anchor.
    place.kubectl(&["label", "--overwrite", "pod", "albums-0", "app=other"]);
    place.kubectl(&["label", "pod", "albums-0", &named("@/workload-")]);
    place.kubectl(&["delete", "pod", "books-0", "--force"]);
    all.until(&[" books-0 ", " Finished "]);
    place.kubectl(&["delete", "pod", "albums-1", "--force"]);
    let line = some.line();
    assert!(
        line.contains(" albums-1 ") && line.contains("the pod is gone"),
        "{line}"
    );
    let line = all.line();
    assert!(
        line.contains(" albums-1 ") && line.contains(" Ending "),
        "{line}"
    );
    all.interrupt().ended_well();
    some.interrupt().ended_well();
}

#[test]
fn ends_when_nobody_reads_any_more() {
    let Some(plane) = plane() else { return };
    let place = Place::new(plane, "status-watch-pipe", "").with_account();
    place.ready_pair("albums-0", "10.244.6.7");
    let mut child = command(plane, &["status", "-w", "-n", place.name])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut first = [0; 8];
    child.stdout.take().unwrap().read_exact(&mut first).unwrap();
    // The pipe is closed now, and nothing changes that would be written to it.
    let status = wait_until("it ends", PATIENCE, || child.try_wait().unwrap());
    assert_eq!((&first, status.code()), (b"WORKLOAD", Some(0)));
}

#[test]
fn ends_where_it_may_not_watch() {
    let Some(plane) = plane() else { return };
    let place = Place::new(plane, "status-watch-rights", "");
    place.kubectl(&[
        "create",
        "role",
        "reader",
        "--verb=get,list",
        "--resource=pods",
    ]);
    place.kubectl(&[
        "create",
        "rolebinding",
        "reader",
        "--role=reader",
        "--user=reader",
    ]);
    let config = as_user(plane, "reader");
    let args = [
        "status",
        "-n",
        place.name,
        "--kubeconfig",
        config.to_str().unwrap(),
    ];
    wait_until("the role is in force", PATIENCE, || {
        (run(plane, &args).code == 0).then_some(())
    });
    let ran = run(plane, &[&args[..], &["-w"]].concat());
    assert_eq!(ran.code, 1);
    assert!(
        ran.stderr.contains("cannot watch resource \"pods\""),
        "{}",
        ran.stderr
    );
    assert!(ran.stderr.contains("watch for --watch"), "{}", ran.stderr);
}

#[test]
fn outlives_the_api_server() {
    let Some(mut plane) = ControlPlane::start_or_skip(&Options::apiserver_only()) else {
        return;
    };
    plane.windows_node("win-1");
    let place = Place::new(&plane, "status-outage", "");
    place.ready_pair("albums-0", "10.244.7.7");
    let gone = place.hp("albums-1", "spec: {nodeName: win-1}");
    assert!(gone["metadata"]["uid"].is_string());
    let watch = Watch::start(&place, &[]);
    watch.until(&[" albums-1 "]);
    plane.restart_apiserver();
    let place = Place {
        plane: &plane,
        name: "status-outage",
    };
    place.kubectl(&["delete", "pod", "albums-1", "--force"]);
    watch.until(&[" albums-1 ", " Finished "]);
    place.hp("albums-2", "spec: {nodeName: win-1}");
    watch.until(&[" albums-2 ", " Pending "]);
    let (code, stderr) = watch.interrupt();
    assert_eq!(code, 130);
    // Whether the watch noticed depends on how the connection broke; if it did, it says both.
    assert_eq!(
        stderr.contains("Warning: "),
        stderr.contains("works again"),
        "{stderr}"
    );
}
