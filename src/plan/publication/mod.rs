//! Decides whether the written value is replaced, kept or withdrawn: the table "What happens to the written value" of
//! docs/conditions.md.

use std::sync::Arc;

use crate::{
    api::condition::ConditionType,
    residency::{Judgement, Verdict},
    route::Invocation,
    types::RoleArn,
};

use super::{
    answer::Answer,
    application,
    observed::{Binding, Observed},
    status::WrittenRoute,
};

/// What the targets are to hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Publication {
    /// The values of this route.
    Publish(Arc<WrittenRoute>),
    /// The values of the written route, which is kept.
    Keep(Arc<WrittenRoute>),
    /// Nothing: what was written is removed.
    Withdraw {
        /// The reason, for messages.
        why: Arc<str>,
    },
    /// What they hold now: they are not touched.
    Leave,
    /// Nothing, and nothing was written.
    Nothing,
}

impl Publication {
    /// Returns the route whose values the targets are to hold. Returns `None` when there is nothing to write.
    #[must_use]
    pub fn route(&self) -> Option<&WrittenRoute> {
        match self {
            Self::Publish(route) | Self::Keep(route) => Some(route),
            Self::Withdraw { .. } | Self::Leave | Self::Nothing => None,
        }
    }
}

/// In what a written value contradicts the spec.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Contradiction {
    /// It is of a model that is neither wanted nor a fallback, and of nothing else that the spec does not allow.
    ModelAlone,
    /// It is of a geography, or on demand, as the class of the binding does not ask for now. An edit of a class withdraws
    /// nothing.
    Class,
    /// It is of a geography that is neither wanted nor a fallback, on demand although `fallback.onDemand` is not true, of
    /// another source region, or, if it was listed live, of another account than that of the role.
    Call,
}

/// Says whether a written value must be withdrawn. This is the only rule that withdraws one; missing knowledge never does,
/// nor does a model that does not resolve. `certain` says that nothing allowed serves the spec.
#[must_use]
pub fn must_withdraw(
    contradiction: Option<Contradiction>,
    certain: bool,
    residency_violated: bool,
) -> bool {
    residency_violated || (contradiction == Some(Contradiction::Call) && certain)
}

/// Returns in what a written value contradicts the spec. Returns `None` when it does not, or when it is not known what is asked
/// for: the spec is not valid, or its class is missing or may not be used.
#[must_use]
pub fn contradiction(binding: &Binding, written: &WrittenRoute) -> Option<Contradiction> {
    let spec = &binding.spec;
    let source_region = spec.source_region()?;
    let other_account = || {
        let wanted = binding.spec.role.as_ref().and_then(RoleArn::account);
        // Roles are used for live listings only: the account of a snapshot says nothing about the role.
        let live = written.provenance.source.is_live();
        let asked = written.provenance.account.as_ref().filter(|_| live);
        matches!((wanted, asked), (Some(wanted), Some(asked)) if wanted != *asked)
    };
    let route = &written.route;
    if route.source_region != *source_region || other_account() {
        return Some(Contradiction::Call);
    }
    let request = spec.request.as_ref().ok()?;
    let allowed = match &route.invocation {
        Invocation::Profile { geography, .. } => {
            request.geographies().any(|wanted| wanted == geography)
        }
        Invocation::OnDemand => request.on_demand,
    };
    if !allowed {
        let is_of_class = spec.class.is_some();
        return Some(if is_of_class {
            Contradiction::Class
        } else {
            Contradiction::Call
        });
    }
    let is_other_model = request.models().all(|wanted| *wanted != route.model);
    is_other_model.then_some(Contradiction::ModelAlone)
}

/// Says whether a live listing lacks the route that an earlier one gave, that is in use, and that the spec still asks for.
#[must_use]
pub fn is_missing(observed: &Observed) -> bool {
    let binding = &*observed.binding;
    let supported = binding.status.finding(ConditionType::RegionSupported);
    let (Some(written), Some(catalog), Some(true)) = (
        &binding.status.route,
        &observed.feed.catalog,
        supported.map(|supported| supported.is_true()),
    ) else {
        return false;
    };
    let (route, earlier) = (&written.route, &written.provenance);
    let is_listed = if let Some(id) = route.profile() {
        let mut profiles = catalog.profiles_of(&route.model).iter();
        profiles.any(|profile| profile.id == *id)
    } else {
        let model = catalog.model(&route.model);
        catalog.models().is_none() || model.is_some_and(|model| model.on_demand)
    };
    let other_account =
        matches!((&earlier.account, catalog.account()), (Some(before), Some(now)) if before != now);
    let is_listed = is_listed && application::is_listed(binding, written, catalog);
    !is_listed
        && !other_account
        && catalog.source().is_live()
        && earlier.source.is_live()
        && contradiction(binding, written).is_none()
}

