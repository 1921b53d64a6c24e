//! The executable file of the target as a [`StaticImage`].
//!
//! The file is read by `pread` in blocks, never mapped: a mapping of a file that is truncated under us
//! would end heaptop by SIGBUS. It is never read whole either, as Go programs reach 200 MB. Nothing in
//! the file is trusted: a corrupt one is refused or gives `None`.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::FileExt as _;
use std::sync::{Arc, Mutex, PoisonError};

use object::elf::{self, FileHeader64, ProgramHeader64, SectionHeader64, Sym64};
use object::pod;
use object::read::elf::NoteIterator;
use object::{LittleEndian, Pod};

use crate::go::memory::{Memory, Unreadable};
use crate::go::static_image::{Section, Segment, StaticImage};
use crate::refusal::Refusal;

/// Bytes of one cached block: large enough to make searches through tables sequential reads.
const BLOCK_BYTES: u64 = 64 << 10;

/// Most cached blocks: 8 MiB, about what naming the stacks of a large program touches again and again.
const MAX_BLOCKS: usize = 128;

/// Most program headers: honest files have about ten.
const MAX_SEGMENTS: usize = 256;

/// Most section headers: honest Go programs have some forty, cgo ones a few more.
const MAX_SECTIONS: usize = 1024;

/// Most bytes of the table of section names, and of a segment of notes.
const MAX_SMALL_TABLE_BYTES: u64 = 64 << 10;

/// Most symbols that are looked through: programs of 200 MB have about 500 000.
const MAX_SYMBOLS: u64 = 8 << 20;

/// Most bytes of a section of debug information, uncompressed: programs of 200 MB have some 60 MiB of the largest.
const MAX_DEBUG_BYTES: u64 = 512 << 20;

/// Symbols read at once.
const SYMBOL_BATCH: usize = 4096;

const LE: LittleEndian = LittleEndian;

/// Where a table lies in the file.
#[derive(Clone, Copy, Debug)]
struct Table {
    offset: u64,
    size: u64,
}

/// An executable file, readable at link-time addresses.
///
/// `Send + Sync`; threads that share one wait for each other only while a block is looked up or read.
#[derive(Debug)]
pub struct Image {
    blocks: Blocks,
    pie: bool,
    segments: Vec<Segment>,
    sections: Vec<(String, Section)>,
    symbols: Option<(Table, Table)>,
    /// Sections of debug information, and whether each is compressed.
    debug: Vec<(String, Table, Packing)>,
    build_id: Option<Vec<u8>>,
    go_build_id: Option<Vec<u8>>,
}

impl Image {
    /// Reads the headers of an ELF x86-64 executable or PIE.
    ///
    /// # Errors
    ///
    /// When the file cannot be read, or is not such a file; `what` is left general, since only the caller knows
    /// how the user named the file.
    pub fn open(file: File) -> Result<Self, Refusal> {
        let blocks = Blocks::new(file);
        let header = Header::read(&blocks)?;
        let segments = read_segments(&blocks, &header)?;
        let sections = read_sections(&blocks, &header).unwrap_or_default();
        let (build_id, go_build_id) = read_build_ids(&blocks, &header);
        Ok(Self {
            pie: header.pie,
            segments,
            symbols: symbol_tables(&sections),
            debug: debug_sections(&sections),
            sections: sections
                .into_iter()
                .filter(|section| section.header.sh_flags.get(LE) & u64::from(elf::SHF_ALLOC) != 0)
                .map(|section| {
                    let range = Section {
                        addr: section.header.sh_addr.get(LE),
                        size: section.header.sh_size.get(LE),
                    };
                    (section.name, range)
                })
                .collect(),
            build_id,
            go_build_id,
            blocks,
        })
    }

    /// The GNU build id, as linkers and `perf` know the file; printed as hex in a pprof mapping.
    pub fn build_id(&self) -> Option<Vec<u8>> {
        self.build_id.clone().or_else(|| self.build_id_in_section())
    }

