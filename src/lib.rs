//! Finds system-defined Amazon Bedrock inference profiles and writes their IDs where workloads read them.
//!
//! The map of the crate is ARCHITECTURE.md. Modules import downward only: `cli`, `controller`, `queue` and `cache`,
//! `plan` and `render`, `iam`, `resolve` and `residency`, `catalog`, `api`, `glob`, `types`.

pub mod api;
pub mod cache;
pub mod catalog;
pub mod cli;
pub mod controller;
pub mod glob;
pub mod iam;
pub mod leader;
pub mod metrics;
pub mod plan;
pub mod queue;
pub mod render;
pub mod residency;
pub mod resolve;
pub mod server;
pub mod types;
