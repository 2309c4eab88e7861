//! The console as a whole: its paths.

use std::fmt;
use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post};
use countersign_model::Timestamp;
use countersign_store::Store;

use crate::people::People;
use crate::respond::{HOME, see_other};
use crate::{assets, events, pages, saml, sign_in};

/// What the console is made of.
#[derive(Clone)]
pub struct Console {
    /// Knows people.
    pub people: Arc<dyn People>,
    /// Keeps sign-ins under way, one-time links, and when somebody was last there.
    pub store: Store,
    /// The addresses that browsers reach the gateway under, such as `https://gw.example:8443`; the first is the usual one.
    pub bases: Vec<String>,
    /// What time it is.
    pub clock: fn() -> Timestamp,
}

impl fmt::Debug for Console {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Console({:?})", self.bases)
    }
}

/// What every page has.
pub(crate) struct Shared {
    pub(crate) parts: Console,
    /// Everything else that is served.
    pub(crate) api: Router,
}

impl Console {
    /// The address that command lines log in at: over TLS, where there is one.
    pub(crate) fn gateway(&self) -> &str {
        let usual = self.bases.first().map(String::as_str).unwrap_or_default();
        let same = |b: &&String| b.strip_prefix("https://") == usual.strip_prefix("http://");
        let by_tls = self.bases.iter().find(same).or(self.bases.iter().find(|b| b.starts_with("https://")));
        if usual.starts_with("https://") { usual } else { by_tls.map_or(usual, String::as_str) }
    }

    /// The pages, which ask this router.
    pub fn router(&self, api: Router) -> Router {
        let shared = Arc::new(Shared { parts: self.clone(), api });
        Router::new()
            .route("/", get(|| async { see_other(HOME, &[]) }))
            .route("/console", get(pages::overview::show))
            .route("/console/static/{name}", get(assets::serve))
            .route("/console/events", get(events::watch))
            .route("/console/sign-in", get(sign_in::show))
            .route("/console/sign-in/start", get(sign_in::start))
            .route("/console/callback", get(sign_in::callback))
            .route("/console/enter", get(sign_in::enter))
            .route("/console/saml/{label}/metadata", get(saml::metadata))
            .route("/console/saml/{label}/acs", post(saml::answered))
            .route("/console/saml/finish", get(saml::finish))
            .route("/console/sign-out", post(sign_in::sign_out))
            .route("/console/inbox", get(pages::inbox::list))
            .route("/console/inbox/{id}", get(pages::inbox::show))
            .route("/console/inbox/{id}/challenge", post(pages::inbox::challenge))
            .route("/console/inbox/{id}/{verb}", post(pages::inbox::answer))
            .route("/console/factors", get(pages::factors::list))
            .route("/console/factors/challenge", post(pages::factors::challenge))
            .route("/console/factors/keys", post(pages::factors::add_key))
            .route("/console/factors/codes", post(pages::factors::add_codes))
            .route("/console/factors/{id}/{verb}", post(pages::factors::change))
            .route("/console/sessions", get(pages::sessions::list))
            .route("/console/sessions/{id}", get(pages::timeline::show))
            .route("/console/sessions/{id}/cut", post(pages::timeline::cut))
            .route("/console/identities", get(pages::identities::list))
            .route("/console/locks", get(pages::locks::list))
            .route("/console/locks/new", get(pages::new_lock::show).post(pages::new_lock::make))
            .route("/console/locks/{id}/lift", post(pages::locks::lift))
            .route("/console/targets", get(pages::targets::list))
            .route("/console/tags", get(pages::targets::tags))
            .route("/console/grants", get(pages::grants::list))
            .route("/console/grants/new", get(pages::grants::new).post(pages::grants::request))
            .route("/console/grants/{id}/revoke", post(pages::grants::revoke))
            .route("/console/sql", get(pages::sql::list).post(pages::sql::open))
            .route("/console/sql/{id}", get(pages::sql::show))
            .route("/console/sql/{id}/{verb}", post(pages::sql::act))
            .route("/console/settings", get(pages::settings::show))
            .route("/console/settings/keys", post(pages::settings::create))
            .route("/console/settings/keys/{id}/revoke", post(pages::settings::revoke))
            .route("/console/policies", get(pages::policies::show))
            .route("/console/policies/edit", get(pages::applied::edit).post(pages::applied::change))
            .route("/console/policies/history", get(pages::applied::history))
            .route("/console/policies/history/{n}", get(pages::applied::revision))
            .route("/console/policies/history/{n}/apply", post(pages::applied::revert))
            .with_state(shared)
    }
}
