//! Records: what one object of a log says about a request.
//!
//! Only the fields named here are read, each in its place. Where an object has a key twice, the last one counts, as in most
//! parsers of JSON.
//!
//! Sources: <https://docs.aws.amazon.com/bedrock/latest/userguide/model-invocation-logging.html>,
//! <https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-event-reference-record-contents.html>

use std::borrow::Cow;

use super::json::{Fault, Quoted, Scanner};

/// The operations of Bedrock that serve a request, as CloudTrail names them.
pub const OPERATIONS: [&str; 4] = [
    "Converse",
    "ConverseStream",
    "InvokeModel",
    "InvokeModelWithResponseStream",
];

/// Tokens of a request. A count that the record does not have is 0.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tokens {
    /// Tokens of the input, without those of the cache.
    pub input: u64,
    /// Tokens of the output.
    pub output: u64,
    /// Tokens read from the cache.
    pub cache_read: u64,
    /// Tokens written to the cache.
    pub cache_write: u64,
}

/// One request, as a record tells of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Record<'t> {
    pub(super) request_id: Cow<'t, [u8]>,
    /// The ID or ARN that the request named.
    pub(super) model_id: Cow<'t, [u8]>,
    pub(super) source_region: Cow<'t, [u8]>,
    /// Where the request was served, if the record says so.
    pub(super) served_in: Option<Cow<'t, [u8]>>,
    /// In seconds since the Unix epoch.
    pub(super) time: Option<i64>,
    /// Only invocation logs have them, and not all.
    pub(super) tokens: Option<Tokens>,
}

/// What an object is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Reading<'t> {
    /// A record of a request.
    Request(Record<'t>),
    /// A record of a request that failed before it was served.
    Failed,
    /// A record of the endpoint `bedrock-mantle`, which says nothing of regions.
    Mantle,
    /// Something else.
    Other,
    /// A record of a request that lacks what it must have.
    Bad(&'static str),
}

/// How the reading of an object ends before its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    /// It can't be read.
    Fault(Fault),
    /// It is no record: it has a list of records, whose first element may begin at this position.
    List(usize),
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

/// Returns whether a key of an object names a list of records: CloudTrail's files, what `aws cloudtrail lookup-events` and
/// `aws logs` print, and what `CloudWatch` Logs hands to a subscription.
pub(super) fn is_list(key: &[u8]) -> bool {
    matches!(key, b"Records" | b"Events" | b"events" | b"logEvents")
}

/// The fields of an object that matter. What a record does not have, or has as a value of another type, is `None`.
#[derive(Debug, Default)]
pub(super) struct Fields<'t> {
    schema_type: Option<Quoted<'t>>,
    timestamp: Option<Quoted<'t>>,
    region: Option<Quoted<'t>>,
    request_id: Option<Quoted<'t>>,
    model_id: Option<Quoted<'t>>,
    inference_region: Option<Quoted<'t>>,
    input: [Option<u64>; 3],
    output: Option<u64>,
    error_code: Option<Quoted<'t>>,
    event_source: Option<Quoted<'t>>,
    event_name: Option<Quoted<'t>>,
    event_time: Option<Quoted<'t>>,
    aws_region: Option<Quoted<'t>>,
    event_request_id: Option<Quoted<'t>>,
    event_model_id: Option<Quoted<'t>>,
    event_inference_region: Option<Quoted<'t>>,
    /// A record as text, in what `aws` prints.
    pub(super) message: Option<Quoted<'t>>,
}

impl<'t> Fields<'t> {
    /// Reads the object at a position, and returns where it ends. Stops at a list of records if `may_have_list`.
    pub(super) fn read(
        scanner: Scanner<'t>,
        at: usize,
        may_have_list: bool,
    ) -> Result<(Self, usize), Stop> {
        let mut fields = Self::default();
        let end = scanner.members(at, |key, at| -> Result<usize, Stop> {
            let text = match key {
                b"schemaType" => &mut fields.schema_type,
                b"timestamp" => &mut fields.timestamp,
                b"region" => &mut fields.region,
                b"requestId" => &mut fields.request_id,
                b"modelId" => &mut fields.model_id,
                b"inferenceRegion" => &mut fields.inference_region,
                b"errorCode" => &mut fields.error_code,
                b"eventSource" => &mut fields.event_source,
                b"eventName" => &mut fields.event_name,
                b"eventTime" => &mut fields.event_time,
                b"awsRegion" => &mut fields.aws_region,
                b"requestID" => &mut fields.event_request_id,
                b"message" | b"CloudTrailEvent" => &mut fields.message,
                b"input" => {
                    fields.input = [None; 3];
                    let counts = &mut fields.input;
                    return within(scanner, at, |key, at| {
                        let count = match key {
                            b"inputTokenCount" => &mut counts[0],
                            b"cacheReadInputTokenCount" => &mut counts[1],
                            b"cacheWriteInputTokenCount" => &mut counts[2],
                            _ => return scanner.skip(at),
                        };
                        let end;
                        (*count, end) = scanner.number(at)?;
                        Ok(end)
                    });
                }
                b"output" => {
                    fields.output = None;
                    let output = &mut fields.output;
                    return within(scanner, at, |key, at| {
                        if key != b"outputTokenCount" {
                            return scanner.skip(at);
                        }
                        let end;
                        (*output, end) = scanner.number(at)?;
                        Ok(end)
                    });
                }
                b"requestParameters" => {
                    let field = &mut fields.event_model_id;
                    return field_of(scanner, at, b"modelId", field);
                }
                b"additionalEventData" => {
                    let field = &mut fields.event_inference_region;
                    return field_of(scanner, at, b"inferenceRegion", field);
                }
                _ if may_have_list && is_list(key) && scanner.byte(at)? == b'[' => {
                    return Err(Stop::List(at + 1));
                }
                _ => return Ok(scanner.skip(at)?),
            };
            let end;
            (*text, end) = scanner.text(at)?;
            Ok(end)
        })?;
        Ok((fields, end))
    }

