//! Application profiles that are right, wrong, absent, not known, and that come and go.

use std::sync::Arc;

use crate::{
    api::condition::{ConditionStatus, ConditionType, Reason},
    catalog::{
        ApplicationProfile, Applications, FeedState, SourceKind, application::ApplicationsFailure,
    },
    plan::{
        observed::Binding,
        status::Status,
        testing::{
            Actions, SETTINGS, SONNET, bound, condition, edited, failing, full, listing, observed,
            of_class_with, on_demand, planned, ready_message, route_of, sonnet, visit, with_class,
            without,
        },
    },
    route::Destinations,
    types::{ModelId, Region},
};

const ARN: &str = "arn:aws:bedrock:eu-west-1:111122223333:application-inference-profile/a1";
const KEYS: &str = "targets: [{kind: ConfigMap, name: t, keys: {ID: InvocationID, ARN: ApplicationProfileARN, PROFILE: ProfileID, MODEL: FoundationModelID}}]";

/// Returns the rest of a spec for `shop-chat` in a geography.
fn shop_chat(geography: &str) -> String {
    format!("geography: {geography}, application: {{name: shop-chat}}, {KEYS}")
}

/// Returns an application profile with the models of a system-defined one.
fn copy_of(feed: &FeedState, name: &str, id: &str, geography: &str) -> Arc<ApplicationProfile> {
    let catalog = feed.catalog.as_ref().expect("a catalog");
    let model: ModelId = SONNET.parse().expect("a model");
    let geography = geography.parse().expect("a geography");
    let profile = catalog.find(&model, &geography).expect("a profile");
    made(name, id, &model, profile.destinations.clone())
}

fn made(
    name: &str,
    id: &str,
    model: &ModelId,
    destinations: Destinations,
) -> Arc<ApplicationProfile> {
    Arc::new(ApplicationProfile {
        name: name.into(),
        arn: ARN.replace("a1", id).parse().expect("an ARN"),
        reach: Ok(Box::new([(model.clone(), destinations)])),
    })
}

fn with(mut feed: FeedState, applications: Applications) -> FeedState {
    feed.catalog = feed
        .catalog
        .map(|it| Arc::new((*it).clone().with_applications(applications)));
    feed
}

/// Returns a feed that lists these profiles named `shop-chat`, each made of a geography's.
fn listed(geographies: &[&str]) -> FeedState {
    let copies = geographies.iter().zip(1..);
    let copies =
        copies.map(|(geography, n)| copy_of(&full(), "shop-chat", &format!("a{n}"), geography));
    with(full(), Applications::listed(copies.collect()))
}

fn unlisted(is_overdue: bool) -> FeedState {
    with(
        full(),
        Applications::default().failed(ApplicationsFailure {
            reason: Reason::AccessDenied,
            message: "allow it".into(),
            is_overdue,
        }),
    )
}

fn value(actions: &Actions, key: &str) -> Option<String> {
    let content = &actions.writes.first()?.as_ref().ok()?.content;
    content.get(key).cloned()
}

fn supported(binding: &Binding) -> (ConditionStatus, Reason) {
    condition(binding, ConditionType::RegionSupported)
}

fn arn_in_status(binding: &Binding) -> Option<String> {
    let wire = binding.status.to_wire();
    assert_eq!(
        Status::from_wire(&wire, &"shop".into()),
        binding.status,
        "the status goes there and back"
    );
    wire.profile?.application_profile_arn
}

/// Returns a binding whose application profile was found.
fn found() -> Binding {
    visit(&sonnet(&shop_chat("eu")), listed(&["eu"]), &SETTINGS).0
}

