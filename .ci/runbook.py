"""A stage for each entry of the runbook: its occasion is brought about, its commands are typed, its promises are looked for.

What an entry does in Entra is played by Entra's requests. Ziflow is the simulated one, at 127.0.0.1:9000.
"""

import base64
import concurrent.futures
import datetime
import http.server
import json
import re
import socket
import ssl
import threading
import urllib.parse

from machine import ETC, NAME, ROOT, Entra, edit, inside, must, person, shown, tried, until, ziflow
from pages import PERSON, service_log, typed
from walk import ACCOUNT_KEY, AUTHORITY, HOME, certificate, sudoedit

SETTINGS, MAPPING = ETC / "bridge.yaml", ETC / "mapping.yaml"
STORE = f"/var/lib/{NAME}/store.db"
# In this order, as one may need what another has left.
STAGES = {}


def stage(heading):
    """The stage of the entry below this heading."""
    def add(function):
        STAGES[heading] = function
        return function
    return add


def readiness():
    """What /readyz says of the whole, and of each part."""
    said = json.loads(typed("curl -sS http://127.0.0.1:9464/readyz"))
    return said["ready"], said["parts"]


def becomes(part, state, patience=30):
    until(lambda: readiness()[1][part]["state"] == state, f"`{part}` is {state}: {readiness()}", patience)
    return readiness()[1][part]["detail"]


def metric(name):
    said = typed("curl -sS http://127.0.0.1:9464/metrics")
    return sum(float(line.split()[-1]) for line in said.splitlines() if re.match(rf"ziflow_scim_bridge_{name}[{{ ]", line))


def reload(fails=False):
    """An edit is taken over, or refused."""
    before = len(service_log())
    typed(f"sudo systemctl reload {NAME}", anyhow=fails)
    if not fails:
        until(lambda: "reloaded" in service_log(before), "the reload is done", patience=20)


def restart():
    typed(f"sudo systemctl restart {NAME}")


@stage("Take over an edit")
def take_over_an_edit(entry, entra):
    before = len(service_log())
    good = MAPPING.read_text()
    MAPPING.write_text(good + "# another version\n")
    entry.type(f"sudo systemctl reload {NAME}")
    entry.promises("The line `reloaded` names what has changed.")
    until(lambda: "reloaded changed=\"mapping" in service_log(before), "the change is named")

    MAPPING.write_text("user: {}\n")
    said = entry.type(f"sudo systemctl reload {NAME}", anyhow=True)
    must("failed" in said and entra.serves(), f"a mistake makes the reload fail, and what is in force stays:\n{said}")
    said = entry.type(f"sudo {NAME} check", anyhow=True)
    must("`user.email` is missing" in said, f"`check` names the mistake:\n{said}")
    MAPPING.write_text(good)

    settings = SETTINGS.read_text()
    SETTINGS.write_text(settings + "rate_limit: { requests_per_second: 1000, burst: 1000 }\n")
    before = len(service_log())
    entry.type(f"sudo systemctl reload {NAME}")
    until(lambda: "rate_limit" in service_log(before), "a reload names what needs a restart")
    SETTINGS.write_text(SETTINGS.read_text() + "policy: { max_deactivations_per_hour: 3 }\n")
    entry.type(f"sudo systemctl reload {NAME}", anyhow=True)
    until(lambda: "refused" in shown("StatusText"), "while `policy` has changed, nothing is taken over")
    detail = becomes("mapping", "stale")
    must("policy" in detail and metric("reloads_total") > 0, detail)
    entry.type(f"sudo systemctl restart {NAME}")
    must(entra.serves() and readiness()[1]["mapping"]["state"] == "ok", "the restart takes it over")


def added(*lines):
    """Entries for `auth.tokens`, below those that are there."""
    edit(SETTINGS, "ziflow:", "".join(lines) + "ziflow:")


def its_entry(name):
    """What the settings say of a token."""
    return re.search(rf' +- name: "?{name}"?\n(?:      .*\n)+', SETTINGS.read_text()).group()


def made(said):
    """The token that `token new` has printed, and the entry."""
    return said.splitlines()[0], re.search(r" +- name: .*\n(?:      .*\n)+", said).group()


