use std::{collections::BTreeMap, io::Cursor};

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{
    json::{Fault, Scanner},
    record::{Fields, Reading, Stop},
    *,
};

/// Returns an object of an invocation log.
fn log(id: &str, served_in: Option<&str>) -> Value {
    let mut record = json!({
        "timestamp": "2026-04-14T08:57:15Z", "region": "eu-west-1", "requestId": id, "modelId": "eu.a.b",
        "schemaType": "ModelInvocationLog",
        "input": {"inputBodyJson": {"inferenceRegion": "us-east-1"}, "inputTokenCount": 3},
        "output": {"outputTokenCount": 4},
    });
    if let Some(region) = served_in {
        record["inferenceRegion"] = json!(region);
    }
    record
}

fn event(id: &str, served_in: Option<&str>) -> Value {
    json!({
        "eventSource": "bedrock.amazonaws.com", "eventName": "ConverseStream", "eventTime": "2026-04-14T08:57:15Z",
        "awsRegion": "eu-west-1", "requestID": id, "requestParameters": {"modelId": "eu.a.b"},
        "additionalEventData": served_in.map(|region| json!({"inferenceRegion": region})),
    })
}

/// Counts a text whose shape is told by its beginning.
fn counted(text: &str) -> Counts {
    let seen = Seen::new(u64::MAX);
    let mut counter = Counter::new(Some(&seen), 0);
    match Shape::of(text.as_bytes()) {
        Some(shape) => read(text.as_bytes(), shape, Range::default(), &mut counter).expect("read"),
        None => counter.not_records(),
    }
    let mut counts = Counts::default();
    counter.finish(&mut counts);
    counts
}

/// Returns requests by region, `-` where it is not stated.
fn regions(counts: &Counts) -> BTreeMap<String, u64> {
    let mut regions = BTreeMap::new();
    for (key, tally) in counts.rows.iter().filter(|(_, tally)| tally.requests() > 0) {
        let region = key.served_in.as_ref().map_or("-", |it| it.as_str());
        *regions.entry(region.to_owned()).or_default() += tally.requests();
    }
    regions
}

fn expected(regions: &[(&str, u64)]) -> BTreeMap<String, u64> {
    let regions = regions.iter();
    regions
        .map(|(region, n)| ((*region).to_owned(), *n))
        .collect()
}

#[test]
fn every_shape_is_read() {
    let (a, b, c) = (
        log("a", Some("eu-west-3")),
        event("b", Some("eu-north-1")),
        log("c", None),
    );
    let pretty = |value: &Value| serde_json::to_string_pretty(value).expect("JSON");
    let message =
        |record: &Value| json!({"timestamp": 1, "message": record.to_string(), "eventId": "1"});
    let cloudwatch = json!({"events": [message(&a), message(&b), message(&c)], "searchedLogStreams": [{"a": "}"}]});
    let subscription = json!({
        "messageType": "DATA_MESSAGE", "owner": "1", "subscriptionFilters": ["x"],
        "logEvents": [message(&a), message(&b)],
    });
    let lookup = json!({"Events": [{"EventId": "1", "CloudTrailEvent": b.to_string()}]});
    let records = json!({"Records": [a, b, c]});
    let all = &[("eu-west-3", 1), ("eu-north-1", 1), ("-", 1)][..];
    let two = &[("eu-west-3", 1), ("eu-north-1", 1)][..];
    for (what, text, regions_served) in [
        ("lines", format!("{a}\n{b}\n{c}\n"), all),
        ("no end of the last line", format!("{a}\n{b}\n{c}"), all),
        (
            "ends of lines of Windows",
            format!("{a}\r\n{b}\r\n\r\n{c}\r\n"),
            all,
        ),
        ("a byte order mark", format!("\u{feff}{a}\n{b}\n{c}\n"), all),
        ("one after the other", format!("{a}{b} {c}"), all),
        ("some in a line", format!("{a}{b}\n{c}\n"), all),
        (
            "indented",
            format!("{}\n{}\n{}", pretty(&a), pretty(&b), pretty(&c)),
            all,
        ),
        (
            "a list",
            json!([a, b, c, 1, "x", [a], null]).to_string(),
            all,
        ),
        ("an indented list", pretty(&json!([a, b, c])), all),
        ("a file of CloudTrail", records.to_string(), all),
        ("an indented file of CloudTrail", pretty(&records), all),
        (
            "files of CloudTrail in lines",
            format!("{records}\n{records}\n"),
            all,
        ),
        (
            "files of CloudTrail together",
            format!("{records}{records}"),
            all,
        ),
        ("what aws logs prints", pretty(&cloudwatch), all),
        ("the same in a line", cloudwatch.to_string(), all),
        ("a list of events", pretty(&cloudwatch["events"]), all),
        (
            "a subscription",
            format!("{subscription}{subscription}"),
            two,
        ),
        (
            "what aws cloudtrail prints",
            pretty(&lookup),
            &[("eu-north-1", 1)],
        ),
        (
            "an export of CloudWatch Logs",
            format!(
                "2026-04-14T08:57:15.000Z {a}\n2026-04-14T08:57:15.000Z {b}\n2026-04-14T08:57:15.000Z {c}\n"
            ),
            all,
        ),
        (
            "what aws logs tail prints",
            format!("2026-04-14T08:57:15+00:00 a/b {a}\n2026-04-14T08:57:15+00:00 a/b {b}\n"),
            two,
        ),
        ("nothing", String::new(), &[]),
        (
            "an empty file of CloudTrail",
            "{\"Records\":[]}".to_owned(),
            &[],
        ),
    ] {
        let counts = counted(&text);
        assert_eq!(
            regions(&counts),
            expected(regions_served),
            "{what}: {counts:?}"
        );
        let is_bad = what == "nothing";
        assert_eq!(counts.records.bad, u64::from(is_bad), "{what}: {counts:?}");
    }
}

