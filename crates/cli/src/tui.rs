//! `--tui`: a run as it goes, on the whole terminal. It is fed with the intervals that the text lines are made of.
//!
//! It draws on stderr, so that stdout is free for a document. The terminal is as it was when the display is dropped, and
//! when the program panics. Ctrl-C and q do what SIGINT does: a terminal that is drawn on does not send it.

mod draw;
mod view;

use std::io::{self, IsTerminal, Stderr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use bypath_measure::result::Interval;
use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::cursor::Show;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{
    EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};
use signal_hook::consts::SIGINT;

pub(crate) use view::View;

/// How long the thread that reads keys may take to see that it is to end.
const PATIENCE: Duration = Duration::from_millis(100);

/// The display of a run. Dropping it gives the terminal back.
pub(crate) struct Display {
    view: View,
    terminal: Terminal<CrosstermBackend<Stderr>>,
    ended: Arc<AtomicBool>,
    keys: Option<JoinHandle<()>>,
}

impl Display {
    /// Takes the terminal for a run that is called `title` and lasts so many seconds, if that is known.
    pub(crate) fn start(title: &str, duration_seconds: Option<f64>) -> io::Result<Display> {
        if !io::stderr().is_terminal() {
            return Err(io::Error::other("--tui draws on a terminal, and stderr is none"));
        }
        restore_on_panic();
        enable_raw_mode()?;
        // From here on, dropping gives the terminal back.
        let ended = Arc::new(AtomicBool::new(false));
        let terminal = Terminal::new(CrosstermBackend::new(io::stderr())).inspect_err(|_| restore())?;
        let mut display = Display { view: View::new(title, duration_seconds), terminal, ended, keys: None };
        execute!(io::stderr(), EnterAlternateScreen)?;
        let ended = Arc::clone(&display.ended);
        display.keys = Some(std::thread::spawn(move || watch_keys(&ended)));
        display.draw()?;
        Ok(display)
    }

    /// Shows an interval that has just ended.
    pub(crate) fn interval(&mut self, interval: &Interval) -> io::Result<()> {
        self.view.push(interval);
        self.draw()
    }

    fn draw(&mut self) -> io::Result<()> {
        let view = &self.view;
        self.terminal.draw(|frame| draw::draw(frame, view)).map(|_| ())
    }
}

impl Drop for Display {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        if let Some(keys) = self.keys.take() {
            let _ = keys.join();
        }
        restore();
    }
}

/// Gives the terminal back. Whether that works nobody can be told: this is how one would tell.
fn restore() {
    let _ = execute!(io::stderr(), LeaveAlternateScreen, Show);
    let _ = disable_raw_mode();
}

fn restore_on_panic() {
    let earlier = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        restore();
        earlier(panic);
    }));
}

/// Turns the keys that end a program into the signal that does.
fn watch_keys(ended: &AtomicBool) {
    while !ended.load(Ordering::Relaxed) {
        if !event::poll(PATIENCE).unwrap_or(false) {
            continue;
        }
        let Ok(Event::Key(key)) = event::read() else { continue };
        let is_ctrl_c = key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL);
        if key.kind == KeyEventKind::Press && (is_ctrl_c || key.code == KeyCode::Char('q')) {
            let _ = signal_hook::low_level::raise(SIGINT);
        }
    }
}
