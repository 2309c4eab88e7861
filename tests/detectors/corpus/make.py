"""Makes the labelled corpus: the same samples in every run. A sample is a text, the spans in it, and which detector it is about.

Positives are what people and programs write, in several languages. Negatives look like it and are not: wrong check digits, other numbers
in the same form, code. Where nobody could tell from the text (nine digits without a word), there is no sample.
"""

import pathlib
import random
import string

import numbers_of as n

EACH = 120
HEX = "0123456789abcdef"
ALNUM = string.ascii_letters + string.digits
FIRST = "ana bruno chloé dieter emma farid giulia hanna ivan joão katarzyna liam maría nils olga pavel".split()
LAST = "silva müller dubois rossi garcía novak jansen peeters virtanen lindqvist smith patel okafor chen kowalski".split()
PLAIN_FIRST = "ana bruno chloe dieter emma farid giulia hanna ivan joao katarzyna liam maria nils olga pavel".split()
PLAIN_LAST = "silva mueller dubois rossi garcia novak jansen peeters virtanen lindqvist smith patel okafor chen kowalski".split()
HOSTS = "example.com example.org mail.example.net firma.example.de exemple.fr ejemplo.es example.co.uk sub.dept.example.edu esempio.it example.com.br".split()
# Around anything: sentences, rows, logs, markup, JSON.
FRAMES = ("{}", "{}.", "see {} for details", "<td>{}</td>", "a,{},b", '"{}"', "({})", "{}; next", "was {} before", "\n{}\n", "value={}", "[{}]")


def text(r, size, pool=ALNUM):
    """Random characters."""
    return "".join(r.choice(pool) for _ in range(size))


def words(frames, *said):
    """Frames with words that name the thing, and without."""
    return [w + " {}" for w in said] + [w + ": {}" for w in said] + list(frames)


def phone(r):
    """(number, needs words) in a national or international form."""
    d = lambda k: n.digits(r, k, "0123456789")
    a, e = f"{r.choice('23456789')}{r.choice('012345678')}{r.choice('023456789')}", f"{r.choice('23456789')}{r.choice('023456789')}{r.choice('023456789')}"
    area = r.choice(("212", "305", "415", "617", "702", "808", "916", "303", "206", "646", "416", "604"))
    return r.choice((
        lambda: (f"+1 {area} {e} {d(4)}", 0),
        lambda: (f"+1-{area}-{e}-{d(4)}", 0),
        lambda: (f"+1{area}{e}{d(4)}", 0),
        lambda: (f"({area}) {e}-{d(4)}", 0),
        lambda: (f"{area}-{e}-{d(4)}", 0),
        lambda: (f"{area}.{e}.{d(4)}", 0),
        lambda: (f"{area} {e} {d(4)}", 0),
        lambda: (f"{area}{e}{d(4)}", 1),
        lambda: (f"+44 20 7{d(3)} {d(4)}", 0),
        lambda: (f"+44 (0)20 7{d(3)} {d(4)}", 0),
        lambda: (f"020 7{d(3)} {d(4)}", 0),
        lambda: (f"07{r.choice('45789')}{d(2)} {d(6)}", 0),
        lambda: (f"+447{r.choice('45789')}{d(8)}", 0),
        lambda: (f"+49 30 {d(7)}", 0),
        lambda: (f"+49 (0)89 {n.digits(r, 6)}", 0),
        lambda: (f"030 {n.digits(r, 7, '23456789')}", 0),
        lambda: (f"089/{n.digits(r, 7)}", 0),
        lambda: (f"0171 {n.digits(r, 7)}", 0),
        lambda: (f"+33 6 {d(2)} {d(2)} {d(2)} {d(2)}", 0),
        lambda: (f"0{r.choice('1267')} {d(2)} {d(2)} {d(2)} {d(2)}", 0),
        lambda: (f"01.{d(2)}.{d(2)}.{d(2)}.{d(2)}", 0),
        lambda: (f"+34 6{d(2)} {d(3)} {d(3)}", 0),
        lambda: (f"6{d(2)} {d(2)} {d(2)} {d(2)}", 0),
        lambda: (f"+39 3{r.choice('24')}{d(1)} {d(7)}", 0),
        lambda: (f"+39 06 {n.digits(r, 8)}", 0),
        lambda: (f"+91 9{d(4)} {d(5)}", 0),
        lambda: (f"9{d(4)} {d(5)}", 0),
        lambda: (f"+55 (11) 9{d(4)}-{d(4)}", 0),
        lambda: (f"(11) 9{d(4)}-{d(4)}", 0),
        lambda: (f"+61 4{d(2)} {d(3)} {d(3)}", 0),
        lambda: (f"+48 5{d(2)} {d(3)} {d(3)}", 0),
        lambda: (f"+31 20 {n.digits(r, 7)}", 0),
        lambda: (f"+972 3-{n.digits(r, 7)}", 0),
        lambda: (f"03-{n.digits(r, 7)}", 0),
        lambda: (f"{e}-{d(4)}", 1),
    ))()


