//! Whom `check` asks, for what part of the cluster; and what to say where no answer came.

use k8s_openapi::NamespaceResourceScope;
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;

use super::report::{Check, Line};
use crate::anchor::rules::Rules;
use crate::cli::connection::AskError;
use crate::policy::Policy;

/// An answer, or why there is none.
pub(super) type Read<T> = Result<T, AskError>;

/// See the module.
pub(super) struct Asker<'a> {
    pub(super) client: Client,
    /// The namespace that the program is installed in.
    pub(super) home: &'a str,
    /// The namespace that is looked at; None: all.
    pub(super) scope: Option<String>,
    /// What holds where a Namespace says nothing.
    pub(super) flags: &'a Policy,
    pub(super) rules: Rules,
}

impl Asker<'_> {
    /// An object of the installation, if it is there.
    pub(super) async fn installed<K>(&self, name: &str) -> Read<Option<K>>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + Clone
            + DeserializeOwned
            + std::fmt::Debug,
    {
        let api: Api<K> = Api::namespaced(self.client.clone(), self.home);
        Ok(api.get_opt(name).await?)
    }
}

/// What a check says that got no answer: who lacks a right learns which, and everything else goes on.
pub(super) fn cannot_tell(check: Check, error: &AskError) -> Line {
    let found = vec![format!("cannot tell: {error}")];
    if error.is_about_rights() {
        let hint = "Ask for the right that it names, or have somebody run this who has it";
        Line::warning(check, found, hint)
    } else {
        Line::failed(
            check,
            found,
            "Run it again; if it stays so, look at the API server",
        )
    }
}

/// Whether there is no such kind, or object.
pub(super) fn is_missing(error: &AskError) -> bool {
    matches!(error, AskError::Refused(status) if status.code == 404)
}
