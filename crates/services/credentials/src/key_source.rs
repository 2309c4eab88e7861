//! Where the key of the vault comes from. It is read once, at the start.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use countersign_model::Secret;

use crate::command::{self, COMMAND_TIMEOUT};
use crate::{CredentialError, SealingKey, secret_file, source};

/// Where the key of the vault comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySource {
    /// A file that others cannot read.
    File(PathBuf),
    /// An environment variable.
    Env(String),
    /// The standard output of a program, with its arguments.
    Command(Vec<String>),
}

impl KeySource {
    /// Reads the key.
    ///
    /// # Errors
    /// When it cannot be read within [`COMMAND_TIMEOUT`], or is no key.
    pub async fn load(&self) -> Result<SealingKey, CredentialError> {
        let material = match self {
            Self::File(path) => source::read_file(path.clone()).await?,
            Self::Env(name) => source::variable(name)?,
            Self::Command(argv) => command::output(argv, COMMAND_TIMEOUT).await?,
        };
        SealingKey::parse(&material).or_else(|e| {
            let trimmed = secret_file::without_line_end(&material);
            if trimmed.expose().len() == material.expose().len() { Err(e) } else { SealingKey::parse(&trimmed) }
        })
    }
}

/// Makes a new key and puts it in a new file that only its owner can read. A file that is there already stays as it is.
///
/// # Errors
/// When the file is there already or cannot be written.
pub fn create_key_file(path: &Path) -> Result<(), CredentialError> {
    let fault = |e: std::io::Error| CredentialError::File { path: path.to_owned(), why: e.to_string() };
    let key = SealingKey::generate()?.to_base64();
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(fault)?;
    write_key(&mut file, &key).map_err(fault)
}

fn write_key(file: &mut std::fs::File, key: &Secret) -> std::io::Result<()> {
    file.write_all(key.expose())?;
    file.write_all(b"\n")?;
    file.sync_all()
}
