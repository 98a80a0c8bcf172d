//! Notifications that there is new work, from whatever process wrote it.

use futures_util::StreamExt;
use tokio::sync::Notify;
use tokio_postgres::AsyncMessage;

use super::error::StoreError;
use super::pool::Store;

impl Store {
    /// Wakes everyone waiting on `wake` whenever a transaction has added letters, until the connection is
    /// lost. Wakes them once at the start too: letters may have come before anyone listened.
    ///
    /// # Errors
    /// Always ends with one: call it again after a pause.
    pub async fn listen(&self, wake: &Notify) -> Result<std::convert::Infallible, StoreError> {
        let dial = self.dial();
        let lost = |error: tokio_postgres::Error| StoreError::no_connection(&error, &dial.host());
        let (client, mut messages) = dial.connect(dial.config()).await?;
        let listening = client.batch_execute("listen channel_sync_letters");
        tokio::pin!(listening);
        let mut listens = false;
        loop {
            tokio::select! {
                done = &mut listening, if !listens => {
                    done.map_err(lost)?;
                    listens = true;
                    wake.notify_waiters();
                }
                message = messages.next() => match message {
                    Some(Ok(AsyncMessage::Notification(_))) => wake.notify_waiters(),
                    Some(Ok(_)) => {}
                    Some(Err(error)) => return Err(lost(error)),
                    None => return Err(StoreError::Unreachable("the connection was closed".to_owned())),
                },
            }
        }
    }
}
