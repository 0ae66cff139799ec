//! `up-server secret rotate`: a new secret for delete tokens.

use worker::{Storage, storage::KEPT_SECRETS};

use crate::config::Config;

/// Creates a secret and prints its number.
///
/// # Errors
/// When storage cannot be opened, or a request to it fails.
pub async fn run(config: &Config) -> anyhow::Result<()> {
    let url = config.storage_url();
    let number = Storage::open(&url)?.rotate_delete_secret().await?;
    println!(
        "secret {number} in {url} is new. Servers use it for new tokens in about a minute; tokens of the {} secrets before \
         it stay valid.",
        KEPT_SECRETS - 1
    );
    Ok(())
}
