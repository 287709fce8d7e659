"""What must hold for the package on a machine with systemd, from its installation to its purge.

Runs in the network of the machine, and enters the rest of it for each command. The machine's files are at `root`.
Usage: systemd.py PID-OF-ITS-FIRST-PROCESS ROOT
"""

import http.client
import json
import pathlib
import re
import subprocess
import sys
import threading
import time
import urllib.parse

NAME = "ziflow-scim-bridge"
FIRST, ROOT = sys.argv[1], pathlib.Path(sys.argv[2])
ETC = ROOT / "etc" / NAME
KEY = "simulated-admin-key"


def inside(*command, fails=False):
    """Runs a command on the machine. Its output; with `fails` it must fail."""
    enter = ["nsenter", "--target", FIRST, "--mount", "--uts", "--ipc", "--pid", "--net", "--cgroup", "--"]
    path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    done = subprocess.run(
        [*enter, "env", "-i", path, "DEBIAN_FRONTEND=noninteractive", "LC_ALL=C.UTF-8", *command],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=180,
    )
    if (done.returncode != 0) != fails:
        wanted = "fail" if fails else "work"
        stop(f"{' '.join(command)} should {wanted} and ended with {done.returncode}:\n{done.stdout}")
    return done.stdout


def stop(reason):
    print(f"FAILED: {reason}", flush=True)
    log = inside_anyhow("journalctl", "--no-pager", "--output=cat").splitlines()
    print(*[line for line in log if '"message":"request"' not in line][-40:], sep="\n", flush=True)
    sys.exit(1)


def inside_anyhow(*command):
    enter = ["nsenter", "--target", FIRST, "--mount", "--pid", "--cgroup", "--ipc", "--"]
    return subprocess.run([*enter, *command], capture_output=True, text=True, timeout=60).stdout


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


def shown(key, unit=NAME):
    """A property of a unit, as systemd has it."""
    return inside("systemctl", "show", "--value", f"--property={key}", unit).strip()


def ask(method, path, body=None, port=8080, token=None):
    """One request on a connection of its own. Status and answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    headers = {"Authorization": f"Bearer {token or TOKEN}", "Content-Type": "application/scim+json", "Connection": "close"}
    try:
        connection.request(method, f"/scim/v2{path}", json.dumps(body) if body else None, headers)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read() or b"null")
    finally:
        connection.close()


def serves(port=8080, token=None):
    """Entra's Test Connection."""
    nobody = urllib.parse.quote('userName eq "nobody@example.com"')
    status, answer = ask("GET", f"/Users?filter={nobody}", port=port, token=token)
    return status == 200 and answer["totalResults"] == 0


def edit(file, old, new):
    text = file.read_text()
    must(old in text, f"{file} does not say `{old}`")
    file.write_text(text.replace(old, new, 1))


def drop_in(name, text):
    folder = ROOT / "etc/systemd/system" / f"{NAME}.service.d"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text)
    inside("systemctl", "daemon-reload")


class Load:
    """Three who ask all the time, one request after the other, and make people. Nobody may be sent away."""

    def __init__(self):
        self.going, self.answered, self.failed = True, 0, []
        self.threads = [threading.Thread(target=self.run, args=(number,)) for number in range(3)]

    def run(self, number):
        count = 0
        while self.going:
            count += 1
            person = {"userName": f"load-{id(self)}-{number}-{count}@example.com", "active": True,
                      "name": {"givenName": "Lo", "familyName": "Ad"}}
            try:
                status, answer = ask("POST", "/Users", person)
                if status != 201:
                    self.failed.append((status, answer))
                self.answered += 1
            except OSError as error:
                self.failed.append(repr(error))
            except http.client.HTTPException as error:
                self.failed.append(repr(error))

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        until(lambda: self.answered > 5, "the load begins")
        return self

    def __exit__(self, *_):
        before = self.answered
        until(lambda: self.answered > before + 5, "the load goes on afterwards")
        self.going = False
        for thread in self.threads:
            thread.join()
        must(not self.failed, f"of {self.answered} requests failed: {self.failed[:5]}")
        print(f"   {self.answered} requests answered, none failed", flush=True)


until(lambda: inside_anyhow("systemctl", "is-system-running").strip() in ("running", "degraded"), "it boots")

