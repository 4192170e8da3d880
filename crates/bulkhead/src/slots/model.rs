//! Rooms beside a slow and obvious one.

use proptest::collection::vec;
use proptest::prelude::*;
use watertight_core::{Priority, Reason};

use super::permit::Place;
use super::stage::{MS, Stage, settings, stage};
use super::ticket::Standing;
use super::{RoomSettings, Visitor};
use crate::Order;
use crate::queue::Class;

const PRIORITIES: [Priority; 3] = [Priority::Critical, Priority::Normal, Priority::Low];

/// What somebody does.
#[derive(Clone, Debug)]
enum Step {
    Come(Class),
    Leave(usize),
    Abandon(usize),
    Resize(usize),
    Wait(u32),
}

/// The slow and obvious room: a list of those who are in, and one of those who wait.
struct Obvious {
    settings: RoomSettings,
    inside: Vec<Class>,
    waiting: Vec<(usize, Class)>,
}

/// What a visitor is told at first.
#[derive(Debug, Eq, PartialEq)]
enum Told {
    Enter,
    Wait,
    /// He waits, and another is refused for it.
    Displace(usize),
    Full,
}

impl Obvious {
    /// How many slots one of a class leaves free.
    fn kept(&self, class: Class) -> usize {
        let limit = self.settings.limit;
        let kept: usize = self
            .settings
            .reserves
            .iter()
            .filter(|(reserved_for, _)| *reserved_for < class.priority)
            .map(|(_, share)| (share * limit as f64 - 1e-9).ceil() as usize)
            .sum();
        kept.min(limit - 1)
    }

    fn may(&self, class: Class) -> bool {
        self.inside.len() + self.kept(class) < self.settings.limit
    }

    /// How many slots belong to each partition: its share of them, and one at least. If those are
    /// too many, who has most gives one, and of equals who has the least share, and is the last.
    fn owned(&self) -> Vec<usize> {
        let least = Class {
            priority: Priority::Background,
            partition: None,
        };
        let there_are = self.settings.limit - self.kept(least);
        let shares = self.settings.partitions.iter().map(|(_, share)| *share);
        let shares: Vec<_> = shares.collect();
        let whole = |share: &f64| (share * self.settings.limit as f64 + 1e-9).floor() as usize;
        let mut owned: Vec<_> = shares.iter().map(|share| whole(share).max(1)).collect();
        while owned.iter().sum::<usize>() > there_are {
            let most = *owned.iter().max().expect("there are partitions");
            let richest = (0..owned.len()).filter(|at| owned[*at] == most).rev();
            let at = richest.min_by(|a, b| shares[*a].total_cmp(&shares[*b]));
            owned[at.expect("one has most")] -= 1;
        }
        owned
    }

    fn taken(&self, partition: Option<u16>) -> usize {
        let of_it = self.inside.iter();
        of_it.filter(|other| other.partition == partition).count()
    }

    /// Whether the partition of a class has not got its share.
    fn is_owed(&self, class: Class) -> bool {
        let Some(number) = class.partition else {
            return false;
        };
        self.taken(class.partition) < self.owned()[usize::from(number)]
    }

    fn come(&mut self, who: usize, class: Class) -> Told {
        if self.may(class) {
            self.inside.push(class);
            return Told::Enter;
        }
        if self.settings.max_queue == 0 {
            return Told::Full;
        }
        self.waiting.push((who, class));
        if self.waiting.len() <= self.settings.max_queue {
            return Told::Wait;
        }
        let (weakest, _) = self.waiting.remove(self.weakest());
        if weakest == who {
            Told::Full
        } else {
            Told::Displace(weakest)
        }
    }

    /// Who of all who wait has least of a claim to. One after the other is given what belongs to
    /// his partition, in the order in which they would be served if all of them may.
    fn weakest(&self) -> usize {
        let rank = |at: usize| match self.settings.order {
            Order::Priority => self.waiting[at].1.priority as usize,
            _ => self.kept(self.waiting[at].1),
        };
        let mut turns: Vec<_> = (0..self.waiting.len()).collect();
        if self.settings.order == Order::Lifo {
            turns.reverse();
        }
        turns.sort_by_key(|at| rank(*at));
        let owned = self.owned();
        let mut given = vec![0; owned.len()];
        let mut lends = |at: usize| {
            let partition = self.waiting[at].1.partition;
            let Some(number) = partition.map(usize::from) else {
                return 2;
            };
            given[number] += 1;
            let has = self.taken(partition) + given[number];
            let share = self.settings.partitions[number].1;
            let places = (share * self.settings.max_queue as f64 + 1e-9).floor() as usize;
            usize::from(has > owned[number]) + usize::from(has > owned[number] + places)
        };
        let claims = turns.into_iter().map(|at| (lends(at), rank(at), at));
        let weakest = claims.max_by_key(|(lends, rank, _)| (*lends, *rank));
        weakest.expect("somebody waits").2
    }

