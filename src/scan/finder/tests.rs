use std::fmt::Write;

use proptest::prelude::*;

use super::*;

const ALL: Bounds = Bounds { findings: 1_000 };
const SONNET: &str = "anthropic.claude-sonnet-5-5";

fn finder() -> Finder {
    Finder::new(Embedded::load(), []).expect("a finder")
}

/// Returns the texts that are found.
fn texts(text: &str) -> Vec<String> {
    let found = finder().find(text.as_bytes(), ALL);
    found.mentions.into_iter().map(|it| it.text).collect()
}

#[test]
fn ids_in_other_text() {
    let profile = format!("eu.{SONNET}");
    for text in [
        "ID",
        "model: ID",
        "model: \"ID\"",
        "model: 'ID' # why",
        "- ID\n",
        "  - --model=ID",
        "MODEL=ID",
        "export MODEL=\"${MODEL:-ID}\"",
        "export MODEL=\"${MODEL-ID}\"",
        "{\"model\":\"ID\",\"x\":1}",
        "{\"text\": \"model:\\nID\\n\"}",
        "{\"text\": \"\\u0022ID\\u0022\"}",
        "model: bedrock/ID",
        "model: bedrock/converse/ID",
        "https://bedrock-runtime.eu-west-1.amazonaws.com/model/ID/invoke",
        "?modelId=ID&x=1",
        "?modelId%3DID&x=1",
        "<td>ID</td>",
        "Use ID.",
        "Use ID, or not",
        "(ID)",
        "`ID`",
        "bedrock:ID",
        "ID: the model",
        "x ID\r\n",
        "ü\u{200b}ID\u{200b}",
        "a,ID,b",
        "models/ID.json",
        "logs-of-ID",
        "DEFAULT_ID",
        "$ID",
        "@ID",
    ] {
        for id in [SONNET, &profile] {
            let text = text.replace("ID", id);
            assert_eq!(texts(&text), [id], "{text}");
        }
    }
}

#[test]
fn what_is_found() {
    let arn = |rest: &str| format!("arn:aws:bedrock:{rest}");
    for (text, expected) in [
        ("amazon.nova-lite-v1:0", vec!["amazon.nova-lite-v1:0"]),
        (
            "us-gov.anthropic.claude-opus-4-8",
            vec!["us-gov.anthropic.claude-opus-4-8"],
        ),
        (
            "my-us.amazon.nova-pro-v1:0",
            vec!["us.amazon.nova-pro-v1:0"],
        ),
        (
            "model/amazon.nova-lite-v1%3A0/invoke",
            vec!["amazon.nova-lite-v1%3A0"],
        ),
        ("global.openai.gpt-5.4", vec!["global.openai.gpt-5.4"]),
        ("openai.gpt-5.4. And", vec!["openai.gpt-5.4"]),
        ("openai.gpt-5.6-luna", vec!["openai.gpt-5.6-luna"]),
        (
            "anthropic.claude-opus-5:0.25",
            vec!["anthropic.claude-opus-5"],
        ),
        // With the context length of provisioned throughput.
        (
            "amazon.nova-lite-v1:0:24k",
            vec!["amazon.nova-lite-v1:0:24k"],
        ),
        // Not known, and like those that are.
        ("anthropic.claude-v2:1", vec!["anthropic.claude-v2:1"]),
        (
            "anthropic.claude-sonet-5-5",
            vec!["anthropic.claude-sonet-5-5"],
        ),
        ("us.xai.grok-9", vec!["us.xai.grok-9"]),
        ("meta.llama2-13b-chat-v1", vec!["meta.llama2-13b-chat-v1"]),
        // Not a geography.
        (
            "ap.anthropic.claude-sonnet-5-5",
            vec!["ap.anthropic.claude-sonnet-5-5"],
        ),
        (
            "kr.anthropic.claude-sonnet-5-5",
            vec!["kr.anthropic.claude-sonnet-5-5"],
        ),
        (
            "eu.amazon.nova-pro-v1:0|us.amazon.nova-pro-v1:0",
            vec!["eu.amazon.nova-pro-v1:0", "us.amazon.nova-pro-v1:0"],
        ),
        // Two in a row, without anything between them that ends the first.
        (
            "amazon.nova-pro-v1:0.amazon.nova-lite-v1:0",
            vec!["amazon.nova-pro-v1:0"],
        ),
    ] {
        assert_eq!(texts(text), expected, "{text}");
    }
    for rest in [
        "eu-west-1::foundation-model/amazon.titan-embed-text-v2:0",
        "::foundation-model/anthropic.claude-sonnet-5-5",
        "eu-west-1:111122223333:inference-profile/eu.anthropic.claude-sonnet-5-5",
        "eu-west-1:111122223333:inference-profile/asia.anthropic.claude-sonnet-9-v1:0",
        "eu-west-1:111122223333:application-inference-profile/a1b2c3d4e5f6",
    ] {
        let arn = arn(rest);
        let encoded = arn.replace(':', "%3A").replace('/', "%2F");
        for text in [&arn, &encoded] {
            assert_eq!(texts(&format!("\"{text}\"")), [text.as_str()], "{text}");
            assert_eq!(
                texts(&format!("bedrock/converse/{text}")),
                [text.as_str()],
                "{text}"
            );
        }
    }
}

