//! `explain`: the verdict on one request, with its route, the life of its model, the limit, every candidate, and the IAM policy
//! that it needs.

use std::{io::Write, path::PathBuf};

use clap::{Args, ValueEnum};
use jiff::civil::Date;
use serde_json::Value;

use crate::{
    catalog::{Catalog, FeedKey, embedded::Embedded},
    class::{ClassUse, RequestError},
    iam::{Action, Call, document::Document, workload},
    lifecycle::{self, Known, State},
    residency::{Judgement, Limit, Limits},
    resolve::{self, Candidate, Context, Request, Unfound},
    route::{Destinations, Invocation, Route},
    types::{AccountId, ApplicationName, ApplicationProfileArn, Geography, ModelId},
};

use super::{
    Error, NOT_READY,
    catalogs::Catalogs,
    input::Input,
    options::{
        AccountOptions, CatalogOptions, DayOptions, EndOfLifeOptions, LimitOptions, RegionOptions,
    },
    output::{Form, json},
};

/// Options of `explain`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  inference-profile-operator explain amazon.nova-pro-v1:0 --geography eu --region eu-west-1\n  inference-profile-operator explain amazon.nova-pro-v1:0 --geography jp --fallback apac --region ap-northeast-1 \\\n    --allowed-regions @jp\n  inference-profile-operator explain --class chat -f class.yaml -n shop --region eu-west-1\n  inference-profile-operator explain amazon.nova-pro-v1:0 --geography eu --region eu-west-1 -o json | jq .candidates\n\nExit codes: 0 supported and within the limit; 1 the catalog can't be listed; 2 bad input; 3 not supported, not within the limit, or the life of the model has ended or ends too soon."
)]
pub struct ExplainArgs {
    /// Foundation model ID
    #[arg(required_unless_present = "class")]
    model: Option<String>,
    /// Geography, the prefix of the profile ID
    #[arg(long, value_name = "GEOGRAPHY", required_unless_present = "class")]
    geography: Option<Geography>,
    /// Class, instead of a model and a geography: explains what a binding gets that names it
    #[arg(
        long,
        value_name = "NAME",
        requires = "paths",
        conflicts_with_all = ["model", "geography", "fallback", "fallback_model", "on_demand"]
    )]
    class: Option<String>,
    /// Where the class is, and the Namespace with its labels: file, folder or - for standard input; repeatable
    #[arg(
        long = "filename",
        short = 'f',
        value_name = "PATH",
        requires = "class"
    )]
    paths: Vec<PathBuf>,
    /// Namespace of the binding that names the class
    #[arg(long, short, value_name = "NAMESPACE", default_value = "default")]
    namespace: String,
    /// Geography that may be used instead; repeatable, tried in this order
    #[arg(long, value_name = "GEOGRAPHY")]
    fallback: Vec<Geography>,
    /// Model that may be used instead, where the model is not callable or its life has ended; repeatable, tried in this order
    #[arg(long, value_name = "MODEL")]
    fallback_model: Vec<String>,
    /// Allows the model's own ID as the last choice, if the model is on demand in the region
    #[arg(long)]
    on_demand: bool,
    /// Name of the application profile that workloads invoke instead of the system-defined one
    #[arg(long, value_name = "NAME")]
    application: Option<ApplicationName>,
    #[command(flatten)]
    region: RegionOptions,
    /// If an account is known, the IAM policy of a workload is printed too.
    #[command(flatten)]
    account: AccountOptions,
    #[command(flatten)]
    limit: LimitOptions,
    #[command(flatten)]
    catalog: CatalogOptions,
    #[command(flatten)]
    day: DayOptions,
    #[command(flatten)]
    end_of_life: EndOfLifeOptions,
    /// Format of the output
    #[arg(long, short, value_name = "FORMAT", default_value = "text")]
    output: Output,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Output {
    /// For people
    #[value(alias = "table")]
    Text,
    /// One JSON object
    Json,
    /// The same as YAML
    Yaml,
}

