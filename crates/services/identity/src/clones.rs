//! One credential in two places: from which networks each is live, as long as its sessions live.
//!
//! A session is live while somebody holds its identity, so that nothing has to be told when one ends. It sees this gateway's sessions
//! only. Must never grow without a limit: beyond it, what is new is not watched, and nothing is forgotten that lives.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Weak};

use countersign_model::Identity;
use parking_lot::Mutex;

use crate::login::digest_of;

/// The most credentials watched at one time.
pub(crate) const WATCHED_MAX: usize = 65_536;
/// The most networks remembered of one credential.
const NETWORKS_MAX: usize = 8;
/// The most identities remembered of one network: certificates that were renewed while sessions of the one before go on.
const HOLDERS_MAX: usize = 8;

/// Where a connection comes from, as far as it matters: the first 24 bits of an IPv4 address, 48 of an IPv6 address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Network([u8; 6]);

impl Network {
    pub(crate) fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(v4) => {
                let [a, b, c, _] = v4.octets();
                // No IPv6 network that is given out begins with zeros.
                Self([0, 0, 0, a, b, c])
            }
            IpAddr::V6(v6) => {
                let [a, b, c, d, e, f, ..] = v6.octets();
                Self([a, b, c, d, e, f])
            }
        }
    }
}

/// What identifies a credential that an identity was verified by: its login, or what its token says.
pub(crate) fn credential_of(identity: &Identity) -> String {
    match &identity.login {
        Some(login) => format!("login:{login}"),
        None => {
            let times = format!("{} {}", identity.issued_at.unix_us(), identity.expires_at.unix_us());
            let id = identity.token_id.as_deref().unwrap_or_default();
            digest_of(&["credential", &identity.issuer, &identity.subject, id, &times])
        }
    }
}

#[derive(Debug, Default)]
struct Watched {
    places: Vec<Place>,
    refused: bool,
}

#[derive(Debug)]
struct Place {
    network: Network,
    holders: Vec<Weak<Identity>>,
}

impl Place {
    fn is_live(&self) -> bool {
        self.holders.iter().any(|h| h.strong_count() > 0)
    }
}

/// What is live from where.
#[derive(Debug, Default)]
pub(crate) struct Sightings(Mutex<HashMap<String, Watched>>);

impl Sightings {
    /// Notes that a session of this identity begins from there. Gives the identity to hold for as long as the session lives, and
    /// whether the same credential is live from elsewhere.
    pub(crate) fn note(&self, identity: &Identity, from: IpAddr) -> (Arc<Identity>, bool) {
        self.note_within(identity, from, WATCHED_MAX)
    }

    fn note_within(&self, identity: &Identity, from: IpAddr, watched_max: usize) -> (Arc<Identity>, bool) {
        let network = Network::of(from);
        let mut all = self.0.lock();
        let credential = credential_of(identity);
        if all.len() >= watched_max && !all.contains_key(&credential) {
            all.retain(|_, w| w.places.iter().any(Place::is_live));
            if all.len() >= watched_max {
                tracing::warn!("too many credentials are in use: new ones are not watched for copies");
                return (Arc::new(identity.clone()), false);
            }
        }
        let watched = all.entry(credential).or_default();
        watched.places.retain(Place::is_live);
        let elsewhere = watched.places.iter().any(|p| p.network != network);
        if !watched.places.iter().any(|p| p.network == network) && watched.places.len() < NETWORKS_MAX {
            watched.places.push(Place { network, holders: Vec::new() });
        }
        let Some(place) = watched.places.iter_mut().find(|p| p.network == network) else {
            return (Arc::new(identity.clone()), elsewhere);
        };
        // Sessions of the same identity share it, so that a crowd of them is one holder.
        let same = place.holders.iter().filter_map(Weak::upgrade).find(|held| **held == *identity);
        let held = same.unwrap_or_else(|| {
            let held = Arc::new(identity.clone());
            place.holders.retain(|h| h.strong_count() > 0);
            if place.holders.len() < HOLDERS_MAX {
                place.holders.push(Arc::downgrade(&held));
            }
            held
        });
        (held, elsewhere)
    }

