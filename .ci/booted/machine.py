"""The small machine with systemd that `.ci/systemd` boots beside this one: commands in it, its files, Entra's requests.

A test runs in the network of the machine, and enters the rest of it for each command. The machine's files are at ROOT.
The command line of a test: PID-OF-ITS-FIRST-PROCESS ROOT
"""

import http.client
import json
import pathlib
import socket
import ssl
import subprocess
import sys
import time
import urllib.parse

NAME = "ziflow-scim-bridge"
FIRST, ROOT = sys.argv[1], pathlib.Path(sys.argv[2])
ETC = ROOT / "etc" / NAME
KEY = "simulated-admin-key"
ENTER = ["nsenter", "--target", FIRST, "--mount", "--uts", "--ipc", "--pid", "--net", "--cgroup", "--", "env", "-i",
         "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8"]


def inside(*command, fails=False):
    """Runs a command on the machine. Its output; with `fails` it must fail."""
    status, said = tried("env", "DEBIAN_FRONTEND=noninteractive", *command)
    if (status != 0) != fails:
        wanted = "fail" if fails else "work"
        stop(f"{' '.join(command)} should {wanted} and ended with {status}:\n{said}")
    return said


def tried(*command, answers=""):
    """Runs a command on the machine, with answers to what it asks. Its exit code and its output."""
    done = subprocess.run([*ENTER, *command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, input=answers, text=True,
                          timeout=180)
    return done.returncode, done.stdout


def log(*options):
    return tried("journalctl", "--no-pager", "--output=cat", *options)[1]


def stop(reason):
    print(f"FAILED: {reason}", flush=True)
    lines = [line for line in log().splitlines() if "request operation=" not in line]
    print(*lines[-40:], sep="\n", flush=True)
    sys.exit(1)


def must(holds, what):
    if not holds:
        stop(what)


def step(text):
    print(f"-- {text}", flush=True)


def until(holds, what, patience=60):
    end = time.monotonic() + patience
    while True:
        found = holds()
        if found:
            return found
        if time.monotonic() > end:
            stop(f"not within {patience} s: {what}")
        time.sleep(0.2)


def booted():
    until(lambda: tried("systemctl", "is-system-running")[1].strip() in ("running", "degraded"), "it boots")


def shown(key, unit=NAME):
    """A property of a unit, as systemd has it."""
    return inside("systemctl", "show", "--value", f"--property={key}", unit).strip()


def edit(file, old, new):
    text = file.read_text()
    must(old in text, f"{file} does not say `{old}`")
    file.write_text(text.replace(old, new, 1))


def person(name, **attributes):
    """Somebody new, as Entra writes them."""
    return {"userName": f"{name}@example.com", "externalId": name, "active": True,
            "name": {"givenName": name.title(), "familyName": "Lee"}, **attributes}


class Entra:
    """Entra, with its Secret Token; with `authority`, it comes over TLS and trusts that one only."""

    def __init__(self, token, port=8080, authority=None):
        self.token, self.port = token, port
        self.tls = ssl.create_default_context(cafile=authority) if authority else None

    def certificate(self):
        """The number of the certificate that is shown."""
        with socket.create_connection(("127.0.0.1", self.port)) as plain:
            with self.tls.wrap_socket(plain, server_hostname="scim.example.com") as connection:
                return connection.getpeercert()["serialNumber"]

    def request(self, method, path, body=None):
        """One request on a connection of its own. The answer, and its body."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        if self.tls:
            connection.connect()
            connection.sock = self.tls.wrap_socket(connection.sock, server_hostname="scim.example.com")
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/scim+json", "Connection": "close"}
        try:
            connection.request(method, f"/scim/v2{path}", json.dumps(body) if body else None, headers)
            answer = connection.getresponse()
            return answer, json.loads(answer.read() or b"null")
        finally:
            connection.close()

    def ask(self, method, path, body=None):
        """Status and answer."""
        answer, said = self.request(method, path, body)
        return answer.status, said

    def find(self, user_name):
        name = urllib.parse.quote(f'userName eq "{user_name}"')
        return self.ask("GET", f"/Users?filter={name}")

    def serves(self):
        """Test Connection."""
        status, answer = self.find("nobody@example.com")
        return status == 200 and answer["totalResults"] == 0

    def hire(self, name, **attributes):
        """A new person, as Entra makes one. Their id."""
        status, answer = self.ask("POST", "/Users", person(name, **attributes))
        must(status == 201, f"{name} is made: {status} {answer}")
        return urllib.parse.quote(answer["id"])

    def set(self, one, attribute, value):
        """Status and answer of a change of one attribute."""
        operation = {"op": "Replace", "path": attribute, "value": value}
        return self.ask("PATCH", f"/Users/{one}", {"Operations": [operation]})


def ziflow(handle, body=None, method="POST"):
    """What becomes of the simulated Ziflow: its key, its quirks, its faults."""
    connection = http.client.HTTPConnection("127.0.0.1", 9000, timeout=30)
    try:
        connection.request(method, f"/__{handle}", json.dumps(body))
        answer = connection.getresponse()
        must(answer.status == 200, f"/__{handle}: {answer.read()}")
    finally:
        connection.close()
