//! Texts and the commands that they name, beside what dash and bash make of them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::process::Command as Process;

use proptest::prelude::*;

use crate::{Reading, access_of, quoted, read};
use countersign_model::Access;

fn programs(text: &str) -> Result<String, String> {
    let reading = read(text.as_bytes()).map_err(|d| d.0.to_owned())?;
    Ok(reading
        .commands
        .iter()
        .map(|c| if c.program().is_empty() { "-" } else { c.program() })
        .collect::<Vec<_>>()
        .join(" "))
}

#[test]
fn adv_056_every_command_of_a_text_is_found() {
    for (text, want) in [
        ("ls", "ls"),
        ("ls;rm x", "ls rm"),
        ("ls && rm x || reboot", "ls rm reboot"),
        ("ls\nrm x", "ls rm"),
        ("ls & rm x &", "ls rm"),
        ("echo $(rm x)", "rm echo"),
        ("echo \"a $(rm x) b\"", "rm echo"),
        ("echo `rm x`", "rm echo"),
        ("echo `echo \\`rm x\\``", "rm echo echo"),
        ("echo '$(rm x)'", "echo"),
        ("echo \\$(rm x)", "?"),
        ("'r'm x", "rm"),
        ("r\\m x", "rm"),
        ("\"rm\" x", "rm"),
        ("r\\\nm x", "rm"),
        ("cat < in > out", "cat"),
        ("> out", "-"),
        ("A=1 rm x", "rm"),
        ("A=$(rm x)", "rm -"),
        ("if true; then rm x; elif false; then ls; else id; fi", "true rm false ls id"),
        ("for f in a b; do rm $f; done", "rm"),
        ("for f; do rm $f; done", "rm"),
        ("while read x; do rm $x; done < list", "read rm -"),
        ("case $x in a|b) rm x;; (c) ls;; *) id; esac", "rm ls id"),
        ("ls() { rm x; }; ls", "rm ls"),
        ("( ls; rm x ) | wc", "ls rm wc"),
        ("{ ls; rm x; } > out", "ls rm -"),
        ("! ls", "ls"),
        ("cat <<E\n$(rm x)\nE\nid", "cat rm id"),
        ("cat <<'E'\n$(rm x)\nE\nid", "cat id"),
        ("cat <<-E\n\ta\n\tE\n", "cat"),
        ("echo ${x:-$(rm x)}", "rm echo"),
        ("echo $((1 + 2))", "echo"),
        ("sh -c 'ls; rm x'", "sh ls rm"),
        ("bash -ec \"sh -c 'rm x'\"", "bash sh rm"),
        ("eval 'rm x'", "eval rm"),
        ("eval rm x", "eval rm"),
        ("trap 'rm x' EXIT", "trap rm"),
        ("echo cm0gLXJmIC8= | base64 -d | sh", "echo base64 sh"),
        ("env -i A=1 rm x", "env rm"),
        ("sudo -n -u root rm x", "sudo rm"),
        ("nohup nice -n 5 timeout 5 rm x", "nohup nice timeout rm"),
        ("find . -name '*.x' -exec rm {} \\; -exec ls {} +", "find rm ls"),
        ("ls | xargs -0 -n 1 rm", "ls xargs rm"),
        ("command -v rm", "command"),
        ("command rm x", "command rm"),
        ("busybox rm x", "busybox rm"),
        ("ls # rm x", "ls"),
        ("ls a#b", "ls"),
        ("python3 -c 'import os'", "python3"),
        ("[ -f x ] && rm x", "[ rm"),
        ("cat 2>/dev/null 2>&1", "cat"),
        ("ls *.txt", "ls"),
        ("time ls", "time ls"),
        ("exec rm x", "exec rm"),
        ("echo \"it's\"", "echo"),
    ] {
        let got = programs(text);
        if want == "?" {
            assert!(got.is_err(), "{text:?} gave {got:?}");
        } else {
            assert_eq!(got.as_deref(), Ok(want), "{text:?}");
        }
    }
}

