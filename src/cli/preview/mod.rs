//! `preview`: what an edit of classes, bindings and Namespaces would do to a cluster, by the controller's own plans. It only reads.
//!
//! Each binding is planned twice: as everything is, and with the files laid over it. What the first plan would change too is
//! no effect of the edit.

mod cluster;
mod effect;
mod report;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    io::Write,
    path::PathBuf,
    sync::Arc,
};

use clap::{Args, ValueEnum};

use self::effect::{Effect, Planned, Row, row};
use super::{
    Error, NOT_READY,
    catalogs::Catalogs,
    input::{Given, Input},
    options::{CatalogOptions, CatalogSource, DayOptions, LimitOptions, RegionOptions},
    output::Form,
    printable,
    render::try_write,
};
use crate::{
    api::TargetKind,
    cache::{Cache, FeedRules, KnownClass, Via},
    catalog::{Applications, FeedState, Freshness, SourceKind, embedded::Embedded},
    class::{Labels, RequestError},
    feeds::admission::FeedLimits,
    models::ModelName,
    plan::{
        RestartOutcome, Settings, Tried,
        identity::{ObjectKey, TargetKey, WorkloadKey},
        observed::{Ask, Binding, Observed, Spec, TargetView},
        plan,
        status::{ClassOrigin, Status},
    },
    residency::NamespaceLimit,
    types::AccountId,
};