#[test]
fn what_is_none() {
    for text in [
        "anthropic.com",
        "https://docs.anthropic.com/claude/reference",
        "eu.example.com",
        "amazon.titan.foo",
        "com.amazon.nova",
        "com.amazon.nova.client",
        "import com.anthropic.claude.Client;",
        "openai.gpt",
        "openai.api_key",
        "deepseek.v3",
        "cohere.embed",
        "mistral.mistral",
        "meta.llama",
        "meta.helm.sh/release-name",
        "anthropic.claude-",
        "anthropic.claude-*",
        "anthropic.claude-3-*",
        "anthropic.claude-sonnet-5-5*",
        "anthropic.claude-3-5-sonnet-...",
        "anthropic.claude-${VERSION}",
        "anthropic.claude-3${VERSION}",
        "anthropic.claude-opus-{{ .Values.version }}",
        "anthropic.claude-opus-5{{ .Values.suffix }}",
        "nthropic.claude-sonnet-5-5",
        "xanthropic.claude-sonnet-5-5",
        "3anthropic.claude-sonnet-5-5",
        "anthropic.claude-sonnet-5-5_old",
        "anthropic.claude-sonnet-5-5X",
        "prices.anthropic.claude-sonnet-5-5",
        "com.anthropic.claude-sonnet-5-5",
        ".Values.global.anthropic.claude-sonnet-5-5",
        "a.b.us.anthropic.claude-sonnet-5-5",
        "amazon.nova-2(",
        // Models of other clouds.
        "cohere.command-r-plus-08-2024",
        "meta.llama-3.3-70b-instruct",
        "openai.gpt-4.1",
        "xai.grok-3",
        "google.gemini-2.5-pro",
        // Not whole.
        "application-inference-profile/",
        "application-inference-profile/*",
        "arn:aws:bedrock:*:*:application-inference-profile/*",
        "arn:aws:bedrock:eu-west-1:111122223333:application-inference-profile/${ID}",
        "arn:aws:sagemaker:eu-west-1:111122223333:application-inference-profile/abc",
    ] {
        assert_eq!(texts(text), [""; 0], "{text}");
    }
}

