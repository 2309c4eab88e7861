//! What a file that is applied over the API may hold: the sections of the configuration that are about targets, and no others.

use super::Presence::{Default, Optional, Required};
use super::keys::{TARGET, TARGETS_MAX, TEXT_CHARS_MAX, key};
use super::masking::TAG_RULES_MAX;
use super::{Form, Section};

/// A file.
pub(crate) static APPLIED: Section = Section {
    header: "an applied file, which has no settings of the gateway itself",
    doc: "A file that is applied.",
    keys: &[
        key("target", Form::Tables(&TARGET, TARGETS_MAX), Optional, "Targets, as in the gateway's configuration."),
        key("tag", Form::Tables(&APPLIED_TAG, TAG_RULES_MAX), Optional, "Which columns of any target hold what."),
    ],
};

/// A rule about tags with the target that it is for.
pub(crate) static APPLIED_TAG: Section = Section {
    header: "[[tag]]",
    doc: "Which columns of a target hold what.",
    keys: &[
        key("target", Form::Name, Required, "The target, applied or of the gateway's configuration."),
        key("column", Form::Text(TEXT_CHARS_MAX), Required, "A pattern of the full name."),
        key("type", Form::Text(255), Default("\"\""), "A pattern of the name of its type; empty for any."),
        key("tag", Form::Tag, Required, "What such columns hold."),
    ],
};
