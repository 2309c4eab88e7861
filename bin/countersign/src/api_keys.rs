//! What fits API keys to the store and to their doors. It must never decide anything, nor hold a secret longer than it takes to answer.

use std::sync::Arc;

use countersign_api::{
    ApiKeyBody, ApiKeyDoors, ApiKeyEndView, ApiKeyList, ApiKeyOwnerView, ApiKeyPage, ApiKeyRevocation, ApiKeyUseView,
    ApiKeyView, NewApiKeyView, Problem,
};
use countersign_enforce::BoxFuture;
use countersign_identity::local::StoreFault;
use countersign_identity::{
    ApiKey, ApiKeyContent, ApiKeyEnd, ApiKeyFault, ApiKeyQuery, ApiKeyStore, ApiKeyUse, IdentityService,
};
use countersign_model::{Identity, Timestamp};
use countersign_store::{ApiKeyEndRecord, ApiKeyFilter, ApiKeyRecord, ApiKeyUseRecord, Store};

/// Keys in the store.
pub(crate) struct StoredApiKeys(pub(crate) Store);

fn fault(e: impl std::fmt::Display) -> StoreFault {
    StoreFault(e.to_string())
}

fn key(r: ApiKeyRecord) -> Result<ApiKey, StoreFault> {
    let content: ApiKeyContent = serde_json::from_str(&r.content)
        .map_err(|_| StoreFault(format!("what is kept of API key {} cannot be read", r.id)))?;
    Ok(ApiKey {
        id: r.id,
        digest: r.digest,
        content,
        created_at: r.created_at,
        expires_at: r.expires_at,
        used: r.used.map(|u| ApiKeyUse { at: u.at, from: u.from }),
        ended: r.ended.map(|e| ApiKeyEnd { at: e.at, by: e.by, why: e.why }),
    })
}

impl ApiKeyStore for StoredApiKeys {
    fn add<'a>(&'a self, key: &'a ApiKey, most_of_owner: u32) -> BoxFuture<'a, Result<bool, StoreFault>> {
        Box::pin(async move {
            let record = ApiKeyRecord {
                id: key.id.clone(),
                digest: key.digest.clone(),
                issuer: key.content.owner.issuer.clone(),
                subject: key.content.owner.subject.clone(),
                content: serde_json::to_string(&key.content).map_err(fault)?,
                created_at: key.created_at,
                expires_at: key.expires_at,
                used: None,
                ended: None,
            };
            self.0.add_api_key(&record, most_of_owner).await.map_err(fault)
        })
    }

    fn find<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<Option<ApiKey>, StoreFault>> {
        Box::pin(async move { self.0.api_key(id).await.map_err(fault)?.map(key).transpose() })
    }

    fn list<'a>(&'a self, query: &'a ApiKeyQuery, now: Timestamp) -> BoxFuture<'a, Result<Vec<ApiKey>, StoreFault>> {
        Box::pin(async move {
            let filter = ApiKeyFilter {
                owner: query.owner.clone(),
                live_at: (!query.all).then_some(now),
                before: query.before.clone(),
                limit: query.limit,
            };
            self.0.list_api_keys(&filter).await.map_err(fault)?.into_iter().map(key).collect()
        })
    }

    fn note_use<'a>(&'a self, id: &'a str, used: &'a ApiKeyUse) -> BoxFuture<'a, Result<(), StoreFault>> {
        Box::pin(async move {
            let used = ApiKeyUseRecord { at: used.at, from: used.from.clone() };
            self.0.note_api_key_use(id, &used).await.map_err(fault)
        })
    }

    fn end<'a>(&'a self, id: &'a str, end: &'a ApiKeyEnd) -> BoxFuture<'a, Result<bool, StoreFault>> {
        Box::pin(async move {
            let end = ApiKeyEndRecord { at: end.at, by: end.by.clone(), why: end.why.clone() };
            self.0.end_api_key(id, &end).await.map_err(fault)
        })
    }

    fn sweep(&self, before: Timestamp) -> BoxFuture<'_, Result<(), StoreFault>> {
        Box::pin(async move { self.0.remove_api_keys_over(before).await.map(drop).map_err(fault) })
    }
}

