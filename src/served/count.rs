//! Counts: requests by profile, source region and region served.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use super::{
    dedupe::{Seen, Sight, Waiting},
    record::{Reading, Record, Tokens},
    stream::Sink,
};
use crate::types::{Arn, Region};

/// The most combinations of profile, source region and region served that a counter keeps apart. What lies beyond is counted
/// together.
pub(super) const MOST_ROWS: usize = 10_000;
/// The most bytes of the ID or ARN of a model: `ModelId` in the service model of Bedrock.
const LONGEST_ID: usize = 2048;
/// The most bytes of the ID of a request that is shown.
pub(super) const LONGEST_REQUEST_ID: usize = 128;
/// The most records that can't be read of which each counter keeps the place.
const MOST_BAD: usize = 10;

/// What is counted together.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// The ID of a profile or model, or an ARN where no ID is in it.
    pub profile: Arc<str>,
    /// Where Bedrock was called.
    pub source_region: Region,
    /// Where requests were served. `None` if the records don't say.
    pub served_in: Option<Region>,
}

/// A request that is named.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Request {
    /// In seconds since the Unix epoch; the last time that there is if the record has none.
    pub time: i64,
    /// Its ID.
    pub id: Box<str>,
}

/// What was counted of one key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    /// How many requests. Between threads this may be below zero: one finds the region of a request that another one counted.
    requests: i64,
    /// Tokens, where the records have them.
    pub tokens: Tokens,
    /// The first time, in seconds since the Unix epoch.
    pub first: Option<i64>,
    /// The last time.
    pub last: Option<i64>,
    /// The first requests, at most as many as were asked for.
    pub named: BTreeSet<Request>,
}

impl Tally {
    /// Returns what was counted elsewhere.
    pub(super) fn new(
        requests: u64,
        tokens: Tokens,
        first: Option<i64>,
        last: Option<i64>,
        named: impl Iterator<Item = Request>,
    ) -> Self {
        Self {
            requests: i64::try_from(requests).unwrap_or(i64::MAX),
            tokens,
            first,
            last,
            named: named.collect(),
        }
    }

    /// Returns how many requests there are.
    #[must_use]
    pub fn requests(&self) -> u64 {
        u64::try_from(self.requests).unwrap_or_default()
    }

    fn note_time(&mut self, time: Option<i64>) {
        self.first = [self.first, time].into_iter().flatten().min();
        self.last = self.last.max(time);
    }

    fn name(&mut self, time: Option<i64>, id: &[u8], most: usize) {
        let time = time.unwrap_or(i64::MAX);
        let is_full = self.named.len() >= most;
        if is_full && self.named.last().is_none_or(|last| time > last.time) {
            return;
        }
        let id = String::from_utf8_lossy(&id[..id.len().min(LONGEST_REQUEST_ID)]);
        self.named.insert(Request {
            time,
            id: id.into(),
        });
        if self.named.len() > most {
            self.named.pop_last();
        }
    }

    /// Adds another tally of the same key, and keeps at most `most` names.
    pub fn add(&mut self, other: Self, most: usize) {
        self.requests += other.requests;
        self.tokens.add(other.tokens);
        self.note_time(other.first);
        self.note_time(other.last);
        self.named.extend(other.named);
        while self.named.len() > most {
            self.named.pop_last();
        }
    }
}

impl Tokens {
    /// Adds other tokens.
    pub fn add(&mut self, other: Self) {
        let sum = |to: &mut u64, by: u64| *to = to.saturating_add(by);
        sum(&mut self.input, other.input);
        sum(&mut self.output, other.output);
        sum(&mut self.cache_read, other.cache_read);
        sum(&mut self.cache_write, other.cache_write);
    }
}

/// How many records there were of each kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Records {
    /// Of requests that count.
    pub requests: u64,
    /// Further ones of the same requests.
    pub duplicates: u64,
    /// Of requests that failed before they were served.
    pub failed: u64,
    /// Of the endpoint `bedrock-mantle`.
    pub mantle: u64,
    /// Of something else.
    pub other: u64,
    /// Damaged ones.
    pub bad: u64,
    /// Of those that count: not remembered, so that they may be there twice.
    pub not_remembered: u64,
    /// Of those that count: beyond the combinations that are kept apart.
    pub beyond: u64,
}

impl Records {
    fn add(&mut self, other: Self) {
        self.requests += other.requests;
        self.duplicates += other.duplicates;
        self.failed += other.failed;
        self.mantle += other.mantle;
        self.other += other.other;
        self.bad += other.bad;
        self.not_remembered += other.not_remembered;
        self.beyond += other.beyond;
    }
}

