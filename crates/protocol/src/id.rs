//! Public keys, addresses and signatures as they are written on the wire: base58, as Solana does.

use std::{fmt, str::FromStr};

use serde_with::{DeserializeFromStr, SerializeDisplay};

macro_rules! base58_bytes {
    ($(#[$doc:meta])* $name:ident, $len:literal, $what:literal, $text_max:literal, $encode:ident, $decode:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, SerializeDisplay, DeserializeFromStr)]
        pub struct $name(pub [u8; $len]);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let mut text = [0; $text_max];
                let length = usize::from(five8::$encode(&self.0, &mut text));
                f.write_str(std::str::from_utf8(&text[..length]).map_err(|_| fmt::Error)?)
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
                match five8::$decode(text, &mut bytes) {
                    Ok(()) => Ok(Self(bytes)),
                    Err(_) => Err(InvalidId { what: $what, bytes: $len }),
                }
            }
        }
    };
}

base58_bytes!(
    /// A public key or the address of an account.
    Address, 32, "an address", 44, encode_32, decode_32
);
base58_bytes!(
    /// An Ed25519 signature.
    Signature, 64, "a signature", 88, encode_64, decode_64
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
        let long = "z".repeat(1_000);
        for text in ["", "0", "abc", "é", &long, &Signature([1; 64]).to_string()] {
            assert!(text.parse::<Address>().is_err(), "{text}");
        }
        let address = Address([9; 32]);
        assert_eq!(address.to_string().parse(), Ok(address));
        for bytes in [[0; 64], [255; 64]] {
            assert_eq!(Signature(bytes).to_string().parse(), Ok(Signature(bytes)));
        }
    }
}
