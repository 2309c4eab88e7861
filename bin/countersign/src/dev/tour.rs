//! What `countersign dev` prints once it is ready: lines to paste, and what they will show.

use super::{Place, identities};
use crate::failed::Failed;
use crate::house::Cellar;
use crate::{console, output};

/// Whom the one-time link signs in: a DBA who can answer dora.
const CONSOLE_ACCOUNT: &str = "otto";

/// Prints the tour.
pub(super) async fn print(place: &Place, cellar: &Cellar) -> Result<(), Failed> {
    let mut passwords = Vec::new();
    for name in ["ana", "dora", "otto"] {
        let password = identities::password(cellar, name).await?;
        passwords.push(format!("  {name}: {}", password.expose_str().unwrap_or_default()));
    }
    let passwords = passwords.join("\n");
    let program = std::env::current_exe()?;
    let folder = program.parent().unwrap_or(std::path::Path::new("."));
    let (folder, dir, ca) = (folder.display(), place.dir.display(), place.ca());
    let base = format!("http://localhost:{}", place.api_port);
    let enter = console::link(&cellar.store, &base, CONSOLE_ACCOUNT).await?;
    let (ca, port, api) = (ca.display(), place.gateway_port, place.api_port);
    output::say(&format!(
        "\nCountersign guards the database \"shop\" and the server \"web-1\". In another terminal:\n\n  \
         export PATH={folder}:$PATH\n  \
         demo={dir} gateway=https://localhost:{api}\n\n\
         1. ana, an analyst, with a token as psql's password: reads up to 1,000 rows,\n   \
         personal data masked, changes nothing\n\n  \
         PGPASSWORD=$(countersign dev --data-dir $demo token ana) psql \"host=localhost \\\n    \
         port={port} dbname=shop user=ana sslmode=verify-full sslrootcert={ca}\"\n\n    \
         select id, status, total from orders limit 5;      -- rows\n    \
         select name, email, card_number from customers limit 5;   -- masked\n    \
         select id from customers order by card_number;     -- refused: would tell\n    \
         select salary from staff;                          -- refused, with the rule\n    \
         select * from order_items;                         -- cut off: over the limit\n    \
         delete from orders;                                -- refused; goes on\n\n\
         2. ci-deploy, a CI job with a token shaped like GitHub Actions': two tables,\n   \
         100 rows at a time. It exchanges its token for a certificate with a key of its\n   \
         own; the token alone, as psql's password, may only read\n\n  \
         T=$(countersign dev --data-dir $demo token ci-deploy) countersign login \\\n    \
         --workload --token-env T --gateway $gateway --ca {ca}\n  \
         countersign whoami\n  \
         countersign connect shop -- psql\n\n    \
         update orders set status = 'shipped' where id = 1;        -- done\n    \
         update orders set status = 'cancelled' where id > 0;      -- undone: over 100\n\n\
         3. dora, a DBA, in the browser (or with --device): reads and changes, and an\n   \
         alert is raised each time\n\n  \
         countersign login --gateway $gateway --ca {ca}\n  \
         countersign connect shop -- psql\n\n    \
         update customers set name = 'Ada' where id = 1;  -- waits for another DBA:\n\n   \
         otto looks at it in the console, or with `countersign reviews`\n\n\
         4. the server \"web-1\", with the login of either: ci-deploy restarts the shop and\n   \
         does nothing else, dora works there and is recorded\n\n  \
         countersign ssh-config web-1 > $demo/ssh_config\n  \
         ssh -F $demo/ssh_config web-1 shopctl restart web\n  \
         ssh -F $demo/ssh_config web-1 'shopctl restart web; id'    # ci-deploy: refused\n\n\
         {passwords}\n\n\
         What happened, with the rules behind it:\n\n  \
         countersign sessions list --config $demo/countersign.toml\n\n\
         The console, signed in as otto, once, within 15 minutes:\n\n  \
         {enter}\n\n\
         and later, with an account from above: {base}/console\n\n\
         Policies are in {dir}/policy.cedar: change them,\n\
         then `kill -HUP {pid}`. Ctrl-C stops everything.\n",
        pid = std::process::id(),
    ))
}