    /// Go's linker (1.24 and later) writes the note without covering it by a note segment.
    fn build_id_in_section(&self) -> Option<Vec<u8>> {
        let section = self.section(".note.gnu.build-id")?;
        let bytes = self
            .bytes(section.addr, usize::try_from(section.size).ok()?)
            .ok()?;
        // Sizes of name and description, the type, then "GNU\0".
        let id_size = u32::from_le_bytes(bytes.get(4..8)?.try_into().ok()?);
        bytes
            .get(16..)?
            .get(..usize::try_from(id_size).ok()?)
            .map(<[u8]>::to_vec)
    }

    /// Whether the file has a symbol table: not after `strip` or `-ldflags=-s`.
    pub fn has_symbols(&self) -> bool {
        self.symbols.is_some()
    }

    /// The Go build id: text of four parts split by `/`.
    pub fn go_build_id(&self) -> Option<&[u8]> {
        self.go_build_id.as_deref()
    }
}

impl Memory for Image {
    fn read(&self, addr: u64, buf: &mut [u8]) -> Result<(), Unreadable> {
        let unreadable = Unreadable {
            addr,
            len: buf.len(),
        };
        let segment = self
            .segments
            .iter()
            .find(|segment| segment.contains(addr))
            .ok_or(unreadable)?;
        let offset = addr - segment.vaddr;
        let len = buf.len() as u64;
        if len > segment.mem_size - offset {
            return Err(unreadable);
        }
        let from_file = segment.file_size.saturating_sub(offset).min(len);
        // Both fit, since `from_file <= len`, a length in memory.
        let (backed, zeros) = buf.split_at_mut(usize::try_from(from_file).map_err(|_| unreadable)?);
        zeros.fill(0);
        let file_offset = segment.file_offset.checked_add(offset).ok_or(unreadable)?;
        self.blocks
            .read(file_offset, backed)
            .map_err(|_| unreadable)
    }
}

impl StaticImage for Image {
    fn segments(&self) -> &[Segment] {
        &self.segments
    }

    fn section(&self, name: &str) -> Option<Section> {
        self.sections
            .iter()
            .find(|(known, _)| known == name)
            .map(|&(_, section)| section)
    }

    fn is_pie(&self) -> bool {
        self.pie
    }

    fn variable_symbols(&self, names: &[&str]) -> Vec<Option<u64>> {
        let mut found = vec![None; names.len()];
        if let Some((symbols, strings)) = self.symbols {
            // A file that ends early gives what was found up to there.
            let _ = self.search_symbols(symbols, strings, names, &mut found);
        }
        found
    }

    fn debug_section(&self, name: &str) -> Option<Vec<u8>> {
        let (_, table, packing) = self.debug.iter().find(|(known, ..)| known == name)?;
        let size = usize::try_from(table.size.min(self.blocks.len())).ok()?;
        let mut bytes = vec![0; size];
        // Read once: it would only drive other blocks out of the cache.
        let file = &self.blocks.file;
        file.read_exact_at(&mut bytes, table.offset).ok()?;
        match packing {
            Packing::None => Some(bytes),
            Packing::Elf => uncompressed(&bytes),
            Packing::Gnu => gnu_uncompressed(&bytes),
        }
    }
}

/// The contents of a compressed section: `Elf64_Chdr`, then a zlib stream.
fn uncompressed(bytes: &[u8]) -> Option<Vec<u8>> {
    const HEADER_BYTES: usize = 24;
    let word = |at: usize| Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?));
    let kind = word(0)? & u64::from(u32::MAX);
    let size = word(8)?;
    if kind != u64::from(elf::ELFCOMPRESS_ZLIB) || size > MAX_DEBUG_BYTES {
        return None;
    }
    inflated(bytes.get(HEADER_BYTES..)?, size)
}

