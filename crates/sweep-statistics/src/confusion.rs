//! What a classifier confuses: how many images of each class it takes for each class, and the averages over classes.

/// Counts of images by their class and by the class that was predicted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Confusion {
    /// One row for each true class, with one count for each predicted class.
    counts: Vec<Vec<usize>>,
}

impl Confusion {
    /// Counts pairs of a true and a predicted class. Returns `None` without images, or if a class is not below
    /// `classes`.
    pub fn of(classes: usize, pairs: impl IntoIterator<Item = (usize, usize)>) -> Option<Self> {
        let mut counts = vec![vec![0; classes]; classes];
        let mut images = 0_usize;
        for (truth, predicted) in pairs {
            *counts.get_mut(truth)?.get_mut(predicted)? += 1;
            images += 1;
        }
        (images > 0).then_some(Self { counts })
    }

    /// Returns the counts: one row for each true class, with one count for each predicted class.
    pub fn counts(&self) -> &[Vec<usize>] {
        &self.counts
    }

    /// Returns the number of images of a class.
    pub fn images(&self, class: usize) -> usize {
        self.counts.get(class).map_or(0, |row| row.iter().sum())
    }

    /// Returns the number of images that were taken for a class.
    fn predicted(&self, class: usize) -> usize {
        self.counts.iter().filter_map(|row| row.get(class)).sum()
    }

    fn right(&self, class: usize) -> usize {
        self.counts.get(class).and_then(|row| row.get(class)).copied().unwrap_or(0)
    }

    /// Returns the share of the images of a class that were classified correctly; `None` if there are no such images.
    /// scikit-learn: `recall_score(average=None)`.
    pub fn recall(&self, class: usize) -> Option<f64> {
        let images = self.images(class);
        (images > 0).then(|| self.right(class) as f64 / images as f64)
    }

    /// Returns the mean of the recalls of all classes that occur. scikit-learn: `balanced_accuracy_score`.
    pub fn balanced_accuracy(&self) -> Option<f64> {
        mean((0..self.counts.len()).filter_map(|class| self.recall(class)))
    }

    /// Returns the F1 score of a class: the harmonic mean of recall and precision. `None` if the class neither occurs
    /// nor was predicted.
    pub fn f1(&self, class: usize) -> Option<f64> {
        let both = self.images(class) + self.predicted(class);
        (both > 0).then(|| 2.0 * self.right(class) as f64 / both as f64)
    }

    /// Returns the mean F1 score of all classes that occur or were predicted. scikit-learn:
    /// `f1_score(average="macro", zero_division=0)`.
    pub fn macro_f1(&self) -> Option<f64> {
        mean((0..self.counts.len()).filter_map(|class| self.f1(class)))
    }
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, n) = values.fold((0.0, 0_usize), |(sum, n), value| (sum + value, n + 1));
    (n > 0).then(|| sum / n as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(found: Option<f64>, expected: f64) -> bool {
        found.is_some_and(|found| (found - expected).abs() < 1e-12)
    }

    #[test]
    fn averages_over_classes_match_scikit_learn() {
        let truth = [0, 0, 0, 0, 1, 1, 2, 2, 2, 4];
        let predicted = [0, 0, 1, 2, 1, 1, 2, 0, 2, 3];
        let found = Confusion::of(5, truth.into_iter().zip(predicted)).unwrap();
        // scikit-learn 1.7: balanced_accuracy_score, f1_score(average="macro"), recall_score(average=None)
        assert!(close(found.balanced_accuracy(), 0.541_666_666_666_666_6), "{found:?}");
        assert!(close(found.macro_f1(), 0.407_619_047_619_047_6), "{found:?}");
        let recalls: Vec<Option<f64>> = (0..5).map(|class| found.recall(class)).collect();
        assert_eq!(recalls, [Some(0.5), Some(1.0), Some(2.0 / 3.0), None, Some(0.0)]);
        assert_eq!(found.counts()[0], [2, 1, 1, 0, 0]);
        assert_eq!((found.images(0), found.f1(3)), (4, Some(0.0)));
    }

    #[test]
    fn nothing_is_counted_for_classes_that_do_not_exist() {
        assert_eq!(Confusion::of(2, [(0, 2)]), None);
        assert_eq!(Confusion::of(2, [(2, 0)]), None);
        assert_eq!(Confusion::of(3, []), None);
        let wrong = Confusion::of(2, [(0, 1), (1, 0)]).unwrap();
        assert!(close(wrong.balanced_accuracy(), 0.0) && close(wrong.macro_f1(), 0.0));
        assert_eq!((wrong.recall(9), wrong.images(9)), (None, 0));
    }
}
