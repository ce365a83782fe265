//! Finds system-defined Amazon Bedrock inference profiles and writes their IDs where workloads read them.
//!
//! The map of the crate is ARCHITECTURE.md. Modules import downward only: `cli`, `controller`, `queue` and `cache`,
//! `plan` and `render`, `resolve` and `residency`, `catalog`, `api`, `types`.

pub mod api;
pub mod catalog;
pub mod cli;
pub mod types;
