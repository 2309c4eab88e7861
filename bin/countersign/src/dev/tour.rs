//! What `countersign dev` prints once it is ready: lines to paste, and what they will show.

use super::{Place, identities};
use crate::failed::Failed;
use crate::house::Cellar;
use crate::output;

/// Prints the tour.
pub(super) async fn print(place: &Place, cellar: &Cellar) -> Result<(), Failed> {
    let mut passwords = Vec::new();
    for name in ["ana", "dora"] {
        let password = identities::password(cellar, name).await?;
        passwords.push(format!("  {name}: {}", password.expose_str().unwrap_or_default()));
    }
    let passwords = passwords.join("\n");
    let program = std::env::current_exe()?;
    let program = program.display();
    let dir = place.dir.display();
    let ca = place.ca();
    let ca = ca.display();
    let port = place.gateway_port;
    let psql = |name: &str| {
        format!(
            "PGPASSWORD=$({program} dev --data-dir {dir} token {name}) \\\n  \
             psql \"host=localhost port={port} dbname=shop user={name} sslmode=verify-full sslrootcert={ca}\""
        )
    };
    output::say(&format!(
        "\nCountersign guards the database \"shop\". In another terminal:\n\n\
         1. ana, an analyst: reads up to 1,000 rows, no card numbers, changes nothing\n\n{}\n\n   \
         select id, status, total from orders limit 5;     -- rows\n   \
         select card_number from customers;                -- refused, with the rule's name\n   \
         select * from order_items;                        -- cut off: over the limit\n   \
         delete from orders;                               -- refused; the session goes on\n\n\
         2. ci-deploy, a CI job with a token shaped like GitHub Actions': two tables, 100 rows at a time\n\n{}\n\n   \
         update orders set status = 'shipped' where id = 1;   -- done\n   \
         update orders set status = 'cancelled' where id > 0;      -- undone: more than 100 rows\n\n\
         3. dora, a DBA: reads and changes, and an alert is raised each time\n\n{}\n\n\
         Where a browser asks who you are, these are the passwords:\n\n{passwords}\n\n\
         What happened, with the rules behind it:\n\n  \
         {program} sessions list --config {dir}/countersign.toml\n\n\
         Policies are in {dir}/policy.cedar: change them, then `kill -HUP {pid}`. Ctrl-C stops everything.\n",
        psql("ana"),
        psql("ci-deploy"),
        psql("dora"),
        pid = std::process::id(),
    ))
}
