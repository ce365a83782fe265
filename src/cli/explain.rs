//! `explain`: the verdict on one request, with every candidate.

use std::io::Write;

use clap::{Args, ValueEnum};
use serde_json::json;

use crate::{
    catalog::FeedKey,
    catalog::embedded::Embedded,
    residency::Limits,
    resolve::{self, Candidate, Request},
    types::{Geography, ModelId, Region},
};

use super::{
    Error, NOT_READY,
    options::{CatalogOptions, LimitOptions, RegionOptions},
};

/// Options of `explain`.
#[derive(Debug, Args)]
pub struct ExplainArgs {
    /// Foundation model ID
    model: String,
    /// Geography wanted: the prefix of the profile ID
    #[arg(long, value_name = "GEOGRAPHY")]
    geography: Geography,
    /// Geography that may be used instead; repeatable, tried in this order
    #[arg(long, value_name = "GEOGRAPHY")]
    fallback: Vec<Geography>,
    /// Lets the bare model ID be used, last of all, where the model is on demand in the region
    #[arg(long)]
    on_demand: bool,
    #[command(flatten)]
    region: RegionOptions,
    #[command(flatten)]
    limit: LimitOptions,
    #[command(flatten)]
    catalog: CatalogOptions,
    /// Form of the output
    #[arg(long, short, value_name = "FORMAT", default_value = "text")]
    output: Output,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Output {
    /// For people
    Text,
    /// One JSON object
    Json,
}

/// What is explained, in the words of the conditions.
struct Verdict {
    reason: &'static str,
    message: String,
    candidates: Vec<Candidate>,
    residency: Option<(bool, String)>,
}

pub(super) async fn run(args: ExplainArgs, out: &mut impl Write) -> Result<u8, Error> {
    let request = Request {
        model: ModelId::parse_given(&args.model)
            .map_err(|error| Error::BadInput(error.to_string()))?,
        geography: args.geography,
        fallbacks: args.fallback,
        on_demand: args.on_demand,
        source_region: args.region.required()?,
    };
    let limits = Limits::all(args.limit.parse()?.map(Ok));
    let source = args.catalog.open(&request.source_region).await?;
    let key = FeedKey {
        role: None,
        region: request.source_region.clone(),
    };
    let catalog = source.list(&key).await?;
    let verdict = match resolve::resolve(&request, &catalog, &limits, Embedded::load()) {
        Ok(resolution) => {
            let (source, reachable) =
                (&request.source_region, resolution.found.reachable(&request));
            let judged = limits.judge(source, &reachable);
            Verdict {
                reason: resolution.reason(&request).as_str(),
                message: resolution.message(&request),
                residency: Some((judged.permits(), judged.message(source, &reachable))),
                candidates: resolution.candidates,
            }
        }
        Err(unresolved) => Verdict {
            reason: unresolved.reason.as_str(),
            message: unresolved.message,
            residency: None,
            candidates: unresolved.candidates,
        },
    };
    match args.output {
        Output::Text => print_text(out, &request, &verdict)?,
        Output::Json => print_json(out, &request.source_region, &verdict)?,
    }
    let supported = verdict.residency.is_some_and(|(permitted, _)| permitted);
    Ok(if supported { 0 } else { NOT_READY })
}

fn print_text(out: &mut impl Write, request: &Request, verdict: &Verdict) -> Result<(), Error> {
    writeln!(out, "Model:          {}", request.model)?;
    writeln!(out, "Source region:  {}", request.source_region)?;
    writeln!(out, "Verdict:        {}", verdict.reason)?;
    writeln!(out, "                {}", verdict.message)?;
    if let Some((permitted, message)) = &verdict.residency {
        writeln!(
            out,
            "Residency:      {}",
            if *permitted {
                "permitted"
            } else {
                "NOT permitted"
            }
        )?;
        writeln!(out, "                {message}")?;
    }
    writeln!(out, "Candidates:")?;
    for candidate in &verdict.candidates {
        let id = candidate.id.as_deref().unwrap_or("-");
        writeln!(out, "  {:<9}  {id}", candidate.choice)?;
        writeln!(out, "             {}", candidate.outcome)?;
    }
    Ok(())
}

fn print_json(
    out: &mut impl Write,
    source_region: &Region,
    verdict: &Verdict,
) -> Result<(), Error> {
    let candidates: Vec<_> = verdict
        .candidates
        .iter()
        .map(|candidate| {
            json!({
                "geography": candidate.choice.to_string(),
                "profile": candidate.id.as_deref(),
                "outcome": candidate.outcome.to_string(),
            })
        })
        .collect();
    let value = json!({
        "sourceRegion": source_region,
        "reason": verdict.reason,
        "message": verdict.message,
        "residency": verdict.residency.as_ref().map(|(permitted, message)| json!({"permitted": permitted, "message": message})),
        "candidates": candidates,
    });
    writeln!(out, "{value:#}")?;
    Ok(())
}
