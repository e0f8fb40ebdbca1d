//! A range of addresses, such as `10.0.0.0/8`.

use std::net::{IpAddr, Ipv6Addr};

/// A range of addresses; IPv4 in IPv6 counts as IPv4.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Network {
    bits: u128,
    mask: u128,
    is_v4: bool,
}

impl Network {
    /// Reads a range in CIDR notation, or a single address.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let (is_v4, bits) = split(address);
        let width: u8 = if is_v4 { 32 } else { 128 };
        let length = match length {
            // No sign and no leading zero, which other programs read otherwise.
            Some(length)
                if length.len() > 1 && !length.starts_with(|c| ('1'..='9').contains(&c)) =>
            {
                return None;
            }
            Some(length) => length.parse::<u8>().ok()?,
            None => width,
        };
        let host = u32::from(width.checked_sub(length)?);
        let mask = u128::MAX.checked_shl(host).unwrap_or(0);
        (bits & !mask == 0).then_some(Self { bits, mask, is_v4 })
    }

    /// Returns whether the address is in the range.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let (is_v4, bits) = split(address);
        is_v4 == self.is_v4 && bits & self.mask == self.bits
    }
}

fn split(address: IpAddr) -> (bool, u128) {
    match address {
        IpAddr::V4(v4) => (true, u32::from(v4).into()),
        IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
            Some(v4) => (true, u32::from(v4).into()),
            None => (false, Ipv6Addr::into(v6)),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_in_its_range_only() {
        for (range, address, is_in) in [
            ("10.0.0.0/8", "10.255.0.1", true),
            ("10.0.0.0/8", "11.0.0.1", false),
            ("10.0.0.0/8", "::ffff:10.1.2.3", true),
            ("10.0.0.0/8", "::a00:1", false),
            ("10.1.2.3", "10.1.2.3", true),
            ("10.1.2.3/32", "10.1.2.4", false),
            ("0.0.0.0/0", "1.2.3.4", true),
            ("0.0.0.0/0", "fe80::1", false),
            ("fd00::/8", "fd12::1", true),
            ("fd00::/8", "fc00::1", false),
            ("::/0", "fc00::1", true),
            ("::/0", "1.2.3.4", false),
            ("::1", "::1", true),
        ] {
            let network = Network::parse(range).unwrap();
            assert_eq!(network.contains(address.parse().unwrap()), is_in, "{range} {address}");
        }
    }

    #[test]
    fn what_is_no_range_is_refused() {
        for text in [
            "",
            "10.0.0.0/33",
            "10.0.0.1/8",
            "10.0.0.0/",
            "10.0.0.0/+8",
            "10.0.0.0/08",
            "10/8",
            "fd00::/129",
            "fd00::1/8",
            "localhost",
            "010.0.0.1",
            "10.0.0.0/-1",
        ] {
            assert_eq!(Network::parse(text), None, "{text}");
        }
    }
}
