//! Feeds with scripted sources, on a paused clock that advances by itself.

use std::collections::{BTreeSet, VecDeque};

use futures::future::BoxFuture;
use tokio::{
    sync::mpsc::{UnboundedReceiver, unbounded_channel},
    time::Instant,
};

use super::*;
use crate::{
    api::condition::Reason,
    catalog::{Catalog, Profile, SourceKind},
    route::Destinations,
    sources::directory::Directory,
};

pub(super) type Answer = Result<Catalog, CatalogError>;

pub(super) const INTERVAL: Duration = Duration::from_mins(15);
pub(super) const SCHEDULE: Schedule = Schedule {
    interval: INTERVAL,
    grace: Duration::from_hours(1),
    confirmation: CONFIRMATION,
    max_age: Duration::from_hours(24),
};

pub(super) fn key() -> FeedKey {
    FeedKey {
        role: None,
        region: "eu-west-1".parse().expect("region"),
    }
}

/// Returns how many profiles the feed's catalog has.
fn listed(feeds: &Feeds) -> usize {
    let catalog = feeds.state(&key()).catalog.expect("a catalog");
    catalog.profiles().len()
}

pub(super) fn catalog(kind: SourceKind, geographies: &[&str]) -> Catalog {
    let profiles = geographies
        .iter()
        .map(|geography| {
            Arc::new(Profile {
                id: format!("{geography}.a.b").parse().expect("id"),
                name: "A name".into(),
                model: "a.b".parse().expect("model"),
                geography: geography.parse().expect("geography"),
                destinations: Destinations::Anywhere,
            })
        })
        .collect();
    Catalog::new(kind, key().region, None, None, profiles)
}

#[allow(clippy::unnecessary_wraps, reason = "an answer like any other")]
pub(super) fn live(geographies: &[&str]) -> Answer {
    Ok(catalog(SourceKind::Bedrock, geographies))
}

pub(super) fn denied() -> Answer {
    Err(CatalogError::AccessDenied("no".into()))
}

/// Gives the scripted answers in turn and then fails. Records when it was listed.
struct Fake {
    kind: SourceKind,
    answers: Mutex<VecDeque<Answer>>,
    latency: Duration,
    asked: Mutex<Vec<(Region, Instant)>>,
    /// The feeds whose listing is in progress.
    listing: Mutex<BTreeSet<FeedKey>>,
}

impl Fake {
    fn new(kind: SourceKind, answers: impl IntoIterator<Item = Answer>) -> Arc<Self> {
        Arc::new(Self {
            kind,
            answers: Mutex::new(answers.into_iter().collect()),
            latency: Duration::ZERO,
            asked: Mutex::default(),
            listing: Mutex::default(),
        })
    }

    fn asked(&self) -> usize {
        self.asked.lock().len()
    }

    /// Returns the times between consecutive listings, in seconds.
    fn waits(&self) -> Vec<f64> {
        self.asked
            .lock()
            .windows(2)
            .map(|pair| (pair[1].1 - pair[0].1).as_secs_f64())
            .collect()
    }
}

impl Source for Fake {
    fn kind(&self) -> SourceKind {
        self.kind
    }

    fn list<'a>(&'a self, key: &'a FeedKey) -> BoxFuture<'a, Answer> {
        async move {
            let alone = self.listing.lock().insert(key.clone());
            assert!(alone, "two listings at a time");
            self.asked.lock().push((key.region.clone(), Instant::now()));
            if !self.latency.is_zero() {
                sleep(self.latency).await;
            }
            self.listing.lock().remove(key);
            self.answers
                .lock()
                .pop_front()
                .unwrap_or_else(|| Err(CatalogError::ServiceError("nothing left".into())))
        }
        .boxed()
    }
}

fn feeds_of(source: &Arc<Fake>) -> (Feeds, UnboundedReceiver<FeedChange>) {
    let (sender, receiver) = unbounded_channel();
    let source: Arc<dyn Source> = Arc::<Fake>::clone(source);
    (
        Feeds::new(source, SCHEDULE, sender, Metrics::new(), Embedded::load()),
        receiver,
    )
}

