//! The screen as a user has it: the real program in a real terminal, on a real Go process.
//!
//! Most tests watch by reads alone: that is quick, and they need not wait for each other.

mod terminal;

use std::fs::read_dir;
use std::path::{Path, PathBuf};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use heaptop::plan::Wanted;

use crate::support::go::{A_RELEASE, PLAIN};
use crate::support::profile::Profile;
use crate::support::serial;
use crate::support::text::Text;
use crate::support::truth::Truth;
use crate::support::{PATIENCE, cannot_run, wait_for};
use terminal::{Answers, Setup, Terminal};

const ESC: &str = "\x1b";
const ENTER: &str = "\r";

/// A program with two sites worth a look, and a folder to watch it from.
struct Scene {
    truth: Truth,
    folder: TempDir,
}

impl Scene {
    fn new() -> Option<Self> {
        if !nix::unistd::Uid::effective().is_root() {
            cannot_run("reading another process needs root");
            return None;
        }
        let mut truth = Truth::start(A_RELEASE, PLAIN, &["-rate", "4096"])?;
        truth.ask("keep 3000 1024");
        truth.ask("keepptr 3000");
        truth.ask("keepstacks 6 70000");
        truth.ask("gc");
        let folder = tempfile::tempdir().expect("a folder");
        Some(Self { truth, folder })
    }

    fn at(&self) -> Setup<'_> {
        Setup::at(self.folder.path())
    }

    /// heaptop by reads alone, with its first rows on the screen.
    fn watch(&self, setup: Setup<'_>, more: &[&str]) -> Terminal {
        let pid = self.truth.pid().to_string();
        let mut arguments = vec!["--no-probes", &pid];
        arguments.extend(more);
        let terminal = setup.heaptop(&arguments);
        terminal.see("main.keepBytes");
        terminal
    }

    /// The same at 80x24.
    fn screen(&self) -> Terminal {
        self.watch(self.at(), &[])
    }

    /// A cycle after which the kept bytes have grown.
    fn grow(&mut self) {
        self.truth.ask("keep 4000 1024");
        self.truth.ask("gc");
    }

    /// Cycles until growth is known on the screen; by reads alone, cycles are seen one at a time.
    fn grow_until(&mut self, terminal: &Terminal, words: &str) {
        self.cycles_until(terminal, words, |rows| {
            rows.iter().any(|row| row.contains(words))
        });
    }

    /// Cycles until the screen is as it should be.
    fn cycles_until(&mut self, terminal: &Terminal, what: &str, is_so: impl Fn(&[String]) -> bool) {
        for _ in 0..60 {
            self.truth.ask("gc1");
            if is_so(&terminal.rows()) {
                return;
            }
            self.truth.ask("work 200");
        }
        terminal.until(what, is_so);
    }
}

fn heading(rows: &[String]) -> &str {
    rows.iter()
        .find(|row| row.contains("SITE") && row.contains("IN-USE"))
        .map_or("", String::as_str)
}

/// The files of a folder; one that is being written has a hidden name until it is whole.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = read_dir(folder)
        .expect("the folder")
        .map(|entry| entry.expect("a file"))
        .filter(|entry| !entry.file_name().as_encoded_bytes().starts_with(b"."))
        .map(|entry| entry.path())
        .collect();
    files.sort();
    files
}

#[test]
fn the_first_rows_stand_at_once_and_growth_follows() {
    let Some(mut scene) = Scene::new() else {
        return;
    };
    let terminal = scene.screen();
    let rows = terminal.rows();
    assert!(rows[0].starts_with(" truth "), "{rows:#?}");
    assert!(rows[0].ends_with("LIVE"), "{rows:#?}");
    assert!(rows[1].ends_with("COLLECTING"), "{rows:#?}");
    // A site is named when its turn comes, so not all in one picture.
    terminal.see("main.keepNodes");
    scene.grow();
    terminal.press("w", "[   SINCE]");
    scene.cycles_until(&terminal, "growth in the first row", |rows| {
        let first = rows.iter().find(|row| row.starts_with('>'));
        first.is_some_and(|row| row.contains('+') && row.ends_with("main.keepBytes"))
    });
}

