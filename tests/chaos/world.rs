//! A cluster with bindings, two replicas and a stand-in for AWS, and what a try of a fault does there. Every change that the
//! suite makes is noted with what must come of it.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::task::JoinHandle;

use crate::{
    Outcome,
    audit::Audit,
    bindings::{Binding, Expected, KINDS, ON_DEMAND, PROFILES, REGION, Shape},
    calls::{Call, Caller, path, path_of},
    checks,
    common::bedrock_server::{self, BedrockServer},
    controlplane::ControlPlane,
    etcd::{Recorder, until},
    manifests,
    replica::{LEASE_KEY, LEASE_NAMESPACE, Replica},
    wire::Network,
};

/// Namespaces of the bindings; the last one sets a limit that holds.
pub const NAMESPACES: [&str; 3] = ["chaos-a", "chaos-b", "chaos-limited"];
const LIMIT: &[&str] = &["@eu", "@uk"];
/// Longest wait for what a fault needs to be under way.
pub const PATIENCE: Duration = Duration::from_mins(1);
/// How long the operator writes nothing before it counts as quiet.
const QUIET: Duration = Duration::from_secs(3);
/// Longest wait until everything stands for the first time, for each binding.
const FIRST: Duration = Duration::from_millis(500);

/// What was changed in a try, and what must come of it.
#[derive(Default)]
pub struct Ledger {
    /// How many changes etcd had seen before.
    pub mark: usize,
    /// How many writes of replicas had been logged before.
    pub writes_before: usize,
    /// For each binding, what its target may hold, one after the other.
    pub values: BTreeMap<String, (Binding, Vec<Option<String>>)>,
    /// Values that others wrote.
    pub edits: BTreeSet<String>,
    /// Namespaces that the suite itself emptied.
    pub emptied: BTreeSet<String>,
    /// Whether the leader died, and specs went back before anybody led again. A change that was recorded and not written can't be
    /// told from one that was written and taken back: a workload may restart once for nothing.
    pub went_back_unseen: bool,
    /// Bindings that were deleted and came back with an older copy of etcd's data.
    pub came_back: BTreeSet<String>,
    /// Whether what replicas send is delayed beyond their terms.
    pub delayed: bool,
    /// Bindings that a burst concerned.
    struck: BTreeSet<String>,
    /// The fewest writes with which all this can be done.
    pub least: usize,
}

/// Everything that a fault acts on.
pub struct World {
    pub plane: ControlPlane,
    pub recorder: Arc<Recorder>,
    pub audit: Audit,
    pub bedrock: BedrockServer,
    pub replicas: [Replica; 2],
    pub caller: Caller,
    pub rng: fastrand::Rng,
    pub bindings: BTreeMap<String, Binding>,
    pub limits: BTreeMap<String, &'static [&'static str]>,
    pub ledger: Ledger,
    /// How long a write took when the operator began, two for each binding: what this machine does, with all else that runs on it.
    pace: Duration,
    made: usize,
    player: JoinHandle<()>,
    /// Removed with this value.
    _folder: TempDir,
}

impl Drop for World {
    fn drop(&mut self) {
        self.player.abort();
    }
}

impl World {
    /// Starts everything, makes so many bindings, and waits until each stands as it must.
    pub async fn start(binaries: PathBuf, bindings: usize) -> Result<Self, String> {
        let folder = tempfile::Builder::new()
            .prefix("chaos.")
            .tempdir()
            .map_err(|error| error.to_string())?;
        let mut plane = ControlPlane::start(binaries, folder.path().to_owned()).await?;
        let recorder = Arc::new(Recorder::start(plane.etcd_port)?);
        let bedrock = bedrock().await;
        let caller = Caller {
            client: plane.client.clone(),
        };
        caller.make(&Call::Apply(manifests::definition()?)).await?;
        plane.start_controllers()?;
        let replicas = [
            Replica::new(&plane, 0, &bedrock.url()).await?,
            Replica::new(&plane, 1, &bedrock.url()).await?,
        ];
        let mut world = Self {
            audit: Audit::of(plane.folder.join("audit.log")),
            player: tokio::spawn(play_deployments(caller.clone(), Arc::clone(&recorder))),
            plane,
            recorder,
            bedrock,
            replicas,
            caller,
            rng: fastrand::Rng::with_seed(0),
            bindings: BTreeMap::new(),
            limits: BTreeMap::from([("chaos-limited".to_owned(), LIMIT)]),
            ledger: Ledger::default(),
            pace: Duration::ZERO,
            made: 0,
            _folder: folder,
        };
        world.populate(bindings).await?;
        for replica in &mut world.replicas {
            replica.start()?;
        }
        let number = u32::try_from(bindings).unwrap_or(u32::MAX);
        let settled = world.settle(PATIENCE + FIRST * number).await?;
        world.pace = settled.values / number.saturating_mul(2).max(1);
        Ok(world)
    }

