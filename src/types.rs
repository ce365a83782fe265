//! The identifiers of the domain, parsed once: model IDs, geographies, regions, profile IDs, accounts, ARNs.
//!
//! A value of one of these types is always well-formed, so that no other code has to check it again.

use std::{fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Serialize};

/// Says why a text is not a valid identifier.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// The text is not a foundation model ID.
    #[error(
        "{0:?} is not a foundation model ID: expected PROVIDER.MODEL in lower case, such as anthropic.claude-sonnet-5-5"
    )]
    ModelId(String),
    /// The text is an ARN where a foundation model ID is expected.
    #[error("{0:?} is an ARN: give the foundation model ID, the part after foundation-model/")]
    ModelIdIsArn(String),
    /// The text is not a geography.
    #[error(
        "{0:?} is not a geography: expected the prefix of a profile ID, such as us, eu, apac, jp or global"
    )]
    Geography(String),
    /// The text is not a region name.
    #[error("{0:?} is not an AWS region name such as eu-west-1")]
    Region(String),
    /// The text is not the ID of a system-defined inference profile.
    #[error("{0:?} is not an inference profile ID: expected GEOGRAPHY.PROVIDER.MODEL")]
    ProfileId(String),
    /// The text is not an account ID.
    #[error("{0:?} is not an AWS account ID: expected 12 digits")]
    AccountId(String),
    /// The text is not the ARN of a role.
    #[error("{0:?} is not the ARN of an IAM role: expected arn:PARTITION:iam::ACCOUNT:role/NAME")]
    RoleArn(String),
    /// The text is not the name of an application inference profile.
    #[error(
        "{0:?} is not the name of an application inference profile: expected at most 64 letters and digits, with single spaces, _ and - after them, such as shop-chat"
    )]
    ApplicationName(String),
    /// The text is not the ARN of an application inference profile.
    #[error(
        "{0:?} is not the ARN of an application inference profile: expected arn:PARTITION:bedrock:REGION:ACCOUNT:application-inference-profile/ID"
    )]
    ApplicationProfileArn(String),
    /// The text is not an ARN.
    #[error("{0:?} is not an ARN: expected arn:PARTITION:SERVICE:REGION:ACCOUNT:RESOURCE")]
    Arn(String),
}