#[test]
fn sort_keys_mark_their_heading_and_reverse() {
    let Some(scene) = Scene::new() else { return };
    let terminal = scene.watch(scene.at().sized(160, 40), &[]);
    for (key, sorted) in [
        ("i", "[IN-USE]"),
        ("r", "[GROW/min]"),
        ("o", "[OBJ/min]"),
        ("a", "[ ALLOC/s]"),
        ("w", "[   SINCE]"),
    ] {
        terminal.keys(key);
        terminal.until(sorted, |rows| heading(rows).contains(sorted));
    }
    terminal.press("w", "reversed");
    terminal.until("a sign at the column", |rows| {
        heading(rows).contains("[   SINCE^")
    });
    terminal.keys("w");
    terminal.see_no_more("reversed");
    terminal.press("v", "[VERDICT]");
    terminal.press("s", "sort by");
    terminal.press("G", "> ");
    // A column that has no room is named instead.
    terminal.press(ENTER, "by file and line");
}

#[test]
fn a_filter_shows_what_it_says() {
    let Some(scene) = Scene::new() else { return };
    let terminal = scene.screen();
    terminal.keys("/keepno");
    terminal.see_no_more("main.keepBytes");
    terminal.press(ENTER, "/keepno (1 of ");
    terminal.see("main.keepNodes");
    terminal.press(ESC, "main.keepBytes");
    terminal.keys("/main. !keepBytes");
    terminal.see_no_more("main.keepBytes");
    terminal.see("main.keepNodes");
    // Esc in the line drops it.
    terminal.press(ESC, "main.keepBytes");
    terminal.press("/nosuchsite", "no site matches \"nosuchsite\"");
}

#[test]
fn enter_opens_the_stacks_with_file_and_line() {
    let Some(scene) = Scene::new() else { return };
    let terminal = scene.screen();
    terminal.press("/keepBytes\r", "/keepBytes (1 of ");
    terminal.press(ENTER, "1 stack");
    terminal.see("Sites > main.keepBytes");
    terminal.see("main.holdBytes");
    terminal.see("keep.go:");
    terminal.see("main.main");
    terminal.see("runtime (x shows)");
    terminal.press("x", "runtime.main");
    terminal.keys("x");
    terminal.see_no_more("runtime.main");
    // Enter folds and unfolds the stack under the cursor.
    terminal.keys(ENTER);
    terminal.see_no_more("main.holdBytes keep.go");
    terminal.until("a folded stack", |rows| {
        rows.iter().any(|row| row.starts_with(">+"))
    });
    terminal.keys(ENTER);
    terminal.until("an unfolded stack", |rows| {
        rows.iter().any(|row| row.starts_with(">-"))
    });
    terminal.press(ESC, "/keepBytes (1 of ");
    terminal.keys(ESC);
    terminal.see_no_more("/keepBytes");
    // Other sites, without going back.
    terminal.press(ENTER, ", 1 of ");
    terminal.press(">", ", 2 of ");
    terminal.press("<", ", 1 of ");
    terminal.keys(ESC);
    terminal.see_no_more("Sites > ");
}

#[test]
fn switches_change_what_is_shown() {
    let Some(mut scene) = Scene::new() else {
        return;
    };
    let terminal = scene.screen();
    scene.grow_until(&terminal, " GCs,");
    terminal.press("b", "baseline marked");
    terminal.until("the new baseline in row 4", |rows| {
        rows[3].contains("since ") && !rows[3].contains("since attach")
    });
    terminal.press("B", "growth since");
    terminal.see(" attach ");
    terminal.keys("k\r");
    terminal.until("the old baseline", |rows| rows[3].contains("since attach"));
    terminal.press("w", "[   SINCE]");
    terminal.press("d", "absolute; baseline attach");
    terminal.until("no growth column", |rows| !heading(rows).contains("SINCE"));
    terminal.press("d", "SINCE");
    terminal.press("v", "[VERDICT]");
    terminal.press("u", "  objects");
    terminal.keys("u");
    terminal.until("bytes", |rows| !rows[3].contains("objects"));
    // What calls a site counts with it: main.main is in every stack.
    terminal.press("c", "cumulative");
    terminal.see("main.main");
    terminal.keys("c");
    terminal.until("flat rows", |rows| !rows[3].contains("cumulative"));
    terminal.press("f", "one row is one");
    terminal.press("j\r", "by line");
    terminal.see("main.keepBytes:");
    terminal.press("?", "help: Sites");
    terminal.keys("?");
    terminal.see_no_more("help: Sites");
}