step("install")
said = inside("apt-get", "install", "--yes", "/srv/old.deb")
must("installed and not started" in said and "token new" in said, f"the next steps are not told:\n{said}")
must(shown("ActiveState") == "inactive" and shown("UnitFileState") == "enabled", "enabled, and not started")
must(inside("stat", "-c", "%a %U %G", f"/etc/{NAME}").strip() == f"750 root {NAME}", "the folder of the settings")
must(inside("stat", "-c", "%a %U %G", f"/etc/{NAME}/ziflow-api-key").strip() == f"640 root {NAME}", "the key's file")
units = [f"{NAME}.service", f"{NAME}@acme.service", f"{NAME}.socket"]
said = inside("systemd-analyze", "verify", "--man=no", *units)
must(not said, f"the units are not right:\n{said}")

step("a start without the two values fails, once, and says where to look")
inside("systemctl", "start", NAME, fails=True)
must(shown("ExecMainStatus") == "78" and shown("NRestarts") == "0", "exit code 78, no restart")
must("check" in inside_anyhow("systemctl", "status", "--no-pager", NAME), "`systemctl status` names `check`")
inside(NAME, "check", fails=True)

step("two values, and it runs")
made = json.loads(inside(NAME, "token", "new", "--format", "json"))
TOKEN = made["token"]
edit(ETC / "bridge.yaml", "the sha256 of the token", made["sha256"])
(ETC / "ziflow-api-key").write_text(f"{KEY}\n")
# What an account at Ziflow would not need.
inside("systemd-run", "--unit=ziflow", f"/usr/bin/{NAME}", "simulate", "--key", KEY)
edit(ETC / "bridge.yaml", "  # The file that holds", "  base_url: http://127.0.0.1:9000/v1\n  # The file that holds")
with (ETC / "bridge.yaml").open("a") as settings:
    settings.write("rate_limit: { requests_per_second: 1000, burst: 1000, in_flight: 50 }\n")
drop_in("test.conf", "[Service]\nWatchdogSec=6\n")
inside(NAME, "check")
inside("systemctl", "start", NAME)
must(serves(), "Entra's Test Connection")
line = shown("StatusText")
print(f"   Status: {line}", flush=True)
must(line.startswith(f"serving Entra at http://127.0.0.1:8080/scim/v2; mapping /etc/{NAME}/mapping.yaml, version"), line)
must(shown("User") == NAME and inside("stat", "-c", "%a %U", f"/var/lib/{NAME}/store.db").strip() == f"600 {NAME}", "the store")

step("what it may do")
said = inside("systemd-analyze", "security", "--no-pager", f"{NAME}.service")
exposure = float(re.search(r"exposure level for .*: ([0-9.]+)", said).group(1))
print(f"   systemd-analyze security: {exposure}", flush=True)
must(exposure <= 1.5, said)

step("a good mapping is taken over, a bad one is not")
with (ETC / "mapping.yaml").open("a") as mapping:
    mapping.write("# another version\n")
inside("systemctl", "reload", NAME)
until(lambda: shown("StatusText") != line and shown("ActiveState") == "active", "another version is in force")
line = shown("StatusText")
good = (ETC / "mapping.yaml").read_text()
(ETC / "mapping.yaml").write_text("user: {}\n")
inside("systemctl", "reload", NAME, fails=True)
must(shown("StatusText") == line and shown("ActiveState") == "active" and serves(), "the old one stays in force")
# Whoever sends the signal by hand has no check before it; the process checks by itself.
inside("systemctl", "kill", "--signal=HUP", NAME)
until(lambda: "was refused" in shown("StatusText"), "the status tells of the refused reload")
print(f"   Status: {shown('StatusText')}", flush=True)
must(shown("ActiveState") == "active" and serves(), "it goes on with the old mapping")
(ETC / "mapping.yaml").write_text(good)
inside("systemctl", "reload", NAME)
until(lambda: shown("StatusText") == line, "the refusal is made good")

step("Ziflow stands still, and nothing is restarted")
process = shown("MainPID")
inside("systemctl", "kill", "--signal=STOP", "ziflow")
end = time.monotonic() + 15
while time.monotonic() < end:
    must(ask("GET", "/Users/auth0%7Cnobody")[0] >= 500, "Ziflow's trouble is told as such")
until(lambda: shown("StatusText").startswith("cannot serve Entra"), "the status tells of the trouble")
print(f"   Status: {shown('StatusText')}", flush=True)
must(shown("MainPID") == process and shown("NRestarts") == "0", "the process is the same")
inside("systemctl", "kill", "--signal=CONT", "ziflow")
until(lambda: serves(), "Ziflow is back")


def comes_back(signal, why):
    process = shown("MainPID")
    inside("systemctl", "kill", f"--signal={signal}", "--kill-whom=main", NAME)
    until(lambda: shown("MainPID") not in (process, "0") and shown("ActiveState") == "active", why)
    must(serves(), f"it serves again: {why}")


