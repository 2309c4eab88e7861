//! Files that are applied over the API.

use std::path::PathBuf;

use countersign_model::{TagRule, TargetName};
use toml::de::DeTable;

use super::{Decoder, Places, masking};
use crate::ProtocolFacts;
use crate::model::TargetSpec;
use crate::read::{At, Sink, Table};
use crate::schema;

/// A file, complete only when no error was found, and where its parts stand.
pub(crate) struct DecodedApplied {
    pub(crate) targets: Vec<TargetSpec>,
    pub(crate) tags: Vec<(At<TargetName>, TagRule)>,
    pub(crate) places: Places,
}

/// Decodes the whole tree. Nothing in it names a file or a variable of this machine.
pub(crate) fn applied(tree: &DeTable<'_>, protocols: &[ProtocolFacts], sink: &mut Sink<'_>) -> DecodedApplied {
    let mut d = Decoder { sink, places: Places::default(), base: PathBuf::new(), protocols, is_applied: true };
    let mut root = Table::new(&schema::APPLIED, String::new(), tree, 0..0);
    let t = root.tables(d.sink, "target", &schema::TARGET);
    let targets = t.into_iter().filter_map(|t| d.target(t)).collect();
    let t = root.tables(d.sink, "tag", &schema::APPLIED_TAG);
    let tags = t.into_iter().filter_map(|t| tag(t, d.sink)).collect();
    root.finish(d.sink);
    DecodedApplied { targets, tags, places: d.places }
}

fn tag(mut t: Table<'_>, sink: &mut Sink<'_>) -> Option<(At<TargetName>, TagRule)> {
    let target = t.text(sink, "target");
    let rule = masking::tag_parts(&mut t, sink);
    t.finish(sink);
    let At { value, span, key, given } = target?;
    Some((At { value: TargetName::parse(&value)?, span, key, given }, rule?))
}
