use std::sync::Arc;

use tokio::time::Instant;
use watertight_core::{BoxError, Context, Mode};

use crate::call::BulkheadCall;
use crate::plan::Plan;
use crate::queue::Class;
use crate::slots::{Arrival, Permit, Place, Room, Visitor};
use crate::turn::{Queue, Turn};
use crate::way::{Held, WayToAll};

/// Takes a slot if there is one, and no more is asked for than that.
#[inline(always)]
pub(crate) fn take(plan: Plan, way: &Held, class: Class) -> Option<Place> {
    if plan.has_total() {
        return None;
    }
    way.compartment.room.take(way.stripe as u32, class)
}

/// What becomes of a call that cannot simply take a slot.
#[allow(
    clippy::large_enum_variant,
    reason = "it goes to the box of the call that waits"
)]
pub(crate) enum Admission {
    Admitted(BulkheadCall),
    Waits(Turn),
    Refused(BoxError),
}

impl Admission {
    /// Asks for a slot, and where all keys together are bounded for one of those, too.
    #[cold]
    pub(crate) fn ask(plan: Plan, way: &Held, class: Class) -> Self {
        let visitor = Visitor {
            class,
            ..Visitor::default()
        };
        match Room::enter(way, &visitor) {
            Some(permit) if plan.has_total() => Self::ask_for_one_of_all(plan, permit, visitor),
            Some(permit) => Self::Admitted(BulkheadCall::of(permit, None)),
            None => Self::found_none(plan, way, visitor),
        }
    }

    fn ask_for_one_of_all(plan: Plan, permit: Permit<Held>, mut visitor: Visitor) -> Self {
        let way = Arc::clone(permit.entrance());
        let to_all = WayToAll(Arc::clone(&way));
        if let Some(of_all) = Room::enter(&to_all, &visitor) {
            return Self::Admitted(BulkheadCall::of(permit, Some(of_all)));
        }
        if plan.mode() == Mode::Shadow {
            return Self::pass_in_shadow(&way);
        }
        visitor.deadline = deadline();
        match Room::arrive(&to_all, &visitor, Instant::now) {
            Arrival::Entered(of_all) => Self::Admitted(BulkheadCall::of(permit, Some(of_all))),
            Arrival::Waiting(ticket) => {
                Self::Waits(Turn::new(plan, visitor, way, Queue::All(permit, ticket)))
            }
            Arrival::Refused(refusal) => Self::Refused(way.compartment.refuse(refusal)),
        }
    }

    #[cold]
    fn found_none(plan: Plan, way: &Held, mut visitor: Visitor) -> Self {
        if plan.mode() == Mode::Shadow {
            return Self::pass_in_shadow(way);
        }
        visitor.deadline = deadline();
        match Room::arrive(way, &visitor, Instant::now) {
            Arrival::Entered(permit) if plan.has_total() => {
                Self::ask_for_one_of_all(plan, permit, visitor)
            }
            Arrival::Entered(permit) => Self::Admitted(BulkheadCall::of(permit, None)),
            Arrival::Waiting(ticket) => {
                let way = Arc::clone(way);
                Self::Waits(Turn::new(plan, visitor, way, Queue::Own(ticket)))
            }
            Arrival::Refused(refusal) => Self::Refused(way.compartment.refuse(refusal)),
        }
    }

    fn pass_in_shadow(way: &Held) -> Self {
        way.compartment.refuse_in_shadow();
        Self::Admitted(BulkheadCall::unwatched())
    }
}

fn deadline() -> Option<Instant> {
    Context::with(|context| context.and_then(|context| context.deadline))
}