step("killed, it comes back")
comes_back("KILL", "a killed process is started anew")
step("standing still, it is killed by the watchdog and comes back")
comes_back("STOP", "a process that stands still is started anew")
must("Watchdog timeout" in inside("journalctl", "--no-pager", f"--unit={NAME}"), "it was the watchdog")

step("a socket of systemd's: restarts lose nobody")
inside("systemctl", "stop", NAME)
(ETC / "bridge.yaml").write_text((ETC / "bridge.yaml").read_text().replace("# server:", "server:\n  listen: systemd\n#", 1))
inside("systemctl", "start", NAME, fails=True)
must("has passed no socket" in shown("StatusText") and shown("ExecMainStatus") == "78", "a missing socket is told")
inside("systemctl", "enable", "--now", f"{NAME}.socket")
must(serves(), "the first request starts the service")
with Load():
    for _ in range(3):
        inside("systemctl", "restart", NAME)

step("an upgrade under load")
process, socket = shown("MainPID"), shown("ActiveEnterTimestampMonotonic", f"{NAME}.socket")
with Load():
    said = inside("apt-get", "install", "--yes", "/srv/new.deb")
must(shown("MainPID") != process and shown("ActiveState") == "active", f"the new version runs:\n{said}")
must(shown("ActiveEnterTimestampMonotonic", f"{NAME}.socket") == socket, "the socket was left alone")
must(inside("dpkg-query", "--show", "--showformat=${Version}", NAME).endswith("-2"), "the new version is installed")

step("an upgrade whose settings cannot be used leaves the old process")
process, settings = shown("MainPID"), (ETC / "bridge.yaml").read_text()
(ETC / "bridge.yaml").write_text(settings + "nonsense: true\n")
said = inside("apt-get", "install", "--yes", "--reinstall", "/srv/new.deb")
must("goes on with the old version" in said, f"that is told:\n{said}")
must(shown("MainPID") == process and serves(), "and serves")
(ETC / "bridge.yaml").write_text(settings)

step("the key as a credential")
example = ROOT / "usr/share/doc" / NAME / "examples/credentials.conf"
drop_in("credentials.conf", example.read_text())
inside("chmod", "0600", f"/etc/{NAME}/ziflow-api-key")
inside("chown", "root:root", f"/etc/{NAME}/ziflow-api-key")
edit(ETC / "bridge.yaml", "  api_key_file:", "  # api_key_file:")
inside("systemctl", "restart", NAME)
must(serves(), "it serves with it")

step("another account beside it")
other = ETC / "acme"
other.mkdir()
(other / "bridge.yaml").write_text(f"""
server: {{ listen: 127.0.0.1:8081 }}
admin: {{ listen: 127.0.0.1:9465 }}
store: {{ url: sqlite:/var/lib/{NAME}/acme/store.db }}
ziflow: {{ base_url: http://127.0.0.1:9000/v1, api_key: {KEY} }}
""")
(other / "mapping.yaml").write_text(good)
inside("chown", "-R", f"root:{NAME}", f"/etc/{NAME}/acme")
inside("chmod", "-R", "o-rwx", f"/etc/{NAME}/acme")
inside("systemctl", "enable", "--now", f"{NAME}@acme")
must(serves(8081, KEY) and serves(), "both serve")
must((ROOT / f"var/lib/{NAME}/acme/store.db").exists(), "it has a store of its own")
must("acme/mapping.yaml" in shown("StatusText", f"{NAME}@acme"), "and a mapping of its own")

step("removed, the store and the settings stay")
inside("apt-get", "remove", "--yes", NAME)
for unit in [f"{NAME}.service", f"{NAME}.socket", f"{NAME}@acme.service"]:
    must(shown("ActiveState", unit) in ("inactive", "failed"), f"{unit} has stopped")
must((ROOT / f"var/lib/{NAME}/store.db").exists() and (ETC / "ziflow-api-key").exists(), "the data stay")

step("purged, nothing is left")
inside("apt-get", "purge", "--yes", NAME)
inside("rm", "-r", f"/etc/systemd/system/{NAME}.service.d")
left = inside("find", "/", "-xdev", "-name", f"*{NAME}*", "-not", "-path", "/proc/*", "-not", "-path", "/run/*",
              "-not", "-path", "/sys/*").split()
must(not left, f"left: {left}")
must(NAME not in (ROOT / "etc/passwd").read_text() + (ROOT / "etc/group").read_text(), "the user is gone")
inside("systemctl", "stop", "ziflow")
