//! Regions without Bedrock, told from networks that fail.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};
use std::{io, net::IpAddr};

use futures::future::BoxFuture;
use inference_profile_operator::{
    api::condition::Reason,
    catalog::{Catalog, CatalogError, Source, embedded::Embedded},
    residency::Limits,
    resolve::{self, Context, Request},
    sources::bedrock::{Options, Resolver},
};

use crate::common::bedrock_server::{BedrockServer, Scripted};

use super::{Names, connect, key, operator, options};

/// STS of the operator's own region: its name shows that DNS works.
const WITNESS: &[&str] = &["sts.eu-west-1.amazonaws.com"];

async fn list(
    region: &str,
    url: Option<&str>,
    names: &'static [&'static str],
) -> Result<Catalog, CatalogError> {
    let options = Options {
        endpoint_url: url.map(ToOwned::to_owned),
        resolver: Arc::new(Names(names)),
        ..options("")
    };
    connect(options).await.list(&key(region)).await
}

#[tokio::test]
async fn a_region_without_bedrock_is_an_outcome_where_dns_works() {
    for (region, says) in [
        ("ap-east-1", "Amazon Bedrock had no endpoint there on"),
        ("eu-west-9", "AWS had no such region on"),
        ("cn-north-1", "Amazon Bedrock had no endpoint there on"),
    ] {
        let catalog = list(region, None, WITNESS).await.expect(region);
        assert!(catalog.profiles().is_empty());
        let request = Request {
            model: "anthropic.claude-sonnet-4-6".parse().expect("model"),
            geography: "eu".parse().expect("geography"),
            fallback_models: Vec::new(),
            fallbacks: Vec::new(),
            on_demand: false,
            source_region: region.parse().expect("region"),
            application: None,
        };
        let context = Context {
            catalog: &catalog,
            limits: &Limits::default(),
            embedded: Embedded::load(),
            day: jiff::civil::date(2026, 10, 1),
        };
        let unresolved = resolve::resolve(&request, &context).expect_err(region);
        assert_eq!(unresolved.reason, Reason::SourceRegionUnsupported);
        assert!(unresolved.message.contains(says), "{}", unresolved.message);
    }
}

#[tokio::test]
async fn a_name_that_may_be_good_is_an_error() {
    for (region, url, names) in [
        // Bedrock is there: DNS fails, or the VPC endpoint has no private DNS.
        ("eu-west-1", None, WITNESS),
        // No name resolves at all.
        ("ap-east-1", None, &[][..]),
        ("eu-west-9", None, &[]),
        // Somebody configured this name.
        ("eu-west-9", Some("https://bedrock.internal"), WITNESS),
    ] {
        let error = list(region, url, names).await.expect_err(region);
        assert_eq!(error.reason(), Reason::EndpointUnreachable, "{error}");
        assert!(error.to_string().contains("does not resolve"), "{error}");
        assert!(error.to_string().contains(region), "{error}");
    }
}

/// Knows all names until it is told not to.
#[derive(Debug, Default)]
struct Forgetful(AtomicBool);

impl Resolver for Forgetful {
    fn addresses<'a>(&'a self, host: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>> {
        let found = if self.0.load(Ordering::SeqCst) && host.starts_with("bedrock.") {
            Err(io::Error::other("no such name"))
        } else {
            Ok(vec![IpAddr::from([127, 0, 0, 1])])
        };
        Box::pin(std::future::ready(found))
    }
}

#[tokio::test]
async fn a_region_newer_than_the_data_stays_known_when_its_name_is_gone() {
    let server = BedrockServer::start().await;
    let resolver = Arc::new(Forgetful::default());
    let options = Options {
        endpoint_url: Some(format!(
            "http://bedrock.eu-west-9.amazonaws.com:{}",
            server.address().port()
        )),
        resolver: resolver.clone(),
        ..options("")
    };
    let bedrock = connect(options).await;
    bedrock.list(&key("eu-west-9")).await.expect("a new region");
    resolver.0.store(true, Ordering::SeqCst);
    // The connection of the last request is still good.
    server.script([Scripted::Reset]);
    let errors = [
        bedrock.list(&key("eu-west-9")).await.expect_err("gone"),
        bedrock.list(&key("eu-west-9")).await.expect_err("gone"),
    ];
    assert_eq!(errors[0].reason(), Reason::EndpointUnreachable);
    assert!(
        errors[1].to_string().contains("does not resolve"),
        "{}",
        errors[1]
    );
}

#[tokio::test]
async fn an_export_of_a_region_that_does_not_exist_is_refused() {
    let server = BedrockServer::start().await;
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("export");
    let path = path.to_str().expect("a path");
    let environment = [
        ("AWS_ENDPOINT_URL_BEDROCK", server.url()),
        ("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE".to_owned()),
        ("AWS_SECRET_ACCESS_KEY", "secret".to_owned()),
    ];
    let export = [
        "catalog",
        "export",
        "--catalog",
        "bedrock",
        path,
        "--region",
    ];
    let output = operator(&[&export[..], &["eu-west-9"]].concat(), &environment).await;
    assert_eq!(output.code, Some(2), "{output:#?}");
    let says = "--region eu-west-9: nothing is listed there: AWS had no such region on";
    assert!(output.stderr.contains(says), "{output:#?}");
    assert!(output.stderr.contains("nearest: eu-west-1"), "{output:#?}");
    assert!(!folder.path().join("export").exists(), "nothing is written");
}
