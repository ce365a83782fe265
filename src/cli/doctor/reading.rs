//! Asks a cluster. It changes nothing: an access review has the form of a create, and keeps nothing.
//!
//! Objects are read as JSON, so that what an older or newer apiserver says is read as far as it is understood.

use std::time::Duration;

use futures::{StreamExt, stream};
use kube::Client;
use serde_json::{Value, json};

use super::facts::{
    Answer, BindingFacts, Bindings, ClusterFacts, ConditionFacts, Difference, LeaseFacts, NoAnswer,
    OperatorFacts, PolicyFacts, Right, SchemaFacts,
};
use crate::{
    api::{binding_definition, class_definition},
    cli::chain,
};

/// How long to wait for an answer.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);
/// Most bindings on a page.
const PAGE: usize = 500;
/// Most bindings that are read.
const MOST_BINDINGS: usize = 10_000;
/// Most operators that are looked at.
const MOST_OPERATORS: usize = 5;
/// How many reviews are asked for at once.
const REVIEWS_AT_ONCE: usize = 8;
/// The labels of the chart's Deployment.
const OPERATOR_LABELS: &str = "app.kubernetes.io%2Fname%3Dinference-profile-operator%2Capp.kubernetes.io%2Fcomponent%3Doperator";
/// Where an object of the chart names its release.
const RELEASE: &str = "/metadata/labels/app.kubernetes.io~1instance";
const GROUP: &str = "inferenceprofiles.dev";

/// What to look at.
pub(super) struct Scope {
    /// Namespaces of bindings. Empty: all.
    pub(super) namespaces: Vec<String>,
    /// The namespace of the operator. `None`: any.
    pub(super) operator_namespace: Option<String>,
}

/// Asks a cluster for all that is checked. What could not be answered stands in its place.
pub(super) async fn facts(client: &Client, url: String, scope: Scope) -> ClusterFacts {
    let asking = Asking { client };
    let version = asking.version().await;
    if let Err(why @ (NoAnswer::Failed(_) | NoAnswer::NotAuthenticated)) = &version {
        let none = || why.clone();
        return ClusterFacts {
            url,
            schemas: Err(none()),
            own_rights: Err(none()),
            operators: Err(none()),
            policies: Err(none()),
            bindings: Err(none()),
            version,
            namespaces: scope.namespaces,
            absent_namespaces: Vec::new(),
            operator_namespace: scope.operator_namespace,
        };
    }
    let own = own_rights(&scope.namespaces);
    let (schemas, own_rights, operators, policies, bindings, absent_namespaces) = futures::join!(
        asking.schemas(),
        asking.reviewed(&own, None),
        asking.operators(scope.operator_namespace.as_deref()),
        asking.policies(),
        asking.bindings(&scope.namespaces),
        asking.absent_namespaces(&scope.namespaces),
    );
    ClusterFacts {
        url,
        version,
        schemas,
        own_rights,
        operators,
        policies,
        bindings,
        namespaces: scope.namespaces,
        absent_namespaces,
        operator_namespace: scope.operator_namespace,
    }
}

/// Returns what the commands of this program need.
fn own_rights(namespaces: &[String]) -> Vec<Right> {
    let mut rights = Vec::new();
    let places: Vec<Option<&str>> = match namespaces {
        [] => vec![None],
        some => some.iter().map(|name| Some(name.as_str())).collect(),
    };
    for place in places {
        let bindings = |verb| Right::new(verb, GROUP, "inferenceprofilebindings");
        rights.push(bindings("get").in_namespace(place));
        rights.push(bindings("list").in_namespace(place));
        rights.push(bindings("patch").in_namespace(place));
        rights.push(Right::new("list", "", "configmaps").in_namespace(place));
    }
    rights.push(Right::new("list", GROUP, "inferenceprofileclasses"));
    let listing = Right::new("list", "", "namespaces");
    match namespaces {
        [] => rights.push(listing),
        some => rights.extend(some.iter().map(|name| listing.clone().on(name))),
    }
    rights
}

struct Asking<'a> {
    client: &'a Client,
}

