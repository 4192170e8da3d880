use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::ptr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use metrics::{IntoF64, Key, Label, Level, Metadata, Recorder, with_recorder};

use crate::{InstanceSnapshot, names};

/// Writes to the `metrics` recorder what layers have counted.
#[derive(Debug, Default)]
pub(crate) struct Publisher {
    /// What layers had counted that are gone.
    retired: Mutex<Totals>,
    published: Mutex<Published>,
}

#[derive(Debug, Default)]
struct Published {
    totals: Totals,
    /// All that were ever set: a gauge of what is gone is zero.
    gauges: BTreeSet<Series>,
    /// The address of the recorder that has been told what the metrics mean.
    described: Option<usize>,
}

/// One line of a metric: its name and its labels.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
struct Series {
    metric: &'static str,
    labels: Vec<(&'static str, &'static str)>,
}

/// Counts that only grow. What has the same labels is summed up.
#[derive(Clone, Debug, Default)]
struct Totals {
    counters: BTreeMap<Series, u64>,
    histograms: BTreeMap<(Series, Duration), u64>,
}

impl Publisher {
    /// Publishes `live`. It is asked after the retired ones have been looked at: what retires in
    /// between is not seen twice, and what is not seen at all is so next time.
    ///
    /// `live` and the recorder are called under a lock, so that threads that publish at once write
    /// each growth once, and each returns when the recorder is up to date. If one of the two
    /// publishes in its turn, it waits for itself for ever. They may retire instances.
    pub(crate) fn publish(&self, live: impl FnOnce() -> Vec<InstanceSnapshot>) {
        let mut published = self
            .published
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let mut totals = self.retired().clone();
        let live = live();
        for instance in &live {
            totals.add(instance);
        }
        let gauges = gauges(&live, &totals);
        with_recorder(|recorder| published.write(recorder, &totals, &gauges));
    }

    pub(crate) fn retire(&self, last: &InstanceSnapshot) {
        self.retired().add(last);
    }