#[test]
fn tabs_are_views_and_d_says_why() {
    let Some(mut scene) = Scene::new() else {
        return;
    };
    let terminal = scene.screen();
    scene.grow_until(&terminal, " GCs,");
    terminal.press("3", "heap: live, then garbage up to the goal");
    terminal.see("#");
    terminal.press("4", "oroutines");
    terminal.press("5", "PART");
    terminal.see("live heap after the last GC");
    terminal.press("1", "[VERDICT]");
    // Around in both directions.
    terminal.press("\t", "heap: live, then garbage up to the goal");
    terminal.press("\x1b[Z", "[VERDICT]");
    terminal.press("\x1b[Z", "PART");
    terminal.press("D", "diagnosis");
    terminal.keys("y");
    let text = terminal.copied();
    assert!(!text.trim().is_empty(), "{text}");
    terminal.see("copied the diagnosis");
    terminal.keys(ESC);
    terminal.see_no_more("─ diagnosis");
    terminal.see("PART");
    terminal.press(ESC, "[VERDICT]");
}

#[test]
fn a_pause_holds_the_view_and_not_the_collection() {
    let Some(mut scene) = Scene::new() else {
        return;
    };
    let terminal = scene.screen();
    terminal.press(" ", "PAUSED");
    let at_pause = terminal.rows();
    scene.grow();
    scene.grow_until(&terminal, "behind");
    terminal.until("a cycle behind", |rows| !rows[1].contains(" 0 GCs behind"));
    let paused = terminal.rows();
    let table = |rows: &[String]| rows[8..20].to_vec();
    assert_eq!(table(&at_pause), table(&paused));
    terminal.press(" ", "LIVE");
    terminal.until("the rows of now", |rows| table(rows) != table(&paused));
}

#[test]
fn an_export_is_a_profile_and_never_over_a_file() {
    let Some(scene) = Scene::new() else { return };
    let terminal = scene.screen();
    for n in 1..=3 {
        terminal.keys("e");
        crate::support::wait_for("the file", crate::support::PATIENCE, || {
            (files(scene.folder.path()).len() == n).then_some(())
        });
        terminal.see("wrote heaptop-truth-");
    }
    // Three within one second or so: those of the same second have another name.
    for file in files(scene.folder.path()) {
        let name = file.file_name().expect("a name").to_string_lossy();
        assert!(name.ends_with(".pb.gz"), "{name}");
        let profile = Profile::read(&std::fs::read(&file).expect("readable"));
        let kept = profile.samples.iter().any(|sample| {
            let mut lines = sample.locations.iter().flat_map(|at| &at.lines);
            lines.any(|line| line.function == "main.keepBytes" && line.file.ends_with("keep.go"))
        });
        assert!(kept, "{name}");
    }
    // The notice is whole at 80 columns.
    terminal.see(".pb.gz");
}

#[test]
fn y_copies_the_facts_of_the_row() {
    let Some(scene) = Scene::new() else { return };
    let terminal = scene.screen();
    terminal.press("/keepBytes\r", "(1 of ");
    terminal.keys("y");
    let text = terminal.copied();
    assert!(text.contains("main.keepBytes"), "{text}");
    assert!(text.contains("keep.go:"), "{text}");
    terminal.see("copied");
}

