//! `render`: what the controller would write, from files, by the controller's own plans.

use std::{
    collections::{BTreeMap, HashMap},
    io::{Read, Write},
    path::{Path, PathBuf},
    sync::Arc,
};

use clap::Args;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    api::{CreationPolicy, InferenceProfileBinding, TargetKind, condition::ConditionStatus, names},
    cache::{
        Cache, FeedRules,
        decode::{WatchedNamespace, target_view},
    },
    catalog::{FeedState, Freshness, embedded::Embedded, roles::AllowedRoles},
    feeds::admission::FeedLimits,
    plan::{
        How, Problem, Settings, Tried, TriedWrite, Write as PlannedWrite, check_merge,
        identity::{ObjectKey, TargetKey},
        observed::{Binding, Observed, Spec, TargetView},
        plan,
        status::Status,
    },
    residency::NamespaceLimit,
    types::{AccountId, Region},
};

use super::{
    Error, NOT_READY,
    catalogs::Catalogs,
    options::{CatalogOptions, LimitOptions, RegionOptions},
    output::yaml,
};

/// Options of `render`.
#[derive(Debug, Args)]
pub struct RenderArgs {
    /// File, folder (its *.yaml, *.yml and *.json files) or - for standard input; repeatable
    #[arg(long = "filename", short = 'f', value_name = "PATH", required = true)]
    paths: Vec<PathBuf>,
    /// Namespace of bindings that name none
    #[arg(long, short, value_name = "NAMESPACE", default_value = "default")]
    namespace: String,
    #[command(flatten)]
    region: RegionOptions,
    #[command(flatten)]
    limit: LimitOptions,
    /// Renders no binding that no residency limit holds for, as an operator with --require-residency does
    #[arg(long)]
    require_residency: bool,
    #[command(flatten)]
    catalog: CatalogOptions,
    /// AWS account ID for the ARNs of profiles, where no live listing tells it
    #[arg(long, value_name = "ACCOUNT-ID")]
    account: Option<AccountId>,
    /// Renders Secret targets too, as an operator with --enable-secrets does
    #[arg(long)]
    enable_secrets: bool,
}

/// Everything that was read.
#[derive(Default)]
pub(super) struct Input {
    pub(super) bindings: Vec<InferenceProfileBinding>,
    /// Objects that bindings may merge into.
    objects: HashMap<TargetKey, TargetView>,
    /// Residency limits of the Namespaces among the files; one that is not among them is taken to set none.
    limits: HashMap<Arc<str>, NamespaceLimit>,
}

pub(super) async fn run(args: RenderArgs, out: &mut impl Write) -> Result<u8, Error> {
    let settings = Settings {
        enable_secrets: args.enable_secrets,
        // A first write restarts nothing; what an operator is allowed to do is not known here.
        enable_rollout: true,
        // An account's access is no matter of files.
        check_access: false,
        account: args.account,
        limit: args.limit.parse()?,
        require_limit: args.require_residency,
        follow_embedded: false,
    };
    let input = Input::read(&args.paths, &args.namespace)?;
    let mut cache = Cache::new(FeedRules {
        roles: args.catalog.catalog.is_live().then(AllowedRoles::default),
        limits: FeedLimits::NONE,
        lists: 0,
    });
    let mut keys = Vec::new();
    for wire in &input.bindings {
        let binding = parse_binding(wire, args.region.optional()?.as_ref(), keys.len())?;
        if keys.contains(&binding.key) {
            return Err(Error::BadInput(format!(
                "the binding {} is given twice",
                binding.key
            )));
        }
        keys.push(binding.key.clone());
        let namespace = binding.key.namespace.clone();
        cache.apply_namespace(&namespace, input.limit_of(&namespace));
        cache.apply_binding(binding, 1);
    }
    let mut catalogs = Catalogs::new(&args.catalog);
    let mut all_ready = true;
    for (key, wire) in keys.iter().zip(&input.bindings) {
        let mut feed = None;
        let known = cache.observe(key, |asked| {
            feed = asked.cloned();
            pending()
        });
        if known.is_none() {
            continue;
        }
        let state = match &feed {
            Some(feed) => catalogs.state(feed).await?,
            None => pending(),
        };
        let Some(observed) = cache.observe(key, |_| state) else {
            continue;
        };
        let (manifests, status) = render(observed, &settings, &input.objects);
        all_ready &= status
            .conditions
            .first()
            .is_some_and(|ready| ready.status == ConditionStatus::True);
        for manifest in manifests {
            write!(out, "---\n{}", yaml(&manifest)?)?;
        }
        write!(out, "---\n{}", yaml(&with_status(wire, key, &status)?)?)?;
    }
    Ok(if all_ready { 0 } else { NOT_READY })
}

