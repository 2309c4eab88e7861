"""Numbers of persons, cards and accounts with their check digits, from the published rules: written without a look at the detectors."""

LETTERS_ES = "TRWAGMYFPDXBNJZSQVHLCKE"
CHARS_FI = "0123456789ABCDEFHJKLMNPRSTUVWXY"


def digits(r, n, first="123456789"):
    """n digits; the first one from `first`."""
    return r.choice(first) + "".join(r.choice("0123456789") for _ in range(n - 1))


def luhn(body):
    """The digit that makes body check."""
    total = 0
    for i, c in enumerate(reversed(body)):
        d = int(c)
        if i % 2 == 0:
            d = d * 2 - (9 if d > 4 else 0)
        total += d
    return str(-total % 10)


def group(s, *sizes, by=" "):
    """Cuts into groups."""
    out, at = [], 0
    for n in sizes:
        out.append(s[at : at + n])
        at += n
    return by.join(out)


def day(r, first=1930, last=2006):
    """(year, month, day)."""
    return r.randrange(first, last), r.randrange(1, 13), r.randrange(1, 29)


def card(r):
    """A card of a random network, digits alone."""
    prefix, n = r.choice((("4", 16), ("4", 16), ("51", 16), ("53", 16), ("55", 16), ("2221", 16), ("2720", 16), ("34", 15), ("37", 15), ("6011", 16), ("3528", 16), ("36", 14), ("65", 16)))
    body = prefix + "".join(r.choice("0123456789") for _ in range(n - len(prefix) - 1))
    return body + luhn(body)


def printed(r, n):
    """A card's digits as they are written."""
    by = r.choice(("", " ", "-"))
    if not by:
        return n
    return group(n, 4, 6, 5, by=by) if len(n) == 15 else group(n, 4, 6, 4, by=by) if len(n) == 14 else group(n, 4, 4, 4, 4, by=by)


def iban(r):
    """An IBAN, compact."""
    shapes = {"DE": "18d", "FR": "10d11a2d", "GB": "4A14d", "ES": "20d", "IT": "1A10d12a", "NL": "4A10d", "BE": "12d", "CH": "5d12a", "AT": "16d", "PL": "24d", "SE": "20d", "NO": "11d", "FI": "14d", "PT": "21d", "IE": "4A14d"}
    country = r.choice(sorted(shapes))
    shape, body, n = shapes[country], "", ""
    for c in shape:
        if c.isdigit():
            n += c
            continue
        pool = {"d": "0123456789", "A": "ABCDEFGHIJKLMNOPQRSTUVWXYZ", "a": "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"}[c]
        body += "".join(r.choice(pool) for _ in range(int(n)))
        n = ""
    number = int("".join(str(int(c, 36)) for c in body + country + "00"))
    return f"{country}{98 - number % 97:02}{body}"


def ssn(r):
    """A US social security number, digits alone."""
    area = r.choice([a for a in range(1, 900) if a != 666])
    return f"{area:03}{r.randrange(1, 100):02}{r.randrange(1, 10000):04}"


def es_nif(r):
    """DNI."""
    n = r.randrange(10_000_000, 99_999_999)
    return f"{n:08}{LETTERS_ES[n % 23]}"


def es_nie(r):
    """NIE."""
    p, n = r.randrange(3), r.randrange(10_000_000)
    return f"{'XYZ'[p]}{n:07}{LETTERS_ES[(p * 10_000_000 + n) % 23]}"


def fr_nir(r):
    """NIR, digits alone."""
    y, m, _ = day(r)
    body = f"{r.choice('12')}{y % 100:02}{m:02}{r.randrange(1, 96):02}{r.randrange(1, 990):03}{r.randrange(1, 999):03}"
    return f"{body}{97 - int(body) % 97:02}"


def de_steuer_id(r):
    """Steuer-ID: one digit twice, one missing, the others once."""
    while True:
        pool = r.sample("0123456789", 9)
        body = pool + [r.choice(pool)]
        r.shuffle(body)
        if body[0] != "0":
            break
    p = 10
    for d in body:
        s = (int(d) + p) % 10 or 10
        p = s * 2 % 11
    return "".join(body) + str((11 - p) % 10)


def it_codice_fiscale(r):
    """Codice fiscale."""
    consonants = "BCDFGLMNPRSTVZ"
    y, m, d = day(r)
    body = "".join(r.choice(consonants) for _ in range(6)) + f"{y % 100:02}{'ABCDEHLMPRST'[m - 1]}{d + r.choice((0, 40)):02}"
    body += f"{r.choice('ABCDEFGHIL')}{r.randrange(1, 999):03}"
    odd = dict(zip("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ", (1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23)))
    total = sum(odd[c] if i % 2 == 0 else int(c) if c.isdigit() else ord(c) - 65 for i, c in enumerate(body))
    return body + chr(65 + total % 26)


def nl_bsn(r):
    """BSN."""
    while True:
        body = digits(r, 8)
        check = sum(int(d) * w for d, w in zip(body, range(9, 1, -1))) % 11
        if check < 10:
            return f"{body}{check}"


