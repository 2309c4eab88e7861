//! What well-known programs do, and how those that run others take their arguments. Whatever is not listed runs code that is not
//! known here.

use countersign_model::Access;

use crate::Command;

/// Programs that only read and print, with the options that make them more than that.
const READERS: [(&str, &[&str]); 49] = [
    ("[", &[]),
    ("basename", &[]),
    ("cat", &[]),
    ("cksum", &[]),
    ("cmp", &[]),
    ("comm", &[]),
    ("cut", &[]),
    ("df", &[]),
    ("dirname", &[]),
    ("du", &[]),
    ("echo", &[]),
    ("egrep", &[]),
    ("expr", &[]),
    ("false", &[]),
    ("fgrep", &[]),
    ("fold", &[]),
    ("free", &[]),
    ("getent", &[]),
    ("grep", &[]),
    ("groups", &[]),
    ("head", &[]),
    ("id", &[]),
    ("last", &[]),
    ("ls", &[]),
    ("md5sum", &[]),
    ("nl", &[]),
    ("nproc", &[]),
    ("od", &[]),
    ("paste", &[]),
    ("printenv", &[]),
    ("printf", &["-v"]),
    ("ps", &[]),
    ("pwd", &[]),
    ("readlink", &[]),
    ("realpath", &[]),
    ("seq", &[]),
    ("sha1sum", &[]),
    ("sha256sum", &[]),
    ("sha512sum", &[]),
    ("sleep", &[]),
    ("stat", &[]),
    ("tac", &[]),
    ("tail", &[]),
    ("test", &[]),
    ("tr", &[]),
    ("true", &[]),
    ("tty", &[]),
    ("wc", &[]),
    ("whoami", &[]),
];

/// Programs that change files.
const WRITERS: [&str; 15] = [
    "cp", "dd", "install", "ln", "mkdir", "mkfifo", "mktemp", "mv", "rm", "rmdir", "shred", "split", "tee", "touch",
    "truncate",
];

/// Programs that change the system or who may do what on it.
const ADMINISTRATORS: [&str; 47] = [
    "apk",
    "apt",
    "apt-get",
    "chattr",
    "chgrp",
    "chmod",
    "chown",
    "chpasswd",
    "crontab",
    "dnf",
    "doas",
    "dpkg",
    "fdisk",
    "groupadd",
    "groupdel",
    "groupmod",
    "halt",
    "hostnamectl",
    "insmod",
    "ip",
    "iptables",
    "kill",
    "killall",
    "mkfs",
    "mount",
    "nft",
    "parted",
    "passwd",
    "pkill",
    "poweroff",
    "reboot",
    "rmmod",
    "rpm",
    "service",
    "setfacl",
    "shutdown",
    "su",
    "sudo",
    "swapoff",
    "sysctl",
    "systemctl",
    "umount",
    "useradd",
    "userdel",
    "usermod",
    "visudo",
    "yum",
];

/// What a command does at most, as far as its program is known: reading, writing or administering. Whatever is not known here executes.
pub fn access_of(command: &Command) -> Access {
    let writes = command.redirections.iter().any(|r| r.writes && !(r.path.fixed && r.path.text == "/dev/null"));
    let least = if writes { Access::Write } else { Access::Read };
    let (program, name) = (command.program(), command.name());
    if program.is_empty() {
        return least;
    }
    // A path other than the system's own may be anything.
    let own =
        ["", "/bin/", "/usr/bin/", "/sbin/", "/usr/sbin/"].contains(&program.strip_suffix(name).unwrap_or_default());
    if ADMINISTRATORS.contains(&name) {
        return Access::Admin;
    }
    if !own {
        return Access::Execute;
    }
    if WRITERS.contains(&name) {
        return Access::Write;
    }
    let reader = READERS.iter().find(|(reader, _)| *reader == name);
    match reader {
        Some((_, not))
            if !command.words.iter().any(|w| not.contains(&w.text.as_str()) || (!not.is_empty() && !w.fixed)) =>
        {
            least
        }
        _ => Access::Execute,
    }
}