/// Defines a text type that is cheap to clone and that can only be made of a valid text.
macro_rules! text_type {
    ($(#[$doc:meta])* $name:ident, $check:expr, $error:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// Returns the text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = ParseError;

            fn from_str(text: &str) -> Result<Self, ParseError> {
                let check: fn(&str) -> bool = $check;
                if check(text) {
                    Ok(Self(text.into()))
                } else {
                    Err(ParseError::$error(text.to_owned()))
                }
            }
        }

        impl TryFrom<String> for $name {
            type Error = ParseError;

            fn try_from(text: String) -> Result<Self, ParseError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(value: $name) -> Self {
                value.0.as_ref().to_owned()
            }
        }

        impl From<$name> for Arc<str> {
            fn from(value: $name) -> Self {
                value.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }
    };
}

/// The word used instead of a geography if a model is invoked by its own ID, on demand.
pub const ON_DEMAND: &str = "on-demand";

/// Pattern of a foundation model ID: `BedrockModelId` in the service model of Bedrock, but only in lower case.
pub const MODEL_ID_PATTERN: &str = r"^[a-z0-9-]{1,63}[.][a-z0-9-]{1,63}([.:][a-z0-9-]{1,63}){0,2}$";
/// Pattern of a geography: the part of a profile ID before the foundation model ID.
pub const GEOGRAPHY_PATTERN: &str = "^[a-z]{2,16}(-[a-z]{2,16}){0,2}$";
/// Pattern of a region name in any partition.
pub const REGION_PATTERN: &str = "^[a-z]{2,5}(-[a-z]{2,12}){1,3}-[0-9]{1,2}$";

/// Pattern of the name of an application inference profile: `InferenceProfileName` in the service model of Bedrock.
pub const APPLICATION_NAME_PATTERN: &str = "^([0-9a-zA-Z][ _-]?)+$";
/// Most characters of the name of an application inference profile.
pub const APPLICATION_NAME_LIMIT: u32 = 64;

text_type!(
    /// A foundation model ID, such as `anthropic.claude-sonnet-5-5`.
    ModelId,
    is_model_id,
    ModelId
);
text_type!(
    /// A geography: the prefix of a system-defined profile ID, such as `eu`, `us-gov` or `global`.
    Geography,
    |text| (1..=3).contains(&text.split('-').count())
        && text.split('-').all(|part| lower_alpha(part, 2, 16)),
    Geography
);
text_type!(
    /// An AWS region name, such as `eu-west-1`.
    Region,
    is_region,
    Region
);
text_type!(
    /// The ID of a system-defined inference profile, such as `eu.anthropic.claude-sonnet-5-5`.
    ProfileId,
    |text| text
        .split_once('.')
        .is_some_and(|(geography, model)| geography.parse::<Geography>().is_ok() && is_model_id(model)),
    ProfileId
);
text_type!(
    /// A 12-digit AWS account ID.
    AccountId,
    |text| text.len() == 12 && text.bytes().all(|b| b.is_ascii_digit()),
    AccountId
);

text_type!(
    /// The ARN of an IAM role, such as `arn:aws:iam::111122223333:role/discovery`.
    ///
    /// Source: <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html>
    RoleArn,
    is_role_arn,
    RoleArn
);

text_type!(
    /// The name of an application inference profile, such as `shop-chat`.
    ///
    /// Source: <https://docs.aws.amazon.com/bedrock/latest/APIReference/API_CreateInferenceProfile.html>
    ApplicationName,
    is_application_name,
    ApplicationName
);
text_type!(
    /// The ARN of an application inference profile, such as
    /// `arn:aws:bedrock:eu-west-1:111122223333:application-inference-profile/a1b2c3d4e5f6`.
    ApplicationProfileArn,
    is_application_profile_arn,
    ApplicationProfileArn
);

fn is_application_name(text: &str) -> bool {
    let is_separator = |byte: u8| matches!(byte, b' ' | b'_' | b'-');
    let bytes = text.as_bytes();
    bytes.len() <= APPLICATION_NAME_LIMIT as usize
        && bytes.first().is_some_and(u8::is_ascii_alphanumeric)
        && bytes
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || is_separator(*byte))
        && bytes
            .windows(2)
            .all(|pair| !(is_separator(pair[0]) && is_separator(pair[1])))
}

fn is_application_profile_arn(text: &str) -> bool {
    let Ok(arn) = Arn::parse(text) else {
        return false;
    };
    let id = arn.resource.strip_prefix("application-inference-profile/");
    arn.service == "bedrock"
        && arn.region.is_some()
        && arn.account.is_some()
        && id.is_some_and(|id| {
            (1..=255).contains(&id.len())
                && id
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"-:.".contains(&byte))
        })
}

impl ApplicationProfileArn {
    /// Returns the ID of the profile: the last part.
    #[must_use]
    pub fn id(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or_default()
    }

    /// Returns the account of the profile.
    #[must_use]
    pub fn account(&self) -> Option<AccountId> {
        Arn::parse(&self.0).ok()?.account
    }
}

/// Most characters of the path and name of a role together.
const ROLE_NAME_LIMIT: usize = 576;

fn is_role_arn(text: &str) -> bool {
    let Ok(arn) = Arn::parse(text) else {
        return false;
    };
    let name = arn.resource.strip_prefix("role/").unwrap_or_default();
    arn.service == "iam"
        && arn.region.is_none()
        && arn.account.is_some()
        && (1..=ROLE_NAME_LIMIT).contains(&name.len())
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "_+=,.@-/".contains(c))
}

impl RoleArn {
    /// Returns the account of the role.
    #[must_use]
    pub fn account(&self) -> Option<AccountId> {
        Arn::parse(&self.0).ok()?.account
    }
}

fn lower_alpha(text: &str, least: usize, most: usize) -> bool {
    (least..=most).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_lowercase())
}

fn is_model_id(text: &str) -> bool {
    let word = |part: &str| {
        (1..=63).contains(&part.len())
            && part
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    };
    let Some((provider, model)) = text.split_once('.') else {
        return false;
    };
    word(provider) && model.split(['.', ':']).count() <= 3 && model.split(['.', ':']).all(word)
}

