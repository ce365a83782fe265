//! The chart without a cluster: what it refuses, what it gives, and that its documents say so.
//!
//! Sets of values are in tests/chart/; tests/apiserver/chart.rs gives what they make to a real apiserver.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::{Value, json};

use crate::common::{
    chart::{self, CHART, run, sets_of_values},
    program::{Output, PROGRAM},
    tools,
    yaml::documents,
};

const REGION: &str = "region: eu-west-1\n";
const FULLNAME: &str = "ipo-inference-profile-operator";

/// Returns Helm, or ends the test where there is none.
macro_rules! tool {
    ($name:literal) => {
        match tools::tool($name) {
            Some(path) => path,
            None => return,
        }
    };
}

fn file(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path))
        .unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn rendered(helm: &Path, values: &str) -> Result<String, String> {
    chart::rendered(helm, "ipo", "default", values)
}

/// Returns the objects of these values beside the region.
#[track_caller]
fn with(helm: &Path, values: &str) -> Vec<Value> {
    let all = format!("{REGION}{values}");
    let text = rendered(helm, &all).unwrap_or_else(|error| panic!("{values}: {error}"));
    documents(&text)
}

fn of_kind<'a>(objects: &'a [Value], kind: &'a str) -> impl Iterator<Item = &'a Value> {
    objects.iter().filter(move |object| object["kind"] == kind)
}

#[track_caller]
fn one<'a>(objects: &'a [Value], kind: &'a str) -> &'a Value {
    let found: Vec<&Value> = of_kind(objects, kind).collect();
    let [object] = found[..] else {
        panic!("{} objects of the kind {kind}", found.len())
    };
    object
}

fn container(objects: &[Value]) -> Value {
    one(objects, "Deployment")["spec"]["template"]["spec"]["containers"][0].clone()
}

fn texts(list: &Value) -> Vec<String> {
    let list = list.as_array().into_iter().flatten();
    list.map(|text| text.as_str().expect("a text").to_owned())
        .collect()
}

fn arguments(helm: &Path, values: &str) -> Vec<String> {
    texts(&container(&with(helm, values))["args"])
}

/// Returns each rule of the operator's own roles.
fn rules(objects: &[Value]) -> Vec<Value> {
    let users = ["-view", "-edit", "-service-binding"];
    ["Role", "ClusterRole"]
        .iter()
        .flat_map(|kind| of_kind(objects, kind))
        .filter(|role| {
            let name = role["metadata"]["name"].as_str().expect("a name");
            !users.iter().any(|end| name.ends_with(end))
        })
        .flat_map(|role| role["rules"].as_array().expect("rules").clone())
        .collect()
}

/// Returns the resources that the rules name.
fn resources(rules: &[Value]) -> BTreeSet<String> {
    rules
        .iter()
        .flat_map(|rule| texts(&rule["resources"]))
        .collect()
}

#[test]
fn helm_finds_no_fault() {
    let helm = tool!("helm");
    let sets = sets_of_values();
    assert!(sets.len() >= 12, "the sets of values were not found");
    for (name, values) in sets {
        let arguments = ["lint", "--strict", "--quiet", "--values", "-", CHART];
        let output = run(&helm, &arguments, &values);
        assert_eq!(output.code, Some(0), "{name}: {output:#?}");
    }
}

