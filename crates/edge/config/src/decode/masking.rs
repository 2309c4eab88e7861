//! What a target's data is: rules by name, in the configuration and in files of their own.

use countersign_model::{TagRule, Tagging, TargetName};
use toml::de::DeTable;

use super::{Decoder, taken};
use crate::read::{At, Fault, Sink, Table};
use crate::schema;

impl Decoder<'_, '_> {
    pub(super) fn tagging(&mut self, t: &mut Table<'_>) -> Tagging {
        let rules = tag_rules(t, self.sink);
        let files = t.texts(self.sink, "tags");
        let target = t.path.strip_prefix("target.").and_then(TargetName::parse);
        // One complaint is enough for all of them.
        let files = files.filter(|f| f.value.is_empty() || self.is_own(f));
        for file in files.iter().flat_map(|f| &f.value) {
            let Some(path) = files.as_ref().and_then(|f| self.resolve(f, file)) else { continue };
            let at = At { value: path, span: t.span_of("tags"), key: t.path_of("tags"), given: true };
            self.places.tag_files.extend(target.clone().map(|target| (at, target)));
        }
        let mut m = t.table_or_default(self.sink, "masking", &schema::MASKING);
        let comments = taken(m.flag(self.sink, "comments"));
        let detect = taken(m.sought(self.sink, "detect"));
        m.finish(self.sink);
        Tagging { rules, comments, detect }
    }
}

/// The rules of a file of tags.
pub(crate) fn tag_file(tree: &DeTable<'_>, sink: &mut Sink<'_>) -> Vec<TagRule> {
    let mut root = Table::new(&schema::TAG_FILE, String::new(), tree, 0..0);
    let rules = tag_rules(&mut root, sink);
    root.finish(sink);
    rules
}

fn tag_rules(t: &mut Table<'_>, sink: &mut Sink<'_>) -> Vec<TagRule> {
    let tables = t.tables(sink, "tag", &schema::TAG);
    tables.into_iter().filter_map(|t| tag_rule(t, sink)).collect()
}

fn tag_rule(mut t: Table<'_>, sink: &mut Sink<'_>) -> Option<TagRule> {
    let rule = tag_parts(&mut t, sink);
    t.finish(sink);
    rule
}

/// What a rule has, wherever it is written.
pub(super) fn tag_parts(t: &mut Table<'_>, sink: &mut Sink<'_>) -> Option<TagRule> {
    let column = t.text(sink, "column");
    let data_type = t.text(sink, "type");
    let tag = t.tag(sink, "tag");
    let column = column?;
    // A full name has two dots or more.
    if !column.value.contains("**") && column.value.matches('.').count() < 2 {
        let name = column.value.rsplit('.').next().unwrap_or_default();
        let fault = Fault::new(column.span, column.key, "the pattern fits no column".to_owned())
            .found(format!("\"{}\"", crate::read::cut(&column.value)))
            .expected("a full name such as \"public.customers.email\", with `*` or `**` in it");
        sink.error(if name.is_empty() {
            fault
        } else {
            fault.help(format!("write \"**.{}\" for that name in every table", crate::read::cut(name)))
        });
        return None;
    }
    Some(TagRule { column: column.value, data_type: taken(data_type), tag: tag?.value })
}
