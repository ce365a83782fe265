//! How requests travel: endpoints, proxies, certificates, connections.

use std::{collections::BTreeMap, sync::Arc};

use inference_profile_operator::{
    api::condition::Reason, catalog::Source, sources::bedrock::Options,
};

use crate::common::credentials_servers::InstanceMetadata;

use super::{
    Names, connect, error, key, list_in,
    network_servers::{ProxyServer, TlsServer},
    nobody, operator, options, server, token, written,
};

const LIST: [&str; 6] = list_in("eu-west-1");

fn credentials() -> Vec<(&'static str, String)> {
    vec![
        ("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE".to_owned()),
        ("AWS_SECRET_ACCESS_KEY", "secret".to_owned()),
    ]
}

#[tokio::test]
async fn pages_and_listings_share_a_connection() {
    let server = server().await;
    server.set_page_size(1);
    let bedrock = connect(options(&server.url())).await;
    for _ in 0..3 {
        bedrock.list(&key("eu-west-1")).await.expect("catalog");
    }
    assert!(server.log().len() >= 15);
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn each_region_can_have_an_endpoint_of_its_own() {
    let (general, own) = (server().await, server().await);
    let options = Options {
        endpoints: BTreeMap::from([("eu-west-1".parse().expect("region"), own.url())]),
        ..options(&general.url())
    };
    let bedrock = connect(options).await;
    for region in ["eu-west-1", "sa-east-1"] {
        bedrock.list(&key(region)).await.expect(region);
    }
    assert_eq!(
        own.listings()[0].signing_region.as_deref(),
        Some("eu-west-1")
    );
    assert_eq!(
        general.listings()[0].signing_region.as_deref(),
        Some("sa-east-1")
    );
    assert_eq!((own.listings().len(), general.listings().len()), (1, 1));

    let option = format!("eu-west-1={}", own.url());
    let args = [&LIST[..], &["--bedrock-endpoint", &option]].concat();
    operator(&args, &credentials()).await.ok();
    assert_eq!(own.listings().len(), 2);
}

/// The endpoint is only part of a host name: what is no region never gets that far.
#[tokio::test]
async fn only_regions_become_host_names() {
    for region in [
        "evil.example/",
        "eu-west-1.evil.example",
        "eu-west-1@evil",
        "../x",
        "a b",
        "eu-west-1#",
    ] {
        let output = operator(&list_in(region), &credentials()).await;
        assert_eq!(output.code, Some(2), "{region}");
        assert!(
            output.stderr.contains("is not an AWS region name"),
            "{region}"
        );
    }
}

/// Without an endpoint the host is AWS's own, in its FIPS and dual-stack forms where these are asked for.
#[tokio::test]
async fn hosts_are_those_that_aws_has() {
    for (region, environment, host) in [
        ("eu-west-1", vec![], "bedrock.eu-west-1.amazonaws.com:443"),
        (
            "us-gov-west-1",
            vec![],
            "bedrock.us-gov-west-1.amazonaws.com:443",
        ),
        (
            "eusc-de-east-1",
            vec![],
            "bedrock.eusc-de-east-1.amazonaws.eu:443",
        ),
        (
            "us-east-1",
            vec![("AWS_USE_FIPS_ENDPOINT", "true")],
            "bedrock-fips.us-east-1.amazonaws.com:443",
        ),
        (
            "eu-west-1",
            vec![("AWS_USE_DUALSTACK_ENDPOINT", "true")],
            "bedrock.eu-west-1.api.aws:443",
        ),
    ] {
        let server = server().await;
        let tls = TlsServer::start(server.address(), &[host.trim_end_matches(":443")]).await;
        let proxy = ProxyServer::start(tls.address()).await;
        let folder = tempfile::tempdir().expect("folder");
        let mut variables = credentials();
        variables.push(("HTTPS_PROXY", proxy.url()));
        variables.push(("AWS_CA_BUNDLE", tls.bundle(&folder)));
        variables.extend(
            environment
                .iter()
                .map(|(name, value)| (*name, (*value).to_owned())),
        );
        operator(&list_in(region), &variables).await.ok();
        assert_eq!(proxy.asked(), [host]);
        assert_eq!(server.listings()[0].signing_region.as_deref(), Some(region));
    }
}

/// Roles are assumed at STS of the operator's own region, not at the global endpoint.
#[tokio::test]
async fn sts_is_that_of_the_region() {
    let server = server().await;
    let tls = TlsServer::start(server.address(), &["sts.eu-west-1.amazonaws.com"]).await;
    let proxy = ProxyServer::start(tls.address()).await;
    let folder = tempfile::tempdir().expect("folder");
    let variables = [
        (
            "AWS_ROLE_ARN",
            "arn:aws:iam::111122223333:role/irsa".to_owned(),
        ),
        ("AWS_WEB_IDENTITY_TOKEN_FILE", token(&folder)),
        ("AWS_CA_BUNDLE", tls.bundle(&folder)),
        ("HTTPS_PROXY", proxy.url()),
    ];
    // What answers there is no STS.
    let output = operator(&LIST, &variables).await;
    assert_eq!(output.code, Some(1));
    assert_eq!(proxy.asked()[0], "sts.eu-west-1.amazonaws.com:443");
}

/// The proxy of plain HTTP is not there, and is not asked.
#[tokio::test]
async fn instance_metadata_passes_by_the_proxy_where_it_is_said_so() {
    let (server, metadata) = (server().await, InstanceMetadata::start().await);
    let variables = [
        ("AWS_EC2_METADATA_SERVICE_ENDPOINT", metadata.url()),
        ("AWS_EC2_METADATA_DISABLED", "false".to_owned()),
        ("AWS_ENDPOINT_URL_BEDROCK", server.url()),
        ("HTTP_PROXY", "http://127.0.0.1:1".to_owned()),
        ("NO_PROXY", "127.0.0.1".to_owned()),
    ];
    operator(&LIST, &variables).await.ok();
    assert_eq!(server.listings().len(), 1);
}

#[tokio::test]
async fn the_certificates_of_the_system_can_be_elsewhere() {
    let server = server().await;
    let tls = TlsServer::start(server.address(), &["localhost"]).await;
    let folder = tempfile::tempdir().expect("folder");
    let mut variables = credentials();
    variables.push(("AWS_ENDPOINT_URL_BEDROCK", tls.url()));
    variables.push(("SSL_CERT_FILE", tls.bundle(&folder)));
    operator(&LIST, &variables).await.ok();
}

#[tokio::test]
async fn fips_and_an_endpoint_of_ones_own_exclude_each_other() {
    let server = server().await;
    let mut variables = credentials();
    variables.push(("AWS_ENDPOINT_URL_BEDROCK", server.url()));
    variables.push(("AWS_USE_FIPS_ENDPOINT", "true".to_owned()));
    let output = operator(&LIST, &variables).await;
    let said = output.stderr;
    assert!(
        said.contains("which excludes AWS_USE_FIPS_ENDPOINT"),
        "{said}"
    );
    assert!(server.log().is_empty());
}

#[tokio::test]
async fn a_proxy_is_passed_by_where_it_is_said_so() {
    let server = server().await;
    let tls = TlsServer::start(server.address(), &["localhost"]).await;
    let proxy = ProxyServer::start(tls.address()).await;
    let folder = tempfile::tempdir().expect("folder");
    let mut variables = credentials();
    variables.push(("AWS_ENDPOINT_URL_BEDROCK", tls.url()));
    variables.push(("HTTPS_PROXY", proxy.url()));
    variables.push(("NO_PROXY", "localhost".to_owned()));
    variables.push(("AWS_CA_BUNDLE", tls.bundle(&folder)));
    operator(&LIST, &variables).await.ok();
    assert!(proxy.asked().is_empty());
    assert_eq!(server.listings().len(), 1);
}

#[tokio::test]
async fn certificates_of_an_authority_that_is_not_known_are_refused() {
    let server = server().await;
    let tls = TlsServer::start(server.address(), &["localhost"]).await;
    let url = tls.url();
    let with = |ca_bundle| Options {
        ca_bundle,
        resolver: Arc::new(Names(&["localhost"])),
        ..options(&url)
    };
    let refused = connect(with(None)).await.list(&key("eu-west-1")).await;
    let refused = refused.expect_err("not trusted");
    assert_eq!(refused.reason(), Reason::EndpointUnreachable);
    assert!(refused.to_string().contains("AWS_CA_BUNDLE"), "{refused}");
    let trusted = with(Some(tls.authority().as_bytes().to_vec()));
    connect(trusted)
        .await
        .list(&key("eu-west-1"))
        .await
        .expect("trusted");
}

#[tokio::test]
async fn a_bundle_that_is_none_is_said_so_at_once() {
    let folder = tempfile::tempdir().expect("folder");
    let bundle = written(&folder, "ca.pem", "no certificates");
    for (path, says) in [
        (bundle.as_str(), "has no usable CA certificate"),
        (
            "/nonexistent/ca.pem",
            "/nonexistent/ca.pem, which can't be read",
        ),
    ] {
        let mut variables = credentials();
        variables.push(("AWS_CA_BUNDLE", path.to_owned()));
        let output = operator(&LIST, &variables).await;
        assert_eq!(output.code, Some(1));
        let said = output.stderr;
        assert!(said.contains(says), "{said}");
    }
}

#[tokio::test]
async fn a_proxy_that_is_not_there_is_said_so() {
    let mut variables = credentials();
    variables.push(("HTTPS_PROXY", nobody()));
    let output = operator(&LIST, &variables).await;
    let said = output.stderr;
    assert!(
        said.contains("the connection to") && said.contains("HTTPS_PROXY"),
        "{said}"
    );
}

/// The AWS SDK and the Kubernetes client disagree on rustls' cryptography; the program must have chosen before either
/// opens a connection, or this panics.
#[tokio::test]
async fn the_program_speaks_tls() {
    let not_tls = server().await;
    let url = not_tls.url().replace("http://", "https://");
    let environment = [
        ("AWS_ENDPOINT_URL_BEDROCK", url),
        ("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE".to_owned()),
        ("AWS_SECRET_ACCESS_KEY", "secret".to_owned()),
    ];
    let output = operator(&LIST, &environment).await;
    let stderr = output.stderr;
    assert_eq!(output.code, Some(1), "{stderr}");
    assert!(
        stderr.starts_with("error: ") && !stderr.contains("panicked"),
        "{stderr}"
    );
}

#[tokio::test]
async fn the_name_that_is_asked_for_is_told() {
    let said = error("http://vpce-0a.bedrock.eu-west-1.vpce.amazonaws.com").await;
    assert!(
        said.to_string()
            .contains("(vpce-0a.bedrock.eu-west-1.vpce.amazonaws.com)"),
        "{said}"
    );
}
