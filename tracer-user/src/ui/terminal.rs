//! The terminal: taken once, given back in every case.
//!
//! All commands that switch its modes are in `take` and `restore`. It is given back by [`Terminal::leave`], when
//! the [`Terminal`] is dropped, on a panic before the message is printed, and around a stop by Ctrl-Z; a signal ends
//! the session's loop, which leaves. Giving back twice does nothing.

use std::io::{self, Write};
use std::mem::ManuallyDrop;
use std::panic;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, Once, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use crossterm::event::{
    DisableBracketedPaste, DisableMouseCapture, EnableBracketedPaste, EnableMouseCapture,
};
use crossterm::terminal::{
    BeginSynchronizedUpdate, EndSynchronizedUpdate, EnterAlternateScreen, LeaveAlternateScreen,
    disable_raw_mode, enable_raw_mode,
};
use crossterm::{cursor, execute, queue};
use nix::sys::signal::{Signal, kill, raise};
use nix::unistd::{Pid, getpgrp, tcgetpgrp};
use ratatui::backend::CrosstermBackend;
use terminal_colorsaurus::{QueryOptions, ThemeMode, theme_mode};

use super::draw::{Look, draw};
use super::glyphs::Glyphs;
use super::output::{self, Output};
use super::theme::{Background, Depth, Theme};
use crate::view::ViewState;

/// Longest text put into the clipboard: terminals drop more than about 74 kB of OSC 52.
const MAX_COPY_BYTES: usize = 48 * 1024;

/// Most stops while the user has it go on in the background.
const MAX_STOPS: usize = 64;

/// The stop arrives within microseconds; the user does not notice this pause after coming back.
const STOP_DELAY: Duration = Duration::from_millis(30);

/// Longest wait for the last frame, which is dropped then: a terminal across the world takes it within a round trip.
const LAST_FRAME: Duration = Duration::from_secs(1);
/// Longest wait for the frame before this one, which signals and batches wait for too: one that was just handed over is
/// taken within it.
const MOMENT: Duration = Duration::from_millis(20);

/// How long the terminal may think about its background; a later answer is dropped by [`super::keys`].
const ANSWER_TIMEOUT: Duration = Duration::from_millis(100);

/// Whether the terminal is ours and must be given back.
static TAKEN: AtomicBool = AtomicBool::new(false);
/// Whether there is a [`Terminal`], taken or given back for a while.
static HAS_SCREEN: AtomicBool = AtomicBool::new(false);
/// Held while a frame is made.
static DRAWING: Mutex<()> = Mutex::new(());
static PANIC_HOOK: Once = Once::new();

/// What the command line and the environment say about the screen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ScreenOptions {
    /// Take the mouse. Off by `--no-mouse`.
    pub mouse: bool,
    /// ASCII glyphs and colours.
    pub look: Look,
}

impl ScreenOptions {
    /// By the environment, with the mouse.
    pub fn from_env() -> Self {
        let var = |name: &str| std::env::var(name).ok();
        Self {
            mouse: true,
            look: Look {
                theme: Theme::from_env(var),
                glyphs: Glyphs::from_env(var),
            },
        }
    }

    /// Without the mouse: the terminal selects text by it, as `--no-mouse` asks.
    #[must_use]
    pub fn without_mouse(mut self) -> Self {
        self.mouse = false;
        self
    }

    /// With ASCII glyphs only, whatever the locale says.
    #[must_use]
    pub fn ascii(mut self) -> Self {
        self.look.glyphs = Glyphs::Ascii;
        self
    }

    /// Without colours, whatever the terminal has.
    #[must_use]
    pub fn mono(mut self) -> Self {
        self.look.theme.depth = Depth::Mono;
        self
    }

    /// With default text, bold and reverse only.
    #[must_use]
    pub fn high_contrast(mut self) -> Self {
        self.look.theme.high_contrast = true;
        self
    }

