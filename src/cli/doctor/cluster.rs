//! What is wrong on the side of the cluster, decided from what is known of it.

use std::collections::BTreeMap;

use super::{
    facts::{
        Answer, BindingFacts, Bindings, ClusterFacts, ConditionFacts, Difference, LeaseFacts,
        NoAnswer, OperatorFacts, PolicyFacts, Right, SchemaFacts,
    },
    line::{Check, Line},
};

/// Most names that a line tells.
const SHOWN: usize = 5;
/// What to do where the apiserver does not know who asks.
const LOG_IN: &str = "log in again (on EKS: `aws sso login`, then `aws eks update-kubeconfig`), or name another --context";
/// The oldest minor version of Kubernetes that is served: the guard's policies need it.
const OLDEST_MINOR: u32 = 30;
/// A Lease that was not renewed for so many seconds more than it lasts is held by nobody. Clocks differ.
const LEASE_GRACE: i64 = 30;
/// The guard's policies, by the end of their names.
const GUARD: [&str; 3] = [
    "-guard-targets",
    "-guard-rollout",
    "-guard-operator-targets",
];
/// The policy that is there too where the operator restarts workloads.
const GUARD_OF_ROLLOUT: &str = "-guard-operator-workloads";

/// Returns the lines of a cluster. `now` is in seconds since the Unix epoch, `version` that of this program, `kubectl` what
/// commands of kubectl need to reach the same cluster.
pub(super) fn lines(facts: &ClusterFacts, now: i64, version: &str, kubectl: &str) -> Vec<Line> {
    let apiserver = apiserver(&facts.url, &facts.version);
    if let Err(NoAnswer::Failed(_) | NoAnswer::NotAuthenticated) = &facts.version {
        return vec![apiserver];
    }
    let mut lines = vec![apiserver];
    let operators = facts.operators.as_deref().unwrap_or_default();
    let is_of_other_version = operators
        .iter()
        .filter_map(|operator| operator.version.as_deref())
        .any(|theirs| theirs != version);
    lines.push(crd(&facts.schemas, is_of_other_version, kubectl));
    lines.push(your_rights(&facts.own_rights, &facts.namespaces));
    lines.extend(operator_lines(facts, now, version, kubectl));
    lines.extend(guards(&facts.policies, operators));
    lines.push(feeds(&facts.bindings));
    lines.push(if facts.absent_namespaces.is_empty() {
        bindings(&facts.bindings, kubectl)
    } else {
        no_namespace(&facts.absent_namespaces, kubectl)
    });
    lines
}

/// Returns the line of what could not be asked.
fn no_answer(check: Check, what: &str, why: &NoAnswer, next: &str) -> Line {
    match why {
        NoAnswer::Forbidden(message) => {
            Line::unknown(check, format!("{what} may not be read: {message}")).next(next)
        }
        NoAnswer::NotFound => Line::unknown(check, format!("the cluster does not know {what}")),
        NoAnswer::NotAuthenticated => Line::fails(
            check,
            format!("{what} could not be read: not authenticated"),
        )
        .next(LOG_IN),
        NoAnswer::Failed(why) => Line::fails(check, format!("{what} could not be read: {why}"))
            .next("check that the apiserver answers, and try again"),
    }
}

fn apiserver(url: &str, version: &Answer<String>) -> Line {
    let version = match version {
        Ok(version) => version,
        Err(NoAnswer::Failed(why)) => {
            return Line::fails(Check::Apiserver, format!("{url} does not answer: {why}")).next(
                "check KUBECONFIG, --context, HTTPS_PROXY and NO_PROXY, the network, and that your login has not expired",
            );
        }
        Err(NoAnswer::NotAuthenticated) => {
            return Line::fails(
                Check::Apiserver,
                format!("{url} answers, and does not accept your credentials"),
            )
            .next(LOG_IN);
        }
        Err(why) => return no_answer(Check::Apiserver, "its version", why, "nothing"),
    };
    let minor = version
        .trim_start_matches("v1.")
        .split('.')
        .next()
        .and_then(|minor| minor.parse::<u32>().ok());
    match minor {
        Some(minor) if minor < OLDEST_MINOR => Line::fails(
            Check::Apiserver,
            format!("{url} is Kubernetes {version}, older than 1.{OLDEST_MINOR}"),
        )
        .next(format!("upgrade the cluster to 1.{OLDEST_MINOR} or later")),
        _ => Line::ok(
            Check::Apiserver,
            format!("{url} answers, Kubernetes {version}"),
        ),
    }
}

