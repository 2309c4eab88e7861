//! From tables to the typed configuration, with the places that the checks need.

mod applied;
mod identity;
mod masking;
mod notices;
mod saml;
mod scim;
mod spiffe;
mod target;

pub(crate) use applied::applied;
pub(crate) use masking::tag_file;

use std::net::{Ipv4Addr, SocketAddr};
use std::ops::Range;
use std::path::{Path, PathBuf};

use countersign_model::TargetName;
use toml::de::DeTable;

use crate::model::{
    Api, Certificate, Config, Gateway, KeySource, ListenerLogin, ListenerSpec, LogFormat, Plaintext, PolicyFiles,
    Recording, StoreSpec, Telemetry, UrlSource, Vault,
};
use crate::read::{At, Fault, Sink, Table};
use crate::schema::{self, Section};
use crate::{ProtocolFacts, model};

/// A configuration, complete only when no error was found, and where its parts stand.
pub(crate) struct Decoded {
    pub(crate) config: Config,
    pub(crate) places: Places,
}

/// Where things stand that are checked against each other or against the world.
#[derive(Default)]
pub(crate) struct Places {
    /// Files that must be there.
    pub(crate) files: Vec<At<PathBuf>>,
    /// Files of tags, and of which target.
    pub(crate) tag_files: Vec<(At<PathBuf>, TargetName)>,
    /// Variables that must be set.
    pub(crate) variables: Vec<At<String>>,
    pub(crate) policy: Range<usize>,
    pub(crate) listeners: Vec<(At<SocketAddr>, &'static str)>,
    pub(crate) api: Option<At<SocketAddr>>,
    pub(crate) targets: Vec<At<TargetName>>,
    pub(crate) target_protocols: Vec<At<&'static str>>,
    pub(crate) issuers: Vec<At<String>>,
    pub(crate) issuer_labels: Vec<At<String>>,
    pub(crate) trust_domains: Vec<At<String>>,
    /// The labels of identity providers that speak SAML.
    pub(crate) saml: Vec<At<String>>,
    pub(crate) receivers: Vec<At<String>>,
    /// The issuers that have a directory.
    pub(crate) scim: Vec<At<String>>,
    pub(crate) local_issuer: Option<Range<usize>>,
    /// Uses of the encrypted store.
    pub(crate) vault_uses: Vec<At<String>>,
    /// Accounts that log in with certificates.
    pub(crate) certified: Vec<At<bool>>,
    pub(crate) whole: Range<usize>,
}

/// What decoding needs besides the tables.
struct Decoder<'d, 's> {
    sink: &'d mut Sink<'s>,
    places: Places,
    base: PathBuf,
    protocols: &'d [ProtocolFacts],
    /// Whether it came over the API: then nothing of the gateway's machine may be named.
    is_applied: bool,
}

/// Decodes the whole tree.
pub(crate) fn config(
    tree: &DeTable<'_>,
    span: Range<usize>,
    protocols: &[ProtocolFacts],
    file: &Path,
    sink: &mut Sink<'_>,
) -> Decoded {
    let base = file.parent().map(Path::to_path_buf).unwrap_or_default();
    let whole = span.start..span.start;
    let places = Places { whole: whole.clone(), policy: whole.clone(), ..Places::default() };
    let mut d = Decoder { sink, places, base, protocols, is_applied: false };
    let mut root = Table::new(&schema::ROOT, String::new(), tree, whole);
    let t = root.table_or_default(d.sink, "gateway", &schema::GATEWAY);
    let gateway = d.gateway(t);
    let t = root.tables(d.sink, "listener", &schema::LISTENER);
    let listeners = t.into_iter().filter_map(|t| d.listener(t)).collect();
    let t = root.table_or_default(d.sink, "api", &schema::API);
    let api = d.api(t);
    let t = root.table_or_default(d.sink, "store", &schema::STORE);
    let store = d.store(t, &gateway.data_dir);
    let t = root.tables(d.sink, "target", &schema::TARGET);
    let targets = t.into_iter().filter_map(|t| d.target(t)).collect();
    let t = root.tables(d.sink, "issuer", &schema::ISSUER);
    let issuers = t.into_iter().filter_map(|t| d.issuer(t)).collect();
    let t = root.tables(d.sink, "spiffe", &schema::SPIFFE);
    let spiffe = t.into_iter().filter_map(|t| d.spiffe(t)).collect();
    let t = root.tables(d.sink, "saml", &schema::SAML);
    let saml = t.into_iter().filter_map(|t| d.saml(t)).collect();
    let t = root.tables(d.sink, "scim", &schema::SCIM);
    let scim = t.into_iter().filter_map(|t| d.scim(t)).collect();
    let local_issuer = root.table(d.sink, "local_issuer", &schema::LOCAL_ISSUER).map(|t| d.local_issuer(t));
    let t = root.table_or_default(d.sink, "identity", &schema::IDENTITY);
    let identity = d.identity(t);
    let t = root.table_or_default(d.sink, "policy", &schema::POLICY);
    let policy = d.policy(t);
    let t = root.table_or_default(d.sink, "recording", &schema::RECORDING);
    let recording = d.recording(t, &gateway.data_dir);
    let t = root.tables(d.sink, "receiver", &schema::RECEIVER);
    let receivers = t.into_iter().filter_map(|t| d.receiver(t)).collect();
    let t = root.table_or_default(d.sink, "telemetry", &schema::TELEMETRY);
    let telemetry = d.telemetry(t);
    let vault = root.table(d.sink, "vault", &schema::VAULT).and_then(|t| d.vault(t));
    root.finish(d.sink);
    let config = Config {
        gateway,
        listeners,
        api,
        store,
        targets,
        issuers,
        spiffe,
        saml,
        scim,
        local_issuer,
        identity,
        policy,
        recording,
        receivers,
        telemetry,
        vault,
    };
    Decoded { config, places: d.places }
}

/// The value; its type's own default when a problem was reported instead.
fn taken<T: Default>(v: Option<At<T>>) -> T {
    v.map(|a| a.value).unwrap_or_default()
}

impl Decoder<'_, '_> {
    fn names(&self) -> Vec<&'static str> {
        self.protocols.iter().map(|p| p.name).collect()
    }

