//! Threads that come and go at random.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;
use std::task::{Context, Poll, Waker};
use std::thread;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::time::Instant;
use watertight_core::Priority;

use super::stage::{MS, of, settings};
use super::{Arrival, Entrance, Permit, Room, RoomSettings, Ticket, Visitor};
use crate::Order;

const THREADS: usize = 4;
const STEPS: usize = 1_000_000 / THREADS / ORDERS.len();
const ORDERS: [Order; 4] = [Order::Fifo, Order::Lifo, Order::Priority, Order::CoDel];

/// The largest limit that there ever is.
const MOST: usize = 40;

#[derive(Clone)]
struct Door {
    room: Arc<Room>,
    stripe: usize,
    inside: Arc<AtomicUsize>,
}

impl Entrance for Door {
    fn room(&self) -> &Room {
        &self.room
    }

    fn stripe(&self) -> usize {
        self.stripe
    }
}

/// One that is in. He is counted before his slot is given back.
struct Guest {
    permit: Option<Permit<Door>>,
    inside: Arc<AtomicUsize>,
}

impl Guest {
    fn new(permit: Permit<Door>) -> Self {
        let inside = Arc::clone(&permit.entrance().inside);
        assert!(inside.fetch_add(1, SeqCst) < MOST);
        Self {
            permit: Some(permit),
            inside,
        }
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.inside.fetch_sub(1, SeqCst);
        self.permit = None;
    }
}

/// What one thread holds.
struct Walker {
    room: Arc<Room>,
    stripe: usize,
    inside: Arc<AtomicUsize>,
    random: StdRng,
    guests: Vec<Guest>,
    tickets: Vec<Ticket<Door>>,
}

impl Walker {
    fn step(&mut self) {
        match self.random.random_range(0..100) {
            0..50 => self.come(),
            50..75 => drop(self.guests.pop()),
            75..80 => self.panic(),
            80..90 => self.poll(),
            90..94 => drop(self.tickets.pop()),
            94..97 => self.expire(),
            _ => self.resize(),
        }
        if self.guests.len() > MOST / 2 {
            self.guests.clear();
        }
    }

    fn come(&mut self) {
        let priorities = [Priority::Critical, Priority::Normal, Priority::Background];
        let visitor: Visitor = of(priorities[self.random.random_range(0..3)]);
        let door = Door {
            room: Arc::clone(&self.room),
            stripe: self.stripe,
            inside: Arc::clone(&self.inside),
        };
        let arrival = match Room::enter(&door, &visitor) {
            Some(permit) => Arrival::Entered(permit),
            None => Room::arrive(&door, &visitor, Instant::now),
        };
        match arrival {
            Arrival::Entered(permit) => self.guests.push(Guest::new(permit)),
            Arrival::Waiting(ticket) => self.tickets.push(ticket),
            Arrival::Refused(_) => {}
        }
    }

    fn panic(&mut self) {
        let guest = self.guests.pop();
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            let _guest = guest;
            resume_unwind(Box::new(()));
        }));
        assert!(panicked.is_err());
    }

    fn poll(&mut self) {
        let cx = &mut Context::from_waker(Waker::noop());
        let guests = &mut self.guests;
        self.tickets.retain_mut(|ticket| match ticket.poll(cx) {
            Poll::Ready(Ok(permit)) => {
                guests.push(Guest::new(permit));
                false
            }
            Poll::Ready(Err(_)) => false,
            Poll::Pending => true,
        });
    }

    fn expire(&mut self) {
        let late = Instant::now() + MS * self.random.random_range(0..2000);
        self.tickets
            .retain_mut(|ticket| ticket.expire(late).is_none());
    }

    fn resize(&mut self) {
        let limit = self.random.random_range(1..=MOST);
        self.room.resize(limit, Instant::now);
    }
}

#[test]
fn a_million_random_steps_of_many_threads_lose_no_slot_and_double_none() {
    for order in ORDERS {
        let room = Arc::new(Room::new(RoomSettings {
            order,
            stripes: 4,
            reserves: vec![(Priority::Critical, 0.1)],
            ..settings(MOST, 16)
        }));
        let inside = Arc::new(AtomicUsize::new(0));

        thread::scope(|scope| {
            for stripe in 0..THREADS {
                let mut walker = Walker {
                    room: Arc::clone(&room),
                    stripe,
                    inside: Arc::clone(&inside),
                    random: StdRng::seed_from_u64(stripe as u64),
                    guests: Vec::new(),
                    tickets: Vec::new(),
                };
                scope.spawn(move || (0..STEPS).for_each(|_| walker.step()));
            }
        });

        assert_eq!((room.in_flight(), room.queued()), (0, 0), "{order:?}");
        let critical = of(Priority::Critical);
        let limit = room.limit() as u32;
        for count in 0..=limit {
            let entered = room.take_or_wait(count, &critical, Instant::now);
            let entered = matches!(entered, super::ticket::Standing::Entered(_));
            assert_eq!(entered, count < limit, "{order:?}");
        }
    }
}
