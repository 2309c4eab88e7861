//! The sections about who may come: issuers, trust domains, the local issuer, logins and certificates.

use super::Presence::{Default, Derived, Optional, Required};
use super::keys::{SECONDS_MAX, SECRET, TEXT_CHARS_MAX, key};
use super::{Form, Section};

pub(crate) static ISSUER: Section = Section {
    header: "[[issuer]]",
    doc: "An OIDC issuer whose tokens are accepted. Repeat the section for each.",
    keys: &[
        key("label", Form::Name, Derived("the host of `url`"), "A short word of your own for it."),
        key(
            "url",
            Form::Url(&["https", "http"]),
            Required,
            "Its `iss`, exactly as in its tokens. Plain HTTP only on this machine.",
        ),
        key("audiences", Form::Texts(TEXT_CHARS_MAX), Required, "A token's `aud` must hold one of these."),
        key(
            "algorithms",
            Form::Words(&ALGORITHMS),
            Default("[\"RS256\", \"PS256\", \"ES256\", \"EdDSA\"]"),
            "Signature algorithms that are accepted.",
        ),
        key("jwks_uri", Form::Url(&["https", "http"]), Derived("asked by discovery"), "Where its keys are."),
        key("jwks_file", Form::Path, Optional, "Its keys in a file instead, which may change."),
        key(
            "ca",
            Form::Path,
            Derived("the system's authorities"),
            "PEM file of the authorities of its HTTPS certificate.",
        ),
        key(
            "types",
            Form::Texts(TEXT_CHARS_MAX),
            Default("[\"at+jwt\", \"JWT\"]"),
            "Values of the header's `typ` that are accepted; an empty text stands for a missing one.",
        ),
        key(
            "accept_id_tokens",
            Form::Flag,
            Default("false"),
            "Whether its ID tokens are accepted like access tokens. They are made for the application that logs a person in, which could forward them.",
        ),
        key(
            "authorized_parties",
            Form::Texts(TEXT_CHARS_MAX),
            Default("[]"),
            "Clients (`azp`, else `client_id`) that its tokens may have been issued to; empty for any.",
        ),
        key(
            "name_claim",
            Form::Text(TEXT_CHARS_MAX),
            Default("\"sub\""),
            "The claim that becomes the identity's name: its name, or a JSON pointer such as `/user/name`.",
        ),
        key("name_prefix", Form::Text(TEXT_CHARS_MAX), Default("\"\""), "Put before names taken from a claim."),
        key(
            "groups_claim",
            Form::Text(TEXT_CHARS_MAX),
            Optional,
            "The claim that lists groups; left out, a token brings none.",
        ),
        key(
            "groups_prefix",
            Form::Text(TEXT_CHARS_MAX),
            Derived("the label and a colon"),
            "Put before each group of a token, so that issuers cannot speak for each other's groups.",
        ),
        key(
            "kind",
            Form::Word(&KINDS),
            Default("\"human\""),
            "What its identities are, unless a mapping or `kind_claim` says otherwise.",
        ),
        key("kind_claim", Form::Text(TEXT_CHARS_MAX), Optional, "A claim that says `human`, `machine` or `agent`."),
        key(
            "unmapped",
            Form::Word(&["refuse", "accept"]),
            Derived("`\"refuse\"` where there are mappings, else `\"accept\"`"),
            "What becomes of a token that no mapping fits.",
        ),
        key(
            "single_use",
            Form::Flag,
            Default("false"),
            "Whether each of its tokens (its `jti`) is good for one key only, or for one connection without a key.",
        ),
        key(
            "require_bound",
            Form::Flag,
            Default("false"),
            "Whether its tokens are taken only with a key: exchanged by `countersign login`, or bound by a claim `cnf`.",
        ),
        key(
            "client_id",
            Form::Text(TEXT_CHARS_MAX),
            Optional,
            "The client that `countersign login` is at this issuer; left out, nobody logs in through it.",
        ),
        key("scopes", Form::Texts(TEXT_CHARS_MAX), Default("[\"openid\"]"), "What `countersign login` asks for."),
        key(
            "resource",
            Form::Text(TEXT_CHARS_MAX),
            Optional,
            "The resource that `countersign login` asks for a token for (RFC 8707), for issuers that make its `aud` of it: an absolute URI without a fragment.",
        ),
        key(
            "login_token",
            Form::Word(&["access_token", "id_token"]),
            Derived("`\"id_token\"` where `accept_id_tokens` is true, else `\"access_token\"`"),
            "Which of the tokens that a login gives is exchanged for a certificate.",
        ),
        key("leeway_s", Form::Seconds(0, SECONDS_MAX), Default("30"), "How far clocks may differ; at most 60 seconds."),
        key(
            "max_token_lifetime_s",
            Form::Seconds(1, 7 * 86_400),
            Default("86400"),
            "Tokens that live longer are refused.",
        ),
        key(
            "keys_refresh_s",
            Form::Seconds(10, 7 * 86_400),
            Default("300"),
            "How old its keys may be before they are fetched anew.",
        ),
        key(
            "max_keys_age_s",
            Form::Seconds(10, 7 * 86_400),
            Default("86400"),
            "How long its cached keys are used while it cannot be reached.",
        ),
        key(
            "token_review",
            Form::Table(&TOKEN_REVIEW),
            Optional,
            "The Kubernetes cluster that is asked about its tokens besides, for service-account tokens.",
        ),
        key("mapping", Form::Tables(&MAPPING, 500), Optional, "What tokens with certain claims become."),
    ],
};