    /// The path that a text names; none in what is applied.
    fn resolve<T>(&mut self, at: &At<T>, path: &str) -> Option<PathBuf> {
        self.is_own(at).then(|| self.base.join(path))
    }

    /// Whether the key is for the gateway's own configuration alone and this is it; complains where it is not.
    fn is_own<T>(&mut self, at: &At<T>) -> bool {
        if self.is_applied {
            let name = at.key.rsplit('.').next().unwrap_or_default();
            let message = format!("`{name}` is for the gateway's own configuration: it cannot be applied");
            let help = match name {
                "env" | "file" => {
                    "keep the secret with `countersign credentials set NAME` and write { vault = \"NAME\" }"
                }
                "ca" => "write the authorities themselves as `ca_pem`",
                "tags" => "write [[tag]] with `target`",
                _ => "leave it out, or have this target configured at the gateway",
            };
            self.sink.error(Fault::new(at.span.clone(), at.key.clone(), message).help(help));
        }
        !self.is_applied
    }

    /// A path that need not be there yet.
    fn path(&mut self, t: &mut Table<'_>, name: &'static str) -> Option<PathBuf> {
        let p = t.text(self.sink, name)?;
        self.resolve(&p, &p.value)
    }

    /// A file that must be there.
    fn file(&mut self, t: &mut Table<'_>, name: &'static str) -> Option<PathBuf> {
        let p = t.text(self.sink, name)?;
        let path = self.resolve(&p, &p.value)?;
        self.places.files.push(At { value: path.clone(), span: p.span, key: p.key, given: p.given });
        Some(path)
    }

