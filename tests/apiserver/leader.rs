//! One of several replicas writes: who leads, when that ends, and what a standby does.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use inference_profile_operator::{
    leader::{Candidacy, Election, Leadership, Timing},
    metrics::Metrics,
};
use k8s_openapi::api::coordination::v1::Lease;
use kube::{
    Api, Client,
    api::{Patch, PatchParams},
};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy},
    net::{TcpListener, TcpStream},
    sync::watch,
};

use crate::{
    case::{Case, cases},
    operator::{Operator, Options},
    stage::{EU, GLOBAL, Stage, empty, sonnet},
    support::{Cluster, eventually},
};

const LEASE: &str = "operator";
/// Short, so that cases need not wait long; the order of the three is that of the defaults.
const TIMING: Timing = Timing {
    lease_duration: Duration::from_secs(3),
    renew_deadline: Duration::from_secs(2),
    retry_period: Duration::from_millis(200),
};

pub fn cases() -> Vec<Case> {
    cases![empty(
        one_replica_writes_and_the_other_stands_by,
        a_replica_that_stops_hands_over,
        a_replica_that_is_cut_off_stops_before_another_starts,
        a_lease_that_is_taken_away_ends_the_term,
        a_change_of_the_leader_writes_nothing,
        a_late_write_changes_nothing,
    )]
}

fn stand(client: Client, namespace: &str, identity: &str) -> Election {
    let candidacy = Candidacy {
        namespace: namespace.to_owned(),
        name: LEASE.to_owned(),
        identity: identity.to_owned(),
        timing: TIMING,
    };
    Election::start(client, candidacy, Metrics::new())
}

/// Starts a replica: an operator on the stage's script, and its election.
fn replica(stage: &Stage, identity: &str) -> (Operator, Election) {
    replica_with(stage, identity, stage.options())
}

/// Starts a replica with other options.
pub fn replica_with(stage: &Stage, identity: &str, options: Options) -> (Operator, Election) {
    let election = stand(stage.cluster.client.clone(), &stage.namespace, identity);
    let options = Options {
        leadership: election.leadership(),
        ..options
    };
    let operator = Operator::start(&stage.cluster, &stage.namespace, options);
    (operator, election)
}

fn leads(leadership: &Leadership) -> bool {
    leadership.remaining().is_some()
}

fn leases(stage: &Stage) -> Api<Lease> {
    Api::namespaced(stage.cluster.client.clone(), &stage.namespace)
}

async fn holder(stage: &Stage) -> Option<String> {
    let lease = leases(stage).get(LEASE).await.expect("the Lease");
    lease.spec.expect("a spec").holder_identity
}

async fn one_replica_writes_and_the_other_stands_by(stage: &Stage) {
    let (first, election) = replica(stage, "first");
    election.leadership().acquired().await;
    let (second, standby) = replica(stage, "second");
    stage.bound("a", sonnet()).await;
    assert_eq!(stage.id("a").await.as_deref(), Some(EU));
    assert_eq!(holder(stage).await.as_deref(), Some("first"));
    assert!(!leads(&standby.leadership()));
    first.stop().await;
    // Nobody has given the Lease back, so that nobody acts on this one.
    stage.bind("b", sonnet()).await;
    assert_eq!(stage.id("b").await, None);
    election.resign().await;
    stage.ready("b").await;
    assert_eq!(holder(stage).await.as_deref(), Some("second"));
    second.stop().await;
    standby.resign().await;
    assert_eq!(holder(stage).await, None);
}

async fn a_replica_that_stops_hands_over(stage: &Stage) {
    let first = stand(stage.cluster.client.clone(), &stage.namespace, "first");
    first.leadership().acquired().await;
    let second = stand(stage.cluster.client.clone(), &stage.namespace, "second");
    let (old, new) = (first.leadership(), second.leadership());
    first.resign().await;
    assert!(!leads(&old), "what is given back is not written under");
    new.acquired().await;
    let lease = leases(stage).get(LEASE).await.expect("the Lease");
    let spec = lease.spec.expect("a spec");
    assert_eq!(spec.holder_identity.as_deref(), Some("second"));
    second.resign().await;
}

