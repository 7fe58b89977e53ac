#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::*;

fn facts(ports: &[(u16, &str)], probes: &[(u16, Ask, Prober)]) -> Workload {
    let port =
        |(number, name): &(u16, &str)| (*number, (!name.is_empty()).then(|| (*name).to_owned()));
    let probe = |(port, ask, prober): &(u16, Ask, Prober)| Probe {
        port: *port,
        ask: ask.clone(),
        prober: *prober,
    };
    Workload {
        ports: ports.iter().map(port).collect(),
        probes: probes.iter().map(probe).collect(),
        accounts: vec!["own".to_owned()],
        notes: Vec::new(),
    }
}

fn get(path: &str) -> Ask {
    Ask::Http(path.to_owned())
}

fn documents(facts: &Workload, rules: &[&str]) -> Result<Vec<Document>, PolicyError> {
    let rule = |text: &&str| Allow::parse(text, "shop").unwrap();
    let allow: Vec<_> = rules.iter().map(rule).collect();
    let asked = Asked {
        workload: "w",
        namespace: "shop",
        facts,
        allow: &allow,
        kubelets: &["172.19.1.1/32".parse().unwrap()],
    };
    asked.documents()
}

/// The documents of a kind, by name.
fn of_kind(documents: &[Document], kind: &str) -> BTreeMap<String, Value> {
    let of_kind = documents
        .iter()
        .filter(|document| document.object["kind"] == kind);
    let entry = |document: &Document| {
        let name = document.object["metadata"]["name"].as_str().unwrap();
        (name.to_owned(), document.object["spec"].clone())
    };
    of_kind.map(entry).collect()
}

fn names(documents: &[Document], kind: &str) -> Vec<String> {
    of_kind(documents, kind).into_keys().collect()
}

#[test]
fn without_rules_every_port_is_shut_but_for_the_probes() {
    let facts = facts(
        &[(80, "http"), (81, "health")],
        &[
            (81, get("/ready"), Prober::Node),
            (81, get("/live"), Prober::Launcher),
        ],
    );
    let documents = documents(&facts, &[]).unwrap();
    let servers = of_kind(&documents, "Server");
    assert_eq!(servers.keys().collect::<Vec<_>>(), ["w-health", "w-http"]);
    for (name, port) in [("w-http", 80), ("w-health", 81)] {
        assert_eq!(
            servers[name],
            json!({"podSelector": {"matchLabels": {"native-host.io/anchor": "w"}}, "port": port, "accessPolicy": "deny"})
        );
    }
    assert_eq!(
        names(&documents, "HTTPRoute"),
        ["w-health.get.live", "w-health.get.ready"]
    );
    assert_eq!(
        of_kind(&documents, "NetworkAuthentication"),
        [(
            "w-health.get.ready.networks".to_owned(),
            json!({"networks": [{"cidr": "172.19.1.1/32"}]})
        )]
        .into()
    );
    assert_eq!(
        of_kind(&documents, "MeshTLSAuthentication")["w-health.get.live"],
        json!({"identityRefs": [{"kind": "ServiceAccount", "name": "own", "namespace": "shop"}]})
    );
}

#[test]
fn servers_come_last_and_each_route_after_what_allows_it() {
    let facts = facts(&[(80, "http")], &[(80, get("/ready"), Prober::Node)]);
    let documents = documents(&facts, &["GET /x from a", "GET /y from b"]).unwrap();
    let kinds: Vec<_> = documents
        .iter()
        .map(|document| document.object["kind"].as_str().unwrap())
        .collect();
    let last = |kind: &str| kinds.iter().rposition(|one| *one == kind).unwrap();
    let first = |kind: &str| kinds.iter().position(|one| *one == kind).unwrap();
    assert!(first("Server") > last("HTTPRoute"));
    for (index, kind) in kinds.iter().enumerate() {
        if *kind == "HTTPRoute" {
            assert_eq!(kinds[index - 1], "AuthorizationPolicy");
            let (route, policy) = (&documents[index].object, &documents[index - 1].object);
            assert_eq!(
                policy["spec"]["targetRef"]["name"],
                route["metadata"]["name"]
            );
        }
    }
}

