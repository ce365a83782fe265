//! What is wrong on the side of AWS, decided from what was found there.

use std::time::{Duration, SystemTime};

use super::line::{Check, Line};
use crate::{
    api::condition::Reason,
    catalog::{CatalogError, regions::Absence},
    sources::bedrock::{Caller, Credentials, Examination, Permission, Provider},
    types::Region,
};

/// From this difference on, AWS may refuse signatures: it allows five minutes, and the SDK corrects from four on.
const CLOCK_TOLERANCE: i64 = 240;
/// Credentials that end sooner and are not renewed are told.
const SOON: Duration = Duration::from_mins(5);
/// What answers on a link-local address, and no proxy reaches.
const LINK_LOCAL: [(&str, Provider); 2] = [
    ("169.254.170.23", Provider::Container),
    ("169.254.169.254", Provider::InstanceMetadata),
];

/// The proxies of the environment, as they are there.
#[derive(Debug, Clone, Default)]
pub(super) struct Proxies {
    /// `HTTPS_PROXY` or `ALL_PROXY`.
    pub(super) https: Option<String>,
    /// `HTTP_PROXY`.
    pub(super) http: Option<String>,
    /// `NO_PROXY`.
    pub(super) none_for: Option<String>,
}

/// What an operator in the cluster would need, as far as that is known.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Needs {
    /// Whether a binding names an application profile.
    pub(super) applications: Option<bool>,
    /// Whether the operator runs with `--check-access`.
    pub(super) availability: Option<bool>,
}

/// Returns the line of the region, and of where it was found. `absence` is why the embedded data know no Bedrock there: a region can
/// be newer than they are.
pub(super) fn region(region: &Region, found_in: &str, absence: Option<Absence>) -> Line {
    let says = format!("{region}, from {found_in}");
    match absence {
        None => Line::ok(Check::Region, says),
        Some(why) => Line::unknown(Check::Region, format!("{says}: {why}"))
            .next("nothing, if the region is newer; otherwise correct its name"),
    }
}

/// Returns the line that stands for the whole side of AWS where no operator asks AWS for anything.
pub(super) fn not_needed(catalog: &str) -> Line {
    Line::ok(
        Check::Region,
        format!("AWS is not asked: the catalog of the operator is {catalog}; --aws-only asks"),
    )
}

/// Returns the lines of an examination.
pub(super) fn lines(
    found: &Examination,
    proxies: &Proxies,
    needs: Needs,
    now: SystemTime,
) -> Vec<Line> {
    let mut lines = vec![credentials(&found.credentials, now)];
    let provider = found.credentials.as_ref().ok().map(|found| found.provider);
    lines.extend(found.caller.as_ref().map(account));
    lines.push(proxy(proxies, provider));
    if found.credentials.is_err() {
        let why = "not asked: it takes credentials";
        lines.push(Line::unknown(Check::Endpoint, why));
        return lines;
    }
    lines.push(endpoint(found));
    lines.push(clock(found.seconds_ahead));
    for (permission, outcome) in &found.permissions {
        lines.push(self::permission(*permission, outcome, needs));
    }
    let asked = |wanted| found.permissions.iter().any(|(it, _)| *it == wanted);
    if asked(Permission::Models) && !asked(Permission::Availability) {
        let why = "not asked: no model was listed to ask it of";
        lines.push(Line::unknown(Check::ModelAvailability, why));
    }
    lines
}

fn credentials(found: &Result<Credentials, CatalogError>, now: SystemTime) -> Line {
    let found = match found {
        Ok(found) => found,
        Err(error) => return Line::fails(Check::Credentials, error.to_string()),
    };
    let (id, provider) = (&found.access_key_id, found.provider.as_str());
    let says = format!("access key {id}, from {provider}");
    let Some(expiry) = found.expiry else {
        return Line::ok(Check::Credentials, says);
    };
    let Ok(left) = expiry.duration_since(now) else {
        return Line::fails(Check::Credentials, format!("{says}: they have expired"))
            .next("renew them where they come from");
    };
    let minutes = left.as_secs() / 60;
    let renewed = if left < SOON {
        ", and are renewed before that where their provider can"
    } else {
        ""
    };
    Line::ok(
        Check::Credentials,
        format!("{says}: they end in {minutes} minutes{renewed}"),
    )
}

