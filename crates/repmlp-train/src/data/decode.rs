//! JPEG and PNG files as images and masks.
//!
//! Formats are told apart by their first bytes, since ImageNet has a PNG that is called JPEG. The JPEG decoder runs without
//! its processor-specific paths: a file then gives the same pixels on every machine.

use std::fmt::Display;
use std::io::Cursor;

use png::{BitDepth, ColorType, Transformations};
use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use crate::data::image::{Image, Mask};

/// Bytes that are no such image.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Undecodable {
    pub(crate) expected: &'static str,
    pub(crate) found: String,
}

impl Undecodable {
    fn new(expected: &'static str, found: &dyn Display) -> Self {
        Self { expected, found: found.to_string() }
    }
}

enum Format {
    Jpeg,
    Png,
}

fn format_of(bytes: &[u8]) -> Result<Format, Undecodable> {
    match bytes {
        [0xff, 0xd8, 0xff, ..] => Ok(Format::Jpeg),
        [0x89, b'P', b'N', b'G', ..] => Ok(Format::Png),
        _ => Err(Undecodable::new("a JPEG or PNG file", &format!("{} other bytes", bytes.len()))),
    }
}

/// Height and width, from the header alone; a JPEG must have an end too.
pub(crate) fn size(bytes: &[u8]) -> Result<(usize, usize), Undecodable> {
    match format_of(bytes)? {
        Format::Jpeg => {
            let decoder = jpeg_header(bytes, ColorSpace::RGB)?;
            let (width, height) = decoder.dimensions().ok_or_else(|| Undecodable::new("a JPEG header", &"none"))?;
            Ok((height, width))
        }
        Format::Png => {
            let mut decoder = png::Decoder::new(Cursor::new(bytes));
            let info = decoder.read_header_info().map_err(|e| Undecodable::new("a PNG header", &e))?;
            Ok((info.height as usize, info.width as usize))
        }
    }
}

/// The image with 1 or 3 `channels`, whatever colours the file has.
pub(crate) fn image(bytes: &[u8], channels: usize) -> Result<Image, Undecodable> {
    let decoded = match format_of(bytes)? {
        Format::Jpeg => jpeg(bytes)?,
        Format::Png => png(bytes)?,
    };
    Ok(match (channels, decoded.channels) {
        (1, 3) => grey_of(&decoded),
        (3, 1) => Image { channels: 3, pixels: decoded.pixels.repeat(3), ..decoded },
        _ => decoded,
    })
}

/// Bytes as they are: the ids of an 8-bit grey or indexed PNG.
pub(crate) fn mask(bytes: &[u8]) -> Result<Mask, Undecodable> {
    let (info, bytes) = png_bytes(bytes, Transformations::IDENTITY)?;
    match (info.color_type, info.bit_depth) {
        (ColorType::Grayscale | ColorType::Indexed, BitDepth::Eight) => {
            Ok(Mask { height: info.height as usize, width: info.width as usize, ids: bytes })
        }
        other => Err(Undecodable::new("an 8-bit grey or indexed PNG of class ids", &format!("{other:?}"))),
    }
}

fn jpeg_header(bytes: &[u8], color: ColorSpace) -> Result<JpegDecoder<ZCursor<&[u8]>>, Undecodable> {
    // The decoder fills what is missing with grey. After the last start of a scan, data cannot contain 0xff 0xd9 but at
    // its end.
    let ends = bytes.windows(2).rev().find(|pair| matches!(pair, [0xff, 0xd9 | 0xda]));
    if ends != Some(&[0xff, 0xd9]) {
        return Err(Undecodable::new("a JPEG with an end", &format!("{} bytes without one", bytes.len())));
    }
    let options = DecoderOptions::default().jpeg_set_out_colorspace(color);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), options);
    decoder.decode_headers().map_err(|e| Undecodable::new("a JPEG header", &e))?;
    Ok(decoder)
}

fn jpeg(bytes: &[u8]) -> Result<Image, Undecodable> {
    let grey = jpeg_header(bytes, ColorSpace::RGB)?.input_colorspace() == Some(ColorSpace::Luma);
    let (color, channels) = if grey { (ColorSpace::Luma, 1) } else { (ColorSpace::RGB, 3) };
    let mut decoder = jpeg_header(bytes, color)?;
    let interleaved = decoder.decode().map_err(|e| Undecodable::new("a whole JPEG", &e))?;
    let (width, height) = decoder.dimensions().ok_or_else(|| Undecodable::new("a JPEG header", &"none"))?;
    Ok(planar(&interleaved, (height, width), (channels, channels)))
}

