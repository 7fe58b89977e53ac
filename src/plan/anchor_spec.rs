//! What the anchor of a pod will be, as far as only admission knows it.
//!
//! The spec travels in an annotation of the HP pod, which its author can forge. So it is a
//! small, closed type: an image, ports, readiness probes, labels that the policy names, the
//! mesh. No volumes, no commands, no privilege, no account. All else that the anchor takes
//! over (ServiceAccount, tolerations, DNS) is read from the live HP pod when it is built.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The version of the format that this program writes.
pub const VERSION: u8 = 1;

/// The annotation `native-host.io/anchor-spec`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AnchorSpec {
    /// Format version, [`VERSION`].
    pub version: u8,
    /// The pause image.
    pub image: String,
    /// The mesh whose proxy the anchor gets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mesh: Option<MeshProxy>,
    /// Labels of the workload that the policy's `anchor-labels` names.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// One entry for each wrapped container.
    pub containers: Vec<AnchorContainer>,
}

/// A mesh whose proxy an anchor can get.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MeshProxy {
    /// Linkerd
    Linkerd,
}

/// What the anchor takes over from one wrapped container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AnchorContainer {
    /// The wrapped container's name.
    pub name: String,
    /// Its ports, without host ports.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<AnchorPort>,
    /// Its readiness probe, named ports resolved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub readiness: Option<ReadinessProbe>,
}

/// A port of a wrapped container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AnchorPort {
    /// `name`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// `containerPort`
    pub port: u16,
    /// `protocol`
    #[serde(default, skip_serializing_if = "Protocol::is_tcp")]
    pub protocol: Protocol,
}

/// A transport protocol, as Kubernetes spells it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Protocol {
    /// TCP, the default.
    #[default]
    Tcp,
    /// UDP
    Udp,
    /// SCTP
    Sctp,
}

impl Protocol {
    /// As Kubernetes spells it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
            Self::Sctp => "SCTP",
        }
    }

    #[allow(
        clippy::trivially_copy_pass_by_ref,
        reason = "the signature that serde calls"
    )]
    fn is_tcp(&self) -> bool {
        *self == Self::Tcp
    }
}

/// A readiness probe with the API server's defaults written out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ReadinessProbe {
    /// What it does.
    pub check: ReadinessCheck,
    /// Its numbers.
    pub timing: Timing,
}

/// The checks that the kubelet can make from outside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum ReadinessCheck {
    /// `httpGet`
    #[serde(rename_all = "camelCase")]
    HttpGet {
        /// The port.
        port: u16,
        /// The path, `/` by default.
        path: String,
        /// Whether the scheme is HTTPS.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        https: bool,
        /// Headers, name and value.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        headers: Vec<(String, String)>,
    },
    /// `tcpSocket`
    TcpSocket {
        /// The port.
        port: u16,
    },
    /// `grpc`
    Grpc {
        /// The port.
        port: u16,
        /// The service that the health check asks for.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        service: Option<String>,
    },
}

/// A probe's numbers, in seconds and counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Timing {
    /// `initialDelaySeconds`
    #[serde(rename = "initialDelaySeconds")]
    pub initial_delay: u32,
    /// `periodSeconds`
    #[serde(rename = "periodSeconds")]
    pub period: u32,
    /// `timeoutSeconds`
    #[serde(rename = "timeoutSeconds")]
    pub timeout: u32,
    /// `successThreshold`
    #[serde(rename = "successThreshold")]
    pub success: u32,
    /// `failureThreshold`
    #[serde(rename = "failureThreshold")]
    pub failure: u32,
}

impl Default for Timing {
    /// `SetDefaults_Probe`, pkg/apis/core/v1/defaults.go.
    fn default() -> Self {
        Self {
            initial_delay: 0,
            period: 10,
            timeout: 1,
            success: 1,
            failure: 3,
        }
    }
}

/// An annotation that is not an [`AnchorSpec`].
#[derive(Debug, thiserror::Error)]
pub enum AnchorSpecError {
    /// Not the JSON of one.
    #[error("not an anchor spec: {0}")]
    Malformed(#[from] serde_json::Error),
    /// Written by another version of the program.
    #[error("anchor spec of version {0}; this program writes version {VERSION}")]
    Version(u8),
}

impl AnchorSpec {
    /// Reads the annotation's value.
    pub fn parse(text: &str) -> Result<Self, AnchorSpecError> {
        let spec: Self = serde_json::from_str(text)?;
        if spec.version != VERSION {
            return Err(AnchorSpecError::Version(spec.version));
        }
        Ok(spec)
    }

    /// The annotation's value.
    pub fn to_annotation(&self) -> String {
        // A struct of strings and numbers always serializes.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// The entry for a container.
    pub fn container(&self, name: &str) -> Option<&AnchorContainer> {
        self.containers
            .iter()
            .find(|container| container.name == name)
    }
}
