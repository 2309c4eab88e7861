//! The sections and their keys, in the order of the reference; those about who may come are in `identities`.

use super::Presence::{Default, Derived, Optional, Required};
use super::identities::{IDENTITY, ISSUER, LOCAL_CLIENT, LOCAL_ISSUER, MAPPING, SPIFFE, TOKEN_REVIEW};
use super::masking::{MASKING, TAG, TAG_RULES_MAX};
use super::notices::{RECEIVER, RECEIVERS_MAX};
use super::saml::SAML;
use super::scim::SCIM;
use super::{Form, Key, Section};

/// Texts that people write: names, patterns, URLs.
pub(super) const TEXT_CHARS_MAX: usize = 500;
/// The longest duration of any key: ten years.
pub(super) const SECONDS_MAX: u64 = 10 * 366 * 86_400;

/// Certificates written into the configuration itself.
const PEM_CHARS_MAX: usize = 64 * 1024;
/// The most targets.
pub(crate) const TARGETS_MAX: usize = 2_000;

pub(super) const fn key(name: &'static str, form: Form, presence: super::Presence, doc: &'static str) -> Key {
    Key { name, form, presence, doc }
}

/// Every section, in the order of the reference.
pub(crate) static SECTIONS: [&Section; 28] = [
    &GATEWAY,
    &LISTENER,
    &CERTIFICATE,
    &API,
    &STORE,
    &STORE_URL,
    &TARGET,
    &UPSTREAM_TLS,
    &ACCOUNT,
    &SECRET,
    &TAG,
    &MASKING,
    &ISSUER,
    &TOKEN_REVIEW,
    &MAPPING,
    &SPIFFE,
    &SAML,
    &SCIM,
    &LOCAL_ISSUER,
    &LOCAL_CLIENT,
    &IDENTITY,
    &POLICY,
    &RECORDING,
    &RECEIVER,
    &TELEMETRY,
    &VAULT,
    &KEY_SOURCE,
    &ROOT,
];

pub(crate) static ROOT: Section = Section {
    header: "top level",
    doc: "The sections that a configuration may have.",
    keys: &[
        key("gateway", Form::Table(&GATEWAY), Optional, "The process itself."),
        key("listener", Form::Tables(&LISTENER, 64), Required, "Where clients connect; at least one."),
        key("api", Form::Table(&API), Optional, "The HTTP server for health, metrics and the local issuer."),
        key("store", Form::Table(&STORE), Optional, "Where state is kept."),
        key(
            "target",
            Form::Tables(&TARGET, TARGETS_MAX),
            Optional,
            "The systems behind the gateway; more can be applied.",
        ),
        key("issuer", Form::Tables(&ISSUER, 64), Optional, "OIDC issuers whose tokens are accepted."),
        key("spiffe", Form::Tables(&SPIFFE, 64), Optional, "SPIFFE trust domains whose workloads are known."),
        key("saml", Form::Tables(&SAML, 16), Optional, "Identity providers that people sign in at by SAML 2.0."),
        key("scim", Form::Tables(&SCIM, 16), Optional, "Directories that identity providers keep current by SCIM 2.0."),
        key(
            "local_issuer",
            Form::Table(&LOCAL_ISSUER),
            Optional,
            "The issuer inside the gateway; absent, there is none.",
        ),
        key("identity", Form::Table(&IDENTITY), Optional, "How logins, certificates and sessions live."),
        key("policy", Form::Table(&POLICY), Optional, "Where the policies are."),
        key("recording", Form::Table(&RECORDING), Optional, "Where and how sessions are recorded."),
        key("receiver", Form::Tables(&RECEIVER, RECEIVERS_MAX), Optional, "Who is told what happens."),
        key("telemetry", Form::Table(&TELEMETRY), Optional, "What the gateway tells about itself."),
        key("vault", Form::Table(&VAULT), Optional, "The encrypted store of target passwords."),
    ],
};