/// Plans a binding and returns the objects it would write, and its status.
fn render(
    observed: Observed,
    settings: &Settings,
    objects: &HashMap<TargetKey, TargetView>,
) -> (Vec<Value>, Status) {
    let plan = plan(observed, settings, Embedded::load(), 0);
    let binding = plan.binding().clone();
    let (writing, writes) = plan.begin();
    let tried: Vec<TriedWrite> = writes
        .into_iter()
        .map(|write| Tried {
            outcome: try_write(&binding, &write, objects),
            what: write,
        })
        .collect();
    let written = tried.iter().filter(|write| write.outcome.is_ok());
    let manifests = written
        .map(|write| {
            let mut manifest = write.what.manifest(&binding);
            if let Some(owner) = manifest
                .pointer_mut("/metadata/ownerReferences/0")
                .and_then(Value::as_object_mut)
            {
                // Files know no UIDs.
                owner.remove("uid");
            }
            manifest
        })
        .collect();
    // Nothing was there before, so that nothing is removed or restarted.
    let (finishing, ..) = writing.finish(tried).begin();
    let outcome = finishing.conclude(Vec::new(), Vec::new(), 0);
    (manifests, outcome.status.unwrap_or_default())
}

/// Checks what can be checked without a cluster: whether an object that is among the files allows the merge. One that is
/// not is taken to be there and to allow it.
fn try_write(
    binding: &Binding,
    write: &PlannedWrite,
    objects: &HashMap<TargetKey, TargetView>,
) -> Result<Arc<str>, Problem> {
    if let (How::MergeUnseen, CreationPolicy::Merge, Some(view)) =
        (&write.how, write.policy, objects.get(&write.key))
    {
        check_merge(binding, &write.key, view, &write.content)?;
    }
    Ok(Arc::from(""))
}

fn pending() -> FeedState {
    FeedState {
        catalog: None,
        freshness: Freshness::Pending,
    }
}

/// Returns the texts of a file, of the manifests in a folder, or of standard input, with their names.
fn read(path: &Path) -> Result<Vec<(String, String)>, Error> {
    let unreadable = |path: &Path| {
        let path = path.display().to_string();
        move |source| Error::Unreadable { path, source }
    };
    if path == Path::new("-") {
        let mut text = String::new();
        std::io::stdin()
            .read_to_string(&mut text)
            .map_err(unreadable(path))?;
        return Ok(vec![("standard input".to_owned(), text)]);
    }
    let mut files = Vec::new();
    if path.is_dir() {
        for entry in std::fs::read_dir(path).map_err(unreadable(path))? {
            let file = entry.map_err(unreadable(path))?.path();
            let manifest = file
                .extension()
                .is_some_and(|end| end == "yaml" || end == "yml" || end == "json");
            if manifest && file.is_file() {
                files.push(file);
            }
        }
        files.sort();
    } else {
        files.push(path.to_owned());
    }
    files
        .into_iter()
        .map(|file| {
            let text = std::fs::read_to_string(&file).map_err(unreadable(&file))?;
            Ok((file.display().to_string(), text))
        })
        .collect()
}

impl Input {
    /// Reads files, folders and standard input. There must be a binding in them.
    pub(super) fn read(paths: &[PathBuf], namespace: &str) -> Result<Self, Error> {
        let mut input = Self::default();
        for path in paths {
            for (name, text) in read(path)? {
                input.take(&name, &text, namespace)?;
            }
        }
        if input.bindings.is_empty() {
            return Err(Error::BadInput(
                "no InferenceProfileBinding was found in what was given".to_owned(),
            ));
        }
        Ok(input)
    }

    /// Returns the residency limit of a Namespace.
    pub(super) fn limit_of(&self, namespace: &str) -> NamespaceLimit {
        let limit = self.limits.get(namespace);
        limit.cloned().unwrap_or(NamespaceLimit::Unset)
    }