    async fn populate(&mut self, bindings: usize) -> Outcome {
        let rights = [manifests::role(None), manifests::role_binding()];
        let namespaces = [manifests::namespace(LEASE_NAMESPACE, None)]
            .into_iter()
            .chain(
                NAMESPACES
                    .iter()
                    .map(|name| manifests::namespace(name, self.limit(name))),
            );
        let first = rights
            .into_iter()
            .chain(namespaces)
            .map(|object| vec![Call::Apply(object)]);
        self.caller.run(first.collect()).await?;
        let bystanders = NAMESPACES
            .iter()
            .flat_map(|name| manifests::bystanders(name));
        let mut calls: Vec<Vec<Call>> =
            bystanders.map(|object| vec![Call::Apply(object)]).collect();
        for _ in 0..bindings {
            let binding = self.next_binding();
            calls.push(manifests::with_surroundings(&binding));
            self.bindings.insert(binding.id(), binding);
        }
        self.caller.run(calls).await
    }

    /// Returns the next binding; kinds and namespaces take turns.
    fn next_binding(&mut self) -> Binding {
        let number = self.made;
        self.made += 1;
        let kind = &KINDS[number % KINDS.len()];
        Binding {
            namespace: NAMESPACES[(number / KINDS.len()) % NAMESPACES.len()].to_owned(),
            name: format!("{}-{number}", kind.name),
            kind,
            other: false,
        }
    }

    fn limit(&self, namespace: &str) -> Option<&[&str]> {
        self.limits.get(namespace).copied()
    }

    /// Returns what must come of a binding.
    pub fn expected(&self, binding: &Binding) -> Expected {
        binding.expected(self.limit(&binding.namespace))
    }

    /// Begins a try: what stands now is right.
    pub fn begin(&mut self, seed: u64) {
        self.rng = fastrand::Rng::with_seed(seed);
        self.audit.read(self.recorder.life());
        let values = self.bindings.iter().map(|(id, binding)| {
            let value = self.expected(binding).value;
            (id.clone(), (binding.clone(), vec![value]))
        });
        self.ledger = Ledger {
            values: values.collect(),
            mark: self.recorder.mark(),
            writes_before: self.audit.writes.len(),
            ..Ledger::default()
        };
    }

    /// Notes what must come of every binding from now on, and counts the writes that it takes.
    pub fn note(&mut self) {
        let mut ledger = std::mem::take(&mut self.ledger);
        for (id, binding) in &self.bindings {
            let value = self.expected(binding).value;
            let created = !ledger.values.contains_key(id);
            let (_, values) = ledger
                .values
                .entry(id.clone())
                .or_insert_with(|| (binding.clone(), vec![None]));
            let merged = usize::from(binding.kind.shape == Shape::Merge);
            if values.last() != Some(&value) {
                let restart = if created || !binding.kind.workload {
                    0
                } else {
                    2
                };
                // The target and the status; beside these the finalizer, or the restart and that it was done.
                ledger.least += 2 + if created { merged } else { restart };
                values.push(value);
            } else if created {
                ledger.least += 1 + merged;
            }
        }
        for (id, (binding, values)) in &mut ledger.values {
            if !self.bindings.contains_key(id) && values.last() != Some(&None) {
                // Garbage collection removes what is owned.
                ledger.least += if binding.kind.shape == Shape::Merge {
                    2
                } else {
                    0
                };
                values.push(None);
            }
        }
        self.ledger = ledger;
    }

    /// Returns some bindings for which something holds, as the seed has it.
    pub fn choose(&mut self, number: usize, holds: impl Fn(&Binding) -> bool) -> Vec<Binding> {
        let mut chosen: Vec<Binding> = self
            .bindings
            .values()
            .filter(|binding| holds(binding))
            .cloned()
            .collect();
        self.rng.shuffle(&mut chosen);
        chosen.truncate(number);
        chosen
    }

    /// Returns how many bindings a share of all is, at least six.
    pub fn share(&self, percent: usize) -> usize {
        (self.bindings.len() * percent / 100).max(6)
    }

