//! The parts of a line that are inside a rectangle.

use super::picture::Point;
use super::placement::Area;

/// Returns the parts of a line inside an area. A line that is inside it is returned as it is.
pub(super) fn clipped(points: &[Point], area: &Area) -> Vec<Vec<Point>> {
    if points.iter().all(|point| contains(area, *point)) {
        return vec![points.to_vec()];
    }
    let mut parts: Vec<Vec<Point>> = Vec::new();
    for (from, to) in points.iter().zip(points.iter().skip(1)) {
        let Some((start, end)) = segment_inside((*from, *to), area) else { continue };
        match parts.last_mut() {
            Some(part) if part.last() == Some(&start) => part.push(end),
            _ => parts.push(vec![start, end]),
        }
    }
    parts
}

fn contains(area: &Area, point: Point) -> bool {
    (area.left..=area.right).contains(&point.x) && (area.top..=area.bottom).contains(&point.y)
}

/// Returns the ends of the part of a segment that is inside an area (Liang and Barsky, 1984).
fn segment_inside((from, to): (Point, Point), area: &Area) -> Option<(Point, Point)> {
    let (dx, dy) = (to.x - from.x, to.y - from.y);
    // Shares of the segment, from 0 at its start to 1 at its end.
    let (mut enters, mut leaves) = (0.0_f64, 1.0_f64);
    let sides =
        [(-dx, from.x - area.left), (dx, area.right - from.x), (-dy, from.y - area.top), (dy, area.bottom - from.y)];
    for (speed, distance) in sides {
        if speed < 0.0 {
            enters = enters.max(distance / speed);
        } else if speed > 0.0 {
            leaves = leaves.min(distance / speed);
        } else if distance < 0.0 {
            return None;
        }
    }
    let at = |share: f64| Point { x: from.x + share * dx, y: from.y + share * dy };
    // Ends inside the area stay exactly where they are, so that segments still meet.
    let start = if enters > 0.0 { at(enters) } else { from };
    let end = if leaves < 1.0 { at(leaves) } else { to };
    (enters <= leaves).then_some((start, end))
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::{prop_assert, proptest};

    use super::*;

    const AREA: Area = Area { left: 0.0, top: 0.0, right: 10.0, bottom: 5.0 };

    fn at(x: f64, y: f64) -> Point {
        Point { x, y }
    }

    #[test]
    fn a_line_that_leaves_and_returns_has_two_parts() {
        let line = [at(1.0, 1.0), at(1.0, 9.0), at(5.0, 9.0), at(5.0, 1.0)];
        let parts = clipped(&line, &AREA);
        assert_eq!(parts, [vec![at(1.0, 1.0), at(1.0, 5.0)], vec![at(5.0, 5.0), at(5.0, 1.0)]]);
        let within = [at(1.0, 1.0), at(2.0, 2.0), at(3.0, 1.0)];
        assert_eq!(clipped(&within, &AREA), [within.to_vec()]);
        assert!(clipped(&[at(11.0, 0.0), at(12.0, 3.0)], &AREA).is_empty());
        assert!(clipped(&[at(11.0, 0.0)], &AREA).is_empty());
    }

    proptest! {
        #[test]
        fn parts_are_inside(line in vec((-20.0..30.0_f64, -9.0..14.0_f64), 1..9)) {
            let line: Vec<Point> = line.into_iter().map(|(x, y)| at(x, y)).collect();
            let wide = Area { left: -1e-9, top: -1e-9, right: 10.0 + 1e-9, bottom: 5.0 + 1e-9 };
            for point in clipped(&line, &AREA).into_iter().flatten() {
                prop_assert!(contains(&wide, point), "{point:?}");
            }
        }
    }
}
