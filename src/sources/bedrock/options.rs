//! Options of the live catalog.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use aws_credential_types::provider::SharedCredentialsProvider;

use super::{
    network::{Resolver, SystemResolver},
    requests::CountRequests,
};
use crate::{
    catalog::{embedded::Embedded, roles::AllowedRoles},
    types::Region,
};

/// The longest name of a role's session.
///
/// Source: <https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html>
const MAX_SESSION_NAME: usize = 64;

/// How AWS is asked.
#[derive(Debug, Clone)]
pub struct Options {
    /// The operator's own region: where credentials are obtained (STS).
    pub region: Region,
    /// Where to send requests for a region instead of its endpoint.
    pub endpoints: BTreeMap<Region, String>,
    /// Where to send requests for all other regions. The default is what `AWS_ENDPOINT_URL_BEDROCK` or the shared
    /// configuration file says.
    pub endpoint_url: Option<String>,
    /// Where to send requests to STS. The default is what `AWS_ENDPOINT_URL_STS` or the shared configuration file says.
    pub sts_endpoint_url: Option<String>,
    /// Credentials to use instead of what the environment provides.
    pub credentials: Option<SharedCredentialsProvider>,
    /// The roles that may be assumed.
    pub allowed_roles: AllowedRoles,
    /// The name of these roles' sessions.
    pub session_name: SessionName,
    /// CA certificates to trust besides the system's, in PEM.
    pub ca_bundle: Option<Vec<u8>>,
    /// The embedded data: what is known about regions.
    pub embedded: &'static Embedded,
    /// The resolver of host names.
    pub resolver: Arc<dyn Resolver>,
    /// Who counts the requests, if anybody does.
    pub counter: Option<Arc<dyn CountRequests>>,
    /// How long a request may take.
    pub timeouts: Timeouts,
    /// How often a request is tried, at least once.
    pub attempts: u32,
}

impl Options {
    /// Returns the default options for an operator in `region`: credentials from the environment, no roles, three attempts.
    #[must_use]
    pub fn new(region: Region, embedded: &'static Embedded) -> Self {
        Self {
            session_name: SessionName::of(&region),
            region,
            endpoints: BTreeMap::new(),
            endpoint_url: None,
            sts_endpoint_url: None,
            credentials: None,
            allowed_roles: AllowedRoles::default(),
            ca_bundle: None,
            embedded,
            resolver: Arc::new(SystemResolver),
            counter: None,
            timeouts: Timeouts::default(),
            attempts: 3,
        }
    }
}

/// The name of a role's session, by which CloudTrail shows who did something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionName(String);

impl SessionName {
    /// Returns the default name for an operator in a region.
    #[must_use]
    pub fn of(region: &Region) -> Self {
        let mut name = format!("inference-profile-operator-{region}");
        name.truncate(MAX_SESSION_NAME);
        Self(name)
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::str::FromStr for SessionName {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let character = |c: char| c.is_ascii_alphanumeric() || "_+=,.@-".contains(c);
        if !(2..=MAX_SESSION_NAME).contains(&text.len()) || !text.chars().all(character) {
            return Err("expected 2 to 64 letters, digits and characters of _+=,.@-");
        }
        Ok(Self(text.to_owned()))
    }
}

/// How long a request for one page may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// The time to connect.
    pub connect: Duration,
    /// The time to the first byte of the answer.
    pub read: Duration,
    /// The time of one attempt.
    pub attempt: Duration,
    /// The time of all attempts and the pauses between them.
    pub operation: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            read: Duration::from_secs(10),
            attempt: Duration::from_secs(15),
            operation: Duration::from_secs(45),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn session_names_are_what_sts_takes() {
        let region: Region = "eu-west-1".parse().expect("region");
        assert_eq!(
            SessionName::of(&region).0,
            "inference-profile-operator-eu-west-1"
        );
        let longest: Region = "abcde-abcdefghijkl-abcdefghijkl-abcdefghijkl-12"
            .parse()
            .expect("region");
        assert!(SessionName::of(&longest).0.parse::<SessionName>().is_ok());
        for (text, good) in [
            ("cluster-1", true),
            ("a@b.c", true),
            ("x", false),
            ("", false),
            ("a b", false),
            ("a/b", false),
        ] {
            assert_eq!(text.parse::<SessionName>().is_ok(), good, "{text}");
        }
        assert!("x".repeat(65).parse::<SessionName>().is_err());
    }
}
