//! A private RabbitMQ node, or a cluster of them, and a vhost for every test.

pub mod cluster;
pub mod node;
mod phone_book;
pub mod release;

use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};

pub use self::{cluster::Cluster, node::Node, release::Release};
use crate::patience::{SOON, eventually};

/// The variable by which a node that is shared by all tests is handed to them: its AMQP and its HTTP port.
pub const SHARED: &str = "UP_TEST_RABBITMQ";

/// The HTTP side of a node, for what AMQP cannot do.
#[derive(Clone)]
struct Management {
    client: Client,
    url: String,
}

impl Management {
    fn new(port: u16) -> Self {
        Self { client: Client::new(), url: format!("http://127.0.0.1:{port}/api") }
    }

    async fn is_up(&self) -> bool {
        let asked = self.client.get(format!("{}/overview", self.url)).basic_auth("guest", Some("guest"));
        asked.send().await.is_ok_and(|answer| answer.status() == StatusCode::OK)
    }

    /// The response to a request for something, if there is one.
    async fn try_get(&self, path: &str) -> Option<Value> {
        let asked = self.client.get(format!("{}/{path}", self.url)).basic_auth("guest", Some("guest"));
        let answer = asked.timeout(SOON).send().await.ok()?.error_for_status().ok()?;
        serde_json::from_str(&answer.text().await.ok()?).ok()
    }

    async fn call(&self, method: Method, path: &str, body: Option<Value>) -> Value {
        let mut request = self.client.request(method, format!("{}/{path}", self.url));
        request = request.basic_auth("guest", Some("guest"));
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = request.send().await.expect("the broker answers over HTTP");
        let (status, text) = (answer.status(), answer.text().await.expect("an answer has a body"));
        assert!(status.is_success() || status == StatusCode::NOT_FOUND, "{path}: {status} {text}");
        serde_json::from_str(&text).unwrap_or(Value::Null)
    }
}

/// A vhost of one test.
pub struct Vhost {
    name: String,
    amqp: u16,
    management: Management,
    /// A node of the test's own, where there is no shared one.
    _node: Option<Box<Node>>,
}

impl Vhost {
    /// One on the node that all tests share, or on a node of its own if there is none.
    ///
    /// # Panics
    /// When the variable holds something else.
    pub async fn new() -> Self {
        let Ok(shared) = std::env::var(SHARED) else {
            let node = Box::new(Node::start().await);
            let vhost = node.vhost().await;
            return Self { _node: Some(node), ..vhost };
        };
        let ports =
            shared.split_once(':').and_then(|(amqp, http)| Some((amqp.parse().ok()?, http.parse().ok()?)));
        let (amqp, http) = ports.expect("the variable holds two ports");
        Self::create(amqp, Management::new(http)).await
    }

    async fn create(amqp: u16, management: Management) -> Self {
        let name = format!("up-{:016x}", rand::random::<u64>());
        // The maker of a vhost has its permissions.
        management.call(Method::PUT, &format!("vhosts/{name}"), None).await;
        Self { name, amqp, management, _node: None }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its URL.
    #[must_use]
    pub fn url(&self) -> String {
        self.url_on(self.amqp)
    }

    /// Its URL through another port, where a proxy listens.
    #[must_use]
    pub fn url_on(&self, port: u16) -> String {
        format!("amqp://guest:guest@127.0.0.1:{port}/{}", self.name)
    }

    /// Its URL over TLS.
    #[must_use]
    pub fn url_over_tls(&self, port: u16) -> String {
        format!("amqps://guest:guest@localhost:{port}/{}", self.name)
    }

    /// The port of its node.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.amqp
    }

    /// Sets a policy for queues.
    pub async fn set_policy(&self, pattern: &str, definition: Value) {
        let policy = json!({ "pattern": pattern, "definition": definition, "apply-to": "queues" });
        self.management.call(Method::PUT, &format!("policies/{}/test", self.name), Some(policy)).await;
    }

