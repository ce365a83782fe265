//! What is done and timed, step by step.

use std::time::{Duration, Instant};

use inference_profile_operator::api::InferenceProfileBinding;
use k8s_openapi::api::core::v1::ConfigMap;
use tokio::time::sleep;

use crate::{
    Failure, Options, Step,
    cluster::{
        self, Cluster, FEW, MODEL, MODEL_OF_FEW, Seen, is_measured, is_of_few, name, within,
    },
    figures::Record,
    floor::{DESTINATIONS_KEY, Floor, Job, Sample, Task},
    offline,
    operator::Operator,
    requests::{self, Requests, writes},
    stand_in::Aws,
};

type Destinations = [&'static str; 3];

// Destinations are sorted, as values list them.
/// Destinations that AWS lists at first.
const FIRST: Destinations = ["eu-central-1", "eu-west-1", "eu-west-2"];
/// Destinations between which a change of the catalog moves bindings.
const MOVED: [Destinations; 2] = [
    ["eu-central-1", "eu-north-1", "eu-west-1"],
    ["eu-central-1", "eu-south-1", "eu-west-1"],
];
/// Destinations that the last bindings are moved to.
const MOVED_FEW: Destinations = ["eu-central-1", "eu-south-2", "eu-west-1"];
/// Destinations that the bare client writes.
const OF_FLOOR: Destinations = ["eu-central-1", "eu-west-1", "eu-west-3"];
/// The model that classes are moved to, and its destinations.
const MODEL_OF_CLASS: (&str, Destinations) = (
    "anthropic.claude-haiku-4-5-20251001-v1:0",
    ["eu-central-1", "eu-central-2", "eu-west-1"],
);
/// As [`MODEL_OF_CLASS`], for the class of few.
const MODEL_OF_CLASS_OF_FEW: (&str, Destinations) = (
    "amazon.nova-lite-v1:0",
    ["eu-central-1", "eu-south-3", "eu-west-1"],
);
/// The limit that no profile keeps.
const LIMIT: &str = crate::operator::REGION;
/// A limit that the profiles keep.
const WIDER_LIMIT: &str = "eu-central-1, eu-south-1, eu-west-1";
/// How often catalogs are listed while nothing depends on it.
const SELDOM: &str = "15m";
/// How often catalogs are listed where a change is to be seen at once.
const OFTEN: &str = "1s";
/// How often the catalog may change until enough bindings were created during a rewrite.
const REWRITES_LIMIT: usize = 100;

/// What all measurements share.
pub struct Bench<'a> {
    cluster: Cluster,
    options: &'a Options,
    aws: Aws,
    sample: Sample,
    /// How many bindings the floor has in flight.
    pub in_flight: usize,
    /// The namespaces that are not empty.
    used: Vec<String>,
}

impl<'a> Bench<'a> {
    /// Learns what the operator writes, and with how many bindings in flight the floor is fastest.
    pub async fn prepare(cluster: Cluster, options: &'a Options) -> Result<Self, Failure> {
        let mut aws = Aws::start().await?;
        aws.list(&catalog(FIRST, FIRST)).await?;
        let sample = sample(&cluster, &aws).await?;
        let mut bench = Self {
            cluster,
            options,
            aws,
            sample,
            in_flight: 0,
            used: Vec::new(),
        };
        bench.in_flight = match options.in_flight {
            Some(in_flight) => in_flight,
            None => bench.best_concurrency().await?,
        };
        Ok(bench)
    }

    /// Returns the number of bindings in flight with which the bare client is fastest.
    async fn best_concurrency(&mut self) -> Result<usize, Failure> {
        let mut best = (Duration::MAX, 0);
        // The first one only warms the apiserver up.
        for in_flight in [64, 16, 32, 64] {
            self.in_flight = in_flight;
            let (took, _) = self.floor_create(1000).await?;
            eprintln!(
                "floor with {in_flight} in flight, 1000 bindings: {:.2} s",
                took.as_secs_f64()
            );
            best = best.min((took, in_flight));
        }
        Ok(best.1)
    }