async fn a_replica_that_is_cut_off_stops_before_another_starts(stage: &Stage) {
    let wire = Wire::to(&stage.cluster).await;
    let first = stand(wire.client.clone(), &stage.namespace, "first");
    let old = first.leadership();
    old.acquired().await;
    let second = stand(stage.cluster.client.clone(), &stage.namespace, "second");
    let new = second.leadership();
    wire.cut();
    // At no moment do both lead: when the second one begins, the first one has ended.
    new.acquired().await;
    assert!(!leads(&old));
    wire.mend();
    eventually("the first one has looked again", || async {
        if wire.is_used_again() {
            Ok(())
        } else {
            Err("no new connection")
        }
    })
    .await;
    assert!(leads(&new) && !leads(&old));
    second.resign().await;
    old.acquired().await;
    first.resign().await;
}

async fn a_lease_that_is_taken_away_ends_the_term(stage: &Stage) {
    let first = stand(stage.cluster.client.clone(), &stage.namespace, "first");
    let leadership = first.leadership();
    leadership.acquired().await;
    // Metadata of others end nothing.
    let label = json!({"metadata": {"labels": {"team": "platform"}}});
    let patch = |change: serde_json::Value| {
        let leases = leases(stage);
        async move {
            leases
                .patch(LEASE, &PatchParams::default(), &Patch::Merge(change))
                .await
                .expect("patched")
        }
    };
    let labelled = patch(label).await;
    eventually("the Lease is renewed", || async {
        let lease = leases(stage).get(LEASE).await.expect("the Lease");
        let same = lease.metadata.resource_version == labelled.metadata.resource_version;
        if same { Err(lease) } else { Ok(()) }
    })
    .await;
    assert!(leads(&leadership));
    patch(json!({"spec": {"holderIdentity": "someone"}})).await;
    leadership.lost().await;
    // Nobody renews it, so that it is taken again when it has run out.
    leadership.acquired().await;
    assert_eq!(holder(stage).await.as_deref(), Some("first"));
    let lease = leases(stage).get(LEASE).await.expect("the Lease");
    assert_eq!(lease.metadata.labels.expect("labels")["team"], "platform");
    first.resign().await;
}

async fn a_change_of_the_leader_writes_nothing(stage: &Stage) {
    let (first, election) = replica(stage, "first");
    let (second, standby) = replica(stage, "second");
    let binding = stage.bound("a", sonnet()).await;
    let target = stage.object("a").await;
    let (old, new) = if leads(&election.leadership()) {
        ((first, election), (second, standby))
    } else {
        ((second, standby), (first, election))
    };
    let asked = stage.script.asked();
    assert!(asked > 0);
    old.0.stop().await;
    old.1.resign().await;
    new.1.leadership().acquired().await;
    // The new one lists by itself, and has looked at everything when it has bound something new.
    stage.bound("b", sonnet()).await;
    stage.asked(2).await;
    assert_eq!(
        stage.object("a").await.metadata.resource_version,
        target.metadata.resource_version
    );
    assert_eq!(
        stage.binding("a").await.metadata.resource_version,
        binding.metadata.resource_version
    );
    new.0.stop().await;
    new.1.resign().await;
}

/// What a leader sent before it lost the Lease arrives in the term of the next one.
async fn a_late_write_changes_nothing(stage: &Stage) {
    let wire = Wire::to(&stage.cluster).await;
    let election = stand(wire.client.clone(), &stage.namespace, "first");
    election.leadership().acquired().await;
    let mut cluster = stage.cluster.clone();
    cluster.client = wire.client.clone();
    let options = Options {
        leadership: election.leadership(),
        ..stage.options()
    };
    let first = Operator::start(&cluster, &stage.namespace, options);
    for name in ["owned", "only-status"] {
        stage.bound(name, sonnet()).await;
    }
    wire.hold();
    stage.edit("owned", json!({"geography": "global"})).await;
    // Nothing but the status of this one differs.
    let same = json!({"fallback": {"geographies": ["global"]}});
    stage.edit("only-status", same).await;
    eventually("writes are on their way", || async {
        let held = wire.held();
        if held > 1 { Ok(()) } else { Err(held) }
    })
    .await;
    let (second, standby) = replica(stage, "second");
    standby.leadership().acquired().await;
    stage.until_id("owned", Some(GLOBAL)).await;
    stage.edit("owned", json!({"geography": "eu"})).await;
    let mut before = Vec::new();
    for name in ["owned", "only-status"] {
        let binding = stage.ready(name).await;
        assert_eq!(stage.id(name).await.as_deref(), Some(EU));
        before.push((binding, stage.object(name).await));
    }
    wire.release();
    eventually("the late writes have arrived", || async {
        let held = wire.held();
        if held == 0 { Ok(()) } else { Err(held) }
    })
    .await;
    stage.settled().await;
    let mut after = Vec::new();
    for name in ["owned", "only-status"] {
        after.push((stage.binding(name).await, stage.object(name).await));
    }
    assert_eq!(after, before);
    first.stop().await;
    second.stop().await;
    standby.resign().await;
    election.resign().await;
}

