//! What only shows when the whole is known: repeats, things that refer to nothing, and what the world lacks.

use std::collections::HashMap;
use std::hash::Hash;

use crate::ProtocolFacts;
use crate::decode::Decoded;
use crate::read::{At, Fault, Sink};
use crate::surroundings::Surroundings;

/// Checks the parts against each other.
pub(crate) fn whole(d: &Decoded, protocols: &[ProtocolFacts], sink: &mut Sink<'_>) {
    let p = &d.places;
    repeats(&p.targets, "there are two targets with this name", sink);
    repeats(&p.issuers, "there are two issuers with this URL", sink);
    if !sink.has_errors() {
        repeats(&p.issuer_labels, "there are two issuers with this label", sink);
    }
    repeats(&p.receivers, "there are two receivers with this name", sink);
    repeats(&p.trust_domains, "there are two trust domains with this name", sink);
    let mut addresses: Vec<_> = p.listeners.iter().map(|(a, _)| a.clone()).collect();
    addresses.extend(p.api.clone());
    addresses.retain(|a| a.value.port() != 0);
    // A default is not written anywhere: complain at the address that is.
    addresses.sort_by_key(|a| a.given);
    repeats(&addresses, "two listeners share this address", sink);
    nobody_can_log_in(d, sink);
    directories(d, sink);
    local_issuer(d, sink);
    if d.config.vault.is_none() {
        for at in &p.vault_uses {
            let fault =
                Fault::new(at.span.clone(), at.key.clone(), "there is no [vault] to take the secret from".to_owned());
            sink.missing(fault.expected("[vault] with `key`").help("add [vault], or use `env` or `file`"));
        }
        for at in &p.certified {
            let message = "there is no [vault] to keep the key in that signs certificates".to_owned();
            sink.missing(Fault::new(at.span.clone(), at.key.clone(), message).expected("[vault] with `key`"));
        }
        for at in &p.saml {
            let message = "there is no [vault] to keep the gateway's key for SAML in".to_owned();
            sink.missing(Fault::new(at.span.clone(), at.key.clone(), message).expected("[vault] with `key`"));
        }
    }
    if !sink.has_errors() {
        unused(d, protocols, sink);
    }
}

/// Doubts that are only worth a word when everything else is right.
fn unused(d: &Decoded, protocols: &[ProtocolFacts], sink: &mut Sink<'_>) {
    let p = &d.places;
    if d.config.targets.is_empty() {
        let message = "there is no [[target]]: nothing is guarded until one is applied".to_owned();
        let fault = Fault::new(d.places.whole.clone(), "target".to_owned(), message);
        sink.warning(fault.help("add a [[target]], or sign in to the console, which leads to the first one"));
    }
    for protocol in protocols {
        let listened = p.listeners.iter().find(|(_, name)| *name == protocol.name);
        let target = p.target_protocols.iter().find(|t| t.value == protocol.name);
        match (listened, target) {
            // Without any target that was said already, and one may be applied.
            (Some((at, name)), None) if !d.config.targets.is_empty() => {
                let message = format!("no target speaks {name}, so that nobody can use this listener");
                sink.warning(Fault::new(at.span.clone(), at.key.clone(), message));
            }
            (None, Some(at)) => {
                let message = format!("no listener speaks {}, so that nobody can reach this target", at.value);
                sink.warning(Fault::new(at.span.clone(), at.key.clone(), message));
            }
            _ => {}
        }
    }
}

fn nobody_can_log_in(d: &Decoded, sink: &mut Sink<'_>) {
    if d.config.issuers.is_empty()
        && d.config.spiffe.is_empty()
        && d.config.saml.is_empty()
        && d.config.local_issuer.is_none()
    {
        let fault = Fault::new(
            d.places.whole.clone(),
            "issuer".to_owned(),
            "nobody could log in: there is no issuer".to_owned(),
        );
        sink.missing(fault.expected("[[issuer]], [[spiffe]], [[saml]] or [local_issuer]"));
    }
}

/// A directory is of one issuer, and an issuer has one at most.
fn directories(d: &Decoded, sink: &mut Sink<'_>) {
    repeats(&d.places.scim, "there are two directories of this issuer", sink);
    let labels: Vec<&str> = d.places.issuer_labels.iter().map(|l| l.value.as_str()).collect();
    for at in d.places.scim.iter().filter(|at| !labels.contains(&at.value.as_str())) {
        let fault = Fault::new(at.span.clone(), at.key.clone(), "there is no issuer with this label".to_owned());
        let fault = fault.found(format!("the text \"{}\"", crate::read::cut(&at.value)));
        let fault = fault.expected("the label of an [[issuer]] or a [[saml]]");
        let meant = crate::suggest::nearest(&at.value, labels.iter().copied());
        sink.missing(match meant {
            Some(meant) => fault.help(format!("did you mean \"{meant}\"?")),
            None => fault,
        });
    }
}

/// Passwords go to the local issuer, so that its wire must be closed.
fn local_issuer(d: &Decoded, sink: &mut Sink<'_>) {
    let (Some(api), Some(span)) = (&d.places.api, &d.places.local_issuer) else { return };
    if d.config.api.tls.is_none() && !api.value.ip().is_loopback() {
        let message = "the local issuer takes passwords from this machine only, because the API has no TLS".to_owned();
        let fault = Fault::new(span.clone(), "local_issuer".to_owned(), message)
            .found(format!("[api] on {} without `tls`", api.value));
        sink.warning(fault.help("set `tls` in [api]"));
    }
}

/// Complains of each value that an earlier one has already.
fn repeats<T: Eq + Hash>(list: &[At<T>], message: &str, sink: &mut Sink<'_>) {
    let mut seen: HashMap<&T, &At<T>> = HashMap::new();
    for at in list {
        if let Some(first) = seen.get(&at.value) {
            let place = if first.given { sink.line_of(&first.span) } else { "by default".to_owned() };
            let fault = Fault::new(at.span.clone(), at.key.clone(), message.to_owned());
            sink.error(fault.found(format!("the first is `{}`, {place}", first.key)).expected("another"));
        } else {
            seen.insert(&at.value, at);
        }
    }
}

/// Checks the parts against the world.
pub(crate) fn around(d: &Decoded, world: &dyn Surroundings, sink: &mut Sink<'_>) {
    for at in &d.places.files {
        if let Some(why) = world.why_no_file(&at.value) {
            let message = format!("the file {why}");
            let fault = Fault::new(at.span.clone(), at.key.clone(), message).found(at.value.display().to_string());
            sink.error(fault.expected("a file that this process can read"));
        }
    }
    for at in d.places.variables.iter().filter(|v| !world.is_set(&v.value)) {
        let fault = Fault::new(
            at.span.clone(),
            at.key.clone(),
            format!("the variable {} is not set", crate::read::cut(&at.value)),
        );
        sink.error(fault.help("set it in the environment of the gateway"));
    }
    if let Some(why) = world.why_no_match(&d.config.policy) {
        let fault = Fault::new(d.places.policy.clone(), "policy.files".to_owned(), format!("no policies: {why}"));
        let first = "permit (principal in Group::\"admins\", action in [Action::\"read\", Action::\"admin\"], resource == Target::\"countersign\");";
        let help = format!("begin with policies/admins.cedar, and let the console lead on: {first}");
        sink.error(fault.expected("patterns that match at least one file each").help(help));
    }
}
