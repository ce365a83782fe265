//! Hostile input of each kind that users and AWS give: whatever it is, it is understood or refused, at once and within bounds.
//! The texts of tests/hostile/ are changed at random. `HOSTILE_CASES` says how many cases of each kind are tried; the file
//! `HOSTILE_TRACE` then holds the last text, also where it ended the process.

use std::{cell::Cell, collections::BTreeMap, fs, path::Path, process::Command, sync::Arc};

use inference_profile_operator::{
    api::{
        CreationPolicy, InferenceProfileBinding, TargetKind, binding_definition,
        validation::{Validator, Violations},
    },
    cache::decode::WatchedBinding,
    catalog::{
        embedded::Embedded,
        listing::{Listing, profiles},
        roles::AllowedRoles,
    },
    iam::{
        context::Context,
        evaluate::{Policy, judge},
    },
    models::Models,
    render::{Values, content},
    residency::{Limit, LimitOrigin, Limits, NamespaceLimit},
    route::Route,
    scan::{Bounds, Finder, Scene, judge as judge_mention},
    types::{Arn, Region, RoleArn},
};
use proptest::{prelude::*, sample::select, test_runner::TestCaseResult};
use serde::Deserialize;
use serde_json::Value;

use crate::common::program::{Output, PROGRAM};

/// How many cases of each kind are tried.
fn cases() -> u32 {
    let asked = std::env::var("HOSTILE_CASES").ok();
    asked.map_or(300, |cases| {
        cases.parse().expect("HOSTILE_CASES is a number")
    })
}

/// One change of a text.
#[derive(Debug, Clone)]
enum Change {
    Remove(prop::sample::Index, usize),
    Insert(prop::sample::Index, String),
    Repeat(prop::sample::Index, usize, usize),
}

fn change() -> impl Strategy<Value = Change> {
    let piece = prop_oneof![
        "[ -~]{1,8}",
        "\\PC{1,4}",
        select(vec![
            "*", ":", "::", "\\", "\"", "{", "}", "[", "null", "\u{0}", "\n", "-1", "1e309", "{{",
            "%}", "+"
        ])
        .prop_map(str::to_owned),
    ];
    prop_oneof![
        (any::<prop::sample::Index>(), 1..40_usize)
            .prop_map(|(at, count)| Change::Remove(at, count)),
        (any::<prop::sample::Index>(), piece).prop_map(|(at, text)| Change::Insert(at, text)),
        (any::<prop::sample::Index>(), 1..30_usize, 1..40_usize)
            .prop_map(|(at, count, times)| Change::Repeat(at, count, times)),
    ]
}

fn changed(text: &str, changes: &[Change]) -> String {
    let mut text: Vec<char> = text.chars().collect();
    for change in changes {
        let place = |at: &prop::sample::Index| at.index(text.len() + 1);
        match change {
            Change::Remove(at, count) => {
                let start = place(at);
                let end = (start + count).min(text.len());
                text.drain(start..end);
            }
            Change::Insert(at, piece) => {
                let start = place(at);
                text.splice(start..start, piece.chars());
            }
            Change::Repeat(at, count, times) => {
                let start = place(at);
                let end = (start + count).min(text.len());
                let piece: Vec<char> = text[start..end].repeat(*times);
                text.splice(start..start, piece);
            }
        }
    }
    text.into_iter().collect()
}

/// Tries changed texts of a folder, and the texts themselves.
fn tries(kind: &str, test: impl Fn(&str) -> TestCaseResult) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/hostile")
        .join(kind);
    let texts: Vec<String> = fs::read_dir(&folder)
        .expect(kind)
        .map(|entry| fs::read_to_string(entry.expect("an entry").path()).expect("a text"))
        .collect();
    for text in &texts {
        test(text).expect("the text itself");
    }
    let config = ProptestConfig {
        cases: cases(),
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let strategy = (select(texts), prop::collection::vec(change(), 1..6));
    let outcome =
        proptest::test_runner::TestRunner::new(config).run(&strategy, |(text, changes)| {
            let tried = changed(&text, &changes);
            if let Some(trace) = std::env::var_os("HOSTILE_TRACE") {
                fs::write(trace, &tried).expect("HOSTILE_TRACE can be written");
            }
            test(&tried)
        });
    if let Err(failure) = outcome {
        panic!("{kind}: {failure}; keep the text in {}", folder.display());
    }
}

fn region() -> Region {
    "eu-west-1".parse().expect("a region")
}

fn route() -> Route {
    let catalog = Embedded::load().catalog(&region());
    catalog.profiles()[0].route(&region())
}

#[test]
fn arns() {
    tries("arn", |text| {
        if let Ok(arn) = Arn::parse(text) {
            prop_assert!(text.starts_with("arn:"), "{text:?}");
            let _ = (arn.foundation_model(), arn.inference_profile());
        }
        if let Ok(role) = text.parse::<RoleArn>() {
            prop_assert_eq!(role.as_str(), text);
            prop_assert!(AllowedRoles::default().permits(&role, "shop").is_err());
        }
        Ok(())
    });
}

#[test]
fn limits() {
    tries("limit", |text| {
        let entries: Vec<&str> = text.split(',').map(str::trim).collect();
        let route = route();
        let limits = Limits::all([Limit::parse(LimitOrigin::Binding, &entries)])
            .and_namespace(&NamespaceLimit::of_annotation(Some(text)));
        let judgement = limits.judge(&route, Embedded::load());
        // What is not understood fails closed.
        let understood = Limit::parse(LimitOrigin::Binding, &entries).is_ok();
        prop_assert!(understood || !judgement.permits(), "{text:?}");
        Ok(())
    });
}

