//! Standard output, as every command writes it.

use std::io::{self, ErrorKind, Write as _};

use crate::refusal::Refusal;

/// Writes all of `bytes`; `false` if the reader has gone, which is no error.
///
/// # Errors
/// A [`Refusal`] with the reason and the next step.
pub fn write(bytes: &[u8]) -> Result<bool, Refusal> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        Ok(()) => Ok(true),
        Err(err) if err.kind() == ErrorKind::BrokenPipe => Ok(false),
        Err(err) => Err(refuse(&err)),
    }
}

fn refuse(err: &io::Error) -> Refusal {
    let next = match err.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => {
            "make room, or send the output to a file on another file system"
        }
        _ => "send the output to a file that can be written, or to a pipe",
    };
    Refusal::new("cannot write to standard output", err.to_string(), next)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_file_system_is_named_with_what_to_do() {
        let refusal = refuse(&io::Error::from(ErrorKind::StorageFull));
        assert_eq!(refusal.what, "cannot write to standard output");
        assert!(refusal.next.contains("another file system"), "{refusal}");
        let other = refuse(&io::Error::from(ErrorKind::PermissionDenied));
        assert!(other.next.contains("can be written"), "{other}");
    }
}
