"""Finds sensitive values in bytes: as they are, and in every form that a query or a wire format could have given them."""

import base64
import hashlib
import re
import struct

# A shorter piece of a value could be there by chance.
PIECE = 8
# Parts of values that say nothing of any one of them.
SHARED = (b"@box.example", b"@json.example", b"@notes.example", b"@events.example", b" from desk ", b"@hr.example", b"notes.example or to ", b'"nested": {"mails": ["', b'{"mail": "')
TIMES, TIME_CHARS = ("born", "last_seen", "visits"), set(b"0123456789-:. +\"[](),")
# Their years, and what is left of these when they are turned around.
CENTURY = (b"193", b"197", b"391", b"791")
ALPHABET = "bcdfghjklmpqrstvwxz2345679"


def token(label, kind):
    """The letters or digits that CANARY…(label) stands for; nothing else in the tests has them in this order."""
    raw = hashlib.sha256(f"{kind} {label}".encode()).digest()
    if kind == "DIGITS":
        return str(int.from_bytes(raw[:5], "big")).zfill(13)[:12]
    if kind == "HEX":
        return raw[:10].hex()[:8] + "-" + raw[4:6].hex() + "-4" + raw[6:8].hex()[1:] + "-8" + raw[8:10].hex()[1:] + "-"
    return "".join(ALPHABET[b % len(ALPHABET)] for b in raw[:14])


def planted(text):
    """The fixture with its canaries."""
    return re.sub(r"CANARY(DIGITS|HEX|)\((\w)\)", lambda m: token(m.group(2), m.group(1)), text)


def numeric_binary(text):
    """A numeric as PostgreSQL sends it in binary: its groups of four digits."""
    whole, _, fraction = text.lstrip("-").partition(".")
    whole = whole.rjust(-(-len(whole) // 4) * 4, "0")
    fraction = fraction.ljust(-(-len(fraction) // 4) * 4, "0")
    digits = whole + fraction
    return b"".join(struct.pack(">H", int(digits[i:i + 4])) for i in range(0, len(digits), 4))


def forms(value):
    """A value in every form whose every piece tells something of it."""
    text = value.encode()
    for t in {text, text.upper(), text[::-1], text[::-1].upper()}:
        yield t
        yield t.hex().encode()
        for shift in range(3):
            # Whatever stands before it, the middle of its base 64 is one of three.
            encoded = base64.b64encode(b"\0" * shift + t)
            yield encoded[4 if shift else 0:len(encoded) - 4]
    yield "".join(f"\\{b:03o}" for b in text).encode()
    yield text.decode().encode("utf-16-le")


def digests(value):
    """Digests of a value: anybody who knows the value finds it by them."""
    for t in {value.encode(), value.upper().encode(), value.lower().encode()}:
        for name in ("md5", "sha1", "sha224", "sha256", "sha384", "sha512"):
            digest = hashlib.new(name, t).digest()
            yield from (digest, digest.hex().encode(), base64.b64encode(digest))


class Leaks:
    """Pieces of all forms of all values."""

    def __init__(self, values, exact=()):
        self.pieces = {}
        for name, value in values:
            for form in forms(value):
                self._add(name, form)
            for digest in digests(value):
                self._add(name, digest[:PIECE])
        for name, form in exact:
            self._add(name, form)
        # What many values share tells nothing of one: such as the ends that all of them have.
        for shared in SHARED:
            for at in range(len(shared) - PIECE + 1):
                self.pieces.pop(shared[at:at + PIECE], None)

    def _add(self, name, form):
        form = form.lower()
        for at in range(len(form) - PIECE + 1):
            piece = form[at:at + PIECE]
            # Days and times are everywhere; those of the canaries are known by their century.
            common = name in TIMES and set(piece) <= TIME_CHARS and not any(c in piece for c in CENTURY)
            if len(set(piece)) > 3 and not common:
                self.pieces.setdefault(piece, name)

    def allow(self, data):
        """Pieces that also stand in what is no secret, such as the questions themselves."""
        data = data.lower()
        for at in range(len(data) - PIECE + 1):
            self.pieces.pop(data[at:at + PIECE], None)

    def find(self, data):
        """The first pieces found, with their places: (column, piece, offset)."""
        found, lower, pieces = [], bytes(data).lower(), self.pieces
        for at in range(len(lower) - PIECE + 1):
            name = pieces.get(lower[at:at + PIECE])
            if name is not None:
                found.append((name, lower[at:at + PIECE], at))
                if len(found) >= 20:
                    break
        return found