fn is_region(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let [first, middle @ .., number] = parts.as_slice() else {
        return false;
    };
    lower_alpha(first, 2, 5)
        && (1..=3).contains(&middle.len())
        && middle.iter().all(|part| lower_alpha(part, 2, 12))
        && (1..=2).contains(&number.len())
        && number.bytes().all(|b| b.is_ascii_digit())
}

impl ModelId {
    /// Parses a user's input, with a message of its own for an ARN.
    ///
    /// # Errors
    /// Returns [`ParseError::ModelIdIsArn`] for an ARN and [`ParseError::ModelId`] for anything else that is not a model ID.
    pub fn parse_given(text: &str) -> Result<Self, ParseError> {
        if text.starts_with("arn:") {
            return Err(ParseError::ModelIdIsArn(text.to_owned()));
        }
        text.parse()
    }

    /// Returns the provider: the part before the first dot, such as `anthropic`.
    #[must_use]
    pub fn provider(&self) -> &str {
        self.0.split('.').next().unwrap_or_default()
    }
}

impl ProfileId {
    /// Returns the geography: the part of this ID before `model`, or before the first dot if the ID does not end in `model`.
    #[must_use]
    pub fn geography(&self, model: &ModelId) -> Option<Geography> {
        let prefix = self
            .as_str()
            .strip_suffix(model.as_str())
            .and_then(|rest| rest.strip_suffix('.'))
            .or_else(|| self.as_str().split('.').next())?;
        prefix.parse().ok()
    }
}

/// An AWS partition: a group of regions with its own accounts, ARNs and DNS suffix.
///
/// Source: <https://docs.aws.amazon.com/whitepapers/latest/aws-fault-isolation-boundaries/partitions.html>
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Partition {
    /// The partition's name in ARNs.
    pub name: &'static str,
    /// The DNS suffix of service endpoints.
    pub dns_suffix: &'static str,
}

/// Prefixes of region names in all partitions except the commercial one. No prefix is a prefix of another.
const PARTITIONS: &[(&str, Partition)] = &[
    (
        "us-gov-",
        Partition {
            name: "aws-us-gov",
            dns_suffix: "amazonaws.com",
        },
    ),
    (
        "eusc-",
        Partition {
            name: "aws-eusc",
            dns_suffix: "amazonaws.eu",
        },
    ),
    (
        "cn-",
        Partition {
            name: "aws-cn",
            dns_suffix: "amazonaws.com.cn",
        },
    ),
    (
        "us-iso-",
        Partition {
            name: "aws-iso",
            dns_suffix: "c2s.ic.gov",
        },
    ),
    (
        "us-isob-",
        Partition {
            name: "aws-iso-b",
            dns_suffix: "sc2s.sgov.gov",
        },
    ),
    (
        "eu-isoe-",
        Partition {
            name: "aws-iso-e",
            dns_suffix: "cloud.adc-e.uk",
        },
    ),
    (
        "us-isof-",
        Partition {
            name: "aws-iso-f",
            dns_suffix: "csp.hci.ic.gov",
        },
    ),
];
const COMMERCIAL: Partition = Partition {
    name: "aws",
    dns_suffix: "amazonaws.com",
};

impl Region {
    /// Returns the partition of this region.
    #[must_use]
    pub fn partition(&self) -> Partition {
        PARTITIONS
            .iter()
            .find(|(prefix, _)| self.as_str().starts_with(prefix))
            .map_or(COMMERCIAL, |(_, partition)| *partition)
    }

    /// Returns the URL of the endpoint that invokes models, for `AWS_ENDPOINT_URL_BEDROCK_RUNTIME`.
    #[must_use]
    pub fn runtime_endpoint(&self) -> String {
        format!(
            "https://bedrock-runtime.{self}.{}",
            self.partition().dns_suffix
        )
    }

    /// Returns the ARN of a foundation model in this region.
    #[must_use]
    pub fn foundation_model_arn(&self, model: &ModelId) -> String {
        format!(
            "arn:{}:bedrock:{self}::foundation-model/{model}",
            self.partition().name
        )
    }

    /// Returns the ARN of a system-defined inference profile that is called from this region.
    #[must_use]
    pub fn profile_arn(&self, account: &AccountId, id: &ProfileId) -> String {
        format!(
            "arn:{}:bedrock:{self}:{account}:inference-profile/{id}",
            self.partition().name
        )
    }
}

