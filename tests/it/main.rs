//! The tests that need no cluster, all in one binary: linking is what costs. Each module is a subject;
//! `cargo test --test it iam::` runs the tests of one.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "tests fail by panicking"
)]

mod alerts;
mod app;
mod bedrock;
mod catalog_data;
mod chart;
mod cli;
mod commands;
#[path = "../common/mod.rs"]
mod common;
mod controlplane;
mod deny;
mod docs;
mod generated;
mod gitops;
mod hostile;
mod house;
mod iam;
mod input;
mod models_in_use;
mod presets;
mod preview;
mod python;
#[path = "../common/records.rs"]
mod records;
mod reference;
mod release;
mod residency;
mod scan;
mod served;
mod site;
