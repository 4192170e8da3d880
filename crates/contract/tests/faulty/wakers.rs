use std::sync::{Arc, Mutex};
use std::task::{Wake, Waker};

/// Wakes only the one that asked last.
#[derive(Debug, Default)]
pub(crate) struct SharedWaker(Mutex<Option<Waker>>);

impl SharedWaker {
    pub(crate) fn for_last(self: &Arc<Self>, waker: &Waker) -> Waker {
        *self.0.lock().expect("no panic holds it") = Some(waker.clone());
        Waker::from(Arc::clone(self))
    }
}

impl Wake for SharedWaker {
    fn wake(self: Arc<Self>) {
        if let Some(waker) = self.0.lock().expect("no panic holds it").take() {
            waker.wake();
        }
    }
}
