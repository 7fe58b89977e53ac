//! Who reaches the webhook's port, in whose stead only the API server is to be heard.

use native_host::admission::self_signed::Authority;

use crate::client::{Client, Identity, trust};
use crate::stage::Stage;

/// One review by a client with that certificate; TLS 1.3 refuses only after the client's side of the
/// handshake is complete.
async fn ask(stage: &Stage, identity: Option<&Identity>) -> std::io::Result<u16> {
    let program = &stage.world.program;
    let address = ([127, 0, 0, 1], program.https).into();
    let mut client = Client::connect(address, &trust(&program.ca(), identity)).await?;
    Ok(client.post("/mutate", b"{}").await?.status)
}

/// The API server shows its certificate: every pod of these tests was injected through it.
#[tokio::test]
async fn who_is_not_the_api_server_gets_no_answer() {
    let Some(stage) = tokio::task::spawn_blocking(Stage::shared).await.unwrap() else {
        return;
    };
    let injected = stage
        .world
        .program
        .metric("native_host_reviews_total{door=\"mutate\",outcome=\"injected\"}");
    assert!(injected >= 2.0, "{injected}");
    assert!(ask(stage, None).await.is_err());
    let stranger = Authority::new().unwrap();
    let stranger = stranger.issue_client_pem("kube-apiserver-webhook").unwrap();
    assert!(ask(stage, Some(&stranger)).await.is_err());
}
