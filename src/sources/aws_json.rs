//! The JSON protocol of AWS, for services of which a few operations are called: signed, retried and timed out by the SDK's own
//! runtime, without the service's crate.
//!
//! Sources: <https://smithy.io/2.0/aws/protocols/aws-json-1_1-protocol.html>,
//! <https://docs.aws.amazon.com/sdkref/latest/guide/feature-ss-endpoints.html>

use std::{fmt, time::SystemTime};

use aws_config::SdkConfig;
use aws_runtime::{
    auth::{
        SigV4OperationSigningConfig, SigningOptions,
        sigv4::{SCHEME_ID, SigV4AuthScheme},
    },
    retries::classifiers::AwsErrorCodeClassifier,
    service_clock_skew::{ServiceClockSkewClassifier, ServiceClockSkewInterceptor},
};
use aws_smithy_runtime::client::{
    orchestrator::operation::Operation,
    retries::classifiers::{HttpStatusCodeClassifier, TransientErrorClassifier},
};
use aws_smithy_runtime_api::{
    box_error::BoxError,
    client::{
        auth::{
            AuthSchemeOptionResolverParams, SharedAuthScheme, SharedAuthSchemeOptionResolver,
            static_resolver::StaticAuthSchemeOptionResolver,
        },
        behavior_version::BehaviorVersion,
        orchestrator::{HttpRequest, HttpResponse, OrchestratorError},
        runtime_components::RuntimeComponentsBuilder,
        runtime_plugin::StaticRuntimePlugin,
    },
};
use aws_smithy_types::{
    body::SdkBody,
    config_bag::Layer,
    error::{ErrorMetadata, metadata::ProvideErrorMetadata},
    retry::{ErrorKind, ProvideErrorKind},
};
use aws_types::{
    SigningName,
    region::{Region as SdkRegion, SigningRegion},
    service_config::ServiceConfigKey,
};
use serde::Deserialize;
use serde_json::Value;

use super::bedrock::{
    Options,
    advice::{self, Asked},
    client::sdk_config,
    error::{ErrorResponse, Failure, reduce},
    shared_profile,
};
use crate::{catalog::CatalogError, types::Region};

/// A service that speaks this protocol.
#[derive(Debug)]
pub(super) struct Service {
    /// Its name in messages and shared configuration files.
    pub(super) name: &'static str,
    /// The first part of its host names, and the name that requests are signed for.
    pub(super) host: &'static str,
    /// What stands before an operation in `x-amz-target`.
    pub(super) target: &'static str,
    /// The variable that names another endpoint.
    pub(super) variable: &'static str,
}

/// What is asked, for messages.
#[derive(Debug, Clone, Copy)]
pub(super) struct Call<'a> {
    pub(super) operation: &'static str,
    /// The permission that it needs.
    pub(super) permission: &'static str,
    /// The resource to allow it on.
    pub(super) resource: &'a str,
}

/// A client of one service in one region.
pub(super) struct JsonClient {
    operation: Operation<Input, Vec<u8>, JsonError>,
    service: &'static Service,
    region: Region,
    options: Options,
    host: String,
}

impl fmt::Debug for JsonClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JsonClient")
            .field("service", &self.service.name)
            .field("region", &self.region)
            .finish_non_exhaustive()
    }
}

/// The configuration that clients of several services and regions share.
#[derive(Debug, Clone)]
pub struct Shared {
    config: SdkConfig,
    options: Options,
}

impl Shared {
    /// Reads the environment and the shared configuration files. Sends nothing.
    ///
    /// # Errors
    /// [`CatalogError::EndpointUnreachable`] if the CA bundle can't be used.
    pub async fn new(options: Options) -> Result<Self, CatalogError> {
        Ok(Self {
            config: sdk_config(&options).await?,
            options,
        })
    }
}

#[derive(Debug)]
struct Input {
    operation: &'static str,
    body: String,
}

/// An error that the service answered with.
#[derive(Debug)]
struct JsonError(ErrorMetadata);

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.code().unwrap_or("no code"))
    }
}

impl std::error::Error for JsonError {}

impl ProvideErrorMetadata for JsonError {
    fn meta(&self) -> &ErrorMetadata {
        &self.0
    }
}

impl ProvideErrorKind for JsonError {
    fn retryable_error_kind(&self) -> Option<ErrorKind> {
        None
    }

    fn code(&self) -> Option<&str> {
        self.0.code()
    }
}

