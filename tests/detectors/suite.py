"""Precision and recall of each detector beside Presidio's pattern recognisers, on one corpus in one run.

A span counts as found when a hit covers at least 80 % of it; a hit that covers no span counts as wrong. Presidio gets, for each detector,
the score threshold that suits it best on this very corpus. Fails when ours is below Presidio's, or below floors.json.
"""

import json
import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE / "corpus"))
import make  # noqa: E402
import presidio  # noqa: E402

COVER = 0.8


def bytes_of(text, spans):
    """Spans in characters to spans in bytes."""
    return [(len(text[:a].encode()), len(text[:b].encode())) for a, b in spans]


def covers(hit, span):
    """True when the hit covers enough of the span."""
    shared = min(hit[1], span[1]) - max(hit[0], span[0])
    return shared >= COVER * (span[1] - span[0])


def tally(samples, hits):
    """(precision, recall, wrong samples) of one detector."""
    found = missed = right = wrong = 0
    misses = []
    for sample, own in zip(samples, hits):
        spans = sample["bytes"]
        good = [h for h in own if any(covers(h, s) for s in spans)]
        lost = [s for s in spans if not any(covers(h, s) for h in own)]
        found += len(spans) - len(lost)
        missed += len(lost)
        right += len(good)
        wrong += len(own) - len(good)
        if lost or len(good) < len(own):
            misses.append(sample["text"])
    precision = right / (right + wrong) if right + wrong else 1.0
    recall = found / (found + missed) if found + missed else 1.0
    return precision, recall, misses


def ours(program, samples):
    """Hits of ours for each sample: [(start, end, detector)]; what is only possible is left out, as masking does."""
    lines = "".join(json.dumps(s["text"]) + "\n" for s in samples)
    done = subprocess.run([program], input=lines, capture_output=True, text=True, check=True)
    return [[(a, b, d) for a, b, d, c in json.loads(line) if c != "possible"] for line in done.stdout.splitlines()]


def theirs(recognisers, detector, samples):
    """The best (precision, recall) that Presidio has over its thresholds; None when it has no recogniser for this."""
    scored = presidio.hits(recognisers, detector, [s["text"] for s in samples])
    if scored is None:
        return None
    best = None
    for threshold in presidio.THRESHOLDS:
        hits = [bytes_of(s["text"], [(a, b) for a, b, score in own if score >= threshold]) for s, own in zip(samples, scored)]
        p, r, misses = tally(samples, hits)
        f1 = 2 * p * r / (p + r) if p + r else 0.0
        if best is None or f1 > best[0]:
            best = (f1, p, r, misses)
    return best[1:]


def main():
    program, show = sys.argv[1], sys.argv[2:]
    floors = json.loads((HERE / "floors.json").read_text())
    samples = list(make.samples())
    for s in samples:
        s["bytes"] = bytes_of(s["text"], s["spans"])
    all_hits = ours(program, samples)
    recognisers = presidio.recognisers()
    print(f"{len(samples)} samples, {sum(len(s['spans']) for s in samples)} spans\n")
    print(f"{'':20} {'samples':>8} {'ours':>15} {'Presidio':>17}")
    print(f"{'detector':20} {'':>8} {'precision':>9} {'recall':>6} {'precision':>10} {'recall':>6}")
    failed = []
    for detector in make.detectors():
        own = [i for i, s in enumerate(samples) if s["about"] == detector]
        about = [samples[i] for i in own]
        p, r, misses = tally(about, [[(a, b) for a, b, d in all_hits[i] if d == detector] for i in own])
        peer = theirs(recognisers, detector, about)
        beside = f"{peer[0]:10.3f} {peer[1]:6.3f}" if peer else f"{'–':>10} {'–':>6}"
        floor = floors.get(detector, floors["default"])
        why = []
        if p < floor["precision"] or r < floor["recall"]:
            why.append(f"below its floor of {floor['precision']}/{floor['recall']}")
        if peer and (p < peer[0] or r < peer[1]):
            why.append("below Presidio")
        print(f"{detector:20} {len(about):8} {p:9.3f} {r:6.3f} {beside}{'   ' + ', '.join(why) if why else ''}")
        failed += [detector] if why else []
        if detector in show or (why and not show):
            for text in misses[:12]:
                print(f"    ours    {text[:110]!r}")
        if peer and detector in show:
            for text in peer[2][:6]:
                print(f"    theirs  {text[:110]!r}")
    # What is nobody's, and what another detector is about: nothing may be found there by anyone.
    clean = [i for i, s in enumerate(samples) if not s["spans"]]
    noise = sum(bool(all_hits[i]) for i in clean)
    print(f"\nOf {len(clean)} samples without anything, {noise} have a hit of any of our detectors ({noise / len(clean):.1%}).")
    if noise / len(clean) > floors["noise"]:
        failed.append("noise")
        print(f"That is more than {floors['noise']:.1%}.")
    total = len(make.detectors()) + 1
    print(f"{total - len(failed)} passed, {len(failed)} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
