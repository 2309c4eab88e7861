//! Where locks are worked on: a gateway's API, or a store. Both give the same views.

use std::path::PathBuf;

use clap::Args;
use countersign_api::{DryRun, LockPage, LockView, NewLockBody, would_cut};
use countersign_locks::{LockBook, LockError, LockFilter, Matcher, NewLock};
use countersign_model::Timestamp;
use countersign_store::Store;
use serde_json::json;

use crate::client::desk::{AtGateway, GatewayApi};
use crate::clock;
use crate::convert;
use crate::failed::Failed;
use crate::house::load_config;
use crate::output;

/// Where.
#[derive(Clone, Debug, Args)]
pub(crate) struct Where {
    #[command(flatten)]
    at: AtGateway,
    /// On the gateway's machine: work in the store of this configuration, without asking the gateway.
    #[arg(long, short, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl Where {
    /// The gateway that is asked where no configuration is named.
    pub(super) fn gateway(&self) -> &AtGateway {
        &self.at
    }

    /// Opens it.
    pub(super) async fn open(&self) -> Result<LockDesk, Failed> {
        let Some(path) = &self.config else { return Ok(LockDesk::Api(self.at.open().await?)) };
        let config = load_config(path)?.config;
        let store = Store::open(&convert::store(&config.store)?).await.map_err(Failed::new)?;
        Ok(LockDesk::Store(store))
    }
}

/// An open one.
pub(super) enum LockDesk {
    Api(GatewayApi),
    Store(Store),
}

fn failed(e: LockError) -> Failed {
    match e {
        LockError::NotFound(_) => Failed::not_found(e),
        other => Failed::new(other),
    }
}

/// Who works in the store: whoever can read it may do anything with it.
fn operator() -> String {
    format!("an operator of the gateway's machine (uid {})", rustix::process::getuid().as_raw())
}

impl LockDesk {
    pub(super) async fn add(&self, body: &NewLockBody, key: &str) -> Result<LockView, Failed> {
        match self {
            Self::Api(api) => {
                let body = serde_json::to_value(body).map_err(Failed::new)?;
                api.post("/v1/locks", &body, Some(key)).await
            }
            Self::Store(store) => {
                let now = clock::now();
                let until = |s: u64| {
                    let us = i64::try_from(s).unwrap_or(i64::MAX).saturating_mul(1_000_000);
                    Timestamp::from_unix_us(now.unix_us().saturating_add(us))
                };
                let new = NewLock {
                    matcher: body.matcher.clone(),
                    kind: body.kind,
                    reason: body.reason.clone(),
                    expires_at: body.expires_in_s.map(until),
                };
                let lock = LockBook::new(store.clone()).add(new, &operator(), now).await.map_err(failed)?;
                Ok(LockView::new(&lock, now))
            }
        }
    }

    pub(super) async fn dry_run(&self, matcher: &Matcher, siblings: bool) -> Result<DryRun, Failed> {
        match self {
            Self::Api(api) => {
                api.post("/v1/locks/dry-run", &json!({ "matcher": matcher, "siblings": siblings }), None).await
            }
            Self::Store(store) => {
                output::note(
                    "the store knows logins alone: live sessions are known to the gateway, ask it without --config",
                );
                would_cut(store, &[], matcher, siblings, clock::now()).await.map_err(Failed::new)
            }
        }
    }

    pub(super) async fn list(&self, all: bool, before: Option<&str>, limit: usize) -> Result<LockPage, Failed> {
        match self {
            Self::Api(api) => {
                let mut query = vec![("all", all.to_string()), ("limit", limit.to_string())];
                query.extend(before.map(|b| ("before", b.to_owned())));
                api.get("/v1/locks", &query).await
            }
            Self::Store(store) => {
                let now = clock::now();
                let filter = LockFilter {
                    live_at: (!all).then_some(now),
                    before: before.map(str::to_owned),
                    limit: limit.saturating_add(1),
                };
                let mut found = LockBook::new(store.clone()).list(&filter).await.map_err(failed)?;
                let more = found.len() > limit;
                found.truncate(limit);
                let next = found.last().filter(|_| more).map(|l| l.id.clone());
                Ok(LockPage { locks: found.iter().map(|l| LockView::new(l, now)).collect(), next })
            }
        }
    }

    pub(super) async fn show(&self, id: &str) -> Result<LockView, Failed> {
        match self {
            Self::Api(api) => api.get(&format!("/v1/locks/{id}"), &[]).await,
            Self::Store(store) => {
                let lock = LockBook::new(store.clone()).find(id).await.map_err(failed)?;
                Ok(LockView::new(&lock, clock::now()))
            }
        }
    }

    pub(super) async fn remove(&self, id: &str, why: &str) -> Result<LockView, Failed> {
        match self {
            Self::Api(api) => api.delete(&format!("/v1/locks/{id}"), &[("reason", why.to_owned())]).await,
            Self::Store(store) => {
                let now = clock::now();
                let lock = LockBook::new(store.clone()).end(id, &operator(), why, now).await.map_err(failed)?;
                Ok(LockView::new(&lock, now))
            }
        }
    }
}