/// Returns what the targets are to hold. `written_judgement` is the limits' judgement of the written route.
#[must_use]
pub fn decide(
    observed: &Observed,
    answer: &Answer,
    written_judgement: Option<&Judgement>,
) -> Publication {
    let binding = &*observed.binding;
    let violated = residency_violated(written_judgement);
    let fresh = match answer {
        Answer::Yes {
            route, judgement, ..
        } if judgement.permits() => Some(route.clone()),
        _ => None,
    };
    let limit_unknown = matches!(
        answer,
        Answer::Yes { judgement, .. } if judgement.verdict == Verdict::LimitUnknown
    );
    let is_anything_written =
        !binding.status.targets.is_empty() || !observed.held_objects.is_empty();
    let publication = match (&binding.status.route, fresh) {
        // It is not known what is allowed: nothing is written, and nothing is withdrawn unless a known limit forbids it.
        (written, _) if limit_unknown && !violated => {
            if written.is_none() && binding.status.targets.is_empty() {
                Publication::Nothing
            } else {
                Publication::Leave
            }
        }
        (None, Some(fresh)) => Publication::Publish(fresh),
        // A lost status: values are known to be written, and the limits do not allow the route.
        (None, None) if is_anything_written && is_forbidden(answer) => Publication::Withdraw {
            why: reason_of_withdrawal(answer, None),
        },
        // It is not known which route's values these are, so nothing says that they contradict the spec.
        (None, None) if is_anything_written => Publication::Leave,
        (None, None) => Publication::Nothing,
        (Some(written), fresh) => {
            decide_on_written(binding, written, fresh, answer, written_judgement, violated)
        }
    };
    match publication {
        Publication::Withdraw { .. } if violated || !binding.spec.suspend => publication,
        _ if binding.spec.suspend => Publication::Leave,
        publication => publication,
    }
}

/// Says whether the limits forbid the route that would serve, where no value may be written. They are known.
fn is_forbidden(answer: &Answer) -> bool {
    match answer {
        Answer::Yes { .. } => true,
        Answer::WithoutApplication { judgement, .. } => judgement.forbids(),
        Answer::No { .. } | Answer::Unknown(_) | Answer::NotAsked(_) => false,
    }
}

fn decide_on_written(
    binding: &Binding,
    written: &Arc<WrittenRoute>,
    fresh: Option<Arc<WrittenRoute>>,
    answer: &Answer,
    written_judgement: Option<&Judgement>,
    violated: bool,
) -> Publication {
    if let Some(fresh) = fresh {
        // The new value replaces the written one. In a suspended binding nothing is replaced: the written one is judged alone.
        if !(binding.spec.suspend && violated) {
            return Publication::Publish(fresh);
        }
    }
    let contradiction = contradiction(binding, written);
    if must_withdraw(contradiction, answer.is_definite(), violated) {
        return Publication::Withdraw {
            why: reason_of_withdrawal(answer, written_judgement),
        };
    }
    match contradiction {
        // Values without an application profile would be new ones for a spec that names one.
        _ if binding.spec.application().is_some() && written.application.is_none() => {
            Publication::Leave
        }
        Some(Contradiction::Call) => Publication::Leave,
        // The targets may already hold the value of the new model, of which the status does not know yet.
        Some(Contradiction::ModelAlone | Contradiction::Class) if !answer.is_definite() => {
            Publication::Leave
        }
        Some(Contradiction::ModelAlone | Contradiction::Class) | None => {
            Publication::Keep(written.clone())
        }
    }
}

/// Says whether the written route reaches a region that a limit forbids, either as it was written or as the catalog lists it
/// now. `written_judgement` is the limits' judgement of both.
#[must_use]
pub fn residency_violated(written_judgement: Option<&Judgement>) -> bool {
    written_judgement.is_some_and(Judgement::forbids)
}

fn reason_of_withdrawal(answer: &Answer, written_judgement: Option<&Judgement>) -> Arc<str> {
    if let Some(judgement) = written_judgement
        && !judgement.permits()
    {
        return judgement.message().into();
    }
    match answer {
        Answer::Yes {
            route, judgement, ..
        } => format!(
            "the spec now asks for {}, which is not allowed: {}",
            route.route.id(),
            judgement.message()
        )
        .into(),
        Answer::WithoutApplication { judgement, .. } if judgement.forbids() => {
            judgement.message().into()
        }
        Answer::No { finding, .. }
        | Answer::WithoutApplication { finding, .. }
        | Answer::Unknown(finding)
        | Answer::NotAsked(finding) => format!(
            "the spec now asks for something else, and {}",
            finding.message
        )
        .into(),
    }
}

#[cfg(test)]
mod tests;
