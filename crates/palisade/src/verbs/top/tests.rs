//! Screens as they were reviewed, and what keys do.

use palisade_client::admin::{
    AgentActivity, CircuitState, DecisionCount, OverviewResponse, RecentRefusal, SessionActivity,
    StageLatency, StoreFigures, Traffic,
};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{Event, KeyCode, KeyEvent, KeyModifiers};

use super::feed::News;
use super::state::{Colours, Next, Panel, Sort, State};
use super::{json, view};

fn refusal(number: u64, code: &str, reason: &str) -> RecentRefusal {
    RecentRefusal {
        at_ms: 1_700_000_000_000 + number * 1_000,
        request_id: format!("{number:032x}"),
        event_type: "message.send".to_owned(),
        caller_id: "alice".to_owned(),
        target_id: "bob".to_owned(),
        decision: "AUTHZ_DENIED".to_owned(),
        code: code.to_owned(),
        reason: reason.to_owned(),
    }
}

fn period() -> Traffic {
    Traffic {
        accepted: 120,
        delivered: 118,
        refused: 2,
        bytes_in: 40_960,
        bytes_out: 99_000,
        ..Traffic::default()
    }
}

fn latencies() -> Vec<StageLatency> {
    let stage = |name: &str, p50_us| StageLatency {
        stage: name.to_owned(),
        count: 10,
        p50_us,
        p95_us: p50_us * 2.0,
        p99_us: p50_us * 10.0,
    };
    let stages = [
        ("authenticate", 0.4),
        ("validate", 3.0),
        ("authorize", 1.2),
        ("rate_limit", 0.9),
        ("circuit", 0.2),
        ("inspect", 4.0),
        ("commit", 310.0),
        ("report", 0.5),
        ("total", 320.0),
        ("answer", 1_200.0),
    ];
    stages.map(|(name, p50_us)| stage(name, p50_us)).to_vec()
}

fn picture() -> OverviewResponse {
    let agent = |name: &str, sessions, in_flight, queued| AgentActivity {
        agent_id: name.to_owned(),
        sessions,
        in_flight,
        queued,
    };
    let decision =
        |name: &str, total, period| DecisionCount { decision: name.to_owned(), total, period };
    OverviewResponse {
        at_ms: 1_700_000_100_000,
        up_ms: 3_700_000,
        period_ms: 1_000,
        policy_revision: "3f9a1c77d2e85b60".to_owned(),
        ready: true,
        total: Some(Traffic { accepted: 12_000, dead_lettered: 3, ..Traffic::default() }),
        period: Some(period()),
        decisions: vec![
            decision("ALLOWED", 12_345, 120),
            decision("AUTHZ_DENIED", 17, 2),
            decision("DLP_REDACTED", 5, 0),
        ],
        latencies: latencies(),
        agents_registered: 3,
        agents_connected: 2,
        sessions_open: 3,
        messages_queued: 1_204,
        circuits_open: 1,
        agents: vec![agent("billing", 0, 0, 1_200), agent("alice", 1, 0, 0), agent("bob", 2, 9, 4)],
        sessions: vec![SessionActivity {
            agent_id: "bob".to_owned(),
            instance_id: "bob-1".to_owned(),
            in_flight: 9,
            in_flight_bytes: 4_096,
            since_ms: 1_700_000_000_000,
            replies_only: false,
        }],
        circuits: vec![CircuitState {
            target_id: "billing".to_owned(),
            sender_id: "alice".to_owned(),
            state: "open".to_owned(),
            since_ms: 1_700_000_090_000,
            failures: 5,
        }],
        refusals: vec![
            refusal(2, "not_authorized", "no rule allows alice to send to bob"),
            refusal(1, "rate_limited", "the limit per minute is used up \u{1b}[31mred"),
        ],
        store: Some(StoreFigures { records: 25_000 }),
        ..OverviewResponse::default()
    }
}

fn state() -> State {
    let mut state = State::new("127.0.0.1:50051");
    state.colours = Colours::Off;
    state.show(picture());
    state
}

fn screen(state: &State, columns: u16, rows: u16) -> String {
    let mut terminal = Terminal::new(TestBackend::new(columns, rows)).unwrap();
    terminal.draw(|frame| view::draw(frame, state)).unwrap();
    terminal.backend().to_string()
}

fn press(state: &mut State, code: KeyCode) -> Next {
    state.react(&Event::Key(KeyEvent::new(code, KeyModifiers::NONE)))
}

#[test]
fn the_usual_terminal_shows_every_panel() {
    insta::assert_snapshot!(screen(&state(), 80, 24));
}

#[test]
fn a_large_terminal_shows_more() {
    insta::assert_snapshot!(screen(&state(), 140, 40));
}

