//! Each failure restarts the right thing and nothing else.

use native_host::names::injected;
use native_host_launcher::exit::Exit;
use serde_json::json;

use crate::albums;
use crate::world::{Pair, World};

/// A pair of its own that serves, in a namespace of its own, with one beside it that nothing befalls.
struct Case {
    world: &'static World,
    namespace: &'static str,
    /// What was there before, the one that suffers first.
    before: [Pair; 2],
}

impl Case {
    fn new(namespace: &'static str, pool: &str) -> Self {
        let world = World::get();
        world.namespace(namespace, pool);
        let (mut deployment, service) = albums::example(2);
        // What hangs is to be found soon, and what is only slow, on a busy machine, is not to be taken for it.
        let container = &mut deployment["spec"]["template"]["spec"]["containers"][0];
        let probe = &mut container["livenessProbe"];
        probe["periodSeconds"] = json!(1);
        probe["timeoutSeconds"] = json!(6);
        probe["failureThreshold"] = json!(2);
        world.apply(namespace, &[deployment, service]);
        let before = world.pairs(namespace, 2).try_into().unwrap();
        Self {
            world,
            namespace,
            before,
        }
    }

    fn victim(&self) -> &Pair {
        &self.before[0]
    }

    /// Waits until all is well again after something, and gives the pair that it befell and the other one,
    /// which it must not have touched.
    fn after(&self, done: impl Fn(&Pair) -> bool) -> Pair {
        let [before, other] = &self.before;
        let look = || {
            let pairs = self.world.pairs_now(self.namespace, 2)?;
            let (mut same, mut rest): (Vec<_>, Vec<_>) = pairs
                .into_iter()
                .partition(|pair| pair.uids() == other.uids());
            let after = rest.pop()?;
            (done(&after) && albums::serves(after.ip())).then_some((after, same.pop()))
        };
        let (after, same) = self.world.until(self.namespace, "all is well again", look);
        let same = same.expect("the other pair is still there");
        assert_eq!(same.restarts(), 0, "nothing befell {}", other.name());
        assert_eq!(same.ip(), other.ip());
        assert!(albums::serves(other.ip()));
        assert!(before.ip() != other.ip());
        after
    }

    /// The program alone is started anew: same pod, same anchor, same address. Its exit code.
    fn restarts_the_program_only(&self) -> i64 {
        let after = self.after(|after| after.restarts() > 0);
        assert_eq!(after.uids(), self.victim().uids());
        assert_eq!((after.restarts(), after.ip()), (1, self.victim().ip()));
        after.last_exit()
    }

    /// The pair is replaced by another one.
    fn replaces_the_pair(&self) {
        let old = self.victim().uids();
        let after = self.after(|after| after.uids()[0] != old[0]);
        assert_ne!(after.uids()[1], old[1]);
        assert_eq!(after.restarts(), 0);
    }
}

#[test]
#[ignore = "run by the_chain_holds, in a network of its own"]
fn a_program_that_exits_is_started_anew() {
    let case = Case::new("exits", "endings");
    albums::turn(case.victim().ip(), "exit?code=300");
    // Exit codes are 32 bits wide, and the launcher passes them on.
    assert_eq!(case.restarts_the_program_only(), 300);
}

#[test]
#[ignore = "run by the_chain_holds, in a network of its own"]
fn a_program_that_hangs_is_found_by_its_liveness_probe() {
    let case = Case::new("hangs", "endings");
    albums::turn(case.victim().ip(), "hang");
    let code = case.restarts_the_program_only();
    assert_eq!(code, i64::from(Exit::LivenessFailed.code()));
}

#[test]
#[ignore = "run by the_chain_holds, in a network of its own"]
fn a_launcher_that_is_killed_takes_its_program_along() {
    let case = Case::new("killed", "endings");
    let (node, pod) = (&case.world.nodes[2], case.victim().name());
    let exe = injected::LAUNCHER_EXE;
    // It answers how many it killed, unless the container ended with them before it could.
    let killed = node.attempt(&format!("/kill/{}/{pod}/albums/{exe}", case.namespace));
    assert_ne!(killed.trim(), "0");
    let code = case.restarts_the_program_only();
    assert_ne!(code, i64::from(Exit::LivenessFailed.code()));
}

#[test]
#[ignore = "run by the_chain_holds, in a network of its own"]
fn a_program_that_never_gets_ready_is_given_up() {
    let world = World::get();
    world.namespace("never-ready", "endings");
    let (mut deployment, service) = albums::example(1);
    albums::variable(&mut deployment, "STARTUP_TIME", "60m");
    let container = &mut deployment["spec"]["template"]["spec"]["containers"][0];
    container["startupProbe"]["failureThreshold"] = json!(3);
    world.apply("never-ready", &[deployment, service]);
    let pod = world.until("never-ready", "its program is started again", || {
        let (pods, _) = world.pods("never-ready");
        let mut pods = pods.into_iter();
        pods.find(|pod| pod["status"]["containerStatuses"][0]["restartCount"].as_u64() >= Some(2))
    });
    let last = &pod["status"]["containerStatuses"][0]["lastState"]["terminated"];
    assert_eq!(last["exitCode"], Exit::StartupFailed.code());
    let slices = world.eyes.list("never-ready", "endpointslices");
    let ready = slices
        .iter()
        .flat_map(|slice| slice["endpoints"].as_array().into_iter().flatten());
    assert!(
        ready
            .into_iter()
            .all(|endpoint| endpoint["conditions"]["ready"] == false)
    );
}

#[test]
#[ignore = "run by the_chain_holds, in a network of its own"]
fn a_pair_whose_anchor_is_deleted_is_replaced() {
    let case = Case::new("anchor-deleted", "endings");
    let anchor = format!("pod/{}", case.victim().anchor_name());
    case.world
        .kubectl(case.namespace, &["delete", &anchor, "--wait=false"]);
    case.replaces_the_pair();
}

#[test]
#[ignore = "run by the_chain_holds, in a network of its own"]
fn a_pair_whose_anchor_gets_another_ip_is_replaced() {
    let case = Case::new("another-ip", "endings");
    let anchor = case.victim().anchor_name();
    case.world.nodes[2].make(&format!("/new-ip/{}/{anchor}", case.namespace));
    case.replaces_the_pair();
}

/// Everything on the node is gone and comes back; what the API server says of it until then is stale, its
/// IPs too.
#[test]
#[ignore = "run by the_chain_holds, in a network of its own"]
fn after_a_reboot_every_pair_serves_again() {
    let case = Case::new("rebooted", "reboots");
    case.world.nodes[3].make("/reboot?away=3000");
    case.world
        .until(case.namespace, "all pairs serve again", || {
            let pairs = case.world.pairs_now(case.namespace, 2)?;
            let fresh = |pair: &Pair| case.before.iter().all(|old| old.ip() != pair.ip());
            let serve = pairs
                .iter()
                .all(|pair| fresh(pair) && albums::serves(pair.ip()));
            serve.then_some(())
        });
}
