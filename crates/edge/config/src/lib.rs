//! The configuration: TOML in, plain typed values out, or every mistake at once with its place and a way to put it right.
//!
//! It describes; it does nothing. It must never open a socket, read the value of a secret, or print: what is wrong comes back as
//! [`Problems`]. Excerpts in problems never show what stands where a password was expected.
//!
//! Every key is declared once, in `schema`: the reader takes its form and default from there, and so does [`reference`], which is
//! the text of `docs/configuration.md`.

mod applied;
mod check;
mod decode;
mod excerpt;
mod model;
mod problem;
mod read;
mod reference;
mod schema;
mod source_map;
mod suggest;
mod surroundings;
mod units;

use std::path::Path;

use countersign_model::TagRule;

pub use applied::{Applied, merge};
pub use model::{
    Account, Api, BundleSource, Certificate, ClaimValue, Clones, Config, Endpoint, Gateway, Identity, Issuer,
    KeySource, ListenerLogin, ListenerSpec, LocalClient, LocalIssuer, LogFormat, LoginToken, MailEncryption, Mapping,
    Match, MetadataSource, NameIdFormat, Plaintext, PolicyFiles, ReceiverSpec, ReceiverWay, Recording, Saml, Scim,
    SecretSource, SessionLife, Spiffe, StoreSpec, TargetSpec, Telemetry, TlsMode, TokenReview, UpstreamTls, UrlSource,
    Vault,
};
pub use problem::{PROBLEMS_MAX, Problem, Problems, Severity};
pub use reference::reference;
pub use source_map::SourceMap;

/// The largest configuration file, in bytes.
pub const FILE_BYTES_MAX: u64 = 1 << 20;

/// What the configuration must know of a protocol that this binary speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProtocolFacts {
    /// Its name in `protocol = "…"`.
    pub name: &'static str,
    /// The port of a target that names none.
    pub port: u16,
}

/// A configuration that can be used, and what is doubtful about it.
#[derive(Debug)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// What is allowed and still probably not meant.
    pub warnings: Problems,
    /// Where everything stands, for those who check further.
    pub source: SourceMap,
}

/// Reads and checks the file at `path`, and what it refers to: files must be there, variables must be set.
///
/// # Errors
/// Every problem found, in the order of the file.
pub fn load(path: &Path, protocols: &[ProtocolFacts]) -> Result<Loaded, Problems> {
    let file_name = path.display().to_string();
    let text = match surroundings::read_bounded(path) {
        Ok(text) => text,
        Err(message) => return Err(Problems::unreadable(&file_name, message)),
    };
    read_with(&text, &file_name, protocols, &surroundings::System)
}

/// Reads and checks a text without looking at anything else: no file is opened, no variable read. Relative paths are joined to
/// the folder of `file_name`. Total: any text gives a configuration or problems.
///
/// # Errors
/// Every problem found, in the order of the text.
pub fn parse_str(text: &str, file_name: &str, protocols: &[ProtocolFacts]) -> Result<Loaded, Problems> {
    read_with(text, file_name, protocols, &surroundings::Nothing)
}

/// The same, but for files of tags, which are read: for commands that need to know what data is, and no secret and no certificate.
///
/// # Errors
/// Every problem found, in the order of the text.
pub fn parse_with_tags(text: &str, file_name: &str, protocols: &[ProtocolFacts]) -> Result<Loaded, Problems> {
    read_with(text, file_name, protocols, &surroundings::TagsAlone)
}

fn read_with(
    text: &str,
    file_name: &str,
    protocols: &[ProtocolFacts],
    around: &dyn surroundings::Surroundings,
) -> Result<Loaded, Problems> {
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(Problems::unreadable(file_name, surroundings::too_large(text.len() as u64)));
    }
    let (tree, faults) = toml::de::DeTable::parse_recoverable(text);
    let source = excerpt::Source::new(file_name, text, tree.get_ref());
    let mut sink = read::Sink::new(&source);
    sink.syntax(&faults);
    let decoded = decode::config(tree.get_ref(), tree.span(), protocols, Path::new(file_name), &mut sink);
    if faults.is_empty() {
        check::whole(&decoded, protocols, &mut sink);
        check::around(&decoded, around, &mut sink);
    } else {
        sink.distrust();
    }
    let mut config = decoded.config;
    let mut of_files = Problems::default();
    for (file, target) in &decoded.places.tag_files {
        let rules = match around.text(&file.value) {
            None => continue,
            Some(Ok(text)) => parse_tags(&text, &file.value.display().to_string()),
            Some(Err(why)) => {
                let fault =
                    read::Fault::new(file.span.clone(), file.key.clone(), format!("tags cannot be read: {why}"));
                sink.error(fault.found(file.value.display().to_string()));
                continue;
            }
        };
        match rules {
            Ok(rules) => {
                let of = config.targets.iter_mut().filter(|t| t.name == *target);
                of.for_each(|t| t.tagging.rules.extend(rules.iter().cloned()));
            }
            Err(problems) => of_files = of_files.and(problems),
        }
    }
    let (errors, warnings) = sink.finish();
    let errors = errors.and(of_files);
    if !errors.is_empty() {
        return Err(errors.and(warnings));
    }
    Ok(Loaded { config, warnings, source: SourceMap::new(source, tree.get_ref()) })
}

/// Reads a file of tags, as `tags` of a target names it.
///
/// # Errors
/// Every problem found, in the order of the text.
pub fn parse_tags(text: &str, file_name: &str) -> Result<Vec<TagRule>, Problems> {
    let (tree, faults) = toml::de::DeTable::parse_recoverable(text);
    let source = excerpt::Source::new(file_name, text, tree.get_ref());
    let mut sink = read::Sink::new(&source);
    sink.syntax(&faults);
    let rules = decode::tag_file(tree.get_ref(), &mut sink);
    if !faults.is_empty() {
        sink.distrust();
    }
    let (errors, _) = sink.finish();
    if errors.is_empty() { Ok(rules) } else { Err(errors) }
}

#[cfg(test)]
mod tests;
