//! Says what a failed request means, and what to do about it.

use crate::{
    catalog::{CatalogError, regions::Regions},
    types::{Arn, Region, RoleArn},
};

use super::{
    denial::{Denial, PolicyKind},
    error::{CredentialsFailure, ErrorResponse, Failure},
    network::is_public_host,
    profile::{Gives, SharedProfile},
};

/// What was asked of Bedrock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::sources) enum Action {
    ListInferenceProfiles,
    ListApplicationProfiles,
    ListFoundationModels,
    GetFoundationModelAvailability,
}

impl Action {
    /// Returns the permission that it needs.
    pub(in crate::sources) fn permission(self) -> &'static str {
        match self {
            Self::ListInferenceProfiles | Self::ListApplicationProfiles => {
                "bedrock:ListInferenceProfiles"
            }
            Self::ListFoundationModels => "bedrock:ListFoundationModels",
            Self::GetFoundationModelAvailability => "bedrock:GetFoundationModelAvailability",
        }
    }

    fn in_words(self) -> &'static str {
        match self {
            Self::ListInferenceProfiles => "list the inference profiles of",
            Self::ListApplicationProfiles => "list the application inference profiles of",
            Self::ListFoundationModels => "list the foundation models of",
            Self::GetFoundationModelAvailability => "ask for the availability of models in",
        }
    }

    /// Returns the resource to allow the permission on. Only the listing of profiles has resources of its own.
    fn resource(self, partition: &str, account: &str) -> String {
        match self {
            Self::ListInferenceProfiles => {
                format!("arn:{partition}:bedrock:*:{account}:inference-profile/*")
            }
            Self::ListApplicationProfiles => {
                format!("arn:{partition}:bedrock:*:{account}:application-inference-profile/*")
            }
            Self::ListFoundationModels | Self::GetFoundationModelAvailability => "*".to_owned(),
        }
    }
}

/// What was asked, where and as whom.
#[derive(Debug, Clone, Copy)]
pub(in crate::sources) struct Asked<'a> {
    pub(in crate::sources) action: Action,
    pub(in crate::sources) region: &'a Region,
    /// What is known about regions, for messages.
    pub(in crate::sources) regions: &'a Regions,
    /// The operator's own region.
    pub(in crate::sources) own_region: &'a Region,
    /// The host, or `None` if no request was made.
    pub(in crate::sources) host: Option<&'a str>,
    pub(in crate::sources) role: Option<&'a RoleArn>,
    /// Whether an external ID is sent with the role.
    pub(in crate::sources) external_id: bool,
    /// The profile of the shared configuration files. Only a failure of credentials looks at it.
    pub(in crate::sources) profile: Option<&'a SharedProfile>,
}

/// Codes by which AWS asks to slow down.
const THROTTLING: &[&str] = &[
    "ThrottlingException",
    "Throttling",
    "TooManyRequestsException",
    "RequestLimitExceeded",
    "ServiceQuotaExceededException",
    "SlowDown",
];
/// Codes of credentials that have expired.
const EXPIRED: &[&str] = &["ExpiredTokenException", "ExpiredToken"];
/// Codes of credentials that AWS does not know.
///
/// Source: <https://docs.aws.amazon.com/bedrock/latest/APIReference/CommonErrors.html>
const UNKNOWN: &[&str] = &[
    "UnrecognizedClientException",
    "UnrecognizedClient",
    "InvalidClientTokenId",
    "AuthFailure",
    "MissingAuthenticationToken",
    "MissingAuthenticationTokenException",
];
/// Codes of a wrong signature, or a wrong time of one.
const BAD_SIGNATURE: &[&str] = &[
    "InvalidSignatureException",
    "SignatureDoesNotMatch",
    "IncompleteSignature",
    "IncompleteSignatureException",
    "RequestExpired",
];
/// Codes of a wrong time of the signature.
const SKEWED: &[&str] = &["RequestTimeTooSkewed", "RequestInTheFuture"];

