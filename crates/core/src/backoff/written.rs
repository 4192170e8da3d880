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

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const BASE: Duration = Duration::from_millis(100);

    #[test]
    fn reads_as_one_would_write_it() {
        for (backoff, text) in [
            (
                Backoff::constant(SECOND),
                r#"{"constant":"1s","jitter":"none"}"#,
            ),
            (
                Backoff::linear(BASE, SECOND).jitter(Jitter::Equal),
                r#"{"linear":{"base":"100ms","max":"1s"},"jitter":"equal"}"#,
            ),
            (
                Backoff::exponential(BASE, SECOND)
                    .factor(1.5)
                    .jitter(Jitter::Full),
                r#"{"exponential":{"base":"100ms","max":"1s","factor":1.5},"jitter":"full"}"#,
            ),
            (
                Backoff::fibonacci(BASE, SECOND).jitter(Jitter::Proportional(0.2)),
                r#"{"fibonacci":{"base":"100ms","max":"1s"},"jitter":{"proportional":0.2}}"#,
            ),
            (
                Backoff::decorrelated(BASE, SECOND).seed(7),
                r#"{"decorrelated":{"base":"100ms","max":"1s"},"jitter":"none","seed":7}"#,
            ),
            (
                Backoff::schedule([Duration::ZERO, SECOND]),
                r#"{"schedule":["0s","1s"],"jitter":"none"}"#,
            ),
        ] {
            assert_eq!(serde_json::to_string(&backoff).unwrap(), text);
            assert_eq!(serde_json::from_str::<Backoff>(text).unwrap(), backoff);
        }
    }

    #[test]
    fn what_has_a_default_may_be_left_out() {
        let text = r#"{"exponential":{"base":"100ms","max":"1s"}}"#;

        assert_eq!(
            serde_json::from_str::<Backoff>(text).unwrap(),
            Backoff::exponential(BASE, SECOND)
        );
    }

    #[test]
    fn is_read_with_one_shape_and_no_unknown_fields() {
        for (text, message) in [
            (r#"{"jitter":"full"}"#, "a backoff is one of"),
            (r#"{"constant":"1s","schedule":[]}"#, "a backoff is one of"),
            (r#"{"constant":"1s","delay":"1s"}"#, "unknown field `delay`"),
            (
                r#"{"constant":"1s","factor":2.0}"#,
                "unknown field `factor`",
            ),
            (
                r#"{"linear":{"base":"1s","max":"2s","factor":2.0}}"#,
                "unknown field `factor`",
            ),
            (
                r#"{"exponential":{"base":"1s","cap":"2s"}}"#,
                "unknown field `cap`",
            ),
            (r#"{"linear":{"base":"1s"}}"#, "missing field `max`"),
            (
                r#"{"constant":"1s","jitter":"some"}"#,
                "unknown variant `some`",
            ),
        ] {
            let error = serde_json::from_str::<Backoff>(text).unwrap_err();
            assert!(error.to_string().contains(message), "{error}");
        }
    }

    #[test]
    fn a_custom_one_says_that_it_cannot_be_written() {
        let error = serde_json::to_string(&Backoff::custom(|_| SECOND)).unwrap_err();

        assert_eq!(
            error.to_string(),
            "a custom backoff is a closure, which cannot be written"
        );
    }
}
