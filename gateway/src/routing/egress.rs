//! Endpoints come from the chain, where anyone may write them: they are hostile input. Unless it
//! is allowed, no request goes to an address inside this machine's own networks.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use thiserror::Error;

#[derive(Debug, PartialEq, Eq, Error)]
pub enum EndpointError {
    #[error("the endpoint is no http address")]
    Malformed,
    #[error("the endpoint's address {0} is not public")]
    Private(IpAddr),
}

/// Checks an endpoint and takes off its trailing slash. Names are checked when they are resolved.
///
/// # Errors
/// [`EndpointError`]
pub fn check(endpoint: &str, allow_private: bool) -> Result<String, EndpointError> {
    let url = reqwest::Url::parse(endpoint).map_err(|_| EndpointError::Malformed)?;
    let plain = url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none();
    if !matches!(url.scheme(), "http" | "https") || !plain {
        return Err(EndpointError::Malformed);
    }
    let host = url.host_str().ok_or(EndpointError::Malformed)?;
    let literal = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    match literal {
        Ok(address) if !allow_private && !is_public(address) => {
            Err(EndpointError::Private(address))
        }
        _ => Ok(url.as_str().trim_end_matches('/').to_owned()),
    }
}

/// Resolves names to public addresses only.
#[derive(Debug)]
pub struct PublicOnly;

impl Resolve for PublicOnly {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let public: Vec<SocketAddr> = found.filter(|found| is_public(found.ip())).collect();
            if public.is_empty() {
                let message = "the name has no public address";
                return Err(io::Error::new(io::ErrorKind::AddrNotAvailable, message).into());
            }
            Ok(Box::new(public.into_iter()) as Addrs)
        })
    }
}

fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => match address.to_ipv4() {
            // Mapped and compatible addresses reach what their IPv4 form reaches.
            Some(mapped) => is_public_v4(mapped),
            // Global unicast is 2000::/3; of it, 2001:db8::/32 is for documents, and 2002::/16 and
            // 2001::/32 are tunnels that hide an IPv4 address.
            None => {
                let [first, second, ..] = address.segments();
                first & 0xe000 == 0x2000
                    && first != 0x2002
                    && !(first == 0x2001 && matches!(second, 0 | 0xdb8))
            }
        },
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, ..] = address.octets();
    let shared = a == 100 && (64..128).contains(&b);
    let benchmarking = a == 198 && (b == 18 || b == 19);
    let protocols = a == 192 && b == 0;
    !(address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_documentation()
        || address.is_broadcast()
        || shared
        || benchmarking
        || protocols
        || a == 0
        || a >= 224)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_public_addresses_pass_unless_private_ones_are_allowed() {
        for (endpoint, public) in [
            ("http://8.8.8.8:7071/", true),
            ("http://worker.example:7071", true),
            ("http://[2606:4700::1111]:80", true),
            ("http://127.0.0.1:7071", false),
            ("http://127.1", false),
            ("http://0x7f000001", false),
            ("http://10.1.2.3", false),
            ("http://192.168.1.1", false),
            ("http://169.254.169.254", false),
            ("http://100.64.0.1", false),
            ("http://[::1]", false),
            ("http://[::ffff:10.0.0.1]", false),
            ("http://[fd00::1]", false),
            ("http://[fe80::1]", false),
            ("http://[2002:7f00:1::]", false),
        ] {
            assert_eq!(check(endpoint, false).is_ok(), public, "{endpoint}");
            assert!(check(endpoint, true).is_ok(), "{endpoint}");
        }
    }

    #[test]
    fn what_is_no_plain_http_address_is_refused() {
        for endpoint in [
            "",
            "worker",
            "ftp://a",
            "file:///etc/passwd",
            "http://u:p@a",
            "http://a/?q",
            "http://",
        ] {
            assert_eq!(check(endpoint, true), Err(EndpointError::Malformed), "{endpoint}");
        }
        assert_eq!(check("http://1.1.1.1:7071/", false).unwrap(), "http://1.1.1.1:7071");
    }
}
