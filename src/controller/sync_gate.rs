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

impl WatchFailure {
    /// Says whether the apiserver asks to come again.
    pub fn is_busy(&self) -> bool {
        matches!(self, Self::Unreachable(kube::Error::Api(status)) if status.code == 429)
    }
}

/// How far a watch is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Progress {
    /// Its list is not complete.
    Listing,
    /// Its list is complete, and it follows the changes.
    Complete,
    /// It can't list. `since` is when it began to be the only one, but for others that are refused.
    Failing { since: Instant, is_refused: bool },
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

    /// Records that a watch can't list. `unreadable` is called whenever the others do not wait for it, before the work goes on
    /// without it: what it would have told is unknown then.
    pub fn failed(&self, number: usize, failure: &WatchFailure, unreadable: impl FnOnce()) {
        let now = Instant::now();
        let mut members = self.members.lock();
        let members = &mut *members;
        if members.all[number].progress == Progress::Complete {
            self.list_all(members);
        }
        let in_an_outage = members.others_wait(number);
        let member = &mut members.all[number];
        let since = match member.progress {
            Progress::Failing { since, .. } if !in_an_outage => since,
            Progress::Failing { .. } | Progress::Listing | Progress::Complete => now,
            Progress::Refused => return unreadable(),
        };
        let lasts = now.saturating_duration_since(since) >= GRACE;
        let is_refused = matches!(failure, WatchFailure::Refused(_));
        member.progress = match (member.optional, member.listed) {
            (true, false) if is_refused => Progress::Refused,
            (true, true) if lasts => Progress::Refused,
            (false, true) if lasts && is_refused => Progress::Refused,
            _ => Progress::Failing { since, is_refused },
        };
        if member.progress == Progress::Refused {
            unreadable();
        }
        if let WatchFailure::Refused(status) = failure {
            // A refusal is told when it counts; a watch that was never complete needs it told to be cured.
            let counts = lasts || !member.listed;
            if counts && member.logged != Some(status.code) {
                member.logged = Some(status.code);
                members.log_refusal(number, status);
            }
        } else if members.outage.is_none() {
            members.outage = Some(now);
            let error = failure as &dyn std::error::Error;
            tracing::warn!(
                kind = member.kind,
                error,
                "a watch failed: the apiserver does not answer; nothing is written until it does"
            );
        }
        self.open_if_complete(members);
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

impl Members {
    /// Says whether another watch lists, or waits for an apiserver that does not answer.
    fn others_wait(&self, number: usize) -> bool {
        let mut others = self.all.iter().enumerate();
        others.any(|(other, member)| {
            let waits = match member.progress {
                Progress::Listing => true,
                Progress::Failing { is_refused, .. } => !is_refused,
                Progress::Complete | Progress::Refused => false,
            };
            other != number && waits
        })
    }

    /// Logs that a watch is refused. A missing kind is missing in every namespace, and is logged once.
    fn log_refusal(&self, number: usize, status: &Status) {
        let kind = &self.all[number].kind;
        let mut others = self.all.iter().enumerate();
        let is_known = others.any(|(other, member)| {
            other != number && member.kind == *kind && member.logged == Some(status.code)
        });
        if status.code == 404 && is_known {
            return;
        }
        tracing::warn!(
            kind,
            error = status.message,
            "a watch failed: {}",
            cure(kind, status.code)
        );
    }
}

/// Returns what cures a refusal.
fn cure(kind: &str, code: u16) -> &'static str {
    match code {
        404 if kind == "InferenceProfileClass" => {
            "the CRD inferenceprofileclasses.inferenceprofiles.dev is missing, and bindings that name a class wait for it: \
             install it with `inference-profile-operator crd | kubectl apply -f -`"
        }
        404 => {
            "the CRD inferenceprofilebindings.inferenceprofiles.dev is missing, and is waited for: install it with \
             `inference-profile-operator crd | kubectl apply -f -`"
        }
        403 => "allow the operator's service account to list and watch this kind",
        _ => "it is tried again",
    }
}

