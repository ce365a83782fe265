//! Which cluster a command talks to, and as whom. The options are kubectl's.

use std::{net::IpAddr, path::PathBuf, time::Duration};

use clap::Args;
use hyper_util::client::proxy::matcher::Matcher;
use kube::{
    Client,
    client::AuthError,
    config::{KubeConfigOptions, Kubeconfig},
    core::Status,
};

use super::Error;

/// How long to wait for a connection to the apiserver.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Most contexts that a message tells.
const CONTEXTS_SHOWN: usize = 10;

/// Which cluster, and as whom.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
pub struct ConnectOptions {
    /// Context of the kubeconfig [default: the current one]
    #[arg(long, value_name = "CONTEXT", help_heading = "Cluster")]
    context: Option<String>,
    /// Kubeconfig file [default: `KUBECONFIG`, then `~/.kube/config`, then the service account of the pod]
    #[arg(long, value_name = "PATH", help_heading = "Cluster")]
    kubeconfig: Option<PathBuf>,
    /// User to act as
    #[arg(long = "as", value_name = "USER", help_heading = "Cluster")]
    as_user: Option<String>,
    /// Group to act as, with --as; repeatable
    #[arg(
        long = "as-group",
        value_name = "GROUP",
        requires = "as_user",
        help_heading = "Cluster"
    )]
    as_groups: Vec<String>,
}

impl ConnectOptions {
    /// Returns where the cluster is, and how to authenticate there. Sends nothing.
    ///
    /// # Errors
    /// [`Error::Cluster`] if there is neither a kubeconfig nor a service account; [`Error::BadInput`] if there is no such context.
    pub async fn config(&self) -> Result<kube::Config, Error> {
        let failed = |error: kube::config::KubeconfigError| {
            self.unknown_context()
                .unwrap_or_else(|| Error::Cluster(error.into()))
        };
        let options = KubeConfigOptions {
            context: self.context.clone(),
            ..KubeConfigOptions::default()
        };
        let mut config = match (&self.kubeconfig, &self.context) {
            (Some(path), _) => {
                let kubeconfig = Kubeconfig::read_from(path).map_err(failed)?;
                let read = kube::Config::from_custom_kubeconfig(kubeconfig, &options).await;
                read.map_err(failed)?
            }
            (None, Some(_)) => kube::Config::from_kubeconfig(&options)
                .await
                .map_err(failed)?,
            (None, None) => kube::Config::infer()
                .await
                .map_err(|error| Error::Cluster(error.into()))?,
        };
        // The library asks NO_PROXY about the proxy, not about the apiserver.
        if let Some(proxy) = first_set(&["HTTPS_PROXY", "https_proxy"])
            && config.proxy_url == proxy.parse().ok()
            && !is_proxied(
                &config.cluster_url,
                &proxy,
                &first_set(&["NO_PROXY", "no_proxy"]).unwrap_or_default(),
            )
        {
            config.proxy_url = None;
        }
        if let Some(user) = &self.as_user {
            config.auth_info.impersonate = Some(user.clone());
            config.auth_info.impersonate_groups = Some(self.as_groups.clone());
        }
        Ok(config)
    }

    /// Returns an error that says which contexts there are, if the named one is none of them.
    fn unknown_context(&self) -> Option<Error> {
        let named = self.context.as_ref()?;
        let read = match &self.kubeconfig {
            Some(path) => Kubeconfig::read_from(path),
            None => Kubeconfig::read(),
        };
        let contexts = read.ok()?.contexts;
        let existing: Vec<&str> = contexts.iter().map(|it| it.name.as_str()).collect();
        if existing.is_empty() || existing.contains(&named.as_str()) {
            return None;
        }
        let shown = existing[..existing.len().min(CONTEXTS_SHOWN)].join(", ");
        let more = if existing.len() > CONTEXTS_SHOWN {
            ", ..."
        } else {
            ""
        };
        Some(Error::BadInput(format!(
            "the kubeconfig has no context {named}: it has {shown}{more}"
        )))
    }

    /// Says whether a context or a kubeconfig is named.
    pub(super) fn names_a_cluster(&self) -> bool {
        self.context.is_some() || self.kubeconfig.is_some()
    }

    /// Returns the options as kubectl takes them, for commands that messages name. Begins with a space where there are any.
    pub(super) fn for_kubectl(&self) -> String {
        let kubeconfig = self.kubeconfig.iter();
        let kubeconfig = kubeconfig.map(|path| format!(" --kubeconfig {}", path.display()));
        let context = self.context.iter();
        let context = context.map(|context| format!(" --context {context}"));
        kubeconfig.chain(context).collect()
    }
}

/// Returns a client of the cluster. The client's own retries are off: failures are classed, shown and retried in one place.
pub(super) fn client(mut config: kube::Config) -> Result<Client, Error> {
    config.default_retry = false;
    config.connect_timeout = Some(CONNECT_TIMEOUT);
    Client::try_from(config).map_err(|error| Error::Cluster(error.into()))
}

/// Returns the value of the first of these environment variables that has one.
pub(super) fn first_set(names: &[&str]) -> Option<String> {
    let mut values = names.iter().filter_map(|name| std::env::var(name).ok());
    values.find(|value| !value.is_empty())
}

