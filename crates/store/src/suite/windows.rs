//! Rate windows: exact, per agent and class, part of the batch.

use std::time::Duration;

use futures::FutureExt as _;
use gate::limits::RateLimits;
use gate::ports::{CounterClass, Found, Op, Read, StoreError, WindowView};

use super::Case;
use super::kit::{Checked, Kit, agent, at, enqueue, same};

pub(super) const CASES: &[(&str, Case)] = &[
    ("the call above a limit is refused with its wait", |kit| limited(kit).boxed_local()),
    ("windows of agents and classes are apart", |kit| apart(kit).boxed_local()),
    ("a refused batch does not count, and its calls see each other", |kit| {
        whole(kit).boxed_local()
    }),
];

const LIMITS: RateLimits = RateLimits { per_minute: 2, per_hour: 3 };

fn count(name: &str, class: CounterClass, second: u64) -> Result<Op, String> {
    Ok(Op::Count { agent: agent(name)?, class, at: at(second), limits: LIMITS })
}

fn call(second: u64) -> Result<Op, String> {
    count("a", CounterClass::Message, second)
}

const fn over(window: &'static str, seconds: u64) -> StoreError {
    StoreError::OverLimit { window, retry_after: Duration::from_secs(seconds) }
}

async fn window(kit: &Kit, name: &str, now: u64) -> Result<WindowView, String> {
    let class = CounterClass::Message;
    let read = Read::Window { agent: agent(name)?, class, limits: LIMITS, now: at(now) };
    match kit.read(read).await? {
        Some(Found::Window(view)) => Ok(view),
        other => Err(format!("a window is read as {other:?}")),
    }
}

async fn limited(kit: &mut Kit) -> Checked {
    kit.commit(vec![call(0)?]).await?;
    kit.commit(vec![call(10)?]).await?;
    kit.refuse(vec![call(20)?], over("minute", 40)).await?;
    let full = Some(("minute", Duration::from_secs(40)));
    same("the window", &window(kit, "a", 20).await?, &WindowView { minute: 2, hour: 2, full })?;
    kit.commit(vec![call(60)?]).await?;
    kit.refuse(vec![call(130)?], over("hour", 3_470)).await?;
    kit.commit(vec![call(3_600)?]).await
}

async fn apart(kit: &mut Kit) -> Checked {
    kit.commit(vec![call(0)?, call(0)?]).await?;
    kit.refuse(vec![call(0)?], over("minute", 60)).await?;
    kit.commit(vec![count("b", CounterClass::Message, 0)?]).await?;
    kit.commit(vec![count("a", CounterClass::Control, 0)?]).await?;
    same("the other's window", &window(kit, "b", 0).await?.minute, &1)?;
    let idle = WindowView { minute: 0, hour: 0, full: None };
    same("a stranger's window", &window(kit, "z", 0).await?, &idle)
}

async fn whole(kit: &mut Kit) -> Checked {
    kit.refuse(vec![enqueue(1)?, call(0)?, call(0)?, call(0)?], over("minute", 60)).await?;
    same("the window", &window(kit, "a", 0).await?.minute, &0)?;
    same("the queue", &kit.depth("b").await?, &0)?;
    kit.conflict(2, vec![call(0)?, enqueue(1)?, enqueue(1)?]).await?;
    same("the window", &window(kit, "a", 0).await?.minute, &0)
}