    /// Measures everything once.
    pub async fn run(
        &mut self,
        bindings: usize,
        floor_first: bool,
        record: &mut Record<'_>,
    ) -> Result<(), Failure> {
        let steps = &self.options.steps;
        if steps.contains(&Step::Create) && floor_first {
            self.note_floor_create(bindings, record).await?;
        }
        let namespace = self.namespace().await?;
        self.aws.list(&catalog(FIRST, FIRST)).await?;
        self.create(&namespace, bindings, record).await?;
        if steps.contains(&Step::Restart) {
            self.restart(&namespace, record).await?;
        }
        if steps.contains(&Step::Rewrite) {
            if floor_first {
                self.floor_rewrite(&namespace, bindings, record).await?;
            }
            self.rewrite(&namespace, bindings, record).await?;
            if !floor_first {
                self.floor_rewrite(&namespace, bindings, record).await?;
            }
        }
        if steps.contains(&Step::Class) {
            self.class(&namespace, bindings, record).await?;
        }
        self.clean_up().await?;
        if steps.contains(&Step::Create) && !floor_first {
            self.note_floor_create(bindings, record).await?;
        }
        if steps.contains(&Step::Offline) {
            offline::measure(bindings, record)?;
        }
        Ok(())
    }

    /// Removes what a run has left.
    pub async fn clean_up(&mut self) -> Result<(), Failure> {
        self.aws.fail(false).await?;
        self.cluster.delete_classes().await?;
        for namespace in std::mem::take(&mut self.used) {
            self.cluster.empty(&namespace).await?;
        }
        Ok(())
    }

    async fn namespace(&mut self) -> Result<String, Failure> {
        let namespace = self.cluster.namespace().await?;
        self.used.push(namespace.clone());
        Ok(namespace)
    }

    async fn note_floor_create(
        &mut self,
        bindings: usize,
        record: &mut Record<'_>,
    ) -> Result<(), Failure> {
        let (took, floor) = self.floor_create(bindings).await?;
        record.note("create.floor.seconds", took.as_secs_f64())?;
        record.note("create.floor.cpuSeconds", floor.cpu()?.as_secs_f64())?;
        record.note("create.floor.peakKiB", floor.peak_kib()?)
    }

    async fn floor_create(&mut self, bindings: usize) -> Result<(Duration, Floor), Failure> {
        let namespace = self.namespace().await?;
        let ready = Seen::watch(self.cluster.bindings(&namespace), is_ready).await?;
        let task = Task::Create(Box::new(self.sample.clone()));
        let mut floor = Floor::start(self.job(&namespace, bindings, task)).await?;
        self.cluster.settle().await?;
        let began = Instant::now();
        floor.write().await?;
        let took = ready.all(bindings).await? - began;
        self.clean_up().await?;
        Ok((took, floor))
    }

    fn job(&self, namespace: &str, bindings: usize, task: Task) -> Job {
        Job {
            namespace: namespace.to_owned(),
            bindings,
            in_flight: self.in_flight,
            task,
        }
    }

    async fn create(
        &mut self,
        namespace: &str,
        bindings: usize,
        record: &mut Record<'_>,
    ) -> Result<(), Failure> {
        let ready = Seen::watch(self.cluster.bindings(namespace), is_ready).await?;
        let operator = Operator::start(&self.aws, &[namespace], SELDOM).await?;
        operator.leads().await?;
        let requests_before = self.cluster.settle().await?;
        let idle = operator.usage()?;
        let began = Instant::now();
        self.cluster.create_many(namespace, bindings).await?;
        let ended = ready.all(bindings).await;
        let took = ended.map_err(|error| operator.failed(error))? - began;
        let requests_after = self.cluster.settle().await?;
        let used = operator.usage()?;
        if self.options.steps.contains(&Step::Create) {
            record.note("create.seconds", took.as_secs_f64())?;
            record.note(
                "create.cpuSeconds",
                used.cpu.saturating_sub(idle.cpu).as_secs_f64(),
            )?;
            record.note("create.peakKiB", used.peak_kib)?;
            record.note("start.peakKiB", idle.peak_kib)?;
            let requests = requests::between(&requests_before, &requests_after);
            record.note("create.requests", requests)?;
            record.note("create.visits", operator.visits().await?)?;
            sleep(Duration::from_secs(self.options.quiet)).await;
            let quiet = requests::between(&requests_after, &self.cluster.requests().await?);
            record.note("quiet.requests", quiet)?;
        }
        operator.stop().await
    }

