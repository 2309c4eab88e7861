//! The client's side: logging in, and reaching targets through a gateway with a certificate that is useless without its key.
//!
//! What it keeps is for its owner alone; what servers and targets say reaches a terminal only as text.

mod api_keys;
mod apply;
mod browser;
mod connect;
pub(crate) mod desk;
mod exec;
mod factors;
pub(crate) mod gateway;
mod grants;
pub(crate) mod http;
mod key;
mod login;
mod logout;
mod notices;
pub(crate) mod oidc;
mod reviews;
mod session;
pub(crate) mod sheet;
mod ssh_config;
mod state;
pub(crate) mod watch;
mod whoami;
mod workload;

use clap::Subcommand;

use crate::failed::Failed;

/// The client's commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Client {
    /// Logs in at a gateway: with the browser, with a code to type elsewhere, or as a workload.
    #[command(after_help = "Example: countersign login --gateway https://gateway.example.com\n\
                      Example: countersign login --device\n\
                      Example: countersign login --workload --gateway https://gateway.example.com\n\n\
                      The key is made here and stays here. The certificate lasts an hour and is renewed when\n\
                      a command needs it, until the login ends.")]
    Login(login::Login),
    /// Ends the login: its sessions and certificates end everywhere.
    #[command(after_help = "Example: countersign logout")]
    Logout(logout::Logout),
    /// Shows what the gateway sees: who you are, how it knows, and until when.
    #[command(after_help = "Example: countersign whoami --output json")]
    Whoami(whoami::Whoami),
    /// Opens a local port that leads to a target, for any client; or runs a command with it.
    #[command(after_help = "Example: countersign connect orders\n\
                      Example: countersign connect orders -- psql\n\
                      Example: countersign connect orders -- pg_dump --schema-only\n\n\
                      The command finds PGHOST, PGPORT, PGUSER, PGDATABASE and PGPASSWORD set. The password\n\
                      is for this port and this run alone. Exits with the command's exit code.")]
    Connect(connect::Connect),
    /// Runs SQL at a target and prints what it gives.
    #[command(after_help = "Example: countersign exec orders -c 'select 1'\n\
                      Example: countersign exec orders --output csv --file report.sql\n\
                      Example: generate | countersign exec orders -c -\n\n\
                      Exits 1 when a statement is refused or fails; what ran before it in the same text is\n\
                      then undone, unless the text commits in between.")]
    Exec(exec::Exec),
    /// Prints what OpenSSH needs to know for `ssh TARGET`: hosts, the login's key and certificate, and the gateway's host authority.
    #[command(after_help = "Example: countersign ssh-config web-1 web-2 > ~/.ssh/countersign.conf\n\
                      Then, at the top of ~/.ssh/config:  Include countersign.conf\n\n\
                      ssh, scp, sftp, rsync, git and ansible then know the targets by their names. The\n\
                      certificate is renewed when ssh needs it. Nobody is asked whether to trust a key.")]
    SshConfig(ssh_config::SshConfig),
    /// Asks for access to a target for a while: people are asked as the rules say.
    #[command(after_help = "Example: countersign request orders --actions write --for 2h --reason 'ticket 4711'\n\
                      Example: countersign request orders --actions read,write --uses 1 --reason migration --wait\n\
                      Example: countersign request orders --actions write --reason 'site is down' --at-once")]
    Request(grants::Request),
    /// Access for a while: lists, shows and ends it.
    #[command(subcommand)]
    Grants(grants::Grants),
    /// Keys for the gateway's API: makes, lists and revokes them.
    #[command(subcommand)]
    ApiKeys(api_keys::ApiKeys),
    /// Puts a folder of targets, policies and tags in the place of what was applied before; shows the difference first.
    #[command(after_help = "Example: countersign apply -f gateway/\n\
                      Example: countersign apply -f gateway/ --dry-run\n\
                      Example: countersign apply -f gateway/ --yes --message \"$GITHUB_SHA\"\n\
                      Example: countersign apply --revision 7\n\n\
                      What is configured at the gateway itself stays as it is. Everything that is wrong is told\n\
                      at once, and exits with 3. A dry run exits with 6 when something would change.")]
    Apply(apply::Apply),
    /// What was applied: lists, shows and compares it.
    #[command(subcommand)]
    Applied(apply::Applied),
    /// What waits for people: lists, shows and answers it.
    #[command(subcommand)]
    Reviews(reviews::Reviews),
    /// What is told outside: how its receivers are, what became of each notice; sends tests.
    #[command(subcommand)]
    Notices(notices::Notices),
    /// What you show beside your login with some approvals: security keys and codes.
    #[command(subcommand)]
    Factors(factors::Factors),
}

/// Runs one of them.
pub(crate) async fn run(command: Client) -> Result<(), Failed> {
    match command {
        Client::Login(args) => login::run(&args).await,
        Client::Logout(args) => logout::run(&args).await,
        Client::Whoami(args) => whoami::run(&args).await,
        Client::Connect(args) => connect::run(args).await,
        Client::Exec(args) => exec::run(args).await,
        Client::SshConfig(args) => ssh_config::run(&args).await,
        Client::Request(args) => grants::request(&args).await,
        Client::Grants(command) => grants::run(&command).await,
        Client::ApiKeys(command) => api_keys::run(&command).await,
        Client::Apply(args) => apply::apply(&args).await,
        Client::Applied(command) => apply::applied(&command).await,
        Client::Reviews(command) => reviews::run(&command).await,
        Client::Notices(command) => notices::run(&command).await,
        Client::Factors(command) => factors::run(&command).await,
    }
}