/// The contents of a `.zdebug_` section: `ZLIB`, the size as a big-endian u64, then a zlib stream.
///
/// Source: `cmd/link/internal/ld/dwarf.go` (`compressSyms`), go1.18; go1.19 and later write `Elf64_Chdr`.
fn gnu_uncompressed(bytes: &[u8]) -> Option<Vec<u8>> {
    const HEADER_BYTES: usize = 12;
    let size = bytes.strip_prefix(b"ZLIB")?.get(..8)?.try_into().ok()?;
    let size = u64::from_be_bytes(size);
    if size > MAX_DEBUG_BYTES {
        return None;
    }
    inflated(bytes.get(HEADER_BYTES..)?, size)
}

fn inflated(stream: &[u8], size: u64) -> Option<Vec<u8>> {
    let mut contents = Vec::new();
    let mut stream = flate2::read::ZlibDecoder::new(stream).take(size);
    stream.read_to_end(&mut contents).ok()?;
    (contents.len() as u64 == size).then_some(contents)
}

impl Image {
    /// Fills `found` from the symbol table, in batches, until all names are found. Only data symbols
    /// inside of writable segments have their name read: one in thirty.
    fn search_symbols(
        &self,
        symbols: Table,
        strings: Table,
        names: &[&str],
        found: &mut [Option<u64>],
    ) -> io::Result<()> {
        let longest = names.iter().map(|name| name.len()).max().unwrap_or(0);
        let mut name_buf = vec![0; longest + 1];
        let total = (symbols.size / size_of::<Sym64<LittleEndian>>() as u64).min(MAX_SYMBOLS);
        let mut next = 0;
        while next < total && found.contains(&None) {
            let count = (total - next).min(SYMBOL_BATCH as u64);
            let offset = symbols.offset + next * size_of::<Sym64<LittleEndian>>() as u64;
            let batch = Aligned::<Sym64<LittleEndian>>::read(&self.blocks, offset, count)?;
            for symbol in batch.items() {
                let value = symbol.st_value.get(LE);
                let is_data = symbol.st_info & 0xf == elf::STT_OBJECT
                    && self
                        .segments
                        .iter()
                        .any(|segment| segment.writable && segment.contains(value));
                if !is_data {
                    continue;
                }
                let name_offset = u64::from(symbol.st_name.get(LE));
                let room = strings.size.saturating_sub(name_offset);
                let len = usize::try_from(room.min(name_buf.len() as u64)).unwrap_or(0);
                self.blocks
                    .read(strings.offset + name_offset, &mut name_buf[..len])?;
                for (name, slot) in names.iter().zip(found.iter_mut()) {
                    let is_named = name_buf[..len].strip_prefix(name.as_bytes());
                    if slot.is_none() && is_named.is_some_and(|rest| rest.first() == Some(&0)) {
                        *slot = Some(value);
                    }
                }
            }
            next += count;
        }
        Ok(())
    }
}

/// What of the ELF header is needed.
struct Header {
    pie: bool,
    segments: (u64, usize),
    sections: (u64, usize),
    names_index: usize,
}

impl Header {
    fn read(blocks: &Blocks) -> Result<Self, Refusal> {
        let batch = Aligned::<FileHeader64<LittleEndian>>::read(blocks, 0, 1)
            .map_err(|err| not_an_executable(&format!("its ELF header cannot be read: {err}")))?;
        let Some(header) = batch.items().first() else {
            return Err(not_an_executable("it has no ELF header"));
        };
        let ident = &header.e_ident;
        if ident.magic != elf::ELFMAG {
            return Err(not_an_executable("it is not an ELF file"));
        }
        if ident.class != elf::ELFCLASS64
            || ident.data != elf::ELFDATA2LSB
            || header.e_machine.get(LE) != elf::EM_X86_64
        {
            return Err(not_an_executable(&format!(
                "it is an ELF file for machine {}, class {}; heaptop knows x86-64 (62, class 2)",
                header.e_machine.get(LE),
                ident.class
            )));
        }
        let pie = match header.e_type.get(LE) {
            elf::ET_EXEC => false,
            elf::ET_DYN => true,
            other => {
                return Err(not_an_executable(&format!(
                    "it is an ELF file of type {other}, not an executable"
                )));
            }
        };
        let entry_sizes_fit =
            usize::from(header.e_phentsize.get(LE)) == size_of::<ProgramHeader64<LittleEndian>>();
        if !entry_sizes_fit {
            return Err(not_an_executable("its program headers are corrupt"));
        }
        let sections_fit =
            usize::from(header.e_shentsize.get(LE)) == size_of::<SectionHeader64<LittleEndian>>();
        Ok(Self {
            pie,
            segments: (header.e_phoff.get(LE), header.e_phnum.get(LE).into()),
            sections: (
                header.e_shoff.get(LE),
                if sections_fit {
                    header.e_shnum.get(LE).into()
                } else {
                    0
                },
            ),
            names_index: header.e_shstrndx.get(LE).into(),
        })
    }
}

