//! The guarantees, with real processes and real signals. A module a theme.

#![expect(clippy::unwrap_used, reason = "a test fails where it stands")]

mod broker;
mod check;
mod damage;
mod dead;
mod descriptions;
mod faults;
mod hostile;
mod ledger;
mod live;
mod operators;
mod refusals;
mod repeats;
mod settings;
mod surface;
mod tour;
mod way;
