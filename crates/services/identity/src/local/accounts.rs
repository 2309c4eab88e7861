//! Local accounts: making them, and checking their secrets slowly, few at a time, and not often.
//!
//! Must never say whether it was the name or the secret that was wrong, by words or by time.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use argon2::Argon2;
use argon2::password_hash::{PasswordHash, PasswordHasher as _, PasswordVerifier as _, SaltString};
use countersign_model::{IdentityKind, Secret, Timestamp};
use tokio::sync::Semaphore;

use super::LocalFault;
use super::limiter::{Limiter, LimiterConfig};
use super::ports::{Account, AccountStore};
use crate::names;

/// The shortest password or client secret, in characters.
pub const PASSWORD_CHARS_MIN: usize = 10;
/// The longest password or client secret, in bytes: hashing must stay cheap.
pub const PASSWORD_BYTES_MAX: usize = 256;
/// How many secrets are hashed at once: each takes 19 MiB and some 20 ms.
const HASHES_AT_ONCE_MAX: usize = 2;
/// How many more may wait for their turn.
const HASHES_WAITING_MAX: usize = 64;

/// Failures of one name from one address: a person who mistypes.
const ONE_GUESSER: LimiterConfig = LimiterConfig { burst: 5, forgive_us: 30_000_000, keys_max: 4096 };
/// Failures from one address: somebody who tries names.
const ONE_SOURCE: LimiterConfig = LimiterConfig { burst: 20, forgive_us: 6_000_000, keys_max: 4096 };
/// Failures of one name from anywhere: a crowd that tries one name. High, so that a crowd cannot lock the owner out for long.
const ONE_NAME: LimiterConfig = LimiterConfig { burst: 200, forgive_us: 1_000_000, keys_max: 4096 };

/// An account to make.
#[derive(Clone, Debug)]
pub struct NewAccount {
    /// Its name.
    pub name: String,
    /// What it is.
    pub kind: IdentityKind,
    /// Its groups.
    pub groups: BTreeSet<String>,
    /// Its password or client secret, if it is to have one.
    pub secret: Option<Secret>,
}

/// Why a login failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LoginFailure {
    /// The name or the secret is wrong, or the account may not log in so.
    Wrong,
    /// Too many failures: try again after this many seconds.
    TooMany {
        /// How long to wait.
        wait_s: u64,
    },
    /// Too many logins at once.
    Busy,
    /// The store failed.
    Store(String),
}

/// Checks secrets.
pub(super) struct Door {
    store: Arc<dyn AccountStore>,
    hashing: Arc<Semaphore>,
    waiting: Semaphore,
    by_guesser: Limiter<(String, IpAddr)>,
    by_source: Limiter<IpAddr>,
    by_name: Limiter<String>,
}

impl Door {
    pub(super) fn new(store: Arc<dyn AccountStore>) -> Self {
        Self {
            store,
            hashing: Arc::new(Semaphore::new(HASHES_AT_ONCE_MAX)),
            waiting: Semaphore::new(HASHES_AT_ONCE_MAX + HASHES_WAITING_MAX),
            by_guesser: Limiter::new(ONE_GUESSER),
            by_source: Limiter::new(ONE_SOURCE),
            by_name: Limiter::new(ONE_NAME),
        }
    }

    /// The account, when the name and the secret are right.
    pub(super) async fn login(
        &self,
        name: &str,
        secret: Secret,
        source: IpAddr,
        now: Timestamp,
    ) -> Result<Account, LoginFailure> {
        if name.len() > names::NAME_BYTES_MAX || secret.expose().len() > PASSWORD_BYTES_MAX {
            return Err(LoginFailure::Wrong);
        }
        let source = network_of(source);
        let guesser = (name.to_owned(), source);
        let waits = [
            self.by_guesser.wait_s(&guesser, now),
            self.by_source.wait_s(&source, now),
            self.by_name.wait_s(&guesser.0, now),
        ];
        if let Some(wait_s) = waits.into_iter().flatten().max() {
            return Err(LoginFailure::TooMany { wait_s });
        }
        // Counted before the answer is known, so that guesses made at once do not all pass.
        self.by_guesser.fail(guesser.clone(), now);
        let Ok(_place) = self.waiting.try_acquire() else { return Err(LoginFailure::Busy) };
        let account = self.store.find_by_name(name).await.map_err(|e| LoginFailure::Store(e.0))?;
        let hash = account.as_ref().and_then(|a| a.secret_hash.clone());
        let right = self.check(hash, secret).await;
        match account {
            Some(account) if right && !account.disabled => {
                self.by_guesser.forgive(&guesser);
                Ok(account)
            }
            _ => {
                self.by_source.fail(source, now);
                self.by_name.fail(guesser.0, now);
                Err(LoginFailure::Wrong)
            }
        }
    }

