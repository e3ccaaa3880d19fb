//! Decodes JPEG and PNG files into images and masks.
//!
//! The first bytes decide the format, since ImageNet has a PNG file with the ending JPEG. The JPEG decoder runs without
//! processor-specific code, so a file gives the same pixels on every machine. EXIF orientation is ignored, as in
//! torchvision. The size in the header is checked against a limit before memory is allocated.

use std::fmt::Display;
use std::io::Cursor;

use png::{BitDepth, ColorType, Transformations};
use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use crate::data::image::{Image, Mask};

/// Reasons why bytes cannot be decoded.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Undecodable {
    /// The bytes are damaged, or not of a known image format.
    Damaged { expected: &'static str, found: String },
    /// The image has an unsupported format.
    OtherFormat { name: &'static str },
    /// The header claims more pixels than allowed.
    TooLarge { height: usize, width: usize },
    /// The image is not a mask.
    NoMask { found: String },
}

impl Undecodable {
    fn new(expected: &'static str, found: &dyn Display) -> Self {
        Self::Damaged { expected, found: found.to_string() }
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
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => {
            Err(Undecodable::OtherFormat { name: "WebP" })
        }
        [b'G', b'I', b'F', b'8', ..] => Err(Undecodable::OtherFormat { name: "GIF" }),
        [b'B', b'M', ..] => Err(Undecodable::OtherFormat { name: "BMP" }),
        [b'I', b'I', 42, 0, ..] | [b'M', b'M', 0, 42, ..] => Err(Undecodable::OtherFormat { name: "TIFF" }),
        _ => Err(Undecodable::new("a JPEG or PNG file", &format!("{} bytes of another format", bytes.len()))),
    }
}

/// Returns height and width from the header. A JPEG must also have an end marker.
pub(crate) fn size(bytes: &[u8], pixel_limit: usize) -> Result<(usize, usize), Undecodable> {
    match format_of(bytes)? {
        Format::Jpeg => Ok(jpeg_header(bytes, ColorSpace::RGB, pixel_limit)?.1),
        Format::Png => {
            let mut decoder = png_decoder(bytes);
            let info = decoder.read_header_info().map_err(|e| Undecodable::new("a PNG header", &e))?;
            checked_png(info, bytes.len(), pixel_limit)
        }
    }
}

/// Decodes an image into 1 or 3 `channels`, whatever colours the file has.
pub(crate) fn image(bytes: &[u8], channels: usize, pixel_limit: usize) -> Result<Image, Undecodable> {
    let decoded = match format_of(bytes)? {
        Format::Jpeg => jpeg(bytes, pixel_limit)?,
        Format::Png => png(bytes, pixel_limit)?,
    };
    Ok(match (channels, decoded.channels) {
        (1, 3) => grey_of(&decoded),
        (3, 1) => Image { channels: 3, pixels: decoded.pixels.repeat(3), ..decoded },
        _ => decoded,
    })
}

/// Returns the unchanged ids of a grey or indexed PNG of up to 8 bits.
pub(crate) fn mask(bytes: &[u8], pixel_limit: usize) -> Result<Mask, Undecodable> {
    if let Format::Jpeg = format_of(bytes)? {
        return Err(Undecodable::NoMask { found: "a JPEG, which does not preserve ids".to_owned() });
    }
    let (info, bytes) = png_bytes(bytes, Transformations::IDENTITY, pixel_limit)?;
    let bits = info.bit_depth as usize;
    match info.color_type {
        ColorType::Grayscale | ColorType::Indexed if bits <= 8 => {}
        ColorType::Grayscale => return Err(Undecodable::NoMask { found: format!("a PNG with {bits} bits") }),
        _ => return Err(Undecodable::NoMask { found: "a colour PNG".to_owned() }),
    }
    let (height, width) = (info.height as usize, info.width as usize);
    let ids = match info.bit_depth {
        BitDepth::Eight => bytes,
        _ => bytes.chunks_exact(info.line_size).flat_map(|row| unpacked(row, bits, width)).collect(),
    };
    Ok(Mask { height, width, ids })
}

/// Unpacks `count` values of `bits` bits each. The highest bits come first.
fn unpacked(row: &[u8], bits: usize, count: usize) -> impl Iterator<Item = u8> {
    (0..count).map(move |i| (row[i * bits / 8] >> (8 - bits - i * bits % 8)) & ((1 << bits) - 1))
}

fn checked((height, width): (usize, usize), pixel_limit: usize) -> Result<(usize, usize), Undecodable> {
    match height.checked_mul(width) {
        Some(0) => Err(Undecodable::new("an image with at least one pixel", &format!("{width}x{height}"))),
        Some(pixels) if pixels <= pixel_limit => Ok((height, width)),
        _ => Err(Undecodable::TooLarge { height, width }),
    }
}

/// Returns the length of the JPEG at the start of `bytes`. Phones append a video, which is not part of the image.
fn jpeg_length(bytes: &[u8]) -> Option<usize> {
    let mut at = 2;
    loop {
        at += bytes.get(at..)?.iter().position(|&byte| byte == 0xff)?;
        match *bytes.get(at + 1)? {
            // First arm: a fill byte between two markers. Second arm: an escaped 0xff in the image data, or a marker
            // without a length.
            0xff => at += 1,
            0x00 | 0x01 | 0xd0..=0xd8 => at += 2,
            0xd9 => return Some(at + 2),
            _ => at += 2 + usize::from(u16::from_be_bytes([*bytes.get(at + 2)?, *bytes.get(at + 3)?])),
        }
    }
}

type JpegHeader<'a> = (JpegDecoder<ZCursor<&'a [u8]>>, (usize, usize));