PHONE_SAID = ("phone", "Tel.", "call", "mobile", "fax", "Telefon", "téléphone", "teléfono", "whatsapp", "customer_phone", "phoneNumber")
BORN_SAID = ("born", "DOB", "date of birth", "birthday", "geb.", "geboren am", "née le", "nacido el", "nato il", "birth_date", "dateOfBirth")
MONTHS = "January February March April May June July August September October November December".split()
MONATE = "Januar Februar März April Mai Juni Juli August September Oktober November Dezember".split()


def email(r):
    """An address."""
    first, last = (FIRST, LAST) if r.random() < 0.1 else (PLAIN_FIRST, PLAIN_LAST)
    f, l = r.choice(first), r.choice(last)
    local = r.choice((f"{f}.{l}", f"{f}{r.randrange(100)}", f"{f[0]}{l}", f"{f}_{l}", f"{f}+{r.choice(('news', 'shop'))}", f"{f}-{l}", f"{f}.{l}.{r.randrange(1970, 2010)}"))
    return f"{local if r.random() < 0.9 else local.upper()}@{r.choice(HOSTS)}"


def birth(r):
    """A date."""
    y, m, d = n.day(r)
    return r.choice((
        f"{y}-{m:02}-{d:02}", f"{d:02}.{m:02}.{y}", f"{d:02}/{m:02}/{y}", f"{m}/{d}/{y}", f"{m}/{d}/{y % 100:02}", f"{d}-{m:02}-{y}",
        f"{MONTHS[m - 1]} {d}, {y}", f"{d} {MONTHS[m - 1]} {y}", f"{d} {MONTHS[m - 1][:3]} {y}", f"{d}. {MONATE[m - 1]} {y}",
    ))


def ip(r):
    """An address of either version."""
    four = f"{r.choice((10, 172, 192, 203, 198, 81, 93))}.{r.randrange(256)}.{r.randrange(256)}.{r.randrange(1, 255)}"
    h = lambda: f"{r.randrange(4096, 65535):x}"
    return r.choice((four, four, f"2001:db8::{h()}:{h()}", f"fe80::{h()}:{h()}:{h()}:{h()}", ":".join(["2001", "db8"] + [h() for _ in range(6)]), f"2a02:{h()}:{h()}::1"))


def mac(r):
    """An address in one of three forms."""
    octets = [f"{r.randrange(256):02x}" for _ in range(6)]
    s = r.choice((":".join(octets), "-".join(octets), ":".join(octets).upper(), "-".join(octets).upper()))
    cisco = ".".join("".join(octets)[i : i + 4] for i in (0, 4, 8))
    return cisco if r.random() < 0.2 and not cisco.replace(".", "").isdigit() else s


def jwt(r):
    """A token with a header that says so."""
    head = r.choice(("eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9", "eyJhbGciOiJSUzI1NiIsImtpZCI6ImExIn0", "eyJ0eXAiOiJKV1QiLCJhbGciOiJFUzI1NiJ9"))
    return f"{head}.eyJ{text(r, r.randrange(20, 200))}.{text(r, 43, ALNUM + '-_')}"


def pem(r):
    """A private key, sometimes with escaped line ends."""
    kind = r.choice(("RSA PRIVATE KEY", "PRIVATE KEY", "EC PRIVATE KEY", "OPENSSH PRIVATE KEY", "ENCRYPTED PRIVATE KEY", "PGP PRIVATE KEY BLOCK"))
    by = r.choice(("\n", "\n", "\\n"))
    body = by.join(text(r, 64, ALNUM + "+/") for _ in range(r.randrange(2, 25)))
    return f"-----BEGIN {kind}-----{by}{body}{by}-----END {kind}-----"


