//! Finds the application profile of a name for a route, and says why there is none to use.

use std::{collections::BTreeSet, sync::Arc};

use super::Request;
use crate::{
    api::condition::Reason,
    catalog::{ApplicationProfile, Catalog, SourceKind},
    route::{Destinations, Route},
    types::{AccountId, ApplicationName, ApplicationProfileArn, Region},
};

/// Most profiles, regions and models that a message names.
const MOST_NAMED: usize = 4;

/// Why no application profile serves a request that has a route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unfound {
    /// A reason of `RegionSupported`.
    pub reason: Reason,
    /// What happened, what is there instead, and what to do.
    pub message: String,
    /// Whether this is certain. It is not while application profiles could not be listed.
    pub is_certain: bool,
}

/// Returns the application profile through which workloads invoke a route, or `None` if the request names none. It must have exactly
/// the models and regions of the route. Of several the one in use stays; otherwise it must be the only one. `account` is that of
/// the workloads, if it is known.
///
/// # Errors
/// [`Unfound`] if there is none, none that matches, or more than one, or if that is not known.
pub fn application_profile(
    request: &Request,
    route: &Route,
    catalog: &Catalog,
    account: Option<&AccountId>,
    in_use: Option<&ApplicationProfileArn>,
) -> Result<Option<ApplicationProfileArn>, Unfound> {
    let Some(name) = &request.application else {
        return Ok(None);
    };
    let named = catalog
        .applications()
        .named(name.as_str())
        .ok_or_else(|| not_listed(name, catalog))?;
    let of = |reason, message| Unfound {
        reason,
        message,
        is_certain: true,
    };
    let matching: Vec<&Arc<ApplicationProfile>> = named
        .iter()
        .filter(|one| matches(one, route, account))
        .collect();
    if let Some(one) = matching.iter().find(|one| Some(&one.arn) == in_use) {
        return Ok(Some(one.arn.clone()));
    }
    match (named, matching.as_slice()) {
        (_, [one]) => Ok(Some(one.arn.clone())),
        ([], _) => Err(of(
            Reason::ApplicationProfileNotFound,
            not_found(name, route, catalog, account),
        )),
        (_, []) => Err(of(
            Reason::ApplicationProfileMismatch,
            mismatch(name, named, route, account),
        )),
        (_, several) => Err(of(
            Reason::ApplicationProfileMismatch,
            ambiguous(name, several, route),
        )),
    }
}

fn matches(profile: &ApplicationProfile, route: &Route, account: Option<&AccountId>) -> bool {
    let reach = profile.reach.as_deref().unwrap_or_default();
    matches!(reach, [(model, destinations)] if *model == route.model && *destinations == route.destinations)
        && !is_of_another_account(profile, account)
}

/// Says whether a profile can't be invoked by workloads of an account: a snapshot may come from another one.
fn is_of_another_account(profile: &ApplicationProfile, account: Option<&AccountId>) -> bool {
    account.is_some_and(|account| profile.arn.account().as_ref() != Some(account))
}

fn not_listed(name: &ApplicationName, catalog: &Catalog) -> Unfound {
    let region = catalog.source_region();
    let (reason, message) = match (catalog.applications().failure(), catalog.source()) {
        (Some(failure), _) => (
            Reason::CatalogUnavailable,
            format!(
                "the application profiles of {region} could not be listed yet, so it is not known whether there is one named {name}: {}",
                failure.message
            ),
        ),
        (None, SourceKind::Bedrock) => (
            Reason::Pending,
            format!("the application profiles of {region} are being listed"),
        ),
        (None, SourceKind::Embedded) => (
            Reason::CatalogUnavailable,
            format!(
                "the embedded catalog has no application profiles, so it is not known whether there is one named {name}: use --catalog bedrock, or a directory that `catalog export --application-profiles` wrote"
            ),
        ),
        (None, SourceKind::Directory) => (
            Reason::CatalogUnavailable,
            format!(
                "the files of the catalog have no application profiles of {region}, so it is not known whether there is one named {name}: export them with `catalog export --application-profiles`, or use --catalog bedrock"
            ),
        ),
    };
    Unfound {
        reason,
        message,
        is_certain: false,
    }
}

