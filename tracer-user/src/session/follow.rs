//! `--follow`: a new session on the process that goes on for the one that has ended.

use std::fmt;
use std::pin::Pin;
use std::time::Duration;

use tokio::time::{Interval, MissedTickBehavior};

use super::{AttachSettings, Session};
use crate::process::follow::Follower;
use crate::refusal::Refusal;

/// How often processes are looked through: the first seconds of a service are worth seeing.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// How long a process that was refused twice is left alone: its runtime has begun by then, so it is not likely to be
/// another time what it is not now.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// What waiting for the next process has brought.
#[derive(Debug)]
pub enum Next {
    /// The next session.
    Session(Box<Session>),
    /// There is a process, which cannot be watched, and [`Follow::words`] tell why. It is tried again.
    Refused,
}

/// A process that was refused.
#[derive(Debug, PartialEq, Eq)]
struct Refused {
    pid: u32,
    why: String,
}

/// An attach under way: it goes on where it was, however often a key or a tick interrupts the waiting for it.
struct Attach {
    pid: u32,
    /// Whom to follow when it succeeds.
    follower: Follower,
    session: Pin<Box<dyn Future<Output = Result<Session, Refusal>>>>,
}

impl fmt::Debug for Attach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attach")
            .field("pid", &self.pid)
            .finish_non_exhaustive()
    }
}

/// Waits for a target to start again.
#[derive(Debug)]
pub struct Follow {
    target: String,
    follower: Follower,
    settings: AttachSettings,
    timer: Interval,
    attach: Option<Attach>,
    refused: Option<Refused>,
}

impl Follow {
    /// To follow what TARGET means, at present `pid`; `None` where it has ended already.
    pub fn of(target: &str, pid: u32, settings: AttachSettings) -> Option<Self> {
        let mut timer = tokio::time::interval(LOOK_EVERY);
        timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Some(Self {
            target: target.to_owned(),
            follower: Follower::of(target, pid)?,
            settings,
            timer,
            attach: None,
            refused: None,
        })
    }

    /// What is waited for, in words.
    pub fn words(&self) -> String {
        let name = self.follower.name();
        match &self.refused {
            Some(Refused { pid, why }) => {
                format!("waiting for {name}: pid {pid} cannot be watched yet, {why}")
            }
            None => format!("waiting for {name} to start again"),
        }
    }

    /// Waits for the next process, and attaches to it. May be dropped and called again at any time.
    ///
    /// A process that cannot be watched, such as one whose runtime has not begun yet, is tried again; each new reason is
    /// told once.
    pub async fn next(&mut self) -> Next {
        loop {
            if let Some(attach) = &mut self.attach {
                let attached = attach.session.as_mut().await;
                let (pid, follower) = (attach.pid, attach.follower.clone());
                self.attach = None;
                match attached {
                    Ok(session) => {
                        self.follower = follower;
                        self.refused = None;
                        return Next::Session(Box::new(session));
                    }
                    Err(refusal) => {
                        log::info!("not yet: {refusal}");
                        if self.is_news(pid, refusal.why) {
                            return Next::Refused;
                        }
                    }
                }
            }
            self.timer.tick().await;
            let follower = self.follower.clone();
            let looked = tokio::task::spawn_blocking(move || follower.next()).await;
            let Ok(Some(pid)) = looked else { continue };
            let Some(follower) = Follower::of(&self.target, pid) else {
                continue;
            };
            let settings = self.settings.clone();
            self.attach = Some(Attach {
                pid,
                follower,
                session: Box::pin(async move { Session::attach(pid, &settings).await }),
            });
        }
    }

    /// Notes a refusal; whether it is another one than before. The same process is left alone for a while from the second
    /// one on.
    fn is_news(&mut self, pid: u32, why: String) -> bool {
        let refused = Some(Refused { pid, why });
        if self
            .refused
            .as_ref()
            .is_some_and(|before| before.pid == pid)
        {
            self.timer.reset_after(RETRY_AFTER);
        }
        let is_news = self.refused != refused;
        self.refused = refused;
        is_news
    }
}

/// What comes next for one who follows; nothing ever for one who does not.
pub(super) async fn next(follow: &mut Option<Follow>) -> Next {
    match follow {
        Some(follow) => follow.next().await,
        None => std::future::pending().await,
    }
}

/// When the time is over; never without one.
pub(super) async fn over(deadline: Option<tokio::time::Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
