//! Messages about queues of jobs that had to be created: an operator deleted one, a broker lost its disk, or it was
//! recreated because it did not respond. The jobs that it held are lost, and pending uploads are posted again at once.
//!
//! A process publishes such a message before it creates a queue. A server receives it, and acknowledges it after it has
//! posted the pending uploads, so a server that dies meanwhile is replaced by another.

use std::time::Duration;

use lapin::{
    BasicProperties, Confirmation, Connection,
    options::{BasicPublishOptions, ConfirmSelectOptions},
};
use serde::{Deserialize, Serialize};
use tokio::time::timeout;
use tracing::info;

use super::{headers, topology};
use crate::contract::record::Lane;

/// The time limit of the confirm. The broker may be short of memory, and then takes no jobs either.
const CONFIRM_WITHIN: Duration = Duration::from_secs(5);

/// The AMQP `type` of the message.
const TYPE: &str = "up.created.v2";

/// The version of the message.
const VERSION: u32 = 2;

/// The message: these queues are created, because they do not exist.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Created {
    v: u32,
    queues: Vec<String>,
}

/// Tells a server that these queues are about to be created. Answers whether the broker has stored the message.
pub(super) async fn tell(connection: &Connection, queues: &[String]) -> lapin::Result<bool> {
    info!(queues = queues.join(" "), "creating queues; pending uploads are posted again");
    let channel = connection.create_channel().await?;
    topology::declare_created(&channel).await?;
    channel.confirm_select(ConfirmSelectOptions::default()).await?;
    let message = Created { v: VERSION, queues: queues.to_vec() };
    let body = serde_json::to_vec(&message).expect("it has only string keys");
    let properties = BasicProperties::default()
        .with_type(TYPE.into())
        .with_content_type(headers::CONTENT_TYPE.into())
        .with_delivery_mode(headers::PERSISTENT);
    let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
    let confirmed = async {
        let queue = topology::CREATED_QUEUE.into();
        channel.basic_publish("".into(), queue, options, &body, properties).await?.await
    };
    match timeout(CONFIRM_WITHIN, confirmed).await {
        Ok(confirmed) => Ok(matches!(confirmed?, Confirmation::Ack(None))),
        Err(_) => Ok(false),
    }
}

/// The lanes of a message. One that cannot be read is of a newer version, and means all.
pub(super) fn lanes(body: &[u8]) -> Vec<Lane> {
    match serde_json::from_slice::<Created>(body) {
        Ok(Created { v: VERSION, queues }) => {
            queues.iter().flat_map(|queue| topology::lanes_of(queue)).collect()
        }
        _ => Lane::ALL.to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_names_the_lanes_of_its_queues_and_one_that_cannot_be_read_means_all() {
        assert_eq!(lanes(br#"{"v":2,"queues":["resize.bulk.retry.5s"]}"#), [Lane::Bulk]);
        assert!(lanes(br#"{"v":2,"queues":["resize.dead"],"more":1}"#).is_empty());
        for other in [&b"{}"[..], br#"{"v":3,"queues":["resize"]}"#, b"\xff"] {
            assert_eq!(lanes(other), Lane::ALL);
        }
    }
}
