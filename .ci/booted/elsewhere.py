"""The commands of the pages beside the README's installation and the runbook."""

import json
import re

from machine import ETC, KEY, NAME, ROOT, Entra, inside, must, person, shown, step, until, ziflow
from pages import PERSON, page, typed
from stages import SETTINGS
from walk import HOME, simulated


def other_pages(entra):
    """Those for which the service runs."""
    step("docs: watching")
    watching = page("docs/monitoring.md").entries[""]
    said = watching.run("/metrics")
    must('"ok"' in said and '"ready"' in said and "ziflow_scim_bridge_ready 1" in said, said)
    # The first line would go on for ever, and nobody has the ids of the others.
    said = page("docs/logs.md").entries["Looking something up"].run("journalctl", anyhow=True, instead={" -f ": " "})
    must("request operation=create-user" in said and "WARN" in said and " status=4" in said, said)
    # Others have lost their access, and could not be made, because of the runbook.
    entra.hire("rooney", roles=[{"value": "ZiflowAdmin"}])
    following = page("docs/audit.md").entries["Following it"]
    to_the_log = following.block("sh", "audit()").splitlines()[0]
    to_a_file = following.promises(f"audit() {{ sudo cat /var/log/{NAME}/audit.log; }}")
    for instead in ({}, {to_the_log: to_a_file}):
        said = following.run("audit()", instead={" -f ": " ", **instead})
        taken, refused = r'^{"time":"[^"]*","id":"[^"]*","by":"entra[^"]*","request_id"', r'^{"time":"[^"]*","action":"create-user","id"'
        must(all(re.search(line, said, re.M) for line in (taken, refused, '"given":.*"roles:admin"')), said)

    step("docs: the brake, drift, doctor")
    behaviour = page("docs/behaviour.md").entries
    said = behaviour["The brake"].run("brake status")
    must("free:" in said and "nothing is changed" in said, said)
    dora = entra.hire("dora")
    ziflow(f"people/{dora}", {"active": False}, "PATCH")
    said = behaviour["Drift"].run("report drift", anyhow=True)
    must(re.search(r"^dora@example.com +active +true +false", said, re.M), said)
    doctor = page("docs/doctor.md").entries
    said = doctor[""].run("doctor", TOKEN=entra.token)
    must(re.search("^ok +public_url", said, re.M), said)
    said = doctor["A probe of your account"].run("--probe")
    must("ziflow-probe" in said and "failed" not in said, said)

    step("docs/mapping.md: trying an edit")
    trying = page("docs/mapping.md").entries["Trying an edit"]
    (HOME / "new.yaml").write_text((ETC / "mapping.yaml").read_text() + "groups: { Brand Reviewers: { group: [Brand Reviewers] } }\n")
    group, members = trying.block("json", "Brand Reviewers").splitlines()
    change = {"Operations": [{"op": "Replace", "path": "name.givenName", "value": "Joe"}]}
    files = {"person.json": json.dumps(person("jo")), "jo.json": json.dumps(person("jo", id="auth0|1")), "group.json": group,
             "members.json": members, "patch.txt": f"PATCH /Users/auth0%7C1\n\n{json.dumps(change)}"}
    for name, text in files.items():
        (HOME / name).write_text(text)
    must("fine" in trying.run("check --mapping"), "the edit is fine")
    said = trying.run("explain --mapping new.yaml person.json")
    must("POST" in said and "PUT" in said, said)
    said = trying.run("--group group.json")
    must(trying.block("text", "Request: PATCH").strip() in said, f"not as docs/mapping.md says:\n{said}")

    step("docs/authentication.md: a key that signs")
    page("docs/authentication.md").entries["Workload identity federation"].run("openssl rand")
    mode = inside("stat", "-c", "%a %G", f"/etc/{NAME}/signing-key").strip()
    must(mode == f"640 {NAME}", mode)

    step("docs/systemd.md: files of one's own, several accounts")
    units = page("docs/systemd.md").entries
    for file in ("scim.crt", "scim.key"):
        (HOME / file).write_text("a certificate or its key\n")
    units[""].run("install")
    inside("runuser", "-u", NAME, "--", "cat", f"/etc/{NAME}/scim.key")
    several = units["Several accounts on one machine"]
    several.run("install -d")
    settings = several.block("yaml", "8081")
    (ETC / "acme/bridge.yaml").write_text(
        f"{settings}ziflow: {{ base_url: http://127.0.0.1:9000/v1, api_key_file: ziflow-api-key, key_user_email: owner@ziflow.example }}\n")
    several.run("enable --now")
    acme = Entra((ETC / "acme/ziflow-api-key").read_text().strip(), 8081)
    must(acme.serves(), "the other account is served")
    kept = ROOT / f"var/log/{NAME}/acme/audit.log"
    acme.hire("ed")
    until(lambda: kept.exists() and kept.read_text().count('"create-user"') == 1, "it has an audit log of its own")

    step("logrotate, in folders where the service may put what it likes")
    inside("sh", "-e", "-c", f"mkdir /var/log/another; echo theirs >/var/log/another/audit.log; cd /var/log/{NAME}; ln -s ../another trap")
    said = inside("logrotate", "--force", f"/etc/logrotate.d/{NAME}", fails=True)
    must("trap/audit.log" in said and "Permission denied" in said, f"what is not the service's is left alone:\n{said}")
    must(inside("ls", "/var/log/another").split() == ["audit.log"], "and stays where it is")
    inside("rm", f"/var/log/{NAME}/trap")
    acme.hire("eve")
    must('"create-user"' in kept.with_name("audit.log.1").read_text(), "the old lines are put aside")
    until(lambda: kept.exists() and kept.read_text().count('"create-user"') == 1, "and a new file is begun")


