//! What a case is: an async function on a stage. Its wrapper makes the stage, and stops what runs on it in the end.

use std::{
    fmt::Display,
    panic::{AssertUnwindSafe, resume_unwind},
    sync::Arc,
};

use futures::{FutureExt, future::BoxFuture};

use crate::{stage::Stage, support::Cluster};

/// A named case.
#[derive(Clone)]
pub struct Case {
    /// Its module and its function, as in `merge::needs_the_consent_of_the_owner`.
    pub name: String,
    /// Whether it waits for kube-controller-manager, which not every set of binaries has.
    pub needs_controllers: bool,
    /// The minor version of Kubernetes that it needs, where the chart says that older ones lack something; 0: any.
    pub needs_minor: u32,
    module: &'static str,
    set_up: SetUp,
    body: Arc<Body>,
}

/// Starts what a case finds on its stage: [`empty`], [`live`], [`embedded`], or a function of a module's own.
///
/// [`empty`]: crate::stage::empty
/// [`live`]: crate::stage::live
/// [`embedded`]: crate::stage::embedded
type SetUp = fn(&mut Stage);

type Body = dyn for<'a> Fn(&'a mut Stage) -> BoxFuture<'a, ()> + Send + Sync;

impl Case {
    /// Makes a case; [`cases`] and [`case`] give the module's path.
    pub fn new(
        module: &'static str,
        name: impl Display,
        set_up: SetUp,
        body: impl for<'a> Fn(&'a mut Stage) -> BoxFuture<'a, ()> + Send + Sync + 'static,
    ) -> Self {
        let module = module.rsplit("::").next().unwrap_or(module);
        Self {
            name: format!("{module}::{name}"),
            needs_controllers: false,
            needs_minor: 0,
            module,
            set_up,
            body: Arc::new(body),
        }
    }

    /// Runs the case in a namespace of its own, and stops its operators at the end, also where it panics.
    pub async fn run(&self, cluster: Cluster) {
        let prefix = self.module.replace('_', "-");
        let mut stage = Stage::new(cluster, &prefix).await;
        (self.set_up)(&mut stage);
        let body = AssertUnwindSafe((self.body)(&mut stage));
        let outcome = body.catch_unwind().await;
        let stopped = AssertUnwindSafe(stage.end()).catch_unwind().await;
        if let Err(panic) = outcome.and(stopped) {
            resume_unwind(panic);
        }
    }
}

/// Returns the cases with these functions, which take the stage, by their set-up: `cases![live(a, b), empty(c)]`. Each is
/// named after its function.
macro_rules! cases {
    ($($set_up:ident($($function:ident),* $(,)?)),* $(,)?) => {
        vec![$($($crate::case::case!($set_up, stringify!($function), $function()),)*)*]
    };
}

/// Returns the case with this set-up, name and function, which takes the stage and then what is given here: for a row of a
/// table.
macro_rules! case {
    ($set_up:ident, $name:expr, $function:ident($($argument:expr),* $(,)?)) => {
        $crate::case::Case::new(module_path!(), $name, $set_up, move |stage| {
            Box::pin($function(stage, $($argument),*))
        })
    };
}

pub(crate) use {case, cases};

/// Says of cases that they need this minor version of Kubernetes.
pub fn needing_minor(minor: u32, mut cases: Vec<Case>) -> Vec<Case> {
    for case in &mut cases {
        case.needs_minor = minor;
    }
    cases
}

/// Says of cases that they wait for garbage collection, the end of a namespace or a service account.
pub fn needing_controllers(mut cases: Vec<Case>) -> Vec<Case> {
    for case in &mut cases {
        case.needs_controllers = true;
    }
    cases
}
