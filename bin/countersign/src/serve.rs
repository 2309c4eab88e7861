//! Runs a gateway: listeners, the HTTP side, signals. SIGHUP reloads, SIGTERM and SIGINT drain.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use countersign_api::{
    Api, ApiKeyDoor, Check, ConfigurationDoor, Desk, FactorDoor, GrantDoor, IdentityDoor, IssuerDoor, Metrics,
    ReviewDoor, ScimDoor, ServeOptions, SqlDoor, TargetDoor,
};
use countersign_config::{self as config, Certificate, Config, Loaded};
use countersign_enforce::{Hosted, Protocol};
use countersign_locks::POLL_INTERVAL;
use countersign_notices::Notices;
use countersign_postgres::{LoginMethod, Postgres};
use countersign_recording::Reader;
use countersign_runtime::{
    Entrance, Gateway, GatewayConfig, ListenerConfig, Plaintext, SessionRegistry, TlsReload, raise_file_limit,
    server_config,
};
use countersign_ssh::Ssh;
use countersign_store::Store;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

use crate::adapters::IssuerDoors;
use crate::api_keys::ApiKeyCounter;
use crate::applied::{self, Applying};
use crate::certificates::Authority;
use crate::directory::DirectoryDoor;
use crate::failed::Failed;
use crate::house::{House, ask, load_config, local_issuer_url};
use crate::logins::{ApiCallers, GENERATED_CA, ServiceDoors, login_facts};
use crate::reviews::ReviewDesk;
use crate::sql::SqlCounter;
use crate::targets::TargetCounter;
use crate::{clock, console, convert, notices};

/// How often the local issuer and the identity service look after their keys, and after what is over.
const ISSUER_UPKEEP: Duration = Duration::from_secs(300);

/// How often what the rules about tags find is looked at.
const TAGS_INTERVAL: Duration = Duration::from_secs(5);

/// A running gateway.
pub(crate) struct Running {
    pub(crate) house: Arc<House>,
    gateway: Gateway,
    listeners: Vec<Listening>,
    api_stop: Option<oneshot::Sender<()>>,
    api: tokio::task::JoinHandle<()>,
    draining: Arc<AtomicBool>,
    notices: Notices,
    login_facts: Arc<ArcSwap<String>>,
    ssh_authority: Option<String>,
    /// Dropping it ends the watch of the locks.
    _locks_stop: oneshot::Sender<()>,
}

struct Listening {
    certificate: Certificate,
    alpn: &'static [&'static [u8]],
    tls: Arc<TlsReload>,
}

/// Starts everything that the configuration names.
pub(crate) async fn start(loaded: Loaded) -> Result<Running, Failed> {
    countersign_credentials::harden_process()?;
    if let Err(e) = raise_file_limit() {
        tracing::warn!("the limit of open files could not be raised: {e}");
    }
    let metrics = Metrics::install().map_err(Failed::new)?;
    let house = Arc::new(House::build(loaded).await?);
    let config = &house.config;
    let gateway = Gateway::start(GatewayConfig { workers: config.gateway.workers }, house.services())?;
    let mut listeners = Vec::new();
    let mut ssh_authority = None;
    let mut entrance = None;
    for spec in &config.listeners {
        listeners.push(match spec.protocol.as_str() {
            "postgres" => {
                let protocol = postgres(spec, config).mask_by(house.masker.clone());
                tokio::spawn(watch_tags(protocol.clone(), house.clone()));
                let (listening, way_in) = listen(&gateway, protocol, spec, config)?;
                entrance.get_or_insert(way_in);
                listening
            }
            "ssh" => {
                let authority = house.cellar.ssh_host_authority().await?;
                ssh_authority = Some(countersign_ssh::public_key(&authority).map_err(Failed::new)?);
                let ssh = Ssh::new(&house.cellar.ssh_host_key().await?, &authority).map_err(Failed::new)?;
                host(&gateway, ssh, spec, config)?;
                continue;
            }
            other => return Err(Failed::invalid(format!("the protocol \"{other}\" is not spoken by this binary"))),
        });
    }
    let draining = Arc::new(AtomicBool::new(false));
    tokio::spawn(applied::watch(house.clone()));
    let locks_stop = watch_locks(&house)?;
    let grants = house.grants.clone();
    tokio::spawn(async move { grants.watch(clock::now).await });
    let sessions = gateway.sessions().clone();
    let login_facts = Arc::new(ArcSwap::from_pointee(login_facts(config, config, ssh_authority.as_deref())));
    let notices = notices::start(&house)?;
    let shared = (draining.clone(), notices.clone(), entrance);
    let (api_stop, api) = start_api(&house, sessions, metrics, shared, login_facts.clone()).await?;
    let (identity, reviews, desk) = (house.identity.clone(), house.reviews.clone(), house.grant_desk());
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(ISSUER_UPKEEP).await;
            identity.maintain(clock::now()).await;
            reviews.maintain(clock::now()).await;
            desk.maintain().await;
        }
    });
    if let Some(issuer) = house.cellar.issuer.clone() {
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(ISSUER_UPKEEP).await;
                if let Err(e) = issuer.maintain(clock::now()).await {
                    tracing::warn!("the local issuer's keys could not be looked after: {e}");
                }
            }
        });
    }
    Ok(Running {
        house,
        gateway,
        listeners,
        api_stop: Some(api_stop),
        api,
        draining,
        notices,
        login_facts,
        ssh_authority,
        _locks_stop: locks_stop,
    })
}