    /// A start with all bindings there already, a change of the leader, and an outage of AWS.
    async fn restart(&mut self, namespace: &str, record: &mut Record<'_>) -> Result<(), Failure> {
        let before = self.cluster.settle().await?;
        let first = Operator::start(&self.aws, &[namespace], SELDOM).await?;
        first.leads().await?;
        record.note("restart.seconds", first.synced_after.as_secs_f64())?;
        record.note("restart.syncedCpuSeconds", first.usage()?.cpu.as_secs_f64())?;
        let after = self.cluster.settle().await?;
        let used = first.usage()?;
        record.note("restart.cpuSeconds", used.cpu.as_secs_f64())?;
        record.note("restart.peakKiB", used.peak_kib)?;
        record.note("restart.requests", requests::between(&before, &after))?;

        let second = Operator::start(&self.aws, &[namespace], OFTEN).await?;
        let before = self.cluster.settle().await?;
        first.stop().await?;
        second.leads().await?;
        let after = self.cluster.settle().await?;
        record.note("leaderChange.requests", requests::between(&before, &after))?;
        record.note("leaderChange.peakKiB", second.usage()?.peak_kib)?;

        let listings = self.aws.listings().await?;
        self.aws.fail(true).await?;
        sleep(Duration::from_secs(self.options.outage)).await;
        record.note("outage.listings", self.aws.listings().await? - listings)?;
        self.aws.fail(false).await?;
        self.listed_again().await?;
        let end = self.cluster.settle().await?;
        record.note("outage.requests", requests::between(&after, &end))?;
        second.stop().await
    }

    /// Waits until AWS was listed twice more: what was under way may be of the time before.
    async fn listed_again(&mut self) -> Result<(), Failure> {
        let listings = self.aws.listings().await?;
        let deadline = Instant::now() + cluster::patience(1);
        while self.aws.listings().await? < listings + 2 {
            if Instant::now() > deadline {
                return Err("the operator does not list any more".into());
            }
            sleep(Duration::from_millis(100)).await;
        }
        Ok(())
    }

    async fn rewrite(
        &mut self,
        namespace: &str,
        bindings: usize,
        record: &mut Record<'_>,
    ) -> Result<(), Failure> {
        let limited = self.namespace().await?;
        // It moves all bindings once it has started.
        self.aws.list(&catalog(MOVED[0], MOVED[0])).await?;
        let operator = Operator::start(&self.aws, &[namespace, &limited], OFTEN).await?;
        operator.leads().await?;
        self.new_bindings(namespace, bindings, &operator, record)
            .await?;

        let destinations = MOVED[1];
        let (change, before) = self
            .change(namespace, &operator, destinations, bindings)
            .await?;
        let idle = operator.usage()?;
        self.aws.list(&catalog(destinations, destinations)).await?;
        change.note("rewrite", bindings, &operator, record).await?;
        let used = operator.usage()?;
        record.note(
            "rewrite.cpuSeconds",
            used.cpu.saturating_sub(idle.cpu).as_secs_f64(),
        )?;
        record.note("rewrite.peakKiB", used.peak_kib)?;
        self.note_requests("rewrite", &before, &operator, record)
            .await?;

        if bindings > FEW {
            let (change, before) = self.change(namespace, &operator, MOVED_FEW, FEW).await?;
            self.aws.list(&catalog(destinations, MOVED_FEW)).await?;
            change.note("rewriteFew", FEW, &operator, record).await?;
            self.note_requests("rewriteFew", &before, &operator, record)
                .await?;
        }
        self.limit_few(&limited, &operator, record).await?;
        operator.stop().await
    }

    /// Creates bindings one after another while all others are rewritten, and deletes them in the end: what follows moves as many
    /// bindings as the floor does.
    async fn new_bindings(
        &mut self,
        namespace: &str,
        bindings: usize,
        operator: &Operator,
        record: &mut Record<'_>,
    ) -> Result<(), Failure> {
        let ready = Seen::watch(self.cluster.bindings(namespace), is_ready).await?;
        let mut latencies: Vec<f64> = Vec::new();
        // An odd number of turns, so that what comes next moves all bindings.
        for turn in 0..=REWRITES_LIMIT {
            if latencies.len() >= self.options.samples && turn % 2 == 1 {
                break;
            }
            let destinations = MOVED[turn % 2];
            let rewritten = Rewritten::watch(&self.cluster, namespace, destinations).await?;
            self.aws.list(&catalog(destinations, destinations)).await?;
            let first = rewritten.statuses.all(1).await;
            first.map_err(|error| operator.failed(error))?;
            while rewritten.statuses.count() < bindings && latencies.len() < self.options.samples {
                let name = new_name(latencies.len());
                let began = Instant::now();
                self.cluster.create(namespace, &name, MODEL).await?;
                let seen = ready.one(&name, bindings).await;
                let seen = seen.map_err(|error| operator.failed(error))?;
                latencies.push((seen - began).as_secs_f64() * 1e3);
            }
            let all = rewritten.all(bindings).await;
            all.map_err(|error| operator.failed(error))?;
        }
        let names = (0..latencies.len()).map(new_name).collect();
        self.cluster.delete(namespace, names).await?;
        record.note("rewrite.newBindingMilliseconds", latencies)
    }