#[test]
fn a_request_counts_once_and_what_its_records_know_is_joined() {
    let with_region = json!({"a": log("x", Some("eu-west-3")), "b": event("x", Some("eu-west-3"))});
    let (log_with, event_with) = (&with_region["a"], &with_region["b"]);
    let (log_without, event_without) = (log("x", None), event("x", None));
    for (what, records, region) in [
        ("twice", [log_with, log_with], "eu-west-3"),
        ("tokens first", [log_with, event_with], "eu-west-3"),
        ("tokens last", [event_with, log_with], "eu-west-3"),
        ("region last", [&log_without, event_with], "eu-west-3"),
        ("region first", [event_with, &log_without], "eu-west-3"),
        ("no region", [&event_without, &log_without], "-"),
    ] {
        let counts = counted(&format!("{}\n{}\n", records[0], records[1]));
        assert_eq!(regions(&counts), expected(&[(region, 1)]), "{what}");
        let tokens: u64 = counts.rows.values().map(|it| it.tokens.input).sum();
        assert_eq!(tokens, 3, "{what}");
        assert_eq!(
            (counts.records.requests, counts.records.duplicates),
            (1, 1),
            "{what}"
        );
    }
}

#[test]
fn a_list_with_a_line_for_each_element_is_read() {
    let (a, b) = (log("a", Some("eu-west-3")), event("b", Some("eu-north-1")));
    for text in [
        format!("[\n{a},\n{b}\n]\n"),
        format!("{{ \"Records\": [\r\n{a},\r\n{b}\r\n]}}\r\n"),
        format!("{{\"Records\":[\n{a}\n,{b}\n]}}"),
    ] {
        let counts = counted(&text);
        let both = expected(&[("eu-west-3", 1), ("eu-north-1", 1)]);
        assert_eq!(regions(&counts), both, "{text}: {counts:?}");
        assert_eq!(counts.records.bad, 0, "{text}: {counts:?}");
    }
}

#[test]
fn texts_in_a_list_are_read() {
    let (a, b) = (log("a", Some("eu-west-3")), event("b", Some("eu-north-1")));
    let cut = &a.to_string()[..40];
    let texts = json!([a.to_string(), "hello", "", b.to_string(), cut]);
    for text in [
        texts.to_string(),
        serde_json::to_string_pretty(&texts).expect("JSON"),
        format!("{{\"events\": {texts}}}\n"),
    ] {
        let counts = counted(&text);
        let both = expected(&[("eu-west-3", 1), ("eu-north-1", 1)]);
        assert_eq!(regions(&counts), both, "{counts:?}");
        let found = (counts.records.bad, counts.records.other);
        assert_eq!(found, (1, 2), "{counts:?}");
    }
}

