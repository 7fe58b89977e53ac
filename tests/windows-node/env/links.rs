//! The variables that tell a container of Services (`pkg/kubelet/envvars/envvars.go`): those of its
//! namespace unless `enableServiceLinks: false`, and that of the API server always.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Pod, Service};

use crate::objects::Objects;

/// `masterServices` (`kubelet_pods.go`), of the namespace `default`.
const API_SERVER: (&str, &str) = ("default", "kubernetes");

/// The variables of a pod's containers.
pub async fn links(objects: &impl Objects, pod: &Pod) -> Result<BTreeMap<String, String>, String> {
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    // The API server always sets it (`SetDefaults_PodSpec`).
    let enabled = pod.spec.as_ref().and_then(|spec| spec.enable_service_links);
    let enabled = enabled.unwrap_or(true);
    let name = |service: &Service| service.metadata.name.clone().unwrap_or_default();

    let mut services = BTreeMap::new();
    for service in objects.services(API_SERVER.0).await? {
        if name(&service) == API_SERVER.1 {
            services.insert(name(&service), service);
        }
    }
    if enabled {
        // A Service of that name in the pod's own namespace goes before the API server's, if it comes
        // later in the list; a Go map does not say. Here it always does.
        for service in objects.services(namespace).await? {
            services.insert(name(&service), service);
        }
    }
    let mut variables = BTreeMap::new();
    for (name, service) in &services {
        of_service(name, service, &mut variables);
    }
    Ok(variables)
}

fn of_service(name: &str, service: &Service, variables: &mut BTreeMap<String, String>) {
    let Some(spec) = &service.spec else { return };
    // A headless Service has none.
    let Some(ip) = spec
        .cluster_ip
        .as_deref()
        .filter(|ip| !matches!(*ip, "" | "None"))
    else {
        return;
    };
    let prefix = variable(name);
    let mut set = |name: String, value: String| {
        variables.insert(name, value);
    };
    set(format!("{prefix}_SERVICE_HOST"), ip.into());
    for (index, port) in spec.ports.iter().flatten().enumerate() {
        let number = port.port;
        if index == 0 {
            set(format!("{prefix}_SERVICE_PORT"), number.to_string());
        }
        if let Some(name) = port.name.as_deref().filter(|name| !name.is_empty()) {
            let name = variable(name);
            set(format!("{prefix}_SERVICE_PORT_{name}"), number.to_string());
        }
        let protocol = port.protocol.as_deref().unwrap_or("TCP");
        let (upper, lower) = (protocol.to_uppercase(), protocol.to_lowercase());
        let url = if ip.contains(':') {
            format!("{lower}://[{ip}]:{number}")
        } else {
            format!("{lower}://{ip}:{number}")
        };
        if index == 0 {
            set(format!("{prefix}_PORT"), url.clone());
        }
        let link = format!("{prefix}_PORT_{number}_{upper}");
        set(format!("{link}_PROTO"), lower);
        set(format!("{link}_PORT"), number.to_string());
        set(format!("{link}_ADDR"), ip.into());
        set(link, url);
    }
}

fn variable(name: &str) -> String {
    name.replace('-', "_").to_uppercase()
}