pub(crate) static TOKEN_REVIEW: Section = Section {
    header: "[issuer.token_review]",
    doc: "A Kubernetes cluster that is asked (TokenReview) whether it still stands behind a token: at each login, and every 60 seconds while sessions of it live.",
    keys: &[
        key(
            "url",
            Form::Url(&["https", "http"]),
            Required,
            "The address of its API server. Plain HTTP only on this machine.",
        ),
        key(
            "ca",
            Form::Path,
            Derived("the system's authorities"),
            "PEM file of the authorities of its HTTPS certificate.",
        ),
        key(
            "token_file",
            Form::Path,
            Required,
            "The token with which the gateway asks; the file may change. Its account needs `system:auth-delegator`, no more.",
        ),
        key(
            "on_unreachable",
            Form::Word(&["refuse", "accept"]),
            Default("\"refuse\""),
            "What becomes of a token while the cluster cannot be reached: it is refused, or goes by its signature alone.",
        ),
    ],
};

pub(crate) static SPIFFE: Section = Section {
    header: "[[spiffe]]",
    doc: "A SPIFFE trust domain whose workloads are known, by JWT-SVIDs and X.509-SVIDs. Repeat the section for each.",
    keys: &[
        key("trust_domain", Form::Text(255), Required, "Its name, such as `example.org`."),
        key("audiences", Form::Texts(TEXT_CHARS_MAX), Required, "A JWT-SVID's `aud` must hold one of these."),
        key(
            "bundle_file",
            Form::Path,
            Derived("`bundle_url` instead"),
            "Its trust bundle in a file, which may change.",
        ),
        key(
            "bundle_url",
            Form::Url(&["https", "http"]),
            Derived("`bundle_file` instead"),
            "Where its trust bundle is (the profile `https_web`).",
        ),
        key(
            "ca",
            Form::Path,
            Derived("the system's authorities"),
            "PEM file of the authorities of the HTTPS certificate of `bundle_url`.",
        ),
        key(
            "bundle_refresh_s",
            Form::Seconds(10, 7 * 86_400),
            Default("300"),
            "How old the bundle may be before it is fetched anew, where it does not say (`spiffe_refresh_hint`, 10 seconds to an hour).",
        ),
        key(
            "max_bundle_age_s",
            Form::Seconds(10, 7 * 86_400),
            Default("86400"),
            "How long a cached bundle is used while it cannot be fetched.",
        ),
        key(
            "single_use",
            Form::Flag,
            Default("false"),
            "Whether each JWT-SVID (its `jti`) is good for one key only, or for one connection without a key.",
        ),
        key(
            "require_bound",
            Form::Flag,
            Default("false"),
            "Whether JWT-SVIDs are taken only with a key: exchanged by `countersign login`. X.509-SVIDs always have one.",
        ),
        key("leeway_s", Form::Seconds(0, 60), Default("30"), "How far clocks may differ, for JWT-SVIDs."),
        key(
            "max_token_lifetime_s",
            Form::Seconds(1, 7 * 86_400),
            Default("3600"),
            "JWT-SVIDs that live longer are refused.",
        ),
        key(
            "name_prefix",
            Form::Text(TEXT_CHARS_MAX),
            Derived("the trust domain"),
            "Put before the path, where no mapping gives a name: `example.org/ns/shop/sa/web`.",
        ),
        key(
            "unmapped",
            Form::Word(&["refuse", "accept"]),
            Derived("`\"refuse\"` where there are mappings, else `\"accept\"`"),
            "What becomes of a workload that no mapping fits.",
        ),
        key(
            "mapping",
            Form::Tables(&MAPPING, 500),
            Optional,
            "What workloads become, by `sub` (the SPIFFE ID), `spiffe_path` and what else a JWT-SVID claims.",
        ),
    ],
};