#[test]
fn values_and_status_name_the_application_profile_and_the_model_beside_it() {
    let (after, actions, _) = visit(&sonnet(&shop_chat("eu")), listed(&["eu"]), &SETTINGS);
    let id = format!("eu.{SONNET}");
    for (key, expected) in [
        ("ID", ARN),
        ("ARN", ARN),
        ("PROFILE", id.as_str()),
        ("MODEL", SONNET),
    ] {
        assert_eq!(value(&actions, key).as_deref(), Some(expected), "{key}");
    }
    assert_eq!(arn_in_status(&after).as_deref(), Some(ARN));
    assert_eq!(
        supported(&after),
        (ConditionStatus::True, Reason::ProfileFound)
    );
    assert!(
        ready_message(&after).contains(ARN),
        "{}",
        ready_message(&after)
    );
    let (_, _, again) = visit(&after, listed(&["eu"]), &SETTINGS);
    assert_eq!(again.status, None, "nothing is written twice");
}

#[test]
fn default_keys_gain_one_only_where_an_application_profile_is_named() {
    let keys = |rest: &str| {
        let (_, actions, _) = visit(&sonnet(rest), listed(&["eu"]), &SETTINGS);
        let content = &actions.writes[0].as_ref().expect("a write").content;
        content.keys().cloned().collect::<Vec<_>>()
    };
    let before = keys("geography: eu");
    assert_eq!(before.len(), 5);
    for target in ["", ", targets: [{kind: ConfigMap, name: t}]"] {
        let mut now = keys(&format!(
            "geography: eu, application: {{name: shop-chat}}{target}"
        ));
        now.retain(|key| !before.contains(key));
        assert_eq!(now, ["BEDROCK_INVOCATION_ID"]);
    }
    // A binding that names none is as it was, whatever is listed.
    let plain = bound("geography: eu");
    let (_, _, outcome) = visit(&plain, listed(&["eu"]), &SETTINGS);
    assert_eq!(outcome.status, None);
}

#[test]
fn without_a_profile_to_use_nothing_is_written_and_residency_is_judged() {
    use ConditionStatus::{False, True, Unknown};
    use Reason::{
        AllRegionsAllowed, ApplicationProfileMismatch, ApplicationProfileNotFound,
        CatalogUnavailable, Pending,
    };
    let snapshot = |source| listing(source, None, Some("2026-10-27"), "none");
    for (name, feed, verdict) in [
        ("absent", listed(&[]), (False, ApplicationProfileNotFound)),
        (
            "another geography's",
            listed(&["global"]),
            (False, ApplicationProfileMismatch),
        ),
        (
            "two",
            listed(&["eu", "eu"]),
            (False, ApplicationProfileMismatch),
        ),
        ("not listed yet", full(), (Unknown, Pending)),
        (
            "not to be listed",
            unlisted(false),
            (Unknown, CatalogUnavailable),
        ),
        (
            "embedded",
            snapshot(SourceKind::Embedded),
            (Unknown, CatalogUnavailable),
        ),
        (
            "files without them",
            snapshot(SourceKind::Directory),
            (Unknown, CatalogUnavailable),
        ),
    ] {
        let limited = format!("{}, allowedRegions: ['@eu']", shop_chat("eu"));
        let (after, actions, outcome) = visit(&sonnet(&limited), feed.clone(), &SETTINGS);
        assert!(
            actions.writes.is_empty() && actions.removals.is_empty(),
            "{name}"
        );
        assert_eq!(supported(&after), verdict, "{name}");
        assert_eq!(condition(&after, ConditionType::Ready), verdict, "{name}");
        assert_eq!(
            condition(&after, ConditionType::ResidencySatisfied),
            (True, AllRegionsAllowed),
            "{name}"
        );
        assert_eq!(route_of(&after), None, "{name}");
        assert!(outcome.status.is_some());
        let (_, _, again) = visit(&after, feed, &SETTINGS);
        assert_eq!(again.status, None, "{name}: told once");
    }
}

