//! Residency: whether every region that a request can reach is one that the limits allow.
//!
//! The regions that matter are the source region and every destination from that source. All limits must hold; a
//! malformed one fails closed. A global profile can run in any commercial region, so only the limit `*` satisfies it.

mod limit;
pub mod sets;
mod verdict;

pub use limit::{
    Limit, LimitError, LimitOrigin, Limits, MOST_CHARACTERS, MOST_ENTRIES, NamespaceLimit,
};
pub use verdict::{Judgement, Outside, Verdict, contradictions, reachable};
