//! Generates records as Bedrock and CloudTrail write them, with prompts that hold what a careless reader would trip over, and says
//! what a right count of them is.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    io::{self, Write},
};

use serde_json::{Value, json};

/// Which records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Model invocation logs, a record in each line.
    InvocationLog,
    /// A file of CloudTrail.
    CloudTrail,
}

/// What to generate. The same recipe gives the same records.
#[derive(Debug, Clone)]
pub struct Recipe {
    pub kind: Kind,
    pub seed: u64,
    /// Requests, the failed ones included.
    pub requests: u64,
    /// Bytes of a prompt, on average. 0: 1 kB, and now and then up to 100 kB.
    pub body: usize,
    /// How many records in a hundred come a second time.
    pub duplicates: u8,
    /// How many in a hundred do not say where the request was served.
    pub without_region: u8,
    /// How many in a hundred are of requests that failed.
    pub failed: u8,
    /// The number of a request that is served where it must not be.
    pub violation: Option<u64>,
}

impl Recipe {
    /// Returns a recipe with everything in it but a violation.
    pub fn new(kind: Kind, seed: u64, requests: u64) -> Self {
        Self {
            kind,
            seed,
            requests,
            body: 0,
            duplicates: 3,
            without_region: 2,
            failed: 1,
            violation: None,
        }
    }
}

/// Profile, source region, region served.
pub type Key = (String, String, Option<String>);

/// Requests and tokens of each key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Expected {
    pub rows: BTreeMap<Key, [u64; 5]>,
    pub requests: u64,
    pub duplicates: u64,
    pub failed: u64,
}

/// What is called: the model ID in records, the profile, the source region, the regions that may serve.
const CALLED: [(&str, &str, &str, &[&str]); 5] = [
    (
        "eu.anthropic.claude-sonnet-5-5",
        "eu.anthropic.claude-sonnet-5-5",
        "eu-west-1",
        &[
            "eu-central-1",
            "eu-north-1",
            "eu-south-1",
            "eu-south-2",
            "eu-west-1",
            "eu-west-3",
        ],
    ),
    (
        "arn:aws:bedrock:eu-west-1:111122223333:inference-profile/eu.anthropic.claude-sonnet-5-5",
        "eu.anthropic.claude-sonnet-5-5",
        "eu-west-1",
        &["eu-central-1", "eu-north-1"],
    ),
    (
        "us.amazon.nova-pro-v1:0",
        "us.amazon.nova-pro-v1:0",
        "us-east-1",
        &["us-east-1", "us-east-2", "us-west-2"],
    ),
    (
        "arn:aws:bedrock:us-east-1:111122223333:application-inference-profile/a1b2c3d4e5f6",
        "arn:aws:bedrock:us-east-1:111122223333:application-inference-profile/a1b2c3d4e5f6",
        "us-east-1",
        &["us-east-1", "us-west-2"],
    ),
    (
        "amazon.nova-lite-v1:0",
        "amazon.nova-lite-v1:0",
        "us-east-1",
        &["us-east-1"],
    ),
];
/// Where a request of the first profile must not run.
pub const FORBIDDEN: &str = "us-west-2";
/// 2026-04-14T00:00:00Z
const START: i64 = 1_776_124_800;