#[tokio::test(start_paused = true)]
async fn paused_feeds_ask_nothing_and_forget_what_aws_said() {
    let source = Fake::new(
        SourceKind::Bedrock,
        [live(&["eu"]), live(&["eu", "global"])],
    );
    let (feeds, mut changes) = feeds_of(&source);
    feeds.pause();
    feeds.hold(&key());
    assert!(feeds.answered(), "a paused feed does not hold up readiness");
    tokio::time::sleep(INTERVAL * 3).await;
    assert_eq!(source.asked(), 0);
    feeds.resume();
    assert!(!feeds.answered());
    changes.recv().await.expect("the first listing");
    assert!(feeds.answered());
    tokio::time::sleep(Duration::from_mins(1)).await;
    assert_eq!(feeds.ages(), [("eu-west-1", Duration::from_mins(1))].into());
    feeds.pause();
    tokio::time::sleep(INTERVAL * 3).await;
    assert_eq!(source.asked(), 1);
    assert_eq!(feeds.state(&key()).freshness, Freshness::Pending);
    assert!(feeds.ages().is_empty(), "it is not this replica's to tell");
    feeds.resume();
    assert_eq!(feeds.state(&key()).freshness, Freshness::Pending);
    changes.recv().await.expect("another listing, immediately");
    assert_eq!(source.asked(), 2);
    let known = feeds.state(&key()).catalog.expect("a catalog");
    assert_eq!(
        known.profiles().len(),
        2,
        "that of now, not of the last term"
    );
}

#[tokio::test(start_paused = true)]
async fn the_first_listing_is_under_way_until_an_answer_comes() {
    let seconds = Duration::from_secs;
    for answer in [live(&["eu"]), denied()] {
        let source = Arc::new(Fake {
            latency: seconds(10),
            ..Arc::into_inner(Fake::new(SourceKind::Bedrock, [answer])).expect("one")
        });
        let (feeds, mut changes) = feeds_of(&source);
        assert_eq!(feeds.first_listing(&key()), None, "no such feed");
        feeds.pause();
        feeds.hold(&key());
        sleep(seconds(60)).await;
        assert_eq!(feeds.first_listing(&key()), None, "nobody is asked");
        feeds.resume();
        sleep(seconds(4)).await;
        assert_eq!(feeds.first_listing(&key()), Some(seconds(4)));
        changes.recv().await.expect("an answer");
        assert_eq!(feeds.first_listing(&key()), None);
    }
}

#[tokio::test(start_paused = true)]
async fn a_first_listing_is_confirmed_on_request_by_a_second_one() {
    let source = Fake::new(SourceKind::Bedrock, (0..3).map(|_| live(&["eu"])));
    let (feeds, mut changes) = feeds_of(&source);
    assert_eq!(feeds.confirm(&key()), None, "no such feed");
    feeds.hold(&key());
    changes.recv().await.expect("the first listing");
    let ten = Duration::from_secs(10);
    sleep(ten).await;
    for _ in 0..3 {
        let wait = feeds.confirm(&key()).expect("one listing");
        assert_eq!(wait + ten, CONFIRMATION);
    }
    sleep(CONFIRMATION).await;
    assert_eq!(source.asked(), 2);
    assert_eq!(feeds.confirm(&key()), None);
    sleep(CONFIRMATION * 3).await;
    assert_eq!(source.asked(), 2, "once");
}

#[test]
fn regions_of_specs_do_not_become_labels() {
    assert_eq!(region_label(Embedded::load(), &key().region), "eu-west-1");
    let made_up: Region = "xx-made-up-1".parse().expect("a region by its form");
    assert_eq!(region_label(Embedded::load(), &made_up), "other");
}

#[tokio::test(start_paused = true)]
async fn one_task_for_all_holders_and_none_after_the_last() {
    let source = Fake::new(SourceKind::Bedrock, (0..10).map(|_| live(&["eu"])));
    let (feeds, mut changes) = feeds_of(&source);
    for _ in 0..5 {
        feeds.hold(&key());
    }
    assert_eq!(feeds.state(&key()).freshness, Freshness::Pending);
    assert_eq!(changes.recv().await.expect("a change").key, key());
    assert_eq!(feeds.state(&key()).freshness, Freshness::Fresh);
    tokio::time::sleep(INTERVAL.mul_f64(1.2)).await;
    assert_eq!(source.asked(), 2);
    assert!(
        changes.try_recv().is_err(),
        "nothing changed, nothing is sent"
    );
    for _ in 0..4 {
        feeds.release(&key());
    }
    assert_eq!(feeds.state(&key()).freshness, Freshness::Fresh);
    feeds.release(&key());
    assert!(feeds.is_empty());
    assert!(feeds.state(&key()).catalog.is_none());
    tokio::time::sleep(INTERVAL * 5).await;
    assert_eq!(source.asked(), 2);
    feeds.release(&key());
    feeds.hold(&key());
    assert_eq!(changes.recv().await.expect("a change").key, key());
    assert_eq!(source.asked(), 3);
}