def without_a_service():
    """Those for which none runs: the simulated Ziflow and the bridge by hand, and then the tarball."""
    step("README: by hand, against the simulated Ziflow")
    by_hand = page("README.md").entries["See it work"]
    inside("systemctl", "stop", "ziflow", f"{NAME}@acme")
    # Whoever tries this has no package, whose settings they might not read.
    inside("mv", f"/etc/{NAME}", "/srv/etc")
    in_a_terminal("one", by_hand.tick("-- simulate"))
    in_a_terminal("two", by_hand.tick("-- serve"))
    until(lambda: "ready for Entra" in inside("journalctl", "--unit=terminal-two"), "the bridge is ready")
    said = typed(by_hand.tick("Alice Archer") + by_hand.tick("__calls"))
    must('"active":false' in said and '"method":"PUT"' in said, said)
    inside("systemctl", "stop", "terminal-one", "terminal-two")
    inside("mv", "/srv/etc", f"/etc/{NAME}")

    step("docs/systemd.md: without a package")
    settings, mapping = SETTINGS.read_text(), (ETC / "mapping.yaml").read_text()
    inside("apt-get", "purge", "--yes", NAME)
    must(not ETC.exists(), "nothing is left of the package")
    inside("cp", "/srv/old.tar.gz", f"/home/{PERSON}/{NAME}-0.1.0-x86_64-linux.tar.gz")
    page("docs/systemd.md").entries["Without a package"].run("tar -xzf")
    mode = inside("stat", "-c", "%a %U %G", f"/etc/{NAME}", f"/etc/{NAME}/ziflow-api-key").split("\n")[:2]
    must(mode == [f"750 root {NAME}", f"640 root {NAME}"], f"{mode}")
    simulated(seed=3, key=KEY)
    (ETC / "ziflow-api-key").write_text(f"{KEY}\n")
    (ETC / "bridge.yaml").write_text("ziflow: { base_url: http://127.0.0.1:9000/v1, api_key_file: ziflow-api-key }\n")
    typed(f"sudo systemctl start {NAME}")
    must(Entra(KEY).serves() and shown("UnitFileState") == "enabled", "it serves without a package")


def in_a_terminal(name, script):
    """What somebody leaves running in a terminal, where `cargo run --` stands for the program."""
    cargo = f'cargo() {{ shift 2; exec {NAME} "$@"; }}'
    inside("systemd-run", f"--unit=terminal-{name}", f"--uid={PERSON}", "bash", "-c", f"{cargo}\n{script}")
