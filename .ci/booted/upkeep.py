"""Stages for the entries about what is done on purpose: backup, upgrade, the way back, the end."""

import contextlib
import threading

from machine import NAME, inside, must, shown
from pages import PERSON
from stages import MAPPING, SETTINGS, reload, stage
from walk import HOME


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
    # A request that starts the service in the middle would leave it with the file that is thrown away.
    with asking(entra):
        entry.run("install", instead={"sudo rm": "sleep 1; sudo rm"})
    must(entra.ask("GET", f"/Users/{entra.saved}")[1]["title"] == "Producer", "what the backup holds is there")
    must("title" not in entra.ask("GET", f"/Users/{entra.late}")[1], "what came since is not")
    # Restart provisioning: what the bridge does not know comes again.
    must(entra.find("lars@example.com")[1]["totalResults"] == 1, "everybody is found")
    must(entra.set(entra.late, "title", "Late")[1]["title"] == "Late", "and complete again")


@contextlib.contextmanager
def asking(entra):
    """Entra, which asks all the time."""
    over = threading.Event()

    def ask():
        while not over.wait(0.01):
            try:
                entra.find("nobody@example.com")
            except OSError:
                pass
    thread = threading.Thread(target=ask)
    thread.start()
    yield
    over.set()
    thread.join()


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


@stage("The bridge is to be taken out of service")
def out_of_service(entry, entra):
    entry.type(f"sudo systemctl disable --now {NAME}.socket {NAME}")
    for unit in (f"{NAME}.socket", f"{NAME}.service"):
        must(shown("ActiveState", unit) == "inactive" and shown("UnitFileState", unit) == "disabled", f"{unit} is off")
