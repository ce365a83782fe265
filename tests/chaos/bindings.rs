//! What the bindings of the suite ask for, and what must come of it: a table, and a second opinion on it that shares no code
//! with the operator.

use std::collections::BTreeMap;

use serde_json::{Value, json};

/// Source region of all bindings.
pub const REGION: &str = "eu-west-1";
/// Account of the stand-in's profiles.
const ACCOUNT: &str = "111122223333";

/// Two models between which specs are changed, there and back.
const ALPHA: &str = "anthropic.chaos-alpha-v1:0";
const BETA: &str = "anthropic.chaos-beta-v1:0";
/// A model whose only profile leaves the European Union.
const WIDE: &str = "anthropic.chaos-wide-v1:0";
/// A model without profiles, on demand.
const LOCAL: &str = "amazon.chaos-local-v1:0";
/// A model that nobody lists.
const MISSING: &str = "anthropic.chaos-missing-v1:0";

/// What stands in the place of a geography where there is no profile.
const ON_DEMAND_GEOGRAPHY: &str = "on-demand";

/// Destination regions of a profile within the European Union.
const WITHIN: &[&str] = &["eu-central-1", "eu-north-1", "eu-west-1", "eu-west-3"];
/// Destination regions of one that leaves it.
const BEYOND: &[&str] = &["eu-central-1", "eu-west-1", "eu-west-2"];

/// What the stand-in lists in [`REGION`]: geography, model, destination regions.
pub const PROFILES: &[(&str, &str, &[&str])] = &[
    ("eu", ALPHA, WITHIN),
    ("eu", BETA, WITHIN),
    ("us", WIDE, BEYOND),
    ("us", ALPHA, &["us-east-1", "us-west-2"]),
    // None of the kinds may end here, whatever AWS says for a while: geographies are never left without consent.
    ("global", ALPHA, &[]),
    ("global", BETA, &[]),
];
/// The models that the stand-in lists as on demand.
pub const ON_DEMAND: &[&str] = &[LOCAL];
/// A profile that vanishes and comes back, and the geography that takes its place meanwhile.
pub const VANISHING: (&str, &str) = ("eu", ALPHA);

/// How a value reaches its target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// A `ConfigMap` with the default keys.
    Owned,
    /// A `ConfigMap` with a whole file.
    Template,
    /// A Secret.
    Secret,
    /// A key of an object of others.
    Merge,
    /// A `ConfigMap` of others is in the way.
    Conflict,
}

/// What a binding asks for.
#[derive(Debug, Clone, Default)]
struct Request {
    model: &'static str,
    geography: &'static str,
    geographies: &'static [&'static str],
    models: &'static [&'static str],
    on_demand: bool,
    allowed: &'static [&'static str],
}

/// A row of the table: one kind of binding.
pub struct Kind {
    pub name: &'static str,
    pub shape: Shape,
    /// Whether a Deployment restarts for it.
    pub workload: bool,
    /// Whether its model may be changed to the other one, and back.
    pub changes: bool,
    request: fn(bool) -> Request,
}

fn plain(other: bool) -> Request {
    Request {
        model: if other { BETA } else { ALPHA },
        geography: "eu",
        ..Request::default()
    }
}

const fn kind(name: &'static str, shape: Shape, request: fn(bool) -> Request) -> Kind {
    Kind {
        name,
        shape,
        workload: false,
        changes: true,
        request,
    }
}

/// Every kind of binding; the bindings take turns.
pub const KINDS: &[Kind] = &[
    kind("owned", Shape::Owned, plain),
    kind("merged", Shape::Merge, plain),
    kind("secret", Shape::Secret, plain),
    kind("template", Shape::Template, plain),
    kind("limited", Shape::Owned, |other| Request {
        allowed: &["@eu"],
        ..plain(other)
    }),
    kind("beyond", Shape::Owned, |other| Request {
        // Not another model of the same geography: the value of the earlier one would stay, if there was time to write it.
        model: if other { ALPHA } else { WIDE },
        geography: if other { "eu" } else { "us" },
        allowed: &["@eu"],
        ..plain(other)
    }),
    Kind {
        workload: true,
        ..kind("rollout", Shape::Owned, plain)
    },
    Kind {
        changes: false,
        ..kind("unsupported", Shape::Owned, |other| Request {
            model: MISSING,
            ..plain(other)
        })
    },
    kind("fallback-geography", Shape::Owned, |other| Request {
        geography: "apac",
        geographies: &["eu"],
        ..plain(other)
    }),
    kind("fallback-model", Shape::Owned, |other| Request {
        model: MISSING,
        models: if other { &[BETA] } else { &[ALPHA] },
        ..plain(other)
    }),
    kind("on-demand", Shape::Owned, |other| Request {
        model: if other { ALPHA } else { LOCAL },
        // Else the value of the model on demand would stay where a limit forbids the other one.
        on_demand: !other,
        ..plain(other)
    }),
    Kind {
        changes: false,
        ..kind("conflict", Shape::Conflict, plain)
    },
    Kind {
        workload: true,
        ..kind("rollout-merged", Shape::Merge, |other| Request {
            geographies: &["global"],
            ..plain(other)
        })
    },
];

