//! Who a request comes from, as far as limits go.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use axum::http::HeaderMap;
use ipnet::IpNet;

/// Whom a proxy was asked by; each proxy on the way adds one at the end.
const X_FORWARDED_FOR: &str = "x-forwarded-for";

/// Bits of an IPv6 address that are one client's: a household or a machine is given at least a /64 (RFC 6177).
const IPV6_CLIENT_BITS: u32 = 64;

/// The other end of a connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer(pub(crate) IpAddr);

impl Peer {
    /// Whether what it says of others is believed.
    pub(crate) fn is_trusted(self, trusted: &[IpNet]) -> bool {
        trusted.iter().any(|network| network.contains(&self.0.to_canonical()))
    }
}

/// An IPv4 address, or the network that one client has of IPv6.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Client(IpAddr);

impl Client {
    /// Whoever is at the other end of a connection.
    pub(crate) fn at(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V6(address) => {
                let network = u128::from(address) & (u128::MAX << (128 - IPV6_CLIENT_BITS));
                IpAddr::V6(Ipv6Addr::from(network))
            }
            v4 => v4,
        })
    }

    /// Whoever made a request: read from the end of what proxies say, for as long as those who say it are trusted.
    pub(crate) fn of(peer: Peer, headers: &HeaderMap, trusted: &[IpNet]) -> Self {
        // What a client wrote may not even be text, and what a proxy adds stands at the end all the same.
        let said = headers.get_all(X_FORWARDED_FOR).iter();
        let mut said: Vec<&[u8]> =
            said.flat_map(|value| value.as_bytes().split(|byte| *byte == b',')).collect();
        let mut last = peer;
        while last.is_trusted(trusted) {
            let Some(before) = said.pop().and_then(read) else { break };
            last = Peer(before);
        }
        Self::at(last.0)
    }
}

/// An address, which some proxies write with a port.
fn read(text: &[u8]) -> Option<IpAddr> {
    let text = str::from_utf8(text).ok()?.trim();
    text.parse().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|address| address.ip()))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn only_what_trusted_proxies_say_counts() {
        let trusted = ["10.0.0.0/8", "2001:db8::/64"].map(|network| network.parse().unwrap());
        let client = |peer: &str, forwarded: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in forwarded {
                headers.append(X_FORWARDED_FOR, HeaderValue::from_bytes(value.as_bytes()).unwrap());
            }
            Client::of(Peer(peer.parse().unwrap()), &headers, &trusted).0.to_string()
        };
        assert_eq!(client("192.0.2.1", &["203.0.113.9"]), "192.0.2.1");
        assert_eq!(client("10.0.0.1", &[]), "10.0.0.1");
        assert_eq!(client("10.0.0.1", &["203.0.113.9"]), "203.0.113.9");
        assert_eq!(client("::ffff:10.0.0.1", &["203.0.113.9:4711"]), "203.0.113.9");
        // What a client writes there itself stands before what the proxy adds.
        assert_eq!(client("10.0.0.1", &["127.0.0.1, 203.0.113.9"]), "203.0.113.9");
        assert_eq!(client("10.0.0.1", &["203.0.113.9", "10.0.0.2"]), "203.0.113.9");
        assert_eq!(client("10.0.0.1", &["nonsense"]), "10.0.0.1");
        assert_eq!(client("10.0.0.1", &["é, 203.0.113.9"]), "203.0.113.9");
        assert_eq!(client("2001:db8::1", &["2001:db8:1:2:3::4"]), "2001:db8:1:2::");
    }
}