fn account(caller: &Result<Caller, String>) -> Line {
    match caller {
        Ok(Caller { arn, account }) => {
            Line::ok(Check::Account, format!("account {account}, as {arn}"))
        }
        Err(why) => Line::unknown(Check::Account, format!("STS did not say: {why}")).next(
            "nothing, if profiles are listed; with IRSA and roles, let this machine reach STS (VPC endpoint `sts`)",
        ),
    }
}

/// Judges the proxies by what gives credentials: that must not go through one.
fn proxy(proxies: &Proxies, provider: Option<Provider>) -> Line {
    let named = [
        ("HTTPS_PROXY", &proxies.https),
        ("HTTP_PROXY", &proxies.http),
        ("NO_PROXY", &proxies.none_for),
    ];
    let told: Vec<String> = named
        .into_iter()
        .filter_map(|(name, value)| {
            let value = value.as_deref()?;
            Some(format!("{name}={}", without_password(value)))
        })
        .collect();
    if told.is_empty() {
        return Line::ok(Check::Proxy, "none");
    }
    let told = told.join(" ");
    let excluded = |address: &str| {
        let list = proxies.none_for.as_deref().unwrap_or_default();
        let mut entries = list.split(',').map(str::trim);
        entries.any(|entry| {
            entry == "*"
                || entry == address
                || entry
                    .split_once('/')
                    .is_some_and(|(network, _)| network.starts_with("169.254."))
        })
    };
    let swallowed = LINK_LOCAL.into_iter().find(|(address, of)| {
        proxies.http.is_some() && provider.is_none_or(|it| it == *of) && !excluded(address)
    });
    match (swallowed, provider) {
        // Where the credentials come from such an address, they came in spite of it.
        (Some((address, _)), None) => Line::fails(
            Check::Proxy,
            format!("{told}: the way to credentials on {address} goes through the proxy"),
        )
        .next("add 169.254.170.23,169.254.169.254 to NO_PROXY"),
        _ => Line::ok(Check::Proxy, told),
    }
}

/// Returns a URL without the password in it.
fn without_password(url: &str) -> String {
    let (scheme, rest) = match url.split_once("://") {
        Some((scheme, rest)) => (format!("{scheme}://"), rest),
        None => (String::new(), url),
    };
    match rest.rsplit_once('@') {
        Some((_, host)) => format!("{scheme}...@{host}"),
        None => url.to_owned(),
    }
}

fn endpoint(found: &Examination) -> Line {
    let whose = if found.is_public_host {
        "the region's own"
    } else {
        "configured (--bedrock-endpoint, AWS_ENDPOINT_URL_BEDROCK or the shared configuration)"
    };
    let host = found.host.as_deref().unwrap_or("no host");
    let first = found.permissions.first().map(|(_, outcome)| outcome);
    match first {
        Some(Err(error)) if error.reason() == Reason::EndpointUnreachable => {
            Line::fails(Check::Endpoint, error.to_string())
        }
        _ => Line::ok(Check::Endpoint, format!("{host} answers, {whose}")),
    }
}

fn clock(seconds_ahead: Option<i64>) -> Line {
    let Some(ahead) = seconds_ahead else {
        return Line::unknown(Check::Clock, "no answer told AWS's time");
    };
    let whither = if ahead > 0 { "ahead of" } else { "behind" };
    let by = match ahead.abs() {
        // The header has whole seconds, and the answer took its time.
        0..=2 => return Line::ok(Check::Clock, "agrees with AWS's"),
        seconds @ 3..=119 => format!("{seconds} s"),
        seconds => format!("{} minutes", seconds / 60),
    };
    let says = format!("{by} {whither} AWS's");
    if ahead.abs() < CLOCK_TOLERANCE {
        Line::ok(Check::Clock, says)
    } else {
        Line::fails(Check::Clock, says).next("correct the clock of this machine (NTP)")
    }
}

