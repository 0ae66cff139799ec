//! The guarantees, with real processes and real signals. A module a theme.

#![expect(clippy::unwrap_used, reason = "a test fails where it stands")]

mod broker;
mod check;
mod clocks;
mod damage;
mod damaged_facts;
mod dead;
mod descriptions;
mod examples;
mod faults;
mod hostile;
mod ledger;
mod live;
mod many_stored;
mod operators;
mod refusals;
mod repeats;
mod settings;
mod signals;
mod surface;
mod tour;
mod unfinished_bodies;
mod way;
