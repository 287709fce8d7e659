//! Reading a file that an operator wrote: a file and nothing that could block, and of a size that such files have.

use std::fs::File;
use std::io::{self, Error, ErrorKind, Read as _};
use std::path::Path;

/// More is no settings file and no mapping, and would be read again at every reload.
const MAX_BYTES: u64 = 1 << 20;

/// The text of the file.
pub fn read(path: &Path) -> io::Result<String> {
    // Asked before opening: a pipe would wait for somebody to write into it.
    if !std::fs::metadata(path)?.is_file() {
        return Err(Error::new(ErrorKind::InvalidInput, "it is no file"));
    }
    let mut text = String::new();
    let read = File::open(path)?.take(MAX_BYTES + 1).read_to_string(&mut text);
    let read = read.map_err(|error| match error.kind() {
        ErrorKind::InvalidData => Error::new(ErrorKind::InvalidData, "it is no UTF-8; save it as UTF-8"),
        _ => error,
    })?;
    if u64::try_from(read).unwrap_or(u64::MAX) > MAX_BYTES {
        return Err(Error::new(ErrorKind::FileTooLarge, format!("it is larger than {MAX_BYTES} bytes")));
    }
    Ok(text)
}
