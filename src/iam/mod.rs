//! What IAM checks when a workload invokes a profile, the policies that allow it, and how service control policies decide.
//!
//! All pure. [`Call`] lists the checks, [`workload`] and [`guardrail`] build policies, [`evaluate`] evaluates policies, and
//! [`format`](mod@format) turns them into Terraform and CloudFormation.
//!
//! Sources: <https://docs.aws.amazon.com/bedrock/latest/userguide/geographic-cross-region-inference.html>,
//! <https://docs.aws.amazon.com/bedrock/latest/userguide/global-cross-region-inference.html>.

pub mod context;
pub mod document;
pub mod evaluate;
pub mod format;
pub mod guardrail;
pub mod operator;
mod pattern;
pub mod trust;
pub mod truth;
pub mod workload;

use std::fmt;

use crate::{
    route::{Destinations, Route},
    types::{AccountId, ApplicationProfileArn, Arn, Region},
};

use context::{Context, Value};

/// Value of `aws:RequestedRegion` when IAM checks the model of a global profile without a region.
pub const UNSPECIFIED: &str = "unspecified";

/// The condition key that names the profile through which a model is invoked.
pub const INFERENCE_PROFILE_ARN: &str = "bedrock:InferenceProfileArn";
/// The condition key that names the region of a request.
pub const REQUESTED_REGION: &str = "aws:RequestedRegion";
/// The condition key that names the role or user that calls.
pub const PRINCIPAL_ARN: &str = "aws:PrincipalArn";

/// An action of a workload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    /// `InvokeModel` and Converse.
    Invoke,
    /// `InvokeModelWithResponseStream` and `ConverseStream`.
    Stream,
    /// `CreateModelInvocationJob`: batch inference.
    Batch,
}

impl Action {
    /// Returns the action's name in policies.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Invoke => "bedrock:InvokeModel",
            Self::Stream => "bedrock:InvokeModelWithResponseStream",
            Self::Batch => "bedrock:CreateModelInvocationJob",
        }
    }
}

/// A route as an account calls it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// The account of the workload, if it is known.
    account: Option<AccountId>,
    /// The route that it calls.
    pub route: Route,
    profile_arn: Option<String>,
    is_application: bool,
}

impl Call {
    /// Returns how an account calls a route. Returns `None` if the route has a profile and the account is not known: the ARN of
    /// a profile names one. The ARN of a model names none.
    #[must_use]
    pub fn new(route: Route, account: Option<AccountId>) -> Option<Self> {
        let profile_arn = match route.profile() {
            Some(profile) => Some(route.source_region.profile_arn(account.as_ref()?, profile)),
            None => None,
        };
        Some(Self {
            account,
            route,
            profile_arn,
            is_application: false,
        })
    }

    /// Returns the same call through an application profile, which takes the place of the system-defined one in every check.
    ///
    /// Source: <https://docs.aws.amazon.com/bedrock/latest/userguide/inference-profiles-prereq.html>
    #[must_use]
    pub fn through_application(self, arn: &ApplicationProfileArn) -> Self {
        Self {
            account: arn.account().or(self.account),
            profile_arn: Some(arn.to_string()),
            is_application: true,
            ..self
        }
    }

    /// Says whether the call is through an application profile.
    #[must_use]
    pub fn is_application(&self) -> bool {
        self.is_application
    }

    /// Returns the account of the workload, if it is known.
    #[must_use]
    pub fn account(&self) -> Option<&AccountId> {
        self.account.as_ref()
    }

    /// Returns the ARN of the application profile or else of the system-defined one, or `None` for a model on demand. The ARN names the source region and so pins the route.
    #[must_use]
    pub fn profile_arn(&self) -> Option<&str> {
        self.profile_arn.as_deref()
    }

    /// Returns the regions in which IAM checks the model, sorted: the source region and every destination region. For a global
    /// profile this is only the source region.
    #[must_use]
    pub fn model_regions(&self) -> Vec<Region> {
        let mut regions = match &self.route.destinations {
            Destinations::Regions(regions) => regions.to_vec(),
            Destinations::Anywhere => Vec::new(),
        };
        regions.push(self.route.source_region.clone());
        regions.sort();
        regions.dedup();
        regions
    }

