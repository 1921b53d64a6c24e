//! Which pages of the target are resident: `/proc/PID/pagemap`, `maps` and `status`.
//!
//! `smaps` would tell the same by mapping, but walks a mapping of GiBs with the target's `mmap_lock` held all the time;
//! `pagemap` takes it for 2 MiB at once, and tells single pages, which is what spans are held against.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, Ordering};

use super::proc_text::kib_field;
use crate::event::{KernelMemory, PageTables};
use crate::go::census::{ARENA_BYTES, ResidentPages};

/// Bytes of a page of the kernel (x86-64).
const PAGE_BYTES: u64 = 4 << 10;
/// Bytes of an entry of pagemap.
const ENTRY_BYTES: u64 = 8;
/// Entries that are read with one system call: those of 32 MiB.
const ENTRIES: u64 = 8192;
/// Bit 63: the page is there.
const PRESENT: u64 = 1 << 63;
/// Bit 61: it belongs to a file, or is shared.
const OF_FILE: u64 = 1 << 61;
/// Bits 0 to 54: number of the page frame; 0 without the right to know it.
const FRAME: u64 = (1 << 55) - 1;
/// Page frames of a huge page.
const HUGE_FRAMES: u64 = 512;
/// What is read to find the pages of zeros: a huge page lies in it, wherever it begins.
const ZEROS_BYTES: usize = 4 << 20;
/// Memory that nobody ever writes, and that lies in no file since it could be written: `.bss`. What an allocator gives
/// may have been used before.
static NEVER_WRITTEN: [AtomicU8; ZEROS_BYTES] = [const { AtomicU8::new(0) }; ZEROS_BYTES];
/// A private mapping of a file that is larger than so much is data, not a program: its pages are those of the file,
/// and to look at each costs more than they are worth.
const MAX_FILE_MAPPING_BYTES: u64 = 512 << 20;
/// Most address space that is looked at outside of the Go heap: its entries are 128 MiB.
const MAX_SCANNED_BYTES: u64 = 64 << 30;

/// A mapping, as `/proc/PID/maps` has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mapping<'t> {
    /// First address.
    pub start: u64,
    /// Address behind the last.
    pub end: u64,
    /// It may be read.
    pub is_readable: bool,
    /// Its pages are its own once written.
    pub is_private: bool,
    /// Of a file.
    pub inode: u64,
    /// Path of the file, a name in brackets, or nothing.
    pub name: &'t str,
}

/// One line of `/proc/PID/maps`; `None` for what is none.
pub fn mapping(line: &str) -> Option<Mapping<'_>> {
    let (range, rest) = line.split_once(' ')?;
    let (start, end) = range.split_once('-')?;
    let mut words = rest.splitn(5, ' ');
    let permissions = words.next()?.as_bytes();
    let (_offset, _device) = (words.next()?, words.next()?);
    let inode = words.next()?.parse().ok()?;
    let start = u64::from_str_radix(start, 16).ok()?;
    let end = u64::from_str_radix(end, 16).ok()?;
    (start <= end).then_some(Mapping {
        start,
        end,
        is_readable: permissions.first() == Some(&b'r'),
        is_private: permissions.get(3) == Some(&b'p'),
        inode,
        name: words.next().unwrap_or_default().trim_start(),
    })
}

/// What `/proc/PID/status` says of memory; `None` for a kernel thread or a zombie, which have none.
pub fn status(text: &str) -> Option<KernelMemory> {
    let field = |name| kib_field(text, name);
    Some(KernelMemory {
        rss_bytes: field("VmRSS:")?,
        anon_bytes: field("RssAnon:")?,
        file_bytes: field("RssFile:")?,
        shmem_bytes: field("RssShmem:")?,
        swap_bytes: field("VmSwap:").unwrap_or(0),
        peak_rss_bytes: field("VmHWM:").unwrap_or(0),
        threads: threads(text),
    })
}

/// Number of threads in the text of `/proc/PID/status`.
fn threads(text: &str) -> Option<u64> {
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("Threads:"))?;
    line.trim().parse().ok()
}

/// The kernel's figures of the process.
///
/// # Errors
/// When it has ended.
pub fn kernel_memory(pid: u32) -> std::io::Result<KernelMemory> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    status(&text).ok_or_else(|| std::io::Error::other("the process has no memory"))
}

