//! Compression, seen by the first bytes.

use std::io::{BufReader, Chain, Cursor, Read};

type Source<R> = Chain<Cursor<Vec<u8>>, R>;

/// The plain bytes of a source that is plain, gzip or zstd.
pub(super) fn decompressed(
    mut source: impl Read + Send + 'static,
) -> std::io::Result<Box<dyn Read + Send>> {
    let mut magic = Vec::with_capacity(4);
    source.by_ref().take(4).read_to_end(&mut magic)?;
    let is_gzip = magic.starts_with(&[0x1f, 0x8b]);
    let is_zstd = magic == [0x28, 0xb5, 0x2f, 0xfd];
    let whole: Source<_> = Cursor::new(magic).chain(source);
    Ok(if is_gzip {
        Box::new(flate2::bufread::MultiGzDecoder::new(BufReader::with_capacity(1 << 16, whole)))
    } else if is_zstd {
        Box::new(zstd::stream::read::Decoder::new(whole)?)
    } else {
        Box::new(whole)
    })
}
