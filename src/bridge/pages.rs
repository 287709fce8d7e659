//! Lists that stay what they are while a client pages through them: the order is frozen at the first page, newcomers
//! go to the end, and whoever has been shown keeps their number also after they have left.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use crate::ziflow::snapshot::Slot;

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
    slots: Vec<Slot>,
    /// How many have been handed out: these keep their places.
    shown: usize,
}

/// One page: who is on it, in order.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Page {
    pub(super) slots: Vec<Slot>,
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
    pub(super) fn page(&self, name: Name, generation: u64, now: &[Slot], from: usize, count: usize) -> Page {
        let anew = from == 0 && matches!(name, Name::Index { .. });
        let mut sequences = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = sequences.iter().position(|known| known.name == name);
        let mut sequence = match known.and_then(|place| sequences.remove(place)) {
            Some(sequence) if !anew && sequence.generation == generation => sequence,
            _ => Sequence { name, generation, slots: Vec::new(), shown: 0 },
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
    fn follow(&mut self, now: &[Slot]) {
        let (there, shown) = (Slots::of(now), self.shown);
        let mut place = 0;
        self.slots.retain(|slot| {
            place += 1;
            place <= shown || there.hold(*slot)
        });
        let known = Slots::of(&self.slots);
        self.slots.extend(now.iter().filter(|slot| !known.hold(**slot)));
    }

    fn part(&mut self, now: &[Slot], from: usize, count: usize) -> Page {
        let from = from.min(self.slots.len());
        let end = from.saturating_add(count).min(self.slots.len());
        self.shown = self.shown.max(end);
        let there = Slots::of(now);
        let part = self.slots.get(from..end).unwrap_or_default();
        let slots = part.iter().copied().filter(|slot| there.hold(*slot)).collect();
        Page { slots, total: self.slots.len(), end }
    }
}

/// A set of slots: they are small numbers, so a table answers at once, however many people there are.
struct Slots(Vec<bool>);

impl Slots {
    fn of(slots: &[Slot]) -> Self {
        let mut table = Vec::new();
        for place in slots.iter().filter_map(|slot| usize::try_from(*slot).ok()) {
            if table.len() <= place {
                table.resize(place + 1, false);
            }
            if let Some(entry) = table.get_mut(place) {
                *entry = true;
            }
        }
        Self(table)
    }

    fn hold(&self, slot: Slot) -> bool {
        usize::try_from(slot).is_ok_and(|place| self.0.get(place) == Some(&true))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: Name = Name::Index { query: 1 };

    fn page(sequences: &Sequences, now: &[Slot], from: usize) -> (Vec<Slot>, usize) {
        let page = sequences.page(NAME, 1, now, from, 2);
        (page.slots, page.total)
    }

    #[test]
    fn a_list_keeps_its_order_while_people_move_leave_and_come() {
        let sequences = Sequences::default();
        assert_eq!(page(&sequences, &[1, 2, 3, 4, 5], 0), (vec![1, 2], 5));
        // 2, shown, has moved to the end; 3, not shown, has left; 9 is new and sorts first.
        assert_eq!(page(&sequences, &[9, 1, 4, 5, 2], 2), (vec![4, 5], 5));
        // 1, shown, has left and keeps the place, so that nobody moves into it.
        assert_eq!(page(&sequences, &[9, 4, 5, 2], 4), (vec![9], 5));
        assert_eq!(page(&sequences, &[9, 4, 5, 2], 0), (vec![9, 4], 4), "the beginning begins anew");
    }

    #[test]
    fn a_list_belongs_to_its_snapshot_and_is_not_remembered_for_ever() {
        let sequences = Sequences::default();
        sequences.page(NAME, 1, &[1], 0, 1);
        assert!(sequences.knows(NAME, 1) && !sequences.knows(NAME, 2));
        for number in 0..20 {
            sequences.page(Name::Cursor { number }, 1, &[1], 0, 1);
        }
        assert!(!sequences.knows(NAME, 1));
    }
}
