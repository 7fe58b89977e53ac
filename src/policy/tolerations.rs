//! Tolerations as JSON, checked as the API server would (`ValidateTolerations` in
//! `pkg/apis/core/validation/validation.go`): a bad one in a policy must not surface as a
//! refusal of every pod.

use k8s_openapi::api::core::v1::Toleration;
use serde_json::{Map, Value};

use super::error::Quoted;
use super::value::{Why, is_label_text, qualified_name};

const FIELDS: [&str; 5] = ["key", "operator", "value", "effect", "tolerationSeconds"];
const EFFECTS: [&str; 3] = ["NoSchedule", "PreferNoSchedule", "NoExecute"];

/// Reads a JSON list of Tolerations.
pub(super) fn tolerations(text: &str) -> Result<Vec<Toleration>, Why> {
    let list: Vec<Value> = serde_json::from_str(text)
        .map_err(|error| Why::About(format!("is not a JSON list ({error})").into()))?;
    if list.is_empty() {
        return Err(Why::About("is an empty list".into()));
    }
    list.into_iter()
        .enumerate()
        .map(|(index, item)| {
            toleration(item).map_err(|what| Why::Inside(format!("[{index}]{what}")))
        })
        .collect()
}

/// One of them. Errors begin with the field's path inside the item.
fn toleration(item: Value) -> Result<Toleration, String> {
    let Value::Object(mut fields) = item else {
        return Err(" is not an object".to_owned());
    };
    if let Some(unknown) = fields.keys().find(|name| !FIELDS.contains(&name.as_str())) {
        let unknown = Quoted(unknown);
        return Err(format!(": {unknown} is none of {}", FIELDS.join(", ")));
    }
    let toleration = Toleration {
        key: string(&mut fields, "key")?,
        operator: string(&mut fields, "operator")?,
        value: string(&mut fields, "value")?,
        effect: string(&mut fields, "effect")?,
        toleration_seconds: match fields.remove("tolerationSeconds") {
            None | Some(Value::Null) => None,
            Some(seconds) => Some(
                seconds
                    .as_i64()
                    .ok_or(".tolerationSeconds is not a whole number")?,
            ),
        },
    };
    check(&toleration)?;
    Ok(toleration)
}

/// An empty text is the same as none to the API server, and JSON of it has none.
fn string(fields: &mut Map<String, Value>, name: &str) -> Result<Option<String>, String> {
    match fields.remove(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text).filter(|text| !text.is_empty())),
        Some(other) => Err(format!(
            ".{name} is {}, not a string",
            Quoted(&other.to_string())
        )),
    }
}

fn check(toleration: &Toleration) -> Result<(), String> {
    let value = toleration.value.as_deref().unwrap_or_default();
    if let Some(key) = toleration.key.as_deref()
        && qualified_name(key).is_err()
    {
        return Err(format!(".key {} is not a taint's key", Quoted(key)));
    }
    match toleration.operator.as_deref().unwrap_or("Equal") {
        "Equal" if toleration.key.is_none() => {
            return Err(".operator must be Exists where there is no key".to_owned());
        }
        "Equal" if !is_label_text(value) => {
            return Err(format!(".value {} is not a taint's value", Quoted(value)));
        }
        "Exists" if !value.is_empty() => {
            return Err(".value must be empty where operator is Exists".to_owned());
        }
        "Equal" | "Exists" => {}
        other => {
            return Err(format!(
                ".operator {} is not Equal or Exists",
                Quoted(other)
            ));
        }
    }
    let effect = toleration.effect.as_deref();
    if let Some(effect) = effect.filter(|effect| !EFFECTS.contains(effect)) {
        return Err(format!(
            ".effect {} is not NoSchedule, PreferNoSchedule or NoExecute",
            Quoted(effect)
        ));
    }
    if toleration.toleration_seconds.is_some() && effect != Some("NoExecute") {
        return Err(".effect must be NoExecute where tolerationSeconds is set".to_owned());
    }
    Ok(())
}

/// The list as it would be written; an empty one is unset.
pub(super) fn show_tolerations(list: &[Toleration]) -> Option<String> {
    if list.is_empty() {
        None
    } else {
        serde_json::to_string(list).ok()
    }
}