/// A binding as the suite wants it.
#[derive(Clone)]
pub struct Binding {
    pub namespace: String,
    pub name: String,
    pub kind: &'static Kind,
    /// Whether it asks for the other model.
    pub other: bool,
}

/// What must come of a binding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    /// Reason of `Ready`.
    pub reason: &'static str,
    /// What its target holds.
    pub value: Option<String>,
}

/// The way in which a model is called.
struct Route {
    id: String,
    arn: String,
    model: &'static str,
    geography: &'static str,
    destinations: Vec<&'static str>,
}

impl Binding {
    /// Returns namespace and name.
    pub fn id(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }

    /// Returns the name of its target.
    pub fn target(&self) -> String {
        match self.kind.shape {
            Shape::Merge => format!("host-{}", self.name),
            Shape::Conflict => format!("occupied-{}", self.name),
            Shape::Owned | Shape::Template | Shape::Secret => self.name.clone(),
        }
    }

    /// Returns where etcd has its target.
    pub fn target_key(&self) -> String {
        let kind = match self.kind.shape {
            Shape::Secret => "secrets",
            _ => "configmaps",
        };
        format!("/registry/{kind}/{}/{}", self.namespace, self.target())
    }

    /// Returns where etcd has the binding.
    pub fn key(&self) -> String {
        format!(
            "/registry/inferenceprofiles.dev/inferenceprofilebindings/{}/{}",
            self.namespace, self.name
        )
    }

    /// Returns where etcd has its workload.
    pub fn workload_key(&self) -> String {
        format!("/registry/deployments/{}/{}", self.namespace, self.name)
    }

    /// Returns the manifest.
    pub fn manifest(&self) -> Value {
        let request = (self.kind.request)(self.other);
        let target = self.target();
        let targets = match self.kind.shape {
            Shape::Template => json!([{
                "kind": "ConfigMap", "name": target, "keys": {"MODEL": "ProfileID"},
                "templates": {"litellm.yaml": "model: bedrock/{{ profile.id }} # {{ profile.geography }}"},
            }]),
            Shape::Secret => json!([{
                "kind": "Secret", "name": target, "keys": {"MODEL": "ProfileID", "ARN": "ProfileARN"},
            }]),
            Shape::Merge => json!([{
                "kind": "ConfigMap", "name": target, "creationPolicy": "Merge", "keys": {"MODEL": "ProfileID"},
            }]),
            Shape::Owned | Shape::Conflict => json!([{"kind": "ConfigMap", "name": target}]),
        };
        let mut spec = json!({
            "model": request.model,
            "geography": request.geography,
            "targets": targets,
            "fallback": {
                "geographies": request.geographies, "models": request.models, "onDemand": request.on_demand,
            },
        });
        if !request.allowed.is_empty() {
            spec["allowedRegions"] = json!(request.allowed);
        }
        if self.kind.workload {
            spec["rollout"] = json!([{"kind": "Deployment", "name": self.name}]);
        }
        json!({
            "apiVersion": "inferenceprofiles.dev/v1alpha1",
            "kind": "InferenceProfileBinding",
            "metadata": {"name": self.name, "namespace": self.namespace},
            "spec": spec,
        })
    }

    /// Returns what must come of it, where the Namespace sets this limit.
    pub fn expected(&self, namespace_limit: Option<&[&str]>) -> Expected {
        let request = (self.kind.request)(self.other);
        let refused = |reason| Expected {
            reason,
            value: None,
        };
        let Some(route) = route(&request) else {
            return refused("ModelUnsupported");
        };
        let within = |limit: &[&str]| {
            let mut regions = route.destinations.iter().chain([&REGION]);
            regions.all(|region| limit.iter().any(|entry| allows(entry, region)))
        };
        let own = (!request.allowed.is_empty()).then_some(request.allowed);
        if !own.into_iter().chain(namespace_limit).all(within) {
            // A limit that breaks for what is wanted is shown; a fallback that would break it is passed over.
            return refused(if route.model != request.model {
                "ModelUnsupported"
            } else if route.geography != request.geography && route.geography != ON_DEMAND_GEOGRAPHY
            {
                "GeographyUnsupported"
            } else {
                "RegionNotAllowed"
            });
        }
        if self.kind.shape == Shape::Conflict {
            return refused("TargetConflict");
        }
        Expected {
            reason: "Bound",
            value: Some(text(&self.data(&route))),
        }
    }

