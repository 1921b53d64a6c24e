//! An initial RAM file system: a gzipped cpio archive ("newc"), written here so that no cpio program is needed.
//!
//! Format: Linux `Documentation/driver-api/early-userspace/buffer-format.rst`.

use std::io::{self, Write};

use flate2::{Compression, write::GzEncoder};

const FOLDER: u32 = 0o040_755;
const EXECUTABLE: u32 = 0o100_755;
const ALIGN: usize = 4;

/// An archive being written. Entries must come after the folder they are in.
pub(super) struct Initramfs {
    gzip: GzEncoder<Vec<u8>>,
    /// Bytes before compression: entries are aligned by it.
    len: usize,
    inode: u32,
}

impl Initramfs {
    pub(super) fn new() -> Initramfs {
        Initramfs {
            gzip: GzEncoder::new(Vec::new(), Compression::fast()),
            len: 0,
            inode: 0,
        }
    }

    /// Adds an empty folder; `path` without a leading slash.
    pub(super) fn folder(&mut self, path: &str) -> io::Result<()> {
        self.entry(path, FOLDER, &[])
    }

    /// Adds a file that anyone may run; `path` without a leading slash.
    pub(super) fn executable(&mut self, path: &str, content: &[u8]) -> io::Result<()> {
        self.entry(path, EXECUTABLE, content)
    }

    /// The archive.
    pub(super) fn finish(mut self) -> io::Result<Vec<u8>> {
        self.entry("TRAILER!!!", 0, &[])?;
        self.gzip.finish()
    }

    fn entry(&mut self, path: &str, mode: u32, content: &[u8]) -> io::Result<()> {
        self.inode += 1;
        let links = if mode == FOLDER { 2 } else { 1 };
        let (content_len, path_len) = (fits(content.len())?, fits(path.len() + 1)?);
        // inode, mode, uid, gid, links, time, size, device (4 words), length of the name with its NUL, checksum (unused)
        let fields = [
            self.inode,
            mode,
            0,
            0,
            links,
            0,
            content_len,
            0,
            0,
            0,
            0,
            path_len,
            0,
        ];
        self.put(b"070701")?;
        for field in fields {
            self.put(format!("{field:08x}").as_bytes())?;
        }
        self.put(path.as_bytes())?;
        self.put(&[0])?;
        self.pad()?;
        self.put(content)?;
        self.pad()
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.len += bytes.len();
        self.gzip.write_all(bytes)
    }

    fn pad(&mut self) -> io::Result<()> {
        let missing = self.len.next_multiple_of(ALIGN) - self.len;
        self.put(&[0; ALIGN][..missing])
    }
}

fn fits(len: usize) -> io::Result<u32> {
    u32::try_from(len)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "file of 4 GiB or more"))
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use flate2::read::GzDecoder;

    use super::*;

    #[test]
    fn entries_and_contents_are_aligned_and_the_trailer_ends_it() {
        let mut archive = Initramfs::new();
        archive.folder("bin").unwrap();
        archive.executable("bin/five", b"12345").unwrap();
        let mut plain = Vec::new();
        GzDecoder::new(&*archive.finish().unwrap())
            .read_to_end(&mut plain)
            .unwrap();

        let headers: Vec<usize> = (0..plain.len() - 6)
            .filter(|&at| &plain[at..at + 6] == b"070701")
            .collect();
        assert_eq!(headers.len(), 3);
        assert!(headers.iter().all(|at| at % ALIGN == 0), "{headers:?}");
        // Header of 110 bytes + "bin/five\0" = 119, padded to 120.
        assert_eq!(&plain[headers[1] + 120..headers[1] + 125], b"12345");
        assert!(plain.windows(11).any(|window| window == b"TRAILER!!!\0"));
        assert_eq!(plain.len() % ALIGN, 0);
    }
}
