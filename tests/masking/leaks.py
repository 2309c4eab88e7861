"""Finds sensitive values in bytes: as they are, and in every form that a query or a wire format could have given them."""

import base64
import hashlib
import re
import struct
import sys

# A shorter piece of a value could be there by chance.
PIECE = 8
# Bytes are looked through in so many at a time; so many finds are enough.
BLOCK, FOUND_MAX = 1 << 16, 20
# Pieces of hexadecimal digits count in a digest's company when so many more follow each other.
HEX_DIGITS, HEX_RUN = set(b"0123456789abcdef"), 7
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

    def find(self, data, most=FOUND_MAX):
        """The first pieces found, with their places: (column, piece, offset)."""
        lower, pieces, size = bytes(data).lower(), self.pieces, PIECE
        found = []
        for begin in range(0, len(lower), BLOCK):
            end = min(begin + BLOCK, len(lower) - size + 1)
            found += [(pieces[lower[at:at + size]], lower[at:at + size], at) for at in range(begin, end) if lower[at:at + size] in pieces]
            if len(found) >= most:
                break
        return found[:most]

    def find_in_digests(self, data):
        """The same where digests are written in hexadecimal digits: a few of those come up by chance, as many in a row as a value has do not."""
        hits = self.find(data, sys.maxsize)
        places, kept = {at for _, _, at in hits}, []
        for hit in hits:
            begin = end = hit[2]
            while begin - 1 in places:
                begin -= 1
            while end + 1 in places:
                end += 1
            if not set(hit[1]) <= HEX_DIGITS or end - begin >= HEX_RUN:
                kept.append(hit)
        return kept[:FOUND_MAX]

    def joined(self, other):
        """Those of both."""
        both = Leaks(())
        both.pieces = self.pieces | other.pieces
        return both