impl JsonClient {
    pub(super) fn new(shared: &Shared, service: &'static Service, region: &Region) -> Self {
        let Shared { config, options } = shared;
        let url = endpoint(config, service, region);
        let mut settings = Layer::new("signing");
        settings.store_put(SigV4OperationSigningConfig {
            region: Some(SigningRegion::from(SdkRegion::new(region.to_string()))),
            name: Some(SigningName::from_static(service.host)),
            signing_options: SigningOptions::default(),
            ..SigV4OperationSigningConfig::default()
        });
        settings.store_put(AuthSchemeOptionResolverParams::new(()));
        let mut components = RuntimeComponentsBuilder::new("signing");
        components
            .push_auth_scheme(SharedAuthScheme::new(SigV4AuthScheme::new()))
            .set_auth_scheme_option_resolver(Some(SharedAuthSchemeOptionResolver::new(
                StaticAuthSchemeOptionResolver::new(vec![SCHEME_ID]),
            )))
            .set_identity_cache(config.identity_cache());
        if let Some(credentials) = config.credentials_provider() {
            components.set_identity_resolver(SCHEME_ID, credentials);
        }
        let signing = StaticRuntimePlugin::new()
            .with_config(settings.freeze())
            .with_runtime_components(components);
        let mut builder = Operation::builder()
            .service_name(service.name)
            .operation_name("call")
            .behavior_version(BehaviorVersion::latest())
            .endpoint_url(&url)
            .runtime_plugin(signing)
            .interceptor(ServiceClockSkewInterceptor::new())
            .retry_classifier(TransientErrorClassifier::<JsonError>::new())
            .retry_classifier(AwsErrorCodeClassifier::<JsonError>::new())
            .retry_classifier(HttpStatusCodeClassifier::default())
            .retry_classifier(ServiceClockSkewClassifier::<JsonError>::new());
        if let Some(http) = config.http_client() {
            builder = builder.http_client(http);
        }
        if let Some(retry) = config.retry_config() {
            builder = builder.standard_retry(retry);
        }
        if let Some(timeouts) = config.timeout_config() {
            builder = builder.timeout_config(timeouts.clone());
        }
        if let Some(sleep) = config.sleep_impl() {
            builder = builder.sleep_impl(sleep);
        }
        if let Some(time) = config.time_source() {
            builder = builder.time_source(time);
        }
        let target = service.target;
        let operation = builder
            .serializer(move |input: Input| request(target, input))
            .deserializer(answer)
            .build();
        let host = url.split("://").nth(1).unwrap_or(&url);
        Self {
            operation,
            service,
            region: region.clone(),
            options: options.clone(),
            host: host.trim_end_matches('/').to_owned(),
        }
    }

    /// Calls an operation, and returns the body of its answer.
    pub(super) async fn call(
        &self,
        call: Call<'_>,
        input: &Value,
    ) -> Result<Vec<u8>, (Failure, CatalogError)> {
        let input = Input {
            operation: call.operation,
            body: input.to_string(),
        };
        self.operation.invoke(input).await.map_err(|error| {
            let failure = reduce(&error, SystemTime::now());
            let error = self.explain(&failure, call);
            (failure, error)
        })
    }

    /// Says that an answer is none of the service.
    pub(super) fn not_understood(&self) -> CatalogError {
        let (name, region) = (self.service.name, &self.region);
        CatalogError::ServiceError(format!(
            "the answer for {region} did not come from {name}: check proxies and {}",
            self.service.variable
        ))
    }

    /// Returns what a failure means and what to do about it.
    fn explain(&self, failure: &Failure, call: Call<'_>) -> CatalogError {
        let (name, region, host) = (self.service.name, &self.region, &self.host);
        let (service, variable) = (self.service.host, self.service.variable);
        match failure {
            Failure::ErrorResponse(response) => self.refused(response, call),
            Failure::NotUnderstood { .. } => self.not_understood(),
            Failure::NameNotResolved => CatalogError::EndpointUnreachable(format!(
                "the name of {name} in {region} ({host}) does not resolve: check the region, DNS, {variable}, and the VPC \
                 endpoint of `{service}`"
            )),
            Failure::NotTrusted => CatalogError::EndpointUnreachable(format!(
                "the certificate of {name} in {region} ({host}) is not trusted: name a file with its CA in AWS_CA_BUNDLE, or \
                 check {variable}"
            )),
            Failure::NoConnection | Failure::TimedOut => {
                CatalogError::EndpointUnreachable(format!(
                    "{name} in {region} ({host}) can't be reached or does not answer in time: check egress rules, HTTPS_PROXY and \
                 NO_PROXY, and the VPC endpoint of `{service}`"
                ))
            }
            Failure::Credentials(_) => advice::catalog_error(
                failure,
                Asked {
                    action: advice::Action::ListInferenceProfiles,
                    region,
                    regions: self.options.embedded.regions(),
                    own_region: &self.options.region,
                    host: None,
                    role: None,
                    external_id: false,
                    profile: shared_profile().ok().flatten().as_ref(),
                },
            ),
            Failure::NotSent => CatalogError::ServiceError(format!(
                "the request to {name} in {region} could not be made: check the AWS configuration and {variable}"
            )),
        }
    }

    fn refused(&self, response: &ErrorResponse, call: Call<'_>) -> CatalogError {
        let (name, region) = (self.service.name, &self.region);
        let code = response.code();
        if advice::is_throttled(response) || code == "LimitExceededException" {
            return CatalogError::Throttled {
                message: format!("{name} in {region} takes no more requests at present ({code})"),
                retry_after: response.retry_after,
            };
        }
        if let Some(problem) = advice::bad_credentials(response) {
            return CatalogError::CredentialsUnavailable(format!(
                "{name} in {region} does not accept the credentials ({code}): {problem}"
            ));
        }
        let is_denied = code.starts_with("AccessDenied") || code == "OptInRequired";
        if is_denied || [401, 403].contains(&response.status) {
            let message = response.message.as_deref();
            return CatalogError::AccessDenied(advice::denied_call(
                message,
                call.permission,
                region,
                call.resource,
            ));
        }
        let said = response.message.as_deref().unwrap_or_default();
        CatalogError::ServiceError(format!(
            "{name} in {region} refused {} ({}, HTTP {}): {said}",
            call.operation,
            response.shown_code(),
            response.status
        ))
    }
}

