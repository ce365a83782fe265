//! Everything that ever stood in etcd, as etcd itself tells it: no apiserver that is away, and no history that it has
//! forgotten, hides a value. The apiserver stores JSON here, so that it can be read.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use futures::{AsyncBufReadExt, StreamExt};
use http::Request;
use jiff::Timestamp;
use k8s_openapi::ByteString;
use kube::{Client, Config};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::{Outcome, bindings::decoded};

/// What is recorded. The rest, such as the apiserver's own Leases, is no concern of the suite.
const RECORDED: &[&str] = &[
    "/registry/configmaps/chaos",
    "/registry/secrets/chaos",
    "/registry/deployments/chaos",
    "/registry/leases/chaos",
    "/registry/inferenceprofiles.dev/",
    "/registry/namespaces/chaos",
    "/registry/apiextensions.k8s.io/customresourcedefinitions/",
];
const CALL_LIMIT: Duration = Duration::from_secs(10);

/// A change of an object.
#[derive(Clone)]
pub struct Change {
    /// Counts the times that etcd was given other data. Revisions of one life are ordered; others can't be compared.
    pub life: u32,
    pub revision: u64,
    pub key: String,
    /// None: it was deleted.
    pub object: Option<Arc<Value>>,
    /// Whether it came by other data of etcd, so that nobody wrote it.
    pub restored: bool,
    /// When it was seen.
    pub at: Timestamp,
}

#[derive(Default)]
struct Record {
    life: u32,
    /// Whether the next look at etcd begins a new life.
    reborn: bool,
    revision: u64,
    changes: Vec<Change>,
    current: BTreeMap<String, (u64, Arc<Value>)>,
}