#[test]
fn one_that_appears_is_written_and_one_that_vanishes_stays() {
    let (absent, ..) = visit(&sonnet(&shop_chat("eu")), listed(&[]), &SETTINGS);
    let message = ready_message(&absent);
    assert!(
        message.contains("`aws bedrock create-inference-profile --inference-profile-name shop-chat --model-source copyFrom=arn:aws:bedrock:eu-west-1:111122223333:inference-profile/eu."),
        "{message}"
    );
    let (after, actions, _) = visit(&absent, listed(&["eu"]), &SETTINGS);
    assert_eq!(value(&actions, "ID").as_deref(), Some(ARN));

    for feed in [listed(&[]), listed(&["global"])] {
        let (gone, actions, _) = visit(&after, feed, &SETTINGS);
        assert!(actions.removals.is_empty());
        assert_eq!(value(&actions, "ID").as_deref(), Some(ARN), "it is kept");
        assert_eq!(supported(&gone).0, ConditionStatus::False);
        assert_eq!(arn_in_status(&gone).as_deref(), Some(ARN));
        let message = ready_message(&gone);
        assert!(
            message.starts_with(&format!("{ARN}, written earlier, stays")),
            "{message}"
        );
    }
    // Another one takes its place as soon as it is there.
    let other = with(
        full(),
        Applications::listed(vec![copy_of(&full(), "shop-chat", "b2", "eu")]),
    );
    let (_, actions, outcome) = visit(&after, other, &SETTINGS);
    let new = ARN.replace("a1", "b2");
    assert_eq!(value(&actions, "ID").as_ref(), Some(&new));
    let [changed] = &outcome.notices[..] else {
        panic!("{:?}", outcome.notices)
    };
    assert_eq!(changed.reason, "ProfileChanged");
    assert_eq!(changed.message, format!("{new} replaces {ARN}"));
}

#[test]
fn a_second_one_of_the_name_moves_nothing() {
    let (_, actions, outcome) = visit(&found(), listed(&["eu", "eu"]), &SETTINGS);
    assert_eq!(value(&actions, "ID").as_deref(), Some(ARN));
    assert_eq!(outcome.status, None);
}

#[test]
fn a_listing_that_lacks_the_one_in_use_is_confirmed_after_a_start() {
    let needs = |feed: FeedState| planned(observed(&found(), feed)).needs_confirmation();
    assert!(needs(listed(&[])));
    for feed in [listed(&["eu"]), unlisted(false), full()] {
        assert!(!needs(feed));
    }
    let renamed = edited(&found(), &shop_chat("eu").replace("shop-chat", "another"));
    assert!(!planned(observed(&renamed, listed(&[]))).needs_confirmation());
}

#[test]
fn not_knowing_leaves_everything_as_it_is() {
    for feed in [unlisted(false), full(), failing()] {
        let (after, actions, _) = visit(&found(), feed, &SETTINGS);
        assert!(actions.removals.is_empty());
        assert_eq!(value(&actions, "ID").as_deref(), Some(ARN), "it is kept");
        assert_eq!(
            supported(&after),
            (ConditionStatus::True, Reason::ProfileFound)
        );
        assert_eq!(arn_in_status(&after).as_deref(), Some(ARN));
    }
}

#[test]
fn a_failure_to_list_them_is_told_where_there_is_no_answer_or_for_long() {
    use ConditionStatus::{False, True};
    let fresh = |binding: &Binding, feed| {
        let (after, ..) = visit(binding, feed, &SETTINGS);
        condition(&after, ConditionType::CatalogFresh)
    };
    let new = sonnet(&shop_chat("eu"));
    let plain = bound("geography: eu");
    assert_eq!(fresh(&new, unlisted(false)), (False, Reason::AccessDenied));
    assert_eq!(fresh(&found(), unlisted(false)), (True, Reason::Fresh));
    assert_eq!(
        fresh(&found(), unlisted(true)),
        (False, Reason::AccessDenied)
    );
    assert_eq!(
        fresh(&plain, unlisted(true)),
        (True, Reason::Fresh),
        "not its matter"
    );
}

