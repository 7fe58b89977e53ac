//! External Services, below the pairs.

use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::Client;
use kube::api::ListParams;
use unicode_width::UnicodeWidthStr as _;

use super::print::{GAP, Style, clean};
use super::read::Wanted;
use crate::cli::connection::{AskError, api, list};
use crate::external::look::{Row, rows};
use crate::external::spec::{Asked, asked};
use crate::names::label;

/// Reads those that are wanted. Whoever selects pods by their labels wants none.
pub(super) async fn read(client: &Client, wanted: &Wanted) -> Result<Vec<Row>, AskError> {
    if wanted.selector.is_some() {
        return Ok(Vec::new());
    }
    let services = api::<Service>(client, wanted.namespace.as_deref());
    let labelled = ListParams::default().labels(label::EXTERNAL);
    let name = wanted.name.as_deref();
    let keep = |service: Service| {
        let named = name.is_none_or(|name| service.metadata.name.as_deref() == Some(name));
        (named && asked(&service) != Asked::No).then_some(service)
    };
    let services = list(&services, &labelled, keep).await?;
    if services.is_empty() {
        return Ok(Vec::new());
    }
    let slices = api::<EndpointSlice>(client, wanted.namespace.as_deref());
    let mut of_services = ListParams::default();
    if let [only] = services.as_slice() {
        let name = only.metadata.name.as_deref().unwrap_or_default();
        of_services = of_services.labels(&format!("{}={name}", label::SERVICE_NAME));
    }
    let is_wanted = |slice: &EndpointSlice| {
        let labels = slice.metadata.labels.as_ref();
        let name = labels.and_then(|labels| labels.get(label::SERVICE_NAME));
        services.iter().any(|service| {
            service.metadata.name.as_ref() == name
                && service.metadata.namespace == slice.metadata.namespace
        })
    };
    let slices = list(&slices, &of_services, |slice| Some(slice).filter(is_wanted)).await?;
    Ok(rows(&services, slices))
}

/// A table of them.
pub(super) fn table(rows: &[Row], style: Style) -> String {
    let mut lines: Vec<Vec<String>> = Vec::new();
    if style.headers {
        let heading = [
            "NAMESPACE",
            "EXTERNAL",
            "READY",
            "ADDRESSES",
            "PROBE",
            "WHY",
        ];
        lines.push(
            heading
                .iter()
                .skip(usize::from(!style.namespaces))
                .map(ToString::to_string)
                .collect(),
        );
    }
    for row in rows {
        let mut cells = Vec::new();
        if style.namespaces {
            cells.push(row.namespace.clone());
        }
        cells.extend([
            row.name.clone(),
            format!("{}/{}", row.ready, row.addresses.len()),
            addresses(row, style.wide),
            row.probe.clone(),
            clean(&row.why).into_owned(),
        ]);
        lines.push(cells);
    }
    let columns = lines.first().map_or(0, Vec::len);
    let width = |column: usize| {
        lines
            .iter()
            .map(|cells| cells[column].width())
            .max()
            .unwrap_or_default()
    };
    let widths: Vec<_> = (0..columns).map(width).collect();
    let mut out = String::new();
    for cells in &lines {
        let start = out.len();
        for (cell, width) in cells.iter().zip(&widths) {
            out.push_str(cell);
            out.extend(std::iter::repeat_n(' ', width - cell.width() + GAP));
        }
        out.truncate(start + out[start..].trim_end().len());
        out.push('\n');
    }
    out
}

/// Some of the addresses, or all of them.
fn addresses(row: &Row, all: bool) -> String {
    const SOME: usize = 3;
    let most = if all { usize::MAX } else { SOME };
    let mut named: Vec<_> = row
        .addresses
        .iter()
        .take(most)
        .map(|one| one.ip.to_string())
        .collect();
    if row.addresses.len() > named.len() {
        named.push(format!("{} more", row.addresses.len() - named.len()));
    }
    if named.is_empty() {
        "<none>".to_owned()
    } else {
        named.join(",")
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::external::look::Address;

    fn row(name: &str, ready: usize, count: u8) -> Row {
        let address = |last| Address {
            ip: [172, 19, 1, last].into(),
            ready: usize::from(last) <= ready,
            node: None,
        };
        Row {
            namespace: "shop".into(),
            name: name.into(),
            ready,
            addresses: (1..=count).map(address).collect(),
            probe: "tcp://:8080".into(),
            why: if ready < count.into() {
                "not ready:\n172.19.1.2".into()
            } else {
                String::new()
            },
        }
    }

    #[test]
    fn a_table_has_columns() {
        let style = Style {
            headers: true,
            ..Style::default()
        };
        let text = table(
            &[row("albums", 1, 2), row("b", 0, 0), row("many", 5, 5)],
            style,
        );
        let expected = "\
EXTERNAL   READY   ADDRESSES                                PROBE         WHY
albums     1/2     172.19.1.1,172.19.1.2                    tcp://:8080   not ready: 172.19.1.2
b          0/0     <none>                                   tcp://:8080
many       5/5     172.19.1.1,172.19.1.2,172.19.1.3,2 more  tcp://:8080
";
        let squeezed = |text: &str| {
            text.split_whitespace()
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        assert_eq!(squeezed(&text), squeezed(expected));
        let starts: Vec<_> = text
            .lines()
            .map(|line| line.find("tcp").or(line.find("PROBE")).unwrap())
            .collect();
        assert!(starts.iter().all(|start| *start == starts[0]), "{text}");
        let wide = Style {
            wide: true,
            namespaces: true,
            ..style
        };
        let text = table(&[row("many", 5, 5)], wide);
        assert!(
            text.starts_with("NAMESPACE") && text.contains("172.19.1.5") && !text.contains("more"),
            "{text}"
        );
    }
}