#[test]
fn a_rule_for_everything_does_not_take_the_probes_away() {
    let facts = facts(&[(80, "")], &[(80, get("/ready"), Prober::Node)]);
    let documents = documents(&facts, &["ANY /* from a"]).unwrap();
    let policies = of_kind(&documents, "AuthorizationPolicy");
    let who = |name: &str| policies[name]["requiredAuthenticationRefs"][0].clone();
    assert_eq!(
        who("w-80.get.ready.networks")["kind"],
        "NetworkAuthentication"
    );
    // And those who may everything may that, too.
    assert_eq!(who("w-80.get.ready")["kind"], "MeshTLSAuthentication");
    assert_eq!(who("w-80.any.all")["kind"], "MeshTLSAuthentication");
}

#[test]
fn connections_are_allowed_on_the_server_itself() {
    let facts = facts(&[(27000, "flex")], &[(27000, Ask::Tcp, Prober::Node)]);
    let documents = documents(&facts, &["tcp from shop/*, 10.0.0.0/8"]).unwrap();
    assert_eq!(names(&documents, "HTTPRoute"), <[&str; 0]>::default());
    let server = &of_kind(&documents, "Server")["w-flex"];
    assert_eq!(server["proxyProtocol"], "opaque");
    for policy in of_kind(&documents, "AuthorizationPolicy").values() {
        let target = json!({"group": "policy.linkerd.io", "kind": "Server", "name": "w-flex"});
        assert_eq!(policy["targetRef"], target);
    }
    assert_eq!(
        names(&documents, "AuthorizationPolicy"),
        ["w-flex", "w-flex.networks"]
    );
}

#[test]
fn https_probes_are_let_through_as_connections() {
    let facts = facts(&[(80, ""), (8443, "")], &[(8443, Ask::Https, Prober::Node)]);
    let documents = documents(&facts, &["GET /x from a"]).unwrap();
    let servers = of_kind(&documents, "Server");
    assert_eq!(servers["w-8443"]["proxyProtocol"], "TLS");
    assert_eq!(servers["w-80"].get("proxyProtocol"), None);
    assert_eq!(
        names(&documents, "HTTPRoute"),
        ["w-80.get.x"],
        "the only port that nothing probes"
    );
}

#[test]
fn grpc_probes_are_the_health_services() {
    let facts = facts(&[(80, "")], &[(80, Ask::Grpc, Prober::Node)]);
    let documents = documents(&facts, &[]).unwrap();
    let route = &of_kind(&documents, "HTTPRoute");
    let matched = &route.values().next().unwrap()["rules"][0]["matches"][0];
    let path = json!({"type": "Exact", "value": "/grpc.health.v1.Health/Check"});
    assert_eq!(*matched, json!({"path": path, "method": "POST"}));
}

#[test]
fn errors_say_what_to_write() {
    let two = || facts(&[(80, "http"), (81, "admin")], &[]);
    let said = |facts: &Workload, rules: &[&str]| documents(facts, rules).unwrap_err().to_string();
    assert_eq!(
        said(&two(), &["GET /x from a"]),
        "--allow \"GET /x from a\": say on which port, as in \"GET /x on http from a\"; the workload has http (80), \
         admin (81)"
    );
    assert_eq!(
        said(&two(), &["GET /x on web from a"]),
        "--allow \"GET /x on web from a\": there is no TCP port \"web\"; the workload has http (80), admin (81)"
    );
    assert!(documents(&two(), &["GET /x on 81 from a"]).is_ok());
    let both = said(&two(), &["GET /x on http from a", "tcp on http from b"]);
    assert!(
        both.contains("port http is allowed as tcp by another rule")
            && both.contains("'tcp on http from ...'"),
        "{both}"
    );
    let https = facts(&[(443, "web")], &[(443, Ask::Https, Prober::Node)]);
    assert!(said(&https, &["GET /x from a"]).contains("port web is probed by HTTPS"));
    let tie = said(
        &facts(&[(80, "http")], &[]),
        &["GET /x from a", "GET /x/* from b"],
    );
    assert!(
        tie.starts_with("port http: GET /x is allowed to others than GET /x/*"),
        "{tie}"
    );
    let none = said(&facts(&[], &[]), &[]);
    assert!(none.starts_with("workload w has no TCP port"), "{none}");
}
