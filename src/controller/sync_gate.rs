//! Is what the cache holds what the cluster holds? Nothing is visited and nothing is written until every watch has listed its
//! objects, and whenever one of them has lost its place.
//!
//! After an outage, or where etcd was put back to an older copy, what is known may be of a cluster that no longer exists. Then
//! all watches list anew, together: a target must not be compared with a binding that is not listed yet. No call is made in
//! vain during an outage either.

use std::time::Duration;

use kube::core::Status;
use parking_lot::Mutex;
use tokio::{sync::watch, time::Instant};

/// How long a watch that was complete may be refused before its refusal counts: an apiserver that has just started refuses
/// what it will allow a moment later.
pub(super) const GRACE: Duration = Duration::from_secs(10);

/// Why a watch can't go on.
#[derive(Debug, thiserror::Error)]
pub(super) enum WatchFailure {
    /// The apiserver refuses the watch: a missing right, or an unknown kind.
    #[error("the apiserver refuses it: {}", .0.message)]
    Refused(Box<Status>),
    /// The apiserver can't be reached, or fails itself.
    #[error("the apiserver could not be reached")]
    Unreachable(#[source] kube::Error),
    /// Nothing arrived in time.
    #[error("no answer in time")]
    Silent,
}

/// How far a watch is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Progress {
    /// Its list is not complete.
    Listing,
    /// Its list is complete, and it follows the changes.
    Complete,
    /// It can't list, because the apiserver does not answer.
    Failing { since: Instant },
    /// It is refused, and the others do not wait for it.
    Refused,
}

/// One of the watches.
#[derive(Debug)]
struct Member {
    kind: String,
    progress: Progress,
    /// Whether its list was ever complete.
    listed: bool,
    /// Whether the work can begin without it.
    optional: bool,
    /// The code of the last refusal that was logged.
    logged: Option<u16>,
}

/// Tells whether all watches are complete.
#[derive(Debug)]
pub(super) struct SyncGate {
    members: Mutex<Members>,
    /// How many times all watches were asked to list anew.
    lists: watch::Sender<u64>,
    open: watch::Sender<bool>,
}

#[derive(Debug, Default)]
struct Members {
    all: Vec<Member>,
    /// Since when there has been an outage, which is logged once.
    outage: Option<Instant>,
    /// When the last outage was over.
    outage_over: Option<Instant>,
    /// When a call that failed for an outage was logged last.
    failure_logged: Option<Instant>,
}

/// How long calls that fail for an outage are not logged again.
const QUIET: Duration = Duration::from_mins(1);

impl SyncGate {
    /// Returns a gate that is closed.
    pub fn new() -> Self {
        Self {
            members: Mutex::default(),
            lists: watch::Sender::new(0),
            open: watch::Sender::new(false),
        }
    }

    /// Adds a watch and returns its number.
    pub fn join(&self, kind: String, optional: bool) -> usize {
        let mut members = self.members.lock();
        members.all.push(Member {
            kind,
            progress: Progress::Listing,
            listed: false,
            optional,
            logged: None,
        });
        members.all.len() - 1
    }

    /// Says whether what is known is current.
    pub fn is_open(&self) -> bool {
        *self.open.borrow()
    }

    /// Waits until what is known is current.
    pub async fn opened(&self) {
        // The sender lives as long as this gate.
        let _ = self.open.subscribe().wait_for(|open| *open).await;
    }

    /// Returns a receiver of the number of the list that each watch must complete.
    pub fn lists(&self) -> watch::Receiver<u64> {
        self.lists.subscribe()
    }

    /// Returns the number of the list that everything known is of.
    pub fn list(&self) -> u64 {
        *self.lists.borrow()
    }

    /// Has all watches list anew.
    pub fn list_anew(&self) {
        self.list_all(&mut self.members.lock());
    }

    fn list_all(&self, members: &mut Members) {
        for member in &mut members.all {
            if member.progress == Progress::Complete {
                member.progress = Progress::Listing;
            }
        }
        self.open.send_replace(false);
        self.lists.send_modify(|lists| *lists += 1);
    }

    /// Records that a watch has lost its place: it must list anew, and so must the others.
    pub fn lost(&self, number: usize) {
        let mut members = self.members.lock();
        if members.all[number].progress == Progress::Complete {
            self.list_all(&mut members);
        }
    }

