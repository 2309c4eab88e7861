#!/usr/bin/env python3
"""Who is really asking, played with real parties: a provider, a browser, three database drivers, a gateway, a server."""

import argparse
import pathlib
import sys
import traceback

sys.dont_write_bytecode = True
sys.path[:0] = [str(pathlib.Path(__file__).resolve().parents[1] / "conformance"), str(pathlib.Path(__file__).resolve().parent)]

import harness
import ways
import keys
import machines
import people
from scene import Scene

# In this order: the last ones stop the provider, and what it keeps in memory is gone.
PARTS = (people, machines, ways, keys)


def main():
    """Plays every case of every part."""
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--binary", help="the countersign binary (default: the newest in the target folder)")
    p.add_argument("--only", default="", help="only cases whose name has this in it")
    arguments = p.parse_args()
    results = harness.Results()
    box = harness.Box("idp")
    try:
        scene = Scene(box, arguments.binary)
    except (harness.HarnessError, AssertionError) as e:
        results.add("setting up", e)
        return results.finish()
    for part in PARTS:
        for name, check in part.cases(scene):
            if arguments.only not in name:
                continue
            try:
                results.add(name, None, check() or "")
            except AssertionError as e:
                results.add(name, str(e) or traceback.format_exc()[-2500:])
            except Exception:
                results.add(name, traceback.format_exc()[-2500:])
    status = results.finish()
    box.close()
    return status


if __name__ == "__main__":
    sys.exit(main())
