//! A terminal of our own: a pty, a parser that knows what a user would see, and answers to what programs ask it.

use std::io::{Read as _, Write as _};
use std::num::NonZeroU16;
use std::os::fd::AsFd as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Child, ExitStatus};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use base64::Engine as _;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill};
use nix::sys::termios::{LocalFlags, tcgetattr};
use nix::unistd::Pid;
use pty_process::Size;
use pty_process::blocking::{Command, Pty, open};

use crate::support::PATIENCE;
use crate::support::heaptop::PROGRAM;

/// How long the reader waits before it looks whether the terminal was closed.
const GLANCE_MS: u16 = 20;

/// What a terminal says when it is asked for its background, beside other questions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answers {
    /// Its background, as 16-bit red, green and blue.
    Background(&'static str),
    /// It does not know that question, but answers others.
    Others,
    /// Nothing is ever answered.
    Nothing,
}

/// How a terminal is, and what runs in it.
pub(super) struct Setup<'a> {
    pub(super) size: (u16, u16),
    pub(super) folder: &'a Path,
    pub(super) answers: Answers,
    pub(super) env: &'a [(&'a str, &'a str)],
}

impl<'a> Setup<'a> {
    /// 80x24, dark, in a folder.
    pub(super) fn at(folder: &'a Path) -> Self {
        Self {
            size: (80, 24),
            folder,
            answers: Answers::Background("1e1e/1e1e/1e1e"),
            env: &[],
        }
    }

    pub(super) fn sized(mut self, columns: u16, rows: u16) -> Self {
        self.size = (columns, rows);
        self
    }

    pub(super) fn answering(mut self, answers: Answers) -> Self {
        self.answers = answers;
        self
    }

    pub(super) fn with_env(mut self, env: &'a [(&'a str, &'a str)]) -> Self {
        self.env = env;
        self
    }

    /// Runs heaptop in it.
    pub(super) fn heaptop(self, arguments: &[&str]) -> Terminal {
        self.run(PROGRAM, arguments)
    }

    /// Runs a program in it.
    pub(super) fn run(self, program: &str, arguments: &[&str]) -> Terminal {
        let (pty, pts) = open().expect("a pty");
        let (columns, rows) = self.size;
        pty.resize(Size::new(rows, columns)).expect("a size");
        let child = Command::new(program)
            .args(arguments)
            .current_dir(self.folder)
            .env("TERM", "xterm-256color")
            .env("LC_ALL", "C.UTF-8")
            .env_remove("COLORTERM")
            .env_remove("COLORFGBG")
            .env_remove("NO_COLOR")
            .env_remove("SUDO_UID")
            .envs(self.env.iter().copied())
            .spawn(pts)
            .expect("it starts");
        Terminal::new(pty, child, self.size, self.answers)
    }
}

/// What the parser hears beside text.
struct Ear {
    answers: Answers,
    replies: Vec<u8>,
    copied: Vec<String>,
    questions: Vec<String>,
}

impl vt100::Callbacks for Ear {
    fn copy_to_clipboard(&mut self, _: &mut vt100::Screen, _: &[u8], data: &[u8]) {
        let text = base64::engine::general_purpose::STANDARD
            .decode(data)
            .expect("base64");
        self.copied
            .push(String::from_utf8(text).expect("text is copied"));
    }

    fn unhandled_csi(
        &mut self,
        screen: &mut vt100::Screen,
        mark: Option<u8>,
        _: Option<u8>,
        params: &[&[u16]],
        command: char,
    ) {
        if self.answers == Answers::Nothing || mark.is_some() {
            return;
        }
        match command {
            'c' => self.replies.extend(b"\x1b[?62;22c"),
            'n' if params == [[6]] => {
                let (row, column) = screen.cursor_position();
                let reply = format!("\x1b[{};{}R", row + 1, column + 1);
                self.replies.extend(reply.into_bytes());
            }
            _ => {}
        }
    }

    fn unhandled_osc(&mut self, _: &mut vt100::Screen, params: &[&[u8]]) {
        let [number @ (b"10" | b"11"), b"?"] = params else {
            return;
        };
        self.questions
            .push(String::from_utf8_lossy(number).into_owned());
        if let Answers::Background(colour) = self.answers {
            let colour = match *number {
                b"11" => colour,
                _ => "8080/8080/8080",
            };
            let number = String::from_utf8_lossy(number);
            let reply = format!("\x1b]{number};rgb:{colour}\x1b\\");
            self.replies.extend(reply.into_bytes());
        }
    }
}

