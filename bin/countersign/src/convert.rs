//! From the configuration's words to those of the services. It must never invent a value.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use countersign_config::{self as config, Config};
use countersign_credentials::{Account, AccountMatch, KeySource, SecretSource, Vault};
use countersign_directory::{Key, Realm};
use countersign_identity::local::ClientConfig;
use countersign_identity::saml::{MetadataSource, SamlConfig};
use countersign_identity::{
    Algorithm, BundleSource, ClaimMatch, Clones, IdentityConfig, IssuerConfig, MappingRule, OnUnreachable, SessionLife,
    SpiffeConfig, TokenReviewConfig, Unmapped,
};
use countersign_model::{Secret, Target, TargetName};
use countersign_recording::{RecordingConfig, Retention};
use countersign_runtime::{ClientCertificate, Endpoint, Roots, Route, TlsMode, UpstreamTls};
use countersign_store::StoreConfig;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;

use crate::failed::Failed;

fn read(path: &Path, what: &str) -> Result<Vec<u8>, Failed> {
    fs::read(path).map_err(|e| Failed::invalid(format!("{what} {} cannot be read: {e}", path.display())))
}

/// The ways to the targets.
pub(crate) fn routes(config: &Config) -> Result<Vec<Route>, Failed> {
    config.targets.iter().map(|t| route(t, &config.gateway.ask)).collect()
}

/// The way to one target; `ask` is what a denied person is told to do.
pub(crate) fn route(t: &config::TargetSpec, ask: &str) -> Result<Route, Failed> {
    let target = Target {
        name: t.name.clone(),
        protocol: t.protocol.as_str().into(),
        labels: t.labels.clone(),
        record: t.record,
        durable: t.durable,
        tagging: Arc::new(t.tagging.clone()),
    };
    let endpoint = match &t.endpoint {
        config::Endpoint::Tcp { host, port } => Endpoint::Tcp { host: host.clone(), port: *port },
        config::Endpoint::Unix(path) => Endpoint::Unix(path.clone()),
    };
    let tls = upstream_tls(&t.tls).map_err(|e| Failed::invalid(format!("target \"{}\": {e}", t.name)))?;
    let mut route = Route::new(Arc::new(target), endpoint, tls, t.database.as_deref().unwrap_or_default());
    route.host_keys = host_keys(t)?;
    route.connect_timeout = t.connect_timeout;
    route.server_name.clone_from(&t.tls.server_name);
    route.ask = (!ask.is_empty()).then(|| ask.into());
    Ok(route)
}

/// The keys that a target is known by: none that cannot be read, and for SSH at least one, because a target that anybody can pose as is
/// no target.
fn host_keys(t: &config::TargetSpec) -> Result<Arc<[String]>, Failed> {
    let ssh = t.protocol == "ssh";
    let host = match &t.endpoint {
        config::Endpoint::Tcp { host, .. } => host.as_str(),
        config::Endpoint::Unix(_) => "",
    };
    let read = |key: &String| {
        let none = "has no meaning for this protocol";
        let read = if ssh { countersign_ssh::host_key(key, host) } else { Err(none) };
        read.map_err(|why| Failed::invalid(format!("target \"{}\": the host key \"{key}\" {why}", t.name)))
    };
    let keys = t.host_keys.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    if !ssh && t.accounts.iter().any(|a| a.certificate) {
        let what = "`certificate = true` has no meaning for this protocol: only SSH logs in with such certificates";
        return Err(Failed::invalid(format!("target \"{}\": {what}", t.name)));
    }
    if ssh && t.host_keys.is_empty() {
        let what = "host_keys is missing: add the line of `ssh-keyscan HOST`, without the name, after comparing it";
        return Err(Failed::invalid(format!("target \"{}\": {what}", t.name)));
    }
    Ok(keys.into())
}

