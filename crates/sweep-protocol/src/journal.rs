//! JSON lines with a checksum each: append one, durable; read what is complete, as it grows.
//!
//! A journal is the truth and the database is derived from it, so damage costs the line that it hits and no other: a line that was
//! cut by a crash or a full disk, that fails its checksum, or that is missing between its neighbours. Knows nothing of what the
//! lines say.
//!
//! ```text
//! {"v":2,"seq":0,"at_ms":1764,"event":{…},"check":"4f8a0c2e6b1d3f57"}
//! ```
//!
//! `check` is the beginning of the BLAKE3 digest of all bytes before `,"check"`. Lines of the first format have neither `v` nor `check`;
//! they are read, and the reader says that they are not checked.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::marker::PhantomData;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::durable::sync_folder;

/// Version of the format that is written.
const FORMAT: u32 = 2;
/// Hexadecimal digits of a line's checksum.
const CHECK_DIGITS: usize = 16;
/// How lines of both formats start.
const STARTS: [&[u8]; 2] = [b"{\"v\":", b"{\"seq\":"];
/// What stands between a line's content and its checksum.
const CHECK_KEY: &str = ",\"check\":\"";

/// A journal could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The operating system refused.
    #[error("journal {path}: {doing} failed")]
    Io {
        /// Which file.
        path: PathBuf,
        /// What was being done.
        doing: &'static str,
        /// Why.
        source: io::Error,
    },
    /// An event cannot be written down: it has a number that is not finite.
    #[error("journal {path}: an event cannot be written")]
    Event {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
    /// An intact line of a later format.
    #[error(
        "journal {path}: written by a newer version of this program (format {found}, this version reads {FORMAT}); use that version"
    )]
    Newer {
        /// Which file.
        path: PathBuf,
        /// Its format.
        found: u32,
    },
}

/// A line of a journal that is lost; those around it are not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path}, line {line}: {what}")]
pub struct LineDamage {
    /// Which journal.
    pub path: PathBuf,
    /// Counted from 1.
    pub line: u64,
    /// What is wrong, as a sentence without its end.
    pub what: String,
}

/// One line of a journal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JournalLine<T> {
    /// Counted from 0 in its file; with run and attempt it names the line for good.
    pub seq: u64,
    /// When it was written: milliseconds since 1970, UTC.
    pub at_ms: u64,
    /// What it says.
    pub event: T,
}

/// A line as format 2 has it, without its checksum.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored<T> {
    v: u32,
    seq: u64,
    at_ms: u64,
    event: T,
}