    fn retired(&self) -> MutexGuard<'_, Totals> {
        self.retired.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Published {
    fn write(&mut self, recorder: &dyn Recorder, totals: &Totals, gauges: &BTreeMap<Series, f64>) {
        self.gauges.extend(gauges.keys().cloned());
        let mut noted = false;
        for series in &self.gauges {
            let value = gauges.get(series).copied().unwrap_or_default();
            noted |= series.set_gauge(recorder, value);
        }
        if !noted {
            // There is no recorder. What has been counted waits for one.
            return;
        }

        let address = ptr::from_ref(recorder).addr();
        if self.described.replace(address) != Some(address) {
            names::describe(recorder);
        }
        for (series, total) in &totals.counters {
            let grown = growth(self.totals.counters.entry(series.clone()), *total);
            recorder
                .register_counter(&series.key(), &METADATA)
                .increment(grown);
        }
        for (bucket, total) in &totals.histograms {
            let grown = growth(self.totals.histograms.entry(bucket.clone()), *total);
            let (series, duration) = bucket;
            if grown > 0 {
                recorder
                    .register_histogram(&series.key(), &METADATA)
                    .record_many(duration.as_secs_f64(), grown as usize);
            }
        }
    }
}

/// Returns by how much a total has grown, and takes note of it. A total that seems to have shrunk
/// belongs to an instance that is about to retire.
fn growth<K: Ord>(entry: std::collections::btree_map::Entry<'_, K, u64>, total: u64) -> u64 {
    let known = entry.or_default();
    let grown = total.saturating_sub(*known);
    *known += grown;
    grown
}

impl Totals {
    fn add(&mut self, instance: &InstanceSnapshot) {
        let kind = instance.kind;
        let layer = [("layer", kind), ("name", instance.name.as_str())];
        let mut count = |metric, labels: &[_], count| {
            *self
                .counters
                .entry(Series::new(metric, labels))
                .or_default() += count;
        };

        for (outcome, calls) in instance.calls.named() {
            count(
                names::CALLS,
                &[layer[0], layer[1], ("outcome", outcome)],
                calls,
            );
        }
        for rejected in &instance.rejections {
            let reason = ("reason", rejected.reason.as_str());
            let mode = ("mode", rejected.mode.as_str());
            let labels = [layer[0], layer[1], reason, mode];
            count(names::REJECTIONS, &labels, rejected.count);
        }
        for change in &instance.transitions {
            let labels = [layer[1], ("from", change.from), ("to", change.to)];
            count(names::transitions(kind), &labels, change.count);
        }
        for own in &instance.counts {
            let labels: Vec<_> = [layer[1]].into_iter().chain(own.label).collect();
            count(own.metric, &labels, own.count);
        }
        if let Some(evicted) = instance.keys_evicted {
            count(names::KEYS_EVICTED, &layer, evicted);
        }
        for (duration, calls) in instance.durations.iter().flat_map(|counts| &counts.0) {
            let bucket = (Series::new(names::CALL_DURATION, &layer), *duration);
            *self.histograms.entry(bucket).or_default() += calls;
        }
    }
}

/// Returns how things stand. Of what has the same name, the newest says its state and its
/// timeout, the fullest its utilization, and the rest is summed up.
fn gauges(live: &[InstanceSnapshot], totals: &Totals) -> BTreeMap<Series, f64> {
    let kinds = totals
        .counters
        .keys()
        .filter(|it| it.metric == names::CALLS);
    let mut gauges: BTreeMap<_, _> = kinds
        .map(|calls| (Series::new(names::INSTANCES, &calls.labels[..1]), 0.0))
        .collect();
    for instance in live {
        let layer = [("layer", instance.kind), ("name", instance.name.as_str())];
        let sums = [
            (names::IN_FLIGHT, instance.in_flight),
            (names::LIMIT, instance.limit),
            (names::QUEUE_DEPTH, instance.queue_depth),
            (names::KEYS, instance.keys),
        ];
        for (metric, value) in sums {
            if let Some(value) = value {
                *gauges.entry(Series::new(metric, &layer)).or_default() += value as f64;
            }
        }
        *gauges
            .entry(Series::new(names::INSTANCES, &layer[..1]))
            .or_default() += 1.0;
        if let Some(utilization) = instance.utilization {
            let fullest = gauges
                .entry(Series::new(names::UTILIZATION, &layer))
                .or_default();
            *fullest = fullest.max(utilization);
        }
        if let Some(timeout) = instance.timeout {
            let series = Series::new(names::TIMEOUT, &layer[1..]);
            gauges.insert(series, timeout.as_secs_f64());
        }
        if let Some(state) = instance.state {
            for one in state.all {
                let labels = [layer[1], ("state", *one)];
                let value = f64::from(u8::from(*one == state.current));
                gauges.insert(Series::new(names::state(instance.kind), &labels), value);
            }
        }
    }
    gauges
}

impl Series {
    fn new(metric: &'static str, labels: &[(&'static str, &'static str)]) -> Self {
        Self {
            metric,
            labels: labels.to_vec(),
        }
    }

    fn key(&self) -> Key {
        let labels: Vec<_> = self
            .labels
            .iter()
            .map(|(name, value)| Label::from_static_parts(name, value))
            .collect();
        Key::from_parts(self.metric, labels)
    }

    /// Sets a gauge, and returns whether anybody took note.
    fn set_gauge(&self, recorder: &dyn Recorder, value: f64) -> bool {
        let noted = Cell::new(false);
        recorder.register_gauge(&self.key(), &METADATA).set(Noted {
            value,
            noted: &noted,
        });
        noted.get()
    }
}

/// A value that knows whether it was asked for: a gauge of no recorder does not.
struct Noted<'a> {
    value: f64,
    noted: &'a Cell<bool>,
}

impl IntoF64 for Noted<'_> {
    fn into_f64(self) -> f64 {
        self.noted.set(true);
        self.value
    }
}

const METADATA: Metadata<'_> = Metadata::new("watertight", Level::INFO, Some(module_path!()));