#[test]
fn the_palette_runs_what_it_finds_and_the_help_names_all() {
    let Some(scene) = Scene::new() else { return };
    let terminal = scene.screen();
    terminal.press(":", "actions");
    terminal.press("in-use", "sort by in-use");
    terminal.press(ENTER, "[IN-USE]");
    terminal.press("\x1bOP", "help: Sites");
    for word in ["SORT", "FILTER", "Ctrl-C", "every action"] {
        terminal.see(word);
    }
    terminal.keys(ESC);
    terminal.see_no_more("help: Sites");
}

#[test]
fn the_screen_follows_the_terminal_through_all_sizes() {
    let Some(scene) = Scene::new() else { return };
    let terminal = scene.screen();
    terminal.resize(60, 15);
    terminal.until("15 rows", |rows| {
        rows.len() == 15 && rows[14].contains("Enter stacks") && heading(rows) == rows[2]
    });
    terminal.resize(52, 12);
    terminal.see("heaptop needs 60x15, this is 52x12");
    terminal.resize(200, 60);
    // The stacks of the selected row stand beside the table.
    terminal.see("INNERMOST");
    terminal.resize(80, 24);
    terminal.until("80x24 again", |rows| {
        rows.len() == 24
            && rows[23].contains("Enter stacks")
            && rows[8].contains("IN-USE")
            && rows[0].ends_with("LIVE")
    });
}

#[test]
fn ends_give_the_terminal_back_with_their_status() {
    let Some(scene) = Scene::new() else { return };
    let mut by_key = Vec::new();
    for key in ["q", "\x03"] {
        let mut terminal = scene.screen();
        terminal.keys(key);
        by_key.push(terminal.ended());
        assert_text_of_the_shell(&terminal);
    }
    assert_eq!(by_key, [0, 0]);
    for (signal, status) in [
        (Signal::SIGTERM, 143),
        (Signal::SIGINT, 130),
        (Signal::SIGHUP, 143),
    ] {
        let mut terminal = scene.screen();
        terminal.signal(signal);
        assert_eq!(terminal.ended(), status, "{signal}");
        assert_text_of_the_shell(&terminal);
    }
}

/// The screen is the user's again, with nothing of heaptop's on it.
#[track_caller]
fn assert_text_of_the_shell(terminal: &Terminal) {
    terminal.assert_restored();
    let rows = terminal.rows();
    assert!(rows.iter().all(|row| !row.contains("IN-USE")), "{rows:#?}");
}

#[test]
fn a_stop_by_ctrl_z_gives_the_terminal_to_the_shell_and_takes_it_again() {
    let Some(scene) = Scene::new() else { return };
    let terminal = scene
        .at()
        .with_env(&[("PS1", "READY> ")])
        .run("bash", &["--norc", "--noprofile", "-i"]);
    terminal.see("READY>");
    let program = crate::support::heaptop::PROGRAM;
    let pid = scene.truth.pid();
    terminal.press(&format!("{program} --no-probes {pid}\r"), "main.keepBytes");
    for _ in 0..2 {
        terminal.press("\x1a", "Stopped");
        terminal.wait_taken(false);
        terminal.press("echo $((6*7))\r", "42");
        terminal.press("clear; fg\r", "main.keepBytes");
        terminal.wait_taken(true);
        terminal.press("i", "[IN-USE]");
    }
    terminal.keys("q");
    terminal.wait_taken(false);
    terminal.press("clear; echo status $?\r", "status 0");
}

