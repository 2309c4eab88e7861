"""A Kubernetes API server with etcd: keys, namespaces, service accounts, pods that never run, and tokens of them."""
import json
import pathlib
import ssl
import urllib.error
import urllib.request

import harness

ISSUER = "https://kubernetes.default.svc.cluster.local"
# How long the API server may take to make its own rules and roles.
READY_SECONDS_MAX = 120
# The least that tokens live there.
TOKEN_SECONDS = 600
ANSWER_SECONDS_MAX = 30


class Cluster:
    """The API server and its etcd, on loopback."""

    def __init__(self, box, etcd, apiserver):
        self.box, self.etcd, self.apiserver = box, etcd, apiserver
        self.folder = box.folder("cluster")
        self.folder.chmod(0o700)
        self.port, self.etcd_port = harness.free_port(), harness.free_port()
        self.url = f"https://127.0.0.1:{self.port}"
        self.process = None
        self._make_keys()
        self.ca = self.folder / "ca.pem"
        self.context = ssl.create_default_context(cafile=self.ca)
        self.context.load_cert_chain(self.folder / "admin.pem", self.folder / "admin.key")

    def _make_keys(self):
        def openssl(*words):
            harness.run_quiet(["openssl", *words], "openssl", cwd=self.folder)

        curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        openssl("req", "-x509", *curve, "-days", "2", "-subj", "/CN=cluster", "-keyout", "ca.key", "-out", "ca.pem")
        for name, subject, more in [
                ("server", "/CN=kube-apiserver", "subjectAltName=IP:127.0.0.1\nextendedKeyUsage=serverAuth"),
                ("admin", "/O=system:masters/CN=admin", "extendedKeyUsage=clientAuth")]:
            openssl("req", "-new", *curve, "-subj", subject, "-keyout", f"{name}.key", "-out", f"{name}.csr")
            (self.folder / f"{name}.ext").write_text(more + "\n")
            openssl("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2",
                    "-extfile", f"{name}.ext", "-out", f"{name}.pem")
        openssl("genrsa", "-out", "accounts.key", "2048")
        openssl("rsa", "-in", "accounts.key", "-pubout", "-out", "accounts.pub")

    def start(self):
        """Both, until the API server has what it needs of its own."""
        peers = f"http://127.0.0.1:{harness.free_port()}"
        self.box.start([
            self.etcd, "--data-dir", self.folder / "etcd", "--listen-client-urls", f"http://127.0.0.1:{self.etcd_port}",
            "--advertise-client-urls", f"http://127.0.0.1:{self.etcd_port}", "--listen-peer-urls", peers,
            "--initial-advertise-peer-urls", peers, "--initial-cluster", f"default={peers}"], self.folder / "etcd.log")
        self.start_apiserver()

    def start_apiserver(self):
        """The API server alone."""
        log = self.folder / "apiserver.log"
        self.process = self.box.start([
            self.apiserver, "--etcd-servers", f"http://127.0.0.1:{self.etcd_port}",
            "--bind-address", "127.0.0.1", "--advertise-address", "127.0.0.1", "--secure-port", self.port,
            "--tls-cert-file", self.folder / "server.pem", "--tls-private-key-file", self.folder / "server.key",
            "--client-ca-file", self.ca, "--cert-dir", self.folder / "own", "--authorization-mode", "RBAC",
            "--service-account-issuer", ISSUER, "--api-audiences", ISSUER,
            "--service-account-key-file", self.folder / "accounts.pub",
            "--service-account-signing-key-file", self.folder / "accounts.key", "--service-cluster-ip-range", "10.0.0.0/24"], log)
        try:
            harness.wait_for("kube-apiserver", self.ready, READY_SECONDS_MAX, self.process, pause=0.2)
        except harness.HarnessError as e:
            raise harness.HarnessError(f"{e}\n{log.read_text(errors='replace')[-3000:]}") from e

    def ready(self):
        """True when it says so."""
        try:
            return self.ask("GET", "/readyz", parse=False) == b"ok"
        except (OSError, AssertionError):
            return False

    def ask(self, method, path, document=None, parse=True):
        """Asks as the administrator, whom a client certificate proves."""
        body = None if document is None else json.dumps(document).encode()
        request = urllib.request.Request(self.url + path, body, {"Content-Type": "application/json"}, method=method)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=self.context))
        try:
            with opener.open(request, timeout=ANSWER_SECONDS_MAX) as answer:
                said = answer.read()
        except urllib.error.HTTPError as e:
            raise AssertionError(f"{method} {path}: {e.code} {e.read()[:1000]}") from e
        return json.loads(said) if parse else said

    def namespace(self, name):
        """Makes one."""
        self.ask("POST", "/api/v1/namespaces", {"metadata": {"name": name}})

    def account(self, namespace, name):
        """Makes a service account: its uid."""
        return self.ask("POST", f"/api/v1/namespaces/{namespace}/serviceaccounts", {"metadata": {"name": name}})["metadata"]["uid"]

    def pod(self, namespace, name, account):
        """Makes a pod, which waits for a node for ever: its uid."""
        pod = {"metadata": {"name": name},
               "spec": {"serviceAccountName": account, "containers": [{"name": "main", "image": "nothing.example/nothing"}]}}
        return self.ask("POST", f"/api/v1/namespaces/{namespace}/pods", pod)["metadata"]["uid"]

    def remove(self, namespace, kind, name):
        """Removes a pod or an account at once."""
        self.ask("DELETE", f"/api/v1/namespaces/{namespace}/{kind}/{name}", {"gracePeriodSeconds": 0})

    def token(self, namespace, account, pod=None, audience="countersign"):
        """A token by the TokenRequest API, as a projected volume gets it; bound to a pod (name and uid) where there is one."""
        spec = {"expirationSeconds": TOKEN_SECONDS}
        if audience is not None:
            spec["audiences"] = [audience]
        if pod:
            spec["boundObjectRef"] = {"apiVersion": "v1", "kind": "Pod", "name": pod[0], "uid": pod[1]}
        request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
        return self.ask("POST", f"/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token", request)["status"]["token"]

    def allow_reviews(self, namespace, account):
        """Lets an account ask about tokens."""
        binding = {"metadata": {"name": "reviewer"},
                   "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "system:auth-delegator"},
                   "subjects": [{"kind": "ServiceAccount", "namespace": namespace, "name": account}]}
        self.ask("POST", "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", binding)

    def forbid_reviews(self):
        """And no more."""
        self.ask("DELETE", "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/reviewer")

    def write_keys(self, path: pathlib.Path):
        """Its public keys, where the documentation says to take them from."""
        path.write_bytes(self.ask("GET", "/openid/v1/jwks", parse=False))
