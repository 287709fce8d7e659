//! Lists that stay what they are while a client pages through them: the order is frozen at the first page, newcomers
//! go to the end, and whoever has been shown keeps their number also after they have left.

use std::collections::{HashSet, VecDeque};
use std::sync::{Mutex, PoisonError};

/// So many lists are remembered; the one that was asked for longest ago makes room.
const MOST: usize = 16;

/// The lists that clients are paging through.
#[derive(Debug, Default)]
pub(super) struct Sequences(Mutex<VecDeque<Sequence>>);

/// What names a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Name {
    /// All who page by index share one list for each query.
    Index { query: u64 },
    /// Each who pages by cursor has their own.
    Cursor { number: u64 },
}

#[derive(Debug)]
struct Sequence {
    name: Name,
    /// The snapshot it was made from.
    generation: u64,
    ids: Vec<String>,
    /// How many have been handed out: these keep their places.
    shown: usize,
}

/// One page: who is on it, in order.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Page {
    pub(super) ids: Vec<String>,
    /// How long the list is, with those who were shown and have left.
    pub(super) total: usize,
    /// Where the page ends in it.
    pub(super) end: usize,
}

impl Sequences {
    /// Whether the list is remembered, and so can be gone on with.
    pub(super) fn knows(&self, name: Name, generation: u64) -> bool {
        let sequences = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        sequences.iter().any(|known| known.name == name && known.generation == generation)
    }

    /// The part `from..from + count` of a list; `now` are those who belong to it at present. The beginning of a list
    /// by index makes it anew.
    pub(super) fn page(&self, name: Name, generation: u64, now: &[&str], from: usize, count: usize) -> Page {
        let anew = from == 0 && matches!(name, Name::Index { .. });
        let mut sequences = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = sequences.iter().position(|known| known.name == name);
        let mut sequence = match known.and_then(|place| sequences.remove(place)) {
            Some(sequence) if !anew && sequence.generation == generation => sequence,
            _ => Sequence { name, generation, ids: Vec::new(), shown: 0 },
        };
        sequence.follow(now);
        let page = sequence.part(now, from, count);
        sequences.push_back(sequence);
        if sequences.len() > MOST {
            sequences.pop_front();
        }
        page
    }
}

impl Sequence {
    /// Drops those who left before they were shown, and takes newcomers in at the end.
    fn follow(&mut self, now: &[&str]) {
        let there: HashSet<&str> = now.iter().copied().collect();
        let mut place = 0;
        let shown = self.shown;
        self.ids.retain(|id| {
            place += 1;
            place <= shown || there.contains(id.as_str())
        });
        let known: HashSet<String> = self.ids.iter().cloned().collect();
        self.ids.extend(now.iter().filter(|id| !known.contains(**id)).map(ToString::to_string));
    }

    fn part(&mut self, now: &[&str], from: usize, count: usize) -> Page {
        let there: HashSet<&str> = now.iter().copied().collect();
        let from = from.min(self.ids.len());
        let end = from.saturating_add(count).min(self.ids.len());
        self.shown = self.shown.max(end);
        let part = self.ids.get(from..end).unwrap_or_default();
        let ids = part.iter().filter(|id| there.contains(id.as_str())).cloned().collect();
        Page { ids, total: self.ids.len(), end }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: Name = Name::Index { query: 1 };

    fn page(sequences: &Sequences, now: &[&str], from: usize) -> (Vec<String>, usize) {
        let page = sequences.page(NAME, 1, now, from, 2);
        (page.ids, page.total)
    }

    fn ids(ids: &[&str]) -> Vec<String> {
        ids.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_list_keeps_its_order_while_people_move_leave_and_come() {
        let sequences = Sequences::default();
        assert_eq!(page(&sequences, &["a", "b", "c", "d", "e"], 0), (ids(&["a", "b"]), 5));
        // `b`, shown, has moved to the end; `c`, not shown, has left; `0` is new and sorts first.
        assert_eq!(page(&sequences, &["0", "a", "d", "e", "b"], 2), (ids(&["d", "e"]), 5));
        // `a`, shown, has left and keeps the place, so that nobody moves into it.
        assert_eq!(page(&sequences, &["0", "d", "e", "b"], 4), (ids(&["0"]), 5));
        assert_eq!(
            page(&sequences, &["0", "d", "e", "b"], 0),
            (ids(&["0", "d"]), 4),
            "the beginning begins anew"
        );
    }

    #[test]
    fn a_list_belongs_to_its_snapshot_and_is_not_remembered_for_ever() {
        let sequences = Sequences::default();
        sequences.page(NAME, 1, &["a"], 0, 1);
        assert!(sequences.knows(NAME, 1) && !sequences.knows(NAME, 2));
        for number in 0..20 {
            sequences.page(Name::Cursor { number }, 1, &["a"], 0, 1);
        }
        assert!(!sequences.knows(NAME, 1));
    }
}
