//! One entity from the attach on: births against those that are due by its mean pace, deaths against births.

use super::rules::{
    self, BURST, BURST_LEAST, CLUMP, DAYS_S, FILLED, FIRST_BORN, FIRST_DUE, FIRST_PART, GOES_ON,
    MOST_BEFORE, MOST_LOAD, NOT_REPLACED, RECENT_DUE, SLOW_PACE, STOPPED, WALL, Z,
};
use super::{Before, Life, Says};

/// Births of which the time is remembered. More decide nothing any more: the first part of the watch holds enough.
const MAX_TIMES: usize = 1024;

/// What is known of the process and of one entity at a look.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Look {
    /// Seconds after the attach; each look is later than the last.
    pub at_s: f64,
    /// Births of the whole process since the attach, in samples.
    pub load: f64,
    /// The last mark termination whose sweep is done, in seconds after the attach; negative before it.
    pub swept_s: f64,
    /// Births of the entity from the begin of the first piece to that mark.
    pub births: f64,
    /// Deaths of the entity in that time.
    pub deaths: f64,
}

/// Judgment of one entity with its figures.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Judgment {
    /// The verdict.
    pub says: Says,
    /// Births in this watch, with those of the pieces before it.
    pub born: f64,
    /// Births due in that time by the mean since the start.
    pub due: f64,
    /// Log likelihood ratio of births: the mean pace against a quarter of it.
    pub goes_on: f64,
    /// Log likelihood ratio of births against deaths.
    pub net: f64,
}

/// Mean pace of an entity, by which births are due.
#[derive(Clone, Copy, Debug)]
struct Pace {
    /// By the wall clock, per second.
    by_time: f64,
    /// By the load, per sample of the process.
    by_load: f64,
}

impl Pace {
    /// The upper bound of the mean since the start: the average may be higher than it looks.
    fn of(life: &Life, before: &Before) -> Self {
        let upper = before.births + Z * before.births.sqrt();
        Self {
            by_time: upper / life.recorded_s.max(1e-9),
            by_load: upper / life.load.max(1.0),
        }
    }

    fn due(self, wall: f64, seconds: f64, load: f64) -> f64 {
        (wall * self.by_time * seconds).max(self.by_load * load)
    }
}

/// Births due in the pieces and `seconds` of the watch, by the mean since the start, for an entity with so many births.
pub fn mean_due(life: &Life, births: f64, seconds: f64, load: f64) -> f64 {
    let pace = Pace {
        by_time: births / life.recorded_s.max(1e-9),
        by_load: births / life.load.max(1.0),
    };
    let pieces = life.pieces.iter();
    let before: f64 = pieces
        .map(|piece| pace.due(WALL, piece.seconds, piece.load))
        .sum();
    before + pace.due(WALL, seconds, load)
}

/// State of one entity.
#[derive(Clone, Debug)]
pub struct Track {
    before: Before,
    is_fit: bool,
    pace: Pace,
    /// Due in the pieces, by half of the wall clock and by all of it.
    due_before: (f64, f64),
    /// Births in the pieces.
    born_before: f64,
    /// Log likelihood ratio of the pieces.
    ratio_before: f64,
    /// Length and load of the pieces.
    piece: (f64, f64),
    /// Births since the attach.
    born: f64,
    /// Births that count: those of one bin count once.
    counted: f64,
    last_bin: f64,
    /// Times of the first births that count, seconds after the attach.
    times: Vec<f64>,
    /// Times of the last two.
    last_two: [f64; 2],
    had_begun: bool,
    is_growing: bool,
    missing: f64,
    due: f64,
    counted_then: f64,
}

impl Track {
    /// An entity at the attach.
    pub fn new(life: &Life, before: Before) -> Self {
        let pace = Pace::of(life, &before);
        let up = -SLOW_PACE.ln();
        let (mut ratio, mut due, mut all_due) = (0.0, 0.0, 0.0);
        for (piece, &born) in life.pieces.iter().zip(&before.in_pieces) {
            let of_piece = pace.due(WALL, piece.seconds, piece.load);
            ratio += born.min(of_piece) * up - (1.0 - SLOW_PACE) * of_piece;
            due += of_piece;
            all_due += pace.due(1.0, piece.seconds, piece.load);
        }
        Self {
            is_fit: rules::is_fit(life, &before),
            pace,
            due_before: (due, all_due),
            born_before: before.in_pieces.iter().sum(),
            ratio_before: ratio.min(MOST_BEFORE * GOES_ON),
            piece: life
                .pieces
                .iter()
                .fold((0.0, 0.0), |(seconds, load), piece| {
                    (seconds + piece.seconds, load + piece.load)
                }),
            before,
            born: 0.0,
            counted: 0.0,
            last_bin: -1.0,
            times: Vec::new(),
            last_two: [f64::NEG_INFINITY; 2],
            had_begun: false,
            is_growing: false,
            missing: 0.0,
            due: 0.0,
            counted_then: 0.0,
        }
    }

    /// True if the history of the entity says something at all.
    pub fn is_fit(&self) -> bool {
        self.is_fit
    }

