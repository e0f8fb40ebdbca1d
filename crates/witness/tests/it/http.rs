//! The witness from outside: over HTTP, well behaved and not.

use std::net::SocketAddr;
use std::time::Duration;

use audit::{Frontier, KeyKind, SignedCheckpoint, SigningKey, VerifierKey, leaf_hash};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use witness::{Answer, Ledger, Listener, Submission, SubmitError, submit};

const PATIENCE: Duration = Duration::from_secs(20);

struct Witness {
    address: SocketAddr,
    key: VerifierKey,
    stop: oneshot::Sender<()>,
    running: JoinHandle<()>,
    _folder: TempDir,
}

impl Witness {
    #[expect(clippy::disallowed_methods, reason = "a test has no other tasks to count")]
    async fn start(log: &SigningKey) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let key = SigningKey::generate(KeyKind::Witness, "w").unwrap();
        let verifier = key.verifier().clone();
        let ledger = Ledger::open(key, folder.path(), [log.verifier().clone()]).unwrap();
        let any = "127.0.0.1:0".parse().unwrap();
        let listener = Listener::bind(any, ledger, || 1_000).await.unwrap();
        let address = listener.address().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let running = tokio::spawn(listener.run(async { drop(stopped.await) }));
        Self { address, key: verifier, stop, running, _folder: folder }
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    async fn ask(&self, submission: &Submission) -> Result<Answer, SubmitError> {
        submit(&self.url(), &self.key, submission, PATIENCE).await
    }

    /// Sends bytes as they are and returns the status and the whole answer.
    async fn raw(&self, bytes: &[u8]) -> (u16, String) {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        let mut answer = Vec::new();
        drop(tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await);
        let text = String::from_utf8_lossy(&answer).into_owned();
        (text.get(9..12).and_then(|code| code.parse().ok()).unwrap_or_default(), text)
    }

    async fn post(&self, path: &str, body: &str) -> (u16, String) {
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: w\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        self.raw([head.as_bytes(), body.as_bytes()].concat().as_slice()).await
    }
}

fn log() -> SigningKey {
    SigningKey::generate(KeyKind::Log, "log").unwrap()
}

fn first(log: &SigningKey, size: u64) -> Submission {
    let mut tree = Frontier::new();
    (0..size).for_each(|n| tree.append(leaf_hash(&n.to_be_bytes())));
    let checkpoint = SignedCheckpoint::sign(log, size, tree.root()).unwrap();
    Submission { old_size: 0, proof: Vec::new(), checkpoint }
}

#[tokio::test]
async fn a_checkpoint_is_cosigned_and_a_conflict_names_the_size() {
    let log = log();
    let witness = Witness::start(&log).await;
    let Answer::Cosigned(signature) = witness.ask(&first(&log, 5)).await.unwrap() else { panic!() };
    let mut signed = first(&log, 5).checkpoint;
    signed.add(signature);
    assert_eq!(signed.check_witness(&witness.key), Ok(1_000));
    let again = witness.ask(&first(&log, 5)).await.unwrap();
    assert_eq!(again, Answer::Conflict { size: 5 });
    let (status, text) = witness.post("/add-checkpoint", &first(&log, 5).to_string()).await;
    assert_eq!(status, 409);
    assert!(text.to_lowercase().contains("content-type: text/x.tlog.size\r\n"), "{text}");
    assert!(text.ends_with("\r\n\r\n5\n"), "{text}");
    let longer = Submission { old_size: 5, ..first(&log, 9) };
    assert_eq!(witness.ask(&longer).await.unwrap(), Answer::BadProof);
    witness.stop.send(()).unwrap();
    witness.running.await.unwrap();
}

#[tokio::test]
async fn each_wrong_request_has_its_status() {
    let log = log();
    let witness = Witness::start(&log).await;
    let good = first(&log, 5).to_string();
    let stranger = SigningKey::generate(KeyKind::Log, "stranger").unwrap();
    let forger = SigningKey::generate(KeyKind::Log, "log").unwrap();
    let backwards = good.replace("old 0", "old 6");
    let huge = "x".repeat(200 << 10);
    for (path, body, status) in [
        ("/add-checkpoint", "", 400),
        ("/add-checkpoint", "old 0\n", 400),
        ("/add-checkpoint", &huge, 413),
        ("/add-checkpoint", &backwards, 400),
        ("/add-checkpoint", &first(&stranger, 5).to_string(), 404),
        ("/add-checkpoint", &first(&forger, 5).to_string(), 403),
        ("/add-checkpoint", &good.replace("old 0\n", "old 0\nAgI=\n"), 400),
        ("/", &good, 404),
        ("/add-checkpoint/", &good, 404),
        ("/add-checkpoint", &good, 200),
    ] {
        assert_eq!(witness.post(path, body).await.0, status, "{path} {}", body.len());
    }
    let get = b"GET /add-checkpoint HTTP/1.1\r\nhost: w\r\nconnection: close\r\n\r\n";
    assert_eq!(witness.raw(get).await.0, 405);
    let long = format!("POST /add-checkpoint HTTP/1.1\r\nx: {}\r\n\r\n", "x".repeat(32 << 10));
    assert!((400..500).contains(&witness.raw(long.as_bytes()).await.0));
    // It is still there.
    assert_eq!(witness.ask(&first(&log, 5)).await.unwrap(), Answer::Conflict { size: 5 });
}

#[tokio::test]
async fn an_answer_with_another_key_and_a_silent_witness_are_errors() {
    let log = log();
    let witness = Witness::start(&log).await;
    let other = SigningKey::generate(KeyKind::Witness, "w").unwrap();
    let asked = submit(&witness.url(), other.verifier(), &first(&log, 5), PATIENCE).await;
    assert!(matches!(asked, Err(SubmitError::NoCosignature(name)) if name == "w"));
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    let short = Duration::from_millis(50);
    let asked = submit(&url, &witness.key, &first(&log, 5), short).await;
    assert!(matches!(asked, Err(SubmitError::Late(_))));
    drop(silent);
    let asked = submit(&url, &witness.key, &first(&log, 5), PATIENCE).await;
    assert!(matches!(asked, Err(SubmitError::Unreachable(_))));
    for url in ["https://localhost", "localhost:1", "x"] {
        let asked = submit(url, &witness.key, &first(&log, 5), PATIENCE).await;
        assert!(matches!(asked, Err(SubmitError::Address(_))), "{url}");
    }
}

#[tokio::test]
async fn a_slow_request_is_ended_and_holds_up_no_other() {
    let log = log();
    let witness = Witness::start(&log).await;
    let mut slow = TcpStream::connect(witness.address).await.unwrap();
    let head = b"POST /add-checkpoint HTTP/1.1\r\nhost: w\r\ncontent-length: 500\r\n\r\nold";
    slow.write_all(head).await.unwrap();
    let mut silent = TcpStream::connect(witness.address).await.unwrap();
    assert!(matches!(witness.ask(&first(&log, 5)).await, Ok(Answer::Cosigned(_))));
    let mut answer = Vec::new();
    tokio::time::timeout(PATIENCE, slow.read_to_end(&mut answer)).await.unwrap().unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 408"), "{}", String::from_utf8_lossy(&answer));
    tokio::time::timeout(PATIENCE, silent.read_to_end(&mut answer)).await.unwrap().unwrap();
}
