//! Tells the controller that something changed: once, until it has looked.

use std::{
    io,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread,
};

/// Rings on a thread of its own, so that whoever listens may take its time.
pub struct Bell {
    /// Whether the next change rings.
    armed: AtomicBool,
    ring: Mutex<Option<mpsc::Sender<()>>>,
}

impl Bell {
    pub fn start(listener: Box<dyn Fn() + Send>) -> io::Result<Self> {
        let (ring, rings) = mpsc::channel();
        thread::Builder::new().name("tradewind-changed".to_owned()).spawn(move || {
            while rings.recv().is_ok() {
                listener();
            }
        })?;
        Ok(Self { armed: AtomicBool::new(true), ring: Mutex::new(Some(ring)) })
    }

    /// Something changed.
    pub fn ring(&self) {
        if self.armed.swap(false, Ordering::SeqCst)
            && let Some(ring) = &*self.ring.lock().unwrap_or_else(PoisonError::into_inner)
        {
            let _ = ring.send(());
        }
    }

    /// The listener looks now: what changes from here on rings again.
    pub fn arm(&self) {
        self.armed.store(true, Ordering::SeqCst);
    }

    /// Never rings again.
    pub fn silence(&self) {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}
