//! The screen: two lines about the whole, panels, and a line about keys.
//!
//! It fits into 80 columns and 24 rows; a smaller terminal shows what it has room for.

mod panels;

use palisade_client::admin::{OverviewResponse, Traffic};
use ratatui::backend::TestBackend;
use ratatui::layout::{Alignment, Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Clear, Paragraph, Sparkline};
use ratatui::{Frame, Terminal};

use super::state::{Colours, Panel, State};
use super::units::{byte_rate, count, rate, span};
use crate::output::clean;

/// Draws the screen.
pub(super) fn draw(frame: &mut Frame<'_>, state: &State) {
    let [title, whole, body, keys] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(2),
        Constraint::Min(0),
        Constraint::Length(1),
    ])
    .areas(frame.area());
    frame.render_widget(Paragraph::new(heading(state)), title);
    match &state.picture {
        Some(picture) => {
            draw_whole(frame, whole, state, picture);
            if state.is_alone {
                panels::draw(frame, body, state, (picture, state.focus));
            } else {
                draw_panels(frame, body, state, picture);
            }
        }
        None => frame.render_widget(Paragraph::new("waiting for the first picture"), body),
    }
    frame.render_widget(Paragraph::new(KEYS).style(dim()), keys);
    if state.shows_help {
        draw_help(frame, body);
    }
}

/// Returns the screen as text without colours.
pub(super) fn plain(state: &State) -> String {
    let rows = state.picture.as_ref().map_or(0, |picture| {
        picture.agents.len().max(picture.sessions.len()).max(picture.refusals.len())
    });
    let rows = u16::try_from(rows).unwrap_or(u16::MAX).clamp(PLAIN_ROWS.0, PLAIN_ROWS.1);
    let Ok(mut terminal) = Terminal::new(TestBackend::new(PLAIN_COLUMNS, rows));
    let Ok(_drawn) = terminal.draw(|frame| draw(frame, state));
    let buffer = terminal.backend().buffer();
    let cells: Vec<&str> = buffer.content().iter().map(ratatui::buffer::Cell::symbol).collect();
    let lines =
        cells.chunks(usize::from(PLAIN_COLUMNS)).map(|row| row.concat().trim_end().to_owned());
    // The last line is about keys.
    lines.take(usize::from(rows.saturating_sub(1))).collect::<Vec<_>>().join("\n")
}

fn heading(state: &State) -> Line<'_> {
    let mut spans = vec![
        Span::styled("palisade top", Style::new().add_modifier(Modifier::BOLD)),
        Span::raw(format!("  {}  ", clean(&state.addr))),
    ];
    if let Some(cause) = &state.lost {
        let text = format!("NO CONNECTION, trying again: {}", clean(cause));
        spans.push(Span::styled(text, bad(state)));
        return Line::from(spans);
    }
    if let Some(picture) = &state.picture {
        let condition = if picture.ready {
            Span::styled("ready", good(state))
        } else {
            let why = clean(&picture.not_ready.join("; "));
            Span::styled(format!("NOT READY: {why}"), bad(state))
        };
        spans.push(condition);
        spans.push(Span::raw(format!("  up {}", span(picture.up_ms))));
        let policy: String = picture.policy_revision.chars().take(12).collect();
        spans.push(Span::raw(format!("  policy {}", clean(&policy))));
    }
    if state.is_paused {
        let style = Style::new().add_modifier(Modifier::REVERSED);
        spans.push(Span::raw("  "));
        spans.push(Span::styled(" paused ", style));
    }
    Line::from(spans)
}

fn draw_whole(frame: &mut Frame<'_>, area: Rect, state: &State, picture: &OverviewResponse) {
    let [numbers, curve] =
        Layout::horizontal([Constraint::Min(0), Constraint::Max(area.width.saturating_sub(72))])
            .areas(area);
    let lines = vec![rates(picture), levels(picture)];
    frame.render_widget(Paragraph::new(lines), numbers);
    let room = usize::from(curve.width);
    let skip = state.history.len().saturating_sub(room);
    let newest: Vec<u64> = state.history.iter().skip(skip).copied().collect();
    frame.render_widget(Sparkline::default().data(newest), curve);
}

