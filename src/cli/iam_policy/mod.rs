//! `iam-policy`: least-privilege policies of workloads and of the operator, policies that enforce a limit, and what service
//! control policies deny.

mod policies;
mod report;

use std::{collections::BTreeSet, fs, io::Write, path::PathBuf, sync::Arc};

use clap::{Args, ValueEnum};
use jiff::civil::Date;

use self::{
    policies::{print, print_guardrail, remark},
    report::{report, say_what_was_added},
};
use super::{
    Error, NOT_READY,
    catalogs::Catalogs,
    input::{Given, Input},
    options::{AccountOptions, CatalogOptions, DayOptions, LimitOptions, RegionOptions},
    output::json,
    served_regions::log_group,
};
use crate::{
    catalog::{Catalog, FeedKey, embedded::Embedded},
    class::RequestError,
    iam::{
        Action, Call, Principal,
        document::{Document, MANAGED_POLICY_LIMIT, SERVICE_CONTROL_POLICY_LIMIT},
        evaluate::{self, Level, Policy},
        guardrail, operator,
        trust::{self, OidcProvider, ServiceAccount, TrustPolicy},
        workload,
    },
    lifecycle,
    residency::Limits,
    resolve::{self, Context, Request},
    route::Route,
    types::{AccountId, ApplicationName, Geography, ModelId, RoleArn},
};

/// Options of `iam-policy`.
#[derive(Debug, Args)]
#[command(
    group(clap::ArgGroup::new("subject").required(true)),
    after_help = "Examples:\n  inference-profile-operator iam-policy -f bindings/ --account 111122223333\n  inference-profile-operator iam-policy --model amazon.nova-pro-v1:0 \\\n    --geography eu --region eu-west-1 \\\n    --account 111122223333 -o hcl\n  inference-profile-operator iam-policy -f bindings/ --account 111122223333 \\\n    --trust irsa \\\n    --service-account shop/chat \\\n    --oidc-provider oidc.eks.eu-west-1.amazonaws.com/id/EXAMPLE\n  inference-profile-operator iam-policy --operator --account 111122223333 \\\n    --trust pod-identity\n  inference-profile-operator iam-policy --guardrail --allowed-regions @eu\n  inference-profile-operator iam-policy -f bindings/ --account 111122223333 \\\n    --scp root.json --scp ou.json"
)]
pub struct IamPolicyArgs {
    /// Bindings: file, folder (its *.yaml, *.yml and *.json files) or - for standard input; repeatable
    #[arg(long = "filename", short = 'f', value_name = "PATH", group = "subject")]
    paths: Vec<PathBuf>,
    /// Foundation model ID, instead of bindings
    #[arg(long, group = "subject", requires = "geography")]
    model: Option<String>,
    /// Geography, the prefix of the profile ID
    #[arg(long, value_name = "GEOGRAPHY", requires = "model")]
    geography: Option<Geography>,
    /// Geography that may be used instead; repeatable, tried in this order
    #[arg(long, value_name = "GEOGRAPHY", requires = "model")]
    fallback: Vec<Geography>,
    /// Model that may be used instead; repeatable, tried in this order
    #[arg(long, value_name = "MODEL", requires = "model")]
    fallback_model: Vec<String>,
    /// Whether the model may be invoked on demand in the source region, if no geography is callable
    #[arg(long, requires = "model")]
    on_demand: bool,
    /// Name of the application profile that workloads invoke instead of the system-defined one
    #[arg(long, value_name = "NAME", requires = "model")]
    application: Option<ApplicationName>,
    /// Prints the policy of the operator itself, which discovers profiles and invokes none
    #[arg(long, group = "subject")]
    operator: bool,
    /// Prints denials that enforce --allowed-regions, for a service control policy or a permissions boundary
    #[arg(long, group = "subject")]
    guardrail: bool,
    /// Namespace of bindings that name none
    #[arg(long, short, value_name = "NAMESPACE", default_value = "default")]
    namespace: String,
    #[command(flatten)]
    region: RegionOptions,
    #[command(flatten)]
    account: AccountOptions,
    #[command(flatten)]
    limit: LimitOptions,
    #[command(flatten)]
    catalog: CatalogOptions,
    /// What workloads do: invoke means `InvokeModel` and Converse, stream their streaming forms, batch the submission of batch jobs
    #[arg(
        long,
        value_name = "ACTION",
        value_delimiter = ',',
        default_value = "invoke,stream"
    )]
    actions: Vec<ActionName>,
    /// Allows all fallbacks of each request too: its geographies, its models, and the model on demand, so that a later fallback
    /// needs no new policy
    #[arg(long)]
    with_fallbacks: bool,
    /// Allows the operator to list application profiles, which it does where a binding names one
    #[arg(long, requires = "operator", conflicts_with_all = ["paths", "model", "guardrail"])]
    application_profiles: bool,
    /// Allows the operator to ask whether models can be used, which it does with its own --check-access
    #[arg(long, requires = "operator", conflicts_with_all = ["paths", "model", "guardrail"])]
    check_access: bool,
    /// Prints the trust policy of the role too, after its policies: of a role for EKS Pod Identity, or for service accounts (IRSA)
    #[arg(long, value_name = "WAY", conflicts_with_all = ["guardrail", "scp"])]
    trust: Option<Trust>,
    /// Service account that takes on the role, as NAMESPACE/NAME; required for irsa [default with --operator: that of the chart]
    #[arg(long, value_name = "NAMESPACE/NAME", requires = "trust")]
    service_account: Option<ServiceAccount>,
    /// Issuer of the cluster's tokens, or the ARN of its IAM OIDC provider; required for irsa
    #[arg(long, value_name = "ISSUER", requires = "trust")]
    oidc_provider: Option<OidcProvider>,
    /// ARN of a role that the operator may assume, where * stands for any text; repeatable
    #[arg(long, value_name = "ARN", requires = "operator")]
    assume_role: Vec<String>,
    /// Log group of model invocation logging that the operator, or `served-regions`, may query
    #[arg(long, value_name = "NAME", requires = "operator", value_parser = log_group)]
    invocation_log_group: Option<String>,
    /// Whether `served-regions --cloudtrail` may look up events
    #[arg(long, requires = "operator")]
    lookup_events: bool,
    /// Says what these service control policies deny, instead of printing policies; one option per level, from the root down to
    /// the account, with the files of a level separated by commas
    #[arg(
        long,
        value_name = "FILE[,FILE...]",
        conflicts_with_all = ["operator", "guardrail", "output"]
    )]
    scp: Vec<String>,
    /// Judges service control policies exactly as given, without `FullAWSAccess` beside those of a level that only denies
    #[arg(long, requires = "scp")]
    strict: bool,
    /// ARN of the workload's role or user, for service control policies that name principals
    #[arg(long, value_name = "ARN", requires = "scp")]
    principal: Option<Principal>,
    /// Format of policies: IAM documents, Terraform data sources, or a CloudFormation template
    #[arg(long, short, value_name = "FORMAT", default_value = "json")]
    output: Output,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ActionName {
    Invoke,
    Stream,
    Batch,
}

