//! The anchor's status as the HP pod carries it: what the launcher waits for.

use std::net::IpAddr;
use std::sync::Arc;

use k8s_openapi::jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The annotation `native-host.io/anchor-status`, which a downwardAPI volume shows to the launcher.
///
/// One JSON object in one annotation and so one file: the kubelet's volume writer is not atomic on
/// Windows, and the launcher must never see one anchor's IP beside another's start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AnchorStatus {
    /// The anchor's IP: that of the network compartment.
    pub ip: IpAddr,
    /// When the first of the anchor's containers started. It changes when the node reboots, where
    /// the pod's own `startTime` does not.
    pub started: Timestamp,
    /// The anchor pod's UID.
    pub uid: Arc<str>,
}

impl AnchorStatus {
    /// Reads the annotation's value.
    ///
    /// # Errors
    /// If it is not one that this program wrote.
    pub fn parse(text: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text)
    }

    /// The annotation's value.
    pub fn to_annotation(&self) -> String {
        // An address, a time and a string always serialize.
        serde_json::to_string(self).unwrap_or_default()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes() {
        let text = r#"{"ip":"10.244.1.7","started":"2026-11-21T10:00:00Z","uid":"a-b"}"#;
        let status = AnchorStatus::parse(text).unwrap();
        assert_eq!(status.to_annotation(), text);
    }

    #[test]
    fn refuses_what_is_not_one() {
        for text in [
            "",
            "{}",
            r#"{"ip":"10.244.1.7","started":"2026-11-21T10:00:00Z"}"#,
            r#"{"ip":"localhost","started":"2026-11-21T10:00:00Z","uid":"a"}"#,
            r#"{"ip":"10.244.1.7","started":"yesterday","uid":"a"}"#,
            r#"{"ip":"10.244.1.7","started":"2026-11-21T10:00:00Z","uid":"a","command":"x"}"#,
        ] {
            assert!(AnchorStatus::parse(text).is_err(), "{text}");
        }
    }
}
