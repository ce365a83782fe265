//! What service control policies say to the calls that workloads make.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Write,
};

use super::Named;
use crate::{
    cli::{Error, tables::table},
    iam::{
        self, Action, Call, Check, Place, Principal,
        evaluate::{self, Decision, Level},
    },
};

/// A line of a report.
struct Line {
    place: Place,
    /// The action, where actions differ.
    action: Option<Action>,
    decision: Decision,
}

impl Line {
    fn check(&self) -> String {
        match self.action {
            None => self.place.to_string(),
            Some(action) => format!("{}, {}", self.place, action.as_str()),
        }
    }
}

/// Prints what the policies say to each check, and returns whether all are allowed. What can't be judged is not.
pub(super) fn report(
    out: &mut impl Write,
    found: &[Named],
    actions: &[Action],
    levels: &[Level],
    principal: Option<&Principal>,
) -> Result<bool, Error> {
    let mut all_allowed = true;
    for (index, Named { name, call }) in found.iter().enumerate() {
        let lines = lines(call, actions, levels, principal);
        all_allowed &= lines.iter().all(|line| line.decision == Decision::Allowed);
        if index > 0 {
            writeln!(out)?;
        }
        let (id, source) = (call.route.id(), &call.route.source_region);
        writeln!(out, "{name}: {id} from {source}")?;
        writeln!(out, "  {}", verdict(&lines))?;
        let mut table = table(["CHECK", "VERDICT", "WHY"], None);
        for line in &lines {
            let (word, why) = match &line.decision {
                Decision::Allowed => ("allowed", String::new()),
                Decision::Denied(denial) => ("denied", denial.to_string()),
                Decision::CantJudge(doubts) => {
                    let doubts: Vec<String> = doubts.iter().map(ToString::to_string).collect();
                    ("can't judge", doubts.join("; "))
                }
            };
            table.add_row([line.check(), word.to_owned(), why]);
        }
        for line in table.lines() {
            writeln!(out, "  {}", line.trim_end())?;
        }
    }
    Ok(all_allowed)
}

/// Returns a line per check, or per check and action where actions differ.
fn lines(
    call: &Call,
    actions: &[Action],
    levels: &[Level],
    principal: Option<&Principal>,
) -> Vec<Line> {
    let caller = iam::caller(&call.account, principal);
    let decide = |check: &Check| {
        let (action, context) = (check.action.as_str(), check.context(&caller));
        evaluate::judge(levels, action, &check.resource, &context)
    };
    let mut places: BTreeMap<_, Vec<(Action, Decision)>> = BTreeMap::new();
    for action in actions {
        for check in call.checks(*action) {
            let decision = decide(&check);
            places
                .entry(check.place)
                .or_default()
                .push((*action, decision));
        }
    }
    let mut lines = Vec::new();
    for (place, decisions) in places {
        let (_, first) = &decisions[0];
        if decisions.iter().all(|(_, decision)| decision == first) {
            lines.push(Line {
                place,
                action: None,
                decision: first.clone(),
            });
            continue;
        }
        lines.extend(decisions.into_iter().map(|(action, decision)| Line {
            place: place.clone(),
            action: Some(action),
            decision,
        }));
    }
    lines
}

/// Says in words what all checks together mean.
fn verdict(lines: &[Line]) -> String {
    let regions = |wanted: fn(&Decision) -> bool| {
        let found: BTreeSet<&str> = lines
            .iter()
            .filter(|line| wanted(&line.decision))
            .map(|line| line.place.requested_region())
            .collect();
        found.into_iter().collect::<Vec<_>>().join(", ")
    };
    let denied = regions(|decision| matches!(decision, Decision::Denied(_)));
    if !denied.is_empty() {
        return format!(
            "DENIED in {denied}: every request fails where one check is denied, even if others are allowed"
        );
    }
    let unknown: BTreeSet<&str> = lines
        .iter()
        .filter_map(|line| match &line.decision {
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