/// What is explained, in the words of the conditions.
struct Explanation {
    request: Request,
    /// The class that asks for it.
    class: Option<ClassUse>,
    limit: Option<Limit>,
    reason: &'static str,
    message: String,
    chosen: Option<Chosen>,
    candidates: Vec<Candidate>,
    /// The lifecycles that are known: of the model that was asked for, and of a fallback that serves in its place.
    lifecycles: Vec<ExplainedLifecycle>,
}

/// A model's state on the day of the question.
struct ExplainedLifecycle {
    model: ModelId,
    known: Known,
    state: State,
    /// The state in words, with the dates that are known.
    message: String,
    /// Models that can replace it. Empty while it is active.
    successors: Vec<ModelId>,
}

/// What serves the request.
struct Chosen {
    route: Route,
    judgement: Judgement,
    /// The application profile through which it is invoked, or why there is none to use. `None` inside if none is asked for.
    application: Result<Option<ApplicationProfileArn>, Unfound>,
    /// The policies that a workload needs. Empty if the limit does not permit the route, or if no account is known.
    policies: Vec<Document>,
}

pub(super) async fn run(
    args: ExplainArgs,
    out: &mut impl Write,
    err: &mut impl Write,
) -> Result<u8, Error> {
    let (request, class) = match asked(&args)? {
        Ok(asked) => asked,
        Err(error) => {
            writeln!(err, "{}: {error}", error.reason())?;
            return Ok(NOT_READY);
        }
    };
    let limit = args.limit.parse()?;
    let key = FeedKey {
        role: None,
        region: request.source_region.clone(),
    };
    let naming = request.application.is_some().then(|| key.clone());
    let mut catalogs = Catalogs::new(&args.catalog).with_applications(naming);
    let catalog = catalogs.catalog(&key).await?;
    let account = args.account.account.as_ref().or(catalog.account());
    let day = args.day.day();
    let explanation = explain(request, class, limit, &catalog, account, day);
    match args.output {
        Output::Text => print_text(out, &explanation)?,
        Output::Json => print_object(out, &explanation, Form::Json)?,
        Output::Yaml => print_object(out, &explanation, Form::Yaml)?,
    }
    let supported = explanation
        .chosen
        .is_some_and(|chosen| chosen.judgement.permits() && chosen.application.is_ok());
    // A fallback comes last: it is the model that serves.
    let in_use = explanation.lifecycles.last();
    let has_ended = in_use.is_some_and(|found| found.state == State::EndOfLifePassed);
    let mut is_long_enough = true;
    if explanation.lifecycles.is_empty() {
        let request = &explanation.request;
        let remark = args
            .end_of_life
            .unknown(&request.model, &request.source_region);
        if let Some(remark) = remark {
            writeln!(err, "{remark}")?;
        }
    }
    for found in &explanation.lifecycles {
        let end = found.known.lifecycle.end_of_life;
        if let Some(problem) = args.end_of_life.problem(&found.model, end, day) {
            writeln!(err, "{problem}")?;
            is_long_enough = false;
        }
    }
    Ok(if supported && !has_ended && is_long_enough {
        0
    } else {
        NOT_READY
    })
}

/// Returns the request, and the class that makes it. The inner error says that it makes none.
#[allow(clippy::type_complexity, reason = "what is asked, or why nothing is")]
fn asked(args: &ExplainArgs) -> Result<Result<(Request, Option<ClassUse>), RequestError>, Error> {
    let source_region = args.region.required()?;
    if let Some(class) = &args.class {
        let input = Input::read_classes("explain", &args.paths)?;
        let application = args.application.clone();
        let (class, request) = input.offer(class, &args.namespace, source_region, application);
        return Ok(request.map(|request| (request, Some(class))));
    }
    let model = |given: &str| {
        ModelId::parse_given(given).map_err(|error| Error::BadInput(error.to_string()))
    };
    // Both are required where there is no class.
    let (Some(given), Some(geography)) = (&args.model, &args.geography) else {
        return Err(Error::BadInput(
            "give a model and --geography, or --class".to_owned(),
        ));
    };
    let fallback_models = args.fallback_model.iter().map(|given| model(given));
    let request = Request {
        model: model(given)?,
        fallback_models: fallback_models.collect::<Result<_, _>>()?,
        geography: geography.clone(),
        fallbacks: args.fallback.clone(),
        on_demand: args.on_demand,
        source_region,
        application: args.application.clone(),
    };
    Ok(Ok((request.without_repeats(), None)))
}