    /// Takes the bindings of a file, the objects that they may merge into, and the limits of Namespaces; other kinds are
    /// passed over.
    fn take(&mut self, path: &str, text: &str, namespace: &str) -> Result<(), Error> {
        for document in serde_yaml::Deserializer::from_str(text) {
            let malformed = |source| Error::Malformed {
                path: path.to_owned(),
                source,
            };
            let value = serde_yaml::Value::deserialize(document).map_err(malformed)?;
            let (group, kind) = (field(&value, "apiVersion"), field(&value, "kind"));
            if group.split('/').next() == Some(names::GROUP) && kind == "InferenceProfileBinding" {
                let mut binding: InferenceProfileBinding =
                    serde_yaml::from_value(value).map_err(malformed)?;
                binding
                    .metadata
                    .namespace
                    .get_or_insert_with(|| namespace.to_owned());
                self.bindings.push(binding);
            } else if group == "v1" && kind == "Namespace" {
                let namespace: WatchedNamespace =
                    serde_yaml::from_value(value).map_err(malformed)?;
                let (name, limit) = namespace.limit();
                self.limits.insert(name, limit);
            } else if group == "v1"
                && let Some(kind) = [TargetKind::ConfigMap, TargetKind::Secret]
                    .into_iter()
                    .find(|known| known.as_str() == kind)
            {
                let meta = value.get("metadata").cloned().unwrap_or_default();
                let meta: ObjectMeta = serde_yaml::from_value(meta).map_err(malformed)?;
                let key = TargetKey {
                    kind,
                    namespace: meta.namespace.as_deref().unwrap_or(namespace).into(),
                    name: meta.name.as_deref().unwrap_or_default().into(),
                };
                self.objects.insert(key, target_view(&meta, |_| None));
            }
        }
        Ok(())
    }
}

fn field<'a>(value: &'a serde_yaml::Value, name: &str) -> &'a str {
    value
        .get(name)
        .and_then(serde_yaml::Value::as_str)
        .unwrap_or_default()
}

/// Parses a binding from a file, refusing what the apiserver would refuse where a plan could not be made of it.
pub(super) fn parse_binding(
    wire: &InferenceProfileBinding,
    region: Option<&Region>,
    position: usize,
) -> Result<Binding, Error> {
    let name: Arc<str> = wire.metadata.name.as_deref().unwrap_or_default().into();
    let key = ObjectKey {
        namespace: wire
            .metadata
            .namespace
            .as_deref()
            .unwrap_or_default()
            .into(),
        name: name.clone(),
    };
    let bad = |message: String| Error::BadInput(format!("binding {key}: {message}"));
    if name.is_empty() {
        return Err(bad("it has no name".to_owned()));
    }
    let default_region = match (region, &wire.spec.source_region) {
        (Some(region), _) => region.clone(),
        (None, Some(own)) => own
            .parse()
            .map_err(|error: crate::types::ParseError| bad(error.to_string()))?,
        (None, None) => {
            return Err(bad(
                "it names no sourceRegion: give --region or set AWS_REGION".to_owned(),
            ));
        }
    };
    let spec = Spec::parse(&wire.spec, &name, &default_region);
    if let Err(error) = &spec.request {
        return Err(bad(error.to_string()));
    }
    Ok(Binding {
        key: key.clone(),
        uid: position.to_string().into(),
        generation: 1,
        // As applied: in the order given.
        created: i64::try_from(position).unwrap_or_default(),
        deleting: false,
        finalizer: true,
        refresh: None,
        spec,
        status: Status::default(),
    })
}

/// Returns a binding with its status, without what only a cluster knows: UIDs and times.
fn with_status(
    wire: &InferenceProfileBinding,
    key: &ObjectKey,
    status: &Status,
) -> Result<Value, Error> {
    let to_value = |value: Result<Value, serde_json::Error>| {
        value.map_err(|error| Error::BadInput(format!("binding {key}: {error}")))
    };
    let mut status = to_value(serde_json::to_value(status.to_wire()))?;
    for (list, field) in [
        ("conditions", "lastTransitionTime"),
        ("targets", "uid"),
        ("targets", "lastChangeTime"),
    ] {
        for item in status
            .get_mut(list)
            .and_then(Value::as_array_mut)
            .into_iter()
            .flatten()
        {
            if let Some(item) = item.as_object_mut() {
                item.remove(field);
            }
        }
    }
    let spec = to_value(serde_json::to_value(&wire.spec))?;
    let metadata: BTreeMap<&str, &str> = BTreeMap::from([
        ("name", key.name.as_ref()),
        ("namespace", key.namespace.as_ref()),
    ]);
    Ok(json!({
        "apiVersion": InferenceProfileBinding::api_version(&()),
        "kind": "InferenceProfileBinding",
        "metadata": metadata,
        "spec": spec,
        "status": status,
    }))
}