/// Returns prompts, as JSON of `content`.
fn traps(body: usize, random: &mut fastrand::Rng) -> Vec<String> {
    let copy = json!({
        "schemaType": "ModelInvocationLog", "inferenceRegion": "ap-south-1", "region": "ap-south-1", "modelId": "fake.model",
        "requestId": "00000000-0000-0000-0000-000000000000", "input": {"inputTokenCount": 999_999},
        "eventSource": "bedrock.amazonaws.com", "additionalEventData": {"inferenceRegion": "ap-south-1"},
        "Records": [{"awsRegion": "ap-south-1"}],
    });
    let as_text = copy.to_string();
    let texts: Vec<Value> = vec![
        json!(as_text),
        json!(format!(
            "\"}}]}},\"inferenceRegion\":\"ap-south-1\",\"x\":\"{as_text}"
        )),
        json!("\\\"inferenceRegion\\\":\\\"ap-south-1\\\" and at the end a backslash \\"),
        json!("caf\u{e9} \u{1f600} \u{2028} \u{0} \t \r\n{\"inferenceRegion\":\"ap-south-1\"}\n"),
        json!("}}}]]] {{{[[[ \"\"\" , : \\\\ \\u0022inferenceRegion\\u0022"),
    ];
    let mut prompts: Vec<String> = texts
        .iter()
        .map(|text| json!([{"text": text}]).to_string())
        .collect();
    prompts.push(json!([{"toolUse": {"name": "x", "input": copy}}, {"text": ""}]).to_string());
    // The same as escapes.
    prompts.push(
        "[{\"text\":\"\\ud83d\\ude00 \\u0022\\u007d,\\u0022inferenceRegion\\u0022:\\/\"}]"
            .to_owned(),
    );
    let deep = "[".repeat(60) + &"]".repeat(60);
    prompts.push(format!("[{{\"json\":{deep}}}]"));
    let words = [
        "where ",
        "was ",
        "\"this\" ",
        "served\n",
        "{region} ",
        "\u{fc}ber ",
        "\\ ",
    ];
    (0..64)
        .map(|number| {
            let mut prompt = prompts[number % prompts.len()].clone();
            let wanted = match (body, number) {
                (0, 63) => 100_000,
                (0, _) => 1000,
                (body, _) => body,
            };
            if wanted < prompt.len() {
                prompt = json!([{"text": "x".repeat(wanted.saturating_sub(12))}]).to_string();
            } else {
                let mut long = String::new();
                while prompt.len() + long.len() < wanted {
                    long += words[random.usize(..words.len())];
                }
                prompt.pop();
                let _ = write!(prompt, ",{}]", json!({"text": long}));
            }
            prompt
        })
        .collect()
}

fn time(seconds: i64) -> String {
    let time = jiff::Timestamp::from_second(seconds).unwrap_or_default();
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// Writes the records, and returns what a right count is.
pub fn write(recipe: &Recipe, out: &mut impl Write) -> io::Result<Expected> {
    let mut random = fastrand::Rng::with_seed(recipe.seed);
    let prompts = traps(recipe.body, &mut random);
    let mut expected = Expected::default();
    let mut seconds = String::new();
    let mut line = String::new();
    if recipe.kind == Kind::CloudTrail {
        write!(out, "{{\"Records\":[")?;
    }
    for number in 0..recipe.requests {
        if number % 16 == 0 {
            seconds = time(START + i64::try_from(number / 16).unwrap_or_default());
        }
        let chance = |percent: u8, random: &mut fastrand::Rng| random.u8(..100) < percent;
        let is_violation = recipe.violation == Some(number);
        let (called, profile, source, regions) = if is_violation {
            CALLED[0]
        } else {
            CALLED[random.usize(..CALLED.len())]
        };
        let is_failed = !is_violation && chance(recipe.failed, &mut random);
        let has_region = is_violation || !(is_failed || chance(recipe.without_region, &mut random));
        let served_in = match (has_region, is_violation) {
            (false, _) => None,
            (true, true) => Some(FORBIDDEN),
            (true, false) => Some(regions[random.usize(..regions.len())]),
        };
        let id = uuid(&mut random);
        let tokens = [
            random.u64(1..4000),
            random.u64(1..1000),
            random.u64(..2) * 1024,
            0,
        ];
        let prompt = &prompts[random.usize(..prompts.len())];
        line.clear();
        let record = Fields {
            time: &seconds,
            id: &id,
            called,
            source,
            served_in,
            tokens,
            prompt,
            is_failed,
        };
        match recipe.kind {
            Kind::InvocationLog => record.invocation_log(&mut line),
            Kind::CloudTrail => record.cloudtrail(&mut line),
        }
        let times = 1 + u64::from(chance(recipe.duplicates, &mut random));
        for again in 0..times {
            match recipe.kind {
                Kind::InvocationLog => writeln!(out, "{line}")?,
                Kind::CloudTrail if number == 0 && again == 0 => write!(out, "{line}")?,
                Kind::CloudTrail => write!(out, ",{line}")?,
            }
        }
        if is_failed {
            expected.failed += times;
            continue;
        }
        expected.requests += 1;
        expected.duplicates += times - 1;
        let key = (
            profile.to_owned(),
            source.to_owned(),
            served_in.map(ToOwned::to_owned),
        );
        let row = expected.rows.entry(key).or_default();
        row[0] += 1;
        if recipe.kind == Kind::InvocationLog {
            for (sum, count) in row[1..].iter_mut().zip(tokens) {
                *sum += count;
            }
        }
    }
    if recipe.kind == Kind::CloudTrail {
        write!(out, "]}}")?;
    }
    Ok(expected)
}

fn uuid(random: &mut fastrand::Rng) -> String {
    let bits = random.u128(..);
    let hex = format!("{bits:032x}");
    [
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..],
    ]
    .join("-")
}

