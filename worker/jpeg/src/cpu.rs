//! Instructions that not every processor has: the only unsafe code of this crate.
//!
//! A [`Work`] is compiled twice, for every processor and for those with AVX2 and BMI2 (nearly all since 2013 on x86-64).
//! Measured gains (`cargo bench -p thumbnail-jpeg-oracles`): wider registers for the inverse transform, shifts that need no
//! flags for entropy decoding, and `pdep` for refinement scans.

/// The instructions of a processor. A value is the proof that it has them.
pub(crate) trait Instructions: Copy {
    /// The set without its `count` lowest bits.
    fn without_lowest(self, set: u64, count: u32) -> u64;
}

/// Those of every processor.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Portable;

impl Instructions for Portable {
    #[inline(always)]
    fn without_lowest(self, mut set: u64, count: u32) -> u64 {
        for _ in 0..count {
            set &= set.wrapping_sub(1);
        }
        set
    }
}

/// AVX2 and BMI2 on top. Only [`Processor::detect`] makes one.
#[cfg(target_arch = "x86_64")]
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wide(());

#[cfg(target_arch = "x86_64")]
impl Instructions for Wide {
    #[inline(always)]
    fn without_lowest(self, set: u64, count: u32) -> u64 {
        #[expect(unsafe_code, reason = "takes a refinement scan from 0.68 to 0.50 of libjpeg-turbo's time")]
        // SAFETY: a value of this type exists only if the processor has BMI2.
        unsafe {
            std::arch::x86_64::_pdep_u64(u64::MAX.wrapping_shl(count), set)
        }
    }
}

/// An inner loop. `run` and everything below it must be `#[inline(always)]`, so that it is compiled for the
/// instructions of its caller.
pub(crate) trait Work {
    /// The result of the loop.
    type Output;

    /// Runs the loop.
    fn run(self, instructions: impl Instructions) -> Self::Output;
}

/// The processor that this process runs on.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Processor {
    Portable,
    #[cfg(target_arch = "x86_64")]
    Wide(Wide),
}

impl Processor {
    /// Asks the processor.
    pub(crate) fn detect() -> Self {
        #[cfg(target_arch = "x86_64")]
        {
            let has = std::arch::is_x86_feature_detected!("avx2")
                && std::arch::is_x86_feature_detected!("bmi1")
                && std::arch::is_x86_feature_detected!("bmi2")
                && std::arch::is_x86_feature_detected!("lzcnt")
                && std::arch::is_x86_feature_detected!("popcnt");
            if has {
                return Self::Wide(Wide(()));
            }
        }
        Self::Portable
    }

    /// Runs an inner loop with the best instructions.
    #[inline]
    pub(crate) fn run<W: Work>(self, work: W) -> W::Output {
        match self {
            Self::Portable => work.run(Portable),
            #[cfg(target_arch = "x86_64")]
            Self::Wide(wide) => {
                #[expect(unsafe_code, reason = "saves 4 to 22 % of a whole decode")]
                // SAFETY: a value of this type exists only if the processor has the features.
                unsafe {
                    run_wide(work, wide)
                }
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
fn run_wide<W: Work>(work: W, wide: Wide) -> W::Output {
    work.run(wide)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Lowest(u64, u32);

    impl Work for Lowest {
        type Output = u64;

        #[inline(always)]
        fn run(self, instructions: impl Instructions) -> u64 {
            instructions.without_lowest(self.0, self.1)
        }
    }

    #[test]
    fn every_processor_drops_the_same_bits() {
        for set in [0, 1, 0b1011_0110, u64::MAX, 1 << 63, 0x8421_8421_8421_8421] {
            for count in 0..=15 {
                let expected =
                    (0..64).filter(|bit| set >> bit & 1 == 1).skip(count).fold(0, |all, bit| all | 1 << bit);
                let lowest = Lowest(set, u32::try_from(count).unwrap());
                assert_eq!(Processor::Portable.run(Lowest(lowest.0, lowest.1)), expected);
                assert_eq!(Processor::detect().run(lowest), expected);
            }
        }
    }
}
