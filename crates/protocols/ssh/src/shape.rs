//! What requests mean to policy.

use std::sync::Arc;

use countersign_model::{
    Access, Attribute, AttributeKind, AttributeSpec, Attributes, Fingerprint, Shape, Use, Vocabulary,
};
use countersign_sh::{Command, access_of, quoted};
use sha2::{Digest, Sha256};

/// What policies may look at.
pub const VOCABULARY: Vocabulary = &[
    spec("argv0", AttributeKind::String, "The program of this use, as written; empty where a text only redirects."),
    spec(
        "command",
        AttributeKind::String,
        "The whole text of an `exec` that is one program with fixed arguments, with one blank between the words and quotes where they are needed; empty for any other text.",
    ),
    spec("commands", AttributeKind::Set, "Every program that the text of an `exec` names, wherever it stands in it."),
    spec("paths", AttributeKind::Set, "The files that are opened by redirections of this use, or by a file transfer."),
    spec("dynamic", AttributeKind::Bool, "True when some argument or file is known only when it runs."),
    spec("pty", AttributeKind::Bool, "True when a terminal was asked for."),
    spec("subsystem", AttributeKind::String, "The name of the subsystem that was asked for."),
];

const fn spec(name: &'static str, kind: AttributeKind, doc: &'static str) -> AttributeSpec {
    AttributeSpec { name, kind, doc }
}

fn fingerprint(kind: &str, text: &[u8]) -> Fingerprint {
    let mut hash = Sha256::new();
    hash.update(kind.as_bytes());
    hash.update([0]);
    hash.update(text);
    let mut first = [0; 16];
    for (to, from) in first.iter_mut().zip(hash.finalize()) {
        *to = from;
    }
    Fingerprint(u128::from_be_bytes(first))
}

fn text(value: &str) -> Attribute {
    Attribute::String(Arc::from(value))
}

/// Opening a session.
pub(crate) fn connect() -> Arc<Shape> {
    let uses = vec![Use { access: Access::Connect, attributes: Attributes::new() }];
    Shape::new("connect", uses, fingerprint("connect", b""))
}

/// `exec`: one use for each command of the text.
pub(crate) fn exec(command: &[u8], pty: bool) -> Arc<Shape> {
    let fingerprint = fingerprint("exec", command);
    let reading = match countersign_sh::read(command) {
        Ok(reading) => reading,
        Err(doubt) => return Shape::unreadable(doubt.0, fingerprint),
    };
    let whole = reading.simple().map(quoted).unwrap_or_default();
    let programs = Attribute::set(reading.commands.iter().map(Command::program).filter(|p| !p.is_empty()));
    let uses = reading.commands.iter().map(|c| {
        let mut attributes = Attributes::new();
        attributes.insert("argv0", text(c.program()));
        attributes.insert("command", text(&whole));
        attributes.insert("commands", programs.clone());
        attributes.insert("dynamic", Attribute::Bool(!c.is_fixed()));
        let paths = c.redirections.iter().filter(|r| r.path.fixed).map(|r| r.path.text.as_str());
        attributes.insert("paths", Attribute::set(paths));
        attributes.insert("pty", Attribute::Bool(pty));
        Use { access: access_of(c), attributes }
    });
    Shape::new("exec", uses.collect(), fingerprint)
}

/// A login shell: one admission for all that is typed in it.
pub(crate) fn shell(pty: bool) -> Arc<Shape> {
    let mut attributes = Attributes::new();
    attributes.insert("pty", Attribute::Bool(pty));
    Shape::new("shell", vec![Use { access: Access::Execute, attributes }], fingerprint("shell", b""))
}

/// SFTP: nothing by itself, because each of its requests is an action.
pub(crate) fn sftp() -> Arc<Shape> {
    let mut attributes = Attributes::new();
    attributes.insert("subsystem", text("sftp"));
    Shape::new("sftp", vec![Use { access: Access::Connect, attributes }], fingerprint("sftp", b""))
}

/// A request of SFTP by path.
pub(crate) fn file(kind: &'static str, access: Access, paths: &[String]) -> Arc<Shape> {
    let mut attributes = Attributes::new();
    attributes.insert("subsystem", text("sftp"));
    attributes.insert("paths", Attribute::set(paths.iter().map(|p| normal(p))));
    Shape::new(kind, vec![Use { access, attributes }], fingerprint(kind, paths.join("\0").as_bytes()))
}

/// A path without `.`, `..` and doubled slashes, as it is written: links are not followed. One that does not begin at the root begins with
/// `~/`, where the target's own rules put it.
fn normal(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    let absolute = path.starts_with('/');
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|p| *p != "..") => {
                parts.pop();
            }
            // There is nothing above the root.
            ".." if absolute => {}
            part => parts.push(part),
        }
    }
    format!("{}{}", if absolute { "/" } else { "~/" }, parts.join("/"))
}

/// A subsystem that is not read: it may do anything.
pub(crate) fn subsystem(name: &str) -> Arc<Shape> {
    let mut attributes = Attributes::new();
    attributes.insert("subsystem", text(name));
    Shape::new(
        "subsystem",
        vec![Use { access: Access::Execute, attributes }],
        fingerprint("subsystem", name.as_bytes()),
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;

    #[test]
    fn adv_056_each_command_is_a_use_and_doubt_is_opaque() {
        let shape = exec(b"cat /etc/hosts; rm -f x && systemctl restart web", false);
        let got: Vec<_> = shape.uses().iter().map(|u| u.access).collect();
        assert_eq!(got, [Access::Read, Access::Write, Access::Admin]);
        assert_eq!(shape.attribute("commands"), Some(&Attribute::set(["cat", "rm", "systemctl"])));
        assert_eq!(shape.attribute("command"), Some(&text("")));
        for doubtful in ["$X", "ls `echo", "l\u{455}\u{200b}", ""] {
            assert_eq!(exec(doubtful.as_bytes(), false).access(), Access::Opaque, "{doubtful}");
        }
    }

    #[test]
    fn one_fixed_command_is_known_whole() {
        for (written, want) in [
            ("systemctl  restart   web", "systemctl restart web"),
            ("'systemctl' \"restart\" web # now", "systemctl restart web"),
            ("echo 'a b' ''", "echo 'a b' ''"),
            ("systemctl restart $x", ""),
            ("A=1 systemctl restart web", ""),
            ("systemctl restart web > x", ""),
            ("systemctl restart web; true", ""),
        ] {
            assert_eq!(exec(written.as_bytes(), false).attribute("command"), Some(&text(want)), "{written}");
        }
    }

    #[test]
    fn adv_051_paths_are_written_one_way() {
        for (path, want) in [
            ("/etc/../etc//./hosts", "/etc/hosts"),
            ("/../x", "/x"),
            ("a/../../b", "~/../b"),
            ("", "~/"),
            ("/", "/"),
            ("./x", "~/x"),
        ] {
            assert_eq!(normal(path), want, "{path}");
        }
    }

    #[test]
    fn every_attribute_is_in_the_vocabulary() {
        for shape in [
            exec(b"ls > x", true),
            shell(true),
            subsystem("x"),
            sftp(),
            file("sftp_read", Access::Read, &["/x".to_owned()]),
            connect(),
        ] {
            for (name, value) in shape.uses().iter().flat_map(|u| u.attributes.iter()) {
                let spec = VOCABULARY.iter().find(|s| s.name == name).unwrap();
                assert_eq!(spec.kind, value.kind(), "{name}");
            }
        }
    }
}