struct Fields<'a> {
    time: &'a str,
    id: &'a str,
    called: &'a str,
    source: &'a str,
    served_in: Option<&'a str>,
    tokens: [u64; 4],
    prompt: &'a str,
    is_failed: bool,
}

impl Fields<'_> {
    fn invocation_log(&self, line: &mut String) {
        let Self {
            time,
            id,
            called,
            source,
            prompt,
            ..
        } = self;
        let [input, output, cache_read, cache_write] = self.tokens;
        let _ = write!(
            line,
            "{{\"timestamp\":\"{time}\",\"accountId\":\"111122223333\",\"identity\":{{\"arn\":\"arn:aws:sts::111122223333:assumed-role/shop/chat\"}},\
             \"region\":\"{source}\",\"requestId\":\"{id}\",\"operation\":\"Converse\",\"modelId\":\"{called}\",\
             \"input\":{{\"inputContentType\":\"application/json\",\"inputBodyJson\":{{\"messages\":[{{\"role\":\"user\",\"content\":{prompt}}}]}},"
        );
        if self.is_failed {
            line.push_str("\"inputTokenCount\":0},\"errorCode\":\"ThrottlingException\",");
        } else {
            let _ = write!(
                line,
                "\"inputTokenCount\":{input},\"cacheReadInputTokenCount\":{cache_read},\"cacheWriteInputTokenCount\":{cache_write}}},\
                 \"output\":{{\"outputContentType\":\"application/json\",\"outputBodyJson\":{{\"stopReason\":\"end_turn\"}},\"outputTokenCount\":{output}}},"
            );
        }
        line.push_str("\"schemaType\":\"ModelInvocationLog\",\"schemaVersion\":\"1.0\"");
        if let Some(region) = self.served_in {
            let _ = write!(line, ",\"inferenceRegion\":\"{region}\"");
        }
        line.push('}');
    }

    fn cloudtrail(&self, line: &mut String) {
        let Self {
            time,
            id,
            called,
            source,
            ..
        } = self;
        let _ = write!(
            line,
            "{{\"eventVersion\":\"1.11\",\"userIdentity\":{{\"type\":\"AssumedRole\",\"arn\":\"arn:aws:sts::111122223333:assumed-role/shop/chat\"}},\
             \"eventTime\":\"{time}\",\"eventSource\":\"bedrock.amazonaws.com\",\"eventName\":\"Converse\",\"awsRegion\":\"{source}\",\
             \"userAgent\":\"x \\\"inferenceRegion\\\":\\\"ap-south-1\\\"\","
        );
        if self.is_failed {
            line.push_str("\"errorCode\":\"ThrottlingException\",");
        }
        let _ = write!(
            line,
            "\"requestParameters\":{{\"modelId\":\"{called}\"}},\"responseElements\":null,\"additionalEventData\":"
        );
        match self.served_in {
            Some(region) => {
                let _ = write!(line, "{{\"inferenceRegion\":\"{region}\"}}");
            }
            None => line.push_str("null"),
        }
        let _ = write!(
            line,
            ",\"requestID\":\"{id}\",\"eventID\":\"{id}\",\"readOnly\":true,\"eventType\":\"AwsApiCall\",\"managementEvent\":true,\
             \"recipientAccountId\":\"111122223333\",\"eventCategory\":\"Management\"}}"
        );
    }
}