#[test]
fn adv_056_what_cannot_be_read_is_a_doubt() {
    for text in [
        "$CMD x",
        "$(echo rm) x",
        "`echo rm` x",
        "r* x",
        "/bin/r? x",
        "~/x",
        "{rm,x}",
        "=rm x",
        "\"\" x",
        "",
        "  ",
        "# rm",
        "ls;;",
        "ls |",
        "&& ls",
        "ls ) rm",
        "(ls",
        "((1+1))",
        "if ls; fi",
        "'rm x",
        "\"rm x",
        "`rm x",
        "$(rm x",
        "${x",
        "ls \\",
        "cat <<E\nx",
        "cat <<E",
        "cat <<$E\nx\n",
        "cat <(rm x)",
        "ls >(rm x)",
        "[[ -f x ]]",
        "function f { rm x; }",
        "a=(rm x)",
        "$'\\x72m' x",
        "echo $'a\\'$(rm x)'",
        "$\"rm\" x",
        "echo $[1+1]",
        "echo $((a[1]))",
        "echo ${x@P}",
        "echo ${!x}",
        "PATH=/tmp ls",
        "LD_PRELOAD=x ls",
        "export PATH=/tmp",
        "env PATH=/tmp ls",
        "IFS=x ls",
        "GIT_SSH=x git pull",
        "eval \"$x\"",
        "sh -c \"$x\"",
        "trap \"$x\" EXIT",
        ". ./x",
        "source x",
        "alias ls=rm",
        "set -- a",
        "hash -p /tmp/x ls",
        "test -v 'a[$(rm x)]'",
        "printf -v 'a[$(rm x)]' x",
        "xargs",
        "xargs --strange rm",
        "sudo --strange rm",
        "env -S 'rm x'",
        "timeout \"$t\" rm x",
        "find . \"$x\" rm",
        "bash --init-file x",
        "zsh -o x",
        "rm\u{2028}x",
        "ls \u{200b}x",
        "l\u{455} x",
        "ls\u{a0}x",
        "ls\rrm x",
        "ls \u{1b}[2K",
        "ls\0rm",
        "{fd}>x ls",
        "i\\\nf ls; then rm; fi",
        "select x in a; do rm; done",
        "<2>&1",
        "ls &>x rm",
        "ls &>>x",
        "ls |& rm",
        "cat <<<x",
        "ls >&x",
        "for x in 2>y; do ls; done",
        "echo {a",
        "x() rm",
        "for $x in a; do rm; done",
        "export 'a[$(rm x)]=1'",
    ] {
        if text == "echo {a" {
            assert!(read(text.as_bytes()).is_ok());
            continue;
        }
        assert!(read(text.as_bytes()).is_err(), "{text:?} gave {:?}", programs(text));
    }
    assert!(read(b"ls \xff").is_err());
}

#[test]
fn limits_are_kept_at_their_edges() {
    let deep = |n: usize| format!("{}ls{}", "( ".repeat(n), ")".repeat(n));
    assert!(read(deep(crate::DEPTH_MAX / 2).as_bytes()).is_ok());
    assert!(read(deep(crate::DEPTH_MAX).as_bytes()).is_err());
    let many = |n: usize| vec!["ls"; n].join(";");
    assert!(read(many(crate::COMMANDS_MAX).as_bytes()).is_ok());
    assert!(read(many(crate::COMMANDS_MAX + 1).as_bytes()).is_err());
    let long = |n: usize| format!("ls {}", "x".repeat(n - 3));
    assert!(read(long(crate::TEXT_BYTES_MAX).as_bytes()).is_ok());
    assert!(read(long(crate::TEXT_BYTES_MAX + 1).as_bytes()).is_err());
    assert!(read("`".repeat(60_000).as_bytes()).is_err());
    assert!(read("$(".repeat(30_000).as_bytes()).is_err());
}

#[test]
fn accesses_are_those_of_known_programs() {
    for (text, want) in [
        ("cat x", Access::Read),
        ("/usr/bin/cat x", Access::Read),
        ("/tmp/cat x", Access::Execute),
        ("./cat x", Access::Execute),
        ("cat x > y", Access::Write),
        ("cat x > /dev/null", Access::Read),
        ("rm x", Access::Write),
        ("sudo cat x", Access::Admin),
        ("systemctl restart web", Access::Admin),
        ("python3 x", Access::Execute),
        ("printf -v x y", Access::Execute),
        ("> y", Access::Write),
    ] {
        let reading = read(text.as_bytes()).unwrap();
        let got = reading.commands.iter().map(access_of).max().unwrap();
        assert_eq!(got, want, "{text:?}");
    }
}