/// Returns what a failure means and what to do about it. Equal failures make equal texts.
pub(in crate::sources) fn catalog_error(failure: &Failure, asked: Asked) -> CatalogError {
    let region = asked.region;
    match failure {
        // An endpoint that can't be determined looks like one that can't be reached.
        Failure::NoConnection if asked.host.is_none() => catalog_error(&Failure::NotSent, asked),
        Failure::ErrorResponse(response) => response_error(response, asked),
        Failure::NotUnderstood { status } => CatalogError::ServiceError(format!(
            "the answer for {region} did not come from Bedrock (HTTP {status}): check proxies and AWS_ENDPOINT_URL_BEDROCK"
        )),
        Failure::NameNotResolved => CatalogError::EndpointUnreachable(name_advice(asked)),
        Failure::NoConnection => CatalogError::EndpointUnreachable(format!(
            "the connection to {} failed or broke: check egress rules, HTTPS_PROXY and NO_PROXY, and the VPC endpoint of \
             `bedrock`",
            endpoint(asked)
        )),
        Failure::NotTrusted => CatalogError::EndpointUnreachable(format!(
            "the certificate of {} is not trusted: if a proxy or a private endpoint has a CA of its own, name a file with its \
             certificates in AWS_CA_BUNDLE; otherwise check AWS_ENDPOINT_URL_BEDROCK",
            endpoint(asked)
        )),
        Failure::TimedOut => CatalogError::EndpointUnreachable(format!(
            "{} did not answer in time: check egress rules, HTTPS_PROXY and NO_PROXY, and the VPC endpoint of `bedrock`",
            endpoint(asked)
        )),
        Failure::Credentials(why) => credentials_error(why, asked),
        Failure::NotSent => CatalogError::ServiceError(format!(
            "the request for {region} could not be made: check the AWS configuration (AWS_ENDPOINT_URL_BEDROCK, which \
             excludes AWS_USE_FIPS_ENDPOINT and AWS_USE_DUALSTACK_ENDPOINT, and the shared configuration file)"
        )),
    }
}

fn response_error(response: &ErrorResponse, asked: Asked) -> CatalogError {
    let region = asked.region;
    let (code, status) = (response.code(), response.status);
    if is_throttled(response) {
        return CatalogError::Throttled {
            message: format!(
                "Bedrock in {region} throttles requests; the operator retries by itself"
            ),
            retry_after: response.retry_after,
        };
    }
    if let Some(problem) = bad_credentials(response) {
        let hint = if UNKNOWN.contains(&code) {
            format!("; {}", unknown_credentials(asked))
        } else {
            String::new()
        };
        return CatalogError::CredentialsUnavailable(format!(
            "Bedrock in {region} does not accept the operator's credentials ({code}): {problem}{hint}"
        ));
    }
    if status == 401 || status == 403 {
        return CatalogError::AccessDenied(denied(response.message.as_deref(), asked));
    }
    CatalogError::ServiceError(format!(
        "Bedrock in {region} failed (HTTP {status}, {}); the operator retries by itself; if it goes on, see \
         https://health.aws.amazon.com",
        response.shown_code()
    ))
}

/// Returns whether AWS asks to slow down.
pub(in crate::sources) fn is_throttled(response: &ErrorResponse) -> bool {
    response.status == 429 || THROTTLING.contains(&response.code())
}

/// Returns what is wrong with the credentials or the clock, if the code says that something is.
pub(in crate::sources) fn bad_credentials(response: &ErrorResponse) -> Option<String> {
    let code = response.code();
    if EXPIRED.contains(&code) {
        return Some(
            "they have expired: their provider must renew them; a session token in AWS_SESSION_TOKEN is never renewed"
                .to_owned(),
        );
    }
    let signature = BAD_SIGNATURE.contains(&code);
    let skewed = SKEWED.contains(&code);
    if !signature && !skewed {
        return UNKNOWN
            .contains(&code)
            .then(|| "check that they still exist and have not expired".to_owned());
    }
    let clock = "correct the clock of the node (NTP)";
    Some(match response.minutes_ahead {
        Some(minutes) => format!(
            "the operator's clock is about {} minutes {} AWS's: {clock}",
            minutes.abs(),
            if minutes > 0 { "ahead of" } else { "behind" }
        ),
        None if skewed => format!("the operator's clock differs from AWS's: {clock}"),
        None => {
            "the signature is wrong: check the secret access key, and that no proxy changes requests"
                .to_owned()
        }
    })
}

/// Returns another reason why AWS may not know credentials.
fn unknown_credentials(asked: Asked) -> String {
    let (region, partition) = (asked.region, asked.region.partition().name);
    let own = asked.own_region.partition().name;
    if own == partition {
        format!(
            "check that they belong to the partition {partition}, and that the account has opted in to {region}"
        )
    } else {
        format!(
            "{region} is in the partition {partition}, the operator's region {} in {own}, and credentials are valid in one \
             partition only: serve {region} by an operator with credentials of {partition}",
            asked.own_region
        )
    }
}

/// Returns the endpoint, with its host if that is known.
fn endpoint(asked: Asked) -> String {
    let region = asked.region;
    match asked.host {
        Some(host) => format!("the Bedrock control plane of {region} ({host})"),
        None => format!("the Bedrock control plane of {region}"),
    }
}

