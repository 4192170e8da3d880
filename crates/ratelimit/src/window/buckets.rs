use super::span::Span;
use super::taken::Taken;

/// Counters of the parts of a period: the one that runs, and as many before it as make a period.
///
/// The oldest fades as the one that runs goes on, as if it had come in evenly.
#[derive(Clone, Debug)]
pub(crate) struct Buckets {
    /// Which bucket of all time runs.
    index: u64,
    /// A ring of the one that runs and those of a period before it, each at its index.
    counts: Box<[u64]>,
    /// What was taken in all but the oldest.
    recent: u64,
}

impl Buckets {
    fn slot(&self, index: u64) -> usize {
        (index % self.counts.len() as u64) as usize
    }

    /// Returns the count of the bucket that is the oldest when the one of `index` runs.
    fn oldest(&self, index: u64) -> u64 {
        self.counts[self.slot(index + 1)]
    }

    /// Returns how old the bucket that runs is.
    fn elapsed(&self, now: u64, span: &Span) -> u64 {
        now.saturating_sub(span.start_of(self.index))
    }
}

impl Taken for Buckets {
    fn new(span: &Span) -> Self {
        Self {
            index: 0,
            counts: vec![0; span.buckets as usize + 1].into(),
            recent: 0,
        }
    }

    fn advance(&mut self, now: u64, span: &Span) {
        let index = span.index(now);
        if index > self.index.saturating_add(span.buckets) {
            self.index = index;
            self.counts.fill(0);
            self.recent = 0;
        }
        while self.index < index {
            self.index += 1;
            let slot = self.slot(self.index);
            self.counts[slot] = 0;
            self.recent -= self.oldest(self.index);
        }
    }

    fn used(&self, now: u64, span: &Span) -> u64 {
        let elapsed = self.elapsed(now, span);
        self.recent + span.faded(self.oldest(self.index), elapsed)
    }

    fn add(&mut self, cost: u64, _: &Span, _: u64) {
        let slot = self.slot(self.index);
        self.counts[slot] += cost;
        self.recent += cost;
    }

    fn remove(&mut self, mut cost: u64, _: u64, span: &Span) {
        for age in 0..=span.buckets.min(self.index) {
            let slot = self.slot(self.index - age);
            let removed = self.counts[slot].min(cost);
            self.counts[slot] -= removed;
            cost -= removed;
            if age < span.buckets {
                self.recent -= removed;
            }
        }
    }

    fn falls_to(&self, most: u64, now: u64, span: &Span) -> u64 {
        let mut recent = self.recent;
        let mut index = self.index;
        let last = self.index + span.buckets;
        let mut oldest = self.oldest(index);
        while recent > most && index < last {
            index += 1;
            oldest = self.oldest(index);
            recent -= oldest;
        }
        let elapsed = span.fades_to(oldest, most.saturating_sub(recent));
        now.max(span.start_of(index).saturating_add(elapsed))
    }

    fn history(&self, now: u64, span: &Span) -> Vec<(u64, u64)> {
        let oldest = self.index.saturating_sub(span.buckets);
        (oldest..=self.index)
            .map(|index| {
                let last = span.start_of(index + 1) - 1;
                (last.min(now), self.counts[self.slot(index)])
            })
            .filter(|(_, count)| *count > 0)
            .collect()
    }
}
