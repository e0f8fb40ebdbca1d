//! The gRPC door with real TLS: agents connect, messages pass, refusals say why.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use identity::{DevCa, IdPattern, Overwrite, Validity};
use palisade_client::{Client, Error, MessageState, Options};
use serde_json::json;
use server::Running;
use server::config::{self, Environment};
use tempfile::TempDir;

/// A server over the memory store, with certificates for the agents `a` and `b`.
struct Door {
    folder: TempDir,
    running: Running,
}

impl Door {
    async fn open(gateway: &str) -> Self {
        let folder = TempDir::new().unwrap();
        certificates(folder.path());
        let file = folder.path().join("palisade.yaml");
        let text = format!(
            "server: {{ listen: '127.0.0.1:0', tls: {{ cert: server.pem, key: server.key, \
             client_ca: ca.pem }} }}\nagents:\n  a: {{ allow: [b] }}\n  b: {{ allow: [a] }}\n\
             operators: [boss]\n{gateway}"
        );
        std::fs::write(&file, text).unwrap();
        let environment = std::iter::empty::<(String, String)>().collect::<Environment>();
        let config = config::load(&file, &environment).unwrap();
        let running = server::start(&config, Arc::new(store::Memory::default())).await.unwrap();
        Self { folder, running }
    }

    async fn connect(&self, agent: &str) -> Result<Client, Error> {
        let path = |name: &str| self.folder.path().join(name);
        let address = self.running.address().to_string();
        let cert = path(&format!("{agent}.pem"));
        Client::connect(Options::new(address, path("ca.pem"), cert, path(&format!("{agent}.key"))))
            .await
    }
}

fn certificates(folder: &Path) {
    let ids = IdPattern::new("mas", "/agent/{agent_id}").unwrap();
    let operators = IdPattern::new("mas", "/operator/{operator}").unwrap();
    let now = now();
    let ca = DevCa::create("test CA", now).unwrap();
    ca.save(folder, Overwrite::Refuse).unwrap();
    let validity = Validity::from_days(now, 1).unwrap();
    let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
    let server = ca.issue_server(&names, None, validity).unwrap();
    server.save(folder, "server", Overwrite::Refuse).unwrap();
    for agent in ["a", "b", "stranger"] {
        let issued = ca.issue_agent(&ids.format(agent).unwrap(), validity).unwrap();
        issued.save(folder, agent, Overwrite::Refuse).unwrap();
    }
    let boss = ca.issue_agent(&operators.format("boss").unwrap(), validity).unwrap();
    boss.save(folder, "boss", Overwrite::Refuse).unwrap();
}

fn now() -> i64 {
    use gate::ports::Clock as _;
    i64::try_from(server::SystemClock.now().seconds()).unwrap()
}

#[tokio::test]
async fn a_message_is_delivered_acknowledged_and_its_way_can_be_asked_for() {
    let door = Door::open("").await;
    let (a, b) = (door.connect("a").await.unwrap(), door.connect("b").await.unwrap());
    let sent = a.send("b", "note", &json!({"text": "hello"})).await.unwrap();
    let incoming = b.messages().next().await.unwrap();
    assert_eq!(incoming.message.data, json!({"text": "hello"}));
    assert_eq!(incoming.message.sender_id, "a");
    assert_eq!(a.status(&sent).await.unwrap().state, MessageState::Delivered);
    incoming.ack().await.unwrap();
    tokio::time::timeout(Duration::from_secs(5), async {
        while a.status(&sent).await.unwrap().state != MessageState::Acknowledged {
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn a_request_gets_its_reply() {
    let door = Door::open("").await;
    let (a, b) = (door.connect("a").await.unwrap(), door.connect("b").await.unwrap());
    let answering = async {
        b.listen(|message| async move {
            message.reply("pong", &json!({"n": 2})).await.unwrap();
            Ok(())
        })
        .await
    };
    let question = json!({"n": 1});
    let asking = a.request("b", "ping", &question, Duration::from_secs(5));
    let reply = tokio::select! {
        reply = asking => reply.unwrap(),
        ended = answering => panic!("the listener ended: {ended:?}"),
    };
    assert_eq!(reply.data, json!({"n": 2}));
}

#[tokio::test]
async fn refusals_carry_code_decision_and_reason() {
    let door = Door::open("gateway: { rate_limit: { per_minute: 2, per_hour: 10 } }").await;
    let a = door.connect("a").await.unwrap();
    let refused = |error: Error| match error {
        Error::Refused(refused) => refused,
        other => panic!("no refusal: {other:?}"),
    };
    let denied = refused(a.send("nobody", "note", &json!({})).await.unwrap_err());
    assert_eq!((&*denied.code, &*denied.decision), ("not_authorized", "AUTHZ_DENIED"));
    assert_eq!(denied.reason.as_deref(), Some("no rule allows a to send to nobody"));
    let blocked =
        json!({"key": "-----BEGIN PRIVATE KEY-----\nMIIEvQ==\n-----END PRIVATE KEY-----"});
    assert_eq!(refused(a.send("b", "note", &blocked).await.unwrap_err()).code, "dlp_blocked");
    a.send("b", "note", &json!({})).await.unwrap();
    let limited = refused(a.send("b", "note", &json!({})).await.unwrap_err());
    assert_eq!(limited.code, "rate_limited");
    assert!(limited.retry_after.unwrap() > Duration::from_secs(50));
    let stranger = door.connect("stranger").await.unwrap_err();
    assert_eq!(refused(stranger).code, "agent_not_allowlisted");
}
