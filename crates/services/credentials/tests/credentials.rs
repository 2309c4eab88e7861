//! Sources, the vault and the book of accounts, against real files, processes and a real store.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use countersign_credentials::{
    Account, AccountBook, AccountMatch, COMMAND_OUTPUT_BYTES_MAX, COMMAND_TIMEOUT, CredentialError, KeySource,
    SECRET_BYTES_MAX, SECRET_FILE_BYTES_MAX, SealingKey, SecretSource, Vault, create_key_file,
};
use countersign_enforce::Credentials as _;
use countersign_model::{
    CredentialBinding, Culprit, Identity, IdentityKind, IdentityParts, Secret, SessionId, TargetName, Timestamp,
};
use countersign_store::{SealedSecret, Store, StoreConfig};
use tempfile::TempDir;

/// Whatever shows this has shown a secret.
const PASSWORD: &str = "hunter2-hunter2";

fn secret(s: &str) -> Secret {
    Secret::from(s.to_owned())
}

fn now() -> Timestamp {
    Timestamp::from_unix_s(1_700_000_000)
}

fn session() -> SessionId {
    SessionId::new(now(), 7)
}

async fn store(dir: &TempDir) -> Store {
    let path = dir.path().join("countersign.db");
    Store::open(&StoreConfig::Sqlite { path, timeout: Duration::from_secs(2) }).await.unwrap()
}

async fn vault(dir: &TempDir) -> (Store, SealingKey, Vault) {
    let (store, key) = (store(dir).await, SealingKey::generate().unwrap());
    let vault = Vault::open(store.clone(), &key).await.unwrap();
    (store, key, vault)
}

fn file(dir: &TempDir, name: &str, mode: u32, content: &[u8]) -> PathBuf {
    let path = dir.path().join(name);
    std::fs::write(&path, content).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
    path
}

async fn read(path: &Path) -> Result<String, CredentialError> {
    let secret = SecretSource::File(path.to_owned()).fetch(None).await?;
    Ok(String::from_utf8_lossy(secret.expose()).into_owned())
}

#[allow(clippy::disallowed_methods)]
fn identity(name: &str, groups: &[&str]) -> Identity {
    Identity::mint(IdentityParts {
        subject: format!("sub-{name}"),
        issuer: "https://id.example".into(),
        name: name.into(),
        kind: IdentityKind::Human,
        groups: groups.iter().map(|g| (*g).to_owned()).collect::<BTreeSet<_>>(),
        claims: BTreeMap::new(),
        delegation: Vec::new(),
        credential: CredentialBinding::Bearer,
        token_id: None,
        key: None,
        signer: None,
        login: None,
        issued_at: now(),
        expires_at: now(),
    })
}

#[tokio::test]
async fn the_vault_keeps_rotates_lists_and_removes() {
    let dir = tempfile::tempdir().unwrap();
    let (_, _, vault) = vault(&dir).await;
    assert_eq!(vault.put("orders", &secret(PASSWORD), now()).await.unwrap(), 1);
    assert_eq!(vault.fetch("orders").await.unwrap().expose_str(), Some(PASSWORD));
    assert_eq!(vault.put("orders", &secret("second"), now()).await.unwrap(), 2);
    assert_eq!(vault.rotate("orders", &secret("third"), now()).await.unwrap(), 3);
    assert_eq!(vault.fetch("orders").await.unwrap().expose_str(), Some("third"));
    let absent = vault.rotate("billing", &secret("x"), now()).await.unwrap_err();
    assert_eq!(absent, CredentialError::NoSecret("billing".into()));
    let listed: Vec<_> = vault.list().await.unwrap().into_iter().map(|l| (l.name, l.version, l.created_at)).collect();
    assert_eq!(listed, [("orders".to_owned(), 3, now())]);
    vault.remove("orders").await.unwrap();
    for gone in [vault.remove("orders").await.unwrap_err(), vault.fetch("orders").await.unwrap_err()] {
        assert_eq!(gone, CredentialError::NoSecret("orders".into()));
    }
    let all = "x".repeat(SECRET_BYTES_MAX);
    vault.put("long", &secret(&all), now()).await.unwrap();
    assert_eq!(vault.fetch("long").await.unwrap().expose_str(), Some(all.as_str()));
    for (name, value) in [("long", format!("{all}x")), ("", "x".into()), ("a b", "x".into()), ("empty", String::new())]
    {
        assert!(matches!(vault.put(name, &secret(&value), now()).await, Err(CredentialError::Unfit(_))), "{name}");
    }
}

