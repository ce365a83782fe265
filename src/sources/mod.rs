//! What is asked of AWS, and the sources of catalogs that do I/O: the live service and files. The embedded data are a source
//! themselves, in [`crate::catalog::embedded`].

mod aws_json;
pub mod bedrock;
pub mod directory;
pub mod logs;
pub mod trail;

pub use aws_json::Shared;

use crate::{catalog::listing::LeftOut, types::Region};

/// Logs the entries of a listing that can't be understood.
fn log_left_out(entries: &[LeftOut], region: &Region) {
    for LeftOut { id, arn, problem } in entries {
        tracing::warn!(%region, id, arn, problem, "an entry of the listing was left out");
    }
}
