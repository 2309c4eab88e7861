//! A client's first packets: encryption requests, cancel requests, the start-up message, and the settings it may bring.
//!
//! It must never pass on a setting that changes how text is read or what names mean without the session knowing.

use bytes::Bytes;
use countersign_model::{ClientText, Culprit, Denial, DenialCode};

use crate::LoginMethod;
use crate::wire::{Fields, protocol_fault};

/// The longest start-up packet that PostgreSQL itself accepts (`MAX_STARTUP_PACKET_LENGTH`).
const STARTUP_BYTES_MAX: usize = 10_000;

/// The longest cancel request: 3.2 allows keys of up to 256 bytes.
const CANCEL_BYTES_MAX: usize = 12 + 256;

const SSL_REQUEST: i32 = 80_877_103;
const GSS_REQUEST: i32 = 80_877_104;
const CANCEL_REQUEST: i32 = 80_877_102;

/// Protocol 3.0.
pub(crate) const PROTOCOL_3_0: i32 = 196_608;
/// Protocol 3.2: cancel keys of any length.
pub(crate) const PROTOCOL_3_2: i32 = 196_610;

/// A first packet.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Packet {
    /// The first byte of a TLS record: direct TLS.
    DirectTls,
    /// May we encrypt?
    SslRequest,
    /// May we encrypt by GSSAPI?
    GssRequest,
    /// Process id and key of what to cancel.
    Cancel(Bytes),
    /// The start-up message.
    Start(Start),
}

/// A start-up message.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Start {
    /// The protocol version as sent.
    pub(crate) version: i32,
    /// Protocol options (`_pq_.…`) that we do not know.
    pub(crate) unknown_options: Vec<String>,
    /// The user name.
    pub(crate) user: String,
    /// The target.
    pub(crate) target: String,
    /// The database at the target; empty for the default.
    pub(crate) database: String,
    /// `application_name`.
    pub(crate) application: String,
    /// How the client wants to say who it is; `None` for the listener's way.
    pub(crate) login: Option<LoginMethod>,
    /// Settings for the target.
    pub(crate) settings: Vec<(String, String)>,
}

/// Reads the packet at the start of `b` and says how long it is; `None` until it is whole.
///
/// # Errors
/// When it is not a start-up packet, too long, or asks for something that is refused.
pub(crate) fn read(b: &[u8]) -> Result<Option<(Packet, usize)>, Denial> {
    const TLS_HANDSHAKE: u8 = 0x16;
    match b.first() {
        None => return Ok(None),
        Some(&TLS_HANDSHAKE) => return Ok(Some((Packet::DirectTls, 0))),
        Some(_) => {}
    }
    let mut f = Fields(b);
    let Some(len) = f.i32() else { return Ok(None) };
    let len = match usize::try_from(len) {
        Ok(len) if (8..=STARTUP_BYTES_MAX).contains(&len) => len,
        _ => return Err(protocol_fault("the start-up packet has an impossible length")),
    };
    let Some(packet) = b.get(..len) else { return Ok(None) };
    let mut f = Fields(packet.get(4..).unwrap_or_default());
    let code = f.i32().unwrap_or_default();
    let packet = match code {
        SSL_REQUEST if len == 8 => Packet::SslRequest,
        GSS_REQUEST if len == 8 => Packet::GssRequest,
        CANCEL_REQUEST if (13..=CANCEL_BYTES_MAX).contains(&len) => Packet::Cancel(Bytes::copy_from_slice(f.0)),
        v if v >> 16 == 3 => Packet::Start(start(v, f)?),
        _ => {
            return Err(Denial::new(
                Culprit::Client,
                DenialCode::Unsupported,
                ClientText::new("unsupported frontend protocol: Countersign speaks PostgreSQL protocol 3.0 and 3.2"),
            ));
        }
    };
    Ok(Some((packet, len)))
}