    /// A variable that must be set.
    fn variable(&mut self, t: &mut Table<'_>, name: &'static str) -> Option<String> {
        let v = t.text(self.sink, name)?;
        if !self.is_own(&v) {
            return None;
        }
        if v.value.is_empty() || v.value.contains('=') {
            let fault = Fault::new(v.span, v.key, "this is not the name of a variable".to_owned());
            self.sink.error(fault.expected("a name such as \"ORDERS_PASSWORD\", without `$` and value"));
            return None;
        }
        let name = v.value.clone();
        self.places.variables.push(v);
        Some(name)
    }

    /// Exactly one of the keys must be there.
    fn one_key(&mut self, t: &Table<'_>, section: &'static Section) -> bool {
        let given = section.keys.iter().filter(|k| t.has(k.name)).count();
        if given == 1 {
            return true;
        }
        if given == 0 && !t.is_empty() {
            // The unknown key that is there instead is complained of by itself.
            return false;
        }
        let names: Vec<String> = section.keys.iter().map(|k| format!("`{}`", k.name)).collect();
        let fault = Fault::new(t.span.clone(), t.path.clone(), format!("{given} sources are given"));
        self.sink.error(fault.expected(format!("exactly one of {}", names.join(", "))));
        false
    }

    fn gateway(&mut self, mut t: Table<'_>) -> Gateway {
        let s = &mut *self.sink;
        let workers = t.count(s, "workers").and_then(|n| usize::try_from(n.value).ok());
        let ask = taken(t.text(s, "ask"));
        let drain_timeout = taken(t.seconds(s, "drain_timeout_s"));
        let connections_max = usize::try_from(taken(t.count(s, "max_connections"))).unwrap_or(usize::MAX);
        let login_timeout = taken(t.seconds(s, "login_timeout_s"));
        let data_dir = self.path(&mut t, "data_dir").unwrap_or_default();
        t.finish(self.sink);
        Gateway { data_dir, workers, ask, drain_timeout, connections_max, login_timeout }
    }

    fn certificate(&mut self, t: &mut Table<'_>, name: &'static str) -> Option<Certificate> {
        if let Some(word) = t.word_instead(name) {
            let span = t.span_of(name);
            let key = t.path_of(name);
            t.note(name);
            if word == "generated" {
                return Some(Certificate::Generated);
            }
            let fault = Fault::new(span, key, format!("`{name}` is not as expected"))
                .found(format!("the text \"{}\"", crate::read::cut(&word)))
                .expected("\"generated\", or { certificate = \"PATH\", key = \"PATH\" }");
            let meant = crate::suggest::nearest(&word, ["generated"]).is_some();
            self.sink.error(if meant { fault.help("did you mean \"generated\"?") } else { fault });
            return None;
        }
        let mut files = t.table(self.sink, name, &schema::CERTIFICATE)?;
        let certificate = self.file(&mut files, "certificate");
        let key = self.file(&mut files, "key");
        files.finish(self.sink);
        Some(Certificate::Files { certificate: certificate?, key: key? })
    }

