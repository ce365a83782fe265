//! What service control policies say to the calls that workloads make.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Write,
};

use super::NamedCall;
use crate::{
    cli::{Error, tables::table},
    iam::{
        self, Action, Call, Check, CheckedResource, Principal,
        evaluate::{self, Decision, Denial, Level},
    },
};

/// A check, and what the policies say to it.
struct JudgedCheck {
    checked: CheckedResource,
    /// The action, if actions differ.
    action: Option<Action>,
    decision: Decision,
}

impl JudgedCheck {
    fn name(&self) -> String {
        match self.action {
            None => self.checked.to_string(),
            Some(action) => format!("{}, {}", self.checked, action.as_str()),
        }
    }
}

/// Says which levels are judged with `FullAWSAccess` although it was not given. `added` are indices of `--scp` options.
pub(super) fn say_what_was_added(
    out: &mut impl Write,
    options: &[String],
    added: &[usize],
) -> Result<(), Error> {
    if added.is_empty() {
        return Ok(());
    }
    let names: Vec<String> = added
        .iter()
        .map(|index| {
            let files = options[*index].replace(',', ", ");
            format!("level {} ({files})", index + 1)
        })
        .collect();
    writeln!(
        out,
        "No policy of {} allows anything: judged with FullAWSAccess beside it, which AWS attaches by default; --strict judges without it",
        names.join(" or ")
    )?;
    Ok(())
}

/// Prints what the policies say to each check, and returns whether all checks are allowed. One that can't be judged is not.
pub(super) fn report(
    out: &mut impl Write,
    found: &[NamedCall],
    actions: &[Action],
    levels: &[Level],
    principal: Option<&Principal>,
) -> Result<bool, Error> {
    let mut all_allowed = true;
    for (index, NamedCall { name, call }) in found.iter().enumerate() {
        let checks = judged_checks(call, actions, levels, principal);
        all_allowed &= checks
            .iter()
            .all(|check| check.decision == Decision::Allowed);
        if index > 0 {
            writeln!(out)?;
        }
        let (id, source) = (call.route.id(), &call.route.source_region);
        writeln!(out, "{name}: {id} from {source}")?;
        writeln!(out, "  {}", verdict(&checks))?;
        let mut table = table(["CHECK", "VERDICT", "WHY"], None);
        for check in &checks {
            let (word, why) = match &check.decision {
                Decision::Allowed => ("allowed", String::new()),
                Decision::Denied(denial) => ("denied", denial.to_string()),
                Decision::CantJudge(doubts) => {
                    let doubts: Vec<String> = doubts.iter().map(ToString::to_string).collect();
                    ("can't judge", doubts.join("; "))
                }
            };
            table.add_row([check.name(), word.to_owned(), why]);
        }
        for line in table.lines() {
            writeln!(out, "  {}", line.trim_end())?;
        }
    }
    Ok(all_allowed)
}

/// Returns the decision on each check, or on each check and action if actions differ.
fn judged_checks(
    call: &Call,
    actions: &[Action],
    levels: &[Level],
    principal: Option<&Principal>,
) -> Vec<JudgedCheck> {
    let caller = iam::caller(call.account(), principal);
    let decide = |check: &Check| {
        let (action, context) = (check.action.as_str(), check.context(&caller));
        evaluate::judge(levels, action, &check.resource, &context)
    };
    let mut resources: BTreeMap<_, Vec<(Action, Decision)>> = BTreeMap::new();
    for action in actions {
        for check in call.checks(*action) {
            let decision = decide(&check);
            resources
                .entry(check.checked)
                .or_default()
                .push((*action, decision));
        }
    }
    let mut checks = Vec::new();
    for (checked, decisions) in resources {
        let (_, first) = &decisions[0];
        if decisions.iter().all(|(_, decision)| decision == first) {
            checks.push(JudgedCheck {
                checked,
                action: None,
                decision: first.clone(),
            });
            continue;
        }
        checks.extend(decisions.into_iter().map(|(action, decision)| JudgedCheck {
            checked: checked.clone(),
            action: Some(action),
            decision,
        }));
    }
    checks
}

/// Returns what all checks together mean.
fn verdict(checks: &[JudgedCheck]) -> String {
    let regions = |wanted: fn(&Decision) -> bool| {
        let found: BTreeSet<&str> = checks
            .iter()
            .filter(|check| wanted(&check.decision))
            .map(|check| check.checked.requested_region())
            .collect();
        found.into_iter().collect::<Vec<_>>().join(", ")
    };
    let denied = regions(|decision| matches!(decision, Decision::Denied(_)));
    if !denied.is_empty() {
        let exempts = |check: &JudgedCheck| {
            matches!(
                check.decision,
                Decision::Denied(Denial::Statement { exempts: true, .. })
            )
        };
        let hint = if checks.iter().any(exempts) {
            "; if the workload's role is exempt, give --principal"
        } else {
            ""
        };
        return format!(
            "DENIED in {denied}: a request fails if one of its checks is denied, even if all others are allowed{hint}"
        );
    }
    let unknown: BTreeSet<&str> = checks
        .iter()
        .filter_map(|check| match &check.decision {
            Decision::CantJudge(doubts) => Some(doubts),
            Decision::Allowed | Decision::Denied(_) => None,
        })
        .flatten()
        .flat_map(|doubt| doubt.unknown.iter().map(String::as_str))
        .collect();
    if unknown.is_empty() {
        return "NOT DENIED: these policies let it pass; the workload's own policy must allow it, too"
            .to_owned();
    }
    let by_principal = unknown
        .iter()
        .any(|key| key.eq_ignore_ascii_case("aws:PrincipalArn"));
    format!(
        "CAN'T JUDGE in {}: it depends on {}{}",
        regions(|decision| matches!(decision, Decision::CantJudge(_))),
        unknown.into_iter().collect::<Vec<_>>().join(", "),
        if by_principal {
            "; give --principal"
        } else {
            ""
        }
    )
}