def password(r):
    """A password as people choose them."""
    return r.choice((
        f"{r.choice(('Summer', 'Winter', 'dragon', 'Hunter', 'letmein', 'correcthorse'))}{r.randrange(10, 2030)}{r.choice('!#.$')}",
        text(r, r.randrange(10, 20)) + str(r.randrange(10)), f"{text(r, 4)}-{text(r, 4)}-{r.randrange(10, 99)}{text(r, 3)}", f"P@ss{r.randrange(100, 999)}w0rd",
    ))


def key_of(r, kind):
    """A key with the beginning of its service."""
    up = string.ascii_uppercase + "234567"
    return {
        "aws_key": lambda: r.choice(("AKIA", "ASIA")) + text(r, 16, up),
        "gcp_key": lambda: "AIza" + text(r, 35, ALNUM + "-_"[:1] + "_"),
        "github_token": lambda: r.choice((r.choice(("ghp_", "gho_", "ghs_", "ghu_")) + text(r, 36), "github_pat_" + text(r, 22) + "_" + text(r, 59))),
        "gitlab_token": lambda: "glpat-" + text(r, 20),
        "slack_token": lambda: f"xox{r.choice('bp')}-{n.digits(r, 12)}-{n.digits(r, 13)}-{text(r, 24)}",
        "stripe_key": lambda: r.choice(("sk_live_", "rk_live_")) + text(r, r.choice((24, 99))),
        "npm_token": lambda: "npm_" + text(r, 36),
        "pypi_token": lambda: "pypi-AgEIcHlwaS5vcmc" + text(r, 150, ALNUM + "-_"),
        "ai_key": lambda: r.choice(("sk-ant-api03-" + text(r, 93, ALNUM + "-_") + "AA", "sk-proj-" + text(r, 48), "sk-" + text(r, 48), "hf_" + text(r, 34))),
    }[kind]()


KEYS = "aws_key gcp_key github_token gitlab_token slack_token stripe_key npm_token pypi_token ai_key".split()
# Words before a number that has no form of its own.
NUMBERS = {
    "us_ssn": (n.ssn, (lambda s: n.group(s, 3, 2, 4, by="-"), lambda s: n.group(s, 3, 2, 4), lambda s: s), ("SSN", "social security number", "ssn", "Social Security")),
    "es_nif": (n.es_nif, (lambda s: s, lambda s: s[:-1] + "-" + s[-1]), ("DNI", "NIF", "con DNI")),
    "es_nie": (n.es_nie, (lambda s: s, lambda s: f"{s[0]}-{s[1:-1]}-{s[-1]}"), ("NIE", "con NIE")),
    "fr_nir": (n.fr_nir, (lambda s: s, lambda s: n.group(s, 1, 2, 2, 2, 3, 3, 2), lambda s: s[:13] + " " + s[13:]), ("NIR", "numéro de sécurité sociale")),
    "de_steuer_id": (n.de_steuer_id, (lambda s: s, lambda s: n.group(s, 2, 3, 3, 3)), ("Steuer-ID", "IdNr.", "Steueridentifikationsnummer")),
    "it_codice_fiscale": (n.it_codice_fiscale, (lambda s: s, lambda s: s.lower()), ("codice fiscale", "C.F.")),
    "nl_bsn": (n.nl_bsn, (lambda s: s, lambda s: n.group(s, 3, 3, 3), lambda s: n.group(s, 3, 3, 3, by=".")), ("BSN", "burgerservicenummer")),
    "uk_nhs": (n.uk_nhs, (lambda s: n.group(s, 3, 3, 4), lambda s: s, lambda s: n.group(s, 3, 3, 4, by="-")), ("NHS number", "NHS no", "patient", "nhs_number")),
    "uk_nino": (n.uk_nino, (lambda s: s, lambda s: n.group(s, 2, 2, 2, 2, 1)), ("NINO", "national insurance number")),
    "pl_pesel": (n.pl_pesel, (lambda s: s,), ("PESEL", "nr PESEL")),
    "be_national": (n.be_national, (lambda s: s, lambda s: f"{s[:2]}.{s[2:4]}.{s[4:6]}-{s[6:9]}.{s[9:]}"), ("rijksregisternummer", "NISS")),
    "se_personnummer": (n.se_personnummer, (lambda s: f"{s[1]}-{s[2]}", lambda s: f"{s[0]}{s[1]}-{s[2]}", lambda s: "".join(s)), ("personnummer", "pnr")),
    "fi_hetu": (n.fi_hetu, (lambda s: s,), ("henkilötunnus", "hetu")),
    "br_cpf": (n.br_cpf, (lambda s: f"{s[:3]}.{s[3:6]}.{s[6:9]}-{s[9:]}", lambda s: s), ("CPF", "cpf")),
    "br_cnpj": (n.br_cnpj, (lambda s: f"{s[:2]}.{s[2:5]}.{s[5:8]}/{s[8:12]}-{s[12:]}", lambda s: s), ("CNPJ",)),
    "in_aadhaar": (n.in_aadhaar, (lambda s: n.group(s, 4, 4, 4), lambda s: n.group(s, 4, 4, 4, by="-"), lambda s: s), ("Aadhaar", "UIDAI number", "aadhaar_number")),
    "ca_sin": (n.ca_sin, (lambda s: n.group(s, 3, 3, 3, by="-"), lambda s: n.group(s, 3, 3, 3), lambda s: s), ("SIN", "social insurance number")),
    "au_tfn": (n.au_tfn, (lambda s: n.group(s, 3, 3, 3), lambda s: s), ("TFN", "tax file number")),
    "ch_ahv": (n.ch_ahv, (lambda s: f"{s[:3]}.{s[3:7]}.{s[7:11]}.{s[11:]}", lambda s: s), ("AHV", "N° AVS")),
}
# Of these the bare form needs words, and so do groups of three.
NEEDS_WORDS = {"us_ssn": 9, "nl_bsn": 0, "uk_nhs": 10, "br_cpf": 11, "br_cnpj": 14, "in_aadhaar": 12, "ca_sin": 11, "au_tfn": 0}


