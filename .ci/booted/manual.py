"""The commands of the manual, run as written by somebody with sudo on a clean machine.

First the README's installation, then each entry of the runbook, after its occasion has been brought about. An entry
without a stage fails, and so does a block of commands that nobody runs.
"""

from machine import ROOT, booted, inside, must, step
from pages import PERSON, Page
from runbook import STAGES
from walk import walk

runbook = Page("docs/runbook.md")
headings = set(runbook.entries) - {""}
must(headings == set(STAGES), f"entries of the runbook and stages differ: {sorted(headings ^ set(STAGES))}")

booted()
inside("useradd", "--create-home", "--shell=/bin/bash", "--groups=sudo", PERSON)
(ROOT / "etc/sudoers.d/sudo").write_text("%sudo ALL=(ALL:ALL) NOPASSWD: ALL\n")
with (ROOT / "etc/hosts").open("a") as hosts:
    hosts.write(f"127.0.0.1 localhost {inside('hostname').strip()} scim.example.com\n")

entra = walk()
for heading, stage in STAGES.items():
    step(f"docs/runbook.md: {heading}")
    stage(runbook.entries[heading], entra)