/// Milliseconds since 1970, UTC. For records only: no result depends on it.
#[expect(clippy::disallowed_methods, reason = "the one place that stamps records with the wall clock")]
pub fn now_ms() -> u64 {
    let since = std::time::SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

fn check_of(content: &[u8]) -> String {
    blake3::hash(content).to_hex()[..CHECK_DIGITS].to_owned()
}

/// Appends lines to a journal.
#[derive(Debug)]
pub struct JournalWriter<T> {
    path: PathBuf,
    file: File,
    length: u64,
    next_seq: u64,
    kind: PhantomData<T>,
}

impl<T: Serialize + DeserializeOwned> JournalWriter<T> {
    /// Opens a journal for appending. What a writer left of a line that it could not finish is cut off; a whole line without its end gets
    /// it, and text that no writer wrote stays, as a damaged line.
    ///
    /// # Errors
    /// When the file cannot be opened, or is of a later format.
    pub fn open(path: &Path) -> Result<Self, JournalError> {
        let mut reader = JournalReader::<T>::new(path);
        reader.read_new()?;
        let fault = |doing| move |source| JournalError::Io { path: path.to_owned(), doing, source };
        let is_new = !path.exists();
        let mut file =
            OpenOptions::new().create(true).truncate(false).write(true).open(path).map_err(fault("opening"))?;
        let rest = reader.rest;
        let is_whole = matches!(parsed::<T>(&rest), Parsed::Intact { .. });
        let is_ours = STARTS.iter().any(|start| rest.starts_with(start) || start.starts_with(&rest));
        if is_whole || !is_ours {
            file.seek(SeekFrom::End(0)).and_then(|_| file.write_all(b"\n")).map_err(fault("ending its last line"))?;
            return Self::open(path);
        }
        file.set_len(reader.offset).map_err(fault("cutting an incomplete line"))?;
        file.seek(SeekFrom::End(0)).map_err(fault("seeking"))?;
        if is_new && let Some(folder) = path.parent() {
            sync_folder(folder).map_err(fault("syncing its folder"))?;
        }
        Ok(Self { path: path.to_owned(), file, length: reader.offset, next_seq: reader.next_seq, kind: PhantomData })
    }

    /// Appends one line; it is on the disk when this returns.
    ///
    /// # Errors
    /// When the line cannot be written whole (a full disk); nothing of it is left then.
    pub fn append(&mut self, event: T) -> Result<(), JournalError> {
        let (length, seq) = (self.length, self.next_seq);
        self.append_without_sync(event)?;
        let synced = self.file.sync_data();
        if synced.is_err() {
            // What may not be on the disk was not said: nobody may read it as if it were.
            (self.length, self.next_seq) = (length, seq);
            self.cut();
        }
        synced.map_err(|source| self.fault("syncing", source))
    }

    /// Appends one line that a crash of the machine may take away, and that nothing depends on.
    ///
    /// # Errors
    /// As [`Self::append`].
    pub fn append_without_sync(&mut self, event: T) -> Result<(), JournalError> {
        let line = Stored { v: FORMAT, seq: self.next_seq, at_ms: now_ms(), event };
        let mut bytes =
            serde_json::to_vec(&line).map_err(|source| JournalError::Event { path: self.path.clone(), source })?;
        bytes.pop(); // the brace, which follows the checksum
        let check = check_of(&bytes);
        bytes.extend_from_slice(format!("{CHECK_KEY}{check}\"}}\n").as_bytes());
        if let Err(source) = self.file.write_all(&bytes) {
            let doing = if self.cut() { "appending" } else { "appending, and cutting what was written," };
            return Err(self.fault(doing, source));
        }
        self.length += bytes.len() as u64;
        self.next_seq += 1;
        Ok(())
    }

    /// Takes away what lies behind the lines that were said; whether that was possible.
    fn cut(&mut self) -> bool {
        self.file.set_len(self.length).and_then(|()| self.file.seek(SeekFrom::Start(self.length))).is_ok()
    }

    fn fault(&self, doing: &'static str, source: io::Error) -> JournalError {
        JournalError::Io { path: self.path.clone(), doing, source }
    }
}

/// What a reader found since it was last asked.
#[derive(Debug, PartialEq)]
pub struct JournalPart<T> {
    /// The intact lines, in order.
    pub lines: Vec<JournalLine<T>>,
    /// What is lost between them.
    pub damage: Vec<LineDamage>,
}

/// Reads a journal as it grows.
#[derive(Debug)]
pub struct JournalReader<T> {
    path: PathBuf,
    /// Bytes of complete lines so far.
    offset: u64,
    /// Lines that count, where that is settled; what lies beyond was written when nobody was to write any more.
    extent: Option<u64>,
    /// What follows the last complete line.
    rest: Vec<u8>,
    lines: u64,
    next_seq: u64,
    /// Damaged lines since the last intact one: numbers that are missing for a known reason.
    damaged: u64,
    checked: u64,
    unchecked: u64,
    kind: PhantomData<T>,
}

impl<T: DeserializeOwned> JournalReader<T> {
    /// Starts at the beginning of a file that need not exist yet.
    pub fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            offset: 0,
            extent: None,
            rest: Vec::new(),
            lines: 0,
            next_seq: 0,
            damaged: 0,
            checked: 0,
            unchecked: 0,
            kind: PhantomData,
        }
    }

    /// Reads no further than so many lines, by their numbers: nothing follows them, so that the last one needs no end.
    #[must_use]
    pub fn up_to(self, extent: Option<u64>) -> Self {
        Self { extent, ..self }
    }

    /// The number of the next line: so many lines were read or are missing.
    pub fn next_seq(&self) -> u64 {
        self.next_seq
    }

    /// Intact lines without a checksum that were read: the first format has none.
    pub fn unchecked(&self) -> u64 {
        self.unchecked
    }

    /// The complete lines that were added since the last call; an incomplete last line is left for later.
    ///
    /// # Errors
    /// When the file cannot be read or is of a later format.
    pub fn read_new(&mut self) -> Result<JournalPart<T>, JournalError> {
        self.read(|_| Ok(()))
    }

    /// As [`Self::read_new`]; what it returns is on the disk, whether its writer has come to that or not.
    ///
    /// # Errors
    /// As [`Self::read_new`], and when the file cannot be synced.
    pub fn read_durable(&mut self) -> Result<JournalPart<T>, JournalError> {
        self.read(File::sync_data)
    }

    fn read(&mut self, settle: impl FnOnce(&File) -> io::Result<()>) -> Result<JournalPart<T>, JournalError> {
        let mut part = JournalPart { lines: Vec::new(), damage: Vec::new() };
        let fault = |source| JournalError::Io { path: self.path.clone(), doing: "reading", source };
        match std::fs::metadata(&self.path) {
            // Opening a pipe waits, and reading a device may never end.
            Ok(found) if !found.is_file() => return Err(fault(io::Error::other("not a regular file"))),
            _ => {}
        }
        let mut file = match File::open(&self.path) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(part),
            Err(e) => return Err(fault(e)),
        };
        file.seek(SeekFrom::Start(self.offset)).map_err(fault)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(fault)?;
        let complete = bytes.iter().rposition(|&b| b == b'\n').map_or(0, |at| at + 1);
        if complete > 0 {
            settle(&file).map_err(fault)?;
        }
        for line in bytes[..complete].split_inclusive(|&b| b == b'\n') {
            self.take(&line[..line.len() - 1], &mut part)?;
        }
        self.offset += complete as u64;
        self.rest = bytes[complete..].to_vec();
        if self.extent.is_some() && !self.rest.is_empty() {
            let rest = std::mem::take(&mut self.rest);
            self.take(&rest, &mut part)?;
        }
        Ok(part)
    }

    /// Takes in one complete line, without its end.
    fn take(&mut self, text: &[u8], part: &mut JournalPart<T>) -> Result<(), JournalError> {
        self.lines += 1;
        // An editor may have added a blank line, or another end to each.
        let text = text.strip_suffix(b"\r").unwrap_or(text);
        let is_beyond = |seq: u64| self.extent.is_some_and(|extent| seq >= extent);
        if text.is_empty() || is_beyond(self.next_seq) {
            return Ok(());
        }
        let mut damage = |line, what: String| part.damage.push(LineDamage { path: self.path.clone(), line, what });
        let (line, is_checked) = match parsed(text) {
            Parsed::Intact { line, is_checked } => (line, is_checked),
            Parsed::Newer(found) => return Err(JournalError::Newer { path: self.path.clone(), found }),
            Parsed::Damaged(what) => {
                self.damaged += 1;
                damage(self.lines, what);
                return Ok(());
            }
        };
        if !is_checked && self.checked > 0 {
            self.damaged += 1;
            damage(self.lines, "its checksum is missing".to_owned());
            return Ok(());
        }
        let Some(next_seq) = line.seq.checked_add(1) else {
            damage(self.lines, format!("its number is {}", line.seq));
            return Ok(());
        };
        if is_beyond(line.seq) {
            return Ok(());
        }
        if line.seq < self.next_seq {
            damage(self.lines, format!("it repeats line number {}", line.seq));
            return Ok(());
        }
        let missing = (line.seq - self.next_seq).saturating_sub(self.damaged);
        if missing > 0 {
            damage(self.lines, format!("{missing} lines before it are missing"));
        }
        self.next_seq = next_seq;
        self.damaged = 0;
        *(if is_checked { &mut self.checked } else { &mut self.unchecked }) += 1;
        part.lines.push(line);
        Ok(())
    }
}

