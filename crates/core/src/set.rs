//! What a protocol's one word on a builder, such as `.http()`, is made of.
//!
//! Every builder implements all of these. One that has no such part returns itself unchanged, so
//! that a protocol crate needs to know no pattern crate and no pattern crate a protocol.

/// A builder whose classifier can be replaced.
pub trait SetClassifier {
    /// The builder with the classifier `C`.
    type With<C>;

    /// Sets the [`Classify`](crate::Classify).
    fn set_classifier<C>(self, classify: C) -> Self::With<C>;
}

/// A builder of a layer that can end its calls elsewhere.
pub trait SetFinish {
    /// The builder with the finish `N`.
    type With<N>;

    /// Sets the [`Finish`](crate::Finish).
    fn set_finish<N>(self, finish: N) -> Self::With<N>;
}

/// A builder of a layer that may send a request again.
pub trait SetRepeat {
    /// The builder with the repeat rule `R`.
    type With<R>;

    /// Sets the [`Repeat`](crate::Repeat).
    fn set_repeat<R>(self, repeat: R) -> Self::With<R>;
}

/// A builder of a layer that has something to tell on its answers.
pub trait SetNotes {
    /// The builder with the notes `T`.
    type With<T>;

    /// Sets the [`Note`](crate::Note).
    fn set_notes<T>(self, notes: T) -> Self::With<T>;
}

/// A builder of a layer that reads or writes how long callers wait.
pub trait SetDeadlines {
    /// The builder with the deadlines `D`.
    type With<D>;

    /// Sets the [`ReadDeadline`](crate::ReadDeadline) or [`WriteDeadline`](crate::WriteDeadline).
    fn set_deadlines<D>(self, deadlines: D) -> Self::With<D>;
}