fn crd(schemas: &Answer<Vec<SchemaFacts>>, is_of_other_version: bool, kubectl: &str) -> Line {
    let apply = format!(
        "apply the definitions of this program: `inference-profile-operator crd | kubectl{kubectl} apply --server-side -f -`"
    );
    let schemas = match schemas {
        Ok(schemas) => schemas,
        Err(NoAnswer::NotFound) => {
            return Line::fails(Check::Crd, "inferenceprofiles.dev is not installed").next(apply);
        }
        Err(why) => return no_answer(Check::Crd, "the schemas of the apiserver", why, "nothing"),
    };
    let absent: Vec<&str> = schemas
        .iter()
        .filter(|schema| schema.difference.is_none())
        .map(|schema| schema.kind.as_str())
        .collect();
    if !absent.is_empty() {
        return Line::fails(Check::Crd, format!("not installed: {}", absent.join(", ")))
            .next(apply);
    }
    let fields = |which: fn(&Difference) -> &Vec<String>| -> Vec<String> {
        let differing = schemas.iter().filter_map(|schema| {
            let fields = which(schema.difference.as_ref()?);
            (!fields.is_empty()).then(|| {
                fields
                    .iter()
                    .map(|field| format!("{} {field}", schema.kind))
            })
        });
        differing.flatten().collect()
    };
    let (missing, extra) = (fields(|it| &it.missing), fields(|it| &it.extra));
    if !missing.is_empty() {
        let says = format!("older than this program: without {}", some(&missing));
        return if is_of_other_version {
            Line::unknown(Check::Crd, says).next(
                "the operator is of another version too: compare with the program of that version",
            )
        } else {
            Line::fails(Check::Crd, says).next(apply)
        };
    }
    if !extra.is_empty() {
        return Line::unknown(
            Check::Crd,
            format!("newer than this program: with {}", some(&extra)),
        )
        .next("use the program of the version that is installed");
    }
    let kinds: Vec<&str> = schemas.iter().map(|schema| schema.kind.as_str()).collect();
    Line::ok(
        Check::Crd,
        format!("{}: of this version's schema", kinds.join(", ")),
    )
}

/// Returns the first names, and how many more there are.
fn some(names: &[String]) -> String {
    let shown = names.iter().take(SHOWN).cloned().collect::<Vec<_>>();
    let more = names.len() - shown.len();
    let shown = shown.join(", ");
    if more == 0 {
        shown
    } else {
        format!("{shown} and {more} more")
    }
}

fn denied(rights: &[(Right, bool)]) -> Vec<&Right> {
    let denied = rights.iter().filter(|(_, allowed)| !allowed);
    denied.map(|(right, _)| right).collect()
}

/// Returns rights in words: a resource once, with its verbs.
fn in_words(rights: &[&Right]) -> String {
    let mut by_place: BTreeMap<(String, String), Vec<&str>> = BTreeMap::new();
    for right in rights {
        let place = match (&right.namespace, &right.name) {
            (Some(namespace), _) => format!(" in {namespace}"),
            (None, Some(name)) => format!(" {name}"),
            (None, None) => String::new(),
        };
        let verbs = by_place.entry((right.resource(), place)).or_default();
        verbs.push(right.verb);
    }
    let texts: Vec<String> = by_place
        .into_iter()
        .map(|((resource, place), verbs)| format!("{} {resource}{place}", verbs.join("/")))
        .collect();
    some(&texts)
}

fn your_rights(rights: &Answer<Vec<(Right, bool)>>, namespaces: &[String]) -> Line {
    let rights = match rights {
        Ok(rights) => rights,
        Err(why) => return no_answer(Check::YourRights, "your rights", why, "nothing"),
    };
    let whole = if namespaces.is_empty() {
        " in all namespaces".to_owned()
    } else {
        format!(" in {}", namespaces.join(", "))
    };
    let denied = denied(rights);
    if denied.is_empty() {
        return Line::ok(
            Check::YourRights,
            format!("all that the commands need{whole}"),
        );
    }
    let says = format!("you may not {}", in_words(&denied));
    let sees_bindings = denied
        .iter()
        .all(|right| right.verb != "list" || right.resource != "inferenceprofilebindings");
    if sees_bindings {
        let says = format!("{says}: commands that need it say so");
        Line::ok(Check::YourRights, says)
    } else {
        Line::fails(Check::YourRights, says).next(
            "-n NAMESPACE where you have the ClusterRole view, or ask for it: the chart adds bindings to view, edit and admin",
        )
    }
}

