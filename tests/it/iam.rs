//! Policies that `iam-policy` prints, and its verdicts on service control policies, each judged twice: by the program's
//! own evaluator, and by one that is not this project's (tests/iam/judge.mjs).

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    process::Command,
    sync::Arc,
};

use inference_profile_operator::{
    catalog::{Profile, embedded::Embedded},
    iam::{
        self, Action, Call, Check, INFERENCE_PROFILE_ARN, Principal, REQUESTED_REGION,
        context::{Context, Value},
        document::{Document, MANAGED_POLICY_LIMIT},
        evaluate::{self, Decision, Level, Policy},
        format, guardrail,
        trust::{self, OidcProvider, ServiceAccount, TrustPolicy},
        workload,
    },
    residency::{Limit, LimitOrigin, Limits},
    route::Route,
    types::Region,
};
use serde_json::{Value as Json, json};

use crate::common::{program::Output, tools};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/iam");
const ACCOUNT: &str = "111122223333";
const ROLE: &str = "arn:aws:iam::111122223333:role/chat";
const INVOKE: [Action; 2] = [Action::Invoke, Action::Stream];

/// A request to one resource.
#[derive(Debug, Clone)]
struct Request {
    what: String,
    action: &'static str,
    resource: String,
    context: Context,
}

impl Request {
    fn of(call: &Call, check: &Check, principal: Option<&Principal>) -> Self {
        Self {
            what: format!("{} {}", profile_arn(call), check.checked),
            action: check.action.as_str(),
            resource: check.resource.clone(),
            context: check.context(&iam::caller(call.account(), principal)),
        }
    }

    fn but(&self, what: &str, change: impl FnOnce(&mut Self)) -> Self {
        let mut other = self.clone();
        other.what = format!("{}: {what}", self.what);
        change(&mut other);
        other
    }

    fn with(&mut self, key: &str, value: Value) {
        self.context = std::mem::take(&mut self.context).with(key, value);
    }

    fn decide(&self, levels: &[Level]) -> Decision {
        evaluate::judge(levels, self.action, &self.resource, &self.context)
    }

    /// Returns the request as judge.mjs takes it.
    fn to_json(&self, principal: &str) -> Json {
        let context: BTreeMap<&str, &str> = self
            .context
            .known()
            .filter_map(|(key, value)| match value {
                Value::Is(value) => Some((key, value.as_str())),
                Value::Absent | Value::Unknown => None,
            })
            .collect();
        json!({
            "principal": principal,
            "action": self.action,
            "resource": self.resource,
            "context": context,
        })
    }
}

fn role() -> Principal {
    ROLE.parse().expect("a principal")
}

/// Returns the ARN of the profile that a call goes through.
fn profile_arn(call: &Call) -> String {
    call.profile_arn().expect("a profile").to_owned()
}

fn call(profile: &str, source: &str) -> Call {
    let source: Region = source.parse().expect("a region");
    let catalog = Embedded::load().catalog(&source);
    let found = catalog
        .profiles()
        .iter()
        .find(|one| one.id.as_str() == profile)
        .unwrap_or_else(|| panic!("no {profile} from {source}"));
    of_account(found.route(&source))
}

fn of_account(route: Route) -> Call {
    let account = ACCOUNT.parse().expect("an account");
    Call::new(route, Some(account)).expect("the account is known")
}

/// Returns every route of the embedded catalog.
fn calls() -> Vec<Call> {
    let data = Embedded::load();
    data.source_regions()
        .flat_map(|source| {
            let catalog = data.catalog(source);
            let of = |profile: &Arc<Profile>| of_account(profile.route(source));
            catalog.profiles().iter().map(of).collect::<Vec<_>>()
        })
        .collect()
}

/// Returns what the service checks of a route, and what must not pass: one change of the profile's check, of the first
/// models' and of the last one's.
fn requests(call: &Call, actions: &[Action]) -> (Vec<Request>, Vec<Request>) {
    let checks = actions.iter().flat_map(|action| call.checks(*action));
    let good: Vec<Request> = checks
        .map(|check| Request::of(call, &check, Some(&role())))
        .collect();
    let mut bad = Vec::new();
    let model = call.route.model.as_str();
    let own = profile_arn(call);
    let id = call.route.id();
    let elsewhere = own.replace(&format!(":{}:", call.route.source_region), ":eu-west-9:");
    for request in good.iter().take(3).chain(good.last()) {
        let through_profile = request.context.get(INFERENCE_PROFILE_ARN) != &Value::Absent;
        if through_profile {
            bad.push(request.but("another model", |other| {
                other.resource = other.resource.replace(model, "provider.another-v1:0");
            }));
            bad.push(request.but("without the profile", |other| {
                other.with(INFERENCE_PROFILE_ARN, Value::Absent);
            }));
            for (what, arn) in [
                (
                    "through another profile",
                    own.replace(id, "us.provider.another-v1:0"),
                ),
                ("from another source region", elsewhere.clone()),
                (
                    "through another account's profile",
                    own.replace(ACCOUNT, "999999999999"),
                ),
            ] {
                bad.push(request.but(what, |other| {
                    other.with(INFERENCE_PROFILE_ARN, Value::Is(arn));
                }));
            }
        } else {
            bad.push(request.but("another profile", |other| {
                other.resource = own.replace(id, "us.provider.another-v1:0");
            }));
            bad.push(request.but("from another source region", |other| {
                other.resource.clone_from(&elsewhere);
                other.with(REQUESTED_REGION, Value::Is("eu-west-9".to_owned()));
            }));
        }
        bad.push(request.but("another action", |other| {
            other.action = "bedrock:CreateModelInvocationJob";
        }));
    }
    (good, bad)
}

fn parsed(document: &Document) -> Policy {
    let text = serde_json::to_string(document).expect("JSON");
    Policy::parse("the policy", &text).expect("a policy")
}

fn scp(name: &str) -> (Policy, Json) {
    let text = fs::read_to_string(format!("{FOLDER}/scp/{name}.json")).expect("a policy");
    let policy = Policy::parse(name, &text).unwrap_or_else(|error| panic!("{name}: {error}"));
    (policy, serde_json::from_str(&text).expect("JSON"))
}

/// Judges cases by the evaluator that is not this project's: for each request, whether it is allowed. Nothing where it is
/// not installed.
fn judge(cases: &[Json]) -> Option<Vec<Vec<bool>>> {
    let installed = Path::new(FOLDER).join("node_modules/@cloud-copilot/iam-simulate");
    if !installed.exists() {
        tools::skipped("iam-simulate is not installed: npm ci --prefix tests/iam");
        return None;
    }
    let mut node = Command::new("node");
    node.arg(format!("{FOLDER}/judge.mjs"));
    // The judge reads everything before it writes.
    let verdicts = Output::of(&mut node, &Json::from(cases).to_string()).ok();
    let verdicts: Vec<Vec<String>> = serde_json::from_str(&verdicts).expect("verdicts");
    Some(
        verdicts
            .iter()
            .map(|one| one.iter().map(|verdict| verdict == "Allowed").collect())
            .collect(),
    )
}