#[test]
fn what_is_named() {
    let model: ModelId = SONNET.parse().expect("a model");
    let profile = |geography: &str| Named::Profile {
        id: format!("{geography}.{SONNET}").parse().expect("a profile"),
        geography: geography.parse().expect("a geography"),
        model: model.clone(),
    };
    let region: Region = "eu-west-1".parse().expect("a region");
    for (text, named, arn) in [
        (SONNET, Named::Model(model.clone()), None),
        ("eu.anthropic.claude-sonnet-5-5", profile("eu"), None),
        ("ap.anthropic.claude-sonnet-5-5", profile("ap"), None),
        (
            "arn:aws:bedrock:::foundation-model/anthropic.claude-sonnet-5-5",
            Named::Model(model.clone()),
            Some(None),
        ),
        (
            "arn:aws:bedrock:eu-west-1:111122223333:inference-profile/eu.anthropic.claude-sonnet-5-5",
            profile("eu"),
            Some(Some(region.clone())),
        ),
        (
            "arn:aws:bedrock:eu-west-1:111122223333:application-inference-profile/abc",
            Named::ApplicationProfile,
            Some(Some(region.clone())),
        ),
        // ARNs that are still templates or patterns.
        (
            "arn:aws:bedrock:eu-west-1:${AWS::AccountId}:application-inference-profile/abc",
            Named::ApplicationProfile,
            Some(Some(region.clone())),
        ),
        (
            "arn:aws:bedrock:eu-west-1:${data.aws_caller_identity.current.account_id}:inference-profile/eu.anthropic.claude-sonnet-5-5",
            profile("eu"),
            Some(Some(region.clone())),
        ),
        (
            "arn:${AWS::Partition}:bedrock:eu-west-1:${AWS::AccountId}:inference-profile/eu.anthropic.claude-sonnet-5-5",
            profile("eu"),
            Some(Some(region.clone())),
        ),
        (
            "arn:aws:bedrock:eu-west-1:{{ .Values.account }}:inference-profile/eu.anthropic.claude-sonnet-5-5",
            profile("eu"),
            Some(Some(region.clone())),
        ),
        (
            "arn:*:bedrock:eu-west-1::foundation-model\\/anthropic.claude-sonnet-5-5",
            Named::Model(model.clone()),
            Some(Some(region.clone())),
        ),
        (
            "arn:aws:bedrock:*:*:inference-profile/eu.anthropic.claude-sonnet-5-5",
            profile("eu"),
            Some(None),
        ),
        (
            "arn:aws:bedrock:eu-*::foundation-model/anthropic.claude-sonnet-5-5",
            Named::Model(model.clone()),
            Some(None),
        ),
        (
            "arn:aws:bedrock:${AWS::Region}::foundation-model/anthropic.claude-sonnet-5-5",
            Named::Model(model.clone()),
            Some(None),
        ),
        (
            "\"arn:aws:bedrock:\" + region + \"::foundation-model/anthropic.claude-sonnet-5-5\"",
            Named::Model(model.clone()),
            Some(None),
        ),
        // It is called from where --region says.
        (
            "arn:aws:bedrock:${AWS::Region}:1:inference-profile/eu.anthropic.claude-sonnet-5-5",
            profile("eu"),
            None,
        ),
        (
            "arn:aws:sagemaker:eu-west-1:*:inference-profile/eu.anthropic.claude-sonnet-5-5",
            profile("eu"),
            None,
        ),
        (
            "arn:aws:bedrock:eu-west-1:\n*:inference-profile/eu.anthropic.claude-sonnet-5-5",
            profile("eu"),
            None,
        ),
    ] {
        let found = finder().find(text.as_bytes(), ALL);
        let references: Vec<Reference> =
            found.mentions.into_iter().map(|it| it.reference).collect();
        assert_eq!(references, [Reference { named, arn }], "{text}");
    }
}

#[test]
fn lines_and_columns_count_characters() {
    let text = "\u{feff}a\r\n  \u{fc}\u{1f600} amazon.nova-pro-v1:0 amazon.nova-lite-v1:0\n\namazon.nova-micro-v1:0";
    let found = finder().find(text.as_bytes(), ALL);
    let places: Vec<(usize, usize)> = found
        .mentions
        .iter()
        .map(|it| (it.line, it.column))
        .collect();
    assert_eq!(places, [(2, 6), (2, 27), (4, 1)]);
}