fn name_advice(asked: Asked) -> String {
    let region = asked.region;
    let head = format!("the name of {} does not resolve", endpoint(asked));
    let host = asked.host.unwrap_or_default();
    if host.starts_with("bedrock-fips.") {
        let known = asked.regions.with_fips(region);
        if !known.contains(&region.as_str()) {
            return format!(
                "{head}: FIPS endpoints of Bedrock are known only in {}: unset AWS_USE_FIPS_ENDPOINT, or choose one of \
                 these as sourceRegion",
                if known.is_empty() {
                    "other partitions".to_owned()
                } else {
                    known.join(", ")
                }
            );
        }
    } else if !is_public_host(host, region) {
        return format!("{head}: check --bedrock-endpoint or AWS_ENDPOINT_URL_BEDROCK, and DNS");
    }
    let known = match asked.regions.facts(region) {
        None => format!(
            "AWS had no region {region} on {}: check its name, and ",
            asked.regions.as_of()
        ),
        Some(facts) if !facts.bedrock => format!(
            "Bedrock had no endpoint in {region} on {}: check sourceRegion, and ",
            asked.regions.as_of()
        ),
        Some(_) => "check ".to_owned(),
    };
    format!(
        "{head}: {known}DNS, and that a VPC endpoint is for `bedrock`, not only for `bedrock-runtime`"
    )
}

fn credentials_error(why: &CredentialsFailure, asked: Asked) -> CatalogError {
    if let Some(message) = asked
        .profile
        .and_then(|profile| profile_advice(why, profile))
    {
        return CatalogError::CredentialsUnavailable(message);
    }
    match why {
        CredentialsFailure::Missing => CatalogError::CredentialsUnavailable(
            "no AWS credentials were found: give the operator's service account an IAM role (EKS Pod Identity or \
             IRSA), or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; without an account use --catalog embedded"
                .to_owned(),
        ),
        CredentialsFailure::Role(response) => role_refused(response, asked),
        CredentialsFailure::WebIdentity(response) => web_identity_refused(response),
        CredentialsFailure::IdentityCenter(response) => CatalogError::CredentialsUnavailable(format!(
            "IAM Identity Center gave no credentials ({}): run `aws sso login`, and check the profile's sso_account_id and \
             sso_role_name",
            response.shown_code()
        )),
        CredentialsFailure::Unreachable => CatalogError::CredentialsUnavailable(
            "the provider of the operator's AWS credentials can't be reached: check the network path to STS (IRSA, roles), to \
             the Pod Identity agent or to the instance metadata service, that NO_PROXY lists the latter two, and the VPC \
             endpoint of `sts`"
                .to_owned(),
        ),
        CredentialsFailure::Failed => CatalogError::CredentialsUnavailable(
            "AWS credentials could not be obtained: check that the role exists, that its trust policy names the \
             operator's service account, and that STS, the Pod Identity agent or the instance metadata service answers"
                .to_owned(),
        ),
    }
}

/// Returns what a profile lacks, if it is why there are no credentials: those of the environment would have come before it, and
/// what comes after it is not asked where it fails.
fn profile_advice(why: &CredentialsFailure, profile: &SharedProfile) -> Option<String> {
    let name = &profile.name;
    if matches!(
        why,
        CredentialsFailure::Role(_) | CredentialsFailure::WebIdentity(_)
    ) {
        return None;
    }
    match &profile.gives {
        Gives::Absent(others) => {
            let others = match others.as_slice() {
                [] => "they have none".to_owned(),
                others => format!("they have {}", others.join(", ")),
            };
            Some(format!(
                "profile {name}, which AWS_PROFILE names, is not in the shared configuration files: {others}: name one of these, or \
                 run `aws configure sso --profile {name}`"
            ))
        }
        Gives::IdentityCenter {
            missing_session: Some(session),
            ..
        } => Some(format!(
            "profile {name}: its sso_session {session} is not in ~/.aws/config: add the section [sso-session {session}], or run \
             `aws configure sso --profile {name}`"
        )),
        Gives::IdentityCenter { lacks, .. } if !lacks.is_empty() => Some(format!(
            "profile {name} lacks {}: add them in ~/.aws/config, or run `aws configure sso --profile {name}`",
            lacks.join(", ")
        )),
        Gives::IdentityCenter { .. } => Some(match why {
            CredentialsFailure::IdentityCenter(response) => identity_center_refused(name, response),
            CredentialsFailure::Unreachable => format!(
                "profile {name}: IAM Identity Center can't be reached: check egress rules, HTTPS_PROXY, and the profile's sso_region"
            ),
            _ => format!(
                "profile {name}: the SSO session is missing or has expired: run `aws sso login --profile {name}`"
            ),
        }),
        Gives::Process => Some(format!(
            "profile {name}: its credential_process gave no credentials: run the command in ~/.aws/config by hand, and see that it \
             ends with 0 and prints JSON with Version 1, AccessKeyId and SecretAccessKey"
        )),
        Gives::Otherwise => None,
    }
}

