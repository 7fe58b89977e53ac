//! Jobs to their completion, whatever their exit code.

use native_host::names::label;
use serde_json::{Value, json};

use crate::world::{World, is};
use crate::{PATIENCE, wait_until};

fn job(name: &str, code: i32) -> Value {
    json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": {
        "backoffLimit": 0,
        "template": {
            "metadata": {"labels": {"job": name, label::WORKLOAD: name}},
            "spec": {"restartPolicy": "Never", "containers": [{
                "name": "job", "image": "registry.example.com/base",
                "command": [r"C:\apps\albums.exe", "--exit-after", "1s", "--exit-code", code.to_string()],
            }]},
        },
    }})
}

#[test]
#[ignore = "run by the_chain_holds, in a network of its own"]
fn jobs_end_with_the_exit_codes_of_their_programs_and_leave_no_anchor() {
    let world = World::get();
    world.namespace("jobs", "endings");
    world.apply("jobs", &[job("zero", 0), job("three", 3)]);
    for (name, condition, code) in [("zero", "Complete", 0), ("three", "Failed", 3)] {
        world
            .eyes
            .until("jobs", &format!("jobs/{name}"), condition, |job| {
                is(job, condition)
            });
        let (pods, _) = world.pods("jobs");
        let mut pods = pods
            .iter()
            .filter(|pod| pod["metadata"]["labels"]["job"] == name);
        let pod = pods.next().expect("its pod stays");
        assert!(pods.next().is_none(), "there was one only");
        let state = &pod["status"]["containerStatuses"][0]["state"]["terminated"];
        assert_eq!(state["exitCode"], code, "{state}");
    }
    wait_until("no anchor is left", PATIENCE, || {
        world.pods("jobs").1.is_empty().then_some(())
    });
}
