//! The client that a request counts for, by address.

use std::{
    fmt,
    net::{IpAddr, Ipv6Addr, SocketAddr},
};

use axum::http::HeaderMap;
use ipnet::IpNet;

/// The addresses of the clients of proxies; each proxy on the path appends one.
const X_FORWARDED_FOR: &str = "x-forwarded-for";

/// Bits of an IPv6 address that name one client: a household or a machine gets at least a /64 (RFC 6177).
const IPV6_CLIENT_BITS: u32 = 64;

/// The other end of a connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer(pub(crate) IpAddr);

impl Peer {
    /// Whether it is a trusted proxy, whose `X-Forwarded-For` is used.
    pub(crate) fn is_trusted(self, trusted: &[IpNet]) -> bool {
        trusted.iter().any(|network| network.contains(&self.0.to_canonical()))
    }
}

/// An IPv4 address, or the IPv6 network of one client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Client(IpAddr);

impl Client {
    /// The client at the other end of a connection.
    pub(crate) fn at(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V6(address) => {
                let network = u128::from(address) & (u128::MAX << (128 - IPV6_CLIENT_BITS));
                IpAddr::V6(Ipv6Addr::from(network))
            }
            v4 => v4,
        })
    }

    /// The client of a request: `X-Forwarded-For` is read from its end, as long as the address read last is a trusted
    /// proxy.
    pub(crate) fn of(peer: Peer, headers: &HeaderMap, trusted: &[IpNet]) -> Self {
        // The part of the header that the client sends may be invalid UTF-8. The proxy still appends its part.
        let forwarded = headers.get_all(X_FORWARDED_FOR).iter();
        let mut forwarded: Vec<&[u8]> =
            forwarded.flat_map(|value| value.as_bytes().split(|byte| *byte == b',')).collect();
        let mut last = peer;
        while last.is_trusted(trusted) {
            let Some(before) = forwarded.pop().and_then(read) else { break };
            last = Peer(before);
        }
        Self::at(last.0)
    }
}

impl fmt::Display for Client {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
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
    fn only_addresses_from_trusted_proxies_count() {
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
        // A forged address stands before the one that the proxy appends.
        assert_eq!(client("10.0.0.1", &["127.0.0.1, 203.0.113.9"]), "203.0.113.9");
        assert_eq!(client("10.0.0.1", &["203.0.113.9", "10.0.0.2"]), "203.0.113.9");
        assert_eq!(client("10.0.0.1", &["nonsense"]), "10.0.0.1");
        assert_eq!(client("10.0.0.1", &["é, 203.0.113.9"]), "203.0.113.9");
        assert_eq!(client("2001:db8::1", &["2001:db8:1:2:3::4"]), "2001:db8:1:2::");
    }
}