    /// Sets a limit of a Namespace with a few bindings whose values break it, and are removed, and widens it, so that they are
    /// written again.
    async fn limit_few(
        &mut self,
        namespace: &str,
        operator: &Operator,
        record: &mut Record<'_>,
    ) -> Result<(), Failure> {
        let ready = Seen::watch(self.cluster.bindings(namespace), is_ready).await?;
        for number in 0..FEW {
            let (cluster, name) = (&self.cluster, name(number));
            cluster.create(namespace, &name, MODEL).await?;
        }
        let all = ready.all(FEW).await;
        all.map_err(|error| operator.failed(error))?;
        let steps = [
            ("limitFew", LIMIT, is_not_ready as fn(&_) -> bool),
            ("limitFewWidened", WIDER_LIMIT, is_ready),
        ];
        for (step, limit, holds) in steps {
            let before = self.moment(operator).await?;
            let moved = Seen::watch(self.cluster.bindings(namespace), holds).await?;
            let began = Instant::now();
            self.cluster.limit(namespace, limit).await?;
            let all = moved.all(FEW).await;
            let took = all.map_err(|error| operator.failed(error))? - began;
            record.note(&format!("{step}.seconds"), took.as_secs_f64())?;
            self.note_requests(step, &before, operator, record).await?;
        }
        Ok(())
    }

    async fn class(
        &mut self,
        namespace: &str,
        bindings: usize,
        record: &mut Record<'_>,
    ) -> Result<(), Failure> {
        let (of_all, of_few) = (format!("all-{namespace}"), format!("few-{namespace}"));
        self.cluster.apply_class(&of_all, MODEL).await?;
        self.cluster.apply_class(&of_few, MODEL_OF_FEW).await?;
        let class = |number| {
            let class = if is_of_few(number, bindings) {
                &of_few
            } else {
                &of_all
            };
            class.clone()
        };
        self.cluster
            .move_to_class(namespace, bindings, class)
            .await?;
        self.aws.list(&catalog(MOVED[1], MOVED[1])).await?;
        let operator = Operator::start(&self.aws, &[namespace], SELDOM).await?;
        operator.leads().await?;
        let few = if bindings > FEW { FEW } else { 0 };

        let (model, destinations) = MODEL_OF_CLASS;
        let (change, before) = self
            .change(namespace, &operator, destinations, bindings - few)
            .await?;
        self.cluster.apply_class(&of_all, model).await?;
        change
            .note("class", bindings - few, &operator, record)
            .await?;
        self.note_requests("class", &before, &operator, record)
            .await?;

        if few > 0 {
            let (model, destinations) = MODEL_OF_CLASS_OF_FEW;
            let (change, before) = self.change(namespace, &operator, destinations, few).await?;
            self.cluster.apply_class(&of_few, model).await?;
            change.note("classFew", few, &operator, record).await?;
            self.note_requests("classFew", &before, &operator, record)
                .await?;
        }
        operator.stop().await
    }

    async fn floor_rewrite(
        &mut self,
        namespace: &str,
        bindings: usize,
        record: &mut Record<'_>,
    ) -> Result<(), Failure> {
        let regions = OF_FLOOR.iter().map(ToString::to_string).collect();
        let job = self.job(namespace, bindings, Task::Rewrite(regions));
        let mut floor = Floor::start(job).await?;
        let rewritten = Rewritten::watch(&self.cluster, namespace, OF_FLOOR).await?;
        self.cluster.settle().await?;
        let began = Instant::now();
        floor.write().await?;
        let took = rewritten.all(bindings).await? - began;
        record.note("rewrite.floor.seconds", took.as_secs_f64())?;
        record.note("rewrite.floor.cpuSeconds", floor.cpu()?.as_secs_f64())
    }

    /// Returns what shows the change that is about to be made, and what was counted until now.
    async fn change(
        &self,
        namespace: &str,
        operator: &Operator,
        destinations: Destinations,
        bindings: usize,
    ) -> Result<(Change, Moment), Failure> {
        let moment = self.moment(operator).await?;
        let rewritten = Rewritten::watch(&self.cluster, namespace, destinations).await?;
        if rewritten.statuses.count() > 0 {
            return Err(format!("{bindings} bindings should move, and some are there").into());
        }
        let began = Instant::now();
        Ok((Change { began, rewritten }, moment))
    }

    async fn moment(&self, operator: &Operator) -> Result<Moment, Failure> {
        let requests = self.cluster.settle().await?;
        Ok(Moment {
            requests,
            visits: operator.visits().await?,
        })
    }

