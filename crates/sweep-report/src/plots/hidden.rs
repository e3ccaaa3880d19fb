//! Marks that a plot does not show, because of the declared limits or the spacing of its axes. They are counted, so
//! that no value disappears silently.

use crate::style::PlotStyle;

/// Numbers of marks that are not shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Hidden {
    /// Marks beyond the declared limits.
    outside: usize,
    /// Marks at values of 0 or less on a logarithmic axis.
    without_place: usize,
}

impl Hidden {
    /// Counts the hidden ones of these marks. Each is a pair of horizontal and vertical value.
    pub(super) fn of(style: &PlotStyle, marks: impl Iterator<Item = (f64, f64)>) -> Self {
        let mut hidden = Self::default();
        for (x, y) in marks {
            if !style.x.has_place(x) || !style.y.has_place(y) {
                hidden.without_place += 1;
            } else if !shows(style, (x, y)) {
                hidden.outside += 1;
            }
        }
        hidden
    }

    /// Returns the sentences for the caption; empty if every mark is shown.
    pub(super) fn caption(self) -> String {
        let values = |n: usize, one: &str, many: &str| if n == 1 { format!("1 {one}") } else { format!("{n} {many}") };
        let outside = values(self.outside, "value is", "values are");
        let without_place = values(self.without_place, "value of 0 or less is", "values of 0 or less are");
        let mut caption = String::new();
        if self.outside > 0 {
            caption += &format!(" {outside} outside the declared limits of the axes.");
        }
        if self.without_place > 0 {
            caption += &format!(" {without_place} not shown: a logarithmic axis has no place for them.");
        }
        caption
    }
}

/// Whether a plot shows a mark with this horizontal and vertical value.
pub(super) fn shows(style: &PlotStyle, (x, y): (f64, f64)) -> bool {
    style.x.shows(x) && style.y.shows(y)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::style::AxisStyle;

    #[test]
    fn hidden_values_are_counted_by_their_cause() {
        let y = AxisStyle { log: true, min: None, max: Some(10.0) };
        let style = PlotStyle { y, ..PlotStyle::default() };
        let hidden = Hidden::of(&style, [(1.0, 5.0), (1.0, 11.0), (1.0, 0.0), (1.0, -3.0)].into_iter());
        assert_eq!(
            hidden.caption(),
            " 1 value is outside the declared limits of the axes. 2 values of 0 or less are not shown: a logarithmic \
             axis has no place for them."
        );
        assert_eq!(Hidden::of(&PlotStyle::default(), [(-1.0, 0.0)].into_iter()).caption(), "");
    }
}