fn not_an_executable(why: &str) -> Refusal {
    Refusal::new(
        "cannot read the executable",
        why,
        "choose a Go program for linux/amd64",
    )
}

fn program_headers(
    blocks: &Blocks,
    header: &Header,
) -> io::Result<Aligned<ProgramHeader64<LittleEndian>>> {
    let (offset, count) = header.segments;
    Aligned::read(blocks, offset, count.min(MAX_SEGMENTS) as u64)
}

fn read_segments(blocks: &Blocks, header: &Header) -> Result<Vec<Segment>, Refusal> {
    let headers = program_headers(blocks, header)
        .map_err(|err| not_an_executable(&format!("its program headers cannot be read: {err}")))?;
    let mut segments: Vec<Segment> = headers
        .items()
        .iter()
        .filter(|header| header.p_type.get(LE) == elf::PT_LOAD)
        .map(|header| {
            let flags = header.p_flags.get(LE);
            let mem_size = header.p_memsz.get(LE);
            Segment {
                vaddr: header.p_vaddr.get(LE),
                mem_size,
                file_offset: header.p_offset.get(LE),
                file_size: header.p_filesz.get(LE).min(mem_size),
                writable: flags & elf::PF_W != 0,
                executable: flags & elf::PF_X != 0,
            }
        })
        .collect();
    segments.sort_by_key(|segment| segment.vaddr);
    if segments.is_empty() {
        return Err(not_an_executable("it has no segment to load"));
    }
    Ok(segments)
}

/// A section header with its name.
struct NamedSection {
    name: String,
    header: SectionHeader64<LittleEndian>,
}

/// All sections in file order, unnamed ones included since `sh_link` counts them; `None` when there are no usable
/// headers: stripped of them or corrupt, and everything has a way without them.
fn read_sections(blocks: &Blocks, header: &Header) -> Option<Vec<NamedSection>> {
    let (offset, count) = header.sections;
    if count > MAX_SECTIONS {
        return None;
    }
    let headers =
        Aligned::<SectionHeader64<LittleEndian>>::read(blocks, offset, count as u64).ok()?;
    let headers = headers.items();
    let names_header = headers.get(header.names_index)?;
    let names_size = names_header.sh_size.get(LE).min(MAX_SMALL_TABLE_BYTES);
    let mut names = vec![0; usize::try_from(names_size).ok()?];
    blocks
        .read(names_header.sh_offset.get(LE), &mut names)
        .ok()?;
    let sections = headers.iter().map(|header| {
        let start = usize::try_from(header.sh_name.get(LE)).unwrap_or(usize::MAX);
        let name = names.get(start..).unwrap_or_default();
        let end = name.iter().position(|&b| b == 0).unwrap_or(name.len());
        NamedSection {
            name: String::from_utf8_lossy(&name[..end]).into_owned(),
            header: *header,
        }
    });
    Some(sections.collect())
}

