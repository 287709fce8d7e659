//! What a terminal is shown beside plain lines: colours, and a last line that tells what a command is at and is gone when
//! that is over. Where nobody watches there is neither, so that files and pipes hold text and nothing else.

use std::cell::Cell;
use std::io::{IsTerminal as _, Write as _};

/// Longer ones would run into a second line, which nothing takes away again.
const LONGEST: usize = 79;

/// To the beginning of the line, and away with what stands there.
const AWAY: &str = "\r\x1b[K";

/// What is written there is cut at the edge of a narrow window and does not run on.
const NO_WRAP: &str = "\x1b[?7l";
const WRAP: &str = "\x1b[?7h";

#[derive(Clone, Copy, Debug)]
pub(super) enum Colour {
    Green,
    Yellow,
    Red,
    Faint,
}

impl Colour {
    fn code(self) -> &'static str {
        match self {
            Self::Green => "\x1b[32m",
            Self::Yellow => "\x1b[33m",
            Self::Red => "\x1b[31m",
            Self::Faint => "\x1b[2m",
        }
    }
}

/// When a command prints its results.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Results {
    AsTheyCome,
    InTheEnd,
}

/// Who watches; by default nobody.
#[derive(Debug, Default)]
pub(super) struct Terminal {
    colours: bool,
    is_watched: bool,
    /// Whether the last line says something.
    shows: Cell<bool>,
}

impl Terminal {
    /// `variables` are those of the process: `NO_COLOR` is asked about colours, and `TERM` whether the terminal can do more
    /// than write.
    pub(super) fn of(results: Results, variables: impl Iterator<Item = (String, String)>) -> Self {
        Self::with(results, variables, std::io::stdout().is_terminal(), std::io::stderr().is_terminal())
    }

    fn with(
        results: Results,
        variables: impl Iterator<Item = (String, String)>,
        out: bool,
        err: bool,
    ) -> Self {
        // Where nobody says what the terminal can, it can write.
        let (mut plain, mut dumb) = (false, true);
        for (name, value) in variables {
            match name.as_str() {
                "NO_COLOR" => plain = !value.is_empty(),
                "TERM" => dumb = value.is_empty() || value == "dumb",
                _ => {}
            }
        }
        // Results that go through a pipe to the same terminal would come between.
        let is_free = out || results == Results::InTheEnd;
        Self { colours: out && !plain && !dumb, is_watched: err && is_free && !dumb, shows: Cell::new(false) }
    }

    pub(super) fn paint(&self, colour: Colour, text: &str) -> String {
        if self.colours { format!("{}{text}\x1b[0m", colour.code()) } else { text.to_owned() }
    }

    /// Says what is going on, in the place of what was said before.
    pub(super) fn at(&self, text: &str) {
        if self.is_watched {
            write(&last_line(text));
            self.shows.set(true);
        }
    }

    /// Takes the last line away, for a result to stand there.
    pub(super) fn clear(&self) {
        if self.shows.replace(false) {
            write(AWAY);
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.clear();
    }
}

fn last_line(text: &str) -> String {
    let plain = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    let text: String = plain.take(LONGEST).collect();
    format!("{AWAY}{NO_WRAP}{text}{WRAP}")
}

/// Beside the results, which may go elsewhere.
fn write(text: &str) {
    let mut err = std::io::stderr();
    drop(err.write_all(text.as_bytes()).and_then(|()| err.flush()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_terminal_that_can_is_shown_more_than_lines() {
        use Results::{AsTheyCome, InTheEnd};
        const XTERM: (&str, &str) = ("TERM", "xterm");
        for (results, variables, out, err, colours, is_watched) in [
            (AsTheyCome, &[XTERM][..], true, true, true, true),
            (AsTheyCome, &[], true, true, false, false),
            (AsTheyCome, &[XTERM, ("NO_COLOR", "1")], true, true, false, true),
            (AsTheyCome, &[XTERM, ("NO_COLOR", "")], true, true, true, true),
            (AsTheyCome, &[("TERM", "dumb")], true, true, false, false),
            (AsTheyCome, &[XTERM], false, true, false, false),
            (AsTheyCome, &[XTERM], true, false, true, false),
            (InTheEnd, &[XTERM], false, true, false, true),
            (InTheEnd, &[("TERM", "dumb")], false, true, false, false),
            (InTheEnd, &[XTERM], false, false, false, false),
        ] {
            let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
            let terminal = Terminal::with(results, variables, out, err);
            let found = (terminal.colours, terminal.is_watched);
            assert_eq!(found, (colours, is_watched), "{results:?} {out} {err}");
            let painted = terminal.paint(Colour::Red, "x");
            assert_eq!(painted.contains('\x1b'), colours, "{painted:?}");
        }
    }

    #[test]
    fn the_last_line_is_one_line_and_moves_nothing() {
        let line = last_line(&format!("a\n\x1b[2Jb{}", "x".repeat(200)));
        let text = line.strip_prefix("\r\x1b[K\x1b[?7l").and_then(|line| line.strip_suffix("\x1b[?7h"));
        let text = text.unwrap();
        assert_eq!(text.chars().count(), LONGEST);
        assert!(text.starts_with("a  [2Jbx") && !text.contains(char::is_control), "{text:?}");
    }
}