/// Values that nobody means, each with the place that the refusal names.
const REFUSED: &[(&str, &str)] = &[
    ("regoin: eu-west-1", "regoin"),
    ("region: europe", "/region"),
    ("region: eu-west", "/region"),
    ("region: [eu-west-1]", "/region"),
    ("region: EU-WEST-1", "/region"),
    ("account: 111122223333", "/account"),
    ("account: '1234'", "/account"),
    ("namespaces: shop", "/namespaces"),
    ("namespaces: [Shop]", "/namespaces/0"),
    ("namespaces: [shop, shop]", "/namespaces"),
    ("allowedRegions: ['@europe']", "/allowedRegions/0"),
    ("allowedRegions: [europe]", "/allowedRegions/0"),
    ("allowedRegions: ['e*u*-*-**']", "/allowedRegions/0"),
    (
        "allowedRegions: [eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee*]",
        "/allowedRegions/0",
    ),
    ("refreshInterval: 15", "/refreshInterval"),
    ("refreshInterval: soon", "/refreshInterval"),
    ("concurrency: 0", "/concurrency"),
    ("maxFeeds: 0", "/maxFeeds"),
    ("maxFeedsPerNamespace: '8'", "/maxFeedsPerNamespace"),
    ("checkAccess: maybe", "/checkAccess"),
    ("catalog: {maxAge: 90 days}", "/catalog/maxAge"),
    ("catalog: {grace: one hour}", "/catalog/grace"),
    ("catalog: {followEmbedded: 1}", "/catalog/followEmbedded"),
    ("concurrency: 2000", "/concurrency"),
    ("concurrency: many", "/concurrency"),
    ("catalog: {type: live}", "/catalog/type"),
    ("catalog: {type: directory}", "/catalog/configMap"),
    (
        "catalog: {type: bedrock, configMap: a}",
        "/catalog/configMap",
    ),
    ("catalog: embedded", "/catalog"),
    ("secrets: {enabled: 'true'}", "/secrets/enabled"),
    ("secrets: {enable: true}", "enable"),
    ("rollout: {concurrent: 0}", "/rollout/concurrent"),
    ("rollout: {concurrent: 65}", "/rollout/concurrent"),
    ("guard: {namespaceSelector: {team: a}}", "team"),
    (
        "admission: {rules: [{geographies: []}]}",
        "/admission/rules/0/geographies",
    ),
    (
        "admission: {rules: [{geographies: [global]}]}",
        "/admission/rules/0/geographies/0",
    ),
    (
        "admission: {rules: [{models: [\"a'b\"]}]}",
        "/admission/rules/0/models/0",
    ),
    (
        "admission: {rules: [{roles: [admin]}]}",
        "/admission/rules/0/roles/0",
    ),
    (
        "admission: {rules: [{models: ['*a*b*c*d*']}]}",
        "/admission/rules/0/models/0",
    ),
    (
        "admission: {rules: [{roles: ['arn:aws:iam::*:role/*a*b*c*']}]}",
        "/admission/rules/0/roles/0",
    ),
    ("admission: {rules: [{global: true}]}", "/admission/rules/0"),
    ("admission: {rules: [{region: eu-west-1}]}", "region"),
    ("crds: {install: yes please}", "/crds/install"),
    ("image: {digest: 'sha256:abc'}", "/image/digest"),
    ("image: {digest: latest}", "/image/digest"),
    (
        "tracing: {otlpEndpoint: 'collector:4318'}",
        "/tracing/otlpEndpoint",
    ),
    ("image: {tag: 1.5}", "/image/tag"),
    ("image: {tag: 'a b'}", "/image/tag"),
    ("image: {pullPolicy: Sometimes}", "/image/pullPolicy"),
    ("image: {repository: 'Upper/Case'}", "/image/repository"),
    ("imagePullSecrets: [registry]", "/imagePullSecrets/0"),
    ("replicas: '2'", "/replicas"),
    ("replicas: -1", "/replicas"),
    ("http: {port: 80808}", "/http/port"),
    ("http: {address: '::'}", "/http/address"),
    ("log: {format: yaml}", "/log/format"),
    ("aws: {useFips: true}", "useFips"),
    (
        "aws: {allowedRoles: ['arn:aws:iam::111122223333:role/*a*b*c*d*;namespaces=*']}",
        "/aws/allowedRoles/0",
    ),
    (
        "aws: {allowedRoles: ['arn:aws:iam::111122223333:role/a;namespaces=*,a*b*c*d*e*']}",
        "/aws/allowedRoles/0",
    ),
    ("aws: {endpointURL: bedrock.example}", "/aws/endpointURL"),
    ("proxy: {https: 'proxy:3128'}", "/proxy/https"),
    ("extraArgs: ['-v']", "/extraArgs/0"),
    ("extraEnv: {A: b}", "/extraEnv"),
    ("extraEnv: [{name: A, value: 1}]", "/extraEnv/0/value"),
    ("podLabels: {a: true}", "/podLabels/a"),
    ("updateStrategy: {type: OnDelete}", "/updateStrategy/type"),
    ("dnsPolicy: clusterfirst", "/dnsPolicy"),
    (
        "podDisruptionBudget: {maxUnavailable: half}",
        "/podDisruptionBudget/maxUnavailable",
    ),
    (
        "networkPolicy: {httpsPorts: []}",
        "/networkPolicy/httpsPorts",
    ),
    (
        "metrics: {prometheusRule: {disabledAlerts: [Down]}}",
        "/metrics/prometheusRule/disabledAlerts/0",
    ),
    (
        "metrics: {serviceMonitor: {interval: fast}}",
        "/metrics/serviceMonitor/interval",
    ),
    ("fullnameOverride: 1st", "/fullnameOverride"),
    ("namespaceOverride: Shop", "/namespaceOverride"),
    ("commonLabels: {team: 1}", "/commonLabels/team"),
    ("extraObjects: [1]", "/extraObjects/0"),
    ("global: {imageRegistry: 5000}", "/global/imageRegistry"),
    (
        "global: {imagePullSecrets: [{secret: a}]}",
        "/global/imagePullSecrets/0",
    ),
    ("deploymentLabels: {a: true}", "/deploymentLabels/a"),
    (
        "serviceAccount: {labels: {a: true}}",
        "/serviceAccount/labels/a",
    ),
    ("dnsConfig: {servers: [a]}", "servers"),
    ("hostAliases: [{hostnames: [a]}]", "ip"),
    ("extraContainers: [{name: a}]", "image"),
    (
        "extraContainers: [{name: operator, image: a}]",
        "/extraContainers/0/name",
    ),
    (
        "podDisruptionBudget: {minAvailable: half}",
        "/podDisruptionBudget/minAvailable",
    ),
    ("metrics: {renderMode: sometimes}", "/metrics/renderMode"),
    (
        "metrics: {serviceMonitor: {relabelings: {a: b}}}",
        "/metrics/serviceMonitor/relabelings",
    ),
];

#[test]
fn mistyped_values_are_refused_by_name() {
    let helm = tool!("helm");
    for (values, place) in REFUSED {
        let region = if values.starts_with("region") {
            ""
        } else {
            REGION
        };
        let refusal = rendered(&helm, &format!("{region}{values}"));
        let refusal = refusal.expect_err(values);
        assert!(
            refusal.contains(&format!("'{place}'")),
            "{values}: {place} is not named in {refusal}"
        );
    }
}

/// `helm template` asks no cluster, and is told here of no API that a cluster may lack.
#[test]
fn injection_names_the_api_that_a_cluster_lacks() {
    let helm = tool!("helm");
    let values = format!("{REGION}injection: {{enabled: true}}\n");
    let output = run(&helm, &["template", CHART, "--values", "-"], &values);
    assert_ne!(output.code, Some(0), "{output:?}");
    let said = output.stderr;
    let needed =
        "injection.enabled needs MutatingAdmissionPolicy of admissionregistration.k8s.io/v1";
    assert!(said.contains(needed), "{said}");
}

#[test]
fn admission_needs_a_rule() {
    let helm = tool!("helm");
    let refusal = rendered(&helm, &format!("{REGION}admission: {{enabled: true}}"));
    let refusal = refusal.expect_err("no rule");
    assert!(refusal.contains("give admission.rules"), "{refusal}");
}

#[test]
fn values_of_other_charts_are_taken() {
    let helm = tool!("helm");
    with(&helm, "global: {storageClass: fast}\nenabled: true");
}

#[test]
fn the_secrets_of_all_charts_pull_the_image_too() {
    let helm = tool!("helm");
    let values = "global: {imagePullSecrets: [a, name: b]}\nimagePullSecrets: [name: b, name: c]";
    let given = with(&helm, values);
    let expected = json!([{"name": "b"}, {"name": "c"}, {"name": "a"}]);
    let deployment = &one(&given, "Deployment")["spec"]["template"];
    for pod in [deployment, one(&given, "Pod")] {
        assert_eq!(pod["spec"]["imagePullSecrets"], expected);
    }
    let given = with(&helm, "");
    let pod = &one(&given, "Deployment")["spec"]["template"]["spec"];
    assert_eq!(pod.get("imagePullSecrets"), None);
}