/// Asserts that both evaluators allow what is good and nothing that is bad.
#[track_caller]
fn assert_least(cases: &[(Vec<Document>, Vec<Request>, Vec<Request>)]) {
    let mut asked = Vec::new();
    for (documents, good, bad) in cases {
        assert!(!good.is_empty() && !bad.is_empty());
        let level = [documents.iter().map(parsed).collect::<Level>()];
        for request in good {
            assert_eq!(request.decide(&level), Decision::Allowed, "{request:#?}");
        }
        for request in bad {
            let decision = request.decide(&level);
            assert!(
                matches!(decision, Decision::Denied(_)),
                "{decision:?}: {request:#?}"
            );
        }
        let requests: Vec<Json> = good
            .iter()
            .chain(bad)
            .map(|one| one.to_json(ROLE))
            .collect();
        asked.push(json!({"identity": documents, "requests": requests}));
    }
    let Some(verdicts) = judge(&asked) else {
        return;
    };
    for ((_, good, bad), verdicts) in cases.iter().zip(verdicts) {
        assert_eq!(verdicts.len(), good.len() + bad.len());
        for (index, (request, allowed)) in good.iter().chain(bad).zip(verdicts).enumerate() {
            assert_eq!(allowed, index < good.len(), "iam-simulate: {request:#?}");
        }
    }
}

fn documents(routes: &[Call], actions: &[Action]) -> Vec<Document> {
    workload::policies(routes, actions)
        .into_iter()
        .map(|policy| policy.document)
        .collect()
}

#[test]
fn every_check_that_aws_documents_is_made() {
    for call in calls() {
        let (source, id) = (call.route.source_region.as_str(), call.route.id());
        let partition = if source.starts_with("us-gov-") {
            "aws-us-gov"
        } else {
            "aws"
        };
        let model = |region: &str| {
            let model = &call.route.model;
            format!("arn:{partition}:bedrock:{region}::foundation-model/{model}")
        };
        let profile = format!("arn:{partition}:bedrock:{source}:{ACCOUNT}:inference-profile/{id}");
        let mut expected = BTreeSet::from([
            (profile.clone(), source.to_owned(), None),
            (model(source), source.to_owned(), Some(profile.clone())),
        ]);
        expected.extend(call.route.destinations.names().into_iter().map(|name| {
            let (region, requested) = match name.as_str() {
                "*" => ("", "unspecified"),
                region => (region, region),
            };
            (model(region), requested.to_owned(), Some(profile.clone()))
        }));
        let found: BTreeSet<_> = call
            .checks(Action::Invoke)
            .iter()
            .map(|check| Request::of(&call, check, None))
            .map(|request| {
                let Value::Is(region) = request.context.get(REQUESTED_REGION) else {
                    panic!("{request:#?} has no region");
                };
                let through = match request.context.get(INFERENCE_PROFILE_ARN) {
                    Value::Is(arn) => Some(arn.clone()),
                    Value::Absent | Value::Unknown => None,
                };
                (request.resource.clone(), region.clone(), through)
            })
            .collect();
        assert_eq!(found, expected);
    }
}

#[test]
fn every_route_gets_what_it_needs_and_nothing_else() {
    let routes = calls();
    assert!(
        routes.len() > 1000,
        "the routes are found: {}",
        routes.len()
    );
    let cases: Vec<_> = routes
        .iter()
        .map(|call| {
            let documents = documents(std::slice::from_ref(call), &INVOKE);
            assert_eq!(documents.len(), 1, "{}", profile_arn(call));
            let (good, bad) = requests(call, &INVOKE);
            (documents, good, bad)
        })
        .collect();
    assert_least(&cases);
}

#[test]
fn an_application_profile_gets_what_it_needs_and_nothing_else() {
    const OTHER: &str = "arn:aws:bedrock:eu-west-1:111122223333:application-inference-profile/b2";
    let arn = OTHER.replace("b2", "a1");
    let sonnet = "anthropic.claude-sonnet-4-5-20250929-v1:0";
    let source: Region = "eu-west-1".parse().expect("a region");
    let on_demand = Route::on_demand(sonnet.parse().expect("a model"), source);
    let cases: Vec<_> = [
        call(&format!("eu.{sonnet}"), "eu-west-1"),
        call(&format!("global.{sonnet}"), "eu-west-1"),
        Call::new(on_demand, None).expect("no account is needed"),
    ]
    .into_iter()
    .map(|call| {
        let system_defined = call.profile_arn().map(ToOwned::to_owned);
        let call = call.through_application(&arn.parse().expect("an ARN"));
        let documents = documents(std::slice::from_ref(&call), &INVOKE);
        let checks = INVOKE.iter().flat_map(|action| call.checks(*action));
        let good: Vec<Request> = checks
            .map(|check| Request::of(&call, &check, Some(&role())))
            .collect();
        assert!(good.iter().any(|request| request.resource == arn));
        let mut bad = Vec::new();
        let others = [
            Some(OTHER.to_owned()),
            // Requests that would not be counted to the application.
            system_defined,
            Some(arn.replace("eu-west-1", "eu-west-3")),
            Some(arn.replace(ACCOUNT, "999999999999")),
        ];
        for request in &good {
            for other in others.iter().flatten() {
                bad.push(request.but("through another profile", |request| {
                    if request.resource == arn {
                        request.resource.clone_from(other);
                    } else {
                        request.with(INFERENCE_PROFILE_ARN, Value::Is(other.clone()));
                    }
                }));
            }
            if request.resource != arn {
                bad.push(request.but("without a profile", |request| {
                    request.with(INFERENCE_PROFILE_ARN, Value::Absent);
                }));
                bad.push(request.but("another model", |request| {
                    request.resource = request.resource.replace(sonnet, "provider.another-v1:0");
                }));
            }
        }
        (documents, good, bad)
    })
    .collect();
    assert_least(&cases);
}