    /// Lets specs ask for the other model; returns the calls that do it.
    pub fn turn(&mut self, bindings: &[Binding]) -> Vec<Vec<Call>> {
        let mut calls = Vec::new();
        for binding in bindings {
            if let Some(binding) = self.bindings.get_mut(&binding.id()) {
                binding.other = !binding.other;
                calls.push(vec![Call::Apply(binding.manifest())]);
            }
        }
        self.note();
        calls
    }

    /// Makes new bindings; returns the calls that do it.
    pub fn create(&mut self, number: usize) -> Vec<Vec<Call>> {
        let mut calls = Vec::new();
        for _ in 0..number {
            let binding = self.next_binding();
            calls.push(manifests::with_surroundings(&binding));
            self.bindings.insert(binding.id(), binding);
        }
        self.note();
        calls
    }

    /// Deletes bindings; returns the calls that do it.
    pub fn remove(&mut self, bindings: &[Binding]) -> Vec<Vec<Call>> {
        for binding in bindings {
            self.bindings.remove(&binding.id());
        }
        self.note();
        let path = |binding: &Binding| path_of(&binding.manifest());
        bindings
            .iter()
            .map(|binding| vec![Call::Delete(path(binding))])
            .collect()
    }

    /// What people do all at once: a fifth of the specs change, some bindings come, and some go. Returns the calls. No burst
    /// changes a binding that an earlier one of the same try did: there and back has faults of its own.
    pub fn burst(&mut self) -> Vec<Vec<Call>> {
        let struck = self.ledger.struck.clone();
        let fresh = |binding: &Binding| !struck.contains(&binding.id());
        let changed = self.choose(self.share(20), |binding| {
            fresh(binding) && binding.kind.changes
        });
        let changing: BTreeSet<String> = changed.iter().map(Binding::id).collect();
        let removed = self.choose(self.share(3), |binding| {
            fresh(binding) && !changing.contains(&binding.id())
        });
        let mut calls = self.turn(&changed);
        let created = self.share(3);
        calls.extend(self.create(created));
        calls.extend(self.remove(&removed));
        self.ledger.struck.extend(changing);
        self.rng.shuffle(&mut calls);
        calls
    }

    /// Makes a burst, and waits until it was accepted.
    pub async fn bursts(&mut self) -> Outcome {
        let calls = self.burst();
        self.caller.run(calls).await
    }

    /// Begins a burst, and returns when the operator is in the middle of it, with what ends when all was accepted.
    pub async fn in_a_burst(&mut self) -> Result<JoinHandle<Outcome>, String> {
        let calls = self.burst();
        let (caller, before) = (self.caller.clone(), self.writes());
        let enough = self.share(5);
        let burst = tokio::spawn(async move { caller.run(calls).await });
        self.until_writes(before + enough).await?;
        Ok(burst)
    }

    /// Returns how many writes of replicas were logged.
    pub fn writes(&mut self) -> usize {
        self.audit.read(self.recorder.life());
        self.audit.writes.len()
    }

    /// Waits until so many writes of replicas were logged.
    pub async fn until_writes(&mut self, number: usize) -> Outcome {
        until("the operator writes", PATIENCE, || {
            let writes = self.writes();
            if writes >= number {
                Ok(())
            } else {
                Err(format!("{writes} of {number} writes"))
            }
        })
        .await
    }

    /// Changes a value in targets, as a person with an editor does.
    pub async fn edit(&mut self, bindings: &[Binding]) -> Outcome {
        let mut calls = Vec::new();
        for binding in bindings {
            let key = binding.edited_key();
            let mut object = self
                .target(binding)
                .ok_or(format!("{} has no target", binding.id()))?;
            let (field, stored) = match binding.kind.shape {
                Shape::Secret => (
                    "stringData",
                    json!(k8s_openapi::ByteString(b"edited".to_vec())),
                ),
                _ => ("data", json!("edited")),
            };
            object["data"][key] = stored;
            let edited = binding.found(Some(&object));
            self.ledger.edits.extend(edited.clone());
            self.interfere(binding, edited);
            calls.push(vec![Call::Merge(
                target_path(binding),
                json!({field: {key: "edited"}}),
            )]);
        }
        self.caller.run(calls).await
    }

    /// Deletes targets that are owned.
    pub async fn delete_targets(&mut self, bindings: &[Binding]) -> Outcome {
        for binding in bindings {
            self.interfere(binding, None);
        }
        // The status has the UID of the new one.
        self.ledger.least += bindings.len();
        let paths = bindings.iter().map(target_path);
        self.caller
            .run(paths.map(|path| vec![Call::Delete(path)]).collect())
            .await
    }

