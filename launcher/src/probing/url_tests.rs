//! Tests of [`super`].

#![allow(clippy::unwrap_used)]

use super::*;
use proptest::prelude::*;

fn probe(path: &str) -> Target {
    Target::of_probe(false, "10.1.2.3".to_owned(), 8081, path)
}

/// The expectations are what Go 1.26's `formatURL` and `RequestURI` gave.
#[test]
fn probe_paths_are_read_as_the_kubelet_reads_them() {
    for (path, expected) in [
        ("", "/"),
        ("/", "/"),
        ("/health/liveness", "/health/liveness"),
        ("x/y", "/x/y"),
        ("?x=1", "/?x=1"),
        ("/a?", "/a?"),
        ("/a?b c#d", "/a?b c"),
        ("/a b", "/a%20b"),
        ("/a%2Fb c", "/a/b%20c"),
        ("/a%41", "/a%41"),
        ("/[x]!*'()", "/[x]!*'()"),
        ("/a/../b", "/a/../b"),
        ("/ä?ö", "/%C3%A4?ö"),
        ("/a\nb", "/a%0Ab"),
        ("/%zz?x", "/%25zz%3Fx"),
        ("1a:b", "/1a:b"),
        ("//foo/bar", "/bar"),
        ("//u:p@h/x", "/x"),
        ("http://h/x", "/x"),
    ] {
        assert_eq!(probe(path).path, expected, "{path:?}");
    }
}

#[test]
fn redirects_lead_where_they_lead_in_go() {
    let base = probe("/a/b?q=1");
    for (location, expected) in [
        ("/x", "http://10.1.2.3:8081/x"),
        ("x", "http://10.1.2.3:8081/a/x"),
        ("../x", "http://10.1.2.3:8081/x"),
        ("../../../x", "http://10.1.2.3:8081/x"),
        ("./", "http://10.1.2.3:8081/a/"),
        ("?z=2", "http://10.1.2.3:8081/a/b?z=2"),
        ("#f", "http://10.1.2.3:8081/a/b?q=1"),
        ("//10.1.2.3:9/x", "http://10.1.2.3:9/x"),
        ("//10.1.2.3:9", "http://10.1.2.3:9/"),
        ("https://10.1.2.3/x", "https://10.1.2.3/x"),
        ("HTTPS://[fd00::1]:1/x", "https://[fd00::1]:1/x"),
        ("http://other/x y", "http://other/x%20y"),
        ("http://u:p@other/", "http://other/"),
        ("/caf%C3%A9", "http://10.1.2.3:8081/caf%C3%A9"),
    ] {
        assert_eq!(base.follow(location).unwrap().url(), expected, "{location}");
    }
    assert_eq!(base.follow("mailto:x@y").unwrap().host, "");
    assert_eq!(base.follow("http:/x").unwrap().host, "");
    for location in [
        ":x",
        "1a:b",
        "/%zz",
        "http://h:x/",
        "http://[::1",
        "http://a b/",
        "/a\tb",
    ] {
        assert_eq!(base.follow(location), None, "{location}");
    }
}

#[test]
fn ports_are_the_schemes_own_where_none_is_written() {
    let base = probe("/");
    let port = |location| base.follow(location).unwrap().port_number();
    assert_eq!(port("http://10.1.2.3/"), Some(80));
    assert_eq!(port("https://10.1.2.3:/"), Some(443));
    assert_eq!(port("https://10.1.2.3:8443/"), Some(8443));
    assert_eq!(port("http://10.1.2.3:99999/"), None);
    assert_eq!(port("/x"), Some(8081));
}

proptest! {
    #[test]
    fn no_text_breaks_a_request_line(path in any::<String>(), location in any::<String>()) {
        let target = probe(&path);
        let fits = |path: &str| path.starts_with('/') && !path.contains(['\r', '\n', '\0']);
        prop_assert!(fits(&target.path), "{}", target.path);
        if let Some(next) = target.follow(&location) {
            prop_assert!(next.host.is_empty() || fits(&next.path), "{}", next.path);
        }
    }
}
