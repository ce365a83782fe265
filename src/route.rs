//! Routes: how a foundation model is called from a source region, and where a request may be served.
//!
//! One noun for what resolving finds, rendering writes, IAM allows, residency judges and reports print.

use std::{fmt, sync::Arc};

use crate::types::{AccountId, Geography, ModelId, ON_DEMAND, ProfileId, Region};

/// Where requests may be served: the destination regions of a route.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Destinations {
    /// In these regions, sorted.
    Regions(Arc<[Region]>),
    /// In any commercial region: a global profile.
    Anywhere,
}

impl Destinations {
    /// Returns the destinations, sorted and each once: AWS lists them in no order.
    #[must_use]
    pub fn regions(mut regions: Vec<Region>) -> Self {
        regions.sort();
        regions.dedup();
        Self::Regions(regions.into())
    }

    /// Returns the region names, `*` for a global profile.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        match self {
            Self::Regions(regions) => regions.iter().map(ToString::to_string).collect(),
            Self::Anywhere => vec!["*".to_owned()],
        }
    }

    /// Reads what [`Destinations::names`] returned.
    ///
    /// # Errors
    /// [`ParseError`](crate::types::ParseError) for the first name that is not a region name.
    pub fn from_names<S: AsRef<str>>(names: &[S]) -> Result<Self, crate::types::ParseError> {
        if names.iter().any(|name| name.as_ref() == "*") {
            return Ok(Self::Anywhere);
        }
        let regions: Result<Vec<Region>, _> =
            names.iter().map(|name| name.as_ref().parse()).collect();
        regions.map(Self::regions)
    }
}

impl fmt::Display for Destinations {
    /// Writes the region names, comma-separated without spaces: the form that keys carry.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.names().join(","))
    }
}

/// How a foundation model is invoked.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Invocation {
    /// Through a system-defined inference profile.
    Profile {
        /// ID of the profile.
        id: ProfileId,
        /// Geography of the profile.
        geography: Geography,
    },
    /// By its own ID, on demand in the source region.
    OnDemand,
}

/// How a foundation model is called from a source region, and where a request may be served.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Route {
    /// How the model is invoked.
    pub invocation: Invocation,
    /// The foundation model.
    pub model: ModelId,
    /// Region that Bedrock is called in.
    pub source_region: Region,
    /// Regions that may serve a request, as listed for this source region.
    pub destinations: Destinations,
}

impl Route {
    /// Returns the route to a model that is invoked on demand: requests stay in the source region.
    #[must_use]
    pub fn on_demand(model: ModelId, source_region: Region) -> Self {
        Self {
            invocation: Invocation::OnDemand,
            model,
            destinations: Destinations::regions(vec![source_region.clone()]),
            source_region,
        }
    }

    /// Returns the ID of the profile. Returns `None` on demand.
    #[must_use]
    pub fn profile(&self) -> Option<&ProfileId> {
        match &self.invocation {
            Invocation::Profile { id, .. } => Some(id),
            Invocation::OnDemand => None,
        }
    }

    /// Returns what workloads give as model ID: the ID of the profile or, on demand, of the foundation model.
    #[must_use]
    pub fn id(&self) -> &str {
        self.profile()
            .map_or(self.model.as_str(), ProfileId::as_str)
    }

    /// Returns the geography's name, or `on-demand` if there is no profile.
    #[must_use]
    pub fn geography(&self) -> &str {
        match &self.invocation {
            Invocation::Profile { geography, .. } => geography.as_str(),
            Invocation::OnDemand => ON_DEMAND,
        }
    }

    /// Says whether requests may be served in any commercial region.
    #[must_use]
    pub fn is_global(&self) -> bool {
        self.destinations == Destinations::Anywhere
    }

    /// Returns the ARN that can be given instead of the ID. The ARN of a profile names an account: returns `None` if the
    /// account is not known. The ARN of a model names none.
    #[must_use]
    pub fn arn(&self, account: Option<&AccountId>) -> Option<String> {
        match &self.invocation {
            Invocation::Profile { id, .. } => {
                account.map(|account| self.source_region.profile_arn(account, id))
            }
            Invocation::OnDemand => Some(self.source_region.foundation_model_arn(&self.model)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn region(name: &str) -> Region {
        name.parse().expect(name)
    }

    #[test]
    fn destinations_are_sorted_and_each_once() {
        let regions = ["eu-west-3", "eu-west-1", "eu-west-3"];
        let destinations = Destinations::regions(regions.map(region).to_vec());
        assert_eq!(destinations.to_string(), "eu-west-1,eu-west-3");
    }

    #[test]
    fn names_of_destinations_go_there_and_back() {
        let some = Destinations::regions(vec![region("eu-west-1"), region("eu-west-3")]);
        for destinations in [some, Destinations::Anywhere] {
            let names = destinations.names();
            assert_eq!(Destinations::from_names(&names), Ok(destinations));
        }
        assert!(Destinations::from_names(&["eu-west-1", "Ireland"]).is_err());
    }

    #[test]
    fn ids_and_arns() {
        let account: AccountId = "111122223333".parse().expect("an account");
        let through_profile = Route {
            invocation: Invocation::Profile {
                id: "eu.a.b".parse().expect("a profile ID"),
                geography: "eu".parse().expect("a geography"),
            },
            model: "a.b".parse().expect("a model"),
            source_region: region("eu-west-1"),
            destinations: Destinations::regions(vec![region("eu-west-3")]),
        };
        let on_demand = Route::on_demand(through_profile.model.clone(), region("us-gov-west-1"));
        for (route, id, geography, arn, arn_without_account) in [
            (
                &through_profile,
                "eu.a.b",
                "eu",
                "arn:aws:bedrock:eu-west-1:111122223333:inference-profile/eu.a.b",
                None,
            ),
            (
                &on_demand,
                "a.b",
                "on-demand",
                "arn:aws-us-gov:bedrock:us-gov-west-1::foundation-model/a.b",
                Some("arn:aws-us-gov:bedrock:us-gov-west-1::foundation-model/a.b"),
            ),
        ] {
            assert_eq!((route.id(), route.geography()), (id, geography));
            assert_eq!(route.arn(Some(&account)).as_deref(), Some(arn));
            assert_eq!(route.arn(None).as_deref(), arn_without_account);
        }
        assert_eq!(on_demand.destinations.to_string(), "us-gov-west-1");
    }
}
