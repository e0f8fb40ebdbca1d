//! Runs the conformance suite on each engine.

use std::sync::Arc;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use gate::ports::Store;
use store::Memory;
use store::suite::{self, Subject};

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
