//! What came of the tries: a table, and whether it failed.

use std::{fmt::Write, fs, path::Path, time::Duration};

use crate::{Options, Outcome, checks::Findings, faults::CAP, world::Settled};

/// Begin and end of the table in a document.
const MARKS: [&str; 2] = ["<!-- table: begin -->", "<!-- table: end -->"];
/// How many words are printed of each try.
const WORDS: usize = 6;

/// What came of the tries of one fault.
pub struct Row {
    pub fault: &'static str,
    /// In hundredths of the longest pause.
    pub within: u64,
    pub tries: usize,
    pub failed: usize,
    settled: Vec<Settled>,
    sums: Findings,
    seen: Vec<String>,
}

/// What came of one try.
pub struct Try {
    /// How long it took, or what differs at the bound.
    pub settled: Result<Settled, String>,
    pub findings: Findings,
}

impl Try {
    /// Says whether something was not as it must be.
    pub fn failed(&self) -> bool {
        self.settled.is_err() || !self.findings.words.is_empty()
    }
}

impl Row {
    /// Begins a row.
    pub fn of(fault: &'static str, within: u64) -> Self {
        Self {
            fault,
            within,
            tries: 0,
            failed: 0,
            settled: Vec::new(),
            sums: Findings::default(),
            seen: Vec::new(),
        }
    }

    /// Adds a try, and prints what came of it.
    pub fn add(&mut self, tried: Try) {
        self.tries += 1;
        self.failed += usize::from(tried.failed());
        let found = &tried.findings;
        match &tried.settled {
            Ok(after) => eprintln!(
                "  {}: values in {:.1} s, all in {:.1} s; {} writes, the least is {}, {} refused",
                self.fault,
                after.values.as_secs_f64(),
                after.all.as_secs_f64(),
                found.writes,
                found.least,
                found.refused
            ),
            Err(why) => eprintln!("  {} FAILED: {why}", self.fault),
        }
        for words in found.words.iter().take(WORDS) {
            eprintln!("  {} FAILED: {words}", self.fault);
        }
        if found.words.len() > WORDS {
            let more = found.words.len() - WORDS;
            eprintln!("  {} FAILED: and {more} more", self.fault);
        }
        self.seen.extend(tried.settled.as_ref().err().cloned());
        self.seen.extend(found.words.first().cloned());
        self.settled.extend(tried.settled);
        let sums = &mut self.sums;
        sums.writes += found.writes;
        sums.refused += found.refused;
        sums.least += found.least;
        sums.lost += found.lost;
        sums.foreign += found.foreign;
        sums.restarts += found.restarts;
        sums.overlaps += found.overlaps;
    }

    fn line(&self) -> String {
        let values = median_and_longest(self.settled.iter().map(|it| it.values));
        let all = median_and_longest(self.settled.iter().map(|it| it.all));
        let sums = &self.sums;
        let verdict = if self.failed > 0 { "FAILS" } else { "" };
        format!(
            "| `{}` | {} of {} | {values} | {all} | {} s | {} / {} | {} | {} | {} | {} | {} | {verdict} |",
            self.fault,
            self.settled.len(),
            self.tries,
            self.within * CAP / 100,
            sums.writes,
            sums.least,
            sums.refused,
            sums.lost,
            sums.foreign,
            sums.restarts,
            sums.overlaps,
        )
    }
}

/// Returns the table in Markdown, with what failed below it.
pub fn table(options: &Options, seed: u64, rows: &[Row]) -> String {
    let mut text = String::new();
    let mut line = |line: &str| writeln!(text, "{line}").unwrap_or_default();
    line(&format!(
        "{} bindings, 2 replicas, seed {seed}: `make chaos CHAOS_SEED={seed} CHAOS_ROUNDS={} CHAOS_WORLDS={}{}{}`",
        options.bindings(),
        options.rounds,
        options.worlds,
        if options.short { " CHAOS_SHORT=1" } else { "" },
        options.bindings.map_or(String::new(), |bindings| format!(
            " CHAOS_BINDINGS={bindings}"
        )),
    ));
    line("");
    line(
        "| fault | converged | values in | all in | bound | writes / least | refused | values lost | foreign changed | restarts wrong | overlaps | |",
    );
    line("|---|---|---|---|---|---|---|---|---|---|---|");
    for row in rows {
        line(&row.line());
    }
    if rows.iter().any(|row| row.failed > 0) {
        line("");
        line("What failed, and what was seen first:");
        line("");
        for row in rows.iter().filter(|row| row.failed > 0) {
            let first = row.seen.first().map_or("", String::as_str);
            line(&format!(
                "- `{}`, {} of {} tries: {}",
                row.fault,
                row.failed,
                row.tries,
                shortened(first)
            ));
        }
    }
    text
}

fn median_and_longest(times: impl Iterator<Item = Duration>) -> String {
    let mut times: Vec<Duration> = times.collect();
    times.sort();
    match (times.get(times.len() / 2), times.last()) {
        (Some(median), Some(longest)) => format!(
            "{:.1} / {:.1} s",
            median.as_secs_f64(),
            longest.as_secs_f64()
        ),
        _ => "-".to_owned(),
    }
}

/// Returns the beginning of a text that may be long, on one line.
fn shortened(text: &str) -> String {
    const LONGEST: usize = 300;
    let line = text.replace('\n', " ");
    match line.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{} ...", &line[..end]),
        None => line,
    }
}

/// Puts the table into a document, between its marks.
pub fn write(document: &Path, table: &str) -> Outcome {
    let failed = |error: &dyn std::fmt::Display| format!("{}: {error}", document.display());
    let text = fs::read_to_string(document).map_err(|error| failed(&error))?;
    let [begin, end] = MARKS;
    let before = text
        .split_once(begin)
        .ok_or_else(|| failed(&format!("no {begin}")))?
        .0;
    let after = text
        .split_once(end)
        .ok_or_else(|| failed(&format!("no {end}")))?
        .1;
    fs::write(
        document,
        format!("{before}{begin}\n\n{table}\n{end}{after}"),
    )
    .map_err(|error| failed(&error))
}