fn upstream_tls(t: &config::UpstreamTls) -> Result<UpstreamTls, Failed> {
    let mode = match t.mode {
        config::TlsMode::Disable => TlsMode::Disable,
        config::TlsMode::Require => TlsMode::InsecureEncrypt,
        config::TlsMode::VerifyCa => TlsMode::VerifyCa,
        config::TlsMode::VerifyFull => TlsMode::VerifyFull,
    };
    let roots = match (&t.ca, &t.ca_pem) {
        (Some(path), _) => Roots::Pem(read(path, "the CA file")?),
        (None, Some(pem)) => Roots::Pem(pem.as_bytes().to_vec()),
        (None, None) => Roots::System,
    };
    let client = match (&t.certificate, &t.key) {
        (Some(certificate), Some(key)) => Some(ClientCertificate {
            chain_pem: read(certificate, "the client certificate")?,
            key_pem: Secret::new(read(key, "the client certificate's key")?),
        }),
        _ => None,
    };
    UpstreamTls::new(mode, &roots, client.as_ref()).map_err(Failed::invalid)
}

/// Who uses which account where.
pub(crate) fn accounts(config: &Config) -> Vec<(TargetName, Vec<Account>)> {
    let account = |a: &config::Account| Account {
        matches: match &a.matches {
            config::Match::Default => AccountMatch::Default,
            config::Match::Any { groups, identities } => {
                AccountMatch::Any { groups: groups.clone(), identities: identities.clone() }
            }
        },
        user: a.user.clone(),
        password: a.password.as_ref().map(secret),
        key: a.key.as_ref().map(secret),
        certificate: a.certificate,
    };
    config.targets.iter().map(|t| (t.name.clone(), t.accounts.iter().map(account).collect())).collect()
}

/// Where a secret is.
pub(crate) fn secret(source: &config::SecretSource) -> SecretSource {
    match source {
        config::SecretSource::Env(name) => SecretSource::Env(name.clone()),
        config::SecretSource::File(path) => SecretSource::File(path.clone()),
        config::SecretSource::Vault(name) => SecretSource::Vault(name.clone()),
    }
}

/// The programs that people sign in to, with their secrets.
pub(crate) async fn clients(local: &config::LocalIssuer, vault: &Vault) -> Result<Vec<ClientConfig>, Failed> {
    let mut all = Vec::new();
    for c in &local.clients {
        let secret =
            match &c.secret {
                None => None,
                Some(source) => Some(secret(source).fetch(Some(vault)).await.map_err(|e| {
                    Failed::invalid(format!("the secret of the client \"{}\" cannot be had: {e}", c.id))
                })?),
            };
        all.push(ClientConfig { id: c.id.clone(), redirect_uris: c.redirect_uris.clone(), secret });
    }
    Ok(all)
}

/// Where the vault's key is.
pub(crate) fn vault_key(source: &config::KeySource) -> KeySource {
    match source {
        config::KeySource::File(path) => KeySource::File(path.clone()),
        config::KeySource::Env(name) => KeySource::Env(name.clone()),
        config::KeySource::Command(argv) => KeySource::Command(argv.clone()),
    }
}

/// Which store.
pub(crate) fn store(spec: &config::StoreSpec) -> Result<StoreConfig, Failed> {
    Ok(match spec {
        config::StoreSpec::Sqlite { path, timeout } => StoreConfig::Sqlite { path: path.clone(), timeout: *timeout },
        config::StoreSpec::Postgres { url, timeout } => {
            let url = match url {
                config::UrlSource::Env(name) => std::env::var(name)
                    .map_err(|_| Failed::invalid(format!("the variable {name} with the store's URL is not set")))?,
                config::UrlSource::File(path) => {
                    String::from_utf8_lossy(&read(path, "the file with the store's URL")?).trim().to_owned()
                }
            };
            StoreConfig::Postgres { url: Secret::from(url), timeout: *timeout }
        }
    })
}

/// How sessions are recorded.
pub(crate) fn recording(config: &Config) -> RecordingConfig {
    let mut out = RecordingConfig::new(&config.recording.dir);
    out.segment_bytes = config.recording.segment_bytes;
    out.sync_interval = config.recording.sync_interval;
    out.refused = Retention {
        days: Some(config.recording.refused_days),
        budget_bytes: Some(config.recording.refused_budget_bytes.max(out.segment_bytes)),
    };
    for t in &config.targets {
        out.targets.insert(t.name.clone(), Retention { days: t.retention_days, budget_bytes: t.budget_bytes });
    }
    out
}

