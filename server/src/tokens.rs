//! Delete tokens: the client that received the answer to an upload may delete it.
//!
//! A token is the HMAC of the upload's id under a secret that all servers on one storage share, so no token is stored. A
//! new secret is verified as soon as a server has read it, and used for new tokens only a while later: by then every
//! other server has read it, too.

use std::{sync::Arc, time::Duration};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use hmac::{Hmac, Mac};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;
use sha2::Sha256;
use tokio::{
    sync::{Mutex, watch},
    time::sleep,
};
use tokio_util::sync::CancellationToken;
use tracing::warn;
use worker::{
    Storage, Upload, UploadId, clock,
    storage::{DeleteSecret, SecretError},
};

/// How often the secrets are read again. A new secret is verified everywhere within this time.
const REFRESH: Duration = Duration::from_secs(20);

/// The age from which a secret is used for new tokens: three times [`REFRESH`], so that a server whose read failed once
/// knows it as well.
const SIGNS_AFTER: Duration = Duration::from_secs(60);

/// The permission that a token gives. It is part of the HMAC, so that a token of another kind is none of this.
const PURPOSE: &[u8] = b"up!.delete.v1:";

/// The secrets of a server.
#[derive(Default)]
pub(crate) struct Tokens {
    secrets: watch::Sender<Arc<[DeleteSecret]>>,
    loading: Mutex<()>,
}

/// The secrets of one moment.
#[derive(Clone)]
pub(crate) struct Secrets(Arc<[DeleteSecret]>);

/// An accepted upload in the answer to its sender.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(crate) struct AcceptedUpload {
    #[serde(flatten)]
    pub(crate) upload: Upload,
    /// Permits to delete the upload. Only the answer to its sender has it.
    pub(crate) token: String,
}

impl Tokens {
    /// The secrets, read from storage at the first call.
    pub(crate) async fn secrets(&self, storage: &Storage) -> Result<Secrets, SecretError> {
        if self.secrets.borrow().is_empty() {
            let _loading = self.loading.lock().await;
            // Another upload may have read them meanwhile.
            if self.secrets.borrow().is_empty() {
                self.load(storage).await?;
            }
        }
        Ok(Secrets(Arc::clone(&self.secrets.borrow())))
    }

    async fn load(&self, storage: &Storage) -> Result<(), SecretError> {
        let secrets = storage.delete_secrets().await?;
        self.secrets.send_replace(secrets.into());
        Ok(())
    }

    /// Reads the secrets again and again until the server drains.
    pub(crate) async fn refresh(&self, storage: &Storage, draining: &CancellationToken) {
        let refreshing = async {
            loop {
                sleep(REFRESH).await;
                if let Err(error) = self.load(storage).await {
                    let error = &error as &dyn std::error::Error;
                    warn!(
                        error,
                        "could not read the secrets of delete tokens again; the known ones stay in use"
                    );
                }
            }
        };
        draining.run_until_cancelled(refreshing).await;
    }
}

impl Secrets {
    /// An accepted upload with its token.
    pub(crate) fn accepted(&self, upload: Upload) -> AcceptedUpload {
        let token = self.token(upload.id, clock::now());
        AcceptedUpload { upload, token }
    }

    /// The token of an upload.
    fn token(&self, id: UploadId, now: Timestamp) -> String {
        self.sign(PURPOSE, id.to_string().as_bytes(), now)
    }

    /// The tag of a text for a purpose, under the newest secret that every server knows, in URL-safe base64.
    pub(crate) fn sign(&self, purpose: &[u8], text: &[u8], now: Timestamp) -> String {
        let is_known = |secret: &&DeleteSecret| {
            now.duration_since(secret.made_at) >= SIGNS_AFTER.try_into().unwrap_or_default()
        };
        let secret = self.0.iter().rev().find(is_known).or(self.0.first());
        let tag = secret.map(|secret| mac(secret, purpose, text).finalize().into_bytes());
        tag.map(|tag| BASE64_URL_SAFE_NO_PAD.encode(tag)).unwrap_or_default()
    }

    /// Whether a token is that of the upload.
    pub(crate) fn permits(&self, id: UploadId, token: &str) -> bool {
        self.verifies(PURPOSE, id.to_string().as_bytes(), token)
    }

