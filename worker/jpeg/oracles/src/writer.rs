//! Entropy-coded data, bit by bit, with stuffed zeroes.

/// Bits that are not written yet.
#[derive(Default)]
pub(crate) struct Writer {
    bits: u64,
    count: u32,
}

impl Writer {
    /// Writes the lowest bits of a value.
    pub(crate) fn put(&mut self, value: u32, count: u32, file: &mut Vec<u8>) {
        self.bits = self.bits << count | u64::from(value);
        self.count += count;
        while self.count >= 8 {
            let byte = (self.bits >> (self.count - 8)) as u8;
            file.push(byte);
            if byte == 0xFF {
                file.push(0);
            }
            self.count -= 8;
        }
    }

    /// Fills the last byte up with ones.
    pub(crate) fn flush(&mut self, file: &mut Vec<u8>) {
        if self.count > 0 {
            let fill = 8 - self.count;
            self.put((1 << fill) - 1, fill, file);
        }
    }
}