#[test]
fn an_edit_that_asks_for_one_writes_nothing_until_it_is_there() {
    let plain = bound(&format!(
        "geography: eu, {}",
        KEYS.replace("ARN: ApplicationProfileARN, ", "")
    ));
    for (feed, status) in [
        (listed(&[]), ConditionStatus::False),
        (listed(&["global"]), ConditionStatus::False),
        (full(), ConditionStatus::Unknown),
        (unlisted(false), ConditionStatus::Unknown),
    ] {
        let (after, actions, _) = visit(&edited(&plain, &shop_chat("eu")), feed, &SETTINGS);
        assert!(actions.writes.is_empty() && actions.removals.is_empty());
        assert_eq!(condition(&after, ConditionType::Ready).0, status);
        assert_eq!(route_of(&after), route_of(&plain));
        let (_, actions, _) = visit(&after, listed(&["eu"]), &SETTINGS);
        assert_eq!(value(&actions, "ID").as_deref(), Some(ARN));
    }
    // Without the name the profile ID is invoked again.
    let taken_back = edited(
        &found(),
        &format!(
            "geography: eu, {}",
            KEYS.replace("ARN: ApplicationProfileARN, ", "")
        ),
    );
    let (after, actions, _) = visit(&taken_back, full(), &SETTINGS);
    assert_eq!(value(&actions, "ID"), Some(format!("eu.{SONNET}")));
    assert_eq!(arn_in_status(&after), None);
}

/// Returns a class that asks for a model and a geography.
fn class(model: &str, geography: &str) -> String {
    format!("{{model: '{model}', geography: {geography}}}")
}

/// Returns a new binding that names `shop-chat` beside this class, or beside one that does not exist.
fn shop_chat_of(class: Option<&str>) -> Binding {
    of_class_with(class, &format!("application: {{name: shop-chat}}, {KEYS}"))
}

#[test]
fn a_binding_with_a_class_names_one_of_its_own() {
    use ConditionStatus::{False, True, Unknown};
    use Reason::{
        ApplicationProfileMismatch, ApplicationProfileNotFound, ClassNotFound, Pending,
        ProfileFound,
    };
    let chat = class(SONNET, "eu");
    for (name, class, feed, verdict, written) in [
        (
            "right",
            Some(&*chat),
            listed(&["eu"]),
            (True, ProfileFound),
            Some(ARN),
        ),
        (
            "another geography's",
            Some(&chat),
            listed(&["global"]),
            (False, ApplicationProfileMismatch),
            None,
        ),
        (
            "absent",
            Some(&chat),
            listed(&[]),
            (False, ApplicationProfileNotFound),
            None,
        ),
        (
            "not listed yet",
            Some(&chat),
            full(),
            (Unknown, Pending),
            None,
        ),
        (
            "no class",
            None,
            listed(&["eu"]),
            (False, ClassNotFound),
            None,
        ),
    ] {
        let (after, actions, outcome) = visit(&shop_chat_of(class), feed, &SETTINGS);
        assert_eq!(supported(&after), verdict, "{name}");
        assert_eq!(value(&actions, "ID").as_deref(), written, "{name}");
        assert_eq!(arn_in_status(&after).as_deref(), written, "{name}");
        assert_eq!(outcome.notices, [], "{name}");
    }
    // Another one of the same route is no matter of the class, so the binding has the Event.
    let (before, ..) = visit(&shop_chat_of(Some(&chat)), listed(&["eu"]), &SETTINGS);
    let other = vec![copy_of(&full(), "shop-chat", "b2", "eu")];
    let other = with(full(), Applications::listed(other));
    let (_, _, outcome) = visit(&before, other, &SETTINGS);
    assert_eq!(outcome.notices[0].reason, "ProfileChanged");
}