#[test]
fn what_has_an_empty_name_names_nothing() {
    let arn = "arn:aws:bedrock:eu-west-1:111122223333:inference-profile/";
    for (field, name) in [("requestId", ""), ("modelId", ""), ("modelId", arn)] {
        let mut record = log("a", Some("eu-west-3"));
        record[field] = json!(name);
        let records = counted(&format!("{record}\n{record}\n")).records;
        assert_eq!((records.requests, records.bad), (0, 2), "{field}");
    }
}

#[test]
fn what_is_no_served_request_does_not_count() {
    let with = |mut record: Value, field: &str, value: Value| {
        record[field] = value;
        record.to_string()
    };
    let region = Some("eu-west-3");
    for (record, kind) in [
        (
            with(log("a", None), "errorCode", json!("ThrottlingException")),
            "failed",
        ),
        (
            with(log("a", region), "errorCode", json!("ModelErrorException")),
            "request",
        ),
        (with(log("a", region), "errorCode", json!(null)), "request"),
        (
            with(event("a", None), "errorCode", json!("AccessDenied")),
            "failed",
        ),
        (
            with(
                event("a", region),
                "eventName",
                json!("ListFoundationModels"),
            ),
            "other",
        ),
        (
            with(event("a", region), "eventSource", json!("s3.amazonaws.com")),
            "other",
        ),
        (
            with(
                event("a", region),
                "eventSource",
                json!("bedrock-mantle.amazonaws.com"),
            ),
            "mantle",
        ),
        (
            with(log("a", region), "schemaType", json!("Other")),
            "other",
        ),
        (
            with(
                log("a", region),
                "schemaType",
                json!(["ModelInvocationLog"]),
            ),
            "other",
        ),
        (with(log("a", region), "requestId", json!(7)), "bad"),
        (with(log("a", region), "modelId", json!(null)), "bad"),
        (
            with(log("a", region), "modelId", json!("a\u{1b}[31m")),
            "bad",
        ),
        (with(log("a", region), "modelId", json!("")), "bad"),
        (with(log("a", region), "region", json!("Ireland")), "bad"),
        (
            with(log("a", region), "inferenceRegion", json!("Ireland")),
            "bad",
        ),
        (
            json!({"message": log("a", region).to_string()}).to_string(),
            "other",
        ),
        (json!({"detail": log("a", region)}).to_string(), "other"),
        ("{}".to_owned(), "other"),
        ("{\"a\":{]}".to_owned(), "bad"),
        ("{\"a\" 1}".to_owned(), "bad"),
        ("{\"a\":1,,}".to_owned(), "bad"),
        ("{a:1}".to_owned(), "bad"),
        ("x".to_owned(), "bad"),
        ("\"text\"".to_owned(), "bad"),
    ] {
        let records = counted(&format!("{{}}\n{record}\n{{}}\n")).records;
        let found = [
            ("request", records.requests),
            ("failed", records.failed),
            ("other", records.other - 2),
            ("mantle", records.mantle),
            ("bad", records.bad),
        ];
        for (name, number) in found {
            assert_eq!(
                number,
                u64::from(name == kind),
                "{record} as {name}: {records:?}"
            );
        }
    }
}

