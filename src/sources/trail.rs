//! Events of the last 90 days, by CloudTrail's `LookupEvents`.
//!
//! Source: <https://docs.aws.amazon.com/awscloudtrail/latest/APIReference/API_LookupEvents.html>

use std::time::Duration;

use serde::Deserialize;
use serde_json::json;
use tokio::{
    sync::Mutex,
    time::{Instant, sleep_until},
};

use super::aws_json::{Call, JsonClient, Service, Shared};
use crate::{catalog::CatalogError, pause, types::Region};

/// How far back events can be looked up.
pub const DAYS: i64 = 90;

/// The rate of AWS: two requests a second for each account and region.
const PACE: Duration = Duration::from_millis(500);
/// The largest page that AWS gives.
const PAGE_SIZE: u32 = 50;
/// How often a page is asked for while others use up the rate, and the pauses between.
const TRIES: u32 = 8;
const PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

static SERVICE: Service = Service {
    name: "CloudTrail",
    host: "cloudtrail",
    target: "com.amazonaws.cloudtrail.v20131101.CloudTrail_20131101",
    variable: "AWS_ENDPOINT_URL_CLOUDTRAIL",
};

/// Which events.
#[derive(Debug, Clone, Copy)]
pub struct Lookup<'l> {
    /// Name of the events.
    pub event_name: &'l str,
    /// The first second, since the Unix epoch.
    pub since: i64,
    /// The last second.
    pub until: i64,
}

/// A page of events, the newest first.
#[derive(Debug, Clone, Default)]
pub struct Page {
    /// The page as AWS writes it, with the records in it as texts.
    pub body: Vec<u8>,
    /// How many events it has.
    pub events: usize,
    /// The time of its last event, in seconds since the Unix epoch.
    pub oldest: Option<i64>,
    /// Where the next page begins. `None` after the last one.
    pub next: Option<String>,
}

/// A client of CloudTrail in one region. It keeps the rate of AWS.
#[derive(Debug)]
pub struct Trail {
    client: JsonClient,
    /// When the next request may be sent.
    next: Mutex<Instant>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Wire {
    #[serde(default)]
    events: Vec<Event>,
    next_token: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Event {
    event_time: Option<f64>,
}

impl Trail {
    /// Returns a client. Sends nothing.
    #[must_use]
    pub fn new(shared: &Shared, region: &Region) -> Self {
        Self {
            client: JsonClient::new(shared, &SERVICE, region),
            next: Mutex::new(Instant::now()),
        }
    }

    /// Returns a page of events, as soon as the rate allows.
    ///
    /// # Errors
    /// [`CatalogError`] if CloudTrail can't be asked.
    pub async fn page(
        &self,
        lookup: Lookup<'_>,
        token: Option<&str>,
    ) -> Result<Page, CatalogError> {
        let mut input = json!({
            "LookupAttributes": [{"AttributeKey": "EventName", "AttributeValue": lookup.event_name}],
            "StartTime": lookup.since,
            "EndTime": lookup.until,
            "MaxResults": PAGE_SIZE,
        });
        if let Some(token) = token {
            input["NextToken"] = token.into();
        }
        let call = Call {
            operation: "LookupEvents",
            permission: "cloudtrail:LookupEvents",
            resource: "*",
        };
        let mut tries = 0;
        loop {
            self.turn().await;
            let (_, error) = match self.client.call(call, &input).await {
                Ok(body) => return self.read(body),
                Err(failed) => failed,
            };
            tries += 1;
            if tries == TRIES || !matches!(error, CatalogError::Throttled { .. }) {
                return Err(error);
            }
            let longest = pause::doubled(PAUSE, tries - 1, LONGEST_PAUSE);
            tokio::time::sleep(pause::jittered(longest, 0.2, fastrand::f64())).await;
        }
    }

    /// Waits until a request may be sent.
    async fn turn(&self) {
        let mut next = self.next.lock().await;
        sleep_until(*next).await;
        *next = Instant::now() + PACE;
    }

    fn read(&self, body: Vec<u8>) -> Result<Page, CatalogError> {
        let wire: Wire = serde_json::from_slice(&body).map_err(|_| self.client.not_understood())?;
        let oldest = wire
            .events
            .iter()
            .filter_map(|it| it.event_time)
            .next_back();
        Ok(Page {
            body,
            events: wire.events.len(),
            oldest: oldest.map(seconds),
            next: wire.next_token,
        })
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "a time in seconds; the conversion saturates"
)]
fn seconds(time: f64) -> i64 {
    time as i64
}
