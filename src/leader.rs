//! Leader election by a Lease (`coordination.k8s.io`): one of several replicas writes, the others stand by with warm caches.
//!
//! It is safe even if clocks differ. The holder stops writing [`Timing::renew_deadline`] after the *start* of its last
//! successful renewal; a candidate takes the Lease [`Timing::lease_duration`] after it last *saw* the Lease change. Both use
//! their own monotonic clock, and the difference between the two durations is the time that a write may still be in flight.
//! Every change of the Lease is a compare-and-swap by resource version. The times in the Lease are for people only.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::{
    api::coordination::v1::{Lease, LeaseSpec},
    apimachinery::pkg::apis::meta::v1::MicroTime,
};
use kube::{
    Api, Client,
    api::{ObjectMeta, PostParams},
};
use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::{cache::decode::version, metrics::Metrics, pause};

/// By which share of itself a pause may be longer, so that candidates do not read the Lease at the same time.
const JITTER: f64 = 0.2;

/// At which failure in a row that is told: an apiserver that has just started refuses what it will allow a moment later.
const TOLD_AT: u32 = 3;

/// Durations of the election. The defaults are those of controller-runtime.
#[derive(Debug, Clone, Copy)]
pub struct Timing {
    /// How long a Lease stays valid without renewal.
    pub lease_duration: Duration,
    /// How long the holder writes after the start of its last renewal; shorter than `lease_duration`.
    pub renew_deadline: Duration,
    /// Pause between two reads or renewals of the Lease, jittered.
    pub retry_period: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            lease_duration: Duration::from_secs(15),
            renew_deadline: Duration::from_secs(10),
            retry_period: Duration::from_secs(2),
        }
    }
}

/// The Lease that a replica competes for, and the replica's identity.
#[derive(Debug, Clone)]
pub struct Candidacy {
    /// Namespace of the Lease.
    pub namespace: String,
    /// Name of the Lease.
    pub name: String,
    /// Identity of this replica; no two replicas may share one.
    pub identity: String,
    /// Durations of the election.
    pub timing: Timing,
}

/// How long this replica may write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Term {
    /// Without limit: there is no election.
    Always,
    /// Until this time: the replica leads.
    Until(Instant),
    /// Not at all: the replica does not lead.
    Never,
}

impl Term {
    fn remaining(self, now: Instant) -> Option<Duration> {
        match self {
            Self::Always => Some(Duration::MAX),
            Self::Until(deadline) => deadline
                .checked_duration_since(now)
                .filter(|left| !left.is_zero()),
            Self::Never => None,
        }
    }
}

/// Tells whether this replica leads. Every write must ask it first.
#[derive(Debug, Clone)]
pub struct Leadership {
    term: watch::Receiver<Term>,
    /// How many times the version of the Lease went back.
    restores: watch::Receiver<u64>,
}

impl Leadership {
    /// Returns the leadership of a single replica, which always leads.
    #[must_use]
    pub fn always() -> Self {
        Self {
            term: watch::Sender::new(Term::Always).subscribe(),
            restores: watch::Sender::new(0).subscribe(),
        }
    }

    /// Returns how long a write that starts now may take, or `None` if this replica does not lead.
    #[must_use]
    pub fn remaining(&self) -> Option<Duration> {
        self.term.borrow().remaining(Instant::now())
    }

    /// Waits until this replica leads.
    pub async fn acquired(&self) {
        self.until(|term| term.remaining(Instant::now()).is_some())
            .await;
    }

    /// Waits until this replica no longer leads.
    pub async fn lost(&self) {
        self.until(|term| term.remaining(Instant::now()).is_none())
            .await;
    }

    /// Waits until the version of the Lease has gone back since the last call: etcd was put back to an older copy of its data.
    pub async fn version_went_back(&mut self) {
        // Without an election it never does.
        if self.restores.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    async fn until(&self, holds: impl Fn(Term) -> bool) {
        // Without an election the term never changes.
        if self
            .term
            .clone()
            .wait_for(|term| holds(*term))
            .await
            .is_err()
        {
            std::future::pending::<()>().await;
        }
    }
}

/// A running election, in which this replica is a candidate.
#[derive(Debug)]
pub struct Election {
    leadership: Leadership,
    resign: CancellationToken,
    task: JoinHandle<()>,
}

impl Election {
    /// Starts to compete for a Lease.
    #[must_use]
    pub fn start(client: Client, candidacy: Candidacy, metrics: Metrics) -> Self {
        let (tell, term) = watch::channel(Term::Never);
        let (tell_restores, restores) = watch::channel(0);
        let resign = CancellationToken::new();
        metrics.leads(false);
        let campaign = Campaign {
            leases: Api::namespaced(client, &candidacy.namespace),
            candidate: Candidate::new(candidacy),
            term: tell,
            restores: tell_restores,
            metrics,
            failing: 0,
        };
        Self {
            leadership: Leadership { term, restores },
            task: tokio::spawn(campaign.run(resign.clone())),
            resign,
        }
    }

