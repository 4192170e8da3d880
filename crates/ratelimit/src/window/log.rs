use std::collections::VecDeque;

use super::SlidingWindow;
use super::span::Span;
use super::taken::Taken;

/// A log of all takes of a period, each with its time: exact.
///
/// It has as many records as there are tokens in the window, at most. Once room is
/// [made](Taken::make_room) for those of the limit, no call that passes makes it larger; penalties
/// beyond the limit do.
#[derive(Clone, Debug, Default)]
pub(crate) struct Log {
    /// The oldest first.
    records: VecDeque<Record>,
    /// The sum of their costs.
    used: u64,
}

#[derive(Clone, Copy, Debug)]
struct Record {
    at: u64,
    cost: u64,
}

impl Taken for Log {
    fn new(_: &Span) -> Self {
        Self::default()
    }

    fn make_room(&mut self, span: &Span) {
        let most = span.limit().min(SlidingWindow::MAX_LOGGED) as usize;
        let missing = most.saturating_sub(self.records.len());
        self.records.reserve_exact(missing);
    }

    fn advance(&mut self, now: u64, span: &Span) {
        while let Some(oldest) = self.records.front()
            && oldest.at.saturating_add(span.length) <= now
        {
            self.used -= oldest.cost;
            self.records.pop_front();
        }
    }

    fn used(&self, _: u64, _: &Span) -> u64 {
        self.used
    }

    fn add(&mut self, cost: u64, _: &Span, now: u64) {
        self.used += cost;
        match self.records.back_mut() {
            Some(latest) if latest.at == now => latest.cost += cost,
            _ => self.records.push_back(Record { at: now, cost }),
        }
    }

    fn remove(&mut self, mut cost: u64, _: u64, _: &Span) {
        while cost > 0
            && let Some(latest) = self.records.back_mut()
        {
            let removed = latest.cost.min(cost);
            latest.cost -= removed;
            self.used -= removed;
            cost -= removed;
            if latest.cost == 0 {
                self.records.pop_back();
            }
        }
    }

    /// Looks through the log from the nearer end: most callers ask when there is room for a little
    /// more, or when there is nothing left.
    fn falls_to(&self, most: u64, now: u64, span: &Span) -> u64 {
        if self.used <= most {
            return now;
        }
        let mut records = self.records.iter();
        let last_to_leave = if most < self.used / 2 {
            let mut stays = 0;
            records.rev().find(|record| {
                stays += record.cost;
                stays > most
            })
        } else {
            let mut left = self.used;
            records.find(|record| {
                left -= record.cost;
                left <= most
            })
        };
        last_to_leave.map_or(now, |record| now.max(record.at.saturating_add(span.length)))
    }

    fn history(&self, _: u64, _: &Span) -> Vec<(u64, u64)> {
        let records = self.records.iter();
        records.map(|record| (record.at, record.cost)).collect()
    }
}

#[cfg(all(test, not(watertight_loom)))]
mod tests {
    use tokio::time::Instant;

    use super::*;
    use crate::Quota;

    #[test]
    fn what_comes_at_one_time_is_one_record() {
        let span = Span::new(&Quota::per_second(1_000), 1, Instant::now());
        let mut log = Log::new(&span);

        for _ in 0..100 {
            log.add(1, &span, 7);
        }
        log.add(1, &span, 8);

        assert_eq!(log.history(8, &span), [(7, 100), (8, 1)]);
    }
}