impl Asking<'_> {
    async fn get(&self, path: &str) -> Answer<Value> {
        self.send(http::Request::get(path).body(Vec::new())).await
    }

    async fn send(&self, request: Result<http::Request<Vec<u8>>, http::Error>) -> Answer<Value> {
        let request = request.map_err(|error| NoAnswer::Failed(error.to_string()))?;
        let answer = tokio::time::timeout(CALL_TIMEOUT, self.client.request(request)).await;
        let Ok(answer) = answer else {
            let seconds = CALL_TIMEOUT.as_secs();
            return Err(NoAnswer::Failed(format!("no answer within {seconds} s")));
        };
        answer.map_err(why_no_answer)
    }

    async fn version(&self) -> Answer<String> {
        let answer = self.get("/version").await?;
        Ok(text(&answer, "/gitVersion").unwrap_or_default())
    }

    /// Reads the schemas that the apiserver publishes to whoever is authenticated: reading definitions takes a right in the cluster.
    async fn schemas(&self) -> Answer<Vec<SchemaFacts>> {
        let document = self
            .get(&format!("/openapi/v3/apis/{GROUP}/v1alpha1"))
            .await?;
        let definitions = [binding_definition(), class_definition()];
        Ok(definitions
            .into_iter()
            .map(|definition| {
                let kind = definition.spec.names.kind.clone();
                let ours = serde_json::to_value(definition).unwrap_or_default();
                let ours = &ours["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
                let published = published(&document, &kind);
                SchemaFacts {
                    difference: published.map(|theirs| Difference::of(ours, theirs)),
                    kind,
                }
            })
            .collect())
    }

    /// Asks whether rights are there: those of the caller, or those of a service account, by its namespace and name.
    async fn reviewed(
        &self,
        rights: &[Right],
        of: Option<(&str, &str)>,
    ) -> Answer<Vec<(Right, bool)>> {
        let reviews = rights.iter().map(|right| async move {
            let review = review(right, of);
            let answer = self.post(review_path(of), &review).await?;
            let allowed = answer["status"]["allowed"].as_bool().unwrap_or_default();
            Ok((right.clone(), allowed))
        });
        let answers: Vec<Answer<(Right, bool)>> = stream::iter(reviews)
            .buffered(REVIEWS_AT_ONCE)
            .collect()
            .await;
        answers.into_iter().collect()
    }

    async fn post(&self, path: &str, body: &Value) -> Answer<Value> {
        let request = http::Request::post(path)
            .header("content-type", "application/json")
            .body(body.to_string().into_bytes());
        self.send(request).await
    }

    async fn operators(&self, namespace: Option<&str>) -> Answer<Vec<OperatorFacts>> {
        let place = namespace.map_or_else(String::new, |name| format!("namespaces/{name}/"));
        let path =
            format!("/apis/apps/v1/{place}deployments?labelSelector={OPERATOR_LABELS}&limit=50");
        let listed = self.get(&path).await?;
        let mut operators = Vec::new();
        for deployment in items(&listed).take(MOST_OPERATORS) {
            let mut found = operator(deployment);
            let account = (found.namespace.as_str(), found.service_account.as_str());
            found.rights = Some(self.reviewed(&found.needed_rights(), Some(account)).await);
            if let Some((namespace, name)) = found.lease_name() {
                let path =
                    format!("/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases/{name}");
                found.lease = Some(self.get(&path).await.map(|lease| self::lease(&lease)));
            }
            operators.push(found);
        }
        Ok(operators)
    }

    async fn policies(&self) -> Answer<Vec<PolicyFacts>> {
        const API: &str = "/apis/admissionregistration.k8s.io/v1";
        let policies = self
            .get(&format!("{API}/validatingadmissionpolicies?limit=500"))
            .await?;
        let bindings = self
            .get(&format!(
                "{API}/validatingadmissionpolicybindings?limit=500"
            ))
            .await?;
        let denies = |policy: &str| {
            items(&bindings).any(|binding| {
                let actions = binding["spec"]["validationActions"].as_array();
                binding["spec"]["policyName"] == policy
                    && actions.is_some_and(|actions| actions.contains(&json!("Deny")))
            })
        };
        Ok(items(&policies)
            .filter_map(|policy| Some((policy, text(policy, "/metadata/name")?)))
            .filter(|(_, name)| name.contains("-guard-"))
            .map(|(policy, name)| PolicyFacts {
                release: text(policy, RELEASE),
                denies: denies(&name),
                name,
            })
            .collect())
    }

    /// Returns which of these namespaces do not exist. One that may not be read may be there.
    async fn absent_namespaces(&self, names: &[String]) -> Vec<String> {
        let mut absent = Vec::new();
        for name in names {
            let found = self.get(&format!("/api/v1/namespaces/{name}")).await;
            if found == Err(NoAnswer::NotFound) {
                absent.push(name.clone());
            }
        }
        absent
    }

    async fn bindings(&self, namespaces: &[String]) -> Answer<Bindings> {
        let places: Vec<String> = match namespaces {
            [] => vec![String::new()],
            some => some
                .iter()
                .map(|name| format!("namespaces/{name}/"))
                .collect(),
        };
        let mut found = Bindings::default();
        for place in places {
            let mut token = String::new();
            loop {
                let path = format!(
                    "/apis/{GROUP}/v1alpha1/{place}inferenceprofilebindings?limit={PAGE}{token}"
                );
                let page = self.get(&path).await?;
                found.all.extend(items(&page).map(binding));
                let next = text(&page, "/metadata/continue").filter(|token| !token.is_empty());
                let Some(next) = next else {
                    break;
                };
                if found.all.len() >= MOST_BINDINGS {
                    found.more = true;
                    return Ok(found);
                }
                token = format!("&continue={next}");
            }
        }
        Ok(found)
    }
}