/// What is selected by stays the chart's own: a Deployment never changes its selector.
#[test]
fn labels_of_users_stand_beside_those_of_the_chart() {
    let helm = tool!("helm");
    let plain = with(&helm, "");
    let values = "\
commonLabels: {team: a, app.kubernetes.io/name: mine}
deploymentLabels: {team: b, app.kubernetes.io/instance: mine}
podLabels: {team: c}
serviceAccount: {labels: {team: d}}
metrics: {service: {labels: {team: e}}}";
    let given = with(&helm, values);
    assert_eq!(given.len(), plain.len());
    for (given, plain) in given.iter().zip(&plain) {
        let kind = given["kind"].as_str().expect("a kind");
        let team = match kind {
            "Deployment" => "b",
            "Pod" => "c",
            "ServiceAccount" => "d",
            "Service" => "e",
            _ => "a",
        };
        let mut expected = plain["metadata"]["labels"].clone();
        expected["team"] = json!(team);
        assert_eq!(given["metadata"]["labels"], expected, "{kind}");
    }
    let specs = [&given, &plain].map(|objects| one(objects, "Deployment")["spec"].clone());
    let [given, plain] = &specs;
    assert_eq!(given["selector"], plain["selector"]);
    assert_eq!(given["template"]["metadata"]["labels"]["team"], "c");
}

#[test]
fn the_deployment_and_its_pods_have_annotations_of_their_own() {
    let helm = tool!("helm");
    let given = with(
        &helm,
        "deploymentAnnotations: {a: b}\npodAnnotations: {c: d}",
    );
    let deployment = one(&given, "Deployment");
    assert_eq!(deployment["metadata"]["annotations"], json!({"a": "b"}));
    assert_eq!(
        deployment["spec"]["template"]["metadata"]["annotations"],
        json!({"c": "d", "kubectl.kubernetes.io/default-container": "operator"})
    );
}