/// The symbol table and its strings.
fn symbol_tables(sections: &[NamedSection]) -> Option<(Table, Table)> {
    let table = |section: &NamedSection| Table {
        offset: section.header.sh_offset.get(LE),
        size: section.header.sh_size.get(LE),
    };
    let symbols = sections
        .iter()
        .find(|section| section.header.sh_type.get(LE) == elf::SHT_SYMTAB)?;
    let strings = sections.get(usize::try_from(symbols.header.sh_link.get(LE)).ok()?)?;
    // Offsets beyond any file keep the sums of the search from overflowing.
    let sane = |table: &Table| table.offset < 1 << 48 && table.size < 1 << 48;
    let (symbols, strings) = (table(symbols), table(strings));
    (sane(&symbols) && sane(&strings)).then_some((symbols, strings))
}

/// Compression of a section of debug information.
#[derive(Clone, Copy, Debug)]
enum Packing {
    None,
    /// `SHF_COMPRESSED`.
    Elf,
    /// The section's name begins with `.zdebug_`.
    Gnu,
}

/// The sections of debug information by their uncompressed names, `.debug_…`.
fn debug_sections(sections: &[NamedSection]) -> Vec<(String, Table, Packing)> {
    let debug = sections.iter().filter_map(|section| {
        let size = section.header.sh_size.get(LE);
        let table = Table {
            offset: section.header.sh_offset.get(LE),
            size,
        };
        let flags = section.header.sh_flags.get(LE);
        let (name, packing) = if let Some(rest) = section.name.strip_prefix(".zdebug_") {
            (format!(".debug_{rest}"), Packing::Gnu)
        } else if section.name.starts_with(".debug_") {
            let is_compressed = flags & u64::from(elf::SHF_COMPRESSED) != 0;
            let packing = if is_compressed {
                Packing::Elf
            } else {
                Packing::None
            };
            (section.name.clone(), packing)
        } else {
            return None;
        };
        (size <= MAX_DEBUG_BYTES).then_some((name, table, packing))
    });
    debug.collect()
}

/// The GNU and the Go build id from the note segments.
fn read_build_ids(blocks: &Blocks, header: &Header) -> (Option<Vec<u8>>, Option<Vec<u8>>) {
    const GO_BUILD_ID: u32 = 4; // cmd/link/internal/ld/elf.go, ELF_NOTE_GOBUILDID_TAG
    let (mut gnu, mut go) = (None, None);
    let Ok(headers) = program_headers(blocks, header) else {
        return (None, None);
    };
    for header in headers.items() {
        let size = header.p_filesz.get(LE);
        if header.p_type.get(LE) != elf::PT_NOTE || size > MAX_SMALL_TABLE_BYTES {
            continue;
        }
        let offset = header.p_offset.get(LE);
        let Ok(batch) = Aligned::<u8>::read(blocks, offset, size) else {
            continue;
        };
        let align = header.p_align.get(LE);
        let Ok(notes) =
            NoteIterator::<FileHeader64<LittleEndian>>::new(LE, align, batch.as_bytes())
        else {
            continue;
        };
        for note in notes.map_while(Result::ok) {
            match (note.name(), note.n_type(LE)) {
                (b"GNU", elf::NT_GNU_BUILD_ID) => gnu = gnu.or(Some(note.desc().to_vec())),
                (b"Go", GO_BUILD_ID) => go = go.or(Some(note.desc().to_vec())),
                _ => {}
            }
        }
    }
    (gnu, go)
}

/// Records read into memory that is aligned for them.
struct Aligned<T> {
    words: Vec<u64>,
    count: usize,
    kind: std::marker::PhantomData<T>,
}

impl<T: Pod> Aligned<T> {
    /// Reads `count` records; the caller bounds `count`.
    fn read(blocks: &Blocks, offset: u64, count: u64) -> io::Result<Self> {
        let count = usize::try_from(count).map_err(|_| io::ErrorKind::InvalidData)?;
        let bytes = count
            .checked_mul(size_of::<T>())
            .ok_or(io::ErrorKind::InvalidData)?;
        let mut words = vec![0_u64; bytes.div_ceil(8)];
        blocks.read(offset, &mut pod::bytes_of_slice_mut(&mut words)[..bytes])?;
        Ok(Self {
            words,
            count,
            kind: std::marker::PhantomData,
        })
    }