@stage("Another token for Entra")
def another_token(entry, entra):
    soon = (datetime.date.today() + datetime.timedelta(days=20)).isoformat()
    edit(SETTINGS, "2027-11-30", soon)
    must(soon in typed(f"sudo {NAME} check"), "`check` announces the end")
    reload()
    becomes("tokens", "stale")

    token, lines = made(entry.type(f"{NAME} token new --name entra-2028 --expires 2028-11-30"))
    before = len(service_log())
    added(lines)
    entry.type(f"sudo systemctl reload {NAME}")
    entry.log_says("tokens added: entra-2028", before)
    new = Entra(token, entra.port, ROOT / AUTHORITY)
    must(entra.serves() and new.serves(), "both tokens are good")
    before, entra.token = len(service_log()), token
    entra.hire("tina")
    until(lambda: "client=entra-2028" in service_log(before), "the requests come from entra-2028")
    before = len(service_log())
    edit(SETTINGS, its_entry("entra"), "")
    reload()
    entry.log_says("tokens removed: entra", before)

    # One that became known to others.
    token, lines = made(typed(f"{NAME} token new --name entra-2029 --expires 2029-11-30"))
    before = len(service_log())
    edit(SETTINGS, its_entry("entra-2028"), lines)
    reload()
    entry.log_says("tokens added: …; tokens removed: …", before)
    must(entra.find("nobody")[0] == 401, "the old one is good no longer")
    entra.token = token
    must(entra.serves(), "the new one is")
    settings = SETTINGS.read_text()
    edit(SETTINGS, its_entry("entra-2029"), "")
    must("failed" in typed(f"sudo systemctl reload {NAME}", anyhow=True) and entra.serves(), "an empty list is refused")
    edit(SETTINGS, "tokens:", "tokens: []")
    reload()
    must(Entra(ACCOUNT_KEY, entra.port, ROOT / AUTHORITY).serves(), "with [] the API key is the token")

    # Expired ones.
    SETTINGS.write_text(settings)
    reload()
    before = len(service_log())
    edit(SETTINGS, "2029-11-30", "2020-11-30")
    typed(f"sudo systemctl reload {NAME}", anyhow=True)
    until(lambda: "the reload is refused" in service_log(before) and entra.serves(), "an expired token does not come in")
    restart()
    must(entra.find("nobody")[0] == 401 and not readiness()[0], "once every token has expired, nobody is let in")
    must("an expired token is still in use token=entra-2029" in service_log(before), "the log names it")
    edit(SETTINGS, "2020-11-30", "2029-11-30")
    reload()
    must(entra.serves() and readiness()[0], "another token and a reload mend it")


@stage("A token that only looks")
def token_that_only_looks(entry, entra):
    settings = SETTINGS.read_text()
    token, lines = made(typed(f"{NAME} token new --name audit"))
    only = f"      {entry.promises('read_only: true')}\n"
    added(lines, only)
    reload()
    looks = Entra(token, entra.port, ROOT / AUTHORITY)
    search = {"schemas": ["urn:ietf:params:scim:api:messages:2.0:SearchRequest"], "count": 1}
    answers = looks.find("nobody")[0], looks.ask("POST", "/Users/.search", search)[0], looks.ask("POST", "/Users", {})[0]
    must(answers == (200, 200, 403), f"it may look and nothing else: {answers}")
    edit(SETTINGS, its_entry("entra-2029"), "")
    must("read_only" in typed(f"sudo {NAME} check"), "`check` warns when there is no other")
    SETTINGS.write_text(settings)
    reload()


@stage("Another API key")
def another_api_key(entry, entra):
    ziflow("key", "another-key")
    must(entra.ask("GET", "/Users/nobody")[0] == 502, "Ziflow refuses the old key")
    becomes("key", "failing")
    before = len(service_log())
    sudoedit(f"/etc/{NAME}/ziflow-api-key", "another-key\n")
    reload()
    entry.log_says("Ziflow takes the API key", before)
    must(entra.serves() and readiness()[0], "Entra is served with it")


def failures(entra):
    """Three who have no last name, and one who has another's address."""
    before = len(service_log())
    for name in ("una", "ute", "ugo"):
        status, answer = entra.ask("POST", "/Users", {"userName": f"{name}@example.com", "name": {"givenName": name}})
        must(status == 400, f"{answer}")
    status, answer = entra.ask("POST", "/Users", {"userName": "tina@example.com", "name": {"givenName": "T", "familyName": "L"}})
    must(status == 409, f"{answer}")
    until(lambda: service_log(before).count("request operation=create-user") == 4, "they are in the log")


