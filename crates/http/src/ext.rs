use watertight_core::{SetClassifier, SetDeadlines, SetFinish, SetNotes, SetRepeat};

use crate::{AtBodyEnd, GrpcClassifier, HttpClassifier, HttpDeadlines, HttpNotes, HttpRepeat};

/// What `.http()` makes of the builder `B`.
pub type Http<B> = Speaking<<B as SetClassifier>::With<HttpClassifier>>;

/// What `.grpc()` makes of the builder `B`.
pub type Grpc<B> =
    Speaking<<<B as SetClassifier>::With<GrpcClassifier> as SetFinish>::With<AtBodyEnd>>;

/// The builder `B` with the rule by which requests are repeated, the notes and the deadlines.
type Speaking<B> =
    <<<B as SetRepeat>::With<HttpRepeat> as SetNotes>::With<HttpNotes> as SetDeadlines>::With<
        HttpDeadlines,
    >;

/// Says in one word on the builder of any layer that it stands over HTTP or gRPC.
///
/// Without it a layer takes every response for a success, a 503 as well.
pub trait HttpExt: SetClassifier + Sized {
    /// Classifies answers by their HTTP status: [`HttpClassifier`]. Repeats the requests that may be
    /// sent twice without harm: [`HttpRepeat`]. Notes, signs and deadlines are in the headers:
    /// [`HttpNotes`], [`HttpDeadlines`].
    ///
    /// A call is over at the head of its response; `.finish(AtBodyEnd)` lets it last until the
    /// body ends.
    fn http(self) -> Http<Self>
    where
        Self::With<HttpClassifier>:
            SetRepeat<With<HttpRepeat>: SetNotes<With<HttpNotes>: SetDeadlines>>,
    {
        self.set_classifier(HttpClassifier::new())
            .set_repeat(HttpRepeat::new())
            .set_notes(HttpNotes)
            .set_deadlines(HttpDeadlines)
    }

    /// Classifies answers by their gRPC status, wherever it comes: [`GrpcClassifier`], with
    /// [`AtBodyEnd`]. Repeats any request ([`HttpRepeat::all`]), if the status of its answer says
    /// that it may be. Notes, signs and deadlines are in the headers: [`HttpNotes`],
    /// [`HttpDeadlines`].
    fn grpc(self) -> Grpc<Self>
    where
        Self::With<GrpcClassifier>: SetFinish<
            With<AtBodyEnd>: SetRepeat<With<HttpRepeat>: SetNotes<With<HttpNotes>: SetDeadlines>>,
        >,
    {
        self.set_classifier(GrpcClassifier::new())
            .set_finish(AtBodyEnd)
            .set_repeat(HttpRepeat::all())
            .set_notes(HttpNotes)
            .set_deadlines(HttpDeadlines)
    }
}

impl<B: SetClassifier> HttpExt for B {}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::Request;
    use http_body_util::Empty;
    use watertight_core::{
        AtResponse, ErrorsAreFailures, Failure, FailureKind, Never, Repeat, Undeclared, Unnoted,
    };

    use super::*;

    /// A builder as pattern crates have them.
    struct Builder<C, N, R, T, D> {
        classify: C,
        finish: N,
        repeat: R,
        notes: T,
        deadlines: D,
    }

    impl<C, N, R, T, D> SetClassifier for Builder<C, N, R, T, D> {
        type With<C2> = Builder<C2, N, R, T, D>;

        fn set_classifier<C2>(self, classify: C2) -> Self::With<C2> {
            Builder {
                classify,
                finish: self.finish,
                repeat: self.repeat,
                notes: self.notes,
                deadlines: self.deadlines,
            }
        }
    }

    impl<C, N, R, T, D> SetFinish for Builder<C, N, R, T, D> {
        type With<N2> = Builder<C, N2, R, T, D>;

        fn set_finish<N2>(self, finish: N2) -> Self::With<N2> {
            Builder {
                classify: self.classify,
                finish,
                repeat: self.repeat,
                notes: self.notes,
                deadlines: self.deadlines,
            }
        }
    }

    impl<C, N, R, T, D> SetRepeat for Builder<C, N, R, T, D> {
        type With<R2> = Builder<C, N, R2, T, D>;

        fn set_repeat<R2>(self, repeat: R2) -> Self::With<R2> {
            Builder {
                classify: self.classify,
                finish: self.finish,
                repeat,
                notes: self.notes,
                deadlines: self.deadlines,
            }
        }
    }

    impl<C, N, R, T, D> SetNotes for Builder<C, N, R, T, D> {
        type With<T2> = Builder<C, N, R, T2, D>;

        fn set_notes<T2>(self, notes: T2) -> Self::With<T2> {
            Builder {
                classify: self.classify,
                finish: self.finish,
                repeat: self.repeat,
                notes,
                deadlines: self.deadlines,
            }
        }
    }

    impl<C, N, R, T, D> SetDeadlines for Builder<C, N, R, T, D> {
        type With<D2> = Builder<C, N, R, T, D2>;

        fn set_deadlines<D2>(self, deadlines: D2) -> Self::With<D2> {
            Builder {
                classify: self.classify,
                finish: self.finish,
                repeat: self.repeat,
                notes: self.notes,
                deadlines,
            }
        }
    }

    fn builder() -> Builder<ErrorsAreFailures, AtResponse, Never, Unnoted, Undeclared> {
        Builder {
            classify: ErrorsAreFailures,
            finish: AtResponse,
            repeat: Never,
            notes: Unnoted,
            deadlines: Undeclared,
        }
    }

    /// Whether a POST may be repeated.
    fn repeats_a_post(repeat: &HttpRepeat) -> bool {
        let request = Request::post("/").body(Empty::<Bytes>::new()).unwrap();
        let kept = repeat.keep(request).1.unwrap();
        let failure = Failure::new(FailureKind::Server);
        Repeat::<Request<Empty<Bytes>>>::allows(repeat, &kept, &failure)
    }

    #[test]
    fn http_leaves_the_end_alone() {
        let built = builder().http();

        let _: HttpClassifier = built.classify;
        let AtResponse = built.finish;
        let HttpNotes = built.notes;
        let HttpDeadlines = built.deadlines;
        assert!(!repeats_a_post(&built.repeat));
    }

    #[test]
    fn grpc_waits_for_the_end_and_repeats_what_the_codes_allow() {
        let built = builder().grpc();

        let _: GrpcClassifier = built.classify;
        let AtBodyEnd = built.finish;
        let HttpNotes = built.notes;
        let HttpDeadlines = built.deadlines;
        assert!(repeats_a_post(&built.repeat));
    }
}