    /// An account without a secret costs as much as one with a wrong secret.
    async fn check(&self, hash: Option<String>, secret: Secret) -> bool {
        let Ok(_turn) = self.hashing.acquire().await else { return false };
        let compare = move || match hash {
            Some(hash) => PasswordHash::new(&hash)
                .is_ok_and(|parsed| Argon2::default().verify_password(secret.expose(), &parsed).is_ok()),
            None => {
                let mut spent = [0; 32];
                let _ = Argon2::default().hash_password_into(secret.expose(), b"no account, no salt", &mut spent);
                false
            }
        };
        tokio::task::spawn_blocking(compare).await.unwrap_or(false)
    }
}

/// One home or office: a whole IPv6 network of 64 bits, an IPv4 address.
pub(super) fn network_of(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(ip) => IpAddr::V6((u128::from(ip) & (u128::MAX << 64)).into()),
        v4 => v4,
    }
}

/// The PHC string (argon2id) of a password or client secret. It takes some 20 ms.
///
/// # Errors
/// When the secret is too short or too long.
pub fn hash_password(secret: &Secret) -> Result<String, LocalFault> {
    let text = secret.expose_str().ok_or(LocalFault::Account("the secret is not UTF-8"))?;
    if text.chars().count() < PASSWORD_CHARS_MIN || text.len() > PASSWORD_BYTES_MAX {
        return Err(LocalFault::Account("a secret must have at least 10 characters and at most 256 bytes"));
    }
    let fault = |_| LocalFault::Account("the secret cannot be hashed");
    let salt = SaltString::encode_b64(&rand::random::<[u8; 16]>()).map_err(fault)?;
    Ok(Argon2::default().hash_password(text.as_bytes(), &salt).map_err(fault)?.to_string())
}