#[test]
fn damage_costs_what_is_damaged() {
    let (a, b, c) = (
        log("a", Some("eu-west-3")),
        log("b", Some("eu-west-3")),
        log("c", Some("eu-west-3")),
    );
    let [a, b, c] = [a, b, c].map(|record| record.to_string());
    let cut = &a[..a.len() / 2];
    for (what, text, requests, bad) in [
        ("cut off at the end", format!("{b}\n{cut}"), 1, 1),
        (
            "cut off at the beginning",
            format!("{}\n{b}\n", &a[10..]),
            1,
            1,
        ),
        ("cut off between", format!("{b}\n{cut}\n{c}\n"), 2, 1),
        (
            "cut off within an array",
            format!("{b}\n{{\"x\":[{{}},\n{c}\n"),
            2,
            1,
        ),
        (
            "cut off where an array begins",
            format!("{{\"x\":[\n{b}\n{c}\n"),
            2,
            1,
        ),
        (
            "cut off within a list",
            format!("{b}\n{{\"Records\":[{a},\n{c}\n"),
            3,
            1,
        ),
        (
            "a list that ends early",
            format!("{{\"Records\":[{a},{b},{cut}"),
            2,
            1,
        ),
        (
            "a list without its end",
            format!("{{\"Records\":[{a},{b}"),
            2,
            1,
        ),
        (
            "damage in a list costs the rest of it",
            format!("{{\"Records\":[{a},{{]}},{b}]}}\n{c}"),
            2,
            1,
        ),
        ("binary", "\u{1}\u{2}\u{3}".to_owned(), 0, 1),
        ("text", "no records\n".to_owned(), 0, 1),
        (
            "an event that is damaged",
            json!({"events": [{"message": cut}, {"message": b}]}).to_string(),
            1,
            1,
        ),
        (
            "an event of another kind",
            json!({"events": [{"message": "hello"}, {"message": b}]}).to_string(),
            1,
            0,
        ),
    ] {
        let counts = counted(&text);
        assert_eq!(
            (counts.records.requests, counts.records.bad),
            (requests, bad),
            "{what}: {counts:?}"
        );
    }
}

#[test]
fn what_is_wrong_says_where_and_quotes_nothing() {
    let secret = format!("{}\n{{\"secret\": \"word\" x}}\n", log("a", None));
    let counts = counted(&secret);
    let bad: Vec<&BadRecord> = counts.bad.iter().collect();
    assert_eq!(bad.len(), 1);
    let at = usize::try_from(bad[0].at).expect("a position");
    assert!(secret[at..].starts_with("x}"), "{bad:?}");
    assert!(!format!("{counts:?}").contains("secret"));
}

#[test]
fn times() {
    let time = |text: &str| {
        let mut record = log("a", None);
        record["timestamp"] = json!(text);
        let counts = counted(&record.to_string());
        counts.rows.into_values().next().expect("a row").first
    };
    for text in [
        "2026-04-14T08:57:15Z",
        "1970-01-01T00:00:00Z",
        "2024-02-29T23:59:59.123456Z",
        "2000-03-01T00:00:00+05:30",
        "2100-12-31T12:00:00-08:00",
        "1969-12-31T23:59:59Z",
    ] {
        let expected: jiff::Timestamp = text.parse().expect(text);
        // Fractions are cut off, also before 1970.
        assert_eq!(time(text), Some(expected.as_second()), "{text}");
    }
    for text in [
        "",
        "2026-04-14",
        "2026-04-14 08:57:15Z",
        "2026-13-14T08:57:15Z",
        "2026-04-14T08:57:15",
        "2026-04-14T08:57:15+5",
    ] {
        assert_eq!(time(text), None, "{text}");
    }
}

#[test]
fn a_long_record_is_read_and_one_without_end_has_a_bound() {
    let mut long = log("long", Some("eu-west-3"));
    long["input"]["inputBodyJson"] = json!("\"}\\".repeat(500_000));
    let endless = format!("{{\"x\":\"{}\"}}", "y".repeat(17 << 20));
    let text = format!(
        "{}\n{long}\n{endless}\n{}\n",
        log("a", Some("eu-west-1")),
        log("b", Some("eu-west-1"))
    );
    let counts = counted(&text);
    assert_eq!(
        regions(&counts),
        expected(&[("eu-west-1", 2), ("eu-west-3", 1)])
    );
    assert_eq!(counts.records.bad, 1);
    let deep = format!("{}\n{{\"x\":{}}}\n", log("a", None), "[".repeat(1_000_000));
    assert_eq!(counted(&deep).records.bad, 1);
}

#[test]
fn what_is_kept_apart_has_a_bound() {
    let mut text = String::new();
    for number in 0..12_000 {
        let mut record = log(&number.to_string(), Some("eu-west-3"));
        record["modelId"] = json!(format!("eu.a.b{number}"));
        text.extend([record.to_string().as_str(), "\n"]);
    }
    let counts = counted(&text);
    assert_eq!(counts.records.requests, 12_000);
    assert!(counts.rows.len() <= 10_000, "{}", counts.rows.len());
    let kept: u64 = counts.rows.values().map(Tally::requests).sum();
    assert_eq!(kept + counts.records.beyond, 12_000);
}

