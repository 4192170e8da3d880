use std::cell::{Cell, RefCell};
use std::mem;
use std::pin::Pin;
use std::task::{self, Poll};
use std::time::Duration;

use pin_project::pin_project;
use tokio::time::Instant;
use tower_service::Service;

use crate::{Hops, IdempotencyKey};

thread_local! {
    /// The context of the task that this thread polls now. Tokio's own task-local would do but for
    /// the merging: its future takes the value when it is made, ours when it is first polled.
    static CURRENT: RefCell<Option<Context>> = const { RefCell::new(None) };
    /// Its attempt, if there is one. That is quicker to read.
    static ATTEMPT: Cell<Option<u32>> = const { Cell::new(None) };
}

/// What a call carries down through layers and crates: how long it has, how much it matters, which
/// attempt it is.
///
/// A server's inbound layer sets it once and every layer below sees it, whatever lies between. It
/// is bound to the task: below a `Buffer`, a tonic `Channel`'s worker or a spawned task there is
/// none. Put layers above those, or carry it across by hand:
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// use watertight_core::{Context, Priority};
///
/// let urgent = Context { priority: Priority::Critical, ..Context::default() };
/// let seen = urgent.scope(async {
///     let lost = tokio::spawn(async { Context::current().priority });
///     let kept = tokio::spawn(Context::current().scope(async { Context::current().priority }));
///     (lost.await.unwrap(), kept.await.unwrap())
/// });
/// assert_eq!(seen.await, (Priority::Normal, Priority::Critical));
/// # }
/// ```
///
/// A scope inside a scope merges: the earlier `deadline` of the two holds, `priority` and
/// `attempt` are the inner one's, `idempotency_key` and `hops` are the inner one's if it has some,
/// and `upstream_attempt`, a fact about the request that came in, is the larger. To change one field
/// alone, start from [`Context::current`].
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Context {
    /// When the caller stops waiting.
    pub deadline: Option<Instant>,
    /// How much the call matters when not all can be served.
    pub priority: Priority,
    /// Which attempt of the nearest retry above this is, where 0 is the first.
    pub attempt: u32,
    /// Which attempt it was that came in with the request, where 0 is the first.
    pub upstream_attempt: u32,
    /// The key by which the service knows a repeated request.
    pub idempotency_key: Option<IdempotencyKey>,
    /// The services that the call has come through, where a layer keeps track of them.
    pub hops: Option<Hops>,
}

impl Context {
    /// Returns the context that is set, or the default one.
    #[must_use]
    #[inline]
    pub fn current() -> Self {
        if ATTEMPT.get().is_some() {
            find().unwrap_or_default()
        } else {
            Self::default()
        }
    }

    /// Calls `f` with the context that is set. A few nanoseconds where there is none.
    #[inline]
    pub fn with<R>(f: impl FnOnce(Option<&Self>) -> R) -> R {
        if ATTEMPT.get().is_some() {
            f(find().as_ref())
        } else {
            f(None)
        }
    }

    /// Whether a retry above makes this attempt, and it is not its first.
    #[inline]
    pub(crate) fn is_repeat() -> bool {
        ATTEMPT.get().is_some_and(|attempt| attempt > 0)
    }

    /// Calls `f` in this context.
    pub fn enter<R>(self, f: impl FnOnce() -> R) -> R {
        let mut context = Some(self.within_current());
        let _entered = Entered::new(&mut context);
        f()
    }

    /// Runs `future` in this context, which merges with the one that is set where the future is
    /// first polled. Allocates nothing.
    pub fn scope<F: Future>(self, future: F) -> Scoped<F> {
        Scoped {
            context: Some(self),
            merged: false,
            future,
        }
    }

    /// Calls `service` in this context: what it does at once as well as its future.
    pub fn call<S: Service<Req>, Req>(self, service: &mut S, request: Req) -> Scoped<S::Future> {
        let mut context = Some(self.within_current());
        let future = {
            let _entered = Entered::new(&mut context);
            service.call(request)
        };
        Scoped {
            context,
            merged: true,
            future,
        }
    }

    /// Returns how long the caller still waits: nothing once the deadline has passed, and `None`
    /// if there is no deadline.
    #[must_use]
    pub fn remaining(&self, now: Instant) -> Option<Duration> {
        Some(self.deadline?.saturating_duration_since(now))
    }

