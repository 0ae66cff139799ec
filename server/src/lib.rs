//! The web server of up!: it accepts pictures, stores them, posts jobs, and pushes results to subscribers.
//!
//! A module imports only modules of the lines above its own, or of its own line.
//!
//! ```text
//! config keep ticket_args            settings; how long uploads are kept; arguments of tickets
//! telemetry client keys              counters; the client that a limit counts for; the file of upload keys
//! answer tokens frontend readiness   parts of answers; delete tokens; the page's files; reports of readiness
//! fair_share quota connections       entries of each client, and the eviction policy
//! memory free_space budget           memory of bodies; free disk space; rate limit for unknown uploads and wrong keys
//! unended relay_window               unended uploads and posted jobs of each client
//! origin request cors                pages of other sites; ids, traces and timings of requests
//! problem tickets                    errors as RFC 9457 problems; keys that are limited in time, files and bytes
//! senders                            who sends an upload
//! hub sightings results keys_in_use  subscribers; sightings of pending uploads; cached results; idempotency keys
//! outbox tombstones                  jobs on this server's own disk; the sweep of deleted uploads
//! app extract                        the state of all handlers; their extractors
//! live                               socket, server-sent events, long polling
//! uploads                            accept → storage → outbox; status, thumbnails, originals, retry
//! error_page                         problems and results of forms as pages
//! health description routes          readiness and limits; OpenAPI and AsyncAPI; the route table
//! relay completions                  outbox → broker; reply exchange → hub
//! sweeper expiry audit               lost jobs are requeued; expired uploads are deleted; leftovers are removed
//! embedded file_limit check rotate   own worker processes; the open-file limit; `up-server check` and `secret rotate`
//! admin http2 serve                  metrics for operators; the answer to HTTP/2; the accept loop
//! fuzzing                            entry points of the fuzzers
//! server                             opens, starts and drains all parts
//! ```

mod admin;
mod answer;
mod app;
mod audit;
mod budget;
pub mod check;
mod client;
mod completions;
pub mod config;
mod connections;
mod cors;
mod description;
pub mod embedded;
mod error_page;
mod expiry;
mod extract;
mod fair_share;
mod file_limit;
mod free_space;
#[expect(unused_qualifications, reason = "memory-serve generates its list of files so")]
mod frontend;
#[cfg(fuzzing)]
pub mod fuzzing;
mod health;
mod http2;
mod hub;
pub mod keep;
pub mod keys;
mod keys_in_use;
mod live;
mod memory;
mod origin;
mod outbox;
mod problem;
mod quota;
mod readiness;
mod relay;
mod relay_window;
mod request;
mod results;
pub mod rotate;
mod routes;
mod senders;
mod serve;
mod server;
mod sightings;
mod sweeper;
mod telemetry;
mod ticket_args;
pub mod tickets;
mod tokens;
mod tombstones;
mod unended;
mod uploads;

pub use self::server::run;
