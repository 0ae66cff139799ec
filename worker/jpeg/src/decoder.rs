//! A file, segment by segment.

use crate::{
    Error, Options, Picture, Plane,
    bits::Unstuffed,
    colour::ColourMarkers,
    cpu::Processor,
    frame::Frame,
    marker::{self, Segment, Segments},
    plan::{MAX_SCANS, Plan},
    progressive, quantiser,
    quantiser::Quantisers,
    scan::{self, Codes, ScanHeader},
    sequential,
};

/// Decodes one picture after the other, and keeps its buffers.
#[derive(Debug)]
pub struct Decoder {
    processor: Processor,
    unstuffed: Unstuffed,
    /// Coefficients of a row of MCUs, for each component of a scan.
    rows: [Vec<i16>; 3],
}

impl Default for Decoder {
    fn default() -> Self {
        Self { processor: Processor::detect(), unstuffed: Unstuffed::default(), rows: Default::default() }
    }
}

/// What the segments so far define.
#[derive(Default)]
struct State {
    quantisers: [Option<Quantisers>; 4],
    codes: Codes,
    /// MCUs between restart markers; 0 without.
    restart: usize,
    colour: ColourMarkers,
    frame: Option<Frame>,
    plan: Option<Plan>,
    scans: usize,
}

impl Decoder {
    /// A decoder that uses only the instructions that every processor has. For comparison: the planes are the same.
    #[must_use]
    pub fn portable() -> Self {
        Self { processor: Processor::Portable, ..Self::default() }
    }

    /// Decodes a whole file.
    ///
    /// # Errors
    /// When the file has anything unusual; see [`Error`]. Another decoder should then decide.
    pub fn decode(&mut self, file: &[u8], options: &Options) -> Result<Picture, Error> {
        let decoded = self.decode_segments(file, options);
        self.unstuffed.forget_large();
        decoded
    }

    fn decode_segments(&mut self, file: &[u8], options: &Options) -> Result<Picture, Error> {
        let mut segments = Segments::new(file)?;
        let mut state = State::default();
        loop {
            let Segment { marker, bytes } = segments.next()?;
            match marker {
                marker::END_OF_IMAGE => break,
                marker::START_OF_SCAN => self.scan(&mut state, &mut segments, bytes, options)?,
                _ => state.read(marker, bytes, options)?,
            }
        }
        let mut frame = state.frame.ok_or(Error::Damaged("it has no frame header"))?;
        let is_complete = |reached: &Option<u8>| *reached == Some(0);
        if !frame.components.iter().all(|component| component.reached.iter().all(is_complete)) {
            // libjpeg smooths such pictures.
            return Err(Error::Unsupported("scans are missing"));
        }
        if frame.is_progressive {
            progressive::transform(self.processor, &mut frame)?;
        }
        let mut planes = frame.components.into_iter().map(|component| component.plane);
        let brightness = planes.next().ok_or(Error::Damaged("it has no components"))?;
        let colour = planes.next().zip(planes.next()).map(<[Plane; 2]>::from);
        Ok(Picture { width: frame.width, height: frame.height, brightness, colour, sampling: frame.sampling })
    }

    /// Decodes a scan, and moves past its data.
    fn scan(
        &mut self,
        state: &mut State,
        segments: &mut Segments,
        segment: &[u8],
        options: &Options,
    ) -> Result<(), Error> {
        let frame = state.frame.as_mut().ok_or(Error::Damaged("a scan comes before the frame header"))?;
        state.scans += 1;
        if state.scans > MAX_SCANS {
            return Err(Error::Unsupported("more than 100 scans"));
        }
        if state.scans == 1 {
            state.colour.check(&frame.components)?;
            if frame.is_progressive {
                state.plan = Some(Plan::read(segment, segments.clone(), frame)?);
            }
        }
        let header = ScanHeader::read(segment, frame)?;
        for part in &header.parts {
            let component = &mut frame.components[part.component];
            header.advance(component)?;
            if component.quantisers.is_none() {
                let missing = Error::Damaged("a table of quantisers is missing");
                component.quantisers = Some(state.quantisers[usize::from(component.table)].ok_or(missing)?);
                if let Some(plan) = &state.plan {
                    plan.prepare(part.component, component, options.refinement)?;
                }
            }
        }
        let data = (segments.rest(), state.restart);
        if frame.is_progressive {
            let length =
                progressive::decode(self.processor, frame, &header, &state.codes, data, &mut self.unstuffed)?;
            match length {
                Some(length) => segments.skip(length),
                None => segments.skip_scan(),
            }
        } else {
            let buffers = (&mut self.unstuffed, &mut self.rows);
            segments.skip(sequential::decode(self.processor, frame, &header, &state.codes, data, buffers)?);
        }
        Ok(())
    }
}

impl State {
    /// Reads a segment that is no scan.
    fn read(&mut self, marker: u8, segment: &[u8], options: &Options) -> Result<(), Error> {
        match marker {
            marker::QUANTISERS => quantiser::read(segment, &mut self.quantisers),
            marker::HUFFMAN_TABLES => scan::read_codes(segment, &mut self.codes),
            marker::RESTART_INTERVAL => {
                let &[high, low] = segment else { return Err(Error::Damaged("a restart interval is wrong")) };
                self.restart = u16::from_be_bytes([high, low]).into();
                Ok(())
            }
            marker::BASELINE..=marker::PROGRESSIVE if self.frame.is_none() => {
                self.frame = Some(Frame::read(segment, marker == marker::PROGRESSIVE, options)?);
                Ok(())
            }
            marker::APP0 => {
                self.colour.read_app0(segment);
                Ok(())
            }
            marker::APP14 => {
                self.colour.read_app14(segment);
                Ok(())
            }
            marker::APP2 if self.scans > 0 && segment.starts_with(ICC) => {
                Err(Error::Unsupported("a colour profile after the first scan"))
            }
            marker::APP0..=marker::APP15 | marker::COMMENT => Ok(()),
            _ => Err(Error::Unsupported("another kind of frame, or an unknown segment")),
        }
    }
}

/// The beginning of a segment with a part of a colour profile (ICC.1:2022, B.4).
const ICC: &[u8] = b"ICC_PROFILE\0";