#[test]
fn an_edit_of_a_class_takes_no_application_profile_away() {
    use ConditionStatus::{False, Unknown};
    use Reason::{
        ApplicationProfileMismatch, ApplicationProfileNotFound, CatalogUnavailable,
        ClassNotAllowed, ClassNotFound, ModelUnsupported, Pending,
    };
    const NEXT: &str = "anthropic.claude-sonnet-5-5";
    let chat = class(SONNET, "eu");
    let (before, ..) = visit(&shop_chat_of(Some(&chat)), listed(&["eu"]), &SETTINGS);
    let refused =
        "{model: a.b, geography: eu, namespaceSelector: {matchLabels: {team: x}}}".to_owned();
    for (name, class, feed, verdict) in [
        (
            "another model",
            Some(class(NEXT, "eu")),
            listed(&["eu"]),
            (False, ApplicationProfileMismatch),
        ),
        (
            "another geography",
            Some(class(SONNET, "global")),
            listed(&["eu"]),
            (False, ApplicationProfileMismatch),
        ),
        (
            "another geography, absent",
            Some(class(SONNET, "global")),
            listed(&[]),
            (False, ApplicationProfileNotFound),
        ),
        (
            "another geography, not known",
            Some(class(SONNET, "global")),
            unlisted(false),
            (Unknown, CatalogUnavailable),
        ),
        (
            "another model, not listed yet",
            Some(class(NEXT, "eu")),
            full(),
            (Unknown, Pending),
        ),
        (
            "a mistyped model",
            Some(class("anthropic.claude-mistyped", "eu")),
            listed(&["eu"]),
            (False, ModelUnsupported),
        ),
        (
            "not for the namespace",
            Some(refused),
            listed(&["eu"]),
            (False, ClassNotAllowed),
        ),
        ("gone", None, listed(&["eu"]), (False, ClassNotFound)),
    ] {
        let edited = with_class(&before, class.as_deref());
        let (after, actions, outcome) = visit(&edited, feed.clone(), &SETTINGS);
        assert!(actions.removals.is_empty(), "{name}");
        assert!(
            value(&actions, "ID").is_none_or(|id| id == ARN),
            "{name}: nothing new is written"
        );
        assert_eq!(route_of(&after), route_of(&before), "{name}");
        assert_eq!(condition(&after, ConditionType::Ready), verdict, "{name}");
        assert_eq!(outcome.notices, [], "{name}: the class has an Event");
        let (_, _, again) = visit(&after, feed, &SETTINGS);
        assert_eq!(again.status, None, "{name}: told once");
        let undone = with_class(&after, Some(&chat));
        let (undone, ..) = visit(&undone, listed(&["eu"]), &SETTINGS);
        assert_eq!(undone.status, before.status, "{name}");
    }
    // Where there is one of that name for the new route too, the value follows the class.
    let moved = with_class(&before, Some(&class(SONNET, "global")));
    let (after, actions, outcome) = visit(&moved, listed(&["eu", "global"]), &SETTINGS);
    let other = ARN.replace("a1", "a2");
    assert_eq!(value(&actions, "ID").as_ref(), Some(&other));
    assert_eq!(arn_in_status(&after), Some(other));
    assert_eq!(outcome.notices, [], "the class has an Event");
}

#[test]
fn a_spec_that_begins_to_name_one_writes_nothing_while_nothing_is_known() {
    let keys = KEYS.replace("ARN: ApplicationProfileARN, ", "");
    let chat = class(SONNET, "eu");
    let (plain, ..) = visit(&of_class_with(Some(&chat), &keys), full(), &SETTINGS);
    let naming = |class: Option<&str>| Binding {
        generation: plain.generation + 1,
        status: plain.status.clone(),
        ..shop_chat_of(class)
    };
    for (class, feed) in [
        (None, listed(&["eu"])),
        (Some(&*chat), failing()),
        (Some(&chat), with(without("eu"), Applications::default())),
    ] {
        let (after, actions, _) = visit(&naming(class), feed, &SETTINGS);
        assert!(actions.writes.is_empty() && actions.removals.is_empty());
        assert_eq!(route_of(&after), route_of(&plain));
    }
}

