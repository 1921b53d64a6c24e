//! `heaptop` without a target, on a terminal: a list to pick one from.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::MissedTickBehavior;

use crate::exit::Exit;
use crate::process::list::{Lister, Listing};
use crate::session::signals::Signals;
use crate::ui::{Keyboard, ScreenOptions, Terminal};
use crate::view::picker::{Picked, Picker};
use crate::view::processes::sort;

/// How often processes are looked through: a look takes some 10 ms with 500 of them.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// Watch this process.
    Pid(u32),
    /// End.
    Exit(Exit),
}

/// Shows the list until the user chooses or quits; the terminal is given back then.
///
/// # Errors
/// Where the terminal cannot be taken.
pub async fn run(options: ScreenOptions, signals: &mut Signals) -> anyhow::Result<Choice> {
    let mut terminal = Terminal::enter(options.ask_background())?;
    let chosen = choose(&mut terminal, signals).await;
    terminal.leave()?;
    chosen
}

async fn choose(terminal: &mut Terminal, signals: &mut Signals) -> anyhow::Result<Choice> {
    let lister = Arc::new(Lister::default());
    let mut picker = Picker::default();
    let mut keyboard = Keyboard::open()?;
    let mut timer = tokio::time::interval(LOOK_EVERY);
    timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (sender, mut listings) = tokio::sync::mpsc::channel::<Listing>(1);
    loop {
        let size = terminal.size()?;
        terminal.draw(&picker.view(size))?;
        tokio::select! {
            biased;
            exit = signals.next() => return Ok(Choice::Exit(exit)),
            input = keyboard.next() => {
                let Ok(Some(input)) = input else { return Ok(Choice::Exit(Exit::Terminated)) };
                match picker.handle(input) {
                    Some(Picked::Open(pid)) => return Ok(Choice::Pid(pid)),
                    Some(Picked::Quit) => return Ok(Choice::Exit(Exit::Done)),
                    Some(Picked::Suspend) => terminal.suspend()?,
                    Some(Picked::Redraw) => terminal.redraw()?,
                    None => {}
                }
            }
            Some(mut listing) = listings.recv() => {
                sort(&mut listing.processes);
                let advice = listing.advice();
                picker.update(listing.processes, advice);
            }
            _ = timer.tick() => {
                // Off the keys' path. One that is still under way keeps the next from coming.
                if let Ok(permit) = sender.clone().try_reserve_owned() {
                    let lister = lister.clone();
                    tokio::task::spawn_blocking(move || permit.send(lister.list()));
                }
            }
        }
    }
}
