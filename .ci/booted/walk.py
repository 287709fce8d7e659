"""The README's installation, walked as written on a clean machine: first without an account, then with one, then HTTPS."""

import json
import re
import time

from machine import ETC, NAME, ROOT, Entra, edit, inside, must, shown, step, until
from pages import PERSON, page, typed

HOME = ROOT / "home" / PERSON
# Where the machine keeps authorities that its administrator trusts.
AUTHORITY = "usr/local/share/ca-certificates/scim.crt"
ACCOUNT_KEY = "the-key-of-the-account"


def walk():
    """Leaves a bridge behind that speaks TLS at port 443 of a socket of systemd's, and Entra."""
    install = page("README.md").entries["Install"]
    begin = time.monotonic()

    step("README: installed")
    inside("cp", "/srv/old.deb", f"/home/{PERSON}/{NAME}_0.1.0-1_amd64.deb")
    said = install.run("apt install")
    must("installed and not started" in said, said)

    step("README: the two values, and no account yet")
    must(f"`{NAME} simulate`" in install.prose, "the simulated Ziflow is named")
    simulated(seed=1, key=install.promises("simulated-admin-key"))
    sudoedit(f"/etc/{NAME}/ziflow-api-key", "simulated-admin-key\n")
    token, _, entry = install.run("token new").partition("\n")
    digest = re.search("[0-9a-f]{64}", entry).group()
    must('name: "entra"' in entry and "expires: 2027-11-30" in entry, entry)
    settings = install.block("yaml", "tokens:").replace("0123456789abcdef" * 4, digest)
    trial = settings.replace("public_url", "# public_url").replace("server:", "# server:")
    trial = trial.replace("scim-bridge@example.com", install.promises("owner@ziflow.example"))
    trial = trial.replace("ziflow:", f"ziflow:\n  {install.promises('base_url: http://127.0.0.1:9000/v1')}")
    sudoedit(f"/etc/{NAME}/bridge.yaml", trial)
    said = install.run("journalctl")
    install.promises("serving Entra at …", said)
    takes = install.promises("Ziflow takes the API key")
    until(lambda: takes in typed(f"sudo journalctl -u {NAME} -n 20"), "the log says it", patience=10)
    said = install.type('printf %s "$TOKEN" | sudo -u ziflow-scim-bridge ziflow-scim-bridge doctor --token-file -', TOKEN=token)
    must(re.search("^ok +bridge", said, re.M) and re.search("^warning +people: .* API key", said, re.M | re.S), said)
    must("1 warning," in said and "failed" not in said, f"all else is well:\n{said}")
    must(Entra(token).serves(), "Entra's Test Connection")
    print(f"   a bridge that answers Entra's Test Connection after {time.monotonic() - begin:.0f} s of the machine's", flush=True)

    step("README: the real account after the trial")
    install.promises("the service refuses to start with a store of another account")
    simulated(seed=2, key=ACCOUNT_KEY)
    sudoedit(f"/etc/{NAME}/ziflow-api-key", f"{ACCOUNT_KEY}\n")
    inside("systemctl", "restart", NAME, fails=True)
    must("account" in shown("StatusText"), f"the store is another account's: {shown('StatusText')}")
    install.type(f"sudo systemctl stop {NAME} && sudo sh -c 'rm -f /var/lib/{NAME}/store.db*'")

    step("README: HTTPS")
    certificate("first")
    install.run("chgrp -R")
    tls = install.block("yaml", "tls:")
    real = trial.replace("# server:", tls).replace("  # public_url: https://scim.example.com\n", "", 1)
    sudoedit(f"/etc/{NAME}/bridge.yaml", real)
    install.run("systemctl restart")
    install.promises("serving Entra at …", typed(f"systemctl status {NAME}"))
    entra = Entra(token, 8443, ROOT / AUTHORITY)
    must(entra.serves(), "Entra's Test Connection over TLS")

    step("README: a socket of systemd's, at port 443")
    edit(ETC / "bridge.yaml", "listen: 0.0.0.0:8443", install.promises("listen: systemd"))
    install.run("ListenStream=443")
    entra = Entra(token, 443, ROOT / AUTHORITY)
    must(entra.serves(), "Entra's Test Connection at port 443")
    install.promises('"totalResults":0', install.run("https://scim.example.com/scim/v2/Users", TOKEN=token))
    must(json.loads(install.run("/readyz"))["ready"], "Entra can be served")
    install.type(f"sudo systemctl reload {NAME}")
    return entra


def certificate(name):
    """A certificate as certbot keeps it, of an authority that the machine trusts, in the place of the one before it."""
    archive, live = "/etc/letsencrypt/archive/scim.example.com", "/etc/letsencrypt/live/scim.example.com"
    inside("sh", "-e", "-c", f"""
        if [ ! -d {live} ]; then
          install -d -m 0700 /etc/letsencrypt/live /etc/letsencrypt/archive
          mkdir {live} {archive}
          openssl req -x509 -newkey rsa:2048 -nodes -days 900 -subj /CN=Authority -keyout /run/authority.key -out /{AUTHORITY}
          update-ca-certificates
        fi
        cd {archive}
        openssl req -newkey rsa:2048 -nodes -subj /CN=scim.example.com -addext subjectAltName=DNS:scim.example.com \\
          -keyout privkey-{name}.pem -out /run/request.pem
        openssl x509 -req -in /run/request.pem -copy_extensions copy -CA /{AUTHORITY} -CAkey /run/authority.key -days 80 \\
          -out fullchain-{name}.pem
        cat /{AUTHORITY} >>fullchain-{name}.pem
        chgrp --reference=. *
        chmod 0640 privkey-*
        for file in privkey fullchain; do ln -sf ../../archive/scim.example.com/$file-{name}.pem {live}/$file.pem; done
    """)


def simulated(seed, key):
    """A simulated Ziflow, in the place of the last one."""
    inside("sh", "-c", "systemctl stop ziflow 2>/dev/null || true")
    inside("systemd-run", "--unit=ziflow", f"/usr/bin/{NAME}", "simulate", "--seed", str(seed), "--key", key)


def sudoedit(file, text):
    """Somebody's editor, which ends with this text."""
    (HOME / "edited").write_text(text)
    typed(f"SUDO_EDITOR='cp edited' sudoedit {file}; rm edited")
