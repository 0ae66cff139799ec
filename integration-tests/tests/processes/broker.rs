//! The scaled-out shape: servers that only serve, workers that only resize, and RabbitMQ between them.

mod brown_out;
mod cluster;
mod costs;
mod lanes;
mod messages;
mod outages;
mod processes;
mod refusals;
mod restarts;
mod shared_nothing;
mod soak;
mod storage_outage;
