//! The faults: each is one function, which sets up what it needs, acts, mends, and returns when it is mended.

mod apiserver;
mod aws;
mod etcd;
mod network;
mod objects;
mod replicas;
mod rights;

use futures::future::BoxFuture;

use crate::{Outcome, world::World};

/// The longest pause between two tries of what failed on the way (docs/conditions.md, `Retrying`), in seconds. Bounds are
/// given in hundredths of it.
pub const CAP: u64 = 60;
/// Two tries at the longest pause.
const TWO_CAPS: u64 = 200;
/// One try at the longest pause.
const ONE_CAP: u64 = 100;
/// 30 s.
const HALF_A_CAP: u64 = 50;
/// 15 s.
const A_QUARTER: u64 = 25;

/// Which forms of the suite have a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// The short one and the long one.
    Short,
    /// The long one.
    Long,
}

/// A fault.
pub struct Fault {
    pub name: &'static str,
    /// Whether the short form has it.
    pub short: bool,
    /// Within how many hundredths of [`CAP`] all must stand as it must, once the fault is mended.
    pub within: u64,
    pub act: for<'a> fn(&'a mut World) -> BoxFuture<'a, Outcome>,
}

/// Returns the faults with these functions, each with whether the short form has it, and its bound.
macro_rules! faults {
    ($($function:ident($form:ident, $within:expr)),* $(,)?) => {
        vec![$($crate::faults::Fault {
            name: stringify!($function),
            short: $crate::faults::Form::$form == $crate::faults::Form::Short,
            within: $within,
            act: |world| Box::pin($function(world)),
        }),*]
    };
}

pub(crate) use faults;

/// Returns all faults, in the order in which they are tried.
pub fn all() -> Vec<Fault> {
    [
        replicas::faults(),
        objects::faults(),
        rights::faults(),
        aws::faults(),
        network::faults(),
        apiserver::faults(),
        etcd::faults(),
    ]
    .into_iter()
    .flatten()
    .collect()
}