    /// Notes that no session of this credential may go on.
    pub(crate) fn refuse(&self, identity: &Identity) {
        if let Some(watched) = self.0.lock().get_mut(&credential_of(identity)) {
            watched.refused = true;
        }
    }

    /// Whether sessions of this identity's credential may not go on.
    pub(crate) fn is_refused(&self, identity: &Identity) -> bool {
        self.0.lock().get(&credential_of(identity)).is_some_and(|w| w.refused)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use serde_json::{Map, json};

    use super::*;
    use crate::IssuerConfig;
    use crate::claims::Times;
    use crate::mapping::identify;
    use countersign_model::Timestamp;

    fn identity(jti: &str) -> Identity {
        let claims: Map<_, _> = [("sub".to_owned(), json!("s")), ("jti".to_owned(), json!(jti))].into_iter().collect();
        let times = Times { issued_at: Timestamp::from_unix_s(0), expires_at: Timestamp::from_unix_s(99) };
        identify(&IssuerConfig::new("t", "https://i", &["gw"]), claims, times).unwrap()
    }

    fn ip(s: &str) -> IpAddr {
        s.parse().unwrap()
    }

    #[test]
    fn two_networks_at_once_are_seen_and_one_after_the_other_are_not() {
        let seen = Sightings::default();
        let (a, b) = (identity("a"), identity("b"));
        let (first, elsewhere) = seen.note(&a, ip("192.0.2.1"));
        assert!(!elsewhere);
        for (from, want) in
            [("192.0.2.200", false), ("::ffff:192.0.2.7", false), ("192.0.3.1", true), ("2001:db8::1", true)]
        {
            assert_eq!(seen.note(&a, ip(from)).1, want, "{from}");
        }
        assert!(!seen.note(&b, ip("192.0.3.1")).1, "another credential");
        let (second, _) = seen.note(&a, ip("192.0.2.2"));
        assert!(Arc::ptr_eq(&first, &second), "one holder for a crowd");
        drop(first);
        assert!(seen.note(&a, ip("192.0.3.1")).1, "the second session lives");
        drop(second);
        assert!(!seen.note(&a, ip("192.0.3.1")).1, "it moved");
    }

    #[test]
    fn ipv6_counts_by_48_bits() {
        assert_eq!(Network::of(ip("2001:db8:1:2::1")), Network::of(ip("2001:db8:1:ffff::9")));
        assert_ne!(Network::of(ip("2001:db8:1::1")), Network::of(ip("2001:db8:2::1")));
    }

    #[test]
    fn what_lives_is_never_forgotten_and_memory_is_bounded() {
        let seen = Sightings::default();
        let held: Vec<_> = (0..3).map(|n| seen.note_within(&identity(&n.to_string()), ip("192.0.2.1"), 3).0).collect();
        let (_, elsewhere) = seen.note_within(&identity("new"), ip("192.0.2.1"), 3);
        assert!(!elsewhere);
        assert!(!seen.note_within(&identity("new"), ip("192.0.3.1"), 3).1, "not watched");
        assert_eq!(seen.0.lock().len(), 3);
        assert!(seen.note_within(&identity("0"), ip("192.0.3.1"), 3).1, "still known");
        drop(held);
        let (one, _) = seen.note_within(&identity("new"), ip("192.0.2.1"), 3);
        assert!(seen.note_within(&identity("new"), ip("192.0.3.1"), 3).1, "there is room again");
        drop(one);

        let crowd: Vec<_> = (0..20_u8).map(|n| seen.note(&identity("x"), ip(&format!("192.0.{n}.1"))).0).collect();
        assert_eq!(seen.0.lock()[&credential_of(&identity("x"))].places.len(), NETWORKS_MAX);
        drop(crowd);
    }

    #[test]
    fn a_refused_credential_stays_refused_while_it_lives() {
        let seen = Sightings::default();
        let (held, _) = seen.note(&identity("a"), ip("192.0.2.1"));
        assert!(!seen.is_refused(&held));
        seen.refuse(&held);
        assert!(seen.is_refused(&held) && !seen.is_refused(&identity("b")));
    }
}
