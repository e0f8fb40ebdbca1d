//! Stage 5: which targets are left alone for a while, by whom, and until when.

use std::time::Duration;

use gate::delivery::Session;
use gate::settings::{CircuitScope, CircuitSettings, Settings};
use gate::types::Refusal;

use crate::fixture::{Plan, World, ack, nack, one, pass, poll, say, seconds};

const CARD: &str = r#"{"card":"4111 1111 1111 1111"}"#;

/// Three agents that may reach `b`, and its session.
struct Scene {
    world: World,
    b: Session,
    _senders: Vec<Session>,
}

impl Scene {
    async fn new(plan: Plan) -> Self {
        Self::of(World::new(plan).await).await
    }

    async fn of(world: World) -> Self {
        let mut senders = Vec::new();
        for sender in ["a", "c", "d"] {
            senders.push(world.open(sender, "i1").await);
        }
        let b = world.open("b", "i1").await;
        Self { world, b, _senders: senders }
    }

    /// Lets `b` refuse messages of a sender.
    async fn fail(&mut self, sender: &str, times: usize) {
        for _ in 0..times {
            self.world.send(sender, "b", "{}").await;
            let received = one(&mut self.b);
            nack(&self.b, &received, false).await;
        }
    }

    /// Lets `b` take a message of a sender.
    async fn succeed(&mut self, sender: &str) {
        self.world.send(sender, "b", "{}").await;
        let received = one(&mut self.b);
        ack(&self.b, &received).await;
    }

    /// Sends what must meet an open circuit; returns for how long it stays open.
    async fn meet_open(&self, sender: &str) -> Duration {
        let refusal = self.world.refuse(sender, say("b", "{}"), "CIRCUIT_OPEN", "circuit_open");
        let Refusal::CircuitOpen { retry_after } = refusal.await else { panic!("another refusal") };
        retry_after
    }
}

fn circuit(edit: fn(&mut CircuitSettings)) -> Plan {
    Plan::new().set(|settings: &mut Settings| {
        if let Some(circuit) = &mut settings.circuit {
            edit(circuit);
        }
    })
}

