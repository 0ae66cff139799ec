//! The GPS directory of EXIF.

/// The tag of EXIF that points to the GPS directory (EXIF 2.32, 4.6.3).
pub(super) const GPS_DIRECTORY: u16 = 0x8825;
/// A tag whose value is ignored: `Padding` of Microsoft's writers.
const PADDING: u16 = 0xEA1C;
const UNDEFINED: u16 = 7;

/// The longest chain of directories in an EXIF block. Cameras write two: the picture and its preview.
const MAX_DIRECTORIES: usize = 8;
pub(super) const ENTRY_BYTES: usize = 12;

/// Overwrites the GPS directory of an EXIF block, or all of a block that cannot be read.
pub(super) fn wipe_gps(exif: &mut [u8]) {
    if wipe_gps_directory(exif).is_none() {
        exif.fill(0);
    }
}

/// Overwrites the GPS directory; `None` if the block cannot be read.
pub(super) fn wipe_gps_directory(exif: &mut [u8]) -> Option<()> {
    let is_big_endian = match exif.get(..4)? {
        b"II*\0" => false,
        b"MM\0*" => true,
        _ => return None,
    };
    let left = exif.len();
    let exif = &mut Directories { bytes: exif, is_big_endian, left };
    let mut directory = exif.u32(4)?;
    for _ in 0..MAX_DIRECTORIES {
        if directory == 0 {
            return Some(());
        }
        let entries = usize::from(exif.u16(directory)?);
        for number in 0..entries {
            let entry = directory + 2 + number * ENTRY_BYTES;
            if exif.u16(entry)? == GPS_DIRECTORY {
                let gps = exif.u32(entry + 8)?;
                exif.wipe(gps)?;
                exif.set_u16(entry, PADDING)?;
                exif.set_u16(entry + 2, UNDEFINED)?;
                // Four bytes, which are the value itself.
                exif.bytes.get_mut(entry + 4..entry + ENTRY_BYTES)?.fill(0);
                let count = entry + if exif.is_big_endian { 7 } else { 4 };
                *exif.bytes.get_mut(count)? = 4;
            }
        }
        // Some writers leave the pointer of the last directory out.
        directory = exif.u32(directory + 2 + entries * ENTRY_BYTES).unwrap_or(0);
    }
    None
}

/// The directories of a TIFF structure.
struct Directories<'exif> {
    bytes: &'exif mut [u8],
    is_big_endian: bool,
    /// Bytes of values that may still be overwritten. Values do not lie above each other, so all of them are as many as the
    /// block has at most; others would cost the square of its length.
    left: usize,
}

impl Directories<'_> {
    fn u16(&self, at: usize) -> Option<u16> {
        let bytes = self.bytes.get(at..at.checked_add(2)?)?.try_into().ok()?;
        Some(if self.is_big_endian { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) })
    }

    /// A position or a number.
    fn u32(&self, at: usize) -> Option<usize> {
        let bytes = self.bytes.get(at..at.checked_add(4)?)?.try_into().ok()?;
        let number = if self.is_big_endian { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) };
        usize::try_from(number).ok()
    }

    fn set_u16(&mut self, at: usize, value: u16) -> Option<()> {
        let bytes = if self.is_big_endian { value.to_be_bytes() } else { value.to_le_bytes() };
        self.bytes.get_mut(at..at.checked_add(2)?)?.copy_from_slice(&bytes);
        Some(())
    }

    /// Overwrites the entries of a directory and their values, wherever these lie.
    fn wipe(&mut self, directory: usize) -> Option<()> {
        let entries = usize::from(self.u16(directory)?);
        for number in 0..entries {
            let entry = directory.checked_add(2 + number * ENTRY_BYTES)?;
            // Bytes of one value by type (EXIF 2.32, 4.6.2).
            let size = match self.u16(entry + 2)? {
                1 | 2 | 6 | 7 => 1,
                3 | 8 => 2,
                4 | 9 | 11 | 13 => 4,
                5 | 10 | 12 => 8,
                _ => return None,
            };
            let length = self.u32(entry + 4)?.checked_mul(size)?;
            if length > 4 {
                self.left = self.left.checked_sub(length)?;
                let value = self.u32(entry + 8)?;
                self.bytes.get_mut(value..value.checked_add(length)?)?.fill(0);
            }
            self.bytes.get_mut(entry..entry + ENTRY_BYTES)?.fill(0);
        }
        self.set_u16(directory, 0)
    }
}
