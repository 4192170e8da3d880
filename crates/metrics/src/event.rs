use std::sync::Arc;

use serde::{Serialize, Serializer};
use watertight_core::{Key, Mode, Name};

/// Something that happened to a layer.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Event {
    /// Which pattern the layer is, such as `breaker`.
    pub layer: &'static str,
    /// The layer's name.
    pub name: Name,
    /// The key, if it happened to what serves one key alone.
    #[serde(serialize_with = "as_text", skip_serializing_if = "Option::is_none")]
    pub key: Option<Key>,
    /// The key's label, if it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<Arc<str>>,
    /// What happened.
    #[serde(flatten)]
    pub what: What,
}

/// What happened to a layer.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
#[non_exhaustive]
pub enum What {
    /// It went from one state to another.
    StateChanged(StateChange),
    /// It was told to refuse calls, or not to.
    ModeChanged {
        /// What it was told.
        mode: Mode,
    },
    /// It was given other settings.
    ConfigChanged,
    /// It had more extra work to do than its budget allows. Said once a second at most.
    BudgetExhausted,
    /// It has no place for more keys, and serves new ones together. Said once a second at most.
    KeysOverflowed,
    /// What keeps its state for it does not answer. Said once a second at most.
    StoreFailed,
    /// Another live layer of its kind has its name.
    NameTaken,
}

/// From which state a layer went to which, and why.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct StateChange {
    /// The state before.
    pub from: &'static str,
    /// The state after.
    pub to: &'static str,
    /// Why, such as `failure_rate`.
    pub cause: &'static str,
    /// The figures that led to it.
    #[serde(flatten)]
    pub figures: Figures,
}

/// The figures that explain a change, as far as there are any.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Figures {
    /// How many calls there were.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub calls: Option<u64>,
    /// The share of them that failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure_rate: Option<f64>,
    /// The share of them that was slow.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slow_rate: Option<f64>,
    /// How many in a row failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub consecutive_failures: Option<u64>,
}

#[allow(clippy::ref_option, reason = "serde hands it over so")]
fn as_text<S: Serializer>(key: &Option<Key>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&key.map_or_else(String::new, |key| key.to_string()))
}
