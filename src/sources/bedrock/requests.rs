//! Which requests reach AWS, and what comes of them. The SDK repeats a request that fails on the way; each attempt counts.

use std::{fmt, sync::Arc};

use aws_sdk_bedrock::{
    config::{
        ConfigBag, Intercept, RuntimeComponents, interceptors::FinalizerInterceptorContextRef,
    },
    error::BoxError,
};
use aws_smithy_runtime_api::client::orchestrator::Metadata;

/// What came of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestResult {
    /// AWS answered it.
    Success,
    /// AWS refused it because there are too many.
    Throttled,
    /// AWS refused it for another reason, such as missing rights.
    Refused,
    /// AWS failed, or its answer could not be read.
    Failed,
    /// There was no answer: no credentials, no connection, or it took too long.
    NoAnswer,
}

impl RequestResult {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Success,
        Self::Throttled,
        Self::Refused,
        Self::Failed,
        Self::NoAnswer,
    ];

    /// Returns the result as a label of metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Throttled => "throttled",
            Self::Refused => "refused",
            Self::Failed => "failed",
            Self::NoAnswer => "no_answer",
        }
    }

    /// Returns what an answer with this HTTP status means. `read`: its body was as it should be.
    fn of(status: Option<u16>, read: bool) -> Self {
        match status {
            None => Self::NoAnswer,
            Some(_) if read => Self::Success,
            Some(429) => Self::Throttled,
            Some(400..=499) => Self::Refused,
            Some(_) => Self::Failed,
        }
    }
}

/// Is told of each request to Bedrock.
pub trait CountRequests: fmt::Debug + Send + Sync {
    /// Counts a request. `operation` is one of those that the operator calls, or `other`.
    fn requested(&self, operation: &'static str, result: RequestResult);
}

/// Tells a counter of the requests of a client.
#[derive(Debug, Clone)]
pub(super) struct Counted(pub Arc<dyn CountRequests>);

impl Intercept for Counted {
    fn name(&self) -> &'static str {
        "Counted"
    }

    fn read_after_attempt(
        &self,
        context: &FinalizerInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let operation = config.load::<Metadata>().map(Metadata::name);
        let status = context
            .response()
            .map(|response| response.status().as_u16());
        let read = context.output_or_error().is_some_and(|read| read.is_ok());
        self.0.requested(
            operation.map_or(OTHER, known),
            RequestResult::of(status, read),
        );
        Ok(())
    }
}

/// The operations that the operator calls.
pub const OPERATIONS: [&str; 3] = [
    "ListInferenceProfiles",
    "ListFoundationModels",
    "GetFoundationModelAvailability",
];
const OTHER: &str = "other";

fn known(operation: &str) -> &'static str {
    let known = OPERATIONS.into_iter().find(|known| *known == operation);
    known.unwrap_or(OTHER)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_by_status() {
        for (status, read, expected) in [
            (Some(200), true, RequestResult::Success),
            (Some(200), false, RequestResult::Failed),
            (Some(429), false, RequestResult::Throttled),
            (Some(400), false, RequestResult::Refused),
            (Some(403), false, RequestResult::Refused),
            (Some(500), false, RequestResult::Failed),
            (Some(503), false, RequestResult::Failed),
            (None, false, RequestResult::NoAnswer),
        ] {
            assert_eq!(
                RequestResult::of(status, read),
                expected,
                "{status:?} {read}"
            );
        }
    }

    #[test]
    fn operations_are_a_closed_set() {
        assert_eq!(known("ListInferenceProfiles"), "ListInferenceProfiles");
        assert_eq!(known("CreateGuardrail"), "other");
    }
}
