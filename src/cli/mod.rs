//! The command line: composition, and the only place that prints.

pub mod catalog;
pub mod options;
