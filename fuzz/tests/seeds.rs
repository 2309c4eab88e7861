//! Replays every seed whole, cut short at every byte, and changed in many ways that are the same on every run. Needs no fuzzing engine.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use countersign_fuzz::{TARGETS, Target};

/// The most cuts of one seed; longer seeds are cut at evenly spread places.
const CUTS_MAX: usize = 512;
/// Changed copies of one seed.
const CHANGES: usize = 400;
/// One input that takes longer hangs somebody's session.
const INPUT_MAX: Duration = Duration::from_secs(5);

#[test]
fn every_target_survives_its_seeds() {
    for target in TARGETS {
        let seeds = seeds(target.0);
        assert!(!seeds.is_empty(), "{}: no seeds in fuzz/corpus/{}", target.0, target.0);
        for (name, seed) in &seeds {
            replay(target, name, "whole", seed);
            let step = seed.len().div_ceil(CUTS_MAX).max(1);
            for cut in (0..seed.len()).step_by(step) {
                replay(target, name, &format!("cut at {cut}"), seed.get(..cut).unwrap_or_default());
            }
            let mut random = Random::from_name(name);
            for n in 0..CHANGES {
                let other = &seeds.get(random.below(seeds.len())).unwrap().1;
                replay(target, name, &format!("change {n}"), &changed(seed, other, &mut random));
            }
        }
    }
}

#[test]
fn every_target_survives_nothing_and_noise() {
    for target in TARGETS {
        for noise in [&b""[..], b"\0", b"\xff\xff\xff\xff", &[0; 4096], &[b'['; 65536], &[b'.'; 65536]] {
            replay(target, "noise", &format!("{} bytes", noise.len()), noise);
        }
    }
}

fn seeds(target: &str) -> Vec<(String, Vec<u8>)> {
    let folder = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").unwrap()).join("corpus").join(target);
    let entries = std::fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut out: Vec<_> = entries
        .map(|e| e.unwrap().path())
        .map(|p| (p.file_name().unwrap().to_string_lossy().into_owned(), std::fs::read(&p).unwrap()))
        .collect();
    out.sort();
    out
}

#[track_caller]
fn replay((name, run): &Target, seed: &str, how: &str, input: &[u8]) {
    let began = Instant::now();
    let outcome = catch_unwind(AssertUnwindSafe(|| run(input)));
    let took = began.elapsed();
    if outcome.is_err() || took > INPUT_MAX {
        let kept = std::env::temp_dir().join(format!("countersign-fuzz-{name}"));
        std::fs::write(&kept, input).unwrap();
        let what = if outcome.is_err() { "broke" } else { "took too long" };
        panic!("{name}: seed {seed}, {how}: {what} ({took:?}); the input is in {}", kept.display());
    }
}

/// A few small changes, as a fuzzing engine makes them.
fn changed(seed: &[u8], other: &[u8], random: &mut Random) -> Vec<u8> {
    let mut out = seed.to_vec();
    for _ in 0..=random.below(4) {
        let at = random.below(out.len().max(1));
        match random.below(6) {
            0 => out.iter_mut().skip(at).take(1).for_each(|b| *b ^= 1 << random.below(8)),
            1 => out.iter_mut().skip(at).take(1).for_each(|b| *b = random.byte()),
            2 => out.insert(at.min(out.len()), random.byte()),
            3 => drop(out.drain(at.min(out.len())..(at.saturating_add(random.below(8))).min(out.len()))),
            4 => {
                let from = random.below(other.len().max(1));
                let piece: Vec<u8> = other.iter().skip(from).take(random.below(32)).copied().collect();
                out.splice(at.min(out.len())..at.min(out.len()), piece);
            }
            _ => {
                let interesting = [0, 1, 0x7f, 0x80, 0xff, b'"', b'\\', b'\n', b'{', b'.', b'='];
                let value = interesting.get(random.below(interesting.len())).copied().unwrap_or(0);
                out.iter_mut().skip(at).take(1 + random.below(4)).for_each(|b| *b = value);
            }
        }
    }
    out
}

/// Xorshift: the same numbers for the same name, always.
struct Random(u64);

impl Random {
    fn from_name(name: &str) -> Self {
        let hash =
            name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x100_0000_01b3));
        Self(hash | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, bound: usize) -> usize {
        let bound = u64::try_from(bound).unwrap();
        usize::try_from(self.next() % bound).unwrap()
    }

    fn byte(&mut self) -> u8 {
        self.next().to_le_bytes()[3]
    }
}
