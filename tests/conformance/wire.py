"""A PostgreSQL client with full control over every frame, for the transcripts and the attacks. Standard library only.

It never retries, never reads ahead more than asked, and hides nothing: what the server sent is what the caller gets.
"""

import base64
import hashlib
import hmac
import os
import select
import socket
import ssl
import struct

# Messages are cut here so that a broken length cannot eat the machine.
MESSAGE_BYTES_MAX = 1 << 30
PROTOCOL_3_0, PROTOCOL_3_2 = 0x30000, 0x30002
CANCEL_CODE, SSL_CODE, GSS_CODE = 80877102, 80877103, 80877104


class WireError(Exception):
    """The server broke off or sent what cannot be a message."""


def cstr(text):
    """A string as the protocol writes it."""
    return (text if isinstance(text, bytes) else text.encode()) + b"\0"


def frame(tag, payload=b""):
    """One message with its length."""
    return (tag if isinstance(tag, bytes) else tag.encode()) + struct.pack("!i", len(payload) + 4) + payload


def query(text):
    """A simple query."""
    return frame("Q", cstr(text))


def parse(text, name="", types=()):
    """Parse."""
    return frame("P", cstr(name) + cstr(text) + struct.pack(f"!h{len(types)}I", len(types), *types))


def bind(portal="", name="", values=(), formats=(), results=()):
    """Bind; a value is bytes or None."""
    out = cstr(portal) + cstr(name) + struct.pack(f"!h{len(formats)}h", len(formats), *formats)
    out += struct.pack("!h", len(values))
    for value in values:
        out += struct.pack("!i", -1) if value is None else struct.pack("!i", len(value)) + value
    return frame("B", out + struct.pack(f"!h{len(results)}h", len(results), *results))


def describe(kind, name=""):
    """Describe of a statement ("S") or a portal ("P")."""
    return frame("D", kind.encode() + cstr(name))


def execute(portal="", rows=0):
    """Execute, with a row limit."""
    return frame("E", cstr(portal) + struct.pack("!i", rows))


def close(kind, name=""):
    """Close of a statement or a portal."""
    return frame("C", kind.encode() + cstr(name))


SYNC, FLUSH, TERMINATE, COPY_DONE = frame("S"), frame("H"), frame("X"), frame("c")


def copy_data(data):
    """CopyData."""
    return frame("d", data)


def extended(text, values=(), formats=(), results=(), types=()):
    """Parse, Bind, Describe, Execute, Sync on the unnamed statement."""
    return (parse(text, types=types) + bind(values=values, formats=formats, results=results) + describe("P")
            + execute() + SYNC)


def startup_packet(parameters, version=PROTOCOL_3_0):
    """StartupMessage; parameters is a dict or a list of pairs, so that a name can come twice."""
    pairs = parameters.items() if isinstance(parameters, dict) else parameters
    body = struct.pack("!i", version) + b"".join(cstr(k) + cstr(v) for k, v in pairs) + b"\0"
    return struct.pack("!i", len(body) + 4) + body


def fields(payload):
    """The fields of an ErrorResponse or NoticeResponse."""
    out = {}
    for part in payload.split(b"\0"):
        if part:
            out[chr(part[0])] = part[1:].decode(errors="replace")
    return out


def row(payload):
    """The cells of a DataRow."""
    (count,), at, cells = struct.unpack_from("!h", payload), 2, []
    for _ in range(count):
        (size,) = struct.unpack_from("!i", payload, at)
        at += 4
        cells.append(None if size < 0 else payload[at:at + size])
        at += max(size, 0)
    return cells