/// What a complete line turns out to be.
enum Parsed<T> {
    Intact { line: JournalLine<T>, is_checked: bool },
    Newer(u32),
    Damaged(String),
}

fn parsed<T: DeserializeOwned>(text: &[u8]) -> Parsed<T> {
    let Some((content, check)) = checked_parts(text) else {
        return match serde_json::from_slice(text) {
            Ok(line) => Parsed::Intact { line, is_checked: false },
            Err(fault) => Parsed::Damaged(format!("not understood: {fault}")),
        };
    };
    if check_of(content).as_bytes() != check {
        return Parsed::Damaged("its checksum is not that of its content".to_owned());
    }
    let whole = [content, b"}"].concat();
    match serde_json::from_slice::<Stored<T>>(&whole) {
        Ok(Stored { v, .. }) if v > FORMAT => Parsed::Newer(v),
        Ok(Stored { seq, at_ms, event, .. }) => {
            Parsed::Intact { line: JournalLine { seq, at_ms, event }, is_checked: true }
        }
        Err(fault) => match serde_json::from_slice::<Version>(&whole) {
            Ok(Version { v }) if v > FORMAT => Parsed::Newer(v),
            _ => Parsed::Damaged(format!("not understood: {fault}")),
        },
    }
}

/// The one part of a line that every format from the second on has.
#[derive(Deserialize)]
struct Version {
    v: u32,
}

