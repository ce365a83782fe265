//! The operator in this process, limited to one namespace, on a catalog that a case scripts.

use std::{
    collections::HashMap,
    sync::{
        Arc, LazyLock, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures::future::{BoxFuture, FutureExt};
use inference_profile_operator::{
    api::{InferenceProfileBinding, condition::Reason},
    catalog::{
        Access, Catalog, CatalogError, FeedKey, FoundationModel, Lifecycle, Profile, Source,
        SourceKind, Usability, embedded::Embedded, roles::AllowedRoles,
    },
    controller::{
        Config, Controller, Health, ServedConfig,
        clock::{Clock, SystemClock},
    },
    feeds::{Schedule, admission::FeedLimits},
    leader::Leadership,
    metrics::Metrics,
    plan::Settings,
    residency::{Limit, LimitOrigin},
    route::Destinations,
    types::{ModelId, Region, RoleArn},
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use tokio::{
    sync::{oneshot, watch},
    task::JoinHandle,
};

use crate::support::{Cluster, PATIENCE, eventually};

/// A model with profiles of several geographies.
pub const SONNET: &str = "anthropic.claude-sonnet-4-5-20250929-v1:0";
/// Account of the scripted live catalog.
pub const ACCOUNT: &str = "111122223333";
/// How often the scripted catalog is asked: scripts take effect at once.
const REFRESH: Duration = Duration::from_millis(100);

/// The clock of most cases. The lives of the models of these tests end while the tests stay as they are.
static CLOCK: LazyLock<Arc<ShiftedClock>> =
    LazyLock::new(|| Arc::new(ShiftedClock::at("2026-11-28T12:00:00Z")));

/// What a case tells the operator. The default is the embedded catalog, called from eu-west-1.
pub struct Options {
    pub source: Arc<dyn Source>,
    pub allowed_regions: Vec<&'static str>,
    pub enable_secrets: bool,
    pub enable_rollout: bool,
    pub check_access: bool,
    pub concurrent_rollouts: usize,
    pub account: Option<&'static str>,
    pub selector: Option<String>,
    /// Namespaces that are served beside the first.
    pub more_namespaces: Vec<String>,
    /// Whether all namespaces are served. A selector keeps other cases out.
    pub all_namespaces: bool,
    pub leadership: Leadership,
    pub require_limit: bool,
    pub schedule: Schedule,
    pub feed_limits: FeedLimits,
    pub allowed_roles: Vec<String>,
    pub follow_embedded: bool,
    pub served: Option<ServedConfig>,
    pub metrics: Metrics,
    pub clock: Arc<ShiftedClock>,
}

/// A clock that runs ahead of the machine's, or behind it, and can be set.
#[derive(Debug)]
pub struct ShiftedClock {
    /// By how many seconds.
    ahead: watch::Sender<i64>,
}

impl ShiftedClock {
    /// Returns a clock that shows this time now.
    pub fn at(time: &str) -> Self {
        let clock = Self {
            ahead: watch::Sender::new(0),
        };
        clock.set(time);
        clock
    }

    /// Sets the clock.
    pub fn set(&self, time: &str) {
        let time: jiff::Timestamp = time.parse().expect("a time");
        self.ahead
            .send_replace(time.as_second() - SystemClock.now());
    }
}

impl Clock for ShiftedClock {
    fn now(&self) -> i64 {
        SystemClock.now() + *self.ahead.borrow()
    }

    fn sleep_until(&self, time: i64) -> BoxFuture<'_, ()> {
        async move {
            let mut ahead = self.ahead.subscribe();
            while self.now() < time {
                let by_itself = SystemClock.sleep_until(time - *self.ahead.borrow());
                tokio::select! {
                    () = by_itself => {}
                    _ = ahead.changed() => {}
                }
            }
        }
        .boxed()
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            source: Arc::new(Embedded::load()),
            allowed_regions: Vec::new(),
            enable_secrets: false,
            enable_rollout: false,
            check_access: false,
            concurrent_rollouts: 4,
            account: None,
            selector: None,
            more_namespaces: Vec::new(),
            all_namespaces: false,
            leadership: Leadership::always(),
            require_limit: false,
            schedule: Schedule {
                interval: REFRESH,
                // Two refreshes, which are the least: scripts take effect at once.
                grace: Duration::ZERO,
                confirmation: REFRESH,
                // The embedded data grows old while the tests stay as they are.
                max_age: Duration::from_hours(24 * 365 * 100),
            },
            feed_limits: FeedLimits::default(),
            allowed_roles: Vec::new(),
            follow_embedded: false,
            served: None,
            metrics: Metrics::new(),
            clock: CLOCK.clone(),
        }
    }
}

/// A running operator.
pub struct Operator {
    pub health: Health,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Operator {
    /// Starts an operator.
    pub fn start(cluster: &Cluster, namespace: &str, options: Options) -> Self {
        let limit = (!options.allowed_regions.is_empty()).then(|| {
            Limit::parse(LimitOrigin::Operator, &options.allowed_regions).expect("a limit")
        });
        let mut namespaces = options.more_namespaces;
        namespaces.push(namespace.to_owned());
        if options.all_namespaces {
            namespaces.clear();
        }
        let config = Config {
            embedded: Embedded::load(),
            clock: options.clock,
            namespaces,
            selector: options.selector,
            default_region: "eu-west-1".parse().expect("a region"),
            workers: 8,
            schedule: options.schedule,
            allowed_roles: AllowedRoles::parse(&options.allowed_roles).expect("an allow-list"),
            feed_limits: options.feed_limits,
            concurrent_rollouts: options.concurrent_rollouts,
            served: options.served,
            settings: Settings {
                enable_secrets: options.enable_secrets,
                enable_rollout: options.enable_rollout,
                check_access: options.check_access,
                account: options
                    .account
                    .map(|account| account.parse().expect("an account")),
                limit,
                require_limit: options.require_limit,
                follow_embedded: options.follow_embedded,
            },
        };
        let (stop, stopped) = oneshot::channel();
        let client = cluster.client.clone();
        let (leadership, metrics) = (options.leadership, options.metrics);
        let controller = Controller::new(client, options.source, config, leadership, metrics);
        let health = controller.health();
        let run = controller.run(async {
            // A dropped sender stops the operator too.
            let _ = stopped.await;
        });
        let task =
            tokio::spawn(async { run.await.expect("the controller runs until it is stopped") });
        Self { health, stop, task }
    }

    /// Stops the operator as SIGTERM does, and waits for it.
    pub async fn stop(self) {
        drop(self.stop);
        let stopped = tokio::time::timeout(PATIENCE, self.task).await;
        stopped
            .expect("the operator stops")
            .expect("the operator does not panic");
    }
}

/// A way in which AWS fails: in words, as a script, and as the reason that `CatalogFresh` gives.
pub type Failure = (&'static str, fn(&Script, &str), Reason);

/// The ways in which a scripted catalog fails.
pub const FAILURES: [Failure; 3] = [
    ("failing", Script::fails, Reason::ServiceError),
    ("throttling", Script::throttles, Reason::Throttled),
    ("denying", Script::denies, Reason::AccessDenied),
];

/// A live catalog that does as it is told.
#[derive(Default)]
pub struct Script {
    answers: Mutex<HashMap<Region, Answer>>,
    models: Mutex<HashMap<Region, Vec<FoundationModel>>>,
    usability: Mutex<Option<Usability>>,
    asked_of_access: AtomicUsize,
    asked: AtomicUsize,
    asked_of: Mutex<HashMap<FeedKey, usize>>,
    silent: watch::Sender<bool>,
}

#[derive(Clone)]
enum Answer {
    Lists(Vec<Arc<Profile>>),
    Denies,
    Throttles,
    Fails,
}

impl Script {
    /// Returns a script that lists, from every region, what the embedded catalog has there.
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Returns what the embedded catalog has for a region.
    pub fn embedded(region: &str) -> Vec<Arc<Profile>> {
        Embedded::load()
            .catalog(&region.parse().expect("a region"))
            .profiles()
            .to_vec()
    }

    /// From now on, the region lists these profiles.
    pub fn lists(&self, region: &str, profiles: Vec<Arc<Profile>>) {
        self.answer(region, Answer::Lists(profiles));
    }

    /// From now on, the region lists what the embedded catalog has there, without the profile of this ID.
    pub fn lists_without(&self, region: &str, id: &str) {
        let profiles = Self::embedded(region)
            .into_iter()
            .filter(|profile| profile.id.as_str() != id)
            .collect();
        self.lists(region, profiles);
    }

    /// From now on, the profile of this ID has these destinations from the region.
    pub fn reroutes(&self, region: &str, id: &str, destinations: &[&str]) {
        let profiles = Self::embedded(region)
            .into_iter()
            .map(|profile| {
                if profile.id.as_str() != id {
                    return profile;
                }
                let regions = destinations
                    .iter()
                    .map(|name| name.parse().expect("a region"))
                    .collect();
                Arc::new(Profile {
                    destinations: Destinations::regions(regions),
                    ..(*profile).clone()
                })
            })
            .collect();
        self.lists(region, profiles);
    }

    /// From now on, the region has this one model, with what is told of it. Before, models can't be listed.
    pub fn knows(&self, region: &str, model: &str, lifecycle: Lifecycle, on_demand: bool) {
        let model = FoundationModel {
            id: model.parse().expect("a model"),
            lifecycle,
            on_demand,
        };
        let mut models = self.models.lock().expect("not poisoned");
        models.insert(region.parse().expect("a region"), vec![model]);
    }

    /// From now on, the models of the region can't be listed.
    pub fn forgets_models(&self, region: &str) {
        let region: Region = region.parse().expect("a region");
        self.models.lock().expect("not poisoned").remove(&region);
    }

    /// From now on, this is said of whether models can be used. Before, it can't be told.
    pub fn tells_access(&self, usability: Usability) {
        *self.usability.lock().expect("not poisoned") = Some(usability);
    }

    /// Returns how often it was asked whether a model can be used.
    pub fn asked_of_access(&self) -> usize {
        self.asked_of_access.load(Ordering::SeqCst)
    }

    /// From now on, the call is denied.
    pub fn denies(&self, region: &str) {
        self.answer(region, Answer::Denies);
    }

    /// From now on, the call is throttled.
    pub fn throttles(&self, region: &str) {
        self.answer(region, Answer::Throttles);
    }

    /// From now on, the service fails.
    pub fn fails(&self, region: &str) {
        self.answer(region, Answer::Fails);
    }

    /// From now on, the region lists what the embedded catalog has there, as at the beginning.
    pub fn recovers(&self, region: &str) {
        self.lists(region, Self::embedded(region));
    }

    /// From now on, no call is answered until [`Script::answers_again`].
    pub fn falls_silent(&self) {
        self.silent.send_replace(true);
    }

    /// Answers the calls that wait, and all further ones.
    pub fn answers_again(&self) {
        self.silent.send_replace(false);
    }

    /// Returns how often the catalog was asked.
    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    /// Returns how often a region was asked.
    pub fn asked_of(&self, region: &str) -> usize {
        let log = self.log();
        let of_region = log.iter().filter(|(key, _)| key.region.as_str() == region);
        of_region.map(|(_, count)| count).sum()
    }

    /// Returns how often each role and region was asked.
    pub fn log(&self) -> HashMap<FeedKey, usize> {
        self.asked_of.lock().expect("not poisoned").clone()
    }

    fn answer(&self, region: &str, answer: Answer) {
        self.answers
            .lock()
            .expect("not poisoned")
            .insert(region.parse().expect("a region"), answer);
    }
}

impl Source for Script {
    fn kind(&self) -> SourceKind {
        SourceKind::Bedrock
    }

    fn list<'a>(&'a self, key: &'a FeedKey) -> BoxFuture<'a, Result<Catalog, CatalogError>> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        *self
            .asked_of
            .lock()
            .expect("not poisoned")
            .entry(key.clone())
            .or_default() += 1;
        let mut silent = self.silent.subscribe();
        Box::pin(async move {
            silent
                .wait_for(|silent| !silent)
                .await
                .expect("the script lives");
            let answer = self
                .answers
                .lock()
                .expect("not poisoned")
                .get(&key.region)
                .cloned();
            let profiles = match answer {
                None => Self::embedded(key.region.as_str()),
                Some(Answer::Lists(profiles)) => profiles,
                Some(Answer::Denies) => {
                    return Err(CatalogError::AccessDenied("denied by script".to_owned()));
                }
                Some(Answer::Throttles) => {
                    return Err(CatalogError::Throttled {
                        message: "throttled by script".to_owned(),
                        retry_after: None,
                    });
                }
                Some(Answer::Fails) => {
                    return Err(CatalogError::ServiceError("failed by script".to_owned()));
                }
            };
            let of_role = key.role.as_ref().and_then(RoleArn::account);
            let account = of_role.unwrap_or_else(|| ACCOUNT.parse().expect("an account"));
            let models = self.models.lock().expect("not poisoned");
            let models = models.get(&key.region).cloned();
            Ok(Catalog::new(
                SourceKind::Bedrock,
                key.region.clone(),
                Some(account),
                None,
                profiles,
            )
            .with_models(models))
        })
    }

    fn access(&self) -> Option<&dyn Access> {
        Some(self)
    }
}

impl Access for Script {
    fn usability<'a>(
        &'a self,
        _: &'a FeedKey,
        _: &'a ModelId,
    ) -> BoxFuture<'a, Result<Usability, CatalogError>> {
        self.asked_of_access.fetch_add(1, Ordering::SeqCst);
        let answer = self.usability.lock().expect("not poisoned").clone();
        let untold = || CatalogError::AccessDenied("denied by script".to_owned());
        Box::pin(std::future::ready(answer.ok_or_else(untold)))
    }
}