/// The service behind the doors.
pub(crate) struct ApiKeyCounter(pub(crate) Arc<IdentityService>);

fn refused(fault: &ApiKeyFault) -> Problem {
    let status = match fault {
        ApiKeyFault::Lifetime => 400,
        ApiKeyFault::Unknown => 404,
        ApiKeyFault::TooMany | ApiKeyFault::Over => 409,
        ApiKeyFault::None | ApiKeyFault::Store(_) | ApiKeyFault::Random => 503,
    };
    if let ApiKeyFault::Store(fault) = fault {
        tracing::error!(%fault, "API keys could not be read or written");
    }
    Problem::with_status(status, fault.to_string())
}

fn view(key: &ApiKey, now: Timestamp) -> ApiKeyView {
    let owner = &key.content.owner;
    ApiKeyView {
        id: key.id.clone(),
        live: key.is_live(now),
        name: key.content.name.clone(),
        owner: ApiKeyOwnerView {
            name: owner.name.clone(),
            subject: owner.subject.clone(),
            issuer: owner.issuer.clone(),
        },
        scope: key.content.scope.clone(),
        created_at: key.created_at.rfc3339(),
        expires_at: key.expires_at.rfc3339(),
        used: key.used.as_ref().map(|u| ApiKeyUseView { at: u.at.rfc3339(), from: u.from.clone() }),
        ended: key.ended.as_ref().map(|e| ApiKeyEndView { at: e.at.rfc3339(), by: e.by.clone(), why: e.why.clone() }),
    }
}

impl ApiKeyDoors for ApiKeyCounter {
    fn create<'a>(
        &'a self,
        caller: &'a Identity,
        new: ApiKeyBody,
        now: Timestamp,
    ) -> BoxFuture<'a, Result<NewApiKeyView, Problem>> {
        Box::pin(async move {
            let made = self.0.make_api_key(caller, new.name, new.scope, new.expires_in_s, now).await;
            let (secret, key) = made.map_err(|no| refused(&no))?;
            let secret = secret.expose_str().unwrap_or_default().to_owned();
            Ok(NewApiKeyView { secret, key: view(&key, now) })
        })
    }

    fn list<'a>(
        &'a self,
        caller: &'a Identity,
        query: ApiKeyList,
        now: Timestamp,
    ) -> BoxFuture<'a, Result<ApiKeyPage, Problem>> {
        Box::pin(async move {
            let owner = (!query.everybody).then(|| (caller.issuer.clone(), caller.subject.clone()));
            let wanted = ApiKeyQuery {
                owner,
                all: query.all,
                before: query.before,
                limit: u32::try_from(query.limit.saturating_add(1)).unwrap_or(u32::MAX),
            };
            let mut found = self.0.list_api_keys(&wanted, now).await.map_err(|no| refused(&no))?;
            let more = found.len() > query.limit;
            found.truncate(query.limit);
            let next = found.last().filter(|_| more).map(|k| k.id.clone());
            Ok(ApiKeyPage { keys: found.iter().map(|k| view(k, now)).collect(), next })
        })
    }

    fn revoke<'a>(
        &'a self,
        caller: &'a Identity,
        end: ApiKeyRevocation,
        now: Timestamp,
    ) -> BoxFuture<'a, Result<ApiKeyView, Problem>> {
        Box::pin(async move {
            let owner = (!end.everybody).then_some(&**caller);
            let how = ApiKeyEnd { at: now, by: end.by, why: end.reason };
            let ended = self.0.end_api_key(&end.id, owner, &how).await.map_err(|no| refused(&no))?;
            Ok(view(&ended, now))
        })
    }
}