/// Returns a decoder that has read the header, and height and width.
fn jpeg_header(bytes: &[u8], color: ColorSpace, pixel_limit: usize) -> Result<JpegHeader<'_>, Undecodable> {
    // The decoder would fill missing data with grey.
    let Some(length) = jpeg_length(bytes) else {
        return Err(Undecodable::new("a JPEG with an end marker", &format!("{} bytes without one", bytes.len())));
    };
    let sides = usize::from(u16::MAX);
    let options = DecoderOptions::default().jpeg_set_out_colorspace(color).set_max_width(sides).set_max_height(sides);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(&bytes[..length]), options);
    decoder.decode_headers().map_err(|e| Undecodable::new("a JPEG header", &e))?;
    let (width, height) = decoder.dimensions().ok_or_else(|| Undecodable::new("a JPEG header", &"none"))?;
    checked((height, width), pixel_limit)?;
    Ok((decoder, (height, width)))
}

fn jpeg(bytes: &[u8], pixel_limit: usize) -> Result<Image, Undecodable> {
    let grey = jpeg_header(bytes, ColorSpace::RGB, pixel_limit)?.0.input_colorspace() == Some(ColorSpace::Luma);
    let (color, channels) = if grey { (ColorSpace::Luma, 1) } else { (ColorSpace::RGB, 3) };
    let (mut decoder, size) = jpeg_header(bytes, color, pixel_limit)?;
    let interleaved = decoder.decode().map_err(|e| Undecodable::new("a complete JPEG", &e))?;
    if interleaved.len() != size.0 * size.1 * channels {
        return Err(Undecodable::new("a complete JPEG", &format!("{} bytes of pixels", interleaved.len())));
    }
    Ok(planar(&interleaved, size, (channels, channels)))
}

fn png_decoder(bytes: &[u8]) -> png::Decoder<Cursor<&[u8]>> {
    let mut decoder = png::Decoder::new(Cursor::new(bytes));
    // Texts and colour profiles do not change the pixels, and may unpack to any size.
    decoder.set_ignore_text_chunk(true);
    decoder.set_ignore_iccp_chunk(true);
    decoder
}

/// Maximum number of bytes that one byte of a deflate stream unpacks to.
const MOST_DEFLATED: usize = 1032;

/// Returns height and width from the header, if the file has enough bytes for that size.
fn checked_png(info: &png::Info<'_>, bytes: usize, pixel_limit: usize) -> Result<(usize, usize), Undecodable> {
    let (height, width) = checked((info.height as usize, info.width as usize), pixel_limit)?;
    let least = height * (width * info.bits_per_pixel()).div_ceil(8);
    if least / MOST_DEFLATED > bytes {
        return Err(Undecodable::new("a complete PNG", &format!("{bytes} bytes for {width}x{height} pixels")));
    }
    Ok((height, width))
}

