//! Objects and lists at random.

use super::UNKNOWN;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Map, Value, json};

/// An object of some of the fields; one in eight gets an unknown one besides.
pub fn object(fields: Vec<(&'static str, BoxedStrategy<Value>)>) -> BoxedStrategy<Value> {
    let names: Vec<_> = fields.iter().map(|(name, _)| *name).collect();
    let values: Vec<_> = fields
        .into_iter()
        .map(|(_, value)| option::weighted(0.4, value))
        .collect();
    let unknown = option::weighted(0.125, json_value());
    (values, unknown)
        .prop_map(move |(values, unknown)| {
            let mut map = Map::new();
            for (name, value) in names.iter().zip(values) {
                if let Some(value) = value {
                    map.insert((*name).to_owned(), value);
                }
            }
            if let Some(unknown) = unknown {
                map.insert(UNKNOWN.to_owned(), unknown);
            }
            Value::Object(map)
        })
        .boxed()
}

pub fn json_value() -> BoxedStrategy<Value> {
    select(vec![
        json!(null),
        json!(true),
        json!(-1),
        json!("a \"quoted\" \\ text ü"),
        json!([1, [2], {}]),
        json!({ "nested": { "command": ["x"], "name": "y" } }),
    ])
    .boxed()
}

pub fn one_of(values: &[Value]) -> BoxedStrategy<Value> {
    select(values.to_vec()).boxed()
}

/// `object` with `fields` on top.
pub fn with(
    object: BoxedStrategy<Value>,
    fields: Vec<(&'static str, BoxedStrategy<Value>)>,
) -> BoxedStrategy<Value> {
    let names: Vec<_> = fields.iter().map(|(name, _)| *name).collect();
    let values: Vec<_> = fields.into_iter().map(|(_, value)| value).collect();
    (object, values)
        .prop_map(move |(mut object, values)| {
            for (name, value) in names.iter().zip(values) {
                object[*name] = value;
            }
            object
        })
        .boxed()
}

pub fn list(item: BoxedStrategy<Value>, most: usize) -> BoxedStrategy<Value> {
    vec(item, 0..=most).prop_map(Value::Array).boxed()
}