struct Seen {
    parser: vt100::Parser<Ear>,
    raw: Vec<u8>,
    is_closed: bool,
}

struct Shared {
    seen: Mutex<Seen>,
    news: Condvar,
    stop: AtomicBool,
    is_deaf: AtomicBool,
}

impl Shared {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A terminal with a program in it, which is killed when the terminal is dropped.
pub(super) struct Terminal {
    pty: Option<Arc<Pty>>,
    reader: Option<JoinHandle<()>>,
    shared: Arc<Shared>,
    child: Child,
}

fn cells(n: u16) -> NonZeroU16 {
    NonZeroU16::new(n).expect("a size")
}

/// Takes in what the program writes, and answers what it asks.
fn read(mut pty: &Pty, shared: &Shared) {
    let mut bytes = [0; 16 * 1024];
    while !shared.stop.load(Ordering::Relaxed) {
        if shared.is_deaf.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(u64::from(GLANCE_MS)));
            continue;
        }
        let mut fds = [PollFd::new(pty.as_fd(), PollFlags::POLLIN)];
        if poll(&mut fds, PollTimeout::from(GLANCE_MS)).is_ok_and(|n| n == 0) {
            continue;
        }
        // The last program at the other end has gone: an error, or nothing.
        let n = pty.read(&mut bytes).unwrap_or(0);
        let mut seen = shared.seen();
        seen.raw.extend(&bytes[..n]);
        seen.parser.process(&bytes[..n]);
        let replies = std::mem::take(&mut seen.parser.callbacks_mut().replies);
        seen.is_closed = n == 0;
        let is_closed = seen.is_closed;
        drop(seen);
        shared.news.notify_all();
        if is_closed {
            return;
        }
        // The program may have gone meanwhile.
        let _ = pty.write_all(&replies);
    }
}

impl Terminal {
    fn new(pty: Pty, child: Child, size: (u16, u16), answers: Answers) -> Self {
        let ear = Ear {
            answers,
            replies: Vec::new(),
            copied: Vec::new(),
            questions: Vec::new(),
        };
        let parser = vt100::Parser::new_with_callbacks(cells(size.1), cells(size.0), 0, ear);
        let shared = Arc::new(Shared {
            seen: Mutex::new(Seen {
                parser,
                raw: Vec::new(),
                is_closed: false,
            }),
            news: Condvar::new(),
            stop: AtomicBool::new(false),
            is_deaf: AtomicBool::new(false),
        });
        let pty = Arc::new(pty);
        let reader = std::thread::spawn({
            let (pty, shared) = (pty.clone(), shared.clone());
            move || read(&pty, &shared)
        });
        Self {
            pty: Some(pty),
            reader: Some(reader),
            shared,
            child,
        }
    }

    fn pty(&self) -> &Pty {
        self.pty.as_ref().expect("not closed yet")
    }

    /// Takes in no more of what the program writes, as a connection that has stalled, or goes on.
    pub(super) fn set_deaf(&self, is_deaf: bool) {
        self.shared.is_deaf.store(is_deaf, Ordering::Relaxed);
    }

    /// Types keys, as the bytes that a terminal sends.
    pub(super) fn keys(&self, keys: &str) {
        self.pty().write_all(keys.as_bytes()).expect("it reads");
    }

    /// Types a key and waits until the screen is as wanted.
    #[track_caller]
    pub(super) fn press(&self, key: &str, words: &str) {
        self.keys(key);
        self.see(words);
    }

    /// Waits until the screen shows these words.
    #[track_caller]
    pub(super) fn see(&self, words: &str) {
        self.until(&format!("{words:?}"), |rows| {
            rows.iter().any(|row| row.contains(words))
        });
    }

    /// Waits until the screen shows them no more.
    #[track_caller]
    pub(super) fn see_no_more(&self, words: &str) {
        self.until(&format!("no {words:?}"), |rows| {
            rows.iter().all(|row| !row.contains(words))
        });
    }

    /// Waits until the rows of the screen are as wanted.
    #[track_caller]
    pub(super) fn until(&self, what: &str, wanted: impl Fn(&[String]) -> bool) {
        self.wait(what, |seen| wanted(&rows(seen)));
    }

