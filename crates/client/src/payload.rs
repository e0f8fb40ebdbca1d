//! Payloads on their way out: JSON objects within the limit.
//!
//! It does not inspect them; that is the gate's part.

use std::sync::Arc;

use serde::Serialize;

use crate::error::Invalid;

/// Writes a payload as JSON.
pub(crate) fn to_json(data: &impl Serialize, bytes_max: usize) -> Result<String, Invalid> {
    let json = serde_json::to_string(data).map_err(|error| Invalid::Payload(Arc::new(error)))?;
    checked(json, bytes_max)
}

/// Takes a payload that is JSON already; the gate parses it, here it only must look like an object.
pub(crate) fn checked(json: String, bytes_max: usize) -> Result<String, Invalid> {
    if json.len() > bytes_max {
        return Err(Invalid::TooLarge { bytes: json.len(), max: bytes_max });
    }
    if json.trim_ascii_start().starts_with('{') { Ok(json) } else { Err(Invalid::NotAnObject) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_objects_within_the_limit_are_sent() {
        assert_eq!(to_json(&serde_json::json!({ "a": 1 }), 7).unwrap(), r#"{"a":1}"#);
        let too_large = to_json(&serde_json::json!({ "a": 1 }), 6);
        assert!(matches!(too_large, Err(Invalid::TooLarge { bytes: 7, max: 6 })));
        for other in ["", "null", "[{}]", "\"{\""] {
            let refused = checked(other.to_owned(), 100);
            assert!(matches!(refused, Err(Invalid::NotAnObject)), "{other}");
        }
        let map = std::collections::HashMap::from([((1, 2), 3)]);
        assert!(matches!(to_json(&map, 100), Err(Invalid::Payload(_))));
    }
}