def needs_words(detector, written):
    """True when the written form alone could be anything."""
    if detector in ("nl_bsn", "au_tfn"):
        return True
    if detector in ("ca_sin",):
        return "-" not in written
    if detector == "uk_nhs":
        return " " not in written
    return detector in NEEDS_WORDS and written.isdigit()


def others(r):
    """Things that are none of it, from the same texts."""
    d = lambda k: n.digits(r, k)
    return r.choice((
        lambda: f"2026-{r.randrange(1, 13):02}-{r.randrange(1, 29):02}T{r.randrange(24):02}:{r.randrange(60):02}:{r.randrange(60):02}.{r.randrange(10**6):06}Z",
        lambda: f"{text(r, 8, HEX)}-{text(r, 4, HEX)}-4{text(r, 3, HEX)}-a{text(r, 3, HEX)}-{text(r, 12, HEX)}",
        lambda: f"commit {text(r, 40, HEX)}",
        lambda: f"sha256:{text(r, 64, HEX)}",
        lambda: f"order {d(9)}",
        lambda: f"order {d(10)}",
        lambda: f"invoice {d(11)}",
        lambda: f"ticket {d(12)}",
        lambda: f"epoch {r.randrange(1_600_000_000, 1_800_000_000)}",
        lambda: f"timestamp {r.randrange(1_600_000_000_000, 1_800_000_000_000)}",
        lambda: f"{r.randrange(-89, 89)}.{d(6)}, {r.randrange(-179, 179)}.{d(6)}",
        lambda: f"ISBN 978-3-16-{d(6)}-{r.randrange(10)}",
        lambda: f"version {r.randrange(20)}.{r.randrange(20)}.{r.randrange(200)}",
        lambda: f"v{r.randrange(20)}.{r.randrange(20)}.{r.randrange(20)}.{r.randrange(20)}",
        lambda: f"${r.randrange(1, 999)},{d(3)}.{r.randrange(10, 99)}",
        lambda: f"{r.randrange(1, 999)} {d(3)} {d(3)} inhabitants",
        lambda: f"0.{d(12)}",
        lambda: f"{r.randrange(24):02}:{r.randrange(60):02}:{r.randrange(60):02}",
        lambda: f"#{text(r, 6, HEX)}",
        lambda: f"0x{text(r, 16, HEX)}",
        lambda: f"part {text(r, 3, string.ascii_uppercase)}-{d(4)}-{d(2)}",
        lambda: f"std::{r.choice(('vector', 'map', 'string'))}<int> x{r.randrange(10)};",
        lambda: f"SELECT a_{r.randrange(9)}, b FROM t WHERE id = {d(6)}",
        lambda: f"/v1/items/{d(7)}/lines/{d(3)}?page={r.randrange(9)}",
        lambda: f"{r.randrange(1, 28):02}.{r.randrange(1, 13):02}.{r.randrange(2000, 2027)}",
        lambda: f"flight LH{d(3)} gate {r.choice('ABC')}{r.randrange(1, 40)}",
        lambda: f"{d(4)}x{d(4)} pixels, {r.randrange(100)} %",
        lambda: f"IMG_{d(8)}_{d(6)}.jpg",
        lambda: f"pages {r.randrange(100)}-{r.randrange(100, 200)}, section {r.randrange(9)}.{r.randrange(9)}",
        lambda: f"snowflake {d(18)}",
    ))()


