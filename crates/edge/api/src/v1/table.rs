//! Every operation there is. To add one:
//!
//! 1. Types in `views` for what it takes (`deny_unknown_fields`) and answers. What is checked of them has its limit in the schema, too.
//! 2. A line in [`OPERATIONS`]: a noun and a verb, method, path, who may, parameters, body, answer. By it the operation is routed, judged,
//!    recorded and described; nothing else has to be told of it.
//! 3. An arm in `perform`. What services do comes through a door in `Behind`, which the binary gives, as those of reviews and grants.
//! 4. `COUNTERSIGN_BLESS=1 cargo test -p countersign-api --test openapi`; a line in `BODIES` of `tests/api/suite.py` where it needs a body;
//!    `tests/api/run --bless the_matrix`, and every new cell of `tests/api/matrix.txt` read: it says who may.
//!
//! It must never have an operation that is not judged where it is performed: who may is said here, and nowhere a second time.

use countersign_model::Access;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::notices::STATUSES;
use super::operation::{Content, Operation, Parameter, Place, SchemaOf, Who, schema_of};
use super::policies::PolicyPage;
use super::views::{
    ActivityView, AddCodesBody, AddKeyBody, ApiKeyBody, ApiKeyPage, ApiKeyView, AppliedView, ApplyBody, CodeBody,
    CodesView, DiffBody, DiffView, DryRun, DryRunBody, EndApiKeyBody, EndGrantBody, EndGrantsBody, EndedGrantsView,
    EndedView, ExchangeForm, ExchangedView, FactorChallengeBody, FactorChallengeView, FactorPage, FactorView,
    GrantBody, GrantDetailView, GrantPage, GrantView, LockPage, LockView, LoginFactsView, LogoutView, NewApiKeyView,
    NewLockBody, NoticePage, NoticeTestBody, NoticeTestView, NoticeView, OpenSqlBody, OperationPage, RecordingPage,
    RecordingView, RemoveFactorBody, RenewForm, ResetFactorsBody, ResetFactorsView, RevertBody, ReviewBody,
    ReviewChallengeBody, ReviewCommentBody, ReviewPage, ReviewView, RevisionDetailView, RevisionPage, RunSqlBody,
    SessionPage, SessionView, SqlExportView, SqlPage, SqlView, TagPage, TargetPage, WhoamiView,
};
use super::{recordings, watching};

/// The usual and the most entries of a page.
pub(crate) const PAGE: usize = 100;
pub(crate) const PAGE_MAX: usize = 1_000;
/// The most reviews, or grants, of a page.
pub(crate) const ANSWERED_PAGE_MAX: usize = 100;
/// The most characters of a comment, of the reason of a request for access, or of that of its end.
pub(crate) const SAID_CHARS_MAX: usize = 1_000;
/// The most characters of the name of a second factor.
pub(crate) const FACTOR_NAME_CHARS_MAX: usize = 64;
/// The longest that a rule can let a grant last, in seconds: seven days.
pub(crate) const GRANT_S_MAX: u64 = 604_800;
/// The last second that has a date of four digits for its year, since the Unix epoch.
pub(crate) const SECONDS_MAX: i64 = 253_402_300_799;
/// The highest number of an item in a session's life: what every reader of JSON can hold (RFC 8259, 6).
pub(crate) const ITEMS_SEEN_MAX: u64 = (1 << 53) - 1;
/// The most characters of the name of an API key.
pub(crate) const API_KEY_NAME_CHARS_MAX: usize = 64;
/// The shortest and the longest life of an API key, in seconds: a minute, 90 days.
pub(crate) const API_KEY_S_MIN: u64 = 60;
pub(crate) const API_KEY_S_MAX: u64 = 90 * 86_400;
/// The most bytes of a text that the SQL console runs, and of the name of a database.
pub(crate) const SQL_BYTES_MAX: usize = 64 * 1024;
pub(crate) const SQL_DATABASE_BYTES_MAX: usize = 63;
/// The longest body with such a text: as JSON, it is longer.
const SQL_BODY_BYTES_MAX: usize = 512 * 1024;
/// The longest life of a lock that ends by itself, in seconds: a hundred years.
pub(crate) const EXPIRES_IN_S_MAX: u64 = 3_155_760_000;

