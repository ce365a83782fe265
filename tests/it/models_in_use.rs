//! What users copy names models that AWS still gives to everybody: documents, examples, demo, chart, help, and what the tests
//! apply or keep as output.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::LazyLock,
};

use inference_profile_operator::{
    catalog::embedded::Embedded,
    types::{Geography, ModelId},
};

use jiff::civil::{Date, date};

use crate::{
    cli::commands,
    common::program::{Output, PROGRAM},
};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
/// Where models are named, beside the documents in the root folder.
const FOLDERS: [&str; 10] = [
    "benches",
    "charts",
    "crds",
    "dev/demo",
    "docs",
    "examples",
    "gitops",
    "tests/chart",
    "tests/e2e",
    "tests/golden",
];
/// Tells of versions that are past, and so of their models.
const HISTORY: &str = "CHANGELOG.md";
const RELEASING: &str = "docs/releasing.md";

/// A model that is not active, or no model, and may be named all the same.
struct Exception {
    file: &'static str,
    /// The model; `None` for every one.
    model: Option<&'static str>,
    reason: &'static str,
}

const EXCEPTIONS: &[Exception] = &[
    Exception {
        file: "charts/inference-profile-operator/templates/NOTES.txt",
        model: Some("anthropic.claude-sonnet-4-5-20250929-v1:0"),
        reason: "GovCloud has no profile of a later model, and AWS's legacy date does not hold there",
    },
    Exception {
        file: "docs/lifecycle.md",
        model: Some("anthropic.claude-opus-4-1-20250805-v1:0"),
        reason: "a life that goes through all states is shown, as of a date",
    },
    Exception {
        file: "tests/golden/preview.txt",
        model: Some("anthropic.claude-sonet-5-5"),
        reason: "an edit with a typing mistake is previewed",
    },
    Exception {
        file: "tests/golden/preview.json",
        model: Some("anthropic.claude-sonet-5-5"),
        reason: "an edit with a typing mistake is previewed",
    },
    Exception {
        file: "tests/golden/catalog-matrix-eu.txt",
        model: None,
        reason: "the whole catalog is listed",
    },
    Exception {
        file: "docs/scan.md",
        model: None,
        reason: "a scan finds what should not be there",
    },
    Exception {
        file: "tests/golden/scan-shop.txt",
        model: None,
        reason: "a scan finds what should not be there",
    },
    Exception {
        file: "tests/golden/scan-shop-ireland.txt",
        model: None,
        reason: "a scan finds what should not be there",
    },
    Exception {
        file: "tests/golden/scan-shop-ireland.json",
        model: None,
        reason: "a scan finds what should not be there",
    },
    Exception {
        file: "tests/golden/scan-shop-ireland.sarif",
        model: None,
        reason: "a scan finds what should not be there",
    },
    Exception {
        file: "tests/golden/scan-shop-suggested.yaml",
        model: None,
        reason: "a scan finds what should not be there",
    },
];

/// What the data say of a model.
#[derive(Clone, Copy)]
struct Known {
    /// Whether it is closed to new customers.
    legacy: bool,
    /// The first day on which it is, if it is known.
    legacy_from: Option<Date>,
}

/// Returns what the embedded data say of a model as of their date, if they have it. Nothing else here asks them for
/// lifecycles.
fn known(model: &ModelId) -> Option<Known> {
    let lives = || {
        let all = Embedded::load().lifecycles();
        all.filter(|(of, ..)| *of == model)
            .map(|(.., lifecycle)| lifecycle)
    };
    MODELS.contains(model).then(|| Known {
        legacy: lives().any(|lifecycle| lifecycle.is_legacy),
        legacy_from: lives().filter_map(|lifecycle| lifecycle.legacy).min(),
    })
}

/// All models of the embedded data.
static MODELS: LazyLock<BTreeSet<&ModelId>> = LazyLock::new(|| {
    let data = Embedded::load();
    data.models().chain(data.models_without_profile()).collect()
});

/// A model in a text, by its own ID or by that of a profile.
#[derive(Debug, PartialEq, Eq)]
struct Mention {
    place: String,
    model: ModelId,
    geography: Option<Geography>,
}

