//! Follows the objects of one watch: lists them, then takes in their changes, and starts again where that ends.
//!
//! The loop is ours and not kube-runtime's, because decisions need what that one hides: when a list began and of which version
//! it is, whether a watch that failed works again, and a bound on every wait.

use std::{collections::HashSet, time::Duration};

use futures::{StreamExt, pin_mut};
use kube::{
    Api, Resource,
    api::{ListParams, WatchParams},
    core::{Status, WatchEvent},
};
use tokio::{
    sync::watch,
    time::{Instant, sleep, timeout},
};

use crate::{
    cache::{ListStart, Via},
    pause,
};

use super::{
    sync_gate::{SyncGate, WatchFailure},
    watch::EventHandler,
};

/// How many seconds a watch lasts before the apiserver ends it. It is resumed where it ended, at the cost of one request. So a
/// connection that fell silent is noticed without any means of the network: a server that lives says something in this time.
const WATCH_SECONDS: u32 = 15;
/// Longest silence of a connection.
const SILENCE: Duration = Duration::from_secs(19);
/// Longest wait for the first word.
const START: Duration = Duration::from_secs(4);
/// Longest wait for a page of a list.
const PAGE: Duration = Duration::from_secs(15);
/// Objects in a page of a list.
const PAGE_SIZE: u32 = 500;
/// A watch that lasted so long is resumed at once where it breaks.
const STEADY: Duration = Duration::from_secs(1);
/// How often in a row a watch may be told to come again before it counts as failed. So it is for a moment after a kind was
/// defined, or defined anew.
const MOST_BUSY: u32 = 5;
/// Pause after the first failure; it doubles with each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// Longest pause. With [`START`] it bounds how long after an outage the watch is back.
const LONGEST_PAUSE: Duration = Duration::from_millis(800);
/// Longest pause after a refusal, which only a change of rights or kinds can cure.
const LONGEST_PAUSE_REFUSED: Duration = Duration::from_secs(5);
/// By which share of itself a pause may be longer.
const JITTER: f64 = 0.2;

/// The pauses between attempts.
#[derive(Debug, Default)]
struct Pauses {
    failures: u32,
    refused: bool,
}

impl Pauses {
    /// Returns the pause after one more failure. `random` is in 0..1.
    fn next(&mut self, refused: bool, random: f64) -> Duration {
        // The first refusal after an outage is that of an apiserver that has just started.
        if std::mem::replace(&mut self.refused, refused) != refused {
            self.failures = 0;
        }
        let longest = if refused {
            LONGEST_PAUSE_REFUSED
        } else {
            LONGEST_PAUSE
        };
        let pause = pause::doubled(FIRST_PAUSE, self.failures, longest);
        self.failures = self.failures.saturating_add(1);
        pause::prolonged(pause, JITTER, random)
    }
}

/// How a watch ended.
enum End {
    /// It can be resumed where it ended.
    Resumable,
    /// Where it ended is not known any more.
    Expired,
    /// All watches list anew.
    Told,
    /// It failed.
    Failed(WatchFailure),
}

/// A watch and where it is.
pub(super) struct WatchLoop<H: EventHandler> {
    api: Api<H::Object>,
    handler: H,
    /// Its number at the gate.
    number: usize,
    lists: watch::Receiver<u64>,
    /// The version after which it goes on. `None` when it must list.
    position: Option<String>,
    /// Whether lists are read page by page, because the apiserver does not stream them.
    pages: bool,
}

impl<H: EventHandler> WatchLoop<H> {
    /// Returns a watch that has not begun.
    pub fn new(api: Api<H::Object>, handler: H) -> Self {
        let kind = H::Object::kind(&()).into_owned();
        let gate = handler.gate();
        let (number, lists) = (gate.join(kind, handler.is_optional()), gate.lists());
        Self {
            api,
            handler,
            number,
            lists,
            position: None,
            pages: false,
        }
    }

    fn gate(&self) -> &SyncGate {
        self.handler.gate()
    }

    /// Keeps the objects of the watch in the cache for as long as it is polled.
    pub async fn run(mut self) {
        let mut pauses = Pauses::default();
        let mut busy = 0;
        loop {
            let begun = Instant::now();
            let end = self.follow_until_told().await;
            let lasted = begun.elapsed();
            match &end {
                End::Failed(failure) if failure.is_busy() && busy < MOST_BUSY => {
                    busy += 1;
                    sleep(pauses.next(false, fastrand::f64())).await;
                    continue;
                }
                _ => busy = 0,
            }
            let failure = match end {
                End::Resumable if lasted >= STEADY || self.position.is_none() => {
                    pauses = Pauses::default();
                    continue;
                }
                End::Failed(_) if lasted >= STEADY && self.position.is_some() => {
                    pauses = Pauses::default();
                    continue;
                }
                End::Resumable => None,
                End::Expired => {
                    self.position = None;
                    self.gate().lost(self.number);
                    continue;
                }
                End::Told => {
                    self.position = None;
                    continue;
                }
                End::Failed(failure) => {
                    self.position = None;
                    let unreadable = || self.handler.is_unreadable();
                    self.gate().failed(self.number, &failure, unreadable);
                    Some(failure)
                }
            };
            let refused = matches!(failure, Some(WatchFailure::Refused(_)));
            sleep(pauses.next(refused, fastrand::f64())).await;
        }
    }

    async fn follow_until_told(&mut self) -> End {
        let list = *self.lists.borrow_and_update();
        let mut lists = self.lists.clone();
        tokio::select! {
            biased;
            _ = lists.changed() => End::Told,
            end = self.follow(list) => end,
        }
    }

