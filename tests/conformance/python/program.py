"""What the Python client programs share: cases are functions, answers are JSON lines.

A case that raises is a crash, which fails the test even when both legs crash alike, so a database error that is part
of the answer is caught by the case itself.
"""

import hashlib
import json
import math
import sys
import traceback

CASES = []


def case(function):
    """Registers a case under the function's name."""
    CASES.append(function)
    return function


def show(value):
    """Any value as JSON that tells types apart and repeats exactly."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, (bytes, bytearray, memoryview)):
        data = bytes(value)
        return f"bytes {data.hex()}" if len(data) <= 200 else f"bytes {len(data)} {hashlib.sha256(data).hexdigest()}"
    if isinstance(value, str):
        if len(value) <= 2000:
            return value
        return f"str {len(value)} {hashlib.sha256(value.encode()).hexdigest()}"
    if isinstance(value, float):
        return f"float {value!r}" if math.isfinite(value) else f"float {value}"
    if isinstance(value, int):
        return value
    if isinstance(value, (list, tuple)):
        return [show(v) for v in value]
    if isinstance(value, dict):
        return {str(k): show(v) for k, v in value.items()}
    return f"{type(value).__name__} {value!r}" if not hasattr(value, "_asdict") else show(value._asdict())


def endpoint():
    """The way in, from the file named by the first argument."""
    with open(sys.argv[1], encoding="utf-8") as f:
        return json.load(f)


def selected():
    """The cases to run: all, or those named after the endpoint."""
    return [c for c in CASES if len(sys.argv) < 3 or c.__name__ in sys.argv[2:]]


def emit(name, out):
    """Writes the answer of a case."""
    print(json.dumps({"case": name, "out": show(out)}, ensure_ascii=True), flush=True)


def crash(name):
    """Writes that a case raised."""
    print(json.dumps({"case": name, "crash": traceback.format_exc()}), flush=True)
