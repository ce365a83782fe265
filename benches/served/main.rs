//! Measures `served-regions` beside `DuckDB` and jq, which do the same count on the same files, in turn: `make bench-served`.
//! `generate` writes records, for this and for trials.
//!
//! Each program is asked for requests by model, source region and region served. Counts are compared, so that nobody is fast by
//! leaving something out. jq runs once: it is slow, and its time hardly varies.

#[path = "../../tests/common/records.rs"]
mod records;

use std::{
    collections::BTreeMap,
    error::Error,
    fs::{self, File},
    io::{BufWriter, Write},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use clap::{Parser, Subcommand, ValueEnum};
use flate2::{Compression, write::GzEncoder};
use records::{Kind, Recipe};
use serde_json::Value;

type Failure = Box<dyn Error + Send + Sync>;

/// How often the memory of a program is looked at.
const INTERVAL: Duration = Duration::from_millis(20);

#[derive(Debug, Parser)]
struct Options {
    #[command(subcommand)]
    task: Option<Task>,
    #[command(flatten)]
    compare: Compare,
    /// Given by `cargo bench`
    #[arg(long, hide = true, global = true)]
    bench: bool,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Writes records to a file; compressed if its name ends in .gz
    Generate {
        /// The file
        file: PathBuf,
        /// How many requests
        #[arg(long, default_value_t = 100_000)]
        requests: u64,
        /// Bytes of a prompt; 0: about 1 kB, and now and then up to 100 kB
        #[arg(long, default_value_t = 0)]
        body: usize,
        /// The same seed gives the same records
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// Which records
        #[arg(long, default_value = "invocation-log")]
        kind: GivenKind,
    },
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum GivenKind {
    InvocationLog,
    Cloudtrail,
}

#[derive(Debug, Parser)]
struct Compare {
    /// How many records to measure with, in each way to keep them
    #[arg(long, env = "BENCH_RECORDS", default_value_t = 1_000_000)]
    records: u64,
    /// Files that they are spread over
    #[arg(long, env = "BENCH_FILES", default_value_t = 8)]
    files: u64,
    /// Bytes of a prompt
    #[arg(long, env = "BENCH_BODY", default_value_t = 100)]
    body: usize,
    /// How often each program but jq runs
    #[arg(long, env = "BENCH_RUNS", default_value_t = 3)]
    runs: usize,
    /// Python that has duckdb
    #[arg(long, env = "IPO_TEST_PYTHON", default_value = "python3")]
    python: String,
    /// Where records are put; they are removed afterwards
    #[arg(long, env = "BENCH_FOLDER")]
    folder: Option<PathBuf>,
}

fn main() -> Result<(), Failure> {
    let options = Options::parse();
    match options.task {
        Some(Task::Generate {
            file,
            requests,
            body,
            seed,
            kind,
        }) => {
            let kind = match kind {
                GivenKind::InvocationLog => Kind::InvocationLog,
                GivenKind::Cloudtrail => Kind::CloudTrail,
            };
            let recipe = Recipe {
                body,
                ..Recipe::new(kind, seed, requests)
            };
            generate(&file, &recipe)
        }
        None => compare(&options.compare),
    }
}

fn generate(path: &Path, recipe: &Recipe) -> Result<(), Failure> {
    let mut file = BufWriter::with_capacity(1 << 20, File::create(path)?);
    if path.extension().is_some_and(|extension| extension == "gz") {
        let mut file = GzEncoder::new(file, Compression::new(4));
        records::write(recipe, &mut file)?;
        file.finish()?.flush()?;
    } else {
        records::write(recipe, &mut file)?;
        file.flush()?;
    }
    Ok(())
}

/// A way to count.
struct Contender {
    name: &'static str,
    command: fn(&Compare, &[PathBuf]) -> Command,
    /// Reads requests by region served off its output.
    read: fn(&str) -> Result<BTreeMap<String, u64>, Failure>,
    once: bool,
}

const SAME_COUNT: &str = "
import duckdb, json, sys
duckdb.sql('SET enable_progress_bar = false')
deduplicated = sys.argv[1] == 'yes'
files = sys.argv[2:]
columns = '''{modelId: 'VARCHAR', region: 'VARCHAR', inferenceRegion: 'VARCHAR', requestId: 'VARCHAR', errorCode: 'VARCHAR',
  schemaType: 'VARCHAR', input: 'STRUCT(inputTokenCount BIGINT)', output: 'STRUCT(outputTokenCount BIGINT)'}'''
requests = 'count(DISTINCT requestId)' if deduplicated else 'count(*)'
rows = duckdb.sql(f'''SELECT modelId, region, inferenceRegion, {requests}, sum(input.inputTokenCount), sum(output.outputTokenCount)
  FROM read_json({files}, format = 'newline_delimited', columns = {columns})
  WHERE schemaType = 'ModelInvocationLog' AND (errorCode IS NULL OR inferenceRegion IS NOT NULL) GROUP BY ALL''').fetchall()
counts = {}
for row in rows:
    counts[row[2] or ''] = counts.get(row[2] or '', 0) + row[3]
print(json.dumps(counts))
";

const JQ: &str = r#"reduce (inputs | select(.schemaType == "ModelInvocationLog" and (.errorCode == null or .inferenceRegion != null)))
  as $r ({}; .["\($r.modelId) \($r.region) \($r.inferenceRegion // "")"] |= [.[0] + 1, .[1] + $r.input.inputTokenCount, .[2] + $r.output.outputTokenCount])
  | reduce to_entries[] as $e ({}; .[$e.key | split(" ")[2]] += $e.value[0])"#;

fn ours(files: &[PathBuf], more: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_inference-profile-operator"));
    command
        .args(["served-regions", "-o", "json"])
        .args(more)
        .args(files);
    command
}

fn duckdb(compare: &Compare, deduplicated: &str, files: &[PathBuf]) -> Command {
    let mut command = Command::new(&compare.python);
    command.args(["-c", SAME_COUNT, deduplicated]).args(files);
    command
}

fn jq(files: &[PathBuf]) -> Command {
    let mut command = Command::new("sh");
    let is_compressed = files[0].extension().is_some_and(|it| it == "gz");
    let cat = if is_compressed { "gzip -dc" } else { "cat" };
    command
        .args(["-c", &format!("{cat} \"$@\" | jq -n '{JQ}'"), "sh"])
        .args(files);
    command
}

fn of_report(text: &str) -> Result<BTreeMap<String, u64>, Failure> {
    let report: Value = serde_json::from_str(text)?;
    let mut regions = BTreeMap::new();
    for profile in report["profiles"].as_array().into_iter().flatten() {
        for served in profile["servedIn"].as_array().into_iter().flatten() {
            let region = served["region"].as_str().unwrap_or_default();
            let requests = served["requests"].as_u64().unwrap_or_default();
            *regions.entry(region.to_owned()).or_default() += requests;
        }
    }
    Ok(regions)
}

fn of_object(text: &str) -> Result<BTreeMap<String, u64>, Failure> {
    Ok(serde_json::from_str(text)?)
}

const CONTENDERS: [Contender; 5] = [
    Contender {
        name: "served-regions",
        command: |_, files| ours(files, &[]),
        read: of_report,
        once: false,
    },
    Contender {
        name: "DuckDB, count(DISTINCT requestId)",
        command: |compare, files| duckdb(compare, "yes", files),
        read: of_object,
        once: false,
    },
    Contender {
        name: "served-regions --no-dedupe",
        command: |_, files| ours(files, &["--no-dedupe"]),
        read: of_report,
        once: false,
    },
    Contender {
        name: "DuckDB, count(*)",
        command: |compare, files| duckdb(compare, "no", files),
        read: of_object,
        once: false,
    },
    Contender {
        name: "jq",
        command: |_, files| jq(files),
        read: of_object,
        once: true,
    },
];

/// What one run took.
struct Run {
    seconds: f64,
    /// The most memory, in KiB, of the program and those that it started.
    memory: u64,
}

fn compare(compare: &Compare) -> Result<(), Failure> {
    let folder = match &compare.folder {
        Some(folder) => tempfile::tempdir_in(folder)?,
        None => tempfile::tempdir()?,
    };
    println!(
        "{} records in {} files, prompts of {} bytes, {} runs in turn",
        compare.records, compare.files, compare.body, compare.runs
    );
    println!("| files | MB | program | seconds | records per second | peak memory, MiB |");
    println!("|---|---|---|---|---|---|");
    for extension in ["json", "json.gz"] {
        let files: Vec<PathBuf> = (0..compare.files)
            .map(|number| folder.path().join(format!("{number}.{extension}")))
            .collect();
        let write = |(seed, file): (u64, &PathBuf)| {
            let requests = compare.records / compare.files;
            let recipe = Recipe {
                body: compare.body,
                ..Recipe::new(Kind::InvocationLog, seed, requests)
            };
            generate(file, &recipe)
        };
        let bytes: u64 = {
            (0..).zip(&files).try_for_each(write)?;
            let sizes: Result<Vec<u64>, _> = files
                .iter()
                .map(|it| Ok::<_, Failure>(fs::metadata(it)?.len()))
                .collect();
            sizes?.iter().sum()
        };
        let mut runs: BTreeMap<usize, Vec<Run>> = BTreeMap::new();
        let mut counts: BTreeMap<usize, BTreeMap<String, u64>> = BTreeMap::new();
        for round in 0..compare.runs {
            for (number, contender) in CONTENDERS.iter().enumerate() {
                if contender.once && round > 0 {
                    continue;
                }
                let (run, output) = measure((contender.command)(compare, &files))
                    .map_err(|error| format!("{}: {error}", contender.name))?;
                counts.insert(number, (contender.read)(&output)?);
                runs.entry(number).or_default().push(run);
            }
        }
        if counts[&0] != counts[&1] {
            return Err(format!("counts differ: {:?}, {:?}", counts[&0], counts[&1]).into());
        }
        if counts[&2] != counts[&3] || counts[&3] != counts[&4] {
            return Err(format!(
                "counts differ: {:?}, {:?}, {:?}",
                counts[&2], counts[&3], counts[&4]
            )
            .into());
        }
        for (number, mut runs) in runs {
            runs.sort_by(|a, b| a.seconds.total_cmp(&b.seconds));
            let median = runs[runs.len() / 2].seconds;
            let memory = runs.iter().map(|run| run.memory).max().unwrap_or_default();
            #[expect(clippy::cast_precision_loss, reason = "a rate is printed")]
            let rate = compare.records as f64 / median;
            println!(
                "| {extension} | {} | {} | {median:.2} | {rate:.0} | {} |",
                bytes / 1_000_000,
                CONTENDERS[number].name,
                memory / 1024
            );
        }
        for file in files {
            fs::remove_file(file)?;
        }
    }
    Ok(())
}

/// Runs a program, and looks at its memory meanwhile.
fn measure(mut command: Command) -> Result<(Run, String), Failure> {
    let begin = Instant::now();
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let id = child.id();
    let (done, is_done) = std::sync::mpsc::channel::<()>();
    let watch = thread::spawn(move || {
        let mut most = 0;
        loop {
            most = most.max(memory_of(id));
            if is_done.recv_timeout(INTERVAL) != Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
                return most;
            }
        }
    });
    let mut output = String::new();
    if let Some(mut stdout) = child.stdout.take() {
        std::io::Read::read_to_string(&mut stdout, &mut output)?;
    }
    let status = child.wait()?;
    let seconds = begin.elapsed().as_secs_f64();
    drop(done);
    let memory = watch.join().map_err(|_| "the watch of memory failed")?;
    if !status.success() {
        return Err(format!("ended with {status}").into());
    }
    Ok((Run { seconds, memory }, output))
}

/// Returns the most memory of a process and its children so far, in KiB; 0 where there is no /proc.
fn memory_of(id: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
    let own = status
        .lines()
        .find_map(|line| {
            line.strip_prefix("VmHWM:")?
                .trim()
                .strip_suffix(" kB")?
                .parse()
                .ok()
        })
        .unwrap_or(0);
    let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap_or_default();
    let children = children.split_whitespace().filter_map(|id| id.parse().ok());
    own + children.map(memory_of).sum::<u64>()
}