class Connection:
    """One connection. login=False leaves the startup to the caller."""

    def __init__(self, endpoint, parameters=None, login=True, timeout=60, version=PROTOCOL_3_0, replace=False):
        self.endpoint = endpoint
        self.socket = socket.create_connection((endpoint.host, endpoint.port), timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = bytearray()
        self.parameters, self.key, self.status, self.negotiated = {}, b"", b"", None
        if not login:
            return
        if endpoint.sslmode != "disable":
            self.tls()
        wanted = {"user": endpoint.user, "database": endpoint.dbname}
        parameters = parameters if replace else wanted | (parameters or {})
        self.send(startup_packet(parameters, version))
        self.authenticate()

    def tls(self, direct=False):
        """Starts TLS, by SSLRequest or directly with ALPN."""
        context = ssl.create_default_context(cafile=self.endpoint.cafile or None)
        if not self.endpoint.cafile:
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        if direct:
            context.set_alpn_protocols(["postgresql"])
        else:
            self.socket.sendall(struct.pack("!ii", 8, SSL_CODE))
            answer = self.socket.recv(1)
            if answer != b"S":
                raise WireError(f"the answer to SSLRequest was {answer!r}")
        self.socket = context.wrap_socket(self.socket, server_hostname=self.endpoint.host)

    def send(self, data):
        """Sends the bytes."""
        self.socket.sendall(data)

    def send_and_read(self, data, done):
        """Sends while reading, as a pipelining client must; done(messages) says when to stop."""
        messages, view = [], memoryview(data)
        if isinstance(self.socket, ssl.SSLSocket):
            self.socket.sendall(view)
            view = view[len(view):]
        self.socket.setblocking(False)
        try:
            while not done(messages):
                message = self.buffered()
                if message:
                    messages.append(message)
                    continue
                readable, writable, _ = select.select([self.socket], [self.socket] if view else [], [], 60)
                if not readable and not writable:
                    raise TimeoutError("neither side moved for 60 s")
                if writable and view:
                    view = view[self.socket.send(view[:1 << 16]):]
                if readable:
                    try:
                        self.more(self.socket.recv(1 << 16))
                    except ssl.SSLWantReadError:
                        pass
        finally:
            self.socket.settimeout(60)
        return messages

    def more(self, data):
        """Takes bytes that came from the server."""
        if not data:
            raise WireError("the server closed the connection")
        self.buffer += data

    def buffered(self):
        """A message that is here whole already, or None."""
        if len(self.buffer) < 5:
            return None
        (size,) = struct.unpack_from("!i", self.buffer, 1)
        if size < 4 or size > MESSAGE_BYTES_MAX:
            raise WireError(f"message {bytes(self.buffer[:1])!r} with length {size}")
        if len(self.buffer) < size + 1:
            return None
        message = (bytes(self.buffer[:1]), bytes(self.buffer[5:size + 1]))
        del self.buffer[:size + 1]
        if message[0] == b"Z":
            self.status = message[1]
        elif message[0] == b"S":
            name, value = message[1].split(b"\0")[:2]
            self.parameters[name.decode()] = value.decode()
        return message

    def read(self):
        """The next message: (tag, payload)."""
        while True:
            message = self.buffered()
            if message:
                return message
            self.more(self.socket.recv(1 << 20))

    def until_ready(self, count=1):
        """Messages up to and including that many ReadyForQuery."""
        messages = []
        while count:
            messages.append(self.read())
            count -= messages[-1][0] == b"Z"
        return messages

    def authenticate(self):
        """Answers the server until it is ready or refuses."""
        while True:
            tag, payload = self.read()
            if tag == b"E":
                raise ServerRefusal(fields(payload))
            if tag == b"Z":
                return
            if tag == b"K":
                self.key = payload
            elif tag == b"v":
                self.negotiated = payload
            elif tag == b"R":
                self._challenge(struct.unpack_from("!i", payload)[0], payload[4:])

    def _challenge(self, kind, data):
        user, password = self.endpoint.user.encode(), self.endpoint.password.encode()
        if kind == 0:
            return
        if kind == 3:
            self.send(frame("p", password + b"\0"))
        elif kind == 5:
            inner = hashlib.md5(password + user).hexdigest().encode()
            self.send(frame("p", b"md5" + hashlib.md5(inner + data[:4]).hexdigest().encode() + b"\0"))
        elif kind == 10:
            self._nonce = base64.b64encode(os.urandom(18))
            self._first = b"n=,r=" + self._nonce
            message = b"n,," + self._first
            self.send(frame("p", cstr("SCRAM-SHA-256") + struct.pack("!i", len(message)) + message))
        elif kind == 11:
            parts = dict(p.split(b"=", 1) for p in data.split(b","))
            key = hashlib.pbkdf2_hmac("sha256", password, base64.b64decode(parts[b"s"]), int(parts[b"i"]))
            client = hmac.digest(key, b"Client Key", "sha256")
            last = b"c=biws,r=" + parts[b"r"]
            signed = self._first + b"," + data + b"," + last
            signature = hmac.digest(hashlib.sha256(client).digest(), signed, "sha256")
            proof = base64.b64encode(bytes(a ^ b for a, b in zip(client, signature)))
            self.send(frame("p", last + b",p=" + proof))
        elif kind != 12:
            raise WireError(f"authentication method {kind}")

    def query(self, text):
        """A simple query: all messages up to ReadyForQuery."""
        self.send(query(text))
        return self.until_ready()

    def value(self, text):
        """The first cell of the first row, as text; an error is raised."""
        for tag, payload in self.query(text):
            if tag == b"E":
                raise ServerRefusal(fields(payload))
            if tag == b"D":
                cell = row(payload)[0]
                return None if cell is None else cell.decode()
        return None

    def cancel(self):
        """Asks for the running query to be cancelled, over a connection of its own."""
        send_cancel(self.endpoint, self.key)

    def at_eof(self, seconds=10):
        """True when the server closes within the time; what it still sends is dropped."""
        self.socket.settimeout(seconds)
        try:
            while self.socket.recv(1 << 16):
                pass
            return True
        except (ConnectionError, ssl.SSLError):
            return True
        except TimeoutError:
            return False

    def close(self):
        """Says goodbye and closes."""
        try:
            self.socket.sendall(TERMINATE)
        except OSError:
            pass
        self.socket.close()

    def abort(self):
        """Closes without a word, with a reset."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()


class ServerRefusal(Exception):
    """An ErrorResponse where none was wanted; fields has it whole."""

    def __init__(self, found):
        super().__init__(f"{found.get('C')}: {found.get('M')}")
        self.fields = found


def send_cancel(endpoint, key):
    """Sends a CancelRequest with the key data (process id and secret) and waits until the server closes."""
    with socket.create_connection((endpoint.host, endpoint.port), 10) as raw:
        s = raw
        if endpoint.sslmode != "disable":
            raw.sendall(struct.pack("!ii", 8, SSL_CODE))
            if raw.recv(1) == b"S":
                context = ssl.create_default_context(cafile=endpoint.cafile or None)
                s = context.wrap_socket(raw, server_hostname=endpoint.host)
        s.sendall(struct.pack("!ii", 8 + len(key), CANCEL_CODE) + key)
        try:
            while s.recv(64):
                pass
        except OSError:
            pass


def show(message):
    """A message as plain data, for transcripts."""
    tag, payload = message
    if tag == b"T":
        (count,), at, out = struct.unpack_from("!h", payload), 2, []
        for _ in range(count):
            end = payload.index(b"\0", at)
            name = payload[at:end].decode(errors="replace")
            out.append([name, *struct.unpack_from("!IhIhih", payload, end + 1)])
            at = end + 19
        return ["RowDescription", out]
    if tag == b"D":
        return ["DataRow", [None if c is None else _cell(c) for c in row(payload)]]
    if tag in (b"E", b"N"):
        return ["Error" if tag == b"E" else "Notice", fields(payload)]
    if tag == b"C":
        return ["CommandComplete", payload[:-1].decode()]
    if tag == b"t":
        return ["ParameterDescription", list(struct.unpack_from(f"!{(len(payload) - 2) // 4}I", payload, 2))]
    if tag == b"S":
        return ["ParameterStatus", *[p.decode() for p in payload.split(b"\0")[:2]]]
    if tag == b"A":
        return ["Notification", *[p.decode() for p in payload[4:].split(b"\0")[:2]]]
    return [tag.decode(), _cell(payload)]


def _cell(data):
    if len(data) > 200:
        return f"{len(data)} bytes sha256 {hashlib.sha256(data).hexdigest()[:32]}"
    try:
        return data.decode("ascii")
    except UnicodeDecodeError:
        return "hex " + data.hex()
