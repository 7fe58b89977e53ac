//! `resourceFieldRef`: a container's requests and limits as numbers (`pkg/api/v1/resource/helpers.go`).

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, Pod, ResourceFieldSelector};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

/// A node's `status.allocatable`.
pub type Allocatable = BTreeMap<String, Quantity>;

/// The resources that a container without a limit has from its node (`MergeContainerResourceLimits`).
const FROM_THE_NODE: [&str; 3] = ["cpu", "memory", "ephemeral-storage"];

/// A pod's container by its name.
pub fn container<'a>(pod: &'a Pod, name: &str) -> Result<&'a Container, String> {
    let spec = pod.spec.as_ref();
    let regular = spec.into_iter().flat_map(|spec| &spec.containers);
    let init = spec
        .into_iter()
        .flat_map(|spec| spec.init_containers.iter().flatten());
    let mut all = regular.chain(init);
    all.find(|container| container.name == name)
        .ok_or_else(|| format!("container {name} not found"))
}

/// The value, in units of the divisor, rounded up.
pub fn value(
    field: &ResourceFieldSelector,
    container: &Container,
    allocatable: &Allocatable,
) -> Result<String, String> {
    let unsupported = || format!("unsupported container resource : {}", field.resource);
    let (of, name) = field.resource.split_once('.').ok_or_else(unsupported)?;
    let known = FROM_THE_NODE.contains(&name);
    if !known && !name.starts_with("hugepages-") {
        return Err(unsupported());
    }
    let resources = container.resources.as_ref();
    let map = match of {
        "limits" => resources.and_then(|resources| resources.limits.as_ref()),
        "requests" => resources.and_then(|resources| resources.requests.as_ref()),
        _ => return Err(unsupported()),
    };
    let mut nanos = match map.and_then(|map| map.get(name)) {
        Some(quantity) => parse(&quantity.0)?,
        None => 0,
    };
    if nanos == 0 && of == "limits" && known {
        nanos = allocatable
            .get(name)
            .map_or(Ok(0), |quantity| parse(&quantity.0))?;
    }
    let mut divisor = field
        .divisor
        .as_ref()
        .map_or(Ok(0), |divisor| parse(&divisor.0))?;
    if divisor == 0 {
        divisor = ONE;
    }
    // Go rounds both up to the unit first: thousandths for the CPU, ones for all else.
    let unit = if name == "cpu" { ONE / 1000 } else { ONE };
    let units = |nanos: i128| nanos.div_euclid(unit) + i128::from(nanos.rem_euclid(unit) != 0);
    let (value, divisor) = (units(nanos), units(divisor));
    Ok((value.div_euclid(divisor) + i128::from(value.rem_euclid(divisor) != 0)).to_string())
}

/// One, in billionths, the least that a quantity can say.
const ONE: i128 = 1_000_000_000;

/// A quantity in billionths (`apimachinery/pkg/api/resource/quantity.go`).
fn parse(quantity: &str) -> Result<i128, String> {
    let wrong = || format!("quantity {quantity:?} is not one");
    let digits = quantity
        .find(|c: char| !(c.is_ascii_digit() || matches!(c, '.' | '+' | '-')))
        .unwrap_or(quantity.len());
    let (number, suffix) = quantity.split_at(digits);
    let (multiply, divide) = scale(suffix).ok_or_else(wrong)?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits = format!("{whole}{fraction}");
    let digits: i128 = digits.parse().map_err(|_| wrong())?;
    let tens = u32::try_from(fraction.len())
        .ok()
        .and_then(|n| 10_i128.checked_pow(n));
    let tens = tens.ok_or_else(wrong)?;
    let nanos = digits
        .checked_mul(ONE)
        .and_then(|n| n.checked_mul(multiply));
    let (nanos, divide) = (nanos.ok_or_else(wrong)?, divide * tens);
    // Rounded up, away from zero, as Go does below a billionth.
    Ok(nanos.div_euclid(divide) + i128::from(nanos.rem_euclid(divide) != 0))
}