/// Returns what an error says of what was asked.
fn why_no_answer(error: kube::Error) -> NoAnswer {
    match error {
        // An apiserver that does not know a group answers in plain text, without the reason NotFound.
        kube::Error::Api(status) if status.code == 404 => NoAnswer::NotFound,
        kube::Error::Api(status) if status.code == 401 => NoAnswer::NotAuthenticated,
        kube::Error::Api(status) if status.is_forbidden() => {
            NoAnswer::Forbidden(status.message.clone())
        }
        error => NoAnswer::Failed(chain(&error)),
    }
}

fn items(list: &Value) -> impl Iterator<Item = &Value> {
    list["items"].as_array().into_iter().flatten()
}

fn text(object: &Value, pointer: &str) -> Option<String> {
    let text = object.pointer(pointer)?.as_str()?;
    Some(text.to_owned())
}

/// Returns the schema of a kind in an `OpenAPI` document.
fn published<'d>(document: &'d Value, kind: &str) -> Option<&'d Value> {
    let schemas = document["components"]["schemas"].as_object()?;
    schemas.values().find(|schema| {
        let kinds = schema["x-kubernetes-group-version-kind"].as_array();
        let mut kinds = kinds.into_iter().flatten();
        kinds.any(|found| found["kind"] == kind)
    })
}

fn review_path(of: Option<(&str, &str)>) -> &'static str {
    match of {
        None => "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
        Some(_) => "/apis/authorization.k8s.io/v1/subjectaccessreviews",
    }
}

fn review(right: &Right, of: Option<(&str, &str)>) -> Value {
    let (resource, sub) = match right.resource.split_once('/') {
        Some((resource, sub)) => (resource, sub),
        None => (right.resource, ""),
    };
    let mut spec = json!({
        "resourceAttributes": {
            "verb": right.verb,
            "group": right.group,
            "resource": resource,
            "subresource": sub,
            "namespace": right.namespace.as_deref().unwrap_or_default(),
            "name": right.name.as_deref().unwrap_or_default(),
        },
    });
    let kind = match of {
        None => "SelfSubjectAccessReview",
        Some((namespace, account)) => {
            spec["user"] = json!(format!("system:serviceaccount:{namespace}:{account}"));
            spec["groups"] = json!([
                "system:serviceaccounts",
                format!("system:serviceaccounts:{namespace}"),
                "system:authenticated",
            ]);
            "SubjectAccessReview"
        }
    };
    json!({"apiVersion": "authorization.k8s.io/v1", "kind": kind, "spec": spec})
}

fn operator(deployment: &Value) -> OperatorFacts {
    let number = |pointer, default| {
        let number = deployment.pointer(pointer).and_then(Value::as_i64);
        number.unwrap_or(default)
    };
    let of = |pointer| text(deployment, pointer).unwrap_or_default();
    let container = "/spec/template/spec/containers/0";
    let container = deployment.pointer(container).unwrap_or(&Value::Null);
    let args = container["args"].as_array().into_iter().flatten();
    let env = container["env"].as_array().into_iter().flatten();
    OperatorFacts {
        namespace: of("/metadata/namespace"),
        name: of("/metadata/name"),
        service_account: text(deployment, "/spec/template/spec/serviceAccountName")
            .unwrap_or_else(|| "default".to_owned()),
        wanted: number("/spec/replicas", 1),
        ready: number("/status/readyReplicas", 0),
        version: text(deployment, "/metadata/labels/app.kubernetes.io~1version"),
        release: text(deployment, RELEASE),
        args: args
            .filter_map(|arg| arg.as_str().map(ToOwned::to_owned))
            .collect(),
        env: env
            .filter_map(|variable| Some((text(variable, "/name")?, text(variable, "/value")?)))
            .collect(),
        rights: None,
        lease: None,
    }
}

