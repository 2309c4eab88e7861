//! The pages that people see: one self-contained document each, made here, with nothing to fetch and no script.
//!
//! Every text of a request is escaped; the policy in the header allows the one style sheet below and forms to this server (and on to the
//! client that asked). Must never show a password again, or say whether the name or the password was wrong.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use countersign_model::{IdentityKind, Secret, Timestamp};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::accounts::LoginFailure;
use super::issuer::LocalIssuer;
use super::messages::{FORM_BYTES_MAX, PageRequest, Reply};
use super::ports::Account;
use crate::form::Form;

const STYLE: &str = include_str!("page.css");
/// The style sheet's hash, for the policy: the element holds exactly [`STYLE`].
static STYLE_HASH: LazyLock<String> = LazyLock::new(|| STANDARD.encode(Sha256::digest(STYLE)));
/// The length of the cookie's value: 32 bytes.
const COOKIE_CHARS: usize = 43;
/// How long it is kept, in seconds.
const COOKIE_S: u64 = 3600;
/// What a person reads when something of ours failed.
pub(super) const LATER: &str = "That cannot be done now. Try again in a minute.";

/// What a person reads who must wait.
pub(super) fn wait(wait_s: u64) -> String {
    format!("Too many failed tries. Wait {wait_s} seconds, then try again.")
}

/// Ties a form to the browser that was given it: the form repeats a digest of what its cookie holds, which no other site can read.
pub(super) struct Guard {
    cookie: String,
    name: &'static str,
    secure: bool,
    set: bool,
}

impl Guard {
    /// The browser's cookie, or a new one.
    pub(super) fn of(request: &PageRequest<'_>, issuer: &str) -> Self {
        let secure = issuer.starts_with("https://");
        // With this prefix, no neighbouring host and no open wire can plant one.
        let name = if secure { "__Host-countersign" } else { "countersign" };
        let value =
            request.cookie.unwrap_or_default().split(';').find_map(|c| c.trim().strip_prefix(name)?.strip_prefix('='));
        let plain = |c: &&str| c.len() == COOKIE_CHARS && URL_SAFE_NO_PAD.decode(c).is_ok();
        match value.filter(plain) {
            Some(cookie) => Self { cookie: cookie.to_owned(), name, secure, set: false },
            None => {
                let cookie = URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>());
                Self { cookie, name, secure, set: true }
            }
        }
    }

    fn token(&self) -> String {
        URL_SAFE_NO_PAD.encode(Sha256::digest(format!("countersign form: {}", self.cookie)))
    }

    /// The form that a page of ours sent.
    pub(super) fn checked(&self, request: &PageRequest<'_>) -> Result<Form, &'static str> {
        let sent = Form::of_body(request.content_type, request.body, FORM_BYTES_MAX)
            .map_err(|_| "The form could not be read.")?;
        let token = sent.get("form").unwrap_or_default();
        let same = !self.set && bool::from(token.as_bytes().ct_eq(self.token().as_bytes()));
        if same && request.same_origin {
            return Ok(sent);
        }
        Err("The page was open for too long, or cookies are switched off. Try again.")
    }

    fn header(&self) -> Option<String> {
        let secure = if self.secure { "; Secure" } else { "" };
        let (name, value) = (self.name, &self.cookie);
        // Lax: a program sends people here from elsewhere, and a page that is open already must go on working.
        self.set.then(|| format!("{name}={value}; Path=/; Max-Age={COOKIE_S}; HttpOnly; SameSite=Lax{secure}"))
    }
}

/// What a person is told of a device that asks.
pub(super) struct DeviceFacts {
    pub(super) code: String,
    pub(super) source: IpAddr,
    /// True when it asked from the address that the browser comes from.
    pub(super) here: bool,
    pub(super) ago_s: u64,
    /// What it is for; empty where it does not say.
    pub(super) purpose: String,
}

/// The page with name and password.
pub(super) struct SignInForm<'a> {
    /// The client's id.
    pub(super) program: &'a str,
    /// Where the browser goes afterwards.
    pub(super) goes_back_to: Option<String>,
    /// The same, as a policy names it.
    pub(super) policy_source: Option<String>,
    /// What was typed as the name.
    pub(super) name: &'a str,
    /// Who asks, when it is a device.
    pub(super) device: Option<DeviceFacts>,
    /// What went wrong.
    pub(super) trouble: Option<String>,
}

