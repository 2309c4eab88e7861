//! `countersign credentials`: secrets of targets in the vault. Values go in and never come out.

use std::path::PathBuf;

use clap::Subcommand;
use countersign_credentials::{CredentialError, Vault, create_key_file, harden_process};

use crate::cli::{ConfigFile, Format};
use crate::clock;
use crate::failed::Failed;
use crate::house::{Cellar, load_config};

use super::paper::Paper;
use super::table::{Column, Table};
use super::{prompt, text};

/// `countersign credentials`.
#[derive(Debug, Subcommand)]
pub(crate) enum Credentials {
    /// Sets a secret, new or not. The value is typed without echo, or read from standard input.
    #[command(after_help = "Example: pass show db/orders | countersign credentials set orders_rw")]
    Set {
        #[command(flatten)]
        config: ConfigFile,
        /// Its name, as in `password = { vault = "NAME" }`.
        name: String,
    },
    /// Sets a secret that is there already. Sessions that begin from then on use the new value; no restart is needed.
    #[command(after_help = "Example: openssl rand -base64 24 | countersign credentials rotate orders_rw")]
    Rotate {
        #[command(flatten)]
        config: ConfigFile,
        /// Its name.
        name: String,
    },
    /// Lists names, versions and times. Values are never shown.
    #[command(after_help = "Example: countersign credentials list --output json")]
    List {
        #[command(flatten)]
        config: ConfigFile,
        /// How to print.
        #[arg(long, value_enum, default_value_t)]
        output: Format,
    },
    /// Removes a secret.
    #[command(after_help = "Example: countersign credentials remove orders_rw")]
    Remove {
        #[command(flatten)]
        config: ConfigFile,
        /// Its name.
        name: String,
    },
    /// Prints the public key of the authority that signs the gateway's logins at SSH targets, for `TrustedUserCAKeys` there.
    #[command(
        name = "ssh-ca",
        after_help = "Example: countersign credentials ssh-ca | ssh root@web-1 tee /etc/ssh/countersign-ca.pub\n\n\
                      Then, in the target's sshd_config: TrustedUserCAKeys /etc/ssh/countersign-ca.pub"
    )]
    SshCa {
        #[command(flatten)]
        config: ConfigFile,
        /// How to print.
        #[arg(long, value_enum, default_value_t)]
        output: Format,
    },
    /// Makes a key for the vault in a new file that only its owner can read.
    #[command(
        visible_alias = "new-key",
        after_help = "Example: countersign credentials init-key /etc/countersign/vault.key\n\n\
                      Keep a copy of the key elsewhere: without it the vault cannot be opened."
    )]
    InitKey {
        /// The file; it must not be there yet.
        file: PathBuf,
    },
}

/// Runs it.
pub(crate) async fn run(command: Credentials) -> Result<(), Failed> {
    harden_process()?;
    let mut paper = Paper::new();
    match command {
        Credentials::Set { config, name } => {
            let vault = vault(&config).await?;
            let secret = prompt::secret(&format!("The secret \"{}\"", text::inert(&name)))?;
            let version = vault.put(&name, &secret, clock::now()).await.map_err(failed)?;
            paper.line(&format!("secret \"{name}\" set, version {version}"))?;
        }
        Credentials::Rotate { config, name } => {
            let vault = vault(&config).await?;
            if !vault.list().await.map_err(failed)?.iter().any(|s| s.name == name) {
                return Err(failed(CredentialError::NoSecret(text::inert(&name))));
            }
            let secret = prompt::secret(&format!("The new secret \"{name}\""))?;
            let version = vault.rotate(&name, &secret, clock::now()).await.map_err(failed)?;
            paper.line(&format!("secret \"{name}\" set anew, version {version}"))?;
        }
        Credentials::List { config, output } => list(&vault(&config).await?, output, &mut paper).await?,
        Credentials::Remove { config, name } => {
            vault(&config).await?.remove(&name).await.map_err(failed)?;
            paper.line(&format!("secret \"{name}\" removed"))?;
        }
        Credentials::SshCa { config, output } => {
            let config = load_config(&config.config)?.config;
            let authority = Cellar::open(&config).await?.ssh_user_authority().await?.ok_or_else(no_vault)?;
            let (line, fingerprint) = (authority.public_key().map_err(failed)?, authority.fingerprint());
            match output {
                Format::Json => paper.json(&serde_json::json!({ "public_key": line, "fingerprint": fingerprint }))?,
                Format::Text => paper.line(&format!("{line} countersign"))?,
            }
        }
        Credentials::InitKey { file } => {
            create_key_file(&file).map_err(failed)?;
            paper.line(&format!("a new key is in {}; keep a copy of it elsewhere", file.display()))?;
        }
    }
    paper.done()
}

async fn list(vault: &Vault, output: Format, paper: &mut Paper) -> Result<(), Failed> {
    let all = vault.list().await.map_err(failed)?;
    if output == Format::Json {
        let rows = all.iter().map(
            |s| serde_json::json!({ "name": s.name, "version": s.version, "set_at_unix_us": s.created_at.unix_us() }),
        );
        return paper.json(&rows.collect::<Vec<_>>());
    }
    if all.is_empty() {
        return paper.line("no secrets yet: set one with `countersign credentials set NAME`");
    }
    let mut table = Table::new(vec![Column::text("NAME"), Column::number("VERSION"), Column::whole("SET AT (UTC)")]);
    for s in all {
        table.row([s.name, s.version.to_string(), text::moment(s.created_at)]);
    }
    paper.table(&table)
}

async fn vault(config: &ConfigFile) -> Result<Vault, Failed> {
    let config = load_config(&config.config)?.config;
    Cellar::open(&config).await?.vault.ok_or_else(no_vault)
}

fn no_vault() -> Failed {
    Failed::invalid(
        "no vault is configured: make a key with `countersign credentials init-key vault.key` and add\n\n  \
         [vault]\n  key = { file = \"vault.key\" }",
    )
}

fn failed(e: CredentialError) -> Failed {
    match e {
        CredentialError::NoSecret(_) => Failed::not_found(e),
        other => Failed::new(other),
    }
}