/// Keeps the locks up to date, on a thread with connections of its own: whatever else is slow here must not use up their lease.
fn watch_locks(house: &House) -> Result<oneshot::Sender<()>, Failed> {
    let (stop, stopped) = oneshot::channel::<()>();
    let (locks, config) = (house.locks.clone(), convert::store(&house.config.store)?);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::Builder::new().name("locks".to_owned()).spawn(move || {
        let watch = async {
            let store = loop {
                match Store::open(&config).await {
                    Ok(store) => break store,
                    Err(e) => tracing::warn!(error = %e, "the store cannot be opened to watch the locks"),
                }
                tokio::time::sleep(POLL_INTERVAL).await;
            };
            locks.watch(store, clock::now).await;
        };
        runtime.block_on(async {
            tokio::select! {
                () = watch => {}
                // The sender being dropped means the same as its message.
                _ = stopped => {}
            }
        });
    })?;
    Ok(stop)
}

/// Tells of rules about tags that fit nothing: what they were meant for is not masked.
async fn watch_tags(protocol: Postgres, house: Arc<House>) {
    loop {
        tokio::time::sleep(TAGS_INTERVAL).await;
        for found in protocol.idle_rules() {
            if house.idle_tags.lock().get(&found.target) == Some(&found) {
                continue;
            }
            for rule in &found.rules {
                tracing::warn!(
                    target = %found.target,
                    databases = found.databases.join(", "),
                    column = rule.column,
                    data_type = rule.data_type,
                    tag = %rule.tag,
                    "a rule about tags fits no column of the databases that sessions were in: is its name right?"
                );
            }
            house.idle_tags.lock().insert(found.target.clone(), found);
        }
    }
}

/// The protocol as its clients are to log in on this listener.
fn postgres(spec: &config::ListenerSpec, config: &Config) -> Postgres {
    let method = match spec.login {
        config::ListenerLogin::Password => LoginMethod::Password,
        config::ListenerLogin::OAuthBearer => LoginMethod::OAuthBearer,
    };
    let issuer = spec.oauth_issuer.clone().or_else(|| local_issuer_url(config)).unwrap_or_default();
    Postgres::new().login_by(method, &issuer, &spec.oauth_scope)
}

fn listen<P: Protocol>(
    gateway: &Gateway,
    protocol: P,
    spec: &config::ListenerSpec,
    config: &Config,
) -> Result<(Listening, Entrance), Failed> {
    let alpn = protocol.alpn();
    let tls = TlsReload::new(tls_of(&spec.tls, &config.gateway.data_dir, alpn)?);
    let mut listener = ListenerConfig::new(spec.address);
    listener.tls = Some(tls.clone());
    listener.plaintext = match spec.plaintext {
        config::Plaintext::Loopback => Plaintext::LoopbackOnly,
        config::Plaintext::Never => Plaintext::Never,
        config::Plaintext::Always => Plaintext::Always,
    };
    limits(&mut listener, config);
    let (_, entrance) = gateway
        .serve_inside(protocol, listener)
        .map_err(|e| Failed::new(format!("cannot listen on {} ({}): {e}", spec.address, spec.protocol)))?;
    Ok((Listening { certificate: spec.tls.clone(), alpn, tls }, entrance))
}