/// How identities live; `api_url` is where clients reach the API.
pub(crate) fn identity(config: &Config, api_url: &str) -> IdentityConfig {
    let i = &config.identity;
    IdentityConfig {
        certificate_lifetime_s: i.certificate_lifetime.as_secs(),
        login_lifetime_s: i.login_lifetime.as_secs(),
        session_life: match i.session_life {
            config::SessionLife::Identity => SessionLife::Identity,
            config::SessionLife::Token => SessionLife::Token,
        },
        clones: match i.clones {
            config::Clones::Alert => Clones::Alert,
            config::Clones::Refuse => Clones::Refuse,
        },
        urls: vec![api_url.to_owned()],
    }
}

/// The issuers whose tokens are accepted.
pub(crate) fn issuers(config: &Config) -> Result<Vec<IssuerConfig>, Failed> {
    config.issuers.iter().map(issuer).collect()
}

fn issuer(i: &config::Issuer) -> Result<IssuerConfig, Failed> {
    let audiences: Vec<&str> = i.audiences.iter().map(String::as_str).collect();
    let mut out = IssuerConfig::new(&i.label, &i.url, &audiences);
    out.algorithms = i
        .algorithms
        .iter()
        .map(|a| {
            serde_json::from_value::<Algorithm>(a.as_str().into())
                .map_err(|_| Failed::invalid(format!("issuer \"{}\": {a} is not an algorithm that is spoken", i.label)))
        })
        .collect::<Result<_, _>>()?;
    out.jwks_uri.clone_from(&i.jwks_uri);
    out.jwks_file.clone_from(&i.jwks_file);
    out.ca_file.clone_from(&i.ca);
    out.types.clone_from(&i.types);
    out.accept_id_tokens = i.accept_id_tokens;
    out.authorized_parties.clone_from(&i.authorized_parties);
    out.single_use = i.single_use;
    out.require_bound = i.require_bound;
    out.leeway_s = i.leeway.as_secs();
    out.max_token_lifetime_s = i.token_lifetime_max.as_secs();
    out.keys_refresh_s = i.keys_refresh.as_secs();
    out.max_keys_age_s = i.keys_age_max.as_secs();
    out.name_claim.clone_from(&i.name_claim);
    out.name_prefix.clone_from(&i.name_prefix);
    out.groups_claim.clone_from(&i.groups_claim);
    out.groups_prefix.clone_from(&i.groups_prefix);
    out.kind = i.kind;
    out.kind_claim.clone_from(&i.kind_claim);
    out.unmapped = i.accept_unmapped.map(|accept| if accept { Unmapped::Accept } else { Unmapped::Refuse });
    out.token_review = i.token_review.as_ref().map(|r| TokenReviewConfig {
        url: r.url.clone(),
        ca_file: r.ca.clone(),
        token_file: r.token_file.clone(),
        on_unreachable: if r.accept_unreachable { OnUnreachable::Accept } else { OnUnreachable::Refuse },
    });
    out.mapping = i.mappings.iter().map(mapping).collect();
    Ok(out)
}

/// The trust domains whose workloads are known.
pub(crate) fn trust_domains(config: &Config) -> Vec<SpiffeConfig> {
    config.spiffe.iter().map(trust_domain).collect()
}

fn trust_domain(s: &config::Spiffe) -> SpiffeConfig {
    SpiffeConfig {
        trust_domain: s.trust_domain.clone(),
        audiences: s.audiences.clone(),
        bundle: match &s.bundle {
            config::BundleSource::File(path) => BundleSource::File(path.clone()),
            config::BundleSource::Url { url, ca } => BundleSource::Url { url: url.clone(), ca_file: ca.clone() },
        },
        bundle_refresh_s: s.bundle_refresh.as_secs(),
        max_bundle_age_s: s.bundle_age_max.as_secs(),
        single_use: s.single_use,
        require_bound: s.require_bound,
        leeway_s: s.leeway.as_secs(),
        max_token_lifetime_s: s.token_lifetime_max.as_secs(),
        name_prefix: s.name_prefix.clone(),
        unmapped: s.accept_unmapped.map(|accept| if accept { Unmapped::Accept } else { Unmapped::Refuse }),
        mapping: s.mappings.iter().map(mapping).collect(),
    }
}

