//! Who wrote what: the apiserver's audit log, as far as it has been read.

use std::{
    fs::File,
    io::{BufRead, BufReader, Seek, SeekFrom},
    path::PathBuf,
    time::Instant,
};

use jiff::Timestamp;
use serde_json::Value;

/// A request of a replica that would change something.
#[derive(Debug, Clone)]
pub struct Write {
    pub user: String,
    pub verb: String,
    pub resource: String,
    pub subresource: String,
    pub namespace: String,
    pub name: String,
    pub code: u64,
    /// Resource version of the object that came of it, where there is one.
    pub revision: Option<u64>,
    /// Which life of etcd it was read in.
    pub life: u32,
    /// When the apiserver received it.
    pub received: Timestamp,
}

impl Write {
    /// Says whether it was accepted.
    pub fn succeeded(&self) -> bool {
        (200..300).contains(&self.code)
    }

    /// Returns where etcd has the object, of the kinds that the suite looks at.
    pub fn key(&self) -> String {
        let kind = match self.resource.as_str() {
            "inferenceprofilebindings" => "inferenceprofiles.dev/inferenceprofilebindings",
            other => other,
        };
        format!("/registry/{kind}/{}/{}", self.namespace, self.name)
    }
}

/// The audit log, read as it grows.
pub struct Audit {
    path: PathBuf,
    read: u64,
    /// Writes to everything but Leases and Events.
    pub writes: Vec<Write>,
    /// Events that were published.
    pub events: usize,
    /// When the last write was seen.
    pub last: Instant,
}

impl Audit {
    /// Begins to read a log that may not be there yet.
    pub fn of(path: PathBuf) -> Self {
        Self {
            path,
            read: 0,
            writes: Vec::new(),
            events: 0,
            last: Instant::now(),
        }
    }

    /// Reads what is new.
    pub fn read(&mut self, life: u32) {
        let Ok(mut file) = File::open(&self.path) else {
            return;
        };
        if file.seek(SeekFrom::Start(self.read)).is_err() {
            return;
        }
        let mut reader = BufReader::new(file);
        let mut text = String::new();
        while let Ok(length) = reader.read_line(&mut text) {
            // A line that is not whole yet is read the next time.
            if length == 0 || !text.ends_with('\n') {
                break;
            }
            self.read += length as u64;
            if let Ok(event) = serde_json::from_str::<Value>(&text) {
                self.take(&event, life);
            }
            text.clear();
        }
    }

    fn take(&mut self, event: &Value, life: u32) {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let object = &event["objectRef"];
        match object["resource"].as_str() {
            Some("leases") => return,
            Some("events") => {
                self.events += 1;
                return;
            }
            _ => {}
        }
        let answered = &event["responseObject"];
        self.last = Instant::now();
        self.writes.push(Write {
            user: text(&event["user"]["username"]),
            verb: text(&event["verb"]),
            resource: text(&object["resource"]),
            subresource: text(&object["subresource"]),
            namespace: text(&object["namespace"]),
            name: text(&object["name"]),
            code: event["responseStatus"]["code"].as_u64().unwrap_or_default(),
            revision: answered["metadata"]["resourceVersion"]
                .as_str()
                .and_then(|version| version.parse().ok()),
            life,
            received: text(&event["requestReceivedTimestamp"])
                .parse()
                .unwrap_or_default(),
        });
    }
}