/// While heaptop is stopped nobody keeps the budget: `exact` would slow the target ten times.
#[test]
fn a_stop_takes_out_the_probes_of_allocations_and_going_on_places_them_again() {
    let _turn = serial::turn();
    if !serial::can_probe() {
        return;
    }
    let Some(scene) = Scene::new() else { return };
    let (program, pid) = (crate::support::heaptop::PROGRAM, scene.truth.pid());
    let text = Text::probed(pid, Wanted::Exact);
    let is_probed = || text.trapped().contains(&"runtime.mallocgc");
    let terminal = scene
        .at()
        .with_env(&[("PS1", "READY> ")])
        .run("bash", &["--norc", "--noprofile", "-i"]);
    terminal.see("READY>");
    let command = format!("{program} --exact --max-overhead 100% --per off {pid}");
    // On the screen, and as lines in a pipe.
    for (command, first) in [
        (format!("{command}\r"), "LIVE"),
        (format!("{command} --interval 1s | grep -o LIVE\r"), "LIVE"),
    ] {
        terminal.press(&command, first);
        wait_for("the probes", PATIENCE, || is_probed().then_some(()));
        terminal.press("\x1a", "Stopped");
        terminal.wait_taken(false);
        // A shell calls a pipeline stopped as soon as one of it is.
        wait_for("no probes", PATIENCE, || (!is_probed()).then_some(()));
        terminal.keys("clear; fg\r");
        wait_for("the probes again", PATIENCE, || is_probed().then_some(()));
        // What is typed before it has ended is its own.
        terminal.press("\x03", "READY>");
        terminal.press("clear; echo and $((6*7))\r", "and 42");
        assert!(text.trapped().is_empty(), "{:?}", text.trapped());
    }
}

/// A terminal that has stopped reading before the screen was drawn anew so many times, of which the kernel keeps a few until
/// somebody reads. There is no word to wait for.
fn stalled(scene: &Scene, times: usize) -> Terminal {
    let terminal = scene.watch(scene.at().sized(200, 60), &[]);
    terminal.set_deaf(true);
    for _ in 0..times {
        terminal.keys("?");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    terminal
}

#[test]
fn a_terminal_that_reads_no_more_keeps_no_signal_waiting() {
    let Some(scene) = Scene::new() else { return };
    let mut terminal = stalled(&scene, 100);
    let begun = std::time::Instant::now();
    terminal.signal(Signal::SIGTERM);
    assert_eq!(terminal.status(), 143);
    let took = begun.elapsed();
    assert!(took < PATIENCE / 3, "{took:?}");
    // And when it reads again it is the user's.
    terminal.set_deaf(false);
    assert_eq!(terminal.ended(), 143);
    terminal.assert_restored();
}

/// Stopped while nobody reads, it is there again when it goes on and somebody does.
#[test]
fn a_stop_of_one_whose_terminal_stalls_is_no_end() {
    let Some(scene) = Scene::new() else { return };
    let mut terminal = stalled(&scene, 100);
    // Without a shell the kernel lets nobody stop by it: it goes on at once, when it has given up its last frame.
    terminal.signal(Signal::SIGTSTP);
    std::thread::sleep(std::time::Duration::from_secs(2));
    terminal.set_deaf(false);
    terminal.press("i", "[IN-USE]");
    terminal.keys("q");
    assert_eq!(terminal.ended(), 0);
    terminal.assert_restored();
}

/// What could not be drawn meanwhile is there as soon as the terminal reads again.
#[test]
fn a_terminal_that_stalls_shows_what_it_missed() {
    let Some(scene) = Scene::new() else { return };
    let mut terminal = stalled(&scene, 101);
    terminal.set_deaf(false);
    terminal.see("Ctrl-Z");
    terminal.press("?", "main.keepBytes");
    terminal.keys("q");
    assert_eq!(terminal.ended(), 0);
    terminal.assert_restored();
}

#[test]
fn a_stop_and_go_on_by_signals_draws_the_screen_again() {
    let Some(scene) = Scene::new() else { return };
    let mut terminal = scene.screen();
    terminal.signal(Signal::SIGSTOP);
    terminal.signal(Signal::SIGCONT);
    terminal.press("i", "[IN-USE]");
    terminal.keys("q");
    assert_eq!(terminal.ended(), 0);
    terminal.assert_restored();
}

#[test]
#[ignore = "the other half of the next test, which runs it in a terminal"]
fn panics_with_the_terminal_taken() {
    use heaptop::ui::{ScreenOptions, Terminal};
    let _terminal = Terminal::enter(ScreenOptions::from_env()).expect("a terminal");
    panic!("the panic to be seen");
}

#[test]
fn a_panic_gives_the_terminal_back_before_its_message() {
    let folder = tempfile::tempdir().expect("a folder");
    let program = std::env::current_exe().expect("this program");
    let env = [("RUST_BACKTRACE", "0")];
    let mut terminal = Setup::at(folder.path()).with_env(&env).run(
        &program.to_string_lossy(),
        &[
            "--exact",
            "pty::panics_with_the_terminal_taken",
            "--ignored",
            "--nocapture",
        ],
    );
    assert_eq!(terminal.ended(), 101);
    terminal.assert_restored();
    // On the user's screen, not on the one that is gone.
    let rows = terminal.rows();
    assert!(
        rows.iter().any(|row| row.contains("the panic to be seen")),
        "{rows:#?}"
    );
    let raw = String::from_utf8_lossy(&terminal.raw()).into_owned();
    assert!(raw.contains("\x1b[?1049h"), "it was taken");
}

#[test]
fn the_end_of_the_target_freezes_the_screen() {
    let Some(mut scene) = Scene::new() else {
        return;
    };
    let mut terminal = scene.screen();
    scene.truth.kill();
    terminal.see("EXITED");
    terminal.see("frozen");
    terminal.see("main.keepBytes");
    // All that is still known can be saved.
    terminal.press("e", "all rows and the verdict");
    terminal.press("\r", "wrote heaptop-truth-");
    crate::support::wait_for("three files", crate::support::PATIENCE, || {
        (files(scene.folder.path()).len() == 3).then_some(())
    });
    let file = |ending: &str| {
        let mut files = files(scene.folder.path()).into_iter();
        files
            .find(|file| file.to_string_lossy().ends_with(ending))
            .expect(ending)
    };
    let text = |ending: &str| std::fs::read_to_string(file(ending)).expect("readable");
    assert!(text(".txt").contains("The process has exited"));
    assert_eq!(text(".json").lines().count(), 2);
    assert!(
        text(".json")
            .lines()
            .all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok())
    );
    let file = file(".pb.gz");
    let profile = Profile::read(&std::fs::read(file).expect("readable"));
    assert!(!profile.samples.is_empty());
    terminal.press("/keepBytes\r\r", "keep.go:");
    terminal.keys("q");
    assert_eq!(terminal.ended(), 0);
    terminal.assert_restored();
}

