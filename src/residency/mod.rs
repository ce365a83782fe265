//! Residency: whether the limits allow every region that a request can reach.
//!
//! These are the source region and every destination from it. All limits must hold, and a malformed one fails closed. A global
//! profile can run in any commercial region, so only the limit `*` allows it.

mod limit;
pub mod sets;
mod verdict;

pub use limit::{Limit, LimitError, LimitOrigin, LimitOrigins, Limits, NamespaceLimit};
pub use verdict::{Judgement, Outside, Verdict, contradictions};
