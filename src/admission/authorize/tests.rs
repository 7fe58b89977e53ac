#![allow(clippy::unwrap_used)]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::answers::{MOST, NO, YES};
use super::*;
use crate::admission::answer::Answer;
use crate::names::label;
use crate::plan::reason::Outcome;

/// What an authorizer does.
#[derive(Clone, Copy, PartialEq)]
enum Says {
    Yes,
    No,
    Error,
    Nothing,
}

/// One that does as it was told last, and counts.
#[derive(Clone)]
struct Fake {
    says: Arc<Mutex<Says>>,
    asked: Arc<AtomicUsize>,
}

impl Authorizer for Fake {
    async fn is_granted(&self, _: &Question) -> Result<bool, Unasked> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        // As a network has it: others get their turn meanwhile.
        tokio::time::sleep(Duration::from_millis(1)).await;
        let says = *self.says.lock().unwrap();
        match says {
            Says::Yes => Ok(true),
            Says::No => Ok(false),
            Says::Error => Err(Unasked::Failed("connection refused".to_owned())),
            Says::Nothing => std::future::pending().await,
        }
    }
}

fn fake(says: Says) -> (Fake, Rights<Fake>) {
    let fake = Fake {
        says: Arc::new(Mutex::new(says)),
        asked: Arc::default(),
    };
    (fake.clone(), Rights::new(Some(fake)))
}

impl Fake {
    fn says(&self, says: Says) {
        *self.says.lock().unwrap() = says;
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }
}

fn namespace(annotations: &[(&str, &str)]) -> Namespace {
    let annotations = annotations.iter().copied();
    Namespace::read(&Policy::builtin(), std::iter::empty(), annotations)
}

const ASKS: (&str, &str) = (key::AUTHORIZE, "serviceaccount");

fn pod(spec: &Value) -> Value {
    let mut pod = json!({"kind": "Pod", "metadata": {"name": "albums", "labels": {label::WORKLOAD: "albums"}}});
    pod["spec"] = spec.clone();
    pod
}

fn spec() -> Value {
    json!({"serviceAccountName": "albums", "containers": [{"name": "albums"}]})
}

fn body(kind: (&str, &str), object: &Value) -> Vec<u8> {
    let (group, kind) = kind;
    let review = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
        "uid": "u1", "kind": {"group": group, "version": "v1", "kind": kind}, "operation": "CREATE",
        "namespace": "shop", "object": object,
    }});
    review.to_string().into_bytes()
}

/// What is asked about a pod.
fn run_as(spec: &Value, namespace: &Namespace) -> Option<RunAs> {
    let body = body(("", "Pod"), &pod(spec));
    RunAs::asked(&Review::parse(Door::Validate, &body).unwrap(), namespace)
}

/// The same about a Deployment's template.
fn template(spec: &Value, namespace: &Namespace) -> RunAs {
    let deployment = json!({"spec": {"template": pod(spec)}});
    let body = body(("apps", "Deployment"), &deployment);
    let review = Review::parse(Door::ValidateTemplates, &body).unwrap();
    RunAs::asked(&review, namespace).unwrap()
}

fn names(run_as: &RunAs) -> Vec<String> {
    run_as.accounts.iter().map(Account::right_name).collect()
}

fn allowed() -> Verdict {
    Verdict::allow(Outcome::Allowed, Reason::None)
}

/// A pod's verdict as it goes out.
async fn review(rights: &Rights<Fake>, run_as: RunAs) -> (Answer, Value) {
    let verdict = rights.review(allowed(), "shop", run_as).await;
    let answer = Answer::new("u1", verdict, "shop", "albums", "Pod", false);
    let response: Value = serde_json::from_slice(&answer.body).unwrap();
    (answer, response["response"].clone())
}