fn explain(
    request: Request,
    class: Option<ClassUse>,
    limit: Option<Limit>,
    catalog: &Catalog,
    account: Option<&AccountId>,
    day: Date,
) -> Explanation {
    let of_class = class.as_ref().and_then(|class| class.limit.as_deref());
    let limits = Limits::all(of_class.cloned().into_iter().chain(limit.clone().map(Ok)));
    let context = Context {
        catalog,
        limits: &limits,
        embedded: Embedded::load(),
        day,
    };
    let (reason, message, chosen, candidates) = match resolve::resolve(&request, &context) {
        Ok(resolution) => (
            resolution.reason(&request),
            resolution.message(&request),
            Some(chosen(
                &request,
                resolution.route,
                resolution.judgement,
                catalog,
                account,
            )),
            resolution.candidates,
        ),
        Err(unresolved) => (
            unresolved.reason,
            unresolved.message,
            None,
            unresolved.candidates,
        ),
    };
    let fallback = chosen
        .as_ref()
        .map(|chosen| &chosen.route.model)
        .filter(|model| **model != request.model);
    let lifecycles = std::iter::once(&request.model)
        .chain(fallback)
        .filter_map(|model| explain_lifecycle(model, &request, &context))
        .collect();
    Explanation {
        request,
        class,
        limit,
        reason: reason.as_str(),
        message,
        chosen,
        candidates,
        lifecycles,
    }
}

fn explain_lifecycle(
    model: &ModelId,
    request: &Request,
    context: &Context<'_>,
) -> Option<ExplainedLifecycle> {
    let known = lifecycle::known(context.catalog, context.embedded, model)?;
    let state = State::of(&known.lifecycle, context.day);
    Some(ExplainedLifecycle {
        message: lifecycle::describe(
            model,
            &request.source_region,
            &known,
            context.day,
            context.embedded,
        ),
        successors: if state == State::Active {
            Vec::new()
        } else {
            resolve::successors(model, request, context)
        },
        model: model.clone(),
        known,
        state,
    })
}

fn chosen(
    request: &Request,
    route: Route,
    judgement: Judgement,
    catalog: &Catalog,
    account: Option<&AccountId>,
) -> Chosen {
    let application = resolve::application_profile(request, &route, catalog, account, None);
    let call = account
        .filter(|_| judgement.permits())
        .and_then(|account| Call::new(route.clone(), Some(account.clone())));
    let call = match &application {
        Ok(Some(arn)) => call.map(|call| call.through_application(arn)),
        Ok(None) => call,
        Err(_) => None,
    };
    let policies = workload::policies(call.as_slice(), &[Action::Invoke, Action::Stream]);
    Chosen {
        policies: policies.into_iter().map(|policy| policy.document).collect(),
        application,
        judgement,
        route,
    }
}