    fn listener(&mut self, mut t: Table<'_>) -> Option<ListenerSpec> {
        let protocol = t.protocol(self.sink, "protocol", &self.names());
        let address = t.address(self.sink, "address");
        let plaintext = t.text(self.sink, "plaintext");
        let login = match t.text(self.sink, "login").as_ref().map(|l| l.value.as_str()) {
            Some("oauthbearer") => ListenerLogin::OAuthBearer,
            _ => ListenerLogin::Password,
        };
        let oauth_issuer = t.text(self.sink, "oauth_issuer");
        if let Some(issuer) = &oauth_issuer {
            self.plain_http(issuer, "tokens");
        }
        let oauth_scope = t.text(self.sink, "oauth_scope").map_or_else(|| "openid".to_owned(), |s| s.value);
        let tls = self.certificate(&mut t, "tls").unwrap_or(Certificate::Generated);
        let plain = match plaintext.as_ref().map(|p| p.value.as_str()) {
            Some("never") => Plaintext::Never,
            Some("always") => Plaintext::Always,
            _ => Plaintext::Loopback,
        };
        if let (Some(p), Some(a), Plaintext::Always) = (&plaintext, &address, plain)
            && !a.value.ip().is_loopback()
        {
            let message = "tokens may cross the network in the clear here".to_owned();
            let fault = Fault::new(p.span.clone(), p.key.clone(), message)
                .found(format!("plaintext = \"always\" on {}", a.value))
                .help("use \"loopback\" or \"never\", unless another layer encrypts");
            self.sink.warning(fault);
        }
        t.finish(self.sink);
        let (protocol, address) = (protocol?, address?);
        self.places.listeners.push((address.clone(), protocol.value));
        Some(ListenerSpec {
            protocol: protocol.value.to_owned(),
            address: address.value,
            plaintext: plain,
            login,
            oauth_issuer: oauth_issuer.map(|i| i.value),
            oauth_scope,
            tls,
        })
    }

    fn api(&mut self, mut t: Table<'_>) -> Api {
        let address = t.address(self.sink, "address");
        let tls = self.certificate(&mut t, "tls");
        let connections_max = usize::try_from(taken(t.count(self.sink, "max_connections"))).unwrap_or(usize::MAX);
        t.finish(self.sink);
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        self.places.api.clone_from(&address);
        Api { address: address.map_or(any, |a| a.value), tls, connections_max }
    }

    fn store(&mut self, mut t: Table<'_>, data_dir: &Path) -> StoreSpec {
        let timeout = taken(t.seconds(self.sink, "timeout_s"));
        let postgres = t.text(self.sink, "backend").is_some_and(|b| b.value == "postgres");
        let path = self.path(&mut t, "path");
        let url_place = (t.span_of("url"), t.path_of("url"));
        let url_given = t.has("url");
        let url = t.table(self.sink, "url", &schema::STORE_URL).and_then(|t| self.store_url(t));
        let wrong = if postgres { path.is_some().then_some("path") } else { url_given.then_some("url") };
        if let Some(name) = wrong {
            let backend = if postgres { "postgres" } else { "sqlite" };
            let fault = Fault::new(t.span_of(name), t.path_of(name), format!("`{name}` has no use here"));
            let other = if postgres { "sqlite" } else { "postgres" };
            self.sink.error(
                fault
                    .found(format!("backend = \"{backend}\""))
                    .expected(format!("backend = \"{other}\" with `{name}`")),
            );
        }
        if postgres && !url_given {
            let fault = Fault::new(url_place.0, url_place.1, "`url` is missing in [store]".to_owned());
            self.sink.missing(fault.expected("{ env = \"NAME\" } or { file = \"PATH\" }"));
        }
        t.finish(self.sink);
        match url {
            Some(url) => StoreSpec::Postgres { url, timeout },
            None => StoreSpec::Sqlite { path: path.unwrap_or_else(|| data_dir.join("countersign.db")), timeout },
        }
    }

    fn store_url(&mut self, mut t: Table<'_>) -> Option<UrlSource> {
        let one = self.one_key(&t, &schema::STORE_URL);
        let env = self.variable(&mut t, "env").map(UrlSource::Env);
        let file = self.file(&mut t, "file").map(UrlSource::File);
        t.finish(self.sink);
        env.or(file).filter(|_| one)
    }