    fn items(&self) -> &[T] {
        // The buffer is long enough and aligned to eight bytes, more than any ELF record asks for.
        pod::slice_from_bytes(self.as_words(), self.count).map_or(&[], |(items, _)| items)
    }

    fn as_words(&self) -> &[u8] {
        pod::bytes_of_slice(&self.words)
    }
}

impl Aligned<u8> {
    fn as_bytes(&self) -> &[u8] {
        &self.as_words()[..self.count]
    }
}

/// The file in cached blocks.
#[derive(Debug)]
struct Blocks {
    file: File,
    cache: Mutex<Cache>,
}

#[derive(Debug, Default)]
struct Cache {
    /// Block number → bytes (fewer than a block at the end of the file) and when it was last used.
    blocks: HashMap<u64, (Arc<Vec<u8>>, u64)>,
    clock: u64,
}

impl Blocks {
    fn new(file: File) -> Self {
        Self {
            file,
            cache: Mutex::default(),
        }
    }

    /// Bytes of the file now.
    fn len(&self) -> u64 {
        self.file.metadata().map_or(0, |metadata| metadata.len())
    }

    /// Fills `buf` from the file offset, or fails at the end of the file.
    fn read(&self, mut offset: u64, mut buf: &mut [u8]) -> io::Result<()> {
        while !buf.is_empty() {
            let block = self.block(offset / BLOCK_BYTES)?;
            let skip = usize::try_from(offset % BLOCK_BYTES).unwrap_or(usize::MAX);
            let bytes = block.get(skip..).unwrap_or_default();
            if bytes.is_empty() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let len = bytes.len().min(buf.len());
            let (head, tail) = buf.split_at_mut(len);
            head.copy_from_slice(&bytes[..len]);
            buf = tail;
            offset = offset
                .checked_add(len as u64)
                .ok_or(io::ErrorKind::UnexpectedEof)?;
        }
        Ok(())
    }

    fn block(&self, number: u64) -> io::Result<Arc<Vec<u8>>> {
        // A panic elsewhere cannot leave the cache half changed: it only ever holds whole blocks.
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        cache.clock += 1;
        let now = cache.clock;
        if let Some((block, used)) = cache.blocks.get_mut(&number) {
            *used = now;
            return Ok(Arc::clone(block));
        }
        let block = Arc::new(self.read_block(number)?);
        if cache.blocks.len() >= MAX_BLOCKS {
            let oldest = cache.blocks.iter().min_by_key(|(_, (_, used))| *used);
            if let Some(oldest) = oldest.map(|(&number, _)| number) {
                cache.blocks.remove(&oldest);
            }
        }
        cache.blocks.insert(number, (Arc::clone(&block), now));
        Ok(block)
    }

    fn read_block(&self, number: u64) -> io::Result<Vec<u8>> {
        let start = number
            .checked_mul(BLOCK_BYTES)
            .filter(|&start| start <= i64::MAX.cast_unsigned() - BLOCK_BYTES)
            .ok_or(io::ErrorKind::UnexpectedEof)?;
        let mut bytes = vec![0; usize::try_from(BLOCK_BYTES).unwrap_or(0)];
        let mut len = 0;
        while len < bytes.len() {
            match self.file.read_at(&mut bytes[len..], start + len as u64) {
                Ok(0) => break,
                Ok(n) => len += n,
                Err(err) if err.kind() == io::ErrorKind::Interrupted => {}
                Err(err) => return Err(err),
            }
        }
        bytes.truncate(len);
        Ok(bytes)
    }
}

#[cfg(test)]
#[path = "image_tests.rs"]
mod tests;
