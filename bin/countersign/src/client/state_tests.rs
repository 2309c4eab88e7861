//! The state folder: modes, what is refused, and that nothing is half there.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::os::unix::fs::symlink;

use super::*;

fn url() -> Url {
    Url::parse("https://gw.example.com:7070").unwrap()
}

fn login(key: &str) -> Login {
    let mut facts = Facts::new(&url(), false, Origin::Person { label: "corp".to_owned() });
    facts.certificate_issued = 1000;
    facts.certificate_ends = 1600;
    Login {
        facts,
        credential: Credential { chain: format!("chain of {key}"), key: Secret::from(key.to_owned()) },
        authorities: "authorities".to_owned(),
        refresh: Some(Secret::from("refresh".to_owned())),
        ssh_certificate: None,
    }
}

async fn kept(base: &Path) -> State {
    private_folder(base).unwrap();
    let state = State::below(base, &url());
    let held = state.hold().await.unwrap();
    state.keep(&held, &login("one")).unwrap();
    state
}

fn base(dir: &tempfile::TempDir) -> PathBuf {
    dir.path().join("countersign")
}

#[tokio::test]
async fn a_login_is_kept_for_its_owner_alone() {
    let dir = tempfile::tempdir().unwrap();
    let state = kept(&base(&dir)).await;
    let back = state.load().unwrap().unwrap();
    assert_eq!(back.facts, login("one").facts);
    assert_eq!(back.credential.key.expose(), b"one");
    assert_eq!(back.refresh.unwrap().expose(), b"refresh");
    assert_eq!(fs::metadata(state.dir()).unwrap().mode() & 0o777, 0o700);
    let mut files = 0;
    for entry in fs::read_dir(state.dir()).unwrap().chain(fs::read_dir(base(&dir)).unwrap()) {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_file() {
            files += 1;
            assert_eq!(entry.metadata().unwrap().mode() & 0o777, 0o600, "{:?}", entry.path());
        }
    }
    assert_eq!(files, 7, "five of the login, the lock, and which was last");
}

#[tokio::test]
async fn another_login_replaces_all_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let state = kept(&base(&dir)).await;
    let held = state.hold().await.unwrap();
    let next = Login { refresh: None, ..login("two") };
    state.keep(&held, &next).unwrap();
    let back = state.load().unwrap().unwrap();
    assert_eq!((back.credential.chain.as_str(), back.refresh.is_none()), ("chain of two", true));
    state.forget(&held).unwrap();
    assert!(state.load().unwrap().is_none());
    assert_eq!(fs::read_dir(state.dir()).unwrap().count(), 1, "the lock alone");
}

#[tokio::test]
async fn what_others_can_read_is_not_used() {
    let dir = tempfile::tempdir().unwrap();
    let state = kept(&base(&dir)).await;
    for name in [FACTS, KEY, CERTIFICATE, AUTHORITIES, REFRESH] {
        let path = state.dir().join(name);
        for mode in [0o640, 0o604, 0o620, 0o660] {
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            let said = state.load().unwrap_err().to_string();
            assert!(said.contains(&format!("(mode {mode:04o})")) && said.contains("chmod 0600"), "{said}");
        }
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        state.load().unwrap().unwrap();
    }
    fs::set_permissions(state.dir(), Permissions::from_mode(0o750)).unwrap();
    assert!(state.load().unwrap_err().to_string().contains("chmod 0700"));
    assert!(state.hold().await.is_err());
}

#[tokio::test]
async fn links_and_other_files_are_not_followed() {
    let dir = tempfile::tempdir().unwrap();
    let state = kept(&base(&dir)).await;
    let key = state.dir().join(KEY);
    let elsewhere = dir.path().join("elsewhere");
    fs::rename(&key, &elsewhere).unwrap();
    symlink(&elsewhere, &key).unwrap();
    assert!(state.load().is_err());
    fs::remove_file(&key).unwrap();
    fs::create_dir(&key).unwrap();
    fs::set_permissions(&key, Permissions::from_mode(0o700)).unwrap();
    assert!(state.load().is_err());
    let other = State { dir: dir.path().join("linked") };
    symlink(state.dir(), &other.dir).unwrap();
    assert!(other.load().is_err());
}

#[tokio::test]
async fn what_is_broken_says_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let state = kept(&base(&dir)).await;
    let whole = fs::read_to_string(state.dir().join(FACTS)).unwrap();
    let other_version = whole.replace("\"version\": 1", "\"version\": 2");
    for text in ["", "{", "[]", "{\"version\":1}", &other_version, &whole.replace("\"login\"", "\"gateway\"")] {
        write(state.dir(), FACTS, text.as_bytes()).unwrap();
        let said = state.load().unwrap_err().to_string();
        assert!(said.contains("countersign login"), "{text}: {said}");
    }
    write(state.dir(), FACTS, whole.as_bytes()).unwrap();
    state.remove(KEY).unwrap();
    assert!(state.load().unwrap_err().to_string().contains("key.pem is missing"));
    write(state.dir(), KEY, &vec![b'x'; usize::try_from(FILE_BYTES_MAX).unwrap() + 1]).unwrap();
    assert!(state.load().unwrap_err().to_string().contains("longer than"));
    write(state.dir(), KEY, &vec![b'x'; usize::try_from(FILE_BYTES_MAX).unwrap()]).unwrap();
    state.load().unwrap().unwrap();
}

#[tokio::test]
async fn one_command_changes_the_state_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let state = kept(&base(&dir)).await;
    let held = state.hold().await.unwrap();
    let said = state.hold_within(Duration::from_millis(120)).await.unwrap_err().to_string();
    assert!(said.contains("another command holds"), "{said}");
    drop(held);
    state.hold().await.unwrap();
}

#[test]
fn each_gateway_has_its_folder() {
    for (gateway, name) in [
        ("https://gw.example.com", "gw.example.com_443"),
        ("https://gw.example.com:7070", "gw.example.com_7070"),
        ("https://GW.example.com:7070/", "gw.example.com_7070"),
        ("https://gw.example.com/a/../b/c", "gw.example.com_443_b_c"),
        ("https://[::1]:7070", "___1__7070"),
        ("https://gw.example.com/%2e%2e%2fx", "gw.example.com_443__2e_2e_2fx"),
    ] {
        assert_eq!(folder_name(&Url::parse(gateway).unwrap()), name, "{gateway}");
    }
}

#[test]
fn time_left_is_never_less_than_none() {
    let facts = login("one").facts;
    assert_eq!(facts.certificate_life(), Duration::from_secs(600));
    for (now, seconds) in [(1000, 600), (1599, 1), (1600, 0), (9999, 0)] {
        assert_eq!(facts.certificate_left(Timestamp::from_unix_s(now)), Duration::from_secs(seconds));
    }
    assert_eq!(facts.login_left(Timestamp::from_unix_s(1)), Duration::ZERO);
}
