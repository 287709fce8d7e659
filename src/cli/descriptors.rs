//! How many files and connections this process may have open at once: enough for those that the settings allow, and never
//! so few that strangers leave none for the store and for Ziflow.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// So many are for the store, for Ziflow, and for those who watch; of a low limit, half.
const OTHERS: u64 = 128;

/// Asks for as many as so many connections need, and tells how many of them there can be.
pub(super) fn for_connections(most: usize) -> usize {
    let limit = getrlimit(Resource::Nofile);
    let wanted = u64::try_from(most).unwrap_or(u64::MAX).saturating_add(OTHERS);
    let Some(current) = limit.current.filter(|current| *current < wanted) else { return most };
    let raised = limit.maximum.map_or(wanted, |maximum| maximum.min(wanted));
    let is_raised = setrlimit(Resource::Nofile, Rlimit { current: Some(raised), ..limit }).is_ok();
    left(if is_raised { raised } else { current }).min(most)
}

fn left(limit: u64) -> usize {
    usize::try_from(limit - OTHERS.min(limit / 2)).unwrap_or(usize::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_always_something_left_for_others() {
        for (limit, connections) in
            [(0, 1), (1, 1), (10, 5), (200, 100), (256, 128), (1024, 896), (8192, 8064)]
        {
            assert_eq!(left(limit), connections, "{limit}");
        }
    }
}
