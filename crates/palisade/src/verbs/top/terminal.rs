//! The terminal: taken over, drawn on, and given back as it was.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use super::feed;
use super::state::{Next, State};
use super::{Args, view};

/// Shows pictures until the user or a signal ends it.
///
/// # Errors
/// Returns why the gate gives no pictures, or what is wrong with the terminal; it has been given
/// back then.
pub(super) async fn run(args: &Args) -> anyhow::Result<()> {
    let (mut terminate, mut interrupt) =
        (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let (sender, mut news) = mpsc::channel(NEWS_MAX);
    let feeding = feed::run(args, &sender);
    tokio::pin!(feeding);
    let mut state = State::new(args.connect.addr());
    // Before the terminal is taken over: what is wrong from the start is said as a line.
    tokio::select! {
        failed = &mut feeding => return failed,
        first = news.recv() => state.hear(first),
        _ended = terminate.recv() => return Ok(()),
        _ended = interrupt.recv() => return Ok(()),
    }
    let mut screen = Screen::take()?;
    loop {
        screen.draw(&state)?;
        let next = tokio::select! {
            failed = &mut feeding => return failed,
            news = news.recv() => {
                state.hear(news);
                Next::Go
            }
            event = screen.events.recv() => match event {
                Some(event) => state.react(&event),
                None => Next::End,
            },
            _ended = terminate.recv() => Next::End,
            _ended = interrupt.recv() => Next::End,
        };
        if next == Next::End {
            return Ok(());
        }
    }
}

/// The terminal while it is ours; dropping it gives it back.
struct Screen {
    terminal: DefaultTerminal,
    events: mpsc::Receiver<Event>,
    ended: Arc<AtomicBool>,
}

impl Screen {
    fn take() -> anyhow::Result<Self> {
        // Also gives the terminal back when the program panics.
        let terminal = match ratatui::try_init() {
            Ok(terminal) => terminal,
            Err(cause) => {
                // Some of it may be done.
                ratatui::restore();
                return Err(cause.into());
            }
        };
        let (sender, events) = mpsc::channel(EVENTS_MAX);
        let ended = Arc::new(AtomicBool::new(false));
        let reading = Arc::clone(&ended);
        // Reading keys waits, and so has a thread of its own.
        drop(tokio::task::spawn_blocking(move || read(&sender, &reading)));
        Ok(Self { terminal, events, ended })
    }

    fn draw(&mut self, state: &State) -> anyhow::Result<()> {
        self.terminal.draw(|frame| view::draw(frame, state))?;
        Ok(())
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        // So that it cannot eat what is typed for the next program.
        self.events.close();
        ratatui::restore();
        // Ratatui hides the cursor while it draws.
        drop(self.terminal.show_cursor());
    }
}

/// Hands on what the user does, until nobody wants it.
fn read(events: &mpsc::Sender<Event>, ended: &AtomicBool) {
    while !ended.load(Ordering::Relaxed) {
        match event::poll(LOOK) {
            Ok(false) => {}
            Ok(true) => match event::read() {
                Ok(event) => {
                    if events.blocking_send(event).is_err() {
                        return;
                    }
                }
                Err(_gone) => return,
            },
            Err(_gone) => return,
        }
    }
}

/// LIMIT: keys and pictures that wait to be looked at.
const EVENTS_MAX: usize = 64;
const NEWS_MAX: usize = 2;
/// How long the end of the program can wait for the reader of keys.
const LOOK: Duration = Duration::from_millis(50);