fn permission(permission: Permission, outcome: &Result<usize, CatalogError>, needs: Needs) -> Line {
    let (check, what, needed, when) = match permission {
        Permission::SystemDefined => (
            Check::ListProfiles,
            "system-defined profile",
            Some(true),
            "",
        ),
        Permission::Applications => (
            Check::ListApplications,
            "application profile",
            needs.applications,
            "where a binding names an application profile",
        ),
        Permission::Models => (Check::ListModels, "foundation model", Some(true), ""),
        Permission::Availability => (
            Check::ModelAvailability,
            "model whose availability is told",
            needs.availability,
            "by an operator with --check-access",
        ),
    };
    let error = match outcome {
        Ok(1) => return Line::ok(check, format!("1 {what}")),
        Ok(count) => return Line::ok(check, format!("{count} {what}s")),
        Err(error) => error,
    };
    match (error.reason(), needed) {
        (Reason::AccessDenied, Some(false)) => Line::ok(
            check,
            format!("not allowed, and not needed: it is {when}"),
        ),
        (Reason::AccessDenied, None) => Line::unknown(check, error.to_string())
            .next(format!("nothing, unless it is needed: it is {when}")),
        (Reason::AccessDenied, Some(true)) => Line::fails(check, error.to_string())
            .next("`inference-profile-operator iam-policy --operator --account ACCOUNT` prints the policy"),
        (Reason::EndpointUnreachable, _) => {
            Line::unknown(check, "not known: the endpoint is not reached")
        }
        // What is throttled is neither refused nor allowed.
        (Reason::Throttled, _) => Line::unknown(check, error.to_string()).next("try again"),
        _ => Line::fails(check, error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::line::Verdict;
    use super::*;
    use crate::catalog::embedded::Embedded;

    const NOW: SystemTime = SystemTime::UNIX_EPOCH;

    fn denied() -> CatalogError {
        CatalogError::AccessDenied("may not".to_owned())
    }

    #[test]
    fn credentials_end() {
        let at = |expiry| {
            credentials(
                &Ok(Credentials {
                    provider: Provider::Environment,
                    access_key_id: "AKID".to_owned(),
                    expiry,
                }),
                NOW + Duration::from_hours(1),
            )
        };
        for (expiry, verdict, says) in [
            (
                None,
                Verdict::Ok,
                "access key AKID, from the environment (AWS_ACCESS_KEY_ID)",
            ),
            (Some(NOW), Verdict::Fails, "have expired"),
            (
                Some(NOW + Duration::from_hours(2)),
                Verdict::Ok,
                "end in 60 minutes",
            ),
            (Some(NOW + Duration::from_mins(62)), Verdict::Ok, "renewed"),
        ] {
            let line = at(expiry);
            assert_eq!(line.verdict, verdict, "{line:?}");
            assert!(line.says.contains(says), "{line:?}");
        }
    }

    #[test]
    fn a_proxy_must_leave_out_what_gives_credentials() {
        let proxies = |http: Option<&str>, none_for: Option<&str>| Proxies {
            https: Some("http://user:secret@proxy:3128".to_owned()),
            http: http.map(ToOwned::to_owned),
            none_for: none_for.map(ToOwned::to_owned),
        };
        for (http, none_for, provider, verdict) in [
            (None, None, None, Verdict::Ok),
            (Some("http://p"), None, None, Verdict::Fails),
            (
                Some("http://p"),
                Some("169.254.170.23"),
                None,
                Verdict::Fails,
            ),
            (
                Some("http://p"),
                Some("169.254.170.23, 169.254.169.254"),
                None,
                Verdict::Ok,
            ),
            (Some("http://p"), Some("169.254.0.0/16"), None, Verdict::Ok),
            (
                Some("http://p"),
                None,
                Some(Provider::Environment),
                Verdict::Ok,
            ),
        ] {
            let line = proxy(&proxies(http, none_for), provider);
            assert_eq!(line.verdict, verdict, "{line:?}");
            assert!(
                line.says.contains("HTTPS_PROXY=http://...@proxy:3128"),
                "{line:?}"
            );
            assert!(!line.says.contains("secret"), "{line:?}");
        }
        assert_eq!(proxy(&Proxies::default(), None).says, "none");
    }

    #[test]
    fn a_region_that_the_data_do_not_know_is_told() {
        let region = |name: &str| {
            let region: Region = name.parse().expect("a region");
            let absence = Embedded::load().regions().absence(&region);
            self::region(&region, "--region", absence)
        };
        assert_eq!(region("eu-west-1").verdict, Verdict::Ok);
        let line = region("eu-wset-1");
        assert_eq!(line.verdict, Verdict::Unknown);
        assert!(line.says.contains("eu-west-1"), "{line:?}");
    }

    #[test]
    fn the_clock() {
        for (ahead, verdict, says) in [
            (None, Verdict::Unknown, "no answer"),
            (Some(1), Verdict::Ok, "agrees"),
            (Some(-30), Verdict::Ok, "30 s behind AWS's"),
            (Some(200), Verdict::Ok, "3 minutes ahead of AWS's"),
            (Some(240), Verdict::Fails, "4 minutes ahead of AWS's"),
            (Some(-3600), Verdict::Fails, "60 minutes behind AWS's"),
        ] {
            let line = clock(ahead);
            assert_eq!(line.verdict, verdict, "{line:?}");
            assert!(line.says.contains(says), "{line:?}");
        }
    }

    #[test]
    fn a_permission_counts_where_it_is_needed() {
        let needs = |needed| Needs {
            applications: needed,
            availability: needed,
        };
        for (asked, outcome, needed, verdict) in [
            (Permission::SystemDefined, Ok(5), None, Verdict::Ok),
            (
                Permission::SystemDefined,
                Err(denied()),
                Some(false),
                Verdict::Fails,
            ),
            (Permission::Models, Err(denied()), None, Verdict::Fails),
            (
                Permission::Applications,
                Err(denied()),
                None,
                Verdict::Unknown,
            ),
            (
                Permission::Applications,
                Err(denied()),
                Some(false),
                Verdict::Ok,
            ),
            (
                Permission::Applications,
                Err(denied()),
                Some(true),
                Verdict::Fails,
            ),
            (
                Permission::Availability,
                Err(denied()),
                Some(true),
                Verdict::Fails,
            ),
            (
                Permission::SystemDefined,
                Err(CatalogError::Throttled {
                    message: "slow".to_owned(),
                    retry_after: None,
                }),
                None,
                Verdict::Unknown,
            ),
            (
                Permission::SystemDefined,
                Err(CatalogError::CredentialsUnavailable("unknown".to_owned())),
                None,
                Verdict::Fails,
            ),
            (
                Permission::SystemDefined,
                Err(CatalogError::EndpointUnreachable("no name".to_owned())),
                None,
                Verdict::Unknown,
            ),
        ] {
            let line = permission(asked, &outcome, needs(needed));
            assert_eq!(line.verdict, verdict, "{line:?}");
        }
    }

    #[test]
    fn an_endpoint_that_is_not_reached_is_told_once() {
        let found = Examination {
            credentials: Ok(Credentials {
                provider: Provider::Environment,
                access_key_id: "AKID".to_owned(),
                expiry: None,
            }),
            caller: Some(Err("STS can't be reached".to_owned())),
            host: Some("bedrock.eu-west-1.amazonaws.com".to_owned()),
            is_public_host: true,
            permissions: vec![(
                Permission::SystemDefined,
                Err(CatalogError::EndpointUnreachable("no name".to_owned())),
            )],
            seconds_ahead: None,
        };
        let lines = lines(&found, &Proxies::default(), Needs::default(), NOW);
        let fails: Vec<&Line> = lines
            .iter()
            .filter(|line| line.verdict == Verdict::Fails)
            .collect();
        assert_eq!(fails.len(), 1, "{lines:#?}");
        assert_eq!(fails[0].check, Check::Endpoint);
        assert_eq!(fails[0].says, "no name");
    }
}