#[test]
fn nobody_is_asked_where_the_namespace_does_not_say_so() {
    for rails in [
        &[][..],
        &[(key::AUTHORIZE, "none")],
        &[(key::AUTHORIZE, "?")],
    ] {
        assert!(run_as(&spec(), &namespace(rails)).is_none(), "{rails:?}");
    }
    let body = body(("", "Pod"), &pod(&spec()));
    let mutated = Review::parse(Door::Mutate, &body).unwrap();
    assert!(RunAs::asked(&mutated, &namespace(&[ASKS])).is_none());
}

#[test]
fn every_account_of_the_pod_is_asked_about_once() {
    let options =
        |user: &str| json!({"windowsOptions": {"hostProcess": true, "runAsUserName": user}});
    let spec = json!({
        "securityContext": options(r"NT AUTHORITY\Local Service"),
        "initContainers": [
            {"name": "native-host-launcher", "securityContext": options(r"NT AUTHORITY\SYSTEM")},
            {"name": "prepare", "securityContext": options("Operators")},
        ],
        "containers": [
            {"name": "albums"},
            {"name": "licence", "securityContext": options(r"nt authority\localservice")},
        ],
    });
    let asked = run_as(&spec, &namespace(&[ASKS])).unwrap();
    assert_eq!(names(&asked), ["operators", r"nt authority\localservice"]);
    assert_eq!(asked.service_account, "default");
}

#[test]
fn a_template_is_asked_about_as_its_pods_will_be() {
    let mut with_annotation = pod(&spec());
    with_annotation["metadata"]["annotations"] = json!({key::RUN_AS: r"CORP\Albums"});
    let rails = namespace(&[ASKS, (key::RUN_AS, r"NT AUTHORITY\LocalService")]);
    assert_eq!(
        names(&template(&spec(), &rails)),
        [r"nt authority\localservice"]
    );
    let body = body(
        ("apps", "Deployment"),
        &json!({"spec": {"template": with_annotation}}),
    );
    let review = Review::parse(Door::ValidateTemplates, &body).unwrap();
    let asked = RunAs::asked(&review, &rails).unwrap();
    assert_eq!(names(&asked), [r"corp\albums"]);
    assert_eq!(asked.field(), "spec.template.spec.serviceAccountName");
}

#[tokio::test(start_paused = true)]
async fn who_may_is_allowed_and_who_may_not_is_told_what_to_ask_for() {
    let (fake, rights) = fake(Says::Yes);
    let rails = namespace(&[ASKS]);
    let (answer, response) = review(&rights, run_as(&spec(), &rails).unwrap()).await;
    assert_eq!(answer.outcome, Outcome::Allowed);
    assert_eq!(response["allowed"], true);

    fake.says(Says::No);
    tokio::time::advance(YES).await;
    let (answer, response) = review(&rights, run_as(&spec(), &rails).unwrap()).await;
    assert_eq!(answer.reason, Reason::Authorization);
    assert_eq!(response["status"]["code"], 403);
    assert_eq!(
        response["status"]["message"],
        format!(
            r#"spec.serviceAccountName: "albums": this ServiceAccount may not use the account NT AUTHORITY\SYSTEM: a Role in the namespace must grant it the verb use on accounts.{} named 'nt authority\system' (annotation {}); have one granted, or choose another ServiceAccount or runAsUserName"#,
            right::GROUP,
            key::AUTHORIZE
        )
    );
}

#[tokio::test(start_paused = true)]
async fn an_answer_is_kept_for_seconds() {
    for (says, holds) in [(Says::Yes, YES), (Says::No, NO)] {
        let (fake, rights) = fake(says);
        let rails = namespace(&[ASKS]);
        let ask = async || drop(review(&rights, run_as(&spec(), &rails).unwrap()).await);
        ask().await;
        tokio::time::advance(holds / 2).await;
        ask().await;
        assert_eq!(fake.asked(), 1);
        tokio::time::advance(holds / 2).await;
        ask().await;
        assert_eq!(fake.asked(), 2);
        // Another ServiceAccount is another question.
        let mut other = spec();
        other["serviceAccountName"] = json!("other");
        review(&rights, run_as(&other, &rails).unwrap()).await;
        assert_eq!(fake.asked(), 3);
    }
}

