//! The part of the spec that names an application inference profile.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use crate::types::{APPLICATION_NAME_LIMIT, APPLICATION_NAME_PATTERN};

const NAME_MESSAGE: &str = "not the name of an application inference profile: expected letters and digits, with single spaces, _ and - after them, such as shop-chat";

/// An application inference profile, which is found by its name.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Application {
    /// Name of the application inference profile, in the source region and the account that is listed. It must have exactly the
    /// models and regions of the system-defined profile that the rest of the spec leads to.
    #[schemars(length(min = 1, max = APPLICATION_NAME_LIMIT))]
    #[x_kube(validation = Rule::new(format!("self.matches('{APPLICATION_NAME_PATTERN}')")).message(NAME_MESSAGE))]
    pub name: String,
}
