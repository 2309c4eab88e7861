"""A TCP relay that keeps what the server side says, so that a client's every byte can be looked at."""

import socket
import threading


class Tee:
    """Listens on a free port of 127.0.0.1 and relays to another."""

    def __init__(self, port):
        self.target = port
        self.heard = []
        self.lock = threading.Lock()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self.target))
            kept = bytearray()
            with self.lock:
                self.heard.append(kept)
            threading.Thread(target=self._relay, args=(client, server, None), daemon=True).start()
            threading.Thread(target=self._relay, args=(server, client, kept), daemon=True).start()

    @staticmethod
    def _relay(source, sink, kept):
        try:
            while data := source.recv(1 << 16):
                if kept is not None:
                    kept.extend(data)
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            for s in (source, sink):
                try:
                    s.close()
                except OSError:
                    pass

    def take(self):
        """What was heard on each connection since the last call."""
        with self.lock:
            heard, self.heard = self.heard, []
        return [bytes(k) for k in heard]

    def close(self):
        """Listens no more."""
        self.listener.close()