/// How a program that runs another takes its own arguments.
pub(crate) struct Wrapper {
    pub(crate) name: &'static str,
    /// Options without a value.
    pub(crate) flags: &'static [&'static str],
    /// Options whose value is the next word, or follows directly.
    pub(crate) valued: &'static [&'static str],
    /// Its own words ahead of the program.
    pub(crate) own: usize,
    /// `NAME=value` may stand ahead of the program.
    pub(crate) assigns: bool,
    /// More arguments are added when it runs.
    pub(crate) more: bool,
}

const fn wrapper(name: &'static str, flags: &'static [&'static str], valued: &'static [&'static str]) -> Wrapper {
    Wrapper { name, flags, valued, own: 0, assigns: false, more: false }
}

/// The programs whose arguments are another program. One that is called in a way that is not described here is a doubt.
pub(crate) const WRAPPERS: [Wrapper; 16] = [
    wrapper("builtin", &[], &[]),
    wrapper("command", &["-p"], &[]),
    Wrapper {
        assigns: true,
        ..wrapper(
            "env",
            &["-i", "--ignore-environment", "-0", "--null", "-v", "--debug"],
            &["-u", "-C", "--unset", "--chdir"],
        )
    },
    wrapper("exec", &[], &[]),
    wrapper("ionice", &["-t"], &["-c", "-n", "-p"]),
    wrapper("nice", &[], &["-n", "--adjustment"]),
    wrapper("nohup", &[], &[]),
    wrapper("noglob", &[], &[]),
    wrapper("setsid", &["-c", "-f", "-w", "--wait", "--fork", "--ctty"], &[]),
    wrapper("stdbuf", &[], &["-i", "-o", "-e", "--input", "--output", "--error"]),
    Wrapper {
        assigns: true,
        ..wrapper(
            "sudo",
            &["-n", "-E", "-H", "-k", "-S", "-b", "--non-interactive", "--preserve-env", "--stdin"],
            &["-u", "-g", "-h", "-p", "-C", "-T", "-r", "-t", "--user", "--group"],
        )
    },
    Wrapper { assigns: true, ..wrapper("doas", &["-n"], &["-u", "-a"]) },
    wrapper("time", &["-p", "-v"], &["-f", "-o"]),
    Wrapper {
        own: 1,
        ..wrapper(
            "timeout",
            &["--foreground", "--preserve-status", "-v", "--verbose"],
            &["-k", "-s", "--kill-after", "--signal"],
        )
    },
    wrapper("chronic", &["-v", "-e"], &[]),
    Wrapper {
        more: true,
        ..wrapper(
            "xargs",
            &["-0", "-r", "-t", "-p", "-x", "--null", "--no-run-if-empty", "--verbose"],
            &[
                "-I",
                "-n",
                "-P",
                "-L",
                "-d",
                "-a",
                "-s",
                "-E",
                "--max-args",
                "--max-procs",
                "--delimiter",
                "--arg-file",
                "--replace",
            ],
        )
    },
];

/// Shells: a text after `-c` is read as one.
pub(crate) const SHELLS: [&str; 10] = ["sh", "bash", "dash", "ash", "ksh", "mksh", "zsh", "rbash", "posh", "yash"];

/// Built-in commands that change what later words mean, or run a text that is not here.
pub(crate) const UNREADABLE: [&str; 14] = [
    ".", "source", "alias", "unalias", "enable", "hash", "let", "shopt", "set", "setopt", "unsetopt", "emulate",
    "zmodload", "bind",
];

/// Built-in commands that some shells let work out a variable's subscript, which may hold a command.
pub(crate) const SUBSCRIPTING: [&str; 16] = [
    "test",
    "[",
    "printf",
    "read",
    "unset",
    "declare",
    "typeset",
    "local",
    "export",
    "readonly",
    "wait",
    "getopts",
    "mapfile",
    "readarray",
    "integer",
    "float",
];