/// JSON that holds the names of fields, and what looks like them, at any depth.
fn values() -> impl Strategy<Value = Value> {
    let texts = prop_oneof![
        Just("inferenceRegion".to_owned()),
        Just("eu-west-3".to_owned()),
        Just("ModelInvocationLog".to_owned()),
        Just("bedrock.amazonaws.com".to_owned()),
        Just("Converse".to_owned()),
        Just("\"},\"inferenceRegion\":\"eu-west-3\",\"x\":{\"".to_owned()),
        Just("\\".to_owned()),
        ".{0,12}",
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        texts.prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 48, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((keys(), inner), 0..5)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

fn keys() -> impl Strategy<Value = String> {
    const NAMES: [&str; 22] = [
        "schemaType",
        "timestamp",
        "region",
        "requestId",
        "modelId",
        "inferenceRegion",
        "input",
        "output",
        "inputTokenCount",
        "outputTokenCount",
        "cacheReadInputTokenCount",
        "cacheWriteInputTokenCount",
        "errorCode",
        "eventSource",
        "eventName",
        "eventTime",
        "awsRegion",
        "requestID",
        "requestParameters",
        "additionalEventData",
        "message",
        "x",
    ];
    prop_oneof![9 => prop::sample::select(&NAMES[..]).prop_map(ToOwned::to_owned), 1 => ".{0,3}"]
}

/// Members of a record, with keys that may come twice, each a real value half of the time.
fn members() -> impl Strategy<Value = Vec<(String, Value)>> {
    let real = |key: &str| {
        let record = if key.contains("event") {
            event("b", Some("eu-north-1"))
        } else {
            log("a", Some("eu-west-3"))
        };
        let other = event("b", Some("eu-north-1"));
        record.get(key).or_else(|| other.get(key)).cloned()
    };
    let member = (keys(), values(), any::<bool>()).prop_map(move |(key, value, is_real)| {
        let value = real(&key).filter(|_| is_real).unwrap_or(value);
        (key, value)
    });
    let whole = prop_oneof![
        Just(log("a", Some("eu-west-3"))),
        Just(event("b", Some("eu-north-1"))),
        Just(json!({}))
    ];
    (whole, prop::collection::vec(member, 0..6)).prop_map(|(whole, mut more)| {
        let whole = whole.as_object().cloned().unwrap_or_default();
        more.extend(whole);
        more
    })
}

/// Writes a text of JSON in one of its ways: any character may be an escape, and space may stand between.
fn write(text: &str, ways: &mut impl Iterator<Item = u8>) -> String {
    let mut written = String::from("\"");
    for c in text.chars() {
        if ways.next().unwrap_or_default().is_multiple_of(4) {
            let mut units = [0; 2];
            for unit in c.encode_utf16(&mut units) {
                written.extend(["\\u", &format!("{unit:04X}")]);
            }
        } else {
            let plain = json!(c.to_string()).to_string();
            written += &plain[1..plain.len() - 1];
        }
    }
    written + "\""
}

/// What `serde_json` reads of a record.
#[derive(Debug, PartialEq)]
struct Known {
    ids: [String; 3],
    served_in: Option<String>,
    tokens: Option<Tokens>,
}

fn known(record: &Value) -> Option<Known> {
    let text = |pointer: &str| {
        record
            .pointer(pointer)
            .and_then(Value::as_str)
            .map(ToOwned::to_owned)
    };
    let of_log = text("/schemaType").as_deref() == Some("ModelInvocationLog");
    let is_event = text("/eventSource").as_deref() == Some("bedrock.amazonaws.com")
        && OPERATIONS.contains(&text("/eventName").unwrap_or_default().as_str());
    let (ids, served_in) = if of_log {
        (
            ["/requestId", "/modelId", "/region"],
            text("/inferenceRegion"),
        )
    } else if is_event {
        (
            ["/requestID", "/requestParameters/modelId", "/awsRegion"],
            text("/additionalEventData/inferenceRegion"),
        )
    } else {
        return None;
    };
    if served_in.is_none() && text("/errorCode").is_some() {
        return None;
    }
    let [a, b, c] = ids.map(text);
    let count = |pointer: &str| record.pointer(pointer).and_then(Value::as_u64);
    let counts = [
        "/input/inputTokenCount",
        "/output/outputTokenCount",
        "/input/cacheReadInputTokenCount",
        "/input/cacheWriteInputTokenCount",
    ]
    .map(count);
    let [input, output, cache_read, cache_write] = counts.map(Option::unwrap_or_default);
    Some(Known {
        ids: [a?, b?, c?],
        served_in,
        tokens: counts.iter().any(Option::is_some).then_some(Tokens {
            input,
            output,
            cache_read,
            cache_write,
        }),
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn serde_json_reads_the_same(members in members(), ways in prop::collection::vec(any::<u8>(), 0..400),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 8)) {
        let mut ways = ways.into_iter();
        let parts: Vec<String> = members
            .iter()
            .map(|(key, value)| {
                let space = ["", " ", "\t", "\r"][usize::from(ways.next().unwrap_or_default() % 4)];
                let key = write(key, &mut ways);
                let value = match value {
                    Value::String(text) => write(text, &mut ways),
                    other => other.to_string(),
                };
                format!("{space}{key}{space}:{space}{value}{space}")
            })
            .collect();
        let text = format!("{{{}}}", parts.join(","));
        let oracle: Value = serde_json::from_str(&text).expect("JSON");
        let scanner = Scanner::new(text.as_bytes(), true);
        let (fields, end) = Fields::read(scanner, 0, false).expect(&text);
        prop_assert_eq!(end, text.len());
        let string = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("UTF-8");
        let found = match fields.reading() {
            Reading::Request(record) => Some(Known {
                ids: [&record.request_id, &record.model_id, &record.source_region].map(|it| string(it)),
                served_in: record.served_in.as_deref().map(string),
                tokens: record.tokens,
            }),
            _ => None,
        };
        prop_assert_eq!(found, known(&oracle), "{}", &text);
        // No part of it is whole.
        for cut in cuts {
            let part = &text[..text.floor_char_boundary(1 + cut.index(text.len() - 1))];
            let outcome = Fields::read(Scanner::new(part.as_bytes(), true), 0, false);
            prop_assert!(matches!(outcome, Err(Stop::Fault(Fault::Incomplete))), "{}", part);
        }
    }

    #[test]
    fn what_is_no_json_does_not_panic(bytes in prop::collection::vec(prop_oneof![
        prop::sample::select(&b"{}[]\":,\\ \nu0 \"inferenceRegion\""[..]), any::<u8>()], 0..200)) {
        for shape in [Shape::Lines, Shape::Free] {
            let mut counter = Counter::new(None, 1);
            read(&*bytes, shape, Range::default(), &mut counter).expect("read");
        }
    }

    /// Ranges of a text give what the whole gives, wherever they begin.
    #[test]
    fn ranges_read_every_line_once(cuts in prop::collection::btree_set(1_usize..20_000, 0..8)) {
        let lines: Vec<String> = (0..40)
            .map(|number| match number % 5 {
                0 => format!("{}{}\n", log(&format!("a{number}"), None), log(&format!("b{number}"), None)),
                1 => format!("{}\r\n\n", log(&number.to_string(), Some("eu-west-3"))),
                2 => format!("{{\"Records\":[{},{}]}}\n", event(&number.to_string(), None), log(&format!("c{number}"), None)),
                3 => "damaged\n".to_owned(),
                _ => format!("2026-04-14T08:57:15.000Z {}\n", log(&number.to_string(), None)),
            })
            .collect();
        let text = lines.concat();
        let count = |ranges: &[Range]| {
            let mut counts = Counts::default();
            for range in ranges {
                let mut counter = Counter::new(None, 0);
                let begins = usize::try_from(range.start.saturating_sub(1)).expect("a position");
                read(Cursor::new(&text[begins..]), Shape::Lines, *range, &mut counter).expect("read");
                counter.finish(&mut counts);
            }
            counts
        };
        let cuts: Vec<u64> = cuts.into_iter().filter(|cut| *cut < text.len()).map(|cut| cut as u64).collect();
        let starts = std::iter::once(0).chain(cuts.iter().copied());
        let ends = cuts.iter().copied().map(Some).chain([None]);
        let ranges: Vec<Range> = starts.zip(ends).map(|(start, end)| Range { start, end }).collect();
        let whole = count(&[Range::default()]);
        prop_assert_eq!(whole.records.requests, 48);
        prop_assert_eq!(count(&ranges), whole);
    }
}
