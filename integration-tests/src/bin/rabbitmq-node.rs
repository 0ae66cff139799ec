//! A RabbitMQ node for tests that are not written in Rust. It prints its URL, then does what the lines of its input
//! say, each answered by a line with the same word, and ends with its input.
//!
//! ```text
//! kill     -9, and wait for the end
//! stop     as an operator would, and wait for the end
//! start    again, with what is on its disk, and wait until it answers
//! ```

use std::{io, process::ExitCode};

use integration_tests::rabbit::Node;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let mut node = Node::start().await;
    println!("{}", node.vhost().await.url());
    // Nothing else goes on meanwhile, so that reading may block.
    for line in io::stdin().lines().map_while(Result::ok) {
        match line.as_str() {
            "kill" => node.kill(),
            "stop" => node.stop(),
            "start" => node.run().await,
            other => {
                eprintln!("{other}: kill, stop or start was expected");
                return ExitCode::from(64);
            }
        }
        println!("{line}");
    }
    ExitCode::SUCCESS
}
