//! Reduces an error of the SDK to what happened, so that equal failures are equal values.

use std::{
    error::Error,
    io,
    time::{Duration, SystemTime},
};

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_bedrock::{
    config::http::HttpResponse,
    error::{ProvideErrorMetadata, SdkError},
};
use aws_sdk_sts::operation::{
    assume_role::AssumeRoleError, assume_role_with_web_identity::AssumeRoleWithWebIdentityError,
};

use super::network;

/// What happened to a failed request, without anything that differs between equal failures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::sources) enum Failure {
    /// AWS answered with an error.
    ErrorResponse(ErrorResponse),
    /// The answer did not come from Bedrock.
    NotUnderstood { status: u16 },
    /// The host name has no address.
    NameNotResolved,
    /// The connection failed or broke.
    NoConnection,
    /// The certificate of the endpoint is not trusted.
    NotTrusted,
    /// No answer came in time.
    TimedOut,
    /// There are no credentials to sign with.
    Credentials(CredentialsFailure),
    /// The request could not be made.
    NotSent,
}

/// An error that AWS answered with.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(in crate::sources) struct ErrorResponse {
    pub(in crate::sources) code: Option<String>,
    pub(in crate::sources) status: u16,
    pub(in crate::sources) message: Option<String>,
    pub(in crate::sources) retry_after: Option<Duration>,
    /// By how many minutes the operator's clock is ahead of AWS's, in steps of five. `None` if the clocks agree well enough for
    /// signatures.
    pub(in crate::sources) minutes_ahead: Option<i64>,
}

impl ErrorResponse {
    pub(in crate::sources) fn code(&self) -> &str {
        self.code.as_deref().unwrap_or_default()
    }

    /// Returns the code as messages show it.
    pub(in crate::sources) fn shown_code(&self) -> &str {
        self.code.as_deref().unwrap_or("no code")
    }
}

/// Why there are no credentials to sign with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::sources) enum CredentialsFailure {
    /// No provider is configured.
    Missing,
    /// STS refused the role of the feed.
    Role(ErrorResponse),
    /// STS refused the role of the operator's service account.
    WebIdentity(ErrorResponse),
    /// AWS IAM Identity Center refused the role of the profile.
    IdentityCenter(ErrorResponse),
    /// Their provider can't be reached.
    Unreachable,
    /// Their provider failed.
    Failed,
}

/// Returns what happened. `now` is the time of the operator's clock.
pub(in crate::sources) fn reduce<E>(error: &SdkError<E, HttpResponse>, now: SystemTime) -> Failure
where
    E: ProvideErrorMetadata + Error + 'static,
{
    match error {
        SdkError::ServiceError(_) | SdkError::ResponseError(_) => {
            if let Some(response) = error_response(error, now) {
                return Failure::ErrorResponse(response);
            }
            // When a connection breaks in the middle of an answer, that answer can't be read.
            if causes(error).any(|cause| cause.downcast_ref::<io::Error>().is_some()) {
                return Failure::NoConnection;
            }
            Failure::NotUnderstood {
                status: error.raw_response().map_or(0, |raw| raw.status().as_u16()),
            }
        }
        SdkError::TimeoutError(_) => Failure::TimedOut,
        SdkError::DispatchFailure(dispatch) => {
            if find::<CredentialsError>(error).is_some() {
                Failure::Credentials(credentials_failure(error, now))
            } else if name_not_resolved(error) {
                Failure::NameNotResolved
            } else if not_trusted(error) {
                Failure::NotTrusted
            } else if dispatch.is_timeout() {
                Failure::TimedOut
            } else {
                Failure::NoConnection
            }
        }
        _ => Failure::NotSent,
    }
}

/// Returns the error that AWS answered with, if it did.
fn error_response<E>(error: &SdkError<E, HttpResponse>, now: SystemTime) -> Option<ErrorResponse>
where
    E: ProvideErrorMetadata + Error + 'static,
{
    let SdkError::ServiceError(response) = error else {
        return None;
    };
    let headers = response.raw().headers();
    (!response.raw().status().is_success()).then(|| ErrorResponse {
        code: response.err().code().map(ToOwned::to_owned),
        status: response.raw().status().as_u16(),
        message: response.err().message().map(ToOwned::to_owned),
        retry_after: headers
            .get("retry-after")
            .and_then(|seconds| seconds.parse().ok())
            .map(Duration::from_secs),
        minutes_ahead: headers
            .get("date")
            .and_then(|date| minutes_ahead(date, now)),
    })
}

