#![allow(clippy::unwrap_used)]

use kube::core::{Selector, SelectorExt as _};
use proptest::prelude::*;

use super::*;

#[test]
fn addresses_are_a_list_of_plain_ones() {
    let read = addresses(" 172.19.1.1,\nfd00:172:19::1 ,").unwrap();
    let text: Vec<_> = read.iter().map(ToString::to_string).collect();
    assert_eq!(text, ["172.19.1.1", "fd00:172:19::1"]);
}

#[test]
fn what_is_no_address_is_refused_with_the_way_out() {
    for (text, expected) in [
        ("", "expected IP addresses"),
        (" , ", "expected IP addresses"),
        ("172.19.1.0/24", "list each address"),
        ("172.19.1.1:8080", "leave the port out"),
        ("[fd00::1]:80", "leave the port out"),
        ("fe80::1%eth0", "of one machine only"),
        ("host.example", "a name is not an address"),
        ("172.19.01.1", "no leading zeros"),
        ("172.19.1", "expected an IP address"),
        ("1.2.3.4,1.2.3.4", "twice"),
        ("fd00::1,fd00:0::1", "twice"),
    ] {
        let error = addresses(text).unwrap_err();
        assert!(error.contains(expected), "{text:?}: {error}");
    }
    let many: Vec<_> = (0..=MOST_ADDRESSES)
        .map(|n| format!("10.{}.{}.1", n / 256, n % 256))
        .collect();
    assert!(addresses(&many[1..].join(",")).is_ok());
    assert!(
        addresses(&many.join(","))
            .unwrap_err()
            .contains("at most 1000")
    );
}

#[test]
fn a_probe_is_a_url_without_a_host() {
    let http = |https, port, path: &str| Probe::Http {
        https,
        port,
        path: path.into(),
    };
    for (text, expected) in [
        ("tcp://:8080", Probe::Tcp(vec![8080])),
        (
            "http://:8081/health/readiness",
            http(false, 8081, "/health/readiness"),
        ),
        ("http://:80/?a=b&c=%20", http(false, 80, "/?a=b&c=%20")),
    ] {
        let read = probe(text).unwrap();
        assert_eq!(read, expected);
        assert_eq!(read.to_string(), text);
    }
    assert_eq!(probe("https://:8443").unwrap(), http(true, 8443, "/"));
    for (text, expected) in [
        ("", "expected http://"),
        ("8080", "expected http://"),
        ("http://172.19.1.1:80/", "leave the host out"),
        ("http://localhost/", "leave the host out"),
        ("http://u@:80/", "leave the host out"),
        ("http://:0/", "from 1 to 65535"),
        ("http://:65536/", "from 1 to 65535"),
        ("http://:+80/", "from 1 to 65535"),
        ("http://:/x", "from 1 to 65535"),
        ("tcp://:80/x", "no path"),
        ("udp://:80", "none of http, https and tcp"),
        ("http://:80/a b", "its path is none"),
        ("http://:80/a\r\nX: y", "its path is none"),
        ("http://:80/#x", "its path is none"),
        ("http://:80?x", "its path is none"),
    ] {
        let error = probe(text).unwrap_err();
        assert!(error.contains(expected), "{text:?}: {error}");
    }
}

#[test]
fn times_and_numbers_are_bounded() {
    assert_eq!(time("10s").unwrap(), Duration::from_secs(10));
    assert_eq!(time("1500ms").unwrap(), Duration::from_millis(1500));
    assert_eq!(time("2m").unwrap(), Duration::from_secs(120));
    for bad in [
        "",
        "10",
        "0s",
        "999ms",
        "-1s",
        "1.5s",
        "61m",
        "1h",
        "10 s",
        "99999999999999999999s",
        "s",
    ] {
        assert!(time(bad).is_err(), "{bad}");
    }
    assert_eq!(threshold("3").unwrap(), 3);
    for bad in ["", "0", "+3", "-1", "1001", "3.0", "three"] {
        assert!(threshold(bad).is_err(), "{bad}");
    }
    assert!(switch("true").unwrap() && !switch("false").unwrap());
    for bad in ["", "True", "1", "yes"] {
        assert!(switch(bad).is_err(), "{bad}");
    }
}

fn labels(all: &[(&str, &str)]) -> std::collections::BTreeMap<String, String> {
    all.iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect()
}

#[test]
fn a_selector_selects_as_kubectls_does() {
    let windows = labels(&[
        ("kubernetes.io/os", "windows"),
        ("tier", "gold"),
        ("spare", ""),
    ]);
    for (text, selects) in [
        ("kubernetes.io/os=windows", true),
        ("kubernetes.io/os==windows", true),
        ("kubernetes.io/os = windows , tier != silver", true),
        ("tier in (gold,silver)", true),
        ("tier notin (gold, silver)", false),
        ("zone notin (a)", true),
        ("zone!=a", true),
        ("zone=a", false),
        ("tier", true),
        ("!tier", false),
        ("! zone", true),
        ("spare=", true),
        ("tier in (gold,silver),zone in (a)", false),
    ] {
        let selector: Selector = selector(text).unwrap().into_iter().collect();
        assert_eq!(selector.matches(&windows), selects, "{text}");
    }
}

#[test]
fn a_selector_that_is_none_is_refused() {
    for text in [
        "",
        " ",
        "=",
        "=windows",
        "a=b,,c",
        "a=b,",
        "a in gold",
        "a in (gold",
        "a gold)",
        "a in (b,(c))",
        "a of (b)",
        "a in b (c)",
        "-a=b",
        "a/b/c=d",
        "/a=b",
        "a=b c",
        "a>1",
        "a=\u{e4}",
        "a in (b) x",
    ] {
        assert!(selector(text).is_err(), "{text:?}");
    }
    let many = vec!["a=b"; MOST_REQUIREMENTS + 1].join(",");
    assert!(selector(&many).unwrap_err().contains("at most"));
}

proptest! {
    #[test]
    fn what_is_written_is_read_again(values in prop::collection::vec(any::<std::net::IpAddr>(), 1..20)) {
        let unique: std::collections::BTreeSet<_> = values.into_iter().collect();
        let text: Vec<_> = unique.iter().map(ToString::to_string).collect();
        let read = addresses(&text.join(",")).unwrap();
        prop_assert_eq!(read.into_iter().collect::<std::collections::BTreeSet<_>>(), unique);
    }

    #[test]
    fn no_text_breaks_a_reader(text in "[ -~\\n\u{e4}\u{2028}]{0,60}") {
        let _ = addresses(&text);
        let _ = time(&text);
        let _ = threshold(&text);
        if let Ok(read) = probe(&text) {
            prop_assert_eq!(probe(&read.to_string()).unwrap(), read);
        }
        if let Ok(read) = selector(&text) {
            let selector: Selector = read.iter().cloned().collect();
            prop_assert_eq!(super::selector(&selector.to_string()).unwrap(), read);
        }
    }
}
