//! Where catalogs come from: the live service, and files. The embedded data need no source of their own: they are in
//! [`crate::catalog::embedded`].

pub mod bedrock;
pub mod directory;