    /// Serves one of those who wait and may be served, if there is one.
    fn serve(&mut self) -> Option<usize> {
        let all = || self.waiting.iter().copied().enumerate();
        let mut may: Vec<_> = all().filter(|(_, (_, class))| self.may(*class)).collect();
        if may.iter().any(|(_, (_, class))| self.is_owed(*class)) {
            may.retain(|(_, (_, class))| self.is_owed(*class));
        }
        let (at, (who, class)) = match self.settings.order {
            Order::Fifo | Order::CoDel => may.first().copied(),
            Order::Lifo => may.last().copied(),
            // The first of those that are equal.
            Order::Priority => may.into_iter().min_by_key(|(_, (_, class))| class.priority),
        }?;
        self.waiting.remove(at);
        self.inside.push(class);
        Some(who)
    }

    fn leave(&mut self, class: Class) {
        let at = self.inside.iter().position(|other| *other == class);
        self.inside.remove(at.expect("he was in"));
    }
}

/// Both rooms, and what is known of those who are in the one that is tested.
struct Pair {
    stage: Stage,
    obvious: Obvious,
    arrivals: usize,
    inside: Vec<(Place, Class)>,
    /// Who waits: his number, where, of what class, and how long before he gives up.
    waiting: Vec<(usize, u32, Class, u32)>,
}

impl Pair {
    fn new(settings: RoomSettings) -> Self {
        Self {
            stage: stage(settings.clone()),
            obvious: Obvious {
                settings,
                inside: Vec::new(),
                waiting: Vec::new(),
            },
            arrivals: 0,
            inside: Vec::new(),
            waiting: Vec::new(),
        }
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Come(class) => self.come(class),
            Step::Leave(which) if !self.inside.is_empty() => {
                let (place, class) = self.inside.swap_remove(which % self.inside.len());
                self.stage.leaves(place);
                self.obvious.leave(class);
            }
            Step::Abandon(which) if !self.waiting.is_empty() => {
                let (who, at, ..) = self.waiting.remove(which % self.waiting.len());
                self.stage.room.abandon(at, 0, || self.stage.now);
                self.obvious.waiting.retain(|(other, _)| *other != who);
            }
            Step::Resize(limit) => {
                self.stage.room.resize(limit, || self.stage.now);
                self.obvious.settings.limit = limit;
            }
            Step::Wait(time) => self.wait(time),
            Step::Leave(_) | Step::Abandon(_) => {}
        }
        self.serve();
        self.compare();
    }

    fn come(&mut self, class: Class) {
        self.arrivals += 1;
        let who = self.arrivals;
        let visitor = Visitor {
            class,
            ..Visitor::default()
        };
        let expected = self.obvious.come(who, class);
        let told = match self.stage.visit(&visitor) {
            Standing::Entered(place) => {
                self.inside.push((place, class));
                Told::Enter
            }
            Standing::Waiting { at, .. } => {
                self.waiting.push((who, at, class, 1000));
                self.displaced(&expected).map_or(Told::Wait, Told::Displace)
            }
            Standing::Refused(refusal) => {
                assert_eq!(refusal.reason, Reason::BulkheadFull);
                Told::Full
            }
        };
        assert_eq!(told, expected);
    }

    /// Returns who has been refused to make room, if the one has who is expected to.
    fn displaced(&mut self, expected: &Told) -> Option<usize> {
        let Told::Displace(who) = *expected else {
            return None;
        };
        let at = self.waiting.iter().position(|(other, ..)| *other == who);
        let (_, at, ..) = self.waiting.remove(at.expect("he waited"));
        match self.stage.poll(at) {
            Standing::Refused(refusal) if refusal.reason == Reason::BulkheadFull => Some(who),
            _ => None,
        }
    }

    /// Lets milliseconds go by, and those be refused whose time is over.
    fn wait(&mut self, time: u32) {
        self.stage.now += MS * time;
        let mut gone = Vec::new();
        for (who, at, _, left) in &mut self.waiting {
            *left = left.saturating_sub(time);
            let expired = self.stage.expires(*at);
            assert_eq!(expired, (*left == 0).then_some(Reason::QueueTimeout));
            if expired.is_some() {
                gone.push(*who);
            }
        }
        self.waiting.retain(|(who, ..)| !gone.contains(who));
        self.obvious.waiting.retain(|(who, _)| !gone.contains(who));
    }

    /// Takes to those who are in whom the obvious room serves: the other must have done so.
    fn serve(&mut self) {
        while let Some(who) = self.obvious.serve() {
            let at = self.waiting.iter().position(|(other, ..)| *other == who);
            let (_, at, class, _) = self.waiting.remove(at.expect("he waited"));
            let place = self.stage.is_served(at);
            self.inside.push((place, class));
        }
    }

    fn compare(&self) {
        let room = &self.stage.room;
        assert_eq!(room.in_flight(), self.obvious.inside.len());
        assert_eq!(room.queued(), self.obvious.waiting.len());
        for (number, figures) in (0..).zip(room.partitions()) {
            let of = |classes: &mut dyn Iterator<Item = Class>| {
                classes
                    .filter(|class| class.partition == Some(number))
                    .count()
            };
            let inside = of(&mut self.obvious.inside.iter().copied());
            let queued = of(&mut self.obvious.waiting.iter().map(|(_, class)| *class));
            assert_eq!((figures.in_flight, figures.queued), (inside, queued));
        }
    }

    /// Checks that those who wait do so, and lets everybody go.
    fn end(mut self) {
        for (_, at, ..) in &self.waiting {
            assert!(self.stage.still_waits(*at));
        }
        while !self.inside.is_empty() || !self.waiting.is_empty() {
            self.step(&Step::Abandon(0));
            self.step(&Step::Leave(0));
        }
        assert_eq!(self.stage.room.in_flight(), 0);
    }
}

