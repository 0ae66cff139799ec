//! The guarantees, with real processes and real signals. A module a theme.

mod faults;
mod ledger;
mod live;
mod refusals;
mod settings;
mod way;
