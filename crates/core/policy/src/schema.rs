//! The published schema, made from the [`Language`] so that it cannot differ from what is evaluated.
//!
//! It must never contain an optional attribute: what is absent is filled with a default, so that no rule can fail on it.

use std::fmt::Write as _;

use countersign_model::Access;

use crate::language::{ClaimKind, Language, PrincipalField, SessionAttribute, TAGS, cedar_type, is_identifier};

/// The accesses that policy judges. `opaque` is not among them: what cannot be read is denied before policy is asked.
pub(crate) const JUDGED: [Access; 5] = [Access::Connect, Access::Read, Access::Write, Access::Execute, Access::Admin];

/// What is asked of a tag: its word, and what it means.
pub(crate) const UNMASK: &str = "unmask";
/// The same of comparing it with a constant.
pub(crate) const PROBE: &str = "probe";
const OF_TAGS: [(&str, &str); 2] = [
    (
        UNMASK,
        "Seeing values of the tag as they are, and choosing rows by them. A rule is about it only when it names it.",
    ),
    (
        PROBE,
        "Comparing masked values of the tag with a constant. A permit needs @limit(\"probes=20/1h\"). A rule is about it only when it names it.",
    ),
];

const HEAD: &str = "\
// What Countersign's policies may talk about, in Cedar's schema language.
// Every attribute is always there: what an action, a session or a token does not say is false, 0, \"\" or [].

";

/// The schema, with or without the actions on tags.
pub(crate) fn text(language: &Language, of_tags: bool) -> String {
    let mut out = String::from(HEAD);
    out.push_str(
        "// A group after mapping. Names are compared exactly: case and Unicode form matter.\nentity Group;\n\n",
    );
    out.push_str("// A label of a target, written KEY:VALUE as in Label::\"env:prod\".\nentity Label;\n\n");
    out.push_str("// Who asks. The id is ISSUER#SUBJECT, with % and # in the issuer written %25 and %23.\n");
    out.push_str("entity Identity in [Group] = {\n");
    for (_, name, kind, doc) in PrincipalField::ALL {
        attribute(&mut out, name, kind, doc);
    }
    attribute(&mut out, "claims", "Claims", "Claims of the token, as verified.");
    out.push_str("};\n\n// Claims that policies may read. An absent one is empty.\ntype Claims = {\n");
    for claim in language.claims() {
        let kind = match claim.kind {
            ClaimKind::String => "String",
            ClaimKind::Set => "Set<String>",
        };
        attribute(&mut out, &claim.name, kind, &claim.doc);
    }
    out.push_str("};\n\n// What is behind the gateway.\nentity Target in [Label] = {\n");
    attribute(&mut out, "name", "String", "The name that clients use.");
    attribute(&mut out, "protocol", "String", "Which protocol it speaks.");
    out.push_str("};\n\n// What data is, such as Tag::\"pii.email\", which is in Tag::\"pii\" and in the target that has the data.\n");
    out.push_str("entity Tag in [Tag, Target] = {\n");
    attribute(&mut out, "name", "String", "The tag.");
    out.push_str("};\n\ntype Context = {\n");
    for (_, name, kind, doc) in SessionAttribute::ALL {
        attribute(&mut out, name, kind, doc);
    }
    attribute(
        &mut out,
        TAGS,
        "Set<String>",
        "The tags of the data that the action shows, compares, chooses by or copies, with those that stand for them: pii for pii.email.",
    );
    for spec in language.attributes() {
        attribute(&mut out, spec.name, cedar_type(spec.kind), spec.doc);
    }
    out.push_str("};\n");
    for access in JUDGED {
        let doc = match access {
            Access::Connect => "Opening a session, and housekeeping in it that touches no data.",
            Access::Read => "Reads.",
            Access::Write => "Changes data.",
            Access::Execute => "Runs code that the gateway cannot see into.",
            Access::Admin => "Changes the structure, the rights or the settings of the target.",
            Access::Opaque => "",
        };
        let name = access.as_str();
        // Writing to a String cannot fail.
        let _ = write!(
            out,
            "\n// {doc}\naction \"{name}\" appliesTo {{ principal: [Identity], resource: [Target], context: Context }};\n"
        );
    }
    for (name, doc) in OF_TAGS.iter().filter(|_| of_tags) {
        let _ = write!(
            out,
            "\n// {doc}\naction \"{name}\" appliesTo {{ principal: [Identity], resource: [Tag], context: Context }};\n"
        );
    }
    out
}

fn attribute(out: &mut String, name: &str, kind: &str, doc: &str) {
    for line in doc.lines() {
        let _ = writeln!(out, "  // {line}");
    }
    let _ = if is_identifier(name) {
        writeln!(out, "  {name}: {kind},")
    } else {
        writeln!(out, "  \"{}\": {kind},", name.escape_default())
    };
}
