use watertight_core::{SetClassifier, SetFinish};

use crate::{AtBodyEnd, GrpcClassifier, HttpClassifier};

/// What `.http()` makes of the builder `B`.
pub type Http<B> = <B as SetClassifier>::With<HttpClassifier>;

/// What `.grpc()` makes of the builder `B`.
pub type Grpc<B> = <<B as SetClassifier>::With<GrpcClassifier> as SetFinish>::With<AtBodyEnd>;

/// Says in one word on the builder of any layer that it stands over HTTP or gRPC.
///
/// Without it a layer takes every response for a success, a 503 as well.
pub trait HttpExt: SetClassifier + Sized {
    /// Classifies answers by their HTTP status: [`HttpClassifier`].
    ///
    /// A call is over at the head of its response; `.finish(AtBodyEnd)` lets it last until the
    /// body ends.
    fn http(self) -> Http<Self> {
        self.set_classifier(HttpClassifier::new())
    }

    /// Classifies answers by their gRPC status, wherever it comes: [`GrpcClassifier`], with
    /// [`AtBodyEnd`].
    fn grpc(self) -> Grpc<Self>
    where
        Self::With<GrpcClassifier>: SetFinish,
    {
        self.set_classifier(GrpcClassifier::new())
            .set_finish(AtBodyEnd)
    }
}

impl<B: SetClassifier> HttpExt for B {}

#[cfg(test)]
mod tests {
    use watertight_core::{AtResponse, ErrorsAreFailures};

    use super::*;

    /// A builder as pattern crates have them.
    struct Builder<C, N> {
        classify: C,
        finish: N,
    }

    impl<C, N> SetClassifier for Builder<C, N> {
        type With<D> = Builder<D, N>;

        fn set_classifier<D>(self, classify: D) -> Builder<D, N> {
            Builder {
                classify,
                finish: self.finish,
            }
        }
    }

    impl<C, N> SetFinish for Builder<C, N> {
        type With<M> = Builder<C, M>;

        fn set_finish<M>(self, finish: M) -> Builder<C, M> {
            Builder {
                classify: self.classify,
                finish,
            }
        }
    }

    fn builder() -> Builder<ErrorsAreFailures, AtResponse> {
        Builder {
            classify: ErrorsAreFailures,
            finish: AtResponse,
        }
    }

    #[test]
    fn http_sets_the_classifier_and_leaves_the_end_alone() {
        let Builder { classify, finish } = builder().http();

        let _: HttpClassifier = classify;
        let AtResponse = finish;
    }

    #[test]
    fn grpc_sets_the_classifier_and_the_end() {
        let Builder { classify, finish } = builder().grpc();

        let _: GrpcClassifier = classify;
        let AtBodyEnd = finish;
    }
}
