//! Logins that a person finishes in a browser: the client is shown a link, and answers empty questions while it waits (RFC 4256, 3.2: a
//! request without prompts is answered at once). It must never tell the client what the answer is asked for with.

use std::borrow::Cow;
use std::time::Duration;

use countersign_enforce::{Host, Invitation};
use countersign_model::{Denial, Secret};
use russh::server::Auth;

/// How often it is asked whether the person has answered.
const INTERVAL: Duration = Duration::from_secs(1);
/// How many times, before the client has to show that it is still there.
const TIMES: usize = 3;

/// How far such a login is.
#[derive(Default)]
pub(crate) enum Browser {
    #[default]
    Unasked,
    /// The person was invited.
    Waits(Box<Invitation>),
    /// It was told why not.
    Over,
}

/// What the client shows.
pub(crate) fn told(invitation: &Invitation) -> String {
    let Invitation { page, code, lifetime_s, .. } = invitation;
    let minutes = lifetime_s / 60;
    format!(
        "To sign in, open {page}\nCompare the code there: {code}. It is good for {minutes} minutes; this connection waits."
    )
}

/// A request that shows a text and asks nothing.
pub(crate) fn says(text: String) -> Auth {
    Auth::Partial { name: Cow::Borrowed(""), instructions: Cow::Owned(text), prompts: Cow::Borrowed(&[]) }
}

/// Waits a little for the answer.
pub(crate) async fn answer(host: &dyn Host, invitation: &Invitation) -> Result<Option<Secret>, Denial> {
    for _ in 0..TIMES {
        tokio::time::sleep(INTERVAL).await;
        if let Some(token) = host.answer(invitation).await? {
            return Ok(Some(token));
        }
    }
    Ok(None)
}