/// Options of `preview`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  inference-profile-operator preview -f class.yaml --catalog bedrock\n  inference-profile-operator preview -f class.yaml -f namespaces.yaml -o json\n  inference-profile-operator preview -f bindings/ -n shop --context production\n  inference-profile-operator preview -f new/ --against old/ --region eu-west-1\n\nWhat is in the files takes the place of what is in the cluster. Give the options of the operator: --catalog, and the limit, account and region that it has. Exit codes: 0 nothing is lost; 1 something could not be read or judged; 2 bad input; 3 a binding would lose its Ready or its value, or a new one would not be Ready.\n\nRights: list inferenceprofilebindings, inferenceprofileclasses, namespaces and configmaps."
)]
pub struct PreviewArgs {
    /// Classes, bindings and Namespaces as they would be: file, folder or - for standard input; repeatable
    #[arg(long = "filename", short = 'f', value_name = "PATH", required = true)]
    paths: Vec<PathBuf>,
    /// Compares with files instead of a cluster: the classes, bindings and Namespaces as they are; repeatable
    #[arg(long, value_name = "PATH", conflicts_with_all = ["all_namespaces", "ConnectOptions"])]
    against: Vec<PathBuf>,
    #[command(flatten)]
    cluster: cluster::ClusterOptions,
    /// By default, that which the statuses of such bindings have.
    #[command(flatten)]
    region: RegionOptions,
    #[command(flatten)]
    limit: LimitOptions,
    /// Judges as an operator with --require-residency does
    #[arg(long)]
    require_residency: bool,
    #[command(flatten)]
    catalog: CatalogOptions,
    /// AWS account ID for the ARNs of profiles, where neither a live listing nor the status tells it
    #[arg(long, value_name = "ACCOUNT-ID")]
    account: Option<AccountId>,
    /// Judges new Secret targets as an operator with --enable-secrets does [default: whether it wrote one]
    #[arg(long)]
    enable_secrets: bool,
    #[command(flatten)]
    day: DayOptions,
    /// Format of the output
    #[arg(long, short, value_enum, default_value_t = Output::Table)]
    output: Output,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Output {
    /// A line for each binding that would change
    Table,
    /// One JSON object
    Json,
    /// The same as YAML
    Yaml,
}

/// What there is before the edit.
#[derive(Default)]
struct World {
    bindings: Vec<(Binding, u64)>,
    namespaces: BTreeMap<Arc<str>, (NamespaceLimit, Labels)>,
    /// Whether a Namespace that is not among them sets no limit and has no labels.
    knows_namespaces: bool,
    classes: Vec<(KnownClass, u64)>,
    /// Whether there are no other classes.
    knows_classes: bool,
    targets: Vec<(TargetKey, TargetView, u64)>,
    /// What else is to be told.
    remarks: Vec<String>,
    /// What could not be read, and may count.
    incomplete: Vec<String>,
}

impl World {
    /// Returns what is in files. Nothing is written yet: see [`Planner::write_all`].
    fn of(old: Input) -> Self {
        let classes = old.classes.values();
        let namespaces = old.namespaces();
        Self {
            namespaces: namespaces
                .map(|(name, limit, labels)| (name.clone(), (limit, labels.clone())))
                .collect(),
            knows_namespaces: true,
            classes: classes
                .map(|class| (KnownClass::from_file(class.clone()), 1))
                .collect(),
            knows_classes: true,
            bindings: old.bindings.into_iter().map(|it| (it.binding, 1)).collect(),
            remarks: old.remarks,
            ..Self::default()
        }
    }
}

/// What an edit does.
struct Preview {
    rows: Vec<Row>,
    /// How many bindings there are, with those in files.
    bindings: usize,
    unchanged: usize,
    /// Bindings of which it is not known what becomes, each with why.
    unknown: Vec<(ObjectKey, String)>,
    remarks: Vec<String>,
    incomplete: Vec<String>,
}

pub(super) async fn run(
    args: PreviewArgs,
    out: &mut impl Write,
    err: &mut impl Write,
) -> Result<u8, Error> {
    let limit = args.limit.parse()?;
    let only = &args.cluster.namespaces;
    let first = only.first().map(String::as_str);
    let is_offline = !args.against.is_empty();
    let (world, given) = if is_offline {
        let region = args.region.optional()?;
        let namespace = first.unwrap_or("default");
        let read =
            |paths: &[PathBuf]| Input::read_any("preview", paths, namespace, region.as_ref());
        (World::of(read(&args.against)?), read(&args.paths)?)
    } else {
        let read = cluster::read(&args.cluster, &args.region).await?;
        let namespace = first.unwrap_or(&read.own_namespace);
        let given = Input::read_any("preview", &args.paths, namespace, read.region.as_ref())?;
        (read.world, given)
    };
    let has_secret = world.bindings.iter().any(|(binding, _)| {
        let mut records = binding.status.targets.iter();
        records.any(|record| record.key.kind == TargetKind::Secret)
    });
    let mut remarks = world.remarks.clone();
    remarks.extend(other_source(&world, &args.catalog.catalog));
    remarks.extend(given.remarks.iter().cloned());
    let given = within(given, only, &mut remarks);
    let cache = Cache::new(FeedRules {
        // The catalog is listed with the credentials of whoever asks, whatever role a binding names.
        roles: None,
        limits: FeedLimits::NONE,
        lists: 0,
    });
    let there = world.bindings.iter().map(|(binding, _)| binding);
    let naming = there
        .chain(given.bindings.iter().map(|it| &it.binding))
        .filter(|it| it.spec.names_application())
        .filter_map(|it| cache.feed_of(it));
    let catalogs = Catalogs::new(&args.catalog).with_applications(naming);
    let mut planner = Planner {
        settings: Settings {
            enable_secrets: args.enable_secrets || has_secret,
            // Whether the operator may restart workloads is not known here.
            enable_rollout: true,
            check_access: false,
            account: args.account,
            limit,
            require_limit: args.require_residency,
            follow_embedded: false,
        },
        cache,
        catalogs,
        objects: HashMap::new(),
        knows_classes: world.knows_classes,
        now: args.day.now(),
    };
    let incomplete = world.incomplete.clone();
    let mut preview = planner.preview(&world, given, is_offline).await?;
    preview.remarks = remarks;
    preview.incomplete = incomplete;
    match args.output {
        Output::Table => report::table(&preview, out)?,
        Output::Json => report::object(&preview, Form::Json, out)?,
        Output::Yaml => report::object(&preview, Form::Yaml, out)?,
    }
    report::summary(&preview, err)?;
    let mut effects = preview.rows.iter().map(|row| row.effect);
    if effects.any(Effect::is_loss) {
        return Ok(NOT_READY);
    }
    // What was not read proves nothing.
    let is_whole = preview.unknown.is_empty() && preview.incomplete.is_empty();
    Ok(u8::from(!is_whole))
}

/// Leaves out the bindings in files that are of other namespaces than those to preview: those of the cluster are not read.
fn within(mut given: Input, only: &[String], remarks: &mut Vec<String>) -> Input {
    if only.is_empty() {
        return given;
    }
    given.bindings.retain(|Given { binding, .. }| {
        let key = &binding.key;
        let is_within = only.iter().any(|name| **name == *key.namespace);
        if !is_within {
            remarks.push(format!("{key} is passed over: --namespace leaves it out"));
        }
        is_within
    });
    given
}

/// Returns a remark if values were found in another kind of catalog than the one to judge by: the operator may decide otherwise.
fn other_source(world: &World, catalog: &CatalogSource) -> Option<String> {
    let mine = match catalog {
        CatalogSource::Bedrock => SourceKind::Bedrock,
        CatalogSource::Embedded => SourceKind::Embedded,
        CatalogSource::Directory(_) => SourceKind::Directory,
    };
    let sources = world.bindings.iter().filter_map(|(binding, _)| {
        let (_, written) = binding.status.written().next()?;
        (written.provenance.source != mine).then_some(written.provenance.source)
    });
    let others: Vec<SourceKind> = sources.collect();
    let first = others.first()?;
    Some(format!(
        "values that were found in another catalog ({}): {}; this is judged by the catalog {}: give --catalog as the operator has it",
        first.as_str(),
        others.len(),
        mine.as_str()
    ))
}

/// Plans bindings as the controller does, and writes nothing.
struct Planner<'a> {
    cache: Cache,
    catalogs: Catalogs<'a>,
    settings: Settings,
    /// Objects among the files that keys may be merged into.
    objects: HashMap<TargetKey, TargetView>,
    knows_classes: bool,
    /// In seconds since the Unix epoch.
    now: i64,
}