#[tokio::test]
async fn another_key_opens_nothing_and_a_changed_key_opens_everything() {
    let dir = tempfile::tempdir().unwrap();
    let (store, key, vault) = vault(&dir).await;
    vault.put("orders", &secret(PASSWORD), now()).await.unwrap();
    let sealed = vault.seal("kid-1", &secret("signing key")).unwrap();

    let other = SealingKey::generate().unwrap();
    assert_eq!(Vault::open(store.clone(), &other).await.unwrap_err(), CredentialError::WrongKey);
    assert_eq!(Vault::change_key(&store, &other, &key).await.unwrap_err(), CredentialError::WrongKey);

    Vault::change_key(&store, &key, &other).await.unwrap();
    assert_eq!(Vault::open(store.clone(), &key).await.unwrap_err(), CredentialError::WrongKey, "the old key is out");
    let again = Vault::open(store.clone(), &other).await.unwrap();
    assert_eq!(again.fetch("orders").await.unwrap().expose_str(), Some(PASSWORD));
    assert_eq!(again.unseal("kid-1", &sealed).unwrap().expose_str(), Some("signing key"));
    assert!(matches!(again.unseal("kid-2", &sealed), Err(CredentialError::Tampered(_))), "bound to its name");
    assert!(matches!(again.unseal("kid-1", b"short"), Err(CredentialError::Tampered(_))));
}

#[tokio::test]
async fn tampered_swapped_and_rolled_back_rows_do_not_open() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _, vault) = vault(&dir).await;
    vault.put("admin", &secret(PASSWORD), now()).await.unwrap();
    vault.put("reader", &secret("reader"), now()).await.unwrap();
    let admin = store.sealed_secret("admin").await.unwrap().unwrap();
    let reader = store.sealed_secret("reader").await.unwrap().unwrap();
    let mut flipped = reader.ciphertext.clone();
    flipped[0] ^= 1;
    let forged = [
        ("the bytes of another row", SealedSecret { name: "reader".into(), ..admin.clone() }),
        ("another version", SealedSecret { version: 2, ..reader.clone() }),
        ("a changed bit", SealedSecret { ciphertext: flipped, ..reader.clone() }),
        ("another nonce", SealedSecret { nonce: admin.nonce.clone(), ..reader.clone() }),
        ("no nonce", SealedSecret { nonce: Vec::new(), ..reader.clone() }),
        ("no bytes", SealedSecret { ciphertext: Vec::new(), ..reader.clone() }),
    ];
    for (what, row) in forged {
        let there = store.sealed_secret("reader").await.unwrap().unwrap().version;
        store.save_sealed_secret(&row, Some(there)).await.unwrap();
        assert_eq!(vault.fetch("reader").await.unwrap_err(), CredentialError::Tampered("reader".into()), "{what}");
    }
    assert_eq!(vault.fetch("admin").await.unwrap().expose_str(), Some(PASSWORD), "the others still open");
}

#[tokio::test]
async fn adv_008_nothing_in_the_store_shows_a_secret() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _, vault) = vault(&dir).await;
    vault.put("orders", &secret(PASSWORD), now()).await.unwrap();
    store.close().await;
    for entry in std::fs::read_dir(dir.path()).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        assert!(!bytes.windows(PASSWORD.len()).any(|w| w == PASSWORD.as_bytes()));
    }
}