    /// Returns the ARN of the model without a region, which IAM checks for a global profile.
    #[must_use]
    pub fn anywhere_arn(&self) -> String {
        format!(
            "arn:{}:bedrock:::foundation-model/{}",
            self.route.source_region.partition().name,
            self.route.model
        )
    }

    /// Returns the checks that IAM makes when the route is used. All of them must be allowed.
    ///
    /// `bedrock:InferenceProfileArn` is present when IAM checks a model through a profile, and absent when it checks the profile
    /// itself. AWS does not document the key for batch jobs, so it is unknown for these.
    #[must_use]
    pub fn checks(&self, action: Action) -> Vec<Check> {
        let source = &self.route.source_region;
        let profile_arn = self.profile_arn();
        let through = match (action, profile_arn) {
            (_, None) => Value::Absent,
            (Action::Batch, Some(_)) => Value::Unknown,
            (Action::Invoke | Action::Stream, Some(arn)) => Value::Is(arn.to_owned()),
        };
        let model_in = |region: &Region| Check {
            checked: if region == source {
                CheckedResource::Source(region.clone())
            } else {
                CheckedResource::Destination(region.clone())
            },
            action,
            resource: region.foundation_model_arn(&self.route.model),
            inference_profile: through.clone(),
        };
        let mut checks: Vec<Check> = profile_arn
            .map(|resource| Check {
                checked: CheckedResource::Profile(source.clone()),
                action,
                resource: resource.to_owned(),
                inference_profile: Value::Absent,
            })
            .into_iter()
            .collect();
        checks.extend(self.model_regions().iter().map(model_in));
        if self.route.is_global() {
            checks.push(Check {
                checked: CheckedResource::Anywhere,
                action,
                resource: self.anywhere_arn(),
                inference_profile: through.clone(),
            });
        }
        if action == Action::Batch {
            checks.push(Check {
                checked: CheckedResource::Job(source.clone()),
                action,
                resource: self.job_arn("job"),
                inference_profile: Value::Absent,
            });
        }
        checks
    }

    /// Returns the ARN of a batch job; `id` may be a pattern. The account is one, too, if it is not known.
    fn job_arn(&self, id: &str) -> String {
        let source = &self.route.source_region;
        format!(
            "arn:{}:bedrock:{source}:{}:model-invocation-job/{id}",
            source.partition().name,
            self.account.as_ref().map_or("*", AccountId::as_str)
        )
    }
}

/// The resource that a check is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum CheckedResource {
    /// The profile itself, in its source region.
    Profile(Region),
    /// The model in the source region.
    Source(Region),
    /// The model in a destination region.
    Destination(Region),
    /// The model without a region, for a global profile.
    Anywhere,
    /// The batch job, in the source region.
    Job(Region),
}

impl CheckedResource {
    /// Returns the value of `aws:RequestedRegion` in the check.
    #[must_use]
    pub fn requested_region(&self) -> &str {
        match self {
            Self::Profile(region)
            | Self::Source(region)
            | Self::Destination(region)
            | Self::Job(region) => region.as_str(),
            Self::Anywhere => UNSPECIFIED,
        }
    }
}

impl fmt::Display for CheckedResource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Profile(region) => write!(f, "profile in {region}"),
            Self::Source(region) => write!(f, "model in {region} (source)"),
            Self::Destination(region) => write!(f, "model in {region}"),
            Self::Anywhere => write!(f, "model anywhere ({UNSPECIFIED})"),
            Self::Job(region) => write!(f, "batch job in {region}"),
        }
    }
}

/// One of the checks that IAM makes for a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// The resource that is checked.
    pub checked: CheckedResource,
    /// The action.
    pub action: Action,
    /// ARN of the resource.
    pub resource: String,
    /// Value of `bedrock:InferenceProfileArn`.
    pub inference_profile: Value,
}