impl Planner<'_> {
    async fn preview(
        &mut self,
        world: &World,
        given: Input,
        is_offline: bool,
    ) -> Result<Preview, Error> {
        self.apply(world);
        if is_offline {
            self.write_all(world).await?;
        }
        let mut keys: BTreeSet<ObjectKey> = BTreeSet::new();
        keys.extend(
            world
                .bindings
                .iter()
                .map(|(binding, _)| binding.key.clone()),
        );
        let mut before: BTreeMap<ObjectKey, (Arc<Binding>, Planned)> = BTreeMap::new();
        for key in &keys {
            if let Some(planned) = self.plan(key).await? {
                before.insert(key.clone(), planned);
            }
        }
        keys.extend(given.bindings.iter().map(|it| it.binding.key.clone()));
        self.overlay(world, given, &before);
        let mut preview = Preview {
            rows: Vec::new(),
            bindings: keys.len(),
            unchanged: 0,
            unknown: Vec::new(),
            remarks: Vec::new(),
            incomplete: Vec::new(),
        };
        for key in keys {
            let Some((binding, then)) = self.plan(&key).await? else {
                // It is being deleted, or its namespace is: the operator does nothing about it.
                preview.unchanged += 1;
                continue;
            };
            let before = before.get(&key);
            if let Some(why) = &then.unknown {
                preview.unknown.push((binding.key.clone(), why.clone()));
                continue;
            }
            let now = before.map(|(binding, _)| &binding.status);
            let without = before.map(|(_, planned)| planned);
            match row(&key, now, without, &then) {
                Some(row) => preview.rows.push(row),
                None => preview.unchanged += 1,
            }
        }
        preview.rows.sort_by_key(|row| row.effect);
        Ok(preview)
    }

    /// Takes in what there is.
    fn apply(&mut self, world: &World) {
        for (name, (limit, labels)) in &world.namespaces {
            self.cache
                .apply_namespace(name, limit.clone(), labels.clone());
        }
        for (class, version) in &world.classes {
            self.cache.apply_class(class.clone(), *version, Via::Event);
        }
        if world.knows_classes {
            let names = world.classes.iter();
            let names = names.map(|(known, _)| known.class.name.clone());
            self.cache.retain_classes(&names.collect());
        }
        for (key, view, version) in &world.targets {
            self.cache
                .apply_target(key, view.clone(), *version, Via::Event);
        }
        for (binding, version) in &world.bindings {
            self.know_namespace(world, &binding.key.namespace);
            self.cache
                .apply_binding(binding.clone(), *version, Via::Event);
        }
    }

    /// Takes a Namespace that is not there for one without limit and labels, unless it may not be read.
    fn know_namespace(&mut self, world: &World, name: &Arc<str>) {
        if world.knows_namespaces && !world.namespaces.contains_key(name) {
            self.cache
                .apply_namespace(name, NamespaceLimit::Unset, Labels::default());
        }
    }

    /// Gives bindings in files the statuses that they would have once they are applied.
    async fn write_all(&mut self, world: &World) -> Result<(), Error> {
        for (binding, _) in &world.bindings {
            if let Some((binding, planned)) = self.plan(&binding.key).await? {
                let binding = Binding {
                    status: planned.status,
                    ..(*binding).clone()
                };
                self.cache.apply_binding(binding, 0, Via::Event);
            }
        }
        Ok(())
    }

    /// Lays the files over what there is.
    fn overlay(
        &mut self,
        world: &World,
        given: Input,
        before: &BTreeMap<ObjectKey, (Arc<Binding>, Planned)>,
    ) {
        let files: BTreeMap<_, _> = given
            .namespaces()
            .map(|(name, limit, labels)| (name.clone(), (limit, labels.clone())))
            .collect();
        for (name, given) in files {
            let (limit, labels) = merged(world.namespaces.get(&name), given);
            self.cache.apply_namespace(&name, limit, labels);
        }
        for class in given.classes.values() {
            let class = KnownClass::from_file(class.clone());
            self.cache.apply_class(class, 0, Via::Event);
        }
        if !world.knows_classes && !given.classes.is_empty() {
            let names = given.classes.keys().cloned();
            self.cache.retain_classes(&names.collect());
        }
        for Given { binding, .. } in given.bindings {
            let namespace = binding.key.namespace.clone();
            let is_known = self.cache.knows_namespace(&namespace);
            if !is_known {
                self.know_namespace(world, &namespace);
            }
            let known = before.get(&binding.key).map(|(known, _)| &**known);
            let binding = edited(binding, known, self.now);
            self.cache.apply_binding(binding, 0, Via::Event);
        }
        self.objects = given.objects;
    }

    /// Plans a binding as the cache has it. Returns `None` if the operator does nothing about it: it is being deleted, or its
    /// Namespace is.
    async fn plan(&mut self, key: &ObjectKey) -> Result<Option<(Arc<Binding>, Planned)>, Error> {
        let mut feed = None;
        let known = self.cache.observe(key, |asked| {
            feed = asked.cloned();
            FeedState::pending()
        });
        if known.is_none() {
            return Ok(None);
        }
        let state = match &feed {
            Some(feed) => self.catalogs.state(feed).await?,
            None => FeedState::pending(),
        };
        let Some(mut observed) = self.cache.observe(key, |_| state) else {
            return Ok(None);
        };
        if observed.namespace == NamespaceLimit::Unknown {
            // It may not be read, which is told. The operator, which may, would not stop for it.
            observed.namespace = NamespaceLimit::Unset;
        }
        if observed.binding.deleting || observed.namespace == NamespaceLimit::Terminating {
            return Ok(None);
        }
        let binding = observed.binding.clone();
        let unknown = unknown(&observed, self.knows_classes);
        let of_each = |(name, ask): (ModelName<'_>, &Ask)| {
            let class = ask.class.as_deref()?;
            Some((name.cloned(), ClassOrigin::of(class)))
        };
        let classes = binding.spec.asks.iter().filter_map(of_each).collect();
        // What is not known here, the operator found in its listing before.
        let written = binding.status.written();
        let account = { written }.find_map(|(_, written)| written.account.clone());
        let settings = Settings {
            account: self.settings.account.clone().or(account),
            ..self.settings.clone()
        };
        let (status, restarts) = carried_out(observed, &settings, &self.objects, self.now);
        let planned = Planned {
            status,
            restarts,
            classes,
            unknown,
        };
        Ok(Some((binding, planned)))
    }
}