/// Returns by how many minutes `now` is ahead of the time of an answer, in steps of five: equal failures make equal texts.
fn minutes_ahead(date: &str, now: SystemTime) -> Option<i64> {
    let seconds = network::seconds_ahead(date, now)?;
    let steps = (seconds + 150).div_euclid(300);
    (steps != 0).then_some(steps * 5)
}

/// Returns why there are no credentials. `now` is the time of the operator's clock.
pub(super) fn credentials_failure(
    error: &(dyn Error + 'static),
    now: SystemTime,
) -> CredentialsFailure {
    // The credentials of a role need others first, so the innermost error is the cause.
    let innermost = causes(error)
        .filter_map(|cause| cause.downcast_ref::<CredentialsError>())
        .last();
    if matches!(innermost, Some(CredentialsError::CredentialsNotLoaded(_))) {
        return CredentialsFailure::Missing;
    }
    if let Some(response) = find::<SdkError<AssumeRoleWithWebIdentityError, HttpResponse>>(error)
        .and_then(|error| error_response(error, now))
    {
        return CredentialsFailure::WebIdentity(response);
    }
    if let Some(response) = find::<SdkError<AssumeRoleError, HttpResponse>>(error)
        .and_then(|error| error_response(error, now))
    {
        return CredentialsFailure::Role(response);
    }
    if let Some(response) = identity_center_response(error, now) {
        return CredentialsFailure::IdentityCenter(response);
    }
    let timed_out = matches!(innermost, Some(CredentialsError::ProviderTimedOut(_)));
    // Above it, the SDK takes every request that was not sent for a failed connection.
    let below = find::<CredentialsError>(error).map_or(error, |found| found);
    let no_connection = causes(below).any(|cause| {
        cause
            .downcast_ref::<aws_smithy_runtime_api::client::result::ConnectorError>()
            .is_some()
    });
    if timed_out || no_connection {
        CredentialsFailure::Unreachable
    } else {
        CredentialsFailure::Failed
    }
}

#[cfg(feature = "laptop-credentials")]
fn identity_center_response(
    error: &(dyn Error + 'static),
    now: SystemTime,
) -> Option<ErrorResponse> {
    use aws_sdk_sso::operation::get_role_credentials::GetRoleCredentialsError;
    find::<SdkError<GetRoleCredentialsError, HttpResponse>>(error)
        .and_then(|error| error_response(error, now))
}

#[cfg(not(feature = "laptop-credentials"))]
fn identity_center_response(_: &(dyn Error + 'static), _: SystemTime) -> Option<ErrorResponse> {
    None
}

/// The HTTP client has no type for a failure of the resolver.
fn name_not_resolved(error: &(dyn Error + 'static)) -> bool {
    causes(error).any(|cause| cause.to_string().starts_with("dns error"))
}

fn not_trusted(error: &(dyn Error + 'static)) -> bool {
    causes(error).any(|cause| {
        let mut cause = cause;
        // An io::Error does not give what it wraps as its source.
        while let Some(wrapped) = cause.downcast_ref().and_then(io::Error::get_ref) {
            cause = wrapped;
        }
        let tls = cause.downcast_ref::<rustls::Error>();
        matches!(tls, Some(rustls::Error::InvalidCertificate(_)))
    })
}

fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error| (*error).source())
}

fn find<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    causes(error).find_map(|cause| cause.downcast_ref())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_difference_of_the_clocks_is_in_steps_of_five_minutes() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_793_000_000);
        let date = |seconds: i64| {
            let time = jiff::Timestamp::from_second(1_793_000_000 + seconds).expect("time");
            time.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
        };
        for (theirs, minutes) in [
            (0, None),
            (100, None),
            (-149, None),
            (600, Some(-10)),
            (655, Some(-10)),
            (-3600, Some(60)),
        ] {
            assert_eq!(minutes_ahead(&date(theirs), now), minutes, "{theirs}");
        }
        assert_eq!(minutes_ahead("yesterday", now), None);
    }
}