impl Member {
    /// Says whether the others need not wait for it.
    fn is_settled(&self) -> bool {
        matches!(self.progress, Progress::Complete | Progress::Refused)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BINDINGS: usize = 0;
    const NAMESPACES: usize = 1;

    fn refused() -> WatchFailure {
        let status = Status::failure("no", "Forbidden").with_code(403);
        WatchFailure::Refused(Box::new(status))
    }

    /// Fails, and says whether what the watch tells is unreadable, which must be told before the gate opens.
    fn fails(gate: &SyncGate, number: usize, failure: &WatchFailure) -> bool {
        let was_open = gate.is_open();
        let mut told = None;
        gate.failed(number, failure, || told = Some(gate.is_open()));
        assert!(
            told.is_none_or(|open| open == was_open),
            "it was told too late"
        );
        told.is_some()
    }

    /// Returns a gate with a watch that is waited for and one that is not.
    fn gate() -> SyncGate {
        let gate = SyncGate::new();
        assert_eq!(gate.join("Binding".to_owned(), false), BINDINGS);
        assert_eq!(gate.join("Namespace".to_owned(), true), NAMESPACES);
        gate
    }

    fn complete(gate: &SyncGate) {
        for number in [BINDINGS, NAMESPACES] {
            gate.complete(number, gate.list());
        }
        assert!(gate.is_open());
    }

    #[tokio::test(start_paused = true)]
    async fn it_opens_when_all_lists_are_complete() {
        let gate = gate();
        gate.complete(BINDINGS, 0);
        assert!(!gate.is_open());
        gate.complete(NAMESPACES, 0);
        assert!(gate.is_open());
        gate.opened().await;
    }

    #[tokio::test(start_paused = true)]
    async fn where_one_watch_loses_its_place_all_list_once() {
        let gate = gate();
        gate.lost(BINDINGS);
        assert_eq!(gate.list(), 0, "it was never complete");
        complete(&gate);
        gate.lost(BINDINGS);
        gate.lost(NAMESPACES);
        assert_eq!((gate.list(), gate.is_open()), (1, false));
        gate.complete(BINDINGS, 0);
        gate.complete(NAMESPACES, 1);
        assert!(!gate.is_open(), "a list that began before does not count");
        gate.complete(BINDINGS, 1);
        assert!(gate.is_open());
    }

    #[tokio::test(start_paused = true)]
    async fn an_outage_keeps_it_closed_for_as_long_as_it_lasts() {
        let gate = gate();
        complete(&gate);
        for _ in 0..100 {
            for number in [BINDINGS, NAMESPACES] {
                assert!(!fails(&gate, number, &WatchFailure::Silent));
            }
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        assert!(!gate.is_open() && !gate.permits_log());
        gate.complete(BINDINGS, gate.list());
        assert!(!fails(&gate, NAMESPACES, &refused()), "it has just started");
        assert!(!gate.is_open(), "limits may have been set meanwhile");
        complete(&gate);
        assert!(gate.has_just_recovered() && gate.permits_log());
        assert!(!gate.permits_log(), "once in a minute");
        tokio::time::advance(QUIET).await;
        assert!(!gate.has_just_recovered() && gate.permits_log());
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_refused_is_not_waited_for_longer_than_its_grace() {
        for number in [BINDINGS, NAMESPACES] {
            let gate = gate();
            complete(&gate);
            assert!(!fails(&gate, number, &refused()));
            gate.complete(BINDINGS + NAMESPACES - number, 1);
            tokio::time::advance(GRACE / 2).await;
            assert!(!fails(&gate, number, &refused()) && !gate.is_open());
            tokio::time::advance(GRACE / 2).await;
            assert!(fails(&gate, number, &refused()) && gate.is_open());
            assert!(fails(&gate, number, &refused()), "it stays so");
            gate.complete(number, 1);
            assert!(gate.is_open());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn two_that_are_refused_do_not_wait_for_each_other() {
        let gate = gate();
        complete(&gate);
        for _ in 0..12 {
            fails(&gate, BINDINGS, &refused());
            fails(&gate, NAMESPACES, &refused());
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        assert!(gate.is_open());
    }

    #[tokio::test(start_paused = true)]
    async fn a_watch_that_never_was_is_waited_for_unless_it_is_optional() {
        let gate = gate();
        let told = fails(&gate, NAMESPACES, &refused());
        assert!(
            told,
            "nothing is written against limits that nobody may read"
        );
        assert!(!fails(&gate, BINDINGS, &refused()));
        tokio::time::advance(GRACE * 2).await;
        fails(&gate, BINDINGS, &refused());
        assert!(!gate.is_open());
        gate.complete(BINDINGS, 0);
        assert!(gate.is_open(), "no right to read Namespaces");
    }
}
