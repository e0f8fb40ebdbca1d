//! Runs the conformance suite on each engine.

use std::sync::Arc;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use gate::ports::Store;
use store::suite::{self, Subject};
use store::{Bounds, Embedded, Memory, Options};

struct InMemory(Arc<Memory>);

impl Subject for InMemory {
    fn store(&self) -> Arc<dyn Store> {
        Arc::<Memory>::clone(&self.0)
    }

    fn reopen(&mut self) -> BoxFuture<'_, Result<(), String>> {
        self.0 = Arc::new(self.0.restarted());
        async { Ok(()) }.boxed()
    }
}

#[tokio::test]
async fn memory_keeps_every_promise() {
    let make = |bounds| {
        let subject: Box<dyn Subject> = Box::new(InMemory(Arc::new(Memory::new(bounds))));
        async { Ok(subject) }.boxed()
    };
    let cases = suite::run(&make).await.unwrap_or_else(|failure| panic!("{failure}"));
    assert!(cases >= 40, "only {cases} cases ran");
}

struct InFolder {
    folder: tempfile::TempDir,
    bounds: Bounds,
    store: Option<Arc<Embedded>>,
}

impl InFolder {
    fn open(&mut self) -> Result<(), String> {
        // Everything is small, so that the cases cross segments and read envelopes back.
        let options = Options {
            bounds: self.bounds,
            cache_bytes: 50,
            segment_bytes: 16 << 10,
            checkpoint_bytes: 16 << 10,
            archive_bytes: 1 << 10,
            ..Options::default()
        };
        let store = Embedded::open(self.folder.path(), options);
        self.store = Some(store.map_err(|error| error.to_string())?);
        Ok(())
    }
}

impl Subject for InFolder {
    fn store(&self) -> Arc<dyn Store> {
        Arc::<Embedded>::clone(self.store.as_ref().unwrap())
    }

    fn reopen(&mut self) -> BoxFuture<'_, Result<(), String>> {
        let store = self.store.take().unwrap();
        let closed = store.close().map_err(|error| error.to_string());
        drop(store);
        async { closed.and_then(|()| self.open()) }.boxed()
    }
}

#[tokio::test]
async fn embedded_keeps_every_promise() {
    let make = |bounds| {
        let folder = tempfile::tempdir().unwrap();
        let mut subject = InFolder { folder, bounds, store: None };
        let opened = subject.open();
        async { opened.map(|()| Box::new(subject) as Box<dyn Subject>) }.boxed()
    };
    let cases = suite::run(&make).await.unwrap_or_else(|failure| panic!("{failure}"));
    assert!(cases >= 40, "only {cases} cases ran");
}