fn lease(lease: &Value) -> LeaseFacts {
    let renewed = text(lease, "/spec/renewTime").and_then(|time| time.parse().ok());
    LeaseFacts {
        holder: text(lease, "/spec/holderIdentity").filter(|holder| !holder.is_empty()),
        renewed: renewed.map(|time: jiff::Timestamp| time.as_second()),
        duration: lease["spec"]["leaseDurationSeconds"]
            .as_i64()
            .unwrap_or_default(),
    }
}

fn binding(binding: &Value) -> BindingFacts {
    let condition = |kind: &str| {
        let mut conditions = binding["status"]["conditions"]
            .as_array()
            .into_iter()
            .flatten();
        let found = conditions.find(|condition| condition["type"] == kind)?;
        Some(ConditionFacts {
            status: text(found, "/status")?,
            reason: text(found, "/reason")?,
            message: text(found, "/message")?,
        })
    };
    BindingFacts {
        namespace: text(binding, "/metadata/namespace").unwrap_or_default(),
        name: text(binding, "/metadata/name").unwrap_or_default(),
        suspended: binding["spec"]["suspend"].as_bool().unwrap_or_default(),
        application: binding["spec"]["application"].is_object(),
        ready: condition("Ready"),
        fresh: condition("CatalogFresh"),
    }
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;

    #[test]
    fn objects_are_read_as_far_as_they_are_understood() {
        let found = operator(&json!({
            "metadata": {"namespace": "system", "name": "ipo", "labels": {"app.kubernetes.io/version": "0.1.0"}},
            "spec": {
                "replicas": 2,
                "template": {"spec": {
                    "serviceAccountName": "sa",
                    "containers": [{
                        "args": ["run", "--leader-elect"],
                        "env": [{"name": "A", "value": "b"}, {"name": "C", "valueFrom": {}}],
                    }],
                }},
            },
            "status": {"readyReplicas": 1},
        }));
        assert_eq!(found.full_name(), "system/ipo");
        assert_eq!((found.wanted, found.ready), (2, 1));
        assert_eq!(found.env, [("A".to_owned(), "b".to_owned())]);
        assert_eq!(operator(&json!({})).wanted, 1);

        let found = lease(&json!({"spec": {
            "holderIdentity": "a", "renewTime": "2026-11-28T12:00:00.123456Z", "leaseDurationSeconds": 15,
        }}));
        assert_eq!(found.holder.as_deref(), Some("a"));
        assert_eq!(found.duration, 15);
        assert!(found.renewed.is_some());
        assert_eq!(
            lease(&json!({"spec": {"holderIdentity": ""}})),
            LeaseFacts::default()
        );

        let found = binding(&json!({
            "metadata": {"namespace": "shop", "name": "chat"},
            "spec": {"suspend": true, "application": {"name": "a"}},
            "status": {"conditions": [{"type": "Ready", "status": "True", "reason": "Bound", "message": "m"}]},
        }));
        assert!(found.suspended && found.application && found.fresh.is_none());
        assert_eq!(found.ready.expect("Ready").reason, "Bound");
    }

    #[test]
    fn answers_of_an_apiserver() {
        let answer = |code, message: &str, reason: &str| {
            why_no_answer(kube::Error::Api(
                Status::failure(message, reason).with_code(code).boxed(),
            ))
        };
        // As kube makes it of an answer that is no Status.
        let plain = "Failed to parse error data";
        assert_eq!(answer(404, "404 page not found", plain), NoAnswer::NotFound);
        assert_eq!(answer(404, "", plain), NoAnswer::NotFound);
        let of_401 = answer(401, "Unauthorized", "Unauthorized");
        assert_eq!(of_401, NoAnswer::NotAuthenticated);
        let of_403 = answer(403, "jane cannot", "Forbidden");
        assert_eq!(of_403, NoAnswer::Forbidden("jane cannot".to_owned()));
        let of_500 = answer(500, "etcd is away", "InternalError");
        assert_eq!(of_500, NoAnswer::Failed("etcd is away".to_owned()));
    }

    #[test]
    fn a_review_names_user_and_groups() {
        let right = Right::new("patch", GROUP, "inferenceprofilebindings/status")
            .in_namespace(Some("shop"));
        let own = review(&right, None);
        assert_eq!(own["kind"], "SelfSubjectAccessReview");
        let attributes = &own["spec"]["resourceAttributes"];
        assert_eq!(attributes["resource"], "inferenceprofilebindings");
        assert_eq!(attributes["subresource"], "status");
        let of = review(&right, Some(("system", "ipo")));
        assert_eq!(of["kind"], "SubjectAccessReview");
        assert_eq!(of["spec"]["user"], "system:serviceaccount:system:ipo");
        assert_eq!(of["spec"]["groups"][1], "system:serviceaccounts:system");
    }
}