fn operator_lines(facts: &ClusterFacts, now: i64, version: &str, kubectl: &str) -> Vec<Line> {
    let operators = match &facts.operators {
        Ok(operators) => operators,
        Err(why) => {
            let next =
                "name its namespace with --operator-namespace, or ask who may list deployments";
            return vec![no_answer(Check::Operator, "Deployments", why, next)];
        }
    };
    if operators.is_empty() {
        let place = facts.operator_namespace.as_ref();
        let place = place.map_or_else(String::new, |name| format!(" in namespace {name}"));
        return vec![
            Line::fails(
                Check::Operator,
                format!("there is none: no Deployment{place} has the labels of the chart"),
            )
            .next("install it (docs/install.md); one without the chart is not seen"),
        ];
    }
    let mut lines = Vec::new();
    for found in operators {
        lines.push(operator(found, version, kubectl));
        if let Some(rights) = &found.rights {
            lines.push(operator_rights(found, rights, kubectl));
        }
        lines.push(leader(found, now, kubectl));
    }
    lines
}

fn operator(found: &OperatorFacts, version: &str, kubectl: &str) -> Line {
    let name = found.full_name();
    let OperatorFacts { wanted, ready, .. } = found;
    let of = match &found.version {
        Some(theirs) if theirs != version => {
            format!(", version {theirs}; this program is {version}")
        }
        Some(theirs) => format!(", version {theirs}"),
        None => String::new(),
    };
    let says = format!("{name}: {ready} of {wanted} replicas ready{of}");
    let (namespace, deployment) = (&found.namespace, &found.name);
    if *wanted == 0 {
        return Line::fails(Check::Operator, format!("{name} is scaled to 0")).next(format!(
            "`kubectl{kubectl} -n {namespace} scale deployment/{deployment} --replicas 2`, or `replicas` in the chart"
        ));
    }
    if ready < wanted {
        return Line::fails(Check::Operator, says).next(format!(
            "`kubectl{kubectl} -n {namespace} logs deployment/{deployment}` and `... get events` say why"
        ));
    }
    Line::ok(Check::Operator, says)
}

fn operator_rights(
    found: &OperatorFacts,
    rights: &Answer<Vec<(Right, bool)>>,
    kubectl: &str,
) -> Line {
    let account = format!(
        "system:serviceaccount:{}:{}",
        found.namespace, found.service_account
    );
    let rights = match rights {
        Ok(rights) => rights,
        Err(why) => {
            let next = format!(
                "ask somebody who may impersonate it: `kubectl{kubectl} auth can-i --list --as {account}`"
            );
            let what = format!("the rights of {account}");
            return no_answer(Check::OperatorRights, &what, why, &next);
        }
    };
    let denied = denied(rights);
    if denied.is_empty() {
        return Line::ok(
            Check::OperatorRights,
            format!("{account} may do all that its options need"),
        );
    }
    Line::fails(
        Check::OperatorRights,
        format!("{account} may not {}", in_words(&denied)),
    )
    .next("upgrade the release with rbac.create, or give it the rights that docs/cli.md lists under run")
}

