//! What the descriptions of the interface say is what a real server does, and the reverse.

mod asyncapi;
mod document;
mod openapi;