    /// Returns the leadership, which every write must ask first.
    #[must_use]
    pub fn leadership(&self) -> Leadership {
        self.leadership.clone()
    }

    /// Waits until the election's task ends. Without [`Election::resign`] it ends only if it panics.
    pub async fn ended(&mut self) {
        // The runtime has already reported the panic.
        let _ = (&mut self.task).await;
    }

    /// Releases the Lease, so that another replica need not wait until it expires. Must be called after the last write.
    pub async fn resign(self) {
        self.resign.cancel();
        let _ = self.task.await;
    }
}

/// How many times its own duration a candidate waits at most for the holder of the Lease.
const LONGEST_DURATION: u32 = 4;

/// What a candidate does next with the Lease.
#[derive(Debug, PartialEq, Eq)]
enum LeaseAction {
    /// Creates it.
    Create,
    /// Acquires or renews it.
    Hold,
    /// Waits until it expires.
    Wait,
}

/// What a candidate knows of the Lease. No I/O; the clock is an argument.
#[derive(Debug)]
struct Candidate {
    candidacy: Candidacy,
    seen: Option<Lease>,
    /// The highest version that the Lease had.
    version: u64,
    /// When the Lease was first seen in its present state.
    since: Instant,
    /// Until when another replica that held the Lease may go on, though somebody deleted it.
    bereft: Option<Instant>,
}

impl Candidate {
    fn new(candidacy: Candidacy) -> Self {
        Self {
            candidacy,
            seen: None,
            version: 0,
            since: Instant::now(),
            bereft: None,
        }
    }

    /// Records the Lease as the apiserver has it. Returns whether its version went back: every change of etcd has a higher one
    /// than all before it, also a Lease that is created again.
    fn observe(&mut self, lease: Option<Lease>, now: Instant) -> bool {
        let version = lease.as_ref().map(|lease| version(&lease.metadata));
        let went_back = version.is_some_and(|version| version < self.version);
        self.version = version.unwrap_or(self.version);
        let spec = |lease: &Option<Lease>| lease.as_ref().and_then(|lease| lease.spec.clone());
        // Anyone may change the metadata: only a change of the spec shows that the holder is alive.
        if spec(&self.seen) != spec(&lease) {
            self.since = now;
        }
        self.bereft = match (&lease, self.is_held_by_another()) {
            (None, true) => Some(now + self.duration()),
            (None, false) => self.bereft,
            (Some(_), _) => None,
        };
        self.seen = lease;
        went_back
    }

    fn holder(&self) -> Option<&str> {
        let spec = self.seen.as_ref()?.spec.as_ref()?;
        spec.holder_identity
            .as_deref()
            .filter(|holder| !holder.is_empty())
    }

    fn is_held_by_another(&self) -> bool {
        let holder = self.holder();
        holder.is_some_and(|holder| holder != self.candidacy.identity)
    }

    fn next_action(&self, now: Instant) -> LeaseAction {
        if self.seen.is_none() {
            // Who held a Lease that somebody deleted does not know yet, and makes a new one.
            return match self.bereft {
                Some(until) if now < until => LeaseAction::Wait,
                _ => LeaseAction::Create,
            };
        }
        let alive = now.saturating_duration_since(self.since) < self.duration();
        if self.is_held_by_another() && alive {
            LeaseAction::Wait
        } else {
            LeaseAction::Hold
        }
    }

    /// Returns the duration of the Lease, as its holder has set it, with a bound: whoever may write it can't keep all replicas
    /// from leading for ever.
    fn duration(&self) -> Duration {
        let mine = self.candidacy.timing.lease_duration;
        self.seen
            .as_ref()
            .and_then(|lease| lease.spec.as_ref()?.lease_duration_seconds)
            .and_then(|seconds| u64::try_from(seconds).ok())
            .map_or(mine, Duration::from_secs)
            .min(mine * LONGEST_DURATION)
    }