/// Says whether an apiserver is asked through the proxy in `HTTPS_PROXY`, with the hosts in `NO_PROXY` left out. As by kubectl, what
/// is on this machine is always left out.
fn is_proxied(url: &http::Uri, proxy: &str, none_for: &str) -> bool {
    let host = url.host().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']');
    let is_loopback = |address: IpAddr| address.is_loopback();
    if host == "localhost" || address.parse().is_ok_and(is_loopback) {
        return false;
    }
    let matcher = Matcher::builder().https(proxy).no(none_for).build();
    matcher.intercept(url).is_some()
}

/// Says whether an answer is about an object that is not there, not about a kind that the cluster does not know.
pub(super) fn is_absent(status: &Status) -> bool {
    status.is_not_found() && knows_the_kind(status)
}

/// Only an apiserver that knows a kind says which object of it it does not find.
fn knows_the_kind(status: &Status) -> bool {
    let details = status.details.as_ref();
    details.is_some_and(|details| !details.name.is_empty())
}

/// Returns an error without its causes. Of an answer of the apiserver it is the text that was written for people, and what to do.
pub(super) fn in_words(error: &(dyn std::error::Error + 'static)) -> String {
    if let Some(status) = error.downcast_ref::<Box<Status>>() {
        return said(status);
    }
    if let Some(error) = error.downcast_ref::<AuthError>() {
        return no_credentials(error);
    }
    match error.downcast_ref::<kube::Error>() {
        Some(kube::Error::Api(status)) => said(status),
        Some(kube::Error::Service(cause)) => cause.to_string(),
        Some(kube::Error::Auth(error)) => no_credentials(error),
        _ => error.to_string(),
    }
}

fn no_credentials(error: &AuthError) -> String {
    match error {
        AuthError::AuthExecRun { out, .. } => format!(
            "the command by which the kubeconfig gets credentials failed ({}): log in again, or run it by hand to see why",
            out.status
        ),
        AuthError::AuthExecStart(why) => format!(
            "the command by which the kubeconfig gets credentials does not start ({why}): install it, or correct PATH"
        ),
        error => error.to_string(),
    }
}

fn said(status: &Status) -> String {
    let Status { code, message, .. } = status;
    match code {
        401 => "the apiserver does not accept your credentials (HTTP 401): log in again, or name another --context".to_owned(),
        404 if !knows_the_kind(status) => {
            "the cluster does not know the kind (HTTP 404): install its definition, `inference-profile-operator crd | kubectl apply \
             --server-side -f -`"
                .to_owned()
        }
        _ if message.is_empty() => format!("HTTP {code}"),
        _ => message.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::chain;

    fn answer(code: u16, message: &str, name: &str) -> Error {
        let status =
            serde_json::json!({"code": code, "message": message, "details": {"name": name}});
        let status: Status = serde_json::from_value(status).expect("a status");
        Error::Reading {
            what: "the binding".to_owned(),
            source: kube::Error::Api(status.boxed()).into(),
        }
    }

    #[test]
    fn an_answer_of_the_apiserver_is_told_in_its_own_words_alone() {
        let told = chain(&answer(403, "jane cannot get it", "chat"));
        assert!(told.ends_with("may get it: jane cannot get it"), "{told}");
        for (code, message, name, says) in [
            (401, "Unauthorized", "", "does not accept your credentials"),
            (404, "404 page not found", "", "crd | kubectl apply"),
            (404, "ipb \"chat\" not found", "chat", "not found"),
            (500, "", "", "HTTP 500"),
        ] {
            let told = chain(&answer(code, message, name));
            assert!(told.contains(says), "{told}");
            assert!(!told.contains("Status {"), "{told}");
        }
    }

    #[test]
    fn what_failed_on_the_way_is_told_without_the_name_of_its_type() {
        let error = kube::Error::Service("connection refused".into());
        assert_eq!(chain(&error), "connection refused");
        let no_such_file = std::io::Error::from(std::io::ErrorKind::NotFound);
        let error = kube::Error::Auth(AuthError::AuthExecStart(no_such_file));
        let told = chain(&error);
        assert_eq!(told.matches("credentials").count(), 1, "{told}");
        assert!(told.contains("correct PATH"), "{told}");
    }

    #[test]
    fn the_proxy_of_the_environment() {
        for (url, none_for, expected) in [
            ("https://127.0.0.1:6443", "", false),
            ("https://localhost:6443/", "", false),
            ("https://[::1]:6443", "", false),
            ("https://localhost.example.com", "", true),
            ("https://10.0.0.1", "", true),
            ("https://10.0.0.1:6443", "192.168.0.0/16,10.0.0.0/8", false),
            (
                "https://a.gr7.eu-west-1.eks.amazonaws.com",
                ".eks.amazonaws.com",
                false,
            ),
            (
                "https://a.gr7.eu-west-1.eks.amazonaws.com",
                "proxy.example",
                true,
            ),
        ] {
            let url = url.parse().expect("a URL");
            let proxied = is_proxied(&url, "http://proxy.example:3128", none_for);
            assert_eq!(proxied, expected, "{url}, without {none_for}");
        }
    }
}