#[test]
fn a_tiny_terminal_shows_what_fits() {
    for (columns, rows) in [(1, 1), (10, 4), (40, 10), (80, 3)] {
        let shown = screen(&state(), columns, rows);
        assert_eq!(shown.lines().count(), usize::from(rows));
    }
}

#[test]
fn a_panel_alone_has_the_whole_screen() {
    let mut state = state();
    press(&mut state, KeyCode::BackTab);
    press(&mut state, KeyCode::Enter);
    assert_eq!(state.focus, Panel::Refusals);
    insta::assert_snapshot!(screen(&state, 110, 12));
}

#[test]
fn the_plain_picture_has_no_control_characters_and_no_keys() {
    let text = view::plain(&state());
    assert!(!text.chars().any(|c| c.is_control() && c != '\n'), "{text}");
    assert!(text.contains("alice > bob") && !text.contains("q end"), "{text}");
}

#[test]
fn a_lost_connection_is_said_above_the_last_picture_until_one_comes() {
    let mut state = state();
    state.hear(Some(News::Lost("the gate is gone".to_owned())));
    let shown = screen(&state, 80, 24);
    assert!(shown.contains("NO CONNECTION, trying again: the gate is gone"), "{shown}");
    assert!(shown.contains("billing"), "{shown}");
    state.hear(Some(News::Picture(Box::new(picture()))));
    assert!(screen(&state, 80, 24).contains("ready"));
}

#[test]
fn a_gate_that_is_not_ready_says_why() {
    let mut state = state();
    let not_ready = vec!["the disk is full".to_owned()];
    state.show(OverviewResponse { ready: false, not_ready, ..picture() });
    assert!(screen(&state, 80, 24).contains("NOT READY: the disk is full"));
}

#[test]
fn keys_end_pause_sort_scroll_and_help() {
    let mut state = state();
    assert_eq!(press(&mut state, KeyCode::Char('x')), Next::Go);
    press(&mut state, KeyCode::Char('p'));
    state.show(OverviewResponse { messages_queued: 7, ..picture() });
    assert!(screen(&state, 80, 24).contains("queued 1.2k"));
    assert!(screen(&state, 80, 24).contains("paused"));
    press(&mut state, KeyCode::Char(' '));
    state.show(OverviewResponse { messages_queued: 7, ..picture() });
    assert!(screen(&state, 80, 24).contains("queued 7 "));
    let first = |state: &State| state.agents()[0].agent_id.clone();
    assert_eq!((state.sort, first(&state)), (Sort::Queued, "billing".to_owned()));
    press(&mut state, KeyCode::Char('s'));
    assert_eq!((state.sort, first(&state)), (Sort::InFlight, "bob".to_owned()));
    press(&mut state, KeyCode::Char('s'));
    press(&mut state, KeyCode::Char('s'));
    assert_eq!((state.sort, first(&state)), (Sort::Name, "alice".to_owned()));
    for _ in 0..9 {
        press(&mut state, KeyCode::Down);
    }
    assert_eq!(state.scroll, 2);
    press(&mut state, KeyCode::Up);
    assert_eq!(state.scroll, 1);
    assert!(!screen(&state, 80, 24).contains("alice       "));
    press(&mut state, KeyCode::Char('?'));
    assert!(screen(&state, 80, 24).contains("shift-tab"));
    assert_eq!(press(&mut state, KeyCode::Char('x')), Next::Go);
    assert!(!state.shows_help);
    let ctrl_c = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
    assert_eq!(state.react(&Event::Key(ctrl_c)), Next::End);
    assert_eq!(press(&mut state, KeyCode::Char('q')), Next::End);
}

#[test]
fn without_colours_no_cell_has_one() {
    let count = |colours| {
        let mut state = state();
        state.colours = colours;
        let mut terminal = Terminal::new(TestBackend::new(80, 24)).unwrap();
        terminal.draw(|frame| view::draw(frame, &state)).unwrap();
        let cells = terminal.backend().buffer().content().to_vec();
        cells.iter().filter(|cell| cell.fg != ratatui::style::Color::Reset).count()
    };
    assert_eq!(count(Colours::Off), 0);
    assert!(count(Colours::Welcome) > 0);
}

#[test]
fn programs_get_the_whole_picture() {
    let object = json::object(&picture());
    assert_eq!(object["rates"]["accepted_per_second"], 120.0);
    assert_eq!(object["decisions"]["ALLOWED"]["total"], 12_345);
    assert_eq!(object["latencies"]["commit"]["p50_us"], 310.0);
    assert_eq!(object["agents"][2]["in_flight"], 9);
    assert_eq!(object["circuits"][0]["state"], "open");
    assert_eq!(object["refusals"][1]["code"], "rate_limited");
    assert_eq!(object["sessions"][0]["instance_id"], "bob-1");
    assert_eq!(object["records"], 25_000);
}