/// The parts of an ARN. The region and the account may be missing, as in the ARNs of foundation models.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arn<'a> {
    /// The partition, such as `aws` or `aws-us-gov`.
    pub partition: &'a str,
    /// The service, such as `bedrock`.
    pub service: &'a str,
    /// The region, if any.
    pub region: Option<Region>,
    /// The account, if any.
    pub account: Option<AccountId>,
    /// Everything after the account, such as `foundation-model/M`.
    pub resource: &'a str,
}

impl<'a> Arn<'a> {
    /// Splits an ARN.
    ///
    /// # Errors
    /// Returns [`ParseError::Arn`] if a part is missing or malformed.
    pub fn parse(text: &'a str) -> Result<Self, ParseError> {
        let bad = || ParseError::Arn(text.to_owned());
        let mut parts = text.splitn(6, ':');
        let mut next = || parts.next().ok_or_else(bad);
        let (scheme, partition, service, region, account, resource) =
            (next()?, next()?, next()?, next()?, next()?, next()?);
        let partition_known = partition == "aws" || partition.starts_with("aws-");
        if scheme != "arn" || !partition_known || service.is_empty() || resource.is_empty() {
            return Err(bad());
        }
        Ok(Self {
            partition,
            service,
            region: optional(region).map_err(|_| bad())?,
            account: optional(account).map_err(|_| bad())?,
            resource,
        })
    }

    /// Returns the foundation model that this ARN names, or `None` if it names something else.
    #[must_use]
    pub fn foundation_model(&self) -> Option<ModelId> {
        self.resource
            .strip_prefix("foundation-model/")?
            .parse()
            .ok()
    }

    /// Returns the system-defined inference profile that this ARN names, or `None` if it names something else.
    #[must_use]
    pub fn inference_profile(&self) -> Option<ProfileId> {
        self.resource
            .strip_prefix("inference-profile/")?
            .parse()
            .ok()
    }
}