fn png_bytes(
    bytes: &[u8],
    transformations: Transformations,
    pixel_limit: usize,
) -> Result<(png::OutputInfo, Vec<u8>), Undecodable> {
    let fault = |e: &dyn Display| Undecodable::new("a complete PNG", e);
    let mut decoder = png_decoder(bytes);
    decoder.set_transformations(transformations);
    checked_png(
        decoder.read_header_info().map_err(|e| Undecodable::new("a PNG header", &e))?,
        bytes.len(),
        pixel_limit,
    )?;
    let mut reader = decoder.read_info().map_err(|e| fault(&e))?;
    let mut pixels =
        vec![0; reader.output_buffer_size().ok_or_else(|| fault(&"a size that does not fit into memory"))?];
    let info = reader.next_frame(&mut pixels).map_err(|e| fault(&e))?;
    pixels.truncate(info.buffer_size());
    Ok((info, pixels))
}

fn png(bytes: &[u8], pixel_limit: usize) -> Result<Image, Undecodable> {
    let (info, interleaved) = png_bytes(bytes, Transformations::EXPAND | Transformations::STRIP_16, pixel_limit)?;
    let stride = info.color_type.samples();
    // The samples after the colours are transparency.
    let channels = if stride < 3 { 1 } else { 3 };
    Ok(planar(&interleaved, (info.height as usize, info.width as usize), (channels, stride)))
}

/// Converts interleaved bytes to planes. It keeps the first `channels` of every `stride` bytes.
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

