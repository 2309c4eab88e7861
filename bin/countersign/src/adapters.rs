//! What fits services together that do not know each other: the store behind the local issuer, the issuer behind its doors, alerts
//! as log lines. It must never decide anything.

use std::sync::Arc;

use countersign_api::{Answer, FormEndpoint, LocalIssuer as Doors, Page, PageForm, TokenForm};
use countersign_credentials::Vault;
use countersign_enforce::{Alert, AlertSink, BoxFuture};
use countersign_identity::local::{
    Account, AccountStore, Added, KeyStore, LocalIssuer, PageRequest, Reply, ShortLived, ShortLivedKind,
    ShortLivedStore, SigningKey, StoreFault, TokenRequest,
};
use countersign_model::{Severity, Timestamp};
use countersign_notices::Teller;
use countersign_store::{AccountRecord, ShortLivedAdded, ShortLivedRecord, SigningKeyRecord, Store};

use crate::clock;

/// Accounts in the store.
pub(crate) struct StoredAccounts(pub(crate) Store);

fn fault(e: impl std::fmt::Display) -> StoreFault {
    StoreFault(e.to_string())
}

fn account(r: AccountRecord) -> Account {
    Account {
        id: r.id,
        name: r.name,
        kind: r.kind,
        groups: r.groups,
        secret_hash: r.secret_hash,
        disabled: r.disabled,
        created_at: r.created_at,
    }
}

impl AccountStore for StoredAccounts {
    fn find_by_name<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Option<Account>, StoreFault>> {
        Box::pin(async move { Ok(self.0.find_account_by_name(name).await.map_err(fault)?.map(account)) })
    }

    fn find_by_id<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<Option<Account>, StoreFault>> {
        Box::pin(async move { Ok(self.0.find_account_by_id(id).await.map_err(fault)?.map(account)) })
    }

    fn save<'a>(&'a self, a: &'a Account) -> BoxFuture<'a, Result<(), StoreFault>> {
        Box::pin(async move {
            let a = a.clone();
            let record = AccountRecord {
                id: a.id,
                name: a.name,
                kind: a.kind,
                groups: a.groups,
                secret_hash: a.secret_hash,
                disabled: a.disabled,
                created_at: a.created_at,
            };
            self.0.save_account(&record).await.map_err(fault)
        })
    }

    fn remove<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<(), StoreFault>> {
        Box::pin(async move { self.0.remove_account(id).await.map(|_| ()).map_err(fault) })
    }

    fn list(&self) -> BoxFuture<'_, Result<Vec<Account>, StoreFault>> {
        Box::pin(async move { Ok(self.0.list_accounts().await.map_err(fault)?.into_iter().map(account).collect()) })
    }
}

/// Signing keys in the store, sealed by the vault.
pub(crate) struct SealedKeys {
    pub(crate) store: Store,
    pub(crate) vault: Vault,
}

impl KeyStore for SealedKeys {
    fn load<'a>(&'a self, issuer: &'a str) -> BoxFuture<'a, Result<Vec<SigningKey>, StoreFault>> {
        Box::pin(async move {
            let records = self.store.signing_keys(issuer).await.map_err(fault)?;
            records
                .into_iter()
                .map(|r| {
                    let private_key = self.vault.unseal(&r.id, &r.private_key).map_err(fault)?;
                    Ok(SigningKey { id: r.id, private_key, created_at: r.created_at, retired_at: r.retired_at })
                })
                .collect()
        })
    }

    fn save<'a>(&'a self, issuer: &'a str, key: &'a SigningKey) -> BoxFuture<'a, Result<(), StoreFault>> {
        Box::pin(async move {
            let record = SigningKeyRecord {
                id: key.id.clone(),
                private_key: self.vault.seal(&key.id, &key.private_key).map_err(fault)?,
                created_at: key.created_at,
                retired_at: key.retired_at,
            };
            self.store.save_signing_key(issuer, &record).await.map_err(fault)
        })
    }

    fn remove<'a>(&'a self, issuer: &'a str, id: &'a str) -> BoxFuture<'a, Result<(), StoreFault>> {
        Box::pin(async move { self.store.remove_signing_key(issuer, id).await.map(|_| ()).map_err(fault) })
    }
}

/// What is good once, in the store.
pub(crate) struct StoredShortLived(pub(crate) Store);

