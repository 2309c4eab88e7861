//! What an operation of the API is: everything about it that routes, policies, records and the OpenAPI document need to know.
//!
//! It describes and does nothing. What is not said here is not there: routes are made from it.

use countersign_model::Access;
use schemars::{JsonSchema, Schema, SchemaGenerator};

use crate::identity::IDENTITY_FORM_BYTES_MAX;

/// Who may ask for something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// Everybody; what it takes to be let in is in the request itself.
    Anyone,
    /// Whoever is known. What they see and may do follows from what they ask about, such as a review that they were asked to answer.
    Known,
    /// Whoever is known, of what is their own. With `everybody`, whoever policy allows this access on the target `countersign`:
    /// [`Access::Read`] or [`Access::Admin`].
    Own(Access),
    /// Whoever is signed in at the console, of what is their own.
    Console,
    /// Whoever policy allows this access on the target `countersign`: [`Access::Read`] or [`Access::Admin`].
    Policy(Access),
}

/// A type's schema.
pub(crate) type SchemaOf = fn(&mut SchemaGenerator) -> Schema;

/// The schema of `T`, by reference where it has a name.
pub(crate) fn schema_of<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

/// Where a parameter is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// A part of the path.
    Path,
    /// In the query.
    Query,
    /// A header.
    Header,
}

/// A parameter.
#[derive(Clone, Copy)]
pub struct Parameter {
    /// Its name.
    pub name: &'static str,
    /// Where it is.
    pub place: Place,
    /// Whether it must be there; what is in the path must.
    pub required: bool,
    /// What it means.
    pub doc: &'static str,
    pub(crate) schema: SchemaOf,
}

/// What is sent, or answered.
#[derive(Clone, Copy)]
pub(crate) enum Content {
    /// Nothing.
    Nothing,
    /// One JSON document.
    Json(SchemaOf),
    /// A form, as OAuth has it.
    Form(SchemaOf),
    /// JSON that need not be sent.
    MaybeJson(SchemaOf),
    /// Server-sent events.
    Events,
    /// The OpenAPI document.
    OpenApi,
}

/// Something that can be asked for.
#[derive(Clone, Copy)]
pub struct Operation {
    /// Its name, in policies, records and the OpenAPI document: a noun and a verb.
    pub name: &'static str,
    /// The method.
    pub method: &'static str,
    /// The path; `{id}` stands for an id.
    pub path: &'static str,
    /// What it does, in a sentence.
    pub summary: &'static str,
    /// Who may.
    pub who: Who,
    /// Whether it changes anything: then it is recorded, and takes an idempotency key.
    pub changes: bool,
    /// Its parameters.
    pub parameters: &'static [Parameter],
    /// Members of the body that are not recorded, at any depth.
    pub hides: &'static [&'static str],
    /// Whether its errors are OAuth's (RFC 6749, 5.2): it is a door of a protocol of others.
    pub oauth: bool,
    /// The status of an answer that is none of an error.
    pub status: u16,
    /// Whether an API key may be for it.
    pub by_key: bool,
    /// Whether its answer is told once: then it takes no idempotency key, by which it would be kept.
    pub told_once: bool,
    /// The longest body, in bytes.
    pub body_bytes_max: usize,
    pub(crate) body: Content,
    pub(crate) answer: Content,
}

impl std::fmt::Debug for Operation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Operation({})", self.name)
    }
}

impl Operation {
    /// One that reads.
    pub(crate) const fn get(name: &'static str, path: &'static str, who: Who, answer: SchemaOf) -> Self {
        Self {
            name,
            method: "GET",
            path,
            summary: "",
            who,
            changes: false,
            hides: &[],
            parameters: &[],
            oauth: false,
            status: 200,
            by_key: !matches!(who, Who::Anyone | Who::Console),
            told_once: false,
            body_bytes_max: IDENTITY_FORM_BYTES_MAX,
            body: Content::Nothing,
            answer: Content::Json(answer),
        }
    }

    /// One that changes something.
    pub(crate) const fn change(
        name: &'static str,
        method: &'static str,
        path: &'static str,
        who: Who,
        answer: SchemaOf,
    ) -> Self {
        Self { method, changes: true, ..Self::get(name, path, who, answer) }
    }

    pub(crate) const fn says(self, summary: &'static str) -> Self {
        Self { summary, ..self }
    }

    pub(crate) const fn with(self, parameters: &'static [Parameter]) -> Self {
        Self { parameters, ..self }
    }

    pub(crate) const fn takes(self, body: Content) -> Self {
        Self { body, ..self }
    }

    pub(crate) const fn with_status(self, status: u16) -> Self {
        Self { status, ..self }
    }

    /// With members of the body that are not recorded.
    pub(crate) const fn hiding(self, hides: &'static [&'static str]) -> Self {
        Self { hides, ..self }
    }

    /// No API key is for it: it takes a login.
    pub(crate) const fn without_keys(self) -> Self {
        Self { by_key: false, ..self }
    }

    /// With a body of up to so many bytes.
    pub(crate) const fn up_to(self, body_bytes_max: usize) -> Self {
        Self { body_bytes_max, ..self }
    }

    pub(crate) const fn told_once(self) -> Self {
        Self { told_once: true, ..self }
    }

    /// Whether it takes an idempotency key.
    pub(crate) const fn takes_key(&self) -> bool {
        self.changes && !self.told_once
    }

    pub(crate) const fn as_oauth(self) -> Self {
        Self { oauth: true, changes: false, ..self }
    }

    /// Whether a query may have this parameter.
    pub(crate) fn knows(&self, name: &str) -> bool {
        self.parameters.iter().any(|p| p.place == Place::Query && p.name == name)
    }
}
