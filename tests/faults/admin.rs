//! The administrator, as JSON over one kept connection: a kubectl for each look would cost more than
//! what is looked at.

use std::sync::Mutex;

use hyper::Request;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::support::ControlPlane;

/// What the API server did not like: its status code, or 0 where it could not be reached.
pub type Refused = u16;

/// See the module. It tries nothing twice by itself.
pub struct Admin {
    runtime: Mutex<Runtime>,
    client: Client,
}

impl Admin {
    pub fn new(plane: &ControlPlane) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let kubeconfig = Kubeconfig::read_from(plane.kubeconfig()).unwrap();
        let client = runtime.block_on(async {
            let options = KubeConfigOptions::default();
            let config = Config::from_custom_kubeconfig(kubeconfig, &options);
            let mut config = config.await.unwrap();
            config.default_retry = false;
            Client::try_from(config).unwrap()
        });
        Admin {
            runtime: Mutex::new(runtime),
            client,
        }
    }

    fn call(&self, method: &str, path: &str, kind: &str, body: &Value) -> Result<Value, Refused> {
        let body = match body {
            Value::Null => Vec::new(),
            body => body.to_string().into_bytes(),
        };
        let request = Request::builder().method(method).uri(path);
        let request = request.header("Content-Type", kind).body(body).unwrap();
        let runtime = self.runtime.lock().unwrap();
        let answer = runtime.block_on(self.client.request::<Value>(request));
        answer.map_err(|error| match error {
            kube::Error::Api(status) => status.code,
            _ => 0,
        })
    }

    pub fn get(&self, path: &str) -> Result<Value, Refused> {
        self.call("GET", path, "application/json", &Value::Null)
    }

    /// The items of a list.
    pub fn list(&self, path: &str) -> Result<Vec<Value>, Refused> {
        let list = self.get(path)?;
        Ok(list["items"].as_array().unwrap().clone())
    }

    pub fn create(&self, path: &str, object: &Value) -> Result<Value, Refused> {
        self.call("POST", path, "application/json", object)
    }

    /// A JSON merge patch.
    pub fn merge(&self, path: &str, patch: &Value) -> Result<Value, Refused> {
        self.call("PATCH", path, "application/merge-patch+json", patch)
    }

    /// As kubectl does it: what belongs to it goes in the background.
    pub fn delete(&self, path: &str) -> Result<Value, Refused> {
        let options = json!({"propagationPolicy": "Background"});
        self.call("DELETE", path, "application/json", &options)
    }

    /// `kubectl delete --grace-period=0 --force`.
    pub fn force_delete(&self, path: &str) -> Result<Value, Refused> {
        let options = json!({"gracePeriodSeconds": 0});
        self.call("DELETE", path, "application/json", &options)
    }

    /// Asks the eviction API for a pod, as `kubectl drain` does.
    pub fn evict(&self, namespace: &str, pod: &str) -> Result<Value, Refused> {
        let eviction = json!({
            "apiVersion": "policy/v1", "kind": "Eviction",
            "metadata": {"namespace": namespace, "name": pod},
        });
        let path = format!("/api/v1/namespaces/{namespace}/pods/{pod}/eviction");
        self.create(&path, &eviction)
    }
}

/// The path of a pod.
pub fn pod(namespace: &str, name: &str) -> String {
    format!("/api/v1/namespaces/{namespace}/pods/{name}")
}

/// The path of an object of the group `apps`, e.g. of `deployments`.
pub fn apps(namespace: &str, resource: &str, name: &str) -> String {
    format!("/apis/apps/v1/namespaces/{namespace}/{resource}/{name}")
}