    /// As light or dark as the terminal says by OSC 11, if colours depend on that and it answers in time; else as the
    /// environment says. To be asked before the terminal is taken.
    #[must_use]
    pub fn ask_background(self) -> Self {
        let theme = self.look.theme;
        if theme.depth == Depth::Mono || theme.high_contrast {
            return self;
        }
        let mut options = QueryOptions::default();
        options.timeout = ANSWER_TIMEOUT;
        // A terminal that does not know the question is told from one that is slow: it answers the next one first.
        match theme_mode(options) {
            Ok(mode) => self.on_light(mode == ThemeMode::Light),
            Err(_) => self,
        }
    }

    /// With a light background, as the terminal or the user says.
    #[must_use]
    pub fn on_light(mut self, is_light: bool) -> Self {
        self.look.theme.background = if is_light {
            Background::Light
        } else {
            Background::Dark
        };
        self
    }
}

/// The terminal while it is ours.
pub struct Terminal {
    /// Never dropped: it would print that it cannot show the cursor when the terminal is gone, and with that panic.
    /// [`restore`] does all that its drop would do.
    inner: ManuallyDrop<ratatui::Terminal<CrosstermBackend<Output>>>,
    options: ScreenOptions,
}

impl Terminal {
    /// Takes the terminal: raw mode, the alternate screen, pasted text as such, the mouse.
    pub fn enter(options: ScreenOptions) -> io::Result<Self> {
        PANIC_HOOK.call_once(|| {
            let before = panic::take_hook();
            panic::set_hook(Box::new(move |info| {
                // The message must stand on the user's own screen.
                let _ = restore();
                before(info);
            }));
        });
        take(options.mouse)?;
        // From here on a failure must give back what was taken.
        let inner = Output::start()
            .and_then(|output| ratatui::Terminal::new(CrosstermBackend::new(output)));
        match inner {
            Ok(inner) => {
                HAS_SCREEN.store(true, Ordering::SeqCst);
                Ok(Self {
                    inner: ManuallyDrop::new(inner),
                    options,
                })
            }
            Err(err) => {
                let _ = restore();
                Err(err)
            }
        }
    }

    /// Columns and rows now.
    pub fn size(&self) -> io::Result<(u16, u16)> {
        let size = self.inner.size()?;
        Ok((size.width, size.height))
    }

    /// Draws a view; only cells that changed are written, and in one go where the terminal can. Nothing while the last
    /// one is not taken yet, and while the terminal is given back: the next one has it all.
    pub fn draw(&mut self, view: &ViewState) -> io::Result<()> {
        let _whole = DRAWING.lock().unwrap_or_else(PoisonError::into_inner);
        if !TAKEN.load(Ordering::SeqCst) || !output::is_written(MOMENT) {
            return Ok(());
        }
        queue!(self.inner.backend_mut(), BeginSynchronizedUpdate)?;
        let look = self.options.look;
        let drawn = self.inner.draw(|frame| {
            draw(view, look, frame.buffer_mut());
            if let Some(caret) = view.caret {
                frame.set_cursor_position(caret);
            }
        });
        let drawn = drawn.map(|_| ());
        execute!(self.inner.backend_mut(), EndSynchronizedUpdate)?;
        drawn
    }

    /// Makes the next [`Terminal::draw`] write all cells: another program may have written over them.
    pub fn redraw(&mut self) -> io::Result<()> {
        // Not `clear`: that asks the terminal where its cursor is, and the answer would be read as keys by others, or
        // never come.
        let size = self.inner.size()?;
        self.inner.resize(size.into())
    }

    /// Puts text into the terminal's clipboard by OSC 52; nobody tells whether it took it.
    pub fn copy(&mut self, text: &str) -> io::Result<()> {
        let mut end = text.len().min(MAX_COPY_BYTES);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        let encoded = base64::engine::general_purpose::STANDARD.encode(&text[..end]);
        let writer = self.inner.backend_mut();
        write!(writer, "\x1b]52;c;{encoded}\x1b\\")?;
        io::Write::flush(writer)
    }