/// A way to the apiserver that can be cut: what was sent and not yet passed on stays unanswered, without an error. It can also
/// hold what is sent, and pass it on later.
pub struct Wire {
    pub client: Client,
    cut: watch::Sender<bool>,
    holds: watch::Sender<bool>,
    led_on: Arc<AtomicUsize>,
    held: Arc<AtomicUsize>,
    silent: Arc<AtomicUsize>,
}

impl Wire {
    pub async fn to(cluster: &Cluster) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let (client, server) = cluster.through(port).await;
        let cut = watch::Sender::new(false);
        let holds = watch::Sender::new(false);
        let led_on = Arc::new(AtomicUsize::new(0));
        let held = Arc::new(AtomicUsize::new(0));
        let silent = Arc::new(AtomicUsize::new(0));
        let fallen_silent = Arc::clone(&silent);
        let (is_cut, count) = (cut.subscribe(), Arc::clone(&led_on));
        let (is_held, waiting) = (holds.subscribe(), Arc::clone(&held));
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let mut is_cut = is_cut.clone();
                let (is_held, waiting) = (is_held.clone(), Arc::clone(&waiting));
                let silent = Arc::clone(&fallen_silent);
                let (count, server) = (Arc::clone(&count), server.clone());
                tokio::spawn(async move {
                    // While cut, a new connection is not led on.
                    until(&mut is_cut, false).await;
                    count.fetch_add(1, Ordering::SeqCst);
                    lead(near, &server, is_cut, is_held, &waiting, &silent).await;
                });
            }
        });
        Self {
            client,
            cut,
            holds,
            led_on,
            held,
            silent,
        }
    }

    /// From now on, what is sent is held.
    fn hold(&self) {
        self.holds.send_replace(true);
    }

    /// Passes on what was held.
    fn release(&self) {
        self.holds.send_replace(false);
    }

    /// Returns how many connections were cut and are still open.
    pub fn silent(&self) -> usize {
        self.silent.load(Ordering::SeqCst)
    }

    /// Returns how many connections hold something.
    fn held(&self) -> usize {
        self.held.load(Ordering::SeqCst)
    }

    pub fn cut(&self) {
        self.led_on.store(0, Ordering::SeqCst);
        self.cut.send_replace(true);
    }

    pub fn mend(&self) {
        self.cut.send_replace(false);
    }

    /// Says whether a connection was led on since the wire was cut last.
    fn is_used_again(&self) -> bool {
        self.led_on.load(Ordering::SeqCst) > 0
    }
}

async fn until(is_cut: &mut watch::Receiver<bool>, expected: bool) {
    // Without its wire, when the case is over, a connection ends with the runtime.
    if is_cut.wait_for(|cut| *cut == expected).await.is_err() {
        std::future::pending::<()>().await;
    }
}

async fn lead(
    near: TcpStream,
    server: &str,
    mut is_cut: watch::Receiver<bool>,
    mut is_held: watch::Receiver<bool>,
    held: &AtomicUsize,
    silent: &AtomicUsize,
) {
    let Ok(far) = TcpStream::connect(server).await else {
        return;
    };
    let (mut from_near, mut to_near) = near.into_split();
    let (mut from_far, mut to_far) = far.into_split();
    let up = async {
        let mut chunk = vec![0; 1 << 16];
        while let Ok(length @ 1..) = from_near.read(&mut chunk).await {
            if *is_held.borrow_and_update() {
                held.fetch_add(1, Ordering::SeqCst);
                until(&mut is_held, false).await;
                let _ = to_far.write_all(&chunk[..length]).await;
                held.fetch_sub(1, Ordering::SeqCst);
            } else if to_far.write_all(&chunk[..length]).await.is_err() {
                break;
            }
        }
        let _ = to_far.shutdown().await;
    };
    let down = async {
        let _ = copy(&mut from_far, &mut to_near).await;
        let _ = to_near.shutdown().await;
    };
    tokio::select! {
        _ = async { tokio::join!(up, down) } => {}
        () = until(&mut is_cut, true) => {
            // Nothing goes on, and nobody is told: not even that the connection is over.
            silent.fetch_add(1, Ordering::SeqCst);
            std::future::pending::<()>().await;
        }
    }
}
