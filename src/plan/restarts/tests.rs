use std::collections::BTreeMap;

use crate::{
    api::TargetKind,
    api::condition::{ConditionStatus, ConditionType, Reason},
    catalog::FeedState,
    plan::{
        action::Retry,
        observed::{Controller, Holding, Observed, ObservedTarget, TargetView},
        status::Status,
        testing::{
            NOW, SETTINGS, SONNET, TRIGGERED, bound_with_workload, carry_out, edited, failing,
            full, observed, planned_with_restarts, problem, profile_id, sonnet, synced_message,
            targets_synced, visit, visit_with_restarts, with_workload, without, write_succeeds,
        },
    },
};

use super::*;

#[test]
#[allow(clippy::too_many_lines, reason = "a table")]
fn what_restarts_workloads() {
    let eu = || bound_with_workload("geography: eu");
    let to = |rest: &str| edited(&eu(), &with_workload(rest));
    let key =
        |keys: &str| format!("targets: [{{kind: ConfigMap, name: claude, keys: {{{keys}}}}}]");
    let one = || bound_with_workload(&format!("geography: eu, {}", key("MODEL: ProfileID")));
    let lost = Binding {
        status: Status::default(),
        ..eu()
    };
    let withdrawn = visit_with_restarts(&to("geography: jp"), full(), &TRIGGERED, NOW).0;
    let rows: Vec<(&str, Binding, FeedState, usize)> = vec![
        (
            "a first write",
            sonnet(&with_workload("geography: eu")),
            full(),
            0,
        ),
        ("nothing", eu(), full(), 0),
        ("a lost status", lost, full(), 0),
        ("another value", to("geography: global"), full(), 1),
        (
            "each of several",
            edited(
                &eu(),
                "geography: global, rollout: [{kind: Deployment, name: a}, {kind: DaemonSet, name: b}]",
            ),
            full(),
            2,
        ),
        (
            "another value, no workloads",
            edited(&eu(), "geography: global"),
            full(),
            0,
        ),
        (
            "another value, suspended",
            to("geography: global, suspend: true"),
            full(),
            0,
        ),
        (
            "a fallback's value, since the profile is not listed any more",
            bound_with_workload("geography: eu, fallback: {geographies: [global]}"),
            without("eu"),
            1,
        ),
        ("a value that is kept", eu(), without("eu"), 0),
        ("a value that is kept while AWS fails", eu(), failing(), 0),
        ("a withdrawal", to("geography: jp"), full(), 0),
        (
            "a first write after a withdrawal",
            edited(&withdrawn, &with_workload("geography: global")),
            full(),
            0,
        ),
        (
            "a limit that is broken",
            to("geography: eu, allowedRegions: ['@us']"),
            full(),
            0,
        ),
        (
            "a key more",
            edited(
                &one(),
                &with_workload(&format!(
                    "geography: eu, {}",
                    key("MODEL: ProfileID, REGION: SourceRegion")
                )),
            ),
            full(),
            0,
        ),
        (
            "a key by another",
            edited(
                &one(),
                &with_workload(&format!("geography: eu, {}", key("REGION: SourceRegion"))),
            ),
            full(),
            0,
        ),
        (
            "a key more and another value",
            edited(
                &one(),
                &with_workload(&format!(
                    "geography: global, {}",
                    key("MODEL: ProfileID, REGION: SourceRegion")
                )),
            ),
            full(),
            1,
        ),
        (
            "another value under the same key",
            edited(
                &one(),
                &with_workload(&format!(
                    "geography: eu, {}",
                    key("MODEL: FoundationModelID")
                )),
            ),
            full(),
            1,
        ),
        (
            "a target more",
            to(
                "geography: eu, targets: [{kind: ConfigMap, name: claude}, {kind: ConfigMap, name: more}]",
            ),
            full(),
            0,
        ),
        (
            "a target by another, with another value",
            to("geography: global, targets: [{kind: ConfigMap, name: other}]"),
            full(),
            0,
        ),
        (
            "a target that can't be written",
            to(
                "geography: global, targets: [{kind: ConfigMap, name: claude, templates: {f: '{{ nothing }}'}}]",
            ),
            full(),
            0,
        ),
    ];
    for (name, before, feed, restarts) in rows {
        let (after, planned, outcome) =
            visit_with_restarts(&before, feed.clone(), &TRIGGERED, NOW + 60);
        assert_eq!(planned.len(), restarts, "{name}");
        let told = outcome
            .notices
            .iter()
            .filter(|notice| notice.reason == "RolloutTriggered");
        assert_eq!(told.count(), restarts.min(1), "{name}: one Event for all");
        let again = visit_with_restarts(&after, feed, &TRIGGERED, NOW + 120).1;
        assert_eq!(again, [], "{name}: once is enough");
    }
}

