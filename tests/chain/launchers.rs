//! The other two launchers: K2s's cplauncher alone, and under ours. The stand-in for it
//! (`tests/wine/stand-ins/cplauncher`) has the flags and the traps of the real one, so what is seen here is
//! that the webhook's command lines are right for it, and that a pair comes up in spite of the traps: its
//! first look is long before there is an anchor, and a second one finds an address at once or never.

use native_host::names::{injected, policy};
use serde_json::{Value, json};

use crate::world::{Pair, World, is};
use crate::{PATIENCE, albums, arguments, wait_until};

/// Linux has no compartments: what binds 0.0.0.0 here takes the port from all other programs.
const PORT: u16 = 8180;

/// The example for a launcher that leaves the environment alone: one pair, on a port of its own.
fn example(launcher: &str) -> [Value; 2] {
    let (mut deployment, service) = albums::example(1);
    albums::variable(&mut deployment, "PORT", &PORT.to_string());
    albums::variable(&mut deployment, "HEALTH_PORT", &(PORT + 1).to_string());
    let template = &mut deployment["spec"]["template"];
    template["metadata"]["annotations"] = json!({policy::LAUNCHER: launcher});
    let container = &mut template["spec"]["containers"][0];
    container["ports"] = json!([
        {"name": "http", "containerPort": PORT}, {"name": "health", "containerPort": PORT + 1},
    ]);
    container["livenessProbe"]["periodSeconds"] = json!(5);
    [deployment, service]
}

/// How many lines the program of a pair wrote that begin so, as an operator sees them.
fn said(world: &World, namespace: &str, pair: &Pair, begin: &str) -> usize {
    let log = world.kubectl(namespace, &["logs", pair.name(), "-c", "albums"]);
    log.lines().filter(|line| line.starts_with(begin)).count()
}

fn command(pair: &Pair) -> Vec<&str> {
    let command = &pair.pod["spec"]["containers"][0]["command"];
    command
        .as_array()
        .unwrap()
        .iter()
        .map(|word| word.as_str().unwrap())
        .collect()
}

#[test]
#[ignore = "run by the_chain_holds, in a network of its own"]
fn cplauncher_alone_starts_a_program_that_serves_and_is_healed() {
    let (world, namespace) = (World::get(), "cplauncher");
    world.namespace(namespace, "endings");
    world.apply(namespace, &example("cplauncher"));
    let [pair] = <[Pair; 1]>::try_from(world.pairs(namespace, 1)).unwrap();
    let command = command(&pair);
    assert!(command[0].ends_with("cplauncher.exe"), "{command:?}");
    assert!(albums::answers(pair.ip(), PORT, "/albums"));
    // It did what the real one does, and says what that one says.
    assert_eq!(said(world, namespace, &pair, "pid="), 1);
    let attached = [
        "albums: in compartment ",
        "albums: this machine has no network compartments",
    ];
    let attached = attached.map(|begin| said(world, namespace, &pair, begin));
    assert_eq!(
        attached.iter().sum::<usize>(),
        1,
        "it was told its compartment"
    );

    // Its exit code is the program's.
    assert!(albums::answers(pair.ip(), PORT, "/admin/exit?code=300"));
    let restarts = pair.restarts();
    let healed = wait_until("the program serves again", PATIENCE, || {
        let pair = world.pairs(namespace, 1).pop()?;
        (pair.restarts() > restarts && albums::answers(pair.ip(), PORT, "/albums")).then_some(pair)
    });
    assert_eq!(healed.uids(), pair.uids());
    assert_eq!(healed.last_exit(), 300);
    let log = world.kubectl(namespace, &["logs", pair.name(), "--previous", "--tail=1"]);
    assert!(
        log.starts_with("cplauncher: child exited ") && log.contains(" exit=300 "),
        "{log}"
    );

    // Liveness goes by commands here, which are processes in the container.
    let restarts = healed.restarts();
    albums::answers(healed.ip(), PORT, "/admin/hang");
    let healed = wait_until("a hanging program is ended", PATIENCE, || {
        let pair = world.pairs(namespace, 1).pop()?;
        (pair.restarts() > restarts && albums::answers(pair.ip(), PORT, "/albums")).then_some(pair)
    });
    assert_eq!(healed.uids(), pair.uids());
}

#[test]
#[ignore = "run by the_chain_holds, in a network of its own"]
fn cplauncher_under_our_launcher_passes_every_argument_on() {
    let (world, namespace) = (World::get(), "cplauncher-ours");
    world.namespace(namespace, "endings");
    let name = "arguments-cplauncher";
    let sent = arguments::nasty(1).remove(0);
    let mut job = arguments::job(name, &sent);
    let launcher = json!({policy::LAUNCHER: "native-host-cplauncher"});
    job["spec"]["template"]["metadata"]["annotations"] = launcher;
    world.apply(namespace, &[job]);
    arguments::arrive(&world.nodes[2], name, &sent);
    world
        .eyes
        .until(namespace, &format!("jobs/{name}"), "Complete", |job| {
            is(job, "Complete")
        });
    let (pods, _) = world.pods(namespace);
    let pod = pods[0]["metadata"]["name"].as_str().unwrap();
    let log = world.kubectl(namespace, &["logs", pod]);
    let ended =
        |line: &str| line.contains("cplauncher: child exited ") && line.contains(" exit=0 ");
    assert!(log.lines().any(ended), "{log}");
    let command = &pods[0]["spec"]["containers"][0]["command"];
    assert!(
        command[0]
            .as_str()
            .unwrap()
            .ends_with(injected::LAUNCHER_EXE),
        "{command}"
    );
}

/// Only what arrives is let through, and it does arrive.
#[test]
#[ignore = "run by the_chain_holds, in a network of its own"]
fn cplauncher_alone_passes_on_what_admission_lets_through() {
    let (world, namespace) = (World::get(), "cplauncher-words");
    world.namespace(namespace, "endings");
    let with = |words: &[&str], name: &str| {
        let words: Vec<_> = words.iter().map(|word| (*word).to_owned()).collect();
        let mut job = arguments::job(name, &words);
        let annotations = json!({policy::LAUNCHER: "cplauncher"});
        job["spec"]["template"]["metadata"]["annotations"] = annotations;
        (job, words)
    };
    let name = "words-cplauncher";
    let words = [
        "a b",
        "",
        "--",
        "-label",
        "x=y",
        "it's",
        "100%",
        r"\\server\x",
        "ü日本🎷",
        "$$(HOME)",
        "@,;~*?",
        // Its one quote shields the rest of the line from cmd.
        "a\"&c",
    ];
    let (job, sent) = with(&words, name);
    let pod = |job: &Value| {
        let mut pod = job["spec"]["template"].clone();
        pod["apiVersion"] = json!("v1");
        pod["kind"] = json!("Pod");
        pod["metadata"]["name"] = json!("dry");
        pod.to_string()
    };
    let dry_run = ["create", "--dry-run=server", "-n", namespace, "-f", "-"];
    let refused = |job: &Value| {
        let output = world.plane.kubectl_stdin(&dry_run, &pod(job));
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        (!output.status.success()).then_some(said)
    };
    assert_eq!(refused(&job), None);
    for word in ["%PATH%", "a&calc", "a b\"&c", "line\nfeed"] {
        let said =
            refused(&with(&[word], "refused").0).unwrap_or_else(|| panic!("{word} is let through"));
        assert!(
            said.contains("use the launcher native-host"),
            "{word}: {said}"
        );
    }
    world.apply(namespace, &[job]);
    arguments::arrive(&world.nodes[2], name, &sent);
}