/// Returns the models that a text names. Patterns such as `anthropic.*`, and IDs that end with `...`, name none.
fn mentions(place: &str, text: &str) -> Vec<Mention> {
    let part_of_id = |c: char| c.is_ascii_alphanumeric() || "-._:".contains(c);
    let mut found = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let mut rest = line;
        while let Some(start) = rest.find(part_of_id) {
            let word = &rest[start..];
            let end = word.find(|c| !part_of_id(c)).unwrap_or(word.len());
            let (word, after) = word.split_at(end);
            rest = after;
            if after.starts_with('*') || word.ends_with("...") {
                continue;
            }
            if let Some((geography, model)) = identity(word.trim_end_matches(['.', ':'])) {
                found.push(Mention {
                    place: format!("{place}, line {}", number + 1),
                    model,
                    geography,
                });
            }
        }
    }
    found
}

/// Returns the geography, if there is one, and the model of what looks like an ID of a provider in the data.
fn identity(word: &str) -> Option<(Option<Geography>, ModelId)> {
    let provider = |word: &str| {
        let (first, rest) = word.split_once('.')?;
        let known = MODELS.iter().any(|model| model.provider() == first);
        let model: ModelId = word.parse().ok()?;
        // amazon.com is a domain.
        (known && (rest.contains('-') || MODELS.contains(&model))).then_some(model)
    };
    if let Some(model) = provider(word) {
        return Some((None, model));
    }
    let (geography, rest) = word.split_once('.')?;
    Some((Some(geography.parse().ok()?), provider(rest)?))
}

/// Returns why a model should not be named, or `None` if it is active at the date of the data.
fn objection(mention: &Mention, known: Option<Known>, as_of: Date) -> Option<String> {
    let Mention { place, model, .. } = mention;
    let Some(Known {
        legacy,
        legacy_from,
    }) = known
    else {
        return Some(format!("{place}: {model} is no model of the embedded data"));
    };
    match legacy_from {
        Some(day) if legacy || day <= as_of => Some(format!(
            "{place}: {model} must be changed by {day}: it is legacy from that day on"
        )),
        None if legacy => Some(format!("{place}: {model} must be changed: it is legacy")),
        _ => None,
    }
}

/// Returns why a profile should not be named: it was never listed, or is no more.
fn missing_profile(mention: &Mention) -> Option<String> {
    let Mention {
        place,
        model,
        geography,
    } = mention;
    let geography = geography.as_ref()?;
    let current = Embedded::load().current_routes(model);
    (!current.contains_key(geography))
        .then(|| format!("{place}: {geography}.{model} is no profile of the embedded data"))
}

/// Returns the line of the releasing page on the first day on which one of these models is legacy.
fn deadline<'a>(used: impl Iterator<Item = (&'a ModelId, Known)>) -> String {
    let dated = used.filter_map(|(model, known)| Some((known.legacy_from?, model)));
    dated.min().map_or_else(
        || "None of the models in use has a legacy date in the embedded data.".to_owned(),
        |(day, model)| {
            format!(
                "The models in use must be changed by {day}: `{model}` is legacy from that day on."
            )
        },
    )
}

/// Returns the files in a folder and below it.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries =
        fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<PathBuf> = entries
        .flat_map(|entry| {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                files(&path)
            } else {
                vec![path]
            }
        })
        .collect();
    files.sort();
    files
}

/// Returns every text that is searched, with its name.
fn texts() -> Vec<(String, String)> {
    let root = Path::new(ROOT);
    let mut texts = Vec::new();
    let documents = fs::read_dir(root)
        .expect("the project")
        .filter_map(|entry| {
            let path = entry.expect("an entry").path();
            path.extension()
                .is_some_and(|end| end == "md")
                .then_some(path)
        });
    let below = FOLDERS.iter().flat_map(|folder| files(&root.join(folder)));
    for path in documents.chain(below) {
        let name = path.strip_prefix(root).expect("in the project");
        let text =
            fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        texts.push((name.display().to_string(), text));
    }
    let of_catalog = ["list", "matrix", "export"].map(|command| format!("catalog {command}"));
    for command in commands().into_iter().chain(of_catalog) {
        let words = command.split(' ').chain(["--help"]);
        let help = Output::of(Command::new(PROGRAM).args(words), "").ok();
        texts.push((format!("{command} --help"), help));
    }
    texts.retain(|(name, _)| name != HISTORY);
    texts
}