/// Source: <https://docs.aws.amazon.com/singlesignon/latest/PortalAPIReference/API_GetRoleCredentials.html>
fn identity_center_refused(profile: &str, response: &ErrorResponse) -> String {
    let code = response.shown_code();
    match response.status {
        401 => format!(
            "profile {profile}: the SSO session expired ({code}): run `aws sso login --profile {profile}`"
        ),
        403 | 404 => format!(
            "profile {profile}: IAM Identity Center does not give you its role ({code}): check sso_account_id and sso_role_name; \
             `aws sso login --profile {profile}` signs in as somebody else"
        ),
        429 => format!("profile {profile}: IAM Identity Center throttles requests: try again"),
        status => format!(
            "profile {profile}: IAM Identity Center failed (HTTP {status}, {code}): try again; if it goes on, see \
             https://health.aws.amazon.com"
        ),
    }
}

fn role_refused(response: &ErrorResponse, asked: Asked) -> CatalogError {
    let role = asked.role.map_or("of the operator", RoleArn::as_str);
    let code = response.code();
    if is_throttled(response) {
        return CatalogError::Throttled {
            message: format!(
                "STS throttles requests to assume the role {role}; the operator retries by itself"
            ),
            retry_after: response.retry_after,
        };
    }
    if let Some(problem) = bad_credentials(response) {
        return CatalogError::CredentialsUnavailable(format!(
            "STS does not accept the operator's credentials ({code}): {problem}"
        ));
    }
    if code == "RegionDisabledException" {
        return CatalogError::CredentialsUnavailable(format!(
            "the role {role} can't be assumed: STS is not active in {} for its account: activate it there, or run the \
             operator with another --region",
            asked.own_region
        ));
    }
    if response.status == 403 {
        let caller = response.message.as_deref().and_then(caller);
        let caller = caller.as_deref().unwrap_or("the operator's role");
        let needed = format!("sts:AssumeRole on {role} for {caller}");
        if let Some(remedy) = assuming_denied(response, "sts:AssumeRole", &needed) {
            return CatalogError::AccessDenied(format!("role {role} can't be assumed, {remedy}"));
        }
        let external_id = if asked.external_id {
            "with the external ID that --allow-role-arn gives"
        } else {
            "without an external ID: --allow-role-arn gives none"
        };
        return CatalogError::AccessDenied(format!(
            "role {role} can't be assumed: its trust policy must allow {caller} sts:AssumeRole ({external_id}), and the \
             policy of {caller} must allow sts:AssumeRole on it"
        ));
    }
    CatalogError::ServiceError(format!(
        "STS failed to assume the role {role} (HTTP {}, {}); the operator retries by itself",
        response.status,
        response.shown_code()
    ))
}

/// Returns why a role can't be assumed, and what to change, if an allow in the role's trust policy and in the caller's own is
/// not enough.
fn assuming_denied(response: &ErrorResponse, permission: &str, needed: &str) -> Option<String> {
    let denial = response.message.as_deref().and_then(Denial::read)?;
    match denial {
        Denial::Implicit(PolicyKind::RoleTrust) => None,
        denial => denial.remedy(permission, needed),
    }
}

fn web_identity_refused(response: &ErrorResponse) -> CatalogError {
    let action = "sts:AssumeRoleWithWebIdentity";
    let needed = format!("{action} on the role in AWS_ROLE_ARN");
    if let Some(remedy) = assuming_denied(response, action, &needed) {
        return CatalogError::CredentialsUnavailable(format!(
            "STS does not accept the token of the operator's service account ({}), {remedy}",
            response.shown_code()
        ));
    }
    let advice = match response.code() {
        "AccessDenied" | "AccessDeniedException" => {
            "the trust policy of the role in AWS_ROLE_ARN must allow sts:AssumeRoleWithWebIdentity for the operator's \
             service account (its sub and aud conditions)"
        }
        code if EXPIRED.contains(&code) => {
            "the token in AWS_WEB_IDENTITY_TOKEN_FILE has expired: the kubelet renews it only in a projected volume"
        }
        "InvalidIdentityToken" | "InvalidIdentityTokenException" => {
            "the account of the role needs an IAM OIDC provider for this cluster's issuer, with the audience of the token"
        }
        _ => "check AWS_ROLE_ARN and the IAM OIDC provider of the cluster",
    };
    CatalogError::CredentialsUnavailable(format!(
        "STS does not accept the token of the operator's service account ({}): {advice}",
        response.shown_code()
    ))
}

