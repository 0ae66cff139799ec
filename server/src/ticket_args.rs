//! The arguments of `up-server ticket`.

use std::time::Duration;

use clap::{Args, ValueEnum};

use crate::keep;

/// A ticket as it is made.
#[derive(Debug, Clone, Args)]
pub struct TicketArgs {
    /// The time that the ticket is valid, in seconds or with a unit such as 10m or 2h, for example 1d
    #[arg(long = "for", value_name = "TIME", value_parser = keep::parse_time, default_value = "1h")]
    pub(crate) valid_for: Duration,

    /// The number of files
    #[arg(long, value_name = "NUMBER", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) files: u32,

    /// The bytes of all files together, with K, M or G for powers of 1024 [default: as many as --files of the largest
    /// size]
    #[arg(long, value_name = "BYTES", value_parser = parse_bytes)]
    pub(crate) bytes: Option<u64>,

    /// The lane of the uploads
    #[arg(long, value_enum, value_name = "LANE", default_value = "interactive")]
    pub(crate) lane: TicketLane,

    /// A note, which is in the records of the uploads and in the log
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub(crate) note: String,

    /// Print a QR code of the link, too
    #[arg(long)]
    pub(crate) qr: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum TicketLane {
    Interactive,
    Bulk,
}

const BAD_BYTES: &str = "not a number of bytes, such as 10M; the units are K, M and G";

fn parse_bytes(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(['K', 'M', 'G', 'k', 'm', 'g']);
    let shift = match &text[digits.len()..] {
        "" => 0,
        "K" | "k" => 10,
        "M" | "m" => 20,
        "G" | "g" => 30,
        _ => return Err(BAD_BYTES.into()),
    };
    let number: u64 = digits.parse().map_err(|_| BAD_BYTES.to_owned())?;
    let bytes = number.checked_mul(1 << shift).ok_or("more bytes than can be counted")?;
    if bytes == 0 { Err("at least one byte must be allowed".into()) } else { Ok(bytes) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_have_units() {
        assert_eq!(
            (parse_bytes("10M"), parse_bytes("1000"), parse_bytes("2k")),
            (Ok(10 << 20), Ok(1000), Ok(2048))
        );
        for bad in ["", "M", "0", "1T", "1.5M", "-1", "99999999999G", "1KK"] {
            assert!(parse_bytes(bad).is_err(), "{bad}");
        }
    }
}
