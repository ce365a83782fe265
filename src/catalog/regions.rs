//! The regions that AWS had on one date, and which of them had a control plane of Amazon Bedrock.
//!
//! The data age, so they decide nothing alone: an unknown region may be new, and Bedrock may have come to a region that had
//! none. They tell a mistyped region from a network failure, and they feed messages. The first lines of
//! `embedded/regions.txt` explain its format.

use std::{collections::BTreeMap, fmt};

use crate::types::Region;

const REGIONS: &str = include_str!("embedded/regions.txt");
/// How many names a message suggests.
const SUGGESTIONS: usize = 3;

/// What is known about a region.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Facts {
    /// Whether the control plane of Bedrock has an endpoint there.
    pub bedrock: bool,
    /// Whether it has a FIPS endpoint too.
    pub fips: bool,
}

/// Why nothing can be listed in a region, according to the data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Absence {
    /// AWS has no region of this name.
    NoRegion {
        /// The date of the data, an RFC 3339 date.
        as_of: &'static str,
        /// Names of regions that are most similar.
        nearest: Vec<&'static str>,
    },
    /// The region exists, and the control plane of Bedrock has no endpoint there.
    NoBedrock {
        /// The date of the data, an RFC 3339 date.
        as_of: &'static str,
    },
}

impl fmt::Display for Absence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoRegion { as_of, nearest } => write!(
                f,
                "AWS had no such region on {as_of} (by the embedded data); nearest: {}",
                nearest.join(", ")
            ),
            Self::NoBedrock { as_of } => write!(
                f,
                "Amazon Bedrock had no endpoint there on {as_of} (by the embedded data)"
            ),
        }
    }
}

/// The regions of AWS on one date.
#[derive(Debug, Default)]
pub struct Regions {
    as_of: &'static str,
    facts: BTreeMap<&'static str, Facts>,
}

impl Regions {
    /// Parses the data compiled in.
    pub(super) fn load() -> Self {
        let mut data = Self::default();
        for line in REGIONS.lines() {
            // A test parses every line that is compiled in, so there is no error to report.
            let _ = data.line(line);
        }
        data
    }

    /// Returns what is known about a region, or `None` if the data don't have it.
    #[must_use]
    pub fn facts(&self, region: &Region) -> Option<Facts> {
        self.facts.get(region.as_str()).copied()
    }

    /// Returns why nothing can be listed in a region, or `None` if Bedrock has an endpoint there.
    #[must_use]
    pub fn absence(&self, region: &Region) -> Option<Absence> {
        match self.facts(region) {
            Some(facts) if facts.bedrock => None,
            Some(_) => Some(Absence::NoBedrock { as_of: self.as_of }),
            None => Some(Absence::NoRegion {
                as_of: self.as_of,
                nearest: self.nearest(region),
            }),
        }
    }

    /// Returns the date of the data, an RFC 3339 date.
    #[must_use]
    pub fn as_of(&self) -> &'static str {
        self.as_of
    }

    /// Returns the regions of the same partition where Bedrock has a FIPS endpoint, sorted.
    #[must_use]
    pub fn with_fips(&self, region: &Region) -> Vec<&'static str> {
        self.facts
            .iter()
            .filter(|(name, facts)| {
                facts.fips
                    && name
                        .parse::<Region>()
                        .is_ok_and(|known| known.partition() == region.partition())
            })
            .map(|(name, _)| *name)
            .collect()
    }

    /// Returns up to three regions with Bedrock whose names are most similar, the most similar first.
    #[must_use]
    pub fn nearest(&self, region: &Region) -> Vec<&'static str> {
        let mut known: Vec<&str> = self
            .facts
            .iter()
            .filter(|(_, facts)| facts.bedrock)
            .map(|(name, _)| *name)
            .collect();
        known.sort_by_key(|name| (strsim::damerau_levenshtein(name, region.as_str()), *name));
        known.truncate(SUGGESTIONS);
        known
    }

    fn line(&mut self, line: &'static str) -> Result<(), &'static str> {
        let mut words = line.split_whitespace();
        match (words.next(), words.next()) {
            (None, _) => {}
            (Some(comment), _) if comment.starts_with('#') => return Ok(()),
            (Some("as-of"), Some(date)) => self.as_of = date,
            (Some("region"), Some(name)) => {
                name.parse::<Region>().map_err(|_| "not a region")?;
                let mut facts = Facts {
                    bedrock: false,
                    fips: false,
                };
                for word in words.by_ref() {
                    match word {
                        "bedrock" => facts.bedrock = true,
                        "fips" => facts.fips = true,
                        _ => return Err("an unknown word"),
                    }
                }
                self.facts.insert(name, facts);
            }
            _ => return Err("not a known kind of line"),
        }
        if words.next().is_some() {
            return Err("more than expected");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::embedded::Embedded;

    fn region(name: &str) -> Region {
        name.parse().expect(name)
    }

    #[test]
    fn every_line_parses() {
        let mut data = Regions::default();
        for line in REGIONS.lines() {
            assert_eq!(data.line(line), Ok(()), "{line}");
        }
        assert!(data.as_of.parse::<jiff::civil::Date>().is_ok());
        let with_bedrock = data.facts.values().filter(|facts| facts.bedrock).count();
        assert_eq!((data.facts.len(), with_bedrock), (46, 40));
        for line in [
            "region",
            "region nowhere",
            "region eu-west-1 chocolate",
            "as-of 2026-01-01 x",
            "city x",
        ] {
            assert!(Regions::default().line(line).is_err(), "{line}");
        }
    }

    #[test]
    fn regions_with_and_without_bedrock() {
        let regions = Regions::load();
        for (name, bedrock, fips) in [
            ("eu-west-1", Some(true), false),
            ("us-east-1", Some(true), true),
            ("us-gov-west-1", Some(true), true),
            ("ap-east-1", Some(false), false),
            ("cn-north-1", Some(false), false),
            ("eu-west-9", None, false),
        ] {
            let facts = regions.facts(&region(name));
            assert_eq!(facts.map(|facts| facts.bedrock), bedrock, "{name}");
            assert_eq!(facts.is_some_and(|facts| facts.fips), fips, "{name}");
        }
        assert_eq!(
            regions.with_fips(&region("us-gov-east-1")),
            ["us-gov-east-1", "us-gov-west-1"]
        );
    }

    #[test]
    fn the_nearest_names() {
        let regions = Regions::load();
        assert_eq!(
            regions.nearest(&region("eu-west-9")),
            ["eu-west-1", "eu-west-2", "eu-west-3"]
        );
        assert_eq!(regions.nearest(&region("us-esat-1"))[0], "us-east-1");
    }

    #[test]
    fn a_region_that_does_not_exist_is_told_from_one_without_bedrock() {
        let regions = Regions::load();
        for (name, expected) in [
            (
                "eu-west-9",
                Some(
                    "AWS had no such region on 2026-11-01 (by the embedded data); nearest: eu-west-1, eu-west-2, eu-west-3",
                ),
            ),
            (
                "cn-north-1",
                Some("Amazon Bedrock had no endpoint there on 2026-11-01 (by the embedded data)"),
            ),
            ("eu-west-1", None),
        ] {
            let why = regions.absence(&region(name)).map(|why| why.to_string());
            assert_eq!(why.as_deref(), expected);
        }
    }

    #[test]
    fn every_source_region_of_the_embedded_catalog_has_bedrock() {
        let regions = Regions::load();
        for source in Embedded::load().source_regions() {
            assert!(
                regions.facts(source).is_some_and(|facts| facts.bedrock),
                "{source}"
            );
        }
    }
}
