//! What is shown, and what keys do to it.

use std::cmp::Reverse;
use std::collections::VecDeque;

use palisade_client::admin::{AgentActivity, OverviewResponse};
use ratatui::crossterm::event::{Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::feed::News;
use super::units::per_second;

/// What is shown.
#[derive(Debug)]
pub(super) struct State {
    /// Which gate.
    pub(super) addr: String,
    /// The last picture; kept while there is no connection.
    pub(super) picture: Option<Box<OverviewResponse>>,
    /// Why there is no connection, while there is none.
    pub(super) lost: Option<String>,
    pub(super) is_paused: bool,
    pub(super) shows_help: bool,
    /// Whether the focused panel has the whole screen.
    pub(super) is_alone: bool,
    pub(super) focus: Panel,
    pub(super) sort: Sort,
    /// Rows of the focused panel that are scrolled past.
    pub(super) scroll: usize,
    /// Accepted messages in a second, of the last pictures, oldest first.
    pub(super) history: VecDeque<u64>,
    pub(super) colours: Colours,
}

/// Whether colours are welcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Colours {
    Welcome,
    Off,
}

/// A part of the screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Panel {
    Agents,
    Sessions,
    Stages,
    Decisions,
    Circuits,
    Refusals,
}

/// By what agents are sorted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sort {
    Queued,
    InFlight,
    Sessions,
    Name,
}

/// What follows a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    Go,
    End,
}

impl State {
    pub(super) fn new(addr: &str) -> Self {
        let no_colour = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self {
            addr: addr.to_owned(),
            picture: None,
            lost: None,
            is_paused: false,
            shows_help: false,
            is_alone: false,
            focus: Panel::Agents,
            sort: Sort::Queued,
            scroll: 0,
            history: VecDeque::new(),
            colours: if no_colour { Colours::Off } else { Colours::Welcome },
        }
    }

    /// Takes news of the gate.
    pub(super) fn hear(&mut self, news: Option<News>) {
        match news {
            Some(News::Picture(picture)) => self.show(*picture),
            Some(News::Lost(cause)) => self.lost = Some(cause),
            None => {}
        }
    }

    /// Takes a picture; a paused view keeps its own.
    pub(super) fn show(&mut self, picture: OverviewResponse) {
        self.lost = None;
        let accepted = picture.period.map_or(0, |period| period.accepted);
        // The first picture is about all the time since the start.
        if picture.period_ms < picture.up_ms {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a rate for a curve, never negative"
            )]
            self.history.push_back(per_second(accepted, picture.period_ms).round() as u64);
        }
        while self.history.len() > HISTORY_MAX {
            self.history.pop_front();
        }
        if !self.is_paused {
            self.picture = Some(Box::new(picture));
        }
    }

    /// Does what a key asks for.
    pub(super) fn react(&mut self, event: &Event) -> Next {
        let Event::Key(key) = event else { return Next::Go };
        if key.kind == KeyEventKind::Release {
            return Next::Go;
        }
        if self.shows_help {
            self.shows_help = false;
            return if is_end(key) { Next::End } else { Next::Go };
        }
        if is_end(key) {
            return Next::End;
        }
        self.press(key.code);
        Next::Go
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "other keys do nothing")]
    fn press(&mut self, code: KeyCode) {
        match code {
            KeyCode::Char('?' | 'h') => self.shows_help = true,
            KeyCode::Char('p' | ' ') => self.is_paused = !self.is_paused,
            KeyCode::Char('s') => self.sort = self.sort.next(),
            KeyCode::Tab | KeyCode::Right => self.turn_to(self.focus.next()),
            KeyCode::BackTab | KeyCode::Left => self.turn_to(self.focus.previous()),
            KeyCode::Enter => self.is_alone = !self.is_alone,
            KeyCode::Esc => self.is_alone = false,
            KeyCode::Down | KeyCode::Char('j') => self.scroll_by(1),
            KeyCode::PageDown => self.scroll_by(10),
            KeyCode::Up | KeyCode::Char('k') => self.scroll = self.scroll.saturating_sub(1),
            KeyCode::PageUp => self.scroll = self.scroll.saturating_sub(10),
            KeyCode::Home => self.scroll = 0,
            _ => {}
        }
    }

    fn turn_to(&mut self, panel: Panel) {
        self.focus = panel;
        self.scroll = 0;
    }

    fn scroll_by(&mut self, rows: usize) {
        let last = self.rows(self.focus).saturating_sub(1);
        self.scroll = self.scroll.saturating_add(rows).min(last);
    }

    fn rows(&self, panel: Panel) -> usize {
        let Some(picture) = &self.picture else { return 0 };
        match panel {
            Panel::Agents => picture.agents.len(),
            Panel::Sessions => picture.sessions.len(),
            Panel::Stages => picture.latencies.len(),
            Panel::Decisions => picture.decisions.len(),
            Panel::Circuits => picture.circuits.len(),
            Panel::Refusals => picture.refusals.len(),
        }
    }

    /// Returns how many rows of a panel are scrolled past.
    pub(super) fn skipped(&self, panel: Panel) -> usize {
        if self.focus == panel { self.scroll } else { 0 }
    }

    /// Returns the agents as they are sorted.
    pub(super) fn agents(&self) -> Vec<&AgentActivity> {
        let mut agents: Vec<_> = self.picture.iter().flat_map(|it| &it.agents).collect();
        agents.sort_by_key(|agent| {
            let by = match self.sort {
                Sort::Queued => agent.queued,
                Sort::InFlight => agent.in_flight,
                Sort::Sessions => agent.sessions,
                Sort::Name => 0,
            };
            (Reverse(by), agent.agent_id.as_str())
        });
        agents
    }
}

impl Panel {
    const ALL: [Self; 6] = [
        Self::Agents,
        Self::Sessions,
        Self::Stages,
        Self::Decisions,
        Self::Circuits,
        Self::Refusals,
    ];

    fn next(self) -> Self {
        self.step(1)
    }

    fn previous(self) -> Self {
        self.step(Self::ALL.len() - 1)
    }

    fn step(self, by: usize) -> Self {
        let place = Self::ALL.iter().position(|panel| *panel == self).unwrap_or_default();
        Self::ALL.iter().cycle().nth(place + by).copied().unwrap_or(self)
    }
}

impl Sort {
    const fn next(self) -> Self {
        match self {
            Self::Queued => Self::InFlight,
            Self::InFlight => Self::Sessions,
            Self::Sessions => Self::Name,
            Self::Name => Self::Queued,
        }
    }

    /// Returns the title of the column.
    pub(super) const fn column(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::InFlight => "in flight",
            Self::Sessions => "sessions",
            Self::Name => "agent",
        }
    }
}

fn is_end(key: &KeyEvent) -> bool {
    let is_interrupt =
        key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL);
    is_interrupt || matches!(key.code, KeyCode::Char('q' | 'Q'))
}

/// LIMIT: pictures in the curve.
const HISTORY_MAX: usize = 200;
