//! The stand-in for AWS, as a process of its own.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::{
    Failure,
    bedrock_server::{BedrockServer, Fault, Scripted, model, profile},
    helper::{self, Process},
    operator::REGION,
};

/// What the stand-in does from now on.
#[derive(Debug, Serialize, Deserialize)]
enum Request {
    /// Says where it listens.
    Url,
    /// Lists a profile for each of these models, with its destination regions.
    List(BTreeMap<String, Vec<String>>),
    /// Answers, or fails every request.
    Fail(bool),
    /// Says how often it was asked for profiles.
    Count,
}

/// Answers a [`Request`].
#[derive(Debug, Serialize, Deserialize)]
struct Answer {
    url: String,
    listings: usize,
}

/// Serves the one who started this process.
pub async fn serve() -> Result<(), Failure> {
    let server = BedrockServer::start().await;
    let server = &server;
    helper::answer(|request: Request| async move {
        match request {
            Request::Url | Request::Count => {}
            Request::Fail(fails) => {
                server.stand(fails.then(|| Scripted::Fault(Fault::internal())));
            }
            Request::List(catalog) => {
                let models = catalog
                    .keys()
                    .map(|id| model(REGION, id, &["ON_DEMAND"], &json!({})))
                    .collect();
                server.set_models(REGION, models);
                let profiles = catalog.iter().map(|(id, destinations)| {
                    let destinations: Vec<&str> = destinations.iter().map(String::as_str).collect();
                    profile(REGION, "eu", id, &destinations)
                });
                server.set_profiles(REGION, profiles.collect());
            }
        }
        Ok(Answer {
            url: server.url(),
            listings: server.listings().len(),
        })
    })
    .await
}

/// The running stand-in.
pub struct Aws {
    process: Process,
    url: String,
}

impl Aws {
    /// Starts it, without profiles.
    pub async fn start() -> Result<Self, Failure> {
        let mut process = Process::start("aws")?;
        let answer: Answer = process.ask(&Request::Url).await?;
        Ok(Self {
            process,
            url: answer.url,
        })
    }

    /// Returns the variables with which a program asks it.
    pub fn environment(&self) -> [(&'static str, String); 4] {
        [
            ("AWS_ENDPOINT_URL_BEDROCK", self.url.clone()),
            ("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "secret".to_owned()),
            ("AWS_EC2_METADATA_DISABLED", "true".to_owned()),
        ]
    }

    /// Has it list a profile for each of these models, with its destination regions.
    pub async fn list(&mut self, catalog: &[(&str, [&str; 3])]) -> Result<(), Failure> {
        let catalog = catalog.iter().map(|(model, destinations)| {
            let destinations = destinations.iter().map(ToString::to_string).collect();
            ((*model).to_owned(), destinations)
        });
        self.ask(&Request::List(catalog.collect())).await.map(drop)
    }

    /// Has it fail, or answer again.
    pub async fn fail(&mut self, fails: bool) -> Result<(), Failure> {
        self.ask(&Request::Fail(fails)).await.map(drop)
    }

    /// Returns how often it was asked for profiles.
    pub async fn listings(&mut self) -> Result<usize, Failure> {
        Ok(self.ask(&Request::Count).await?.listings)
    }

    async fn ask(&mut self, request: &Request) -> Result<Answer, Failure> {
        self.process.ask(request).await
    }
}
