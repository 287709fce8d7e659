"""Stages for the entries about who may speak, and with what: tokens, keys, certificates.

What an entry does in Entra is played by Entra's requests. Ziflow is the simulated one, at 127.0.0.1:9000.
"""

import base64
import datetime
import http.server
import json
import re
import threading

from machine import NAME, ROOT, Entra, edit, inside, must, shown, until, ziflow
from pages import service_log, typed
from stages import MAPPING, SETTINGS, becomes, logged, metric, readiness, reload, restart, stage
from walk import ACCOUNT_KEY, AUTHORITY, certificate, sudoedit


@stage("Take over an edit")
def take_over_an_edit(entry, entra):
    before = len(service_log())
    good = MAPPING.read_text()
    MAPPING.write_text(good + "# another version\n")
    entry.type(f"sudo systemctl reload {NAME}")
    entry.promises("The line `reloaded` names what has changed.")
    logged('reloaded changed="mapping', before)

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
    logged("rate_limit", before)
    SETTINGS.write_text(SETTINGS.read_text() + "policy: { max_deactivations_per_hour: 3 }\n")
    entry.type(f"sudo systemctl reload {NAME}", anyhow=True)
    until(lambda: "refused" in shown("StatusText"), "while `policy` has changed, nothing is taken over")
    detail = becomes("mapping", "stale")
    must("policy" in detail and metric("last_reload_success") == 0, f"/readyz and /metrics say so: {detail}")
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
    logged("client=entra-2028", before)
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
    before = len(service_log())
    edit(SETTINGS, "tokens:", "tokens: []")
    typed(f"sudo systemctl reload {NAME}", anyhow=True)
    logged("the reload is refused", before)
    must(entra.serves(), "nor does the API key become the token by itself")

    # Expired ones.
    SETTINGS.write_text(settings)
    reload()
    before = len(service_log())
    edit(SETTINGS, "2029-11-30", "2020-11-30")
    typed(f"sudo systemctl reload {NAME}", anyhow=True)
    logged("the reload is refused", before)
    must(entra.serves(), "an expired token does not take the place of a valid one")
    restart()
    must(entra.find("nobody")[0] == 401 and not readiness()[0], "once every token has expired, nobody is let in")
    logged("an expired token is still in use token=entra-2029", before)
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
    # Its owner is no admin for a while.
    ziflow("key", "nobody-has-this")
    must(entra.ask("GET", "/Users/nobody")[0] == 502, "Ziflow refuses the key")
    becomes("key", "failing")
    ziflow("key", ACCOUNT_KEY)
    until(lambda: readiness()[0], "the same key works again by itself", patience=15)

    ziflow("key", "another-key")
    must(entra.ask("GET", "/Users/nobody")[0] == 502, "Ziflow refuses the old key")
    becomes("key", "failing")
    said = entry.run("/readyz", anyhow=True)
    must("refuses the API key" in said and re.search("^failed +key: .*401", said, re.M | re.S), said)
    entry.promises("`ziflow.key_user_email`")
    entry.promises("belongs to the Ziflow account …")
    before = len(service_log())
    entry.promises(f"`sudoedit /etc/{NAME}/ziflow-api-key`")
    sudoedit(f"/etc/{NAME}/ziflow-api-key", "another-key\n")
    entry.type(f"sudo systemctl reload {NAME}")
    entry.log_says("Ziflow takes the API key", before)
    must(entra.serves() and readiness()[0], "Entra is served with it")


@stage("An issuer's keys cannot be fetched")
def issuer_keys(entry, entra):
    settings = SETTINGS.read_text()
    issuer = "  entra: { tenant_id: 3f2504e0-4f89-41d3-9a0c-0305e82c3301, jwks_url: 'http://127.0.0.1:9999/keys' }\n"
    before = len(service_log())
    edit(SETTINGS, "auth:\n", f"auth:\n{issuer}  jwks_pause_secs: 1\n")
    restart()
    until(lambda: readiness()[1]["issuer_keys"]["state"] != "ok", "nobody answers at that address")
    logged("the issuer's keys cannot be fetched", before)
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


@stage("Entra is silent")
def entra_is_silent(entry, entra):
    before = len(service_log())
    must(Entra("wrong", entra.port, ROOT / AUTHORITY).find("nobody")[0] == 401, "Test Connection fails")
    logged("status=401", before)


@stage("Another certificate")
def another_certificate(entry, entra):
    before = entra.certificate()
    certificate("second")
    until(lambda: entra.certificate() != before, "the renewed certificate is shown by itself", patience=20)
    live = "/etc/letsencrypt/live/scim.example.com"
    inside("ln", "-sf", "../../archive/scim.example.com/privkey-first.pem", f"{live}/privkey.pem")
    detail = becomes("certificate", "stale")
    entry.promises("`certificate`")
    must("is not the key of the first certificate" in detail, detail)
    inside("ln", "-sf", "../../archive/scim.example.com/privkey-second.pem", f"{live}/privkey.pem")
    becomes("certificate", "ok")


@stage("Wrong credentials")
def wrong_credentials(entry, entra):
    entry.promises("answered 429 until the minute is over, and are logged once")
    before, counted = len(service_log()), metric("failed_authentications_total")
    guesser = Entra("guess", entra.port, ROOT / AUTHORITY)
    answers = [guesser.find("nobody")[0] for _ in range(40)]
    must(set(answers[:20]) == {401} and answers[-1] == 429, f"{answers}")
    must(entra.serves(), "a right token is served")
    must(metric("failed_authentications_total") == counted + 40, "they are counted")
    warning = "wrong credentials from one address"
    logged(warning, before)
    must(service_log(before).count(warning) == 1, "once")
    said = entry.run("status=(400|401|429)")
    must(re.search(r"^ *[0-9]+ reason=.*token.* source=127\.0\.0\.1$", said, re.M), said)
    must('"source":"127.0.0.1"' in entry.run('"target":"audit"'), "where Entra comes from")