fn rates(picture: &OverviewResponse) -> Line<'static> {
    let (ms, period) = (picture.period_ms, picture.period.unwrap_or_default());
    let Traffic { accepted, delivered, refused, bytes_in, bytes_out, .. } = period;
    Line::from(format!(
        "in {} {}  out {} {}  refused {}",
        rate(accepted, ms),
        byte_rate(bytes_in, ms),
        rate(delivered, ms),
        byte_rate(bytes_out, ms),
        rate(refused, ms),
    ))
}

fn levels(picture: &OverviewResponse) -> Line<'static> {
    let total = picture.total.unwrap_or_default();
    Line::from(format!(
        "agents {}/{}  sessions {}  queued {}  dead {}  expired {}  records {}",
        count(picture.agents_connected),
        count(picture.agents_registered),
        count(picture.sessions_open),
        count(picture.messages_queued),
        count(total.dead_lettered),
        count(total.expired),
        count(picture.store.unwrap_or_default().records),
    ))
}

fn draw_panels(frame: &mut Frame<'_>, area: Rect, state: &State, picture: &OverviewResponse) {
    // Ten stages with head and frame; the rest is for refusals, which are the longest list.
    let upper = 13.min(area.height.saturating_mul(13) / 20);
    let [upper, lower] =
        Layout::vertical([Constraint::Length(upper), Constraint::Min(0)]).areas(area);
    let [left, right] =
        Layout::horizontal([Constraint::Min(0), Constraint::Length(38)]).areas(upper);
    // The one that was looked at last stays.
    let mut list = state.focus;
    if !matches!(list, Panel::Sessions) {
        list = Panel::Agents;
    }
    panels::draw(frame, left, state, (picture, list));
    panels::draw(frame, right, state, (picture, Panel::Stages));
    let [left, right] =
        Layout::horizontal([Constraint::Length(30), Constraint::Min(0)]).areas(lower);
    panels::draw(frame, left, state, (picture, Panel::Decisions));
    let circuits = u16::try_from(picture.circuits.len()).unwrap_or(u16::MAX);
    let circuits = match (circuits, state.focus) {
        (0, Panel::Circuits) => 3,
        (0, _) => 0,
        // A frame and at most half of the room.
        (some, _) => some.saturating_add(2).min(right.height.div_ceil(2)),
    };
    let [upper, lower] =
        Layout::vertical([Constraint::Length(circuits), Constraint::Min(0)]).areas(right);
    if circuits > 0 {
        panels::draw(frame, upper, state, (picture, Panel::Circuits));
    }
    panels::draw(frame, lower, state, (picture, Panel::Refusals));
}

fn draw_help(frame: &mut Frame<'_>, area: Rect) {
    let height = u16::try_from(HELP.len()).unwrap_or(0).saturating_add(2).min(area.height);
    let width = 60.min(area.width);
    let middle = Rect {
        x: area.x + (area.width - width) / 2,
        y: area.y + (area.height - height) / 2,
        width,
        height,
    };
    frame.render_widget(Clear, middle);
    let lines: Vec<Line<'_>> = HELP.iter().map(|line| Line::from(*line)).collect();
    let block = Block::bordered().title(" keys ").title_alignment(Alignment::Center);
    frame.render_widget(Paragraph::new(lines).block(block), middle);
}

pub(super) fn dim() -> Style {
    Style::new().add_modifier(Modifier::DIM)
}

fn good(state: &State) -> Style {
    coloured(state, Color::Green)
}

fn bad(state: &State) -> Style {
    coloured(state, Color::Red).add_modifier(Modifier::BOLD)
}

fn coloured(state: &State, colour: Color) -> Style {
    match state.colours {
        Colours::Welcome => Style::new().fg(colour),
        Colours::Off => Style::new(),
    }
}

const KEYS: &str = "q end  tab panel  up/down scroll  enter alone  s sort  p pause  ? help";

const HELP: [&str; 10] = [
    "q, ctrl-c        end",
    "tab, right       next panel",
    "shift-tab, left  previous panel",
    "up, down, page   scroll the panel",
    "enter            the panel alone, and back",
    "s                sort agents by another column",
    "p, space         hold the picture, and go on",
    "",
    "`palisade trace ID` tells more about a refusal; its id",
    "stands in the panel of refusals when that is alone.",
];

/// The size of the text: columns, and the fewest and the most rows.
const PLAIN_COLUMNS: u16 = 100;
const PLAIN_ROWS: (u16, u16) = (30, 60);