pub(crate) static GATEWAY: Section = Section {
    header: "[gateway]",
    doc: "The process itself.",
    keys: &[
        key(
            "data_dir",
            Form::Path,
            Default("\"/var/lib/countersign\""),
            "Folder of generated keys, of the SQLite store and, unless `[recording]` says otherwise, of recordings.",
        ),
        key("workers", Form::Count(1, 1_024), Derived("one for each processor"), "Worker threads."),
        key(
            "ask",
            Form::Text(TEXT_CHARS_MAX),
            Default("\"\""),
            "Added to every denial as a hint: how people ask for access.",
        ),
        key(
            "drain_timeout_s",
            Form::Seconds(0, 86_400),
            Default("30"),
            "How long sessions may go on after the order to stop; then they are ended.",
        ),
        key(
            "max_connections",
            Form::Count(1, 1_000_000),
            Default("10000"),
            "Client connections of a listener at one time; more are refused.",
        ),
        key(
            "login_timeout_s",
            Form::Seconds(1, 600),
            Default("15"),
            "From the first byte of a client until the target let its session in.",
        ),
    ],
};

pub(crate) static LISTENER: Section = Section {
    header: "[[listener]]",
    doc: "Where clients connect. Repeat the section for each address.",
    keys: &[
        key("protocol", Form::Protocol, Required, "The protocol spoken there."),
        key("address", Form::Address, Required, "Where to listen; port 0 lets the system choose."),
        key(
            "plaintext",
            Form::Word(&["loopback", "never", "always"]),
            Default("\"loopback\""),
            "Who may come without TLS: clients on this machine, nobody, or everybody. A token on an open wire is a token given away.",
        ),
        key(
            "login",
            Form::Word(&["password", "oauthbearer"]),
            Default("\"password\""),
            "How clients give their token: as the password, or by SASL OAUTHBEARER. A PostgreSQL client may ask for the other way with \
             the start-up option `-c countersign.login=…`; a client certificate that is known needs neither.",
        ),
        key(
            "oauth_issuer",
            Form::Url(&["https", "http"]),
            Optional,
            "The issuer that OAUTHBEARER clients without a token are sent to; the local issuer's `url` when left out.",
        ),
        key("oauth_scope", Form::Text(256), Default("\"openid\""), "The scope that they are told to ask it for."),
        key(
            "tls",
            Form::WordOr(&["generated"], &CERTIFICATE),
            Default("\"generated\""),
            "The certificate shown to clients: made at the first start and kept in the data folder, or from files.",
        ),
    ],
};

pub(crate) static CERTIFICATE: Section = Section {
    header: "tls = { … }",
    doc: "A server certificate from files, in `[[listener]]` and `[api]`. The files are read again on reload.",
    keys: &[
        key("certificate", Form::Path, Required, "PEM file with the chain, leaf first."),
        key("key", Form::Path, Required, "PEM file with the private key."),
    ],
};

pub(crate) static API: Section = Section {
    header: "[api]",
    doc: "The HTTP server for `/healthz`, `/readyz`, `/metrics` and the local issuer.",
    keys: &[
        key("address", Form::Address, Default("\"127.0.0.1:7070\""), "Where to listen; port 0 lets the system choose."),
        key(
            "tls",
            Form::WordOr(&["generated"], &CERTIFICATE),
            Optional,
            "The certificate; left out, the server speaks plain HTTP, and the local issuer takes passwords from this machine only.",
        ),
        key(
            "max_connections",
            Form::Count(1, 100_000),
            Default("256"),
            "Connections at one time; more are closed at once.",
        ),
    ],
};

pub(crate) static STORE: Section = Section {
    header: "[store]",
    doc: "Where accounts, signing keys and encrypted secrets are kept. SQLite serves one gateway, PostgreSQL any number.",
    keys: &[
        key("backend", Form::Word(&["sqlite", "postgres"]), Default("\"sqlite\""), "Which database."),
        key(
            "path",
            Form::Path,
            Derived("`countersign.db` in the data folder"),
            "The SQLite file. Only with `backend = \"sqlite\"`.",
        ),
        key(
            "url",
            Form::OneKey(&STORE_URL),
            Optional,
            "Where the `postgres://` URL is. Required with `backend = \"postgres\"`. Without `sslmode`, a host that is not this machine is verified as with `verify-full`.",
        ),
        key(
            "timeout_s",
            Form::Seconds(1, 60),
            Default("5"),
            "The longest that an operation may take; then it fails, and what needed it is refused.",
        ),
    ],
};

pub(crate) static STORE_URL: Section = Section {
    header: "url = { … }",
    doc: "Where the URL of the store is; it holds a password, so that it is not written here. Exactly one key.",
    keys: &[
        key("env", Form::Text(TEXT_CHARS_MAX), Optional, "The environment variable that holds it."),
        key("file", Form::Path, Optional, "The file that holds it."),
    ],
};

