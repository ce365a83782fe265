//! The least privileges that a workload needs: its profiles, from their source regions, and their models through these
//! profiles.

use std::collections::BTreeMap;

use crate::types::AccountId;

use super::{
    Action, Call, INFERENCE_PROFILE_ARN, REQUESTED_REGION, UNSPECIFIED,
    document::{Conditions, Document, Effect, MANAGED_POLICY_LIMIT, Statement},
};

/// A policy for a role of one account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkloadPolicy {
    /// The partition of all its ARNs, because IAM refuses a policy with several.
    pub partition: &'static str,
    /// The account of the role. `None` if it is not known: no ARN of the policy names one.
    pub account: Option<AccountId>,
    /// The policy.
    pub document: Document,
}

/// Returns the policies that allow these actions for these calls and nothing else. None is larger than a managed policy may be.
/// The order of the calls does not matter.
#[must_use]
pub fn policies(calls: &[Call], actions: &[Action]) -> Vec<WorkloadPolicy> {
    let mut groups: BTreeMap<_, Vec<&Call>> = BTreeMap::new();
    for call in calls {
        let partition = call.route.source_region.partition().name;
        let key = (partition, call.account());
        groups.entry(key).or_default().push(call);
    }
    let mut policies = Vec::new();
    for ((partition, account), mut calls) in groups {
        calls.sort_by_key(|call| (call.route.arn(call.account()), call.profile_arn()));
        calls.dedup();
        for document in documents(&calls, actions) {
            policies.push(WorkloadPolicy {
                partition,
                account: account.cloned(),
                document,
            });
        }
    }
    policies
}

/// Fills documents one after another, each up to the size of a managed policy.
fn documents(calls: &[&Call], actions: &[Action]) -> Vec<Document> {
    let mut documents = Vec::new();
    let mut held: Vec<&Call> = Vec::new();
    let mut last: Option<Document> = None;
    for call in calls {
        held.push(call);
        let grown = document(&held, actions);
        if grown.size() > MANAGED_POLICY_LIMIT
            && let Some(full) = last.take()
        {
            documents.push(full);
            held = vec![call];
            last = Some(document(&held, actions));
        } else {
            last = Some(grown);
        }
    }
    documents.extend(last);
    documents
}

/// A statement without its Sid.
struct Grant {
    name: &'static str,
    actions: Vec<String>,
    resources: Vec<String>,
    /// Required value of `aws:RequestedRegion`, if any.
    region: Option<String>,
    /// Required values of `bedrock:InferenceProfileArn`, if any.
    through: Vec<String>,
}

fn document(calls: &[&Call], actions: &[Action]) -> Document {
    let mut grants: Vec<Grant> = Vec::new();
    for call in calls {
        for grant in grants_of(call, actions) {
            merge(&mut grants, grant);
        }
    }
    let mut statements = Vec::new();
    for (name, grants) in by_name(grants) {
        let alone = grants.len() == 1;
        for (index, grant) in grants.into_iter().enumerate() {
            let sid = if alone {
                name.to_owned()
            } else {
                format!("{name}{}", index + 1)
            };
            statements.push(statement(sid, grant));
        }
    }
    Document::new(statements)
}

/// Merges a grant into one that differs only in its resources or only in its profiles, so that the merged grant allows nothing
/// that neither of the two allowed.
fn merge(grants: &mut Vec<Grant>, new: Grant) {
    let same = grants.iter_mut().find(|grant| {
        grant.name == new.name
            && grant.actions == new.actions
            && grant.region == new.region
            && (grant.through == new.through || grant.resources == new.resources)
    });
    match same {
        None => grants.push(new),
        Some(grant) => {
            for (all, more) in [
                (&mut grant.resources, new.resources),
                (&mut grant.through, new.through),
            ] {
                all.extend(more);
                all.sort();
                all.dedup();
            }
        }
    }
}