#[test]
fn an_operator_that_restarts_nothing_says_so_and_leaves_nothing_due() {
    let off = visit(
        &edited(
            &bound_with_workload("geography: eu"),
            &with_workload("geography: global"),
        ),
        full(),
        &SETTINGS,
    );
    let (after, actions, _) = off;
    assert_eq!(actions.restarts, []);
    let synced = after
        .status
        .finding(ConditionType::TargetsSynced)
        .expect("a condition");
    assert!(synced.is_true());
    assert!(
        synced
            .message
            .ends_with("this operator does not restart workloads (start it with --enable-rollout)"),
        "{}",
        synced.message
    );
    let (_, restarts, _) = visit_with_restarts(&after, full(), &TRIGGERED, NOW + 60);
    assert_eq!(
        restarts,
        [],
        "switched on, it restarts nothing for what changed before"
    );
}

#[test]
fn a_restart_is_due_until_it_was_triggered() {
    let eu = bound_with_workload("geography: eu");
    let global = edited(&eu, &with_workload("geography: global"));
    let refused = problem(
        Reason::RolloutFailed,
        "the values are written, but Deployment chat was not restarted for them",
        Retry::Rarely,
    );
    let on_the_way = problem(Reason::Retrying, "no answer", Retry::Soon);
    for (restart, synced, retry, says) in [
        (
            Ok(RestartOutcome::Waiting),
            (ConditionStatus::True, Reason::Synced),
            Retry::OnChange,
            "the restart of Deployment chat waits for others",
        ),
        (
            Err(refused),
            (ConditionStatus::False, Reason::RolloutFailed),
            Retry::Rarely,
            "not restarted",
        ),
        (
            Err(on_the_way),
            (ConditionStatus::Unknown, Reason::Retrying),
            Retry::Soon,
            "no answer",
        ),
    ] {
        let (undone, first, outcome) = visit_with_restarts(&global, full(), &restart, NOW + 60);
        assert_eq!(targets_synced(&undone), synced);
        assert!(
            synced_message(&undone).contains(says),
            "{}",
            synced_message(&undone)
        );
        assert_eq!(outcome.retry, retry);
        assert!(
            outcome
                .notices
                .iter()
                .all(|notice| notice.reason != "RolloutTriggered")
        );
        assert_eq!(
            profile_id(&undone),
            format!("global.{SONNET}"),
            "nothing is taken back"
        );
        assert!(!undone.status.targets[0].restart_pending.is_empty());

        let (same, second, outcome) = visit_with_restarts(&undone, full(), &restart, NOW + 120);
        assert_eq!(second, first, "by the same token");
        assert_eq!(outcome.status, None, "nothing new is to be said: {same:?}");

        let (back, third, _) = visit_with_restarts(
            &edited(&undone, &with_workload("geography: eu")),
            full(),
            &TRIGGERED,
            NOW + 120,
        );
        assert_ne!(
            third[0].token, first[0].token,
            "pods may have read the value in between"
        );
        assert_eq!(back.status.targets[0].hash, eu.status.targets[0].hash);

        let (done, last, _) = visit_with_restarts(&undone, full(), &TRIGGERED, NOW + 120);
        assert_eq!(last, first);
        assert!(done.status.targets[0].restart_pending.is_empty());
        assert_eq!(done.status.targets[0].since, Some(NOW + 120));
        assert_eq!(
            visit_with_restarts(&done, full(), &TRIGGERED, NOW + 180).1,
            []
        );
    }
}

#[test]
fn a_crash_before_the_status_repeats_the_same_restart() {
    let changed = edited(
        &bound_with_workload("geography: eu"),
        &with_workload("geography: global"),
    );
    let plan = planned_with_restarts(observed(&changed, full()), NOW + 60);
    let marked = Binding {
        status: plan.mark(NOW + 60).expect("a mark"),
        ..changed
    };
    let first = visit_with_restarts(&marked, full(), &TRIGGERED, NOW + 60).1;
    let second = visit_with_restarts(&marked, full(), &TRIGGERED, NOW + 600).1;
    assert_eq!((first.len(), first), (1, second));
}

