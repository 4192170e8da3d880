//! A backoff as it is written in a file: one shape by its name, the jitter and the seed beside it.

use std::time::Duration;

use humantime_serde::Serde;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser};

use super::shape::{Shape, Span};
use super::{Backoff, Jitter};

#[derive(Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
struct Written {
    #[serde(skip_serializing_if = "Option::is_none", with = "humantime_serde")]
    constant: Option<Duration>,
    #[serde(skip_serializing_if = "Option::is_none")]
    linear: Option<Span>,
    #[serde(skip_serializing_if = "Option::is_none")]
    exponential: Option<Exponential>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fibonacci: Option<Span>,
    #[serde(skip_serializing_if = "Option::is_none")]
    decorrelated: Option<Span>,
    #[serde(skip_serializing_if = "Option::is_none")]
    schedule: Option<Vec<Serde<Duration>>>,
    jitter: Jitter,
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<u64>,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Exponential {
    #[serde(with = "humantime_serde")]
    base: Duration,
    #[serde(with = "humantime_serde")]
    max: Duration,
    #[serde(default = "default_factor")]
    factor: f64,
}

fn default_factor() -> f64 {
    Backoff::FACTOR
}

impl Written {
    /// Returns the shapes that are there: one, if all is well.
    fn shapes(self) -> impl Iterator<Item = Shape> {
        let exponential = self.exponential.map(|Exponential { base, max, factor }| {
            Shape::Exponential(Span { base, max }, factor)
        });
        let schedule = self
            .schedule
            .map(|delays| Shape::Schedule(delays.into_iter().map(Serde::into_inner).collect()));
        [
            self.constant.map(Shape::Constant),
            self.linear.map(Shape::Linear),
            exponential,
            self.fibonacci.map(Shape::Fibonacci),
            self.decorrelated.map(Shape::Decorrelated),
            schedule,
        ]
        .into_iter()
        .flatten()
    }
}

impl<'de> Deserialize<'de> for Backoff {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let written = Written::deserialize(deserializer)?;
        let (jitter, seed) = (written.jitter, written.seed);
        let mut shapes = written.shapes();
        let (Some(shape), None) = (shapes.next(), shapes.next()) else {
            return Err(de::Error::custom(
                "a backoff is one of `constant`, `linear`, `exponential`, `fibonacci`, \
                 `decorrelated` and `schedule`",
            ));
        };
        let backoff = Self::of(shape).jitter(jitter);
        Ok(match seed {
            Some(seed) => backoff.seed(seed),
            None => backoff,
        })
    }
}

impl Serialize for Backoff {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut written = Written {
            jitter: self.jitter,
            seed: self.seed.as_deref().map(super::draws::Seed::get),
            ..Written::default()
        };
        match &self.shape {
            Shape::Constant(delay) => written.constant = Some(*delay),
            Shape::Linear(span) => written.linear = Some(*span),
            Shape::Exponential(Span { base, max }, factor) => {
                written.exponential = Some(Exponential {
                    base: *base,
                    max: *max,
                    factor: *factor,
                });
            }
            Shape::Fibonacci(span) => written.fibonacci = Some(*span),
            Shape::Decorrelated(span) => written.decorrelated = Some(*span),
            Shape::Schedule(delays) => {
                written.schedule = Some(delays.iter().copied().map(Serde::from).collect());
            }
            Shape::Custom(_) => {
                return Err(ser::Error::custom(
                    "a custom backoff is a closure, which cannot be written",
                ));
            }
        }
        written.serialize(serializer)
    }
}