/// Groups grants by name, in the order in which a policy lists them.
fn by_name(grants: Vec<Grant>) -> Vec<(&'static str, Vec<Grant>)> {
    let mut groups: Vec<(&'static str, Vec<Grant>)> =
        NAMES.iter().map(|name| (*name, Vec::new())).collect();
    for grant in grants {
        if let Some((_, group)) = groups.iter_mut().find(|(name, _)| *name == grant.name) {
            group.push(grant);
        }
    }
    groups
}

const GEOGRAPHIC_PROFILES: &str = "GeographicProfiles";
const GEOGRAPHIC_MODELS: &str = "GeographicModels";
const APPLICATION_PROFILES: &str = "ApplicationProfiles";
const APPLICATION_MODELS: &str = "ApplicationModels";
const GLOBAL_PROFILES: &str = "GlobalProfiles";
const GLOBAL_SOURCE_MODELS: &str = "GlobalModelsInSource";
const GLOBAL_MODELS: &str = "GlobalModelsAnywhere";
const ON_DEMAND_MODELS: &str = "OnDemandModels";
const BATCH_JOBS: &str = "BatchJobs";
/// The names of statements, in the order in which a policy lists them.
const NAMES: [&str; 9] = [
    GEOGRAPHIC_PROFILES,
    GEOGRAPHIC_MODELS,
    APPLICATION_PROFILES,
    APPLICATION_MODELS,
    GLOBAL_PROFILES,
    GLOBAL_SOURCE_MODELS,
    GLOBAL_MODELS,
    ON_DEMAND_MODELS,
    BATCH_JOBS,
];

fn grants_of(call: &Call, actions: &[Action]) -> Vec<Grant> {
    let mut invoke: Vec<String> = actions
        .iter()
        .filter(|action| **action != Action::Batch)
        .map(|action| action.as_str().to_owned())
        .collect();
    invoke.sort();
    invoke.dedup();
    let mut grants = Vec::new();
    if !invoke.is_empty() {
        grants.extend(match call.profile_arn() {
            None => vec![on_demand(call, &invoke)],
            Some(profile) if call.route.is_global() => global(call, profile, &invoke),
            Some(profile) => geographic(call, profile, &invoke),
        });
    }
    if actions.contains(&Action::Batch) {
        grants.push(batch(call));
    }
    grants
}

fn models_in_regions(call: &Call) -> Vec<String> {
    call.model_regions()
        .iter()
        .map(|region| region.foundation_model_arn(&call.route.model))
        .collect()
}

fn on_demand(call: &Call, actions: &[String]) -> Grant {
    Grant {
        name: ON_DEMAND_MODELS,
        actions: actions.to_vec(),
        resources: models_in_regions(call),
        region: None,
        through: Vec::new(),
    }
}

fn geographic(call: &Call, profile: &str, actions: &[String]) -> Vec<Grant> {
    let (profiles, models) = if call.is_application() {
        (APPLICATION_PROFILES, APPLICATION_MODELS)
    } else {
        (GEOGRAPHIC_PROFILES, GEOGRAPHIC_MODELS)
    };
    vec![
        Grant {
            name: profiles,
            actions: actions.to_vec(),
            resources: vec![profile.to_owned()],
            region: None,
            through: Vec::new(),
        },
        Grant {
            name: models,
            actions: actions.to_vec(),
            resources: models_in_regions(call),
            region: None,
            through: vec![profile.to_owned()],
        },
    ]
}

fn global(call: &Call, profile: &str, actions: &[String]) -> Vec<Grant> {
    let source = &call.route.source_region;
    vec![
        Grant {
            name: GLOBAL_PROFILES,
            actions: actions.to_vec(),
            resources: vec![profile.to_owned()],
            region: Some(source.to_string()),
            through: Vec::new(),
        },
        Grant {
            name: GLOBAL_SOURCE_MODELS,
            actions: actions.to_vec(),
            resources: models_in_regions(call),
            region: Some(source.to_string()),
            through: vec![profile.to_owned()],
        },
        Grant {
            name: GLOBAL_MODELS,
            actions: actions.to_vec(),
            resources: vec![call.anywhere_arn()],
            region: Some(UNSPECIFIED.to_owned()),
            through: vec![profile.to_owned()],
        },
    ]
}

/// Returns what submitting a batch job needs. AWS documents no condition key that ties a job to a profile, but the ARN of the
/// job names a region and so pins the source region.
fn batch(call: &Call) -> Grant {
    let mut resources = models_in_regions(call);
    resources.extend(call.profile_arn().map(ToOwned::to_owned));
    resources.push(call.job_arn("*"));
    if call.route.is_global() {
        resources.push(call.anywhere_arn());
    }
    resources.sort();
    Grant {
        name: BATCH_JOBS,
        actions: vec![Action::Batch.as_str().to_owned()],
        resources,
        region: None,
        through: Vec::new(),
    }
}

fn statement(sid: String, grant: Grant) -> Statement {
    let mut equals = BTreeMap::new();
    if let Some(region) = grant.region {
        equals.insert(REQUESTED_REGION, vec![region]);
    }
    if !grant.through.is_empty() {
        equals.insert(INFERENCE_PROFILE_ARN, grant.through);
    }
    let condition = if equals.is_empty() {
        Conditions::new()
    } else {
        Conditions::from([("StringEquals", equals)])
    };
    Statement {
        sid,
        effect: Effect::Allow,
        action: grant.actions,
        resource: grant.resources,
        condition,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::{Destinations, Invocation, Route};

    fn call(id: &str, source: &str, destinations: Option<&[&str]>) -> Call {
        let (geography, model) = id.split_once('.').expect("a profile ID");
        let route = Route {
            invocation: Invocation::Profile {
                id: id.parse().expect("a profile ID"),
                geography: geography.parse().expect("a geography"),
            },
            model: model.parse().expect("a model"),
            source_region: source.parse().expect("a region"),
            destinations: destinations.map_or(Destinations::Anywhere, |regions| {
                Destinations::from_names(regions).expect("regions")
            }),
        };
        of_account(route, "111122223333")
    }

    fn of_account(route: Route, account: &str) -> Call {
        let account = account.parse().expect("an account");
        Call::new(route, Some(account)).expect("the account is known")
    }

    fn sids(policy: &WorkloadPolicy) -> Vec<&str> {
        let statements = &policy.document.statement;
        statements.iter().map(|one| one.sid.as_str()).collect()
    }

    const INVOKE: &[Action] = &[Action::Invoke];

    #[test]
    fn the_source_region_counts_even_if_it_is_not_a_destination() {
        let gov = call("us-gov.a.b", "us-gov-east-1", Some(&["us-gov-west-1"]));
        let policies = policies(&[gov], INVOKE);
        assert_eq!(policies.len(), 1);
        assert_eq!(policies[0].partition, "aws-us-gov");
        assert_eq!(
            policies[0].document.statement[1].resource,
            [
                "arn:aws-us-gov:bedrock:us-gov-east-1::foundation-model/a.b",
                "arn:aws-us-gov:bedrock:us-gov-west-1::foundation-model/a.b",
            ]
        );
    }

    #[test]
    fn order_and_repetition_change_nothing() {
        let calls = [
            call("eu.a.b", "eu-west-1", Some(&["eu-west-1", "eu-west-3"])),
            call("eu.a.c", "eu-west-1", Some(&["eu-west-1", "eu-west-3"])),
            call("global.a.b", "eu-west-1", None),
        ];
        let expected = policies(&calls, INVOKE);
        let [a, b, c] = calls;
        let shuffled = [c.clone(), b.clone(), a.clone(), b, c, a];
        assert_eq!(policies(&shuffled, INVOKE), expected);
    }

    #[test]
    fn statements_are_merged_only_if_nothing_more_is_allowed() {
        let joined = [
            call("eu.a.b", "eu-west-1", Some(&["eu-west-1", "eu-west-3"])),
            call("eu.a.b", "eu-west-3", Some(&["eu-west-1", "eu-west-3"])),
        ];
        let policy = &policies(&joined, INVOKE)[0];
        assert_eq!(sids(policy), [GEOGRAPHIC_PROFILES, GEOGRAPHIC_MODELS]);
        let apart = [
            call("eu.a.b", "eu-west-1", Some(&["eu-west-1", "eu-west-3"])),
            call("eu.a.c", "eu-west-1", Some(&["eu-west-1"])),
        ];
        let policy = &policies(&apart, INVOKE)[0];
        assert_eq!(
            sids(policy),
            [
                GEOGRAPHIC_PROFILES,
                "GeographicModels1",
                "GeographicModels2"
            ]
        );
    }

    #[test]
    fn partitions_and_accounts_are_kept_apart() {
        let other = call("eu.a.b", "eu-west-1", Some(&["eu-west-1"])).route;
        let other = of_account(other, "444455556666");
        let calls = [
            call("us-gov.a.b", "us-gov-west-1", Some(&["us-gov-west-1"])),
            call("eu.a.b", "eu-west-1", Some(&["eu-west-1"])),
            other,
        ];
        let of: Vec<_> = policies(&calls, INVOKE)
            .into_iter()
            .map(|policy| {
                let account = policy.account.expect("an account");
                (policy.partition, account.to_string())
            })
            .collect();
        assert_eq!(
            of,
            [
                ("aws", "111122223333".to_owned()),
                ("aws", "444455556666".to_owned()),
                ("aws-us-gov", "111122223333".to_owned()),
            ]
        );
    }

    #[test]
    fn no_policy_exceeds_the_limit_of_iam() {
        let names: Vec<String> = (0..40)
            .map(|n| format!("eu.provider.model-{n:02}"))
            .collect();
        let calls: Vec<Call> = names
            .iter()
            .map(|id| call(id, "eu-west-1", Some(&["eu-west-1", "eu-west-3"])))
            .collect();
        let policies = policies(&calls, &[Action::Invoke, Action::Stream]);
        assert!(policies.len() > 1);
        let mut profiles = Vec::new();
        for policy in &policies {
            assert!(policy.document.size() <= MANAGED_POLICY_LIMIT);
            profiles.extend(policy.document.statement[0].resource.clone());
        }
        assert_eq!(profiles.len(), names.len(), "each profile is in one policy");
    }

    #[test]
    fn batch_jobs_are_tied_to_the_source_region() {
        let calls = [call("eu.a.b", "eu-west-1", Some(&["eu-west-3"]))];
        let policy = &policies(&calls, &[Action::Batch])[0];
        assert_eq!(sids(policy), [BATCH_JOBS]);
        assert_eq!(
            policy.document.statement[0].resource,
            [
                "arn:aws:bedrock:eu-west-1:111122223333:inference-profile/eu.a.b",
                "arn:aws:bedrock:eu-west-1:111122223333:model-invocation-job/*",
                "arn:aws:bedrock:eu-west-1::foundation-model/a.b",
                "arn:aws:bedrock:eu-west-3::foundation-model/a.b",
            ]
        );
    }

    #[test]
    fn a_profile_needs_an_account() {
        let route = call("eu.a.b", "eu-west-1", Some(&["eu-west-1"])).route;
        assert_eq!(Call::new(route, None), None);
    }

    #[test]
    fn a_model_on_demand_needs_itself_in_its_region_alone_and_no_account() {
        let source = "eu-west-2".parse().expect("a region");
        let route = Route::on_demand("a.b".parse().expect("a model"), source);
        let on_demand = Call::new(route, None).expect("no account is needed");
        let arn = "arn:aws:bedrock:eu-west-2::foundation-model/a.b";
        let policy = &policies(std::slice::from_ref(&on_demand), INVOKE)[0];
        assert_eq!(sids(policy), [ON_DEMAND_MODELS]);
        assert_eq!(policy.document.statement[0].resource, [arn]);
        let checks = on_demand.checks(Action::Invoke);
        let resources: Vec<&str> = checks.iter().map(|one| one.resource.as_str()).collect();
        assert_eq!(resources, [arn]);
    }

    #[test]
    fn an_application_profile_takes_the_place_of_the_system_defined_one() {
        let arn = "arn:aws:bedrock:eu-west-1:111122223333:application-inference-profile/a1";
        let through = |call: Call| call.through_application(&arn.parse().expect("an ARN"));
        let source = "eu-west-1".parse().expect("a region");
        let on_demand = Route::on_demand("a.b".parse().expect("a model"), source);
        let on_demand = Call::new(on_demand, None).expect("no account is needed");
        for (call, names) in [
            (
                call("eu.a.b", "eu-west-1", Some(&["eu-west-1", "eu-west-3"])),
                &[APPLICATION_PROFILES, APPLICATION_MODELS][..],
            ),
            (on_demand, &[APPLICATION_PROFILES, APPLICATION_MODELS]),
            (
                call("global.a.b", "eu-west-1", None),
                &[GLOBAL_PROFILES, GLOBAL_SOURCE_MODELS, GLOBAL_MODELS],
            ),
        ] {
            let policy = &policies(&[through(call)], INVOKE)[0];
            assert_eq!(sids(policy), names);
            assert_eq!(
                policy.account.as_ref().map(AccountId::as_str),
                Some("111122223333")
            );
            let statements = &policy.document.statement;
            assert_eq!(statements[0].resource, [arn]);
            for models in &statements[1..] {
                let condition = &models.condition["StringEquals"][INFERENCE_PROFILE_ARN];
                assert_eq!(*condition, [arn], "{}", models.sid);
            }
            let text = serde_json::to_string(&policy.document).expect("JSON");
            assert!(!text.contains(":inference-profile/"), "{text}");
        }
    }
}