def counted(said):
    """How often each reason stands in what the entry's command shows, the commonest first."""
    found = [line.split(maxsplit=1) for line in said.splitlines()]
    must([int(count) for count, _ in found] == sorted((int(count) for count, _ in found), reverse=True), said)
    return {reason: int(count) for count, reason in found}


@stage("Entra has put the job into quarantine")
def quarantine(entry, entra):
    failures(entra)
    said = entry.run("doctor")
    must(json.JSONDecoder().raw_decode(said)[0]["ready"] and "\nfailed" not in said, f"the bridge itself is well:\n{said}")
    reasons = counted(entry.run("journalctl"))
    must(any("familyName" in reason and count >= 3 for reason, count in reasons.items()), f"{reasons}")
    # Restart provisioning: everybody is found first.
    status, answer = entra.find("tina@example.com")
    must(answer["totalResults"] == 1, "nobody is made twice")


@stage("Many people fail")
def many_people_fail(entry, entra):
    names = [f"many{number}" for number in range(6)]
    for name in names:
        entra.ask("POST", "/Users", {"userName": f"{name}@example.com"})
    becomes("quarantine", "at_risk")
    said = entry.run("journalctl")
    must(any("givenName" in reason and count >= 6 for reason, count in counted(said).items()), said)

    edit(SETTINGS, "rate_limit:", "log: { format: json }\nrate_limit:")
    restart()
    before = len(service_log())
    entra.ask("POST", "/Users", {"userName": "many0@example.com"})
    until(lambda: "create-user" in service_log(before), "it is in the log")
    jq = re.search(r"`(jq -rR .*?)` takes the place of both `grep`", entry.prose).group(1)
    shell = entry.block("sh", "journalctl").replace("\n", " ")
    said = typed(re.sub(r"\| grep -E .*? \| +grep -oE .*? \| sort", lambda _: f"| {jq} | sort", shell))
    must(re.search(r"1 400 .*givenName", said), said)
    edit(SETTINGS, "log: { format: json }\n", "")
    restart()

    for name in names:
        entra.hire(name)
    becomes("quarantine", "ok")


@stage("The brake has tripped")
def brake(entry, entra):
    people = [entra.hire(f"brake{number}") for number in range(5)]
    before = len(service_log())
    statuses = [entra.set(one, "active", "False")[0] for one in people]
    must(statuses == [200, 200, 200, 503, 503], f"more than three within an hour: {statuses}")
    must("brake" in service_log(before), "the log tells of it")
    becomes("brake", "tripped")
    said = entry.run("brake status", anyhow=True)
    must("tripped at" in said, said)
    must(entra.set(people[4], "name.givenName", "Bea")[0] == 200, "everything else goes on")
    # A mistake: Entra makes them active again.
    must(entra.set(people[3], "active", "True")[0] == 200, "they become active again")
    entry.run("brake release")
    must(entra.set(people[4], "active", "False")[0] == 200, "the next is disabled")
    becomes("brake", "ok")


@stage("A backup of the store")
def backup(entry, entra):
    entra.saved = entra.hire("sam", title="Producer")
    entry.run("sqlite3")
    mode = inside("stat", "-c", "%a %U", f"/var/lib/{NAME}/backup.db").strip()
    must(mode == f"600 {NAME}", f"it is kept as the store is: {mode}")


@stage("Restore the store")
def restore(entry, entra):
    must(entra.set(entra.saved, "title", "Director")[0] == 200, "a change after the backup")
    entra.late = entra.hire("lars", title="Late")
    entry.run("install")
    must(entra.ask("GET", f"/Users/{entra.saved}")[1]["title"] == "Producer", "what the backup holds is there")
    must("title" not in entra.ask("GET", f"/Users/{entra.late}")[1], "what came since is not")
    # Restart provisioning: what the bridge does not know comes again.
    must(entra.find("lars@example.com")[1]["totalResults"] == 1, "everybody is found")
    must(entra.set(entra.late, "title", "Late")[1]["title"] == "Late", "and complete again")


