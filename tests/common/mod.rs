//! What both test binaries use. Each names this module once.

pub mod bedrock_server;
pub mod chart;
pub mod credentials_servers;
pub mod logs_server;
pub mod program;
pub mod refusals;
pub mod serving;
pub mod tls_server;
pub mod tools;
pub mod yaml;
