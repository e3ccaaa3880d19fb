//! Affine transforms of an image. Each output pixel is read from its source position.

use crate::data::Image;

/// Maps a position (x, y) of the output to its source position.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Warp {
    /// Source x = `x[0]`·x + `x[1]`·y + `x[2]`; likewise source y.
    x: [f64; 3],
    y: [f64; 3],
}

impl Warp {
    /// Shifts rows to the left, each row by `slope` more than the row above.
    pub(crate) fn shear_x(slope: f64) -> Self {
        Self { x: [1.0, slope, 0.0], y: [0.0, 1.0, 0.0] }
    }

    /// Rotates counterclockwise around the middle of an image of `height` x `width`.
    pub(crate) fn rotation(degrees: f64, (height, width): (usize, usize)) -> Self {
        let (sin, cos) = degrees.to_radians().sin_cos();
        let (x0, y0) = (width as f64 / 2.0, height as f64 / 2.0);
        Self { x: [cos, -sin, x0 - cos * x0 + sin * y0], y: [sin, cos, y0 - sin * x0 - cos * y0] }
    }

    /// Returns the source of an output position. Positions are in pixels from the corner; pixel centres are at half
    /// numbers.
    pub(crate) fn source(self, (x, y): (f64, f64)) -> (f64, f64) {
        let at = |row: [f64; 3]| row[0] * x + row[1] * y + row[2];
        (at(self.x), at(self.y))
    }

    /// Transforms the image with nearest-neighbour sampling. Pixels from outside are black.
    pub(crate) fn nearest(self, image: &Image) -> Image {
        let (height, width) = (image.height, image.width);
        image.map_planes((height, width), |plane, pixels| {
            for y in 0..height {
                for x in 0..width {
                    let (x, y) = self.source((x as f64 + 0.5, y as f64 + 0.5));
                    let inside = x >= 0.0 && y >= 0.0 && x < width as f64 && y < height as f64;
                    pixels.push(if inside { plane[y as usize * width + x as usize] } else { 0 });
                }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(height: usize, width: usize) -> Image {
        Image { channels: 1, height, width, pixels: (1..=(height * width) as u8).collect() }
    }

    #[test]
    fn a_quarter_turn_is_counterclockwise() {
        assert_eq!(Warp::rotation(90.0, (2, 2)).nearest(&image(2, 2)).pixels, [2, 4, 1, 3]);
        assert_eq!(Warp::rotation(180.0, (2, 3)).nearest(&image(2, 3)).pixels, [6, 5, 4, 3, 2, 1]);
    }

    #[test]
    fn a_shear_moves_rows_to_the_left_from_the_top_down() {
        assert_eq!(Warp::shear_x(1.0).nearest(&image(2, 3)).pixels, [2, 3, 0, 6, 0, 0]);
        assert_eq!(Warp::shear_x(0.4).nearest(&image(3, 2)).pixels, [1, 2, 4, 0, 6, 0]);
    }
}