fn shells() -> Vec<&'static str> {
    ["dash", "bash"]
        .into_iter()
        .filter(|s| Process::new(s).args(["-c", "true"]).status().is_ok_and(|s| s.success()))
        .collect()
}

/// The words that real shells make of a text of one fixed command are those that were read.
#[test]
fn fixed_words_are_those_of_real_shells() {
    for shell in shells() {
        for text in [
            "p a 'b c' \"d e\" f\\ g",
            "p 'it'\\''s'",
            "p \"a\\$b\\`c\\\\d\\\"e\\f\"",
            "p a\\\nb",
            "p ''",
            "p {} \\; a#b '#'",
            "p \"a\nb\"",
            "p -- --x=y a,b {a} a{b}c % + @ ^^ 2>/dev/null",
            "p ü 漢字",
            "p ]",
            "p '*' \"?\" \\[",
            "p 1 2 >/dev/null",
        ] {
            let Ok(reading) = read(text.as_bytes()) else { continue };
            let command = reading.commands.last().unwrap();
            if !command.words.iter().all(|w| w.fixed) {
                continue;
            }
            let script = format!("p() {{ printf '%s\\0' p \"$@\" >&9; }}\n{text}");
            let out = Process::new("sh").args(["-c", "exec \"$0\" -c \"$1\" 9>&1", shell, &script]).output().unwrap();
            let want: Vec<String> =
                out.stdout.split(|b| *b == 0).map(|w| String::from_utf8_lossy(w).into_owned()).collect();
            let got: Vec<String> = command.words.iter().map(|w| w.text.clone()).chain([String::new()]).collect();
            assert_eq!(got, want, "{shell}: {text:?}");
        }
    }
}

fn fragments() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "ls",
        "rm",
        " ",
        " ",
        "\n",
        ";",
        "&&",
        "||",
        "|",
        "&",
        "(",
        ")",
        "{ ",
        " }",
        "'",
        "\"",
        "$(",
        "`",
        "\\",
        "$x",
        "${x}",
        "${x:-",
        "}",
        "<",
        ">",
        "2>&1",
        "<<E\n",
        "\nE\n",
        "if ",
        "; then ",
        "; fi",
        "for f in ",
        "; do ",
        "; done",
        "case x in ",
        ") ",
        ";;",
        " esac",
        "!",
        "#",
        "=",
        "A=1 ",
        "*",
        "~",
        "sh -c ",
        "eval ",
        "x",
        "$((1+",
        "))",
        "[ ",
        " ]",
        "f() ",
        "while ",
    ]);
    prop::collection::vec(piece, 1..14).prop_map(|v| v.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::default())]

    /// Whatever is read is a text that every real shell here finds well formed.
    #[test]
    fn what_is_read_is_grammar_to_real_shells(text in fragments()) {
        if read(text.as_bytes()).is_ok() {
            for shell in shells() {
                let checked = Process::new(shell).args(["-n", "-c", &text]).output().unwrap();
                prop_assert!(checked.status.success(), "{shell} does not take {text:?}: {}", String::from_utf8_lossy(&checked.stderr));
            }
        }
    }

    /// Also where the first word could be read as something else.
    #[test]
    fn quoted_programs_come_back(program in prop::sample::select(vec!["if", "A=1", "x=", "ls", "done", "in", "p,q", "a.b"])) {
        let reading = read(quoted([program, "x"]).as_bytes()).unwrap();
        prop_assert_eq!(reading.simple(), Some(vec![program, "x"]));
    }

    /// Quoting is undone by reading.
    #[test]
    fn quoted_words_come_back(words in prop::collection::vec("[ -~\n]{0,8}", 0..5)) {
        let mut all = vec!["p"];
        all.extend(words.iter().map(String::as_str));
        let reading: Reading = read(quoted(all.iter().copied()).as_bytes()).unwrap();
        prop_assert_eq!(reading.simple(), Some(all));
    }

    /// No bytes make it panic.
    #[test]
    fn any_bytes_are_answered(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = read(&bytes);
    }
}