def near_misses(r, detector):
    """Texts that look like what a detector finds."""
    d = lambda k: n.digits(r, k)
    if detector in NUMBERS:
        make, forms, _ = NUMBERS[detector]
        s = make(r)
        # One wrong digit: no check digit catches it in a SSN, which has none.
        if detector == "us_ssn":
            return r.choice((f"000-{d(2)}-{d(4)}", f"666-{d(2)}-{d(4)}", f"9{d(2)}-{d(2)}-{d(4)}", f"{d(3)}-00-{d(4)}", f"{d(3)}-{d(2)}-0000", f"{d(3)}-{d(2)}-{d(4)}-{d(2)}", f"{d(4)}-{d(2)}-{d(4)}"))
        # Nor has a NINO, but prefixes and suffixes that are not given out.
        if detector == "uk_nino":
            s = r.choice((r.choice(("BG", "GB", "NK", "TN", "ZZ", "DA", "QQ", "AO")) + s[2:], s[:-1] + r.choice("EFGXZ"), s[:-1]))
            return r.choice(forms)(s)
        # The century is not in the check.
        if detector == "se_personnummer":
            return r.choice(forms)((s[0], s[1], n.spoiled(r, s[2])))
        spoil = n.spoiled(r, s)
        return r.choice(forms)(spoil)
    return {
        "email": lambda: r.choice((f"@{r.choice(PLAIN_FIRST)}", f"{r.choice(PLAIN_FIRST)}@localhost", f"logo@{r.randrange(1, 4)}x.png", f"npm install @acme/core@{r.randrange(9)}.{d(1)}.0", f"git@github.com:acme/{text(r, 5)}.git", f"{r.choice(PLAIN_FIRST)} @ {r.choice(HOSTS)}", f"@Override public int f{d(1)}()", f"a@b", f"image: registry/app@sha256:{text(r, 64, HEX)}", f"{d(3)}@{d(2)}.{d(2)}")),
        "phone": lambda: r.choice((f"{d(4)}-{r.randrange(10, 13)}-{r.randrange(10, 29)}", f"{d(3)}-{d(2)}-{d(4)}", f"order {d(10)}", f"{d(2)}.{d(3)}.{d(3)}", f"ISBN 0-{d(3)}-{d(5)}-{r.randrange(10)}", f"{d(4)} {d(4)} {d(4)} {d(4)}", f"{d(5)}-{d(4)}", f"{d(3)},{d(3)},{d(3)}", f"pages {d(3)}-{d(3)}", f"{d(1)}.{d(9)}", f"AB-{d(3)}-{d(3)}-{d(4)}", f"id {d(8)}", f"batch {d(7)}")),
        "card": lambda: r.choice((n.printed(r, n.spoiled(r, n.card(r))), n.card(r) + d(4), f"9{d(15)}", f"id-{n.card(r)}", f"{d(20)}", f"0.{d(15)}")),
        "iban": lambda: r.choice((n.spoiled(r, n.iban(r)), n.iban(r)[:-1], "XX" + n.iban(r)[2:], f"DE{d(8)}", f"GB{d(2)} {text(r, 4)}")),
        "ip": lambda: r.choice((f"{r.randrange(256, 999)}.{d(1)}.{d(1)}.{d(1)}", f"{d(1)}.{d(1)}.{d(1)}", f"version {d(1)}.{d(1)}.{d(2)}.{d(1)}", f"{d(1)}.{d(1)}.{d(1)}.{d(1)}.{d(1)}", f"{r.randrange(24):02}:{r.randrange(60):02}", "std::vector", f"build v{d(1)}.{d(2)}.{d(1)}.{d(4)}", "netmask 255.255.255.0", f"ratio {d(1)}:{d(2)}", "a::b::c", "127.0.0.1")),
        "mac": lambda: r.choice((":".join(text(r, 2, HEX) for _ in range(5)), ":".join(text(r, 2, HEX) for _ in range(8)), f"{r.randrange(24):02}:{r.randrange(60):02}:{r.randrange(60):02}", "ff:ff:ff:ff:ff:ff", f"{d(4)}.{d(4)}.{d(4)}", ":".join(text(r, 2, "ghij") for _ in range(6)), "SHA1 " + ":".join(text(r, 2, HEX) for _ in range(20)))),
        "birth_date": lambda: r.choice((f"due {birth(r)}", f"created on {birth(r)}", f"born in {r.randrange(1950, 2000)}", f"{birth(r)}", f"born with {d(3)}-{d(4)}", f"released {birth(r)}", f"geb. {d(2)}")),
        "jwt": lambda: r.choice(("eyJ", f"eyJ{text(r, 30)}", f"{text(r, 20)}.{text(r, 20)}.{text(r, 20)}", f"keyJ{text(r, 4)}.x.y", "eyJhbGciOiJIUzI1NiJ9")),
        "private_key": lambda: r.choice((pem(r).replace("PRIVATE", "PUBLIC"), f"-----BEGIN CERTIFICATE-----\n{text(r, 64)}\n-----END CERTIFICATE-----", "----- BEGIN -----", "the header -----BEGIN is needed", "PRIVATE KEY")),
        "connection": lambda: r.choice(("mysql://app@db.example.com/orders", "https://example.com/a:b@c", f"https://example.com:{d(4)}/x@y", "mysql://user:${DB_PASSWORD}@db/x", "redis://cache:6379/0", "https://{user}:{password}@example.com", "see https://example.com/@ana: hello", "Server=db;Trusted_Connection=yes;")),
        "generic": lambda: r.choice(("password: required", 'password = os.environ["PASSWORD"]', "password=$PASSWORD", "Enter your password:", 'token = get_token(user)', "token_type=bearer", "max_tokens: 4096", 'password: ""', "password=********", 'if (password == other) {', "secret: false", '"password": null', "reset_password=true", "self.password = password", "the password is wrong", "pwd", 'passwords: 3', "token: <your token>", "CSRF token missing", "password: string")),
        "named_key": lambda: r.choice(("primary_key=id", f"key: {text(r, 10)}", f"monkey = {text(r, 8)}", "api_key=<API_KEY>", "api_key: ${API_KEY}", 'apiKey: string', "access_key = None", f"sort_key={d(12)}", "api_key=xxxxxxxxxxxxxxxx", f"keyboard: {text(r, 9)}", "secret_key: changeme", "foreign key: orders_id")),
        "aws_key": lambda: r.choice(("AKIA", f"AKIA{text(r, 8, string.ascii_uppercase)}", f"AKIA{text(r, 16, string.ascii_lowercase)}", f"XAKIA{text(r, 16, string.ascii_uppercase)}", f"AKIA{text(r, 30, string.ascii_uppercase)}")),
    }.get(detector, lambda: r.choice((f"{detector}_{text(r, 4, string.ascii_lowercase)}", f"sk-{text(r, 6)}", f"npm_{text(r, 8, string.ascii_lowercase)}", f"ghp_{text(r, 10)}", f"glpat-{text(r, 5)}", "xoxb-token", "sk_live_", f"AIza{text(r, 12)}", "hf_model_name", "pypi-server", f"task-{text(r, 30, string.ascii_lowercase)}", "sk-learn-pipeline-with-a-long-name-of-many-words")))()


