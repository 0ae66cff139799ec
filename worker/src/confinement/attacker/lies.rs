//! Answers that a decoder never gives.

use std::{io, time::Duration};

use super::super::{
    attack::Attack,
    protocol::{self, DecodeReply, FileHeader},
};
use crate::Encoding;

/// Bytes of a thumbnail that is announced and never sent: a worker that believes it takes as much memory.
const GIGABYTE: u64 = 1 << 30;

/// Bytes of an answer that is longer than any: four times the largest pipe of an unprivileged process.
const TOO_MUCH: u32 = 4 << 20;

/// A page in place of a JPEG.
const PAGE: &[u8] = b"<!doctype html><script>alert(document.domain)</script>";

/// The lie of an attack, as bytes for the pipe; `None` for an attack of another kind. Apart from the lie, the answer is
/// right for an original of one pixel.
pub(super) fn answer(attack: Attack) -> Option<io::Result<Vec<u8>>> {
    let file = FileHeader { width: 1, height: 1, encoding: Encoding::Jpeg, bytes: 0, webp_bytes: None };
    let page = FileHeader { bytes: PAGE.len() as u64, ..file };
    Some(match attack {
        Attack::ClaimOtherSides => made(2, page),
        Attack::AnswerWrongDimensions => made(1, FileHeader { width: 2, ..page }),
        Attack::AnswerPage => made(1, page),
        Attack::AnnounceGigabyte => made(1, FileHeader { bytes: GIGABYTE, ..file }),
        Attack::WriteTooMuch => Ok([&TOO_MUCH.to_le_bytes()[..], &vec![b' '; TOO_MUCH as usize]].concat()),
        _ => return None,
    })
}

/// An answer of three equal thumbnails. A page follows in place of each file.
fn made(width: u32, file: FileHeader) -> io::Result<Vec<u8>> {
    let reply = DecodeReply::Made {
        width,
        height: 1,
        thumbhash: vec![1],
        warnings: Vec::new(),
        files: [file; 3],
        took: [Duration::ZERO; 3],
    };
    let mut bytes = protocol::encode(&reply)?;
    for _ in 0..3 {
        bytes.extend_from_slice(PAGE);
    }
    Ok(bytes)
}