/// A line's content and its checksum's digits; nothing for a line that does not end with a checksum.
fn checked_parts(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let rest = text.strip_suffix(b"\"}")?;
    let (rest, check) = rest.split_at_checked(rest.len().checked_sub(CHECK_DIGITS)?)?;
    Some((rest.strip_suffix(CHECK_KEY.as_bytes())?, check))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

    use super::*;
    use crate::{Event, Measurement, Metric};

    fn notice(text: &str) -> Event {
        Event::Noticed { text: text.to_owned() }
    }

    fn written(texts: &[String]) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.jsonl");
        let mut writer = JournalWriter::open(&path).unwrap();
        for text in texts {
            writer.append_without_sync(notice(text)).unwrap();
        }
        (folder, path)
    }

    fn read(path: &Path) -> JournalPart<Event> {
        JournalReader::<Event>::new(path).read_new().unwrap()
    }

    proptest! {
        #[test]
        fn a_journal_cut_anywhere_keeps_every_line_before_the_cut(
            texts in proptest::collection::vec(any::<String>(), 1..6), share in 0.0..1.0f64,
        ) {
            let (_folder, path) = written(&texts);
            let bytes = fs::read(&path).unwrap();
            let cut = (bytes.len() as f64 * share) as usize;
            fs::write(&path, &bytes[..cut]).unwrap();
            let whole = bytes[..cut].iter().filter(|&&b| b == b'\n').count();
            prop_assert_eq!(read(&path).lines.len(), whole);

            // A line that lacks nothing but its end gets it.
            let kept = whole + usize::from(bytes.get(cut) == Some(&b'\n'));
            JournalWriter::open(&path).unwrap().append(notice("after")).unwrap();
            let part = read(&path);
            prop_assert_eq!((part.lines.len(), part.damage.len()), (kept + 1, 0));
            prop_assert_eq!(part.lines[kept].seq, kept as u64);
        }

        #[test]
        fn a_flipped_bit_costs_lines_and_changes_none(
            texts in proptest::collection::vec(any::<String>(), 1..6), share in 0.0..1.0f64, bit in 0..8u8,
        ) {
            let (_folder, path) = written(&texts);
            let before = read(&path).lines;
            let mut bytes = fs::read(&path).unwrap();
            let at = (bytes.len() as f64 * share) as usize;
            bytes[at] ^= 1 << bit;
            fs::write(&path, &bytes).unwrap();
            let after = read(&path);
            prop_assert!(after.lines.iter().all(|line| before.contains(line)));
            // The end of the last line may be what was hit: the line is incomplete then, which is no damage.
            let is_noticed = !after.damage.is_empty() || after.lines.len() + 1 == before.len();
            prop_assert!(is_noticed && after.lines.len() + 2 >= before.len(), "{:?}", after);
        }

        #[test]
        fn lines_that_were_taken_out_are_missed(count in 2..8usize, out in 0..7usize) {
            let texts: Vec<String> = (0..count).map(|i| i.to_string()).collect();
            let (_folder, path) = written(&texts);
            let text = fs::read_to_string(&path).unwrap();
            let out = out % (count - 1); // the last one's absence is for the tally to notice
            let rest: String = text.split_inclusive('\n').enumerate().filter(|(i, _)| *i != out).map(|(_, line)| line).collect();
            fs::write(&path, rest).unwrap();
            let part = read(&path);
            prop_assert_eq!((part.lines.len(), part.damage.len()), (count - 1, 1));
        }
    }

    #[test]
    fn numbers_are_read_to_the_last_bit() {
        // Read back quickly rather than exactly, this loss came out a bit larger.
        let loss = 1.0372208042144775f64;
        let read: f64 = serde_json::from_str(&serde_json::to_string(&loss).unwrap()).unwrap();
        assert_eq!(read.to_bits(), loss.to_bits());
    }

    #[test]
    fn a_reader_follows_a_growing_file_and_stops_at_its_extent() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.jsonl");
        let mut reader = JournalReader::<Event>::new(&path);
        assert!(reader.read_new().unwrap().lines.is_empty());
        let mut writer = JournalWriter::open(&path).unwrap();
        writer.append(notice("a")).unwrap();
        assert_eq!(reader.read_durable().unwrap().lines.len(), 1);
        assert!(reader.read_new().unwrap().lines.is_empty());
        let extent = reader.next_seq();
        writer.append(notice("b")).unwrap();
        assert_eq!(reader.read_new().unwrap().lines[0].event, notice("b"));
        assert_eq!(JournalReader::<Event>::new(&path).up_to(Some(extent)).read_new().unwrap().lines.len(), 1);
    }

    #[test]
    fn what_an_editor_does_costs_nothing_and_what_a_person_wrote_stays() {
        let (_folder, path) = written(&["a".to_owned(), "b".to_owned()]);
        let text = fs::read_to_string(&path).unwrap();
        let closed = |text: &str| {
            fs::write(&path, text).unwrap();
            JournalReader::<Event>::new(&path).up_to(Some(2)).read_new().unwrap()
        };
        for edited in [text.replace('\n', "\r\n"), text.replace('\n', "\n\n"), text.trim_end().to_owned()] {
            let part = closed(&edited);
            assert_eq!((part.lines.len(), part.damage.len()), (2, 0), "{edited}");
        }
        fs::write(&path, text.trim_end()).unwrap();
        JournalWriter::open(&path).unwrap().append(notice("c")).unwrap();
        assert_eq!(read(&path).lines.len(), 3, "a whole line without its end gets one");
        fs::write(&path, format!("{text}my note")).unwrap();
        JournalWriter::open(&path).unwrap().append(notice("c")).unwrap();
        assert_eq!((read(&path).lines.len(), read(&path).damage.len()), (3, 1));
        assert!(fs::read_to_string(&path).unwrap().contains("my note\n"));
    }

    #[test]
    fn a_number_beyond_all_numbers_is_damage() {
        let (_folder, path) = written(&["a".to_owned()]);
        let line = format!("{{\"seq\":{},\"at_ms\":1,\"event\":{{\"kind\":\"noticed\",\"text\":\"a\"}}}}\n", u64::MAX);
        fs::write(&path, line + &fs::read_to_string(&path).unwrap()).unwrap();
        assert_eq!((read(&path).lines.len(), read(&path).damage.len()), (1, 1));
    }

    #[test]
    fn lines_of_the_first_format_are_read_and_told_from_lines_that_lost_their_checksum() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.jsonl");
        let old = "{\"seq\":0,\"at_ms\":1,\"event\":{\"kind\":\"noticed\",\"text\":\"a\"}}\n";
        fs::write(&path, old).unwrap();
        JournalWriter::open(&path).unwrap().append(notice("b")).unwrap();
        let mut reader = JournalReader::<Event>::new(&path);
        assert_eq!((reader.read_new().unwrap().lines.len(), reader.unchecked()), (2, 1));
        fs::write(&path, fs::read_to_string(&path).unwrap() + &old.replace("\"seq\":0", "\"seq\":2")).unwrap();
        let part = read(&path);
        assert_eq!(part.lines.len(), 2);
        assert!(part.damage[0].to_string().ends_with("line 3: its checksum is missing"), "{:?}", part.damage);
    }

    #[test]
    fn a_foreign_line_is_named_by_number_and_a_newer_format_is_refused() {
        let (_folder, path) = written(&["a".to_owned()]);
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, text + "{}\n").unwrap();
        assert!(read(&path).damage[0].to_string().contains("line 2: not understood"));
        let content = "{\"v\":3,\"what\":\"is new\"";
        fs::write(&path, format!("{content}{CHECK_KEY}{}\"}}\n", check_of(content.as_bytes()))).unwrap();
        let fault = JournalReader::<Event>::new(&path).read_new().unwrap_err().to_string();
        assert!(fault.contains("format 3"), "{fault}");
    }

    #[test]
    fn a_number_that_is_not_finite_is_not_written() {
        let (_folder, path) = written(&["a".to_owned()]);
        let mut writer = JournalWriter::open(&path).unwrap();
        let value = |value| Measurement { metric: Metric::Loss, split: None, form: None, epoch: Some(1), value };
        let fault = writer.append(Event::Measured { measurements: vec![value(1.0), value(f64::NAN)] }).unwrap_err();
        assert!(fault.to_string().contains("cannot be written"), "{fault}");
        writer.append(Event::Measured { measurements: vec![value(1.0)] }).unwrap();
        assert_eq!(read(&path).lines.len(), 2);
        // A line of an older program, which wrote `null`, costs itself alone.
        let text = fs::read_to_string(&path).unwrap();
        let null = "{\"seq\":0,\"at_ms\":1,\"event\":{\"kind\":\"measured\",\"measurements\":[{\"metric\":\"loss\",\"value\":null}]}}\n";
        fs::write(&path, format!("{null}{text}")).unwrap();
        assert_eq!((read(&path).lines.len(), read(&path).damage.len()), (2, 1));
    }
}
