//! What is published: the table "What happens to the written value" as functions.

use std::sync::Arc;

use crate::{
    residency::{Judgement, Verdict},
    route::Invocation,
    types::RoleArn,
};

use super::{
    answer::Answer,
    observed::{Binding, Observed},
    status::WrittenRoute,
};

/// What the targets shall hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Publication {
    /// The values of this route.
    Publish(Arc<WrittenRoute>),
    /// The values of the last good route, which is kept.
    Keep(Arc<WrittenRoute>),
    /// Nothing: what was written is removed.
    Withdraw {
        /// Why.
        why: Arc<str>,
    },
    /// Whatever they hold: they are not touched.
    Leave,
    /// Nothing: nothing was written.
    Nothing,
}

impl Publication {
    /// Returns the route whose values the targets shall hold.
    #[must_use]
    pub fn route(&self) -> Option<&WrittenRoute> {
        match self {
            Self::Publish(route) | Self::Keep(route) => Some(route),
            Self::Withdraw { .. } | Self::Leave | Self::Nothing => None,
        }
    }
}

/// Says whether a written value must be withdrawn. Nothing else withdraws one; not knowing never does.
#[must_use]
pub fn must_withdraw(contradicts: bool, definite_no: bool, residency_violated: bool) -> bool {
    residency_violated || (contradicts && definite_no)
}

/// Says whether a written value contradicts the spec: another model, a geography that is neither wanted nor a fallback, the
/// model itself where `fallback.onDemand` is not true, another source region, or, where it was listed live, the account of
/// another role.
#[must_use]
pub fn contradicts(binding: &Binding, written: &WrittenRoute) -> bool {
    let Ok(request) = &binding.spec.request else {
        return true;
    };
    let other_account = || {
        let wanted = binding.spec.role.as_ref().and_then(RoleArn::account);
        // Roles are for the live catalog: the account of a snapshot is nobody's.
        let live = written.provenance.source.is_live();
        let asked = written.provenance.account.as_ref().filter(|_| live);
        matches!((wanted, asked), (Some(wanted), Some(asked)) if wanted != *asked)
    };
    let route = &written.route;
    let allowed = match &route.invocation {
        Invocation::Profile { geography, .. } => {
            request.geographies().any(|wanted| wanted == geography)
        }
        Invocation::OnDemand => request.on_demand,
    };
    route.model != request.model
        || route.source_region != request.source_region
        || !allowed
        || other_account()
}

/// Returns what the targets shall hold. `judged` is what the limits say of the written route.
#[must_use]
pub fn decide(observed: &Observed, answer: &Answer, judged: Option<&Judgement>) -> Publication {
    let binding = &*observed.binding;
    let violated = residency_violated(binding, answer, judged);
    let fresh = match answer {
        Answer::Yes {
            route, judgement, ..
        } if judgement.permits() => Some(route.clone()),
        _ => None,
    };
    let unknown = matches!(
        answer,
        Answer::Yes { judgement, .. } if judgement.verdict == Verdict::LimitUnknown
    );
    let publication = match (&binding.status.route, fresh) {
        // What would be allowed is not known: nothing is written, and nothing is taken back that no limit forbids.
        (written, _) if unknown && !violated => {
            if written.is_none() && binding.status.targets.is_empty() {
                Publication::Nothing
            } else {
                Publication::Leave
            }
        }
        (None, Some(fresh)) => Publication::Publish(fresh),
        // An inventory without a route: the rest of a withdrawal, or of a status that can't be read.
        (None, None) if !binding.status.targets.is_empty() && answer.is_definite() => {
            Publication::Withdraw {
                why: reason_of_withdrawal(answer, None),
            }
        }
        // A lost status: that something is written there is known, and that nothing may be.
        (None, None) if !observed.traces.is_empty() && matches!(answer, Answer::Yes { .. }) => {
            Publication::Withdraw {
                why: reason_of_withdrawal(answer, None),
            }
        }
        (None, None) => Publication::Nothing,
        (Some(written), fresh) => {
            decide_on_written(binding, written, fresh, answer, judged, violated)
        }
    };
    match publication {
        Publication::Withdraw { .. } if violated || !binding.spec.suspend => publication,
        _ if binding.spec.suspend => Publication::Leave,
        publication => publication,
    }
}

fn decide_on_written(
    binding: &Binding,
    written: &Arc<WrittenRoute>,
    fresh: Option<Arc<WrittenRoute>>,
    answer: &Answer,
    judged: Option<&Judgement>,
    violated: bool,
) -> Publication {
    if let Some(fresh) = fresh {
        // The new value takes the place of the old one; suspended, the old one stands and is judged by itself.
        if !(binding.spec.suspend && violated) {
            return Publication::Publish(fresh);
        }
    }
    let contradicts = contradicts(binding, written);
    if must_withdraw(contradicts, answer.is_definite(), violated) {
        return Publication::Withdraw {
            why: reason_of_withdrawal(answer, judged),
        };
    }
    if contradicts {
        Publication::Leave
    } else {
        Publication::Keep(written.clone())
    }
}

/// Says whether the written route, as written or as the catalog has it now, reaches a region that a limit forbids. `judged`
/// is what the limits say of it as written.
#[must_use]
pub fn residency_violated(binding: &Binding, answer: &Answer, judged: Option<&Judgement>) -> bool {
    let Some(written) = &binding.status.route else {
        return false;
    };
    let now = match answer {
        Answer::Yes {
            route, judgement, ..
        } if route.route.id() == written.route.id() => judgement.forbids(),
        _ => false,
    };
    now || judged.is_some_and(Judgement::forbids)
}

fn reason_of_withdrawal(answer: &Answer, judged: Option<&Judgement>) -> Arc<str> {
    if let Some(judged) = judged
        && !judged.permits()
    {
        return judged.message().into();
    }
    match answer {
        Answer::Yes { judgement, .. } => judgement.message().into(),
        Answer::No { finding, .. } | Answer::Unknown(finding) => format!(
            "the spec asks for something else now, and {}",
            finding.message
        )
        .into(),
    }
}

#[cfg(test)]
mod tests;