/// Returns why it is not known what the operator would decide.
fn unknown(observed: &Observed, knows_classes: bool) -> Option<String> {
    let spec = &observed.binding.spec;
    if spec.suspend {
        return None;
    }
    let mut asks = spec.asks.values();
    asks.find_map(|ask| not_known(ask, observed, knows_classes))
}

/// Returns why it is not known what the operator would find for one of the models.
fn not_known(ask: &Ask, observed: &Observed, knows_classes: bool) -> Option<String> {
    match ask.request.as_ref().map_err(|error| &**error) {
        Err(error @ RequestError::LabelsUnreadable(_)) => Some(error.to_string()),
        Err(RequestError::ClassesUnreadable(class)) => Some(unread(class)),
        Err(RequestError::ClassNotFound(class)) if !knows_classes => Some(unread(class)),
        Err(_) => None,
        Ok(request) => match (&observed.feed.catalog, &observed.feed.freshness) {
            (None, Freshness::Failed { message, .. }) => Some(message.to_string()),
            (Some(catalog), _) if request.application.is_some() => unlisted(catalog.applications()),
            _ => None,
        },
    }
}

/// Returns why it is not known which application profiles there are.
fn unlisted(applications: &Applications) -> Option<String> {
    if applications.profiles().is_some() {
        return None;
    }
    Some(match applications.failure() {
        Some(failure) => format!("application profiles could not be listed: {}", failure.message),
        None => "the catalog has no application profiles: use --catalog bedrock, or a directory that `catalog export --application-profiles` wrote".to_owned(),
    })
}