/// The directories that identity providers keep current, with their tokens.
pub(crate) async fn realms(config: &Config, vault: Option<&Vault>) -> Result<Vec<Realm>, Failed> {
    let mut all = Vec::new();
    for s in &config.scim {
        let oidc = config.issuers.iter().find(|i| i.label == s.issuer).map(|i| &i.url);
        let saml = config.saml.iter().find(|i| i.label == s.issuer).map(|i| &i.entity_id);
        let issuer = oidc.or(saml).ok_or_else(|| Failed::invalid(format!("there is no issuer \"{}\"", s.issuer)))?;
        let token = secret(&s.token).fetch(vault).await.map_err(|e| {
            Failed::invalid(format!("the token of the directory of \"{}\" cannot be had: {e}", s.issuer))
        })?;
        let key = if s.by_name { Key::UserName } else { Key::ExternalId };
        all.push(Realm::new(&s.issuer, issuer, key, &s.claim, &token).map_err(Failed::invalid)?);
    }
    Ok(all)
}

/// The identity providers that people sign in at by SAML; `base` is where browsers reach the gateway.
pub(crate) fn saml(config: &Config, base: &str) -> Result<Vec<SamlConfig>, Failed> {
    config.saml.iter().map(|s| saml_provider(s, base)).collect()
}

fn saml_provider(s: &config::Saml, base: &str) -> Result<SamlConfig, Failed> {
    let default = format!("{base}/console/saml/{}/metadata", s.label);
    let ours = s.sp_entity_id.clone().unwrap_or(default);
    let metadata = match &s.metadata {
        config::MetadataSource::File(path) => MetadataSource::File(path.clone()),
        config::MetadataSource::Url { url, ca } => MetadataSource::Url { url: url.clone(), ca_file: ca.clone() },
    };
    let mut out = SamlConfig::new(&s.label, &s.entity_id, &ours, metadata);
    if let Some(path) = &s.metadata_signed_by {
        let pem = read(path, "the certificate of the metadata")?;
        let certificate = CertificateDer::from_pem_slice(&pem)
            .map_err(|e| Failed::invalid(format!("{}: it holds no certificate: {e}", path.display())))?;
        out.metadata_signed_by = Some(certificate.to_vec());
    }
    out.metadata_refresh_s = s.metadata_refresh.as_secs();
    out.max_metadata_age_s = s.metadata_age_max.as_secs();
    out.subject_attribute.clone_from(&s.subject_attribute);
    out.name_attribute.clone_from(&s.name_attribute);
    out.name_prefix.clone_from(&s.name_prefix);
    out.email_attribute.clone_from(&s.email_attribute);
    out.groups_attribute.clone_from(&s.groups_attribute);
    out.groups_prefix.clone_from(&s.groups_prefix);
    out.name_id_format = s.name_id_format.map(|format| match format {
        config::NameIdFormat::Persistent => "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent".to_owned(),
        config::NameIdFormat::Email => "urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress".to_owned(),
    });
    out.sign_requests = s.sign_requests;
    out.require_encrypted = s.require_encrypted;
    out.accept_response_signature = s.accept_response_signature;
    out.leeway_s = s.leeway.as_secs();
    out.unmapped = s.accept_unmapped.map(|accept| if accept { Unmapped::Accept } else { Unmapped::Refuse });
    out.mapping = s.mappings.iter().map(mapping).collect();
    Ok(out)
}

fn mapping(m: &config::Mapping) -> MappingRule {
    let when = m.when.iter().map(|(name, value)| {
        let value = match value {
            config::ClaimValue::Text(t) => ClaimMatch::Text(t.clone()),
            config::ClaimValue::Bool(b) => ClaimMatch::Bool(*b),
            config::ClaimValue::Integer(n) => ClaimMatch::Integer(*n),
            config::ClaimValue::AnyOf(all) => ClaimMatch::AnyOf(all.clone()),
        };
        (name.clone(), value)
    });
    MappingRule { when: when.collect(), name: m.name.clone(), groups: m.groups.clone(), kind: m.kind }
}
