use std::task::Waker;

use super::ReplayError;

/// The readers of one body.
#[derive(Debug, Default)]
pub(super) struct Readers {
    /// By their numbers. `None` for a number that is free.
    slots: Vec<Option<Reader>>,
}

#[derive(Debug)]
pub(super) struct Reader {
    pub(super) number: usize,
    /// The number of the chunk that comes next.
    pub(super) next: usize,
    /// Why it gets no more.
    pub(super) cut: Option<ReplayError>,
    /// It has had the last that it gets.
    pub(super) ended: bool,
    waits: Option<Wait>,
    /// Its task, if it waits or did so before.
    waker: Option<Waker>,
}

/// What a reader waits for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Wait {
    /// The source, which knows how to wake it.
    Source,
    /// The driver, which came before it.
    Driver,
}

impl Reader {
    const fn new(number: usize) -> Self {
        Self {
            number,
            next: 0,
            cut: None,
            ended: false,
            waits: None,
            waker: None,
        }
    }

    /// Whether it will get more.
    pub(super) const fn is_live(&self) -> bool {
        !self.ended && self.cut.is_none()
    }

    /// Notes that it waits. The waker that it had before is for the caller to drop, where no lock is
    /// held.
    fn wait(&mut self, waits: Wait, waker: &Waker) -> Option<Waker> {
        self.waits = Some(waits);
        match &self.waker {
            Some(known) if known.will_wake(waker) => None,
            _ => self.waker.replace(waker.clone()),
        }
    }
}

impl Readers {
    /// Adds a reader at the start.
    pub(super) fn add(&mut self) -> usize {
        let free = self.slots.iter().position(Option::is_none);
        let number = free.unwrap_or(self.slots.len());
        let reader = Some(Reader::new(number));
        match self.slots.get_mut(number) {
            Some(slot) => *slot = reader,
            None => self.slots.push(reader),
        }
        number
    }

    pub(super) fn remove(&mut self, number: usize) -> Option<Waker> {
        self.slots.get_mut(number)?.take()?.waker
    }

    pub(super) fn get(&self, number: usize) -> Option<&Reader> {
        self.slots.get(number)?.as_ref()
    }

    pub(super) fn get_mut(&mut self, number: usize) -> Option<&mut Reader> {
        self.slots.get_mut(number)?.as_mut()
    }

    /// Returns the readers that will get more.
    pub(super) fn live(&self) -> impl Iterator<Item = &Reader> {
        self.slots.iter().flatten().filter(|it| it.is_live())
    }

    /// Cuts off all that will get more, but for one.
    pub(super) fn cut(&mut self, but: Option<usize>, error: &ReplayError) {
        for reader in self.slots.iter_mut().flatten() {
            if reader.is_live() && Some(reader.number) != but {
                reader.cut = Some(error.clone());
            }
        }
    }

    pub(super) fn wait(&mut self, number: usize, waits: Wait, waker: &Waker) -> Option<Waker> {
        self.get_mut(number)?.wait(waits, waker)
    }

    pub(super) fn wait_no_more(&mut self, number: usize) {
        if let Some(reader) = self.get_mut(number) {
            reader.waits = None;
        }
    }

    /// Takes the waker of the first reader from `from` on that waits, for just that if `waits` is
    /// given, and says which reader it is.
    pub(super) fn take_waker(
        &mut self,
        from: usize,
        waits: Option<Wait>,
    ) -> Option<(usize, Waker)> {
        let mut readers = self.slots.iter_mut().skip(from).flatten();
        readers.find_map(|reader| {
            let is_meant = reader.waits.is_some() && (waits.is_none() || reader.waits == waits);
            let waker = is_meant.then(|| reader.waker.take())??;
            reader.waits = None;
            Some((reader.number, waker))
        })
    }
}