fn start(version: i32, mut f: Fields<'_>) -> Result<Start, Denial> {
    let mut start = Start { version, ..Start::default() };
    let mut database = String::new();
    loop {
        let name = f.cstr().ok_or_else(|| protocol_fault("the start-up packet is cut short"))?;
        if name.is_empty() {
            break;
        }
        let value = f.cstr().ok_or_else(|| protocol_fault("the start-up packet is cut short"))?;
        let (Ok(name), Ok(value)) = (std::str::from_utf8(name), std::str::from_utf8(value)) else {
            return Err(protocol_fault("the start-up packet is not UTF-8"));
        };
        match name {
            "user" if !start.user.is_empty() => return Err(protocol_fault("two user names")),
            "user" => value.clone_into(&mut start.user),
            "database" if !database.is_empty() => return Err(protocol_fault("two database names")),
            "database" => value.clone_into(&mut database),
            "replication" => match value.to_ascii_lowercase().as_str() {
                "false" | "off" | "no" | "0" => {}
                _ => {
                    return Err(refused("replication connections are not let through by this gateway"));
                }
            },
            "options" => {
                for (name, value) in command_line(value)? {
                    if name.eq_ignore_ascii_case("search_path") {
                        return Err(refused("search_path cannot be given in the connection's options").hint(
                            ClientText::new(
                                "SET it after connecting, or give it as a start-up parameter of that name.",
                            ),
                        ));
                    }
                    setting(&mut start, &name, &value)?;
                }
            }
            _ if name.starts_with("_pq_.") => start.unknown_options.push(name.to_owned()),
            _ => setting(&mut start, name, value)?,
        }
    }
    if !f.0.is_empty() {
        return Err(protocol_fault("bytes after the end of the start-up packet"));
    }
    if start.user.is_empty() {
        return Err(Denial::new(
            Culprit::Client,
            DenialCode::Unauthenticated,
            ClientText::new("no user name was given"),
        ));
    }
    let whole = if database.is_empty() { start.user.clone() } else { database };
    let (target, database) = whole.split_once('/').unwrap_or((&whole, ""));
    target.clone_into(&mut start.target);
    database.clone_into(&mut start.database);
    Ok(start)
}

fn refused(what: &'static str) -> Denial {
    Denial::new(Culprit::Client, DenialCode::Unsupported, ClientText::new(what))
}

/// Settings that a client may bring along: they change neither how text is read nor what names mean, or (the search path) the
/// session asks the target for their effect before it judges anything.
const SETTINGS: [&str; 24] = [
    "bytea_output",
    "client_min_messages",
    "datestyle",
    "default_transaction_deferrable",
    "default_transaction_isolation",
    "default_transaction_read_only",
    "extra_float_digits",
    "geqo",
    "idle_in_transaction_session_timeout",
    "idle_session_timeout",
    "intervalstyle",
    "jit",
    "lc_messages",
    "lc_monetary",
    "lc_numeric",
    "lc_time",
    "lock_timeout",
    "plan_cache_mode",
    "search_path",
    "statement_timeout",
    "tcp_user_timeout",
    "timezone",
    "transaction_timeout",
    "xmloption",
];

fn setting(start: &mut Start, name: &str, value: &str) -> Result<(), Denial> {
    let lower = name.to_ascii_lowercase();
    match lower.as_str() {
        "application_name" => value.clone_into(&mut start.application),
        // For the gateway alone.
        "countersign.login" => match LoginMethod::parse(&value.to_ascii_lowercase()) {
            Some(method) => start.login = Some(method),
            None => return Err(refused("countersign.login must be password or oauthbearer")),
        },
        "client_encoding" => {
            let plain: String = value.chars().filter(char::is_ascii_alphanumeric).collect();
            if !matches!(plain.to_ascii_lowercase().as_str(), "utf8" | "unicode") {
                return Err(refused("client_encoding must be UTF8: Countersign reads statements in no other encoding"));
            }
        }
        "standard_conforming_strings" => {
            if !matches!(value.to_ascii_lowercase().as_str(), "on" | "true" | "yes" | "1") {
                return Err(refused("standard_conforming_strings must be on"));
            }
        }
        known if SETTINGS.binary_search(&known).is_ok() => start.settings.push((lower, value.to_owned())),
        _ => {
            return Err(Denial::new(
                Culprit::Client,
                DenialCode::Forbidden,
                ClientText::new("the setting \"").name(name).and("\" cannot be given at connection start"),
            )
            .hint(ClientText::new(
                "Remove it from the connection's options, or SET it after connecting if policy allows.",
            )));
        }
    }
    Ok(())
}

