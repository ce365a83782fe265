//! Listings: the format that `aws bedrock list-inference-profiles --output json` prints, and its conversion from and to
//! profiles.
//!
//! Source: <https://docs.aws.amazon.com/bedrock/latest/APIReference/API_ListInferenceProfiles.html>

use std::{collections::BTreeSet, sync::Arc};

use serde::{Deserialize, Serialize};

use super::Profile;
use crate::{
    route::Destinations,
    types::{AccountId, Arn, ModelId, ProfileId, Region},
};

const SYSTEM_DEFINED: &str = "SYSTEM_DEFINED";
pub(super) const APPLICATION: &str = "APPLICATION";
pub(super) const ACTIVE: &str = "ACTIVE";

/// An answer of `ListInferenceProfiles`. Fields that are not used here are neither read nor required.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listing {
    /// The profiles, in the order of the answer.
    #[serde(rename = "inferenceProfileSummaries")]
    pub summaries: Vec<Summary>,
    /// Present when the answer was cut off: `nextToken` in AWS's answer, `NextToken` with the CLI's `--max-items`.
    #[serde(
        default,
        rename = "nextToken",
        alias = "NextToken",
        skip_serializing_if = "Option::is_none"
    )]
    pub next_token: Option<String>,
}

/// One entry of an answer. A missing field reads as empty, so that one odd entry does not hide the others.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Summary {
    /// The display name.
    pub inference_profile_name: String,
    /// `arn:PARTITION:bedrock:SOURCE:ACCOUNT:inference-profile/ID`.
    pub inference_profile_arn: String,
    /// The models that requests are routed to, in no order: the same model in each destination.
    pub models: Vec<ModelReference>,
    /// The ID.
    pub inference_profile_id: String,
    /// `ACTIVE`, which is the only status so far.
    pub status: String,
    /// `SYSTEM_DEFINED` or `APPLICATION`.
    #[serde(rename = "type")]
    pub kind: String,
}

/// One destination of a profile.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ModelReference {
    /// `arn:PARTITION:bedrock:DESTINATION::foundation-model/MODEL`, with an empty region if it can be any.
    pub model_arn: String,
}

/// The profiles of an answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Profiles {
    /// The system-defined, active profiles, in the order of the answer.
    pub profiles: Vec<Arc<Profile>>,
    /// The account that was asked, if an ARN names it.
    pub account: Option<AccountId>,
    /// The entries that should be profiles and can't be understood, in the order of the answer.
    pub left_out: Vec<LeftOut>,
}

/// An entry that can't be understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOut {
    /// ID of the entry, as listed.
    pub id: String,
    /// ARN of the entry, as listed.
    pub arn: String,
    /// What is wrong with it.
    pub problem: Problem,
}

/// What is wrong with one entry, in words.
pub type Problem = &'static str;

/// Why an answer can't be one for the region that was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Contradiction {
    /// An entry belongs to another region or partition.
    #[error("{id}: its ARN {arn} is not of {expected}")]
    Region {
        /// ID of the entry.
        id: String,
        /// ARN of the entry.
        arn: String,
        /// What the ARN should begin with.
        expected: String,
    },
    /// Two entries belong to different accounts.
    #[error("{id}: its ARN is of account {account}, an earlier entry's of {before}")]
    Account {
        /// ID of the later entry.
        id: String,
        /// Account of the later entry.
        account: AccountId,
        /// Account of the earlier entries.
        before: AccountId,
    },
}

/// Returns the profiles of an answer for `region`. Application profiles and those that are not active are passed over.
///
/// # Errors
/// [`Contradiction`] if an entry belongs to another region, partition or account: such an answer can't be trusted.
pub fn profiles(summaries: &[Summary], region: &Region) -> Result<Profiles, Contradiction> {
    let mut found = Profiles {
        profiles: Vec::with_capacity(summaries.len()),
        ..Profiles::default()
    };
    for summary in summaries {
        if summary.kind != SYSTEM_DEFINED || summary.status != ACTIVE {
            continue;
        }
        match profile(summary, region)? {
            Ok((profile, account)) => {
                note_account(&mut found.account, account, profile.id.as_str())?;
                found.profiles.push(Arc::new(profile));
            }
            Err(problem) => found.left_out.push(LeftOut {
                id: summary.inference_profile_id.clone(),
                arn: summary.inference_profile_arn.clone(),
                problem,
            }),
        }
    }
    Ok(found)
}

