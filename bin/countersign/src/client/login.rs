//! `countersign login`: a key made here, a token from an issuer, and a short-lived certificate from the gateway that is useless without
//! the key.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use clap::Args;
use countersign_model::Timestamp;
use reqwest::Url;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;

use super::browser;
use super::gateway::{Gateway, LoginFacts, TokenKind};
use super::http::Trust;
use super::key::LoginKey;
use super::oidc::{Obtained, Provider};
use super::session::{At, chosen, empty, issuer_trust, take_over};
use super::sheet::Sheet;
use super::state::{Facts, Login as Kept, Origin, State};
use super::workload::{Options, Source};
use crate::cli::Format;
use crate::clock;
use crate::commands::paper::Paper;
use crate::commands::text::{inert, moment};
use crate::failed::Failed;

/// The longest file of authorities, in bytes.
const CA_FILE_BYTES_MAX: u64 = 1 << 20;

/// `countersign login`.
#[derive(Debug, Args)]
pub(crate) struct Login {
    #[command(flatten)]
    at: At,
    /// The authority that signed the gateway's certificate (PEM); without it, the system's authorities.
    #[arg(long, value_name = "FILE", env = "COUNTERSIGN_CA")]
    ca: Option<PathBuf>,
    /// The issuer to log in at, by its label; needed where the gateway names several.
    #[arg(long, value_name = "LABEL", conflicts_with = "workload")]
    issuer: Option<String>,
    /// Show a code to type into a browser elsewhere.
    #[arg(long, conflicts_with_all = ["no_browser", "workload"])]
    device: bool,
    /// Print the page's address and open nothing.
    #[arg(long, conflicts_with = "workload")]
    no_browser: bool,
    /// Log in as this CI job, pod or service, with its own token.
    #[arg(long)]
    workload: bool,
    #[command(flatten)]
    token: Options,
    /// How to print.
    #[arg(long, value_enum, default_value_t)]
    output: Format,
}

/// Runs it.
pub(super) async fn run(args: &Login) -> Result<(), Failed> {
    let url = args.at.url()?;
    let state = State::of(&url)?;
    let trust = trust(args.ca.as_deref(), &state)?;
    let gateway = Gateway::new(&url, &trust, None)?;
    let facts = gateway.login_facts().await?;
    // Before anything else: a token may be asked for that is good with this key alone.
    let key = LoginKey::generate()?;

    let mut kept = prepared(&url, &trust, &facts, &key, args)?;
    let (obtained, kind) = match &kept.facts.origin {
        Origin::Workload { from, audience } => {
            let token = from.token(audience, &key.thumbprint(), &issuer_trust(&kept)).await?;
            (Obtained { token, refresh: None }, TokenKind::Jwt)
        }
        Origin::Person { label } => {
            let issuer = chosen(&facts, Some(label))?;
            let provider = Provider::discover(issuer, &issuer_trust(&kept), Some(&key)).await?;
            (person(&provider, args).await?, issuer.token)
        }
    };
    let issued = gateway.exchange(&obtained.token, kind, &key).await?;
    kept.refresh = obtained.refresh;
    take_over(&mut kept, issued, clock::now());
    let held = state.hold().await?;
    state.keep(&held, &kept)?;
    drop(held);
    say(&kept, &state, args.output)
}

async fn person(provider: &Provider<'_>, args: &Login) -> Result<Obtained, Failed> {
    let opens = !args.no_browser && browser::is_there();
    if args.device || (!opens && !args.no_browser && provider.offers_device()) {
        return provider.by_device().await;
    }
    provider.by_browser(opens).await
}

/// The login as far as it is known before it happens.
fn prepared(url: &Url, trust: &Trust, facts: &LoginFacts, key: &LoginKey, args: &Login) -> Result<Kept, Failed> {
    let origin = if args.workload {
        let audience = args.token.audience.clone().unwrap_or_else(|| facts.audience.clone());
        Origin::Workload { from: Source::choose(&args.token)?, audience }
    } else {
        Origin::Person { label: chosen(facts, args.issuer.as_deref())?.label.clone() }
    };
    let mut authorities = trust.pem.clone();
    // The gateway was verified, so that it may say who vouches for its other doors.
    if let Some(more) = facts.gateway_ca_pem.as_deref().filter(|m| !authorities.contains(m.trim())) {
        authorities.push_str(more);
    }
    let mut known = Facts::new(url, trust.system, origin);
    known.listeners.clone_from(&facts.listeners);
    known.ssh_host_authority.clone_from(&facts.ssh_host_authority);
    Ok(empty(known, key, authorities))
}

/// Whom to trust: the file that was named, else what an earlier login at this gateway was told, else the system.
fn trust(ca: Option<&Path>, state: &State) -> Result<Trust, Failed> {
    if let Some(path) = ca {
        return Ok(Trust { pem: authorities(path)?, system: false });
    }
    // A broken login must not keep anybody from a new one.
    match state.load() {
        Ok(Some(login)) => Ok(login.trust()),
        _ => Ok(Trust { pem: String::new(), system: true }),
    }
}

fn authorities(path: &Path) -> Result<String, Failed> {
    let at = |what: String| Failed::new(format!("--ca {}: {what}", path.display()));
    let mut pem = String::new();
    let file = File::open(path).map_err(|e| at(e.to_string()))?;
    file.take(CA_FILE_BYTES_MAX + 1).read_to_string(&mut pem).map_err(|e| at(e.to_string()))?;
    if pem.len() as u64 > CA_FILE_BYTES_MAX {
        return Err(at(format!("longer than {CA_FILE_BYTES_MAX} bytes")));
    }
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    match all {
        Ok(all) if !all.is_empty() => {}
        _ => return Err(at("no certificate (PEM) in it".to_owned())),
    }
    if pem.contains("PRIVATE KEY") {
        return Err(at("there is a private key in it: only certificates belong there".to_owned()));
    }
    Ok(pem)
}

fn say(login: &Kept, state: &State, format: Format) -> Result<(), Failed> {
    let mut paper = Paper::new();
    let facts = &login.facts;
    if format == Format::Json {
        paper.json(&serde_json::json!({
            "gateway": facts.gateway,
            "identity": facts.identity,
            "login": facts.login,
            "login_ends_unix_s": facts.login_ends,
            "certificate_ends_unix_s": facts.certificate_ends,
            "folder": state.dir(),
        }))?;
        return paper.done();
    }
    let until = |s: i64| format!("until {} UTC", moment(Timestamp::from_unix_s(s)));
    paper.line(&format!("logged in as {} ({})", inert(&facts.identity.name), inert(&facts.identity.kind)))?;
    let mut sheet = Sheet::default();
    sheet.add("gateway", &facts.gateway);
    sheet.add("groups", &facts.identity.groups.join(", "));
    sheet.add("certificate", &until(facts.certificate_ends));
    sheet.add("login", &until(facts.login_ends));
    sheet.add("kept in", &state.dir().display().to_string());
    sheet.print(&mut paper)?;
    paper.done()
}
