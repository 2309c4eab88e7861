//! What the configuration refers to outside itself: files and variables. Only their presence is looked at, never a secret's value.

use std::io::Read as _;
use std::path::Path;

use crate::FILE_BYTES_MAX;

/// The world around a configuration.
pub(crate) trait Surroundings {
    /// Why the file cannot be used; `None` when it can.
    fn why_no_file(&self, path: &Path) -> Option<String>;
    /// Whether the variable is set and not empty.
    fn is_set(&self, variable: &str) -> bool;
    /// The text of a file, or why it cannot be had; `None` where no file is opened.
    fn text(&self, path: &Path) -> Option<Result<String, String>>;
    /// Why the patterns cannot be used; `None` when they can.
    fn why_no_match(&self, policy: &crate::PolicyFiles) -> Option<String>;
}

/// The machine we run on.
pub(crate) struct System;

impl Surroundings for System {
    fn why_no_file(&self, path: &Path) -> Option<String> {
        match std::fs::metadata(path) {
            Ok(m) if m.is_file() => std::fs::File::open(path).err().map(|e| format!("cannot be opened: {e}")),
            Ok(m) if m.is_dir() => Some("is a folder".to_owned()),
            Ok(_) => Some("is not a regular file".to_owned()),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Some("does not exist".to_owned()),
            Err(e) => Some(format!("cannot be looked at: {e}")),
        }
    }

    fn is_set(&self, variable: &str) -> bool {
        std::env::var_os(variable).is_some_and(|v| !v.is_empty())
    }

    fn text(&self, path: &Path) -> Option<Result<String, String>> {
        Some(read_bounded(path))
    }

    fn why_no_match(&self, policy: &crate::PolicyFiles) -> Option<String> {
        policy.files().err()
    }
}

/// No world: everything that is referred to is taken to be there.
pub(crate) struct Nothing;

impl Surroundings for Nothing {
    fn why_no_file(&self, _: &Path) -> Option<String> {
        None
    }

    fn is_set(&self, _: &str) -> bool {
        true
    }

    fn text(&self, _: &Path) -> Option<Result<String, String>> {
        None
    }

    fn why_no_match(&self, _: &crate::PolicyFiles) -> Option<String> {
        None
    }
}

/// No world but files of tags.
pub(crate) struct TagsAlone;

impl Surroundings for TagsAlone {
    fn why_no_file(&self, _: &Path) -> Option<String> {
        None
    }

    fn is_set(&self, _: &str) -> bool {
        true
    }

    fn text(&self, path: &Path) -> Option<Result<String, String>> {
        Some(read_bounded(path))
    }

    fn why_no_match(&self, _: &crate::PolicyFiles) -> Option<String> {
        None
    }
}

/// Reads at most [`FILE_BYTES_MAX`] bytes of UTF-8, or says why not.
pub(crate) fn read_bounded(path: &Path) -> Result<String, String> {
    let metadata = std::fs::metadata(path).map_err(|e| match e.kind() {
        std::io::ErrorKind::NotFound => "the file does not exist".to_owned(),
        _ => format!("the file cannot be read: {e}"),
    })?;
    if !metadata.is_file() {
        return Err("this is not a regular file".to_owned());
    }
    let file = std::fs::File::open(path).map_err(|e| format!("the file cannot be opened: {e}"))?;
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(|e| format!("the file cannot be read: {e}"))?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(too_large(metadata.len()));
    }
    String::from_utf8(bytes)
        .map_err(|e| format!("the file is not UTF-8 text: byte {} is wrong", e.utf8_error().valid_up_to()))
}

pub(crate) fn too_large(bytes: u64) -> String {
    format!("the file is too large: {bytes} bytes, at most {FILE_BYTES_MAX}")
}