#[tokio::test(start_paused = true)]
async fn a_hundred_pods_at_once_ask_once() {
    let (fake, rights) = fake(Says::Yes);
    let rails = namespace(&[ASKS]);
    let pods = (0..100).map(|_| review(&rights, run_as(&spec(), &rails).unwrap()));
    let answers = futures::future::join_all(pods).await;
    assert!(
        answers
            .iter()
            .all(|(answer, _)| answer.outcome == Outcome::Allowed)
    );
    assert_eq!(fake.asked(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_asked_is_refused_and_asked_again() {
    let rails = namespace(&[ASKS]);
    let (fake, rights) = fake(Says::Error);
    for (says, cause) in [
        (Says::Error, "connection refused"),
        (
            Says::Nothing,
            "the API server did not answer within 1500 ms",
        ),
    ] {
        fake.says(says);
        let before = fake.asked();
        let (answer, response) = review(&rights, run_as(&spec(), &rails).unwrap()).await;
        assert_eq!(answer.reason, Reason::AuthorizationUnavailable);
        assert_eq!(response["status"]["code"], 503);
        let message = response["status"]["message"].as_str().unwrap();
        assert!(message.contains(cause), "{message}");
        assert_eq!(fake.asked(), before + 1);
    }
    fake.says(Says::Yes);
    let (answer, _) = review(&rights, run_as(&spec(), &rails).unwrap()).await;
    assert_eq!(answer.outcome, Outcome::Allowed);

    let nobody = Rights::<Fake>::new(None);
    let (_, response) = review(&nobody, run_as(&spec(), &rails).unwrap()).await;
    let message = response["status"]["message"].as_str().unwrap();
    assert!(message.contains("--no-cluster"), "{message}");
}

#[tokio::test(start_paused = true)]
async fn templates_and_mode_warn_are_warned() {
    let (fake, rights) = fake(Says::No);
    let lenient = namespace(&[ASKS, (key::MODE, "warn")]);
    let (answer, response) = review(&rights, run_as(&spec(), &lenient).unwrap()).await;
    assert_eq!(
        (answer.outcome, answer.reason),
        (Outcome::Allowed, Reason::Authorization)
    );
    let warning = response["warnings"][0].as_str().unwrap();
    assert!(
        warning.ends_with("(let pass, since mode is warn)"),
        "{warning}"
    );

    let strict = namespace(&[ASKS]);
    let (answer, response) = review(&rights, template(&spec(), &strict)).await;
    assert_eq!(answer.outcome, Outcome::Allowed);
    let warning = response["warnings"][0].as_str().unwrap();
    let begin = r#"pods will be refused: spec.template.spec.serviceAccountName: "albums": this"#;
    assert!(warning.starts_with(begin), "{warning}");

    fake.says(Says::Error);
    tokio::time::advance(NO).await;
    for asked in [
        template(&spec(), &strict),
        run_as(&spec(), &lenient).unwrap(),
    ] {
        let (answer, response) = review(&rights, asked).await;
        assert_eq!(answer.outcome, Outcome::Allowed);
        let warning = response["warnings"][0].as_str().unwrap();
        assert!(
            warning.contains("could not be asked: connection refused"),
            "{warning}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_known_stays_bounded() {
    let (fake, _) = fake(Says::Yes);
    let answers = Answers::default();
    for turn in 0..=MOST {
        let question = Question {
            namespace: "shop".to_owned(),
            service_account: turn.to_string(),
            account: "system".to_owned(),
        };
        answers.get(&fake, question).await.unwrap();
    }
    assert!(answers.len() <= MOST);
    assert_eq!(fake.asked(), MOST + 1);
}
