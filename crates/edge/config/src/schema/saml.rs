//! The section about identity providers that speak SAML 2.0.

use super::Presence::{Default, Derived, Optional, Required};
use super::identities::MAPPING;
use super::keys::{TEXT_CHARS_MAX, key};
use super::{Form, Section};

pub(crate) static SAML: Section = Section {
    header: "[[saml]]",
    doc: "An identity provider that people sign in to the console at by SAML 2.0. Repeat the section for each. It needs a `[vault]`.",
    keys: &[
        key(
            "label",
            Form::Name,
            Required,
            "A short word of your own for it; it is part of the addresses that it is told.",
        ),
        key("entity_id", Form::Text(1_024), Required, "Its entity id, exactly as in its metadata."),
        key(
            "sp_entity_id",
            Form::Text(1_024),
            Derived("where its metadata is: `URL/console/saml/LABEL/metadata`"),
            "What the gateway is called there, and the audience of its assertions.",
        ),
        key(
            "metadata_file",
            Form::Path,
            Derived("`metadata_url` instead"),
            "Its metadata in a file, which may change.",
        ),
        key(
            "metadata_url",
            Form::Url(&["https", "http"]),
            Derived("`metadata_file` instead"),
            "Where its metadata is. Plain HTTP only on this machine.",
        ),
        key(
            "ca",
            Form::Path,
            Derived("the system's authorities"),
            "PEM file of the authorities of the HTTPS certificate of `metadata_url`.",
        ),
        key(
            "metadata_signed_by",
            Form::Path,
            Optional,
            "PEM file of the certificate whose key must have signed the metadata; left out, a signature is not looked for.",
        ),
        key(
            "metadata_refresh_s",
            Form::Seconds(10, 7 * 86_400),
            Default("3600"),
            "How old the metadata may be before it is fetched anew.",
        ),
        key(
            "max_metadata_age_s",
            Form::Seconds(10, 7 * 86_400),
            Default("86400"),
            "How long cached metadata is used while it cannot be fetched.",
        ),
        key(
            "subject_attribute",
            Form::Text(TEXT_CHARS_MAX),
            Derived("the NameID"),
            "The attribute that tells people apart for good: one that is never given to somebody else.",
        ),
        key(
            "name_attribute",
            Form::Text(TEXT_CHARS_MAX),
            Derived("the NameID"),
            "The attribute that becomes the identity's name.",
        ),
        key("name_prefix", Form::Text(TEXT_CHARS_MAX), Default("\"\""), "Put before names taken from an assertion."),
        key(
            "email_attribute",
            Form::Text(TEXT_CHARS_MAX),
            Optional,
            "The attribute that is the mail address: policies see it as the claim `email`.",
        ),
        key(
            "groups_attribute",
            Form::Text(TEXT_CHARS_MAX),
            Optional,
            "The attribute that lists groups; left out, an assertion brings none.",
        ),
        key(
            "groups_prefix",
            Form::Text(TEXT_CHARS_MAX),
            Derived("the label and a colon"),
            "Put before each group of an assertion, so that issuers cannot speak for each other's groups.",
        ),
        key(
            "name_id_format",
            Form::Word(&["persistent", "email"]),
            Derived("left to the identity provider"),
            "Which format of NameID is asked for. One that changes at each sign-in (transient) is never accepted.",
        ),
        key(
            "sign_requests",
            Form::Flag,
            Default("true"),
            "Whether requests are signed; they are, too, where the metadata wants it.",
        ),
        key("require_encrypted", Form::Flag, Default("false"), "Whether an assertion must be encrypted."),
        key(
            "accept_response_signature",
            Form::Flag,
            Default("false"),
            "Whether an assertion without a signature of its own is accepted where the response around it has one.",
        ),
        key("leeway_s", Form::Seconds(0, 60), Default("30"), "How far clocks may differ."),
        key(
            "unmapped",
            Form::Word(&["refuse", "accept"]),
            Derived("`\"refuse\"` where there are mappings, else `\"accept\"`"),
            "What becomes of a person that no mapping fits.",
        ),
        key(
            "mapping",
            Form::Tables(&MAPPING, 500),
            Optional,
            "What people become, by attributes with one value; `name_id` is the NameID.",
        ),
    ],
};
