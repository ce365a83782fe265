//! The least that a workload needs: its profiles, from their source regions, and their models through them.

use std::collections::BTreeMap;

use super::{
    Action, INFERENCE_PROFILE_ARN, REQUESTED_REGION, Route, UNSPECIFIED,
    document::{Conditions, Document, Effect, MANAGED_POLICY_LIMIT, Statement},
};

/// A policy, and whose it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkloadPolicy {
    /// The partition of everything in it: IAM refuses a mixture.
    pub partition: &'static str,
    /// The account of the role that it is for.
    pub account: String,
    /// The policy.
    pub document: Document,
}

/// Returns the policies that allow these actions on these routes and nothing else, none larger than a managed policy may
/// be. The order of the routes does not matter.
#[must_use]
pub fn policies(routes: &[Route], actions: &[Action]) -> Vec<WorkloadPolicy> {
    let mut groups: BTreeMap<_, Vec<&Route>> = BTreeMap::new();
    for route in routes {
        let key = (route.source.partition().name, route.account.to_string());
        groups.entry(key).or_default().push(route);
    }
    let mut policies = Vec::new();
    for ((partition, account), mut routes) in groups {
        routes.sort_by_key(|route| route.profile_arn());
        routes.dedup();
        for document in documents(&routes, actions) {
            policies.push(WorkloadPolicy {
                partition,
                account: account.clone(),
                document,
            });
        }
    }
    policies
}

/// Returns as few documents as filling one after the other gives.
fn documents(routes: &[&Route], actions: &[Action]) -> Vec<Document> {
    let mut documents = Vec::new();
    let mut held: Vec<&Route> = Vec::new();
    let mut last: Option<Document> = None;
    for route in routes {
        held.push(route);
        let grown = document(&held, actions);
        if grown.size() > MANAGED_POLICY_LIMIT
            && let Some(full) = last.take()
        {
            documents.push(full);
            held = vec![route];
            last = Some(document(&held, actions));
        } else {
            last = Some(grown);
        }
    }
    documents.extend(last);
    documents
}

/// A statement before it has a number.
struct Grant {
    name: &'static str,
    actions: Vec<String>,
    resources: Vec<String>,
    /// Values of `aws:RequestedRegion`, if it matters.
    region: Option<String>,
    /// Values of `bedrock:InferenceProfileArn`, if it matters.
    through: Vec<String>,
}

