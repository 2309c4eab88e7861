//! `countersign accounts` and `countersign token`: local accounts, by an operator with access to the store.

use std::io::Read as _;
use std::sync::Arc;

use countersign_identity::local::{LocalFault, LocalIssuer, NewAccount};
use countersign_model::{IdentityKind, Secret};
use countersign_store::Store;

use crate::cli::{Accounts, ConfigFile, Format, Token};
use crate::commands::prompt;
use crate::failed::Failed;
use crate::house::{Cellar, load_config};
use crate::{clock, output};

/// The longest password that is read.
const SECRET_BYTES_MAX: u64 = 4096;

fn no_issuer() -> Failed {
    Failed::invalid("there is no [local_issuer] in the configuration, so there are no local accounts")
}

/// `countersign token`.
pub(crate) async fn token(args: Token) -> Result<(), Failed> {
    let config = load_config(&args.config.config)?.config;
    let cellar = Cellar::open(&config).await?;
    let issuer = cellar.issuer.ok_or_else(no_issuer)?;
    let name = args.account.or(args.account_option).unwrap_or_default();
    let token = issuer.mint_for_operator(&name, args.lifetime_s, clock::now()).await.map_err(Failed::not_found)?;
    output::say(token.expose_str().unwrap_or_default())
}

/// `countersign accounts`.
pub(crate) async fn accounts(command: Accounts) -> Result<(), Failed> {
    match command {
        Accounts::Add { config, name, groups, kind, secret_stdin } => {
            let cellar = Cellar::open(&load_config(&config.config)?.config).await?;
            let issuer = cellar.issuer.ok_or_else(no_issuer)?;
            let secret = if secret_stdin { Some(read_secret()?) } else { None };
            let new = NewAccount { name, kind: kind_of(&kind)?, groups: groups.into_iter().collect(), secret };
            let account = issuer.create_account(new, clock::now()).await.map_err(Failed::new)?;
            output::say(&format!("account \"{}\" added", account.name))
        }
        Accounts::List { config, output: format } => {
            let cellar = Cellar::open(&load_config(&config.config)?.config).await?;
            let all = cellar.store.list_accounts().await.map_err(Failed::new)?;
            if format == Format::Json {
                let rows: Vec<serde_json::Value> = all
                    .iter()
                    .map(|a| {
                        serde_json::json!({
                            "name": a.name, "kind": a.kind.as_str(), "groups": a.groups, "disabled": a.disabled,
                            "has_secret": a.secret_hash.is_some(),
                        })
                    })
                    .collect();
                return output::say(&serde_json::Value::from(rows).to_string());
            }
            if all.is_empty() {
                return output::say("no accounts yet: add one with `countersign accounts add NAME --group GROUP`");
            }
            let mut table = comfy_table::Table::new();
            table.load_preset(comfy_table::presets::NOTHING).set_header(["NAME", "KIND", "GROUPS", "STATE"]);
            for a in all {
                let groups: Vec<String> = a.groups.into_iter().collect();
                let state = if a.disabled { "disabled" } else { "active" };
                table.add_row([a.name, a.kind.as_str().to_owned(), groups.join(", "), state.to_owned()]);
            }
            output::say(&table.trim_fmt())
        }
        Accounts::Password { config, name } => {
            let issuer = issuer(&config).await?;
            // Before anything is typed: a wrong name should not cost a password.
            if issuer.1.find_account_by_name(&name).await.map_err(Failed::new)?.is_none() {
                return Err(Failed::not_found(format!("there is no account \"{name}\"")));
            }
            let secret = prompt::secret(&format!("new password of {name}"))?;
            issuer.0.set_secret(&name, secret).await.map_err(Failed::new)?;
            output::say(&format!("the password of \"{name}\" was changed; whoever signed in with the old one is out"))
        }
        Accounts::Disable { config, name } => switch(&config, &name, true).await,
        Accounts::Enable { config, name } => switch(&config, &name, false).await,
        Accounts::Remove { config, name } => {
            let cellar = Cellar::open(&load_config(&config.config)?.config).await?;
            let found = cellar.store.find_account_by_name(&name).await.map_err(Failed::new)?;
            let Some(account) = found else {
                return Err(Failed::not_found(format!("there is no account \"{name}\"")));
            };
            cellar.store.remove_account(&account.id).await.map_err(Failed::new)?;
            let issuer = cellar.issuer.ok_or_else(no_issuer)?.entry().config.issuer;
            let ended = cellar.store.end_logins_of(&issuer, &account.id, clock::now(), "the account was removed").await;
            ended.map_err(Failed::new)?;
            output::say(&format!("account \"{name}\" removed"))
        }
    }
}

async fn issuer(config: &ConfigFile) -> Result<(Arc<LocalIssuer>, Store), Failed> {
    let cellar = Cellar::open(&load_config(&config.config)?.config).await?;
    Ok((cellar.issuer.ok_or_else(no_issuer)?, cellar.store))
}

async fn switch(config: &ConfigFile, name: &str, off: bool) -> Result<(), Failed> {
    let (issuer, _) = issuer(config).await?;
    issuer.set_disabled(name, off).await.map_err(|fault| match fault {
        LocalFault::NoAccount(_) => Failed::not_found(format!("there is no account \"{name}\"")),
        other => Failed::new(other),
    })?;
    output::say(&format!(
        "account \"{name}\" {}",
        if off { "disabled: its tokens are refused from now on" } else { "enabled" }
    ))
}

fn kind_of(word: &str) -> Result<IdentityKind, Failed> {
    match word {
        "human" => Ok(IdentityKind::Human),
        "machine" => Ok(IdentityKind::Machine),
        "agent" => Ok(IdentityKind::Agent),
        other => Err(Failed::new(format!("\"{other}\" is no kind of identity: human, machine or agent"))),
    }
}

fn read_secret() -> Result<Secret, Failed> {
    let mut bytes = Vec::new();
    std::io::stdin().take(SECRET_BYTES_MAX).read_to_end(&mut bytes)?;
    while matches!(bytes.last(), Some(b'\n' | b'\r')) {
        bytes.pop();
    }
    Ok(Secret::new(bytes))
}