@stage("Upgrade")
def upgrade(entry, entra):
    folder = HOME / "upgrade"
    folder.mkdir()
    inside("cp", "/srv/new.deb", f"/home/{PERSON}/upgrade/{NAME}_0.1.0-2_amd64.deb")
    settings = SETTINGS.read_text()
    entry.run("apt install", folder="~/upgrade")
    must(version() == "2" and settings == SETTINGS.read_text() and entra.serves(), f"the new version runs: {version()}")
    must(NAME in entry.type(f"{NAME} --version"), "the version")


def version():
    return inside("dpkg-query", "--show", "--showformat=${Version}", NAME).rpartition("-")[2]


@stage("Roll back")
def roll_back(entry, entra):
    earlier = MAPPING.read_text()
    MAPPING.write_text(earlier + "# a newer one\n")
    reload()
    MAPPING.write_text(earlier)
    entry.type(f"sudo systemctl reload {NAME}")
    (HOME / "earlier").mkdir()
    inside("cp", "/srv/old.deb", f"/home/{PERSON}/earlier/{NAME}_0.1.0-1_amd64.deb")
    entry.run("--allow-downgrades", folder="~/earlier", answers="y\n")
    must(version() == "1" and entra.serves(), f"the earlier version runs: {version()}")


@stage("Ziflow is down")
def ziflow_is_down(entry, entra):
    process = shown("MainPID")
    ziflow("faults", {"fault": "status", "code": 503, "times": "forever"})
    answer, said = entra.request("GET", "/Users/nobody")
    must(answer.status == 503 and answer.getheader("Retry-After"), f"503 with Retry-After: {answer.status} {said}")
    becomes("upstream", "failing")
    ziflow("faults", method="DELETE")
    until(lambda: readiness()[0], "it heals by itself", patience=30)
    must(shown("MainPID") == process and entra.serves(), "without a restart")


@stage("The bridge does not answer")
def does_not_answer(entry, entra):
    must("200" in typed("curl -sS -o /dev/null -w '%{http_code}' http://127.0.0.1:9464/healthz"), "the process answers")
    entry.type("curl -sS http://127.0.0.1:9464/healthz")
    settings = SETTINGS.read_text()
    SETTINGS.write_text(settings + "nonsense: true\nfurther: true\n")
    typed(f"sudo systemctl restart {NAME}", anyhow=True)
    said = entry.run("systemctl status", anyhow=True)
    must("cannot be used" in said and "nonsense" in said, f"it says why it does not start:\n{said}")
    said = entry.type(f"sudo {NAME} check", anyhow=True)
    must("nonsense" in said and "further" in said, f"`check` names each mistake:\n{said}")
    # A request that comes meanwhile starts it again and again, and then the socket gives up as well.
    cannot_connect(entra)
    until(lambda: shown("ActiveState", f"{NAME}.socket") == "failed", "the socket gives up")
    SETTINGS.write_text(settings)
    entry.run("reset-failed")
    must(entra.serves(), "it is mended")


@stage("The bridge is not ready")
def not_ready(entry, entra):
    for part in readiness()[1]:
        if part not in ("mapping", "limiter", "brake", "grants", "quarantine"):
            entry.promises(f"`{part}`")
    ziflow("key", "yet-another")
    entra.ask("GET", "/Users/nobody")
    said = json.loads(entry.type("curl -sS http://127.0.0.1:9464/readyz"))
    must(not said["ready"] and said["parts"]["key"]["state"] == "failing" and said["parts"]["key"]["since"], f"{said}")
    ziflow("key", "another-key")
    until(lambda: readiness()[0], "it becomes ready by itself", patience=15)
    with socket.create_connection(("127.0.0.1", entra.port)) as held:
        said = entry.type("sudo ss -tnp")
        ends = rf":{entra.port} +\S*:{held.getsockname()[1]} .*ziflow"
        must(re.search(ends, said), f"whose it is:\n{said}")


