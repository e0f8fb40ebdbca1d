//! Identifiers: names that come from outside, and random numbers that we make.
//!
//! Not a place for SPIFFE IDs: those are the identity crate's.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Says why a text is no identifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// The text is empty or longer than the limit.
    #[error("must have 1 to {max} characters")]
    Length {
        /// The longest length that is accepted, in characters.
        max: usize,
    },
    /// The text has a character outside the alphabet.
    #[error("may only contain letters, digits, `_` and `-`")]
    Alphabet,
    /// The text is not the 32 hexadecimal digits of an identifier made by a gate.
    #[error("must be 32 hexadecimal digits")]
    Hex,
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $max:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// The longest accepted name, in characters.
            pub const LEN_MAX: usize = $max;

            /// Parses a name: ASCII letters, digits, `_` and `-`.
            ///
            /// # Errors
            ///
            /// Returns [`IdError`] when the text is empty, too long or has another character.
            pub fn parse(text: &str) -> Result<Self, IdError> {
                if text.is_empty() || text.len() > Self::LEN_MAX {
                    return Err(IdError::Length { max: Self::LEN_MAX });
                }
                let legal = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
                if !text.bytes().all(legal) {
                    return Err(IdError::Alphabet);
                }
                Ok(Self(Arc::from(text)))
            }

            /// Returns the name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl TryFrom<String> for $name {
            type Error = IdError;

            fn try_from(text: String) -> Result<Self, IdError> {
                Self::parse(&text)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0.as_ref().to_owned()
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    };
}

name!(
    /// The identity of an agent, shared by all its instances.
    AgentId,
    64
);
name!(
    /// One running copy of an agent, named by itself.
    InstanceId,
    32
);

macro_rules! random {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub struct $name(u128);

        impl $name {
            /// Makes an identifier from a random number; the [`Ids`](crate::ports::Ids) port
            /// provides one that cannot be guessed.
            #[must_use]
            pub const fn from_random(number: u128) -> Self {
                Self(number)
            }

            /// Parses the 32 hexadecimal digits that [`Display`](fmt::Display) writes.
            ///
            /// # Errors
            ///
            /// Returns [`IdError::Hex`] for any other text.
            pub fn parse(text: &str) -> Result<Self, IdError> {
                let plain = text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit());
                if !plain {
                    return Err(IdError::Hex);
                }
                u128::from_str_radix(text, 16).map(Self).or(Err(IdError::Hex))
            }

            /// Returns the number behind the identifier.
            #[must_use]
            pub const fn number(self) -> u128 {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:032x}", self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:032x}", self.0)
            }
        }
    };
}

random!(
    /// A message, the same over all its deliveries.
    MessageId
);
random!(
    /// What ties a reply to its request.
    CorrelationId
);
random!(
    /// One hand-over of a message to a session; a redelivery has another one.
    DeliveryId
);
random!(
    /// One live connection of an instance.
    SessionId
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_take_the_alphabet_and_nothing_else() {
        for good in ["a", "A-1_b", &"x".repeat(64)] {
            assert_eq!(AgentId::parse(good).unwrap().as_str(), good);
        }
        for bad in ["", "a\n", "a b", "a:b", "ä", "*", &"x".repeat(65)] {
            assert!(AgentId::parse(bad).is_err(), "{bad:?} was accepted");
        }
        assert!(InstanceId::parse(&"x".repeat(33)).is_err());
    }

    #[test]
    fn random_ids_round_trip_as_32_hex_digits() {
        let id = MessageId::from_random(0xab);
        assert_eq!(id.to_string().len(), 32);
        assert_eq!(MessageId::parse(&id.to_string()), Ok(id));
        for bad in ["", "+0000000000000000000000000000000", "ab", &"g".repeat(32)] {
            assert_eq!(MessageId::parse(bad), Err(IdError::Hex));
        }
    }
}
