//! A Service that is switched from one workload to another.

use native_host::names::label;
use serde_json::{Value, json};

use crate::load::{Load, Plan};
use crate::world::World;
use crate::{PATIENCE, albums, wait_until};

const NAMESPACE: &str = "blue-green";

fn workload(colour: &str) -> Value {
    let (mut deployment, _) = albums::example(2);
    albums::drains_for_slow_answers(&mut deployment);
    albums::variable(&mut deployment, "INSTANCE", colour);
    let name = format!("albums-{colour}");
    deployment["metadata"]["name"] = json!(name);
    deployment["spec"]["selector"]["matchLabels"]["app"] = json!(name);
    let labels = &mut deployment["spec"]["template"]["metadata"]["labels"];
    labels["app"] = json!(name);
    labels[label::WORKLOAD] = json!(name);
    deployment
}

fn service(colour: &str) -> Value {
    let (_, mut service) = albums::example(2);
    service["spec"]["selector"][label::ANCHOR] = json!(format!("albums-{colour}"));
    service
}

#[test]
#[ignore = "run by the_chain_holds, in a network of its own"]
fn a_service_is_switched_to_another_workload_and_no_request_is_lost() {
    let world = World::get();
    world.namespace(NAMESPACE, "endings");
    world.apply(NAMESPACE, &[workload("blue"), service("blue")]);
    let blue = world.pairs(NAMESPACE, 2);
    let load = Load::start(&Plan {
        rate: 60.0,
        ..Plan::new(world.plane.kubeconfig(), NAMESPACE, "albums")
    });
    wait_until("blue answers", PATIENCE, || {
        (load.count().0 > 100).then_some(())
    });
    load.mark("green comes up");
    world.apply(NAMESPACE, &[workload("green")]);
    world.pairs(NAMESPACE, 4);
    load.mark("the Service is switched");
    world.apply(NAMESPACE, &[service("green")]);
    let switched = load.count().0;
    wait_until("green answers", PATIENCE, || {
        (load.count().0 > switched + 300).then_some(())
    });
    load.mark("blue goes");
    world.kubectl(NAMESPACE, &["delete", "deployment/albums-blue"]);
    let green = world.pairs(NAMESPACE, 2);
    let report = load.stop();

    assert_eq!(
        report.failures(),
        Vec::<&crate::load::record::Request>::new()
    );
    let answered = |ip: &str| {
        let of_ip = report
            .requests
            .iter()
            .filter(|one| one.endpoint.is_some_and(|it| it.ip().to_string() == ip));
        of_ip.count()
    };
    for pair in blue.iter().chain(&green) {
        assert!(
            answered(pair.ip()) > 20,
            "{} answered {}",
            pair.name(),
            answered(pair.ip())
        );
        assert!(pair.restarts() == 0);
    }
}
