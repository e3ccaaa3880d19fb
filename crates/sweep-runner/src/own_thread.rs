//! Runs an attempt on a thread of its own. An attempt often waits for the disk, since what it writes is synced. On a
//! common thread it would keep the other attempts waiting too.

use std::thread;

use tokio::runtime::Handle;
use tokio::sync::oneshot;

/// Carries out the work on a thread of its own. If the system gives no thread, it is carried out here.
///
/// Timers, pipes and child processes remain those of the calling runtime, which must be running meanwhile.
pub(crate) async fn on_own_thread<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> T {
    let (orders, ordered) = oneshot::channel();
    let (mut done, result) = oneshot::channel();
    let runtime = Handle::current();
    let carry_out = move || {
        let Ok(work) = ordered.blocking_recv() else { return };
        // If the caller is dropped, the work is dropped too, as on a common thread.
        let carried_out = async {
            tokio::select! {
                value = work => Some(value),
                () = done.closed() => None,
            }
        };
        if let Some(value) = runtime.block_on(carried_out) {
            drop(done.send(value));
        }
    };
    let work = match thread::Builder::new().name("attempt".to_owned()).spawn(carry_out) {
        Ok(_) => match orders.send(work) {
            Ok(()) => return result.await.expect("an attempt's thread does not panic"),
            Err(work) => work,
        },
        Err(_) => work,
    };
    work.await
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn work_that_blocks_does_not_delay_the_rest() {
        let (sender, receiver) = std::sync::mpsc::channel();
        let blocked = on_own_thread(async move {
            tokio::time::sleep(Duration::from_millis(1)).await;
            receiver.recv().unwrap()
        });
        let other = async {
            tokio::time::sleep(Duration::from_millis(2)).await;
            sender.send(7).unwrap();
        };
        assert_eq!(tokio::join!(blocked, other).0, 7);
    }

    #[tokio::test]
    async fn work_is_dropped_with_its_caller() {
        let (sender, receiver) = oneshot::channel::<()>();
        let (begun, has_begun) = oneshot::channel();
        let work = async move {
            let _kept = sender;
            begun.send(()).unwrap();
            std::future::pending::<()>().await;
        };
        let caller = tokio::spawn(on_own_thread(work));
        has_begun.await.unwrap();
        caller.abort();
        assert!(receiver.await.is_err(), "what the work holds is given back");
    }
}
