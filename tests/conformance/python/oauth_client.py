"""OAUTHBEARER with a real libpq 18: the one that psycopg carries, told its token by the hook that it has for that.

The way in is read as JSON; `password` is the token and `issuer` where the gateway must send clients that have none. libpq finds that out
by itself: it asks without a token first, reads the gateway's challenge, and connects again.
"""

import ctypes
import json
import os
import sys

# Else libpq takes no issuer on plain HTTP, which is what the tests have on loopback. Read once, when libpq looks for it.
os.environ["PGOAUTHDEBUG"] = "UNSAFE"

import psycopg

BEARER_TOKEN = 1
FLOW_DONE = 1


class Request(ctypes.Structure):
    """PGoauthBearerRequest of libpq-fe.h."""

    _fields_ = [("openid_configuration", ctypes.c_char_p), ("scope", ctypes.c_char_p), ("run", ctypes.c_void_p),
                ("cleanup", ctypes.c_void_p), ("token", ctypes.c_char_p), ("user", ctypes.c_void_p)]


Hook = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)


def libpq():
    """The library that psycopg has loaded."""
    with open("/proc/self/maps", encoding="utf-8") as f:
        return ctypes.CDLL(next(line.split()[-1] for line in f if "/libpq-" in line))


class Giver:
    """Gives libpq a token, and keeps what libpq was told about where tokens come from."""

    def __init__(self, token):
        self.token, self.seen = token.encode(), []
        self.hook = Hook(self.give)
        libpq().PQsetAuthDataHook(self.hook)

    def give(self, kind, _connection, data):
        """The hook."""
        if kind != BEARER_TOKEN:
            return 0
        request = ctypes.cast(data, ctypes.POINTER(Request)).contents
        self.seen.append([(request.openid_configuration or b"").decode(), (request.scope or b"").decode()])
        request.token = self.token
        return FLOW_DONE


def connect(way, **more):
    """A connection that takes no other way to log in than OAuth."""
    wanted = {"host": way["host"], "port": way["port"], "user": way["user"], "dbname": way["dbname"], "sslmode": way["sslmode"],
              "sslrootcert": way["cafile"], "require_auth": "oauth", "oauth_issuer": way["issuer"], "oauth_client_id": "conformance",
              "options": "-c countersign.login=oauthbearer", "connect_timeout": 30, **more}
    return psycopg.connect(**{k: v for k, v in wanted.items() if v})


def refusal(way, **more):
    """Why no connection came about."""
    try:
        connect(way, **more).close()
    except psycopg.OperationalError as e:
        return str(e)
    return "it was let in"


def discovered(way):
    giver = Giver(way["password"])
    with connect(way) as c:
        row = c.execute("select 1 + 1").fetchone()
    return {"libpq": psycopg.pq.version() // 10000, "row": list(row), "told": giver.seen}


def another_user(way):
    Giver(way["password"])
    text = refusal(way, user="somebody-else")
    return {"refused": "FATAL" in text, "token told": way["password"] in text}


def a_token_of_nobody(way):
    giver = Giver(way["password"][:-8] + "AAAAAAAA")
    text = refusal(way)
    return {"refused": "FATAL" in text, "token told": giver.token.decode() in text}


def no_token_at_all(way):
    giver = Giver("")
    giver.token = None
    return {"refused": "it was let in" not in refusal(way), "told": giver.seen}


def another_issuer(way):
    giver = Giver(way["password"])
    text = refusal(way, oauth_issuer="https://elsewhere.example.com")
    return {"refused": "issuer" in text, "asked for a token": bool(giver.seen)}


CASES = [discovered, another_user, a_token_of_nobody, no_token_at_all, another_issuer]


def main():
    """Every case, one line of JSON each."""
    with open(sys.argv[1], encoding="utf-8") as f:
        way = json.load(f)
    for case in CASES:
        print(json.dumps({"case": case.__name__, "out": case(way)}), flush=True)


if __name__ == "__main__":
    main()