fn not_found(
    name: &ApplicationName,
    route: &Route,
    catalog: &Catalog,
    account: Option<&AccountId>,
) -> String {
    let region = &route.source_region;
    let account_in_words = catalog
        .account()
        .or(account)
        .map_or_else(String::new, |account| format!(" of account {account}"));
    format!(
        "no application profile named {name} is listed in {region}{account_in_words}: set application.name to one that is there, or make it of {}: `{}`, or with Terraform {}",
        route.id(),
        command(name, route, account),
        terraform(name, route, account),
    )
}

fn mismatch(
    name: &ApplicationName,
    named: &[Arc<ApplicationProfile>],
    route: &Route,
    account: Option<&AccountId>,
) -> String {
    let differences = named
        .iter()
        .map(|profile| format!("{} {}", profile.arn, difference(profile, route, account)));
    format!(
        "the application profile named {name} is not one of {}: {}; set application.name to one that is, or model and geography to what it is made of, or make one: `{}`",
        route.id(),
        first(differences, "; "),
        command(name, route, account),
    )
}

fn ambiguous(
    name: &ApplicationName,
    several: &[&Arc<ApplicationProfile>],
    route: &Route,
) -> String {
    format!(
        "{} application profiles are named {name} and have the models of {}: {}; leave one of them, or make one with a name of its own and set application.name to it",
        several.len(),
        route.id(),
        first(several.iter().map(|profile| profile.arn.to_string()), ", "),
    )
}

/// Says in what an application profile differs from a route.
fn difference(profile: &ApplicationProfile, route: &Route, account: Option<&AccountId>) -> String {
    if let Some(account) = account.filter(|_| is_of_another_account(profile, account)) {
        return format!("is not of account {account}");
    }
    let reach = match &profile.reach {
        Ok(reach) => reach,
        Err(problem) => return format!("can't be understood: {problem}"),
    };
    let destinations = match &**reach {
        [] => return "names no model".to_owned(),
        [(model, destinations)] if *model == route.model => destinations,
        [(model, _)] => return format!("is for {model}, not for {}", route.model),
        several => {
            let models = several.iter().map(|(model, _)| model.to_string());
            return format!("is for several models: {}", first(models, ", "));
        }
    };
    let (its, wanted) = match (destinations, &route.destinations) {
        (Destinations::Anywhere, _) => return "can run in any commercial region".to_owned(),
        (Destinations::Regions(its), Destinations::Anywhere) => {
            let its = its.iter().map(ToString::to_string);
            return format!(
                "runs in {} alone, not in any commercial region",
                first(its, ", ")
            );
        }
        (Destinations::Regions(its), Destinations::Regions(wanted)) => (its, wanted),
    };
    let without = |one: &[Region], other: &[Region]| {
        let other: BTreeSet<&Region> = other.iter().collect();
        let rest = one.iter().filter(|region| !other.contains(region));
        first(rest.map(ToString::to_string), ", ")
    };
    let (more, less) = (without(its, wanted), without(wanted, its));
    match (more.is_empty(), less.is_empty()) {
        (false, true) => format!("can run in {more} too"),
        (true, _) => format!("does not run in {less}"),
        (false, false) => format!("can run in {more}, and does not run in {less}"),
    }
}

/// Joins the first few of some texts, and says how many more there are.
fn first(texts: impl Iterator<Item = String>, separator: &str) -> String {
    let mut all: Vec<String> = texts.collect();
    let more = all.len().saturating_sub(MOST_NAMED);
    all.truncate(MOST_NAMED);
    let joined = all.join(separator);
    if more == 0 {
        joined
    } else {
        format!("{joined} and {more} more")
    }
}

