//! Multiaddrs of TCP listeners, as Kubo's configuration spells them.
//!
//! Owns `/ip4`, `/ip6` and the name `localhost`, with `/tcp`. Pure. Rules: multiformats/multiaddr.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// Where a multiaddr says to listen; `None` for anything but TCP at an IP address. `/http` at the end changes nothing.
pub(crate) fn socket(text: &str) -> Option<SocketAddr> {
    let mut parts = text.strip_prefix('/')?.split('/');
    let (kind, host) = (parts.next()?, parts.next()?);
    let ip = match kind {
        "ip4" => IpAddr::V4(host.parse().ok()?),
        "ip6" => IpAddr::V6(host.parse().ok()?),
        "dns" | "dns4" if host == "localhost" => IpAddr::V4(Ipv4Addr::LOCALHOST),
        _ => return None,
    };
    let port = (parts.next()? == "tcp").then(|| parts.next()?.parse().ok())??;
    match (parts.next(), parts.next()) {
        (None | Some("http"), None) => Some(SocketAddr::new(ip, port)),
        _ => None,
    }
}

/// The multiaddr of a listener.
pub(crate) fn text(at: SocketAddr) -> String {
    let kind = if at.is_ipv4() { "ip4" } else { "ip6" };
    format!("/{kind}/{}/tcp/{}", at.ip(), at.port())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn kubos_addresses_are_sockets_and_back() {
        for (multiaddr, address) in [
            ("/ip4/127.0.0.1/tcp/5001", "127.0.0.1:5001"),
            ("/ip4/0.0.0.0/tcp/0", "0.0.0.0:0"),
            ("/ip6/::1/tcp/8080", "[::1]:8080"),
        ] {
            let socket = socket(multiaddr).unwrap();
            assert_eq!(socket.to_string(), address);
            assert_eq!(text(socket), multiaddr);
        }
        assert_eq!(socket("/dns4/localhost/tcp/1").unwrap().to_string(), "127.0.0.1:1");
        assert_eq!(socket("/ip4/127.0.0.1/tcp/1/http").unwrap().port(), 1);
    }

    #[test]
    fn anything_else_is_none() {
        for text in [
            "",
            "/",
            "127.0.0.1:5001",
            "/ip4/127.0.0.1",
            "/ip4/127.0.0.1/tcp",
            "/ip4/127.0.0.1/tcp/",
            "/ip4/127.0.0.1/tcp/70000",
            "/ip4/127.0.0.1/udp/1",
            "/ip4/::1/tcp/1",
            "/ip4/127.0.0.1/tcp/1/ws",
            "/ip4/127.0.0.1/tcp/1/http/p2p",
            "/dns4/example.org/tcp/1",
            "/unix/run/ipfs.sock",
        ] {
            assert_eq!(socket(text), None, "{text}");
        }
    }
}
