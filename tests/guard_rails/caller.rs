//! Somebody who asks the API server for something, as JSON over one kept connection.

use std::path::Path;
use std::sync::OnceLock;

use axum::http::Request;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::Value;
use tokio::runtime::Runtime;

use crate::support::ControlPlane;

/// What the API server said instead of doing it.
#[derive(Debug, Clone)]
pub struct Refused {
    pub message: String,
}

/// What came of a request.
pub type Answer = Result<Value, Refused>;

/// See the module.
pub struct Caller {
    client: Client,
    headers: Vec<(&'static str, String)>,
}

fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        builder.worker_threads(1).enable_all().build().unwrap()
    })
}

impl Caller {
    /// Who a kubeconfig says.
    pub fn of(kubeconfig: &Path) -> Self {
        let file = Kubeconfig::read_from(kubeconfig).unwrap();
        let client = runtime().block_on(async {
            let options = KubeConfigOptions::default();
            let config = Config::from_custom_kubeconfig(file, &options);
            let mut config = config.await.unwrap();
            config.default_retry = false;
            Client::try_from(config).unwrap()
        });
        Caller {
            client,
            headers: Vec::new(),
        }
    }

    /// Somebody of that name: the administrator in their place, which is judged as they would be.
    pub fn named(plane: &ControlPlane, user: &str, groups: &[&str]) -> Self {
        let mut caller = Self::of(plane.kubeconfig());
        caller.headers.push(("Impersonate-User", user.to_owned()));
        for group in groups {
            caller
                .headers
                .push(("Impersonate-Group", (*group).to_owned()));
        }
        caller
    }

    fn ask(&self, method: &str, path: &str, kind: &str, body: &Value) -> Answer {
        let body = match body {
            Value::Null => Vec::new(),
            body => body.to_string().into_bytes(),
        };
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in &self.headers {
            request = request.header(*name, value);
        }
        let request = request.header("Content-Type", kind).body(body).unwrap();
        // As text: what a session answers is none of Kubernetes' objects.
        let answer = runtime().block_on(self.client.request_text(request));
        match answer {
            Ok(text) => Ok(serde_json::from_str(&text).unwrap_or(Value::String(text))),
            Err(kube::Error::Api(status)) => Err(Refused {
                message: status.message.clone(),
            }),
            Err(error) => panic!("{method} {path}: {error}"),
        }
    }

    pub fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, "application/json", &Value::Null)
    }

    /// A POST.
    pub fn post(&self, path: &str, object: &Value) -> Answer {
        self.ask("POST", path, "application/json", object)
    }

    pub fn merge(&self, path: &str, patch: &Value) -> Answer {
        self.ask("PATCH", path, "application/merge-patch+json", patch)
    }

    pub fn strategic(&self, path: &str, patch: &Value) -> Answer {
        let kind = "application/strategic-merge-patch+json";
        self.ask("PATCH", path, kind, patch)
    }

    /// Server-side apply.
    pub fn apply(&self, path: &str, object: &Value) -> Answer {
        self.ask("PATCH", path, "application/apply-patch+yaml", object)
    }

    pub fn delete(&self, path: &str) -> Answer {
        self.ask("DELETE", path, "application/json", &Value::Null)
    }
}

/// The path of the pods of a namespace, or of one, or of a part of one; where it is a dry run.
pub fn dry(namespace: &str, rest: &str) -> String {
    let path = pods(namespace, rest);
    format!("{path}?dryRun=All")
}

/// The same in earnest.
pub fn pods(namespace: &str, rest: &str) -> String {
    let slash = if rest.is_empty() { "" } else { "/" };
    format!("/api/v1/namespaces/{namespace}/pods{slash}{rest}")
}

/// Tries that all have to be refused; said together, so that one run shows every door that is open.
#[derive(Default)]
pub struct Doors {
    open: Vec<String>,
}

impl Doors {
    /// One that a policy keeps shut, saying so in these words.
    pub fn shut_by(&mut self, what: &str, policy: &str, says: &str, answer: Answer) {
        let begin = format!("ValidatingAdmissionPolicy '{policy}' with binding ");
        self.shut(what, &[&begin, says], answer);
    }

    /// One that something keeps shut, in these words.
    pub fn shut(&mut self, what: &str, says: &[&str], answer: Answer) {
        match answer {
            Ok(_) => self.open.push(format!("{what}: open")),
            Err(refused) => {
                let lacks = says.iter().find(|part| !refused.message.contains(**part));
                if let Some(part) = lacks {
                    let message = refused.message;
                    self.open
                        .push(format!("{what}: does not say {part:?}:\n  {message}"));
                }
            }
        }
    }
}

impl Drop for Doors {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            assert!(self.open.is_empty(), "{}", self.open.join("\n"));
        }
    }
}

/// What has to be let pass by every policy; what the API server does with it then is another matter.
pub fn passes(what: &str, answer: &Answer) {
    if let Err(refused) = answer {
        let message = &refused.message;
        assert!(
            !message.contains("ValidatingAdmissionPolicy"),
            "{what}: {message}"
        );
        assert!(!message.contains(" cannot "), "{what}: RBAC: {message}");
    }
}