/// The kernel's own pages of zeros: they are mapped wherever memory is read that was never written, and no resident set
/// counts them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Zeros {
    small: Option<u64>,
    huge: Option<u64>,
}

impl Zeros {
    /// Finds them among our own pages: by reading some that nobody has written. Without the right to know page frames
    /// (CAP_SYS_ADMIN) none are found, and what the target has of them counts as resident: some 100 KiB.
    pub fn find() -> Self {
        static FOUND: OnceLock<Zeros> = OnceLock::new();
        *FOUND.get_or_init(|| Self::search().unwrap_or_default())
    }

    fn search() -> std::io::Result<Self> {
        // Each page is read, so that it is there.
        for byte in NEVER_WRITTEN.iter().step_by(4096) {
            std::hint::black_box(byte.load(Ordering::Relaxed));
        }
        let mut frames = Vec::new();
        let mut own = Pagemap::open(std::process::id(), Self::default())?;
        let start = NEVER_WRITTEN.as_ptr().addr() as u64;
        own.entries(start, ZEROS_BYTES as u64, |_, entry| {
            if entry & PRESENT != 0 && entry & OF_FILE == 0 {
                frames.push(entry & FRAME);
            }
        })?;
        frames.retain(|&frame| frame != 0);
        // A frame that many pages have is the small one; a run of frames from a huge page is the huge one.
        frames.sort_unstable();
        let is_small = |pair: &&[u64]| pair[0] == pair[1] && !pair[0].is_multiple_of(HUGE_FRAMES);
        let small = frames.windows(2).find(is_small).map(|pair| pair[0]);
        let huge = frames.chunk_by(|a, b| a / HUGE_FRAMES == b / HUGE_FRAMES);
        let mut huge = huge.filter(|run| {
            let is_whole = run.len() as u64 >= HUGE_FRAMES;
            is_whole && run.windows(2).filter(|pair| pair[0] == pair[1]).count() < run.len() / 2
        });
        let huge = huge.next().map(|run| run[0] / HUGE_FRAMES);
        Ok(Self { small, huge })
    }

    fn has(&self, entry: u64) -> bool {
        let frame = entry & FRAME;
        frame != 0
            && (self.small == Some(frame)
                || self.huge.is_some_and(|huge| huge == frame / HUGE_FRAMES))
    }
}

/// The page tables of a process, for one reading.
#[derive(Debug)]
pub struct Pagemap {
    file: File,
    zeros: Zeros,
    buf: Vec<u8>,
}

impl Pagemap {
    /// Opens them.
    ///
    /// # Errors
    /// When the process has ended or may not be looked at.
    pub fn open(pid: u32, zeros: Zeros) -> std::io::Result<Self> {
        Ok(Self {
            file: File::open(format!("/proc/{pid}/pagemap"))?,
            zeros,
            buf: Vec::new(),
        })
    }

    /// Gives the address of each resident page of a range, and whether it is of a file or shared.
    fn resident(
        &mut self,
        start: u64,
        bytes: u64,
        mut each: impl FnMut(u64, bool),
    ) -> std::io::Result<()> {
        let zeros = self.zeros;
        self.entries(start, bytes, |addr, entry| {
            if entry & PRESENT != 0 && !zeros.has(entry) {
                each(addr, entry & OF_FILE != 0);
            }
        })
    }

