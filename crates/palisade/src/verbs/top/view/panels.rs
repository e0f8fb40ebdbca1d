//! The panels: one list each, with its head.

use palisade_client::admin::{
    CircuitState, DecisionCount, OverviewResponse, RecentRefusal, SessionActivity, StageLatency,
};
use ratatui::Frame;
use ratatui::layout::{Constraint, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::widgets::{Block, Row, Table};

use super::super::state::{Panel, State};
use super::super::units::{clock, count, micros, rate, span};
use super::{coloured, dim};
use crate::output::clean;

/// What a panel shows.
struct List {
    title: String,
    head: Vec<&'static str>,
    widths: Vec<Constraint>,
    rows: Vec<Row<'static>>,
}

/// Draws one panel.
pub(super) fn draw(
    frame: &mut Frame<'_>,
    area: Rect,
    state: &State,
    (picture, panel): (&OverviewResponse, Panel),
) {
    let list = match panel {
        Panel::Agents => agents(state, picture),
        Panel::Sessions => sessions(picture),
        Panel::Stages => stages(picture),
        Panel::Decisions => decisions(state, picture),
        Panel::Circuits => circuits(state, picture),
        Panel::Refusals => refusals(state, picture),
    };
    let is_focused = state.focus == panel;
    let frame_style = if is_focused { coloured(state, Color::Cyan) } else { dim() };
    let mut title = Style::new();
    if is_focused {
        title = title.add_modifier(Modifier::BOLD | Modifier::REVERSED);
    }
    let block = Block::bordered().border_style(frame_style).title_style(title).title(list.title);
    let rows = list.rows.into_iter().skip(state.skipped(panel));
    let mut table = Table::new(rows, list.widths).block(block).column_spacing(1);
    if !list.head.is_empty() {
        table = table.header(Row::new(list.head).style(dim()));
    }
    frame.render_widget(table, area);
}

fn agents(state: &State, picture: &OverviewResponse) -> List {
    let rows = state.agents().into_iter().map(|agent| {
        let row = Row::new([
            clean(&agent.agent_id),
            count(agent.sessions),
            count(agent.in_flight),
            count(agent.queued),
        ]);
        if agent.sessions == 0 { row.style(dim()) } else { row }
    });
    List {
        title: titled("agents", picture.agents.len(), picture.agents_registered, state),
        head: vec!["agent", "sessions", "in flight", "queued"],
        widths: vec![
            Constraint::Fill(1),
            Constraint::Length(8),
            Constraint::Length(9),
            Constraint::Length(7),
        ],
        rows: rows.collect(),
    }
}

/// Names a list of which the gate may have sent a part.
fn titled(name: &str, shown: usize, all: u64, state: &State) -> String {
    let by = state.sort.column();
    if u64::try_from(shown).is_ok_and(|shown| shown < all) {
        format!(" {name}: the busiest {shown} of {all}, by {by} ")
    } else {
        format!(" {name} by {by} ")
    }
}

fn sessions(picture: &OverviewResponse) -> List {
    let row = |session: &SessionActivity| {
        let kind = if session.replies_only { "replies" } else { "all" };
        Row::new([
            clean(&session.agent_id),
            clean(&session.instance_id),
            kind.to_owned(),
            count(session.in_flight),
            span(picture.at_ms.saturating_sub(session.since_ms)),
        ])
    };
    List {
        title: " sessions ".to_owned(),
        head: vec!["agent", "instance", "takes", "held", "for"],
        widths: vec![
            Constraint::Fill(1),
            Constraint::Fill(1),
            Constraint::Length(7),
            Constraint::Length(5),
            Constraint::Length(8),
        ],
        rows: picture.sessions.iter().map(row).collect(),
    }
}

fn stages(picture: &OverviewResponse) -> List {
    let row = |stage: &StageLatency| {
        Row::new([
            clean(&stage.stage),
            micros(stage.p50_us),
            micros(stage.p95_us),
            micros(stage.p99_us),
        ])
    };
    List {
        title: " time per stage ".to_owned(),
        head: vec!["stage", "p50", "p95", "p99"],
        widths: vec![
            Constraint::Length(12),
            Constraint::Length(7),
            Constraint::Length(7),
            Constraint::Length(7),
        ],
        rows: picture.latencies.iter().map(row).collect(),
    }
}

fn decisions(state: &State, picture: &OverviewResponse) -> List {
    let row = |one: &DecisionCount| {
        let style = match one.decision.as_str() {
            "ALLOWED" => coloured(state, Color::Green),
            "ALERT" | "DLP_REDACTED" | "DLP_ENCRYPTED" => coloured(state, Color::Yellow),
            _ => coloured(state, Color::Red),
        };
        let cells = [clean(&one.decision), count(one.total), rate(one.period, picture.period_ms)];
        Row::new(cells).style(style)
    };
    List {
        title: " decisions ".to_owned(),
        head: Vec::new(),
        widths: vec![Constraint::Length(13), Constraint::Length(6), Constraint::Length(8)],
        rows: picture.decisions.iter().map(row).collect(),
    }
}

fn circuits(state: &State, picture: &OverviewResponse) -> List {
    let row = |circuit: &CircuitState| {
        let from = match circuit.sender_id.as_str() {
            "" => "everyone".to_owned(),
            sender => clean(sender),
        };
        let style = match circuit.state.as_str() {
            "open" => coloured(state, Color::Red),
            _ => coloured(state, Color::Yellow),
        };
        let cells = [
            format!("{from} > {}", clean(&circuit.target_id)),
            clean(&circuit.state),
            span(picture.at_ms.saturating_sub(circuit.since_ms)),
        ];
        Row::new(cells).style(style)
    };
    List {
        title: format!(" circuits not closed: {} ", picture.circuits_open),
        head: Vec::new(),
        widths: vec![Constraint::Fill(1), Constraint::Length(9), Constraint::Length(8)],
        rows: picture.circuits.iter().map(row).collect(),
    }
}

fn refusals(state: &State, picture: &OverviewResponse) -> List {
    let row = |refusal: &RecentRefusal| {
        let caller = match refusal.caller_id.as_str() {
            "" => "?",
            caller => caller,
        };
        let way = match refusal.target_id.as_str() {
            "" => clean(caller),
            target => clean(&format!("{caller} > {target}")),
        };
        let mut cells = vec![clock(refusal.at_ms)];
        if state.is_alone {
            cells.push(refusal.request_id.clone());
            cells.push(clean(&refusal.decision));
        }
        cells.extend([way, clean(&format!("{}: {}", refusal.code, refusal.reason))]);
        Row::new(cells)
    };
    let mut widths = vec![Constraint::Length(8)];
    if state.is_alone {
        widths.extend([Constraint::Length(32), Constraint::Length(12)]);
    }
    widths.extend([Constraint::Max(16), Constraint::Fill(1)]);
    List {
        title: " last refusals ".to_owned(),
        head: Vec::new(),
        widths,
        rows: picture.refusals.iter().map(row).collect(),
    }
}