#[tokio::test]
async fn files_are_read_each_time_and_only_when_others_cannot() {
    let dir = tempfile::tempdir().unwrap();
    let path = file(&dir, "secret", 0o600, b"first\n");
    assert_eq!(read(&path).await.unwrap(), "first");
    std::fs::write(&path, "second \r\n").unwrap();
    assert_eq!(read(&path).await.unwrap(), "second ", "rotated without a restart; only the line end goes");

    for (mode, fine) in [
        (0o600, true),
        (0o400, true),
        (0o640, true),
        (0o660, true),
        (0o604, false),
        (0o602, false),
        (0o601, false),
        (0o644, false),
    ] {
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        let result = read(&path).await;
        assert_eq!(result.is_ok(), fine, "{mode:o}: {result:?}");
        if let Err(e) = result {
            assert!(e.to_string().contains("chmod 0600"), "{e}");
        }
    }
    let most = file(&dir, "most", 0o600, &vec![b'x'; SECRET_FILE_BYTES_MAX]);
    assert_eq!(read(&most).await.unwrap().len(), SECRET_FILE_BYTES_MAX);
    for (what, path) in [
        ("one byte too large", file(&dir, "large", 0o600, &vec![b'x'; SECRET_FILE_BYTES_MAX + 1])),
        ("empty", file(&dir, "empty", 0o600, b"")),
        ("absent", dir.path().join("absent")),
        ("a folder", dir.path().to_owned()),
        ("a device", PathBuf::from("/dev/zero")),
    ] {
        let refused = read(&path).await.expect_err(what);
        assert!(matches!(refused, CredentialError::File { .. }), "{what}: {refused}");
    }
    let huge = dir.path().join("huge");
    std::fs::File::create(&huge).unwrap().set_len(1 << 40).unwrap();
    std::fs::set_permissions(&huge, std::fs::Permissions::from_mode(0o600)).unwrap();
    assert!(read(&huge).await.is_err(), "a terabyte is not read");

    let pipe = dir.path().join("pipe");
    assert!(std::process::Command::new("mkfifo").args(["-m", "600"]).arg(&pipe).status().unwrap().success());
    let started = Instant::now();
    assert!(read(&pipe).await.is_err(), "a pipe without a writer");
    assert!(started.elapsed() < Duration::from_secs(2), "it does not wait for one");
}

#[tokio::test]
async fn variables_must_be_set() {
    let fetch = |name: &str| {
        let source = SecretSource::Env(name.to_owned());
        async move { source.fetch(None).await }
    };
    assert!(!fetch("PATH").await.unwrap().is_empty());
    let unset = fetch("COUNTERSIGN_TEST_NEVER_SET").await.unwrap_err();
    assert_eq!(unset, CredentialError::NotSet("COUNTERSIGN_TEST_NEVER_SET".into()));
    let no_vault = SecretSource::Vault("x".into()).fetch(None).await.unwrap_err();
    assert_eq!(no_vault, CredentialError::NoVault("x".into()));
}

#[tokio::test]
async fn keys_come_from_files_and_commands() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("vault.key");
    create_key_file(&path).unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(matches!(create_key_file(&path), Err(CredentialError::File { .. })), "a key is never overwritten");
    let key = KeySource::File(path.clone()).load().await.unwrap();

    // Whatever the way, it is the same key: each opens what the first sealed.
    let store = store(&dir).await;
    Vault::open(store.clone(), &key).await.unwrap().put("x", &secret("y"), now()).await.unwrap();
    let cat = |path: &Path| KeySource::Command(vec!["cat".into(), path.display().to_string()]);
    let by_command = cat(&path).load().await.unwrap();
    assert_eq!(Vault::open(store.clone(), &by_command).await.unwrap().fetch("x").await.unwrap().expose(), b"y");

    let raw: Vec<u8> = (0..31).map(|n| n * 7).chain([b'\n']).collect();
    let raw_path = file(&dir, "raw", 0o600, &raw);
    KeySource::File(raw_path.clone()).load().await.expect("32 bytes, the last of which is a line feed");
    let raw_and_line = file(&dir, "raw-line", 0o600, &[raw.as_slice(), b"\n"].concat());
    KeySource::File(raw_and_line).load().await.expect("32 bytes and a line feed");
    let world = file(&dir, "world", 0o644, &std::fs::read(&path).unwrap());
    assert!(matches!(KeySource::File(world).load().await, Err(CredentialError::File { .. })));
    let guessable = file(&dir, "guessable", 0o600, b"correct horse battery staple 123");
    assert!(matches!(KeySource::File(guessable).load().await, Err(CredentialError::Key(_))));
    assert!(matches!(
        KeySource::Env("COUNTERSIGN_TEST_NEVER_SET".into()).load().await,
        Err(CredentialError::NotSet(_))
    ));
}

