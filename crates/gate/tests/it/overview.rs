//! What operators see of all agents: the busiest of them, at the same price however many there are.

use gate::overview::Overview;
use gate::types::{AdminAnswer, AdminCommand};

use crate::fixture::{Plan, World, poll};

async fn look(world: &World, rows: usize) -> (Overview, usize) {
    let answer = world.admin(AdminCommand::Overview).await;
    let AdminAnswer::Overview(outlook) = answer else { panic!("{answer:?}") };
    let before = world.store.questions();
    let overview = world.gate.look(&outlook, rows).await.unwrap();
    (overview, world.store.questions() - before)
}

fn rows(overview: &Overview) -> Vec<(&str, u64, usize, usize)> {
    let agents = overview.agents.iter();
    agents.map(|one| (one.agent.as_str(), one.queued, one.in_flight, one.sessions)).collect()
}

#[tokio::test(start_paused = true)]
async fn the_busiest_agents_are_shown_first_and_every_message_is_counted() {
    let world = World::new(Plan::new().allow("a", "c")).await;
    let (_a, mut b) = (world.open("a", "i1").await, world.open("b", "i1").await);
    for target in ["c", "c", "c", "b", "b"] {
        world.send("a", target, "{}").await;
    }
    assert_eq!(poll(&mut b).len(), 2);
    let (all, _) = look(&world, 9).await;
    // What `b` holds is still in its queue; who has nothing comes last, connected ones before.
    let wanted = [("c", 3, 0, 0), ("b", 2, 2, 1), ("a", 0, 0, 1), ("d", 0, 0, 0)];
    assert_eq!((rows(&all).as_slice(), all.queued), (wanted.as_slice(), 5));
    for count in 0..4 {
        let (few, _) = look(&world, count).await;
        assert_eq!((rows(&few).as_slice(), few.queued), (&wanted[..count], 5));
    }
}

#[tokio::test(start_paused = true)]
async fn a_picture_asks_the_store_as_often_whatever_the_number_of_agents() {
    let mut asked = Vec::new();
    for agents in [0, 2_000] {
        let mut plan = Plan::new();
        for number in 0..agents {
            plan = plan.register(&format!("n{number}"), |_| {});
        }
        let world = World::new(plan).await;
        let _a = world.open("a", "i1").await;
        world.send("a", "b", "{}").await;
        let (overview, questions) = look(&world, 100).await;
        assert_eq!(overview.agents.len(), 100.min(agents + 4));
        assert_eq!((overview.queued, rows(&overview)[0]), (1, ("b", 1, 0, 0)));
        asked.push(questions);
    }
    assert_eq!(asked[0], asked[1]);
    assert!(asked[0] <= 3, "{asked:?}");
}
