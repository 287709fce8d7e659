"""What must hold for the package on a machine with systemd, from its installation to its purge."""

import http.client
import json
import re
import threading
import time

from machine import ETC, KEY, NAME, ROOT, Entra, booted, edit, inside, log, must, shown, step, tried, until


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
                status, answer = entra.ask("POST", "/Users", person)
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


booted()

step("install")
said = inside("apt-get", "install", "--yes", "/srv/old.deb")
must("installed and not started" in said and "token new" in said, f"the next steps are not told:\n{said}")
must(shown("ActiveState") == "inactive" and shown("UnitFileState") == "enabled", "enabled, and not started")
must(inside("stat", "-c", "%a %U %G", f"/etc/{NAME}").strip() == f"750 root {NAME}", "the folder of the settings")
must(inside("stat", "-c", "%a %U %G", f"/etc/{NAME}/ziflow-api-key").strip() == f"640 root {NAME}", "the key's file")
units = [f"{NAME}.service", f"{NAME}@acme.service", f"{NAME}.socket"]
said = inside("systemd-analyze", "verify", "--man=no", *units)
must(not said, f"the units are not right:\n{said}")

step("the manual that came along links to what came along")
manual, links = ROOT / "usr/share/doc" / NAME, 0
for page in manual.rglob("*.md"):
    prose = "".join(page.read_text().split("\n```")[::2])
    for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", prose):
        must((page.parent / link).exists(), f"{page.relative_to(manual)} links to {link}")
        links += 1
must(links > 60, f"{links} links")

step("a start without the two values fails, once, and says where to look")
inside("systemctl", "start", NAME, fails=True)
must(shown("ExecMainStatus") == "78" and shown("NRestarts") == "0", "exit code 78, no restart")
must("check" in tried("systemctl", "status", "--no-pager", NAME)[1], "`systemctl status` names `check`")
inside(NAME, "check", fails=True)

step("two values, and it runs")
made = json.loads(inside(NAME, "token", "new", "--format", "json"))
entra = Entra(made["token"])
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
must(entra.serves(), "Entra's Test Connection")
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
must(shown("StatusText") == line and shown("ActiveState") == "active" and entra.serves(), "the old one stays in force")
# Whoever sends the signal by hand has no check before it; the process checks by itself.
inside("systemctl", "kill", "--signal=HUP", NAME)
until(lambda: "was refused" in shown("StatusText"), "the status tells of the refused reload")
print(f"   Status: {shown('StatusText')}", flush=True)
must(shown("ActiveState") == "active" and entra.serves(), "it goes on with the old mapping")
(ETC / "mapping.yaml").write_text(good)
inside("systemctl", "reload", NAME)
until(lambda: shown("StatusText") == line, "the refusal is made good")

version = int(re.search(r"systemd (\d+)", inside("systemctl", "--version")).group(1))
if version >= 253:
    step("`systemctl reload` waits for the end of the reload, and still fails with files that cannot be used")
    example = ROOT / "usr/share/doc" / NAME / "examples/notify-reload.conf"
    drop_in("notify-reload.conf", example.read_text())
    process, line = shown("MainPID"), shown("StatusText")
    (ETC / "mapping.yaml").write_text(good + "# waited for\n")
    inside("systemctl", "reload", NAME)
    must(shown("StatusText") != line and shown("ActiveState") == "active", "another version is in force at once")
    line = shown("StatusText")
    (ETC / "mapping.yaml").write_text("user: {}\n")
    inside("systemctl", "reload", NAME, fails=True)
    must(shown("StatusText").split("mapping /")[-1] == line.split("mapping /")[-1] and entra.serves(), "the old one stays in force")
    (ETC / "mapping.yaml").write_text(good)
    inside("systemctl", "reload", NAME)
    must(shown("MainPID") == process and entra.serves(), "without a restart")
    inside("rm", f"/etc/systemd/system/{NAME}.service.d/notify-reload.conf")
    inside("systemctl", "daemon-reload")

step("Ziflow stands still, and nothing is restarted")
process = shown("MainPID")
inside("systemctl", "kill", "--signal=STOP", "ziflow")
end = time.monotonic() + 15
while time.monotonic() < end:
    must(entra.ask("GET", "/Users/auth0%7Cnobody")[0] >= 500, "Ziflow's trouble is told as such")
