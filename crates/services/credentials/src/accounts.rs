//! Which account an identity uses at a target: the first that matches, and none when none does.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use countersign_enforce::{BoxFuture, Credentials, TargetCredential};
use countersign_model::{ClientText, Culprit, Denial, DenialCode, Identity, SessionId, TargetName, Timestamp};

use crate::{CredentialError, SecretSource, SshAuthority, SshLogin, Vault};

/// The longest that finding an account may take, whatever its source.
pub const FETCH_TIMEOUT: Duration = Duration::from_secs(10);

/// An account at a target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Who uses it.
    pub matches: AccountMatch,
    /// Its name at the target.
    pub user: String,
    /// Where its password is; `None` where a client certificate or the network is the proof.
    pub password: Option<SecretSource>,
    /// Where its private key is; `None` where it has none.
    pub key: Option<SecretSource>,
    /// Whether each session gets a key and a certificate of its own; it has neither password nor key then.
    pub certificate: bool,
}

/// Who uses an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AccountMatch {
    /// Everybody whom no earlier account matched.
    Default,
    /// Whoever is in one of the groups or has one of the names.
    Any {
        /// Groups, after mapping, compared exactly.
        groups: Vec<String>,
        /// Names of identities, compared exactly.
        identities: Vec<String>,
    },
}

impl AccountMatch {
    fn matches(&self, identity: &Identity) -> bool {
        match self {
            Self::Default => true,
            Self::Any { groups, identities } => {
                identities.contains(&identity.name) || groups.iter().any(|g| identity.groups.contains(g))
            }
        }
    }
}

type Book = HashMap<TargetName, Arc<[Account]>>;

/// The accounts of all targets, replaced as a whole on reload.
#[derive(Debug)]
pub struct AccountBook {
    book: ArcSwap<Book>,
    vault: Option<Vault>,
    authority: Option<SshAuthority>,
}

impl AccountBook {
    /// A book of these accounts, in their order. Accounts whose password is in the vault need one.
    pub fn new(accounts: impl IntoIterator<Item = (TargetName, Vec<Account>)>, vault: Option<Vault>) -> Self {
        Self { book: ArcSwap::from_pointee(collect(accounts)), vault, authority: None }
    }

    /// The same with an authority that signs certificates, for accounts that log in with them.
    #[must_use]
    pub fn certifying(self, authority: Option<SshAuthority>) -> Self {
        Self { authority, ..self }
    }

    /// Puts other accounts in force, for sessions that begin from now on.
    pub fn replace(&self, accounts: impl IntoIterator<Item = (TargetName, Vec<Account>)>) {
        self.book.store(Arc::new(collect(accounts)));
    }

    async fn find(
        &self,
        target: &TargetName,
        identity: &Identity,
        (session, now): (SessionId, Timestamp),
    ) -> Result<TargetCredential, Denial> {
        let accounts = self.book.load().get(target).cloned();
        let Some(account) = accounts.as_deref().and_then(|all| all.iter().find(|a| a.matches.matches(identity))) else {
            let message = ClientText::new("no account at target \"").name(target.as_str()).and("\" is meant for you");
            return Err(Denial::new(Culprit::Policy, DenialCode::Forbidden, message)
                .detail(format!("none of the target's accounts matches the identity {}", identity.name)));
        };
        let user = account.user.clone();
        if account.certificate {
            let authority = self.authority.as_ref().ok_or(CredentialError::NoAuthority);
            let login = authority.and_then(|a| a.issue(&user, identity, session, now));
            let SshLogin { key, certificate } = login.map_err(|e| unreadable(target, &user, &e))?;
            return Ok(TargetCredential { user, password: None, key: Some(key), certificate: Some(certificate) });
        }
        let password = self.secret(account.password.as_ref()).await;
        let key = self.secret(account.key.as_ref()).await;
        let readable = |secret: Result<_, CredentialError>| secret.map_err(|e| unreadable(target, &user, &e));
        let (password, key) = (readable(password)?, readable(key)?);
        Ok(TargetCredential { user, password, key, certificate: None })
    }

    async fn secret(
        &self,
        source: Option<&SecretSource>,
    ) -> Result<Option<countersign_model::Secret>, CredentialError> {
        match source {
            None => Ok(None),
            Some(source) => self.fetch_in_time(source).await.map(Some),
        }
    }

    async fn fetch_in_time(&self, source: &SecretSource) -> Result<countersign_model::Secret, CredentialError> {
        tokio::time::timeout(FETCH_TIMEOUT, source.fetch(self.vault.as_ref()))
            .await
            .unwrap_or_else(|_| Err(CredentialError::TooSlow(FETCH_TIMEOUT.as_secs())))
    }
}

fn collect(accounts: impl IntoIterator<Item = (TargetName, Vec<Account>)>) -> Book {
    accounts.into_iter().map(|(target, list)| (target, list.into())).collect()
}

/// The client learns that it is not its doing; the operator learns why.
fn unreadable(target: &TargetName, user: &str, e: &CredentialError) -> Denial {
    let message =
        ClientText::new("the account for target \"").name(target.as_str()).and("\" cannot be read at the moment");
    Denial::new(Culprit::Us, DenialCode::Internal, message).detail(format!("what account {user} logs in with: {e}"))
}

impl Credentials for AccountBook {
    fn fetch<'a>(
        &'a self,
        target: &'a TargetName,
        identity: &'a Identity,
        session: SessionId,
        now: Timestamp,
    ) -> BoxFuture<'a, Result<TargetCredential, Denial>> {
        Box::pin(self.find(target, identity, (session, now)))
    }
}
