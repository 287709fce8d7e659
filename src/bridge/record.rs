//! What a request does inside, told to whoever has asked to be told: `explain`. In a service nobody listens, and
//! then nothing is copied.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::bridge::plan::Note;
use crate::mapping::Mapping;
use crate::mapping::apply::Wanted;
use crate::mapping::groups::Grants;
use crate::scim::resource::Resource;
use crate::ziflow::model::{Field, Fields, User};

/// A step inside a request.
#[derive(Clone, Debug)]
pub enum Event {
    /// The mapping is asked what a new person gets.
    Create { mapping: Arc<Mapping>, resource: Resource },
    /// The mapping is asked what a change means.
    Update { mapping: Arc<Mapping>, before: Resource, after: Resource },
    /// A group is made or changed: this is what declares what it grants from now on.
    Group { mapping: Arc<Mapping>, name: String, external_id: Option<String> },
    /// Somebody has their turn, for whom what their groups grant is to be applied: this is what all of them grant.
    Turn { user: Box<User>, grants: Grants },
    /// It is decided what of that is written.
    Planned { user: Box<User>, wanted: BTreeMap<Field, Wanted>, fields: Fields, notes: Vec<Note> },
}

/// Where events go.
#[derive(Debug, Default)]
pub(super) struct Record(OnceLock<UnboundedSender<Event>>);

impl Record {
    /// Everything told from now on. One listener is enough; a second one hears nothing.
    pub(super) fn listen(&self) -> UnboundedReceiver<Event> {
        let (sender, receiver) = unbounded_channel();
        drop(self.0.set(sender));
        receiver
    }

    pub(super) fn note(&self, event: impl FnOnce() -> Event) {
        if let Some(listener) = self.0.get() {
            // Whoever has stopped listening misses nothing they want.
            drop(listener.send(event()));
        }
    }
}