/// Returns a condition of a binding as `(status, reason, message)`.
pub fn condition(
    binding: &InferenceProfileBinding,
    kind: &str,
) -> Option<(String, String, String)> {
    let found: &Condition = binding
        .status
        .as_ref()?
        .conditions
        .iter()
        .find(|condition| condition.type_ == kind)?;
    Some((
        found.status.clone(),
        found.reason.clone(),
        found.message.clone(),
    ))
}

/// Waits until a condition of the current generation has this status and reason, and returns the binding.
pub async fn until(
    cluster: &Cluster,
    namespace: &str,
    name: &str,
    kind: &str,
    status: &str,
    reason: Reason,
) -> InferenceProfileBinding {
    let bindings = cluster.bindings(namespace);
    eventually(
        &format!("{namespace}/{name} has {kind}={status} {reason}"),
        || async {
            let binding = bindings.get(name).await.expect("the binding");
            let current = binding
                .status
                .as_ref()
                .and_then(|status| status.observed_generation)
                == binding.metadata.generation;
            match condition(&binding, kind) {
                Some((seen_status, seen_reason, _))
                    if current && seen_status == status && seen_reason == reason.as_str() =>
                {
                    Ok(binding)
                }
                _ => Err(binding.status),
            }
        },
    )
    .await
}