#[test]
fn merged_policies_allow_no_more_than_each_of_theirs() {
    let sonnet = "anthropic.claude-sonnet-4-5-20250929-v1:0";
    let sets: Vec<Vec<Call>> = vec![
        vec![
            call(&format!("eu.{sonnet}"), "eu-west-1"),
            call(&format!("eu.{sonnet}"), "eu-central-1"),
            call("eu.amazon.nova-pro-v1:0", "eu-central-1"),
            call(&format!("global.{sonnet}"), "eu-west-1"),
            call(&format!("global.{sonnet}"), "us-east-1"),
        ],
        vec![
            call(
                "us-gov.anthropic.claude-3-haiku-20240307-v1:0",
                "us-gov-east-1",
            ),
            call("us.amazon.nova-pro-v1:0", "us-east-1"),
        ],
        // More than one policy holds.
        calls()
            .into_iter()
            .filter(|call| call.route.source_region.as_str() == "eu-west-1")
            .take(20)
            .collect(),
    ];
    let cases: Vec<_> = sets
        .iter()
        .map(|set| {
            let documents = documents(set, &INVOKE);
            assert!(
                documents
                    .iter()
                    .all(|one| one.size() <= MANAGED_POLICY_LIMIT)
            );
            let (mut good, mut bad) = (Vec::new(), Vec::new());
            for call in set {
                let (more_good, more_bad) = requests(call, &INVOKE);
                good.extend(more_good);
                bad.extend(more_bad);
            }
            (documents, good, bad)
        })
        .collect();
    assert!(cases[2].0.len() > 1, "one policy is enough");
    assert_least(&cases);
}

#[test]
fn a_model_of_one_profile_is_not_allowed_through_another() {
    let routes = [
        call("eu.amazon.nova-pro-v1:0", "eu-central-1"),
        call("eu.amazon.nova-lite-v1:0", "eu-central-1"),
        call("eu.amazon.nova-pro-v1:0", "il-central-1"),
    ];
    let documents = documents(&routes, &INVOKE);
    let checks = routes[0].checks(Action::Invoke);
    let own = Request::of(&routes[0], &checks[1], Some(&role()));
    let bad = vec![
        own.but("through the profile of another model", |request| {
            request.with(INFERENCE_PROFILE_ARN, Value::Is(profile_arn(&routes[1])));
        }),
        own.but("in a destination of the other route", |request| {
            request.resource = request.resource.replace("eu-central-1", "eu-south-1");
        }),
    ];
    assert_least(&[(documents, vec![own], bad)]);
}

#[test]
fn a_guardrail_denies_what_the_limit_does_not_permit() {
    let routes = calls();
    let (full, full_json) = scp("full-access");
    let mut asked = Vec::new();
    let mut expected = Vec::new();
    for limit in [
        &["@eu"][..],
        &["@us", "@ca"],
        &["eu-*", "il-central-1"],
        &["us-gov-west-1"],
        &["ap-northeast-1", "ap-northeast-3"],
    ] {
        let limit = Limit::parse(LimitOrigin::Operator, limit).expect("a limit");
        let document = guardrail::policy(&limit.names());
        let limits = Limits::all([Ok(limit)]);
        let level = [vec![full.clone(), parsed(&document)]];
        let (mut requests, mut permitted, mut refused) = (Vec::new(), 0, 0);
        for call in &routes {
            let permits = limits
                .verdict(&call.route.source_region, &call.route.destinations)
                .permits();
            let checks = call.checks(Action::Invoke);
            let mut all = true;
            for check in &checks {
                let request = Request::of(call, check, Some(&role()));
                let allowed = request.decide(&level) == Decision::Allowed;
                all &= allowed;
                requests.push(request.to_json(ROLE));
                expected.push(allowed);
            }
            assert_eq!(all, permits, "{} by {limits:?}", profile_arn(call));
            if permits {
                permitted += 1;
            } else {
                refused += 1;
            }
        }
        assert!(
            permitted > 0 && refused > 0,
            "{limits:?} tells nothing apart"
        );
        asked.push(json!({"levels": [[full_json, document]], "requests": requests}));
    }
    if let Some(verdicts) = judge(&asked) {
        assert_eq!(verdicts.concat(), expected);
    }
}