/// Returns the entry that an answer has for a profile. The account in its ARN is empty if it is not known.
#[must_use]
pub fn summary(profile: &Profile, region: &Region, account: Option<&AccountId>) -> Summary {
    let partition = region.partition().name;
    let model_arn = |destination: &str| ModelReference {
        model_arn: format!(
            "arn:{partition}:bedrock:{destination}::foundation-model/{}",
            profile.model
        ),
    };
    Summary {
        inference_profile_name: profile.name.clone(),
        inference_profile_arn: format!(
            "arn:{partition}:bedrock:{region}:{}:inference-profile/{}",
            account.map_or("", AccountId::as_str),
            profile.id
        ),
        models: match &profile.destinations {
            Destinations::Regions(regions) => {
                regions.iter().map(|r| model_arn(r.as_str())).collect()
            }
            Destinations::Anywhere => vec![model_arn(""), model_arn(region.as_str())],
        },
        inference_profile_id: profile.id.to_string(),
        status: ACTIVE.to_owned(),
        kind: SYSTEM_DEFINED.to_owned(),
    }
}

fn profile(
    summary: &Summary,
    region: &Region,
) -> Result<Result<(Profile, Option<AccountId>), Problem>, Contradiction> {
    let Ok(arn) = Arn::parse(&summary.inference_profile_arn) else {
        return Ok(Err("its ARN is malformed"));
    };
    let partition = region.partition().name;
    check_region(summary, region)?;
    let Ok(id) = summary.inference_profile_id.parse::<ProfileId>() else {
        return Ok(Err("its ID is not that of a system-defined profile"));
    };
    if arn.service != "bedrock" || arn.inference_profile().as_ref() != Some(&id) {
        return Ok(Err("its ARN and its ID do not match"));
    }
    Ok(
        model_and_destinations(&summary.models, partition).and_then(|(model, destinations)| {
            let geography = id.geography(&model).ok_or("its ID has no geography")?;
            let name = summary.inference_profile_name.clone();
            let profile = Profile {
                id,
                name,
                model,
                geography,
                destinations,
            };
            Ok((profile, arn.account))
        }),
    )
}

/// Checks that an entry whose ARN is well-formed belongs to the region that was asked.
pub(super) fn check_region(summary: &Summary, region: &Region) -> Result<(), Contradiction> {
    let partition = region.partition().name;
    match Arn::parse(&summary.inference_profile_arn) {
        Ok(arn) if arn.partition != partition || arn.region.as_ref() != Some(region) => {
            Err(Contradiction::Region {
                id: summary.inference_profile_id.clone(),
                arn: summary.inference_profile_arn.clone(),
                expected: format!("arn:{partition}:bedrock:{region}"),
            })
        }
        _ => Ok(()),
    }
}

fn model_and_destinations(
    references: &[ModelReference],
    partition: &str,
) -> Result<(ModelId, Destinations), Problem> {
    let mut models = BTreeSet::new();
    let mut regions = Vec::with_capacity(references.len());
    let mut anywhere = false;
    for reference in references {
        let arn = Arn::parse(&reference.model_arn).map_err(|_| "a model ARN is malformed")?;
        if arn.partition != partition {
            return Err("a model ARN belongs to another partition");
        }
        models.insert(
            arn.foundation_model()
                .ok_or("a model ARN names no foundation model")?,
        );
        match arn.region {
            Some(region) => regions.push(region),
            None => anywhere = true,
        }
    }
    let model = models.pop_first().ok_or("it names no model")?;
    if !models.is_empty() {
        return Err("it names more than one model");
    }
    let destinations = if anywhere {
        Destinations::Anywhere
    } else {
        Destinations::regions(regions)
    };
    Ok((model, destinations))
}

