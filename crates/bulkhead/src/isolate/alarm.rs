use std::pin::pin;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::task::{Context, Wake, Waker};

/// Drives `future` to its end on this thread.
///
/// The `block_on` of a runtime would enter the runtime: then what the future calls could not block on
/// another, as clients do that block.
pub(super) fn drive(future: impl Future<Output = ()>) {
    let alarm = Arc::new(Alarm::default());
    let waker = Waker::from(Arc::clone(&alarm));
    let mut future = pin!(future);
    while future
        .as_mut()
        .poll(&mut Context::from_waker(&waker))
        .is_pending()
    {
        alarm.wait();
    }
}

/// Wakes a thread. Parking would not do: what the thread does besides may park, too.
#[derive(Debug, Default)]
struct Alarm {
    has_rung: Mutex<bool>,
    bell: Condvar,
}

impl Alarm {
    fn wait(&self) {
        let mut has_rung = self.has_rung.lock().unwrap_or_else(PoisonError::into_inner);
        while !*has_rung {
            has_rung = self
                .bell
                .wait(has_rung)
                .unwrap_or_else(PoisonError::into_inner);
        }
        *has_rung = false;
    }
}

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        *self.has_rung.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.bell.notify_one();
    }
}
