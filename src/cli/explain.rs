//! `explain`: the verdict on one request, with its route, the limit, every candidate, and the IAM policy that it needs.

use std::io::Write;

use clap::{Args, ValueEnum};
use serde_json::Value;

use crate::{
    catalog::{Catalog, FeedKey, embedded::Embedded},
    iam::{Action, Call, document::Document, workload},
    residency::{Judgement, Limit, Limits},
    resolve::{self, Candidate, Request},
    route::{Destinations, Invocation, Route},
    types::{AccountId, Geography, ModelId},
};

use super::{
    Error, NOT_READY,
    catalogs::Catalogs,
    options::{AccountOptions, CatalogOptions, LimitOptions, RegionOptions},
    output::json,
};

/// Options of `explain`.
#[derive(Debug, Args)]
pub struct ExplainArgs {
    /// Foundation model ID
    model: String,
    /// Geography, the prefix of the profile ID
    #[arg(long, value_name = "GEOGRAPHY")]
    geography: Geography,
    /// Geography that may be used instead; repeatable, tried in this order
    #[arg(long, value_name = "GEOGRAPHY")]
    fallback: Vec<Geography>,
    /// Allows the model's own ID as the last choice, if the model is on demand in the region
    #[arg(long)]
    on_demand: bool,
    #[command(flatten)]
    region: RegionOptions,
    /// If an account is known, the IAM policy of a workload is printed too.
    #[command(flatten)]
    account: AccountOptions,
    #[command(flatten)]
    limit: LimitOptions,
    #[command(flatten)]
    catalog: CatalogOptions,
    /// Format of the output
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
struct Explanation {
    request: Request,
    limit: Option<Limit>,
    reason: &'static str,
    message: String,
    chosen: Option<Chosen>,
    candidates: Vec<Candidate>,
}

/// What serves the request.
struct Chosen {
    route: Route,
    judgement: Judgement,
    /// The policies that a workload needs. Empty if the limit does not permit the route, or if no account is known.
    policies: Vec<Document>,
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
    let limit = args.limit.parse()?;
    let key = FeedKey {
        role: None,
        region: request.source_region.clone(),
    };
    let catalog = Catalogs::new(&args.catalog).catalog(&key).await?;
    let account = args.account.account.as_ref().or(catalog.account());
    let explanation = explain(request, limit, &catalog, account);
    match args.output {
        Output::Text => print_text(out, &explanation)?,
        Output::Json => print_json(out, &explanation)?,
    }
    let supported = explanation
        .chosen
        .is_some_and(|chosen| chosen.judgement.permits());
    Ok(if supported { 0 } else { NOT_READY })
}

fn explain(
    request: Request,
    limit: Option<Limit>,
    catalog: &Catalog,
    account: Option<&AccountId>,
) -> Explanation {
    let limits = Limits::all(limit.clone().map(Ok));
    let (reason, message, chosen, candidates) =
        match resolve::resolve(&request, catalog, &limits, Embedded::load()) {
            Ok(resolution) => (
                resolution.reason(&request),
                resolution.message(&request),
                Some(chosen(resolution.route, resolution.judgement, account)),
                resolution.candidates,
            ),
            Err(unresolved) => (
                unresolved.reason,
                unresolved.message,
                None,
                unresolved.candidates,
            ),
        };
    Explanation {
        request,
        limit,
        reason: reason.as_str(),
        message,
        chosen,
        candidates,
    }
}

fn chosen(route: Route, judgement: Judgement, account: Option<&AccountId>) -> Chosen {
    let call = account
        .filter(|_| judgement.permits())
        .and_then(|account| Call::new(route.clone(), Some(account.clone())));
    let policies = workload::policies(call.as_slice(), &[Action::Invoke, Action::Stream]);
    Chosen {
        policies: policies.into_iter().map(|policy| policy.document).collect(),
        judgement,
        route,
    }
}

fn print_text(out: &mut impl Write, explanation: &Explanation) -> Result<(), Error> {
    let request = &explanation.request;
    writeln!(out, "Model:          {}", request.model)?;
    writeln!(out, "Source region:  {}", request.source_region)?;
    if let Some(chosen) = &explanation.chosen {
        writeln!(out, "Profile:        {}", chosen.route.id())?;
        let reachable = &chosen.judgement.reachable;
        let destinations = match reachable {
            Destinations::Anywhere => "any commercial region".to_owned(),
            Destinations::Regions(_) => reachable.names().join(", "),
        };
        writeln!(out, "Destinations:   {destinations}")?;
    }
    writeln!(out, "Verdict:        {}", explanation.reason)?;
    writeln!(out, "                {}", explanation.message)?;
    match &explanation.limit {
        None => writeln!(out, "Limit:          none")?,
        Some(limit) => {
            let entries: Vec<String> = limit.entries().collect();
            let (entries, origin) = (entries.join(", "), limit.origin());
            writeln!(out, "Limit:          {entries} (set by {origin})")?;
        }
    }
    if let Some(Chosen { judgement, .. }) = &explanation.chosen {
        let permitted = if judgement.permits() {
            "permitted"
        } else {
            "NOT permitted"
        };
        writeln!(out, "Residency:      {permitted}")?;
        writeln!(out, "                {}", judgement.message())?;
    }
    writeln!(out, "Candidates:")?;
    for candidate in &explanation.candidates {
        let id = candidate.id.as_deref().unwrap_or("-");
        writeln!(out, "  {:<9}  {id}", candidate.choice)?;
        writeln!(out, "             {}", candidate.outcome)?;
    }
    let permitted = explanation
        .chosen
        .as_ref()
        .filter(|chosen| chosen.judgement.permits());
    match permitted {
        None => {}
        Some(Chosen {
            policies, route, ..
        }) if policies.is_empty() => match route.invocation {
            Invocation::OnDemand => {
                let arn = route.source_region.foundation_model_arn(&route.model);
                writeln!(
                    out,
                    "IAM policy:     none for a profile; allow the actions on {arn}"
                )?;
            }
            Invocation::Profile { .. } => writeln!(
                out,
                "IAM policy:     the account is unknown: give --account to see it"
            )?,
        },
        Some(Chosen { policies, .. }) => {
            writeln!(out, "IAM policy:")?;
            for policy in policies {
                out.write_all(json(policy)?.as_bytes())?;
            }
        }
    }
    Ok(())
}

fn print_json(out: &mut impl Write, explanation: &Explanation) -> Result<(), Error> {
    let candidates: Vec<_> = explanation
        .candidates
        .iter()
        .map(|candidate| {
            serde_json::json!({
                "geography": candidate.choice.to_string(),
                "profile": candidate.id.as_deref(),
                "outcome": candidate.outcome.to_string(),
            })
        })
        .collect();
    let chosen = explanation.chosen.as_ref();
    let value = serde_json::json!({
        "model": explanation.request.model,
        "sourceRegion": explanation.request.source_region,
        "reason": explanation.reason,
        "message": explanation.message,
        "profile": chosen.map(|chosen| serde_json::json!({
            "id": chosen.route.id(),
            "geography": chosen.route.geography(),
            "destinationRegions": chosen.judgement.reachable.names(),
        })),
        "limit": explanation.limit.as_ref().map(|limit| serde_json::json!({
            "setBy": limit.origin().to_string(),
            "allowedRegions": limit.entries().collect::<Vec<_>>(),
        })),
        "residency": chosen.map(|chosen| serde_json::json!({
            "permitted": chosen.judgement.permits(),
            "message": chosen.judgement.message(),
        })),
        "candidates": candidates,
        // One route fits into one policy.
        "policy": chosen.and_then(|chosen| chosen.policies.first()).map_or(Value::Null, |policy| serde_json::json!(policy)),
    });
    out.write_all(json(&value)?.as_bytes())?;
    Ok(())
}