def positive(r, detector):
    """(text before, the thing, text after)."""
    frames, said = FRAMES, ()
    if detector in NUMBERS:
        make, forms, said = NUMBERS[detector]
        s = r.choice(forms)(make(r))
        needed = needs_words(detector, s)
    elif detector == "phone":
        (s, needed), said = phone(r), PHONE_SAID
    elif detector in KEYS:
        s, needed, said = key_of(r, detector), False, ("key", "export TOKEN")
    elif detector in ("generic", "named_key", "connection"):
        return assigned(r, detector)
    else:
        make, said, needed = {
            "email": (email, ("mail", "contact", "E-Mail"), False),
            "card": (lambda r: n.printed(r, n.card(r)), ("card", "Visa", "Kreditkarte"), False),
            "iban": (lambda r: (lambda s: s if r.random() < 0.5 else n.group(s, *[4] * 9).strip())(n.iban(r)), ("IBAN", "account"), False),
            "ip": (ip, ("from", "client_ip"), False),
            "mac": (mac, ("hwaddr", "MAC"), False),
            "birth_date": (birth, BORN_SAID, True),
            "jwt": (jwt, ("Bearer", "id_token"), False),
            "private_key": (pem, ("key",), False),
        }[detector]
        s = make(r)
    frame = r.choice(words((), *said) if needed or (said and r.random() < 0.4) else frames)
    before, after = frame.split("{}")
    return before, s, after