    /// Notes what was counted since.
    async fn note_requests(
        &self,
        step: &str,
        before: &Moment,
        operator: &Operator,
        record: &mut Record<'_>,
    ) -> Result<(), Failure> {
        let after = self.moment(operator).await?;
        let mut requests = requests::between(&before.requests, &after.requests);
        // What this program itself has done.
        requests.remove("PATCH namespaces");
        requests.remove("APPLY inferenceprofileclasses");
        record.note(&format!("{step}.writes"), writes(&requests))?;
        record.note(&format!("{step}.requests"), requests)?;
        record.note(&format!("{step}.visits"), after.visits - before.visits)
    }
}

/// What was counted until a moment.
struct Moment {
    requests: Requests,
    visits: u64,
}

/// A change that moves bindings.
struct Change {
    began: Instant,
    rewritten: Rewritten,
}

impl Change {
    /// Waits until so many bindings have moved, and notes how long that took: from the change, and from the first of them on.
    async fn note(
        &self,
        step: &str,
        bindings: usize,
        operator: &Operator,
        record: &mut Record<'_>,
    ) -> Result<(), Failure> {
        let ended = self.rewritten.all(bindings).await;
        let ended = ended.map_err(|error| operator.failed(error))?;
        let took = ended - self.began;
        let noticed = self.rewritten.first().unwrap_or(self.began) - self.began;
        record.note(&format!("{step}.seconds"), took.as_secs_f64())?;
        record.note(&format!("{step}.noticedSeconds"), noticed.as_secs_f64())
    }
}

/// Lets the operator make one binding ready, and returns what it wrote.
async fn sample(cluster: &Cluster, aws: &Aws) -> Result<Sample, Failure> {
    let namespace = cluster.namespace().await?;
    let ready = Seen::watch(cluster.bindings(&namespace), is_ready).await?;
    let operator = Operator::start(aws, &[&namespace], SELDOM).await?;
    cluster.create_many(&namespace, 1).await?;
    ready.all(1).await.map_err(|error| operator.failed(error))?;
    operator.stop().await?;
    let config_map = within(cluster.config_maps(&namespace).get(&name(0))).await?;
    let binding = within(cluster.bindings(&namespace).get(&name(0))).await?;
    cluster.empty(&namespace).await?;
    Ok(Sample {
        config_map,
        status: binding.status.unwrap_or_default(),
    })
}

/// Returns what AWS lists: the profiles of most bindings and of the last ones with these destinations, and the others.
fn catalog<'a>(most: Destinations, few: Destinations) -> [(&'a str, Destinations); 4] {
    [
        (MODEL, most),
        (MODEL_OF_FEW, few),
        MODEL_OF_CLASS,
        MODEL_OF_CLASS_OF_FEW,
    ]
}

/// The objects that carry certain destinations.
struct Rewritten {
    targets: Seen,
    statuses: Seen,
}

impl Rewritten {
    async fn watch<const N: usize>(
        cluster: &Cluster,
        namespace: &str,
        destinations: [&'static str; N],
    ) -> Result<Self, Failure> {
        let value = destinations.join(",");
        let targets = Seen::watch(cluster.config_maps(namespace), move |target: &ConfigMap| {
            is_measured(target)
                && target
                    .data
                    .as_ref()
                    .and_then(|data| data.get(DESTINATIONS_KEY))
                    == Some(&value)
        })
        .await?;
        let statuses = Seen::watch(
            cluster.bindings(namespace),
            move |binding: &InferenceProfileBinding| {
                let profile = binding
                    .status
                    .as_ref()
                    .and_then(|status| status.profile.as_ref());
                is_measured(binding)
                    && profile.is_some_and(|profile| profile.destination_regions == destinations)
            },
        )
        .await?;
        Ok(Self { targets, statuses })
    }

    async fn all(&self, bindings: usize) -> Result<Instant, Failure> {
        Ok(self
            .targets
            .all(bindings)
            .await?
            .max(self.statuses.all(bindings).await?))
    }

    fn first(&self) -> Option<Instant> {
        self.targets.first().min(self.statuses.first())
    }
}

/// Returns the name of a binding that is created while others are rewritten.
fn new_name(number: usize) -> String {
    format!("new-{number:06}")
}

fn is_ready(binding: &InferenceProfileBinding) -> bool {
    ready(binding) == Some("True")
}

fn is_not_ready(binding: &InferenceProfileBinding) -> bool {
    ready(binding) == Some("False")
}

fn ready(binding: &InferenceProfileBinding) -> Option<&str> {
    let conditions = binding.status.iter().flat_map(|status| &status.conditions);
    let ready = conditions
        .into_iter()
        .find(|condition| condition.type_ == "Ready");
    ready.map(|condition| condition.status.as_str())
}
