//! The servers' files, ports and flags: the one place that knows them.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;

use super::pki::Pki;
use super::process::{Server, free_port};
use super::{Options, StartError};

/// The controllers that run: those that make pods from workloads, endpoints from pods, and keep
/// namespaces whole. Not the node lifecycle controller: our nodes have no heartbeat.
const CONTROLLERS: &[&str] = &[
    "clusterrole-aggregation-controller", // without it `edit` and `admin` grant nothing
    "cronjob-controller",
    "daemonset-controller",
    "deployment-controller",
    "disruption-controller",
    "endpointslice-controller",
    "garbage-collector-controller",
    "horizontal-pod-autoscaler-controller",
    "job-controller",
    "namespace-controller",
    "pod-garbage-collector-controller",
    "replicaset-controller",
    "resourcequota-controller", // without it a quota refuses every pod: "status unknown"
    "root-ca-certificate-publisher-controller",
    "serviceaccount-controller",
    "serviceaccount-token-controller",
    "statefulset-controller",
    "taint-eviction-controller",
];

/// Files, ports and names, all settled before anything starts.
#[derive(Debug)]
pub struct Layout {
    /// Where the binaries are.
    pub tools: PathBuf,
    /// Where everything goes.
    pub folder: PathBuf,
    /// etcd's port for clients.
    pub etcd_port: u16,
    port: u16,
    /// The administrator's kubeconfig.
    pub kubeconfig: PathBuf,
    /// The administrator's token.
    pub admin_token: String,
    /// What was asked for.
    pub options: Options,
}

impl Layout {
    /// Chooses ports and writes what the servers read.
    pub fn write(tools: PathBuf, folder: PathBuf, options: Options) -> Result<Self, StartError> {
        let layout = Self {
            kubeconfig: folder.join("kubeconfig"),
            tools,
            folder,
            etcd_port: free_port(),
            port: free_port(),
            admin_token: token()?,
            options,
        };

        let pki = Pki::new()?;
        layout.file("ca.crt", &pki.ca)?;
        layout.file("apiserver.crt", &pki.certificate)?;
        layout.file("apiserver.key", &pki.key)?;
        layout.file("service-account.key", &pki.service_account_key)?;
        layout.file("service-account.pub", &pki.service_account_public_key)?;
        // Each server under its own name, as in a real cluster: webhooks and RBAC see it.
        let (manager, scheduler) = (token()?, token()?);
        layout.file(
            "tokens.csv",
            &format!(
                "{},admin,admin,system:masters\n\
                 {manager},system:kube-controller-manager,controller-manager\n\
                 {scheduler},system:kube-scheduler,scheduler\n",
                layout.admin_token
            ),
        )?;
        layout.file("kubeconfig", &layout.kubeconfig_of(&layout.admin_token))?;
        layout.file(
            "controller-manager.kubeconfig",
            &layout.kubeconfig_of(&manager),
        )?;
        layout.file("scheduler.kubeconfig", &layout.kubeconfig_of(&scheduler))?;
        Ok(layout)
    }

    /// etcd's flags.
    pub fn etcd_flags(&self) -> Vec<String> {
        let client = format!("http://127.0.0.1:{}", self.etcd_port);
        let peer = format!("http://127.0.0.1:{}", free_port());
        vec![
            format!("--data-dir={}", self.path("etcd")),
            format!("--listen-client-urls={client}"),
            format!("--advertise-client-urls={client}"),
            format!("--listen-peer-urls={peer}"),
            format!("--initial-advertise-peer-urls={peer}"),
            format!("--initial-cluster=default={peer}"),
            // Nothing here has to survive a power cut.
            "--unsafe-no-fsync".into(),
            "--log-level=warn".into(),
        ]
    }