    /// Returns the Lease as this candidate writes it: held, or released.
    fn lease(&self, hold: bool, at: Timestamp) -> Lease {
        let mut lease = self.seen.clone().unwrap_or_else(|| Lease {
            metadata: ObjectMeta {
                name: Some(self.candidacy.name.clone()),
                ..ObjectMeta::default()
            },
            spec: None,
        });
        let before = lease.spec.take().unwrap_or_default();
        let renewed = self.holder() == Some(&self.candidacy.identity);
        let seconds = self.candidacy.timing.lease_duration.as_secs().max(1);
        lease.spec = Some(LeaseSpec {
            holder_identity: hold.then(|| self.candidacy.identity.clone()),
            lease_duration_seconds: i32::try_from(seconds).ok(),
            acquire_time: if renewed {
                before.acquire_time
            } else {
                Some(MicroTime(at))
            },
            renew_time: Some(MicroTime(at)),
            lease_transitions: match before.lease_transitions {
                Some(transitions) if renewed => Some(transitions),
                Some(transitions) => Some(transitions.saturating_add(1)),
                None => Some(0),
            },
            ..before
        });
        lease
    }
}

/// The task of an election.
struct Campaign {
    leases: Api<Lease>,
    candidate: Candidate,
    term: watch::Sender<Term>,
    restores: watch::Sender<u64>,
    metrics: Metrics,
    /// How many times in a row the apiserver refused or failed. One line is logged, at [`TOLD_AT`].
    failing: u32,
}

impl Campaign {
    async fn run(mut self, resign: CancellationToken) {
        loop {
            let begun = Instant::now();
            tokio::select! {
                () = resign.cancelled() => break,
                () = self.round() => {}
            }
            let retry_period = self.candidate.candidacy.timing.retry_period;
            let pause = pause::prolonged(retry_period, JITTER, fastrand::f64());
            // A call that got no answer has taken its pause already.
            let pause = pause.saturating_sub(begun.elapsed()).max(retry_period / 10);
            tokio::select! {
                () = resign.cancelled() => break,
                () = sleep(pause) => {}
            }
        }
        self.release().await;
    }

    /// Competes once, and ends the term if it expires during that.
    async fn round(&mut self) {
        let deadline = match *self.term.borrow() {
            Term::Until(deadline) => Some(deadline),
            Term::Always | Term::Never => None,
        };
        let Some(deadline) = deadline else {
            return self.compete().await;
        };
        if tokio::time::timeout_at(deadline, self.compete())
            .await
            .is_err()
            || Instant::now() >= deadline
        {
            self.end("the Lease could not be renewed in time");
        }
    }

    async fn compete(&mut self) {
        let leading = !matches!(*self.term.borrow(), Term::Never);
        // The holder knows the Lease: if not, its compare-and-swap fails.
        if !leading {
            match self
                .call(self.leases.get_opt(&self.candidate.candidacy.name))
                .await
            {
                Ok(lease) => self.observe(lease),
                Err(error) => return self.failed("can't be read", &error),
            }
        }
        let start = Instant::now();
        let wanted = self.candidate.lease(true, Timestamp::now());
        let params = PostParams::default();
        let name = &self.candidate.candidacy.name;
        let answer = match self.candidate.next_action(start) {
            LeaseAction::Wait => {
                self.failing = 0;
                return;
            }
            LeaseAction::Create => self.call(self.leases.create(&params, &wanted)).await,
            LeaseAction::Hold => self.call(self.leases.replace(name, &params, &wanted)).await,
        };
        match answer {
            Ok(lease) => {
                self.failing = 0;
                self.observe(Some(lease));
                self.begin(start + self.candidate.candidacy.timing.renew_deadline);
            }
            // Another replica was faster, or someone changed the metadata: reading the Lease again shows which.
            Err(CallError::Failed(kube::Error::Api(status)))
                if status.is_conflict() || status.is_not_found() || status.is_already_exists() =>
            {
                self.read_again(leading).await;
            }
            Err(error) => self.failed("can't be written", &error),
        }
    }

    /// Reads the Lease after a failed compare-and-swap, and ends the term if another replica holds it now.
    async fn read_again(&mut self, leading: bool) {
        match self
            .call(self.leases.get_opt(&self.candidate.candidacy.name))
            .await
        {
            Ok(lease) => self.observe(lease),
            Err(error) => return self.failed("can't be read", &error),
        }
        let mine = self.candidate.holder() == Some(&self.candidate.candidacy.identity);
        if leading && !mine {
            self.end("the Lease is gone, or another replica holds it");
        }
    }