#[test]
fn a_value_is_withdrawn_only_by_a_limit_or_a_certain_contradiction() {
    for (name, rest, feed, withdrawn) in [
        (
            "another geography, absent",
            shop_chat("global"),
            listed(&[]),
            true,
        ),
        (
            "another geography, not known",
            shop_chat("global"),
            unlisted(false),
            false,
        ),
        (
            "another geography, not listed yet",
            shop_chat("global"),
            full(),
            false,
        ),
        (
            "a limit, absent",
            format!("{}, allowedRegions: ['@us']", shop_chat("eu")),
            listed(&[]),
            true,
        ),
        (
            "a limit, not known",
            format!("{}, allowedRegions: ['@us']", shop_chat("eu")),
            unlisted(false),
            true,
        ),
        (
            "another name, absent",
            shop_chat("eu").replace("shop-chat", "other"),
            listed(&["eu"]),
            false,
        ),
    ] {
        let (after, actions, _) = visit(&edited(&found(), &rest), feed, &SETTINGS);
        assert_eq!(!actions.removals.is_empty(), withdrawn, "{name}");
        assert_eq!(route_of(&after).is_none(), withdrawn, "{name}");
    }
}

#[test]
fn it_is_matched_against_the_route_that_serves() {
    let rest = format!(
        "{}, fallback: {{geographies: [global], onDemand: true}}",
        shop_chat("eu")
    );
    let without_eu = |applications: Vec<Arc<ApplicationProfile>>| {
        with(without("eu"), Applications::listed(applications))
    };
    let of = |geography| vec![copy_of(&full(), "shop-chat", "a1", geography)];
    for (feed, verdict) in [
        (
            without_eu(of("global")),
            (ConditionStatus::True, Reason::FallbackGeographyUsed),
        ),
        (
            without_eu(of("eu")),
            (ConditionStatus::False, Reason::ApplicationProfileMismatch),
        ),
    ] {
        let (after, ..) = visit(&sonnet(&rest), feed, &SETTINGS);
        assert_eq!(supported(&after), verdict);
    }
    // On demand: one that was made of the model itself.
    let model: ModelId = SONNET.parse().expect("a model");
    let region: Region = "eu-west-1".parse().expect("a region");
    let alone = Destinations::regions(vec![region]);
    let feed = with(
        on_demand(true),
        Applications::listed(vec![made("shop-chat", "a1", &model, alone)]),
    );
    let rest = rest
        .replace("geography: eu", "geography: jp")
        .replace("geographies: [global], ", "");
    let (after, actions, _) = visit(&sonnet(&rest), feed, &SETTINGS);
    assert_eq!(
        supported(&after),
        (ConditionStatus::True, Reason::OnDemandFallback)
    );
    assert_eq!(value(&actions, "ID").as_deref(), Some(ARN));
    assert_eq!(value(&actions, "PROFILE").as_deref(), Some(SONNET));
}

#[test]
fn the_arn_alone_is_unavailable_where_no_application_profile_is_named() {
    let (after, actions, _) = visit(
        &sonnet(&format!("geography: eu, {KEYS}")),
        full(),
        &SETTINGS,
    );
    assert!(actions.writes[0].is_err());
    assert_eq!(
        condition(&after, ConditionType::TargetsSynced),
        (ConditionStatus::False, Reason::ValueUnavailable)
    );
    assert!(ready_message(&after).contains("set application.name, or use InvocationID"));
}

#[test]
fn templates_have_both() {
    let template = "targets: [{kind: ConfigMap, name: t, templates: {f: '{{ invocation.id }} {{ application.arn | default(\"none\") }}'}}]";
    let plain = format!("geography: eu, {template}");
    let (_, actions, _) = visit(&sonnet(&plain), full(), &SETTINGS);
    assert_eq!(value(&actions, "f"), Some(format!("eu.{SONNET} none")));
    let named = format!("{plain}, application: {{name: shop-chat}}");
    let (_, actions, _) = visit(&sonnet(&named), listed(&["eu"]), &SETTINGS);
    assert_eq!(value(&actions, "f"), Some(format!("{ARN} {ARN}")));
}
