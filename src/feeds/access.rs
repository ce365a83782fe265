//! Checks whether models can be used: rarely, and only for models that bindings ask for.
//!
//! A model of a feed is checked after it was first looked at, and then once per interval for as long as a binding asks for
//! it. A check that fails changes nothing: the last answer stays.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::{sync::Notify, time::Instant};

use crate::{
    catalog::{FeedKey, Source, Usability},
    types::{ModelId, RoleArn},
};

/// A model as the role and source region of a feed see it: the subject of one check.
pub type ModelKey = (FeedKey, ModelId);

/// The checks of whether models can be used, and their last answers.
pub struct AccessChecks {
    source: Arc<dyn Source>,
    interval: Duration,
    checks: Mutex<BTreeMap<ModelKey, CheckState>>,
    check_added: Notify,
}

struct CheckState {
    answer: Option<Usability>,
    due: Instant,
}

impl AccessChecks {
    /// Returns the checks of a source, each made at most once per `interval`, or `None` if the source cannot tell.
    #[must_use]
    pub fn of(source: &Arc<dyn Source>, interval: Duration) -> Option<Self> {
        source.access()?;
        Some(Self {
            source: Arc::clone(source),
            interval,
            checks: Mutex::default(),
            check_added: Notify::new(),
        })
    }

    /// Returns the last answer, or `None` if there is none yet. A model that is looked at for the first time is checked from
    /// now on.
    #[must_use]
    pub fn look(&self, key: ModelKey) -> Option<Usability> {
        self.checks
            .lock()
            .entry(key)
            .or_insert_with(|| {
                self.check_added.notify_one();
                CheckState {
                    answer: None,
                    due: Instant::now(),
                }
            })
            .answer
            .clone()
    }

    /// Waits until a check is due.
    pub async fn wait(&self) {
        let next = self.checks.lock().values().map(|state| state.due).min();
        let due = async {
            match next {
                Some(next) => tokio::time::sleep_until(next).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = due => {}
            () = self.check_added.notified() => {}
        }
    }

    /// Returns the models whose check is due now, and forgets those that no binding asks for.
    #[must_use]
    pub fn due(&self, wanted: impl Fn(&ModelKey) -> bool) -> Vec<ModelKey> {
        let now = Instant::now();
        let mut due = Vec::new();
        self.checks.lock().retain(|key, state| {
            if state.due > now {
                return true;
            }
            let wanted = wanted(key);
            if wanted {
                state.due = now + self.interval;
                due.push(key.clone());
            }
            wanted
        });
        due
    }

    /// Makes a check and returns whether its answer differs from the last one.
    pub async fn check(&self, key: &ModelKey) -> bool {
        let Some(access) = self.source.access() else {
            return false;
        };
        let (feed, model) = key;
        let answer = match access.usability(feed, model).await {
            Ok(answer) => answer,
            Err(error) => {
                tracing::warn!(
                    region = %feed.region, role = feed.role.as_ref().map(RoleArn::as_str), %model, reason = %error.reason(), %error,
                    "it could not be checked whether the model can be used"
                );
                return false;
            }
        };
        let mut checks = self.checks.lock();
        let Some(state) = checks.get_mut(key) else {
            return false;
        };
        let differs = state.answer.as_ref() != Some(&answer);
        state.answer = Some(answer);
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

    /// Returns the configured answer, and counts the checks.
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

    fn key() -> ModelKey {
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
    async fn a_model_is_checked_once_per_interval_while_it_is_wanted() {
        let script = Arc::new(Scripted::default());
        let source: Arc<dyn Source> = script.clone();
        let checks = AccessChecks::of(&source, HOUR).expect("it can tell");
        let says = |answer| *script.answer.lock() = answer;
        assert_eq!(checks.due(|_| true), [], "nobody looked");

        assert_eq!(checks.look(key()), None);
        checks.wait().await;
        assert_eq!(checks.due(|_| true), [key()]);
        assert!(!checks.check(&key()).await, "a failure tells nothing");
        assert_eq!(checks.look(key()), None);
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
            assert_eq!(checks.due(|_| true), [key()]);
            says(answer.clone());
            assert_eq!(checks.check(&key()).await, differs, "{answer:?}");
        }
        assert_eq!(checks.look(key()), Some(not_usable()), "the last answer");
        assert_eq!(*script.asked.lock(), 5);

        tokio::time::advance(HOUR * 2).await;
        assert_eq!(checks.due(|_| false), []);
        assert_eq!(checks.look(key()), None, "forgotten");
    }

    #[test]
    fn embedded_data_cannot_tell() {
        let source: Arc<dyn Source> = Arc::new(Embedded::load());
        assert!(AccessChecks::of(&source, HOUR).is_none());
    }
}
