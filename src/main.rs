//! The program `inference-profile-operator`.

fn main() {}
