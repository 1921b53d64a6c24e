//! The rule by examples: input and answer of single entities.

use super::*;

/// Samples per minute of the whole process, on average.
const LOAD: f64 = 1000.0;

/// One example. Uptime in minutes; the last two marks in seconds before the attach; births evenly spread over a part of the
/// watch.
struct Example {
    uptime_min: f64,
    marks_s: (f64, f64),
    births: f64,
    deaths: f64,
    in_pieces: [f64; 2],
    load: f64,
    watched_s: u32,
    born: u32,
    part: (f64, f64),
    judged: (f64, f64),
}

impl Default for Example {
    fn default() -> Self {
        Self {
            uptime_min: 480.0,
            marks_s: (15.0, 5.0),
            births: 7200.0,
            deaths: 0.0,
            in_pieces: [3.0, 1.0],
            load: 1.0,
            watched_s: 36,
            born: 9,
            part: (0.0, 1.0),
            judged: (11.0, 0.0),
        }
    }
}

impl Example {
    /// The last judgment, and whether it ever said growing.
    fn judge(&self) -> (Judgment, bool) {
        let (first, second) = self.marks_s;
        let per_s = LOAD / 60.0;
        let recorded_s = 60.0 * self.uptime_min - first;
        let life = Life {
            uptime_s: 60.0 * self.uptime_min,
            recorded_s,
            load: per_s * recorded_s,
            pieces: [first - second, second]
                .map(|seconds| Piece {
                    seconds,
                    load: per_s * self.load * seconds,
                })
                .into(),
        };
        let mut track = Track::new(
            &life,
            Before {
                births: self.births,
                in_pieces: self.in_pieces.into(),
                deaths: self.deaths,
                judged: self.births + self.in_pieces[0],
            },
        );
        let watched = f64::from(self.watched_s);
        let mut born = 0;
        let (mut last, mut ever) = (Judgment::default(), false);
        for at_s in 0..=self.watched_s {
            let at_s = f64::from(at_s);
            let time = |n: u32| {
                let (from, to) = self.part;
                (from + (to - from) * (f64::from(n) + 0.5) / f64::from(self.born)) * watched
            };
            while born < self.born && time(born) <= at_s {
                track.born(time(born));
                born += 1;
            }
            last = track.look(
                &life,
                Look {
                    at_s,
                    load: per_s * self.load * at_s,
                    swept_s: (watched - 5.0).max(0.0),
                    births: self.judged.0,
                    deaths: self.judged.1,
                },
            );
            ever |= last.says == Says::Growing;
        }
        (last, ever)
    }

    /// Asserts both log likelihood ratios to two digits, and returns the verdict.
    fn says(&self, goes_on: f64, net: f64) -> Says {
        let (judgment, _) = self.judge();
        assert!((judgment.goes_on - goes_on).abs() < 0.006, "{judgment:?}");
        assert!((judgment.net - net).abs() < 0.006, "{judgment:?}");
        judgment.says
    }
}

#[test]
fn a_leak_that_goes_on_at_its_mean_pace_grows() {
    assert_eq!(Example::default().says(7.64, 7.06), Says::Growing);
}

#[test]
fn six_births_where_nine_are_due_decide_nothing_yet() {
    let example = Example {
        born: 6,
        judged: (8.0, 0.0),
        ..Example::default()
    };
    let Says::Undecided { answer_in_s } = example.says(3.49, 5.13) else {
        panic!("decided");
    };
    assert!(
        (10.0..20.0).contains(&answer_in_s.unwrap()),
        "{answer_in_s:?}"
    );
}

#[test]
fn births_before_the_attach_count_where_gc_is_rare() {
    let example = Example {
        marks_s: (180.0, 60.0),
        in_pieces: [31.0, 14.0],
        watched_s: 20,
        born: 5,
        judged: (31.0, 0.0),
        ..Example::default()
    };
    assert_eq!(example.says(7.65, 19.90), Says::Growing);
}

#[test]
fn a_full_cache_whose_entries_are_replaced_does_not_grow() {
    let example = Example {
        marks_s: (180.0, 60.0),
        deaths: 20.0,
        in_pieces: [31.0, 14.0],
        watched_s: 20,
        born: 5,
        judged: (31.0, 29.0),
        ..Example::default()
    };
    assert!(matches!(example.says(7.65, -46.88), Says::Undecided { .. }));
}

#[test]
fn a_table_that_gets_one_entry_where_nine_are_due_is_filled() {
    let example = Example {
        in_pieces: [0.0, 0.0],
        born: 1,
        judged: (0.0, 0.0),
        ..Example::default()
    };
    assert_eq!(example.says(-8.37, 0.0), Says::Filled);
}

