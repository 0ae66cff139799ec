//! An upgrade under a running server: its executable is replaced or removed.

use std::{fs, os::unix::fs::PermissionsExt};

use integration_tests::{
    descendants::children,
    patience::SOON,
    pictures,
    server::{Data, Start, binary, id},
};
use rustix::process::{Signal, kill_process};

#[tokio::test]
async fn workers_are_started_again_though_the_executable_was_replaced_or_removed() {
    for is_removed in [true, false] {
        let folder = Data::new();
        let executable = folder.path().join("up-server");
        fs::copy(binary("up-server"), &executable).unwrap();
        let server = Start::new().executable(executable.clone()).start();
        server.end(&id(&server.accepted("before.png", pictures::tiny(1)).await), SOON).await;
        fs::remove_file(&executable).unwrap();
        if !is_removed {
            fs::write(&executable, "#!/bin/sh\nexit 1\n").unwrap();
            fs::set_permissions(&executable, fs::Permissions::from_mode(0o755)).unwrap();
        }
        for worker in children(server.pid()) {
            kill_process(worker, Signal::KILL).unwrap();
        }
        let ready = server.end(&id(&server.accepted("after.png", pictures::tiny(2)).await), SOON).await;
        assert_eq!(ready["state"], "ready", "removed: {is_removed}");
        server.is_ready().await;
    }
}
