//! What each key takes, and what it does not.

mod machines;
mod objects;

use super::*;

/// Every text is accepted.
fn accepts(key: &str, values: &[&str]) {
    for value in values {
        let result = namespace(&[(key, value)]);
        assert!(result.is_ok(), "{key}={value:?}: {}", refusal(result));
    }
}

/// Every text is refused.
fn rejects(key: &str, values: &[&str]) {
    for value in values {
        assert!(namespace(&[(key, value)]).is_err(), "{key}={value:?}");
    }
}
