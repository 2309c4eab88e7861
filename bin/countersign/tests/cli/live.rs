//! Texts that are read against the catalog of a live target: the demo's, behind its own TLS and with its passwords in the vault.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::{binary, run_in};

/// A demo that ends with the test.
struct Demo {
    child: Child,
    home: tempfile::TempDir,
}

impl Demo {
    fn start() -> Self {
        let home = tempfile::tempdir().unwrap();
        let log = fs::File::create(home.path().join("log")).unwrap();
        let child = binary()
            .current_dir(home.path())
            .args(["dev", "--data-dir", "demo"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut demo = Self { child, home };
        let began = Instant::now();
        loop {
            let log = fs::read_to_string(demo.home.path().join("log")).unwrap();
            if log.contains("ready after") {
                return demo;
            }
            let ended = demo.child.try_wait().unwrap();
            assert!(ended.is_none() && began.elapsed() < Duration::from_secs(120), "the demo does not start: {log}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    fn dir(&self) -> &Path {
        self.home.path()
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        // A signal, not a kill: it has a database to stop.
        Command::new("kill").arg(self.child.id().to_string()).status().unwrap();
        self.child.wait().unwrap();
    }
}

#[test]
fn texts_are_read_against_the_live_catalog() {
    let demo = Demo::start();
    let explain = |more: &[&str]| {
        let mut args = vec!["policy", "explain", "--config", "demo/countersign.toml", "--target", "shop"];
        args.extend(more);
        run_in(demo.dir(), &args).exits(0).fits_a_terminal()
    };
    // What is in the README: ana is a local account, and her groups come from there.
    let ran = explain(&["--identity", "ana", "select salary from staff"]);
    ran.says(&[
        "ana (human, in analysts)",
        "deny by personal-numbers-stay",
        "[\"public.staff.salary\"]",
        "permit analysts-read (policy.cedar:",
    ]);
    explain(&["--identity", "ana", "select id from orders"]).says(&["allow by analysts-read"]);
    // A view's columns and `*` are only known from the catalog.
    explain(&["--identity", "ana", "select * from staff"]).says(&["deny by personal-numbers-stay"]);
    explain(&["--identity", "ana", "select x from nonesuch"]).says(&["but", "has no \"nonesuch\""]);
    explain(&["--identity", "ana", "selec 1"]).says(&["opaque (deny)"]);

    let case = |name: &str, text: &str, expect: &str| {
        format!(
            "[[case]]\nname = \"{name}\"\nidentity = \"ana\"\ntarget = \"shop\"\ntext = \"{text}\"\nexpect = \"{expect}\"\n"
        )
    };
    let suite = [
        "[identity.ana]\ngroups = [\"analysts\"]\n".to_owned(),
        case("reads", "select id from orders", "allow"),
        case("no salaries", "select s.salary from staff s", "deny"),
        case("not there", "select 1 from nonesuch", "deny"),
    ];
    fs::write(demo.dir().join("text.test.toml"), suite.concat()).unwrap();
    let args = ["policy", "test", "--live", "--config", "demo/countersign.toml", "text.test.toml"];
    run_in(demo.dir(), &args).exits(1).says(&[
        "ok    text.test.toml: no salaries",
        "has no \"nonesuch\"",
        "2 passed, 1 failed",
    ]);
    let args = ["policy", "test", "--config", "demo/countersign.toml"];
    run_in(demo.dir(), &args).exits(0).says(&["47 passed, 0 failed"]);
    run_in(demo.dir(), &["config", "check", "--config", "demo/countersign.toml"]).exits(0);
}