fn any_settings() -> impl Strategy<Value = RoomSettings> {
    let orders = [Order::Fifo, Order::Lifo, Order::Priority];
    let reserves = [
        vec![],
        vec![(Priority::Critical, 0.2)],
        vec![(Priority::Critical, 0.1), (Priority::Normal, 0.3)],
    ];
    let partitions = [
        vec![],
        vec![("web".to_owned(), 0.5)],
        vec![("web".to_owned(), 0.3), ("batch".to_owned(), 0.3)],
        [("web", 0.02), ("batch", 0.5), ("mail", 0.08)]
            .map(|(name, share)| (name.to_owned(), share))
            .into(),
    ];
    (
        prop::sample::select(orders.to_vec()),
        prop::sample::select(reserves.to_vec()),
        prop::sample::select(partitions.to_vec()),
        1_usize..40,
        0_usize..12,
    )
        .prop_map(
            |(order, reserves, partitions, limit, max_queue)| RoomSettings {
                order,
                reserves,
                partitions,
                ..settings(limit, max_queue)
            },
        )
}

fn any_class(partitions: u16) -> impl Strategy<Value = Class> {
    let partition = (0..=partitions).prop_map(|number| number.checked_sub(1));
    let priority = prop::sample::select(PRIORITIES.to_vec());
    (priority, partition).prop_map(|(priority, partition)| Class {
        priority,
        partition,
    })
}

fn any_step(partitions: u16) -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => any_class(partitions).prop_map(Step::Come),
        8 => any::<usize>().prop_map(Step::Leave),
        2 => any::<usize>().prop_map(Step::Abandon),
        1 => (1_usize..40).prop_map(Step::Resize),
        1 => (0_u32..700).prop_map(Step::Wait),
    ]
}

fn any_life() -> impl Strategy<Value = (RoomSettings, Vec<Step>)> {
    any_settings().prop_flat_map(|settings| {
        let partitions = settings.partitions.len() as u16;
        (Just(settings), vec(any_step(partitions), 0..2000))
    })
}

proptest! {
    // A million steps.
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn no_slot_is_lost_or_doubled_and_all_are_served_in_turn((settings, steps) in any_life()) {
        let mut pair = Pair::new(settings);
        for step in &steps {
            pair.step(step);
        }
        pair.end();
    }
}
