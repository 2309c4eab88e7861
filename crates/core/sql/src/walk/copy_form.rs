//! How a `COPY` writes its rows, from its options.
//!
//! It must never guess: an option that is not known, or one that changes how rows are written in another way, gives [`CopyForm::Other`].

use pg_query::NodeEnum;
use pg_query::protobuf::{DefElem, Node};

use super::session::constant;
use crate::analysis::CopyForm;

#[derive(Default)]
struct Said<'o> {
    format: Option<String>,
    delimiter: Option<String>,
    null: Option<String>,
    header: Option<&'o DefElem>,
    quote: Option<String>,
    escape: Option<String>,
}

/// The form that these options ask for.
pub(super) fn form(options: &[Node]) -> CopyForm {
    written(options).unwrap_or(CopyForm::Other)
}

fn written(options: &[Node]) -> Option<CopyForm> {
    let mut said = Said::default();
    for option in options {
        let Some(NodeEnum::DefElem(option)) = option.node.as_ref() else { return None };
        let text = || option.arg.as_deref().and_then(constant).map(|s| s.to_string());
        match option.defname.as_str() {
            "format" => said.format = Some(text()?),
            "delimiter" => said.delimiter = Some(text()?),
            "null" => said.null = Some(text()?),
            "quote" => said.quote = Some(text()?),
            "escape" => said.escape = Some(text()?),
            "header" => said.header = Some(option),
            "encoding" if text()?.eq_ignore_ascii_case("utf8") || text()?.eq_ignore_ascii_case("utf-8") => {}
            // Which values are quoted is seen in the rows; the others are about reading.
            "force_quote" | "freeze" | "force_not_null" | "force_null" | "on_error" | "log_verbosity" => {}
            _ => return None,
        }
    }
    let byte = |s: Option<&String>, otherwise: u8| match s.map(|s| s.as_bytes()) {
        None => Some(otherwise),
        Some([b]) if b.is_ascii() => Some(*b),
        Some(_) => None,
    };
    let header = said.header.map_or(Some(false), flag)?;
    let quote = byte(said.quote.as_ref(), b'"')?;
    Some(match said.format.as_deref().unwrap_or("text") {
        "text" => CopyForm::Text {
            delimiter: byte(said.delimiter.as_ref(), b'\t')?,
            null: said.null.unwrap_or_else(|| "\\N".to_owned()).into(),
            header,
        },
        "csv" => CopyForm::Csv {
            delimiter: byte(said.delimiter.as_ref(), b',')?,
            null: said.null.unwrap_or_default().into(),
            quote,
            escape: byte(said.escape.as_ref(), quote)?,
            header,
        },
        "binary" => CopyForm::Binary,
        _ => return None,
    })
}

/// A Boolean option, as `defGetBoolean` reads it.
fn flag(option: &DefElem) -> Option<bool> {
    let Some(arg) = option.arg.as_deref() else { return Some(true) };
    match &*constant(arg)?.to_ascii_lowercase() {
        "true" | "on" | "1" => Some(true),
        "false" | "off" | "0" => Some(false),
        _ => None,
    }
}