impl From<ActionName> for Action {
    fn from(name: ActionName) -> Self {
        match name {
            ActionName::Invoke => Self::Invoke,
            ActionName::Stream => Self::Stream,
            ActionName::Batch => Self::Batch,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Trust {
    PodIdentity,
    Irsa,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    /// Policy documents, one after the other
    Json,
    /// Terraform data sources `aws_iam_policy_document`
    Hcl,
    /// A CloudFormation template, as YAML
    Cloudformation,
}

/// A request for a profile, and who makes it.
struct Wanted {
    name: String,
    /// What is asked for. An error means that its class is missing, or is not for its namespace.
    request: Result<Arc<Request>, Box<RequestError>>,
    limits: Limits,
    role: Option<RoleArn>,
}

/// A call, and who makes it.
struct NamedCall {
    name: String,
    call: Call,
}

pub(super) async fn run(
    args: IamPolicyArgs,
    out: &mut impl Write,
    err: &mut impl Write,
) -> Result<u8, Error> {
    if args.trust.is_some() && args.output != Output::Json {
        return Err(Error::BadInput(
            "--trust prints JSON: leave out --output, and use the document in Terraform or CloudFormation as it is"
                .to_owned(),
        ));
    }
    if args.operator {
        let document = operator_policy(&args)?;
        let trust = trust_policy(&args, args.account.account.as_ref())?;
        print(out, args.output, "bedrock_discovery", &[&document])?;
        print_trust(out, trust.as_ref())?;
        return Ok(0);
    }
    if args.guardrail {
        let document = guardrail_policy(&args)?;
        print_guardrail(out, args.output, &document)?;
        return Ok(0);
    }
    // Before the catalog is asked, so that a file that can't be read is reported at once.
    let mut levels = read_levels(&args.scp)?;
    let added = if args.strict {
        Vec::new()
    } else {
        evaluate::add_full_access(&mut levels)
    };
    let wanted = wanted(&args, err)?;
    let (found, all_found) = find(&args, &wanted, err).await?;
    let mut actions: Vec<Action> = args.actions.iter().map(|name| (*name).into()).collect();
    actions.sort();
    actions.dedup();
    let all_allowed = if levels.is_empty() {
        let calls: Vec<Call> = found.into_iter().map(|named| named.call).collect();
        let known = calls.iter().find_map(Call::account);
        let trust = trust_policy(&args, args.account.account.as_ref().or(known))?;
        let policies = workload::policies(&calls, &actions);
        let documents: Vec<&Document> = policies.iter().map(|policy| &policy.document).collect();
        print(out, args.output, "bedrock_workload", &documents)?;
        print_trust(out, trust.as_ref())?;
        remark(err, &policies, &actions)?;
        true
    } else {
        say_what_was_added(out, &args.scp, &added)?;
        report(out, &found, &actions, &levels, args.principal.as_ref())?
    };
    Ok(if all_found && all_allowed {
        0
    } else {
        NOT_READY
    })
}

fn wanted(args: &IamPolicyArgs, err: &mut impl Write) -> Result<Vec<Wanted>, Error> {
    let limit = args.limit.parse()?;
    if let (Some(model), Some(geography)) = (&args.model, &args.geography) {
        let request = Request {
            model: ModelId::parse_given(model)
                .map_err(|error| Error::BadInput(error.to_string()))?,
            fallback_models: args
                .fallback_model
                .iter()
                .map(|model| ModelId::parse_given(model))
                .collect::<Result<_, _>>()
                .map_err(|error| Error::BadInput(error.to_string()))?,
            geography: geography.clone(),
            fallbacks: args.fallback.clone(),
            on_demand: args.on_demand,
            source_region: args.region.required()?,
            application: args.application.clone(),
        };
        return Ok(vec![Wanted {
            name: request.model.to_string(),
            limits: Limits::all(limit.map(Ok)),
            request: Ok(Arc::new(request)),
            role: None,
        }]);
    }
    let region = args.region.optional()?;
    let mut input = Input::read("iam-policy", &args.paths, &args.namespace, region.as_ref())?;
    for remark in &input.remarks {
        writeln!(err, "{remark}")?;
    }
    let mut wanted = Vec::new();
    for Given { binding, .. } in std::mem::take(&mut input.bindings) {
        for (name, ask) in binding.spec.asks.iter() {
            let of_spec = binding.spec.limits(Some(ask)).cloned();
            wanted.push(Wanted {
                name: binding.model_name(name),
                request: ask.request.clone(),
                limits: Limits::all(of_spec.chain(limit.clone().map(Ok)))
                    .and_namespace(&input.limit_of(&binding.key.namespace)),
                role: binding.spec.role.clone(),
            });
        }
    }
    Ok(wanted)
}

/// Returns the routes, and whether every request has one. Prints which have none, and why.
async fn find(
    args: &IamPolicyArgs,
    wanted: &[Wanted],
    err: &mut impl Write,
) -> Result<(Vec<NamedCall>, bool), Error> {
    let key = |one: &Wanted, request: &Request| FeedKey {
        role: one.role.clone().filter(|_| args.catalog.catalog.is_live()),
        region: request.source_region.clone(),
    };
    let naming = wanted.iter().filter_map(|one| {
        let request = one.request.as_deref().ok()?;
        request.application.as_ref()?;
        Some(key(one, request))
    });
    let mut catalogs = Catalogs::new(&args.catalog).with_applications(naming);
    let mut found = Vec::new();
    let mut all_found = true;
    for one in wanted {
        let request = match &one.request {
            Ok(request) => &**request,
            Err(error) => {
                writeln!(err, "{}: left out: {error}", one.name)?;
                all_found = false;
                continue;
            }
        };
        let catalog = catalogs.catalog(&key(one, request)).await?;
        match routes(request, &one.limits, &catalog, args.with_fallbacks) {
            Err(message) => {
                writeln!(err, "{}: left out: {message}", one.name)?;
                all_found = false;
            }
            Ok(routes) => {
                for remark in routes.iter().filter_map(|it| remark_on_end(it, &catalog)) {
                    writeln!(err, "{}: {remark}", one.name)?;
                }
                let account = account(args, &catalog)?;
                for (position, route) in routes.into_iter().enumerate() {
                    let application = resolve::application_profile(
                        request,
                        &route,
                        &catalog,
                        account.as_ref(),
                        None,
                    );
                    let application = match application {
                        Ok(application) => application,
                        // One application profile is of one route.
                        Err(_) if position > 0 => continue,
                        Err(unfound) => {
                            writeln!(err, "{}: left out: {}", one.name, unfound.message)?;
                            all_found = false;
                            continue;
                        }
                    };
                    let call = call(args, route, account.clone(), &catalog)?;
                    found.push(NamedCall {
                        name: one.name.clone(),
                        call: match application {
                            Some(arn) => call.through_application(&arn),
                            None => call,
                        },
                    });
                }
            }
        }
    }
    Ok((found, all_found))
}

/// Returns the route that the operator would publish, and those of the fallbacks if they are wanted, or why there is none. The route
/// to a model whose life has ended is one of them where it is listed: a value that was written before stays.
fn routes(
    request: &Request,
    limits: &Limits,
    catalog: &Catalog,
    with_fallbacks: bool,
) -> Result<Vec<Route>, String> {
    let embedded = Embedded::load();
    let context = Context {
        catalog,
        limits,
        embedded,
        day: DayOptions::default().day(),
    };
    let before_all_ends = Context {
        day: Date::MIN,
        ..context
    };
    let published = |context: &Context<'_>| {
        let resolution =
            resolve::resolve(request, context).map_err(|unresolved| unresolved.message)?;
        if resolution.judgement.permits() {
            Ok(resolution.route)
        } else {
            Err(resolution.judgement.message())
        }
    };
    let now = published(&context);
    let mut routes: Vec<Route> = now.clone().into_iter().collect();
    let mut others: Vec<Route> = published(&before_all_ends).into_iter().collect();
    if with_fallbacks {
        others.extend(resolve::allowed_routes(request, &context));
    }
    for other in others {
        if !routes.contains(&other) {
            routes.push(other);
        }
    }
    match now {
        Err(why) if routes.is_empty() => Err(why),
        _ => Ok(routes),
    }
}

/// Returns a remark on a route to a model whose life has ended.
fn remark_on_end(route: &Route, catalog: &Catalog) -> Option<String> {
    let known = lifecycle::known(catalog, Embedded::load(), &route.model)?;
    let end = lifecycle::ended(&known.lifecycle, DayOptions::default().day())?;
    Some(format!(
        "the life of {} in {} ended on {end}: it is allowed, because a value that was written before stays",
        route.model, route.source_region
    ))
}

/// Returns how the route is called. Only a model that is invoked on demand can be called without knowing the account.
fn call(
    args: &IamPolicyArgs,
    route: Route,
    account: Option<AccountId>,
    catalog: &Catalog,
) -> Result<Call, Error> {
    let unknown = |what: &str| {
        Error::BadInput(format!(
            "the account is unknown: ARNs of {what} name one, and the {} catalog does not; give --account",
            catalog.source().as_str()
        ))
    };
    if account.is_none() && args.actions.contains(&ActionName::Batch) {
        return Err(unknown("batch jobs"));
    }
    Call::new(route, account).ok_or_else(|| unknown("profiles"))
}

/// Returns the account of the workload: the given one, the principal's, or the catalog's, if there is any of them.
fn account(args: &IamPolicyArgs, catalog: &Catalog) -> Result<Option<AccountId>, Error> {
    let principal = args.principal.as_ref().map(Principal::account);
    let given = args.account.account.as_ref();
    if let (Some(principal), Some(given)) = (principal, given)
        && principal != given
    {
        return Err(Error::BadInput(format!(
            "--principal belongs to account {principal}, but --account is {given}: a profile is called by principals of its own account"
        )));
    }
    Ok(given.or(principal).or(catalog.account()).cloned())
}

fn operator_policy(args: &IamPolicyArgs) -> Result<Document, Error> {
    let account = args.account.account.as_ref().ok_or_else(|| {
        Error::BadInput(
            "the account is unknown: the operator's policy names the account's profiles; give --account"
                .to_owned(),
        )
    })?;
    for role in &args.assume_role {
        if !(role.starts_with("arn:") && role.contains(":iam::") && role.contains(":role/")) {
            return Err(Error::BadInput(format!(
                "{role:?} is not the ARN of a role, such as arn:aws:iam::111122223333:role/discovery"
            )));
        }
    }
    let region = args.region.optional()?;
    let partition = region
        .as_ref()
        .map_or("aws", |region| region.partition().name);
    let roles: BTreeSet<String> = args.assume_role.iter().cloned().collect();
    let uses = operator::Uses {
        applications: args.application_profiles,
        availability: args.check_access,
        log_group: args.invocation_log_group.as_deref(),
        lookup_events: args.lookup_events,
    };
    let document = operator::policy(partition, account, &roles, uses);
    within(
        &document,
        MANAGED_POLICY_LIMIT,
        "use patterns with * instead of single roles",
    )?;
    Ok(document)
}

/// Returns the trust policy, if one is asked for. `account` is that of the role.
fn trust_policy(
    args: &IamPolicyArgs,
    account: Option<&AccountId>,
) -> Result<Option<TrustPolicy>, Error> {
    let of_chart = || {
        let name = "inference-profile-operator".to_owned();
        args.operator.then(|| ServiceAccount {
            namespace: name.clone(),
            name,
        })
    };
    let service_account = args.service_account.clone().or_else(of_chart);
    let missing = |what: &str| Error::BadInput(format!("--trust irsa needs {what}"));
    Ok(match args.trust {
        None => None,
        Some(Trust::PodIdentity) => Some(trust::pod_identity(service_account.as_ref())),
        Some(Trust::Irsa) => {
            let provider = args.oidc_provider.as_ref().ok_or_else(|| {
                missing(
                    "--oidc-provider, the cluster's issuer: `aws eks describe-cluster --name CLUSTER --query cluster.identity.oidc.issuer`",
                )
            })?;
            let service_account =
                service_account.ok_or_else(|| missing("--service-account NAMESPACE/NAME"))?;
            let account = account.ok_or_else(|| missing("--account, that of the role"))?;
            let region = args.region.optional()?;
            let partition = region.map_or("aws", |region| region.partition().name);
            Some(trust::web_identity(
                partition,
                account,
                provider,
                &service_account,
            ))
        }
    })
}

fn print_trust(out: &mut impl Write, policy: Option<&TrustPolicy>) -> Result<(), Error> {
    if let Some(policy) = policy {
        out.write_all(json(policy)?.as_bytes())?;
    }
    Ok(())
}

fn guardrail_policy(args: &IamPolicyArgs) -> Result<Document, Error> {
    let limit = args
        .limit
        .parse()?
        .ok_or_else(|| Error::BadInput("no limit to enforce: give --allowed-regions".to_owned()))?;
    let names = limit.names();
    if names.iter().any(|name| name == "*") {
        return Err(Error::BadInput(
            "the limit * allows any region, so there is nothing to deny".to_owned(),
        ));
    }
    let document = guardrail::policy(&names);
    within(
        &document,
        SERVICE_CONTROL_POLICY_LIMIT,
        "use patterns with * instead of single regions",
    )?;
    Ok(document)
}

fn within(document: &Document, limit: usize, instead: &str) -> Result<(), Error> {
    let size = document.size();
    if size <= limit {
        return Ok(());
    }
    Err(Error::BadInput(format!(
        "the policy would have {size} characters, and AWS allows {limit}: {instead}"
    )))
}

/// Reads the policies of each level.
fn read_levels(options: &[String]) -> Result<Vec<Level>, Error> {
    options
        .iter()
        .map(|level| level.split(',').map(read_policy).collect())
        .collect()
}

fn read_policy(path: &str) -> Result<Policy, Error> {
    let text = fs::read_to_string(path).map_err(|source| Error::Unreadable {
        path: path.to_owned(),
        source,
    })?;
    Policy::parse(path, &text).map_err(|error| Error::BadInput(format!("{path}: {error}")))
}