/// Listens for a protocol that brings its own server, and its own encryption.
fn host<H: Hosted>(gateway: &Gateway, protocol: H, spec: &config::ListenerSpec, config: &Config) -> Result<(), Failed> {
    let mut listener = ListenerConfig::new(spec.address);
    limits(&mut listener, config);
    gateway
        .host(protocol, listener)
        .map_err(|e| Failed::new(format!("cannot listen on {} ({}): {e}", spec.address, spec.protocol)))?;
    Ok(())
}

fn limits(listener: &mut ListenerConfig, config: &Config) {
    listener.max_connections = config.gateway.connections_max;
    listener.login_timeout = config.gateway.login_timeout;
}

/// Certificate and key for a listener; generated ones are kept in the data folder.
fn tls_of(certificate: &Certificate, data_dir: &Path, alpn: &[&[u8]]) -> Result<Arc<rustls::ServerConfig>, Failed> {
    let (chain, key) = match certificate {
        Certificate::Files { certificate, key } => (certificate.clone(), key.clone()),
        Certificate::Generated => generated(data_dir)?,
    };
    let read =
        |path: &PathBuf| fs::read(path).map_err(|e| Failed::invalid(format!("{} cannot be read: {e}", path.display())));
    server_config(&read(&chain)?, &read(&key)?, alpn).map_err(Failed::invalid)
}

/// The generated certificate, made at the first start. Clients trust `gateway-ca.pem` beside it.
fn generated(data_dir: &Path) -> Result<(PathBuf, PathBuf), Failed> {
    let (chain, key) = (data_dir.join("gateway.pem"), data_dir.join("gateway.key"));
    if !chain.exists() || !key.exists() {
        fs::create_dir_all(data_dir)?;
        let authority = Authority::new("Countersign gateway (generated)")?;
        authority.issue_server(&chain, &key)?;
        authority.write(&data_dir.join(GENERATED_CA))?;
    }
    Ok((chain, key))
}

async fn start_api(
    house: &Arc<House>,
    sessions: Arc<SessionRegistry>,
    metrics: Metrics,
    (draining, notices, entrance): (Arc<AtomicBool>, Notices, Option<Entrance>),
    login_facts: Arc<ArcSwap<String>>,
) -> Result<(oneshot::Sender<()>, tokio::task::JoinHandle<()>), Failed> {
    let config = &house.config;
    let store = house.cellar.store.clone();
    let check_store = Check::new("store", move || {
        let store = store.clone();
        Box::pin(async move { store.check().await.map_err(|e| e.to_string()) })
    });
    let (recorder, checking) = (house.recorder.clone(), Arc::new(AtomicBool::new(false)));
    let check_recorder = Check::new("recorder", move || {
        let (recorder, checking) = (recorder.clone(), checking.clone());
        Box::pin(async move {
            // One thread at a time may hang on a disk that does not answer.
            if checking.swap(true, Ordering::AcqRel) {
                return Err("the check before this one still waits for the disk".to_owned());
            }
            let check = tokio::task::spawn_blocking(move || {
                let checked = recorder.check();
                checking.store(false, Ordering::Release);
                checked
            });
            match check.await {
                Ok(checked) => checked.map_err(|e| e.to_string()),
                Err(e) => Err(format!("the check failed: {e}")),
            }
        })
    });
    let locks = house.locks.clone();
    let check_locks = Check::known("locks", move || locks.check());
    let watched = house.clone();
    let check_applied = Check::known("configuration", move || watched.applied.load().check()).into_advice();
    let check_draining = Check::known("accepting", move || {
        if draining.load(Ordering::Relaxed) { Err("the gateway is draining".to_owned()) } else { Ok(()) }
    });
    let seen = sessions.clone();
    let api = Api {
        checks: vec![check_store, check_recorder, check_locks, check_applied, check_draining],
        metrics: Some(metrics),
        issuer: house
            .cellar
            .issuer
            .clone()
            .map(|issuer| IssuerDoor { path: issuer_path(config), issuer: Arc::new(IssuerDoors(issuer)) }),
        scim: house.cellar.directory.clone().map(|d| ScimDoor(Arc::new(DirectoryDoor(d)))),
        identity: Some(IdentityDoor(Arc::new(ServiceDoors {
            service: house.identity.clone(),
            login_facts: login_facts.clone(),
        }))),
        desk: Some(Desk {
            callers: Arc::new(ApiCallers(house.identity.clone())),
            policy: house.policy.clone(),
            recorder: house.recorder.clone(),
            alerts: house.alerts(),
            locks: house.locks.clone(),
            sessions,
            store: house.cellar.store.clone(),
            recordings: Arc::new(Reader::new(convert::recording(config).dir)),
            notices,
            policies: console::policies(house),
            ask: ask(config),
            clock: clock::now,
        }),
        reviews: Some(ReviewDoor(Arc::new(ReviewDesk {
            reviews: house.reviews.clone(),
            grants: house.grants.clone(),
            identity: house.identity.clone(),
            locks: house.locks.clone(),
        }))),
        grants: Some(GrantDoor(Arc::new(house.grant_counter()))),
        api_keys: Some(ApiKeyDoor(Arc::new(ApiKeyCounter(house.identity.clone())))),
        factors: Some(FactorDoor(Arc::new(house.factor_counter()))),
        configuration: Some(ConfigurationDoor(Arc::new(Applying::new(house.clone())))),
        targets: Some(TargetDoor(Arc::new(TargetCounter { house: house.clone(), sessions: seen }))),
        sql: entrance.map(|entrance| SqlDoor(Arc::new(SqlCounter::new(entrance)))),
        pages: Some(console::pages(house, login_facts)),
    };
    let tls = match &config.api.tls {
        None => None,
        Some(certificate) => {
            let tls = tls_of(certificate, &config.gateway.data_dir, &[b"http/1.1"])?;
            Some(Arc::new(move || tls.clone()) as countersign_api::TlsSource)
        }
    };
    let address: SocketAddr = config.api.address;
    let listener =
        TcpListener::bind(address).await.map_err(|e| Failed::new(format!("cannot listen on {address} (api): {e}")))?;
    let options = ServeOptions { connections_max: config.api.connections_max, tls, ..ServeOptions::default() };
    let (stop, stopped) = oneshot::channel::<()>();
    let task = tokio::spawn(countersign_api::serve(listener, api, options, async move {
        // The sender being dropped means the same as its message.
        let _ = stopped.await;
    }));
    Ok((stop, task))
}