fn scale(suffix: &str) -> Option<(i128, i128)> {
    if let Some(exponent) = suffix.strip_prefix(['e', 'E'])
        && !exponent.is_empty()
    {
        let exponent: i32 = exponent.parse().ok()?;
        let power = 10_i128.checked_pow(exponent.unsigned_abs())?;
        return Some(if exponent < 0 { (1, power) } else { (power, 1) });
    }
    let thousands = |n: u32| 1000_i128.pow(n);
    let binary = |n: u32| 1024_i128.pow(n);
    Some(match suffix {
        "" => (1, 1),
        "n" => (1, thousands(3)),
        "u" => (1, thousands(2)),
        "m" => (1, thousands(1)),
        "k" => (thousands(1), 1),
        "M" => (thousands(2), 1),
        "G" => (thousands(3), 1),
        "T" => (thousands(4), 1),
        "P" => (thousands(5), 1),
        "E" => (thousands(6), 1),
        "Ki" => (binary(1), 1),
        "Mi" => (binary(2), 1),
        "Gi" => (binary(3), 1),
        "Ti" => (binary(4), 1),
        "Pi" => (binary(5), 1),
        "Ei" => (binary(6), 1),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(resource: &str, divisor: &str) -> Result<String, String> {
        let container = json!({"name": "albums", "resources": {
            "requests": {"cpu": "250m", "memory": "100M", "hugepages-2Mi": "4Mi"},
            "limits": {"memory": "1.5Gi"},
        }});
        let field = json!({"resource": resource, "divisor": divisor});
        let allocatable = json!({"cpu": "16", "memory": "64Gi"});
        value(
            &serde_json::from_value(field).unwrap(),
            &serde_json::from_value(container).unwrap(),
            &serde_json::from_value(allocatable).unwrap(),
        )
    }

    #[test]
    fn gives_units_of_the_divisor_rounded_up() {
        for (resource, divisor, expected) in [
            ("requests.cpu", "0", "1"),
            ("requests.cpu", "1", "1"),
            ("requests.cpu", "1m", "250"),
            ("requests.memory", "1", "100000000"),
            ("requests.memory", "1Mi", "96"),
            ("limits.memory", "1Gi", "2"),
            ("limits.memory", "1Mi", "1536"),
            ("requests.ephemeral-storage", "1", "0"),
            ("requests.hugepages-2Mi", "1Mi", "4"),
        ] {
            let value = read(resource, divisor);
            assert_eq!(value.as_deref(), Ok(expected), "{resource} by {divisor}");
        }
    }

    #[test]
    fn a_container_without_a_limit_has_the_nodes() {
        assert_eq!(read("limits.cpu", "1").as_deref(), Ok("16"));
        assert_eq!(read("limits.ephemeral-storage", "1").as_deref(), Ok("0"));
    }

    #[test]
    fn other_resources_are_refused() {
        for resource in ["limits.bananas", "cpu", "uses.cpu"] {
            let error = read(resource, "1").unwrap_err();
            assert_eq!(
                error,
                format!("unsupported container resource : {resource}")
            );
        }
    }

    #[test]
    fn reads_quantities() {
        for (quantity, nanos) in [
            ("1", ONE),
            ("0.5", ONE / 2),
            (".5", ONE / 2),
            ("100m", ONE / 10),
            ("2n", 2),
            ("0.1n", 1),
            ("1e3", 1000 * ONE),
            ("1E", 1_000_000_000_000_000_000 * ONE),
            ("12E-1", 12 * ONE / 10),
            ("1Ki", 1024 * ONE),
        ] {
            assert_eq!(parse(quantity), Ok(nanos), "{quantity}");
        }
        for wrong in ["", "Ki", "1x", "1.2.3", "1ee"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