#[test]
fn a_change_that_comes_back_restarts_again() {
    let mut binding = bound_with_workload("geography: eu");
    let mut tokens = std::collections::BTreeSet::new();
    let mut now = NOW;
    let mut go = |binding: &mut Binding, geography: &str, restarts: usize| {
        now += 60;
        let spec = with_workload(&format!("geography: {geography}"));
        let (after, planned, _) =
            visit_with_restarts(&edited(binding, &spec), full(), &TRIGGERED, now);
        assert_eq!(planned.len(), restarts, "to {geography}");
        *binding = after;
        for restart in planned {
            assert!(
                tokens.insert(restart.token),
                "the workload has this token already"
            );
        }
    };
    for _ in 0..3 {
        go(&mut binding, "global", 1);
        go(&mut binding, "eu", 1);
    }
    // The workload still has the annotation of the change to eu, and the same change follows a first write.
    go(&mut binding, "jp", 0);
    go(&mut binding, "global", 0);
    go(&mut binding, "eu", 1);
}

#[test]
fn a_write_that_failed_on_the_way_puts_restarts_off() {
    let two = |geography: &str| {
        with_workload(&format!(
            "geography: {geography}, targets: [{{kind: ConfigMap, name: a}}, {{kind: ConfigMap, name: b}}]"
        ))
    };
    let before = visit_with_restarts(&sonnet(&two("eu")), full(), &TRIGGERED, NOW).0;
    let changed = edited(&before, &two("global"));
    let failed = |retry| problem(Reason::Retrying, "no", retry);
    for (retry, restarts, marked) in [(Retry::Soon, 0, true), (Retry::Rarely, 1, false)] {
        let first_alone = |write: &Write| match write.key.name.as_ref() {
            "a" => write_succeeds(write),
            _ => Err(failed(retry)),
        };
        let plan = planned_with_restarts(observed(&changed, full()), NOW + 60);
        let (actions, outcome) = carry_out(plan, first_alone, |_| Ok(()), |_| TRIGGERED, NOW + 60);
        assert_eq!(actions.restarts.len(), restarts, "{retry:?}");
        let status = outcome.status.expect("a status");
        let pending = !status.targets[0].restart_pending.is_empty();
        assert_eq!(pending, marked, "{retry:?}");
        let (is, was) = (&status.targets[1], &before.status.targets[1]);
        assert_eq!(is.hash, was.hash, "not written");
        // Where a write failed on the way, it may have arrived.
        assert_eq!(is == was, retry == Retry::Rarely, "{retry:?}");
        // Whatever the first visit did, the next one restarts for what is changed now.
        let next = Binding {
            status,
            ..changed.clone()
        };
        let (after, planned, _) = visit_with_restarts(&next, full(), &TRIGGERED, NOW + 120);
        assert_eq!(planned.len(), 1, "{retry:?}");
        assert!(
            after
                .status
                .targets
                .iter()
                .all(|record| record.restart_pending.is_empty())
        );
    }
}

#[test]
fn what_was_not_written_restarts_nothing() {
    let changed = edited(
        &bound_with_workload("geography: eu"),
        &with_workload("geography: global"),
    );
    let refused = problem(Reason::TargetForbidden, "no", Retry::Rarely);
    let plan = planned_with_restarts(observed(&changed, full()), NOW + 60);
    let refuse = |_: &Write| Err(refused.clone());
    let (actions, _) = carry_out(plan, refuse, |_| Ok(()), |_| TRIGGERED, NOW + 60);
    assert_eq!(actions.restarts, []);
}

#[test]
fn what_is_about_to_change_is_marked_before_it_is_written() {
    let before = bound_with_workload("geography: eu");
    let mark =
        |binding: &Binding, now| planned_with_restarts(observed(binding, full()), now).mark(now);
    let none = [
        ("nothing changes", before.clone()),
        ("a first write", sonnet(&with_workload("geography: eu"))),
        ("no workloads", edited(&before, "geography: global")),
    ];
    for (name, binding) in none {
        assert_eq!(mark(&binding, NOW + 5), None, "{name}");
    }
    let changed = edited(&before, &with_workload("geography: global"));
    let marked = mark(&changed, NOW + 5).expect("a mark");
    let (was, is) = (&before.status.targets[0], &marked.targets[0]);
    assert_eq!((&is.hash, is.since), (&was.hash, Some(NOW + 5)));
    assert!(!is.restart_pending.is_empty());
    // Marked once; whatever the value is when the write is tried again, the restart is due.
    for geography in ["global", "eu"] {
        let again = Binding {
            status: marked.clone(),
            ..edited(&before, &with_workload(&format!("geography: {geography}")))
        };
        assert_eq!(mark(&again, NOW + 9), None, "{geography}");
        let (_, restarts, _) = visit_with_restarts(&again, full(), &TRIGGERED, NOW + 9);
        assert_eq!(restarts.len(), 1, "{geography}");
    }
    // The same change later is another one.
    let token = |now| {
        visit_with_restarts(&changed, full(), &TRIGGERED, now).1[0]
            .token
            .clone()
    };
    assert_ne!(token(NOW + 5), token(NOW + 6));
}

