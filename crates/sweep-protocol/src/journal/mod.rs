//! Journals: files of JSON lines with a checksum each. A writer appends durable lines. A reader reads complete lines
//! while the file grows.
//!
//! Journals are the source of truth; the database is derived from them. So damage must cost only the damaged line. A
//! line is damaged if a crash or a full disk cut it, if its checksum does not match, or if it is missing between its
//! neighbours. This module does not know what lines contain.
//!
//! ```text
//! {"v":2,"seq":0,"at_ms":1764,"event":{…},"check":"4f8a0c2e6b1d3f57"}
//! ```
//!
//! `check` is the beginning of the BLAKE3 digest of all bytes before `,"check"`. Lines of the first format have neither
//! `v` nor `check`. They are read too, and the reader reports them as unchecked.

mod error;
mod line;
mod reader;
mod writer;

pub use error::{JournalError, LineDamage};
pub use line::{JournalLine, now_ms};
pub use reader::{JournalPart, JournalReader};
pub use writer::JournalWriter;

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::{Path, PathBuf};

    use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

    use super::line::{CHECK_KEY, check_of};
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

            // A line that lacks only its line end gets one.
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
            // If the flipped bit hits the end of the last line, that line is incomplete. This does not count as damage.
            let is_noticed = !after.damage.is_empty() || after.lines.len() + 1 == before.len();
            prop_assert!(is_noticed && after.lines.len() + 2 >= before.len(), "{:?}", after);
        }

        #[test]
        fn removed_lines_are_reported(count in 2..8usize, out in 0..7usize) {
            let texts: Vec<String> = (0..count).map(|i| i.to_string()).collect();
            let (_folder, path) = written(&texts);
            let text = fs::read_to_string(&path).unwrap();
            let out = out % (count - 1); // only the tally can detect a missing last line
            let rest: String =
                text.split_inclusive('\n').enumerate().filter(|(i, _)| *i != out).map(|(_, line)| line).collect();
            fs::write(&path, rest).unwrap();
            let part = read(&path);
            prop_assert_eq!((part.lines.len(), part.damage.len()), (count - 1, 1));
        }
    }

    #[test]
    fn numbers_are_read_exactly() {
        // A fast, inexact parser returned a slightly larger value for this loss.
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
    fn line_ends_of_an_editor_are_harmless_and_notes_of_a_person_stay() {
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
    fn a_sequence_number_without_a_successor_is_damage() {
        let (_folder, path) = written(&["a".to_owned()]);
        let line = format!("{{\"seq\":{},\"at_ms\":1,\"event\":{{\"kind\":\"noticed\",\"text\":\"a\"}}}}\n", u64::MAX);
        fs::write(&path, line + &fs::read_to_string(&path).unwrap()).unwrap();
        assert_eq!((read(&path).lines.len(), read(&path).damage.len()), (1, 1));
    }

    #[test]
    fn lines_of_the_first_format_are_read_and_a_lost_checksum_is_damage() {
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
    fn a_foreign_line_is_reported_by_number_and_a_newer_format_is_refused() {
        let (_folder, path) = written(&["a".to_owned()]);
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, text + "{}\n").unwrap();
        assert!(read(&path).damage[0].to_string().contains("line 2: cannot be parsed"));
        let content = "{\"v\":3,\"what\":\"is new\"";
        fs::write(&path, format!("{content}{CHECK_KEY}{}\"}}\n", check_of(content.as_bytes()))).unwrap();
        let fault = JournalReader::<Event>::new(&path).read_new().unwrap_err().to_string();
        assert!(fault.contains("format 3"), "{fault}");
    }

    #[test]
    fn a_line_without_its_end_says_so() {
        let (_folder, path) = written(&["a".to_owned(), "b".to_owned()]);
        let text = fs::read_to_string(&path).unwrap();
        let first = text.find('\n').unwrap();
        fs::write(&path, format!("{}{}", &text[..first - 5], &text[first..])).unwrap();
        let part = read(&path);
        assert_eq!(part.lines.len(), 1);
        assert!(part.damage[0].to_string().ends_with("line 1: its end, with the checksum, is missing"));
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
        // Older programs wrote `null` for such a value. Only that line is lost.
        let text = fs::read_to_string(&path).unwrap();
        let null = "{\"seq\":0,\"at_ms\":1,\"event\":{\"kind\":\"measured\",\
                    \"measurements\":[{\"metric\":\"loss\",\"value\":null}]}}\n";
        fs::write(&path, format!("{null}{text}")).unwrap();
        assert_eq!((read(&path).lines.len(), read(&path).damage.len()), (2, 1));
    }
}