    /// Whether a tag is that of the text for the purpose under any kept secret. The time does not depend on where the
    /// two differ.
    pub(crate) fn verifies(&self, purpose: &[u8], text: &[u8], tag: &str) -> bool {
        let Ok(tag) = BASE64_URL_SAFE_NO_PAD.decode(tag) else { return false };
        self.0.iter().any(|secret| mac(secret, purpose, text).verify_slice(&tag).is_ok())
    }
}

impl From<Vec<DeleteSecret>> for Secrets {
    fn from(secrets: Vec<DeleteSecret>) -> Self {
        Self(secrets.into())
    }
}

fn mac(secret: &DeleteSecret, purpose: &[u8], text: &[u8]) -> Hmac<Sha256> {
    let mac = <Hmac<Sha256> as Mac>::new_from_slice(&secret.bytes).expect("a key of any length is one");
    mac.chain_update(purpose).chain_update(text)
}

#[cfg(test)]
pub(crate) mod tests {
    use worker::testing;

    use super::*;

    pub(crate) fn secret(number: u32, age: Duration) -> DeleteSecret {
        let made_at = clock::now() - age;
        DeleteSecret { number, bytes: [u8::try_from(number).unwrap(); 32], made_at }
    }

    pub(crate) fn secrets(secrets: impl IntoIterator<Item = DeleteSecret>) -> Secrets {
        Secrets(secrets.into_iter().collect())
    }

    pub(crate) const OLD: Duration = Duration::from_secs(3600);

    impl Tokens {
        /// Secrets that need no storage.
        pub(crate) fn of_test() -> Self {
            let tokens = Self::default();
            tokens.secrets.send_replace([secret(1, OLD)].into());
            tokens
        }
    }

    #[test]
    fn a_token_permits_its_own_upload_only() {
        let (secrets, other) = (secrets([secret(1, OLD)]), secrets([secret(2, OLD)]));
        let token = secrets.token(testing::id(), clock::now());
        assert_eq!(token.len(), 43);
        assert!(secrets.permits(testing::id(), &token));
        assert!(!secrets.permits(UploadId::new(), &token), "another upload");
        assert!(!other.permits(testing::id(), &token), "another secret");
        let longer = BASE64_URL_SAFE_NO_PAD
            .encode([&BASE64_URL_SAFE_NO_PAD.decode(&token).unwrap()[..], b"x"].concat());
        for bad in [
            "",
            "A",
            &token[..40],
            &token[..42],
            &format!("{token}A"),
            &format!("{token}="),
            &longer,
            "\u{fffd}",
        ] {
            assert!(!secrets.permits(testing::id(), bad), "{bad}");
        }
    }

    #[test]
    fn a_token_is_the_same_until_a_rotation_and_permits_until_its_secret_is_dropped() {
        let (first, second) = (secret(1, OLD), secret(2, OLD));
        let before = secrets([first.clone()]);
        let token = before.token(testing::id(), clock::now());
        assert_eq!(token, before.token(testing::id(), clock::now()));
        let rotated = secrets([first, second.clone()]);
        assert_ne!(rotated.token(testing::id(), clock::now()), token);
        assert!(rotated.permits(testing::id(), &token));
        assert!(!secrets([second]).permits(testing::id(), &token));
    }

    #[test]
    fn a_new_secret_signs_only_once_every_server_has_read_it() {
        let (first, second) = (secret(1, OLD), secret(2, Duration::from_secs(1)));
        let (before, rotated) = (secrets([first.clone()]), secrets([first, second.clone()]));
        let now = clock::now();
        assert_eq!(rotated.token(testing::id(), now), before.token(testing::id(), now));
        let later = now + SIGNS_AFTER;
        assert_ne!(rotated.token(testing::id(), later), before.token(testing::id(), later));
        assert!(!secrets([second]).token(testing::id(), now).is_empty(), "the first secret signs at once");
    }

    #[tokio::test]
    async fn the_secrets_are_read_once_and_rotations_by_the_refresh() {
        let storage = Storage::over(Arc::new(testing::InMemory::new()));
        let tokens = Tokens::default();
        let known = tokens.secrets(&storage).await.unwrap();
        storage.rotate_delete_secret().await.unwrap();
        assert_eq!(tokens.secrets(&storage).await.unwrap().0, known.0, "a request reads no storage");
        tokens.load(&storage).await.unwrap();
        assert_eq!(tokens.secrets(&storage).await.unwrap().0.len(), 2);
    }
}
