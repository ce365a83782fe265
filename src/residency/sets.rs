//! Named sets of regions: which AWS regions lie within a jurisdiction, as data with a date.
//!
//! Source of the locations: <https://docs.aws.amazon.com/global-infrastructure/latest/regions/aws-regions.html>.
//! The name of a region proves nothing: `eu-west-2` (London) and `eu-central-2` (Zurich) are not in the EU.

/// A named set of regions.
#[derive(Debug, PartialEq, Eq)]
pub struct RegionSet {
    /// The name, with its `@`.
    pub name: &'static str,
    /// What the regions have in common.
    pub meaning: &'static str,
    /// The regions, sorted.
    pub regions: &'static [&'static str],
}

/// When the sets were last compared with AWS's list, an RFC 3339 date.
pub const AS_OF: &str = "2026-10-27";

const EU: &[&str] = &[
    "eu-central-1",
    "eu-north-1",
    "eu-south-1",
    "eu-south-2",
    "eu-west-1",
    "eu-west-3",
    "eusc-de-east-1",
];

/// All sets.
pub const SETS: &[RegionSet] = &[
    RegionSet {
        name: "@eu",
        meaning: "member states of the European Union",
        regions: EU,
    },
    // No AWS region lies in Iceland, Liechtenstein or Norway.
    RegionSet {
        name: "@eea",
        meaning: "European Economic Area",
        regions: EU,
    },
    RegionSet {
        name: "@uk",
        meaning: "United Kingdom",
        regions: &["eu-west-2"],
    },
    RegionSet {
        name: "@ch",
        meaning: "Switzerland",
        regions: &["eu-central-2"],
    },
    RegionSet {
        name: "@us",
        meaning: "United States",
        regions: &[
            "us-east-1",
            "us-east-2",
            "us-gov-east-1",
            "us-gov-west-1",
            "us-iso-east-1",
            "us-iso-west-1",
            "us-isob-east-1",
            "us-isof-east-1",
            "us-isof-south-1",
            "us-west-1",
            "us-west-2",
        ],
    },
    RegionSet {
        name: "@ca",
        meaning: "Canada",
        regions: &["ca-central-1", "ca-west-1"],
    },
    RegionSet {
        name: "@jp",
        meaning: "Japan",
        regions: &["ap-northeast-1", "ap-northeast-3"],
    },
    RegionSet {
        name: "@au",
        meaning: "Australia",
        regions: &["ap-southeast-2", "ap-southeast-4"],
    },
    RegionSet {
        name: "@in",
        meaning: "India",
        regions: &["ap-south-1", "ap-south-2"],
    },
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Region;

    #[test]
    fn sets_hold_well_formed_sorted_regions() {
        for set in SETS {
            assert!(set.regions.is_sorted(), "{}", set.name);
            for name in set.regions {
                assert!(name.parse::<Region>().is_ok(), "{name}");
            }
        }
    }
}
