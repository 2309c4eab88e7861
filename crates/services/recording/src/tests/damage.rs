//! Cut, flipped and torn segments: the reader answers with a beginning of what was written or with what is wrong, never with
//! garbage, and recovery drops nothing but what was never acknowledged.

use std::path::PathBuf;

use super::*;
use crate::{RecordingError, check_segment};

/// A small sealed segment, and its folder.
fn sealed() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let recorder = start(dir.path());
    let mut w = Writer::new(&recorder, 1, "ci", "orders");
    for n in 1..=4 {
        w.intent(format!("update t set n = {n}").as_bytes(), b"bind").unwrap();
        w.session.output(n, later(1, 20), b"row").unwrap();
        w.outcome(n, OutcomeStatus::Done).unwrap();
    }
    w.close().unwrap();
    drop(w);
    drop(recorder);
    let path = dir.path().join("orders/000000000001.seg");
    (dir, path)
}

fn open_segment() -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    let recorder = start(dir.path());
    let mut w = Writer::new(&recorder, 1, "ci", "orders");
    for n in 1..=4 {
        w.intent(format!("update t set n = {n}").as_bytes(), b"bind").unwrap();
    }
    // As a crash would leave it, with its unused space.
    std::fs::read(dir.path().join("orders/000000000001.seg")).unwrap()
}

/// A recording with this one segment.
fn folder_with(bytes: &[u8]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("orders")).unwrap();
    std::fs::write(dir.path().join("orders/000000000001.seg"), bytes).unwrap();
    dir
}

/// What the reader says of a folder: the records before the first error, and whether there was one.
fn read(dir: &Path) -> (Vec<Record>, Option<RecordingError>) {
    let mut got = Vec::new();
    for record in Reader::new(dir).records(&RecordFilter::default()).unwrap() {
        match record {
            Ok(record) => got.push(record),
            Err(error) => return (got, Some(error)),
        }
    }
    (got, None)
}

#[test]
fn a_segment_cut_at_any_byte_yields_a_beginning_of_what_was_written() {
    let (dir, path) = sealed();
    let whole = std::fs::read(&path).unwrap();
    let (expected, error) = read(dir.path());
    assert!(error.is_none());
    assert_eq!(check_segment(&whole), Ok(15));
    let mut fewer = 0;
    for cut in 0..whole.len() {
        let bytes = &whole[..cut];
        std::fs::write(&path, bytes).unwrap();
        let (got, _) = read(dir.path());
        assert!(got.len() <= expected.len() && got == expected[..got.len()], "cut at {cut}");
        fewer += usize::from(got.len() < expected.len());
        if let Ok(count) = check_segment(bytes) {
            assert!(count <= 15, "cut at {cut}");
        }
        // The index beside it gives away that it was whole once.
        if cut > 128 {
            assert!(!Reader::new(dir.path()).verify().unwrap().problems.is_empty(), "cut at {cut}");
        }
    }
    assert!(fewer > 1000);
}

#[test]
fn every_flipped_bit_of_a_sealed_segment_is_found() {
    let (_dir, path) = sealed();
    let whole = std::fs::read(&path).unwrap();
    for bit in 0..whole.len() * 8 {
        let mut bytes = whole.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        let length_is_zero_now = check_segment(&bytes).is_ok();
        if length_is_zero_now {
            // A length of zero reads as the end of an open segment; what follows it, or the missing footer, gives it away.
            let dir = folder_with(&bytes);
            let path = dir.path().join("orders/000000000001.idx");
            std::fs::write(path, "").unwrap();
            assert!(!Reader::new(dir.path()).verify().unwrap().problems.is_empty(), "bit {bit}");
        }
    }
}

#[test]
fn damage_is_said_and_the_rest_is_still_listed() {
    let (dir, path) = sealed();
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() * 3 / 4;
    bytes[middle] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    std::fs::remove_file(path.with_extension("idx")).unwrap();
    let recorder = start(dir.path());
    Writer::new(&recorder, 2, "ci", "orders").close().unwrap();
    drop(recorder);
    let page = Reader::new(dir.path()).sessions(&all_sessions()).unwrap();
    assert_eq!(page.sessions.len(), 2);
    assert_eq!(page.problems.len(), 1, "{:?}", page.problems);
    assert!(page.problems[0].what.contains("damaged"), "{:?}", page.problems);
    // Among the records it is an error in its place, and the next segment follows.
    let results: Vec<_> = Reader::new(dir.path()).records(&RecordFilter::default()).unwrap().collect();
    assert_eq!(results.iter().filter(|r| r.is_err()).count(), 1);
    assert!(results.last().unwrap().is_ok());
    let timeline = Reader::new(dir.path()).timeline(id(1), 0, 100).unwrap();
    assert_eq!(timeline.problems.len(), 1);
    assert!(!timeline.items.is_empty());
}

