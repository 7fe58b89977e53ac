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
    #[error("anchor spec of version {0}; this program knows version {VERSION} only")]
    Version(u64),
}

/// As much of a spec as has to be the same in every version.
#[derive(Deserialize)]
struct Versioned {
    version: u64,
}

impl AnchorSpec {
    /// Reads the annotation's value.
    pub fn parse(text: &str) -> Result<Self, AnchorSpecError> {
        // First, so that the fields of a newer version are not what is complained of.
        let Versioned { version } = serde_json::from_str(text)?;
        if version != u64::from(VERSION) {
            return Err(AnchorSpecError::Version(version));
        }
        Ok(serde_json::from_str(text)?)
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_spec_of_another_version_is_named_whatever_else_is_in_it() {
        for text in [
            r#"{"version":2,"image":"pause","containers":[]}"#,
            r#"{"version":2,"pods":[{"image":"pause"}]}"#,
            r#"{"image":{"name":"pause"},"version":2}"#,
        ] {
            let error = AnchorSpec::parse(text).unwrap_err();
            assert!(matches!(error, AnchorSpecError::Version(2)), "{error}");
            assert!(error.to_string().contains("knows version 1 only"));
        }
        let huge = AnchorSpec::parse(r#"{"version":300}"#).unwrap_err();
        assert!(matches!(huge, AnchorSpecError::Version(300)), "{huge}");
    }

    #[test]
    fn a_field_that_this_version_has_not_is_refused() {
        let error =
            AnchorSpec::parse(r#"{"version":1,"image":"pause","containers":[],"volumes":[]}"#);
        let error = error.unwrap_err();
        assert!(
            matches!(error, AnchorSpecError::Malformed(_)) && error.to_string().contains("volumes"),
            "{error}"
        );
        for text in ["", "{}", "[]", r#"{"version":"1"}"#, r#"{"version":-1}"#] {
            let error = AnchorSpec::parse(text).unwrap_err();
            assert!(matches!(error, AnchorSpecError::Malformed(_)), "{text}");
        }
    }

    /// What a released program wrote, every one after it that knows version 1 reads, and writes the same
    /// again: pods outlive the program that injected them. Never change these texts; add some.
    #[test]
    fn what_was_written_by_version_1_stays_readable() {
        for text in [
            r#"{"version":1,"image":"registry.k8s.io/pause:3.10.1","containers":[{"name":"albums"}]}"#,
            concat!(
                r#"{"version":1,"image":"pause","mesh":"linkerd","labels":{"team":"a"},"containers":["#,
                r#"{"name":"albums","ports":[{"name":"http","port":8080},{"port":53,"protocol":"UDP"}],"#,
                r#""readiness":{"check":{"httpGet":{"port":8081,"path":"/ready","https":true,"#,
                r#""headers":[["Host","albums"]]}},"timing":{"initialDelaySeconds":1,"periodSeconds":2,"#,
                r#""timeoutSeconds":3,"successThreshold":4,"failureThreshold":5}}},"#,
                r#"{"name":"tcp","readiness":{"check":{"tcpSocket":{"port":1}},"timing":{"initialDelaySeconds":0,"#,
                r#""periodSeconds":10,"timeoutSeconds":1,"successThreshold":1,"failureThreshold":3}}},"#,
                r#"{"name":"grpc","readiness":{"check":{"grpc":{"port":2,"service":"s"}},"timing":{"initialDelaySeconds":0,"#,
                r#""periodSeconds":10,"timeoutSeconds":1,"successThreshold":1,"failureThreshold":3}}}]}"#,
            ),
        ] {
            assert_eq!(AnchorSpec::parse(text).unwrap().to_annotation(), text);
        }
    }
}
