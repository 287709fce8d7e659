"""What the stages of the runbook share: the entry that each is for, and looks at the running bridge."""

import json
import re

from machine import ETC, NAME, until
from pages import service_log, typed

SETTINGS, MAPPING = ETC / "bridge.yaml", ETC / "mapping.yaml"
STORE = f"/var/lib/{NAME}/store.db"
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


def logged(words, since):
    """These words come into the service's log. `since` is where it had ended."""
    until(lambda: words in service_log(since), f"the log says `{words}`", patience=20)


def reload():
    """An edit is taken over."""
    before = len(service_log())
    typed(f"sudo systemctl reload {NAME}")
    logged("reloaded", before)


def restart():
    typed(f"sudo systemctl restart {NAME}")