    async fn follow(&mut self, list: u64) -> End {
        if self.position.is_none() && self.pages {
            return match self.list_pages(list).await {
                Ok(()) => End::Resumable,
                Err(failure) => End::Failed(failure),
            };
        }
        let selectors = self.handler.selectors();
        let params = WatchParams {
            label_selector: selectors.labels,
            field_selector: selectors.fields,
            timeout: Some(WATCH_SECONDS),
            bookmarks: true,
            send_initial_events: self.position.is_none(),
        };
        let mut listing = match self.position {
            Some(_) => None,
            None => Some((self.handler.begin_list(), HashSet::new())),
        };
        // Without a version a list is as new as etcd; any other could be of an apiserver that lags behind.
        let version = self.position.clone().unwrap_or_default();
        let stream = match timeout(START, self.api.watch(&params, &version)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(kube::Error::Api(status)))
                if refuses_streaming_lists(&status) && !self.pages =>
            {
                self.pages = true;
                return End::Resumable;
            }
            Ok(Err(error)) => return ended(error),
            Err(_) => return End::Failed(WatchFailure::Silent),
        };
        pin_mut!(stream);
        loop {
            let event = match timeout(SILENCE, stream.next()).await {
                Ok(Some(Ok(event))) => event,
                // One object that can't be read does not hold up the others.
                Ok(Some(Err(kube::Error::SerdeError(error)))) => {
                    tracing::error!(%error, "an object can't be read and is left out");
                    continue;
                }
                Ok(Some(Err(error))) => return ended(error),
                Ok(None) if listing.is_some() => return End::Failed(WatchFailure::Silent),
                Ok(None) => return End::Resumable,
                Err(_) => return End::Failed(WatchFailure::Silent),
            };
            match (event, &mut listing) {
                (WatchEvent::Added(object) | WatchEvent::Modified(object), Some((start, seen))) => {
                    seen.insert(self.handler.key(&object));
                    self.handler.apply(object, Via::List(*start));
                }
                (WatchEvent::Added(object) | WatchEvent::Modified(object), None) => {
                    self.position.clone_from(&object.meta().resource_version);
                    self.handler.apply(object, Via::Event);
                }
                (WatchEvent::Deleted(object), _) => {
                    if listing.is_none() {
                        self.position.clone_from(&object.meta().resource_version);
                    }
                    self.handler.forget(object);
                }
                (WatchEvent::Bookmark(mark), waiting) => {
                    let mark = mark.metadata;
                    if mark.annotations.contains_key("k8s.io/initial-events-end")
                        && let Some((start, seen)) = waiting.take()
                    {
                        self.listed(list, start, &seen, &mark.resource_version);
                    }
                    if waiting.is_none() {
                        self.position = Some(mark.resource_version);
                    }
                }
                (WatchEvent::Error(status), _) => return ended(kube::Error::Api(status)),
            }
        }
    }

    async fn list_pages(&mut self, list: u64) -> Result<(), WatchFailure> {
        let start = self.handler.begin_list();
        let mut seen = HashSet::new();
        let selectors = self.handler.selectors();
        let mut params = ListParams {
            label_selector: selectors.labels,
            field_selector: selectors.fields,
            limit: Some(PAGE_SIZE),
            ..ListParams::default()
        };
        loop {
            let page = match timeout(PAGE, self.api.list(&params)).await {
                Ok(Ok(page)) => page,
                Ok(Err(error)) => return Err(failure(error)),
                Err(_) => return Err(WatchFailure::Silent),
            };
            for object in page.items {
                seen.insert(self.handler.key(&object));
                self.handler.apply(object, Via::List(start));
            }
            params.continue_token = page.metadata.continue_.filter(|token| !token.is_empty());
            if params.continue_token.is_none() {
                let version = page.metadata.resource_version.unwrap_or_default();
                self.listed(list, start, &seen, &version);
                self.position = Some(version);
                return Ok(());
            }
        }
    }

    /// Takes in that a list is complete. `version` is the version that it is of.
    fn listed(&self, list: u64, start: ListStart, seen: &HashSet<H::Key>, version: &str) {
        let version = version.parse().unwrap_or_default();
        self.handler.list_complete(seen, start, version);
        self.gate().complete(self.number, list);
    }
}

fn ended(error: kube::Error) -> End {
    match error {
        kube::Error::Api(status) if status.code == 410 => End::Expired,
        error => End::Failed(failure(error)),
    }
}

fn failure(error: kube::Error) -> WatchFailure {
    match error {
        kube::Error::Api(status) if matches!(status.code, 400 | 403 | 404 | 405 | 422) => {
            WatchFailure::Refused(status)
        }
        error => WatchFailure::Unreachable(error),
    }
}

fn refuses_streaming_lists(status: &Status) -> bool {
    status.code == 422 || (status.code == 400 && status.message.contains("sendInitialEvents"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watch_is_back_within_5_s_however_long_the_outage_was() {
        let mut pauses = Pauses::default();
        let mut longest = Duration::ZERO;
        for _ in 0..1000 {
            longest = longest.max(pauses.next(false, 1.0));
        }
        // The attempt that was under way when the apiserver came back, and the pause after it.
        assert!(START + longest <= Duration::from_secs(5));
        assert!(pauses.next(true, 1.0) < Duration::from_millis(200));
        for _ in 0..1000 {
            longest = longest.max(pauses.next(true, 1.0));
        }
        assert!(longest <= Duration::from_secs(6));
    }

    #[test]
    fn silence_is_noticed_within_30_s_and_not_before_the_server_speaks() {
        assert!(SILENCE + START < Duration::from_secs(30));
        assert!(Duration::from_secs(WATCH_SECONDS.into()) + Duration::from_secs(2) < SILENCE);
    }
}
