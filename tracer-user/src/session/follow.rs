//! `--follow`: a new session on the process that goes on for the one that has ended.

use std::time::Duration;

use tokio::time::{Interval, MissedTickBehavior};

use super::{AttachSettings, Session};
use crate::process::follow::Follower;

/// How often processes are looked through: the first seconds of a service are worth seeing.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Waits for a target to start again.
#[derive(Debug)]
pub struct Follow {
    target: String,
    follower: Follower,
    settings: AttachSettings,
    timer: Interval,
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
        })
    }

    /// What is waited for, in words.
    pub fn words(&self) -> String {
        format!("waiting for {} to start again", self.follower.name())
    }

    /// Waits for the next process, and attaches to it. May be dropped and called again at any time.
    ///
    /// A process that cannot be watched, such as one whose runtime has not begun yet, is tried again.
    pub async fn next(&mut self) -> Session {
        loop {
            self.timer.tick().await;
            let follower = self.follower.clone();
            let looked = tokio::task::spawn_blocking(move || follower.next()).await;
            let Ok(Some(pid)) = looked else { continue };
            let Some(follower) = Follower::of(&self.target, pid) else {
                continue;
            };
            match Session::attach(pid, &self.settings).await {
                Ok(session) => {
                    self.follower = follower;
                    return session;
                }
                Err(refusal) => log::info!("not yet: {refusal}"),
            }
        }
    }
}

/// The next session of one who follows; never comes for one who does not.
pub(super) async fn next(follow: &mut Option<Follow>) -> Session {
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
