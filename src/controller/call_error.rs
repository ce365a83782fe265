//! Failed calls to the apiserver, classified in one place: what to report, and when to try again.

use kube::core::{Status, response::StatusCause};

use crate::{
    api::condition::Reason,
    plan::{
        Problem, Retry,
        identity::{TargetKey, WorkloadKey},
    },
};

/// Says why a call to the apiserver failed.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The apiserver refused the call or could not be reached.
    #[error("the call failed")]
    Failed(#[from] kube::Error),
    /// No answer arrived in time.
    #[error("no answer within {} s", super::writer::CALL_TIMEOUT.as_secs())]
    TimedOut,
    /// The call was not made or was abandoned, because another replica may lead now.
    #[error("this replica no longer leads")]
    NotLeading,
    /// The call was not made, because what is known may be of a cluster that is no longer so.
    #[error("the watches list anew")]
    NotSynced,
    /// The apiserver has just started, and refuses what it will allow a moment later.
    #[error("the apiserver has just started, and refuses the call for now")]
    JustStarted(#[source] kube::Error),
    /// The call was not made, because the object has changed since it was judged.
    #[error("it changed in the meantime")]
    Outdated,
}

impl CallError {
    /// Returns the apiserver's own answer, if it gave one.
    #[must_use]
    pub fn status(&self) -> Option<&Status> {
        match self {
            Self::Failed(kube::Error::Api(status)) => Some(status),
            _ => None,
        }
    }

    /// Returns the causes in the apiserver's answer.
    fn causes(&self) -> impl Iterator<Item = &StatusCause> {
        let details = self.status().and_then(|status| status.details.as_ref());
        details.into_iter().flat_map(|details| &details.causes)
    }

    /// Returns whether the apiserver refuses the call.
    #[must_use]
    pub fn is_forbidden(&self) -> bool {
        self.status().is_some_and(Status::is_forbidden)
    }

    /// Returns whether the object does not exist.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        self.status().is_some_and(Status::is_not_found)
    }

    /// Returns whether a precondition failed: the object exists, is gone or is another one, or a field manager holds a field.
    #[must_use]
    pub fn is_conflict(&self) -> bool {
        self.status().is_some_and(Status::is_conflict)
    }

    /// Returns whether the apiserver did not answer or failed itself, which all calls have in common.
    #[must_use]
    pub fn is_outage(&self) -> bool {
        match self {
            Self::Failed(kube::Error::Api(status)) => status.code == 429 || status.code >= 500,
            Self::Failed(_) | Self::TimedOut | Self::JustStarted(_) => true,
            Self::NotLeading | Self::NotSynced | Self::Outdated => false,
        }
    }

    /// Returns whether the apiserver failed itself, which it also does where a status has a field that its schema lacks.
    #[must_use]
    pub fn is_internal(&self) -> bool {
        self.status().is_some_and(|status| status.code == 500)
    }

    /// Returns whether the apiserver could not be reached. The watches notice that too.
    #[must_use]
    pub fn is_unreachable(&self) -> bool {
        matches!(self, Self::Failed(_)) && self.status().is_none()
    }

    /// Returns whether the object has changed since it was judged, so that it must be looked at again.
    #[must_use]
    pub fn is_outdated(&self) -> bool {
        matches!(self, Self::Outdated)
            || (self.is_conflict() && self.conflicting_managers().is_empty())
    }

    /// Returns whether another object has taken the name: the apiserver refuses a UID that is not the object's own.
    #[must_use]
    pub fn is_replaced(&self) -> bool {
        self.status().is_some_and(Status::is_invalid)
            && self.causes().any(|cause| cause.field == "metadata.uid")
    }

    /// Returns whether a patch that takes something away has nothing to take it from: the object is gone or is another one, or goes
    /// with its namespace.
    #[must_use]
    pub fn leaves_nothing_to_remove(&self) -> bool {
        self.is_not_found()
            || self.is_conflict()
            || self.is_replaced()
            || self.is_namespace_terminating()
    }

    /// Returns whether the namespace is being deleted.
    #[must_use]
    pub fn is_namespace_terminating(&self) -> bool {
        self.causes()
            .any(|cause| cause.reason == "NamespaceTerminating")
    }

    /// Returns whether RBAC or admission refuses the call. Both answer 403, but a `ValidatingAdmissionPolicy` answers what its
    /// `reason` says, by default 422 as for an object that is not valid, and a webhook answers as it likes.
    ///
    /// A policy adds a cause that has a message alone. Those of an object that is not valid have a reason and a field.
    /// An answer without causes has only its text: that of `NewForbidden` in apimachinery, or that of webhooks.
    #[must_use]
    pub fn is_refused(&self) -> bool {
        let Some(status) = self.status() else {
            return false;
        };
        if status.is_forbidden() {
            return true;
        }
        if !matches!(status.code, 400 | 401 | 413 | 422) {
            return false;
        }
        let mut causes = self.causes().peekable();
        if causes.peek().is_some() {
            return causes.all(|cause| cause.reason.is_empty() && cause.field.is_empty());
        }
        let message = &status.message;
        message.contains(" is forbidden: ") || message.contains(" denied the request")
    }

    /// Returns the field managers that conflict with an apply, as the apiserver names them.
    #[must_use]
    pub fn conflicting_managers(&self) -> Vec<String> {
        self.causes()
            .filter(|cause| cause.reason == "FieldManagerConflict")
            .map(|cause| {
                format!(
                    "{} ({})",
                    cause.message.trim_start_matches("conflict with "),
                    cause.field
                )
            })
            .collect()
    }

    /// Returns the problem of a target that could not be written or removed.
    #[must_use]
    pub fn problem(&self, target: &TargetKey) -> Problem {
        let (reason, retry, what_to_do) = match self.status() {
            _ if self.is_namespace_terminating() => (
                Reason::TargetForbidden,
                Retry::OnChange,
                "the namespace is being deleted",
            ),
            Some(_) if self.is_refused() => (
                Reason::TargetForbidden,
                Retry::Rarely,
                "allow the operator's service account to create, patch and delete this kind here, or change the admission policy that refuses",
            ),
            Some(status) if status.is_not_found() => (
                Reason::TargetNotFound,
                Retry::Rarely,
                "create it, or choose creationPolicy Owner",
            ),
            // Another object has taken the name of the one that was judged.
            Some(status) if status.is_conflict() || self.is_replaced() => (
                Reason::Retrying,
                Retry::Soon,
                "it changed in the meantime; retrying",
            ),
            Some(status) if status.is_invalid() || status.code == 400 => (
                Reason::TargetInvalid,
                Retry::Rarely,
                "correct the target, or the object of that name",
            ),
            _ => (Reason::Retrying, Retry::Soon, "retrying"),
        };
        Problem {
            reason,
            message: format!("{target}: {}; {what_to_do}", self.describe()),
            retry,
        }
    }

    /// Returns the problem of a restart that could not be triggered.
    #[must_use]
    pub fn restart_problem(&self, workload: &WorkloadKey) -> Problem {
        let (reason, retry, what_to_do) = match self.status() {
            _ if self.is_namespace_terminating() => (
                Reason::RolloutFailed,
                Retry::OnChange,
                "the namespace is being deleted",
            ),
            Some(_) if self.is_refused() => (
                Reason::RolloutFailed,
                Retry::Rarely,
                "allow the operator's service account to get and patch this kind here, change the admission policy that refuses, or take the workload out of spec.rollout",
            ),
            Some(status) if status.is_invalid() || status.code == 400 => (
                Reason::RolloutFailed,
                Retry::Rarely,
                "correct the workload, or take it out of spec.rollout",
            ),
            _ => (Reason::Retrying, Retry::Soon, "retrying"),
        };
        Problem {
            reason,
            message: format!(
                "the values are written, but {workload} was not restarted for them: {}; {what_to_do}",
                self.describe()
            ),
            retry,
        }
    }

    /// Returns what to do if a binding's own object can't be written, as the end of a sentence.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self.status().map(|status| status.code) {
            // The apiserver answers so if a field is missing from its schema.
            Some(500) => {
                "; if this lasts, the CRD is older than this program: apply the CRD of this version"
            }
            Some(403) => {
                "; the operator's service account must be allowed to patch bindings and their status"
            }
            _ => "",
        }
    }

    /// Describes the failure, without the details that differ between equal failures.
    #[must_use]
    pub fn describe(&self) -> String {
        match self {
            Self::Failed(kube::Error::Api(status)) if !status.message.is_empty() => {
                status.message.clone()
            }
            Self::Failed(kube::Error::Api(status)) => {
                format!("the apiserver answered {} {}", status.code, status.reason)
            }
            Self::Failed(_) => "the apiserver could not be reached".to_owned(),
            Self::TimedOut
            | Self::NotLeading
            | Self::NotSynced
            | Self::JustStarted(_)
            | Self::Outdated => self.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn answer(code: u16, reason: &str, message: &str, causes: &Value) -> CallError {
        let status = json!({
            "status": "Failure",
            "code": code,
            "reason": reason,
            "message": message,
            "details": {"name": "a", "kind": "configmaps", "causes": causes},
        });
        let status: Status = serde_json::from_value(status).expect("a Status");
        CallError::Failed(kube::Error::Api(status.boxed()))
    }

    /// Answers as kube-apiserver 1.37 gives them.
    #[test]
    fn refusals_are_told_from_objects_that_are_not_valid() {
        use Reason::{Retrying, TargetForbidden, TargetInvalid, TargetNotFound};

        let policy = "configmaps \"a\" is forbidden: ValidatingAdmissionPolicy 'p' with binding 'b' denied request: no";
        let of_policy = json!([{"message": "ValidatingAdmissionPolicy 'p' with binding 'b' denied request: no"}]);
        let webhook = "admission webhook \"w.example.com\" denied the request: no";
        let immutable = "ConfigMap \"a\" is invalid: data: Forbidden: field is immutable when `immutable` is set";
        let of_field = json!([{"reason": "FieldValueForbidden", "message": "Forbidden: field is immutable", "field": "data"}]);
        let none = json!([]);
        let terminating = json!([{"reason": "NamespaceTerminating", "message": "namespace n is being terminated", "field": "metadata.namespace"}]);
        for (code, reason, message, causes, expected) in [
            (
                403,
                "Forbidden",
                "configmaps \"a\" is forbidden: User \"u\" cannot patch",
                &none,
                TargetForbidden,
            ),
            (403, "Forbidden", "exceeded quota", &none, TargetForbidden),
            (
                403,
                "Forbidden",
                "being terminated",
                &terminating,
                TargetForbidden,
            ),
            (422, "Invalid", policy, &of_policy, TargetForbidden),
            (
                413,
                "RequestEntityTooLarge",
                policy,
                &of_policy,
                TargetForbidden,
            ),
            (401, "Unauthorized", policy, &of_policy, TargetForbidden),
            (422, "Invalid", policy, &none, TargetForbidden),
            (400, "BadRequest", webhook, &none, TargetForbidden),
            (422, "Invalid", immutable, &of_field, TargetInvalid),
            // The text of a field's value decides nothing.
            (
                422,
                "Invalid",
                "a is invalid: data: \"x is forbidden: y\"",
                &of_field,
                TargetInvalid,
            ),
            (
                400,
                "BadRequest",
                "the body can't be read",
                &none,
                TargetInvalid,
            ),
            (
                404,
                "NotFound",
                "configmaps \"a\" not found",
                &none,
                TargetNotFound,
            ),
            (401, "Unauthorized", "Unauthorized", &none, Retrying),
            (409, "Conflict", "the UID differs", &none, Retrying),
            (
                500,
                "InternalError",
                "failed calling webhook",
                &none,
                Retrying,
            ),
        ] {
            let target = TargetKey {
                kind: crate::api::TargetKind::ConfigMap,
                namespace: "n".into(),
                name: "a".into(),
            };
            let problem = answer(code, reason, message, causes).problem(&target);
            assert_eq!(problem.reason, expected, "{code} {message}");
        }
    }
}
