use std::cmp::Reverse;

use crate::Order;

use super::{Class, Fate, Waiter};

/// All waiters, in lines: one line to a class, in the order of their coming.
///
/// A waiter keeps its place in the slab until it has been told what became of it. The slab grows to
/// what was needed once, and then nobody who waits costs an allocation.
#[derive(Debug, Default)]
pub(crate) struct Waiters {
    slab: Vec<Entry>,
    vacant: Option<u32>,
    /// By [`Class::index`].
    lines: Vec<Line>,
    waiting: usize,
    /// How many have ever come.
    arrivals: u64,
}

#[derive(Debug)]
enum Entry {
    /// With the next one that is vacant.
    Vacant(Option<u32>),
    Taken(Linked),
}

#[derive(Debug)]
struct Linked {
    waiter: Waiter,
    number: u64,
    /// Its neighbours in the line, for as long as it waits.
    ahead: Option<u32>,
    behind: Option<u32>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Line {
    head: Option<u32>,
    tail: Option<u32>,
    len: usize,
}

/// Which end of a line is served.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum End {
    Oldest,
    Newest,
}

impl Waiters {
    /// Returns how many wait.
    pub(crate) const fn len(&self) -> usize {
        self.waiting
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.waiting == 0
    }

    /// Returns how many of a partition wait.
    pub(crate) fn len_of(&self, partition: u16) -> usize {
        let lines = self.lines.chunks(Class::PRIORITIES);
        lines
            .skip(usize::from(partition) + 1)
            .take(1)
            .flatten()
            .map(|line| line.len)
            .sum()
    }

    /// Lets one more wait, and returns its place.
    pub(crate) fn join(&mut self, waiter: Waiter) -> u32 {
        let index = waiter.class.index();
        if index >= self.lines.len() {
            self.lines.resize(index + 1, Line::default());
        }
        let tail = self.lines[index].tail;
        let linked = Linked {
            waiter,
            number: self.arrivals,
            ahead: tail,
            behind: None,
        };
        self.arrivals += 1;
        let at = self.take_place(linked);
        match tail {
            Some(tail) => self.linked_mut(tail).behind = Some(at),
            None => self.lines[index].head = Some(at),
        }
        let line = &mut self.lines[index];
        line.tail = Some(at);
        line.len += 1;
        self.waiting += 1;
        at
    }

    /// Ends the waiting of the one at `at`, who keeps its place until it is told.
    pub(crate) fn settle(&mut self, at: u32, fate: Fate) -> &mut Waiter {
        self.unlink(at);
        let waiter = self.get_mut(at);
        waiter.fate = fate;
        waiter
    }

    /// Forgets the one at `at`, and returns what became of it until now.
    pub(crate) fn leave(&mut self, at: u32) -> Waiter {
        if self.get(at).fate == Fate::Waits {
            self.unlink(at);
        }
        let vacant = Entry::Vacant(self.vacant.replace(at));
        match std::mem::replace(&mut self.slab[at as usize], vacant) {
            Entry::Taken(linked) => linked.waiter,
            Entry::Vacant(_) => unreachable!("a place is left once"),
        }
    }

    pub(crate) fn get(&self, at: u32) -> &Waiter {
        &self.linked(at).waiter
    }

    pub(crate) fn get_mut(&mut self, at: u32) -> &mut Waiter {
        &mut self.linked_mut(at).waiter
    }

    /// Returns who came first of all who wait.
    pub(crate) fn oldest(&self) -> Option<u32> {
        self.first_by(End::Oldest, |_| true, |_, number| number)
    }

    /// Returns who is next in `order` of the classes that `may` be served.
    pub(crate) fn next(&self, order: Order, may: impl Fn(Class) -> bool) -> Option<u32> {
        match order {
            Order::Fifo | Order::CoDel => self.first_by(End::Oldest, may, |_, number| number),
            Order::Lifo => self.first_by(End::Newest, may, |_, number| u64::MAX - number),
            Order::Priority => {
                self.first_by(End::Oldest, may, |class, number| (class.priority, number))
            }
        }
    }

    /// Returns who is last in `order`, of the classes with the largest `key`.
    pub(crate) fn last<K: Ord>(&self, order: Order, key: impl Fn(Class) -> K) -> Option<u32> {
        let (end, flip) = match order {
            Order::Fifo | Order::CoDel | Order::Priority => (End::Newest, u64::MAX),
            Order::Lifo => (End::Oldest, 0),
        };
        let key = |class, number| (Reverse(key(class)), number ^ flip);
        self.first_by(end, |_| true, key)
    }

    /// Returns how many of the classes that `may` be served before are served before one of `class`
    /// that comes now, if nobody else comes.
    pub(crate) fn ahead_of(
        &self,
        class: Class,
        order: Order,
        may: impl Fn(Class) -> bool,
    ) -> usize {
        let is_ahead = |other: Class| match order {
            Order::Fifo | Order::CoDel => true,
            Order::Lifo => false,
            Order::Priority => other.priority <= class.priority,
        };
        let class_of = |line: &Line| line.head.map(|at| self.get(at).class);
        self.lines
            .iter()
            .filter(|line| class_of(line).is_some_and(|other| is_ahead(other) && may(other)))
            .map(|line| line.len)
            .sum()
    }

    fn first_by<K: Ord>(
        &self,
        end: End,
        may: impl Fn(Class) -> bool,
        key: impl Fn(Class, u64) -> K,
    ) -> Option<u32> {
        let ends = self.lines.iter().filter_map(|line| match end {
            End::Oldest => line.head,
            End::Newest => line.tail,
        });
        ends.filter(|at| may(self.get(*at).class))
            .min_by_key(|at| key(self.get(*at).class, self.linked(*at).number))
    }

    fn take_place(&mut self, linked: Linked) -> u32 {
        let Some(at) = self.vacant else {
            self.slab.push(Entry::Taken(linked));
            return (self.slab.len() - 1) as u32;
        };
        let vacant = std::mem::replace(&mut self.slab[at as usize], Entry::Taken(linked));
        self.vacant = match vacant {
            Entry::Vacant(next) => next,
            Entry::Taken(_) => unreachable!("what is vacant is not taken"),
        };
        at
    }

    fn unlink(&mut self, at: u32) {
        let linked = self.linked_mut(at);
        let (ahead, behind) = (linked.ahead.take(), linked.behind.take());
        let index = linked.waiter.class.index();
        match ahead {
            Some(ahead) => self.linked_mut(ahead).behind = behind,
            None => self.lines[index].head = behind,
        }
        match behind {
            Some(behind) => self.linked_mut(behind).ahead = ahead,
            None => self.lines[index].tail = ahead,
        }
        self.lines[index].len -= 1;
        self.waiting -= 1;
    }

    fn linked(&self, at: u32) -> &Linked {
        match &self.slab[at as usize] {
            Entry::Taken(linked) => linked,
            Entry::Vacant(_) => unreachable!("who waits has a place"),
        }
    }

    fn linked_mut(&mut self, at: u32) -> &mut Linked {
        match &mut self.slab[at as usize] {
            Entry::Taken(linked) => linked,
            Entry::Vacant(_) => unreachable!("who waits has a place"),
        }
    }
}