pub(super) fn note_account(
    known: &mut Option<AccountId>,
    account: Option<AccountId>,
    id: &str,
) -> Result<(), Contradiction> {
    match (known.as_ref(), account) {
        (Some(before), Some(account)) if *before != account => Err(Contradiction::Account {
            id: id.to_string(),
            account,
            before: before.clone(),
        }),
        (None, account) => {
            *known = account;
            Ok(())
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn region(name: &str) -> Region {
        name.parse().expect(name)
    }

    fn entry(id: &str, arn: &str, models: &[&str]) -> Summary {
        Summary {
            inference_profile_name: "A name".into(),
            inference_profile_arn: arn.into(),
            models: models
                .iter()
                .map(|arn| ModelReference {
                    model_arn: (*arn).into(),
                })
                .collect(),
            inference_profile_id: id.into(),
            status: ACTIVE.into(),
            kind: SYSTEM_DEFINED.into(),
        }
    }

    #[test]
    fn every_partition_and_global() {
        let cases = [
            (
                "us-east-1",
                entry(
                    "us.meta.llama3-3-70b-instruct-v1:0",
                    "arn:aws:bedrock:us-east-1:111122223333:inference-profile/us.meta.llama3-3-70b-instruct-v1:0",
                    &[
                        "arn:aws:bedrock:us-west-2::foundation-model/meta.llama3-3-70b-instruct-v1:0",
                        "arn:aws:bedrock:us-east-1::foundation-model/meta.llama3-3-70b-instruct-v1:0",
                        "arn:aws:bedrock:us-west-2::foundation-model/meta.llama3-3-70b-instruct-v1:0",
                    ],
                ),
                "us",
                "us-east-1,us-west-2",
            ),
            (
                "us-gov-east-1",
                entry(
                    "us-gov.anthropic.claude-3-haiku-20240307-v1:0",
                    "arn:aws-us-gov:bedrock:us-gov-east-1:111122223333:inference-profile/us-gov.anthropic.claude-3-haiku-20240307-v1:0",
                    &[
                        "arn:aws-us-gov:bedrock:us-gov-west-1::foundation-model/anthropic.claude-3-haiku-20240307-v1:0",
                    ],
                ),
                "us-gov",
                "us-gov-west-1",
            ),
            (
                "eusc-de-east-1",
                entry(
                    "eusc.a.b",
                    "arn:aws-eusc:bedrock:eusc-de-east-1:111122223333:inference-profile/eusc.a.b",
                    &["arn:aws-eusc:bedrock:eusc-de-east-1::foundation-model/a.b"],
                ),
                "eusc",
                "eusc-de-east-1",
            ),
            (
                "us-iso-east-1",
                entry(
                    "us-iso.a.b",
                    "arn:aws-iso:bedrock:us-iso-east-1:111122223333:inference-profile/us-iso.a.b",
                    &["arn:aws-iso:bedrock:us-iso-west-1::foundation-model/a.b"],
                ),
                "us-iso",
                "us-iso-west-1",
            ),
            (
                "us-isob-east-1",
                entry(
                    "us-isob.a.b",
                    "arn:aws-iso-b:bedrock:us-isob-east-1:111122223333:inference-profile/us-isob.a.b",
                    &["arn:aws-iso-b:bedrock:us-isob-east-1::foundation-model/a.b"],
                ),
                "us-isob",
                "us-isob-east-1",
            ),
            (
                "us-isof-south-1",
                entry(
                    "us-isof.a.b",
                    "arn:aws-iso-f:bedrock:us-isof-south-1:111122223333:inference-profile/us-isof.a.b",
                    &["arn:aws-iso-f:bedrock:us-isof-east-1::foundation-model/a.b"],
                ),
                "us-isof",
                "us-isof-east-1",
            ),
            (
                "eu-west-1",
                entry(
                    "global.cohere.embed-v4:0",
                    "arn:aws:bedrock:eu-west-1:111122223333:inference-profile/global.cohere.embed-v4:0",
                    &[
                        "arn:aws:bedrock:eu-west-1::foundation-model/cohere.embed-v4:0",
                        "arn:aws:bedrock:::foundation-model/cohere.embed-v4:0",
                    ],
                ),
                "global",
                "*",
            ),
        ];
        for (source, summary, geography, destinations) in cases {
            let found = profiles(std::slice::from_ref(&summary), &region(source)).expect(source);
            let [profile] = found.profiles.as_slice() else {
                panic!("{source}: {found:?}")
            };
            assert_eq!(profile.geography.as_str(), geography, "{source}");
            assert_eq!(profile.destinations.to_string(), destinations, "{source}");
            assert_eq!(profile.id.as_str(), summary.inference_profile_id);
            assert_eq!(
                found.account.as_ref().map(AccountId::as_str),
                Some("111122223333")
            );
        }
    }

    #[test]
    fn an_odd_entry_does_not_hide_the_others() {
        let arn =
            |id: &str| format!("arn:aws:bedrock:eu-west-1:111122223333:inference-profile/{id}");
        let model = "arn:aws:bedrock:eu-west-1::foundation-model/a.b";
        let good = entry("eu.a.b", &arn("eu.a.b"), &[model]);
        for (odd, problem) in [
            (Summary::default(), None),
            (entry("eu.a.b", "not an ARN", &[model]), Some("its ARN is malformed")),
            (entry("nothing", &arn("nothing"), &[model]), Some("its ID is not that of a system-defined profile")),
            (entry("eu.a.b", &arn("eu.a.c"), &[model]), Some("its ARN and its ID do not match")),
            (entry("eu.a.b", &arn("eu.a.b"), &[]), Some("it names no model")),
            (
                entry("eu.a.b", &arn("eu.a.b"), &[model, "arn:aws:bedrock:eu-west-1::foundation-model/a.c"]),
                Some("it names more than one model"),
            ),
            (
                entry("eu.a.b", &arn("eu.a.b"), &[model, "arn:aws-cn:bedrock:cn-north-1::foundation-model/a.b"]),
                Some("a model ARN belongs to another partition"),
            ),
            (
                entry("eu.a.b", &arn("eu.a.b"), &["arn:aws:bedrock:eu-west-1:111122223333:custom-model/x"]),
                Some("a model ARN names no foundation model"),
            ),
            (entry("eu.a.b", &arn("eu.a.b"), &["a.b"]), Some("a model ARN is malformed")),
            (Summary { status: "DELETING".into(), ..good.clone() }, None),
            (
                Summary {
                    kind: "APPLICATION".into(),
                    inference_profile_id: "q1w2e3r4t5y6".into(),
                    inference_profile_arn: "arn:aws:bedrock:eu-west-1:111122223333:application-inference-profile/q1w2e3r4t5y6".into(),
                    ..good.clone()
                },
                None,
            ),
        ] {
            let found = profiles(&[odd.clone(), good.clone()], &region("eu-west-1"))
                .unwrap_or_else(|error| panic!("{odd:?}: {error}"));
            assert_eq!(found.profiles.len(), 1, "{odd:?}");
            let expected: Vec<LeftOut> = problem
                .map(|problem| LeftOut {
                    id: odd.inference_profile_id.clone(),
                    arn: odd.inference_profile_arn.clone(),
                    problem,
                })
                .into_iter()
                .collect();
            assert_eq!(found.left_out, expected);
        }
    }

    #[test]
    fn an_answer_of_another_region_partition_or_account_is_refused() {
        let of = |prefix: &str, id: &str| {
            entry(
                id,
                &format!("{prefix}:inference-profile/{id}"),
                &[&format!(
                    "arn:aws:bedrock:eu-west-1::foundation-model/{}",
                    id.split_once('.').expect("id").1
                )],
            )
        };
        let good = of("arn:aws:bedrock:eu-west-1:111122223333", "eu.a.b");
        for (prefix, says) in [
            (
                "arn:aws:bedrock:us-east-1:111122223333",
                "eu.a.c: its ARN arn:aws:bedrock:us-east-1:111122223333:inference-profile/eu.a.c is not of arn:aws:bedrock:eu-west-1",
            ),
            (
                "arn:aws-us-gov:bedrock:eu-west-1:111122223333",
                "eu.a.c: its ARN arn:aws-us-gov:bedrock:eu-west-1:111122223333:inference-profile/eu.a.c is not of arn:aws:bedrock:eu-west-1",
            ),
            (
                "arn:aws:bedrock:eu-west-1:444455556666",
                "eu.a.c: its ARN is of account 444455556666, an earlier entry's of 111122223333",
            ),
        ] {
            let error = profiles(&[good.clone(), of(prefix, "eu.a.c")], &region("eu-west-1"))
                .expect_err(prefix);
            assert_eq!(error.to_string(), says);
        }
    }

    #[test]
    fn reads_what_the_aws_cli_prints() {
        let text = r#"{
            "inferenceProfileSummaries": [
                {
                    "inferenceProfileName": "EU Anthropic Claude Sonnet 4.5",
                    "description": "Routes requests to Anthropic Claude Sonnet 4.5 in eu-west-1 and eu-north-1.",
                    "createdAt": "2025-09-29T00:00:00+00:00",
                    "updatedAt": "2025-10-03T11:22:33.456000+00:00",
                    "inferenceProfileArn": "arn:aws:bedrock:eu-west-1:111122223333:inference-profile/eu.anthropic.claude-sonnet-4-5-20250929-v1:0",
                    "models": [
                        {"modelArn": "arn:aws:bedrock:eu-west-1::foundation-model/anthropic.claude-sonnet-4-5-20250929-v1:0"},
                        {"modelArn": "arn:aws:bedrock:eu-north-1::foundation-model/anthropic.claude-sonnet-4-5-20250929-v1:0"}
                    ],
                    "inferenceProfileId": "eu.anthropic.claude-sonnet-4-5-20250929-v1:0",
                    "status": "ACTIVE",
                    "type": "SYSTEM_DEFINED",
                    "somethingNew": {"a": [1]}
                },
                {
                    "inferenceProfileName": "Without description and times",
                    "inferenceProfileArn": "arn:aws:bedrock:eu-west-1:111122223333:inference-profile/eu.a.b",
                    "models": [{"modelArn": "arn:aws:bedrock:eu-west-1::foundation-model/a.b"}],
                    "inferenceProfileId": "eu.a.b",
                    "status": "ACTIVE",
                    "type": "SYSTEM_DEFINED"
                }
            ]
        }"#;
        let listing: Listing = serde_json::from_str(text).expect("listing");
        let found = profiles(&listing.summaries, &region("eu-west-1")).expect("profiles");
        let destinations: Vec<String> = found
            .profiles
            .iter()
            .map(|profile| profile.destinations.to_string())
            .collect();
        assert_eq!(destinations, ["eu-north-1,eu-west-1", "eu-west-1"]);
    }

    #[test]
    fn profiles_go_there_and_back() {
        let account: AccountId = "111122223333".parse().expect("account");
        for (source, id, destinations) in [
            (
                "us-gov-east-1",
                "us-gov.a.b",
                Destinations::regions(vec![region("us-gov-west-1")]),
            ),
            ("eu-west-1", "global.a.b", Destinations::Anywhere),
        ] {
            let source = region(source);
            let id: ProfileId = id.parse().expect("id");
            let model: ModelId = "a.b".parse().expect("model");
            let profile = Profile {
                geography: id.geography(&model).expect("geography"),
                id,
                name: "A name".into(),
                model,
                destinations,
            };
            for account in [None, Some(&account)] {
                let found =
                    profiles(&[summary(&profile, &source, account)], &source).expect("profiles");
                assert_eq!(found.profiles, [Arc::new(profile.clone())]);
                assert_eq!(found.account.as_ref(), account);
            }
        }
    }
}
