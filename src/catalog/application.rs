//! Application inference profiles: what users make of a system-defined profile or of a model, for example to tag its costs. The
//! operator finds them by name and makes none.
//!
//! Source: <https://docs.aws.amazon.com/bedrock/latest/userguide/inference-profiles-create.html>

use std::{collections::BTreeMap, sync::Arc};

use super::listing::{
    ACTIVE, APPLICATION, Contradiction, LeftOut, ModelReference, Problem, Summary,
};
use crate::{
    api::condition::Reason,
    route::Destinations,
    types::{AccountId, ApplicationProfileArn, Arn, ModelId, Region},
};

/// A model and the regions that may serve it.
pub type Reach = (ModelId, Destinations);

/// An application inference profile as listed in one source region.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApplicationProfile {
    /// The name, which several can have.
    pub name: Arc<str>,
    /// What workloads pass as the model ID.
    pub arn: ApplicationProfileArn,
    /// What it routes requests to, sorted by model: one model, as AWS makes them today. A problem if that can't be understood.
    pub reach: Result<Box<[Reach]>, Problem>,
}

/// What is known of application profiles. The default knows nothing: nobody asked, or the source has none to tell.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Applications {
    profiles: Option<Arc<[Arc<ApplicationProfile>]>>,
    failure: Option<ApplicationsFailure>,
}

/// Why application profiles could not be listed, although system-defined ones could.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApplicationsFailure {
    /// A False reason of `CatalogFresh`.
    pub reason: Reason,
    /// What happened and what to do.
    pub message: Arc<str>,
    /// Whether it has lasted for so long that bindings with an answer show it too.
    pub is_overdue: bool,
}

impl Applications {
    /// Returns a whole listing.
    #[must_use]
    pub fn listed(mut profiles: Vec<Arc<ApplicationProfile>>) -> Self {
        profiles.sort_by(|a, b| (&a.name, &a.arn).cmp(&(&b.name, &b.arn)));
        profiles.dedup_by(|a, b| a.arn == b.arn);
        Self {
            profiles: Some(profiles.into()),
            failure: None,
        }
    }

    /// Returns these profiles, if any are known, with a failure.
    #[must_use]
    pub fn failed(self, failure: ApplicationsFailure) -> Self {
        Self {
            profiles: self.profiles,
            failure: Some(failure),
        }
    }

    /// Returns the profiles that were listed last, sorted by name and ARN. `None` if they have never been listed.
    #[must_use]
    pub fn profiles(&self) -> Option<&[Arc<ApplicationProfile>]> {
        self.profiles.as_deref()
    }

    /// Returns why they can't be listed now. `None` if they can, if nobody asked, or if this is not worth telling yet.
    #[must_use]
    pub fn failure(&self) -> Option<&ApplicationsFailure> {
        self.failure.as_ref()
    }

    /// Returns the profiles of a name, sorted by ARN. `None` if they have never been listed.
    #[must_use]
    pub fn named(&self, name: &str) -> Option<&[Arc<ApplicationProfile>]> {
        let profiles = self.profiles.as_deref()?;
        let start = profiles.partition_point(|profile| *profile.name < *name);
        let len = profiles[start..].partition_point(|profile| *profile.name == *name);
        Some(&profiles[start..start + len])
    }
}

/// Returns the active application profiles of an answer for `region`, and the entries that can't be understood. System-defined
/// profiles are passed over. `account` is the account that was asked, if it is known.
///
/// # Errors
/// [`Contradiction`] if an entry belongs to another region, partition or account: such an answer can't be trusted.
pub fn profiles(
    summaries: &[Summary],
    region: &Region,
    account: Option<&AccountId>,
) -> Result<(Vec<Arc<ApplicationProfile>>, Vec<LeftOut>), Contradiction> {
    let mut account = account.cloned();
    let (mut found, mut left_out) = (Vec::new(), Vec::new());
    for summary in summaries {
        if summary.kind != APPLICATION || summary.status != ACTIVE {
            continue;
        }
        let id = &summary.inference_profile_id;
        let Ok(arn) = summary
            .inference_profile_arn
            .parse::<ApplicationProfileArn>()
        else {
            left_out.push(LeftOut {
                id: id.clone(),
                arn: summary.inference_profile_arn.clone(),
                problem: "its ARN is not that of an application profile",
            });
            continue;
        };
        super::listing::check_region(summary, region)?;
        super::listing::note_account(&mut account, arn.account(), id)?;
        found.push(Arc::new(ApplicationProfile {
            name: summary.inference_profile_name.as_str().into(),
            arn,
            reach: reach(&summary.models, region.partition().name),
        }));
    }
    Ok((found, left_out))
}