fn optional<T: FromStr>(text: &str) -> Result<Option<T>, T::Err> {
    if text.is_empty() {
        Ok(None)
    } else {
        text.parse().map(Some)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn model_ids() {
        for good in [
            "anthropic.claude-sonnet-5-5",
            "anthropic.claude-sonnet-4-5-20250929-v1:0",
            "anthropic.claude-opus-4-6-v1",
            "cohere.embed-v4:0",
            "meta.llama3-1-8b-instruct-v1:0:128k",
        ] {
            assert!(good.parse::<ModelId>().is_ok(), "{good}");
        }
        for bad in [
            "",
            "claude",
            ".claude",
            "anthropic.",
            "Anthropic.claude",
            "a.b c",
            "a.b:c:d:e",
            "a.b/../c",
        ] {
            assert!(bad.parse::<ModelId>().is_err(), "{bad}");
        }
        assert!(matches!(
            ModelId::parse_given("arn:aws:bedrock:us-east-1::foundation-model/a.b"),
            Err(ParseError::ModelIdIsArn(_))
        ));
    }

    #[test]
    fn regions() {
        for good in [
            "us-east-1",
            "us-gov-west-1",
            "eusc-de-east-1",
            "us-isob-east-1",
            "ap-southeast-7",
            "mx-central-1",
        ] {
            assert!(good.parse::<Region>().is_ok(), "{good}");
        }
        for bad in [
            "",
            "us",
            "us-east",
            "us-east-",
            "us-east-1a",
            "US-EAST-1",
            "us-east-1.evil.example",
            "-east-1",
        ] {
            assert!(bad.parse::<Region>().is_err(), "{bad}");
        }
    }

    #[test]
    fn roles() {
        let role: RoleArn = "arn:aws-us-gov:iam::111122223333:role/team/x"
            .parse()
            .expect("a role");
        assert_eq!(role.account().expect("an account").as_str(), "111122223333");
        for bad in [
            "",
            "not an ARN",
            "arn:aws:iam::111122223333:role/",
            "arn:aws:iam::111122223333:role/bedrock-*",
            "arn:aws:iam::111122223333:user/u",
            "arn:aws:iam::role/r",
            "arn:aws:sts::111122223333:assumed-role/r/s",
        ] {
            assert!(bad.parse::<RoleArn>().is_err(), "{bad}");
        }
    }

    #[test]
    fn arns_in_every_partition_and_without_a_region() {
        let cases = [
            (
                "arn:aws:bedrock:us-east-1::foundation-model/a.b",
                Some("us-east-1"),
                None,
            ),
            ("arn:aws:bedrock:::foundation-model/a.b", None, None),
            (
                "arn:aws-us-gov:bedrock:us-gov-west-1::foundation-model/a.b",
                Some("us-gov-west-1"),
                None,
            ),
            (
                "arn:aws-eusc:bedrock:eusc-de-east-1:111122223333:inference-profile/eu.a.b",
                Some("eusc-de-east-1"),
                Some("111122223333"),
            ),
            (
                "arn:aws-iso-b:bedrock:us-isob-east-1::foundation-model/a.b",
                Some("us-isob-east-1"),
                None,
            ),
            (
                "arn:aws-iso-f:bedrock:us-isof-south-1::foundation-model/a.b",
                Some("us-isof-south-1"),
                None,
            ),
        ];
        for (text, region, account) in cases {
            let arn = Arn::parse(text).expect(text);
            assert_eq!(arn.region.as_ref().map(Region::as_str), region, "{text}");
            assert_eq!(
                arn.account.as_ref().map(AccountId::as_str),
                account,
                "{text}"
            );
            assert_eq!(
                arn.foundation_model().is_some(),
                text.contains("foundation-model"),
                "{text}"
            );
        }
        for bad in [
            "",
            "arn:aws:bedrock",
            "arn:gcp:bedrock:us-east-1::x/y",
            "arn:aws:bedrock:nowhere::x/y",
            "arn:aws:bedrock:us-east-1:12:x/y",
        ] {
            assert!(Arn::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn geography_of_a_profile_id() {
        let model: ModelId = "amazon.nova-lite-v1:0".parse().expect("model");
        let id: ProfileId = "us-gov.amazon.nova-lite-v1:0".parse().expect("profile");
        assert_eq!(id.geography(&model).expect("geography").as_str(), "us-gov");
    }

    #[test]
    fn partitions_of_regions() {
        for (region, partition) in [
            ("eu-west-1", "aws"),
            ("us-gov-east-1", "aws-us-gov"),
            ("eusc-de-east-1", "aws-eusc"),
            ("us-iso-east-1", "aws-iso"),
            ("us-isob-east-1", "aws-iso-b"),
        ] {
            assert_eq!(
                region.parse::<Region>().expect(region).partition().name,
                partition
            );
        }
    }

    #[test]
    fn names_and_arns_of_application_profiles() {
        let long = "a".repeat(64);
        for name in ["shop-chat", "Shop Chat_1", "a", "9", "a-", &long] {
            assert!(name.parse::<ApplicationName>().is_ok(), "{name}");
        }
        let longer = "a".repeat(65);
        for name in [
            "", "-a", "a--b", "a  b", "a -b", "a.b", "ä", "a\nb", &longer,
        ] {
            assert!(name.parse::<ApplicationName>().is_err(), "{name}");
        }
        let arn = "arn:aws:bedrock:eu-west-1:111122223333:application-inference-profile/a1b2";
        let parsed: ApplicationProfileArn = arn.parse().expect("an ARN");
        assert_eq!(parsed.id(), "a1b2");
        assert_eq!(
            parsed.account().as_ref().map(AccountId::as_str),
            Some("111122223333")
        );
        for text in [
            "arn:aws:bedrock:eu-west-1:111122223333:inference-profile/a1b2",
            "arn:aws:bedrock:eu-west-1:111122223333:application-inference-profile/",
            "arn:aws:bedrock:eu-west-1:111122223333:application-inference-profile/a/b",
            "arn:aws:bedrock:eu-west-1:111122223333:application-inference-profile/*",
            "arn:aws:bedrock:eu-west-1::application-inference-profile/a1b2",
            "arn:aws:bedrock::111122223333:application-inference-profile/a1b2",
            "arn:aws:sagemaker:eu-west-1:111122223333:application-inference-profile/a1b2",
            "a1b2",
        ] {
            assert!(text.parse::<ApplicationProfileArn>().is_err(), "{text}");
        }
    }
}
