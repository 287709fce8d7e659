"""Stages for the entries about trouble: with people, with Ziflow, with this machine."""

import concurrent.futures
import json
import re
import socket
import urllib.parse

from machine import NAME, edit, inside, must, person, shown, tried, until, ziflow
from pages import service_log, typed
from stages import MAPPING, SETTINGS, STORE, becomes, logged, metric, readiness, reload, restart, stage


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
    before, names = len(service_log()), [f"many{number}" for number in range(6)]
    for name in names:
        entra.ask("POST", "/Users", {"userName": f"{name}@example.com"})
    becomes("quarantine", "at_risk")
    until(lambda: service_log(before).count("request operation=create-user") == 6, "they are in the log")
    said = entry.run("journalctl")
    must(any("givenName" in reason and count >= 6 for reason, count in counted(said).items()), said)

    edit(SETTINGS, "rate_limit:", "log: { format: json }\nrate_limit:")
    restart()
    before = len(service_log())
    entra.ask("POST", "/Users", {"userName": "many0@example.com"})
    logged("create-user", before)
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
    logged("the brake on mass disabling has tripped", before)
    becomes("brake", "tripped")
    said = entry.run("brake status", anyhow=True)
    must("tripped at" in said, said)
    lost, wait = (list(map(urllib.parse.unquote, some)) for some in (people[:3], people[3:]))
    must(all(one in said for one in lost + wait), f"who has lost their access, and who was held back:\n{said}")
    must(entra.set(people[4], "name.givenName", "Bea")[0] == 200, "everything else goes on")
    until(lambda: all(one in service_log(before) for one in lost), "it is on record")
    said = [line for line in entry.run('"access":"taken"').splitlines() if any(one in line for one in lost + wait)]
    must(len(said) == 3 and all(any(f'"id":"{one}"' in line for line in said) for one in lost), f"who has lost it: {said}")
    must(all('"time":"' in line and '"by":"entra' in line for line in said), f"when, and by whom: {said}")
    said = entry.run("brake on mass disabling").splitlines()
    must(sorted(line.split()[-1] for line in said) == sorted(f"id={one}" for one in wait), f"who waits: {said}")
    # A mistake: Entra makes them active again.
    must(entra.set(people[3], "active", "True")[0] == 200, "they become active again")
    entry.run("brake release")
    must(entra.set(people[4], "active", "False")[0] == 200, "the next is disabled")
    becomes("brake", "ok")


@stage("Ziflow cannot be reached")
def ziflow_cannot_be_reached(entry, entra):
    process = shown("MainPID")
    ziflow("faults", {"fault": "status", "code": 503, "times": "forever"})
    answer, said = entra.request("GET", "/Users/nobody")
    must(answer.status == 503 and answer.getheader("Retry-After"), f"503 with Retry-After: {answer.status} {said}")
    becomes("upstream", "failing")
    said = entry.run("doctor", anyhow=True)
    must(re.search("^ok +connection", said, re.M) and re.search("^failed +key: .*503", said, re.M | re.S), f"it is Ziflow:\n{said}")
    ziflow("faults", method="DELETE")
    until(lambda: readiness()[0], "it heals by itself", patience=30)
    must(shown("MainPID") == process and entra.serves(), "without a restart")

    settings = SETTINGS.read_text()
    edit(SETTINGS, "http://127.0.0.1:9000/v1", "http://127.0.0.1:9009/v1")
    restart()
    becomes("upstream", "failing")
    said = entry.run("doctor", anyhow=True)
    must(re.search("^failed +connection", said, re.M), f"it is the way:\n{said}")
    SETTINGS.write_text(settings)
    restart()
    until(lambda: readiness()[0], "and well again")


@stage("The bridge does not answer")
def does_not_answer(entry, entra):
    must("200" in typed("curl -sS -o /dev/null -w '%{http_code}' http://127.0.0.1:9464/healthz"), "the process answers")
    entry.type("curl -sS http://127.0.0.1:9464/healthz")
    settings = SETTINGS.read_text()
    SETTINGS.write_text(settings + "nonsense: true\nfurther: true\n")
    before = len(service_log())
    typed(f"sudo systemctl restart {NAME}", anyhow=True)
    logged("nonsense", before)
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


def cannot_connect(entra):
    try:
        entra.find("nobody")
    except OSError:
        pass


@stage("The bridge is not ready")
def not_ready(entry, entra):
    for part in readiness()[1]:
        if part not in ("mapping", "limiter", "brake", "grants", "quarantine"):
            entry.promises(f"`{part}`")
    ziflow("key", "yet-another")
    entra.ask("GET", "/Users/nobody")
    said = entry.type("curl -sS http://127.0.0.1:9464/readyz | grep failing")
    must('"key": {' in said and '"since":' in said, said)
    ziflow("key", "another-key")
    until(lambda: readiness()[0], "it becomes ready by itself", patience=15)
    with socket.create_connection(("127.0.0.1", entra.port)) as held:
        said = entry.run("sudo ss", instead={":8080": f":{held.getpeername()[1]}"})
        must(re.search(r"^ *[1-9][0-9]* \S*127\.0\.0\.1\S*$", said, re.M), f"whose it is:\n{said}")
    for name in ("server.max_connections_per_source", "server.allow_networks", "server.max_connections", "LimitNOFILE="):
        entry.promises(f"`{name}`")


@stage("The store fails")
def store_fails(entry, entra):
    # A disk that is full.
    typed(f"sudo systemctl stop {NAME}.socket {NAME}")
    inside("mount", "-t", "tmpfs", "-o", f"size=600k,mode=0700,uid={NAME},gid={NAME}", "tmpfs", f"/var/lib/{NAME}")
    typed(f"sudo systemctl start {NAME}")
    must(entra.serves(), "there is room yet")
    before = len(service_log())
    tried("dd", "if=/dev/zero", f"of=/var/lib/{NAME}/big", "bs=4096")
    status, answer = entra.ask("POST", "/Users", person("full"))
    must(status == 503, f"{status} {answer}")
    logged("the store cannot be used", before)
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
    entry.run("d=damaged")
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
    before = len(service_log())
    inside("sh", "-c", f"mv {folder}/audit.log {folder}/audit.old && install -m 0600 /dev/null {folder}/audit.log")
    status, answer = entra.ask("POST", "/Users", person("ben"))
    must(status == 503, f"changes are refused: {status} {answer}")
    becomes("audit", "failing")
    lost = entry.promises("audit_lines_lost_total")
    must(f"ziflow_scim_bridge_{lost} " in typed("curl -sS http://127.0.0.1:9464/metrics"), "lost lines are counted")
    logged("the audit log cannot be written", before)
    said = entry.run("df -h")
    must("the audit log cannot be written" in said, said)
    before = len(service_log())
    entry.run("chown")
    entry.log_says("the audit log can be written again", before)
    entra.hire("ben")
    inside("rm", "-r", folder)
    becomes("audit", "failing")
    entry.type(f"sudo systemctl restart {NAME}")
    # Something of each kind for docs/audit.md.
    entra.set(entra.hire("cleo"), "active", "False")
    entra.hire("root", roles=[{"value": "ZiflowAdmin"}])
    entra.ask("POST", "/Users", {"userName": "nameless@example.com"})
    must('"create-user"' in inside("cat", f"{folder}/audit.log"), "it is written again")
    SETTINGS.write_text(settings)
    restart()


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