#[tokio::test]
async fn commands_are_bounded() {
    let run = |script: &str| KeySource::Command(vec!["sh".into(), "-c".into(), script.into()]);
    let fails = |script: &'static str, word: &'static str| async move {
        let e = run(script).load().await.expect_err(script);
        assert!(e.to_string().contains(word), "{script}: {e}");
        assert!(!e.to_string().contains("hunter2"), "{script}: {e}");
    };
    fails("echo hunter2; echo hunter2 >&2; exit 3", "exit status: 3").await;
    fails("kill -9 $$", "signal: 9").await;
    fails("echo hunter2", "no key").await;
    fails("true", "no key").await;
    fails("exec yes hunter2", "more than 4096 bytes").await;
    let exactly = format!("head -c {COMMAND_OUTPUT_BYTES_MAX} /dev/zero");
    assert!(matches!(run(&exactly).load().await, Err(CredentialError::Key(_))), "at the edge it is read, and no key");
    let absent = KeySource::Command(vec!["/absent/kms".into(), "hunter2".into()]).load().await.unwrap_err();
    assert!(absent.to_string().contains("/absent/kms") && !absent.to_string().contains("hunter2"), "{absent}");
    assert!(matches!(KeySource::Command(Vec::new()).load().await, Err(CredentialError::Key(_))));
}

