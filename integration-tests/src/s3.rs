//! An S3 server inside the test.

use std::path::PathBuf;

use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use s3s::{auth::SimpleAuth, service::S3ServiceBuilder};
use tempfile::TempDir;
use tokio::net::TcpListener;

const ACCESS_KEY: &str = "up-access-key";
const SECRET_KEY: &str = "up-s3ntinel-secret";
const BUCKET: &str = "pictures";
const PREFIX: &str = "up/pictures";

/// A bucket on a server that ends with the test.
pub struct Bucket {
    /// The URL of the storage.
    pub url: String,
    port: u16,
    directory: TempDir,
}

impl Bucket {
    /// Starts a server with one bucket.
    ///
    /// # Panics
    /// When it cannot.
    pub async fn start() -> Self {
        let directory = TempDir::with_prefix("up-s3-").expect("a temporary directory can be made");
        std::fs::create_dir(directory.path().join(BUCKET)).expect("a bucket is a directory");
        let files = s3s_fs::FileSystem::new(directory.path()).expect("the directory can be served");
        let mut builder = S3ServiceBuilder::new(files);
        builder.set_auth(SimpleAuth::from_single(ACCESS_KEY, SECRET_KEY));
        let service = builder.build();
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("there is a free port");
        let port = listener.local_addr().expect("it is bound").port();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let service = service.clone();
                tokio::spawn(async move {
                    let connection = auto::Builder::new(TokioExecutor::new());
                    let _ = connection.serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Self { url: format!("s3://{BUCKET}/{PREFIX}"), port, directory }
    }

    /// Where it listens.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// The directory that holds the objects of the storage.
    #[must_use]
    pub fn objects(&self) -> PathBuf {
        self.directory.path().join(BUCKET).join(PREFIX)
    }

    /// The variables by which a process finds it.
    #[must_use]
    pub fn variables(&self) -> [(&'static str, String); 5] {
        self.variables_through(self.port)
    }

    /// The variables by which a process finds it on another port, where a proxy listens.
    #[must_use]
    pub fn variables_through(&self, port: u16) -> [(&'static str, String); 5] {
        [
            ("AWS_ENDPOINT", format!("http://127.0.0.1:{port}")),
            ("AWS_ALLOW_HTTP", "true".to_owned()),
            ("AWS_REGION", "eu-central-1".to_owned()),
            ("AWS_ACCESS_KEY_ID", ACCESS_KEY.to_owned()),
            ("AWS_SECRET_ACCESS_KEY", SECRET_KEY.to_owned()),
        ]
    }
}