    fn observe(&mut self, lease: Option<Lease>) {
        if self.candidate.observe(lease, Instant::now()) {
            self.restores.send_modify(|restores| *restores += 1);
        }
    }

    async fn call<T>(&self, call: impl Future<Output = kube::Result<T>>) -> Result<T, CallError> {
        // Two tries fit into a term, and after an outage the next one begins within 5 s.
        let timing = &self.candidate.candidacy.timing;
        let longest = (timing.renew_deadline / 2).min(timing.retry_period * 2);
        match timeout(longest, call).await {
            Ok(answer) => answer.map_err(CallError::Failed),
            Err(_) => Err(CallError::TimedOut),
        }
    }

    fn begin(&self, deadline: Instant) {
        let before = self.term.send_replace(Term::Until(deadline));
        if before == Term::Never {
            self.metrics.leads(true);
            tracing::info!(lease = %self.candidate.candidacy.name, identity = %self.candidate.candidacy.identity, "this replica leads");
        }
    }

    fn end(&self, why: &str) {
        if self.term.send_replace(Term::Never) != Term::Never {
            self.metrics.leads(false);
            tracing::warn!(lease = %self.candidate.candidacy.name, "this replica no longer leads, and writes nothing: {why}");
        }
    }

    fn failed(&mut self, what: &str, error: &CallError) {
        // That the apiserver does not answer is told where its watches are followed.
        let answered = matches!(error, CallError::Failed(kube::Error::Api(_)));
        if !answered {
            tracing::debug!(error = error as &dyn std::error::Error, "the Lease {what}");
            return;
        }
        self.failing = self.failing.saturating_add(1);
        if self.failing == TOLD_AT {
            let candidacy = &self.candidate.candidacy;
            tracing::warn!(
                lease = %candidacy.name,
                namespace = %candidacy.namespace,
                error = error as &dyn std::error::Error,
                "the Lease {what}; the operator tries again. Its service account needs get, create and update on leases in that namespace"
            );
        }
    }

    async fn release(&mut self) {
        let held = *self.term.borrow() != Term::Never;
        self.end("the Lease is released");
        if !held {
            return;
        }
        let params = PostParams::default();
        // A renewal may have been abandoned in flight, so that the Lease is newer than what was last seen.
        self.read_again(false).await;
        if self.candidate.holder() != Some(&self.candidate.candidacy.identity) {
            return;
        }
        let released = self.candidate.lease(false, Timestamp::now());
        let name = &self.candidate.candidacy.name;
        let call = self.leases.replace(name, &params, &released);
        if let Err(error) = self.call(call).await {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "the Lease was not released; other replicas wait until it expires"
            );
        }
    }
}

