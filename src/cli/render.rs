//! `render`: what the controller would write, from files, by the controller's own plans.

use std::{
    collections::{BTreeMap, HashMap},
    io::Write,
    path::PathBuf,
    sync::Arc,
};

use clap::Args;
use jiff::civil::Date;
use kube::Resource;
use serde_json::{Value, json};

use crate::{
    api::{CreationPolicy, InferenceProfileBinding, condition::ConditionType},
    cache::{Cache, FeedRules, KnownClass, Via},
    catalog::{Catalog, FeedState, embedded::Embedded, roles::AllowedRoles},
    feeds::admission::FeedLimits,
    lifecycle,
    models::Models,
    plan::{
        Problem, Settings, Tried, TriedWrite, Write as PlannedWrite, WriteMode, check_merge,
        identity::{ObjectKey, TargetKey},
        observed::{Binding, Observed, TargetView},
        plan,
        status::Status,
    },
    types::{AccountId, ModelId},
};

use super::{
    Error, NOT_READY,
    catalogs::Catalogs,
    input::{Given, Input},
    options::{CatalogOptions, DayOptions, EndOfLifeOptions, LimitOptions, RegionOptions},
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
    #[command(flatten)]
    day: DayOptions,
    #[command(flatten)]
    end_of_life: EndOfLifeOptions,
}

pub(super) async fn run(
    args: RenderArgs,
    out: &mut impl Write,
    err: &mut impl Write,
) -> Result<u8, Error> {
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
    let region = args.region.optional()?;
    let input = Input::read("render", &args.paths, &args.namespace, region.as_ref())?;
    for remark in &input.remarks {
        writeln!(err, "{remark}")?;
    }
    let mut cache = Cache::new(FeedRules {
        roles: args.catalog.catalog.is_live().then(AllowedRoles::default),
        limits: FeedLimits::NONE,
        lists: 0,
    });
    for class in input.classes.values() {
        cache.apply_class(KnownClass::from_file(class.clone()), 1, Via::Event);
    }
    cache.retain_classes(&input.classes.keys().cloned().collect());
    for Given { binding, .. } in &input.bindings {
        let namespace = &binding.key.namespace;
        let labels = input.labels_of(namespace);
        cache.apply_namespace(namespace, input.limit_of(namespace), labels);
        cache.apply_binding(binding.clone(), 1, Via::Event);
    }
    let naming = input.bindings.iter().map(|given| &given.binding);
    let naming = naming.filter(|it| it.spec.names_application());
    let naming = naming.filter_map(|binding| cache.feed_of(binding));
    let mut catalogs = Catalogs::new(&args.catalog).with_applications(naming);
    let now = args.day.now();
    let mut all_ready = true;
    for Given { wire, binding } in &input.bindings {
        let key = &binding.key;
        let mut feed = None;
        let known = cache.observe(key, |asked| {
            feed = asked.cloned();
            FeedState::pending()
        });
        if known.is_none() {
            continue;
        }
        let state = match &feed {
            Some(feed) => catalogs.state(feed).await?,
            None => FeedState::pending(),
        };
        let Some(observed) = cache.observe(key, |_| state) else {
            continue;
        };
        let catalog = observed.feed.catalog.clone();
        let (manifests, status) = render(observed, &settings, &input.objects, now);
        let mut problems = not_ready(&status);
        let ends = ends(binding, &status, catalog.as_deref());
        let unknown = binding.spec.requests();
        let unknown = unknown.filter(|request| !ends.contains_key(&request.model));
        let is_several = matches!(binding.spec.asks, Models::Several(_));
        for request in unknown.filter(|_| ends.is_empty() || is_several) {
            let remark = args
                .end_of_life
                .unknown(&request.model, &request.source_region);
            if let Some(remark) = remark {
                writeln!(err, "{key}: {remark}")?;
            }
        }
        for (model, end) in ends {
            problems.extend(args.end_of_life.problem(&model, end, args.day.day()));
        }
        all_ready &= problems.is_empty();
        for problem in problems {
            writeln!(err, "{key}: {problem}")?;
        }
        for manifest in manifests {
            write!(out, "---\n{}", yaml(&manifest)?)?;
        }
        write!(out, "---\n{}", yaml(&with_status(wire, key, &status)?)?)?;
    }
    Ok(if all_ready { 0 } else { NOT_READY })
}

/// Returns why a binding is not Ready, in the words of its condition.
fn not_ready(status: &Status) -> Vec<String> {
    let ready = status.finding(ConditionType::Ready);
    let ready = ready.filter(|ready| !ready.is_true());
    ready
        .map(|ready| format!("not Ready: {}: {}", ready.reason, ready.message))
        .into_iter()
        .collect()
}

/// Returns the models that a binding depends on, each with the end of its life if that is known: the one in use, and the one that
/// the spec asks for, which a fallback may hide.
fn ends(
    binding: &Binding,
    status: &Status,
    catalog: Option<&Catalog>,
) -> BTreeMap<ModelId, Option<Date>> {
    let lives = status
        .models
        .values()
        .filter_map(|it| it.lifecycle.as_ref());
    let in_use = lives.filter_map(|life| Some((life.model.clone()?, life.end_of_life)));
    let asked = binding.spec.requests().filter_map(|request| {
        let known = lifecycle::known(catalog?, Embedded::load(), &request.model)?;
        Some((request.model.clone(), known.lifecycle.end_of_life))
    });
    in_use.chain(asked).collect()
}

/// Plans a binding and returns the objects it would write, and its status. `now` is in seconds since the Unix epoch.
fn render(
    observed: Observed,
    settings: &Settings,
    objects: &HashMap<TargetKey, TargetView>,
    now: i64,
) -> (Vec<Value>, Status) {
    let plan = plan(observed, settings, Embedded::load(), now);
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
    let outcome = finishing.conclude(Vec::new(), Vec::new(), now);
    (manifests, outcome.status.unwrap_or_default())
}

/// Checks what can be checked without a cluster: whether an object that is among the files allows the merge. One that is
/// not is taken to be there and to allow it.
pub(super) fn try_write(
    binding: &Binding,
    write: &PlannedWrite,
    objects: &HashMap<TargetKey, TargetView>,
) -> Result<Arc<str>, Problem> {
    if let (WriteMode::MergeUnseen, CreationPolicy::Merge, Some(view)) =
        (&write.mode, write.policy, objects.get(&write.key))
    {
        check_merge(binding, &write.key, view, &write.content)?;
    }
    Ok(Arc::from(""))
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
