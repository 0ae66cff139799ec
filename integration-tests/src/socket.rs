//! A client of `up.v1`.

use std::time::Duration;

use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{self, Message, client::IntoClientRequest, protocol::CloseFrame},
};

/// An open socket that has been welcomed.
pub struct Socket {
    /// The socket itself.
    pub stream: WebSocketStream<MaybeTlsStream<TcpStream>>,
}

/// An event of a socket.
#[derive(Debug)]
pub enum Came {
    /// A message.
    Message(Value),
    /// The end, with the code that the server gave.
    Closed(Option<u16>),
}

/// Opens a socket with headers of the caller's choice.
///
/// # Errors
/// When the server refuses.
pub async fn open(
    server_url: &str,
    headers: &[(&'static str, &str)],
) -> Result<WebSocketStream<MaybeTlsStream<TcpStream>>, tungstenite::Error> {
    let url = format!("{}/live", server_url.replacen("http", "ws", 1));
    let mut request = url.into_client_request()?;
    for (name, value) in headers {
        request.headers_mut().insert(*name, value.parse().expect("a header value"));
    }
    Ok(connect_async(request).await?.0)
}

impl Socket {
    /// Opens a socket and takes the welcome.
    ///
    /// # Panics
    /// When there is none.
    pub async fn connect(server_url: &str) -> Self {
        let stream =
            open(server_url, &[("sec-websocket-protocol", "up.v1")]).await.expect("the server upgrades");
        let mut socket = Self { stream };
        assert_eq!(socket.message(Duration::from_secs(10)).await["type"], "welcome");
        socket
    }

    /// Says something.
    ///
    /// # Panics
    /// When the socket is gone.
    pub async fn say(&mut self, message: &Value) {
        self.stream.send(Message::text(message.to_string())).await.expect("the socket is open");
    }

    /// Subscribes to ids; the snapshot is yet to come.
    pub async fn subscribe(&mut self, ids: &[&str]) {
        self.say(&json!({"type": "subscribe", "ref": 1, "ids": ids})).await;
    }

    /// The next event.
    ///
    /// # Panics
    /// When nothing does.
    pub async fn next(&mut self, within: Duration) -> Came {
        loop {
            let frame = timeout(within, self.stream.next()).await.expect("something comes of the socket");
            match frame {
                Some(Ok(Message::Text(text))) => {
                    return Came::Message(serde_json::from_str(&text).expect("a message is JSON"));
                }
                Some(Ok(Message::Close(frame))) => {
                    return Came::Closed(frame.map(|CloseFrame { code, .. }| code.into()));
                }
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Came::Closed(None),
            }
        }
    }

    /// The next message.
    ///
    /// # Panics
    /// When none comes.
    pub async fn message(&mut self, within: Duration) -> Value {
        match self.next(within).await {
            Came::Message(message) => message,
            Came::Closed(code) => panic!("the socket was closed with {code:?}"),
        }
    }

    /// Reads until an upload is told to have ended, by whatever message, and answers it.
    pub async fn end_of(&mut self, id: &str, within: Duration) -> Value {
        self.ends_of(&[id], within).await.remove(0)
    }

    /// Reads until every one of some uploads is told to have ended, and answers them in the order of their ids.
    pub async fn ends_of(&mut self, ids: &[&str], within: Duration) -> Vec<Value> {
        let mut ends = vec![Value::Null; ids.len()];
        let reading = async {
            while ends.contains(&Value::Null) {
                let mut message = self.message(within).await;
                let told = match message["type"].as_str() {
                    Some("snapshot") => {
                        message["uploads"].as_array_mut().map(std::mem::take).unwrap_or_default()
                    }
                    Some("ping") => {
                        self.say(&json!({"type": "pong", "t": message["t"]})).await;
                        continue;
                    }
                    _ => vec![message["upload"].take()],
                };
                for upload in told {
                    let place = ids.iter().position(|id| upload["id"] == *id);
                    if let Some(place) = place
                        && matches!(upload["state"].as_str(), Some("ready" | "failed"))
                    {
                        ends[place] = upload;
                    }
                }
            }
        };
        timeout(within, reading).await.expect("the end is told in time");
        ends
    }
}