    /// Says what the object is.
    pub(super) fn reading(self) -> Reading<'t> {
        let is = |field: Option<Quoted<'t>>, text: &str| {
            let value = field.and_then(Quoted::value);
            value.is_some_and(|value| *value == *text.as_bytes())
        };
        let (request_id, model_id, source_region, served_in, time);
        if is(self.schema_type, "ModelInvocationLog") {
            (request_id, model_id, source_region) = (self.request_id, self.model_id, self.region);
            (served_in, time) = (self.inference_region, self.timestamp);
        } else if is(self.event_source, "bedrock.amazonaws.com") {
            if !OPERATIONS.iter().any(|name| is(self.event_name, name)) {
                return Reading::Other;
            }
            (request_id, model_id) = (self.event_request_id, self.event_model_id);
            source_region = self.aws_region;
            (served_in, time) = (self.event_inference_region, self.event_time);
        } else if is(self.event_source, "bedrock-mantle.amazonaws.com") {
            return Reading::Mantle;
        } else {
            return Reading::Other;
        }
        if self.error_code.is_some() && served_in.is_none() {
            return Reading::Failed;
        }
        let value = |field: Option<Quoted<'t>>| field.and_then(Quoted::value);
        // An empty one would make duplicates of requests that have nothing to do with each other.
        let Some(request_id) = value(request_id).filter(|id| !id.is_empty()) else {
            return Reading::Bad("the record names no request");
        };
        let Some(model_id) = value(model_id) else {
            return Reading::Bad("the record names no model");
        };
        let Some(source_region) = value(source_region) else {
            return Reading::Bad("the record names no source region");
        };
        let [input, cache_read, cache_write] = self.input;
        let counts = [input, cache_read, cache_write, self.output];
        let has_tokens = counts.iter().any(Option::is_some);
        let [input, cache_read, cache_write, output] = counts.map(Option::unwrap_or_default);
        Reading::Request(Record {
            request_id,
            model_id,
            source_region,
            served_in: value(served_in),
            time: value(time).and_then(|time| seconds(&time)),
            tokens: has_tokens.then_some(Tokens {
                input,
                output,
                cache_read,
                cache_write,
            }),
        })
    }
}

/// Reads the members of the object at a position. A value of another kind is skipped.
fn within(
    scanner: Scanner<'_>,
    at: usize,
    visit: impl FnMut(&[u8], usize) -> Result<usize, Fault>,
) -> Result<usize, Stop> {
    Ok(if scanner.byte(at)? == b'{' {
        scanner.members(at, visit)?
    } else {
        scanner.skip(at)?
    })
}

/// Reads one text of the object at a position.
fn field_of<'t>(
    scanner: Scanner<'t>,
    at: usize,
    name: &[u8],
    field: &mut Option<Quoted<'t>>,
) -> Result<usize, Stop> {
    *field = None;
    within(scanner, at, |key, at| {
        if key != name {
            return scanner.skip(at);
        }
        let end;
        (*field, end) = scanner.text(at)?;
        Ok(end)
    })
}

/// Returns the time of an RFC 3339 text in seconds since the Unix epoch, without fractions, or `None` if it is none.
pub(super) fn seconds(text: &[u8]) -> Option<i64> {
    let number = |range: std::ops::Range<usize>| {
        let digits = text.get(range)?;
        digits.iter().try_fold(0_i64, |number, digit| {
            let digit = digit.is_ascii_digit().then(|| i64::from(digit - b'0'))?;
            Some(number * 10 + digit)
        })
    };
    let separators = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')];
    if !separators.iter().all(|(at, c)| text.get(*at) == Some(c)) {
        return None;
    }
    let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
    let (hour, minute, second) = (number(11..13)?, number(14..16)?, number(17..19)?);
    let is_time = (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && hour < 24
        && minute < 60
        && second <= 60;
    if !is_time {
        return None;
    }
    let mut zone = 19;
    if text.get(zone) == Some(&b'.') {
        let digits = text[zone + 1..].iter().take_while(|c| c.is_ascii_digit());
        zone += 1 + digits.count();
    }
    let offset = match text.get(zone..)? {
        b"Z" => 0,
        [sign @ (b'+' | b'-'), _, _, b':', _, _] => {
            let offset = number(zone + 1..zone + 3)? * 3600 + number(zone + 4..zone + 6)? * 60;
            if *sign == b'-' { -offset } else { offset }
        }
        _ => return None,
    };
    // Days from the civil date: years begin in March, so that the leap day is the last one.
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let (era, year) = (year.div_euclid(400), year.rem_euclid(400));
    let day = era * 146_097 + year * 365 + year / 4 - year / 100 + (153 * month + 2) / 5 + day - 1;
    Some((day - 719_468) * 86_400 + hour * 3600 + minute * 60 + second - offset)
}
