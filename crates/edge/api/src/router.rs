//! Paths and what is the same for every answer: time limit, headers, errors as JSON.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, Response, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::IntoResponse as _;
use axum::routing::{any, get, post};

use crate::api_keys::ApiKeyDoor;
use crate::configuration::ConfigurationDoor;
use crate::factors::FactorDoor;
use crate::grants::GrantDoor;
use crate::identity::IdentityDoor;
use crate::issuer::{self, IssuerDoor};
use crate::problem::problem;
use crate::prometheus::Metrics;
use crate::ready::{Check, Checks};
use crate::reviews::ReviewDoor;
use crate::scim::{SCIM_PATH, ScimDoor, scim};
use crate::serve::Peer;
use crate::sql::SqlDoor;
use crate::targets::TargetDoor;
use crate::v1::{Behind, Desk};

/// On every answer: no frame, no guessing of types.
const HEADERS: [(HeaderName, &str); 3] = [
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];
/// On every answer that does not bring its own, as pages do: nothing else here is one.
const UNLESS_SET: [(HeaderName, &str); 3] = [
    (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::CACHE_CONTROL, "no-store"),
];
const HSTS: &str = "max-age=31536000";

/// What is served.
#[derive(Clone, Debug, Default)]
pub struct Api {
    /// What must be well to be ready; none means always ready.
    pub checks: Vec<Check>,
    /// The metrics; `None` leaves `/metrics` out.
    pub metrics: Option<Metrics>,
    /// The local issuer; `None` leaves its paths out.
    pub issuer: Option<IssuerDoor>,
    /// Exchange, renewal, logout and what belongs to them; `None` leaves them out.
    pub identity: Option<IdentityDoor>,
    /// What operations work with; `None` leaves them out.
    pub desk: Option<Desk>,
    /// Reviews; `None` leaves them out, and so does having no desk.
    pub reviews: Option<ReviewDoor>,
    /// Grants; `None` leaves them out, and so does having no desk.
    pub grants: Option<GrantDoor>,
    /// API keys; `None` leaves them out, and so does having no desk.
    pub api_keys: Option<ApiKeyDoor>,
    /// Second factors; `None` leaves them out, and so does having no desk.
    pub factors: Option<FactorDoor>,
    /// What is applied; `None` leaves it out, and so does having no desk.
    pub configuration: Option<ConfigurationDoor>,
    /// Targets and tags; `None` leaves them out, and so does having no desk.
    pub targets: Option<TargetDoor>,
    /// Directories of identity providers (SCIM); `None` leaves them out.
    pub scim: Option<ScimDoor>,
    /// The SQL console; `None` leaves it out, and so does having no desk.
    pub sql: Option<SqlDoor>,
    /// The pages for people; `None` leaves them out.
    pub pages: Option<Pages>,
}

/// Pages, made of everything else that is served: they ask it as every other client does.
#[derive(Clone)]
pub struct Pages(pub Arc<dyn Fn(Router) -> Router + Send + Sync>);

impl fmt::Debug for Pages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pages")
    }
}

impl Api {
    pub(crate) fn router(self, request_timeout: Duration) -> Router {
        let checks = Arc::new(Checks::new(self.checks));
        let mut router = Router::new()
            .route("/healthz", get(|| async { plain("ok\n".to_owned()) }))
            .route("/readyz", get(readyz).with_state(checks));
        if let Some(metrics) = self.metrics {
            router = router.route("/metrics", get(render).with_state(metrics));
        }
        if let Some(IssuerDoor { path, issuer }) = self.issuer {
            let path = path.trim_end_matches('/');
            let discovery = get(issuer::openid_configuration).with_state(issuer.clone());
            router = router
                .route(&format!("{path}/.well-known/openid-configuration"), discovery)
                .route(&format!("{path}/jwks.json"), get(issuer::jwks).with_state(issuer.clone()))
                .route(&format!("{path}/token"), post(issuer::token).with_state(issuer.clone()))
                .route(
                    &format!("{path}/device_authorization"),
                    post(issuer::device_authorization).with_state(issuer.clone()),
                )
                .route(&format!("{path}/revoke"), post(issuer::revoke).with_state(issuer.clone()))
                .route(
                    &format!("{path}/authorize"),
                    get(issuer::authorize).post(issuer::authorize).with_state(issuer.clone()),
                )
                .route(&format!("{path}/device"), get(issuer::device).post(issuer::device).with_state(issuer));
        }
        let behind = Behind {
            identity: self.identity,
            desk: self.desk.map(Arc::new),
            reviews: self.reviews,
            grants: self.grants,
            api_keys: self.api_keys,
            factors: self.factors,
            configuration: self.configuration,
            targets: self.targets,
            sql: self.sql,
            hub: Arc::default(),
        };
        router = router.merge(behind.router());
        if let Some(door) = self.scim {
            router = router.route(&format!("{SCIM_PATH}/{{*path}}"), any(scim).with_state(door));
        }
        if let Some(Pages(pages)) = self.pages {
            let all = router.clone();
            router = router.merge(pages(all));
        }
        router
            .fallback(|| async { problem(StatusCode::NOT_FOUND, "there is nothing at this path") })
            .method_not_allowed_fallback(|| async {
                problem(StatusCode::METHOD_NOT_ALLOWED, "this path does not take this method")
            })
            .layer(middleware::from_fn_with_state(request_timeout, around))
    }
}

async fn readyz(State(checks): State<Arc<Checks>>) -> Response<Body> {
    let readiness = checks.run().await;
    let status = if readiness.is_ready() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let mut response = (status, readiness.to_json()).into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

async fn render(State(metrics): State<Metrics>) -> Response<Body> {
    let mut response = plain(metrics.render());
    let form = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, form);
    response
}

fn plain(text: String) -> Response<Body> {
    text.into_response()
}

/// Around every request.
async fn around(State(limit): State<Duration>, request: Request, next: Next) -> Response<Body> {
    let encrypted = request.extensions().get::<Peer>().is_some_and(|p| p.encrypted);
    let mut response = match tokio::time::timeout(limit, next.run(request)).await {
        Ok(response) => response,
        Err(_) => {
            let mut late = problem(StatusCode::REQUEST_TIMEOUT, "the request took too long");
            late.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            late
        }
    };
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if encrypted {
        headers.insert(header::STRICT_TRANSPORT_SECURITY, HeaderValue::from_static(HSTS));
    }
    for (name, value) in UNLESS_SET {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    response
}
