//! The gateway's API for those who run it, as commands use it: by the login of whoever types.

use clap::Args;
use reqwest::Method;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::gateway::Gateway;
pub(crate) use super::key::random_text;
use super::session::{At, fresh};
use crate::failed::Failed;

/// Which gateway.
#[derive(Clone, Debug, Args)]
pub(crate) struct AtGateway {
    #[command(flatten)]
    at: At,
}

impl From<At> for AtGateway {
    fn from(at: At) -> Self {
        Self { at }
    }
}

impl AtGateway {
    /// Its API, by the login there.
    pub(crate) async fn open(&self) -> Result<GatewayApi, Failed> {
        let login = fresh(&self.at.state()?).await?;
        Ok(GatewayApi(Gateway::new(&login.facts.url()?, &login.trust(), Some(&login.credential))?))
    }
}

/// A gateway's API.
pub(crate) struct GatewayApi(Gateway);

impl GatewayApi {
    /// Reads something.
    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &str, query: &[(&str, String)]) -> Result<T, Failed> {
        Ok(self.0.operation(Method::GET, path, query, None, None).await?)
    }

    /// Asks for something; `key` makes that it is done once, however often it is sent.
    pub(crate) async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &Value,
        key: Option<&str>,
    ) -> Result<T, Failed> {
        Ok(self.0.operation(Method::POST, path, &[], Some(body), key).await?)
    }

    /// What changes, as it changes; after the event that was heard last.
    pub(crate) async fn events(&self, last: Option<&str>) -> Result<reqwest::Response, Failed> {
        self.0.events(last).await
    }

    /// What an operation goes on saying, as server-sent events.
    pub(crate) async fn stream(&self, path: &str) -> Result<reqwest::Response, Failed> {
        self.0.stream(path).await
    }

    /// Ends something.
    pub(crate) async fn delete<T: DeserializeOwned>(&self, path: &str, query: &[(&str, String)]) -> Result<T, Failed> {
        Ok(self.0.operation(Method::DELETE, path, query, None, None).await?)
    }
}