    /// Gives the terminal back, stops as a shell expects it of Ctrl-Z, and takes the terminal again when continued. For
    /// screens without probes, which have nothing to do before.
    pub fn suspend(&mut self) -> io::Result<()> {
        self.give_back()?;
        // To the whole group, as the terminal would: what started heaptop (sudo, cargo) must stop too, or the shell
        // waits for it.
        let stopped = kill(Pid::from_raw(0), Signal::SIGTSTP);
        // The kernel may hand the signal to another thread: this one must not take the terminal before the stop.
        std::thread::sleep(STOP_DELAY);
        self.resume()?;
        stopped.map_err(io::Error::from)
    }

    /// Gives the terminal back for a while: nothing is drawn until [`Terminal::resume`].
    pub fn give_back(&mut self) -> io::Result<()> {
        restore()
    }

    /// Takes the terminal, which another program may have had: all of it is drawn again.
    pub fn resume(&mut self) -> io::Result<()> {
        if TAKEN.load(Ordering::SeqCst) {
            // A shell that has stopped us by SIGSTOP has set its own modes, of which nobody here has heard.
            disable_raw_mode()?;
        }
        take(self.options.mouse)?;
        self.redraw()
    }

    /// Gives the terminal back.
    pub fn leave(self) -> io::Result<()> {
        restore()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // There is nobody left to tell.
        let _ = restore();
        HAS_SCREEN.store(false, Ordering::SeqCst);
    }
}

/// Whether the terminal is ours now: keys of others are not to be read.
pub fn is_taken() -> bool {
    TAKEN.load(Ordering::SeqCst)
}

/// Whether there is a screen, taken or given back for a while.
pub fn has_screen() -> bool {
    HAS_SCREEN.load(Ordering::SeqCst)
}

/// Whether another process group has the terminal of standard output: to change its modes would stop this one.
pub fn is_in_background() -> bool {
    tcgetpgrp(io::stdout()).is_ok_and(|group| group != getpgrp())
}

/// Waits for the foreground, stopped as by the terminal itself. To be called before there are probes that a stop would
/// leave without a budget.
pub fn wait_for_foreground() {
    for _ in 0..MAX_STOPS {
        if !is_in_background() || raise(Signal::SIGTTOU).is_err() {
            return;
        }
    }
}

/// Every mode that is switched on.
fn take(mouse: bool) -> io::Result<()> {
    enable_raw_mode()?;
    output::begin();
    TAKEN.store(true, Ordering::SeqCst);
    let mut out = io::stdout();
    let switched = execute!(
        out,
        EnterAlternateScreen,
        EnableBracketedPaste,
        cursor::Hide
    )
    .and_then(|()| {
        if mouse {
            execute!(out, EnableMouseCapture)
        } else {
            Ok(())
        }
    });
    if switched.is_err() {
        let _ = restore();
    }
    switched
}

/// Every mode switched off again, whether it was on or not: all of them are harmless twice.
///
/// Public for handlers that end the process without unwinding. Each step is tried though one before failed.
pub fn restore() -> io::Result<()> {
    if !TAKEN.swap(false, Ordering::SeqCst) {
        return Ok(());
    }
    // A frame that is made right now is not to be cut in two. In a panic that may be by who waits here.
    let drawing = output::until(MOMENT, || DRAWING.try_lock().ok());
    let mut given_back = Vec::new();
    queue!(
        given_back,
        EndSynchronizedUpdate,
        DisableMouseCapture,
        DisableBracketedPaste,
        LeaveAlternateScreen,
        cursor::Show
    )?;
    let written = if output::settles(LAST_FRAME) {
        let mut out = io::stdout();
        out.write_all(&given_back).and_then(|()| out.flush())
    } else {
        output::write_instead(&given_back, LAST_FRAME)
    };
    drop(drawing);
    let raw = disable_raw_mode();
    written.and(raw)
}