#[test]
fn templates() {
    tries("template", |text| {
        let route = route();
        let values = Values {
            route: &route,
            account: None,
            application: None,
        };
        let templates = [(Arc::from("f"), Arc::from(text))];
        let kind = TargetKind::ConfigMap;
        let names = ('a'..='p').map(|name| (name.to_string().repeat(32).into(), values));
        for models in [Models::One(values), Models::several(names)] {
            let found = content(kind, CreationPolicy::Owner, &[], &templates, &models);
            match found {
                Ok(found) => prop_assert!(found["f"].len() <= 64 * 1024),
                Err(error) => {
                    let message = error.to_string();
                    prop_assert!(message.len() <= 1024, "{} bytes", message.len());
                    prop_assert!(!message.contains(char::is_control), "{message:?}");
                }
            }
        }
        Ok(())
    });
}

/// An allow-list of roles, as `--allow-role-arn` takes it.
#[test]
fn role_lists() {
    tries("roles", |text| {
        let role: RoleArn = "arn:aws:iam::111122223333:role/team/bedrock-reader"
            .parse()
            .expect("a role");
        if let Ok(allowed) = AllowedRoles::parse(&[text]) {
            let anywhere = allowed.permits_anywhere(&role).is_ok();
            let in_shop = allowed.permits(&role, "shop").is_ok();
            prop_assert!(anywhere || !in_shop, "{text:?}");
        }
        Ok(())
    });
}

/// How many manifests are checked here for one that the program reads: a process takes a thousand times as long.
const MANIFESTS_PER_PROCESS: usize = 50;

#[test]
fn manifests() {
    let validator = Validator::new(&binding_definition()).expect("a validator");
    let count = Cell::new(0_usize);
    tries("manifest", |text| {
        for document in serde_yaml::Deserializer::from_str(text) {
            let Ok(mut manifest) = Value::deserialize(document) else {
                break;
            };
            let mut found = Violations::keeping(20);
            validator.check(&mut manifest, &mut found);
            let (kept, total) = found.into_parts();
            prop_assert!(kept.len() <= 20 && kept.len() <= total);
            // What is accepted is understood, whatever its kind and version say.
            if total == 0 && manifest["spec"].is_object() {
                let binding = serde_json::from_value::<InferenceProfileBinding>(manifest);
                prop_assert!(binding.is_ok(), "{binding:?}");
            }
        }
        count.set(count.get() + 1);
        if count.get().is_multiple_of(MANIFESTS_PER_PROCESS) {
            let mut command = Command::new(PROGRAM);
            command
                .args(["render", "--region", "eu-west-1", "-f", "-"])
                .env_clear();
            let output = Output::of(&mut command, text);
            // 2: the manifest is wrong; 3: a binding is not Ready.
            prop_assert!(matches!(output.code, Some(0 | 2 | 3)), "{output:?}");
        }
        Ok(())
    });
}

#[test]
fn listings() {
    tries("listing", |text| {
        let Ok(listing) = serde_json::from_str::<Listing>(text) else {
            return Ok(());
        };
        if let Ok(found) = profiles(&listing.summaries, &region()) {
            for profile in &found.profiles {
                prop_assert!(profile.id.geography(&profile.model).is_some());
            }
            let entries = found.profiles.len() + found.left_out.len();
            prop_assert!(entries <= listing.summaries.len());
        }
        Ok(())
    });
}

#[test]
fn policies() {
    tries("policy", |text| {
        if let Ok(policy) = Policy::parse("a.json", text) {
            let arn = "arn:aws:bedrock:eu-west-1::foundation-model/anthropic.claude-sonnet-5-5";
            let _ = judge(
                &[vec![policy]],
                "bedrock:InvokeModel",
                arn,
                &Context::default(),
            );
        }
        Ok(())
    });
}

#[test]
fn bindings() {
    tries("binding", |text| {
        let Ok(watched) = serde_json::from_str::<WatchedBinding>(text) else {
            return Ok(());
        };
        let Some((binding, _)) = watched.into_binding(&region()) else {
            return Ok(());
        };
        // What is written back is what was understood, and is understood again.
        let wire = binding.status.to_wire();
        let again = inference_profile_operator::plan::status::Status::from_wire(
            &wire,
            &binding.key.namespace,
        );
        prop_assert_eq!(again.to_wire(), wire);
        let names: BTreeMap<_, _> = binding
            .spec
            .targets
            .iter()
            .map(|target| (target.name.clone(), target.kind))
            .collect();
        prop_assert!(!names.is_empty(), "there is always a target");
        Ok(())
    });
}

/// A text of any kind, as `scan` reads it.
#[test]
fn texts() {
    let embedded = Embedded::load();
    let finder = Finder::new(embedded, []).expect("a finder");
    let region = region();
    let catalogs = BTreeMap::from([(region.clone(), Arc::new(embedded.catalog(&region)))]);
    let limits = Limits::all([Limit::parse(LimitOrigin::Binding, &["eu-*"])]);
    let scene = Scene {
        embedded,
        catalogs: &catalogs,
        region: Some(&region),
        geographies: &[],
        limits: &limits,
        day: jiff::civil::date(2026, 11, 1),
    };
    tries("text", |text| {
        let found = finder.find(text.as_bytes(), Bounds { findings: 20 });
        prop_assert!(found.mentions.len() <= 20);
        let without_mark = text.strip_prefix('\u{feff}').unwrap_or(text);
        let lines: Vec<&str> = without_mark.split('\n').collect();
        for mention in found.mentions {
            // It stands where it is said to stand.
            let line = lines[mention.line - 1];
            prop_assert!(line.contains(&mention.text), "{mention:?} in {line:?}");
            prop_assert!(
                !judge_mention(&mention.reference, &scene)
                    .opinions
                    .is_empty()
            );
        }
        Ok(())
    });
}
