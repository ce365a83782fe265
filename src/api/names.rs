//! Names that the operator writes to, or reads from, Kubernetes objects. They are part of the API.

/// API group, and the prefix of every other name here.
pub const GROUP: &str = "inferenceprofiles.dev";
/// Label, with the value `true`, of every object that the operator writes to. Watches select by it.
pub const MANAGED_LABEL: &str = "inferenceprofiles.dev/managed";
/// Annotation by which the owner of an object allows bindings to merge keys into it: their names, separated by commas.
pub const ALLOW_MERGE_ANNOTATION: &str = "inferenceprofiles.dev/allow-merge";
/// Annotation of a Namespace that sets a residency limit for all its bindings: entries separated by commas.
pub const ALLOWED_REGIONS_ANNOTATION: &str = "inferenceprofiles.dev/allowed-regions";
/// Annotation of a binding that requests a listing of its catalog whenever the value changes.
pub const REFRESH_ANNOTATION: &str = "inferenceprofiles.dev/refresh";
/// Finalizer of bindings that own keys in objects of others.
pub const MERGE_FINALIZER: &str = "inferenceprofiles.dev/merged-keys";
/// Type of owned Secrets, as servicebinding.io requires it.
pub const SECRET_TYPE: &str = "servicebinding.io/bedrock";
/// Field manager of the statuses of bindings and classes.
pub const STATUS_MANAGER: &str = "inferenceprofiles.dev";
/// Field manager of the finalizer, separate from that of the status, so that removing the finalizer changes nothing else.
pub const FINALIZER_MANAGER: &str = "inferenceprofiles.dev-finalizer";
/// Name under which Events are published.
pub const EVENT_CONTROLLER: &str = "inferenceprofiles.dev/operator";

const TARGET_MANAGER_PREFIX: &str = "inferenceprofiles.dev:";

/// Returns the field manager of a binding's targets.
#[must_use]
pub fn target_manager(binding: &str) -> String {
    format!("{TARGET_MANAGER_PREFIX}{binding}")
}

/// Returns the annotation of a pod template by which a binding restarts a workload. Each binding has its own, so that two
/// bindings that restart the same workload do not overwrite each other's annotation.
#[must_use]
pub fn rollout_annotation(binding: &str) -> String {
    format!("rollout.{GROUP}/{binding}")
}

/// Returns the binding whose targets this field manager writes, or `None` if the field manager is not ours.
#[must_use]
pub fn binding_of_manager(manager: &str) -> Option<&str> {
    manager.strip_prefix(TARGET_MANAGER_PREFIX)
}

/// Returns whether a label or annotation is of this group, or of a subdomain of it: only the operator, and the owners of objects,
/// set these.
#[must_use]
pub fn is_reserved(key: &str) -> bool {
    // The case of an annotation's key does not matter.
    let key = key.to_ascii_lowercase();
    let prefix = key.split_once('/').map(|(prefix, _)| prefix);
    let rest = prefix.and_then(|prefix| prefix.strip_suffix(GROUP));
    rest.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

/// Returns whether an allow-merge annotation names this binding.
#[must_use]
pub fn allows_merge(annotation: &str, binding: &str) -> bool {
    annotation.split(',').any(|name| name.trim() == binding)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn manager_names_fit_the_apiserver() {
        let longest = target_manager(&"x".repeat(63));
        assert!(longest.len() <= 128);
        assert_eq!(binding_of_manager(&longest), Some("x".repeat(63).as_str()));
        assert_eq!(binding_of_manager("kubectl"), None);
    }

    #[test]
    fn annotations_of_rollouts_fit_the_apiserver() {
        let annotation = rollout_annotation(&"x".repeat(63));
        let (prefix, name) = annotation.split_once('/').expect("a prefix");
        assert_eq!(prefix, "rollout.inferenceprofiles.dev");
        assert_eq!(name.len(), 63);
    }

    #[test]
    fn names_of_the_group_and_its_subdomains_are_reserved() {
        for (key, reserved) in [
            (MANAGED_LABEL, true),
            (ALLOW_MERGE_ANNOTATION, true),
            ("rollout.inferenceprofiles.dev/chat", true),
            ("InferenceProfiles.dev/managed", true),
            ("myinferenceprofiles.dev/managed", false),
            ("inferenceprofiles.dev", false),
            ("inferenceprofiles.dev.example.com/managed", false),
            ("team", false),
        ] {
            assert_eq!(is_reserved(key), reserved, "{key}");
        }
    }

    #[test]
    fn allow_merge_is_a_list_of_whole_names() {
        assert!(allows_merge("chat, embed", "embed"));
        assert!(!allows_merge("chat-2", "chat"));
        assert!(!allows_merge("", "chat"));
    }
}
