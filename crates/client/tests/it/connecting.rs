//! The first connection: each way in which it can fail has its own error.

use identity::{DevCa, Overwrite};
use palisade_client::{Client, Error, Invalid, Operator, Options, ServerIdentity, SpiffeId};
use tonic::Status;

use crate::gate::{Gate, Heard};
use crate::site::{issue, now};

async fn refused(options: Options) -> Error {
    Client::connect(options).await.unwrap_err()
}

#[tokio::test]
async fn the_gate_says_who_the_agent_is() {
    let mut gate = Gate::start().await;
    let alice = gate.connect("alice").await;
    assert_eq!(alice.agent_id(), "alice");
    assert_eq!(alice.instance_id().len(), 16);
    let (agent, instance) = ("alice".to_owned(), alice.instance_id().to_owned());
    assert_eq!(gate.hears_hello().await, Heard::Hello { agent, instance, replies_only: false });
    assert_ne!(gate.connect("alice").await.instance_id(), alice.instance_id());
}

#[tokio::test]
async fn options_that_cannot_work_are_refused_before_anything_is_tried() {
    let gate = Gate::start().await;
    for addr in ["", "localhost", "localhost:", ":x", "localhost:99999", "a b:1", "h:1/x"] {
        let mut options = gate.site.options("alice");
        options.addr = addr.to_owned();
        let error = refused(options).await;
        assert!(
            matches!(error, Error::Invalid(Invalid::Addr { .. } | Invalid::ServerName { .. })),
            "{addr}: {error}"
        );
    }
    let mut options = gate.site.options("alice");
    options.server_name = Some("not a name".to_owned());
    assert!(matches!(refused(options).await, Error::Invalid(Invalid::ServerName { .. })));
    let mut options = gate.site.options("alice");
    options.handlers_max = 0;
    let error = refused(options).await;
    assert!(matches!(error, Error::Invalid(Invalid::Zero { option: "handlers_max" })), "{error}");
}

#[tokio::test]
async fn files_that_cannot_be_used_are_named() {
    let gate = Gate::start().await;
    let mut options = gate.site.options("alice");
    options.cert = gate.site.path("absent.pem");
    let error = refused(options).await;
    assert!(matches!(&error, Error::Tls(tls) if tls.code() == "tls_file_missing"), "{error}");
    assert!(error.to_string().contains("absent.pem"), "{error}");
}

#[tokio::test]
async fn nobody_listening_is_said_with_the_address() {
    let gate = Gate::start().await;
    let mut options = gate.site.options("alice");
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    options.addr = free.to_string();
    let error = refused(options).await;
    assert!(matches!(error, Error::Connect { .. }), "{error}");
    assert!(error.to_string().contains(&free.to_string()), "{error}");
}

#[tokio::test]
async fn a_server_that_never_answers_does_not_hold_the_client() {
    let gate = Gate::start().await;
    let mute = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let connect = || {
        let mut options = gate.site.options("alice");
        options.addr = mute.local_addr().unwrap().to_string();
        options.connect_timeout = std::time::Duration::from_millis(50);
        options
    };
    assert!(matches!(refused(connect()).await, Error::Connect { .. }));
    assert!(matches!(Operator::connect(connect()).await, Err(Error::Connect { .. })));
}

#[tokio::test]
async fn a_gate_of_another_authority_is_not_trusted() {
    let gate = Gate::start().await;
    let other = tempfile::tempdir().unwrap();
    DevCa::create("other", now()).unwrap().save(other.path(), Overwrite::Refuse).unwrap();
    let mut options = gate.site.options("alice");
    options.ca = other.path().join("ca.pem");
    let error = refused(options).await;
    assert!(matches!(error, Error::Handshake { .. }), "{error}");
}

#[tokio::test]
async fn a_certificate_that_the_gate_does_not_trust_is_a_failed_handshake() {
    let gate = Gate::start().await;
    let other = tempfile::tempdir().unwrap();
    issue(&DevCa::create("other", now()).unwrap(), "alice", other.path());
    let mut options = gate.site.options("alice");
    options.cert = other.path().join("alice.pem");
    options.key = other.path().join("alice.key");
    let error = refused(options).await;
    assert!(matches!(error, Error::Handshake { .. }), "{error}");
    assert!(error.to_string().contains("alert"), "{error}");
}

#[tokio::test]
async fn the_gate_can_be_pinned_by_its_spiffe_id() {
    let gate = Gate::start().await;
    let pinned = |id: &str| {
        let mut options = gate.site.options("alice");
        options.server = ServerIdentity::Spiffe(SpiffeId::parse(id).unwrap());
        options.server_name = Some("elsewhere.example".to_owned());
        options
    };
    Client::connect(pinned("spiffe://mas/agent/gate")).await.unwrap();
    let error = refused(pinned("spiffe://mas/agent/other")).await;
    assert!(matches!(error, Error::Handshake { .. }), "{error}");
    let mut by_name = gate.site.options("alice");
    by_name.server_name = Some("elsewhere.example".to_owned());
    assert!(matches!(refused(by_name).await, Error::Handshake { .. }));
}

#[tokio::test]
async fn a_refused_agent_is_told_why_and_does_not_try_again() {
    let gate = Gate::start().await;
    for status in [
        Status::unauthenticated("agent_not_allowlisted"),
        Status::failed_precondition("instance_already_connected"),
    ] {
        gate.refuse_hello(status.clone());
        let error = refused(gate.site.options("alice")).await;
        let Error::Refused(refusal) = error else { panic!("{error}") };
        assert_eq!((refusal.status, refusal.code.as_str()), (status.code(), status.message()));
    }
    gate.connect("alice").await;
}