#[tokio::test(start_paused = true)]
async fn a_circuit_opens_for_the_sender_whose_messages_are_refused_and_for_no_other() {
    let mut scene = Scene::new(Plan::new()).await;
    scene.fail("a", 2).await;
    scene.fail("c", 1).await;
    // The third failure of one sender opens it, not the third failure of the target.
    scene.fail("a", 1).await;
    assert_eq!(scene.meet_open("a").await, seconds(60));
    assert_eq!(scene.world.record("message.send").await.target_id.as_deref(), Some("b"));
    scene.succeed("c").await;
    scene.succeed("d").await;
    assert!(poll(&mut scene.b).is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_target_that_fails_several_senders_is_left_alone_by_all() {
    let mut scene = Scene::new(Plan::new()).await;
    scene.fail("a", 3).await;
    scene.succeed("d").await;
    scene.fail("c", 2).await;
    scene.succeed("d").await;
    scene.fail("c", 1).await;
    assert_eq!(scene.meet_open("d").await, seconds(60));
}

#[tokio::test(start_paused = true)]
async fn three_senders_cut_off_hold_back_a_fourth_until_the_timeout_and_not_longer() {
    let plan = circuit(|circuit| circuit.senders_to_open = 3).allow("e", "b");
    let mut scene = Scene::new(plan.register("e", |_| ())).await;
    let _e = scene.world.open("e", "i1").await;
    scene.fail("a", 3).await;
    pass(seconds(10)).await;
    scene.fail("c", 3).await;
    scene.succeed("e").await;
    pass(seconds(10)).await;
    scene.fail("d", 3).await;
    // Until the first of the three may probe.
    assert_eq!(scene.meet_open("e").await, seconds(40));
    pass(seconds(40) - Duration::from_micros(1)).await;
    assert_eq!(scene.meet_open("e").await, Duration::from_micros(1));
    pass(Duration::from_micros(1)).await;
    // It ends by itself: nobody has probed.
    scene.succeed("e").await;
    for (sender, left) in [("c", 10), ("d", 20)] {
        assert_eq!(scene.meet_open(sender).await, seconds(left));
    }
    scene.succeed("a").await;
    // One that fails again holds back itself, and the others only while they are three.
    scene.fail("a", 1).await;
    assert_eq!(scene.meet_open("e").await, seconds(10));
    pass(seconds(10)).await;
    scene.succeed("e").await;
}

#[tokio::test(start_paused = true)]
async fn the_references_scope_counts_all_senders_together() {
    let mut scene = Scene::new(circuit(|circuit| circuit.scope = CircuitScope::Target)).await;
    scene.fail("a", 2).await;
    scene.succeed("a").await;
    scene.fail("a", 1).await;
    scene.fail("c", 1).await;
    scene.succeed("d").await;
    scene.fail("a", 1).await;
    scene.fail("c", 2).await;
    assert_eq!(scene.meet_open("d").await, seconds(60));
}

#[tokio::test(start_paused = true)]
async fn an_acknowledgement_clears_failures_and_so_does_time() {
    let mut scene = Scene::new(Plan::new()).await;
    scene.fail("a", 2).await;
    scene.succeed("a").await;
    scene.fail("a", 2).await;
    pass(seconds(300) + Duration::from_micros(1)).await;
    scene.fail("a", 2).await;
    pass(seconds(300)).await;
    scene.fail("a", 1).await;
    scene.meet_open("a").await;
}

#[tokio::test(start_paused = true)]
async fn half_open_lets_one_probe_through_at_a_time_and_successes_close() {
    let mut scene = Scene::new(Plan::new()).await;
    scene.fail("a", 3).await;
    pass(seconds(60) - Duration::from_micros(1)).await;
    assert_eq!(scene.meet_open("a").await, Duration::from_micros(1));
    pass(Duration::from_micros(1)).await;
    for _ in 0..2 {
        scene.world.send("a", "b", "{}").await;
        scene.meet_open("a").await;
        let probe = one(&mut scene.b);
        ack(&scene.b, &probe).await;
    }
    // Closed: as many as one likes, and it takes three failures again.
    for _ in 0..5 {
        scene.world.send("a", "b", "{}").await;
    }
    for received in poll(&mut scene.b) {
        ack(&scene.b, &received).await;
    }
    scene.fail("a", 2).await;
    scene.succeed("a").await;
}

#[tokio::test(start_paused = true)]
async fn a_refused_probe_opens_again_for_the_whole_time() {
    let mut scene = Scene::new(Plan::new()).await;
    scene.fail("a", 3).await;
    pass(seconds(70)).await;
    scene.fail("a", 1).await;
    assert_eq!(scene.meet_open("a").await, seconds(60));
}

#[tokio::test(start_paused = true)]
async fn several_probes_may_pass_if_the_settings_say_so() {
    let mut scene = Scene::new(circuit(|circuit| circuit.half_open_max = 3)).await;
    scene.fail("a", 3).await;
    pass(seconds(60)).await;
    for _ in 0..3 {
        scene.world.send("a", "b", "{}").await;
    }
    scene.meet_open("a").await;
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_a_later_stage_refuses_is_given_back() {
    let mut scene = Scene::new(Plan::new()).await;
    scene.fail("a", 3).await;
    pass(seconds(60)).await;
    for _ in 0..3 {
        scene.world.refuse("a", say("b", CARD), "DLP_BLOCKED", "dlp_blocked").await;
    }
    let hits = |op: &gate::ports::Op| matches!(op, gate::ports::Op::Enqueue(_));
    scene.world.store.fail(1, gate::ports::StoreError::Busy, hits);
    scene.world.refuse("a", say("b", "{}"), "BACKPRESSURE", "backpressure").await;
    scene.succeed("a").await;
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_is_never_answered_frees_its_place_in_time() {
    let mut scene = Scene::new(Plan::new()).await;
    scene.fail("a", 3).await;
    pass(seconds(60)).await;
    scene.world.send("a", "b", "{}").await;
    pass(seconds(60) - Duration::from_micros(1)).await;
    assert_eq!(scene.meet_open("a").await, Duration::from_micros(1));
    pass(Duration::from_micros(1)).await;
    scene.world.send("a", "b", "{}").await;
    scene.meet_open("a").await;
}

#[tokio::test(start_paused = true)]
async fn an_open_circuit_survives_a_restart() {
    let mut scene = Scene::new(Plan::new()).await;
    scene.fail("a", 3).await;
    scene.fail("c", 3).await;
    pass(seconds(20)).await;
    let mut scene = Scene::of(scene.world.restarted(Plan::new()).await).await;
    for sender in ["a", "c", "d"] {
        assert_eq!(scene.meet_open(sender).await, seconds(40));
    }
    pass(seconds(40)).await;
    scene.succeed("a").await;
    // A closed one is closed over a restart too.
    scene.succeed("a").await;
    let mut scene = Scene::of(scene.world.restarted(Plan::new()).await).await;
    scene.fail("a", 2).await;
    scene.succeed("a").await;
}

#[tokio::test(start_paused = true)]
async fn a_message_that_is_retried_counts_once() {
    let mut scene = Scene::new(Plan::new()).await;
    for _ in 0..2 {
        scene.world.send("a", "b", "{}").await;
        for _ in 0..3 {
            let received = one(&mut scene.b);
            nack(&scene.b, &received, true).await;
            pass(seconds(2)).await;
        }
        assert!(poll(&mut scene.b).is_empty());
    }
    // Six refusals of two messages are two failures; the third message's opens it.
    scene.world.send("a", "b", "{}").await;
    let received = one(&mut scene.b);
    nack(&scene.b, &received, true).await;
    scene.meet_open("a").await;
}

#[tokio::test(start_paused = true)]
async fn without_the_feature_no_circuit_opens() {
    let mut scene = Scene::new(Plan::new().set(|settings| settings.circuit = None)).await;
    scene.fail("a", 10).await;
    scene.succeed("a").await;
}