    /// A sample is born, `at_s` seconds after the attach; in the order of time.
    pub fn born(&mut self, at_s: f64) {
        self.born += 1.0;
        // With H seconds and A births since the start, the mean gap is H / A.
        let mean_gap = 1.0 / self.pace_of_births();
        let bin = (at_s.max(0.0) / (CLUMP * mean_gap).max(1e-6)).floor();
        if bin > self.last_bin {
            self.last_bin = bin;
            self.counted += 1.0;
            self.last_two = [self.last_two[1], at_s];
            if self.times.len() < MAX_TIMES {
                self.times.push(at_s);
            }
        }
    }

    /// Births per second since the start.
    fn pace_of_births(&self) -> f64 {
        let births = self.before.births.max(1.0);
        self.pace.by_time * births / (births + Z * births.sqrt())
    }

    /// Judges the entity.
    pub fn look(&mut self, life: &Life, look: Look) -> Judgment {
        let up = -SLOW_PACE.ln();
        let due_live = self.pace.due(WALL, look.at_s, look.load);
        let goes_on = self.ratio_before + self.counted * up - (1.0 - SLOW_PACE) * due_live;
        let due = self.due_before.0 + due_live;
        let born = self.born_before + self.born;
        let seconds = self.piece.0 + look.at_s;
        let pace = (due / seconds.max(1e-9)).max(1e-12);
        let net = self.net(pace, look);
        let is_burst = born
            > BURST * (self.due_before.1 + self.pace.due(1.0, look.at_s, look.load)) + BURST_LEAST;
        let load = (self.piece.1 + look.load)
            / seconds.max(1e-9)
            / (life.load / life.recorded_s.max(1e-9));
        let is_load = load > MOST_LOAD && life.uptime_s < DAYS_S;
        let is_recent =
            look.at_s < RECENT_DUE / pace || self.last_two[0] > look.at_s - RECENT_DUE / pace;
        let crosses = goes_on >= GOES_ON && net >= NOT_REPLACED;
        let ok = self.is_fit
            && crosses
            && !is_burst
            && !is_load
            && is_recent
            && self.has_begun(due, pace);
        self.hold(ok, due_live, net);
        let says = if !self.is_fit {
            Says::Nothing
        } else if self.is_growing {
            Says::Growing
        } else if goes_on <= FILLED {
            Says::Filled
        } else if is_burst {
            let per_second = born / seconds.max(1e-9);
            Says::Burst {
                began_at_most_s: (self.before.births + born) / per_second,
            }
        } else {
            let answer_in_s =
                (!is_load && !crosses).then(|| self.answer_in_s(goes_on, net, pace, born / due));
            Says::Undecided { answer_in_s }
        };
        Judgment {
            says,
            born,
            due,
            goes_on,
            net,
        }
    }

    /// Deaths against births, up to the last mark whose sweep is done.
    fn net(&self, pace: f64, look: Look) -> f64 {
        let due = pace * (look.swept_s + self.piece.0).max(0.0);
        let births = look.births.min(due + 2.0 * due.sqrt() + 1.0);
        let q = self.death_share();
        births * (2.0 * (1.0 - q)).ln() + look.deaths * (2.0 * q).ln()
    }

    fn death_share(&self) -> f64 {
        rules::death_share(rules::kept(&self.before))
    }

    /// True if births came in the first part of the watch as well: a burst that began later is none of the history.
    fn has_begun(&mut self, due: f64, pace: f64) -> bool {
        if self.times.len() == MAX_TIMES {
            return self.had_begun;
        }
        let part = (FIRST_PART * due).max(FIRST_DUE);
        let until_s = (part - self.due_before.0).max(0.0) / pace;
        let share = (part / self.due_before.0.max(1e-9)).min(1.0);
        let first = self.times.partition_point(|&at_s| at_s <= until_s);
        self.had_begun = self.born_before * share + first as f64 >= FIRST_BORN * part;
        self.had_begun
    }

    /// Keeps a word until growth has stopped.
    fn hold(&mut self, ok: bool, due_live: f64, net: f64) {
        let more_due = due_live - std::mem::replace(&mut self.due, due_live);
        let more = self.counted - std::mem::replace(&mut self.counted_then, self.counted);
        self.missing =
            (self.missing + (1.0 - SLOW_PACE) * more_due + SLOW_PACE.ln() * more).max(0.0);
        self.is_growing = if self.is_growing {
            self.missing < STOPPED && net >= 0.0
        } else {
            ok
        };
        if !self.is_growing {
            self.missing = 0.0;
        }
    }

    /// Seconds until an answer in the direction that births point to, at the mean pace.
    fn answer_in_s(&self, goes_on: f64, net: f64, pace: f64, ratio: f64) -> f64 {
        let up = -SLOW_PACE.ln() - (1.0 - SLOW_PACE);
        let per_birth = (2.0 * (1.0 - self.death_share())).ln();
        let growing = ((GOES_ON - goes_on) / up).max((NOT_REPLACED - net) / per_birth);
        let filled = (goes_on - FILLED) / (1.0 - SLOW_PACE);
        let births = if ratio < 0.5 { filled } else { growing };
        births.max(1.0) / pace
    }
}