impl SignInForm<'_> {
    pub(super) fn page(&self, status: u16, guard: &Guard) -> Reply {
        let mut main = String::new();
        let program = escape(self.program);
        let (title, action) =
            if self.device.is_some() { ("Sign in a device", "Sign in and allow") } else { ("Sign in", "Sign in") };
        let _ = write!(main, "<h1>{title}</h1>");
        match (&self.device, &self.goes_back_to) {
            (Some(d), _) => {
                let here = if d.here { " (the same as yours)" } else { "" };
                let purpose = match d.purpose.as_str() {
                    "" => String::new(),
                    what => format!("<dt>To</dt><dd>{}</dd>", escape(what)),
                };
                let _ = write!(
                    main,
                    "<p>A device asks to act as you. Go on only if you started this yourself, just now.</p>\
                     <dl><dt>Program</dt><dd>{program}</dd>{purpose}<dt>From the address</dt><dd>{}{here}</dd>\
                     <dt>Asked</dt><dd>{}</dd><dt>Code on the device</dt><dd><strong class=\"code\">{}</strong></dd></dl>",
                    d.source,
                    ago(d.ago_s),
                    escape(&d.code),
                );
            }
            (None, place) => {
                let _ = write!(main, "<p><strong>{program}</strong> asks who you are.");
                if let Some(place) = place {
                    let _ = write!(main, " Afterwards you go back to <span class=\"place\">{}</span>.", escape(place));
                }
                main.push_str("</p>");
            }
        }
        main.push_str(&trouble(self.trouble.as_deref()));
        let described = if self.trouble.is_some() { " aria-describedby=\"trouble\"" } else { "" };
        let (first, second) = match (&self.device, self.name.is_empty()) {
            // What is told of the device comes first: the keyboard must not scroll it away.
            (Some(_), true) => ("", ""),
            (None, true) => (" autofocus", ""),
            (_, false) => ("", " autofocus"),
        };
        let device = self.device.as_ref().map_or_else(String::new, |d| hidden("user_code", &d.code));
        let _ = write!(
            main,
            "<form method=\"post\">{}{device}\
             <label for=\"name\">Name</label>\
             <input id=\"name\" name=\"name\" value=\"{}\" autocomplete=\"username\" autocapitalize=\"none\" spellcheck=\"false\" \
             maxlength=\"256\" required{first}{described}>\
             <label for=\"password\">Password</label>\
             <input id=\"password\" name=\"password\" type=\"password\" autocomplete=\"current-password\" maxlength=\"256\" \
             required{second}{described}>\
             <div class=\"answers\"><button name=\"answer\" value=\"allow\">{action}</button>\
             <button name=\"answer\" value=\"refuse\" class=\"quiet\" formnovalidate>{}</button></div></form>",
            hidden("form", &guard.token()),
            escape(self.name),
            if self.device.is_some() { "Refuse" } else { "Cancel" },
        );
        html(status, title, &main, self.policy_source.as_deref(), guard.header())
    }
}

/// The page for the code that a device shows.
pub(super) struct CodeForm<'a> {
    /// What is typed already.
    pub(super) code: &'a str,
    /// What went wrong.
    pub(super) trouble: Option<String>,
}

impl CodeForm<'_> {
    pub(super) fn page(&self, status: u16, guard: &Guard) -> Reply {
        let described = if self.trouble.is_some() { " aria-describedby=\"trouble\"" } else { "" };
        let main = format!(
            "<h1>Sign in a device</h1><p>Type the code that the device shows.</p>{}\
             <form method=\"post\">{}<label for=\"user_code\">Code</label>\
             <input id=\"user_code\" name=\"user_code\" value=\"{}\" class=\"code\" autocomplete=\"off\" autocapitalize=\"characters\" \
             spellcheck=\"false\" maxlength=\"20\" required autofocus{described}>\
             <div class=\"answers\"><button>Go on</button></div></form>",
            trouble(self.trouble.as_deref()),
            hidden("form", &guard.token()),
            escape(self.code),
        );
        html(status, "Sign in a device", &main, None, guard.header())
    }
}