    /// Takes the operator's label from targets.
    pub async fn unlabel(&mut self, bindings: &[Binding]) -> Outcome {
        self.ledger.least += bindings.len();
        let change = json!({"metadata": {"labels": {"inferenceprofiles.dev/managed": null}}});
        let paths = bindings.iter().map(target_path);
        self.caller
            .run(
                paths
                    .map(|path| vec![Call::Merge(path, change.clone())])
                    .collect(),
            )
            .await
    }

    /// Notes that others changed a target, and that it is corrected.
    fn interfere(&mut self, binding: &Binding, value: Option<String>) {
        let expected = self.expected(binding).value;
        if let Some((_, values)) = self.ledger.values.get_mut(&binding.id()) {
            values.extend([value, expected]);
            self.ledger.least += 1;
        }
    }

    fn target(&self, binding: &Binding) -> Option<Value> {
        self.recorder
            .get(&binding.target_key())
            .map(|object| (*object).clone())
    }

    /// Sets, or for None takes away, the limit of a Namespace.
    pub async fn limit_namespace(
        &mut self,
        namespace: &str,
        limit: Option<&'static [&'static str]>,
    ) -> Outcome {
        match limit {
            Some(limit) => self.limits.insert(namespace.to_owned(), limit),
            None => self.limits.remove(namespace),
        };
        self.note();
        self.caller
            .make(&Call::Apply(manifests::namespace(namespace, limit)))
            .await
    }

    /// Gives the operator its rights, or all but one.
    pub async fn grant_all_but(&self, right: Option<manifests::Right>) -> Outcome {
        self.caller.make(&Call::Apply(manifests::role(right))).await
    }

    /// Applies everything in a namespace again, or in all of them.
    pub async fn apply_bindings(&mut self, namespace: Option<&str>) -> Outcome {
        self.note();
        let here =
            |binding: &&Binding| namespace.is_none_or(|namespace| binding.namespace == namespace);
        let bindings = self.bindings.values().filter(here);
        self.caller
            .run(bindings.map(manifests::with_surroundings).collect())
            .await
    }

    /// Takes bindings out of the account, and returns them: they are deleted in another way than one by one.
    pub fn lose(&mut self, lost: impl Fn(&Binding) -> bool) -> Vec<Binding> {
        let bindings: Vec<Binding> = self
            .bindings
            .values()
            .filter(|binding| lost(binding))
            .cloned()
            .collect();
        for binding in &bindings {
            self.bindings.remove(&binding.id());
        }
        self.note();
        bindings
    }

    /// Notes that garbage collection may take values once more: what the operator corrected before it could know that its
    /// binding was gone.
    pub fn collected_again(&mut self) {
        for (_, values) in self.ledger.values.values_mut() {
            if let [.., Some(value), None] = values.as_slice() {
                let value = value.clone();
                values.extend([Some(value), None]);
            }
        }
    }

    /// Returns which replica holds the Lease.
    pub fn leader(&self) -> Option<usize> {
        let lease = self.recorder.get(LEASE_KEY)?;
        let holder = lease["spec"]["holderIdentity"].as_str()?;
        self.replicas
            .iter()
            .position(|replica| holder.starts_with(replica.user))
    }

    /// Waits until there is a leader, and returns which.
    pub async fn some_leader(&self) -> Result<usize, String> {
        until("a replica leads", PATIENCE, || {
            self.leader().ok_or("nobody".to_owned())
        })
        .await
    }

    /// Waits until another replica leads.
    pub async fn other_leader(&self, than: usize) -> Outcome {
        until("the other replica leads", PATIENCE, || {
            match self.leader() {
                Some(leader) if leader != than => Ok(()),
                leader => Err(format!("{leader:?}")),
            }
        })
        .await
    }

    /// Sets the network of both replicas.
    pub fn network(&self, network: Network) {
        for replica in &self.replicas {
            replica.wire.set(network);
        }
    }

    /// Deletes the Lease.
    pub async fn delete_lease(&self) -> Outcome {
        let path = path("Lease", LEASE_NAMESPACE, "inference-profile-operator");
        self.caller.make(&Call::Delete(path)).await
    }

    /// Makes the next try begin with so many bindings, and with the limits of the first.
    pub async fn reset(&mut self, bindings: usize) -> Outcome {
        for namespace in NAMESPACES {
            let limit = (namespace == "chaos-limited").then_some(LIMIT);
            if self.limit(namespace) != limit {
                self.limit_namespace(namespace, limit).await?;
            }
        }
        let surplus = self.bindings.len().saturating_sub(bindings);
        let surplus = self.choose(surplus, |_| true);
        let calls = self.remove(&surplus);
        self.caller.run(calls).await?;
        self.settle(PATIENCE).await.map(drop)
    }

    /// Returns twice the time that the least writes of this try take at the pace of this machine.
    pub fn allowance(&self) -> Duration {
        self.pace * u32::try_from(2 * self.ledger.least).unwrap_or(u32::MAX)
    }

    /// Waits until all stands as it must and the operator is quiet; returns how long it took until all stood so.
    pub async fn settle(&mut self, bound: Duration) -> Result<Settled, String> {
        let mended = Instant::now();
        let mut values_since: Option<Instant> = None;
        let mut since: Option<Instant> = None;
        loop {
            self.audit.read(self.recorder.life());
            let differences = checks::differences(self);
            if differences.iter().any(|it| !it.is_restart) {
                values_since = None;
            } else {
                values_since.get_or_insert_with(Instant::now);
            }
            if differences.is_empty() {
                let fixed = *since.get_or_insert_with(Instant::now);
                if fixed.elapsed() >= QUIET && self.audit.last.elapsed() >= QUIET {
                    return Ok(Settled {
                        values: values_since.unwrap_or(fixed) - mended,
                        all: fixed - mended,
                    });
                }
            } else {
                since = None;
                if mended.elapsed() > bound {
                    let some = differences.iter().take(3);
                    let some: Vec<&str> = some.map(|it| it.words.as_str()).collect();
                    return Err(format!(
                        "{} bindings not at their fixed point after {} s: {}",
                        differences.len(),
                        bound.as_secs(),
                        some.join("; ")
                    ));
                }
            }
            if mended.elapsed() > bound + PATIENCE {
                return Err("the operator writes without end".to_owned());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

/// How long it took until all stood as it must.
#[derive(Debug, Clone, Copy)]
pub struct Settled {
    /// Values and statuses.
    pub values: Duration,
    /// Restarts too.
    pub all: Duration,
}

fn target_path(binding: &Binding) -> String {
    let kind = if binding.kind.shape == Shape::Secret {
        "Secret"
    } else {
        "ConfigMap"
    };
    path(kind, &binding.namespace, &binding.target())
}

/// Returns the profiles that the stand-in lists, as the wire has them, but for one.
pub fn profiles_without(vanished: Option<(&str, &str)>) -> Vec<Value> {
    PROFILES
        .iter()
        .filter(|(geography, model, _)| vanished != Some((*geography, *model)))
        .map(|(geography, model, destinations)| {
            bedrock_server::profile(REGION, geography, model, destinations)
        })
        .collect()
}

async fn bedrock() -> BedrockServer {
    let server = BedrockServer::start().await;
    server.set_profiles(REGION, profiles_without(None));
    let with_profiles: BTreeSet<&str> = PROFILES.iter().map(|(_, model, _)| *model).collect();
    let models = with_profiles
        .iter()
        .map(|model| (*model, "INFERENCE_PROFILE"));
    let on_demand = ON_DEMAND.iter().map(|model| (*model, "ON_DEMAND"));
    let models = models
        .chain(on_demand)
        .map(|(model, types)| bedrock_server::model(REGION, model, &[types], &json!({})));
    server.set_models(REGION, models.collect());
    server
}

/// Plays the controller of Deployments, whose pods come up at once.
async fn play_deployments(caller: Caller, recorder: Arc<Recorder>) {
    loop {
        for key in recorder.keys("/registry/deployments/chaos") {
            let Some(deployment) = recorder.get(&key) else {
                continue;
            };
            let generation = &deployment["metadata"]["generation"];
            if *generation == deployment["status"]["observedGeneration"] {
                continue;
            }
            let mut parts = key.rsplit('/');
            let (Some(name), Some(namespace)) = (parts.next(), parts.next()) else {
                continue;
            };
            let path = format!("{}/status", path("Deployment", namespace, name));
            let status = json!({"status": {
                "observedGeneration": generation,
                "replicas": 1, "updatedReplicas": 1, "readyReplicas": 1, "availableReplicas": 1,
            }});
            let call = Call::Merge(path, status);
            // While the apiserver is away, it is away for this controller too.
            let _ = tokio::time::timeout(Duration::from_secs(5), caller.make(&call)).await;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}
