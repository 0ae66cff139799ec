//! The guarantees, with real processes and real signals. One module for each theme.

#![expect(clippy::unwrap_used, reason = "a test fails where it stands")]

mod broker;
mod check;
mod clients;
mod clocks;
mod damage;
mod damaged_facts;
mod dead;
mod deleting;
mod descriptions;
mod documents;
mod every_request;
mod examples;
mod expiring;
mod fairness;
mod faults;
mod flow;
mod formats;
mod hostile;
mod idempotency;
mod keys;
mod ledger;
mod live;
mod logs;
mod many_stored;
mod memory;
mod metrics;
mod operation;
mod operators;
mod pages;
mod refusals;
mod settings;
mod signals;
mod slow_storage;
mod tour;
mod unfinished_bodies;
mod upgrades;