/// Records what etcd holds, until this value ends.
pub struct Recorder {
    record: Arc<Mutex<Record>>,
    client: Client,
    task: JoinHandle<()>,
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Recorder {
    /// Starts to record.
    pub fn start(port: u16) -> Result<Self, String> {
        let url = format!("http://127.0.0.1:{port}")
            .parse()
            .map_err(|error| format!("{error}"))?;
        let mut config = Config::new(url);
        config.read_timeout = None;
        config.default_retry = false;
        let client = Client::try_from(config).map_err(|error| error.to_string())?;
        let record = Arc::new(Mutex::new(Record {
            reborn: true,
            ..Record::default()
        }));
        let (seen, through) = (Arc::clone(&record), client.clone());
        let task = tokio::spawn(async move {
            loop {
                // It may be away, or paused: that is what the suite does to it.
                let _ = follow(&through, &seen).await;
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        });
        Ok(Self {
            record,
            client,
            task,
        })
    }

    /// Says that etcd comes back with other data.
    pub fn reborn(&self) {
        self.record.lock().reborn = true;
    }

    /// Says whether etcd was looked at since its data were changed.
    pub fn follows(&self) -> bool {
        !self.record.lock().reborn
    }

    /// Returns which life of etcd this is.
    pub fn life(&self) -> u32 {
        self.record.lock().life
    }

    /// Returns an object as it stands now.
    pub fn get(&self, key: &str) -> Option<Arc<Value>> {
        self.record
            .lock()
            .current
            .get(key)
            .map(|(_, object)| Arc::clone(object))
    }

    /// Returns the keys that begin so.
    pub fn keys(&self, prefix: &str) -> Vec<String> {
        let record = self.record.lock();
        let keys = record
            .current
            .range(prefix.to_owned()..)
            .map(|(key, _)| key);
        keys.take_while(|key| key.starts_with(prefix))
            .cloned()
            .collect()
    }

    /// Returns how many changes there were.
    pub fn mark(&self) -> usize {
        self.record.lock().changes.len()
    }

    /// Returns the changes since a mark.
    pub fn since(&self, mark: usize) -> Vec<Change> {
        self.record.lock().changes[mark..].to_vec()
    }

    /// Takes all history away, up to now.
    pub async fn compact(&self) -> Outcome {
        let revision = self.record.lock().revision;
        call(
            &self.client,
            "kv/compaction",
            &json!({"revision": revision, "physical": true}),
        )
        .await
        .map(drop)
    }
}

fn encoded(text: &str) -> Value {
    json!(ByteString(text.as_bytes().to_vec()))
}

fn post(path: &str, body: &Value) -> Result<Request<Vec<u8>>, String> {
    Request::post(format!("/v3/{path}"))
        .body(body.to_string().into_bytes())
        .map_err(|error| error.to_string())
}

async fn call(client: &Client, path: &str, body: &Value) -> Result<Value, String> {
    let answer = client.request::<Value>(post(path, body)?);
    match tokio::time::timeout(CALL_LIMIT, answer).await {
        Ok(answer) => answer.map_err(|error| error.to_string()),
        Err(_) => Err("etcd gives no answer".to_owned()),
    }
}

/// Returns a 64-bit number, which is a text in etcd's JSON.
fn number(value: &Value) -> u64 {
    value
        .as_str()
        .and_then(|text| text.parse().ok())
        .unwrap_or_default()
}

async fn follow(client: &Client, record: &Mutex<Record>) -> Outcome {
    // "/registry/" up to the next prefix.
    let range = json!({"key": encoded("/registry/"), "range_end": encoded("/registry0")});
    if record.lock().reborn {
        let listed = call(client, "kv/range", &range).await?;
        record.lock().replace(&listed);
    }
    let mut create = range;
    create["start_revision"] = json!((record.lock().revision + 1).to_string());
    let request = post("watch", &json!({"create_request": create}))?;
    let stream = client
        .request_stream(request)
        .await
        .map_err(|error| error.to_string())?;
    let mut lines = std::pin::pin!(stream.lines());
    while let Some(line) = lines.next().await {
        let line = line.map_err(|error| error.to_string())?;
        let answer: Value = serde_json::from_str(&line).map_err(|error| error.to_string())?;
        if answer["result"]["canceled"] == true {
            return Err(format!("the watch of etcd was cancelled: {line}"));
        }
        let mut record = record.lock();
        if record.reborn {
            return Ok(());
        }
        for event in answer["result"]["events"].as_array().into_iter().flatten() {
            record.take(event);
        }
    }
    Ok(())
}

impl Record {
    /// Begins a new life with what etcd holds.
    fn replace(&mut self, listed: &Value) {
        self.life += 1;
        self.reborn = false;
        self.revision = number(&listed["header"]["revision"]);
        let mut gone = std::mem::take(&mut self.current);
        for kv in listed["kvs"].as_array().into_iter().flatten() {
            let key = decoded(&kv["key"]);
            gone.remove(&key);
            let revision = number(&kv["mod_revision"]);
            self.change(
                key,
                revision,
                serde_json::from_str(&decoded(&kv["value"])).ok(),
                true,
            );
        }
        for (key, _) in gone {
            self.change(key, self.revision, None, true);
        }
    }

    fn take(&mut self, event: &Value) {
        let revision = number(&event["kv"]["mod_revision"]);
        self.revision = self.revision.max(revision);
        let key = decoded(&event["kv"]["key"]);
        let deleted = event["type"] == "DELETE";
        let object = (!deleted)
            .then(|| serde_json::from_str(&decoded(&event["kv"]["value"])).ok())
            .flatten();
        self.change(key, revision, object, false);
    }

    fn change(&mut self, key: String, revision: u64, object: Option<Value>, restored: bool) {
        if !RECORDED.iter().any(|prefix| key.starts_with(prefix)) {
            return;
        }
        let object = object.map(Arc::new);
        match &object {
            Some(object) => self
                .current
                .insert(key.clone(), (revision, Arc::clone(object))),
            None => self.current.remove(&key),
        };
        self.changes.push(Change {
            life: self.life,
            revision,
            key,
            object,
            restored,
            at: Timestamp::now(),
        });
    }
}

/// Looks every 50 ms until `look` gives Ok; Err: what it saw last, after this time.
pub async fn until<T>(
    what: &str,
    patience: Duration,
    mut look: impl FnMut() -> Result<T, String>,
) -> Result<T, String> {
    let started = Instant::now();
    loop {
        match look() {
            Ok(found) => return Ok(found),
            Err(seen) if started.elapsed() > patience => {
                return Err(format!(
                    "not within {} s: {what}; seen last: {seen}",
                    patience.as_secs()
                ));
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}
