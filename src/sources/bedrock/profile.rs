//! The profile of AWS's shared configuration files: its region, how it gives credentials, and what it lacks for that.

use aws_config::profile::{self, ProfileSet};
use aws_types::os_shim_internal::{Env, Fs};
use futures::FutureExt;

/// Most names of profiles that are told.
const SHOWN: usize = 8;

/// The profile in use: that of `AWS_PROFILE`, or `default`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SharedProfile {
    /// Its name.
    pub name: String,
    /// The region that it, or the profile that it takes credentials of, names. Not parsed.
    pub region: Option<String>,
    /// How it gives credentials.
    pub gives: Gives,
}

/// How a profile gives credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Gives {
    /// By a session of AWS IAM Identity Center.
    IdentityCenter {
        /// The settings that are missing for that.
        lacks: Vec<&'static str>,
        /// The section of its session, where that is named and not there.
        missing_session: Option<String>,
    },
    /// By a command, `credential_process`.
    Process,
    /// In another way: access keys, a role, or none.
    Otherwise,
    /// It was asked for, and is not there. These are, at most eight.
    Absent(Vec<String>),
}

/// Returns the profile in use, as the shared configuration files have it. Returns `None` if there are no files, or if they have
/// no profile and none was asked for.
///
/// # Errors
/// Why the files can't be read.
pub fn shared_profile() -> Result<Option<SharedProfile>, String> {
    #[allow(
        deprecated,
        reason = "the only name of the type that aws-config gives, and what its function takes"
    )]
    let files = profile::profile_file::ProfileFiles::default();
    let (fs, env) = (Fs::real(), Env::real());
    // It reads files without a runtime, and so never waits.
    let Some(loaded) = profile::load(&fs, &env, &files, None).now_or_never() else {
        return Ok(None);
    };
    let profiles = loaded.map_err(|error| {
        let cause = std::error::Error::source(&error);
        cause.map_or_else(|| error.to_string(), |cause| format!("{error}: {cause}"))
    })?;
    let asked_for = std::env::var_os("AWS_PROFILE").is_some_and(|name| !name.is_empty());
    Ok(selected(&profiles, asked_for))
}

fn selected(profiles: &ProfileSet, asked_for: bool) -> Option<SharedProfile> {
    let name = profiles.selected_profile();
    let Some(profile) = profiles.get_profile(name) else {
        let mut names: Vec<String> = profiles.profiles().map(str::to_owned).collect();
        names.sort();
        names.truncate(SHOWN);
        return asked_for.then(|| SharedProfile {
            name: name.to_owned(),
            region: None,
            gives: Gives::Absent(names),
        });
    };
    Some(SharedProfile {
        name: name.to_owned(),
        region: region(profiles, name),
        // A profile that assumes a role takes its credentials of another one.
        gives: gives(
            profiles,
            profile.get("source_profile").map_or(name, |source| source),
        ),
    })
}

fn region(profiles: &ProfileSet, name: &str) -> Option<String> {
    let profile = profiles.get_profile(name)?;
    let of_source = || {
        let source = profiles.get_profile(profile.get("source_profile")?)?;
        source.get("region")
    };
    profile
        .get("region")
        .or_else(of_source)
        .map(ToOwned::to_owned)
}

fn gives(profiles: &ProfileSet, name: &str) -> Gives {
    let Some(profile) = profiles.get_profile(name) else {
        return Gives::Otherwise;
    };
    let session_name = profile.get("sso_session");
    let session = session_name.and_then(|name| profiles.sso_session(name));
    let of_session = ["sso_start_url", "sso_region"];
    let own = ["sso_account_id", "sso_role_name"];
    let has = |key: &str| {
        let inherited = session.and_then(|session| session.get(key));
        profile.get(key).or(inherited).is_some()
    };
    if session_name.is_some() || of_session.iter().chain(&own).any(|key| has(key)) {
        let missing_session = session_name.filter(|_| session.is_none());
        let lacks = of_session
            .into_iter()
            .filter(|_| missing_session.is_none())
            .chain(own)
            .filter(|key| !has(key));
        return Gives::IdentityCenter {
            lacks: lacks.collect(),
            missing_session: missing_session.map(ToOwned::to_owned),
        };
    }
    if profile.get("credential_process").is_some() {
        return Gives::Process;
    }
    Gives::Otherwise
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the profile of this name in a configuration file with this text.
    fn profile(config: &str, name: Option<&str>) -> Option<SharedProfile> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("config");
        std::fs::write(&path, config).expect("written");
        let env = Env::from_slice(&[
            ("HOME", "/nonexistent"),
            ("AWS_CONFIG_FILE", path.to_str().expect("a path")),
            ("AWS_PROFILE", name.unwrap_or("default")),
        ]);
        #[allow(deprecated, reason = "as above")]
        let files = profile::profile_file::ProfileFiles::default();
        let profiles = profile::load(&Fs::real(), &env, &files, None)
            .now_or_never()
            .expect("it does not wait")
            .expect("readable");
        selected(&profiles, name.is_some())
    }

    fn identity_center(lacks: &[&'static str], missing_session: Option<&str>) -> Gives {
        Gives::IdentityCenter {
            lacks: lacks.to_vec(),
            missing_session: missing_session.map(ToOwned::to_owned),
        }
    }

    #[test]
    fn what_a_profile_gives_and_lacks() {
        const SESSION: &str =
            "[sso-session s]\nsso_start_url = https://a/start\nsso_region = eu-west-1\n";
        let dev = Some("dev");
        for (config, name, gives) in [
            (
                format!(
                    "[profile dev]\nsso_session = s\nsso_account_id = 1\nsso_role_name = r\n{SESSION}"
                ),
                dev,
                identity_center(&[], None),
            ),
            (
                format!("[profile dev]\nsso_session = s\nsso_account_id = 1\n{SESSION}"),
                dev,
                identity_center(&["sso_role_name"], None),
            ),
            (
                "[profile dev]\nsso_session = s\nsso_account_id = 1\nsso_role_name = r\n".into(),
                dev,
                identity_center(&[], Some("s")),
            ),
            (
                "[profile dev]\nsso_start_url = https://a\nsso_account_id = 1\n".into(),
                dev,
                identity_center(&["sso_region", "sso_role_name"], None),
            ),
            (
                "[profile dev]\nrole_arn = arn:aws:iam::1:role/r\nsource_profile = base\n[profile base]\ncredential_process = x\n"
                    .into(),
                dev,
                Gives::Process,
            ),
            ("[default]\nregion = eu-west-1\n".into(), None, Gives::Otherwise),
            (
                "[profile b]\nregion = x\n[default]\nregion = y\n".into(),
                dev,
                Gives::Absent(vec!["b".into(), "default".into()]),
            ),
        ] {
            let found = profile(&config, name).expect("a profile");
            assert_eq!(found.gives, gives, "{config}");
        }
        assert_eq!(profile("[profile b]\nregion = x\n", None), None);
    }

    #[test]
    fn the_region_of_a_profile() {
        let config = "[default]\nregion = eu-west-3\n[profile dev]\nsource_profile = default\n[profile own]\nsource_profile = default\nregion = eu-west-1\n[profile none]\nx = y\n";
        for (name, region) in [
            (None, Some("eu-west-3")),
            (Some("dev"), Some("eu-west-3")),
            (Some("own"), Some("eu-west-1")),
            (Some("none"), None),
        ] {
            let found = profile(config, name).expect("a profile");
            assert_eq!(found.region.as_deref(), region, "{name:?}");
        }
    }
}