fn png_bytes(bytes: &[u8], transformations: Transformations) -> Result<(png::OutputInfo, Vec<u8>), Undecodable> {
    let fault = |e: &dyn Display| Undecodable::new("a whole PNG", e);
    let mut decoder = png::Decoder::new(Cursor::new(bytes));
    decoder.set_transformations(transformations);
    let mut reader = decoder.read_info().map_err(|e| fault(&e))?;
    let mut pixels = vec![0; reader.output_buffer_size().ok_or_else(|| fault(&"a size beyond memory"))?];
    let info = reader.next_frame(&mut pixels).map_err(|e| fault(&e))?;
    pixels.truncate(info.buffer_size());
    Ok((info, pixels))
}

fn png(bytes: &[u8]) -> Result<Image, Undecodable> {
    let (info, interleaved) = png_bytes(bytes, Transformations::EXPAND | Transformations::STRIP_16)?;
    let stride = info.color_type.samples();
    // What lies behind the colours is transparency.
    let channels = if stride < 3 { 1 } else { 3 };
    Ok(planar(&interleaved, (info.height as usize, info.width as usize), (channels, stride)))
}

/// The first `channels` of every `stride` bytes, a plane each.
fn planar(interleaved: &[u8], (height, width): (usize, usize), (channels, stride): (usize, usize)) -> Image {
    let plane = |channel: usize| interleaved.iter().skip(channel).step_by(stride).copied();
    let pixels = (0..channels).flat_map(plane).collect();
    Image { channels, height, width, pixels }
}

fn grey_of(image: &Image) -> Image {
    let plane = image.height * image.width;
    let pixels = (0..plane).map(|i| luma([0, 1, 2].map(|channel| image.pixels[channel * plane + i]))).collect();
    Image { channels: 1, pixels, ..*image }
}

/// Brightness of a colour by ITU-R 601, in the integers that Pillow uses.
pub(crate) fn luma([red, green, blue]: [u8; 3]) -> u8 {
    ((u32::from(red) * 19_595 + u32::from(green) * 38_470 + u32::from(blue) * 7_471 + 0x8000) >> 16) as u8
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::fixture::{png_of, tiny_jpeg};

    #[test]
    fn a_png_keeps_its_pixels_and_grey_becomes_three_channels() {
        let bytes = png_of((1, 2), 3, &[1, 2, 3, 40, 50, 60]);
        assert_eq!(size(&bytes).unwrap(), (1, 2));
        let color = image(&bytes, 3).unwrap();
        assert_eq!(color.pixels, [1, 40, 2, 50, 3, 60]);
        // (19595·1 + 38470·2 + 7471·3 + 32768) / 65536 = 2.3 and (… 40, 50, 60 …) = 48.65: floors.
        assert_eq!(image(&bytes, 1).unwrap().pixels, [2, 48]);
        let grey = image(&png_of((2, 1), 1, &[7, 9]), 3).unwrap();
        assert_eq!((grey.channels, grey.pixels), (3, vec![7, 9, 7, 9, 7, 9]));
    }

    #[test]
    fn a_jpeg_is_read_and_its_damage_is_told() {
        let bytes = tiny_jpeg();
        let decoded = image(&bytes, 3).unwrap();
        assert_eq!((decoded.channels, decoded.height, decoded.width), (3, 8, 16));
        let pixel = |y: usize, x: usize| [0, 1, 2].map(|channel| decoded.pixels[channel * 128 + y * 16 + x]);
        // Pillow's pixels; colour conversion in whole numbers may be off by one, upsampling by one more.
        for (ours, pillow) in [(pixel(2, 2), [199u8, 101, 26]), (pixel(2, 13), [18, 60, 222])] {
            assert!(ours.iter().zip(pillow).all(|(a, b)| a.abs_diff(b) <= 2), "{ours:?} {pillow:?}");
        }
        for cut in [0, 2, 20, bytes.len() / 2, bytes.len() - 2] {
            assert!(size(&bytes[..cut]).is_err(), "{cut}");
            assert!(image(&bytes[..cut], 3).is_err(), "{cut}");
        }
    }

    #[test]
    fn a_mask_is_ids_and_nothing_else() {
        let ids = mask(&png_of((2, 2), 1, &[0, 1, 11, 255])).unwrap();
        assert_eq!(ids.ids, [0, 1, 11, 255]);
        let fault = mask(&png_of((1, 1), 3, &[1, 2, 3])).unwrap_err();
        assert_eq!(fault.found, "(Rgb, Eight)");
        assert_eq!(fault.expected, "an 8-bit grey or indexed PNG of class ids");
    }
}