#[test]
fn models_in_use_are_active() {
    let as_of = Embedded::load().lifecycles_as_of().parse().expect("a date");
    let mut objections = Vec::new();
    let mut excused = BTreeSet::new();
    let mut used = BTreeSet::new();
    for (name, text) in texts() {
        for mention in mentions(&name, &text) {
            let found = objection(&mention, known(&mention.model), as_of);
            let found = found.or_else(|| missing_profile(&mention));
            let exception = EXCEPTIONS.iter().position(|exception| {
                exception.file == name
                    && exception
                        .model
                        .is_none_or(|model| model == mention.model.as_str())
            });
            match (found, exception) {
                (Some(_), Some(exception)) => {
                    excused.insert(exception);
                }
                (Some(found), None) => objections.push(found),
                (None, _) => {
                    used.insert(mention.model);
                }
            }
        }
    }
    assert!(objections.is_empty(), "\n{}", objections.join("\n"));
    for (position, Exception { file, reason, .. }) in EXCEPTIONS.iter().enumerate() {
        assert!(
            excused.contains(&position),
            "nothing in {file} needs the exception any more ({reason})"
        );
    }
    assert!(used.len() > 5, "the models were not found: {used:?}");

    let deadline = deadline(used.iter().filter_map(|model| Some((model, known(model)?))));
    let page = fs::read_to_string(Path::new(ROOT).join(RELEASING)).expect(RELEASING);
    assert!(
        page.contains(&deadline),
        "{RELEASING} does not say: {deadline}"
    );
}

#[test]
fn models_are_found_by_their_own_ids_and_by_those_of_profiles() {
    for (text, expected) in [
        (
            "model: anthropic.claude-sonnet-5-5",
            "anthropic.claude-sonnet-5-5",
        ),
        ("`eu.amazon.nova-pro-v1:0`.", "eu amazon.nova-pro-v1:0"),
        (
            "arn:aws:bedrock:eu-west-1::foundation-model/deepseek.v3.2",
            "deepseek.v3.2",
        ),
        (
            "no us-gov.anthropic.claude-none-v1:0: nothing",
            "us-gov anthropic.claude-none-v1:0",
        ),
        ("https://docs.aws.amazon.com/bedrock/a-b", ""),
        (
            "`anthropic.*`, 'anthropic.claude-opus-*', us.anthropic...",
            "",
        ),
        ("meta.helm.sh/release-name", ""),
    ] {
        let found: Vec<String> = mentions("a", text)
            .into_iter()
            .map(
                |Mention {
                     model, geography, ..
                 }| match geography {
                    Some(geography) => format!("{geography} {model}"),
                    None => model.to_string(),
                },
            )
            .collect();
        assert_eq!(found.join(", "), expected, "{text}");
    }
}

#[test]
fn a_model_is_objected_to_from_its_legacy_date_on() {
    let mentions = mentions(
        "docs/a.md",
        "\namazon.nova-pro-v1:0 and amazon.nova-none-v1:0",
    );
    let [pro, none] = &mentions[..] else {
        panic!("two models: {mentions:?}")
    };
    let active = |legacy_from| Known {
        legacy: false,
        legacy_from,
    };
    let legacy = |legacy_from| Known {
        legacy: true,
        legacy_from,
    };
    let day = Some(date(2027, 3, 8));
    let by_day = Some(
        "docs/a.md, line 2: amazon.nova-pro-v1:0 must be changed by 2027-03-08: it is legacy from that day on",
    );
    for (mention, known, as_of, expected) in [
        (pro, Some(active(None)), "2027-03-08", None),
        (pro, Some(active(day)), "2027-03-07", None),
        (pro, Some(active(day)), "2027-03-08", by_day),
        (pro, Some(legacy(day)), "2027-03-09", by_day),
        (
            pro,
            Some(legacy(None)),
            "2027-03-07",
            Some("docs/a.md, line 2: amazon.nova-pro-v1:0 must be changed: it is legacy"),
        ),
        (
            none,
            None,
            "2027-03-07",
            Some("docs/a.md, line 2: amazon.nova-none-v1:0 is no model of the embedded data"),
        ),
    ] {
        let as_of = as_of.parse().expect(as_of);
        assert_eq!(objection(mention, known, as_of).as_deref(), expected);
    }

    let later = [
        (&pro.model, active(day)),
        (&none.model, active(Some(date(2027, 1, 8)))),
    ];
    assert_eq!(
        deadline(later.into_iter()),
        "The models in use must be changed by 2027-01-08: `amazon.nova-none-v1:0` is legacy from that day on."
    );
}