fn leader(found: &OperatorFacts, now: i64, kubectl: &str) -> Line {
    let name = found.full_name();
    let Some((namespace, lease)) = found.lease_name() else {
        if found.wanted > 1 {
            return Line::fails(
                Check::Leader,
                format!(
                    "{name} has {} replicas and elects no leader: all of them write",
                    found.wanted
                ),
            )
            .next("leaderElection.enabled in the chart, or one replica");
        }
        return Line::ok(
            Check::Leader,
            format!("{name} elects none: its one replica leads"),
        );
    };
    let lease_of = |found: &LeaseFacts| -> Line {
        let ago = found.renewed.map_or(i64::MAX, |renewed| now - renewed);
        let Some(holder) = &found.holder else {
            return Line::fails(
                Check::Leader,
                format!("the Lease {namespace}/{lease} is held by nobody"),
            )
            .next("see whether the operator runs, and its log");
        };
        let when = match ago {
            i64::MAX => "never renewed".to_owned(),
            // Clocks differ.
            ..=0 => "renewed just now".to_owned(),
            seconds => format!("renewed {} ago", in_words_of(seconds)),
        };
        let says = format!("{holder} holds the Lease {namespace}/{lease}, {when}");
        if ago > found.duration.saturating_add(LEASE_GRACE) {
            return Line::fails(Check::Leader, says).next(
                "nobody writes: see whether the operator runs, and whether it may update the Lease",
            );
        }
        Line::ok(Check::Leader, says)
    };
    match &found.lease {
        Some(Ok(found)) => lease_of(found),
        Some(Err(NoAnswer::NotFound)) => Line::fails(
            Check::Leader,
            format!("there is no Lease {namespace}/{lease}: no replica ever led"),
        )
        .next(format!(
            "see the log: `kubectl{kubectl} -n {} logs deployment/{}`",
            found.namespace, found.name
        )),
        Some(Err(why)) => no_answer(
            Check::Leader,
            &format!("the Lease {namespace}/{lease}"),
            why,
            "ask who may read Leases there",
        ),
        None => Line::unknown(
            Check::Leader,
            format!("the Lease {namespace}/{lease} was not read"),
        ),
    }
}

