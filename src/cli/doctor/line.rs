//! A line of the report: what was checked, the verdict, what happened, and what to do next.

use std::io::Write;

use clap::ValueEnum;
use serde::Serialize;

use crate::cli::{
    Error, output, printable,
    tables::{printed, table},
};

/// What came of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Verdict {
    /// It is as it should be.
    Ok,
    /// It is not.
    Fails,
    /// It could not be checked, or it is not known whether it matters.
    Unknown,
}

impl Verdict {
    fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Fails => "fails",
            Self::Unknown => "unknown",
        }
    }
}

/// The side on which something is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Side {
    Aws,
    Cluster,
}

/// What is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Check {
    /// Which source region is asked
    Region,
    /// Whether there are AWS credentials
    Credentials,
    /// As whom AWS knows them
    Account,
    /// The proxies of the environment
    Proxy,
    /// Whether the control plane of Bedrock is reached
    Endpoint,
    /// This machine's clock against AWS's
    Clock,
    /// Whether profiles can be listed
    ListProfiles,
    /// Whether application profiles can be listed
    ListApplications,
    /// Whether foundation models can be listed
    ListModels,
    /// Whether the availability of models can be asked for
    ModelAvailability,
    /// Whether the apiserver answers
    Apiserver,
    /// Whether the custom resource definitions are those of this version
    Crd,
    /// What you may do
    YourRights,
    /// Whether the operator runs
    Operator,
    /// What the operator may do
    OperatorRights,
    /// Whether a replica leads
    Leader,
    /// Whether the chart's guard is in force
    Guard,
    /// Whether catalogs are fresh, by the conditions of bindings
    Feeds,
    /// Whether bindings are Ready
    Bindings,
}

impl Check {
    fn side(self) -> Side {
        match self {
            Self::Region
            | Self::Credentials
            | Self::Account
            | Self::Proxy
            | Self::Endpoint
            | Self::Clock
            | Self::ListProfiles
            | Self::ListApplications
            | Self::ListModels
            | Self::ModelAvailability => Side::Aws,
            Self::Apiserver
            | Self::Crd
            | Self::YourRights
            | Self::Operator
            | Self::OperatorRights
            | Self::Leader
            | Self::Guard
            | Self::Feeds
            | Self::Bindings => Side::Cluster,
        }
    }
}

/// A line of the report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Line {
    pub(super) side: Side,
    pub(super) check: Check,
    pub(super) verdict: Verdict,
    /// What happened.
    pub(super) says: String,
    /// What to do next. `None` where there is nothing to do, or where `says` has it.
    pub(super) next: Option<String>,
}

impl Line {
    fn new(check: Check, verdict: Verdict, says: impl Into<String>) -> Self {
        Self {
            side: check.side(),
            check,
            verdict,
            says: says.into(),
            next: None,
        }
    }

    pub(super) fn ok(check: Check, says: impl Into<String>) -> Self {
        Self::new(check, Verdict::Ok, says)
    }

    pub(super) fn fails(check: Check, says: impl Into<String>) -> Self {
        Self::new(check, Verdict::Fails, says)
    }

    pub(super) fn unknown(check: Check, says: impl Into<String>) -> Self {
        Self::new(check, Verdict::Unknown, says)
    }

    pub(super) fn next(mut self, next: impl Into<String>) -> Self {
        self.next = Some(next.into());
        self
    }
}

/// What `doctor` found.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Report {
    pub(super) time: String,
    pub(super) program_version: &'static str,
    pub(super) lines: Vec<Line>,
}

impl Report {
    /// Returns whether something fails.
    pub(super) fn fails(&self) -> bool {
        self.lines.iter().any(|line| line.verdict == Verdict::Fails)
    }

    /// Prints a row for each line, and below those that are not ok what to do.
    pub(super) fn print(&self, out: &mut impl Write) -> Result<(), Error> {
        for (side, title) in [(Side::Aws, "AWS"), (Side::Cluster, "CLUSTER")] {
            let mut rows = table([title, "CHECK", ""], None);
            let mut any = false;
            for line in self.lines.iter().filter(|line| line.side == side) {
                any = true;
                let name = line.check.to_possible_value();
                let name = name.map_or_else(String::new, |value| value.get_name().to_owned());
                rows.add_row([line.verdict.as_str(), &name, &printable(&line.says)]);
                if let Some(next) = &line.next {
                    rows.add_row(["", "", &format!("-> {}", printable(next))]);
                }
            }
            if any {
                writeln!(out, "{}", printed(&rows).trim_end())?;
            }
        }
        let count = |verdict| {
            let lines = self.lines.iter();
            lines.filter(|line| line.verdict == verdict).count()
        };
        let (ok, fails, unknown) = (
            count(Verdict::Ok),
            count(Verdict::Fails),
            count(Verdict::Unknown),
        );
        writeln!(out, "{ok} ok, {fails} fail, {unknown} unknown")?;
        Ok(())
    }

    pub(super) fn json(&self) -> Result<String, Error> {
        output::json(self)
    }

    pub(super) fn yaml(&self) -> Result<String, Error> {
        output::yaml(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_alone_does_not_fail() {
        let report = |line| Report {
            time: String::new(),
            program_version: "1",
            lines: vec![line],
        };
        assert!(!report(Line::ok(Check::Crd, "")).fails());
        assert!(!report(Line::unknown(Check::Crd, "")).fails());
        assert!(report(Line::fails(Check::Crd, "")).fails());
    }

    #[test]
    fn what_to_do_stands_below_its_line() {
        let report = Report {
            time: String::new(),
            program_version: "1",
            lines: vec![
                Line::fails(Check::Crd, "older\u{1b}[31m").next("apply it"),
                Line::ok(Check::Leader, "op-1"),
            ],
        };
        let mut out = Vec::new();
        report.print(&mut out).expect("printed");
        let text = String::from_utf8(out).expect("text");
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        assert_eq!(lines[0], "CLUSTER CHECK");
        assert!(
            lines[1].starts_with("fails   crd    older\\u{1b}[31m"),
            "{text}"
        );
        assert_eq!(lines[2], "-> apply it");
        assert_eq!(lines[3], "ok      leader op-1");
        assert_eq!(lines[4], "1 ok, 1 fail, 0 unknown");
    }
}