/// Signatures by a key that the issuer alone has; nothing symmetric, and never `none`.
const ALGORITHMS: [&str; 10] =
    ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"];
const KINDS: [&str; 3] = ["human", "machine", "agent"];

pub(crate) static MAPPING: Section = Section {
    header: "[[issuer.mapping]]",
    doc: "What tokens with certain claims become. Every mapping that matches adds its groups; the first with a `name` or `kind` gives it.",
    keys: &[
        key(
            "when",
            Form::Claims,
            Required,
            "Claims that must all be there with the value, or one of the texts, exactly; a claim is a name or a JSON pointer such as `/user/name`.",
        ),
        key("name", Form::Text(TEXT_CHARS_MAX), Optional, "The identity's name."),
        key("groups", Form::Texts(TEXT_CHARS_MAX), Default("[]"), "Groups added, without the prefix."),
        key("kind", Form::Word(&KINDS), Optional, "What the identity is."),
    ],
};

pub(crate) static LOCAL_ISSUER: Section = Section {
    header: "[local_issuer]",
    doc: "The issuer inside the gateway, with its own accounts: `countersign accounts add`. It is there when the section is.",
    keys: &[
        key(
            "url",
            Form::Url(&["https", "http"]),
            Derived("the address of `[api]`"),
            "Its `iss`, and where people reach it.",
        ),
        key("audience", Form::Text(TEXT_CHARS_MAX), Default("\"countersign\""), "The `aud` of its tokens."),
        key("token_lifetime_s", Form::Seconds(60, 86_400), Default("3600"), "How long its tokens live."),
        key(
            "refresh_lifetime_s",
            Form::Seconds(60, 30 * 86_400),
            Default("43200"),
            "How long a person stays signed in: after it, no refresh token gets another token, and the password is asked again.",
        ),
        key(
            "client",
            Form::Tables(&LOCAL_CLIENT, 63),
            Optional,
            "Programs that people sign in to, besides `countersign login`, which is always there as `countersign-cli`.",
        ),
    ],
};

pub(crate) static LOCAL_CLIENT: Section = Section {
    header: "[[local_issuer.client]]",
    doc: "A program that people may sign in to with the authorization code grant and PKCE. Repeat the section for each.",
    keys: &[
        key("id", Form::Name, Required, "Its `client_id`."),
        key(
            "redirect_uris",
            Form::Texts(TEXT_CHARS_MAX),
            Required,
            "Where people are sent back to, compared exactly: https, or http on a loopback address, where the port is free (RFC 8252).",
        ),
        key("secret", Form::OneKey(&SECRET), Optional, "Where its secret is; left out, it is a public client."),
    ],
};

pub(crate) static IDENTITY: Section = Section {
    header: "[identity]",
    doc: "How logins, certificates and sessions live: see [identity.md](identity.md). Certificates need a `[vault]`.",
    keys: &[
        key(
            "url",
            Form::Url(&["https", "http"]),
            Derived("the address of `[api]`"),
            "Where clients reach the API: proofs of possession (DPoP) must name it.",
        ),
        key("certificate_lifetime_s", Form::Seconds(60, 3600), Default("3600"), "How long a client certificate lives."),
        key(
            "login_lifetime_s",
            Form::Seconds(60, 86_400),
            Default("43200"),
            "How long a login lives. A person's certificates are renewed until then; sessions end with it.",
        ),
        key(
            "session_life",
            Form::Word(&["identity", "token"]),
            Default("\"identity\""),
            "How long a session may live: as long as its login, account and issuer stand, or no longer than the token or certificate that it began with.",
        ),
        key(
            "clones",
            Form::Word(&["alert", "refuse"]),
            Default("\"alert\""),
            "What becomes of a credential that is live from two networks at once: people are told, or it is refused and its sessions end.",
        ),
    ],
};