/// The most files that are applied together.
pub const APPLIED_FILES_MAX: usize = 1_000;
/// The most bytes of all of their texts.
pub const APPLIED_BYTES_MAX: usize = 1 << 20;
/// The most characters of the path of a file that is applied.
pub(crate) const APPLIED_PATH_CHARS_MAX: usize = 255;
/// The longest body of what is applied: as JSON, texts are longer.
const APPLIED_BODY_BYTES_MAX: usize = 4 << 20;
/// The highest number of a revision: what every reader of JSON can hold (RFC 8259, 6).
pub(crate) const REVISION_MAX: u64 = (1 << 53) - 1;

fn flag(generator: &mut SchemaGenerator) -> Schema {
    bool::json_schema(generator)
}

fn text(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string" })
}

fn reason(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "pattern": r"\S" })
}

fn ulid(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "pattern": "^[0-7][0-9A-HJKMNP-TV-Z]{25}$" })
}

fn review_id(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "pattern": "^[0-9A-Za-z]{1,64}$" })
}

fn event_id(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "pattern": "^[0-9A-Z]{26}-[0-9]{1,19}$" })
}

fn limit(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "integer", "minimum": 1, "maximum": PAGE_MAX, "default": PAGE })
}

fn answered_limit(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "integer", "minimum": 1, "maximum": ANSWERED_PAGE_MAX, "default": ANSWERED_PAGE_MAX })
}

fn recordings_limit(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "integer", "minimum": 1, "maximum": PAGE_MAX, "default": recordings::SESSIONS })
}

fn items_limit(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "integer", "minimum": 1, "maximum": PAGE_MAX, "default": recordings::ITEMS })
}

fn revision(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "integer", "minimum": 1, "maximum": REVISION_MAX })
}

fn count(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "integer", "minimum": 0, "maximum": ITEMS_SEEN_MAX })
}

fn notice_status(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "enum": STATUSES })
}

fn seconds(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "integer", "minimum": 0, "maximum": SECONDS_MAX })
}

pub(crate) fn target(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "pattern": "^[0-9A-Za-z][0-9A-Za-z_.-]{0,62}$" })
}

/// A date, or a time of a day in UTC. The twenty-ninth of February is one, too, in years that have it, which no pattern says.
fn moment(_: &mut SchemaGenerator) -> Schema {
    const DAY: &str =
        "((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)|02-(0[1-9]|1[0-9]|2[0-8]))";
    const TIME: &str = r"T([01][0-9]|2[0-3])(:[0-5][0-9]){2}(\.[0-9]+)?Z";
    json_schema!({ "type": "string", "pattern": format!("^[0-9]{{4}}-{DAY}({TIME})?$") })
}

const fn id(doc: &'static str, schema: SchemaOf) -> Parameter {
    Parameter { name: "id", place: Place::Path, required: true, doc, schema }
}

const fn query(name: &'static str, doc: &'static str, schema: SchemaOf) -> Parameter {
    Parameter { name, place: Place::Query, required: false, doc, schema }
}

const fn why(doc: &'static str) -> Parameter {
    Parameter { required: true, ..query("reason", doc, reason) }
}

const REVIEW: &[Parameter] = &[id("The review.", review_id)];
const FACTOR: &[Parameter] = &[id("The factor.", review_id)];
/// What is not recorded of what somebody shows beside their login: it may be good for a minute still.
const CODES: &[&str] = &["code"];
const REVISION: Parameter = id("The revision.", revision);
/// Of what is only compared, the texts are not recorded: of what is applied they are.
const TEXTS: &[&str] = &["text"];
const SQL: &[Parameter] = &[id("The session of the SQL console.", review_id)];
/// Of the SQL console, a statement is recorded where it runs: in the session on its target.
const STATEMENTS: &[&str] = &["statement"];
const GRANT: &[Parameter] = &[id("The grant.", review_id)];
const ANSWERED_BY: Parameter =
    query("answered_by", "Only those that this person approved: a name, or ISSUER#SUBJECT.", text);
const SINCE: Parameter =
    query("since", "With answered_by: approved from this time on, in seconds since the Unix epoch.", seconds);
const UNTIL: Parameter =
    query("until", "With answered_by: approved before this time, in seconds since the Unix epoch.", seconds);
const LIMIT: Parameter = query("limit", "The most entries of the page.", limit);

const READ: Who = Who::Policy(Access::Read);
const ADMIN: Who = Who::Policy(Access::Admin);
const OWN_OR_READ: Who = Who::Own(Access::Read);
const OWN_OR_ADMIN: Who = Who::Own(Access::Admin);