@stage("The store fails")
def store_fails(entry, entra):
    # A disk that is full.
    typed(f"sudo systemctl stop {NAME}.socket {NAME}")
    inside("mount", "-t", "tmpfs", "-o", f"size=600k,mode=0700,uid={NAME},gid={NAME}", "tmpfs", f"/var/lib/{NAME}")
    typed(f"sudo systemctl start {NAME}")
    must(entra.serves(), "there is room yet")
    tried("dd", "if=/dev/zero", f"of=/var/lib/{NAME}/big", "bs=4096")
    status, answer = entra.ask("POST", "/Users", person("full"))
    must(status == 503, f"{status} {answer}")
    said = entry.run("df -h")
    must("store cannot be used" in said and "100%" in said, f"the log says it, and there is no room:\n{said}")
    inside("rm", f"/var/lib/{NAME}/big")
    entra.hire("full")
    until(lambda: readiness()[0], "it goes on by itself")
    typed(f"sudo systemctl stop {NAME}.socket {NAME}")
    inside("umount", f"/var/lib/{NAME}")

    # A file that is damaged, and no backup of it.
    inside("dd", "if=/dev/urandom", f"of={STORE}", "bs=4096", "count=1", "conv=notrunc")
    typed(f"sudo systemctl start {NAME}", anyhow=True)
    until(lambda: "store cannot be used" in shown("StatusText"), "the status says so")
    entry.run("mkdir damaged")
    status, answer = entra.find("sam@example.com")
    must(status == 200 and answer["totalResults"] == 1, f"everybody is found: {status} {answer}")
    must(entra.set(entra.saved, "title", "Producer")[1]["title"] == "Producer", "and complete after Restart provisioning")


@stage("The audit log cannot be written")
def audit(entry, entra):
    settings, folder = SETTINGS.read_text(), f"/var/log/{NAME}"
    SETTINGS.write_text(settings + f"audit: {{ destination: {folder}/audit.log, required: true }}\n")
    restart()
    entra.hire("ada")
    # A file of somebody else's.
    inside("sh", "-c", f"mv {folder}/audit.log {folder}/audit.old && install -m 0600 /dev/null {folder}/audit.log")
    status, answer = entra.ask("POST", "/Users", person("ben"))
    must(status == 503, f"changes are refused: {status} {answer}")
    becomes("audit", "failing")
    must(metric("audit_lines_lost_total") >= 0 and "audit_lines_lost_total" in entry.prose, "lost lines are counted")
    said = entry.run("df -h")
    must("the audit log cannot be written" in said, said)
    before = len(service_log())
    entry.run("chown")
    entry.log_says("the audit log can be written again", before)
    entra.hire("ben")
    inside("rm", "-r", folder)
    becomes("audit", "failing")
    entry.type(f"sudo systemctl restart {NAME}")
    entra.hire("cleo")
    must('"create-user"' in inside("cat", f"{folder}/audit.log"), "it is written again")
    must("ben" not in inside("cat", f"{folder}/audit.log"), "without names")
    SETTINGS.write_text(settings)
    restart()


@stage("An issuer's keys cannot be fetched")
def issuer_keys(entry, entra):
    settings = SETTINGS.read_text()
    issuer = "  entra: { tenant_id: 3f2504e0-4f89-41d3-9a0c-0305e82c3301, jwks_url: 'http://127.0.0.1:9999/keys' }\n"
    edit(SETTINGS, "auth:\n", f"auth:\n{issuer}  jwks_pause_secs: 1\n")
    restart()
    until(lambda: readiness()[1]["issuer_keys"]["state"] != "ok", "nobody answers at that address")
    said = entry.run("/readyz")
    must("cannot be fetched" in said and "http://127.0.0.1:9999/keys" in said, said)
    must("000" in entry.run("curl -sS -o /dev/null", anyhow=True), "this machine has no way out")
    key = {"kty": "RSA", "use": "sig", "kid": "one", "e": "AQAB", "n": base64.urlsafe_b64encode(b"\xc1" * 256).decode().rstrip("=")}
    with Issuer(json.dumps({"keys": [key]}).encode()) as issuer:
        entry.promises("the answer is 404")
        until(lambda: "the answer is 404" in json.dumps(readiness()), "the address is wrong")
        before, issuer.found = len(service_log()), True
        entry.log_says("the issuer's keys have been fetched", before)
    SETTINGS.write_text(settings)
    restart()


