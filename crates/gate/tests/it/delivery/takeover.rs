//! One message in the hands of two sessions: who may still answer, and what that answer does.

use std::time::Duration;

use gate::delivery::{Session, Settled};
use gate::ports::MessageState;
use gate::types::{MessageId, Refusal};

use crate::fixture::{
    Plan, Received, World, ack, id, nack, one, pass, poll, say, seconds, settle_down, soon,
};

/// A message that `quick` took over from `slow`, both instances of `b`.
struct Scene {
    world: World,
    slow: Session,
    quick: Session,
    message: MessageId,
    held: Received,
    taken: Received,
    _a: Session,
}

impl Scene {
    async fn new() -> Self {
        let world = World::new(Plan::new()).await;
        let a = world.open("a", "i1").await;
        let (mut slow, mut quick) = (world.open("b", "i1").await, world.open("b", "i2").await);
        let message = world.send("a", "b", "{}").await;
        let held = one(&mut slow);
        pass(seconds(30) - Duration::from_micros(1)).await;
        assert!(poll(&mut quick).is_empty());
        pass(Duration::from_micros(1)).await;
        let taken = one(&mut quick);
        assert_eq!((id(&held), id(&taken)), (message, message));
        assert_ne!(held.delivery, taken.delivery);
        Self { world, slow, quick, message, held, taken, _a: a }
    }

    async fn state(&self) -> (MessageState, u32) {
        let view = self.world.status("a", self.message).await.unwrap();
        (view.state, view.attempts)
    }
}

#[tokio::test(start_paused = true)]
async fn another_instance_takes_over_what_one_holds_for_too_long() {
    let mut scene = Scene::new().await;
    // A late refusal changes nothing for the second.
    nack(&scene.slow, &scene.held, false).await;
    assert_eq!(scene.state().await, (MessageState::Delivered, 2));
    let records = scene.world.records().await;
    assert!(records.iter().all(|record| record.event_type != "dead_letter"));
    ack(&scene.quick, &scene.taken).await;
    assert_eq!(scene.state().await, (MessageState::Acknowledged, 2));
    assert!(poll(&mut scene.slow).is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_late_acknowledgement_counts_and_what_the_new_holder_says_then_does_not() {
    for retryable in [None, Some(true), Some(false)] {
        let mut scene = Scene::new().await;
        ack(&scene.slow, &scene.held).await;
        assert_eq!(scene.state().await, (MessageState::Acknowledged, 2));
        let commits = scene.world.store.commits().len();
        match retryable {
            None => ack(&scene.quick, &scene.taken).await,
            Some(retryable) => nack(&scene.quick, &scene.taken, retryable).await,
        }
        assert_eq!(scene.world.store.commits().len(), commits);
        assert_eq!(scene.state().await, (MessageState::Acknowledged, 2));
        pass(seconds(100)).await;
        assert!(poll(&mut scene.slow).is_empty() && poll(&mut scene.quick).is_empty());
        // Neither session is short of room for it.
        for _ in 0..20 {
            scene.world.send("a", "b", "{}").await;
        }
        assert_eq!((poll(&mut scene.slow).len(), poll(&mut scene.quick).len()), (10, 10));
    }
}

#[tokio::test(start_paused = true)]
async fn a_late_acknowledgement_of_what_nobody_holds_leaves_it_in_the_queue() {
    let mut scene = Scene::new().await;
    nack(&scene.quick, &scene.taken, true).await;
    ack(&scene.slow, &scene.held).await;
    assert_eq!(scene.state().await, (MessageState::Queued, 2));
    pass(seconds(2)).await;
    let received = one(&mut scene.quick);
    ack(&scene.quick, &received).await;
    assert_eq!(scene.state().await, (MessageState::Acknowledged, 3));
}

#[tokio::test(start_paused = true)]
async fn what_comes_back_to_the_session_that_still_works_on_it_is_not_handed_over_again() {
    let mut scene = Scene::new().await;
    // They take it from each other more often than it may be attempted.
    for _ in 0..5 {
        pass(seconds(30)).await;
        assert!(poll(&mut scene.slow).is_empty());
        pass(seconds(30)).await;
        assert!(poll(&mut scene.quick).is_empty());
    }
    assert_eq!(scene.state().await.0, MessageState::Delivered);
    // The delivery of the first stands: its answer is one, whoever has the lease.
    pass(seconds(30)).await;
    assert!(poll(&mut scene.slow).is_empty());
    ack(&scene.slow, &scene.held).await;
    assert_eq!(scene.state().await.0, MessageState::Acknowledged);
    let commits = scene.world.store.commits().len();
    ack(&scene.quick, &scene.taken).await;
    assert_eq!(scene.world.store.commits().len(), commits);
}

#[tokio::test(start_paused = true)]
async fn what_both_sessions_leave_is_tried_again_or_dead() {
    let scene = Scene::new().await;
    drop((scene.slow, scene.quick));
    settle_down().await;
    let mut third = scene.world.open("b", "i3").await;
    let received = one(&mut third);
    assert_eq!(id(&received), scene.message);
    nack(&third, &received, true).await;
    let view = scene.world.status("a", scene.message).await.unwrap();
    assert_eq!((view.state, view.attempts), (MessageState::DeadLettered, 3));
}

#[tokio::test(start_paused = true)]
async fn a_late_acknowledgement_of_a_probe_is_one_success() {
    let world = World::new(Plan::new()).await;
    let _a = world.open("a", "i1").await;
    let (mut slow, mut quick) = (world.open("b", "i1").await, world.open("b", "i2").await);
    for _ in 0..3 {
        world.send("a", "b", "{}").await;
        let received = one(&mut slow);
        nack(&slow, &received, false).await;
    }
    pass(seconds(60)).await;
    world.send("a", "b", "{}").await;
    let held = one(&mut slow);
    pass(seconds(30)).await;
    one(&mut quick);
    ack(&slow, &held).await;
    // It takes two to close, so there is one probe at a time still.
    world.send("a", "b", "{}").await;
    let refusal = world.refuse("a", say("b", "{}"), "CIRCUIT_OPEN", "circuit_open").await;
    assert!(matches!(refusal, Refusal::CircuitOpen { .. }));
}

#[tokio::test(start_paused = true)]
async fn a_waiting_instance_wakes_by_itself_to_take_over() {
    let world = World::new(Plan::new()).await;
    let _a = world.open("a", "i1").await;
    let (mut slow, mut quick) = (world.open("b", "i1").await, world.open("b", "i2").await);
    world.send("a", "b", "{}").await;
    one(&mut slow);
    let before = world.now();
    assert_eq!(soon(quick.next()).await.unwrap().len(), 1);
    let waited = world.now().since(before);
    assert!(waited >= seconds(30) && waited < seconds(31), "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn a_late_answer_beside_others_does_not_spoil_them() {
    let mut scene = Scene::new().await;
    let second = scene.world.send("a", "b", "{\"n\":2}").await;
    let good = one(&mut scene.slow);
    let both = [&scene.held, &good].map(|one| Settled::acknowledged(one.delivery));
    scene.slow.handle().settle(both.into()).await;
    assert_eq!(scene.state().await.0, MessageState::Acknowledged);
    let view = scene.world.status("a", second).await.unwrap();
    assert_eq!(view.state, MessageState::Acknowledged);
}