#[test]
fn a_value_that_the_status_lacks_restarts_when_it_changes() {
    let before = bound_with_workload("geography: eu");
    let to = |geography: &str| Binding {
        status: Status::default(),
        ..edited(&before, &with_workload(&format!("geography: {geography}")))
    };
    let eu = visit(&before, full(), &SETTINGS).1.writes[0]
        .as_ref()
        .expect("a write")
        .content
        .clone();
    let seen = |binding: &Binding, held: Option<&BTreeMap<String, String>>| {
        let holding = |content: &BTreeMap<String, String>| Holding {
            holder: binding.key.name.clone(),
            keys: fingerprints(TargetKind::ConfigMap, content),
        };
        let view = TargetView {
            uid: "u".into(),
            labelled: true,
            controller: Some(Controller {
                uid: binding.uid.clone(),
                binding: Some(binding.key.name.clone()),
                description: "it".into(),
            }),
            ours: held.map(holding).into_iter().collect(),
            ..TargetView::default()
        };
        let target = ObservedTarget {
            view: Some(Arc::new(view)),
            claimed_by: None,
        };
        Observed {
            targets: vec![target],
            ..observed(binding, full())
        }
    };
    let mark = |binding: &Binding, held| planned_with_restarts(seen(binding, held), NOW).mark(NOW);
    assert_eq!(mark(&to("eu"), Some(&eu)), None, "it is the same");
    assert_eq!(mark(&to("global"), None), None, "others hold all keys");
    let marked = mark(&to("global"), Some(&eu)).expect("a mark");
    assert_eq!(
        *marked.targets[0].restart_pending,
        [
            "BEDROCK_DESTINATION_REGIONS",
            "BEDROCK_GEOGRAPHY",
            "BEDROCK_INFERENCE_PROFILE_ID"
        ]
        .map(Arc::from)
    );
    let plan = planned_with_restarts(seen(&to("global"), Some(&eu)), NOW).marked(marked);
    let (actions, outcome) = carry_out(plan, write_succeeds, |_| Ok(()), |_| TRIGGERED, NOW);
    assert_eq!(actions.restarts.len(), 1);
    let status = outcome.status.expect("a status");
    assert!(status.targets[0].restart_pending.is_empty());
    // Where the write is refused, no record stays.
    let refuse = |_: &Write| Err(problem(Reason::TargetForbidden, "no", Retry::Rarely));
    let plan = planned_with_restarts(seen(&to("global"), Some(&eu)), NOW);
    let (_, outcome) = carry_out(plan, refuse, |_| Ok(()), |_| TRIGGERED, NOW);
    assert_eq!(outcome.status.expect("a status").targets, []);
}

#[test]
fn what_was_refused_is_not_marked_again_and_restarts_all_the_same() {
    let before = bound_with_workload("geography: eu");
    let changed = edited(&before, &with_workload("geography: global"));
    let refuse = |_: &Write| Err(problem(Reason::TargetForbidden, "no", Retry::Rarely));
    let plan = planned_with_restarts(observed(&changed, full()), NOW + 5);
    let (_, outcome) = carry_out(plan, refuse, |_| Ok(()), |_| TRIGGERED, NOW + 5);
    let refused = Binding {
        status: outcome.status.expect("a status"),
        ..changed
    };
    let plan = || planned_with_restarts(observed(&refused, full()), NOW + 60);
    assert_eq!(plan().mark(NOW + 60), None);
    let (_, outcome) = carry_out(plan(), refuse, |_| Ok(()), |_| TRIGGERED, NOW + 60);
    assert_eq!(outcome.status, None, "no write for nothing");
    let (actions, _) = carry_out(plan(), write_succeeds, |_| Ok(()), |_| TRIGGERED, NOW + 60);
    assert_eq!(actions.restarts.len(), 1);
}

#[test]
fn a_mark_is_taken_back_where_nothing_was_written() {
    let before = bound_with_workload("geography: eu");
    let changed = edited(&before, &with_workload("geography: global"));
    for (retry, owed) in [
        (Retry::Rarely, false),
        (Retry::OnChange, false),
        (Retry::Soon, true),
    ] {
        let plan = planned_with_restarts(observed(&changed, full()), NOW + 5);
        let fail = |_: &Write| Err(problem(Reason::TargetForbidden, "no", retry));
        let (_, outcome) = carry_out(plan, fail, |_| Ok(()), |_| TRIGGERED, NOW + 5);
        let status = outcome.status.expect("a status");
        let pending = !status.targets[0].restart_pending.is_empty();
        assert_eq!(pending, owed, "{retry:?}");
        assert_eq!(status.targets == before.status.targets, !owed, "{retry:?}");
    }
}