/// A situation, and the checks that are not allowed in it.
struct Situation {
    /// Files of each level, from the root.
    levels: &'static [&'static [&'static str]],
    principal: Option<&'static str>,
    profile: &'static str,
    source: &'static str,
    /// Check -> verdict, of those that are not allowed.
    expected: &'static [(&'static str, &'static str)],
    /// What a person would say.
    because: &'static str,
}

const PRO: &str = "eu.amazon.nova-pro-v1:0";
const GLOBAL: &str = "global.anthropic.claude-haiku-4-5-20251001-v1:0";
const JP: &str = "jp.anthropic.claude-haiku-4-5-20251001-v1:0";
const GOV: &str = "us-gov.anthropic.claude-3-haiku-20240307-v1:0";
const FULL: &[&str] = &["full-access"];
const BREAK_GLASS: &str = "arn:aws:iam::111122223333:role/break-glass";

/// The published shapes come from AWS Organizations' general examples, AWS Control Tower's two region deny controls, the
/// user guide of Bedrock, AWS's sample repository of service control policies, and re:Post's article on
/// `AccessDeniedException` of Bedrock.
const SITUATIONS: &[Situation] = &[
    Situation {
        levels: &[FULL, FULL, FULL],
        principal: None,
        profile: PRO,
        source: "eu-central-1",
        expected: &[],
        because: "every level allows everything",
    },
    Situation {
        levels: &[&["full-access", "region-deny"]],
        principal: Some(ROLE),
        profile: PRO,
        source: "eu-central-1",
        expected: &[
            ("model in eu-north-1", "DenyOtherRegions of region-deny"),
            ("model in eu-west-3", "DenyOtherRegions of region-deny"),
        ],
        because: "two destinations are outside, which fails every request",
    },
    Situation {
        levels: &[&["full-access", "region-deny"]],
        principal: Some(BREAK_GLASS),
        profile: PRO,
        source: "eu-central-1",
        expected: &[],
        because: "this role is exempt",
    },
    Situation {
        levels: &[&["full-access", "region-deny"]],
        principal: None,
        profile: PRO,
        source: "eu-central-1",
        expected: &[
            (
                "model in eu-north-1",
                "DenyOtherRegions of region-deny, except for principals that it names",
            ),
            (
                "model in eu-west-3",
                "DenyOtherRegions of region-deny, except for principals that it names",
            ),
        ],
        because: "some roles are exempt, but the workload's is hardly one of them",
    },
    Situation {
        levels: &[&["full-access", "region-deny"]],
        principal: Some(ROLE),
        profile: GLOBAL,
        source: "eu-west-1",
        expected: &[(
            "model anywhere (unspecified)",
            "DenyOtherRegions of region-deny",
        )],
        because: "unspecified is none of the regions",
    },
    Situation {
        levels: &[&["full-access", "control-tower-region-deny"]],
        principal: Some(ROLE),
        profile: JP,
        source: "ap-northeast-1",
        expected: &[(
            "model in ap-northeast-3",
            "GRREGIONDENY of control-tower-region-deny",
        )],
        because: "Osaka is not governed",
    },
    Situation {
        levels: &[&["full-access", "control-tower-ou-region-deny"]],
        principal: None,
        profile: GLOBAL,
        source: "ap-northeast-1",
        expected: &[],
        because: "the control exempts the actions of inference",
    },
    Situation {
        levels: &[&["full-access", "region-deny-except-bedrock"]],
        principal: None,
        profile: PRO,
        source: "il-central-1",
        expected: &[],
        because: "Bedrock is not concerned at all",
    },
    Situation {
        levels: &[&["full-access", "region-deny-except-eu-profiles"]],
        principal: None,
        profile: PRO,
        source: "eu-central-1",
        expected: &[],
        because: "destinations are exempt through eu profiles",
    },
    Situation {
        levels: &[&["full-access", "region-deny-except-eu-profiles"]],
        principal: None,
        profile: PRO,
        source: "il-central-1",
        expected: &[(
            "profile in il-central-1",
            "DenyInferenceElsewhere of region-deny-except-eu-profiles",
        )],
        because: "the exemption does not reach the call itself, which carries no profile",
    },
    Situation {
        levels: &[&["full-access", "region-deny-except-eu-profiles"]],
        principal: None,
        profile: GLOBAL,
        source: "eu-west-1",
        expected: &[(
            "model anywhere (unspecified)",
            "DenyInferenceElsewhere of region-deny-except-eu-profiles",
        )],
        because: "global profiles are not exempt",
    },
    Situation {
        levels: &[&["full-access", "listed-regions-only-by-profile"]],
        principal: None,
        profile: PRO,
        source: "eu-central-1",
        expected: &[],
        because: "models are denied there without a profile only",
    },
    Situation {
        levels: &[&["full-access", "region-deny-with-unspecified"]],
        principal: None,
        profile: GLOBAL,
        source: "eu-west-1",
        expected: &[],
        because: "unspecified is listed",
    },
    Situation {
        levels: &[&["full-access", "region-deny-with-unspecified"]],
        principal: None,
        profile: PRO,
        source: "eu-central-1",
        expected: &[
            (
                "model in eu-north-1",
                "DenyOtherRegions of region-deny-with-unspecified",
            ),
            (
                "model in eu-west-3",
                "DenyOtherRegions of region-deny-with-unspecified",
            ),
        ],
        because: "what lets global pass does not help a geographic profile",
    },
    Situation {
        levels: &[&["full-access", "deny-global"]],
        principal: None,
        profile: GLOBAL,
        source: "eu-west-1",
        expected: &[("model anywhere (unspecified)", "DenyGlobal of deny-global")],
        because: "it is made for this",
    },
    Situation {
        levels: &[&["full-access", "deny-global"]],
        principal: None,
        profile: PRO,
        source: "eu-central-1",
        expected: &[],
        because: "the profile is not global",
    },
    Situation {
        levels: &[FULL, &["allow-storage-only"], FULL],
        principal: None,
        profile: JP,
        source: "ap-northeast-1",
        expected: &[
            (
                "profile in ap-northeast-1",
                "no statement of level 2 (allow-storage-only) allows it",
            ),
            (
                "model in ap-northeast-1 (source)",
                "no statement of level 2 (allow-storage-only) allows it",
            ),
            (
                "model in ap-northeast-3",
                "no statement of level 2 (allow-storage-only) allows it",
            ),
        ],
        because: "a level that allows other things only denies Bedrock",
    },
    Situation {
        levels: &[
            FULL,
            &["allow-storage-only", "allow-bedrock"],
            &["allow-bedrock"],
        ],
        principal: None,
        profile: JP,
        source: "ap-northeast-1",
        expected: &[],
        because: "each level has one policy that allows it",
    },
    Situation {
        levels: &[FULL, &["allow-bedrock-in-regions"]],
        principal: None,
        profile: PRO,
        source: "eu-central-1",
        expected: &[
            (
                "model in eu-north-1",
                "no statement of level 2 (allow-bedrock-in-regions) allows it",
            ),
            (
                "model in eu-west-3",
                "no statement of level 2 (allow-bedrock-in-regions) allows it",
            ),
        ],
        because: "an Allow may have conditions, too",
    },
    Situation {
        levels: &[&["full-access", "only-eu-names"]],
        principal: None,
        profile: PRO,
        source: "eu-central-1",
        expected: &[],
        because: "all names begin with eu-",
    },
    Situation {
        levels: &[&["full-access", "only-eu-names"]],
        principal: None,
        profile: PRO,
        source: "il-central-1",
        expected: &[
            (
                "profile in il-central-1",
                "DenyOutsideEurope of only-eu-names",
            ),
            (
                "model in il-central-1 (source)",
                "DenyOutsideEurope of only-eu-names",
            ),
        ],
        because: "an eu profile is callable from Tel Aviv, and served there",
    },
    Situation {
        levels: &[&["full-access", "only-eu-names"]],
        principal: None,
        profile: GLOBAL,
        source: "eu-west-1",
        expected: &[(
            "model anywhere (unspecified)",
            "DenyOutsideEurope of only-eu-names",
        )],
        because: "unspecified does not begin with eu-",
    },
    Situation {
        levels: &[&["full-access", "for-any-value"]],
        principal: None,
        profile: PRO,
        source: "eu-west-1",
        expected: &[
            ("model in eu-north-1", "DenyOtherRegions of for-any-value"),
            ("model in eu-west-3", "DenyOtherRegions of for-any-value"),
        ],
        because: "a single value is a set of one",
    },
    Situation {
        levels: &[&["full-access", "for-all-values"]],
        principal: None,
        profile: GOV,
        source: "us-gov-east-1",
        expected: &[
            ("profile in us-gov-east-1", "DenyListed of for-all-values"),
            (
                "model in us-gov-east-1 (source)",
                "DenyListed of for-all-values",
            ),
            ("model in us-gov-west-1", "DenyListed of for-all-values"),
        ],
        because: "us-* matches GovCloud",
    },
    Situation {
        levels: &[&["full-access", "approved-models"]],
        principal: None,
        profile: PRO,
        source: "il-central-1",
        expected: &[(
            "profile in il-central-1",
            "DenyOtherModels of approved-models",
        )],
        because: "the profile itself is not among the resources that are spared",
    },
    Situation {
        levels: &[&["full-access", "approved-models-by-profile"]],
        principal: None,
        profile: PRO,
        source: "il-central-1",
        expected: &[],
        because: "profiles are spared, too",
    },
    Situation {
        levels: &[&["full-access", "approved-models-by-profile"]],
        principal: None,
        profile: JP,
        source: "ap-northeast-1",
        expected: &[
            (
                "model in ap-northeast-1 (source)",
                "DenyOtherModels of approved-models-by-profile",
            ),
            (
                "model in ap-northeast-3",
                "DenyOtherModels of approved-models-by-profile",
            ),
        ],
        because: "it is another provider's model",
    },
    Situation {
        levels: &[&["full-access", "profiles-only"]],
        principal: None,
        profile: PRO,
        source: "eu-central-1",
        expected: &[],
        because: "models are called through a profile",
    },
    Situation {
        levels: &[&["full-access", "teams-only"]],
        principal: Some(ROLE),
        profile: JP,
        source: "ap-northeast-1",
        expected: &[
            (
                "profile in ap-northeast-1",
                "can't judge: DenyWithoutTeam of teams-only depends on aws:PrincipalTag/team",
            ),
            (
                "model in ap-northeast-1 (source)",
                "can't judge: DenyWithoutTeam of teams-only depends on aws:PrincipalTag/team",
            ),
            (
                "model in ap-northeast-3",
                "can't judge: DenyWithoutTeam of teams-only depends on aws:PrincipalTag/team",
            ),
        ],
        because: "the role's tags are not known",
    },
    Situation {
        levels: &[&["full-access", "own-organization-only", "deny-global"]],
        principal: None,
        profile: GLOBAL,
        source: "eu-west-1",
        expected: &[
            (
                "profile in eu-west-1",
                "can't judge: DenyForeignResources of own-organization-only depends on aws:ResourceOrgID",
            ),
            (
                "model in eu-west-1 (source)",
                "can't judge: DenyForeignResources of own-organization-only depends on aws:ResourceOrgID",
            ),
            ("model anywhere (unspecified)", "DenyGlobal of deny-global"),
        ],
        because: "a Deny wins whatever the doubts are",
    },
    Situation {
        levels: &[&["full-access", "tls-only"]],
        principal: None,
        profile: PRO,
        source: "eu-central-1",
        expected: &[],
        because: "workloads call Bedrock themselves, by TLS",
    },
    Situation {
        levels: &[&["full-access", "ignoring-case"]],
        principal: None,
        profile: PRO,
        source: "eu-central-1",
        expected: &[("model in eu-north-1", "DenyListed of ignoring-case")],
        because: "actions, keys and these operators have no case",
    },
    Situation {
        levels: &[&["full-access", "template-not-filled-in"]],
        principal: Some(BREAK_GLASS),
        profile: JP,
        source: "ap-northeast-1",
        expected: &[
            (
                "profile in ap-northeast-1",
                "can't judge: DenyOtherRegions of template-not-filled-in depends on ${Account}",
            ),
            (
                "model in ap-northeast-1 (source)",
                "can't judge: DenyOtherRegions of template-not-filled-in depends on ${Account}",
            ),
            (
                "model in ap-northeast-3",
                "can't judge: DenyOtherRegions of template-not-filled-in depends on ${Account}",
            ),
        ],
        because: "the placeholder of a template was left in",
    },
    Situation {
        levels: &[&["full-access", "office-only"]],
        principal: Some(ROLE),
        profile: PRO,
        source: "eu-central-1",
        expected: &[
            (
                "profile in eu-central-1",
                "can't judge: DenyElsewhere of office-only depends on NotIpAddress of aws:SourceIp",
            ),
            (
                "model in eu-central-1 (source)",
                "can't judge: DenyElsewhere of office-only depends on NotIpAddress of aws:SourceIp",
            ),
            (
                "model in eu-north-1",
                "can't judge: DenyElsewhere of office-only depends on NotIpAddress of aws:SourceIp",
            ),
            (
                "model in eu-west-1",
                "can't judge: DenyElsewhere of office-only depends on NotIpAddress of aws:SourceIp",
            ),
            (
                "model in eu-west-3",
                "can't judge: DenyElsewhere of office-only depends on NotIpAddress of aws:SourceIp",
            ),
        ],
        because: "addresses are not compared",
    },
    // What follows has levels whose policies only deny.
    Situation {
        levels: &[&["control-tower-region-deny"]],
        principal: None,
        profile: JP,
        source: "ap-northeast-1",
        expected: &[(
            "model in ap-northeast-3",
            "GRREGIONDENY of control-tower-region-deny, except for principals that it names",
        )],
        because: "AWS attaches FullAWSAccess beside it",
    },
    Situation {
        levels: &[&["control-tower-region-deny"]],
        principal: Some("arn:aws:iam::111122223333:role/AWSControlTowerExecution"),
        profile: JP,
        source: "ap-northeast-1",
        expected: &[],
        because: "the role that sets up accounts is exempt",
    },
    Situation {
        levels: &[&["control-tower-ou-region-deny"]],
        principal: None,
        profile: PRO,
        source: "eu-central-1",
        expected: &[],
        because: "the actions are among those that the control exempts by its parameter",
    },
    Situation {
        levels: &[&["control-tower-ou-region-deny-with-principals"]],
        principal: None,
        profile: PRO,
        source: "eu-central-1",
        expected: &[
            (
                "model in eu-north-1",
                "CTMULTISERVICEPV1 of control-tower-ou-region-deny-with-principals, except for principals that it names",
            ),
            (
                "model in eu-west-3",
                "CTMULTISERVICEPV1 of control-tower-ou-region-deny-with-principals, except for principals that it names",
            ),
        ],
        because: "its parameters exempt principals, not actions",
    },
    Situation {
        levels: &[
            &["control-tower-region-deny"],
            &["control-tower-ou-region-deny"],
        ],
        principal: Some(ROLE),
        profile: JP,
        source: "ap-northeast-1",
        expected: &[(
            "model in ap-northeast-3",
            "GRREGIONDENY of control-tower-region-deny",
        )],
        because: "an exception on one level does not undo the denial of another",
    },
    Situation {
        levels: &[&["region-deny-except-eu-profiles"]],
        principal: None,
        profile: PRO,
        source: "eu-central-1",
        expected: &[],
        because: "a multi-account organization lets destinations pass through its profiles",
    },
    Situation {
        levels: &[&["region-deny-except-eu-profiles"]],
        principal: None,
        profile: JP,
        source: "ap-northeast-1",
        expected: &[
            (
                "profile in ap-northeast-1",
                "DenyInferenceElsewhere of region-deny-except-eu-profiles",
            ),
            (
                "model in ap-northeast-1 (source)",
                "DenyInferenceElsewhere of region-deny-except-eu-profiles",
            ),
            (
                "model in ap-northeast-3",
                "DenyInferenceElsewhere of region-deny-except-eu-profiles",
            ),
        ],
        because: "profiles of other geographies are not excepted",
    },
    Situation {
        levels: &[&["listed-regions-except-bedrock"]],
        principal: None,
        profile: PRO,
        source: "eu-central-1",
        expected: &[],
        because: "the first repair spares Bedrock in the regions that it lists",
    },
    Situation {
        levels: &[&[
            "listed-regions-except-bedrock",
            "listed-regions-only-by-profile",
        ]],
        principal: None,
        profile: PRO,
        source: "eu-central-1",
        expected: &[],
        because: "the second repair lets models pass through a profile; both fit on one level",
    },
    Situation {
        levels: &[&["without-sids"]],
        principal: None,
        profile: PRO,
        source: "eu-central-1",
        expected: &[
            ("model in eu-north-1", "statement 2 of without-sids"),
            ("model in eu-west-3", "statement 2 of without-sids"),
        ],
        because: "a statement without a name has a number",
    },
    Situation {
        levels: &[&["organization-region-deny"]],
        principal: None,
        profile: GLOBAL,
        source: "eu-west-1",
        expected: &[(
            "model anywhere (unspecified)",
            "RegionDeny of organization-region-deny, except for principals that it names",
        )],
        because: "unspecified is none of the regions",
    },
    Situation {
        levels: &[&["organization-region-deny"], &["deny-global"]],
        principal: None,
        profile: GLOBAL,
        source: "eu-west-1",
        expected: &[("model anywhere (unspecified)", "DenyGlobal of deny-global")],
        because: "what denies everybody says more than what exempts somebody",
    },
    Situation {
        levels: &[&["organization-region-deny"], &["allow-storage-only"]],
        principal: None,
        profile: PRO,
        source: "eu-central-1",
        expected: &[
            (
                "profile in eu-central-1",
                "no statement of level 2 (allow-storage-only) allows it",
            ),
            (
                "model in eu-central-1 (source)",
                "no statement of level 2 (allow-storage-only) allows it",
            ),
            (
                "model in eu-north-1",
                "RegionDeny of organization-region-deny, except for principals that it names",
            ),
            (
                "model in eu-west-1",
                "no statement of level 2 (allow-storage-only) allows it",
            ),
            (
                "model in eu-west-3",
                "RegionDeny of organization-region-deny, except for principals that it names",
            ),
        ],
        because: "an explicit denial comes first, and a level that allows something is judged as it is",
    },
    Situation {
        levels: &[&["region-deny-except-profiles"]],
        principal: None,
        profile: GLOBAL,
        source: "eu-west-1",
        expected: &[],
        because: "the models of a global profile are checked with its ARN, too",
    },
    Situation {
        levels: &[&["region-deny-except-profiles"]],
        principal: None,
        profile: PRO,
        source: "eu-west-1",
        expected: &[],
        because: "all destinations are reached through a profile",
    },
    Situation {
        levels: &[&["deny-guests"]],
        principal: None,
        profile: JP,
        source: "ap-northeast-1",
        expected: &[
            (
                "profile in ap-northeast-1",
                "can't judge: DenyGuests of deny-guests depends on aws:PrincipalArn",
            ),
            (
                "model in ap-northeast-1 (source)",
                "can't judge: DenyGuests of deny-guests depends on aws:PrincipalArn",
            ),
            (
                "model in ap-northeast-3",
                "can't judge: DenyGuests of deny-guests depends on aws:PrincipalArn",
            ),
        ],
        because: "it denies some roles, and it is not known which one calls",
    },
    Situation {
        levels: &[&["called-via-only"]],
        principal: None,
        profile: PRO,
        source: "eu-central-1",
        expected: &[
            ("model in eu-north-1", "DenyDirectCalls of called-via-only"),
            ("model in eu-west-3", "DenyDirectCalls of called-via-only"),
        ],
        because: "no service calls in the name of a workload",
    },
];

fn in_words(decision: &Decision) -> String {
    match decision {
        Decision::Allowed => "allowed".to_owned(),
        Decision::Denied(denial) => denial.to_string(),
        Decision::CantJudge(doubts) => {
            let doubts: Vec<String> = doubts.iter().map(ToString::to_string).collect();
            format!("can't judge: {}", doubts.join("; "))
        }
    }
}

#[test]
fn published_service_control_policies() {
    let (mut asked, mut expected) = (Vec::new(), Vec::new());
    let mut used: Vec<&str> = Vec::new();
    let (_, full_json) = scp("full-access");
    for situation in SITUATIONS {
        let read: Vec<Vec<(Policy, Json)>> = situation
            .levels
            .iter()
            .map(|files| files.iter().map(|name| scp(name)).collect())
            .collect();
        used.extend(situation.levels.iter().copied().flatten());
        let mut levels: Vec<Level> = read
            .iter()
            .map(|level| level.iter().map(|(policy, _)| policy.clone()).collect())
            .collect();
        let mut json: Vec<Vec<&Json>> = read
            .iter()
            .map(|level| level.iter().map(|(_, json)| json).collect())
            .collect();
        for index in evaluate::add_full_access(&mut levels) {
            json[index].push(&full_json);
        }
        let principal: Option<Principal> = situation
            .principal
            .map(|arn| arn.parse().expect("a principal"));
        let call = call(situation.profile, situation.source);
        for action in INVOKE {
            let (mut found, mut requests) = (Vec::new(), Vec::new());
            for check in call.checks(action) {
                let request = Request::of(&call, &check, principal.as_ref());
                let decision = request.decide(&levels);
                if decision != Decision::Allowed {
                    found.push((check.checked.to_string(), in_words(&decision)));
                }
                // What can't be judged here can't be asked there.
                if !matches!(decision, Decision::CantJudge(_)) {
                    requests.push(request.to_json(situation.principal.unwrap_or(ROLE)));
                    expected.push((decision == Decision::Allowed, situation.because, request));
                }
            }
            let wanted: Vec<(String, String)> = situation
                .expected
                .iter()
                .map(|(check, verdict)| ((*check).to_owned(), (*verdict).to_owned()))
                .collect();
            assert_eq!(
                found, wanted,
                "{:?} {} {}",
                situation.levels, situation.profile, situation.because
            );
            asked.push(json!({"levels": json, "requests": requests}));
        }
    }
    for file in fs::read_dir(format!("{FOLDER}/scp")).expect("a folder") {
        let name = file.expect("an entry").file_name();
        let name = name.to_string_lossy().replace(".json", "");
        assert!(used.contains(&name.as_str()), "{name} is in no situation");
    }
    if let Some(verdicts) = judge(&asked) {
        let verdicts = verdicts.concat();
        assert_eq!(verdicts.len(), expected.len());
        for ((allowed, because, request), verdict) in expected.iter().zip(verdicts) {
            assert_eq!(verdict, *allowed, "iam-simulate: {because}: {request:#?}");
        }
    }
}

#[test]
fn condition_operators() {
    const HERE: Option<&str> = Some("eu-west-1");
    const CHAT: &str = "arn:aws:iam::111122223333:role/team/chat";
    // Operator, values, value of the key in the request, whether the condition holds.
    let cases: &[(&str, &[&str], Option<&str>, bool)] = &[
        ("StringEquals", &["eu-west-1"], HERE, true),
        ("StringEquals", &["a", "eu-west-1"], HERE, true),
        ("StringEquals", &["EU-WEST-1"], HERE, false),
        ("StringEquals", &["eu-*"], HERE, false),
        ("StringEquals", &["eu-west-1"], None, false),
        ("StringEqualsIfExists", &["a"], None, true),
        ("StringEqualsIfExists", &["a"], HERE, false),
        ("StringNotEquals", &["a", "b"], HERE, true),
        ("StringNotEquals", &["a", "eu-west-1"], HERE, false),
        ("StringNotEquals", &["a"], None, true),
        ("StringNotEqualsIfExists", &["eu-west-1"], None, true),
        ("StringEqualsIgnoreCase", &["EU-West-1"], HERE, true),
        ("StringNotEqualsIgnoreCase", &["EU-West-1"], HERE, false),
        ("StringLike", &["eu-*-1"], HERE, true),
        ("StringLike", &["eu-west-?"], HERE, true),
        ("StringLike", &["EU-*"], HERE, false),
        ("StringLike", &["eu-west-1${*}"], HERE, false),
        ("StringNotLike", &["eu-*"], HERE, false),
        ("StringNotLike", &["us-*"], HERE, true),
        ("StringNotLikeIfExists", &["us-*"], None, true),
        ("ForAnyValue:StringEquals", &["eu-west-1"], HERE, true),
        ("ForAnyValue:StringEquals", &["eu-west-1"], None, false),
        ("ForAnyValue:StringNotEquals", &["a"], HERE, true),
        ("ForAllValues:StringEquals", &["a"], HERE, false),
        ("ForAllValues:StringEquals", &["a"], None, true),
        ("ForAllValues:StringNotLike", &["us-*"], HERE, true),
        ("Null", &["true"], HERE, false),
        ("Null", &["true"], None, true),
        ("Null", &["false"], HERE, true),
        ("Null", &["false"], None, false),
        ("Bool", &["true"], Some("true"), true),
        ("Bool", &["false"], Some("true"), false),
        ("Bool", &["true"], None, false),
        ("BoolIfExists", &["true"], None, true),
        ("ArnLike", &["arn:aws:iam::*:role/team/*"], Some(CHAT), true),
        ("ArnLike", &["arn:*:iam::*:role/*"], Some(CHAT), true),
        (
            "ArnLike",
            &["arn:aws:iam:*:role/*"],
            Some("arn:aws:iam::1:role/a"),
            false,
        ),
        (
            "ArnEquals",
            &["arn:aws:iam::111122223333:role/*/chat"],
            Some(CHAT),
            true,
        ),
        (
            "ArnNotLike",
            &["arn:aws:iam::*:role/team/*"],
            Some(CHAT),
            false,
        ),
        ("ArnNotLike", &["arn:aws:iam::*:role/team/*"], None, true),
        ("ArnNotEquals", &["arn:aws:iam::*:user/*"], Some(CHAT), true),
        ("ArnLikeIfExists", &["arn:aws:iam::*:user/*"], None, true),
    ];
    let mut asked = Vec::new();
    for (operator, values, value, holds) in cases {
        // A key that iam-simulate knows to be of this kind.
        let key = match *operator {
            name if name.starts_with("Arn") => "aws:SourceArn",
            name if name.starts_with("Bool") => "aws:MultiFactorAuthPresent",
            _ => "aws:RequestedRegion",
        };
        let policy = json!({"Version": "2012-10-17", "Statement": {
            "Effect": "Allow", "Action": "bedrock:InvokeModel", "Resource": "*",
            "Condition": {*operator: {key: values}},
        }});
        let mut context = Context::default().with(key, Value::Absent);
        if let Some(value) = value {
            context = context.with(key, Value::Is((*value).to_owned()));
        }
        let request = Request {
            what: format!("{operator} {values:?} {value:?}"),
            action: "bedrock:InvokeModel",
            resource: "arn:aws:bedrock:eu-west-1::foundation-model/a.b".to_owned(),
            context,
        };
        let level = vec![Policy::parse("a", &policy.to_string()).expect("a policy")];
        let allowed = request.decide(&[level]) == Decision::Allowed;
        assert_eq!(allowed, *holds, "{}", request.what);
        asked.push(json!({"identity": [policy], "requests": [request.to_json(ROLE)]}));
    }
    if let Some(verdicts) = judge(&asked) {
        for ((operator, values, value, holds), verdict) in cases.iter().zip(verdicts.concat()) {
            assert_eq!(
                verdict, *holds,
                "iam-simulate: {operator} {values:?} {value:?}"
            );
        }
    }
}

#[test]
fn what_is_no_policy_is_refused() {
    for (text, message) in [
        ("{", "not JSON"),
        ("{}", "not a policy"),
        (r#"{"Statement": "all"}"#, "not a policy"),
        (r#"{"Statement": ["all"]}"#, "statement 1: not an object"),
        (
            r#"{"Statement": {"Effect": "deny", "Action": "*", "Resource": "*"}}"#,
            "statement 1: Effect is neither Allow nor Deny",
        ),
        (
            r#"{"Statement": {"Sid": "A", "Effect": "Deny", "Resource": "*"}}"#,
            "A: expected either Action or NotAction",
        ),
        (
            r#"{"Statement": {"Effect": "Deny", "Action": "*", "NotAction": "*", "Resource": "*"}}"#,
            "expected either Action or NotAction",
        ),
        (
            r#"{"Statement": {"Effect": "Deny", "Action": {}, "Resource": "*"}}"#,
            "Action is neither a string nor a list of strings",
        ),
        (
            r#"{"Statement": {"Effect": "Deny", "Action": "*", "Resource": "*", "Principal": "*"}}"#,
            "Principal is not an element",
        ),
        (
            r#"{"Statement": {"Effect": "Deny", "Action": "*", "Resource": "*", "Condition": {"Null": "x"}}}"#,
            "Null is not an object",
        ),
    ] {
        let error = Policy::parse("a", text).expect_err(text).to_string();
        assert!(error.contains(message), "{text}: {error}");
    }
}

/// Returns what Terraform makes of a data source: the statements of the policy.
fn statements_of_hcl(hcl: &str) -> Option<Json> {
    let hcl2json = tools::tool("hcl2json")?;
    let output = Output::of(&mut Command::new(hcl2json), hcl);
    assert_eq!(output.code, Some(0), "{hcl}\n{output:#?}");
    let json: Json = serde_json::from_str(&output.stdout).expect("JSON");
    let data = &json["data"]["aws_iam_policy_document"]["name"][0];
    assert_eq!(data["version"], Document::VERSION);
    let statements = data["statement"].as_array().expect("statements");
    Some(
        statements
            .iter()
            .map(|one| {
                let mut conditions = json!({});
                for condition in one["condition"].as_array().into_iter().flatten() {
                    let test = condition["test"].as_str().expect("a text");
                    let variable = condition["variable"].as_str().expect("a text");
                    conditions[test][variable] = condition["values"].clone();
                }
                json!({
                    "Sid": one["sid"], "Effect": one["effect"], "Action": one["actions"],
                    "Resource": one["resources"], "Condition": conditions,
                })
            })
            .collect(),
    )
}

/// Returns statements in the form in which all lists are lists.
fn in_full(statements: &Json) -> Json {
    fn list(value: &mut Json) {
        if value.is_string() {
            *value = json!([value.clone()]);
        }
    }
    let mut statements = statements.clone();
    for one in statements.as_array_mut().expect("statements") {
        list(&mut one["Action"]);
        list(&mut one["Resource"]);
        if one["Condition"].is_null() {
            one["Condition"] = json!({});
        }
        let operators = one["Condition"].as_object_mut().expect("operators");
        for keys in operators.values_mut() {
            keys.as_object_mut()
                .expect("keys")
                .values_mut()
                .for_each(list);
        }
    }
    statements
}

#[test]
fn every_form_says_the_same() {
    let limit = Limit::parse(LimitOrigin::Operator, &["@eu", "us-*"]).expect("a limit");
    let mut all = documents(
        &[
            call(GLOBAL, "eu-west-1"),
            call(PRO, "eu-central-1"),
            call(JP, "ap-northeast-1"),
        ],
        &INVOKE,
    );
    all.push(guardrail::policy(&limit.names()));
    for document in &all {
        let json = serde_json::to_value(document).expect("JSON");
        for kind in [
            format::Kind::ManagedPolicy,
            format::Kind::ServiceControlPolicy,
        ] {
            let policies = [("Name".to_owned(), document)];
            let template = format::cloudformation(kind, &policies);
            let yaml = serde_yaml::to_string(&template).expect("YAML");
            let template: Json = serde_yaml::from_str(&yaml).expect("YAML");
            assert_eq!(template["AWSTemplateFormatVersion"], "2010-09-09");
            let resource = &template["Resources"]["Name"];
            let (name, property) = match kind {
                format::Kind::ManagedPolicy => ("AWS::IAM::ManagedPolicy", "PolicyDocument"),
                format::Kind::ServiceControlPolicy => ("AWS::Organizations::Policy", "Content"),
            };
            assert_eq!(resource["Type"], name);
            assert_eq!(resource["Properties"][property], json);
        }
        if let Some(statements) = statements_of_hcl(&format::hcl("name", document)) {
            assert_eq!(in_full(&statements), in_full(&json["Statement"]));
        }
    }
}

/// One evaluator alone: the program has none for trust policies.
#[test]
fn a_trust_policy_lets_one_service_account_take_on_the_role() {
    let account: ServiceAccount = "shop/chat".parse().expect("an account");
    // The evaluator knows the keys of this issuer.
    let issuer = "accounts.google.com";
    let provider: OidcProvider = issuer.parse().expect("an issuer");
    let of = ACCOUNT.parse().expect("an account");
    let federated = format!("arn:aws:iam::{ACCOUNT}:oidc-provider/{issuer}");
    let web = |principal: &str, subject: &str, audience: &str| {
        json!({
            "principal": principal, "action": "sts:AssumeRoleWithWebIdentity", "resource": ROLE,
            "context": {format!("{issuer}:sub"): subject, format!("{issuer}:aud"): audience},
        })
    };
    let pod = |principal: &str, action: &str, namespace: &str, name: &str| {
        json!({
            "principal": principal, "action": action, "resource": ROLE,
            "context": {
                "aws:RequestTag/kubernetes-namespace": namespace,
                "aws:RequestTag/kubernetes-service-account": name,
            },
        })
    };
    let (chat, sts, eks) = (
        "system:serviceaccount:shop:chat",
        "sts.amazonaws.com",
        "pods.eks.amazonaws.com",
    );
    let other = format!("{federated}-other");
    let cases: [(TrustPolicy, Vec<(Json, bool)>); 3] = [
        (
            trust::web_identity("aws", &of, &provider, &account),
            vec![
                (web(&federated, chat, sts), true),
                (
                    web(&federated, "system:serviceaccount:shop:other", sts),
                    false,
                ),
                (
                    web(&federated, "system:serviceaccount:pay:chat", sts),
                    false,
                ),
                (web(&federated, chat, "another.audience"), false),
                (web(&other, chat, sts), false),
            ],
        ),
        (
            trust::pod_identity(Some(&account)),
            vec![
                (pod(eks, "sts:AssumeRole", "shop", "chat"), true),
                (pod(eks, "sts:TagSession", "shop", "chat"), true),
                (pod(eks, "sts:AssumeRole", "shop", "other"), false),
                (pod(eks, "sts:AssumeRole", "pay", "chat"), false),
                (
                    pod("ec2.amazonaws.com", "sts:AssumeRole", "shop", "chat"),
                    false,
                ),
            ],
        ),
        (
            trust::pod_identity(None),
            vec![
                (pod(eks, "sts:AssumeRole", "pay", "other"), true),
                (
                    pod("ec2.amazonaws.com", "sts:AssumeRole", "shop", "chat"),
                    false,
                ),
            ],
        ),
    ];
    let asked: Vec<Json> = cases
        .iter()
        .map(|(policy, requests)| {
            let requests: Vec<&Json> = requests.iter().map(|(request, _)| request).collect();
            json!({"trust": policy, "requests": requests})
        })
        .collect();
    let Some(verdicts) = judge(&asked) else {
        return;
    };
    for ((policy, requests), verdicts) in cases.iter().zip(verdicts) {
        for ((request, expected), found) in requests.iter().zip(verdicts) {
            assert_eq!(found, *expected, "{request:#} by {policy:#?}");
        }
    }
}
