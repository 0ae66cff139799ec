//! `up-worker`: makes the thumbnails of pictures that others posted.

use std::process::ExitCode;

fn main() -> ExitCode {
    worker::process::main(std::env::args_os())
}
