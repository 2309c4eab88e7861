//! The sections about what a target's data is.

use super::Presence::{Default, Required};
use super::keys::{TEXT_CHARS_MAX, key};
use super::{Form, Section};

/// The most rules of a target, and of a file of them.
pub(crate) const TAG_RULES_MAX: usize = 2_000;

pub(crate) static TAG: Section = Section {
    header: "[[target.tag]]",
    doc: "Which columns hold what, for [masking](masking.md). Repeat the section for each rule; all that fit count. In files that `tags` names it is written `[[tag]]`.",
    keys: &[
        key(
            "column",
            Form::Text(TEXT_CHARS_MAX),
            Required,
            "A pattern of the full name, such as `public.customers.email`: `*` is any run of characters without a dot, `**` any run at all, so \
             `**.email` is every column of that name.",
        ),
        key(
            "type",
            Form::Text(255),
            Default("\"\""),
            "A pattern of the name of its type, such as `citext`; empty for any.",
        ),
        key("tag", Form::Tag, Required, "What such columns hold."),
    ],
};

pub(crate) static MASKING: Section = Section {
    header: "[target.masking]",
    doc: "Where else tags come from.",
    keys: &[
        key(
            "comments",
            Form::Flag,
            Default("true"),
            "Whether comments on columns that name tags count, as `[pii.email]` or as a line `countersign: pii.email`. Whoever may comment on a column may add a tag, and take away none of yours.",
        ),
        key(
            "detect",
            Form::Sought(&["none", "default"]),
            Default("\"none\""),
            "What is looked for in the content of results, whatever column it is in. `\"default\"` is cards, e-mail addresses, telephone numbers, \
             IBANs, SSNs, national ids, keys and other secrets. A statement whose result cannot be searched is then denied to those who may not see them.",
        ),
    ],
};

/// A file of rules.
pub(crate) static TAG_FILE: Section = Section {
    header: "top level",
    doc: "A file of tags.",
    keys: &[key("tag", Form::Tables(&TAG, TAG_RULES_MAX), Required, "The rules.")],
};