    /// Gives the address and the entry of each page of a range.
    fn entries(
        &mut self,
        start: u64,
        bytes: u64,
        mut each: impl FnMut(u64, u64),
    ) -> std::io::Result<()> {
        let mut page = start / PAGE_BYTES;
        let end = start.saturating_add(bytes) / PAGE_BYTES;
        while page < end {
            let n = ENTRIES.min(end - page);
            let len = usize::try_from(n * ENTRY_BYTES).unwrap_or(0);
            self.buf.resize(len, 0);
            let read = self.file.read_at(&mut self.buf, page * ENTRY_BYTES)?;
            // Shorter behind the end of the address space alone.
            if read == 0 {
                return Ok(());
            }
            for (entry, at) in self.buf[..read].chunks_exact(8).zip(page..) {
                each(
                    at * PAGE_BYTES,
                    entry.try_into().map_or(0, u64::from_le_bytes),
                );
            }
            page += read as u64 / ENTRY_BYTES;
            if read < 8 {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Marks the resident pages of the heap's arenas.
    ///
    /// # Errors
    /// When the process has ended.
    pub fn arenas(&mut self, arenas: &[u64]) -> std::io::Result<ResidentPages> {
        let mut pages = ResidentPages::new(arenas);
        for &start in arenas {
            self.resident(start, ARENA_BYTES, |addr, _| pages.set(addr))?;
        }
        Ok(pages)
    }

    /// Counts the resident anonymous pages outside of the arenas.
    ///
    /// * `maps`: the text of `/proc/PID/maps`.
    /// * `arenas`: first addresses of the Go heap's arenas, ascending.
    /// * `program`: inode of the executable, for its global variables.
    ///
    /// # Errors
    /// When the process has ended.
    pub fn outside(
        &mut self,
        maps: &str,
        arenas: &[u64],
        program: u64,
    ) -> std::io::Result<PageTables> {
        let arenas: Vec<(u64, u64)> = arenas.iter().map(|&start| (start, ARENA_BYTES)).collect();
        let mut found = PageTables::default();
        let mut scanned = 0_u64;
        let mut end_of_program = None;
        for mapping in maps.lines().filter_map(mapping) {
            found.has_c |= is_of_c(&mapping);
            let is_program = mapping.inode == program && program != 0;
            // `.bss` has no file: it lies right behind `.data`.
            let is_bss = mapping.inode == 0
                && mapping.name.is_empty()
                && end_of_program == Some(mapping.start);
            end_of_program = is_program.then_some(mapping.end);
            let bytes = mapping.end - mapping.start;
            if !is_scanned(&mapping) {
                continue;
            }
            if mapping.inode != 0 && bytes > MAX_FILE_MAPPING_BYTES
                || scanned.saturating_add(bytes) > MAX_SCANNED_BYTES
            {
                found.skipped_bytes = found.skipped_bytes.saturating_add(bytes);
                continue;
            }
            let mut pages = 0_u64;
            for (start, end) in without(mapping.start, mapping.end, &arenas) {
                scanned = scanned.saturating_add(end - start);
                self.resident(start, end - start, |_, of_file| {
                    pages += u64::from(!of_file);
                })?;
            }
            let bytes = pages * PAGE_BYTES;
            if is_program || is_bss {
                found.globals_bytes += bytes;
                continue;
            }
            found.other_anon_bytes += bytes;
            // The runtime takes neither, and no memory of libraries.
            if mapping.inode != 0 || matches!(mapping.name, "[heap]" | "[stack]") {
                found.foreign_bytes += bytes;
            }
        }
        Ok(found)
    }
}

/// Whether a mapping shows that C code may allocate here: the heap that only C libraries ask for, or such a library.
fn is_of_c(mapping: &Mapping<'_>) -> bool {
    let file = mapping.name.rsplit('/').next().unwrap_or_default();
    mapping.name == "[heap]"
        || file == "libc.so"
        || file.starts_with("libc.so.")
        || file.starts_with("ld-musl")
}

/// Whether a mapping may hold anonymous pages: not what is only reserved, is shared, or belongs to the kernel.
fn is_scanned(mapping: &Mapping<'_>) -> bool {
    mapping.is_readable && mapping.is_private && !mapping.name.starts_with("[v")
}

/// The parts of a range that lie in none of `holes` (address, length), which ascend.
fn without(start: u64, end: u64, holes: &[(u64, u64)]) -> Vec<(u64, u64)> {
    let mut parts = Vec::new();
    let mut from = start;
    let first = holes.partition_point(|&(hole, len)| hole.saturating_add(len) <= start);
    for &(hole, len) in holes.get(first..).unwrap_or_default() {
        if hole >= end {
            break;
        }
        if hole > from {
            parts.push((from, hole));
        }
        from = from.max(hole.saturating_add(len));
    }
    if from < end {
        parts.push((from, end));
    }
    parts
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_c_library_is_known_by_its_name_and_by_its_heap() {
        let is_c = |line: &str| mapping(line).is_some_and(|mapping| is_of_c(&mapping));
        assert!(is_c(
            "7f00-8f00 r-xp 00000000 fe:00 4711 /usr/lib/x86_64-linux-gnu/libc.so.6"
        ));
        assert!(is_c(
            "7f00-8f00 r-xp 00000000 fe:00 4711 /lib/ld-musl-x86_64.so.1"
        ));
        assert!(is_c("7f00-8f00 rw-p 00000000 00:00 0 [heap]"));
        assert!(!is_c("7f00-8f00 rw-p 00000000 00:00 0 "));
        assert!(!is_c(
            "7f00-8f00 r-xp 00000000 fe:00 4711 /usr/bin/libc.social"
        ));
    }

    #[test]
    fn mappings_are_read_as_the_kernel_writes_them() {
        let line = "c000000000-c000400000 rw-p 00000000 00:00 0 ";
        let heap = mapping(line).expect("a mapping");
        assert_eq!((heap.start, heap.end), (0xc0_0000_0000, 0xc0_0040_0000));
        assert!(is_scanned(&heap) && heap.name.is_empty() && heap.inode == 0);
        let line = "7f00-8f00 r--p 00000000 fe:00 4711                       /usr/lib/a b.so";
        assert_eq!(
            mapping(line).map(|m| (m.inode, m.name)),
            Some((4711, "/usr/lib/a b.so"))
        );
        let vdso = "7ffd1000-7ffd2000 r-xp 00000000 00:00 0                          [vdso]";
        assert!(!is_scanned(&mapping(vdso).expect("a mapping")));
        let reserved = "c000400000-c004000000 ---p 00000000 00:00 0 ";
        assert!(!is_scanned(&mapping(reserved).expect("a mapping")));
    }

    #[test]
    fn the_status_tells_what_is_resident() {
        let text = "Name:\tx\nVmHWM:\t    2048 kB\nVmRSS:\t    1024 kB\nRssAnon:\t     512 kB\nRssFile:\t     500 kB\nRssShmem:\t      12 kB\nVmSwap:\t       0 kB\nThreads:\t12\n";
        let found = status(text).expect("memory");
        assert_eq!((found.rss_bytes, found.anon_bytes), (1 << 20, 512 << 10));
        assert_eq!(
            (found.shmem_bytes, found.peak_rss_bytes),
            (12 << 10, 2 << 20)
        );
        assert_eq!(status("Name:\tkthreadd\n"), None);
    }

    #[test]
    fn holes_are_left_out() {
        let holes = [(10, 10), (30, 10)];
        assert_eq!(without(0, 50, &holes), [(0, 10), (20, 30), (40, 50)]);
        assert_eq!(without(12, 35, &holes), [(20, 30)]);
        assert_eq!(without(31, 39, &holes), []);
        assert_eq!(without(40, 50, &holes), [(40, 50)]);
        assert_eq!(without(0, 5, &[]), [(0, 5)]);
    }

    #[test]
    fn our_own_pages_are_found() {
        let bytes = vec![1_u8; 8 << 20];
        let pid = std::process::id();
        let mut pagemap = Pagemap::open(pid, Zeros::find()).expect("own page tables");
        // Other tests allocate meanwhile: the kernel's figures before and after stand around what was found.
        let anon = || kernel_memory(pid).expect("own memory").anon_bytes;
        let agrees = |_| {
            let before = anon();
            let maps = std::fs::read_to_string("/proc/self/maps").expect("own maps");
            let found = pagemap.outside(&maps, &[], 0).expect("own pages");
            let after = anon();
            assert!(found.other_anon_bytes >= 8 << 20, "{found:?}");
            let slack = (after / 10).max(2 << 20);
            let (low, high) = (before.min(after), before.max(after));
            (low.saturating_sub(slack)..=high + slack).contains(&found.other_anon_bytes)
        };
        assert!((0..20).any(agrees), "never");
        assert_eq!(std::hint::black_box(&bytes).first(), Some(&1));
    }

    #[test]
    fn pages_of_zeros_are_not_resident() {
        let zeros = Zeros::find();
        if zeros.small.is_none() {
            return; // Without CAP_SYS_ADMIN.
        }
        let mut pagemap = Pagemap::open(std::process::id(), zeros).expect("own page tables");
        let mut resident = 0;
        let start = NEVER_WRITTEN.as_ptr().addr() as u64;
        pagemap
            .resident(start, ZEROS_BYTES as u64, |_, _| resident += 1)
            .expect("own pages");
        assert!(resident < 4, "{resident} pages");
    }

    proptest! {
        #[test]
        fn any_text_never_panics(text in "\\PC*", line in "[0-9a-f]{0,20}-[0-9a-f]{0,20} [rwxps-]{0,5} [0-9a-f ]{0,30}") {
            let _ = (mapping(&text), mapping(&line), status(&text), status(&line));
        }
    }
}