    /// The API server's flags.
    pub fn apiserver_flags(&self) -> Vec<String> {
        // The tests' nodes have no lifecycle controller that would take the not-ready taint away.
        let mut disabled = "TaintNodesByCondition".to_owned();
        if !self.options.controllers {
            // Nobody would make the ServiceAccount that it asks for.
            disabled += ",ServiceAccount";
        }
        let mut flags = vec![
            format!("--etcd-servers=http://127.0.0.1:{}", self.etcd_port),
            "--bind-address=127.0.0.1".into(),
            format!("--secure-port={}", self.port),
            // Unset, it looks for a default route, and a machine without one has none.
            "--advertise-address=127.0.0.1".into(),
            "--external-hostname=localhost".into(),
            // 127.0.0.1 is no valid endpoint of the Service `kubernetes`; nobody uses that here.
            "--endpoint-reconciler-type=none".into(),
            format!("--tls-cert-file={}", self.path("apiserver.crt")),
            format!("--tls-private-key-file={}", self.path("apiserver.key")),
            format!("--token-auth-file={}", self.path("tokens.csv")),
            "--authorization-mode=RBAC".into(),
            // HostProcess containers count as privileged (KEP-1981).
            "--allow-privileged=true".into(),
            "--service-account-issuer=https://kubernetes.default.svc".into(),
            format!(
                "--service-account-key-file={}",
                self.path("service-account.pub")
            ),
            format!(
                "--service-account-signing-key-file={}",
                self.path("service-account.key")
            ),
            "--service-cluster-ip-range=10.96.0.0/16".into(),
            format!("--disable-admission-plugins={disabled}"),
            "--profiling=false".into(),
        ];
        flags.extend(self.options.apiserver_flags.iter().cloned());
        flags
    }

    /// The controller manager's flags.
    pub fn controller_manager_flags(&self) -> Vec<String> {
        vec![
            format!(
                "--kubeconfig={}",
                self.path("controller-manager.kubeconfig")
            ),
            format!("--controllers={}", CONTROLLERS.join(",")),
            format!(
                "--service-account-private-key-file={}",
                self.path("service-account.key")
            ),
            format!("--root-ca-file={}", self.path("ca.crt")),
            // Requests come from `system:serviceaccount:kube-system:replicaset-controller` and the
            // like, as in a real cluster.
            "--use-service-account-credentials=true".into(),
            "--leader-elect=false".into(),
            "--secure-port=0".into(),
            // Tests create many objects at once; the defaults (20, 30) are for sharing a server.
            "--kube-api-qps=200".into(),
            "--kube-api-burst=400".into(),
            "--horizontal-pod-autoscaler-sync-period=1s".into(),
        ]
    }

    /// The scheduler's flags.
    pub fn scheduler_flags(&self) -> Vec<String> {
        vec![
            format!("--kubeconfig={}", self.path("scheduler.kubeconfig")),
            "--leader-elect=false".into(),
            "--secure-port=0".into(),
            "--kube-api-qps=200".into(),
            "--kube-api-burst=400".into(),
        ]
    }

    /// Starts one of the servers.
    pub fn start(&self, name: &'static str, flags: &[String]) -> Result<Server, StartError> {
        Server::start(name, &self.tools.join(name), flags, &self.folder)
    }

    /// Starts the controller manager.
    pub fn start_controller_manager(&self) -> Result<Server, StartError> {
        self.start("kube-controller-manager", &self.controller_manager_flags())
    }

    /// Starts the scheduler.
    pub fn start_scheduler(&self) -> Result<Server, StartError> {
        self.start("kube-scheduler", &self.scheduler_flags())
    }

    /// The API server's base URL.
    pub fn url(&self) -> String {
        format!("https://127.0.0.1:{}", self.port)
    }

    fn path(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }

    /// Writes a file that only we can read.
    fn file(&self, name: &str, text: &str) -> Result<(), StartError> {
        let path = self.folder.join(name);
        fs::File::options()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&path)
            .and_then(|mut file| file.write_all(text.as_bytes()))
            .map_err(StartError::io(format!("write {}", path.display())))
    }

    fn kubeconfig_of(&self, token: &str) -> String {
        format!(
            "apiVersion: v1
kind: Config
current-context: native-host
clusters:
- name: native-host
  cluster:
    server: {server}
    certificate-authority: {ca}
users:
- name: native-host
  user:
    token: {token}
contexts:
- name: native-host
  context:
    cluster: native-host
    user: native-host
",
            server = self.url(),
            ca = self.path("ca.crt"),
        )
    }
}

/// A bearer token that nobody else on this machine can guess.
fn token() -> Result<String, StartError> {
    use std::fmt::Write as _;
    let mut random = [0; 16];
    fs::File::open("/dev/urandom")
        .and_then(|mut source| source.read_exact(&mut random))
        .map_err(StartError::io("read /dev/urandom"))?;
    Ok(random.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    }))
}