impl Check {
    /// Returns the condition keys of the caller with those of this check.
    #[must_use]
    pub fn context(&self, caller: &Context) -> Context {
        caller
            .clone()
            .with(
                REQUESTED_REGION,
                Value::Is(self.checked.requested_region().to_owned()),
            )
            .with(INFERENCE_PROFILE_ARN, self.inference_profile.clone())
    }
}

/// The principal that makes a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    arn: String,
    kind: &'static str,
    account: AccountId,
}

/// Says why a text is not a value that `aws:PrincipalArn` can have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PrincipalError {
    /// The text is the ARN of a session.
    #[error(
        "{0} is the ARN of a session: give that of its role, arn:aws:iam::ACCOUNT:role/NAME, with its path"
    )]
    Session(String),
    /// The text is something else.
    #[error("{0:?} is not the ARN of a role or user, such as arn:aws:iam::111122223333:role/chat")]
    NotAPrincipal(String),
}

impl std::str::FromStr for Principal {
    type Err = PrincipalError;

    fn from_str(text: &str) -> Result<Self, PrincipalError> {
        let not_a_principal = || PrincipalError::NotAPrincipal(text.to_owned());
        let arn = Arn::parse(text).map_err(|_| not_a_principal())?;
        if arn.service == "sts" {
            return Err(PrincipalError::Session(text.to_owned()));
        }
        let kind = match arn.resource.split_once('/') {
            Some(("role", _)) => "AssumedRole",
            Some(("user", _)) => "User",
            _ if arn.resource == "root" => "Account",
            _ => return Err(not_a_principal()),
        };
        match arn.account {
            Some(account) if arn.service == "iam" => Ok(Self {
                arn: text.to_owned(),
                kind,
                account,
            }),
            _ => Err(not_a_principal()),
        }
    }
}

impl Principal {
    /// Returns the principal's account.
    #[must_use]
    pub fn account(&self) -> &AccountId {
        &self.account
    }
}

/// Returns the known condition keys of a caller, which calls Bedrock directly and by TLS. Without a principal, at most its
/// account is known.
///
/// Source: <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html>
#[must_use]
pub fn caller(account: Option<&AccountId>, principal: Option<&Principal>) -> Context {
    let account = account.map_or(Value::Unknown, |account| Value::Is(account.to_string()));
    let context = Context::default()
        .with("aws:PrincipalAccount", account)
        .with("aws:CalledVia", Value::Absent)
        .with("aws:CalledViaFirst", Value::Absent)
        .with("aws:CalledViaLast", Value::Absent)
        .with("aws:PrincipalIsAWSService", Value::Is("false".to_owned()))
        .with("aws:ViaAWSService", Value::Is("false".to_owned()))
        .with("aws:SecureTransport", Value::Is("true".to_owned()));
    match principal {
        None => context,
        Some(principal) => context
            .with(PRINCIPAL_ARN, Value::Is(principal.arn.clone()))
            .with("aws:PrincipalType", Value::Is(principal.kind.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn principals() {
        for (text, kind) in [
            ("arn:aws:iam::111122223333:role/path/chat", "AssumedRole"),
            ("arn:aws-us-gov:iam::111122223333:user/a", "User"),
            ("arn:aws:iam::111122223333:root", "Account"),
        ] {
            let principal: Principal = text.parse().expect(text);
            assert_eq!(principal.kind, kind, "{text}");
            assert_eq!(principal.account().as_str(), "111122223333");
        }
        let session = "arn:aws:sts::111122223333:assumed-role/chat/s";
        assert_eq!(
            session.parse::<Principal>(),
            Err(PrincipalError::Session(session.to_owned()))
        );
        for text in [
            "chat",
            "arn:aws:iam::111122223333:policy/a",
            "arn:aws:iam:::role/a",
            "arn:aws:s3::111122223333:role/a",
        ] {
            assert!(text.parse::<Principal>().is_err(), "{text}");
        }
    }
}