/// Returns who may not do what was asked and why, as far as AWS says so in its usual form. The name of the session, which
/// differs each time, is left out.
fn denied(message: Option<&str>, asked: Asked) -> String {
    let (who, account) = message
        .and_then(user)
        .and_then(principal)
        .unwrap_or_else(|| ("the operator".to_owned(), "ACCOUNT".to_owned()));
    let Asked { action, region, .. } = asked;
    let permission = action.permission();
    let head = format!("{who} may not {} {region}", action.in_words());
    let needed = format!("{permission} in {region}");
    if let Some(remedy) = message
        .and_then(Denial::read)
        .and_then(|denial| denial.remedy(permission, &needed))
    {
        return format!("{head}, {remedy}");
    }
    let why = message.and_then(reason).unwrap_or_default();
    format!(
        "{head}{why}: allow {permission} on {}",
        action.resource(region.partition().name, &account)
    )
}

/// Returns who may not do what was asked of another service and why, as [`denied`] does.
pub(in crate::sources) fn denied_call(
    message: Option<&str>,
    permission: &str,
    region: &Region,
    resource: &str,
) -> String {
    let (who, _) = message
        .and_then(user)
        .and_then(principal)
        .unwrap_or_else(|| ("the caller".to_owned(), String::new()));
    let head = format!("{who} may not {permission} in {region}");
    let needed = format!("{permission} in {region}");
    let remedy = message
        .and_then(Denial::read)
        .and_then(|denial| denial.remedy(permission, &needed));
    if let Some(remedy) = remedy {
        return format!("{head}, {remedy}");
    }
    let why = message.and_then(reason).unwrap_or_default();
    format!("{head}{why}: allow {permission} on {resource}")
}

/// Returns the ARN of the caller from AWS's usual sentence.
fn user(message: &str) -> Option<&str> {
    let (_, rest) = message.split_once("User: ")?;
    Some(rest.split_once(" is not authorized")?.0)
}

/// Returns a principal without its session, and its account.
fn principal(user: &str) -> Option<(String, String)> {
    let arn = Arn::parse(user).ok()?;
    let account = arn.account.as_ref()?.to_string();
    let who = match role_name(&arn) {
        Some(role) => format!("the role {role} of account {account}"),
        None => user.to_owned(),
    };
    Some((who, account))
}

/// Returns the caller as a trust policy names it. The ARN of a role's session does not have the role's path.
fn caller(message: &str) -> Option<String> {
    let user = user(message)?;
    let arn = Arn::parse(user).ok()?;
    let account = arn.account.as_ref()?;
    Some(match role_name(&arn) {
        Some(role) => format!("arn:{}:iam::{account}:role/{role}", arn.partition),
        None => user.to_owned(),
    })
}

fn role_name<'a>(arn: &Arn<'a>) -> Option<&'a str> {
    let role = arn.resource.strip_prefix("assumed-role/")?;
    Some(role.rsplit_once('/').map_or(role, |(role, _session)| role))
}