/// Splits `options` as PostgreSQL does (`pg_split_opts`): at white space, a backslash keeps the next character.
fn command_line(options: &str) -> Result<Vec<(String, String)>, Denial> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut started = false;
    let mut chars = options.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => {
                started = true;
                word.extend(chars.next());
            }
            c if c.is_ascii_whitespace() => {
                if started {
                    words.push(std::mem::take(&mut word));
                    started = false;
                }
            }
            c => {
                started = true;
                word.push(c);
            }
        }
    }
    if started {
        words.push(word);
    }
    let mut settings = Vec::new();
    let mut words = words.into_iter();
    while let Some(word) = words.next() {
        let assignment = match (word.strip_prefix("-c"), word.strip_prefix("--")) {
            (Some(""), _) => words.next(),
            (Some(rest), _) | (None, Some(rest)) => Some(rest.to_owned()),
            (None, None) => None,
        };
        let pair = assignment.as_deref().and_then(|a| a.split_once('='));
        let Some((name, value)) = pair else {
            return Err(refused("only settings (-c name=value) can be given in the connection's options"));
        };
        settings.push((name.replace('-', "_"), value.to_owned()));
    }
    Ok(settings)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]
    use super::*;

    fn packet(version: i32, pairs: &[(&str, &str)]) -> Vec<u8> {
        let mut body = version.to_be_bytes().to_vec();
        for (k, v) in pairs {
            for s in [k, v] {
                body.extend(s.as_bytes());
                body.push(0);
            }
        }
        body.push(0);
        let mut out = i32::try_from(body.len() + 4).unwrap().to_be_bytes().to_vec();
        out.extend(body);
        out
    }

    fn started(pairs: &[(&str, &str)]) -> Result<Start, Denial> {
        match read(&packet(PROTOCOL_3_0, pairs))? {
            Some((Packet::Start(s), _)) => Ok(s),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_settings_table_is_sorted() {
        assert!(SETTINGS.is_sorted());
    }

    #[test]
    fn target_and_database() {
        for (pairs, target, database) in [
            (&[("user", "ana"), ("database", "shop")][..], "shop", ""),
            (&[("user", "ana"), ("database", "shop/other")], "shop", "other"),
            (&[("user", "ana"), ("database", "shop/a/b")], "shop", "a/b"),
            (&[("user", "ana")], "ana", ""),
        ] {
            let s = started(pairs).unwrap();
            assert_eq!((s.target.as_str(), s.database.as_str()), (target, database));
        }
    }

    #[test]
    fn adv_025_startup_options() {
        for (name, value, ok) in [
            ("options", "-c search_path=private", false),
            ("options", "--Search-Path=private", false),
            ("search_path", "private", true),
            ("options", "--statement-timeout=5s", true),
            ("options", "-c countersign.login=oauthbearer", true),
            ("options", "-c countersign.login=OAuthBearer", true),
            ("countersign.login", "password", true),
            ("options", "-c countersign.login=trust", false),
            ("options", "-c countersign.login=", false),
            ("options", "-c countersign.user=dora", false),
            ("options", "-csession_replication_role=replica", false),
            ("options", "-c role=postgres", false),
            ("options", "-c\\ role=postgres", false),
            ("options", "-c session_authorization=postgres", false),
            ("options", "-c row_security=off", false),
            ("options", "-c client_encoding=SJIS", false),
            ("options", "-c standard_conforming_strings=off", false),
            ("options", "-d 5", false),
            ("options", "-c", false),
            ("role", "postgres", false),
            ("Role", "postgres", false),
            ("session_authorization", "postgres", false),
            ("client_encoding", "'utf-8'", true),
            ("client_encoding", "latin1", false),
            ("DateStyle", "ISO", true),
            ("user", "other", false),
        ] {
            let got = started(&[("user", "ana"), ("database", "shop"), (name, value)]);
            assert_eq!(got.is_ok(), ok, "{name}={value}: {got:?}");
        }
    }

    #[test]
    fn the_way_to_log_in_is_for_the_gateway_alone() {
        let s = started(&[("user", "ana"), ("options", "-c countersign.login=oauthbearer -c geqo=on")]).unwrap();
        assert_eq!(s.login, Some(LoginMethod::OAuthBearer));
        assert_eq!(s.settings, [("geqo".to_owned(), "on".to_owned())]);
    }

    #[test]
    fn adv_024_replication() {
        for (value, ok) in
            [("database", false), ("true", false), ("on", false), ("1", false), ("false", true), ("0", true)]
        {
            assert_eq!(started(&[("user", "a"), ("replication", value)]).is_ok(), ok, "{value}");
        }
    }

    #[test]
    fn truncated_at_every_byte_is_incomplete_and_never_wrong() {
        let whole = packet(PROTOCOL_3_2, &[("user", "ana"), ("database", "shop"), ("options", "-c geqo=on")]);
        for n in 1..whole.len() {
            assert_eq!(read(&whole[..n]).unwrap(), None, "{n}");
        }
        assert!(read(&whole).unwrap().is_some());
        let mut lying = whole.clone();
        for n in 9..whole.len() {
            lying[..4].copy_from_slice(&i32::try_from(n).unwrap().to_be_bytes());
            assert!(read(&lying[..n]).is_err(), "a packet cut at {n} must not be taken as whole");
        }
    }
}