/// The path of the local issuer's URL.
fn issuer_path(config: &Config) -> String {
    let url = config.local_issuer.as_ref().and_then(|l| l.url.as_deref()).unwrap_or_default();
    let after_host = url.split_once("://").and_then(|(_, rest)| rest.split_once('/'));
    after_host.map(|(_, path)| format!("/{path}")).unwrap_or_default()
}

impl Running {
    /// Takes over what changed in the configuration file.
    fn reload(&self, path: &Path) -> Result<(), Failed> {
        let loaded = load_config(path)?;
        let config = loaded.config.clone();
        let receivers = notices::receivers(&config, self.house.cellar.vault.as_ref())?;
        self.house.reload(loaded)?;
        self.notices.configure(receivers);
        for listening in &self.listeners {
            let tls = tls_of(&listening.certificate, &self.house.config.gateway.data_dir, listening.alpn)?;
            listening.tls.replace(tls);
        }
        self.login_facts.store(Arc::new(login_facts(&self.house.config, &config, self.ssh_authority.as_deref())));
        Ok(())
    }

    /// Lets sessions end, then stops.
    pub(crate) async fn stop(mut self) {
        self.draining.store(true, Ordering::Relaxed);
        let drained = self.gateway.drain(self.house.config.gateway.drain_timeout).await;
        tracing::info!(open = drained.open, ended = drained.ended, dropped = drained.dropped, "drained");
        if let Some(stop) = self.api_stop.take() {
            let _ = stop.send(());
        }
        if let Err(e) = self.api.await {
            tracing::error!("the HTTP side failed: {e}");
        }
        self.notices.stop().await;
        self.house.recorder.shutdown();
        self.house.cellar.store.close().await;
    }
}

/// Serves until told to stop.
pub(crate) async fn until_stopped(running: Running, config_path: &Path) -> Result<(), Failed> {
    let mut hangup = signal(SignalKind::hangup())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    loop {
        tokio::select! {
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            _ = hangup.recv() => match running.reload(config_path) {
                Ok(()) => tracing::info!("configuration reloaded"),
                Err(e) => tracing::error!("the configuration was not reloaded, all stays as it was: {e}"),
            },
        }
    }
    running.stop().await;
    Ok(())
}