/// Returns the ARN that an application profile is copied from. `ACCOUNT` stands in it for an account that is not known.
fn copied_from(route: &Route, account: Option<&AccountId>) -> String {
    route.arn(account).unwrap_or_else(|| {
        let (region, id) = (&route.source_region, route.id());
        let partition = region.partition().name;
        format!("arn:{partition}:bedrock:{region}:ACCOUNT:inference-profile/{id}")
    })
}

/// Returns the command of the AWS CLI that makes an application profile of a route.
fn command(name: &ApplicationName, route: &Route, account: Option<&AccountId>) -> String {
    let quote = if name.as_str().contains(' ') { "'" } else { "" };
    format!(
        "aws bedrock create-inference-profile --inference-profile-name {quote}{name}{quote} --model-source copyFrom={} --region {}",
        copied_from(route, account),
        route.source_region
    )
}

/// Returns the arguments of the Terraform resource that makes an application profile of a route. Messages have one line, and blocks
/// with several arguments would not.
///
/// Source: <https://registry.terraform.io/providers/hashicorp/aws/latest/docs/resources/bedrock_inference_profile>
fn terraform(name: &ApplicationName, route: &Route, account: Option<&AccountId>) -> String {
    format!(
        "an `aws_bedrock_inference_profile` with `name = \"{name}\"` and `model_source {{ copy_from = \"{}\" }}`",
        copied_from(route, account)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        catalog::{Applications, SourceKind, application::ApplicationsFailure, embedded::Embedded},
        route::Invocation,
    };

    const MODEL: &str = "anthropic.claude-sonnet-4-5-20250929-v1:0";

    fn route(destinations: &[&str]) -> Route {
        Route {
            invocation: Invocation::Profile {
                id: format!("eu.{MODEL}").parse().expect("an ID"),
                geography: "eu".parse().expect("a geography"),
            },
            model: MODEL.parse().expect("a model"),
            source_region: region(),
            destinations: Destinations::from_names(destinations).expect("regions"),
        }
    }

    fn region() -> Region {
        "eu-west-1".parse().expect("a region")
    }

    fn request(name: &str) -> Request {
        Request {
            model: MODEL.parse().expect("a model"),
            fallback_models: Vec::new(),
            geography: "eu".parse().expect("a geography"),
            fallbacks: Vec::new(),
            on_demand: false,
            source_region: region(),
            application: Some(name.parse().expect("a name")),
        }
    }

    fn arn(id: &str) -> ApplicationProfileArn {
        format!("arn:aws:bedrock:eu-west-1:111122223333:application-inference-profile/{id}")
            .parse()
            .expect("an ARN")
    }

    fn profile(name: &str, id: &str, reach: &[(&str, &[&str])]) -> Arc<ApplicationProfile> {
        let reach = reach.iter().map(|(model, regions)| {
            (
                model.parse().expect("a model"),
                Destinations::from_names(regions).expect("regions"),
            )
        });
        Arc::new(ApplicationProfile {
            name: name.into(),
            arn: arn(id),
            reach: Ok(reach.collect()),
        })
    }

    fn catalog(source: SourceKind) -> Catalog {
        let account = "111122223333".parse().ok();
        Catalog::new(source, region(), account, None, Vec::new())
    }

    const TWO: &[&str] = &["eu-north-1", "eu-west-1"];

    /// Looks for `shop-chat` among these.
    fn find(
        listed: Vec<Arc<ApplicationProfile>>,
        in_use: Option<&str>,
    ) -> Result<Option<ApplicationProfileArn>, Unfound> {
        let catalog = catalog(SourceKind::Bedrock).with_applications(Applications::listed(listed));
        let (request, in_use) = (request("shop-chat"), in_use.map(arn));
        let account = catalog.account();
        application_profile(&request, &route(TWO), &catalog, account, in_use.as_ref())
    }

    fn made_of(id: &str, reach: &[(&str, &[&str])]) -> Arc<ApplicationProfile> {
        profile("shop-chat", id, reach)
    }

    #[test]
    fn the_one_that_matches_is_found_and_one_in_use_stays() {
        let right = |id: &str| made_of(id, &[(MODEL, TWO)]);
        let wrong = |id: &str| made_of(id, &[("a.b", TWO)]);
        let other = profile("other", "o1", &[(MODEL, TWO)]);
        for (name, listed, in_use, expected) in [
            ("one", vec![right("a1"), other], None, "a1"),
            ("one of two", vec![wrong("a1"), right("a2")], None, "a2"),
            ("in use", vec![right("a1"), right("a2")], Some("a2"), "a2"),
            (
                "no longer",
                vec![wrong("a1"), right("a2")],
                Some("a1"),
                "a2",
            ),
        ] {
            assert_eq!(find(listed, in_use), Ok(Some(arn(expected))), "{name}");
        }
        let ambiguous = find(vec![right("a1"), right("a2")], Some("a3")).expect_err("two");
        assert_eq!(ambiguous.reason, Reason::ApplicationProfileMismatch);
        let says = "2 application profiles are named shop-chat and have the models of";
        assert!(ambiguous.message.contains(says), "{}", ambiguous.message);
    }

    #[test]
    fn none_is_told_and_each_difference() {
        let other = vec![profile("other", "o1", &[(MODEL, TWO)])];
        let absent = find(other, None).expect_err("none of the name");
        assert_eq!(absent.reason, Reason::ApplicationProfileNotFound);
        let says = "named shop-chat is listed in eu-west-1 of account 111122223333";
        assert!(absent.message.contains(says), "{}", absent.message);

        let mut odd = (*made_of("a1", &[])).clone();
        odd.reach = Err("a model ARN is malformed");
        let (three, elsewhere) = (
            ["eu-north-1", "eu-west-1", "eu-west-3"],
            ["eu-west-1", "us-east-1"],
        );
        let of_regions = |regions: &[&str]| made_of("a1", &[(MODEL, regions)]);
        let of_another = format!("is for a.b, not for {MODEL}");
        for (listed, says) in [
            (made_of("a1", &[("a.b", TWO)]), of_another.as_str()),
            (
                made_of("a1", &[("a.b", TWO), (MODEL, TWO)]),
                "is for several models: a.b",
            ),
            (made_of("a1", &[]), "names no model"),
            (of_regions(&three), "can run in eu-west-3 too"),
            (of_regions(&["eu-west-1"]), "does not run in eu-north-1"),
            (
                of_regions(&elsewhere),
                "can run in us-east-1, and does not run in eu-north-1",
            ),
            (of_regions(&["*"]), "can run in any commercial region"),
            (
                Arc::new(odd),
                "can't be understood: a model ARN is malformed",
            ),
        ] {
            let unfound = find(vec![listed], None).expect_err(says);
            assert_eq!(unfound.reason, Reason::ApplicationProfileMismatch);
            assert!(unfound.is_certain);
            assert!(unfound.message.contains(says), "{}", unfound.message);
        }
    }

    #[test]
    fn a_global_route_and_one_on_demand_have_application_profiles_too() {
        let global = Route {
            destinations: Destinations::Anywhere,
            ..route(TWO)
        };
        let on_demand = Route::on_demand(MODEL.parse().expect("a model"), region());
        for (route, regions, matches) in [
            (&global, &["*"][..], true),
            (&global, TWO, false),
            (&on_demand, &["eu-west-1"], true),
            (&on_demand, TWO, false),
        ] {
            let listed =
                Applications::listed(vec![profile("shop-chat", "a1", &[(MODEL, regions)])]);
            let catalog = catalog(SourceKind::Bedrock).with_applications(listed);
            let found = application_profile(&request("shop-chat"), route, &catalog, None, None);
            assert_eq!(found.is_ok(), matches, "{route:?} {regions:?}");
        }
    }

    #[test]
    fn one_of_another_account_than_the_workloads_can_not_be_invoked() {
        let listed = Applications::listed(vec![profile("shop-chat", "a1", &[(MODEL, TWO)])]);
        let catalog = catalog(SourceKind::Directory).with_applications(listed);
        let of = |account: Option<&str>| {
            let account = account.map(|account| account.parse().expect("an account"));
            application_profile(
                &request("shop-chat"),
                &route(TWO),
                &catalog,
                account.as_ref(),
                None,
            )
        };
        assert!(of(None).is_ok() && of(Some("111122223333")).is_ok());
        let unfound = of(Some("444455556666")).expect_err("another account's");
        assert_eq!(unfound.reason, Reason::ApplicationProfileMismatch);
        assert!(unfound.message.contains("is not of account 444455556666"));
    }

    #[test]
    fn what_is_not_listed_is_not_known() {
        let failed = Applications::default().failed(ApplicationsFailure {
            reason: Reason::AccessDenied,
            message: "allow it".into(),
            is_overdue: false,
        });
        for (source, applications, reason, says) in [
            (
                SourceKind::Bedrock,
                Applications::default(),
                Reason::Pending,
                "are being listed",
            ),
            (
                SourceKind::Bedrock,
                failed,
                Reason::CatalogUnavailable,
                "could not be listed yet, so it is not known whether there is one named shop-chat: allow it",
            ),
            (
                SourceKind::Embedded,
                Applications::default(),
                Reason::CatalogUnavailable,
                "use --catalog bedrock",
            ),
            (
                SourceKind::Directory,
                Applications::default(),
                Reason::CatalogUnavailable,
                "`catalog export --application-profiles`",
            ),
        ] {
            let catalog = catalog(source).with_applications(applications);
            let unfound =
                application_profile(&request("shop-chat"), &route(TWO), &catalog, None, None)
                    .expect_err("not listed");
            assert_eq!((unfound.reason, unfound.is_certain), (reason, false));
            assert!(unfound.message.contains(says), "{}", unfound.message);
        }
    }

    #[test]
    fn the_message_has_what_makes_the_profile_on_one_line() {
        let catalog =
            catalog(SourceKind::Bedrock).with_applications(Applications::listed(Vec::new()));
        let embedded = Embedded::load().catalog(&region());
        let eu = embedded
            .find(&MODEL.parse().expect("a model"), &"eu".parse().expect("eu"))
            .expect("a profile")
            .route(&region());
        let on_demand = Route::on_demand(MODEL.parse().expect("a model"), region());
        let source = format!("arn:aws:bedrock:eu-west-1:111122223333:inference-profile/eu.{MODEL}");
        let model = format!("arn:aws:bedrock:eu-west-1::foundation-model/{MODEL}");
        for (name, route, account, parts) in [
            (
                "shop-chat",
                &eu,
                catalog.account(),
                vec![
                    format!(
                        "`aws bedrock create-inference-profile --inference-profile-name shop-chat --model-source copyFrom={source} --region eu-west-1`"
                    ),
                    format!(
                        "`name = \"shop-chat\"` and `model_source {{ copy_from = \"{source}\" }}`"
                    ),
                ],
            ),
            (
                "2 Shops",
                &on_demand,
                catalog.account(),
                vec![
                    format!(
                        "`aws bedrock create-inference-profile --inference-profile-name '2 Shops' --model-source copyFrom={model} --region eu-west-1`"
                    ),
                    "`name = \"2 Shops\"`".to_owned(),
                ],
            ),
            (
                "shop-chat",
                &eu,
                None,
                vec![format!(
                    "copy_from = \"{}\"",
                    source.replace("111122223333", "ACCOUNT")
                )],
            ),
        ] {
            let unfound = application_profile(&request(name), route, &catalog, account, None)
                .expect_err("there is none");
            let message = unfound.message;
            for part in parts {
                assert!(message.contains(&part), "{part} in {message}");
            }
            assert!(!message.contains('\n'), "{message}");
        }
    }

    #[test]
    fn a_request_without_a_name_has_none() {
        let request = Request {
            application: None,
            ..request("shop-chat")
        };
        let catalog = catalog(SourceKind::Embedded);
        let found = application_profile(&request, &route(TWO), &catalog, None, None);
        assert_eq!(found, Ok(None));
    }
}