def uk_nhs(r):
    """NHS number."""
    while True:
        body = r.choice("467") + "".join(r.choice("0123456789") for _ in range(8))
        check = (11 - sum(int(d) * w for d, w in zip(body, range(10, 1, -1))) % 11) % 11
        if check < 10:
            return f"{body}{check}"


def uk_nino(r):
    """NINO, compact."""
    while True:
        prefix = r.choice("ABCEGHJKLMNOPRSTWXYZ") + r.choice("ABCEGHJKLMNPRSTWXYZ")
        if prefix not in ("BG", "GB", "NK", "KN", "TN", "NT", "ZZ"):
            return f"{prefix}{digits(r, 6, '0123456789')}{r.choice('ABCD')}"


def pl_pesel(r):
    """PESEL."""
    y, m, d = day(r)
    body = f"{y % 100:02}{m + (20 if y >= 2000 else 0):02}{d:02}{r.randrange(10000):04}"
    return body + str(-sum(int(c) * w for c, w in zip(body, (1, 3, 7, 9, 1, 3, 7, 9, 1, 3))) % 10)


def be_national(r):
    """Rijksregisternummer, digits alone."""
    y, m, d = day(r)
    body = f"{y % 100:02}{m:02}{d:02}{r.randrange(1, 998):03}"
    return f"{body}{97 - int(('2' if y >= 2000 else '') + body) % 97:02}"


def se_personnummer(r):
    """Personnummer: (century, six digits, four digits)."""
    y, m, d = day(r)
    body = f"{y % 100:02}{m:02}{d:02}{r.randrange(1, 1000):03}"
    return f"{y // 100}", body[:6], body[6:] + luhn(body)


def fi_hetu(r):
    """HETU."""
    y, m, d = day(r)
    birth, n = f"{d:02}{m:02}{y % 100:02}", r.randrange(2, 900)
    sign = r.choice("ABCDEF") if y >= 2000 else r.choice("----YXWVU")
    return f"{birth}{sign}{n:03}{CHARS_FI[int(f'{birth}{n:03}') % 31]}"


def _mod_11(body, weights):
    rest = sum(int(d) * w for d, w in zip(body, weights)) % 11
    return "0" if rest < 2 else str(11 - rest)


def br_cpf(r):
    """CPF, digits alone."""
    body = digits(r, 9, "0123456789")
    body += _mod_11(body, range(10, 1, -1))
    return body + _mod_11(body, range(11, 1, -1))


def br_cnpj(r):
    """CNPJ, digits alone."""
    body = digits(r, 8) + "0001"
    body += _mod_11(body, (5, 4, 3, 2, 9, 8, 7, 6, 5, 4, 3, 2))
    return body + _mod_11(body, (6, 5, 4, 3, 2, 9, 8, 7, 6, 5, 4, 3, 2))


_D = [[0, 1, 2, 3, 4, 5, 6, 7, 8, 9], [1, 2, 3, 4, 0, 6, 7, 8, 9, 5], [2, 3, 4, 0, 1, 7, 8, 9, 5, 6], [3, 4, 0, 1, 2, 8, 9, 5, 6, 7], [4, 0, 1, 2, 3, 9, 5, 6, 7, 8],
      [5, 9, 8, 7, 6, 0, 4, 3, 2, 1], [6, 5, 9, 8, 7, 1, 0, 4, 3, 2], [7, 6, 5, 9, 8, 2, 1, 0, 4, 3], [8, 7, 6, 5, 9, 3, 2, 1, 0, 4], [9, 8, 7, 6, 5, 4, 3, 2, 1, 0]]
_P = [[0, 1, 2, 3, 4, 5, 6, 7, 8, 9], [1, 5, 7, 6, 2, 8, 3, 0, 9, 4]]
for _ in range(6):
    _P.append([_P[-1][_P[1][i]] for i in range(10)])


def in_aadhaar(r):
    """Aadhaar, digits alone."""
    body, c = digits(r, 11, "23456789"), 0
    for i, d in enumerate(reversed(body)):
        c = _D[c][_P[(i + 1) % 8][int(d)]]
    return body + str(next(x for x in range(10) if _D[c][_P[0][x]] == 0))


def ca_sin(r):
    """SIN, digits alone."""
    body = digits(r, 8, "12345679")
    return body + luhn(body)


def au_tfn(r):
    """TFN, digits alone."""
    while True:
        body = digits(r, 8)
        for d in "0123456789":
            if sum(int(c) * w for c, w in zip(body + d, (1, 4, 3, 7, 5, 8, 6, 9, 10))) % 11 == 0:
                return body + d


def ch_ahv(r):
    """AHV number, digits alone."""
    body = "756" + digits(r, 9, "0123456789")
    total = sum(int(d) * (3 if i % 2 else 1) for i, d in enumerate(body))
    return body + str(-total % 10)


def spoiled(r, s):
    """The same with one digit changed, so that no check digit fits."""
    at = r.choice([i for i, c in enumerate(s) if c.isdigit()])
    return s[:at] + str((int(s[at]) + r.randrange(1, 10)) % 10) + s[at + 1 :]
