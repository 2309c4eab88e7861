//! Addresses and networks that sessions come from.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A network: an address and how many of its leading bits count. IPv4 addresses written as IPv6 are IPv4 addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Network {
    address: IpAddr,
    bits: u8,
}

impl Network {
    /// The network of this one address.
    pub fn of(address: IpAddr) -> Self {
        let address = address.to_canonical();
        Self { address, bits: width(address) }
    }

    /// True when the address lies within.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        width(address) == width(self.address) && masked(address, self.bits) == self.address
    }
}

const fn width(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

fn masked(address: IpAddr, bits: u8) -> IpAddr {
    match address {
        IpAddr::V4(a) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(bits.min(32))).unwrap_or(0);
            Ipv4Addr::from_bits(a.to_bits() & mask).into()
        }
        IpAddr::V6(a) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(bits.min(128))).unwrap_or(0);
            Ipv6Addr::from_bits(a.to_bits() & mask).into()
        }
    }
}

impl FromStr for Network {
    type Err = String;

    fn from_str(s: &str) -> Result<Self, String> {
        let wrong = || format!("\"{s}\" is neither an address nor a network such as 10.0.0.0/8 or 2001:db8::/32");
        let (address, bits) = match s.split_once('/') {
            None => (s, None),
            Some((address, bits)) => (address, Some(bits)),
        };
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let Some(bits) = bits else { return Ok(Self::of(address)) };
        // No sign, no zero ahead.
        let bits =
            bits.parse::<u8>().ok().filter(|n| *n <= width(address) && n.to_string() == bits).ok_or_else(wrong)?;
        if bits == 0 {
            return Err("a network of 0 bits is every address: name what is to be locked".to_owned());
        }
        match (address, address.to_canonical()) {
            (IpAddr::V6(_), canonical @ IpAddr::V4(_)) => {
                let bits = bits.checked_sub(96).filter(|b| *b > 0).ok_or_else(wrong)?;
                Ok(Self { address: masked(canonical, bits), bits })
            }
            (_, canonical) => Ok(Self { address: masked(canonical, bits), bits }),
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.bits == width(self.address) { self.address.fmt(f) } else { write!(f, "{}/{}", self.address, self.bits) }
    }
}

impl Serialize for Network {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Network {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        std::borrow::Cow::<str>::deserialize(d)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::Network;

    #[test]
    fn networks_are_read_and_hold_what_lies_within() {
        for (text, shown, inside, outside) in [
            ("10.1.2.3", "10.1.2.3", "10.1.2.3", "10.1.2.4"),
            ("10.1.2.3/8", "10.0.0.0/8", "10.255.0.1", "11.0.0.1"),
            ("10.1.2.3/32", "10.1.2.3", "::ffff:10.1.2.3", "10.1.2.2"),
            ("::ffff:10.1.2.3", "10.1.2.3", "10.1.2.3", "::1"),
            ("::ffff:10.1.0.0/112", "10.1.0.0/16", "10.1.9.9", "10.2.0.0"),
            ("2001:db8::1/32", "2001:db8::/32", "2001:db8:ffff::", "2001:db9::"),
            ("2001:db8::1/1", "::/1", "::1", "8000::"),
        ] {
            let network: Network = text.parse().unwrap();
            assert_eq!(network.to_string(), shown);
            assert!(network.contains(inside.parse().unwrap()), "{text} {inside}");
            assert!(!network.contains(outside.parse().unwrap()), "{text} {outside}");
        }
        for text in [
            "",
            "10.0.0",
            "10.0.0.0/33",
            "10.0.0.0/08",
            "10.0.0.0/+8",
            "0.0.0.0/0",
            "::/0",
            "::/129",
            "x/8",
            "1.2.3.4/",
            "::ffff:0.0.0.0/96",
        ] {
            assert!(text.parse::<Network>().is_err(), "{text}");
        }
    }
}
