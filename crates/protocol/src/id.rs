//! Public keys, addresses and signatures as they are written on the wire: base58, as Solana does.

use std::{fmt, str::FromStr};

use serde_with::{DeserializeFromStr, SerializeDisplay};

macro_rules! base58_bytes {
    ($(#[$doc:meta])* $name:ident, $len:literal, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, SerializeDisplay, DeserializeFromStr)]
        pub struct $name(pub [u8; $len]);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&bs58::encode(self.0).into_string())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                let mut bytes = [0; $len];
                match bs58::decode(text).onto(&mut bytes[..]) {
                    Ok($len) => Ok(Self(bytes)),
                    _ => Err(InvalidId { what: $what, bytes: $len }),
                }
            }
        }
    };
}

base58_bytes!(
    /// A public key or the address of an account.
    Address, 32, "an address"
);
base58_bytes!(
    /// An Ed25519 signature.
    Signature, 64, "a signature"
);

/// Text that is no address or signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not {what}: expected {bytes} bytes in base58")]
pub struct InvalidId {
    what: &'static str,
    bytes: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_that_is_no_address_is_refused() {
        for text in ["", "0", "abc", &Signature([1; 64]).to_string()] {
            assert!(text.parse::<Address>().is_err(), "{text}");
        }
        let address = Address([9; 32]);
        assert_eq!(address.to_string().parse(), Ok(address));
    }
}