    /// Returns the context of the next step of a chain of which so many are left, this one
    /// included: its deadline comes after an equal share of the time that remains. What a step
    /// does not use is shared by those that follow. With 0 or 1 step left it has all the time, and
    /// without a deadline there is none to share.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() {
    /// use std::time::Duration;
    /// use tokio::time::{Instant, sleep};
    /// use watertight_core::Context;
    ///
    /// # async fn reserve() { sleep(Duration::from_secs(1)).await }
    /// # async fn charge() {}
    /// let in_9_s = Some(Instant::now() + Duration::from_secs(9));
    /// let call = Context { deadline: in_9_s, ..Context::default() };
    ///
    /// let step = call.share(3, Instant::now());
    /// assert_eq!(step.remaining(Instant::now()), Some(Duration::from_secs(3)));
    /// step.scope(reserve()).await; // It takes 1 s.
    ///
    /// let step = call.share(2, Instant::now());
    /// assert_eq!(step.remaining(Instant::now()), Some(Duration::from_secs(4)));
    /// step.scope(charge()).await;
    /// # }
    /// ```
    #[must_use]
    pub fn share(&self, steps_left: u32, now: Instant) -> Self {
        let share = self.remaining(now).map(|left| left / steps_left.max(1));
        Self {
            deadline: share.map(|share| now + share).min(self.deadline),
            ..self.clone()
        }
    }

    fn within_current(self) -> Self {
        match find() {
            Some(outer) => self.within(outer),
            None => self,
        }
    }

    fn within(self, outer: Self) -> Self {
        Self {
            deadline: match (self.deadline, outer.deadline) {
                (Some(inner), Some(outer)) => Some(inner.min(outer)),
                (inner, outer) => inner.or(outer),
            },
            priority: self.priority,
            attempt: self.attempt,
            upstream_attempt: self.upstream_attempt.max(outer.upstream_attempt),
            idempotency_key: self.idempotency_key.or(outer.idempotency_key),
            hops: self.hops.or(outer.hops),
        }
    }
}

/// Reads what is set. In a thread that is ending, that is nothing.
fn find() -> Option<Context> {
    CURRENT
        .try_with(|current| current.borrow().clone())
        .ok()
        .flatten()
}

/// How much a call matters when not all can be served. The first is the most important, and
/// sorts first.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum Priority {
    /// Served while anything is served at all.
    Critical,
    /// Served before ordinary calls.
    High,
    /// An ordinary call.
    #[default]
    Normal,
    /// May wait.
    Low,
    /// Nobody waits for it.
    Background,
}

/// A future that runs in a [`Context`]. Made by [`Context::scope`] and [`Context::call`].
#[derive(Debug)]
#[pin_project]
#[must_use = "futures do nothing unless polled"]
pub struct Scoped<F> {
    /// `None` for a future that runs in whatever context there is.
    context: Option<Context>,
    /// Whether `context` has been merged with the one that it is nested in.
    merged: bool,
    #[pin]
    future: F,
}

impl<F> Scoped<F> {
    /// Runs `future` in whatever context there is, at no cost: for a layer that sets a context for
    /// some calls only, and has one future type.
    #[inline]
    pub const fn unscoped(future: F) -> Self {
        Self {
            context: None,
            merged: true,
            future,
        }
    }
}

impl<F: Future> Future for Scoped<F> {
    type Output = F::Output;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<F::Output> {
        if self.context.is_none() {
            return self.project().future.poll(cx);
        }
        self.poll_inside(cx)
    }
}

impl<F: Future> Scoped<F> {
    fn poll_inside(self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        if !mem::replace(this.merged, true) {
            *this.context = this.context.take().map(Context::within_current);
        }
        let _entered = Entered::new(this.context);
        this.future.poll(cx)
    }
}

/// Puts a context in force, and the one before it back when dropped, by a panic too.
struct Entered<'a> {
    swapped: &'a mut Option<Context>,
}

impl<'a> Entered<'a> {
    fn new(context: &'a mut Option<Context>) -> Self {
        swap(context);
        Self { swapped: context }
    }
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        swap(self.swapped);
    }
}