pub(crate) static TARGET: Section = Section {
    header: "[[target]]",
    doc: "A system behind the gateway. Repeat the section for each.",
    keys: &[
        key("name", Form::Name, Required, "The name that clients use, such as `dbname=NAME`."),
        key("protocol", Form::Protocol, Required, "The protocol it speaks."),
        key("host", Form::Text(255), Optional, "Its host name or address. Either this or `socket`."),
        key("port", Form::Count(1, 65_535), Derived("the usual port of the protocol"), "Its port."),
        key("socket", Form::Path, Optional, "Its Unix socket on this machine. Either this or `host`."),
        key("database", Form::Text(255), Optional, "The database for clients that name none."),
        key(
            "host_keys",
            Form::Texts(TEXT_CHARS_MAX),
            Default("[]"),
            "The keys of which the target must prove one, for SSH: lines as `ssh-keyscan` gives them without the name, fingerprints (`SHA256:…`), or `@cert-authority [NAME] KEY` of the authority that certifies it under that name (`host` where it is left out). Required there.",
        ),
        key(
            "labels",
            Form::Labels,
            Default("{}"),
            "Labels for policies: `{ env = \"prod\" }` is `Label::\"env:prod\"`.",
        ),
        key(
            "record",
            Form::Word(&["statements", "results"]),
            Default("\"statements\""),
            "What is recorded: statements with their outcome, or the rows that clients saw as well.",
        ),
        key(
            "durable",
            Form::Flag,
            Default("false"),
            "Whether the record of a write is on the disk before the write reaches the target.",
        ),
        key(
            "retention_days",
            Form::Count(1, 36_500),
            Derived("kept for good"),
            "Recordings older than this are removed.",
        ),
        key(
            "budget_bytes",
            Form::Size(1 << 20, u64::MAX),
            Derived("no limit"),
            "Beyond this size the oldest recordings of the target are removed.",
        ),
        key(
            "connect_timeout_s",
            Form::Seconds(1, 300),
            Default("10"),
            "The longest that dialling and logging in may take.",
        ),
        key("tls", Form::Table(&UPSTREAM_TLS), Optional, "How the connection to the target is protected."),
        key(
            "account",
            Form::Tables(&ACCOUNT, 200),
            Required,
            "Accounts at the target, in order: the first that matches an identity is used.",
        ),
        key("tag", Form::Tables(&TAG, TAG_RULES_MAX), Optional, "Which of its columns hold what."),
        key(
            "tags",
            Form::Texts(TEXT_CHARS_MAX),
            Default("[]"),
            "Files with more `[[tag]]` sections, such as `countersign scan` writes for a person to accept.",
        ),
        key("masking", Form::Table(&MASKING), Optional, "Where else tags come from."),
    ],
};

pub(crate) static UPSTREAM_TLS: Section = Section {
    header: "[target.tls]",
    doc: "How the connection to a target is protected.",
    keys: &[
        key(
            "mode",
            Form::Word(&["verify-full", "verify-ca", "require", "disable"]),
            Derived("`\"verify-full\"`; `\"disable\"` for a socket"),
            "Whether the target must show a certificate with its name, one of a known authority, any, or none.",
        ),
        key("ca", Form::Path, Derived("the system's authorities"), "PEM file of the authorities that are trusted."),
        key(
            "ca_pem",
            Form::Text(PEM_CHARS_MAX),
            Optional,
            "The authorities themselves, as PEM: instead of `ca`, where there is no file to name.",
        ),
        key("certificate", Form::Path, Optional, "PEM file of the client certificate shown to the target, with `key`."),
        key("key", Form::Path, Optional, "PEM file of its private key."),
        key("server_name", Form::Text(255), Derived("`host`"), "The name that the certificate must carry."),
    ],
};

