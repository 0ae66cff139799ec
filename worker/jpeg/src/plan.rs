//! The scans of a progressive file, read before they are decoded: they tell what need not be kept.

use crate::{
    Error, Refinement,
    frame::{Component, Frame, Precision},
    gate, marker,
    marker::Segments,
    scan::ScanHeader,
};

/// The most scans of a file. Encoders write about ten, and each visits every block again.
pub(crate) const MAX_SCANS: usize = 100;

/// The scans of a file.
pub(crate) struct Plan {
    scans: Vec<ScanHeader>,
}

impl Plan {
    /// Reads the scan headers from the first, whose segment was just read, to the end of the image.
    pub(crate) fn read(first: &[u8], mut segments: Segments, frame: &Frame) -> Result<Self, Error> {
        let mut scans = vec![ScanHeader::read(first, frame)?];
        segments.skip_scan();
        loop {
            let segment = segments.next()?;
            match segment.marker {
                marker::END_OF_IMAGE => return Ok(Self { scans }),
                marker::START_OF_SCAN if scans.len() == MAX_SCANS => {
                    return Err(Error::Unsupported("more than 100 scans"));
                }
                marker::START_OF_SCAN => {
                    scans.push(ScanHeader::read(segment.bytes, frame)?);
                    segments.skip_scan();
                }
                _ => {}
            }
        }
    }

    /// Chooses how precisely a component is read, once its quantisers are known.
    pub(crate) fn prepare(
        &self,
        index: usize,
        component: &mut Component,
        wanted: Refinement,
    ) -> Result<(), Error> {
        let ac = || {
            let of_component = |scan: &&ScanHeader| scan.parts.iter().any(|part| part.component == index);
            self.scans.iter().filter(|scan| scan.from > 0).filter(of_component)
        };
        if component.last == 0 || ac().all(|scan| scan.high == 0) {
            return Ok(());
        }
        let mut low = [0; 64];
        for scan in ac().filter(|scan| scan.high == 0) {
            low[usize::from(scan.from)..=usize::from(scan.to)].fill(scan.low);
        }
        let is_coarse = match wanted {
            Refinement::All => false,
            Refinement::WhereVisible => gate::is_invisible(component, &low, index > 0)?,
            Refinement::None => true,
        };
        if is_coarse {
            component.precision = Precision::Coarse;
            return Ok(());
        }
        component.precision = Precision::Exact;
        component.keep_presence()
    }
}