#[test]
fn without_colours_and_without_unicode() {
    let Some(scene) = Scene::new() else { return };
    // The environment asks for no colours: none are sent, and the terminal is not asked for its own.
    let terminal = scene.watch(scene.at().with_env(&[("NO_COLOR", "1")]), &[]);
    terminal.press("?", "help: Sites");
    assert_eq!(terminal.colours(), []);
    assert!(!terminal.was_asked());
    let raw = terminal.raw();
    let raw = String::from_utf8_lossy(&raw);
    for code in ["\x1b[38;", "\x1b[48;", "\x1b[31m", "\x1b[38:5"] {
        assert!(!raw.contains(code), "{code:?}");
    }
    drop(terminal);

    let terminal = scene.watch(scene.at(), &["--high-contrast"]);
    assert_eq!(terminal.colours(), []);
    drop(terminal);

    let terminal = scene.watch(scene.at(), &["--ascii"]);
    terminal.press("?", "help: Sites");
    assert!(terminal.raw().is_ascii());
    drop(terminal);

    let terminal = scene.watch(scene.at().with_env(&[("LC_ALL", "C")]), &[]);
    assert!(terminal.raw().is_ascii());
}

#[test]
fn colours_are_those_for_the_background_that_the_terminal_tells() {
    let Some(scene) = Scene::new() else { return };
    // The heading and keys are drawn in the accent colour of the theme.
    let (on_dark, on_light) = (vt100::Color::Idx(115), vt100::Color::Idx(23));
    let colours = |setup: Setup<'_>| {
        let terminal = scene.watch(setup, &[]);
        terminal.see("Enter stacks");
        terminal.colours()
    };
    let light = Answers::Background("ffff/fafa/f0f0");
    assert!(colours(scene.at().answering(light)).contains(&on_light));
    assert!(colours(scene.at()).contains(&on_dark));
    // A terminal that does not tell may have said so in the environment.
    let setup = || scene.at().answering(Answers::Others);
    assert!(colours(setup()).contains(&on_dark));
    let env = [("COLORFGBG", "0;15")];
    assert!(colours(setup().with_env(&env)).contains(&on_light));
}