/// Returns the brightness of a colour by ITU-R 601, with the integers of Pillow.
pub(crate) fn luma([red, green, blue]: [u8; 3]) -> u8 {
    ((u32::from(red) * 19_595 + u32::from(green) * 38_470 + u32::from(blue) * 7_471 + 0x8000) >> 16) as u8
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::fixture::{packed_png, png_of, tiny_jpeg};

    const LIMIT: usize = 1000;

    fn size(bytes: &[u8]) -> Result<(usize, usize), Undecodable> {
        super::size(bytes, LIMIT)
    }

    fn image(bytes: &[u8], channels: usize) -> Result<Image, Undecodable> {
        super::image(bytes, channels, LIMIT)
    }

    fn mask(bytes: &[u8]) -> Result<Mask, Undecodable> {
        super::mask(bytes, LIMIT)
    }

    #[test]
    fn a_png_keeps_its_pixels_and_grey_becomes_three_channels() {
        let bytes = png_of((1, 2), 3, &[1, 2, 3, 40, 50, 60]);
        assert_eq!(size(&bytes).unwrap(), (1, 2));
        let color = image(&bytes, 3).unwrap();
        assert_eq!(color.pixels, [1, 40, 2, 50, 3, 60]);
        // (19595·1 + 38470·2 + 7471·3 + 32768) / 65536 = 2.3, and 48.65 for 40, 50, 60. Both are rounded down.
        assert_eq!(image(&bytes, 1).unwrap().pixels, [2, 48]);
        let grey = image(&png_of((2, 1), 1, &[7, 9]), 3).unwrap();
        assert_eq!((grey.channels, grey.pixels), (3, vec![7, 9, 7, 9, 7, 9]));
    }

    #[test]
    fn a_jpeg_is_read_and_damage_is_an_error() {
        let bytes = tiny_jpeg();
        let decoded = image(&bytes, 3).unwrap();
        assert_eq!((decoded.channels, decoded.height, decoded.width), (3, 8, 16));
        let pixel = |y: usize, x: usize| [0, 1, 2].map(|channel| decoded.pixels[channel * 128 + y * 16 + x]);
        // Pixels by Pillow. Integer colour conversion may differ by one, and upsampling by one more.
        for (ours, pillow) in [(pixel(2, 2), [199u8, 101, 26]), (pixel(2, 13), [18, 60, 222])] {
            assert!(ours.iter().zip(pillow).all(|(a, b)| a.abs_diff(b) <= 2), "{ours:?} {pillow:?}");
        }
        for cut in [0, 2, 20, bytes.len() / 2, bytes.len() - 2] {
            assert!(size(&bytes[..cut]).is_err(), "{cut}");
            assert!(image(&bytes[..cut], 3).is_err(), "{cut}");
        }
    }

    #[test]
    fn another_format_is_named_whatever_the_file_is_called() {
        for (bytes, name) in [
            (&b"RIFF\x10\0\0\0WEBPVP8 "[..], "WebP"),
            (b"GIF89a", "GIF"),
            (b"BM\0\0", "BMP"),
            (b"II*\0", "TIFF"),
            (b"MM\0*", "TIFF"),
        ] {
            assert_eq!(image(bytes, 3).unwrap_err(), Undecodable::OtherFormat { name });
        }
    }

    #[test]
    fn data_after_a_jpeg_is_ignored() {
        let bytes = tiny_jpeg();
        let whole = image(&bytes, 3).unwrap();
        for behind in [&b"video"[..], b"\xff\xd8\xff\xda\0\0", &bytes[..100], &bytes] {
            assert_eq!(image(&[&bytes, behind].concat(), 3).unwrap(), whole);
        }
        // A preview image before the main image, in its own segment.
        let length = (bytes.len() as u16 + 2).to_be_bytes();
        let with_preview = [&bytes[..2], &[0xff, 0xe1], &length, &bytes, &bytes[2..]].concat();
        assert_eq!(image(&with_preview, 3).unwrap(), whole);
    }

    #[test]
    fn a_mask_is_ids_and_nothing_else() {
        let ids = mask(&png_of((2, 2), 1, &[0, 1, 11, 255])).unwrap();
        assert_eq!(ids.ids, [0, 1, 11, 255]);
        let fault = mask(&png_of((1, 1), 3, &[1, 2, 3])).unwrap_err();
        assert_eq!(fault, Undecodable::NoMask { found: "a colour PNG".into() });
        let fault = mask(&packed_png((1, 1), (ColorType::Grayscale, BitDepth::Sixteen), &[1, 2])).unwrap_err();
        assert_eq!(fault, Undecodable::NoMask { found: "a PNG with 16 bits".into() });
        assert!(matches!(mask(&tiny_jpeg()), Err(Undecodable::NoMask { .. })));
    }

    #[test]
    fn ids_with_few_bits_are_not_rescaled() {
        for color in [ColorType::Grayscale, ColorType::Indexed] {
            let ids = |depth, rows: &[u8]| mask(&packed_png((2, 3), (color, depth), rows)).unwrap().ids;
            assert_eq!(ids(BitDepth::One, &[0b1010_0000, 0b0110_0000]), [1, 0, 1, 0, 1, 1]);
            assert_eq!(ids(BitDepth::Two, &[0b1110_0100, 0b0001_1000]), [3, 2, 1, 0, 1, 2]);
            assert_eq!(ids(BitDepth::Four, &[0x12, 0x30, 0xf0, 0x70]), [1, 2, 3, 15, 0, 7]);
            assert_eq!(ids(BitDepth::Eight, &[1, 2, 3, 4, 5, 6]), [1, 2, 3, 4, 5, 6]);
        }
    }

    #[test]
    fn sizes_in_headers_are_limited() {
        let too_large = |bytes: &[u8]| {
            let expected = Undecodable::TooLarge { height: 1, width: 1001 };
            assert_eq!(size(bytes).unwrap_err(), expected);
            assert_eq!(image(bytes, 3).unwrap_err(), expected);
        };
        too_large(&png_of((1, 1001), 1, &[0; 1001]));
        let mut jpeg = tiny_jpeg();
        let frame = jpeg.windows(2).position(|pair| pair == [0xff, 0xc0]).unwrap();
        jpeg[frame + 5..frame + 9].copy_from_slice(&[0, 1, 3, 233]);
        too_large(&jpeg);
        // Exactly the allowed number of pixels, but hardly any data.
        let mut png = png_of((8000, 8000), 1, &vec![0; 64_000_000]);
        png.truncate(200);
        let fault = super::image(&png, 3, 1 << 26).unwrap_err();
        assert_eq!(fault, Undecodable::new("a complete PNG", &"200 bytes for 8000x8000 pixels"));
    }
}
