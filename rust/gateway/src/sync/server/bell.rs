//! Tells the controller that something changed: once, until it has looked, and not again at once.

use std::{
    io,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

/// From one look of the listener to the next ring. Whoever changes all the time keeps nobody busy.
const PAUSE: Duration = Duration::from_millis(5);

/// Rings on a thread of its own, so that whoever listens may take its time.
pub struct Bell(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    /// Since when a change may ring; `None` while the listener has not looked.
    armed: Option<Instant>,
    /// When it rings next.
    due: Option<Instant>,
    silent: bool,
}

impl Bell {
    pub fn start(listener: Box<dyn Fn() + Send>) -> io::Result<Self> {
        let state = State { armed: Some(Instant::now()), due: None, silent: false };
        let shared = Arc::new(Shared { state: Mutex::new(state), changed: Condvar::new() });
        let rings = Arc::clone(&shared);
        thread::Builder::new().name("tradewind-changed".to_owned()).spawn(move || {
            while rings.wait() {
                listener();
            }
        })?;
        Ok(Self(shared))
    }

    /// Something changed.
    pub fn ring(&self) {
        self.ring_at(Instant::now());
    }

    /// Something changed that may be told later.
    pub fn ring_at(&self, at: Instant) {
        let mut state = self.0.lock();
        // Who has not looked yet will see it.
        let Some(armed) = state.armed else { return };
        let at = at.max(armed);
        state.due = Some(state.due.map_or(at, |due| due.min(at)));
        self.0.changed.notify_one();
    }

    /// The listener looks now: what changes from here on rings again.
    pub fn arm(&self) {
        let mut state = self.0.lock();
        state.armed = Some(Instant::now() + PAUSE);
        // What has changed until now is seen by this look.
        state.due = None;
    }

    /// Never rings again.
    pub fn silence(&self) {
        self.0.lock().silent = true;
        self.0.changed.notify_one();
    }
}

impl Drop for Bell {
    fn drop(&mut self) {
        self.silence();
    }
}

impl Shared {
    /// Waits until it rings; `false` where it never will again.
    fn wait(&self) -> bool {
        let mut state = self.lock();
        loop {
            if state.silent {
                return false;
            }
            let now = Instant::now();
            match state.due {
                Some(due) if due <= now => {
                    (state.due, state.armed) = (None, None);
                    return true;
                }
                Some(due) => state = self.changed.wait_timeout(state, due - now).unwrap_or_else(PoisonError::into_inner).0,
                None => state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn it_rings_once_for_each_look_and_not_at_once_after_it() {
        let (rings, rung) = mpsc::channel();
        let bell = Bell::start(Box::new(move || rings.send(Instant::now()).unwrap_or_default())).unwrap();
        bell.ring();
        rung.recv_timeout(Duration::from_secs(5)).unwrap();
        bell.ring();
        assert!(rung.try_recv().is_err(), "nobody has looked");
        for _ in 0..3 {
            let looked = Instant::now();
            bell.arm();
            (0..1000).for_each(|_| bell.ring());
            assert!(rung.recv_timeout(Duration::from_secs(5)).unwrap() - looked >= PAUSE, "too soon");
            assert!(rung.try_recv().is_err());
        }
        bell.arm();
        let later = Instant::now() + 4 * PAUSE;
        bell.ring_at(later);
        assert!(rung.recv_timeout(Duration::from_secs(5)).unwrap() >= later, "what may wait is told, later");
    }
}