#[test]
fn births_far_above_the_mean_pace_are_a_burst() {
    let example = Example {
        in_pieces: [0.0, 0.0],
        born: 40,
        part: (0.5, 1.0),
        judged: (20.0, 0.0),
        ..Example::default()
    };
    let Says::Burst { began_at_most_s } = example.says(45.70, 12.57) else {
        panic!("no burst");
    };
    let minutes = began_at_most_s / 60.0;
    assert!((100.0..200.0).contains(&minutes), "{minutes}");
}

#[test]
fn a_burst_that_has_ended_loses_its_word() {
    let example = Example {
        watched_s: 72,
        born: 18,
        part: (0.0, 0.5),
        judged: (20.0, 0.0),
        ..Example::default()
    };
    assert!(example.judge().1, "it grew while births came");
    assert!(matches!(example.says(13.24, 12.84), Says::Undecided { .. }));
}

#[test]
fn growth_that_began_after_the_attach_is_none_of_the_history() {
    let example = Example {
        in_pieces: [0.0, 0.0],
        watched_s: 72,
        born: 18,
        part: (0.5, 1.0),
        judged: (14.0, 0.0),
        ..Example::default()
    };
    assert!(!example.judge().1);
    assert_eq!(
        example.says(8.32, 8.99),
        Says::Undecided { answer_in_s: None }
    );
}

#[test]
fn a_load_above_its_mean_withholds_the_word_in_the_first_day_only() {
    let old = Example {
        uptime_min: 4800.0,
        births: 72000.0,
        in_pieces: [5.0, 2.0],
        load: 1.6,
        born: 15,
        judged: (16.0, 0.0),
        ..Example::default()
    };
    assert_eq!(old.says(13.75, 10.27), Says::Growing);
    let first_day = Example {
        uptime_min: 480.0,
        births: 7200.0,
        ..old
    };
    assert_eq!(
        first_day.says(13.62, 10.27),
        Says::Undecided { answer_in_s: None }
    );
}

#[test]
fn a_slow_leak_takes_its_births() {
    let example = Example {
        births: 480.0,
        in_pieces: [0.0, 0.0],
        watched_s: 600,
        born: 11,
        judged: (11.0, 0.0),
        ..Example::default()
    };
    assert_eq!(example.says(6.98, 7.06), Says::Growing);
}

#[test]
fn a_young_process_says_nothing() {
    let example = Example {
        uptime_min: 20.0,
        births: 300.0,
        ..Example::default()
    };
    assert_eq!(example.says(7.10, 7.06), Says::Nothing);
}

#[test]
fn forty_births_are_too_few_to_know_that_they_were_kept() {
    let example = Example {
        births: 40.0,
        in_pieces: [0.0, 0.0],
        watched_s: 7200,
        born: 12,
        judged: (12.0, 0.0),
        ..Example::default()
    };
    assert_eq!(example.says(7.16, 7.70), Says::Nothing);
}

#[test]
fn a_path_that_freed_a_tenth_says_nothing() {
    let example = Example {
        deaths: 720.0,
        ..Example::default()
    };
    assert_eq!(example.judge().0.says, Says::Nothing);
}

#[test]
fn clumped_births_count_once() {
    let life = Life {
        uptime_s: 28_800.0,
        recorded_s: 28_800.0,
        load: 480_000.0,
        pieces: Vec::new(),
    };
    let before = Before {
        births: 7200.0,
        judged: 7200.0,
        ..Before::default()
    };
    let mut track = Track::new(&life, before);
    for i in 0..20 {
        track.born(10.0 + 1e-3 * f64::from(i));
    }
    let look = Look {
        at_s: 30.0,
        load: 500.0,
        swept_s: 25.0,
        births: 20.0,
        deaths: 0.0,
    };
    assert!(track.look(&life, look).goes_on < 0.0);
}

#[test]
fn the_interval_of_the_mean_holds_what_counts_and_a_swinging_load_make_uncertain() {
    let mut kept = Kept::default();
    kept.add(7200.0, 524_288.0);
    let rate = since_start(kept, 28_800.0).unwrap();
    let mib = |bytes: f64| bytes / 1_048_576.0;
    assert!((mib(rate.value) - 7.5).abs() < 1e-9);
    assert!((mib(rate.low) - 5.88).abs() < 0.01 && (mib(rate.high) - 9.56).abs() < 0.01);
    assert_eq!(since_start(Kept::default(), 28_800.0), None);
}

#[test]
fn groups_are_the_deepest_frames_that_several_paths_share() {
    let paths: [&[u32]; 3] = [&[1, 2, 3, 7], &[1, 2, 3, 8], &[1, 9]];
    let found = groups(paths.into_iter());
    let group = |label, members: &[usize]| Group {
        label,
        members: members.into(),
    };
    assert_eq!(found, [group(3, &[0, 1]), group(1, &[0, 1, 2])]);
}