    /// Records that the list of this number of a watch is complete.
    pub fn complete(&self, number: usize, list: u64) {
        let mut members = self.members.lock();
        if list != self.list() {
            return;
        }
        let member = &mut members.all[number];
        member.progress = Progress::Complete;
        member.listed = true;
        member.logged = None;
        self.open_if_complete(&mut members);
    }

    /// Records that a watch can't list. Returns whether it has been so for [`GRACE`] while all others are complete.
    pub fn failed(&self, number: usize, failure: &WatchFailure) -> bool {
        let now = Instant::now();
        let mut members = self.members.lock();
        let members = &mut *members;
        let member = &mut members.all[number];
        if member.progress == Progress::Complete {
            self.list_all(members);
        }
        let member = &mut members.all[number];
        let since = match member.progress {
            Progress::Failing { since } => since,
            Progress::Listing | Progress::Complete => now,
            Progress::Refused => return self.alone(members, number),
        };
        member.progress = Progress::Failing { since };
        let lasts = now.saturating_duration_since(since) >= GRACE;
        let refused = matches!(failure, WatchFailure::Refused(_));
        match failure {
            // A refusal is told once it counts; a watch that was never complete can only be helped by telling it.
            WatchFailure::Refused(status) if lasts || !member.listed => member.log(status),
            WatchFailure::Refused(_) => {}
            WatchFailure::Unreachable(_) | WatchFailure::Silent if members.outage.is_none() => {
                members.outage = Some(now);
                let error = failure as &dyn std::error::Error;
                tracing::warn!(
                    kind = member.kind,
                    error,
                    "a watch failed: the apiserver does not answer; nothing is written until it does"
                );
            }
            WatchFailure::Unreachable(_) | WatchFailure::Silent => {}
        }
        let waits_no_longer = match (member.optional, member.listed) {
            (true, false) => refused,
            (true, true) => lasts,
            (false, listed) => listed && refused && lasts,
        };
        if waits_no_longer {
            member.progress = Progress::Refused;
            self.open_if_complete(members);
        }
        lasts && self.alone(members, number)
    }

    /// Says whether an outage was over only a moment ago, so that the apiserver may not know all rights yet.
    pub fn has_just_recovered(&self) -> bool {
        let over = self.members.lock().outage_over;
        over.is_some_and(|over| over.elapsed() < GRACE)
    }

    /// Says whether a call that failed for an outage is to be logged: not where the outage is, and else once in a minute.
    pub fn permits_log(&self) -> bool {
        let now = Instant::now();
        let mut members = self.members.lock();
        let last = members.failure_logged;
        let is_quiet = last.is_some_and(|last| now.saturating_duration_since(last) < QUIET);
        if is_quiet || members.outage.is_some() || !self.is_open() {
            return false;
        }
        members.failure_logged = Some(now);
        true
    }

    /// Says whether all other watches are complete.
    #[expect(clippy::unused_self, reason = "it reads as a question to the gate")]
    fn alone(&self, members: &Members, number: usize) -> bool {
        let mut others = members.all.iter().enumerate();
        others.all(|(other, member)| other == number || member.is_settled())
    }

    fn open_if_complete(&self, members: &mut Members) {
        if !members.all.iter().all(Member::is_settled) {
            return;
        }
        if let Some(since) = members.outage.take() {
            members.outage_over = Some(Instant::now());
            let seconds = since.elapsed().as_secs();
            tracing::info!(
                seconds,
                "the apiserver answers again: the watches are complete, and work goes on"
            );
        }
        self.open.send_replace(true);
    }
}

impl Member {
    /// Says whether the others need not wait for it.
    fn is_settled(&self) -> bool {
        matches!(self.progress, Progress::Complete | Progress::Refused)
    }

    fn log(&mut self, status: &Status) {
        if self.logged.replace(status.code) == Some(status.code) {
            return;
        }
        let hint = match status.code {
            404 => "the cluster does not know the kind: apply the CRD (crds/)",
            403 => "allow the operator's service account to list and watch this kind",
            _ => "it is tried again",
        };
        tracing::warn!(
            kind = self.kind,
            error = status.message,
            "a watch failed: {hint}"
        );
    }
}