pub(crate) static ACCOUNT: Section = Section {
    header: "[[target.account]]",
    doc: "An account at the target, and who goes on under it. The first entry that matches is used; nobody else can connect. Give each entry `groups` or `identities`, or `default = true`.",
    keys: &[
        key("groups", Form::Texts(TEXT_CHARS_MAX), Default("[]"), "For identities in any of these groups."),
        key("identities", Form::Texts(TEXT_CHARS_MAX), Default("[]"), "For identities with any of these names."),
        key("default", Form::Flag, Default("false"), "For everybody whom no earlier entry matched; the last entry."),
        key("user", Form::Text(255), Required, "The account's name at the target."),
        key(
            "password",
            Form::OneKey(&SECRET),
            Optional,
            "Where its password is; left out where a client certificate or the network is the proof.",
        ),
        key(
            "key",
            Form::OneKey(&SECRET),
            Optional,
            "Where its private key is, for SSH, in OpenSSH's format and without a passphrase; it goes ahead of a password.",
        ),
        key(
            "certificate",
            Form::Flag,
            Default("false"),
            "For SSH: each session logs in with a key and a certificate made for it alone, instead of a password or key. Needs a `[vault]`; the target trusts what `countersign credentials ssh-ca` prints.",
        ),
    ],
};

pub(crate) static SECRET: Section = Section {
    header: "password = { … }",
    doc: "Where a password is. It is never written in the configuration. Exactly one key.",
    keys: &[
        key("env", Form::Text(TEXT_CHARS_MAX), Optional, "The environment variable that holds it."),
        key(
            "file",
            Form::Path,
            Optional,
            "The file that holds it; others than its owner and group must not be able to read it. Read at each use, so that a rotated file needs no reload.",
        ),
        key("vault", Form::Name, Optional, "Its name in the encrypted store: see `countersign credentials set`."),
    ],
};

pub(crate) static POLICY: Section = Section {
    header: "[policy]",
    doc: "Where the policies are. Without a matching `permit` everything is denied.",
    keys: &[key(
        "files",
        Form::Texts(TEXT_CHARS_MAX),
        Default("[\"policies/*.cedar\"]"),
        "Files or patterns, from the folder of the configuration.",
    )],
};

pub(crate) static RECORDING: Section = Section {
    header: "[recording]",
    doc: "Where and how sessions are recorded.",
    keys: &[
        key("dir", Form::Path, Derived("`recordings` in the data folder"), "The folder."),
        key(
            "segment_bytes",
            Form::Size(1 << 18, 1 << 30),
            Default("\"64MiB\""),
            "A segment is closed at about this size.",
        ),
        key(
            "sync_interval_ms",
            Form::Count(1, 10_000),
            Default("200"),
            "What is written reaches the disk at least this often. A crash of the gateway loses nothing; a power failure loses at most this \
             much, and nothing of a target with `durable = true`.",
        ),
        key(
            "refused_days",
            Form::Count(1, 36_500),
            Default("365"),
            "Records of refused connections older than this are removed.",
        ),
        key(
            "refused_budget_bytes",
            Form::Size(1 << 20, u64::MAX),
            Default("\"1GiB\""),
            "Beyond this size the oldest records of refused connections are removed: anybody who reaches a listener can cause them.",
        ),
    ],
};

pub(crate) static TELEMETRY: Section = Section {
    header: "[telemetry]",
    doc: "What the gateway tells about itself.",
    keys: &[
        key(
            "log",
            Form::Word(&["text", "json"]),
            Default("\"text\""),
            "How log lines look: for people, or one JSON object a line.",
        ),
        key(
            "level",
            Form::Text(TEXT_CHARS_MAX),
            Default("\"info\""),
            "`error`, `warn`, `info`, `debug` or `trace`; or a list such as `info,countersign_runtime=debug`.",
        ),
        key(
            "otlp_endpoint",
            Form::Url(&["http", "https"]),
            Optional,
            "Where traces are sent, by OTLP over HTTP; left out, none are.",
        ),
    ],
};

pub(crate) static VAULT: Section = Section {
    header: "[vault]",
    doc: "The encrypted store of target passwords: AES-256-GCM under a key that is not in the store.",
    keys: &[key("key", Form::OneKey(&KEY_SOURCE), Required, "Where its key is.")],
};

pub(crate) static KEY_SOURCE: Section = Section {
    header: "key = { … }",
    doc: "Where the key of the vault is: 32 bytes, or their base64 or hexadecimal form. Exactly one key.",
    keys: &[
        key(
            "file",
            Form::Path,
            Optional,
            "A file that only its owner and group can read. `countersign credentials new-key FILE` makes one.",
        ),
        key("env", Form::Text(TEXT_CHARS_MAX), Optional, "An environment variable."),
        key(
            "command",
            Form::Texts(4_096),
            Optional,
            "A program and its arguments, such as a KMS client, that prints the key within 10 seconds. No shell is involved.",
        ),
    ],
};