#[tokio::test]
async fn a_command_that_hangs_is_ended_with_all_it_started() {
    let dir = tempfile::tempdir().unwrap();
    let pids = dir.path().join("pids");
    let script = format!("sleep 600 & echo $! > {0}; echo $$ >> {0}; wait", pids.display());
    let started = Instant::now();
    let e = KeySource::Command(vec!["sh".into(), "-c".into(), script]).load().await.unwrap_err();
    assert!(e.to_string().contains("did not finish"), "{e}");
    assert!(started.elapsed() < COMMAND_TIMEOUT + Duration::from_secs(2));
    let pids = std::fs::read_to_string(pids).unwrap();
    assert_eq!(pids.lines().count(), 2);
    for pid in pids.lines() {
        let deadline = Instant::now() + Duration::from_secs(5);
        while running(pid) {
            assert!(Instant::now() < deadline, "process {pid} still runs");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// Neither gone nor a zombie that its parent has not asked about.
fn running(pid: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(')').next().is_some_and(|rest| !rest.is_empty() && !rest.trim_start().starts_with('Z'))
}

fn any(groups: &[&str], identities: &[&str]) -> AccountMatch {
    let own = |list: &[&str]| list.iter().map(|s| (*s).to_owned()).collect();
    AccountMatch::Any { groups: own(groups), identities: own(identities) }
}

fn account(matches: AccountMatch, user: &str, password: Option<SecretSource>) -> Account {
    Account { matches, user: user.into(), password, key: None, certificate: false }
}

#[tokio::test]
async fn the_first_account_that_matches_is_used() {
    let (orders, billing) = (TargetName::parse("orders").unwrap(), TargetName::parse("billing").unwrap());
    let book = AccountBook::new(
        [
            (
                orders.clone(),
                vec![
                    account(any(&["dba"], &["dora"]), "admin", None),
                    account(any(&["analysts", "support"], &[]), "reader", None),
                    account(AccountMatch::Default, "app", None),
                ],
            ),
            (billing.clone(), vec![account(any(&["dba"], &[]), "admin", None)]),
        ],
        None,
    );
    for (target, name, groups, want) in [
        (&orders, "dora", &[][..], Some("admin")),
        (&orders, "ana", &["analysts", "dba"], Some("admin")),
        (&orders, "ana", &["support"], Some("reader")),
        (&orders, "ana", &["Support"], Some("app")),
        (&orders, "DORA", &[], Some("app")),
        (&orders, "dba", &[], Some("app")),
        (&orders, "ana", &["dora"], Some("app")),
        (&billing, "ana", &["analysts"], None),
        (&billing, "dora", &["dba"], Some("admin")),
    ] {
        let found = book.fetch(target, &identity(name, groups), session(), now()).await;
        assert_eq!(found.as_ref().ok().map(|c| c.user.as_str()), want, "{target} {name} {groups:?}: {found:?}");
        if let Err(denial) = found {
            assert_eq!(denial.culprit, Culprit::Policy);
            assert!(denial.message.as_str().contains("billing"), "{denial}");
        }
    }
    let unknown = TargetName::parse("unknown").unwrap();
    assert!(book.fetch(&unknown, &identity("dora", &[]), session(), now()).await.is_err());

    book.replace([(orders.clone(), vec![account(AccountMatch::Default, "fresh", None)])]);
    assert_eq!(book.fetch(&orders, &identity("dora", &[]), session(), now()).await.unwrap().user, "fresh");
    assert!(book.fetch(&billing, &identity("dora", &["dba"]), session(), now()).await.is_err());
}

#[tokio::test]
async fn passwords_reach_the_dialler_and_reasons_reach_operators_only() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _, vault) = vault(&dir).await;
    vault.put("orders", &secret(PASSWORD), now()).await.unwrap();
    let orders = TargetName::parse("orders").unwrap();
    let book = |source: SecretSource, vault: Option<Vault>| {
        AccountBook::new([(orders.clone(), vec![account(AccountMatch::Default, "app", Some(source))])], vault)
    };
    let ana = identity("ana", &[]);
    let good = book(SecretSource::Vault("orders".into()), Some(vault.clone()));
    let found = good.fetch(&orders, &ana, session(), now()).await.unwrap();
    assert_eq!(found.password.as_ref().and_then(Secret::expose_str), Some(PASSWORD));

    for (source, reason) in [
        (SecretSource::Vault("absent".into()), "there is no secret \"absent\""),
        (SecretSource::Env("COUNTERSIGN_TEST_NEVER_SET".into()), "COUNTERSIGN_TEST_NEVER_SET is not set"),
        (SecretSource::File("/absent/file".into()), "/absent/file"),
    ] {
        let denial = book(source, Some(vault.clone())).fetch(&orders, &ana, session(), now()).await.unwrap_err();
        assert_eq!(denial.culprit, Culprit::Us);
        assert!(denial.detail.as_deref().unwrap().contains(reason), "{denial:?}");
        assert!(!denial.message.as_str().contains("absent"), "{denial}");
    }
    store.close().await;
    let started = Instant::now();
    let denial = good.fetch(&orders, &ana, session(), now()).await.unwrap_err();
    assert!(denial.detail.as_deref().unwrap().contains("SQLite"), "{denial:?}");
    assert!(started.elapsed() < Duration::from_secs(5), "fail closed, and soon");
}

#[tokio::test]
async fn adv_008_no_debug_text_shows_a_secret() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _, vault) = vault(&dir).await;
    let material = secret("aGVsbG8gd29ybGQsIHRoaXMgaXMgYSBrZXkgb2YgMzIhIQ==");
    let key = SealingKey::parse(&Secret::new((200..232).collect())).unwrap();
    vault.put("orders", &secret(PASSWORD), now()).await.unwrap();
    let orders = TargetName::parse("orders").unwrap();
    let source = SecretSource::Vault("orders".into());
    let list = vec![account(AccountMatch::Default, "app", Some(source.clone()))];
    let book = AccountBook::new([(orders.clone(), list.clone())], Some(vault.clone()));
    let found = book.fetch(&orders, &identity("ana", &[]), session(), now()).await.unwrap();
    let sealed = vault.seal("kid", &secret(PASSWORD)).unwrap();
    let errors = [
        CredentialError::Tampered("orders".into()),
        SealingKey::parse(&material).err().unwrap_or(CredentialError::WrongKey),
        KeySource::Command(vec!["echo".into(), PASSWORD.into()]).load().await.unwrap_err(),
        vault.unseal("other", &sealed).unwrap_err(),
    ];
    let texts = [
        format!("{book:?} {found:?} {vault:?} {store:?}"),
        format!("{key:?} {material:?} {source:?} {list:?}"),
        format!("{:?} {:?}", vault.list().await.unwrap(), store.sealed_secret("orders").await.unwrap()),
        format!("{:?}", countersign_credentials::Sealed::from_bytes(&sealed)),
        format!("{errors:?}"),
        errors.map(|e| e.to_string()).join(" "),
    ];
    for text in texts {
        let numbers = "104, 117, 110, 116, 101, 114";
        for shown in [PASSWORD, "aGVsbG8", "200, 201, 202", numbers] {
            assert!(!text.contains(shown), "{text}");
        }
    }
}
