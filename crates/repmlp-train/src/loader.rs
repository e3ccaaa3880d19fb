//! Threads that make batches while the network works on earlier ones.
//!
//! The number of threads does not change the batches: thread k mod n makes batch k, and the consumer takes from the
//! threads in turn. A thread that fails is an error of the run. Dropping the loader ends its threads and waits for
//! them.

use std::ops::Range;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use crate::data::DataError;

/// Maximum number of threads of a loader. Each thread holds up to two ready batches and makes one more.
const MOST_THREADS: usize = 8;

/// Ready batches in the queue of a thread.
const READY: usize = 1;

/// Makes a range of batches and returns them in order.
pub(crate) struct Loader<B> {
    workers: Vec<Worker<B>>,
    /// Number of batches already taken.
    taken: usize,
    /// Total number of batches.
    count: usize,
}

struct Worker<B> {
    ready: Option<Receiver<Result<B, DataError>>>,
    thread: Option<JoinHandle<()>>,
}

impl<B: Send + 'static> Loader<B> {
    /// Starts threads that make the batches of `range`.
    ///
    /// # Errors
    /// When the operating system cannot start a thread.
    pub(crate) fn new(
        range: Range<usize>,
        threads: usize,
        make: impl Fn(usize) -> Result<B, DataError> + Send + Sync + 'static,
    ) -> Result<Self, DataError> {
        let threads = threads.clamp(1, MOST_THREADS).min(range.len());
        let make = Arc::new(make);
        let mut loader = Self { workers: Vec::with_capacity(threads), taken: 0, count: range.len() };
        for first in 0..threads {
            let (sender, ready) = sync_channel(READY);
            let (make, own) = (Arc::clone(&make), range.clone().skip(first).step_by(threads));
            let thread = std::thread::Builder::new()
                .name(format!("loader {first}"))
                .spawn(move || work(own, &*make, &sender))
                .map_err(|fault| DataError::Loader { message: format!("it could not be started: {fault}") })?;
            loader.workers.push(Worker { ready: Some(ready), thread: Some(thread) });
        }
        Ok(loader)
    }
}

/// Makes batches until all are made, one fails, or the receiver is gone.
fn work<B>(
    batches: impl Iterator<Item = usize>,
    make: &impl Fn(usize) -> Result<B, DataError>,
    sender: &SyncSender<Result<B, DataError>>,
) {
    for index in batches {
        let batch = make(index);
        let failed = batch.is_err();
        if sender.send(batch).is_err() || failed {
            return;
        }
    }
}

impl<B> Iterator for Loader<B> {
    type Item = Result<B, DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.taken == self.count {
            return None;
        }
        let turn = self.taken % self.workers.len();
        self.taken += 1;
        let worker = &mut self.workers[turn];
        let batch = worker.ready.as_ref()?.recv();
        let batch = batch.unwrap_or_else(|_| Err(worker.breakdown()));
        if batch.is_err() {
            self.count = self.taken;
        }
        Some(batch)
    }
}

impl<B> Worker<B> {
    /// Returns the reason why a thread ended early.
    fn breakdown(&mut self) -> DataError {
        match self.thread.take().map(JoinHandle::join) {
            Some(Err(panic)) => DataError::loader(&*panic),
            _ => DataError::Loader { message: "it ended early".to_owned() },
        }
    }
}

impl<B> Drop for Loader<B> {
    fn drop(&mut self) {
        // Without a receiver, every thread ends after its current batch.
        for worker in &mut self.workers {
            worker.ready = None;
        }
        for worker in &mut self.workers {
            // A panic is ignored here: the batch of that thread is not needed.
            drop(worker.thread.take().map(JoinHandle::join));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn batches_come_in_order_with_any_number_of_threads() {
        for threads in [0, 1, 2, 3, 50] {
            let loader = Loader::new(3..11, threads, |index| Ok(index * index)).unwrap();
            let batches: Vec<usize> = loader.map(Result::unwrap).collect();
            assert_eq!(batches, [9, 16, 25, 36, 49, 64, 81, 100], "{threads} threads");
        }
        assert_eq!(Loader::new(4..4, 2, Ok).unwrap().count(), 0);
    }

    #[test]
    fn an_error_and_a_panic_end_the_batches() {
        let fault = |index: usize| match index {
            2 => Err(DataError::Loader { message: "told".to_owned() }),
            index => Ok(index),
        };
        for threads in [1, 2, 3] {
            let mut loader = Loader::new(0..6, threads, fault).unwrap();
            assert_eq!([loader.next().unwrap().unwrap(), loader.next().unwrap().unwrap()], [0, 1]);
            assert_eq!(loader.next().unwrap().unwrap_err().to_string(), "a loader thread failed: told");
            assert!(loader.next().is_none());

            let broken = |index: usize| if index == 1 { panic!("image {index}") } else { Ok(index) };
            let mut loader = Loader::new(0..6, threads, broken).unwrap();
            assert_eq!(loader.next().unwrap().unwrap(), 0);
            assert_eq!(loader.next().unwrap().unwrap_err().to_string(), "a loader thread failed: image 1");
            assert!(loader.next().is_none());
        }
    }

    #[test]
    fn few_batches_are_made_ahead_and_no_thread_outlives_its_loader() {
        let made = Arc::new(AtomicUsize::new(0));
        let last = Arc::new(Mutex::new(()));
        let (count, held) = (Arc::clone(&made), Arc::clone(&last));
        let make = move |index| {
            drop(held.lock());
            count.fetch_add(1, Ordering::SeqCst);
            Ok(index)
        };
        let mut loader = Loader::new(0..1000, 2, make).unwrap();
        assert_eq!(loader.next().unwrap().unwrap(), 0);
        drop(loader);
        // One batch was taken. Each of the two threads may have one batch in its queue and two more that were never
        // sent.
        assert!(made.load(Ordering::SeqCst) <= 1 + 2 * 3, "{made:?}");
        assert_eq!(Arc::strong_count(&last), 1, "threads are gone, and what they held");
    }
}