fn swap(context: &mut Option<Context>) {
    // In a thread that is ending there is nobody left to read it.
    let _ = CURRENT.try_with(|current| {
        let current = &mut *current.borrow_mut();
        mem::swap(current, context);
        ATTEMPT.set(current.as_ref().map(|current| current.attempt));
    });
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::future::{Ready, ready};
    use std::panic::catch_unwind;
    use std::time::Duration;

    use tokio::task::yield_now;
    use tokio_test::assert_ready;

    use super::*;

    fn attempt(attempt: u32) -> Context {
        Context {
            attempt,
            ..Context::default()
        }
    }

    #[test]
    fn is_the_default_where_none_is_set() {
        assert_eq!(Context::current(), Context::default());
        assert!(Context::with(|context| context.is_none()));
    }

    #[test]
    fn is_seen_inside_and_gone_outside() {
        assert_eq!(attempt(2).enter(|| Context::current().attempt), 2);
        assert!(Context::with(|context| context.is_none()));
    }

    #[test]
    fn is_gone_after_a_panic() {
        let panicked = catch_unwind(|| attempt(2).enter(|| panic!("inside")));

        assert!(panicked.is_err());
        assert!(Context::with(|context| context.is_none()));
    }

    #[test]
    fn may_be_entered_while_another_is_read() {
        let inner = attempt(1).enter(|| {
            Context::with(|outer| {
                assert_eq!(outer.map(|outer| outer.attempt), Some(1));
                attempt(2).enter(|| Context::current().attempt)
            })
        });

        assert_eq!(inner, 2);
    }

    #[tokio::test]
    async fn stays_with_its_future_across_awaits() {
        let seen = |number| {
            attempt(number).scope(async {
                let before = Context::current().attempt;
                yield_now().await;
                (before, Context::current().attempt)
            })
        };

        assert_eq!(tokio::join!(seen(1), seen(2)), ((1, 1), (2, 2)));
    }

    /// The inner scope is made before the outer one is entered, as written here.
    #[tokio::test]
    async fn nested_scopes_merge() {
        let now = Instant::now();
        let (soon, late) = (now + Duration::from_secs(1), now + Duration::from_secs(9));
        let key = IdempotencyKey::new("outer").ok();
        let hops = Hops::arrived("orders".into(), None, now);
        let outer = Context {
            deadline: Some(soon),
            priority: Priority::High,
            attempt: 3,
            upstream_attempt: 2,
            idempotency_key: key.clone(),
            hops: Some(hops.clone()),
        };
        let inner = Context {
            deadline: Some(late),
            ..attempt(1)
        };

        let seen = outer.scope(inner.scope(async { Context::current() })).await;

        let merged = Context {
            deadline: Some(soon),
            priority: Priority::Normal,
            attempt: 1,
            upstream_attempt: 2,
            idempotency_key: key,
            hops: Some(hops),
        };
        assert_eq!(seen, merged);
    }

    fn until(deadline: Option<Instant>) -> Context {
        Context {
            deadline,
            ..attempt(2)
        }
    }

    const S: Duration = Duration::from_secs(1);

    #[test]
    fn what_remains_runs_out() {
        let now = Instant::now();

        assert_eq!(until(Some(now + S)).remaining(now), Some(S));
        assert_eq!(
            until(Some(now)).remaining(now + S / 5),
            Some(Duration::ZERO)
        );
        assert_eq!(until(None).remaining(now), None);
    }

    #[test]
    fn the_steps_of_a_chain_share_what_remains() {
        let now = Instant::now();
        let call = until(Some(now + 12 * S));

        for (steps_left, time) in [(4, 3 * S), (3, 4 * S), (1, 12 * S), (0, 12 * S)] {
            assert_eq!(call.share(steps_left, now), until(Some(now + time)));
        }
        assert_eq!(until(None).share(4, now), until(None));
    }

    #[test]
    fn of_nothing_that_remains_the_share_is_nothing() {
        let (deadline, now) = (Instant::now(), Instant::now() + S);

        let step = until(Some(deadline)).share(3, now);

        assert_eq!(step, until(Some(deadline)));
    }

    #[test]
    fn a_call_runs_in_it_from_the_first_line() {
        struct Sees;

        impl Service<()> for Sees {
            type Response = u32;
            type Error = Infallible;
            type Future = Ready<Result<u32, Infallible>>;

            fn poll_ready(&mut self, _: &mut task::Context<'_>) -> Poll<Result<(), Infallible>> {
                Poll::Ready(Ok(()))
            }

            fn call(&mut self, (): ()) -> Self::Future {
                ready(Ok(Context::current().attempt))
            }
        }

        let mut response = tokio_test::task::spawn(attempt(7).call(&mut Sees, ()));

        assert_eq!(assert_ready!(response.poll()), Ok(7));
    }

    #[test]
    fn an_unscoped_future_sees_what_there_is() {
        let seen = attempt(4).enter(|| {
            let mut future =
                tokio_test::task::spawn(Scoped::unscoped(async { Context::current().attempt }));
            assert_ready!(future.poll())
        });

        assert_eq!(seen, 4);
    }

    #[test]
    fn scopes_allocate_nothing() {
        let info = allocation_counter::measure(|| {
            let mut future = std::pin::pin!(attempt(1).scope(ready(())));
            assert!(
                future
                    .as_mut()
                    .poll(&mut task::Context::from_waker(task::Waker::noop()))
                    .is_ready()
            );
        });

        assert_eq!(info.count_total, 0);
    }

    #[test]
    fn the_most_important_sorts_first() {
        assert!(Priority::Critical < Priority::Normal);
        assert!(Priority::Normal < Priority::Background);
    }
}