    #[track_caller]
    fn wait(&self, what: &str, mut wanted: impl FnMut(&Seen) -> bool) {
        let begun = Instant::now();
        let mut seen = self.shared.seen();
        while !wanted(&seen) {
            let left = PATIENCE.saturating_sub(begun.elapsed());
            assert!(
                !left.is_zero() && !seen.is_closed,
                "no {what}{}; the screen:\n{}",
                if seen.is_closed { ", it has ended" } else { "" },
                rows(&seen).join("\n")
            );
            seen = self
                .shared
                .news
                .wait_timeout(seen, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    /// The rows of the screen, without blanks at their ends.
    pub(super) fn rows(&self) -> Vec<String> {
        rows(&self.shared.seen())
    }

    /// All that was ever written.
    pub(super) fn raw(&self) -> Vec<u8> {
        self.shared.seen().raw.clone()
    }

    /// Colours of the texts on the screen.
    pub(super) fn colours(&self) -> Vec<vt100::Color> {
        let seen = self.shared.seen();
        let screen = seen.parser.screen();
        let (height, width) = screen.size();
        (0..height.get())
            .flat_map(|y| (0..width.get()).filter_map(move |x| screen.cell(y, x)))
            .map(vt100::Cell::fgcolor)
            .filter(|colour| *colour != vt100::Color::Default)
            .collect()
    }

    /// Waits for a text in the clipboard.
    #[track_caller]
    pub(super) fn copied(&self) -> String {
        self.wait("copied text", |seen| {
            !seen.parser.callbacks().copied.is_empty()
        });
        self.shared.seen().parser.callbacks().copied[0].clone()
    }

    /// Whether it was asked for its colours.
    pub(super) fn was_asked(&self) -> bool {
        !self.shared.seen().parser.callbacks().questions.is_empty()
    }

    pub(super) fn resize(&self, columns: u16, rows: u16) {
        self.shared
            .seen()
            .parser
            .set_size(cells(rows), cells(columns));
        self.pty().resize(Size::new(rows, columns)).expect("a size");
    }

    pub(super) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().cast_signed()), signal).expect("own child");
    }

    /// Asserts that all modes are as a shell left them.
    #[track_caller]
    pub(super) fn assert_restored(&self) {
        let seen = self.shared.seen();
        let screen = seen.parser.screen();
        assert!(!screen.alternate_screen(), "the alternate screen is left");
        assert!(!screen.hide_cursor(), "the cursor is shown");
        assert!(!screen.bracketed_paste(), "pasted text is plain");
        assert_eq!(
            screen.mouse_protocol_mode(),
            vt100::MouseProtocolMode::None,
            "the mouse is the terminal's"
        );
        drop(seen);
        assert!(self.is_cooked(), "lines are edited and echoed again");
    }

    /// Waits until a program has taken the terminal, or given it back.
    #[track_caller]
    pub(super) fn wait_taken(&self, taken: bool) {
        self.wait("change of the screen", |seen| {
            seen.parser.screen().alternate_screen() == taken
        });
    }

    fn is_cooked(&self) -> bool {
        let flags = tcgetattr(self.pty()).expect("a terminal").local_flags;
        flags.contains(LocalFlags::ICANON | LocalFlags::ECHO | LocalFlags::ISIG)
    }

    /// Waits for the end of the program; its status as a shell gives it.
    #[track_caller]
    pub(super) fn ended(&mut self) -> i32 {
        let status = wait(&mut self.child);
        // What it wrote last is still to be read.
        let begun = Instant::now();
        while !self.shared.seen().is_closed && begun.elapsed() < PATIENCE {
            std::thread::sleep(Duration::from_millis(5));
        }
        status
    }

    /// The same without what it wrote last, which nobody may have read.
    #[track_caller]
    pub(super) fn status(&mut self) -> i32 {
        wait(&mut self.child)
    }

    /// The window is closed: nobody holds the terminal's end of the pty any more.
    #[track_caller]
    pub(super) fn close(mut self) -> i32 {
        self.let_go();
        wait(&mut self.child)
    }

    fn let_go(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
        self.pty = None;
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        self.let_go();
    }
}

fn rows(seen: &Seen) -> Vec<String> {
    let screen = seen.parser.screen();
    let width = screen.size().1.get();
    screen
        .rows(0, width)
        .map(|row| row.trim_end().to_owned())
        .collect()
}

#[track_caller]
fn wait(child: &mut Child) -> i32 {
    let status =
        crate::support::wait_for("its end", PATIENCE, || child.try_wait().expect("own child"));
    code(status)
}

fn code(status: ExitStatus) -> i32 {
    status
        .code()
        .unwrap_or_else(|| 128 + status.signal().unwrap_or(0))
}