fn unread(class: &str) -> String {
    format!("it is not known what the class {class} asks for: classes can't be listed")
}

/// Returns the limit and the labels that a Namespace has once a file is applied. What the file leaves out stays.
fn merged(
    known: Option<&(NamespaceLimit, Labels)>,
    (limit, labels): (NamespaceLimit, Labels),
) -> (NamespaceLimit, Labels) {
    let Some((known_limit, known_labels)) = known else {
        return (limit, labels);
    };
    let limit = match (known_limit, limit) {
        // No file ends the deletion.
        (NamespaceLimit::Terminating, _) | (_, NamespaceLimit::Unset) => known_limit.clone(),
        (_, limit) => limit,
    };
    (limit, known_labels.with(&labels))
}

/// Returns a binding as it is once a file is applied. `now` is in seconds since the Unix epoch.
fn edited(given: Binding, known: Option<&Binding>, now: i64) -> Binding {
    match known {
        // It is younger than those that are there.
        None => Binding {
            created: now,
            ..given
        },
        Some(known) => Binding {
            generation: known.generation + i64::from(!is_same(&given.spec, &known.spec)),
            spec: given.spec,
            ..known.clone()
        },
    }
}

/// Says whether two specs say the same. What their class asks for does not count.
fn is_same(one: &Spec, other: &Spec) -> bool {
    let same_ask = |name: ModelName<'_>, mine: &Ask| {
        let Some(theirs) = other.asks.get(name.map(|name| &**name)) else {
            return false;
        };
        match (&mine.class, &theirs.class) {
            (Some(first), Some(second)) => {
                first.name == second.name
                    && first.source_region == second.source_region
                    && first.application == second.application
            }
            _ => mine == theirs,
        }
    };
    let same_asks = one.asks.has_names_of(&other.asks)
        && one.asks.iter().all(|(name, mine)| same_ask(name, mine));
    let other = Spec {
        asks: one.asks.clone(),
        ..other.clone()
    };
    same_asks && *one == other
}