#[test]
fn a_terminal_that_answers_nothing_or_late_harms_nothing() {
    let Some(scene) = Scene::new() else { return };
    let mut terminal = scene.watch(scene.at().answering(Answers::Nothing), &[]);
    assert!(terminal.was_asked());
    // The answer comes after nobody waited for it: it is no keys. Then one that is.
    terminal.keys("\x1b]10;rgb:eeee/eeee/eeee\x1b\\\x1b]11;rgb:0000/bbbb/eeee\x07\x1b[?62;22c");
    terminal.press("i", "[IN-USE]");
    assert_eq!(files(scene.folder.path()), Vec::<PathBuf>::new());
    terminal.keys("q");
    assert_eq!(terminal.ended(), 0);
}

#[test]
fn heaptop_ends_with_its_terminal() {
    let Some(scene) = Scene::new() else { return };
    let status = scene.screen().close();
    assert_eq!(status, 143);
    // What was watched goes on.
    kill(Pid::from_raw(scene.truth.pid().cast_signed()), None).expect("it runs");
}

#[test]
fn the_screen_with_probes_shows_growth_and_leaves_nothing() {
    let _turn = serial::turn();
    if !serial::can_probe() {
        return;
    }
    let Some(mut scene) = Scene::new() else {
        return;
    };
    let pid = scene.truth.pid().to_string();
    let mut terminal = scene.at().heaptop(&[&pid]);
    terminal.see("main.keepBytes");
    assert!(terminal.rows()[0].contains("sampler"));
    for _ in 0..5 {
        scene.grow();
    }
    terminal.press("w", "[   SINCE]");
    terminal.until("growth in the first row", |rows| {
        let first = rows.iter().find(|row| row.starts_with('>'));
        first.is_some_and(|row| row.contains("Mi ") && row.ends_with("main.keepBytes"))
    });
    terminal.see("none freed");
    terminal.keys("q");
    assert_eq!(terminal.ended(), 0);
    terminal.assert_restored();
    // The program goes on as before.
    scene.truth.ask("work 50");
}

#[test]
fn without_a_target_one_is_picked_from_a_list() {
    let Some(scene) = Scene::new() else { return };
    let pid = scene.truth.pid();
    for (columns, rows) in [(80, 24), (60, 15)] {
        let mut terminal = scene.at().sized(columns, rows).heaptop(&["--no-probes"]);
        terminal.see("pick one to watch");
        terminal.press(&format!("/{pid}"), &format!("/{pid}"));
        terminal.until("the one process", |rows| {
            let listed = rows.iter().filter(|row| row.contains("truth"));
            listed.count() == 1
        });
        terminal.press(ENTER, "main.keepBytes");
        terminal.keys("q");
        assert_eq!(terminal.ended(), 0);
    }
    let mut terminal = scene.at().heaptop(&[]);
    terminal.see("pick one to watch");
    terminal.press("?", "watch the process under the cursor");
    terminal.keys("?");
    terminal.see_no_more("watch the process under the cursor");
    terminal.keys("j");
    terminal.keys("q");
    assert_eq!(terminal.ended(), 0);
}

#[test]
fn the_old_rows_stay_until_a_followed_target_starts_again() {
    let Some(mut scene) = Scene::new() else {
        return;
    };
    let mut terminal = scene.watch(scene.at().sized(120, 40), &["--follow"]);
    scene.truth.exec();
    scene.truth.ask("keep 3000 1024");
    scene.truth.ask("gc");
    terminal.see("started again, pid");
    terminal.see("main.keepBytes");
    scene.truth.kill();
    terminal.see("waiting for truth to start again");
    terminal.see("main.keepBytes");
    terminal.keys("q");
    assert_eq!(terminal.ended(), 0);
}
