use http::Response;
use watertight_core::{Note, QuotaStatus};

use super::{LegacyReset, Wording};

/// Writes on answers how a rate limit stands, in more words than [`HttpNotes`](crate::HttpNotes).
///
/// The headers are those of draft-ietf-httpapi-ratelimit-headers-11, a list with a member for each
/// limit that the request came through:
///
/// ```text
/// RateLimit-Policy: "d411a36d";q=100;w=60
/// RateLimit: "d411a36d";r=50;t=30
/// ```
///
/// Durations are whole seconds, rounded up. A policy goes by a name that tells its limits apart and
/// says nothing: a hash, the same on every answer and in every process. With
/// [`expose_names`](Self::expose_names) it goes by the name of the layer, and of the plan:
/// `"api/pro"`.
///
/// On the builder of a rate limit, after `.http()`, and with `.announce(true)`:
///
/// ```
/// # use watertight_core::SetNotes;
/// use watertight_http::{LegacyReset, RateLimitNotes};
///
/// # fn with<B: SetNotes>(limit: B) -> B::With<RateLimitNotes> {
/// let notes = RateLimitNotes::new()
///     .expose_names(true)
///     .legacy(LegacyReset::Seconds);
/// limit.set_notes(notes)
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct RateLimitNotes {
    wording: Wording,
}

impl RateLimitNotes {
    /// Creates the notes that [`HttpNotes`](crate::HttpNotes) writes.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            wording: Wording::PLAIN,
        }
    }

    /// Sets whether policies go by the names of their layers. Default: false.
    ///
    /// Say the same to the [`RespondLayer`](crate::RespondLayer::expose_names) above, or a client
    /// sees one limit by two names.
    #[must_use]
    pub const fn expose_names(mut self, expose: bool) -> Self {
        self.wording.names = expose;
        self
    }

    /// Writes `X-RateLimit-Limit`, `X-RateLimit-Remaining` and `X-RateLimit-Reset` as well, for
    /// clients that know no others. They have room for one limit: the one with the least left.
    #[must_use]
    pub const fn legacy(mut self, reset: LegacyReset) -> Self {
        self.wording.legacy = Some(reset);
        self
    }
}

impl<B> Note<Response<B>, QuotaStatus> for RateLimitNotes {
    fn note(&self, response: &mut Response<B>, quota: QuotaStatus) {
        self.wording.write(response.headers_mut(), &quota);
    }
}
