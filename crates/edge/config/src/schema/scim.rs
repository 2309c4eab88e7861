//! The section about directories that identity providers keep current.

use super::Presence::{Default, Required};
use super::keys::{SECRET, TEXT_CHARS_MAX, key};
use super::{Form, Section};

pub(crate) static SCIM: Section = Section {
    header: "[[scim]]",
    doc: "A directory that an identity provider keeps current by SCIM 2.0: who may come, and in which groups they are. Repeat the section for each; changes need a restart.",
    keys: &[
        key(
            "issuer",
            Form::Name,
            Required,
            "The label of the `[[issuer]]` or `[[saml]]` whose people it is about. Groups come from here alone then.",
        ),
        key("token", Form::OneKey(&SECRET), Required, "The token that the identity provider shows; at least 32 bytes."),
        key(
            "user_key",
            Form::Word(&["externalId", "userName"]),
            Default("\"externalId\""),
            "What of a user is the same as `claim`. `userName` is compared without regard to case.",
        ),
        key(
            "claim",
            Form::Text(TEXT_CHARS_MAX),
            Default("\"sub\""),
            "The claim that has the value of `user_key`, such as `oid` of Entra ID; `sub` is the subject, of SAML the NameID.",
        ),
    ],
};
