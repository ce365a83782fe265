//! Faults that the operator is known not to bear yet. One that it bears must leave the list: it fails the suite.

/// A fault that fails.
pub struct Known {
    pub fault: &'static str,
    /// What is missing, in a few words.
    pub why: &'static str,
}

/// The list.
pub const KNOWN: &[Known] = &[];

/// Returns why a fault is known to fail.
pub fn why(fault: &str) -> Option<&'static str> {
    KNOWN
        .iter()
        .find(|known| known.fault == fault)
        .map(|known| known.why)
}
