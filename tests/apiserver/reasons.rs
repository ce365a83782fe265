pub fn cases() -> Vec<crate::support::Case> {
    Vec::new()
}
