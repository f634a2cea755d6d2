//! Memory whose size somebody else decides about: taking it may fail, and must not end the process.

use std::io::{self, Write};

use crate::error::{Error, Result};

/// Makes room for `more` bytes after those in `bytes`.
pub(crate) fn reserve(bytes: &mut Vec<u8>, more: usize) -> Result<()> {
    bytes.try_reserve(more).map_err(|_| Error::OutOfMemory(more))
}

/// Appends `more` to `bytes`.
#[inline]
pub(crate) fn append(bytes: &mut Vec<u8>, more: &[u8]) -> Result<()> {
    reserve(bytes, more.len())?;
    bytes.extend_from_slice(more);
    Ok(())
}

/// So many zeros.
pub(crate) fn zeroed(len: usize) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    bytes
        .try_reserve_exact(len)
        .map_err(|_| Error::OutOfMemory(len))?;
    bytes.resize(len, 0);
    Ok(bytes)
}

/// What is written, in memory: writing fails when there is none.
#[derive(Debug, Default)]
pub(crate) struct Output(pub Vec<u8>);

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_reserve(bytes.len())?;
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_much_is_an_error() {
        let most = isize::MAX as usize;
        assert!(matches!(zeroed(most), Err(Error::OutOfMemory(_))));
        let mut bytes = vec![1];
        assert!(matches!(reserve(&mut bytes, most), Err(Error::OutOfMemory(_))));
        append(&mut bytes, &[2, 3]).unwrap();
        assert_eq!(bytes, [1, 2, 3]);
        assert_eq!(zeroed(2).unwrap(), [0, 0]);
    }
}