#[test]
fn everything_that_has_a_namespace_is_in_the_one_that_is_named() {
    let helm = tool!("helm");
    let all = file("tests/chart/other-namespace.yaml");
    let given = documents(&rendered(&helm, &all).expect("rendered"));
    for object in &given {
        let namespace = object["metadata"].get("namespace");
        let name = &object["metadata"]["name"];
        assert!(
            namespace.is_none_or(|namespace| namespace == "shop"),
            "{name} is in {namespace:?}"
        );
    }
    for kind in ["Deployment", "Role", "ServiceMonitor", "PrometheusRule"] {
        assert_eq!(one(&given, kind)["metadata"]["namespace"], "shop");
    }
    let bindings = ["RoleBinding", "ClusterRoleBinding"];
    for binding in bindings.iter().flat_map(|kind| of_kind(&given, kind)) {
        assert_eq!(binding["subjects"][0]["namespace"], "shop", "{binding}");
    }
    let lease = "--lease-namespace=shop".to_owned();
    assert!(texts(&container(&given)["args"]).contains(&lease));
    let text = given.iter().map(Value::to_string).collect::<String>();
    assert!(text.contains("system:serviceaccount:shop:"), "the guard");
    assert!(text.contains(r#"namespace=\"shop\""#), "the alerts");
}

/// Credentials may come from a container beside the operator: the test of a release needs them as well. It would not end
/// while an ordinary container runs.
#[test]
fn containers_stand_beside_the_operator() {
    let helm = tool!("helm");
    let values = "\
extraInitContainers: [{name: credentials, image: a, restartPolicy: Always}]
extraContainers: [{name: proxy, image: b}]";
    let given = with(&helm, values);
    let names = |containers: &Value| -> Vec<String> {
        let containers = containers.as_array().into_iter().flatten();
        containers
            .map(|container| container["name"].as_str().expect("a name").to_owned())
            .collect()
    };
    let operator = &one(&given, "Deployment")["spec"]["template"]["spec"];
    let test = &one(&given, "Pod")["spec"];
    assert_eq!(names(&operator["containers"]), ["operator", "proxy"]);
    assert_eq!(names(&test["containers"]), ["catalog"]);
    for pod in [operator, test] {
        assert_eq!(names(&pod["initContainers"]), ["credentials"]);
        assert_eq!(pod["initContainers"][0]["restartPolicy"], "Always");
    }
}

#[test]
fn names_are_resolved_as_asked() {
    let helm = tool!("helm");
    let values = file("tests/chart/dns.yaml");
    let given = documents(&rendered(&helm, &values).expect("rendered"));
    let operator = &one(&given, "Deployment")["spec"]["template"]["spec"];
    for pod in [operator, &one(&given, "Pod")["spec"]] {
        assert_eq!(pod["dnsPolicy"], "None");
        assert_eq!(pod["dnsConfig"]["nameservers"], json!(["10.0.0.2"]));
        assert_eq!(pod["hostAliases"][0]["ip"], "10.0.0.17");
    }
}

#[test]
fn extra_objects_are_templates() {
    let helm = tool!("helm");
    let values = file("tests/chart/extra-objects.yaml");
    let given = documents(&rendered(&helm, &values).expect("rendered"));
    let config_map = one(&given, "ConfigMap");
    assert_eq!(
        config_map["metadata"]["name"],
        format!("{FULLNAME}-catalog")
    );
    assert_eq!(config_map["data"]["region"], "eu-west-1");
    let quota = one(&given, "ResourceQuota");
    assert_eq!(quota["metadata"]["name"], "ipo-pods");
    assert_eq!(
        quota["metadata"]["labels"]["app.kubernetes.io/instance"],
        "ipo"
    );
}

#[test]
fn a_disruption_budget_says_one_of_two() {
    let helm = tool!("helm");
    for (values, expected) in [
        ("{}", json!({"maxUnavailable": 1})),
        ("{maxUnavailable: 50%}", json!({"maxUnavailable": "50%"})),
        ("{minAvailable: 1}", json!({"minAvailable": 1})),
        (
            "{minAvailable: 0, maxUnavailable: 2}",
            json!({"minAvailable": 0}),
        ),
        ("{minAvailable: 50%}", json!({"minAvailable": "50%"})),
    ] {
        let given = with(&helm, &format!("podDisruptionBudget: {values}"));
        let mut spec = one(&given, "PodDisruptionBudget")["spec"].clone();
        let fields = spec.as_object_mut().expect("fields");
        fields.retain(|name, _| name.ends_with("vailable"));
        assert_eq!(spec, expected, "{values}");
    }
}

/// A cluster that lacks the kinds would refuse the release. `helm template` is told of no cluster's kinds here.
#[test]
fn what_needs_the_prometheus_operator_is_left_out_where_it_is_not() {
    let helm = tool!("helm");
    let kinds = ["PrometheusRule", "ServiceMonitor"];
    let render = |mode: &str, known: &[&str]| {
        let values = format!(
            "{REGION}metrics: {{renderMode: {mode}, serviceMonitor: {{enabled: true}}, prometheusRule: {{enabled: true}}}}"
        );
        let mut arguments = vec!["template", "ipo", CHART, "--values", "-"];
        let known: Vec<String> = known
            .iter()
            .map(|kind| format!("monitoring.coreos.com/v1/{kind}"))
            .collect();
        for kind in &known {
            arguments.extend(["--api-versions", kind]);
        }
        let output = run(&helm, &arguments, &values);
        if output.code != Some(0) {
            return Err(output.stderr);
        }
        let given = documents(&output.stdout);
        Ok(kinds.map(|kind| of_kind(&given, kind).count()))
    };
    for (mode, known, counts) in [
        ("skipIfMissing", &kinds[..], [1, 1]),
        ("skipIfMissing", &kinds[..1], [1, 0]),
        ("skipIfMissing", &[], [0, 0]),
        ("failIfMissing", &kinds[..], [1, 1]),
        ("alwaysRender", &[], [1, 1]),
    ] {
        assert_eq!(render(mode, known), Ok(counts), "{mode} with {known:?}");
    }
    let refusal = render("failIfMissing", &kinds[..1]).expect_err("one is missing");
    let said = "does not serve the kind ServiceMonitor of monitoring.coreos.com/v1";
    assert!(refusal.contains(said), "{refusal}");
}

#[test]
fn a_service_monitor_elsewhere_finds_the_pods() {
    let helm = tool!("helm");
    let values = file("tests/chart/monitoring-elsewhere.yaml");
    let given = documents(&rendered(&helm, &values).expect("rendered"));
    for kind in ["ServiceMonitor", "PrometheusRule", "ConfigMap"] {
        assert_eq!(one(&given, kind)["metadata"]["namespace"], "chat", "{kind}");
    }
    let monitor = &one(&given, "ServiceMonitor");
    assert_eq!(
        monitor["spec"]["namespaceSelector"]["matchNames"],
        json!(["default"])
    );
    let endpoint = &monitor["spec"]["endpoints"][0];
    assert_eq!(endpoint["honorLabels"], true);
    assert_eq!(endpoint["relabelings"][0]["targetLabel"], "node");
    assert_eq!(endpoint["metricRelabelings"][0]["action"], "drop");
    // The alerts are about the operator's namespace, wherever the rules are.
    let rule = &one(&given, "PrometheusRule")["spec"]["groups"][0]["rules"][0];
    assert_eq!(rule["labels"]["namespace"], "default");
}

#[test]
fn the_region_is_needed() {
    let helm = tool!("helm");
    let refusal = rendered(&helm, "").expect_err("no region");
    assert!(
        refusal
            .contains("no region: set region to the AWS region that workloads call Bedrock from"),
        "{refusal}"
    );
    rendered(&helm, "extraEnv: [{name: OTHER, value: a}]").expect_err("no region");
    for name in ["AWS_REGION", "AWS_DEFAULT_REGION"] {
        let values = format!("extraEnv: [{{name: {name}, value: eu-west-1}}]");
        let given = documents(&rendered(&helm, &values).expect(name));
        let arguments = texts(&container(&given)["args"]);
        let flag = arguments.iter().any(|text| text.starts_with("--region"));
        assert!(!flag, "it would win over {name}");
    }
    let both = arguments(&helm, "extraEnv: [{name: AWS_REGION, value: eu-west-1}]");
    assert!(both.contains(&"--region=eu-west-1".to_owned()), "{both:?}");
}

#[test]
fn rights_that_were_not_asked_for_are_absent() {
    let helm = tool!("helm");
    for scope in ["", "namespaces: [shop]\n"] {
        for (values, secrets, apps) in [
            ("", false, false),
            ("secrets: {enabled: true}", true, false),
            ("rollout: {enabled: true}", false, true),
        ] {
            let given = with(&helm, &format!("{scope}{values}"));
            let rules = rules(&given);
            let named = resources(&rules);
            assert_eq!(named.contains("secrets"), secrets, "{scope}{values}");
            let groups: Vec<String> = rules
                .iter()
                .flat_map(|rule| texts(&rule["apiGroups"]))
                .collect();
            assert_eq!(groups.contains(&"apps".to_owned()), apps, "{scope}{values}");
            let arguments = texts(&container(&given)["args"]);
            let flags = [("--enable-secrets", secrets), ("--enable-rollout", apps)];
            for (flag, expected) in flags {
                let given = arguments.iter().any(|argument| argument == flag);
                assert_eq!(given, expected, "{flag} with {scope}{values}");
            }
            let everything = rules.iter().any(|rule| rule.to_string().contains("\"*\""));
            assert!(!everything, "{rules:#?}");
        }
    }
}

#[test]
fn in_namespaces_only_their_names_are_cluster_wide() {
    let helm = tool!("helm");
    let given = with(&helm, "namespaces: [shop, chat]\nsecrets: {enabled: true}");
    let users = ["-view", "-edit", "-service-binding"];
    let cluster_wide: Vec<&Value> = of_kind(&given, "ClusterRole")
        .filter(|role| {
            let name = role["metadata"]["name"].as_str().expect("a name");
            !users.iter().any(|end| name.ends_with(end))
        })
        .collect();
    let [role] = cluster_wide[..] else {
        panic!("{cluster_wide:#?}")
    };
    assert_eq!(
        role["rules"],
        json!([
            {
                "apiGroups": [""],
                "resources": ["namespaces"],
                "resourceNames": ["shop", "chat"],
                "verbs": ["get", "list", "watch"],
            },
            {
                "apiGroups": ["inferenceprofiles.dev"],
                "resources": ["inferenceprofileclasses"],
                "verbs": ["list", "watch"],
            },
            {
                "apiGroups": ["inferenceprofiles.dev"],
                "resources": ["inferenceprofileclasses/status"],
                "verbs": ["patch"],
            },
        ])
    );
    for kind in ["Role", "RoleBinding"] {
        let namespaces: Vec<&str> = of_kind(&given, kind)
            .filter(|object| object["metadata"]["name"] == FULLNAME)
            .filter_map(|object| object["metadata"]["namespace"].as_str())
            .collect();
        assert_eq!(namespaces, ["shop", "chat"], "{kind}");
    }
}

#[test]
fn nobody_else_writes_a_status() {
    let helm = tool!("helm");
    let given = with(&helm, "");
    let mut seen = 0;
    for role in of_kind(&given, "ClusterRole") {
        let name = role["metadata"]["name"].as_str().expect("a name");
        if name == FULLNAME {
            continue;
        }
        for rule in role["rules"].as_array().expect("rules") {
            seen += 1;
            let of_status = texts(&rule["resources"])
                .iter()
                .any(|resource| resource.contains('/') || resource == "*");
            if of_status {
                assert_eq!(texts(&rule["verbs"]), ["get"], "{name}");
            }
        }
    }
    assert!(seen >= 4, "the roles for users were not found");
}

#[test]
fn the_crd_is_whole_and_kept() {
    let helm = tool!("helm");
    let given = with(&helm, "crds: {annotations: {a: b}}");
    let crds: Vec<&Value> = of_kind(&given, "CustomResourceDefinition").collect();
    let names = ["inferenceprofilebindings", "inferenceprofileclasses"];
    assert_eq!(crds.len(), names.len());
    for (crd, name) in crds.into_iter().zip(names) {
        assert_eq!(
            crd["metadata"]["annotations"],
            json!({"helm.sh/resource-policy": "keep", "a": "b"})
        );
        let original = documents(&file(&format!("crds/{name}.yaml"))).remove(0);
        assert_eq!(crd["metadata"]["name"], original["metadata"]["name"]);
        assert_eq!(crd["spec"], original["spec"]);
        let labels = original["metadata"]["labels"].as_object();
        for (name, value) in labels.into_iter().flatten() {
            assert_eq!(&crd["metadata"]["labels"][name], value, "{name}");
        }
    }
    let given = with(&helm, "crds: {install: false}");
    assert_eq!(of_kind(&given, "CustomResourceDefinition").count(), 0);
}

#[test]
fn the_image_is_named_as_asked() {
    let helm = tool!("helm");
    let repository = "ghcr.io/inference-profile-operator/inference-profile-operator";
    let version = env!("CARGO_PKG_VERSION");
    let digest = format!("sha256:{}", "0123456789abcdef".repeat(4));
    let by_digest = format!("image: {{tag: '9', digest: '{digest}'}}");
    for (values, expected) in [
        ("", format!("{repository}:{version}")),
        ("image: {tag: 1.2.3}", format!("{repository}:1.2.3")),
        (&by_digest, format!("{repository}@{digest}")),
        (
            "image: {registry: 'r.example:5000', repository: a/b}",
            format!("r.example:5000/a/b:{version}"),
        ),
        (
            "image: {registry: '', repository: ipo, tag: test}",
            "ipo:test".to_owned(),
        ),
        (
            "global: {imageRegistry: 'r.example/mirror'}\nimage: {registry: ignored, repository: a/b}",
            format!("r.example/mirror/a/b:{version}"),
        ),
    ] {
        let given = with(&helm, values);
        assert_eq!(container(&given)["image"], expected, "{values}");
        let test = &one(&given, "Pod")["spec"]["containers"][0];
        assert_eq!(test["image"], expected, "{values}, the test");
    }
}

#[test]
fn options_become_flags() {
    let helm = tool!("helm");
    let default = arguments(&helm, "");
    assert_eq!(
        default,
        [
            "run",
            "--catalog=bedrock",
            "--region=eu-west-1",
            "--refresh-interval=15m",
            "--concurrency=64",
            "--max-feeds=64",
            "--max-feeds-per-namespace=8",
            "--catalog-grace=1h",
            "--catalog-max-age=2160h",
            "--leader-elect",
            "--lease-name=ipo-inference-profile-operator",
            "--lease-namespace=default",
            "--http-addr=0.0.0.0:8080",
            "--log-format=json",
        ]
    );
    for (values, flags) in [
        ("account: '111122223333'", &["--account=111122223333"][..]),
        ("namespaces: [a, b]", &["--namespace=a", "--namespace=b"]),
        ("selector: a in (b)", &["--selector=a in (b)"]),
        (
            "allowedRegions: ['@eu', '*', 'e*u*-*-*']",
            &[
                "--allowed-regions=@eu",
                "--allowed-regions=*",
                "--allowed-regions=e*u*-*-*",
            ],
        ),
        (
            "aws: {allowedRoles: ['arn:aws:iam::111122223333:role/a=*,*,*/*;namespaces=a*b*c*d*,*-*;external-id=a,b=c']}",
            &[
                "--allow-role-arn=arn:aws:iam::111122223333:role/a=*,*,*/*;namespaces=a*b*c*d*,*-*;external-id=a,b=c",
            ],
        ),
        ("refreshInterval: 1h", &["--refresh-interval=1h"]),
        ("concurrency: 8", &["--concurrency=8"]),
        ("maxFeeds: 9", &["--max-feeds=9"]),
        ("maxFeedsPerNamespace: 2", &["--max-feeds-per-namespace=2"]),
        ("checkAccess: true", &["--check-access"]),
        ("catalog: {grace: 30m}", &["--catalog-grace=30m"]),
        (
            "catalog: {type: embedded, maxAge: 24h, followEmbedded: true}",
            &["--catalog-max-age=24h", "--follow-embedded"],
        ),
        (
            "rollout: {enabled: true, concurrent: 2}",
            &["--enable-rollout", "--concurrent-rollouts=2"],
        ),
        (
            "catalog: {type: directory, configMap: a}",
            &["--catalog=directory:/etc/inference-profile-operator/catalog"],
        ),
        (
            "http: {address: '[::]', port: 9090}",
            &["--http-addr=[::]:9090"],
        ),
        ("log: {format: text}", &["--log-format=text"]),
        (
            "tracing: {otlpEndpoint: 'http://collector:4318'}",
            &["--otlp-endpoint=http://collector:4318"],
        ),
        ("extraArgs: [--a=b, --c]", &["--a=b", "--c"]),
    ] {
        let arguments = arguments(&helm, values);
        for flag in flags {
            assert!(
                arguments.iter().any(|argument| argument == flag),
                "{values}: {flag} is not in {arguments:?}"
            );
        }
    }
    let alone = arguments(&helm, "leaderElection: {enabled: false}");
    let elected = alone.iter().any(|argument| argument.contains("lea"));
    assert!(!elected, "{alone:?}");
}

#[test]
fn surroundings_become_environment() {
    let helm = tool!("helm");
    for (values, name, expected) in [
        ("log: {filter: debug}", "RUST_LOG", "debug"),
        ("proxy: {https: 'http://p:1'}", "HTTPS_PROXY", "http://p:1"),
        ("proxy: {noProxy: .example}", "NO_PROXY", ".example"),
        (
            "caBundle: {configMap: ca}",
            "SSL_CERT_FILE",
            "/etc/inference-profile-operator/ca/ca.crt",
        ),
        ("aws: {useFIPS: true}", "AWS_USE_FIPS_ENDPOINT", "true"),
        (
            "aws: {useDualStack: true}",
            "AWS_USE_DUALSTACK_ENDPOINT",
            "true",
        ),
        (
            "aws: {endpointURL: 'https://a.example'}",
            "AWS_ENDPOINT_URL_BEDROCK",
            "https://a.example",
        ),
        ("extraEnv: [{name: A, value: b}]", "A", "b"),
    ] {
        let given = with(&helm, values);
        let test = &one(&given, "Pod")["spec"]["containers"][0];
        for container in [&container(&given), test] {
            let variables = container["env"].as_array().expect("variables");
            let found = variables.iter().find(|variable| variable["name"] == name);
            let value = found.map(|variable| &variable["value"]);
            assert_eq!(value, Some(&json!(expected)), "{values}");
        }
    }
}

#[test]
fn there_is_one_pod_without_leader_election() {
    let helm = tool!("helm");
    for (values, replicas) in [
        ("", 2),
        ("replicas: 3", 3),
        ("replicas: 3\nleaderElection: {enabled: false}", 1),
        ("replicas: 0\nleaderElection: {enabled: false}", 0),
    ] {
        let given = with(&helm, values);
        let deployment = one(&given, "Deployment");
        assert_eq!(deployment["spec"]["replicas"], replicas, "{values}");
        let leases = resources(&rules(&given)).contains("leases");
        assert_eq!(leases, !values.contains("false"), "{values}");
    }
}

/// A pod that the old one's port keeps from starting would never replace it.
#[test]
fn a_new_pod_comes_first_where_it_has_a_port() {
    let helm = tool!("helm");
    for (values, surge, unavailable) in [("", 1, 0), ("hostNetwork: true", 0, 1)] {
        let given = with(&helm, values);
        let strategy = &one(&given, "Deployment")["spec"]["strategy"]["rollingUpdate"];
        let expected = json!({"maxSurge": surge, "maxUnavailable": unavailable});
        assert_eq!(strategy, &expected, "{values}");
    }
}

/// The pod of the test is none of the operator's: it gets no traffic, and no disruption budget counts it.
#[test]
fn selectors_find_the_pods_of_the_operator_alone() {
    let helm = tool!("helm");
    let given = with(&helm, "podLabels: {app.kubernetes.io/component: other}");
    let matches = |selector: &Value, labels: &Value| {
        let selector = selector.as_object().expect("labels");
        selector.iter().all(|(name, value)| &labels[name] == value)
    };
    let pod = &one(&given, "Deployment")["spec"]["template"]["metadata"]["labels"];
    let test = &one(&given, "Pod")["metadata"]["labels"];
    for selector in [
        &one(&given, "Deployment")["spec"]["selector"]["matchLabels"],
        &one(&given, "PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
        &one(&given, "Service")["spec"]["selector"],
    ] {
        assert!(matches(selector, pod), "{selector}");
        assert!(!matches(selector, test), "{selector}");
    }
    let given = with(&helm, "networkPolicy: {enabled: true}");
    let selector = &one(&given, "NetworkPolicy")["spec"]["podSelector"]["matchLabels"];
    assert!(matches(selector, pod) && matches(selector, test));
}

#[test]
fn two_releases_share_no_cluster_scoped_name() {
    let helm = tool!("helm");
    let values = format!(
        "{REGION}injection: {{enabled: true}}\nadmission: {{enabled: true, rules: [{{geographies: [eu]}}]}}"
    );
    let names = |release: &str| -> BTreeSet<(String, String)> {
        let text = chart::rendered(&helm, release, "default", &values).expect("rendered");
        documents(&text)
            .iter()
            .filter(|object| object["metadata"].get("namespace").is_none())
            .map(|object| {
                let name = object["metadata"]["name"].as_str().expect("a name");
                (object["kind"].to_string(), name.to_owned())
            })
            .filter(|(kind, _)| !kind.contains("CustomResourceDefinition"))
            .collect()
    };
    let first = names("ipo");
    assert!(first.len() >= 5, "{first:?}");
    let strays: Vec<_> = first
        .iter()
        .filter(|(_, name)| !name.starts_with(FULLNAME))
        .collect();
    assert!(strays.is_empty(), "{strays:?}");
    let second = names("other");
    assert!(first.is_disjoint(&second), "{second:?}");
}

/// The pod of `helm test` runs the program: it must understand its arguments.
#[test]
fn the_test_of_a_release_is_a_command_of_the_program() {
    let helm = tool!("helm");
    for (values, environment) in [
        ("", None),
        (
            "region: ''\nextraEnv: [{name: AWS_REGION, value: eu-west-1}]",
            Some(("AWS_REGION", "eu-west-1")),
        ),
    ] {
        let values = format!("catalog: {{type: embedded}}\n{values}");
        let values = if environment.is_some() {
            values
        } else {
            format!("{REGION}{values}")
        };
        let given = documents(&rendered(&helm, &values).expect("rendered"));
        let arguments = texts(&one(&given, "Pod")["spec"]["containers"][0]["args"]);
        let mut command = Command::new(PROGRAM);
        command.args(&arguments).env_clear().envs(environment);
        let table = Output::of(&mut command, "").ok();
        assert!(table.contains("eu-west-1"), "{table}");
    }
}

/// Without a cluster the program ends there: it has understood its arguments by then.
#[test]
fn the_program_understands_its_arguments() {
    let helm = tool!("helm");
    let mut runs = 0;
    for (name, values) in sets_of_values() {
        let given = documents(&rendered(&helm, &values).expect(&name));
        let arguments = texts(&container(&given)["args"]);
        // Files are read before the cluster is looked for.
        if arguments
            .iter()
            .any(|argument| argument.starts_with("--catalog=directory:"))
        {
            continue;
        }
        let mut command = Command::new(PROGRAM);
        command
            .args(&arguments)
            .env_clear()
            .env("AWS_REGION", "eu-west-1");
        let output = Output::of(&mut command, "");
        assert!(
            output.code == Some(1) && output.stderr.contains("no cluster can be reached"),
            "{name}: {arguments:?}: {output:#?}"
        );
        runs += 1;
    }
    assert!(runs > 10, "the sets of values were not found");
}

#[test]
fn the_notes_warn_of_what_may_surprise() {
    let helm = tool!("helm");
    let notes = |values: &str| {
        let arguments = ["install", "ipo", CHART, "--dry-run=client", "--values", "-"];
        let output = run(&helm, &arguments, values);
        assert_eq!(output.code, Some(0), "{values}: {output:#?}");
        let text = output.stdout;
        let (_, notes) = text.split_once("\nNOTES:\n").expect("notes");
        notes.to_owned()
    };
    let usual = notes(REGION);
    assert!(!usual.contains("WARNING"), "{usual}");
    for part in [
        "bedrock:ListInferenceProfiles",
        "create-pod-identity-association",
        "kind: InferenceProfileBinding",
        "geography: eu\n",
        "helm -n default test ipo",
    ] {
        assert!(usual.contains(part), "{part:?} is not in {usual}");
    }
    for (values, warning) in [
        ("replicas: 1", "WARNING: replicas is 1"),
        ("replicas: 0", "the operator is paused"),
        (
            "leaderElection: {enabled: false}",
            "WARNING: without leader election",
        ),
        (
            "hostNetwork: true\nnetworkPolicy: {enabled: true}",
            "network policies don't act",
        ),
        ("crds: {install: false}", "does not upgrade the CRD"),
        (
            "metrics: {serviceMonitor: {enabled: true}}",
            "WARNING: the cluster does not serve ServiceMonitor of monitoring.coreos.com/v1, so this release has none",
        ),
    ] {
        let notes = notes(&format!("{REGION}{values}"));
        assert!(notes.contains(warning), "{warning:?} is not in {notes}");
    }
    let notes = notes("extraEnv: [{name: AWS_REGION, value: eu-west-1}]");
    assert!(notes.contains("WARNING: region is not set"), "{notes}");
}

/// Returns the paths of all values: `image.tag`.
fn leaves(values: &Value, path: &str, found: &mut Vec<String>) {
    match values.as_object() {
        Some(fields) if !fields.is_empty() => {
            for (name, value) in fields {
                let path = if path.is_empty() {
                    name.clone()
                } else {
                    format!("{path}.{name}")
                };
                leaves(value, &path, found);
            }
        }
        _ => found.push(path.to_owned()),
    }
}

fn default_values() -> Value {
    serde_yaml::from_str(&file(&format!("{CHART}/values.yaml"))).expect("YAML")
}

fn templates(folder: PathBuf) -> String {
    fs::read_dir(folder)
        .expect("a folder")
        .map(|entry| {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                templates(path)
            } else {
                fs::read_to_string(&path).expect("a template")
            }
        })
        .collect()
}

#[test]
fn every_value_is_used() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(CHART);
    let templates = templates(folder.join("templates"));
    let uses = |path: &str| {
        let name = format!(".Values.{path}");
        templates.match_indices(&name).any(|(start, _)| {
            let after = templates[start + name.len()..].chars().next();
            after.is_some_and(|c| !c.is_alphanumeric() && c != '.')
        })
    };
    let mut paths = Vec::new();
    leaves(&default_values(), "", &mut paths);
    assert!(paths.len() > 60, "the values were not found");
    // A whole group may be used at once: `.Values.resources`.
    let unused: Vec<&String> = paths
        .iter()
        .filter(|path| {
            let ends = path.match_indices('.').map(|(end, _)| end);
            let mut groups = ends.chain([path.len()]).map(|end| &path[..end]);
            !groups.any(uses)
        })
        .collect();
    assert!(unused.is_empty(), "no template uses {unused:?}");
}

/// Collects the values that only one of the two names.
fn compare(schema: &Value, values: &Value, path: &str, wrong: &mut Vec<String>) {
    let Some(properties) = schema["properties"].as_object() else {
        return;
    };
    // What is of all charts of a release, this one does not know.
    if path != ".global" {
        assert_eq!(schema["additionalProperties"], false, "{path}");
    }
    for name in properties.keys() {
        // What Helm adds; probes and resources have more fields than are set by default.
        let optional = matches!(
            path,
            ".livenessProbe" | ".readinessProbe" | ".resources" | ".dnsConfig"
        ) || path.starts_with(".updateStrategy")
            || (path.is_empty() && name == "enabled");
        if values.get(name).is_none() && !optional {
            wrong.push(format!("values.yaml lacks {path}.{name}"));
        }
    }
    for (name, value) in values.as_object().into_iter().flatten() {
        match properties.get(name) {
            None => wrong.push(format!("the schema lacks {path}.{name}")),
            Some(schema) => compare(schema, value, &format!("{path}.{name}"), wrong),
        }
    }
}

#[test]
fn schema_and_values_name_the_same() {
    let schema: Value =
        serde_json::from_str(&file(&format!("{CHART}/values.schema.json"))).expect("JSON");
    let mut wrong = Vec::new();
    compare(&schema, &default_values(), "", &mut wrong);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_readme_is_current() {
    let helm_docs = tool!("helm-docs");
    let arguments = [
        "--chart-search-root=charts",
        "--sort-values-order=file",
        "--log-level=warning",
        "--dry-run",
    ];
    let generated = run(&helm_docs, &arguments, "").stdout;
    let readme = file(&format!("{CHART}/README.md"));
    assert!(
        generated.trim_end() == readme.trim_end(),
        "{CHART}/README.md is not what values.yaml gives: run `make chart-docs`"
    );
    let undescribed: Vec<&str> = readme
        .lines()
        .filter(|line| line.starts_with("| `") && line.trim_end().ends_with("|  |"))
        .collect();
    assert!(undescribed.is_empty(), "{undescribed:#?}");
}

#[test]
fn chart_and_program_have_one_version() {
    let chart: Value = serde_yaml::from_str(&file(&format!("{CHART}/Chart.yaml"))).expect("YAML");
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(chart["appVersion"], version);
    let images = chart["annotations"]["artifacthub.io/images"].as_str();
    let images = images.expect("images");
    assert!(images.contains(&format!(":{version}\n")), "{images}");
    let crds = chart["annotations"]["artifacthub.io/crds"].as_str();
    let crds = &documents(crds.expect("crds"))[0];
    for (index, name) in ["inferenceprofilebindings", "inferenceprofileclasses"]
        .iter()
        .enumerate()
    {
        let crd = &crds[index];
        let original = &documents(&file(&format!("crds/{name}.yaml")))[0];
        assert_eq!(crd["name"], original["metadata"]["name"]);
        assert_eq!(crd["kind"], original["spec"]["names"]["kind"]);
        assert_eq!(crd["version"], original["spec"]["versions"][0]["name"]);
    }
}

#[test]
fn each_alert_says_what_to_do_and_can_be_left_out() {
    let helm = tool!("helm");
    let given = with(&helm, "metrics: {prometheusRule: {enabled: true}}");
    let groups = &one(&given, "PrometheusRule")["spec"]["groups"];
    let alerts: Vec<Value> = groups[0]["rules"].as_array().expect("rules").clone();
    let names: BTreeMap<&str, &Value> = alerts
        .iter()
        .map(|alert| (alert["alert"].as_str().expect("a name"), alert))
        .collect();
    assert_eq!(names.len(), alerts.len(), "each has its own name");
    for (name, alert) in &names {
        for field in ["summary", "description"] {
            let text = alert["annotations"][field].as_str();
            assert!(text.is_some_and(|text| !text.is_empty()), "{name}: {field}");
        }
        let runbook = alert["annotations"]["runbook_url"].as_str();
        let anchor = format!("/docs/troubleshooting.md#{}", name.to_lowercase());
        assert!(runbook.is_some_and(|url| url.ends_with(&anchor)), "{name}");
        let heading = format!("\n### {name}\n");
        assert!(file("docs/troubleshooting.md").contains(&heading), "{name}");
        let severity = alert["labels"]["severity"].as_str().expect("a severity");
        assert!(
            ["critical", "warning", "info"].contains(&severity),
            "{name}"
        );
    }

    let schema: Value =
        serde_json::from_str(&file(&format!("{CHART}/values.schema.json"))).expect("JSON");
    let disabled =
        "/properties/metrics/properties/prometheusRule/properties/disabledAlerts/items/enum";
    let may_be_disabled = texts(schema.pointer(disabled).expect("names"));
    let may_be_disabled: BTreeSet<&str> = may_be_disabled.iter().map(String::as_str).collect();
    assert_eq!(may_be_disabled, names.keys().copied().collect());
    let first = may_be_disabled.first().expect("a name");
    let values = format!(
        "metrics: {{prometheusRule: {{enabled: true, alertLabels: {{team: a}}, disabledAlerts: [{first}]}}}}"
    );
    let given = with(&helm, &values);
    let rules = &one(&given, "PrometheusRule")["spec"]["groups"][0]["rules"];
    let rules = rules.as_array().expect("rules");
    assert_eq!(rules.len(), names.len() - 1);
    for rule in rules {
        assert_ne!(rule["alert"], *first);
        let labels = &rule["labels"];
        assert_eq!(labels["team"], "a");
        assert_eq!(labels["namespace"], "default");
        assert_eq!(labels["job"], FULLNAME);
    }
}

#[test]
fn the_dashboard_is_handed_on_as_it_is() {
    let helm = tool!("helm");
    let given = with(&helm, "metrics: {dashboard: {enabled: true}}");
    let config_map = one(&given, "ConfigMap");
    assert_eq!(config_map["metadata"]["labels"]["grafana_dashboard"], "1");
    let text = config_map["data"]["inference-profile-operator.json"].as_str();
    let read = |text: &str| -> Value { serde_json::from_str(text).expect("JSON") };
    let dashboard = read(text.expect("a dashboard"));
    assert_eq!(
        dashboard,
        read(&file(&format!("{CHART}/files/dashboard.json")))
    );
    let panels = dashboard["panels"].as_array().expect("panels");
    let ids: BTreeSet<u64> = panels
        .iter()
        .filter_map(|panel| panel["id"].as_u64())
        .collect();
    assert_eq!(ids.len(), panels.len(), "each panel has its own ID");
}

/// What kube-score finds and why it stays.
const EXPLAINED: &[(&str, &str)] = &[
    (
        "container-resources",
        "no CPU limit: it would throttle the visits after a changed catalog, and protects nobody where requests are set",
    ),
    (
        "container-ephemeral-storage-request-and-limit",
        "nothing is written to disk: the root file system is read-only",
    ),
    (
        "container-image-pull-policy",
        "a release's tag is never moved, and a node must start the pod while the registry is down",
    ),
    (
        "deployment-has-host-podantiaffinity",
        "the default topologySpreadConstraints spread over nodes",
    ),
    (
        "pod-networkpolicy",
        "off by default: a wrong guess of the apiserver's port would cut the operator off",
    ),
];

#[test]
fn kube_score_finds_only_what_is_explained() {
    let helm = tool!("helm");
    let kube_score = tool!("kube-score");
    let mut found = BTreeSet::new();
    for name in ["smallest", "everything"] {
        let text = rendered(&helm, &file(&format!("tests/chart/{name}.yaml"))).expect(name);
        let arguments = ["score", "--output-format=json", "-"];
        let output = run(&kube_score, &arguments, &text);
        let scores: Value = serde_json::from_str(&output.stdout).expect("JSON");
        let objects = scores.as_array().expect("objects");
        assert!(!objects.is_empty(), "{name}");
        for object in objects {
            for check in object["checks"].as_array().into_iter().flatten() {
                let passed = check["skipped"] == true || check["grade"].as_i64() >= Some(10);
                if passed {
                    continue;
                }
                let id = check["check"]["id"].as_str().expect("an ID").to_owned();
                assert!(
                    EXPLAINED.iter().any(|(explained, _)| id == *explained),
                    "{name}: {} {id}: {}",
                    object["object_name"],
                    check["comments"]
                );
                found.insert(id);
            }
        }
    }
    let explained: BTreeSet<String> = EXPLAINED.iter().map(|(id, _)| (*id).to_owned()).collect();
    assert_eq!(found, explained, "no explanation is out of date");
}
