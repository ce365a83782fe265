//! Finds system-defined Amazon Bedrock inference profiles and writes their IDs where workloads read them.
//!
//! The map of the crate is ARCHITECTURE.md. Modules import downward only: `cli`, `server`, `controller`, `leader`, `cache`,
//! `queue`, `feeds`, `traces`, `metrics`, `sources`, `plan`, `served`, `scan`, `render`, `iam`, `class`, `resolve`, `residency`, `lifecycle`,
//! `catalog`, `api`, `glob`,
//! `pause`, `models`, `route`, `types`, `plain`.

pub mod api;
pub mod cache;
pub mod catalog;
pub mod class;
pub mod cli;
pub mod controller;
pub mod feeds;
pub mod glob;
pub mod iam;
pub mod leader;
pub mod lifecycle;
pub mod metrics;
pub mod models;
pub mod pause;
pub mod plain;
pub mod plan;
pub mod queue;
pub mod render;
pub mod residency;
pub mod resolve;
pub mod route;
pub mod scan;
pub mod served;
pub mod server;
pub mod sources;
pub mod traces;
pub mod types;
