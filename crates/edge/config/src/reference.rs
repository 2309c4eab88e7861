//! The reference of all sections and keys as Markdown, made from the schema that the reader uses.

use std::fmt::Write as _;

use crate::schema::{self, Form, Presence, Section};

/// The generated part of `docs/configuration.md`: a chapter for each section, with a table of its keys.
pub fn reference() -> String {
    let mut out = String::new();
    for section in schema::SECTIONS {
        if !std::ptr::eq(section, &raw const schema::ROOT) {
            chapter(&mut out, section);
        }
    }
    out
}

fn chapter(out: &mut String, section: &Section) {
    // Writing to a String cannot fail.
    let _ = writeln!(out, "## `{}`\n\n{}\n", section.header, section.doc);
    let _ = writeln!(out, "| key | form | without it | meaning |\n|---|---|---|---|");
    for key in section.keys {
        let without = match key.presence {
            Presence::Required => "required".to_owned(),
            Presence::Optional => "–".to_owned(),
            Presence::Default(literal) => format!("`{literal}`"),
            Presence::Derived(text) => text.to_owned(),
        };
        let form = match key.form {
            Form::Table(s) | Form::Tables(s, _) => format!("see `{}`", s.header),
            other => other.describe(),
        };
        let cell = |text: &str| text.replace('|', "\\|");
        let _ = writeln!(out, "| `{}` | {} | {} | {} |", key.name, cell(&form), cell(&without), cell(key.doc));
    }
    out.push('\n');
}