impl ShortLivedStore for StoredShortLived {
    fn add<'a>(
        &'a self,
        kind: ShortLivedKind,
        digest: &'a str,
        entry: &'a ShortLived,
        most: u32,
        now: Timestamp,
    ) -> BoxFuture<'a, Result<Added, StoreFault>> {
        Box::pin(async move {
            let record = ShortLivedRecord {
                content: entry.content.clone(),
                expires_at: entry.expires_at,
                consumed_at: entry.consumed_at,
            };
            Ok(match self.0.add_short_lived(kind.as_str(), digest, &record, most, now).await.map_err(fault)? {
                ShortLivedAdded::Kept => Added::Kept,
                ShortLivedAdded::Taken => Added::Taken,
                ShortLivedAdded::Full => Added::Full,
            })
        })
    }

    fn find<'a>(
        &'a self,
        kind: ShortLivedKind,
        digest: &'a str,
    ) -> BoxFuture<'a, Result<Option<ShortLived>, StoreFault>> {
        Box::pin(async move {
            let found = self.0.short_lived(kind.as_str(), digest).await.map_err(fault)?;
            Ok(found.map(|r| ShortLived { content: r.content, expires_at: r.expires_at, consumed_at: r.consumed_at }))
        })
    }

    fn consume<'a>(
        &'a self,
        kind: ShortLivedKind,
        digest: &'a str,
        now: Timestamp,
    ) -> BoxFuture<'a, Result<bool, StoreFault>> {
        Box::pin(async move { self.0.consume_short_lived(kind.as_str(), digest, now).await.map_err(fault) })
    }

    fn replace<'a>(
        &'a self,
        kind: ShortLivedKind,
        digest: &'a str,
        old: &'a str,
        new: &'a str,
        now: Timestamp,
    ) -> BoxFuture<'a, Result<bool, StoreFault>> {
        Box::pin(async move { self.0.replace_short_lived(kind.as_str(), digest, old, new, now).await.map_err(fault) })
    }

    fn end<'a>(
        &'a self,
        kind: ShortLivedKind,
        digest: &'a str,
        until: Timestamp,
        now: Timestamp,
    ) -> BoxFuture<'a, Result<(), StoreFault>> {
        Box::pin(async move { self.0.end_short_lived(kind.as_str(), digest, until, now).await.map_err(fault) })
    }

    fn purge(&self, now: Timestamp) -> BoxFuture<'_, Result<(), StoreFault>> {
        Box::pin(async move { self.0.purge_short_lived(now).await.map(|_| ()).map_err(fault) })
    }
}

/// The local issuer behind its HTTP doors.
pub(crate) struct IssuerDoors(pub(crate) Arc<LocalIssuer>);

fn answer(r: Reply) -> Answer {
    Answer { status: r.status, headers: r.headers, body: r.body }
}

impl Doors for IssuerDoors {
    fn openid_configuration(&self) -> Answer {
        answer(self.0.openid_configuration())
    }

    fn jwks(&self) -> Answer {
        answer(self.0.jwks())
    }

    fn form(&self, endpoint: FormEndpoint, form: TokenForm) -> BoxFuture<'_, Answer> {
        Box::pin(async move {
            let request = TokenRequest {
                authorization: form.authorization.as_ref().and_then(|a| a.expose_str()),
                content_type: form.content_type.as_deref(),
                body: form.body.expose(),
                source: form.source,
            };
            let now = clock::now();
            answer(match endpoint {
                FormEndpoint::Token => self.0.token(request, now).await,
                FormEndpoint::DeviceAuthorization => self.0.device_authorization(request, now).await,
                FormEndpoint::Revoke => self.0.revoke(request, now).await,
            })
        })
    }

    fn page(&self, page: Page, form: PageForm) -> BoxFuture<'_, Answer> {
        Box::pin(async move {
            let request = PageRequest {
                posted: form.posted,
                query: form.query.expose_str().unwrap_or_default(),
                cookie: form.cookie.as_ref().and_then(|c| c.expose_str()),
                content_type: form.content_type.as_deref(),
                body: form.body.expose(),
                same_origin: form.same_origin,
                source: form.source,
            };
            let now = clock::now();
            answer(match page {
                Page::Authorize => self.0.authorize(request, now).await,
                Page::Device => self.0.device(request, now).await,
            })
        })
    }
}

/// Alerts as log lines; they are in the recording, too.
pub(crate) struct LoggedAlerts;

impl AlertSink for LoggedAlerts {
    fn raise(&self, alert: Alert) {
        log(&alert);
    }
}

/// Alerts as log lines, and told to whoever wants to be told.
pub(crate) struct ToldAlerts(pub(crate) Teller);

impl AlertSink for ToldAlerts {
    fn raise(&self, alert: Alert) {
        log(&alert);
        self.0.alert(&alert);
    }
}

/// Alerts as log lines, the gravest of them told: what the others are about is told as what it is.
pub(crate) struct GraveAlerts(pub(crate) Teller);

impl AlertSink for GraveAlerts {
    fn raise(&self, alert: Alert) {
        log(&alert);
        if alert.severity >= Severity::Critical {
            self.0.alert(&alert);
        }
    }
}

fn log(alert: &Alert) {
    let rules: Vec<&str> = alert.rules.iter().map(|r| r.as_str()).collect();
    tracing::warn!(
        severity = ?alert.severity,
        session = alert.session.map(tracing::field::display),
        identity = alert.identity,
        target_name = alert.target,
        rules = rules.join(","),
        what = alert.what,
        "alert"
    );
}
