//! A real server does what the descriptions of the interface say, and nothing else.

mod asyncapi;
mod document;
mod openapi;