/// Returns the entry that an answer has for an application profile. `None` if what it routes to is not known.
#[must_use]
pub fn summary(profile: &ApplicationProfile, region: &Region) -> Option<Summary> {
    let partition = region.partition().name;
    let model_arns = |(model, destinations): &Reach| {
        let regions = match destinations {
            Destinations::Regions(regions) => regions.iter().map(Region::as_str).collect(),
            Destinations::Anywhere => vec!["", region.as_str()],
        };
        let arn = |destination: &str| ModelReference {
            model_arn: format!("arn:{partition}:bedrock:{destination}::foundation-model/{model}"),
        };
        regions.into_iter().map(arn).collect::<Vec<_>>()
    };
    let reach = profile.reach.as_ref().ok()?;
    Some(Summary {
        inference_profile_name: profile.name.to_string(),
        inference_profile_arn: profile.arn.to_string(),
        models: reach.iter().flat_map(model_arns).collect(),
        inference_profile_id: profile.arn.id().to_owned(),
        status: ACTIVE.to_owned(),
        kind: APPLICATION.to_owned(),
    })
}

fn reach(references: &[ModelReference], partition: &str) -> Result<Box<[Reach]>, Problem> {
    let mut models: BTreeMap<ModelId, Vec<Option<Region>>> = BTreeMap::new();
    for reference in references {
        let arn = Arn::parse(&reference.model_arn).map_err(|_| "a model ARN is malformed")?;
        if arn.partition != partition {
            return Err("a model ARN belongs to another partition");
        }
        let model = arn
            .foundation_model()
            .ok_or("a model ARN names no foundation model")?;
        models.entry(model).or_default().push(arn.region);
    }
    let destinations = |regions: Vec<Option<Region>>| {
        if regions.iter().any(Option::is_none) {
            Destinations::Anywhere
        } else {
            Destinations::regions(regions.into_iter().flatten().collect())
        }
    };
    Ok(models
        .into_iter()
        .map(|(model, regions)| (model, destinations(regions)))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACCOUNT: &str = "111122223333";

    fn region() -> Region {
        "eu-west-1".parse().expect("a region")
    }

    fn arn(id: &str) -> String {
        format!("arn:aws:bedrock:eu-west-1:{ACCOUNT}:application-inference-profile/{id}")
    }

    fn entry(name: &str, arn: &str, models: &[&str]) -> Summary {
        let models = models.iter().map(|arn| ModelReference {
            model_arn: (*arn).into(),
        });
        Summary {
            inference_profile_name: name.into(),
            inference_profile_arn: arn.into(),
            models: models.collect(),
            inference_profile_id: arn.rsplit('/').next().unwrap_or_default().into(),
            status: ACTIVE.into(),
            kind: APPLICATION.into(),
        }
    }

    const IRELAND: &str = "arn:aws:bedrock:eu-west-1::foundation-model/a.b";
    const PARIS: &str = "arn:aws:bedrock:eu-west-3::foundation-model/a.b";
    const ANYWHERE: &str = "arn:aws:bedrock:::foundation-model/a.b";

    #[test]
    fn reads_what_profiles_route_to() {
        for (models, expected) in [
            (
                &[PARIS, IRELAND, PARIS][..],
                Ok(vec![("a.b", "eu-west-1,eu-west-3")]),
            ),
            (&[ANYWHERE, IRELAND], Ok(vec![("a.b", "*")])),
            (
                &[PARIS, "arn:aws:bedrock:eu-west-1::foundation-model/a.a"],
                Ok(vec![("a.a", "eu-west-1"), ("a.b", "eu-west-3")]),
            ),
            (&[], Ok(vec![])),
            (&["a.b"], Err("a model ARN is malformed")),
            (
                &["arn:aws:bedrock:eu-west-1:111122223333:custom-model/x"],
                Err("a model ARN names no foundation model"),
            ),
            (
                &["arn:aws-cn:bedrock:cn-north-1::foundation-model/a.b"],
                Err("a model ARN belongs to another partition"),
            ),
        ] {
            let summaries = [entry("shop-chat", &arn("a1"), models)];
            let (found, left_out) = profiles(&summaries, &region(), None).expect("profiles");
            assert_eq!(left_out, []);
            let expected = expected.map(|expected: Vec<(&str, &str)>| {
                let expected = expected.into_iter();
                let named = expected.map(|(model, regions)| (model.to_owned(), regions.to_owned()));
                named.collect::<Vec<_>>()
            });
            let reach = found[0].reach.as_ref().map_err(|problem| *problem);
            let reach = reach.map(|reach| {
                let all = reach.iter();
                all.map(|(model, regions)| (model.to_string(), regions.to_string()))
                    .collect::<Vec<_>>()
            });
            assert_eq!(reach, expected, "{models:?}");
        }
    }

    #[test]
    fn only_active_application_profiles_of_the_region_and_account_count() {
        let good = entry("shop-chat", &arn("a1"), &[IRELAND]);
        let system = "arn:aws:bedrock:eu-west-1:111122223333:inference-profile/eu.a.b";
        for (odd, is_left_out) in [
            (
                Summary {
                    kind: "SYSTEM_DEFINED".into(),
                    ..good.clone()
                },
                false,
            ),
            (
                Summary {
                    status: "DELETING".into(),
                    ..good.clone()
                },
                false,
            ),
            (Summary::default(), false),
            (entry("shop-chat", system, &[IRELAND]), true),
            (entry("shop-chat", "not an ARN", &[IRELAND]), true),
        ] {
            let (found, left_out) =
                profiles(&[odd.clone(), good.clone()], &region(), None).expect("profiles");
            assert_eq!(
                (found.len(), left_out.len()),
                (1, usize::from(is_left_out)),
                "{odd:?}"
            );
        }
        let account = ACCOUNT.parse().expect("an account");
        for other in [
            "arn:aws:bedrock:eu-west-3:111122223333:application-inference-profile/a2",
            "arn:aws-us-gov:bedrock:eu-west-1:111122223333:application-inference-profile/a2",
            "arn:aws:bedrock:eu-west-1:444455556666:application-inference-profile/a2",
        ] {
            let summaries = [entry("other", other, &[IRELAND])];
            let error = profiles(&summaries, &region(), Some(&account)).expect_err(other);
            assert!(error.to_string().contains("its ARN"), "{error}");
        }
    }

    #[test]
    fn listings_go_there_and_back_and_are_found_by_name() {
        let summaries = [
            entry("shop-chat", &arn("b2"), &[IRELAND]),
            entry("shop chat", &arn("c3"), &[ANYWHERE, IRELAND]),
            entry("shop-chat", &arn("a1"), &[IRELAND, PARIS]),
        ];
        let (found, _) = profiles(&summaries, &region(), None).expect("profiles");
        let again: Vec<Summary> = found
            .iter()
            .filter_map(|it| summary(it, &region()))
            .collect();
        let again = profiles(&again, &region(), None).expect("profiles").0;
        let listed = Applications::listed(found);
        assert_eq!(listed, Applications::listed(again));
        for (name, ids) in [
            ("shop-chat", &["a1", "b2"][..]),
            ("shop chat", &["c3"]),
            ("shop", &[]),
            ("zoo", &[]),
        ] {
            let named = listed.named(name).expect("they are listed");
            let found: Vec<&str> = named.iter().map(|profile| profile.arn.id()).collect();
            assert_eq!(found, ids, "{name}");
        }
        assert_eq!(Applications::default().named("shop-chat"), None);
    }
}
