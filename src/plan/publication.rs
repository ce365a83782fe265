//! What is published: the table "What happens to the written value" as functions.

use std::sync::Arc;

use crate::{
    catalog::SourceKind,
    render::Invocation,
    residency::{Limits, Verdict},
};

use super::{
    answer::Answer,
    observed::{Binding, Observed},
    status::WrittenProfile,
};

/// What the targets shall hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Publication {
    /// The values of this profile.
    Publish(Arc<WrittenProfile>),
    /// The values of the last good profile, which is kept.
    Keep(Arc<WrittenProfile>),
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
    /// Returns the profile whose values the targets shall hold.
    #[must_use]
    pub fn profile(&self) -> Option<&WrittenProfile> {
        match self {
            Self::Publish(profile) | Self::Keep(profile) => Some(profile),
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
pub fn contradicts(binding: &Binding, written: &WrittenProfile) -> bool {
    let Ok(request) = &binding.spec.request else {
        return true;
    };
    let other_account = || {
        let wanted = binding
            .spec
            .role
            .as_deref()
            .and_then(|role| role.split(':').nth(4));
        // Roles are for the live catalog: the account of a snapshot is nobody's.
        let live = written.provenance.source.as_ref() == SourceKind::Bedrock.as_str();
        let asked = written.provenance.account.as_deref().filter(|_| live);
        matches!((wanted, asked), (Some(wanted), Some(asked)) if wanted != asked)
    };
    let allowed = match &written.profile.invocation {
        Invocation::Profile { geography, .. } => {
            request.geographies().any(|wanted| wanted == geography)
        }
        Invocation::OnDemand => request.on_demand,
    };
    written.profile.model != request.model
        || written.profile.source_region != request.source_region
        || !allowed
        || other_account()
}

/// Returns what the targets shall hold.
#[must_use]
pub fn decide(observed: &Observed, answer: &Answer, limits: &Limits) -> Publication {
    let binding = &*observed.binding;
    let fresh = match answer {
        Answer::Yes {
            profile, verdict, ..
        } if verdict.permits() => Some(profile.clone()),
        _ => None,
    };
    let unknown = matches!(
        answer,
        Answer::Yes {
            verdict: Verdict::LimitUnknown,
            ..
        }
    );
    let publication = match (&binding.status.profile, fresh) {
        // What would be allowed is not known: nothing is written, and nothing is taken back that no limit forbids.
        (written, _) if unknown && !residency_violated(binding, answer, limits) => {
            if written.is_none() && binding.status.targets.is_empty() {
                Publication::Nothing
            } else {
                Publication::Leave
            }
        }
        (None, Some(fresh)) => Publication::Publish(fresh),
        // An inventory without a profile: the rest of a withdrawal, or of a status that can't be read.
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
        (Some(written), fresh) => decide_on_written(binding, written, fresh, answer, limits),
    };
    match publication {
        Publication::Withdraw { .. } if !binding.spec.suspend => publication,
        Publication::Withdraw { .. } if residency_violated(binding, answer, limits) => publication,
        _ if binding.spec.suspend => Publication::Leave,
        publication => publication,
    }
}

fn decide_on_written(
    binding: &Binding,
    written: &Arc<WrittenProfile>,
    fresh: Option<Arc<WrittenProfile>>,
    answer: &Answer,
    limits: &Limits,
) -> Publication {
    if let Some(fresh) = fresh {
        // The new value takes the place of the old one; suspended, the old one stands and is judged by itself.
        if !(binding.spec.suspend && residency_violated(binding, answer, limits)) {
            return Publication::Publish(fresh);
        }
    }
    let contradicts = contradicts(binding, written);
    if must_withdraw(
        contradicts,
        answer.is_definite(),
        residency_violated(binding, answer, limits),
    ) {
        let verdict = limits.judge(&written.profile.source_region, &written.profile.reachable());
        return Publication::Withdraw {
            why: reason_of_withdrawal(answer, Some((written, verdict))),
        };
    }
    if contradicts {
        Publication::Leave
    } else {
        Publication::Keep(written.clone())
    }
}

/// Says whether the written profile, as written or as the catalog has it now, reaches a region that a limit forbids.
#[must_use]
pub fn residency_violated(binding: &Binding, answer: &Answer, limits: &Limits) -> bool {
    let Some(written) = &binding.status.profile else {
        return false;
    };
    let as_written = limits.judge(&written.profile.source_region, &written.profile.reachable());
    let now = match answer {
        Answer::Yes {
            profile, verdict, ..
        } if profile.profile.id() == written.profile.id() => verdict.forbids(),
        _ => false,
    };
    as_written.forbids() || now
}

fn reason_of_withdrawal(
    answer: &Answer,
    written: Option<(&Arc<WrittenProfile>, Verdict)>,
) -> Arc<str> {
    if let Some((written, verdict)) = written
        && !verdict.permits()
    {
        return verdict
            .message(&written.profile.source_region, &written.profile.reachable())
            .into();
    }
    match answer {
        Answer::Yes {
            profile, verdict, ..
        } => verdict
            .message(&profile.profile.source_region, &profile.profile.reachable())
            .into(),
        Answer::No { finding, .. } | Answer::Unknown(finding) => format!(
            "the spec asks for something else now, and {}",
            finding.message
        )
        .into(),
    }
}