/// Says why a call failed.
#[derive(Debug, thiserror::Error)]
enum CallError {
    #[error("the call failed")]
    Failed(#[source] kube::Error),
    #[error("no answer in time")]
    TimedOut,
}

/// Returns an identity that no other process has: this name and a random suffix.
#[must_use]
pub fn identity(name: &str) -> String {
    format!("{name}_{:08x}", fastrand::u32(..))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(identity: &str) -> Candidate {
        Candidate::new(Candidacy {
            namespace: "n".to_owned(),
            name: "l".to_owned(),
            identity: identity.to_owned(),
            timing: Timing::default(),
        })
    }

    fn held_by(holder: &str, renewals: i64) -> Lease {
        let mut other = candidate(holder);
        other.seen = None;
        other.lease(true, Timestamp::from_second(renewals).expect("a time"))
    }

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_lease_is_taken_only_after_it_was_seen_unchanged_for_its_duration() {
        let start = Instant::now();
        let mut me = candidate("me");
        assert_eq!(me.next_action(start), LeaseAction::Create);
        me.observe(Some(held_by("other", 1)), start);
        assert_eq!(me.next_action(start + seconds(14)), LeaseAction::Wait);
        // Renewed: the wait starts again, whatever the times in the Lease say.
        me.observe(Some(held_by("other", 0)), start + seconds(14));
        assert_eq!(me.next_action(start + seconds(28)), LeaseAction::Wait);
        // Read again, unchanged; metadata do not count.
        let mut same = held_by("other", 0);
        same.metadata.resource_version = Some("9".to_owned());
        me.observe(Some(same), start + seconds(28));
        assert_eq!(me.next_action(start + seconds(29)), LeaseAction::Hold);
    }

    #[test]
    fn a_lease_of_another_that_somebody_deleted_is_made_anew_only_when_its_term_is_over() {
        let start = Instant::now();
        let mut me = candidate("me");
        me.observe(Some(held_by("other", 1)), start);
        me.observe(None, start + seconds(2));
        me.observe(None, start + seconds(4));
        assert_eq!(me.next_action(start + seconds(16)), LeaseAction::Wait);
        assert_eq!(me.next_action(start + seconds(17)), LeaseAction::Create);
        // It was there again meanwhile, and nobody held it.
        me.observe(
            Some(candidate("other").lease(false, Timestamp::UNIX_EPOCH)),
            start,
        );
        me.observe(None, start);
        assert_eq!(me.next_action(start), LeaseAction::Create);
        me.observe(Some(held_by("me", 1)), start);
        me.observe(None, start);
        assert_eq!(me.next_action(start), LeaseAction::Create, "it was mine");
    }

    #[test]
    fn a_version_that_goes_back_is_noticed_once() {
        let mut me = candidate("me");
        let mut observe = |version: Option<&str>| {
            let lease = version.map(|version| {
                let mut lease = held_by("me", 1);
                lease.metadata.resource_version = Some(version.to_owned());
                lease
            });
            me.observe(lease, Instant::now())
        };
        assert!(!observe(Some("900")));
        assert!(!observe(Some("900")));
        assert!(!observe(None), "it was deleted");
        assert!(observe(Some("200")), "and what is created later is newer");
        assert!(!observe(Some("201")));
    }

    #[test]
    fn the_duration_is_the_one_that_the_holder_set() {
        let start = Instant::now();
        let mut me = candidate("me");
        let mut lease = held_by("other", 1);
        lease.spec.as_mut().expect("a spec").lease_duration_seconds = Some(60);
        me.observe(Some(lease), start);
        assert_eq!(me.next_action(start + seconds(59)), LeaseAction::Wait);
        assert_eq!(me.next_action(start + seconds(60)), LeaseAction::Hold);
        let mut lease = held_by("hostile", 1);
        lease.spec.as_mut().expect("a spec").lease_duration_seconds = Some(i32::MAX);
        me.observe(Some(lease), start);
        assert_eq!(me.next_action(start + seconds(60)), LeaseAction::Hold);
    }

    #[test]
    fn a_lease_that_is_released_or_ones_own_is_taken_at_once() {
        let now = Instant::now();
        let mut me = candidate("me");
        me.observe(Some(held_by("me", 1)), now);
        assert_eq!(me.next_action(now), LeaseAction::Hold);
        let mut other = candidate("other");
        other.observe(Some(held_by("other", 1)), now);
        me.observe(Some(other.lease(false, Timestamp::UNIX_EPOCH)), now);
        assert_eq!(
            (me.holder(), me.next_action(now)),
            (None, LeaseAction::Hold)
        );
    }

    #[test]
    fn transitions_count_changes_of_the_holder() {
        let now = Instant::now();
        let mut me = candidate("me");
        let transitions = |lease: &Lease| lease.spec.as_ref()?.lease_transitions;
        me.observe(Some(held_by("other", 1)), now);
        let taken = me.lease(true, Timestamp::UNIX_EPOCH);
        assert_eq!(transitions(&taken), Some(1));
        me.observe(Some(taken), now);
        assert_eq!(transitions(&me.lease(true, Timestamp::now())), Some(1));
    }

    #[test]
    fn what_others_wrote_to_a_lease_stays() {
        let mut me = candidate("me");
        let mut lease = held_by("other", 1);
        lease.metadata.labels = Some([("a".to_owned(), "b".to_owned())].into());
        lease.metadata.resource_version = Some("7".to_owned());
        me.observe(Some(lease), Instant::now());
        let mine = me.lease(true, Timestamp::UNIX_EPOCH);
        assert!(mine.metadata.labels.is_some());
        // The compare-and-swap.
        assert_eq!(mine.metadata.resource_version.as_deref(), Some("7"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_term_ends_by_itself() {
        let tell = watch::Sender::new(Term::Never);
        let leadership = Leadership {
            term: tell.subscribe(),
            restores: watch::Sender::new(0).subscribe(),
        };
        assert_eq!(leadership.remaining(), None);
        tell.send_replace(Term::Until(Instant::now() + seconds(10)));
        leadership.acquired().await;
        assert_eq!(leadership.remaining(), Some(seconds(10)));
        tokio::time::advance(seconds(10)).await;
        assert_eq!(leadership.remaining(), None);
        leadership.lost().await;
        assert_eq!(Leadership::always().remaining(), Some(Duration::MAX));
        Leadership::always().acquired().await;
    }
}