/// A record that can't be read.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct BadRecord {
    /// The number of its file.
    pub file: u64,
    /// Where it is, in bytes from the beginning of the uncompressed text.
    pub at: u64,
    /// What is wrong, without a word of the record.
    pub what: &'static str,
}

/// Everything that was counted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    /// How many records there were.
    pub records: Records,
    /// Requests by profile, source region and region served.
    pub rows: BTreeMap<Key, Tally>,
    /// The first records that can't be read.
    pub bad: BTreeSet<BadRecord>,
}

impl Counts {
    /// Adds other counts, and keeps at most `named` names of each row.
    pub fn add(&mut self, other: Self, named: usize) {
        self.records.add(other.records);
        self.bad.extend(other.bad);
        for (key, tally) in other.rows {
            self.rows.entry(key).or_default().add(tally, named);
        }
    }
}

/// Counts the records of one thread.
#[derive(Debug)]
pub struct Counter<'s> {
    /// `None` if duplicates are not looked for.
    seen: Option<&'s Seen>,
    /// Records of which it is not yet known whether they are duplicates.
    waiting: Waiting<Counting>,
    /// The number of the file that is read.
    pub file: u64,
    counted: Counted,
    bad: BTreeSet<BadRecord>,
}

/// What was counted.
#[derive(Debug)]
struct Counted {
    /// How many requests of each row are named.
    named: usize,
    records: Records,
    groups: Vec<Group>,
    /// The groups by what the records say: model and source region.
    index: HashMap<Box<[u8]>, usize>,
    rows: usize,
    key: Vec<u8>,
}

#[derive(Debug)]
struct Group {
    profile: Arc<str>,
    source_region: Region,
    /// The first one is of requests whose region is not known.
    rows: Vec<(Option<Region>, Tally)>,
}

/// What a record adds to the counts.
#[derive(Debug)]
struct Counting {
    /// `None` if it is beyond the combinations that are kept apart.
    row: Option<Row>,
    time: Option<i64>,
    tokens: Tokens,
}

/// Where a combination of profile, source region and region served is counted.
#[derive(Debug, Clone, Copy)]
struct Row {
    group: usize,
    /// 0 if the region is not known.
    row: usize,
}

impl<'s> Counter<'s> {
    /// Returns a counter that keeps the times and IDs of `named` requests of each row.
    #[must_use]
    pub fn new(seen: Option<&'s Seen>, named: usize) -> Self {
        Self {
            seen,
            waiting: Waiting::new(),
            file: 0,
            counted: Counted {
                named,
                records: Records::default(),
                groups: Vec::new(),
                index: HashMap::new(),
                rows: 0,
                key: Vec::new(),
            },
            bad: BTreeSet::new(),
        }
    }

    /// Returns how many records could not be read so far.
    #[must_use]
    pub fn bad_records(&self) -> u64 {
        self.counted.records.bad
    }

    /// Notes that the file that is read has no records at all.
    pub fn not_records(&mut self) {
        self.bad(0, "the file has no JSON records");
    }

    /// Adds what was counted to what others counted.
    pub fn finish(mut self, counts: &mut Counts) {
        if let Some(seen) = self.seen {
            let counted = &mut self.counted;
            let settle = |sight, counting: &_| counted.settle(sight, counting, b"");
            self.waiting.finish(seen, settle);
        }
        counts.bad.extend(self.bad);
        while counts.bad.len() > MOST_BAD {
            counts.bad.pop_last();
        }
        let counted = self.counted;
        counts.records.add(counted.records);
        for group in counted.groups {
            for (served_in, tally) in group.rows {
                let key = Key {
                    profile: group.profile.clone(),
                    source_region: group.source_region.clone(),
                    served_in,
                };
                let row = counts.rows.entry(key).or_default();
                row.add(tally, counted.named);
            }
        }
    }
}