const fn answer_to_review(name: &'static str, path: &'static str) -> Operation {
    Operation::change(name, "POST", path, Who::Known, schema_of::<ReviewView>)
        .with(REVIEW)
        .takes(Content::MaybeJson(schema_of::<ReviewBody>))
        .hiding(CODES)
}

/// Every operation.
pub const OPERATIONS: &[Operation] = &[
    Operation { answer: Content::OpenApi, ..Operation::get("openapi.show", "/v1/openapi.json", Who::Anyone, text) }
        .says("This document."),
    Operation::get("login.show", "/v1/login", Who::Anyone, schema_of::<LoginFactsView>)
        .says("What a client needs to log in."),
    Operation::change("login.exchange", "POST", "/v1/exchange", Who::Anyone, schema_of::<ExchangedView>)
        .says("Exchanges a token for a certificate that is bound to the key of the certificate request (RFC 8693).")
        .takes(Content::Form(schema_of::<ExchangeForm>))
        .as_oauth(),
    Operation::change("login.renew", "POST", "/v1/renew", Who::Anyone, schema_of::<ExchangedView>)
        .says("Another certificate of the login and key whose certificate the connection was made with.")
        .takes(Content::Form(schema_of::<RenewForm>))
        .as_oauth(),
    Operation::change("login.end", "POST", "/v1/logout", Who::Anyone, schema_of::<LogoutView>)
        .says("Ends the login whose certificate the connection was made with: its certificates and its sessions.")
        .as_oauth(),
    Operation::get("whoami.show", "/v1/whoami", Who::Known, schema_of::<WhoamiView>)
        .says("The caller as the gateway sees it.")
        .without_keys(),
    Operation {
        answer: Content::Events,
        ..Operation::get("events.watch", "/v1/events", Who::Known, text)
            .says("That something changed, as server-sent events: of sessions and locks for whoever may list them, of reviews for whoever may see them.")
            .with(&[
                Parameter { place: Place::Header, ..query("Last-Event-ID", "Goes on after this event.", event_id) },
                query("session", "Also when the record of this session grows, for whoever may show it.", ulid),
            ])
    },
    Operation::get("operations.list", "/v1/operations", Who::Known, schema_of::<OperationPage>)
        .says("The operations that policy lets the caller ask for now. Asking is not recorded, and promises nothing: each is judged when it is asked for."),
    Operation::get("reviews.list", "/v1/reviews", Who::Known, schema_of::<ReviewPage>)
        .says("The reviews that the caller asked for or may be asked, latest first.")
        .with(&[
            query("all", "Those that are over, too.", flag),
            query("target", "Only those on this target.", text),
            query("before", "Only those older than this one: `next` of the page before.", review_id),
            query("limit", "The most entries of the page.", answered_limit),
            ANSWERED_BY,
            SINCE,
            UNTIL,
        ]),
    Operation::get("reviews.show", "/v1/reviews/{id}", Who::Known, schema_of::<ReviewView>)
        .says("One review, with everything that its reviewers are shown.")
        .with(REVIEW),
    answer_to_review("reviews.approve", "/v1/reviews/{id}/approve")
        .says("Says yes. Exactly what is shown goes on, once, when enough people say so.")
        .without_keys(),
    answer_to_review("reviews.deny", "/v1/reviews/{id}/deny").says("Says no.").without_keys(),
    answer_to_review("reviews.comment", "/v1/reviews/{id}/comment")
        .says("Says something, for everybody who may see it.")
        .takes(Content::Json(schema_of::<ReviewCommentBody>)),
    answer_to_review("reviews.withdraw", "/v1/reviews/{id}/withdraw").says("Takes back what the caller asked for."),
    Operation {
        method: "POST",
        ..Operation::get(
            "reviews.challenge",
            "/v1/reviews/{id}/challenge",
            Who::Known,
            schema_of::<FactorChallengeView>,
        )
        .says("What a security key of the caller's is to sign, so that it says yes to exactly this.")
        .with(REVIEW)
        .takes(Content::MaybeJson(schema_of::<ReviewChallengeBody>))
        .without_keys()
    },
    Operation::get("factors.list", "/v1/factors", Who::Known, schema_of::<FactorPage>)
        .says("The caller's second factors."),
    Operation {
        method: "POST",
        ..Operation::get(
            "factors.challenge",
            "/v1/factors/challenge",
            Who::Console,
            schema_of::<FactorChallengeView>,
        )
        .says("What a security key of the caller's is to sign, so that a factor is registered, added or removed.")
        .takes(Content::Json(schema_of::<FactorChallengeBody>))
    },
    Operation::change("factors.add-key", "POST", "/v1/factors/keys", Who::Console, schema_of::<FactorView>)
        .says("Registers a security key. Whoever has a factor shows it.")
        .takes(Content::Json(schema_of::<AddKeyBody>))
        .hiding(CODES)
        .with_status(201),
    Operation::change("factors.add-codes", "POST", "/v1/factors/codes", Who::Console, schema_of::<CodesView>)
        .says("Makes a secret for an authenticator app, shown once. Whoever has a factor shows it.")
        .takes(Content::Json(schema_of::<AddCodesBody>))
        .hiding(CODES)
        .told_once()
        .with_status(201),
    Operation::change(
        "factors.confirm-codes",
        "POST",
        "/v1/factors/{id}/confirm",
        Who::Console,
        schema_of::<FactorView>,
    )
    .says("Makes a factor of a new secret, by its first code.")
    .with(FACTOR)
    .takes(Content::Json(schema_of::<CodeBody>))
    .hiding(CODES),
    Operation::change("factors.remove", "POST", "/v1/factors/{id}/remove", Who::Console, schema_of::<FactorView>)
        .says("Removes a factor of the caller's, who shows one: this one or another.")
        .with(FACTOR)
        .takes(Content::Json(schema_of::<RemoveFactorBody>))
        .hiding(CODES),
    Operation::change("factors.reset", "POST", "/v1/factors/reset", ADMIN, schema_of::<ResetFactorsView>)
        .says("Removes all second factors of somebody who lost them: their next is trusted as their first.")
        .takes(Content::Json(schema_of::<ResetFactorsBody>))
        .without_keys(),
    Operation::get("grants.list", "/v1/grants", OWN_OR_READ, schema_of::<GrantPage>)
        .says("The grants that the caller holds, asked for or may be asked about, latest first; with everybody, all of them.")
        .with(&[
            query("all", "Those that are over, too.", flag),
            query("everybody", "Everybody's, where policy lets the caller read them.", flag),
            query("before", "Only those older than this one: `next` of the page before.", review_id),
            query("limit", "The most entries of the page.", answered_limit),
            ANSWERED_BY,
            SINCE,
            UNTIL,
        ]),
    Operation::change("grants.request", "POST", "/v1/grants", Who::Known, schema_of::<GrantView>)
        .says("Asks for access for a while, of those whom the rules that offer it name.")
        .takes(Content::Json(schema_of::<GrantBody>))
        .with_status(201),
    Operation::get("grants.show", "/v1/grants/{id}", Who::Known, schema_of::<GrantDetailView>)
        .says("One grant, with its review.")
        .with(GRANT),
    Operation::change("grants.revoke", "POST", "/v1/grants/{id}/revoke", OWN_OR_ADMIN, schema_of::<GrantView>)
        .says("Ends a grant, and the sessions that live by it.")
        .with(GRANT)
        .takes(Content::Json(schema_of::<EndGrantBody>)),
    Operation::change("grants.revoke-approved", "POST", "/v1/grants/revoke", OWN_OR_ADMIN, schema_of::<EndedGrantsView>)
        .says("Ends the grants that somebody approved in a window of time, of those that the caller may end.")
        .takes(Content::Json(schema_of::<EndGrantsBody>)),
    Operation::get("locks.list", "/v1/locks", READ, schema_of::<LockPage>).says("The locks in force, newest first.").with(&[
        query("all", "Those that ended, too.", flag),
        query("before", "Only those older than this one: `next` of the page before.", text),
        LIMIT,
    ]),
    Operation::change("locks.add", "POST", "/v1/locks", ADMIN, schema_of::<LockView>)
        .says("Locks out whatever fits all of what is named: live sessions end, new ones are refused, on every gateway.")
        .takes(Content::Json(schema_of::<NewLockBody>))
        .with_status(201),
    Operation {
        method: "POST",
        ..Operation::get("locks.dry-run", "/v1/locks/dry-run", READ, schema_of::<DryRun>)
            .says("What a lock would cut off, and whose credentials come from the same place.")
            .takes(Content::Json(schema_of::<DryRunBody>))
    },
    Operation::get("locks.show", "/v1/locks/{id}", READ, schema_of::<LockView>)
        .says("One lock.")
        .with(&[id("The lock.", text)]),
    Operation::change("locks.remove", "DELETE", "/v1/locks/{id}", ADMIN, schema_of::<LockView>)
        .says("Ends a lock. What it cut off does not come back; new sessions may begin.")
        .with(&[id("The lock.", text), why("Why it may end.")]),
    Operation::get("sessions.list", "/v1/sessions", READ, schema_of::<SessionPage>)
        .says("The live sessions of this gateway, oldest first.")
        .with(&[
            query("identity", "Only those of this name or subject.", text),
            query("target", "Only those on this target.", text),
            query("after", "Only those younger than this one: `next` of the page before.", ulid),
            LIMIT,
        ]),
    Operation::get("sessions.show", "/v1/sessions/{id}", READ, schema_of::<SessionView>)
        .says("One live session of this gateway.")
        .with(&[id("The session.", ulid)]),
    Operation {
        answer: Content::Events,
        ..Operation::get(watching::NAME, "/v1/sessions/{id}/watch", Who::Policy(watching::ACCESS), text)
            .says("What a live session of this gateway shows, from its beginning on, as server-sent events. While it is open, the caller watches.")
            .with(&[id("The session.", ulid)])
    },
    Operation::change("sessions.end", "DELETE", "/v1/sessions/{id}", ADMIN, schema_of::<EndedView>)
        .says("Ends a live session of this gateway; a lock ends it on any.")
        .with(&[id("The session.", ulid), why("Why it ends.")]),
    Operation::get("recordings.list", "/v1/recordings", READ, schema_of::<RecordingPage>)
        .says("The recorded sessions, newest first.")
        .with(&[
            query("identity", "Only those of this name or subject.", text),
            query("target", "Only those on this target.", target),
            query("since", "Only those from this time or date on.", moment),
            query("until", "Only those before this time or date.", moment),
            query("denied", "Only those in which something was denied.", flag),
            query("own", "Those of this API, too.", flag),
            query("before", "Only those older than this one: `next` of the page before.", ulid),
            query("limit", "The most entries of the page.", recordings_limit),
        ]),
    Operation::get("recordings.activity", "/v1/recordings/activity", READ, schema_of::<ActivityView>)
        .says("Sessions, statements and denials of the last 24 hours, by hour and by target."),
    Operation::get("recordings.show", "/v1/recordings/{id}", READ, schema_of::<RecordingView>)
        .says("What happened in a recorded session.")
        .with(&[
            id("The session.", ulid),
            query("after", "Only what came after this many: `next` of the page before.", count),
            query("limit", "The most entries of the page.", items_limit),
        ]),
    Operation::change("api-keys.create", "POST", "/v1/api-keys", ADMIN, schema_of::<NewApiKeyView>)
        .says("Makes an API key of the caller, for some operations and a time. Its text is told in this answer, never again.")
        .takes(Content::Json(schema_of::<ApiKeyBody>))
        .with_status(201)
        .told_once()
        .without_keys(),
    Operation::get("api-keys.list", "/v1/api-keys", OWN_OR_READ, schema_of::<ApiKeyPage>)
        .says("The API keys of the caller, newest first; with everybody, all of them.")
        .with(&[
            query("all", "Those that are over, too.", flag),
            query("everybody", "Everybody's, where policy lets the caller read them.", flag),
            query("before", "Only those older than this one: `next` of the page before.", review_id),
            LIMIT,
        ])
        .without_keys(),
    Operation::change("api-keys.revoke", "POST", "/v1/api-keys/{id}/revoke", OWN_OR_ADMIN, schema_of::<ApiKeyView>)
        .says("Ends an API key, at every gateway.")
        .with(&[id("The key.", review_id)])
        .takes(Content::Json(schema_of::<EndApiKeyBody>))
        .without_keys(),
    Operation::get("notices.list", "/v1/notices", READ, schema_of::<NoticePage>)
        .says("The receivers of notices and how they are, and the notices, latest first.")
        .with(&[
            query("receiver", "Only those for this receiver.", text),
            query("status", "Only those that are this far.", notice_status),
            query("before", "Only those older than this one: `next` of the page before.", review_id),
            LIMIT,
        ]),
    Operation::change("notices.test", "POST", "/v1/notices/test", ADMIN, schema_of::<NoticeTestView>)
        .says("Sends a test to a receiver, and says what came of it.")
        .takes(Content::Json(schema_of::<NoticeTestBody>)),
    Operation::change("notices.retry", "POST", "/v1/notices/{id}/retry", ADMIN, schema_of::<NoticeView>)
        .says("Sends a notice that waits, or was given up, now.")
        .with(&[id("The notice.", review_id)]),
    Operation::get("policies.show", "/v1/policies", READ, schema_of::<PolicyPage>)
        .says("The files, rules and warnings in force."),
    Operation::get("configuration.list", "/v1/configuration/revisions", READ, schema_of::<RevisionPage>)
        .says("What was applied, latest first, and what this gateway has in force.")
        .with(&[query("before", "Only those older than this one: `next` of the page before.", revision), LIMIT]),
    Operation::get("configuration.show", "/v1/configuration/revisions/{id}", READ, schema_of::<RevisionDetailView>)
        .says("One revision, with its files.")
        .with(&[REVISION]),
    Operation::get("configuration.compare", "/v1/configuration/revisions/{id}/diff", READ, schema_of::<DiffView>)
        .says("What it would change to apply a revision again.")
        .with(&[REVISION, query("from", "Compare with this revision instead of the latest.", revision)]),
    Operation {
        method: "POST",
        ..Operation::get("configuration.diff", "/v1/configuration/diff", READ, schema_of::<DiffView>)
            .says("What it would change to apply these files, and everything that is wrong with them.")
            .takes(Content::Json(schema_of::<DiffBody>))
            .hiding(TEXTS)
            .up_to(APPLIED_BODY_BYTES_MAX)
    },
    Operation::change("configuration.apply", "POST", "/v1/configuration", ADMIN, schema_of::<AppliedView>)
        .says("Puts these targets, policies and tags in the place of those that were applied before, at every gateway of the store.")
        .takes(Content::Json(schema_of::<ApplyBody>))
        .up_to(APPLIED_BODY_BYTES_MAX),
    Operation::change(
        "configuration.revert",
        "POST",
        "/v1/configuration/revisions/{id}/apply",
        ADMIN,
        schema_of::<AppliedView>,
    )
    .says("Applies a revision again, as a new one.")
    .with(&[REVISION])
    .takes(Content::Json(schema_of::<RevertBody>)),
    Operation::get("targets.list", "/v1/targets", OWN_OR_READ, schema_of::<TargetPage>)
        .says("The targets that the caller may connect to or ask for, and which rules may let them do what; with everybody, all of them.")
        .with(&[
            query("everybody", "All of them, where policy lets the caller read them.", flag),
            query("after", "Only those whose names come after this one: `next` of the page before.", target),
            LIMIT,
        ]),
    Operation::get("sql.list", "/v1/sql", Who::Console, schema_of::<SqlPage>)
        .says("The caller's sessions of the SQL console at this gateway."),
    Operation::change("sql.open", "POST", "/v1/sql", Who::Console, schema_of::<SqlView>)
        .says("Opens a session on a target for whoever is signed in, as a client of theirs would.")
        .takes(Content::Json(schema_of::<OpenSqlBody>))
        .told_once()
        .with_status(201),
    Operation::get("sql.show", "/v1/sql/{id}", Who::Console, schema_of::<SqlView>)
        .says("A session of the SQL console, with the rows of what ran last.")
        .with(&[id("The session of the SQL console.", review_id), query("after", "Only rows after this many: `next` of the page before.", count)]),
    Operation::change("sql.run", "POST", "/v1/sql/{id}/run", Who::Console, schema_of::<SqlView>)
        .says("Runs a statement there. It is judged, masked, held and recorded as from any other client.")
        .with(SQL)
        .takes(Content::Json(schema_of::<RunSqlBody>))
        .up_to(SQL_BODY_BYTES_MAX)
        .hiding(STATEMENTS)
        .told_once(),
    Operation::change("sql.cancel", "POST", "/v1/sql/{id}/cancel", Who::Console, schema_of::<SqlView>)
        .says("Cancels the statement that runs, or waits for people.")
        .with(SQL)
        .told_once(),
    Operation::change("sql.close", "POST", "/v1/sql/{id}/close", Who::Console, schema_of::<SqlView>)
        .says("Ends the session.")
        .with(SQL)
        .told_once(),
    Operation::change("sql.export", "POST", "/v1/sql/{id}/export", Who::Console, schema_of::<SqlExportView>)
        .says("The last result with rows as CSV. How many rows were taken is recorded.")
        .with(SQL)
        .told_once(),
    Operation::get("tags.list", "/v1/tags", READ, schema_of::<TagPage>)
        .says("The rules about tags, by target, and those that fit nothing."),
];
