//! Places labels next to dots, so that no label covers a dot or another label.
//!
//! The method is greedy: each label takes the first free of a few places. If none is free, it takes the place with the
//! least overlap.

use super::picture::Point;

/// A rectangle parallel to the axes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Area {
    pub(super) left: f64,
    pub(super) top: f64,
    pub(super) right: f64,
    pub(super) bottom: f64,
}

impl Area {
    /// Returns the square around a point.
    pub(super) fn around(center: Point, radius: f64) -> Self {
        let Point { x, y } = center;
        Self { left: x - radius, top: y - radius, right: x + radius, bottom: y + radius }
    }

    fn overlap(&self, other: &Self) -> f64 {
        let width = self.right.min(other.right) - self.left.max(other.left);
        let height = self.bottom.min(other.bottom) - self.top.max(other.top);
        width.max(0.0) * height.max(0.0)
    }

    fn size(&self) -> f64 {
        (self.right - self.left) * (self.bottom - self.top)
    }
}

/// Distance from a dot's centre to its label.
const REACH: f64 = 8.0;

/// Returns the rectangle of each label. `sizes` has the width and height of the label for the dot with the same index.
/// `marks` are further areas that labels must not cover.
pub(super) fn place(dots: &[Point], sizes: &[(f64, f64)], marks: &[Area], within: Area) -> Vec<Area> {
    let around_dots = dots.iter().map(|dot| Area::around(*dot, REACH - 1.0));
    let mut taken: Vec<Area> = around_dots.chain(marks.iter().copied()).collect();
    let mut places = Vec::new();
    for (dot, (width, height)) in dots.iter().zip(sizes) {
        let at = |x: f64, y: f64| Area { left: x, top: y, right: x + width, bottom: y + height };
        let (left, middle, right) = (dot.x - REACH - width, dot.x - width / 2.0, dot.x + REACH);
        let (above, level, below) = (dot.y - REACH - height, dot.y - height / 2.0, dot.y + REACH);
        let candidates = [
            at(right, level),
            at(middle, above),
            at(left, level),
            at(middle, below),
            at(right, above),
            at(left, above),
            at(right, below),
            at(left, below),
        ];
        let outside = |area: &Area| area.size() - area.overlap(&within);
        let cost = |area: &Area| outside(area) + taken.iter().map(|other| area.overlap(other)).sum::<f64>();
        // `min_by` returns the first of equal candidates, so free places are tried in the order above.
        let best = candidates.into_iter().min_by(|a, b| cost(a).total_cmp(&cost(b))).unwrap_or(candidates[0]);
        taken.push(best);
        places.push(best);
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_of_near_dots_do_not_overlap_and_stay_inside() {
        let within = Area { left: 0.0, top: 0.0, right: 200.0, bottom: 100.0 };
        let dots = [Point { x: 190.0, y: 50.0 }, Point { x: 185.0, y: 60.0 }, Point { x: 100.0, y: 2.0 }];
        let places = place(&dots, &[(30.0, 10.0); 3], &[], within);
        for (i, a) in places.iter().enumerate() {
            assert!((a.overlap(&within) - a.size()).abs() < 1e-9, "{a:?}");
            assert!(places[..i].iter().all(|b| a.overlap(b) < 1e-9));
        }
    }
}
