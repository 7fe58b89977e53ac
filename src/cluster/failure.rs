//! What went wrong with a request, and what that means for the next one.

use crate::closed_set::closed_set;

/// An error with its causes: kube's own texts leave out what the system said.
pub struct Chain<'e>(pub &'e dyn std::error::Error);

impl std::fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut text = self.0.to_string();
        f.write_str(&text)?;
        let mut next = self.0.source();
        while let Some(error) = next {
            let cause = error.to_string();
            // Many print their cause themselves.
            if !text.contains(&cause) {
                write!(f, ": {cause}")?;
            }
            text = cause;
            next = error.source();
        }
        Ok(())
    }
}

closed_set! {
    /// Kinds of failure.
    Failure {
        /// The object is not there.
        NotFound = "not-found",
        /// It changed since it was read, or another one has its name or UID.
        Conflict = "conflict",
        /// An object of that name exists.
        Exists = "exists",
        /// A quota, a policy or a webhook is against it, or it is invalid.
        Refused = "refused",
        /// Not allowed to this identity.
        Forbidden = "forbidden",
        /// The API server has too much to do.
        Busy = "busy",
        /// No answer, or one that is no answer.
        Unreachable = "unreachable",
    }
}

impl Failure {
    /// What an error of kube's is.
    pub fn of(error: &kube::Error) -> Self {
        let kube::Error::Api(status) = error else {
            return Self::Unreachable;
        };
        match (status.code, status.reason.as_str()) {
            (404, _) => Self::NotFound,
            (409, "AlreadyExists") => Self::Exists,
            (409, _) => Self::Conflict,
            // RBAC's refusals and admission's have the same code; the former name who asked
            // (`Forbidden` in apiserver/pkg/endpoints/handlers/responsewriters/errors.go).
            (403, _) if status.message.contains("cannot ") && status.message.contains("User ") => {
                Self::Forbidden
            }
            (400 | 403 | 422, _) => Self::Refused,
            (401, _) => Self::Forbidden,
            (429, _) => Self::Busy,
            _ => Self::Unreachable,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn api(code: u16, reason: &str, message: &str) -> kube::Error {
        let status = serde_json::json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "code": code, "reason": reason, "message": message,
        });
        kube::Error::Api(Box::new(serde_json::from_value(status).unwrap()))
    }

    #[test]
    fn tells_admission_from_rbac() {
        let quota = "pods \"a\" is forbidden: exceeded quota: small, requested: pods=1, used: pods=1, limited: pods=1";
        assert_eq!(Failure::of(&api(403, "Forbidden", quota)), Failure::Refused);
        let rbac = "pods is forbidden: User \"system:serviceaccount:x:y\" cannot create resource \"pods\" in API group \"\"";
        assert_eq!(
            Failure::of(&api(403, "Forbidden", rbac)),
            Failure::Forbidden
        );
    }

    #[test]
    fn tells_a_taken_name_from_an_old_version() {
        assert_eq!(Failure::of(&api(409, "AlreadyExists", "")), Failure::Exists);
        assert_eq!(Failure::of(&api(409, "Conflict", "")), Failure::Conflict);
        assert_eq!(Failure::of(&api(404, "NotFound", "")), Failure::NotFound);
        assert_eq!(
            Failure::of(&api(500, "InternalError", "")),
            Failure::Unreachable
        );
    }
}