/// Returns where a service of a region is: what the environment and the shared configuration say, or AWS's own endpoint.
fn endpoint(config: &SdkConfig, service: &Service, region: &Region) -> String {
    let key = ServiceConfigKey::builder()
        .service_id(service.name)
        .env(service.variable)
        .profile("endpoint_url")
        .build();
    let named = if let (Some(configured), Ok(key)) = (config.service_config(), key) {
        configured.load_config(key)
    } else {
        None
    };
    if let Some(url) = named.or_else(|| config.endpoint_url().map(ToOwned::to_owned)) {
        return url;
    }
    own_endpoint(
        service.host,
        region,
        config.use_fips().unwrap_or_default(),
        config.use_dual_stack().unwrap_or_default(),
    )
}

/// Returns AWS's own endpoint. All of `aws-us-gov` are FIPS endpoints.
fn own_endpoint(host: &str, region: &Region, fips: bool, dual_stack: bool) -> String {
    let partition = region.partition();
    let fips = if fips && partition.name != "aws-us-gov" {
        "-fips"
    } else {
        ""
    };
    let suffix = match partition.name {
        "aws" | "aws-us-gov" if dual_stack => "api.aws",
        _ => partition.dns_suffix,
    };
    format!("https://{host}{fips}.{region}.{suffix}")
}

fn request(target: &str, input: Input) -> Result<HttpRequest, BoxError> {
    let mut request = HttpRequest::new(SdkBody::from(input.body));
    request.set_method("POST")?;
    request.set_uri("/")?;
    let headers = request.headers_mut();
    headers.try_insert("content-type", "application/x-amz-json-1.1")?;
    headers.try_insert("x-amz-target", format!("{target}.{}", input.operation))?;
    Ok(request)
}

fn answer(response: &HttpResponse) -> Result<Vec<u8>, OrchestratorError<JsonError>> {
    let body = response.body().bytes().unwrap_or_default();
    if response.status().is_success() {
        return Ok(body.to_vec());
    }
    let header = response.headers().get("x-amzn-errortype");
    Err(OrchestratorError::operation(JsonError(error_of(
        body, header,
    ))))
}

/// Reads code and message of an error. The code may have a namespace before it, and more behind it.
fn error_of(body: &[u8], header: Option<&str>) -> ErrorMetadata {
    #[derive(Default, Deserialize)]
    struct Wire {
        #[serde(rename = "__type")]
        kind: Option<String>,
        #[serde(alias = "Message")]
        message: Option<String>,
    }
    let wire: Wire = serde_json::from_slice(body).unwrap_or_default();
    let code = wire.kind.as_deref().or(header);
    let code = code.map(|code| {
        let code = code.rsplit_once('#').map_or(code, |(_, code)| code);
        code.split(':').next().unwrap_or(code)
    });
    let mut meta = ErrorMetadata::builder();
    if let Some(code) = code {
        meta = meta.code(code);
    }
    if let Some(message) = wire.message {
        meta = meta.message(message);
    }
    meta.build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_of_all_partitions() {
        for (region, fips, dual_stack, expected) in [
            (
                "eu-west-1",
                false,
                false,
                "https://logs.eu-west-1.amazonaws.com",
            ),
            (
                "us-east-1",
                true,
                false,
                "https://logs-fips.us-east-1.amazonaws.com",
            ),
            (
                "us-east-1",
                true,
                true,
                "https://logs-fips.us-east-1.api.aws",
            ),
            (
                "us-gov-west-1",
                true,
                false,
                "https://logs.us-gov-west-1.amazonaws.com",
            ),
            (
                "eusc-de-east-1",
                false,
                false,
                "https://logs.eusc-de-east-1.amazonaws.eu",
            ),
        ] {
            let region = region.parse().expect("a region");
            assert_eq!(own_endpoint("logs", &region, fips, dual_stack), expected);
        }
    }

    #[test]
    fn errors_as_services_write_them() {
        for (body, header, code, message) in [
            (
                r#"{"__type":"LimitExceededException","message":"many"}"#,
                None,
                Some("LimitExceededException"),
                Some("many"),
            ),
            (
                r#"{"__type":"com.amazonaws.logs#ThrottlingException","Message":"m"}"#,
                None,
                Some("ThrottlingException"),
                Some("m"),
            ),
            (
                "{}",
                Some("AccessDeniedException:http://internal/"),
                Some("AccessDeniedException"),
                None,
            ),
            ("<html>", None, None, None),
        ] {
            let found = error_of(body.as_bytes(), header);
            assert_eq!((found.code(), found.message()), (code, message), "{body}");
        }
    }
}