#[test]
fn lines_with_the_marker_are_counted_alone() {
    let text = format!(
        "a: {SONNET} # {IGNORE_MARKER}\nb: {SONNET}\n// {IGNORE_MARKER} {SONNET} {SONNET}\n# {IGNORE_MARKER}\nc: {SONNET}\n"
    );
    let found = finder().find(text.as_bytes(), ALL);
    let lines: Vec<usize> = found.mentions.iter().map(|it| it.line).collect();
    assert_eq!((lines, found.ignored), (vec![2, 5], 3));
}

#[test]
fn bindings_and_what_the_operator_writes_are_no_findings() {
    let binding = format!(
        "apiVersion: inferenceprofiles.dev/v1alpha1\nkind: InferenceProfileBinding\nspec: {{model: {SONNET}}}\n"
    );
    let json =
        format!("{{\"apiVersion\": \"inferenceprofiles.dev/v1alpha1\", \"model\": \"{SONNET}\"}}");
    let config_map = format!(
        "kind: ConfigMap\nmetadata: {{labels: {{inferenceprofiles.dev/managed: \"true\"}}}}\ndata: {{a: eu.{SONNET}}}\n"
    );
    for (text, mentions, in_bindings) in [
        (binding.clone(), 0, 1),
        (json, 0, 1),
        (config_map, 0, 1),
        (
            format!("a: {SONNET}\n---\n{binding}---\nb: {SONNET}\n"),
            2,
            1,
        ),
        (
            format!(
                "kind: List\nitems:\n- apiVersion: v1\n  data: {{a: {SONNET}}}\n- apiVersion: inferenceprofiles.dev/v1alpha1\n  metadata:\n    ownerReferences:\n    - apiVersion: v1\n  spec: {{model: {SONNET}}}\n- apiVersion: v1\n  data: {{b: {SONNET}}}\n"
            ),
            2,
            1,
        ),
        (
            format!("Use {SONNET}:\n```yaml\n{binding}```\nNot {SONNET}"),
            2,
            1,
        ),
        (
            format!("kubectl apply -f - <<EOF\n{binding}EOF\ncurl {SONNET}\n"),
            1,
            1,
        ),
        (
            format!("# see inferenceprofiles.dev/v1alpha1\na: {SONNET}\n"),
            1,
            0,
        ),
        (
            format!(
                "let label = \"inferenceprofiles.dev/managed\"; // apiVersion: inferenceprofiles.dev/v1alpha1\na({SONNET});\n"
            ),
            1,
            0,
        ),
        (
            format!("annotations: {{inferenceprofiles.dev/inject: chat}}\na: {SONNET}\n"),
            1,
            0,
        ),
    ] {
        let found = finder().find(text.as_bytes(), ALL);
        let counts = (found.mentions.len(), found.in_bindings);
        assert_eq!(counts, (mentions, in_bindings), "{text}");
    }
}

#[test]
fn the_number_of_findings_is_bounded() {
    let text = format!("{SONNET} ").repeat(11);
    let found = finder().find(text.as_bytes(), Bounds { findings: 10 });
    assert_eq!((found.mentions.len(), found.is_cut), (10, true));
    let found = finder().find(text.as_bytes(), Bounds { findings: 11 });
    assert_eq!((found.mentions.len(), found.is_cut), (11, false));
}

#[test]
fn every_model_and_profile_of_the_data_is_found() {
    let data = Embedded::load();
    let finder = finder();
    let mut text = String::new();
    let mut expected = Vec::new();
    for model in &finder.models {
        expected.push(model.to_string());
        let retired = data.retired(model).map(|profile| profile.id.to_string());
        let current = data.current_routes(model).into_keys();
        expected.extend(current.map(|geography| format!("{geography}.{model}")));
        expected.extend(retired);
    }
    for id in &expected {
        writeln!(text, "- {id}").expect("written");
    }
    let found = finder.find(text.as_bytes(), ALL);
    let found: Vec<String> = found.mentions.into_iter().map(|it| it.text).collect();
    assert!(found.len() > 250, "{}", found.len());
    assert_eq!(found, expected);
}

