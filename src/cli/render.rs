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
    api::{
        CreationPolicy, InferenceProfileBinding, condition::ConditionType, names::MANAGED_LABEL,
    },
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

/// Most names of bindings that the summary tells.
const SHOWN: usize = 20;

/// Options of `render`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  inference-profile-operator render -f examples/01-smallest.yaml\n  inference-profile-operator render -f bindings/ --region eu-west-1 \\\n    --allowed-regions @eu\n  kubectl kustomize overlays/prod | inference-profile-operator render -f -\n  inference-profile-operator render -f bindings/ --targets-only \\\n    | kubectl apply -f -\n\nExit codes: 0 every binding is Ready; 1 something failed; 2 bad input; 3 a binding is not Ready."
)]
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
    /// Prints the targets alone, for `kubectl apply` without an operator: without the bindings, owner references and the operator's label
    #[arg(long)]
    targets_only: bool,
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
    let mut failed = Vec::new();
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
        if !problems.is_empty() {
            failed.push(key.to_string());
        }
        for problem in problems {
            writeln!(err, "{key}: {problem}")?;
        }
        for mut manifest in manifests {
            if args.targets_only {
                disown(&mut manifest);
            }
            write!(out, "---\n{}", yaml(&manifest)?)?;
        }
        if !args.targets_only {
            write!(out, "---\n{}", yaml(&with_status(wire, key, &status)?)?)?;
        }
    }
    if failed.is_empty() {
        return Ok(0);
    }
    writeln!(err, "{}", summary(&failed, input.bindings.len()))?;
    Ok(NOT_READY)
}

/// Returns a line with all that failed, for the end of a long output.
fn summary(failed: &[String], all: usize) -> String {
    let shown = failed.len().min(SHOWN);
    let names = failed[..shown].join(", ");
    let more = match failed.len() - shown {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!("{} of {all} bindings failed: {names}{more}", failed.len())
}

/// Takes off an object what makes it the operator's: nobody would write or remove it by these.
fn disown(manifest: &mut Value) {
    let Some(metadata) = manifest["metadata"].as_object_mut() else {
        return;
    };
    metadata.remove("ownerReferences");
    let labels = metadata.get_mut("labels").and_then(Value::as_object_mut);
    let is_empty = labels.is_some_and(|labels| {
        labels.remove(MANAGED_LABEL);
        labels.is_empty()
    });
    if is_empty {
        metadata.remove("labels");
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_failed_is_summed_up_in_a_line() {
        let names = |count: usize| (0..count).map(|n| format!("a/b{n}")).collect::<Vec<_>>();
        assert_eq!(summary(&names(2), 3), "2 of 3 bindings failed: a/b0, a/b1");
        let long = summary(&names(SHOWN + 5), 100);
        assert!(long.ends_with("a/b19 and 5 more"), "{long}");
    }

    #[test]
    fn nothing_of_the_operator_stays_at_an_object() {
        let object = |labels: Value| json!({"metadata": {"name": "a", "labels": labels, "ownerReferences": [{}]}});
        let mut plain = object(json!({MANAGED_LABEL: "true"}));
        disown(&mut plain);
        assert_eq!(plain, json!({"metadata": {"name": "a"}}));
        let mut labelled = object(json!({MANAGED_LABEL: "true", "team": "shop"}));
        disown(&mut labelled);
        assert_eq!(labelled["metadata"]["labels"], json!({"team": "shop"}));
    }
}
