"""The commands of the manual, run as written by somebody with sudo on a clean machine.

First the README's installation, then each entry of the runbook after its occasion has been brought about, then the other
pages. An entry without a stage fails, and so does a block of commands that nobody runs.
"""

# Each has some of the stages; they are gone through in this order, as one may need what another has left.
import access
import upkeep
import trouble
from elsewhere import other_pages, without_a_service
from machine import ROOT, booted, inside, must, step
from pages import PERSON, REPOSITORY, page
from stages import STAGES
from walk import walk

# Blocks of commands that are not run here, by their first lines, and why.
NOT_HERE = {
    "cargo run -- demo": "`.ci/run` runs it, and the tests, as the README's commands",
    ".ci/run": "it runs this",
    "deploy/package": "`.ci/systemd` runs it",
    "docker build -t ziflow-scim-bridge .": "it needs the Internet and a daemon",
}

runbook = page("docs/runbook.md").entries
headings = set(runbook) - {""}
must(headings == set(STAGES), f"entries of the runbook and stages differ: {sorted(headings ^ set(STAGES))}")


def carry_out(heading, entra):
    step(f"docs/runbook.md: {heading}")
    STAGES[heading](runbook[heading], entra)


booted()
inside("useradd", "--create-home", "--shell=/bin/bash", "--groups=sudo", PERSON)
(ROOT / "etc/sudoers.d/sudo").write_text("%sudo ALL=(ALL:ALL) NOPASSWD: ALL\n")
with (ROOT / "etc/hosts").open("a") as hosts:
    hosts.write(f"127.0.0.1 localhost {inside('hostname').strip()} scim.example.com\n")

entra = walk()
end = "The bridge is to be taken out of service"
for heading in STAGES:
    if heading != end:
        carry_out(heading, entra)
other_pages(entra)
carry_out(end, entra)
without_a_service()

pages = ["README.md", *(f"docs/{file.name}" for file in sorted((REPOSITORY / "docs").glob("*.md")))]
not_run = [f"{name}, {heading}: {first}" for name in pages for heading, first in page(name).not_run() if first not in NOT_HERE]
must(not not_run, "nobody runs " + "; ".join(not_run))
