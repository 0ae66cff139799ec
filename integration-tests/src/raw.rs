//! Clients that write bytes and not requests.

use std::{net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    time::timeout,
};

/// Host and port of a server's URL.
///
/// # Panics
/// When it is not one of ours.
#[must_use]
pub fn address(server_url: &str) -> &str {
    server_url.strip_prefix("http://").expect("a server listens on plain HTTP")
}

/// A connection to a server.
///
/// # Panics
/// When the server accepts none.
pub async fn connect(server_url: &str) -> TcpStream {
    TcpStream::connect(address(server_url)).await.expect("the server accepts connections")
}

/// A connection to a server by another of this machine's own addresses: another client, as the server sees it.
///
/// # Panics
/// When the server accepts none.
pub async fn connect_from(own: &str, server_url: &str) -> TcpStream {
    let own = own.parse().expect("an address is one");
    let socket = TcpSocket::new_v4().expect("there is a free socket");
    socket.bind(SocketAddr::new(own, 0)).expect("all of 127.0.0.0/8 is this machine's");
    let server = address(server_url).parse().expect("a server listens on an address");
    socket.connect(server).await.expect("the server accepts connections")
}

/// Begins an upload of so many bytes, with header lines of the caller's choice, and waits until the server asks for
/// them: it has admitted the request then.
///
/// # Panics
/// When the server answers anything else.
pub async fn begin_upload(server_url: &str, headers: &str, length: usize) -> TcpStream {
    begin_upload_on(connect(server_url).await, headers, length).await
}

/// The same on a connection.
///
/// # Panics
/// When the server answers anything else.
pub async fn begin_upload_on(mut stream: TcpStream, headers: &str, length: usize) -> TcpStream {
    let head = format!(
        "POST /uploads HTTP/1.1\r\nHost: up\r\nExpect: 100-continue\r\nContent-Length: {length}\r\n{headers}\r\n"
    );
    stream.write_all(head.as_bytes()).await.expect("the server reads");
    let mut answer = [0; b"HTTP/1.1 100 Continue\r\n\r\n".len()];
    stream.read_exact(&mut answer).await.expect("the server answers");
    assert!(answer.starts_with(b"HTTP/1.1 100 "), "{}", String::from_utf8_lossy(&answer));
    stream
}

/// Writes bytes to a connection of their own and reads until the server closes it, or has said nothing for so long.
///
/// # Panics
/// When the server accepts no connection.
pub async fn exchange(server_url: &str, bytes: &[u8], silence: Duration) -> String {
    let mut stream = connect(server_url).await;
    // The server may cut a request that it refused early while more of it is written.
    let _ = stream.write_all(bytes).await;
    let mut answer = Vec::new();
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(Ok(read @ 1..)) = timeout(silence, stream.read(&mut buffer)).await {
        answer.extend_from_slice(&buffer[..read]);
    }
    String::from_utf8_lossy(&answer).into_owned()
}
