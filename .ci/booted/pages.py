"""The pages of the manual, and their commands, run as written. What is run is ticked off."""

import functools
import pathlib
import re
import shlex
import textwrap

from machine import NAME, log, must, tried, until

REPOSITORY = pathlib.Path(__file__).parent.parent.parent
# Somebody who may use sudo, and nothing else.
PERSON = "kim"


def typed(script, answers="", folder="~", anyhow=False, **variables):
    """What is shown when that person types a script into a shell of theirs, in which these variables are set, and answers
    what is asked. Each command of it must succeed but with `anyhow`."""
    known = "".join(f"{name}={shlex.quote(value)}\n" for name, value in variables.items())
    strict = "" if anyhow else "set -e -o pipefail\n"
    command = f"cd {folder}\n{known}{strict}{script}"
    status, said = tried("runuser", "--login", PERSON, "--command", command, answers=answers)
    must(anyhow or status == 0, f"it ends with {status}:\n{script}\n{said}")
    return said


def flat(text):
    """Text on one line."""
    return " ".join(text.split())


@functools.cache
def page(name):
    return Page(name)


class Page:
    def __init__(self, name):
        self.name, self.entries = name, {}
        heading, fenced = "", False
        for line in (REPOSITORY / name).read_text().splitlines():
            fenced ^= line.lstrip().startswith("```")
            if line.startswith("## ") and not fenced:
                heading = line.removeprefix("## ")
            self.entries.setdefault(heading, []).append(line)
        self.entries = {heading: Entry(f"{name}, {heading}", lines) for heading, lines in self.entries.items()}

    def not_run(self):
        """The blocks of commands that nobody has run: the entry and the first line of each."""
        for heading, entry in self.entries.items():
            for language, text in entry.blocks:
                if language == "sh" and text not in entry.run_so_far:
                    yield heading, text.splitlines()[0]


class Entry:
    """What stands below one heading."""

    def __init__(self, name, lines):
        self.name, self.run_so_far = name, []
        pieces = re.split(r"^ *```", "\n".join(lines), flags=re.MULTILINE)
        fenced = [piece.partition("\n") for piece in pieces[1::2]]
        self.blocks = [(language, textwrap.dedent(text)) for language, _, text in fenced]
        self.prose = flat(" ".join(pieces[::2]))

    def block(self, language, words):
        """The one block of a language in which these words stand."""
        found = [text for its, text in self.blocks if its == language and words in text]
        must(len(found) == 1, f"{self.name}: {len(found)} blocks of {language} with `{words}`")
        return found[0]

    def tick(self, words):
        """The one block of commands in which these words stand, which is about to be run."""
        script = self.block("sh", words)
        self.run_so_far.append(script)
        return script

    def run(self, words, instead={}, **how):
        """Runs the one block of commands in which these words stand, with others `instead` of some."""
        script = self.tick(words)
        for old, new in instead.items():
            must(old in script, f"{self.name} does not type `{old}`")
            script = script.replace(old, new)
        return typed(script, **how)

    def type(self, command, **how):
        """Runs a command that stands in the text."""
        must(f"`{flat(command)}`" in self.prose, f"{self.name} does not name the command `{command}`")
        return typed(command, **how)

    def promises(self, text, *there):
        """The text promises these words, and they are there. `…` in them stands for anything."""
        must(text in self.prose, f"{self.name} does not say `{text}`")
        for shown in there:
            pattern = ".*".join(map(re.escape, text.split("…")))
            must(re.search(pattern, shown), f"{self.name} promises `{text}`, and not so:\n{shown}")
        return text

    def log_says(self, text, since=0):
        """The text promises these words in the service's log, and they come. `since` is where the log had ended."""
        pattern = re.compile(".*".join(map(re.escape, self.promises(text).split("…"))))
        until(lambda: pattern.search(service_log(since)), f"{self.name} promises `{text}` in the log", patience=20)


def service_log(since=0):
    return log(f"--unit={NAME}")[since:]
