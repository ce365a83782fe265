//! Which cluster a command talks to, and as whom. The options are kubectl's.

use std::{path::PathBuf, time::Duration};

use clap::Args;
use kube::{
    Client,
    config::{KubeConfigOptions, Kubeconfig},
};

use super::Error;

/// How long to wait for a connection to the apiserver.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

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
    /// [`Error::Cluster`] if there is neither a kubeconfig nor a service account, or no such context.
    pub async fn config(&self) -> Result<kube::Config, Error> {
        let failed = |error: kube::config::KubeconfigError| Error::Cluster(error.into());
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
        if let Some(user) = &self.as_user {
            config.auth_info.impersonate = Some(user.clone());
            config.auth_info.impersonate_groups = Some(self.as_groups.clone());
        }
        Ok(config)
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
