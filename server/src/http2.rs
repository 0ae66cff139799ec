//! Answers clients that begin a connection with HTTP/2, which this server does not speak.
//!
//! Such a client learns it from the code of a GOAWAY frame (RFC 9113, section 7: `HTTP_1_1_REQUIRED`). Without an answer
//! it reports a broken connection.

use std::{io, time::Duration};

use tokio::{io::AsyncWriteExt, net::TcpStream, time::sleep};

/// The bytes that every HTTP/2 client sends first (RFC 9113, section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The pause before a preface that has not arrived as a whole is looked at again.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// An empty SETTINGS frame, with which every HTTP/2 server begins: length, type, flags, stream.
const SETTINGS: [u8; 9] = [0, 0, 0, 4, 0, 0, 0, 0, 0];

/// GOAWAY of stream 0: the last stream that was processed, and the code `HTTP_1_1_REQUIRED`. The text follows.
const GOAWAY: [u8; 17] = [0, 0, 8 + 28, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x0d];

const REASON: &[u8; 28] = b"this server speaks HTTP/1.1.";

/// Whether a connection begins with HTTP/2. Waits for the first bytes and takes none of them.
pub(crate) async fn is_spoken_on(stream: &TcpStream) -> io::Result<bool> {
    let mut beginning = [0; PREFACE.len()];
    loop {
        let length = stream.peek(&mut beginning).await?;
        if length == 0 || !PREFACE.starts_with(&beginning[..length]) {
            return Ok(false);
        }
        if length == PREFACE.len() {
            return Ok(true);
        }
        sleep(LOOK_AGAIN).await;
    }
}

/// Tells the client to use HTTP/1.1.
pub(crate) async fn refuse(mut stream: TcpStream) -> io::Result<()> {
    stream.write_all(&[&SETTINGS[..], &GOAWAY[..], &REASON[..]].concat()).await?;
    stream.shutdown().await
}
