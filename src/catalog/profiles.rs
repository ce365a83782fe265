//! System-defined inference profiles.

use crate::{
    route::{Destinations, Invocation, Route},
    types::{Geography, ModelId, ProfileId, Region},
};

/// A system-defined inference profile as seen from one source region.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    /// What workloads pass as the model ID.
    pub id: ProfileId,
    /// The display name. Never parse it: it differs by region and has typos.
    pub name: String,
    /// The foundation model behind it, read from the model ARNs.
    pub model: ModelId,
    /// The prefix of the ID.
    pub geography: Geography,
    /// Where requests may be served when called from the catalog's source region.
    pub destinations: Destinations,
}

impl Profile {
    /// Returns the route through this profile from its catalog's source region.
    #[must_use]
    pub fn route(&self, source_region: &Region) -> Route {
        Route {
            invocation: Invocation::Profile {
                id: self.id.clone(),
                geography: self.geography.clone(),
            },
            model: self.model.clone(),
            source_region: source_region.clone(),
            destinations: self.destinations.clone(),
        }
    }
}