/// Returns a time in the largest unit of which it has two.
fn in_words_of(seconds: i64) -> String {
    match seconds {
        ..120 => format!("{seconds} s"),
        120..7_200 => format!("{} minutes", seconds / 60),
        7_200..172_800 => format!("{} hours", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// Returns a line for each operator's guard; one for all policies where no operator is known.
fn guards(policies: &Answer<Vec<PolicyFacts>>, operators: &[OperatorFacts]) -> Vec<Line> {
    let policies = match policies {
        Ok(policies) => policies,
        Err(why) => {
            let next = "ask who may list validatingadmissionpolicies and their bindings";
            return vec![no_answer(Check::Guard, "admission policies", why, next)];
        }
    };
    if operators.is_empty() {
        return vec![guard(policies, false)];
    }
    let of = |operator: &OperatorFacts| -> Vec<PolicyFacts> {
        let policies = policies.iter();
        let own = policies.filter(|policy| policy.release == operator.release);
        own.cloned().collect()
    };
    operators
        .iter()
        .map(|operator| guard(&of(operator), operator.is_on("--enable-rollout")))
        .collect()
}

/// Judges the policies of a release, whose operator `restarts` workloads or does not.
fn guard(policies: &[PolicyFacts], restarts: bool) -> Line {
    let of = |end: &str| policies.iter().find(|policy| policy.name.ends_with(end));
    let parts = || {
        GUARD
            .into_iter()
            .chain(restarts.then_some(GUARD_OF_ROLLOUT))
    };
    let missing: Vec<&str> = parts().filter(|end| of(end).is_none()).collect();
    if missing.len() == parts().count() {
        return Line::fails(
            Check::Guard,
            "there is none: whoever may write bindings can have the operator write what they may not",
        )
        .next("guard.enabled in the chart; without the chart, the policies of docs/guard.md");
    }
    if !missing.is_empty() {
        let missing: Vec<String> = missing.iter().map(|end| format!("*{end}")).collect();
        return Line::fails(
            Check::Guard,
            format!("a part is missing: {}", missing.join(", ")),
        )
        .next("upgrade the release: a part of it was deleted, or is of an older version");
    }
    let unbound: Vec<String> = parts()
        .filter_map(of)
        .filter(|policy| !policy.denies)
        .map(|policy| policy.name.clone())
        .collect();
    if !unbound.is_empty() {
        return Line::fails(
            Check::Guard,
            format!(
                "there, and not in force: no ValidatingAdmissionPolicyBinding denies by {}",
                some(&unbound)
            ),
        )
        .next("upgrade the release: its bindings were deleted or changed");
    }
    let names: Vec<String> = policies.iter().map(|policy| policy.name.clone()).collect();
    Line::ok(Check::Guard, format!("in force: {}", some(&names)))
}

/// Returns how many bindings were looked at.
fn at_most(bindings: &Bindings) -> String {
    match bindings.all.len() {
        count if bindings.more => format!("the first {count} bindings"),
        1 => "1 binding".to_owned(),
        count => format!("{count} bindings"),
    }
}

fn is_or_are(count: usize) -> &'static str {
    if count == 1 { "is" } else { "are" }
}

fn full_name(binding: &BindingFacts) -> String {
    format!("{}/{}", binding.namespace, binding.name)
}

fn feeds(bindings: &Answer<Bindings>) -> Line {
    let bindings = match bindings {
        Ok(bindings) => bindings,
        Err(NoAnswer::NotFound) => {
            return Line::unknown(Check::Feeds, "bindings are not known to the cluster");
        }
        Err(why) => return no_answer(Check::Feeds, "bindings", why, "-n NAMESPACE"),
    };
    let told = || {
        let all = bindings.all.iter();
        all.filter_map(|it| it.fresh.as_ref().map(|fresh| (it, fresh)))
    };
    if told().next().is_none() {
        return Line::unknown(Check::Feeds, "no binding tells of its catalog yet")
            .next("apply one: examples/01-smallest.yaml");
    }
    let mut failing: BTreeMap<(&str, &str), Vec<String>> = BTreeMap::new();
    for (binding, fresh) in told().filter(|(_, fresh)| fresh.status != "True") {
        let key = (fresh.reason.as_str(), fresh.message.as_str());
        failing.entry(key).or_default().push(full_name(binding));
    }
    let worst = failing.iter().max_by_key(|(_, names)| names.len());
    let Some(((reason, message), names)) = worst else {
        return Line::ok(
            Check::Feeds,
            format!("the catalogs of {} are current", at_most(bindings)),
        );
    };
    let count = failing.values().map(Vec::len).sum::<usize>();
    Line::fails(
        Check::Feeds,
        format!(
            "{count} of {} {} a catalog that is not current: {reason}: {message} ({})",
            at_most(bindings),
            if count == 1 { "has" } else { "have" },
            some(names)
        ),
    )
    .next("see docs/aws.md, and run this command where the operator runs")
}

/// A mistyped name must not look as if all were well.
fn no_namespace(absent: &[String], kubectl: &str) -> Line {
    Line::fails(
        Check::Bindings,
        format!("there is no namespace {}", some(absent)),
    )
    .next(format!(
        "`kubectl{kubectl} get namespaces` lists those that exist"
    ))
}

fn bindings(bindings: &Answer<Bindings>, kubectl: &str) -> Line {
    let bindings = match bindings {
        Ok(bindings) => bindings,
        Err(NoAnswer::NotFound) => {
            return Line::unknown(Check::Bindings, "bindings are not known to the cluster");
        }
        Err(why) => return no_answer(Check::Bindings, "bindings", why, "-n NAMESPACE"),
    };
    if bindings.all.is_empty() {
        return Line::ok(Check::Bindings, "there are none");
    }
    let is_ready = |ready: &ConditionFacts| ready.status == "True";
    let open: Vec<&BindingFacts> = bindings
        .all
        .iter()
        .filter(|binding| !binding.suspended && !binding.ready.as_ref().is_some_and(is_ready))
        .collect();
    let Some(first) = open.first() else {
        return Line::ok(
            Check::Bindings,
            format!(
                "{} {} Ready or suspended",
                at_most(bindings),
                is_or_are(bindings.all.len())
            ),
        );
    };
    let names: Vec<String> = open
        .iter()
        .map(|binding| match &binding.ready {
            Some(ready) => format!("{} ({})", full_name(binding), ready.reason),
            None => format!("{} (nobody has looked at it)", full_name(binding)),
        })
        .collect();
    Line::fails(
        Check::Bindings,
        format!(
            "{} of {} {} not Ready: {}",
            open.len(),
            at_most(bindings),
            is_or_are(open.len()),
            some(&names)
        ),
    )
    .next(format!(
        "`kubectl ipb status {} -n {}{kubectl}`",
        first.name, first.namespace
    ))
}

#[cfg(test)]
mod tests {
    use super::super::line::Verdict;
    use super::*;

    fn forbidden<T>() -> Answer<T> {
        Err(NoAnswer::Forbidden("user jane cannot".to_owned()))
    }

    fn failed<T>() -> Answer<T> {
        Err(NoAnswer::Failed("connection refused".to_owned()))
    }

    #[track_caller]
    fn assert_line(line: &Line, verdict: Verdict, says: &str) {
        assert_eq!(line.verdict, verdict, "{line:?}");
        assert!(line.says.contains(says), "{says:?} is not in {line:?}");
        let names_a_step = line.next.is_some();
        assert!(verdict != Verdict::Fails || names_a_step, "{line:?}");
    }

    #[test]
    fn the_apiserver() {
        for (version, verdict, says) in [
            (Ok("v1.37.2".to_owned()), Verdict::Ok, "Kubernetes v1.37.2"),
            (Ok("v1.30.0-eks-1".to_owned()), Verdict::Ok, "answers"),
            (Ok("v1.29.9".to_owned()), Verdict::Fails, "older than 1.30"),
            (
                failed(),
                Verdict::Fails,
                "does not answer: connection refused",
            ),
            (forbidden(), Verdict::Unknown, "may not be read"),
        ] {
            assert_line(&apiserver("https://a", &version), verdict, says);
        }
    }

    #[test]
    fn definitions() {
        let schema = |missing: &[&str], extra: &[&str]| SchemaFacts {
            kind: "InferenceProfileBinding".to_owned(),
            difference: Some(Difference {
                missing: missing.iter().map(ToString::to_string).collect(),
                extra: extra.iter().map(ToString::to_string).collect(),
            }),
        };
        let absent = SchemaFacts {
            kind: "InferenceProfileClass".to_owned(),
            difference: None,
        };
        for (schemas, other, verdict, says) in [
            (
                Ok(vec![schema(&[], &[])]),
                false,
                Verdict::Ok,
                "of this version's",
            ),
            (
                Ok(vec![schema(&["spec.a"], &[])]),
                false,
                Verdict::Fails,
                "without InferenceProfileBinding spec.a",
            ),
            (
                Ok(vec![schema(&["spec.a"], &[])]),
                true,
                Verdict::Unknown,
                "older",
            ),
            (
                Ok(vec![schema(&[], &["spec.b"])]),
                false,
                Verdict::Unknown,
                "newer",
            ),
            (
                Ok(vec![schema(&[], &[]), absent]),
                false,
                Verdict::Fails,
                "not installed: InferenceProfileClass",
            ),
            (
                Err(NoAnswer::NotFound),
                false,
                Verdict::Fails,
                "not installed",
            ),
            (forbidden(), false, Verdict::Unknown, "may not be read"),
        ] {
            assert_line(&crd(&schemas, other, ""), verdict, says);
        }
    }

    #[test]
    fn rights_of_whoever_asks() {
        let list = |resource| Right::new("list", "inferenceprofiles.dev", resource);
        let bindings = list("inferenceprofilebindings");
        let classes = list("inferenceprofileclasses");
        for (rights, verdict, says) in [
            (
                Ok(vec![(bindings.clone(), true)]),
                Verdict::Ok,
                "all that the commands need",
            ),
            (
                Ok(vec![(bindings.clone(), true), (classes, false)]),
                Verdict::Ok,
                "you may not list inferenceprofileclasses.inferenceprofiles.dev: ",
            ),
            (
                Ok(vec![(bindings.in_namespace(Some("shop")), false)]),
                Verdict::Fails,
                "you may not list inferenceprofilebindings.inferenceprofiles.dev in shop",
            ),
            (failed(), Verdict::Fails, "could not be read"),
        ] {
            assert_line(&your_rights(&rights, &[]), verdict, says);
        }
    }

    fn running() -> OperatorFacts {
        OperatorFacts {
            namespace: "system".to_owned(),
            name: "ipo".to_owned(),
            service_account: "ipo".to_owned(),
            wanted: 2,
            ready: 2,
            version: Some("0.1.0".to_owned()),
            args: vec!["run".to_owned(), "--leader-elect".to_owned()],
            ..OperatorFacts::default()
        }
    }

    #[test]
    fn the_operator() {
        for (found, verdict, says) in [
            (
                running(),
                Verdict::Ok,
                "system/ipo: 2 of 2 replicas ready, version 0.1.0",
            ),
            (
                OperatorFacts {
                    version: Some("0.0.9".to_owned()),
                    ..running()
                },
                Verdict::Ok,
                "version 0.0.9; this program is 0.1.0",
            ),
            (
                OperatorFacts {
                    ready: 1,
                    ..running()
                },
                Verdict::Fails,
                "1 of 2",
            ),
            (
                OperatorFacts {
                    wanted: 0,
                    ..running()
                },
                Verdict::Fails,
                "scaled to 0",
            ),
        ] {
            assert_line(&operator(&found, "0.1.0", ""), verdict, says);
        }
        let mut facts = ClusterFacts {
            operators: Ok(Vec::new()),
            ..unreached(failed)
        };
        let lines = operator_lines(&facts, 0, "0.1.0", "");
        assert_line(&lines[0], Verdict::Fails, "no Deployment has the labels");
        facts.operator_namespace = Some("system".to_owned());
        let lines = operator_lines(&facts, 0, "0.1.0", "");
        let says = "no Deployment in namespace system has the labels";
        assert_line(&lines[0], Verdict::Fails, says);
        facts.operators = forbidden();
        let lines = operator_lines(&facts, 0, "0.1.0", "");
        assert_line(&lines[0], Verdict::Unknown, "may not be read");
    }

    #[test]
    fn rights_of_the_operator() {
        let right = |verb| Right::new(verb, "", "configmaps");
        for (rights, verdict, says) in [
            (Ok(vec![(right("get"), true)]), Verdict::Ok, "may do all"),
            (
                Ok(vec![
                    (right("get"), false),
                    (right("list"), false),
                    (right("patch"), true),
                ]),
                Verdict::Fails,
                "system:serviceaccount:system:ipo may not get/list configmaps",
            ),
            (forbidden(), Verdict::Unknown, "may not be read"),
        ] {
            assert_line(&operator_rights(&running(), &rights, ""), verdict, says);
        }
    }

    #[test]
    fn the_leader() {
        let lease = |holder: Option<&str>, renewed| {
            Some(Ok(LeaseFacts {
                holder: holder.map(ToOwned::to_owned),
                renewed,
                duration: 15,
            }))
        };
        let with = |lease| OperatorFacts { lease, ..running() };
        let alone = |wanted| OperatorFacts {
            wanted,
            args: vec!["run".to_owned()],
            ..running()
        };
        for (found, verdict, says) in [
            (
                with(lease(Some("a"), Some(998))),
                Verdict::Ok,
                "a holds the Lease system/inference-profile-operator, renewed 2 s ago",
            ),
            (
                with(lease(Some("a"), Some(1005))),
                Verdict::Ok,
                "renewed just now",
            ),
            (
                with(lease(Some("a"), Some(900))),
                Verdict::Fails,
                "renewed 100 s ago",
            ),
            (
                with(lease(Some("a"), None)),
                Verdict::Fails,
                "never renewed",
            ),
            (
                with(lease(None, Some(999))),
                Verdict::Fails,
                "held by nobody",
            ),
            (
                with(Some(Err(NoAnswer::NotFound))),
                Verdict::Fails,
                "there is no Lease",
            ),
            (with(Some(forbidden())), Verdict::Unknown, "may not be read"),
            (alone(1), Verdict::Ok, "its one replica leads"),
            (alone(2), Verdict::Fails, "all of them write"),
        ] {
            assert_line(&leader(&found, 1000, ""), verdict, says);
        }
    }

    #[test]
    fn the_guard() {
        let policies = |ends: &[(&str, bool)]| -> Vec<PolicyFacts> {
            ends.iter()
                .map(|(end, denies)| PolicyFacts {
                    name: format!("ipo{end}"),
                    release: Some("ipo".to_owned()),
                    denies: *denies,
                })
                .collect()
        };
        let whole: Vec<(&str, bool)> = GUARD.into_iter().map(|end| (end, true)).collect();
        let mut unbound = whole.clone();
        unbound[0].1 = false;
        for (policies, verdict, says) in [
            (policies(&whole), Verdict::Ok, "in force: ipo-guard-targets"),
            (
                policies(&whole[1..]),
                Verdict::Fails,
                "missing: *-guard-targets",
            ),
            (
                policies(&unbound),
                Verdict::Fails,
                "denies by ipo-guard-targets",
            ),
            (policies(&[]), Verdict::Fails, "there is none"),
        ] {
            assert_line(&guard(&policies, false), verdict, says);
        }
        let line = guard(&policies(&whole), true);
        assert_line(&line, Verdict::Fails, "missing: *-guard-operator-workloads");
        let mut all = whole.clone();
        all.push((GUARD_OF_ROLLOUT, true));
        assert_line(&guard(&policies(&all), true), Verdict::Ok, "in force");
        let lines = guards(&forbidden(), &[]);
        assert_line(&lines[0], Verdict::Unknown, "may not be read");
        let other = OperatorFacts {
            release: Some("other".to_owned()),
            ..running()
        };
        let own = OperatorFacts {
            release: Some("ipo".to_owned()),
            ..running()
        };
        let lines = guards(&Ok(policies(&whole)), &[own, other]);
        assert_line(&lines[0], Verdict::Ok, "in force");
        assert_line(&lines[1], Verdict::Fails, "there is none");
    }

    #[test]
    fn what_bindings_tell() {
        let condition = |status: &str, reason: &str| {
            Some(ConditionFacts {
                status: status.to_owned(),
                reason: reason.to_owned(),
                message: "why".to_owned(),
            })
        };
        let binding = |name: &str, ready, fresh| BindingFacts {
            namespace: "shop".to_owned(),
            name: name.to_owned(),
            ready,
            fresh,
            ..BindingFacts::default()
        };
        let all = |all| Ok(Bindings { all, more: false });
        let good = binding("a", condition("True", "Bound"), condition("True", "Fresh"));
        let denied = binding(
            "b",
            condition("True", "Bound"),
            condition("False", "AccessDenied"),
        );
        let broken = binding(
            "c",
            condition("False", "ModelUnsupported"),
            condition("True", "Fresh"),
        );
        let unseen = binding("d", None, None);
        let suspended = BindingFacts {
            suspended: true,
            ..binding("e", None, None)
        };
        for (facts, verdict, says) in [
            (
                all(vec![good.clone()]),
                Verdict::Ok,
                "the catalogs of 1 binding are current",
            ),
            (
                all(vec![good.clone(), denied]),
                Verdict::Fails,
                "1 of 2 bindings has a catalog that is not current: AccessDenied: why (shop/b)",
            ),
            (
                all(vec![unseen.clone()]),
                Verdict::Unknown,
                "no binding tells",
            ),
            (forbidden(), Verdict::Unknown, "may not be read"),
            (Err(NoAnswer::NotFound), Verdict::Unknown, "not known"),
        ] {
            assert_line(&feeds(&facts), verdict, says);
        }
        let many = (0..7).map(|_| broken.clone()).collect();
        for (facts, verdict, says) in [
            (all(vec![]), Verdict::Ok, "there are none"),
            (
                all(vec![good.clone(), suspended]),
                Verdict::Ok,
                "2 bindings are Ready or suspended",
            ),
            (
                all(vec![good, broken]),
                Verdict::Fails,
                "1 of 2 bindings is not Ready: shop/c (ModelUnsupported)",
            ),
            (
                all(vec![unseen]),
                Verdict::Fails,
                "shop/d (nobody has looked at it)",
            ),
            (all(many), Verdict::Fails, "and 2 more"),
        ] {
            assert_line(&bindings(&facts, ""), verdict, says);
        }
    }

    /// What is known of a cluster that answers nothing but this.
    fn unreached(why: fn() -> Answer<String>) -> ClusterFacts {
        let none = || why().expect_err("no answer");
        ClusterFacts {
            url: "https://a".to_owned(),
            version: why(),
            schemas: Err(none()),
            own_rights: Err(none()),
            operators: Err(none()),
            policies: Err(none()),
            bindings: Err(none()),
            namespaces: Vec::new(),
            absent_namespaces: Vec::new(),
            operator_namespace: None,
        }
    }

    #[test]
    fn where_the_apiserver_does_not_answer_nothing_else_is_told() {
        let unknown = || Err(NoAnswer::NotAuthenticated);
        for (facts, says) in [
            (unreached(failed), "does not answer"),
            (
                unreached(unknown),
                "answers, and does not accept your credentials",
            ),
        ] {
            let lines = lines(&facts, 0, "0.1.0", "");
            assert_eq!(lines.len(), 1);
            assert_line(&lines[0], Verdict::Fails, says);
        }
    }
}
