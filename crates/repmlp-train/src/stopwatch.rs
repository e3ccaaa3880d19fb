//! Measures wall times of repeated work. Several works take turns (A B A B …), so a change in machine speed affects all
//! of them. This module does not know what the work is.

use std::time::Instant;

/// Number of repetitions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Effort {
    /// Rounds before the timing starts.
    pub warmup: usize,
    /// Timed rounds.
    pub repeats: usize,
}

/// Returns the seconds of each timed round of each work.
///
/// # Errors
/// When a work fails.
pub(crate) fn in_turns<E>(effort: Effort, works: &[&dyn Fn() -> Result<(), E>]) -> Result<Vec<Vec<f64>>, E> {
    let mut times = vec![Vec::new(); works.len()];
    for round in 0..effort.warmup + effort.repeats {
        for (times, work) in times.iter_mut().zip(works) {
            let start = Instant::now();
            work()?;
            if round >= effort.warmup {
                times.push(start.elapsed().as_secs_f64());
            }
        }
    }
    Ok(times)
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    #[test]
    fn works_take_turns_and_the_warm_up_is_not_counted() {
        let done = RefCell::new(String::new());
        let work = |letter: char| -> Result<(), &'static str> {
            done.borrow_mut().push(letter);
            Ok(())
        };
        let works: [&dyn Fn() -> Result<(), &'static str>; 2] = [&|| work('a'), &|| work('b')];
        let times = in_turns(Effort { warmup: 1, repeats: 2 }, &works).unwrap();
        assert_eq!(times.iter().map(Vec::len).collect::<Vec<_>>(), [2, 2]);
        assert_eq!(in_turns(Effort { warmup: 0, repeats: 1 }, &[&|| Err("no")]), Err("no"));
        assert_eq!(*done.borrow(), "ababab");
    }
}