/// Carries out a plan in thought: all that is tried succeeds, but what an object among the files forbids. Returns the status,
/// and the workloads that restart. `now` is in seconds since the Unix epoch.
fn carried_out(
    observed: Observed,
    settings: &Settings,
    objects: &HashMap<TargetKey, TargetView>,
    now: i64,
) -> (Status, Vec<WorkloadKey>) {
    let mut plan = plan(observed, settings, Embedded::load(), now);
    let recorded = plan.binding().status.clone();
    if let Some(status) = plan.mark(now) {
        plan = plan.marked(status);
    }
    let binding = plan.binding().clone();
    let (writing, writes) = plan.begin();
    let tried = writes.into_iter().map(|write| Tried {
        outcome: try_write(&binding, &write, objects),
        what: write,
    });
    let (finishing, removals, restarts) = writing.finish(tried.collect()).begin();
    let workloads = restarts.iter().map(|restart| restart.workload.clone());
    let workloads = workloads.collect();
    let removals = removals.into_iter().map(|what| Tried {
        what,
        outcome: Ok(()),
    });
    let restarts = restarts.into_iter().map(|what| Tried {
        what,
        outcome: Ok(RestartOutcome::Triggered),
    });
    let outcome = finishing.conclude(removals.collect(), restarts.collect(), now);
    (outcome.status.unwrap_or(recorded), workloads)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{api::InferenceProfileClassSpec, class::Class, types::Region};

    /// Returns a binding with this spec, as the second of two files.
    fn binding(spec: &str) -> Binding {
        let wire = serde_yaml::from_str(spec).expect("a spec");
        let region: Region = "eu-west-1".parse().expect("a region");
        let name: Arc<str> = "chat".into();
        Binding {
            spec: Spec::parse(&wire, &name, &region),
            key: ObjectKey {
                namespace: "shop".into(),
                name,
            },
            uid: "1".into(),
            generation: 1,
            created: 1,
            deleting: false,
            finalizer: false,
            refresh: None,
            status: Status::default(),
        }
    }

    fn limit(entries: &str) -> NamespaceLimit {
        NamespaceLimit::of_annotation(Some(entries))
    }

    #[test]
    fn an_applied_binding_keeps_what_the_cluster_knows() {
        let known = Binding {
            uid: "uid".into(),
            generation: 4,
            created: 70,
            ..binding("{model: a.b, geography: eu}")
        };
        for (given, generation) in [
            ("{model: a.b, geography: eu}", 4),
            ("{model: a.c, geography: eu}", 5),
            ("{model: a.b, geography: eu, suspend: true}", 5),
            ("{className: chat}", 5),
        ] {
            let found = edited(binding(given), Some(&known), 100);
            assert_eq!(found.generation, generation, "{given}");
            assert_eq!((&*found.uid, found.created), ("uid", 70), "{given}");
        }
        let new = edited(binding("{model: a.b, geography: eu}"), None, 100);
        assert_eq!(new.created, 100, "those that are there came first");
    }

    #[test]
    fn what_a_class_asks_for_is_no_edit_of_the_binding() {
        let mut known = binding("{className: chat}");
        let class = InferenceProfileClassSpec {
            model: "a.b".to_owned(),
            geography: "eu".to_owned(),
            ..Default::default()
        };
        let name: Arc<str> = "chat".into();
        let class = Arc::new(Class::parse(&name, &class));
        known.spec.apply_class(|_| Ok(class.clone()), "shop", None);
        assert_eq!(known.spec.requests().count(), 1);
        assert!(is_same(&binding("{className: chat}").spec, &known.spec));
        for other in [
            "{className: other}",
            "{className: chat, sourceRegion: us-east-1}",
            "{className: chat, suspend: true}",
        ] {
            assert!(!is_same(&binding(other).spec, &known.spec), "{other}");
        }
    }

    #[test]
    fn what_a_file_of_a_namespace_leaves_out_stays() {
        let labels = |value| Labels::new([("stage", value)]);
        let known = (limit("@eu"), labels("dev"));
        for (given, expected) in [
            (
                (NamespaceLimit::Unset, Labels::default()),
                (limit("@eu"), labels("dev")),
            ),
            (
                (limit("@us"), labels("prod")),
                (limit("@us"), labels("prod")),
            ),
        ] {
            assert_eq!(merged(Some(&known), given.clone()), expected);
            assert_eq!(merged(None, given.clone()), given);
        }
        let known = (NamespaceLimit::Terminating, labels("dev"));
        let (limit, _) = merged(Some(&known), (limit("@us"), labels("prod")));
        assert_eq!(limit, NamespaceLimit::Terminating);
    }
}