/// Returns AWS's reason, if it is one of its known sentences.
fn reason(message: &str) -> Option<String> {
    let start = message
        .find("because no ")
        .or_else(|| message.find("with an explicit deny in "))?;
    let reason = message[start..].split(['\n', '.', '(']).next()?.trim_end();
    (reason.len() <= 160).then(|| format!(", {reason}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{api::condition::Reason, catalog::embedded::Embedded};

    fn regions() -> &'static Regions {
        Embedded::load().regions()
    }

    fn region(name: &str) -> Region {
        name.parse().expect(name)
    }

    fn refusal(status: u16, code: &str, message: &str) -> ErrorResponse {
        ErrorResponse {
            code: (!code.is_empty()).then(|| code.to_owned()),
            status,
            message: (!message.is_empty()).then(|| message.to_owned()),
            ..ErrorResponse::default()
        }
    }

    fn answer(status: u16, code: &str, message: &str) -> Failure {
        Failure::ErrorResponse(refusal(status, code, message))
    }

    fn in_region(failure: &Failure, name: &str) -> CatalogError {
        let region = region(name);
        catalog_error(
            failure,
            Asked {
                action: Action::ListInferenceProfiles,
                region: &region,
                regions: regions(),
                own_region: &region,
                host: Some(&format!("bedrock.{name}.amazonaws.com")),
                role: None,
                external_id: false,
                profile: None,
            },
        )
    }

    #[test]
    fn what_a_profile_lacks_is_said_with_its_name() {
        let region = region("eu-west-1");
        let said = |why: CredentialsFailure, gives: Gives| {
            let profile = SharedProfile {
                name: "dev".to_owned(),
                region: None,
                gives,
            };
            let asked = Asked {
                action: Action::ListInferenceProfiles,
                region: &region,
                regions: regions(),
                own_region: &region,
                host: None,
                role: None,
                external_id: false,
                profile: Some(&profile),
            };
            catalog_error(&Failure::Credentials(why), asked).to_string()
        };
        let sso = |lacks: &[&'static str]| Gives::IdentityCenter {
            lacks: lacks.to_vec(),
            missing_session: None,
        };
        let refused = |status| CredentialsFailure::IdentityCenter(refusal(status, "Code", "no"));
        for (why, gives, says) in [
            (
                CredentialsFailure::Failed,
                sso(&[]),
                "profile dev: the SSO session is missing or has expired: run `aws sso login --profile dev`",
            ),
            (
                refused(401),
                sso(&[]),
                "profile dev: the SSO session expired (Code): run `aws sso login --profile dev`",
            ),
            (
                refused(403),
                sso(&[]),
                "profile dev: IAM Identity Center does not give you its role (Code): check sso_account_id",
            ),
            (
                CredentialsFailure::Unreachable,
                sso(&[]),
                "profile dev: IAM Identity Center can't be reached",
            ),
            (
                CredentialsFailure::Missing,
                sso(&["sso_region", "sso_role_name"]),
                "profile dev lacks sso_region, sso_role_name: ",
            ),
            (
                CredentialsFailure::Failed,
                Gives::Process,
                "profile dev: its credential_process gave no credentials: ",
            ),
            (
                CredentialsFailure::Missing,
                Gives::Absent(vec!["a".to_owned(), "b".to_owned()]),
                "profile dev, which AWS_PROFILE names, is not in the shared configuration files: they have a, b: ",
            ),
            (
                CredentialsFailure::Missing,
                Gives::Otherwise,
                "no AWS credentials were found",
            ),
            (
                CredentialsFailure::WebIdentity(refusal(403, "AccessDenied", "no")),
                sso(&[]),
                "STS does not accept the token",
            ),
        ] {
            let said = said(why, gives);
            assert!(said.starts_with(says), "{said}");
        }
    }

    #[test]
    fn each_failure_has_its_class() {
        for (failure, reason) in [
            (
                answer(403, "AccessDeniedException", ""),
                Reason::AccessDenied,
            ),
            (answer(403, "", ""), Reason::AccessDenied),
            (
                answer(403, "UnrecognizedClientException", ""),
                Reason::CredentialsUnavailable,
            ),
            (
                answer(403, "ExpiredTokenException", ""),
                Reason::CredentialsUnavailable,
            ),
            (
                answer(403, "InvalidSignatureException", ""),
                Reason::CredentialsUnavailable,
            ),
            (
                answer(403, "RequestTimeTooSkewed", ""),
                Reason::CredentialsUnavailable,
            ),
            (answer(429, "ThrottlingException", ""), Reason::Throttled),
            (answer(429, "", ""), Reason::Throttled),
            (answer(400, "ThrottlingException", ""), Reason::Throttled),
            (
                answer(500, "InternalServerException", ""),
                Reason::ServiceError,
            ),
            (answer(400, "ValidationException", ""), Reason::ServiceError),
            (answer(503, "", ""), Reason::ServiceError),
            (Failure::NotUnderstood { status: 200 }, Reason::ServiceError),
            (Failure::NotSent, Reason::ServiceError),
            (Failure::NameNotResolved, Reason::EndpointUnreachable),
            (Failure::NoConnection, Reason::EndpointUnreachable),
            (Failure::NotTrusted, Reason::EndpointUnreachable),
            (Failure::TimedOut, Reason::EndpointUnreachable),
            (
                Failure::Credentials(CredentialsFailure::Missing),
                Reason::CredentialsUnavailable,
            ),
            (
                Failure::Credentials(CredentialsFailure::Failed),
                Reason::CredentialsUnavailable,
            ),
            (
                Failure::Credentials(CredentialsFailure::Unreachable),
                Reason::CredentialsUnavailable,
            ),
        ] {
            let error = in_region(&failure, "eu-west-1");
            assert_eq!(error.reason(), reason, "{failure:?}");
        }
    }

    #[test]
    fn a_denial_says_who_and_why_and_never_which_session() {
        let message = |session: &str, why: &str| {
            format!(
                "User: arn:aws:sts::111122223333:assumed-role/discovery/{session} is not authorized to perform: \
                 bedrock:ListInferenceProfiles on resource: arn:aws:bedrock:eu-west-2:111122223333:inference-profile/* \
                 {why}"
            )
        };
        let because =
            "because no identity-based policy allows the bedrock:ListInferenceProfiles action";
        let text = |message: &str| {
            in_region(&answer(403, "AccessDeniedException", message), "eu-west-2").to_string()
        };
        assert_eq!(
            text(&message("web-identity-token-1", because)),
            "the role discovery of account 111122223333 may not list the inference profiles of eu-west-2, because no \
             identity-based policy allows the bedrock:ListInferenceProfiles action: allow \
             bedrock:ListInferenceProfiles on arn:aws:bedrock:*:111122223333:inference-profile/*"
        );
        assert_eq!(
            text(&message("web-identity-token-1", because)),
            text(&message("web-identity-token-2", because))
        );
        for (why, change) in [
            (
                "with an explicit deny in a service control policy",
                "the service control policy of the organization must stop denying",
            ),
            (
                "because no permissions boundary allows the bedrock:ListInferenceProfiles action",
                "the permissions boundary of the caller must allow",
            ),
        ] {
            assert_eq!(
                text(&message("s", why)),
                format!(
                    "the role discovery of account 111122223333 may not list the inference profiles of eu-west-2, {why}: an \
                     allow elsewhere does not help; {change} bedrock:ListInferenceProfiles in eu-west-2"
                )
            );
        }
        for odd in [
            "",
            "no",
            "request 4d5f1c0e-0000-4000-8000-000000000000 refused",
            "User: x is not authorized",
        ] {
            assert_eq!(
                text(odd),
                "the operator may not list the inference profiles of eu-west-2: allow bedrock:ListInferenceProfiles \
                 on arn:aws:bedrock:*:ACCOUNT:inference-profile/*"
            );
        }
    }

    #[test]
    fn a_name_that_does_not_resolve_says_what_to_look_at() {
        let own = region("eu-west-1");
        for (name, host, says) in [
            (
                "eu-west-1",
                "bedrock.eu-west-1.amazonaws.com",
                "check DNS, and that a VPC endpoint",
            ),
            (
                "ap-east-1",
                "bedrock.ap-east-1.amazonaws.com",
                "Bedrock had no endpoint in ap-east-1 on",
            ),
            (
                "eu-west-9",
                "bedrock.eu-west-9.amazonaws.com",
                "AWS had no region eu-west-9 on",
            ),
            (
                "eu-west-1",
                "bedrock.invalid:8080",
                "check --bedrock-endpoint or AWS_ENDPOINT_URL_BEDROCK",
            ),
            (
                "us-east-1",
                "bedrock-fips.us-east-1.amazonaws.com",
                "check DNS",
            ),
            (
                "eu-west-1",
                "bedrock-fips.eu-west-1.amazonaws.com",
                "known only in ca-central-1, us-east-1, us-east-2, us-west-1, us-west-2: unset AWS_USE_FIPS_ENDPOINT",
            ),
            (
                "eusc-de-east-1",
                "bedrock-fips.eusc-de-east-1.amazonaws.eu",
                "only in other partitions",
            ),
        ] {
            let region = region(name);
            let asked = Asked {
                action: Action::ListInferenceProfiles,
                region: &region,
                regions: regions(),
                own_region: &own,
                host: Some(host),
                role: None,
                external_id: false,
                profile: None,
            };
            let text = catalog_error(&Failure::NameNotResolved, asked).to_string();
            assert!(text.contains(says) && text.contains(host), "{text}");
        }
    }

    #[test]
    fn a_wrong_clock_is_said_with_its_difference() {
        let text = |code: &str, minutes_ahead| {
            let answer = ErrorResponse {
                minutes_ahead,
                ..refusal(403, code, "Signature expired: 20261123T050949Z")
            };
            in_region(&Failure::ErrorResponse(answer), "eu-west-1").to_string()
        };
        for (code, minutes, says) in [
            (
                "InvalidSignatureException",
                Some(10),
                "about 10 minutes ahead of AWS's",
            ),
            (
                "SignatureDoesNotMatch",
                Some(-60),
                "about 60 minutes behind AWS's",
            ),
            (
                "RequestTimeTooSkewed",
                None,
                "the operator's clock differs from AWS's",
            ),
            ("InvalidSignatureException", None, "the signature is wrong"),
        ] {
            let text = text(code, minutes);
            assert!(text.contains(says), "{text}");
            assert!(!text.contains("2026"), "{text}");
        }
    }

    #[test]
    fn credentials_of_another_partition_are_said_so() {
        let (own, asked_region) = (region("eu-west-1"), region("us-gov-west-1"));
        let text = catalog_error(
            &answer(403, "UnrecognizedClientException", ""),
            Asked {
                action: Action::ListInferenceProfiles,
                region: &asked_region,
                regions: regions(),
                own_region: &own,
                host: None,
                role: None,
                external_id: false,
                profile: None,
            },
        )
        .to_string();
        assert!(
            text.contains("us-gov-west-1 is in the partition aws-us-gov, the operator's region eu-west-1 in aws"),
            "{text}"
        );
    }

    #[test]
    fn a_role_that_can_not_be_assumed_says_what_must_be_allowed() {
        let region = region("eu-west-1");
        let role: RoleArn = "arn:aws:iam::444455556666:role/bedrock"
            .parse()
            .expect("a role");
        let error = |status, code: &str, message: &str, external_id| {
            catalog_error(
                &Failure::Credentials(CredentialsFailure::Role(refusal(status, code, message))),
                Asked {
                    action: Action::ListInferenceProfiles,
                    region: &region,
                    regions: regions(),
                    own_region: &region,
                    host: None,
                    role: Some(&role),
                    external_id,
                    profile: None,
                },
            )
        };
        let message = format!(
            "User: arn:aws:sts::111122223333:assumed-role/operator/session-1 is not authorized to perform: sts:AssumeRole \
             on resource: {role}"
        );
        let denied = error(403, "AccessDenied", &message, true);
        assert_eq!(denied.reason(), Reason::AccessDenied);
        assert_eq!(
            denied.to_string(),
            "role arn:aws:iam::444455556666:role/bedrock can't be assumed: its trust policy must allow \
             arn:aws:iam::111122223333:role/operator sts:AssumeRole (with the external ID that --allow-role-arn gives), and the \
             policy of arn:aws:iam::111122223333:role/operator must allow sts:AssumeRole on it"
        );
        let denied_by = |why: &str| error(403, "AccessDenied", &format!("{message} {why}"), true);
        assert_eq!(
            denied_by("with an explicit deny in a service control policy").to_string(),
            "role arn:aws:iam::444455556666:role/bedrock can't be assumed, with an explicit deny in a service control policy: an \
             allow elsewhere does not help; the service control policy of the organization must stop denying sts:AssumeRole on \
             arn:aws:iam::444455556666:role/bedrock for arn:aws:iam::111122223333:role/operator"
        );
        for why in [
            "because no identity-based policy allows the sts:AssumeRole action",
            "because no role trust policy allows the sts:AssumeRole action",
        ] {
            assert_eq!(denied_by(why).to_string(), denied.to_string());
        }
        assert!(
            error(403, "AccessDenied", "", false)
                .to_string()
                .contains("allow the operator's role sts:AssumeRole (without an external ID")
        );
        for (status, code, reason) in [
            (429, "Throttling", Reason::Throttled),
            (400, "Throttling", Reason::Throttled),
            (403, "ExpiredToken", Reason::CredentialsUnavailable),
            (403, "InvalidClientTokenId", Reason::CredentialsUnavailable),
            (403, "SignatureDoesNotMatch", Reason::CredentialsUnavailable),
            (
                403,
                "RegionDisabledException",
                Reason::CredentialsUnavailable,
            ),
            (500, "InternalFailure", Reason::ServiceError),
            (400, "ValidationError", Reason::ServiceError),
        ] {
            let error = error(status, code, "", false);
            assert_eq!(error.reason(), reason, "{code}: {error}");
        }
    }

    #[test]
    fn a_service_account_that_is_refused_says_what_to_check() {
        for (code, says) in [
            ("AccessDenied", "must allow sts:AssumeRoleWithWebIdentity"),
            ("ExpiredTokenException", "has expired"),
            ("InvalidIdentityToken", "IAM OIDC provider"),
            ("IDPCommunicationError", "check AWS_ROLE_ARN"),
        ] {
            let failure = CredentialsFailure::WebIdentity(refusal(400, code, "1"));
            let error = in_region(&Failure::Credentials(failure), "eu-west-1");
            assert_eq!(error.reason(), Reason::CredentialsUnavailable);
            assert!(error.to_string().contains(says), "{error}");
        }
        let message = "Not authorized to perform sts:AssumeRoleWithWebIdentity with an explicit deny in a resource control policy";
        let failure = CredentialsFailure::WebIdentity(refusal(403, "AccessDenied", message));
        let error = in_region(&Failure::Credentials(failure), "eu-west-1").to_string();
        assert!(
            error.contains("the resource control policy of the organization must stop denying sts:AssumeRoleWithWebIdentity"),
            "{error}"
        );
    }

    #[test]
    fn each_action_names_its_permission() {
        let region = region("us-gov-west-1");
        for (action, says) in [
            (
                Action::ListInferenceProfiles,
                "allow bedrock:ListInferenceProfiles on arn:aws-us-gov:bedrock:*:ACCOUNT:inference-profile/*",
            ),
            (
                Action::ListFoundationModels,
                "allow bedrock:ListFoundationModels on *",
            ),
            (
                Action::GetFoundationModelAvailability,
                "allow bedrock:GetFoundationModelAvailability on *",
            ),
        ] {
            let asked = Asked {
                action,
                region: &region,
                regions: regions(),
                own_region: &region,
                host: None,
                role: None,
                external_id: false,
                profile: None,
            };
            let text = catalog_error(&answer(403, "AccessDeniedException", ""), asked).to_string();
            assert!(text.ends_with(says), "{text}");
        }
    }
}
