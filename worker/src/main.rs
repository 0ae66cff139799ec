//! `up-worker`: makes the thumbnails of pictures that others posted.

use std::process::ExitCode;

fn main() -> ExitCode {
    worker::confinement::run_if_asked(std::env::args_os())
        .unwrap_or_else(|| worker::process::main(std::env::args_os()))
}
