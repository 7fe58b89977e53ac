//! Processes of wine that lose their parent. wine's server and its services are started by programs that end
//! before them, so they become children of the machine's first process. In many a container that one waits for
//! nobody, and what has ended stays as a zombie: a handful for every container of ours. So they become ours.

use std::collections::BTreeSet;
use std::time::Duration;

use rustix::process::{Pid, WaitOptions, getpid, set_child_subreaper, waitpid};

/// How often it is looked for those that have ended.
const LOOK: Duration = Duration::from_secs(2);

/// Takes orphans in (`PR_SET_CHILD_SUBREAPER`, prctl(2)), and waits for them. A child that we started ourselves has
/// somebody who waits for it at once, so only what is found ended twice is an orphan.
pub async fn wait_for_all() {
    // The number only says yes (prctl(2)).
    if set_child_subreaper(Some(getpid())).is_err() {
        return;
    }
    let mut ended_before = BTreeSet::new();
    loop {
        tokio::time::sleep(LOOK).await;
        let ended = ended_children();
        for pid in ended.intersection(&ended_before) {
            if let Some(pid) = Pid::from_raw(*pid) {
                let _ = waitpid(Some(pid), WaitOptions::NOHANG);
            }
        }
        ended_before = ended;
    }
}

/// Children of this process that have ended and were not waited for.
fn ended_children() -> BTreeSet<i32> {
    let tasks = std::fs::read_dir("/proc/self/task");
    let tasks = tasks.into_iter().flatten().filter_map(Result::ok);
    let mut all = BTreeSet::new();
    for task in tasks {
        let children = std::fs::read_to_string(task.path().join("children"));
        for child in children.unwrap_or_default().split_whitespace() {
            let stat = std::fs::read_to_string(format!("/proc/{child}/stat"));
            // proc(5): the name, in parentheses, may hold anything; the state comes after it.
            let stat = stat.unwrap_or_default();
            let state = stat.rsplit_once(") ").map(|(_, rest)| rest);
            if state.is_some_and(|state| state.starts_with('Z')) {
                all.extend(child.parse::<i32>());
            }
        }
    }
    all
}
