//! What this suite shares with the other tests.

#[path = "../common/bedrock_server.rs"]
pub mod bedrock_server;
#[path = "../common/serving.rs"]
pub mod serving;
