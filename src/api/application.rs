//! The part of the spec that names an application inference profile.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::NO_ARN_RULE;
use crate::types::{APPLICATION_NAME_LIMIT, APPLICATION_NAME_PATTERN};

const ARN_MESSAGE: &str = "give the name of the application inference profile instead of its ARN";
const NAME_MESSAGE: &str = "not the name of an application inference profile: expected at most 64 letters and digits, with single spaces, _ and - after them, such as shop-chat";
/// More than a name has, so that an ARN is refused in words of its own.
const LENGTH_LIMIT: u32 = 600;

/// An application inference profile, which is found by its name.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Application {
    /// Name of the application inference profile, in the source region and the account that is listed. It must have exactly the
    /// models and regions of the system-defined profile that the rest of the spec leads to.
    #[schemars(length(max = LENGTH_LIMIT))]
    #[x_kube(
        validation = Rule::new(NO_ARN_RULE).message(ARN_MESSAGE),
        validation = Rule::new(format!("self.startsWith('arn:') || (self.size() <= {APPLICATION_NAME_LIMIT} && self.matches('{APPLICATION_NAME_PATTERN}'))")).message(NAME_MESSAGE)
    )]
    pub name: String,
}
