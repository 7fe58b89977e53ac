#![allow(clippy::unwrap_used)]

use super::*;

fn report() -> Report {
    Report(vec![
        Line::ok(Check::Reachable, ""),
        Line::ok(Check::Version, "v1.36.1"),
        Line::failed(
            Check::Rights,
            vec!["it may not list\u{1b}[2Jpods".to_owned()],
            "kubectl apply -f deploy/base/rbac.yaml",
        ),
        Line::warning(
            Check::NodesReady,
            (0..12)
                .map(|n| format!("win-{n}: it is not ready"))
                .collect(),
            "kubectl describe node NAME",
        ),
    ])
}

#[test]
fn a_person_reads_sections_marks_and_ways_out() {
    let text = report().to_text(false);
    let expected = "\
kubernetes-api
--------------
√ the Kubernetes API can be reached
√ it is version 1.30 or newer (v1.36.1)

rbac
----
× the program has the rights that it needs
    it may not list [2Jpods
    -> kubectl apply -f deploy/base/rbac.yaml
    see docs/check.md#rbac-complete

windows-nodes
-------------
‼ they are ready
    win-0: it is not ready
";
    assert!(text.starts_with(expected), "{text}");
    let end = "    win-9: it is not ready
    and 2 more; -o json has all
    -> kubectl describe node NAME
    see docs/check.md#nodes-ready

Status check results are ×
";
    assert!(text.ends_with(end), "{text}");
}

#[test]
fn warnings_fail_nothing_and_are_counted() {
    let mut report = report();
    report.0.retain(|line| line.mark != Mark::Failed);
    assert_eq!(report.result(), Mark::Warning);
    assert!(
        report
            .to_text(false)
            .ends_with("Status check results are √, with 1 warning\n")
    );
    report.0.retain(|line| line.mark == Mark::Ok);
    assert_eq!(report.result(), Mark::Ok);
    assert!(
        report
            .to_text(false)
            .ends_with("\nStatus check results are √\n")
    );
}

#[test]
fn only_marks_are_coloured() {
    let text = report().to_text(true);
    assert!(text.contains("\x1b[31m×\x1b[0m the program"), "{text}");
    assert_eq!(text.matches("\x1b[").count(), 2 * 5);
}

#[test]
fn a_program_reads_everything() {
    let expected = json!({
        "apiVersion": "cli.native-host.io/v1",
        "kind": "CheckReport",
        "result": "failed",
        "checks": [
            {
                "section": "kubernetes-api", "check": "api-version", "claim": "it is version 1.30 or newer",
                "result": "ok", "found": ["v1.36.1"], "hint": null,
            },
            {
                "section": "rbac", "check": "rbac-complete", "claim": "the program has the rights that it needs",
                "result": "failed", "found": ["it may not list pods"], "hint": "apply it",
            },
        ],
    });
    let wrong = vec!["it may not list pods".to_owned()];
    let report = Report(vec![
        Line::ok(Check::Version, "v1.36.1"),
        Line::failed(Check::Rights, wrong, "apply it"),
    ]);
    assert_eq!(report.to_document(), expected);
}

/// Every failure points there.
#[test]
fn every_check_is_told_of_in_the_docs() {
    let docs = include_str!("../../../docs/check.md");
    for check in Check::ALL {
        let row = format!("<a id=\"{check}\"></a>`{check}`");
        assert!(docs.contains(&row), "{check} is missing in docs/check.md");
        assert!(docs.contains(check.section()), "{}", check.section());
    }
}