until(lambda: shown("StatusText").startswith("cannot serve Entra"), "the status tells of the trouble")
print(f"   Status: {shown('StatusText')}", flush=True)
must(shown("MainPID") == process and shown("NRestarts") == "0", "the process is the same")
inside("systemctl", "kill", "--signal=CONT", "ziflow")
until(entra.serves, "Ziflow is back")


def comes_back(signal, why):
    process = shown("MainPID")
    inside("systemctl", "kill", f"--signal={signal}", "--kill-whom=main", NAME)
    until(lambda: shown("MainPID") not in (process, "0") and shown("ActiveState") == "active", why)
    must(entra.serves(), f"it serves again: {why}")


step("killed, it comes back")
comes_back("KILL", "a killed process is started anew")
step("standing still, it is killed by the watchdog and comes back")
comes_back("STOP", "a process that stands still is started anew")
must("Watchdog timeout" in log(), "it was the watchdog")

step("a socket of systemd's: restarts lose nobody")
inside("systemctl", "stop", NAME)
(ETC / "bridge.yaml").write_text((ETC / "bridge.yaml").read_text().replace("# server:", "server:\n  listen: systemd\n#", 1))
inside("systemctl", "start", NAME, fails=True)
must("has passed no socket" in shown("StatusText") and shown("ExecMainStatus") == "78", "a missing socket is told")
inside("systemctl", "enable", "--now", f"{NAME}.socket")
must(entra.serves(), "the first request starts the service")
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
must(shown("MainPID") == process and entra.serves(), "and serves")
(ETC / "bridge.yaml").write_text(settings)

step("the key as a credential")
example = ROOT / "usr/share/doc" / NAME / "examples/credentials.conf"
drop_in("credentials.conf", example.read_text())
inside("chmod", "0600", f"/etc/{NAME}/ziflow-api-key")
inside("chown", "root:root", f"/etc/{NAME}/ziflow-api-key")
edit(ETC / "bridge.yaml", "  api_key_file:", "  # api_key_file:")
inside("systemctl", "restart", NAME)
must(entra.serves(), "it serves with it")

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
# Its socket has no address, and is enabled for what that leaves behind.
inside("systemctl", "enable", f"{NAME}@acme.socket")
must(Entra(KEY, 8081).serves() and entra.serves(), "both serve")
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

step("the .rpm, by Debian's own rpm: installed, upgraded, erased")
inside("rpm", "--install", "--nodeps", "/srv/old.rpm")
must(shown("ActiveState") == "inactive" and shown("UnitFileState") == "enabled", "enabled, and not started")
must(inside("stat", "-c", "%a %U %G", f"/etc/{NAME}").strip() == f"750 root {NAME}", "the folder of the settings")
inside("systemd-run", "--unit=ziflow-again", f"/usr/bin/{NAME}", "simulate", "--key", KEY)
(ETC / "ziflow-api-key").write_text(f"{KEY}\n")
settings = "ziflow: { base_url: http://127.0.0.1:9000/v1, api_key_file: ziflow-api-key }\n"
(ETC / "bridge.yaml").write_text(settings)
inside("systemctl", "start", NAME)
entra = Entra(KEY)
must(entra.serves(), "it serves")
process = shown("MainPID")
inside("rpm", "--upgrade", "--nodeps", "/srv/new.rpm")
must(shown("MainPID") not in (process, "0") and entra.serves(), "the new version runs")
process = shown("MainPID")
(ETC / "bridge.yaml").write_text(settings + "nonsense: true\n")
said = inside("rpm", "--upgrade", "--oldpackage", "--nodeps", "/srv/old.rpm")
must("goes on with the old version" in said and shown("MainPID") == process and entra.serves(), f"that is told:\n{said}")
inside("rpm", "--erase", "--nodeps", NAME)
must(shown("ActiveState") == "inactive" and (ETC / "ziflow-api-key").exists(), "it has stopped, and the key stays")
left = inside("find", "/usr", "-name", f"*{NAME}*").split()
must(not left, f"left: {left}")
inside("systemctl", "stop", "ziflow-again")