class Issuer(http.server.ThreadingHTTPServer):
    """Publishes a key set, once it is `found`."""

    def __init__(self, keys):
        class Answer(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(200 if self.server.found else 404)
                self.end_headers()
                self.wfile.write(keys)

            def log_message(self, *_):
                pass
        super().__init__(("127.0.0.1", 9999), Answer)
        self.found = False
        threading.Thread(target=self.serve_forever, daemon=True).start()


@stage("Entra asks faster than Ziflow allows")
def too_fast(entry, entra):
    settings = SETTINGS.read_text()
    edit(SETTINGS, "requests_per_second: 1000, burst: 1000", "requests_per_second: 1, burst: 1, max_wait_secs: 1")
    restart()
    with concurrent.futures.ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(lambda number: entra.ask("GET", f"/Users/nobody{number}")[0], range(12)))
    must(429 in answers, f"who finds no turn in time is answered 429: {answers}")
    must(metric("limiter_sent_away_total") > 0, "that is counted")
    for name in ("ziflow_call_duration_seconds", "limiter_pauses_total"):
        entry.promises(f"`{name}`")
        must(f"ziflow_scim_bridge_{name}" in typed("curl -sS http://127.0.0.1:9464/metrics"), f"there is {name}")
    entry.promises("`rate_limit.requests_per_second` and `rate_limit.burst`")
    SETTINGS.write_text(settings)
    restart()
    must(entra.serves(), "and with more there is a turn")


@stage("What groups grant does not arrive")
def grants(entry, entra):
    gina = entra.hire("gina")
    ziflow("set", {"group_strings": "known_only"})
    mapping = MAPPING.read_text()
    MAPPING.write_text(mapping + "groups:\n  Brand: { group: [Nobody Has It] }\n")
    reload()
    group = {"displayName": "Brand", "members": [{"value": urllib.parse.unquote(gina)}]}
    status, answer = entra.ask("POST", "/Groups", group)
    must(status == 201, f"{answer}")
    detail = becomes("grants", "stale")
    must("there is no group `Nobody Has It`" in detail, f"Ziflow's reason: {detail}")
    edit(MAPPING, "{ group: [Nobody Has It] }", "{ roles: [user, manager] }")
    reload()
    becomes("grants", "ok")
    MAPPING.write_text(mapping)
    reload()


@stage("Entra is silent")
def entra_is_silent(entry, entra):
    before = len(service_log())
    must(Entra("wrong", entra.port, ROOT / AUTHORITY).find("nobody")[0] == 401, "Test Connection fails")
    must("status=401" in service_log(before), "the log shows the request and its status")


@stage("Another certificate")
def another_certificate(entry, entra):
    certificate("second")
    new = Entra(entra.token, entra.port, ROOT / AUTHORITY)
    until(lambda: shows_certificate(new), "the renewed certificate is shown by itself", patience=20)
    entra.tls = new.tls
    live = "/etc/letsencrypt/live/scim.example.com"
    inside("ln", "-sf", "../../archive/scim.example.com/privkey-first.pem", f"{live}/privkey.pem")
    detail = becomes("certificate", "stale")
    entry.promises("`certificate`")
    must("is not the key of the first certificate" in detail, detail)
    inside("ln", "-sf", "../../archive/scim.example.com/privkey-second.pem", f"{live}/privkey.pem")
    becomes("certificate", "ok")


def cannot_connect(entra):
    try:
        entra.find("nobody")
    except OSError:
        pass


def shows_certificate(entra):
    try:
        return entra.serves()
    except ssl.SSLError:
        return False


@stage("Guessers")
def guessers(entry, entra):
    entry.promises("answered 429 until the minute is over, and are logged once")
    before, counted = len(service_log()), metric("failed_authentications_total")
    guesser = Entra("guess", entra.port, ROOT / AUTHORITY)
    answers = [guesser.find("nobody")[0] for _ in range(40)]
    must(set(answers[:20]) == {401} and answers[-1] == 429, f"{answers}")
    must(entra.serves(), "a right token is served")
    must(metric("failed_authentications_total") == counted + 40, "they are counted")
    warnings = [line for line in service_log(before).splitlines() if "429" in line or "wrong credentials" in line]
    must(len(warnings) == 1, f"{warnings}")


@stage("The bridge is to be taken out of service")
def out_of_service(entry, entra):
    entry.type(f"sudo systemctl disable --now {NAME}.socket {NAME}")
    for unit in (f"{NAME}.socket", f"{NAME}.service"):
        must(shown("ActiveState", unit) == "inactive" and shown("UnitFileState", unit) == "disabled", f"{unit} is off")
