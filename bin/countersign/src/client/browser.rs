//! Opening a page in the person's browser. Only pages that were checked come here: an address never begins with `-`.

use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};

use reqwest::Url;

/// The most browsers of `$BROWSER` that are tried.
const TRIED_MAX: usize = 8;

/// True when there seems to be a browser here.
pub(crate) fn is_there() -> bool {
    let set = |name: &str| std::env::var_os(name).is_some_and(|v| !v.is_empty());
    cfg!(target_os = "macos")
        || set("BROWSER")
        || ((set("DISPLAY") || set("WAYLAND_DISPLAY")) && !set("SSH_CONNECTION"))
}

/// Opens the page; false when nothing could be started.
pub(crate) fn open(page: &Url) -> bool {
    let browsers = std::env::var("BROWSER").unwrap_or_default();
    commands(&browsers, page.as_str()).into_iter().any(|words| {
        let Some((program, arguments)) = words.split_first() else { return false };
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        // Ctrl-C at this program must not end the browser.
        command.process_group(0).spawn().is_ok()
    })
}

/// What to run, in order: the entries of `$BROWSER`, separated by `:`, with `%s` for the page; else the system's opener.
fn commands(browsers: &str, page: &str) -> Vec<Vec<OsString>> {
    let mut all: Vec<Vec<OsString>> = browsers
        .split(':')
        .filter(|b| !b.trim().is_empty())
        .take(TRIED_MAX)
        .map(|browser| {
            let mut words: Vec<OsString> = browser.split_whitespace().map(|w| w.replace("%s", page).into()).collect();
            if !browser.contains("%s") {
                words.push(page.into());
            }
            words
        })
        .collect();
    let opener = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };
    if all.is_empty() {
        all.push(vec![opener.into(), page.into()]);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::commands;

    #[test]
    fn browsers_are_as_the_person_says() {
        let opener = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };
        for (browsers, expected) in [
            ("", vec![vec![opener, "https://x/"]]),
            (" : ", vec![vec![opener, "https://x/"]]),
            ("firefox", vec![vec!["firefox", "https://x/"]]),
            ("firefox --new %s:lynx", vec![vec!["firefox", "--new", "https://x/"], vec!["lynx", "https://x/"]]),
        ] {
            assert_eq!(commands(browsers, "https://x/"), expected, "{browsers}");
        }
    }
}
