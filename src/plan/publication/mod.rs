//! Decides whether the written value is replaced, kept or withdrawn: the table "What happens to the written value" of
//! docs/conditions.md.

use std::sync::Arc;

use crate::{
    api::condition::ConditionType,
    models::{Models, about},
    residency::Verdict,
    route::Invocation,
    types::RoleArn,
};

use super::{
    answer::Answer,
    application,
    observed::{Entry, Observed},
    several::Considered,
    status::WrittenRoute,
};

/// The routes whose values targets hold, one for each model.
pub type Routes = Models<Arc<WrittenRoute>>;

/// What the targets are to hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Publication {
    /// The values of these routes.
    Publish(Routes),
    /// The values of the written routes, which are kept.
    Keep(Routes),
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
    /// Returns the routes whose values the targets are to hold. Returns `None` when there is nothing to write.
    #[must_use]
    pub fn routes(&self) -> Option<&Routes> {
        match self {
            Self::Publish(routes) | Self::Keep(routes) => Some(routes),
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

/// Returns in what the written value of a model contradicts the spec. Returns `None` when it does not, when there is none, or when
/// it is not known what is asked for: the spec is not valid, or its class is missing or may not be used.
#[must_use]
pub fn contradiction(entry: Entry<'_>) -> Option<Contradiction> {
    let written = entry.written()?;
    let source_region = entry.ask.source_region()?;
    let other_account = || {
        let role = entry.binding.spec.role.as_ref();
        let wanted = role.and_then(RoleArn::account);
        // Roles are used for live listings only: the account of a snapshot says nothing about the role.
        let live = written.provenance.source.is_live();
        let asked = written.provenance.account.as_ref().filter(|_| live);
        matches!((wanted, asked), (Some(wanted), Some(asked)) if wanted != *asked)
    };
    let route = &written.route;
    if route.source_region != *source_region || other_account() {
        return Some(Contradiction::Call);
    }
    let request = entry.request()?;
    let allowed = match &route.invocation {
        Invocation::Profile { geography, .. } => {
            request.geographies().any(|wanted| wanted == geography)
        }
        Invocation::OnDemand => request.on_demand,
    };
    if !allowed {
        let is_of_class = entry.ask.class.is_some();
        return Some(if is_of_class {
            Contradiction::Class
        } else {
            Contradiction::Call
        });
    }
    let is_other_model = request.models().all(|wanted| *wanted != route.model);
    is_other_model.then_some(Contradiction::ModelAlone)
}

/// Says whether a live listing lacks the route of a model that an earlier one gave, that is in use, and that the spec still asks for.
#[must_use]
pub fn is_missing(entry: Entry<'_>, observed: &Observed) -> bool {
    let status = &entry.binding.status;
    let supported = status.finding(ConditionType::RegionSupported);
    let (Some(written), Some(catalog), Some(true)) = (
        entry.written(),
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
    let is_listed = is_listed && application::is_listed(entry, written, catalog);
    !is_listed
        && !other_account
        && catalog.source().is_live()
        && earlier.source.is_live()
        && contradiction(entry).is_none()
}

/// Returns what the targets are to hold. Nothing new is written unless every model has a route that may be. `violation` says how a
/// written route breaks a limit.
#[must_use]
pub fn decide(
    observed: &Observed,
    models: &Models<Considered<'_>>,
    violation: Option<&str>,
) -> Publication {
    let binding = &*observed.binding;
    let violated = violation.is_some();
    let fresh = models.try_map(|_, model| model.answer.fresh().cloned());
    let is_limit_unknown = |answer: &Answer| {
        matches!(
            answer,
            Answer::Yes { judgement, .. } if judgement.verdict == Verdict::LimitUnknown
        )
    };
    let limit_unknown = models.values().any(|model| is_limit_unknown(&model.answer));
    let is_written = binding.status.is_written();
    let is_anything_written =
        !binding.status.targets.is_empty() || !observed.held_objects.is_empty();
    let publication = match fresh {
        // It is not known what is allowed: nothing is written, and nothing is withdrawn unless a known limit forbids it.
        _ if limit_unknown && !violated => {
            if !is_written && binding.status.targets.is_empty() {
                Publication::Nothing
            } else {
                Publication::Leave
            }
        }
        fresh if is_written => decide_on_written(observed, models, fresh, violation),
        Some(fresh) => Publication::Publish(fresh),
        // A lost status: values are known to be written, and the limits do not allow the route.
        None if is_anything_written && models.values().any(|it| is_forbidden(&it.answer)) => {
            Publication::Withdraw {
                why: reason_of_withdrawal(models, violation),
            }
        }
        // It is not known which route's values these are, so nothing says that they contradict the spec.
        None if is_anything_written => Publication::Leave,
        None => Publication::Nothing,
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
        Answer::Yes { judgement, .. } => !judgement.permits(),
        Answer::WithoutApplication { judgement, .. } => judgement.forbids(),
        Answer::No { .. } | Answer::Unknown(_) | Answer::NotAsked(_) => false,
    }
}

/// Decides where values are written. `fresh` are the routes to write, if every model has one.
fn decide_on_written(
    observed: &Observed,
    models: &Models<Considered<'_>>,
    fresh: Option<Routes>,
    violation: Option<&str>,
) -> Publication {
    let binding = &*observed.binding;
    let violated = violation.is_some();
    if let Some(fresh) = fresh {
        // The new values replace the written ones. In a suspended binding nothing is replaced: the written ones are judged alone.
        if !(binding.spec.suspend && violated) {
            return Publication::Publish(fresh);
        }
    }
    let contradicts = |model: &Considered<'_>| contradiction(model.entry);
    let must_withdraw = |model: &Considered<'_>| {
        must_withdraw(contradicts(model), model.answer.rules_out(), violated)
    };
    // Targets are whole: the value of one model takes those of the others with it.
    if violated || models.values().any(must_withdraw) {
        return Publication::Withdraw {
            why: reason_of_withdrawal(models, violation),
        };
    }
    let written = models.try_map(|_, model| model.entry.written().cloned());
    let Some(written) = written.filter(|_| binding.has_same_names()) else {
        // The targets of the spec are made of other models than those that are written.
        return Publication::Leave;
    };
    let is_definite = models.values().all(|model| model.answer.is_definite());
    let stays_as_it_is = |model: &Considered<'_>| {
        let written = model.entry.written();
        // Values without an application profile would be new ones for a spec that names one.
        let lacks_application = model.entry.ask.application().is_some()
            && written.is_some_and(|written| written.application.is_none());
        lacks_application
            || match contradicts(model) {
                Some(Contradiction::Call) => true,
                // The targets may already hold the value of the new model, of which the status does not know yet.
                Some(Contradiction::ModelAlone | Contradiction::Class) => !is_definite,
                None => false,
            }
    };
    if models.values().any(stays_as_it_is) {
        Publication::Leave
    } else {
        Publication::Keep(written)
    }
}

/// Returns why the written values are withdrawn: the reason of the first model that has one.
fn reason_of_withdrawal(models: &Models<Considered<'_>>, violation: Option<&str>) -> Arc<str> {
    if let Some(violation) = violation {
        return violation.into();
    }
    let broken = |model: &Considered<'_>| {
        let judgement = model.written_judgement.as_ref()?;
        (!judgement.permits()).then(|| judgement.message())
    };
    let refused = |model: &Considered<'_>| {
        let needed = model.answer.rules_out() || is_forbidden(&model.answer);
        needed.then(|| model.answer.reason_of_withdrawal())
    };
    let first = |reason: &dyn Fn(&Considered<'_>) -> Option<String>| {
        let mut found = models.iter();
        found.find_map(|(name, model)| Some(about(name, &reason(model)?)))
    };
    let any = |model: &Considered<'_>| Some(model.answer.reason_of_withdrawal());
    first(&broken)
        .or_else(|| first(&refused))
        .or_else(|| first(&any))
        .unwrap_or_default()
        .into()
}

#[cfg(test)]
mod tests;