    fn data(&self, route: &Route) -> BTreeMap<&'static str, String> {
        let id = || route.id.clone();
        match self.kind.shape {
            Shape::Owned | Shape::Conflict => BTreeMap::from([
                ("BEDROCK_INFERENCE_PROFILE_ID", id()),
                ("BEDROCK_FOUNDATION_MODEL_ID", route.model.to_owned()),
                ("BEDROCK_GEOGRAPHY", route.geography.to_owned()),
                ("BEDROCK_SOURCE_REGION", REGION.to_owned()),
                ("BEDROCK_DESTINATION_REGIONS", route.destinations.join(",")),
            ]),
            Shape::Template => BTreeMap::from([
                ("MODEL", id()),
                (
                    "litellm.yaml",
                    format!("model: bedrock/{} # {}", route.id, route.geography),
                ),
            ]),
            Shape::Secret => BTreeMap::from([("MODEL", id()), ("ARN", route.arn.clone())]),
            Shape::Merge => BTreeMap::from([("MODEL", id())]),
        }
    }

    /// Returns the keys that it writes.
    fn keys(&self) -> &'static [&'static str] {
        match self.kind.shape {
            Shape::Owned | Shape::Conflict => &[
                "BEDROCK_INFERENCE_PROFILE_ID",
                "BEDROCK_FOUNDATION_MODEL_ID",
                "BEDROCK_GEOGRAPHY",
                "BEDROCK_SOURCE_REGION",
                "BEDROCK_DESTINATION_REGIONS",
            ],
            Shape::Template => &["MODEL", "litellm.yaml"],
            Shape::Secret => &["MODEL", "ARN"],
            Shape::Merge => &["MODEL"],
        }
    }

    /// Returns the key that others change when they edit the target.
    pub fn edited_key(&self) -> &'static str {
        self.keys()[0]
    }

    /// Returns what a target as etcd has it holds under the keys of this binding; None where it has none of them.
    pub fn found(&self, target: Option<&Value>) -> Option<String> {
        let data = target?["data"].as_object()?;
        let found: BTreeMap<&str, String> = self
            .keys()
            .iter()
            .filter_map(|key| {
                let value = data.get(*key)?;
                let value = match self.kind.shape {
                    Shape::Secret => decoded(value),
                    _ => value.as_str().unwrap_or_default().to_owned(),
                };
                Some((*key, value))
            })
            .collect();
        (!found.is_empty()).then(|| text(&found))
    }
}

/// Returns data as one text.
fn text(data: &BTreeMap<&str, String>) -> String {
    let lines: Vec<String> = data
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    lines.join("; ")
}

/// Returns the text of a value that is in base64.
pub fn decoded(value: &Value) -> String {
    let bytes: k8s_openapi::ByteString = serde_json::from_value(value.clone()).unwrap_or_default();
    String::from_utf8_lossy(&bytes.0).into_owned()
}

/// Returns the first route that serves a request, without a look at limits: no kind has both a limit and a fallback.
fn route(request: &Request) -> Option<Route> {
    let models = [request.model]
        .into_iter()
        .chain(request.models.iter().copied());
    models.into_iter().find_map(|model| {
        let geographies = [request.geography]
            .into_iter()
            .chain(request.geographies.iter().copied());
        let mut profiles = geographies.filter_map(|geography| {
            PROFILES
                .iter()
                .find(|profile| (profile.0, profile.1) == (geography, model))
        });
        let on_demand = request.on_demand && ON_DEMAND.contains(&model);
        if let Some((geography, model, destinations)) = profiles.next() {
            let id = format!("{geography}.{model}");
            return Some(Route {
                arn: format!("arn:aws:bedrock:{REGION}:{ACCOUNT}:inference-profile/{id}"),
                id,
                model,
                geography,
                destinations: if destinations.is_empty() {
                    vec!["*"]
                } else {
                    destinations.to_vec()
                },
            });
        }
        on_demand.then(|| Route {
            id: model.to_owned(),
            arn: format!("arn:aws:bedrock:{REGION}::foundation-model/{model}"),
            model,
            geography: ON_DEMAND_GEOGRAPHY,
            destinations: vec![REGION],
        })
    })
}

/// Says whether an entry of a limit allows a region. Only the entries that the suite uses.
fn allows(entry: &str, region: &str) -> bool {
    match entry {
        "@eu" => region != "eu-west-2" && WITHIN.contains(&region),
        "@uk" => region == "eu-west-2",
        name => name == region,
    }
}
