//! The console: pages where people look, decide and respond.
//!
//! Pages ask the gateway's own API as every other client does, in the name of whoever is signed in; they have no rights and no logic
//! of their own. Must never show a value that is not inert, take a change that did not come from one of its own forms, load anything
//! from elsewhere, or send anybody to another site.

mod ask;
mod assets;
mod console;
mod door;
mod events;
mod facts;
mod guard;
mod pages;
mod people;
mod qr;
mod respond;
mod saml;
mod shown;
mod sign_in;
mod statement;
mod when;

pub use console::Console;
pub use door::{COOKIE, IDLE_S, PENDING_MAX, PENDING_S};
pub use people::{Entered, People, SamlSignIn, SignInAnswer, SignInAsk, SignInIssuer, Trouble};
pub use shown::Shown;
pub use sign_in::{LINK_KIND, LINK_S, link_name};