#[test]
fn a_torn_last_entry_is_dropped() {
    let whole = open_segment();
    let end = whole.iter().rposition(|b| *b != 0).unwrap() + 1;
    let last = texts(&read(folder_with(&whole).path()).0).len();
    assert_eq!(last, 4);
    for torn in 1..40 {
        let mut bytes = whole.clone();
        bytes[end - torn..end].fill(0);
        if bytes == whole {
            continue;
        }
        let dir = folder_with(&bytes);
        drop(start(dir.path()));
        assert_eq!(texts(&of_session(dir.path(), 1)).len(), 3, "torn {torn}");
        let report = Reader::new(dir.path()).verify().unwrap();
        assert_eq!((report.sealed, report.open, &report.problems[..]), (1, 0, &[][..]), "torn {torn}");
        assert!(Reader::new(dir.path()).segments().unwrap()[0].recovered);
    }
}

#[test]
fn damage_in_the_middle_of_an_open_segment_is_kept_aside_and_reported() {
    let whole = open_segment();
    let needle = b"n = 2";
    let place = whole.windows(needle.len()).position(|w| w == needle).unwrap();
    let mut flipped = whole.clone();
    flipped[place] ^= 4;
    let mut wiped = whole.clone();
    // The whole frame: its text begins 28 bytes into it.
    wiped[place / 8 * 8 - 40..place / 8 * 8 + 16].fill(0);
    for bytes in [flipped, wiped] {
        let dir = folder_with(&bytes);
        assert!(!Reader::new(dir.path()).verify().unwrap().problems.is_empty(), "found before recovery");
        drop(start(dir.path()));
        assert_eq!(texts(&of_session(dir.path(), 1)).len(), 1, "what is before the damage");
        assert!(std::fs::read(dir.path().join("orders/000000000001.damaged")).unwrap() == bytes);
        let problems = Reader::new(dir.path()).verify().unwrap().problems;
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(problems[0].what.contains("kept aside"), "{problems:?}");
    }
}

#[test]
fn recovery_removes_what_never_held_anything_and_keeps_what_is_not_ours() {
    let dir = folder_with(&[0; 4096]);
    let journal = dir.path().join("orders");
    std::fs::write(journal.join("000000000002.seg"), b"").unwrap();
    std::fs::write(journal.join("000000000003.seg"), &open_segment()[..128]).unwrap();
    std::fs::write(journal.join("000000000004.seg"), b"something else").unwrap();
    std::fs::write(journal.join("000000000005.idx"), b"").unwrap();
    std::fs::write(journal.join("000000000006.idx.tmp"), b"").unwrap();
    std::fs::write(journal.join("notes.txt"), b"").unwrap();
    drop(start(dir.path()));
    let mut left: Vec<_> =
        std::fs::read_dir(&journal).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    left.sort();
    assert_eq!(left, ["000000000004.damaged", "notes.txt"]);
}

#[test]
fn a_crash_between_the_footer_and_the_index_is_mended() {
    let (dir, path) = sealed();
    let index = std::fs::read(path.with_extension("idx")).unwrap();
    std::fs::rename(path.with_extension("idx"), path.with_extension("idx.tmp")).unwrap();
    drop(start(dir.path()));
    assert!(std::fs::read(path.with_extension("idx")).unwrap() == index);
    assert!(!path.with_extension("idx.tmp").exists());
}

#[test]
fn a_segment_in_another_place_or_changed_with_its_checksum_is_found() {
    let (dir, path) = sealed();
    std::fs::copy(&path, path.with_file_name("000000000002.seg")).unwrap();
    let problems = Reader::new(dir.path()).verify().unwrap().problems;
    assert!(problems.iter().any(|p| p.what.contains("moved or renamed")), "{problems:?}");
    std::fs::remove_file(path.with_file_name("000000000002.seg")).unwrap();
    // Someone who can compute checksums still meets the digest.
    let mut bytes = std::fs::read(&path).unwrap();
    let needle = b"n = 2";
    let text = bytes.windows(needle.len()).position(|w| w == needle).unwrap();
    bytes[text + 4] = b'9';
    let frame = (0..=text).rev().filter(|o| o % 8 == 0).find(|o| {
        let len = u32::from_le_bytes(bytes[*o..*o + 4].try_into().unwrap()) as usize;
        (10..200).contains(&len) && bytes[*o + 8] == 3
    });
    let frame = frame.unwrap();
    let len = u32::from_le_bytes(bytes[frame..frame + 4].try_into().unwrap()) as usize;
    let crc = crate::frame::checksum(1, u32::try_from(frame).unwrap(), &bytes[frame + 8..frame + 8 + len]);
    bytes[frame + 4..frame + 8].copy_from_slice(&crc.to_le_bytes());
    std::fs::write(&path, &bytes).unwrap();
    assert_eq!(check_segment(&bytes), Ok(15));
    let problems = Reader::new(dir.path()).verify().unwrap().problems;
    assert!(problems.iter().any(|p| p.what.contains("digest")), "{problems:?}");
}