impl Counted {
    /// Returns where a record counts, or what is wrong with it, if it does not.
    fn row(&mut self, record: &Record<'_>) -> Result<Option<Row>, &'static str> {
        self.key.clear();
        self.key.extend_from_slice(&record.model_id);
        self.key.push(0);
        self.key.extend_from_slice(&record.source_region);
        let group = if let Some(group) = self.index.get(&*self.key) {
            Some(*group)
        } else {
            let group = Group::new(record)?;
            let is_kept = self.rows < MOST_ROWS;
            is_kept.then(|| {
                self.rows += 1;
                self.groups.push(group);
                let last = self.groups.len() - 1;
                self.index.insert(self.key.as_slice().into(), last);
                last
            })
        };
        let Some(served_in) = &record.served_in else {
            return Ok(group.map(|group| Row { group, row: 0 }));
        };
        let rows = group.map_or(&[][..], |group| &self.groups[group].rows);
        let same = |(region, _): &(Option<Region>, Tally)| {
            region.as_ref().map(|it| it.as_str().as_bytes()) == Some(served_in)
        };
        let mut row = rows.iter().position(same);
        if row.is_none() {
            let region = region(served_in).ok_or("inferenceRegion is not the name of a region")?;
            if let Some(group) = group
                && self.rows < MOST_ROWS
            {
                self.rows += 1;
                let rows = &mut self.groups[group].rows;
                row = Some(rows.len());
                rows.push((Some(region), Tally::default()));
            }
        }
        Ok(group.zip(row).map(|(group, row)| Row { group, row }))
    }

    /// Counts a record, once it is known what was seen of its request.
    fn settle(&mut self, sight: Sight, counting: &Counting, id: &[u8]) {
        let (is_first, brings_region, brings_tokens) = match sight {
            Sight::First => (true, false, true),
            Sight::NotRemembered => {
                self.records.not_remembered += 1;
                (true, false, true)
            }
            Sight::Again {
                brings_region,
                brings_tokens,
            } => (false, brings_region, brings_tokens),
        };
        if is_first {
            self.records.requests += 1;
            self.records.beyond += u64::from(counting.row.is_none());
        } else {
            self.records.duplicates += 1;
        }
        let Some(Row { group, row }) = counting.row else {
            return;
        };
        let rows = &mut self.groups[group].rows;
        let has_region = row > 0;
        if brings_region {
            rows[0].1.requests -= 1;
        }
        let tally = &mut rows[row].1;
        if is_first || brings_region {
            tally.requests += 1;
            if self.named > 0 && has_region {
                tally.name(counting.time, id, self.named);
            }
        }
        if is_first || has_region {
            tally.note_time(counting.time);
        }
        if brings_tokens {
            tally.tokens.add(counting.tokens);
        }
    }
}

impl Sink for Counter<'_> {
    fn request(&mut self, record: &Record<'_>) -> Result<(), &'static str> {
        let counting = Counting {
            row: self.counted.row(record)?,
            time: record.time,
            tokens: record.tokens.unwrap_or_default(),
        };
        let (id, counted) = (&*record.request_id, &mut self.counted);
        let has = (record.served_in.is_some(), record.tokens.is_some());
        match self.seen {
            None => counted.settle(Sight::First, &counting, id),
            // What may be named does not wait: its ID would have to be kept.
            Some(seen) if counted.named > 0 => {
                counted.settle(seen.see(id, has), &counting, id);
            }
            Some(seen) => {
                let settle = |sight, counting: &_| counted.settle(sight, counting, b"");
                self.waiting.add(seen, id, has, counting, settle);
            }
        }
        Ok(())
    }

    fn other(&mut self, reading: &Reading<'_>) {
        match reading {
            Reading::Failed => self.counted.records.failed += 1,
            Reading::Mantle => self.counted.records.mantle += 1,
            _ => self.counted.records.other += 1,
        }
    }

    fn bad(&mut self, at: u64, what: &'static str) {
        self.counted.records.bad += 1;
        self.bad.insert(BadRecord {
            file: self.file,
            at,
            what,
        });
        if self.bad.len() > MOST_BAD {
            self.bad.pop_last();
        }
    }
}

impl Group {
    fn new(record: &Record<'_>) -> Result<Self, &'static str> {
        Ok(Self {
            profile: profile(&record.model_id).ok_or("modelId is neither an ID nor an ARN")?,
            source_region: region(&record.source_region)
                .ok_or("the source region is not the name of a region")?,
            rows: vec![(None, Tally::default())],
        })
    }
}

fn region(text: &[u8]) -> Option<Region> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// Returns the ID that a text is or, as the ARN of a system-defined profile or foundation model, has in it. Any other ARN stays as
/// it is. `None` if it is neither.
pub(super) fn profile(text: &[u8]) -> Option<Arc<str>> {
    let text = std::str::from_utf8(text).ok()?;
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-._:/".contains(c);
    if text.is_empty() || text.len() > LONGEST_ID || !text.chars().all(is_plain) {
        return None;
    }
    if !text.starts_with("arn:") {
        return Some(text.into());
    }
    let arn = Arn::parse(text).ok()?;
    let id = ["inference-profile/", "foundation-model/"]
        .iter()
        .find_map(|kind| arn.resource.strip_prefix(kind));
    Some(id.unwrap_or(text).into()).filter(|id: &Arc<str>| !id.is_empty())
}