    fn policy(&mut self, mut t: Table<'_>) -> PolicyFiles {
        let files = t.texts(self.sink, "files");
        if let Some(f) = &files {
            self.places.policy = f.span.clone();
        }
        if let Some(f) = files.as_ref().filter(|f| f.value.is_empty()) {
            let fault = Fault::new(f.span.clone(), f.key.clone(), "without policies everything is denied".to_owned());
            self.sink.warning(fault.expected("at least one pattern, such as \"policies/*.cedar\""));
        }
        t.finish(self.sink);
        // A pattern character in the folder's own name must not act as one.
        let base = glob::Pattern::escape(&self.base.to_string_lossy());
        let join = |p: &String| Path::new(&base).join(p).to_string_lossy().into_owned();
        PolicyFiles { patterns: files.map(|f| f.value.iter().map(join).collect()).unwrap_or_default() }
    }

    fn recording(&mut self, mut t: Table<'_>, data_dir: &Path) -> Recording {
        let dir = self.path(&mut t, "dir").unwrap_or_else(|| data_dir.join("recordings"));
        let segment_bytes = taken(t.size(self.sink, "segment_bytes"));
        let sync_interval = std::time::Duration::from_millis(taken(t.count(self.sink, "sync_interval_ms")));
        let refused_days = u32::try_from(taken(t.count(self.sink, "refused_days"))).unwrap_or(u32::MAX);
        let refused_budget_bytes = taken(t.size(self.sink, "refused_budget_bytes"));
        t.finish(self.sink);
        Recording { dir, segment_bytes, sync_interval, refused_days, refused_budget_bytes }
    }

    fn telemetry(&mut self, mut t: Table<'_>) -> Telemetry {
        let json = t.text(self.sink, "log").is_some_and(|l| l.value == "json");
        let level = t.text(self.sink, "level");
        let otlp_endpoint = t.text(self.sink, "otlp_endpoint").map(|e| e.value);
        t.finish(self.sink);
        if let Some(l) = &level {
            self.level(l);
        }
        let log = if json { LogFormat::Json } else { LogFormat::Text };
        Telemetry { log, level: taken(level), otlp_endpoint }
    }

    /// A level, or `module=level` parts joined by commas.
    fn level(&mut self, l: &At<String>) {
        const LEVELS: [&str; 6] = ["error", "warn", "info", "debug", "trace", "off"];
        for part in l.value.split(',') {
            let word = part.rsplit('=').next().unwrap_or_default().trim();
            if LEVELS.contains(&word) {
                continue;
            }
            let fault = Fault::new(l.span.clone(), l.key.clone(), "`level` is not as expected".to_owned())
                .found(format!("the text \"{}\"", crate::read::cut(word)))
                .expected(
                    "error, warn, info, debug, trace or off; or a list such as \"info,countersign_runtime=debug\"",
                );
            let meant = crate::suggest::nearest(word, LEVELS);
            self.sink.error(match meant {
                Some(m) => fault.help(format!("did you mean \"{m}\"?")),
                None => fault,
            });
            return;
        }
    }

    fn vault(&mut self, mut t: Table<'_>) -> Option<Vault> {
        let key = t.table(self.sink, "key", &schema::KEY_SOURCE).and_then(|t| self.key_source(t));
        t.finish(self.sink);
        Some(Vault { key: key? })
    }

    fn key_source(&mut self, mut t: Table<'_>) -> Option<KeySource> {
        let one = self.one_key(&t, &schema::KEY_SOURCE);
        let file = self.file(&mut t, "file").map(KeySource::File);
        let env = self.variable(&mut t, "env").map(KeySource::Env);
        let command = t.texts(self.sink, "command");
        t.finish(self.sink);
        if let Some(c) = command.as_ref().filter(|c| c.value.first().is_none_or(String::is_empty)) {
            let fault = Fault::new(c.span.clone(), c.key.clone(), "the command is empty".to_owned());
            self.sink.error(fault.expected("a program and its arguments, such as [\"/usr/bin/kms\", \"decrypt\"]"));
            return None;
        }
        file.or(env).or(command.map(|c| model::KeySource::Command(c.value))).filter(|_| one)
    }
}