fn print_text(out: &mut impl Write, explanation: &Explanation) -> Result<(), Error> {
    let request = &explanation.request;
    if let Some(class) = &explanation.class {
        let stage = class.stage.as_ref();
        let stage = stage.map_or_else(String::new, |stage| format!(", stage {stage}"));
        writeln!(out, "Class:          {}{stage}", class.name)?;
    }
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
        print_application(out, &chosen.application)?;
    }
    writeln!(out, "Verdict:        {}", explanation.reason)?;
    writeln!(out, "                {}", explanation.message)?;
    for lifecycle in &explanation.lifecycles {
        let origin = lifecycle.known.origin(Embedded::load());
        let model = if lifecycle.model == request.model {
            String::new()
        } else {
            format!("{} is ", lifecycle.model)
        };
        writeln!(out, "Lifecycle:      {model}{}{origin}", lifecycle.state)?;
        if lifecycle.state != State::Active || lifecycle.known.lifecycle.has_dates() {
            writeln!(out, "                {}", lifecycle.message)?;
        }
        if lifecycle.state != State::Active {
            let successors = resolve::successors_in_words(request, &lifecycle.successors);
            writeln!(out, "                successors: {successors}")?;
        }
    }
    let of_class = explanation.class.as_ref();
    let of_class = of_class.and_then(|class| class.limit.as_deref()?.as_ref().ok());
    let limits: Vec<&Limit> = of_class.into_iter().chain(&explanation.limit).collect();
    if limits.is_empty() {
        writeln!(out, "Limit:          none")?;
    }
    for limit in limits {
        let entries: Vec<String> = limit.entries().collect();
        let (entries, origin) = (entries.join(", "), limit.origin());
        writeln!(out, "Limit:          {entries} (set by {origin})")?;
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
        writeln!(out, "  {:<9}  {id}", candidate.name(request))?;
        writeln!(out, "             {}", candidate.outcome)?;
    }
    let permitted = explanation
        .chosen
        .as_ref()
        .filter(|chosen| chosen.judgement.permits() && chosen.application.is_ok());
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

fn print_application(
    out: &mut impl Write,
    application: &Result<Option<ApplicationProfileArn>, Unfound>,
) -> Result<(), Error> {
    match application {
        Ok(None) => {}
        Ok(Some(arn)) => writeln!(out, "Application:    {arn}")?,
        Err(unfound) => {
            writeln!(out, "Application:    {}", unfound.reason)?;
            writeln!(out, "                {}", unfound.message)?;
        }
    }
    Ok(())
}

fn print_object(out: &mut impl Write, explanation: &Explanation, form: Form) -> Result<(), Error> {
    let candidates: Vec<_> = explanation
        .candidates
        .iter()
        .map(|candidate| {
            serde_json::json!({
                "model": candidate.model,
                "geography": candidate.choice.to_string(),
                "profile": candidate.id.as_deref(),
                "outcome": candidate.outcome.to_string(),
            })
        })
        .collect();
    let lifecycles: Vec<_> = explanation
        .lifecycles
        .iter()
        .map(|found| {
            serde_json::json!({
                "model": found.model,
                "state": found.state,
                "legacy": found.known.lifecycle.legacy,
                "publicExtendedAccess": found.known.lifecycle.extended_access,
                "endOfLife": found.known.lifecycle.end_of_life,
                "successors": found.successors,
                "message": found.message,
            })
        })
        .collect();
    let chosen = explanation.chosen.as_ref();
    let class = explanation.class.as_ref();
    let value = serde_json::json!({
        "class": class.map(|class| serde_json::json!({
            "name": class.name.as_ref(),
            "stage": class.stage.as_deref(),
            "allowedRegions": class.limit.as_deref().and_then(|limit| limit.as_ref().ok()).map(|limit| limit.entries().collect::<Vec<_>>()),
        })),
        "model": explanation.request.model,
        "sourceRegion": explanation.request.source_region,
        "reason": explanation.reason,
        "message": explanation.message,
        "profile": chosen.map(|chosen| serde_json::json!({
            "id": chosen.route.id(),
            "geography": chosen.route.geography(),
            "destinationRegions": chosen.judgement.reachable.names(),
        })),
        "application": explanation.request.application.as_ref().map(|name| {
            let found = chosen.map(|chosen| &chosen.application);
            serde_json::json!({
                "name": name,
                "arn": found.and_then(|found| found.as_ref().ok()),
                "reason": found.and_then(|found| found.as_ref().err()).map(|unfound| unfound.reason.as_str()),
                "message": found.and_then(|found| found.as_ref().err()).map(|unfound| &unfound.message),
            })
        }),
        "lifecycles": lifecycles,
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
    out.write_all(form.print(&value)?.as_bytes())?;
    Ok(())
}
