//! Cause of the target's end in words.

use crate::model::rows::Exit;
use crate::view::names::clean;

/// Cause of the end: `exit status 3`, `killed by SIGKILL (out of memory)`, `reason unknown (?)`. `how`: what else there is to
/// say, which stands alone where the cause is unknown.
pub fn end(exit: Exit, how: Option<&str>) -> String {
    let cause = match (exit.status, exit.signal_name()) {
        (Some(status), _) => Some(format!("exit status {status}")),
        (None, Some(signal)) => Some(match exit.oom_kill {
            Some(true) => format!("killed by {signal} (out of memory)"),
            Some(false) => format!("killed by {signal}"),
            None => format!("killed by {signal} (out of memory: ?)"),
        }),
        (None, None) => None,
    };
    let how = how.map(clean);
    match (cause, how) {
        (Some(cause), Some(how)) => format!("{cause}; {how}"),
        (Some(cause), None) => cause,
        (None, Some(how)) => how,
        (None, None) => "reason unknown (?)".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_the_cause_of_the_end() {
        let exit = |status, signal, oom_kill| Exit {
            status,
            signal,
            oom_kill,
        };
        let waiting = "waiting for tyk to start again";
        for (exit, how, expected) in [
            (exit(Some(3), None, Some(false)), None, "exit status 3"),
            (exit(None, Some(15), Some(false)), None, "killed by SIGTERM"),
            (exit(None, Some(9), Some(false)), None, "killed by SIGKILL"),
            (
                exit(None, Some(9), Some(true)),
                None,
                "killed by SIGKILL (out of memory)",
            ),
            (
                exit(None, Some(9), None),
                None,
                "killed by SIGKILL (out of memory: ?)",
            ),
            (
                exit(Some(0), None, Some(false)),
                Some(waiting),
                "exit status 0; waiting for tyk to start again",
            ),
            (Exit::default(), Some(waiting), waiting),
            (Exit::default(), None, "reason unknown (?)"),
        ] {
            assert_eq!(end(exit, how), expected);
        }
    }
}
