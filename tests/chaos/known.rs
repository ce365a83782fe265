//! Faults that the operator is known not to bear yet. One that it bears must leave the list: it fails the suite.

/// A fault that fails.
pub struct Known {
    pub fault: &'static str,
    /// What is missing, in a sentence.
    pub why: &'static str,
    /// Whether it fails in every try. The others need luck: they may pass.
    pub always: bool,
}

/// Correction 1: a complete list replaces what is known.
const LIST: &str = "A complete list does not replace what is known.";
/// Correction 3: a short outage of AWS writes nothing.
const OUTAGE: &str = "A short outage of AWS is written into every status.";
/// Correction 4: a profile that vanishes counts when a second listing agrees.
const FLAPPING: &str = "One listing is enough for a profile to vanish.";
/// Correction 12: a late write changes nothing.
const LATE: &str = "A write that arrives late changes something.";
/// Correction 13: a restart is owed until it is done.
const OWED: &str = "A restart is forgotten where the status could not be written.";
/// Corrections 5 and 16: what waited comes back with what it waited for.
const WAITING: &str = "What waited sits out its pause.";
/// Correction 17: a silent connection is noticed.
const SILENT: &str = "A silent connection is not noticed.";

/// Correction 18: admission's refusals are named so.
const REFUSED: &str = "A policy's refusal counts as final: a finalizer goes, though the keys that it stands for were not removed.";
/// Not among the corrections yet.
const HIDDEN: &str =
    "The answer to a write of the operator hides a change of the spec whose event has not arrived.";

const fn known(fault: &'static str, why: &'static str) -> Known {
    Known {
        fault,
        why,
        always: true,
    }
}

/// One that fails by chance: what it strikes must be between two certain writes.
const fn by_chance(fault: &'static str, why: &'static str) -> Known {
    Known {
        always: false,
        ..known(fault, why)
    }
}

/// The list.
pub const KNOWN: &[Known] = &[
    by_chance("leader_stopped_past_its_lease", OWED),
    by_chance("both_replicas_killed", OWED),
    by_chance("network_cut", OWED),
    by_chance("specs_changed_as_soon_as_they_are_created", HIDDEN),
    by_chance("specs_changed_there_and_back", HIDDEN),
    by_chance("specs_changed_there_and_back_while_nobody_looks", OWED),
    known("rights_on_statuses_withdrawn", OWED),
    known("changes_refused_by_a_policy", REFUSED),
    known("aws_denies", OUTAGE),
    known("aws_answers_with_a_part", OUTAGE),
    known("aws_lists_a_profile_now_and_then", FLAPPING),
    known("network_delayed_by_30_s", LATE),
    by_chance("answers_held_back", HIDDEN),
    known("connections_silent_for_good", SILENT),
    by_chance("apiserver_killed_twice", WAITING),
    known("etcd_restored_from_an_older_copy", LIST),
];

/// Returns what is known of a fault that fails.
pub fn of(fault: &str) -> Option<&'static Known> {
    KNOWN.iter().find(|known| known.fault == fault)
}