/// The account to store, with an id that was never used before.
pub(super) fn prepare(new: NewAccount, now: Timestamp) -> Result<Account, LocalFault> {
    if names::check_name(&new.name).is_err() || new.name.contains(char::is_whitespace) {
        return Err(LocalFault::Account("the name has characters that a name cannot have"));
    }
    if new.groups.iter().any(|g| names::check_name(g).is_err()) {
        return Err(LocalFault::Account("a group's name has characters that a name cannot have"));
    }
    if names::collide(new.groups.iter().map(String::as_str)) {
        return Err(LocalFault::Account("two groups differ only in case or form"));
    }
    let ms = u64::try_from(now.unix_us() / 1000).unwrap_or(0);
    let id = format!("local:{}", ulid::Ulid::from_parts(ms, rand::random()).to_string().to_lowercase());
    let secret_hash = new.secret.as_ref().map(hash_password).transpose()?;
    Ok(Account {
        id,
        name: new.name,
        kind: new.kind,
        groups: new.groups,
        secret_hash,
        disabled: false,
        created_at: now,
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use crate::local::MemoryAccounts;

    const SECRET: &str = "correct horse";

    fn at(s: i64) -> Timestamp {
        Timestamp::from_unix_s(1_800_000_000 + s)
    }

    async fn door() -> (Door, Account) {
        let store = Arc::new(MemoryAccounts::default());
        let new = NewAccount {
            name: "ci".to_owned(),
            kind: IdentityKind::Machine,
            groups: BTreeSet::new(),
            secret: Some(Secret::from(SECRET.to_owned())),
        };
        let account = prepare(new, at(0)).unwrap();
        store.save(&account).await.unwrap();
        (Door::new(store), account)
    }

    async fn knock(door: &Door, name: &str, secret: &str, ip: &str, now: Timestamp) -> Result<Account, LoginFailure> {
        door.login(name, Secret::from(secret.to_owned()), ip.parse().unwrap(), now).await
    }

    #[tokio::test]
    async fn the_right_secret_opens_and_a_guesser_is_slowed_down() {
        let (door, account) = door().await;
        assert_eq!(knock(&door, "ci", SECRET, "192.0.2.1", at(0)).await.unwrap(), account);
        for _ in 0..ONE_GUESSER.burst {
            assert_eq!(knock(&door, "ci", "wrong", "192.0.2.1", at(0)).await.unwrap_err(), LoginFailure::Wrong);
        }
        // The right secret does not help the guesser's address for now, but the owner elsewhere is not hurt.
        let wait = LoginFailure::TooMany { wait_s: 30 };
        assert_eq!(knock(&door, "ci", SECRET, "192.0.2.1", at(0)).await.unwrap_err(), wait);
        assert!(knock(&door, "ci", SECRET, "192.0.2.2", at(0)).await.is_ok());
        assert!(knock(&door, "ci", SECRET, "192.0.2.1", at(30)).await.is_ok());
    }

    #[tokio::test]
    async fn names_tried_from_one_place_are_slowed_down() {
        let (door, _) = door().await;
        for n in 0..ONE_SOURCE.burst {
            let ip = format!("2001:db8::{n}");
            assert_eq!(knock(&door, &format!("n{n}"), "wrong", &ip, at(0)).await.unwrap_err(), LoginFailure::Wrong);
        }
        let got = knock(&door, "ci", SECRET, "2001:db8::ffff", at(0)).await;
        assert!(matches!(got, Err(LoginFailure::TooMany { .. })), "{got:?}");
        assert!(knock(&door, "ci", SECRET, "2001:db8:0:1::1", at(0)).await.is_ok());
    }

    #[tokio::test]
    async fn whoever_may_not_log_in_is_told_the_same() {
        let (door, account) = door().await;
        let off = Account { id: "x".into(), name: "off".into(), disabled: true, ..account.clone() };
        let bare = Account { id: "y".into(), name: "bare".into(), secret_hash: None, ..account };
        door.store.save(&off).await.unwrap();
        door.store.save(&bare).await.unwrap();
        let long = "x".repeat(PASSWORD_BYTES_MAX + 1);
        for (name, secret) in
            [("nobody", SECRET), ("off", SECRET), ("bare", SECRET), ("CI", SECRET), ("ci", &long), ("ci", "")]
        {
            assert_eq!(
                knock(&door, name, secret, "192.0.2.9", at(0)).await.unwrap_err(),
                LoginFailure::Wrong,
                "{name}"
            );
        }
    }

    #[test]
    fn secrets_and_names_have_limits() {
        let hash = |s: String| hash_password(&Secret::from(s));
        assert!(hash("x".repeat(PASSWORD_CHARS_MIN - 1)).is_err());
        assert!(hash("x".repeat(PASSWORD_BYTES_MAX + 1)).is_err());
        let a = hash("x".repeat(PASSWORD_CHARS_MIN)).unwrap();
        assert!(a.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{a}");
        assert_ne!(a, hash("x".repeat(PASSWORD_CHARS_MIN)).unwrap());
        let new = |name: &str, groups: &[&str]| {
            let groups = groups.iter().map(|g| (*g).to_owned()).collect();
            prepare(NewAccount { name: name.to_owned(), kind: IdentityKind::Human, groups, secret: None }, at(0))
        };
        assert!(new("ana", &["analysts"]).is_ok());
        assert_ne!(new("ana", &[]).unwrap().id, new("ana", &[]).unwrap().id);
        for (name, groups) in [("", &[][..]), ("a b", &[]), ("аna", &[]), ("ana", &["a", "A"]), ("ana", &["g\u{200b}"])]
        {
            assert!(new(name, groups).is_err(), "{name} {groups:?}");
        }
    }
}
