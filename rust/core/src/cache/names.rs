//! The names of the cache's files: hexadecimal digits and a fixed suffix, nothing of a user's.

/// The suffix of a file of rows.
pub const ROWS: &str = ".rows";
/// The suffix of a log.
pub const LOG: &str = ".log";
/// The suffix that takes a file out of service.
pub const BAD: &str = ".bad";
/// The name of the manifest in a table's directory.
pub const MANIFEST: &str = "table";
/// What names of files in the making begin with.
pub const TEMPORARY: &str = "tmp-";
/// The name of the file whose lock maintenance takes.
pub const LOCK: &str = "lock";

/// Lowercase hex: the name of a table (32 bytes) or of a segment (16 bytes, so names sort by
/// sequence number).
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |nibble: u8| char::from(DIGITS[usize::from(nibble)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// The id that a file name spells, if it is the name of a segment's file.
pub fn parse(file: &str, suffix: &str) -> Option<[u8; 16]> {
    let hex = file.strip_suffix(suffix)?;
    let is_id = hex.len() == 32 && is_hex(hex);
    is_id.then(|| u128::from_str_radix(hex, 16).ok().map(u128::to_be_bytes)).flatten()
}

/// Whether a name in the cache's directory is the name of a table.
pub fn is_table(name: &str) -> bool {
    name.len() == 64 && is_hex(name)
}

/// Whether a file in a table's directory is a log or rows.
pub fn is_segment(file: &str) -> bool {
    parse(file, LOG).is_some() || parse(file, ROWS).is_some()
}

/// Whether the cache could have made a file of this name in a table's directory.
pub fn is_ours(file: &str) -> bool {
    let plain = file.strip_suffix(BAD).unwrap_or(file);
    is_segment(plain) || file == MANIFEST || file == LOCK || file.starts_with(TEMPORARY)
}

fn is_hex(name: &str) -> bool {
    name.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}