fn document(routes: &[&Route], actions: &[Action]) -> Document {
    let mut grants: Vec<Grant> = Vec::new();
    for route in routes {
        for grant in grants_of(route, actions) {
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

/// Joins a grant to one that differs in its resources alone, or in its profiles alone: nothing is allowed that neither
/// allowed.
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

/// Groups grants in the order in which a policy has them.
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
const GLOBAL_PROFILES: &str = "GlobalProfiles";
const GLOBAL_SOURCE_MODELS: &str = "GlobalModelsInSource";
const GLOBAL_MODELS: &str = "GlobalModelsAnywhere";
const BATCH_JOBS: &str = "BatchJobs";
/// Names of statements, in their order.
const NAMES: [&str; 6] = [
    GEOGRAPHIC_PROFILES,
    GEOGRAPHIC_MODELS,
    GLOBAL_PROFILES,
    GLOBAL_SOURCE_MODELS,
    GLOBAL_MODELS,
    BATCH_JOBS,
];

fn grants_of(route: &Route, actions: &[Action]) -> Vec<Grant> {
    let mut invoke: Vec<String> = actions
        .iter()
        .filter(|action| **action != Action::Batch)
        .map(|action| action.as_str().to_owned())
        .collect();
    invoke.sort();
    invoke.dedup();
    let mut grants = Vec::new();
    if !invoke.is_empty() {
        grants.extend(if route.is_global() {
            global(route, &invoke)
        } else {
            geographic(route, &invoke)
        });
    }
    if actions.contains(&Action::Batch) {
        grants.push(batch(route));
    }
    grants
}

fn models_in_regions(route: &Route) -> Vec<String> {
    route
        .model_regions()
        .iter()
        .map(|region| region.foundation_model_arn(&route.profile.model))
        .collect()
}

fn geographic(route: &Route, actions: &[String]) -> Vec<Grant> {
    vec![
        Grant {
            name: GEOGRAPHIC_PROFILES,
            actions: actions.to_vec(),
            resources: vec![route.profile_arn()],
            region: None,
            through: Vec::new(),
        },
        Grant {
            name: GEOGRAPHIC_MODELS,
            actions: actions.to_vec(),
            resources: models_in_regions(route),
            region: None,
            through: vec![route.profile_arn()],
        },
    ]
}

fn global(route: &Route, actions: &[String]) -> Vec<Grant> {
    vec![
        Grant {
            name: GLOBAL_PROFILES,
            actions: actions.to_vec(),
            resources: vec![route.profile_arn()],
            region: Some(route.source.to_string()),
            through: Vec::new(),
        },
        Grant {
            name: GLOBAL_SOURCE_MODELS,
            actions: actions.to_vec(),
            resources: models_in_regions(route),
            region: Some(route.source.to_string()),
            through: vec![route.profile_arn()],
        },
        Grant {
            name: GLOBAL_MODELS,
            actions: actions.to_vec(),
            resources: vec![route.anywhere_arn()],
            region: Some(UNSPECIFIED.to_owned()),
            through: vec![route.profile_arn()],
        },
    ]
}

/// Returns what submitting a batch job needs. AWS documents no condition key that ties a job to a profile; the job, whose
/// ARN names its region, pins the source region.
fn batch(route: &Route) -> Grant {
    let mut resources = models_in_regions(route);
    resources.push(route.profile_arn());
    resources.push(route.job_arn("*"));
    if route.is_global() {
        resources.push(route.anywhere_arn());
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
    use std::sync::Arc;

    use super::*;
    use crate::catalog::{Destinations, Profile};

    fn route(id: &str, source: &str, destinations: Option<&[&str]>) -> Route {
        let (geography, model) = id.split_once('.').expect("a profile ID");
        Route {
            account: "111122223333".parse().expect("an account"),
            source: source.parse().expect("a region"),
            profile: Arc::new(Profile {
                id: id.parse().expect("a profile ID"),
                name: String::new(),
                model: model.parse().expect("a model"),
                geography: geography.parse().expect("a geography"),
                destinations: destinations.map_or(Destinations::Anywhere, |regions| {
                    Destinations::regions(
                        regions
                            .iter()
                            .map(|name| name.parse().expect("a region"))
                            .collect(),
                    )
                }),
            }),
        }
    }

    fn sids(policy: &WorkloadPolicy) -> Vec<&str> {
        let statements = &policy.document.statement;
        statements.iter().map(|one| one.sid.as_str()).collect()
    }

    const INVOKE: &[Action] = &[Action::Invoke];

    #[test]
    fn the_source_region_counts_even_where_it_is_no_destination() {
        let gov = route("us-gov.a.b", "us-gov-east-1", Some(&["us-gov-west-1"]));
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
        let routes = [
            route("eu.a.b", "eu-west-1", Some(&["eu-west-1", "eu-west-3"])),
            route("eu.a.c", "eu-west-1", Some(&["eu-west-1", "eu-west-3"])),
            route("global.a.b", "eu-west-1", None),
        ];
        let expected = policies(&routes, INVOKE);
        let [a, b, c] = routes;
        let shuffled = [c.clone(), b.clone(), a.clone(), b, c, a];
        assert_eq!(policies(&shuffled, INVOKE), expected);
    }

    #[test]
    fn statements_are_joined_only_where_nothing_more_is_allowed() {
        let joined = [
            route("eu.a.b", "eu-west-1", Some(&["eu-west-1", "eu-west-3"])),
            route("eu.a.b", "eu-west-3", Some(&["eu-west-1", "eu-west-3"])),
        ];
        let policy = &policies(&joined, INVOKE)[0];
        assert_eq!(sids(policy), [GEOGRAPHIC_PROFILES, GEOGRAPHIC_MODELS]);
        let apart = [
            route("eu.a.b", "eu-west-1", Some(&["eu-west-1", "eu-west-3"])),
            route("eu.a.c", "eu-west-1", Some(&["eu-west-1"])),
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
        let mut other = route("eu.a.b", "eu-west-1", Some(&["eu-west-1"]));
        other.account = "444455556666".parse().expect("an account");
        let routes = [
            route("us-gov.a.b", "us-gov-west-1", Some(&["us-gov-west-1"])),
            route("eu.a.b", "eu-west-1", Some(&["eu-west-1"])),
            other,
        ];
        let of: Vec<_> = policies(&routes, INVOKE)
            .into_iter()
            .map(|policy| (policy.partition, policy.account))
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
    fn no_policy_is_larger_than_iam_takes() {
        let names: Vec<String> = (0..40)
            .map(|n| format!("eu.provider.model-{n:02}"))
            .collect();
        let routes: Vec<Route> = names
            .iter()
            .map(|id| route(id, "eu-west-1", Some(&["eu-west-1", "eu-west-3"])))
            .collect();
        let policies = policies(&routes, &[Action::Invoke, Action::Stream]);
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
        let routes = [route("eu.a.b", "eu-west-1", Some(&["eu-west-3"]))];
        let policy = &policies(&routes, &[Action::Batch])[0];
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
}