    /// Declares a durable queue.
    pub async fn declare(&self, queue: &str, arguments: Value) {
        let queue = format!("queues/{}/{queue}", self.name);
        let body = json!({ "durable": true, "arguments": arguments });
        self.management.call(Method::PUT, &queue, Some(body)).await;
    }

    /// Lets a queue hear an exchange.
    pub async fn bind(&self, exchange: &str, queue: &str) {
        let path = format!("bindings/{}/e/{exchange}/q/{queue}", self.name);
        self.management.call(Method::POST, &path, Some(json!({ "routing_key": "" }))).await;
    }

    /// The messages at the head of a queue, which stay there, as the broker tells of them: with `exchange`,
    /// `routing_key`, `properties` and `payload`.
    ///
    /// # Panics
    /// When there is no such queue.
    pub async fn messages(&self, queue: &str) -> Vec<Value> {
        let path = format!("queues/{}/{queue}/get", self.name);
        let wanted = json!({ "count": 100, "ackmode": "ack_requeue_true", "encoding": "auto" });
        let got = self.management.call(Method::POST, &path, Some(wanted)).await;
        got.as_array().expect("a queue has a list of messages").clone()
    }

    /// Publishes raw bytes to the default exchange.
    pub async fn publish(&self, queue: &str, message_id: &str, body: &str) {
        let message = json!({
            "properties": { "message_id": message_id, "delivery_mode": 2 },
            "routing_key": queue, "payload": body, "payload_encoding": "string",
        });
        let path = format!("exchanges/{}/amq.default/publish", self.name);
        let routed = self.management.call(Method::POST, &path, Some(message)).await;
        assert_eq!(routed["routed"], true, "{queue} takes the message");
    }

    /// The names of the queues that begin so.
    ///
    /// # Panics
    /// When the broker does not answer.
    pub async fn queues(&self, prefix: &str) -> Vec<String> {
        let queues = self.management.call(Method::GET, &format!("queues/{}", self.name), None).await;
        let names =
            queues.as_array().expect("queues are a list").iter().filter_map(|queue| queue["name"].as_str());
        names.filter(|name| name.starts_with(prefix)).map(str::to_owned).collect()
    }

    /// Deletes the queues whose names begin so; answers how many there were.
    ///
    /// # Panics
    /// When the broker does not answer.
    pub async fn delete_queues(&self, prefix: &str) -> usize {
        let queues = self.queues(prefix).await;
        for name in &queues {
            self.management.call(Method::DELETE, &format!("queues/{}/{name}", self.name), None).await;
        }
        queues.len()
    }

    /// How many methods of each kind the broker has counted so far.
    ///
    /// # Panics
    /// When the broker does not answer.
    pub async fn statistics<const N: usize>(&self, names: [&str; N]) -> Vec<u64> {
        let vhost = self.management.call(Method::GET, &format!("vhosts/{}", self.name), None).await;
        names.map(|name| vhost["message_stats"][name].as_u64().unwrap_or(0)).into()
    }

    /// Closes every connection, as an operator does; waits until the broker lists one.
    ///
    /// # Panics
    /// When there is none, or the broker does not answer.
    pub async fn close_connections(&self) {
        let listed = async || {
            let path = format!("vhosts/{}/connections", self.name);
            let connections = self.management.call(Method::GET, &path, None).await;
            let names = connections.as_array()?.iter().filter_map(|one| one["name"].as_str());
            Some(names.map(str::to_owned).collect::<Vec<_>>()).filter(|names| !names.is_empty())
        };
        for name in eventually("the broker lists connections", SOON, listed).await {
            let path = format!("connections/{}", name.replace(' ', "%20").replace('>', "%3E"));
            self.management.call(Method::DELETE, &path, None).await;
        }
    }

    /// Takes away every message of a queue.
    pub async fn purge(&self, queue: &str) {
        self.management.call(Method::DELETE, &format!("queues/{}/{queue}/contents", self.name), None).await;
    }
}
