//! Whether models can be used: asked rarely, and only for what is looked at.
//!
//! A pair of feed and model is asked for once it was looked at, and again after an interval as long as somebody wants it.
//! An answer that can't be had changes nothing: the last one stays.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::{sync::Notify, time::Instant};

use crate::{
    catalog::{FeedKey, Source, Usability},
    types::{ModelId, RoleArn},
};

/// A feed and a model: what is asked for at once.
pub type Pair = (FeedKey, ModelId);

/// What is known of whether models can be used.
pub struct AccessChecks {
    source: Arc<dyn Source>,
    interval: Duration,
    pairs: Mutex<BTreeMap<Pair, Known>>,
    looked_at_first: Notify,
}

struct Known {
    answer: Option<Usability>,
    due: Instant,
}

impl AccessChecks {
    /// Returns the checks of a source, each asked for at most once per `interval`; nothing where the source can't say.
    #[must_use]
    pub fn of(source: &Arc<dyn Source>, interval: Duration) -> Option<Self> {
        source.access()?;
        Some(Self {
            source: Arc::clone(source),
            interval,
            pairs: Mutex::default(),
            looked_at_first: Notify::new(),
        })
    }

    /// Returns the last answer; nothing where there is none yet. From now on it is asked for.
    #[must_use]
    pub fn look(&self, pair: Pair) -> Option<Usability> {
        self.pairs
            .lock()
            .entry(pair)
            .or_insert_with(|| {
                self.looked_at_first.notify_one();
                Known {
                    answer: None,
                    due: Instant::now(),
                }
            })
            .answer
            .clone()
    }

    /// Waits until something is to be asked for.
    pub async fn wait(&self) {
        let next = self.pairs.lock().values().map(|known| known.due).min();
        let due = async {
            match next {
                Some(next) => tokio::time::sleep_until(next).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = due => {}
            () = self.looked_at_first.notified() => {}
        }
    }

    /// Returns what is to be asked for now, and forgets what nobody wants.
    #[must_use]
    pub fn due(&self, wanted: impl Fn(&Pair) -> bool) -> Vec<Pair> {
        let now = Instant::now();
        let mut due = Vec::new();
        self.pairs.lock().retain(|pair, known| {
            if known.due > now {
                return true;
            }
            let wanted = wanted(pair);
            if wanted {
                known.due = now + self.interval;
                due.push(pair.clone());
            }
            wanted
        });
        due
    }

    /// Asks, and returns whether the answer differs from the last one.
    pub async fn ask(&self, pair: &Pair) -> bool {
        let Some(access) = self.source.access() else {
            return false;
        };
        let (feed, model) = pair;
        let answer = match access.usability(feed, model).await {
            Ok(answer) => answer,
            Err(error) => {
                tracing::warn!(
                    region = %feed.region, role = feed.role.as_ref().map(RoleArn::as_str), %model, reason = %error.reason(), %error,
                    "whether the model can be used is not known"
                );
                return false;
            }
        };
        let mut pairs = self.pairs.lock();
        let Some(known) = pairs.get_mut(pair) else {
            return false;
        };
        let differs = known.answer.as_ref() != Some(&answer);
        known.answer = Some(answer);
        differs
    }
}

#[cfg(test)]
mod tests {
    use futures::{
        FutureExt,
        future::{self, BoxFuture},
    };

    use super::*;
    use crate::catalog::{Access, Catalog, CatalogError, SourceKind, embedded::Embedded};

    const HOUR: Duration = Duration::from_hours(1);

    /// Answers with what it is given, and counts.
    #[derive(Default)]
    struct Scripted {
        answer: Mutex<Option<Usability>>,
        asked: Mutex<usize>,
    }

    impl Source for Scripted {
        fn kind(&self) -> SourceKind {
            SourceKind::Bedrock
        }

        fn list<'a>(&'a self, _: &'a FeedKey) -> BoxFuture<'a, Result<Catalog, CatalogError>> {
            future::pending().boxed()
        }

        fn access(&self) -> Option<&dyn Access> {
            Some(self)
        }
    }

    impl Access for Scripted {
        fn usability<'a>(
            &'a self,
            _: &'a FeedKey,
            _: &'a ModelId,
        ) -> BoxFuture<'a, Result<Usability, CatalogError>> {
            *self.asked.lock() += 1;
            let answer = self.answer.lock().clone();
            let failed = || CatalogError::AccessDenied("denied".to_owned());
            future::ready(answer.ok_or_else(failed)).boxed()
        }
    }

    fn pair() -> Pair {
        let region = "eu-west-1".parse().expect("a region");
        let model = "amazon.nova-lite-v1:0".parse().expect("a model");
        (FeedKey { role: None, region }, model)
    }

    fn not_usable() -> Usability {
        Usability::NotUsable {
            message: "no agreement".into(),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_pair_is_asked_for_once_per_interval_while_it_is_wanted() {
        let script = Arc::new(Scripted::default());
        let source: Arc<dyn Source> = script.clone();
        let checks = AccessChecks::of(&source, HOUR).expect("it can say");
        let says = |answer| *script.answer.lock() = answer;
        assert_eq!(checks.due(|_| true), [], "nobody looked");

        assert_eq!(checks.look(pair()), None);
        checks.wait().await;
        assert_eq!(checks.due(|_| true), [pair()]);
        assert!(!checks.ask(&pair()).await, "a failure tells nothing");
        assert_eq!(checks.look(pair()), None);
        assert_eq!(checks.due(|_| true), [], "asked within the hour");

        for (answer, differs) in [
            (Some(Usability::Usable), true),
            (Some(Usability::Usable), false),
            (Some(not_usable()), true),
            (None, false),
        ] {
            let before = Instant::now();
            checks.wait().await;
            checks.wait().await;
            assert!(before.elapsed() > HOUR / 2);
            assert_eq!(checks.due(|_| true), [pair()]);
            says(answer.clone());
            assert_eq!(checks.ask(&pair()).await, differs, "{answer:?}");
        }
        assert_eq!(checks.look(pair()), Some(not_usable()), "the last answer");
        assert_eq!(*script.asked.lock(), 5);

        tokio::time::advance(HOUR * 2).await;
        assert_eq!(checks.due(|_| false), []);
        assert_eq!(checks.look(pair()), None, "forgotten");
    }

    #[test]
    fn embedded_data_cannot_say() {
        let source: Arc<dyn Source> = Arc::new(Embedded::load());
        assert!(AccessChecks::of(&source, HOUR).is_none());
    }
}