def assigned(r, detector):
    """A secret by its name."""
    p, host = password(r), r.choice(HOSTS)
    if detector == "connection":
        p = text(r, r.randrange(6, 16)) + str(r.randrange(10))
        return r.choice((
            (f"mysql://app:", p, f"@db.{host}:3306/orders"), (f"mongodb+srv://svc:", p, f"@cluster0.{host}/?retryWrites=true"), ("redis://:", p, "@cache:6379/0"),
            (f"https://deploy:", p, f"@{host}/repo.git"), ("amqp://guest:", p, "@mq:5672/"), ("Server=tcp:db,1433;User ID=sa;Password=", p, ";Encrypt=true"),
            ("host=db user=app password=", p, " dbname=orders"), ("jdbc:mysql://db/x?user=a&password=", p, "&useSSL=true"),
        ))
    if detector == "generic":
        t = text(r, r.randrange(20, 44)) + str(r.randrange(10))
        return r.choice((
            ("password=", p, ""), ("password: ", p, ""), ('"password": "', p, '"'), ("DB_PASSWORD='", p, "'"), ("pwd=", p, "&x=1"), ("client_secret=", t, ""),
            ('"clientSecret":"', t, '"'), ("auth_token: ", t, ""), ("Authorization: Bearer ", t, ""), ("SESSION_SECRET=\"", t, "\""), ("passphrase = \"", p, "\""),
            ("Passwort: ", p, ""),
        ))
    k = text(r, 40, ALNUM + "/+")
    return r.choice((
        ("aws_secret_access_key = ", k, ""), ("AccountKey=", text(r, 86, ALNUM + "/+") + "==", ";EndpointSuffix=core"), ('"api_key": "', text(r, 32, HEX), '"'),
        ("X-API-Key: ", text(r, 32), ""), ("apiKey='", text(r, 24), "'"), ("SECRET_KEY=", text(r, 50), ""), ("signing_key: ", k, ""), ("private_key=", text(r, 64, HEX), ""),
    ))


def detectors():
    """Every name that samples are about."""
    return ["email", "phone", "card", "iban", *NUMBERS, "ip", "mac", "birth_date", "jwt", *KEYS, "named_key", "private_key", "connection", "generic"]


def by_hand():
    """The samples of hand.txt: `detector | text`, with ⟦...⟧ around what is to be found."""
    lines = (pathlib.Path(__file__).parent / "hand.txt").read_text(encoding="utf-8").splitlines()
    for line in lines:
        if not line or line.startswith("#"):
            continue
        about, marked = line.split(" | ", 1)
        pieces = marked.replace("\\n", "\n").replace("⟧", "⟦").split("⟦")
        at, spans = 0, []
        for i, p in enumerate(pieces):
            if i % 2:
                spans.append((at, at + len(p)))
            at += len(p)
        yield {"about": about, "text": "".join(pieces), "spans": spans}


def samples():
    """All samples."""
    for detector in detectors():
        r = random.Random(f"countersign {detector}")
        for _ in range(EACH):
            before, s, after = positive(r, detector)
            yield {"about": detector, "text": before + s + after, "spans": [(len(before), len(before) + len(s))]}
        for _ in range(EACH // 2):
            frame = r.choice(FRAMES)
            yield {"about": detector, "text": frame.replace("{}", near_misses(r, detector)), "spans": []}
            yield {"about": detector, "text": frame.replace("{}", others(r)), "spans": []}
    yield from by_hand()