#[test]
fn models_of_a_listing_are_known_too() {
    let new: ModelId = "acme.rocket-9".parse().expect("a model");
    let finder = Finder::new(Embedded::load(), [new]).expect("a finder");
    let found = finder.find(b"eu.acme.rocket-9 acme.rocket-10", ALL);
    let texts: Vec<&str> = found.mentions.iter().map(|it| it.text.as_str()).collect();
    assert_eq!(texts, ["eu.acme.rocket-9", "acme.rocket-10"]);
}

#[test]
fn an_arn_ends_with_its_line() {
    let text = format!("arn:aws:bedrock:eu-west-1:1\n2:foundation-model/{SONNET}");
    assert_eq!(texts(&text), [SONNET]);
    let text = format!("'arn:aws:bedrock:eu-west-1::' + '::foundation-model/{SONNET}'");
    assert_eq!(texts(&text), [SONNET]);
}

/// A text takes time linear in its length, whatever is in it: these would take hours otherwise.
#[test]
fn long_lines_and_many_hits_are_no_trouble() {
    let finder = finder();
    for unit in [
        format!("{SONNET} "),
        format!("x.{SONNET}"),
        "anthropic.claude".to_owned(),
        "arn:arn:application-inference-profile/".to_owned(),
        format!("arn:{{:foundation-model/{SONNET}"),
        "- apiVersion:\nanthropic.claude-v\n".to_owned(),
        "---\nanthropic.claude-v\n".to_owned(),
        "a-".to_owned(),
    ] {
        let text = unit.repeat((512 << 10) / unit.len());
        let found = finder.find(
            text.as_bytes(),
            Bounds {
                findings: usize::MAX,
            },
        );
        assert!(!found.is_cut, "{unit}");
    }
}

/// Returns pieces of texts that are near to what is found.
fn pieces() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..6),
        prop::sample::select(vec![
            "anthropic.claude",
            "-sonnet-5-5",
            "eu.",
            "us-gov.",
            "arn:aws:bedrock:",
            "eu-west-1",
            ":111122223333:",
            "::",
            "foundation-model/",
            "inference-profile/",
            "%3A",
            "%2F",
            "%",
            "application-inference-profile",
            "/",
            ":0",
            "-v1",
            ".",
            "-",
            "\n",
            "\r\n",
            "\u{fc}",
            "ipo-scan: ignore",
            "apiVersion: inferenceprofiles.dev/",
            "---",
            "${A:-",
            "\\n",
            "amazon.nova-pro-v1:0",
            " ",
            "\0",
        ])
        .prop_map(|text| text.as_bytes().to_vec()),
    ];
    prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

proptest! {
    /// Whatever the bytes are, nothing panics, and each place points to its text.
    #[test]
    fn places_point_to_texts(bytes in pieces()) {
        let found = finder_once().find(&bytes, ALL);
        let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
        let lines: Vec<&[u8]> = text.split(|b| *b == b'\n').collect();
        let mut last = (0, 0);
        for mention in found.mentions {
            let line = lines[mention.line - 1];
            let starts: Vec<usize> = (0..line.len()).filter(|at| line[*at] & 0xc0 != 0x80).collect();
            let rest = &line[starts[mention.column - 1]..];
            prop_assert!(rest.starts_with(mention.text.as_bytes()), "{mention:?}");
            prop_assert!((mention.line, mention.column) > last, "in order");
            last = (mention.line, mention.column);
        }
    }
}

fn finder_once() -> &'static Finder {
    static FINDER: std::sync::LazyLock<Finder> = std::sync::LazyLock::new(finder);
    &FINDER
}
