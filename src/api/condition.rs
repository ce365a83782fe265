//! Condition types and reasons as closed sets, so that each name is spelled in one place.
//!
//! Polarity follows the Kubernetes API conventions. Reconciling and Stalled follow kstatus
//! (<https://github.com/kubernetes-sigs/cli-utils/tree/master/pkg/kstatus>) and are present only while true.

/// Defines an enum whose variants have the same names on the wire as in the code.
macro_rules! wire_enum {
    ($(#[$doc:meta])* $name:ident { $($variant:ident),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[allow(missing_docs, reason = "the names are part of the API and documented in docs/conditions.md")]
        pub enum $name { $($variant),+ }

        impl $name {
            /// All variants, in order.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// Returns the name on the wire.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => stringify!($variant)),+ }
            }

            /// Returns the variant of this name, or `None` if there is none.
            #[must_use]
            pub fn from_name(name: &str) -> Option<Self> {
                match name { $(stringify!($variant) => Some(Self::$variant),)+ _ => None }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }
    };
}

wire_enum!(
    /// Condition types of bindings and classes, in the order in which a status lists them.
    ConditionType { Ready, RegionSupported, ResidencySatisfied, TargetsSynced, CatalogFresh, ModelActive, ModelUsable, ServedWithinLimits, Reconciling, Stalled, Suspended, RolloutHealthy }
);

wire_enum!(
    /// Condition reasons.
    Reason {
        // Ready
        Bound,
        // RegionSupported
        ProfileFound, FallbackGeographyUsed, FallbackModelUsed, OnDemandFallback, SourceRegionUnsupported, GeographyUnsupported, ModelUnsupported, ProfileRetired,
        ApplicationProfileNotFound, ApplicationProfileMismatch,
        CatalogUnavailable, Pending, ClassNotFound, ClassNotAllowed, ClassUnknown, ClassInvalid,
        // ResidencySatisfied
        NoLimitSet, AllRegionsAllowed, RegionNotAllowed, LimitInvalid, LimitUnknown, NoProfile,
        // TargetsSynced
        Synced, TargetConflict, TargetForbidden, TargetNotFound, TargetInvalid, TemplateInvalid,
        ValueUnavailable, SecretsDisabled, RolloutFailed, Retrying,
        // CatalogFresh
        Fresh, Snapshot, AccessDenied, Throttled, CredentialsUnavailable, EndpointUnreachable,
        RoleNotAllowed, FeedLimitReached, SnapshotStale, SnapshotInvalid, ServiceError,
        // ModelActive
        Active, LegacyModel, ExtendedAccess, EndOfLifeNear, EndOfLifePassed,
        // ModelUsable
        Usable, NotUsable,
        // ServedWithinLimits
        ServedOutsideLimits, NoneServedOutside,
        // Suspended
        SuspendedBySpec,
        // Ready of a class
        Offered,
        // RolloutHealthy of a class
        Healthy, ProgressDeadlineExceeded,
    }
);

wire_enum!(
    /// Condition statuses.
    ConditionStatus { True, False, Unknown }
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_go_there_and_back() {
        for reason in Reason::ALL {
            assert_eq!(Reason::from_name(reason.as_str()), Some(*reason));
        }
        for kind in ConditionType::ALL {
            assert_eq!(ConditionType::from_name(kind.as_str()), Some(*kind));
        }
        assert_eq!(Reason::from_name("bound"), None);
    }
}
