#![allow(clippy::unwrap_used)]

use super::super::self_signed::Authority;
use super::*;

fn write(folder: &Path, certificate: &str, key: &str) {
    std::fs::write(folder.join(CERTIFICATE_FILE), certificate).unwrap();
    std::fs::write(folder.join(KEY_FILE), key).unwrap();
}

#[test]
fn takes_a_new_pair_and_keeps_a_bad_one_out() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new().unwrap();
    let one = authority.issue_pem(&["one".to_owned()]).unwrap();
    let two = authority.issue_pem(&["two".to_owned()]).unwrap();

    write(folder.path(), &one.0, &one.1);
    let (mut watched, first) = Folder::open(folder.path()).unwrap();
    assert!(first.still_valid().is_ok());
    assert!(watched.look().is_none(), "nothing is new");

    write(folder.path(), &two.0, &one.1);
    assert!(watched.look().is_none(), "it may be half written");
    assert!(matches!(watched.look(), Some(Err(PairError::Mismatch))));
    assert!(watched.look().is_none(), "a bad pair is said once");

    write(folder.path(), &two.0, &two.1);
    assert!(matches!(watched.look(), Some(Ok(_))));
    assert!(watched.look().is_none());
}

#[test]
fn a_half_written_pair_is_no_error() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new().unwrap();
    let one = authority.issue_pem(&["one".to_owned()]).unwrap();
    let two = authority.issue_pem(&["two".to_owned()]).unwrap();
    write(folder.path(), &one.0, &one.1);
    let (mut watched, _) = Folder::open(folder.path()).unwrap();

    write(folder.path(), &two.0, &one.1);
    assert!(watched.look().is_none());
    write(folder.path(), &two.0, &two.1);
    assert!(matches!(watched.look(), Some(Ok(_))));
}

#[test]
fn an_expired_pair_does_not_replace_one_that_serves() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new().unwrap();
    let one = authority.issue_pem(&["one".to_owned()]).unwrap();
    let old = authority
        .issue_pem_for(&["one".to_owned()], Duration::ZERO)
        .unwrap();
    write(folder.path(), &one.0, &one.1);
    let (mut watched, _) = Folder::open(folder.path()).unwrap();
    write(folder.path(), &old.0, &old.1);
    assert!(watched.look().is_none());
    let found = watched.look();
    assert!(
        matches!(found, Some(Err(PairError::Expired(_)))),
        "{found:?}"
    );
}

#[test]
fn a_pair_of_another_ca_waits_until_api_servers_may_know_it() {
    let folder = tempfile::tempdir().unwrap();
    let put = |authority: &Authority| {
        let (certificate, key) = authority.issue_pem(&["one".to_owned()]).unwrap();
        std::fs::write(folder.path().join(CA_FILE), authority.pem()).unwrap();
        write(folder.path(), &certificate, &key);
    };
    let (one, two) = (Authority::new().unwrap(), Authority::new().unwrap());
    put(&one);
    let (mut watched, _) = Folder::open(folder.path()).unwrap();
    put(&one);
    assert!(matches!(watched.look(), Some(Ok(_))), "the same CA");

    put(&two);
    assert!(watched.look().is_none());
    // Renewed meanwhile: the CA is what is waited for.
    put(&two);
    assert!(watched.look().is_none());
    watched.hold = Duration::ZERO;
    assert!(matches!(watched.look(), Some(Ok(_))));
    assert!(watched.look().is_none());

    // There is no time to wait where nothing good serves.
    watched.hold = HOLD;
    watched.serving_until = now();
    put(&one);
    assert!(matches!(watched.look(), Some(Ok(_))));
}

#[test]
fn says_what_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    let error = Folder::open(folder.path()).unwrap_err().to_string();
    assert!(error.contains("tls.crt"), "{error}");
    assert!(error.contains("--self-signed"), "{error}");
    let error = Pair::parse(b"", b"").unwrap_err().to_string();
    assert!(error.starts_with("tls.key holds no private key"), "{error}");
}