/// A page that says that something is done.
pub(super) fn done(title: &str, text: &str) -> Reply {
    html(200, title, &format!("<h1>{}</h1><p role=\"status\">{}</p>", escape(title), escape(text)), None, None)
}

/// A page that says why nothing can be done.
pub(super) fn problem(status: u16, why: &str) -> Reply {
    html(
        status,
        "This cannot go on",
        &format!("<h1>This cannot go on</h1><p role=\"alert\">{}</p>", escape(why)),
        None,
        None,
    )
}

fn trouble(text: Option<&str>) -> String {
    text.map(|t| format!("<p id=\"trouble\" class=\"trouble\" role=\"alert\">{}</p>", escape(t))).unwrap_or_default()
}

fn hidden(name: &str, value: &str) -> String {
    format!("<input type=\"hidden\" name=\"{name}\" value=\"{}\">", escape(value))
}

fn ago(s: u64) -> String {
    match s {
        0..60 => "less than a minute ago".to_owned(),
        60..120 => "a minute ago".to_owned(),
        _ => format!("{} minutes ago", s / 60),
    }
}

fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

fn html(status: u16, title: &str, main: &str, goes_on_to: Option<&str>, cookie: Option<String>) -> Reply {
    // Browsers ask this policy about the redirect behind a form, too.
    let targets = goes_on_to.map(|p| format!(" {p}")).unwrap_or_default();
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{}'; form-action 'self'{targets}; base-uri 'none'; frame-ancestors 'none'",
        *STYLE_HASH
    );
    let mut headers = vec![
        ("content-type", "text/html; charset=utf-8".to_owned()),
        ("cache-control", "no-store".to_owned()),
        ("content-security-policy", policy),
        // With less, browsers send "null" as the origin of our own forms.
        ("referrer-policy", "same-origin".to_owned()),
        ("cross-origin-opener-policy", "same-origin".to_owned()),
    ];
    headers.extend(cookie.map(|c| ("set-cookie", c)));
    let body = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title} – Countersign</title>\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"><meta name=\"color-scheme\" content=\"light dark\">\
         <style>{STYLE}</style></head><body><main><p class=\"brand\">Countersign</p>{main}</main></body></html>",
        title = escape(title),
    );
    Reply { status, headers, body }
}

/// Why nobody was signed in.
pub(super) enum NotIn {
    Wrong,
    TooMany(u64),
    Later,
}

impl NotIn {
    pub(super) fn told(&self) -> String {
        match self {
            Self::Wrong => "The name or the password is wrong.".to_owned(),
            Self::TooMany(wait_s) => wait(*wait_s),
            Self::Later => LATER.to_owned(),
        }
    }

    pub(super) fn status(&self) -> u16 {
        match self {
            Self::Wrong => 403,
            Self::TooMany(_) => 429,
            Self::Later => 503,
        }
    }

    pub(super) fn with_wait(&self, mut reply: Reply) -> Reply {
        if let Self::TooMany(wait_s) = self {
            reply.headers.push(("retry-after", wait_s.to_string()));
        }
        reply
    }
}

impl LocalIssuer {
    /// The person whose name and password a form holds.
    pub(super) async fn person_by_password(
        &self,
        sent: &Form,
        source: IpAddr,
        now: Timestamp,
    ) -> Result<Account, NotIn> {
        let Some(door) = &self.door else { return Err(NotIn::Wrong) };
        let name = sent.get("name").unwrap_or_default();
        let password = Secret::from(sent.raw("password").unwrap_or_default().to_owned());
        let failure = match door.login(name, password, source, now).await {
            // Machines and agents have the token endpoint; here they are nobody.
            Ok(account) if account.kind == IdentityKind::Human => return Ok(account),
            Ok(_) => LoginFailure::Wrong,
            Err(failure) => failure,
        };
        tracing::info!(account = %crate::token::shown(name), %source, ?failure, "a sign-in failed");
        Err(match failure {
            LoginFailure::Wrong => NotIn::Wrong,
            LoginFailure::TooMany { wait_s } => NotIn::TooMany(wait_s),
            LoginFailure::Busy | LoginFailure::Store(_) => NotIn::Later,
        })
    }
}