fn throttled(seconds: u64) -> Answer {
    Err(CatalogError::Throttled {
        message: "slow down".into(),
        retry_after: Some(Duration::from_secs(seconds)),
    })
}

/// Asserts that waits are as expected, allowing for a jitter of a tenth and the clock's resolution of a millisecond.
fn assert_waits(waits: &[f64], expected: &[f64]) {
    assert_eq!(waits.len(), expected.len(), "{waits:?}");
    for (wait, expected) in waits.iter().zip(expected) {
        assert!(
            (expected * 0.9..=expected * 1.1 + 0.01).contains(wait),
            "{waits:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn every_role_and_region_is_listed_once_per_interval_for_all_bindings() {
    let source = Fake::new(SourceKind::Bedrock, (0..100).map(|_| live(&["eu"])));
    let (feeds, _changes) = feeds_of(&source);
    for number in 0..1000 {
        feeds.hold(&FeedKey {
            role: format!("arn:aws:iam::111122223333:role/r{}", number % 2)
                .parse()
                .ok(),
            region: ["eu-west-1", "us-east-1", "ap-south-1"][number % 3]
                .parse()
                .expect("a region"),
        });
    }
    // Jitter is a tenth: by now three more listings have come to all, and a fourth to none.
    sleep(INTERVAL.mul_f64(3.5)).await;
    assert_eq!(source.asked(), 6 * 4);
}

#[tokio::test(start_paused = true)]
async fn failures_are_retried_soon_and_keep_the_catalog() {
    let source = Fake::new(
        SourceKind::Bedrock,
        [
            denied(),
            denied(),
            live(&["eu"]),
            throttled(60),
            throttled(60),
            live(&["eu", "us"]),
        ],
    );
    let (feeds, mut changes) = feeds_of(&source);
    feeds.hold(&key());
    changes.recv().await.expect("denied");
    assert!(matches!(
        feeds.state(&key()).freshness,
        Freshness::Interrupted { .. }
    ));
    changes
        .recv()
        .await
        .expect("fresh; the second denial is not published again");
    assert_eq!(source.asked(), 3);
    let change = changes.recv().await.expect("another catalog");
    assert_eq!(
        change.before.freshness,
        Freshness::Fresh,
        "the failures between are not published"
    );
    assert_eq!(source.asked(), 6);
    assert_eq!(listed(&feeds), 2);
    assert_waits(&source.waits(), &[1.0, 2.0, 900.0, 60.0, 60.0]);
}

#[tokio::test(start_paused = true)]
async fn failures_are_published_when_the_catalog_is_overdue_whenever_the_next_listing_is() {
    let (now, before) = (Instant::now, Instant::now());
    // The second failure asks for a wait that goes on beyond the grace.
    let source = Fake::new(
        SourceKind::Bedrock,
        [live(&["eu"]), denied(), throttled(3600)],
    );
    let (feeds, mut changes) = feeds_of(&source);
    feeds.hold(&key());
    changes.recv().await.expect("the first listing");
    let change = changes.recv().await.expect("overdue");
    assert_eq!(now() - before, SCHEDULE.grace);
    assert_eq!(source.asked(), 3);
    let failure = change.after.freshness.failure();
    assert!(failure.is_some_and(|(reason, _)| reason == Reason::Throttled));
    assert_eq!(listed(&feeds), 1, "kept");

    // A feed that was never listed counts from its start.
    let source = Fake::new(SourceKind::Bedrock, []);
    let (feeds, mut changes) = feeds_of(&source);
    feeds.hold(&key());
    let change = changes.recv().await.expect("the first failure");
    assert!(matches!(
        change.after.freshness,
        Freshness::Interrupted { .. }
    ));
    let before = now();
    let change = changes.recv().await.expect("overdue");
    assert!(matches!(change.after.freshness, Freshness::Failed { .. }));
    assert_eq!(now() - before, SCHEDULE.grace);
}

#[tokio::test(start_paused = true)]
async fn one_throttled_feed_delays_all_feeds_of_its_account() {
    let of = |region: &str| FeedKey {
        role: None,
        region: region.parse().expect("a region"),
    };
    let answers = [throttled(60), live(&["eu"]), live(&["eu"]), live(&["eu"])];
    let source = Fake::new(SourceKind::Bedrock, answers);
    let (feeds, mut changes) = feeds_of(&source);
    feeds.hold(&of("eu-west-1"));
    changes.recv().await.expect("throttled");
    for region in ["eu-west-3", "eu-north-1"] {
        feeds.hold(&of(region));
        let change = changes.recv().await.expect("throttled");
        assert_eq!(change.key, of(region));
        let Freshness::Interrupted { reason, .. } = change.after.freshness else {
            panic!("{:?}", change.after);
        };
        assert_eq!(reason, Reason::Throttled);
    }
    assert_eq!(source.asked(), 1, "no other feed lists");
    for _ in 0..3 {
        let change = changes.recv().await.expect("listed");
        assert_eq!(change.after.freshness, Freshness::Fresh);
    }
    let asked = source.asked.lock().clone();
    assert_eq!(asked.len(), 4);
    assert_eq!(
        asked[1].0,
        of("eu-west-1").region,
        "the throttled feed lists first"
    );
    assert!(
        asked[1].1 - asked[0].1 >= Duration::from_mins(1),
        "{asked:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_requested_listing_comes_at_once_but_not_twice() {
    let answers = (0..10).map(|number| {
        let geographies: &[&str] = if number < 2 { &["eu"] } else { &["eu", "us"] };
        live(geographies)
    });
    let source = Fake::new(SourceKind::Bedrock, answers);
    let (feeds, mut changes) = feeds_of(&source);
    feeds.refresh(&key());
    assert_eq!(source.asked(), 0, "the feed has no holder");
    feeds.hold(&key());
    changes.recv().await.expect("the first listing");
    sleep(Duration::from_mins(1)).await;
    feeds.refresh(&key());
    sleep(Duration::from_secs(1)).await;
    assert_eq!(source.asked(), 2);
    for _ in 0..5 {
        feeds.refresh(&key());
    }
    changes.recv().await.expect("a change is published");
    assert_eq!(source.asked(), 3);
    sleep(Duration::from_mins(1)).await;
    assert_eq!(source.asked(), 3, "five requests lead to one listing");
    assert_waits(&source.waits(), &[60.0, 10.0]);
    sleep(INTERVAL.mul_f64(1.1)).await;
    assert_eq!(source.asked(), 4, "the interval goes on as before");
}

#[tokio::test(start_paused = true)]
async fn a_requested_listing_waits_for_its_account() {
    let answers = [live(&["eu"]), throttled(600), live(&["eu"]), live(&["eu"])];
    let source = Fake::new(SourceKind::Bedrock, answers);
    let (feeds, mut changes) = feeds_of(&source);
    feeds.hold(&key());
    changes.recv().await.expect("the first listing");
    sleep(INTERVAL.mul_f64(1.2)).await;
    assert_eq!(source.asked(), 2);
    feeds.refresh(&key());
    sleep(Duration::from_mins(5)).await;
    assert_eq!(source.asked(), 2, "not while throttled");
    sleep(Duration::from_mins(8)).await;
    assert_eq!(source.asked(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_slow_listing_is_never_doubled() {
    let source = Arc::new(Fake {
        latency: INTERVAL * 3,
        ..Arc::into_inner(Fake::new(
            SourceKind::Bedrock,
            [live(&["eu"]), live(&["us"])],
        ))
        .expect("only one")
    });
    let (feeds, mut changes) = feeds_of(&source);
    feeds.hold(&key());
    feeds.hold(&key());
    changes.recv().await.expect("first");
    changes.recv().await.expect("second");
    assert_eq!(source.asked(), 2);
}

#[tokio::test(start_paused = true)]
async fn an_empty_listing_is_confirmed() {
    let source = Fake::new(
        SourceKind::Bedrock,
        [
            live(&["eu"]),
            live(&[]),
            live(&["eu"]),
            live(&[]),
            live(&[]),
        ],
    );
    let (feeds, mut changes) = feeds_of(&source);
    feeds.hold(&key());
    changes.recv().await.expect("first");
    changes.recv().await.expect("empty");
    assert_eq!(source.asked(), 5);
    assert_eq!(listed(&feeds), 0);
}

#[tokio::test(start_paused = true)]
async fn embedded_data_are_available_at_once_and_never_announced() {
    let answers = (0..5).map(|_| Ok(catalog(SourceKind::Embedded, &["eu"])));
    let source = Fake::new(SourceKind::Embedded, answers);
    let (feeds, mut changes) = feeds_of(&source);
    feeds.hold(&key());
    assert_eq!(feeds.state(&key()).freshness, Freshness::Snapshot);
    assert!(feeds.state(&key()).catalog.is_some());
    sleep(INTERVAL * 3).await;
    assert!(
        source.asked() > 1,
        "it is checked whether the data are stale"
    );
    assert!(changes.try_recv().is_err());
}

#[tokio::test(start_paused = true)]
async fn files_are_read_at_once_and_polled() {
    let files = |geographies: &[&str]| Ok(catalog(SourceKind::Directory, geographies));
    let source = Fake::new(
        SourceKind::Directory,
        [
            files(&["eu"]),
            Err(CatalogError::SnapshotInvalid("half written".into())),
            Err(CatalogError::SnapshotInvalid("half written".into())),
            files(&["eu", "us"]),
        ],
    );
    let (feeds, mut changes) = feeds_of(&source);
    feeds.hold(&key());
    assert_eq!(feeds.state(&key()).freshness, Freshness::Snapshot);
    assert!(
        changes.try_recv().is_err(),
        "the first read is not announced"
    );
    changes.recv().await.expect("half written");
    assert!(feeds.state(&key()).catalog.is_some());
    changes.recv().await.expect("whole again");
    assert_eq!(feeds.state(&key()).freshness, Freshness::Snapshot);
    assert_eq!(listed(&feeds), 2);
}

#[tokio::test(start_paused = true)]
async fn a_file_that_cannot_be_read_is_reported_at_once_and_retried() {
    let source = Fake::new(
        SourceKind::Directory,
        [
            Err(CatalogError::SnapshotInvalid("no file".into())),
            Ok(catalog(SourceKind::Directory, &["eu"])),
        ],
    );
    let (feeds, mut changes) = feeds_of(&source);
    feeds.hold(&key());
    assert!(matches!(
        feeds.state(&key()).freshness,
        Freshness::Failed { .. }
    ));
    changes.recv().await.expect("a file");
    assert_eq!(feeds.state(&key()).freshness, Freshness::Snapshot);
    assert_waits(&source.waits(), &[1.0]);
}

/// Writes a directory as the kubelet mounts a `ConfigMap`: the files are links through `..data`, which is replaced as a whole.
fn mount(folder: &std::path::Path, generation: &str, listing: Option<&str>) {
    use std::{fs, os::unix::fs::symlink};

    fs::create_dir(folder.join(generation)).expect("a folder");
    if let Some(listing) = listing {
        fs::write(folder.join(generation).join("eu-west-1.json"), listing).expect("a file");
    }
    symlink(generation, folder.join("..data_tmp")).expect("a link");
    fs::rename(folder.join("..data_tmp"), folder.join("..data")).expect("replaced");
    let name = folder.join("eu-west-1.json");
    if fs::symlink_metadata(&name).is_err() {
        symlink("..data/eu-west-1.json", name).expect("a link");
    }
}

#[tokio::test(start_paused = true)]
async fn a_mounted_config_map_that_changes_is_read_soon() {
    const NONE: &str = r#"{"inferenceProfileSummaries": []}"#;
    let folder = tempfile::tempdir().expect("a folder");
    mount(folder.path(), "..first", None);
    let directory: Arc<dyn Source> = Arc::new(Directory::open(folder.path()).expect("opened"));
    let (sender, mut changes) = unbounded_channel();
    let feeds = Feeds::new(
        directory,
        SCHEDULE,
        sender,
        Metrics::new(),
        Embedded::load(),
    );
    let start = Instant::now();
    feeds.hold(&key());
    let Freshness::Failed { reason, .. } = feeds.state(&key()).freshness else {
        panic!("there is no file");
    };
    assert_eq!(reason, Reason::SnapshotInvalid);
    // By now it is only retried once per interval.
    sleep(INTERVAL * 3).await;
    mount(folder.path(), "..second", Some(NONE));
    let swapped = Instant::now();
    let change = changes.recv().await.expect("the file was added");
    assert_eq!(change.after.freshness, Freshness::Snapshot);
    assert!(
        swapped.elapsed() <= VERSION_CHECK_INTERVAL,
        "{:?}",
        swapped.elapsed()
    );
    mount(folder.path(), "..third", Some("{"));
    let change = changes.recv().await.expect("the file is not a listing");
    assert!(matches!(change.after.freshness, Freshness::Failed { .. }));
    assert!(
        change.after.catalog.is_some(),
        "the last good catalog stays"
    );
    assert!(start.elapsed() < INTERVAL * 4);
}
