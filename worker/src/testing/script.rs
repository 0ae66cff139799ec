//! A transport in memory: a test decides when jobs are delivered and when a process dies.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use tokio::sync::{Notify, mpsc};

use crate::{
    contract::{
        message::{Changed, ResizeJob},
        record::{JobName, Lane},
    },
    transport::{
        Announcements, Announcer, DeadLetter, DeadLetters, DeathReason, Deliveries, Delivery, Depth,
        JobQueue, ListenEvent, LookUp, Posting, Receipt, Room, Settled, Slots, Task, Transport,
        TransportError, Tries, dead_job::DeadJob,
    },
};

/// Stops a process after a number of operations on storage and transport: the next operation waits until
/// the fuse is mended.
#[derive(Debug, Clone)]
pub struct Fuse(Arc<FuseState>);

#[derive(Debug)]
struct FuseState {
    left: AtomicUsize,
    blown: Notify,
    mended: Notify,
}

impl Fuse {
    /// A fuse that stops after this number of operations.
    #[must_use]
    pub fn after(operations: usize) -> Self {
        let left = AtomicUsize::new(operations);
        Self(Arc::new(FuseState { left, blown: Notify::new(), mended: Notify::new() }))
    }

    /// A fuse that never stops.
    #[must_use]
    pub fn never() -> Self {
        Self::after(usize::MAX)
    }

    /// Does one operation.
    pub async fn spend(&self) {
        let mended = self.0.mended.notified();
        if self.0.left.try_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_err() {
            self.0.blown.notify_one();
            mended.await;
        }
    }

    /// Lets a stopped process do this number of operations more.
    pub fn refill(&self, operations: usize) {
        self.0.left.store(operations, Ordering::Relaxed);
    }

    /// Lets a stopped process go on: its operations no longer wait.
    pub fn mend(&self) {
        self.0.left.store(usize::MAX, Ordering::Relaxed);
        self.0.mended.notify_waiters();
    }

    /// Runs a process until it ends or the fuse stops it. Returns whether it ended.
    pub async fn run(&self, process: impl Future<Output = ()>) -> bool {
        tokio::select! {
            () = process => true,
            () = self.0.blown.notified() => false,
        }
    }
}

/// One job in the queue.
#[derive(Debug)]
struct ScriptJob {
    task: Task,
    tries: Tries,
    /// The token of the current delivery.
    token: Option<u64>,
}

#[derive(Debug, Default)]
struct ScriptState {
    entries: Vec<ScriptJob>,
    dead: Vec<ResizeJob>,
    announced: Vec<Changed>,
    listeners: Vec<mpsc::UnboundedSender<ListenEvent>>,
    next_token: u64,
    postings: Vec<Posting>,
    settled: Vec<&'static str>,
}

/// A transport in memory. Clones share the queue, but each process has its own fuse.
#[derive(Debug, Clone)]
pub struct Script {
    inner: Arc<Mutex<ScriptState>>,
    fuse: Fuse,
    /// Whether the queue can be searched, like SQLite and unlike RabbitMQ.
    searchable: bool,
}

impl Script {
    /// An empty queue that can be searched.
    #[must_use]
    pub fn searchable() -> Self {
        Self { inner: Arc::default(), fuse: Fuse::never(), searchable: true }
    }

    /// An empty queue that only counts.
    #[must_use]
    pub fn counting() -> Self {
        Self { searchable: false, ..Self::searchable() }
    }

    /// The same queue, used by a process with this fuse.
    #[must_use]
    pub fn with_fuse(&self, fuse: Fuse) -> Self {
        Self { fuse, ..self.clone() }
    }

    /// The next job, without its delay; `None` if the queue is empty.
    #[must_use]
    pub fn deliver(&self) -> Option<Delivery> {
        let mut inner = self.inner();
        inner.next_token += 1;
        let token = inner.next_token;
        let entry = inner.entries.iter_mut().find(|entry| entry.token.is_none())?;
        entry.token = Some(token);
        entry.tries.deliveries += 1;
        let receipt = Box::new(ScriptReceipt { script: self.clone(), token });
        Some(Delivery {
            task: entry.task.clone(),
            tries: entry.tries,
            traceparent: None,
            client: None,
            receipt,
        })
    }

    /// Redelivers every unsettled delivery, as if its process died.
    pub fn redeliver(&self) {
        self.inner().entries.iter_mut().for_each(|entry| entry.token = None);
    }

    /// Loses every job, like a deleted queue.
    pub fn purge(&self) {
        self.inner().entries.clear();
    }

    /// The jobs in the queue.
    #[must_use]
    pub fn jobs(&self) -> Vec<JobName> {
        let job = |entry: &ScriptJob| match &entry.task {
            Task::Resize(job) => Some(job.name()),
            Task::Bury(letter) => letter.job.as_ref().map(ResizeJob::name),
        };
        self.inner().entries.iter().filter_map(job).collect()
    }

    /// Everything that was posted.
    #[must_use]
    pub fn postings(&self) -> Vec<Posting> {
        self.inner().postings.clone()
    }

    /// Everything that was announced.
    #[must_use]
    pub fn announced(&self) -> Vec<Changed> {
        self.inner().announced.clone()
    }

    /// How deliveries were settled.
    #[must_use]
    pub fn settled(&self) -> Vec<&'static str> {
        self.inner().settled.clone()
    }

    /// Posts a burial.
    pub fn post_burial(&self, letter: DeadLetter) {
        let tries = Tries { deliveries: 0, failures: 0 };
        self.inner().entries.push(ScriptJob { task: Task::Bury(letter), tries, token: None });
    }

    fn inner(&self) -> MutexGuard<'_, ScriptState> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl JobQueue for Script {
    async fn publish(&self, posting: Posting) -> Result<(), TransportError> {
        self.fuse.spend().await;
        let mut inner = self.inner();
        inner.postings.push(posting.clone());
        let is_same =
            |entry: &ScriptJob| matches!(&entry.task, Task::Resize(job) if job.name() == posting.job.name());
        if !(self.searchable && inner.entries.iter().any(is_same)) {
            let tries = Tries { deliveries: 0, failures: 0 };
            inner.entries.push(ScriptJob { task: Task::Resize(posting.job), tries, token: None });
        }
        Ok(())
    }

    async fn consume(&self, _slots: Slots) -> Result<Box<dyn Deliveries>, TransportError> {
        Ok(Box::new(ScriptDeliveries(self.clone())))
    }

    async fn depth(&self) -> Result<Depth, TransportError> {
        let ready = self.inner().entries.len() as u64;
        Ok(Depth { ready, ..Depth::default() })
    }

    async fn room_taken(&self) -> Result<u64, TransportError> {
        let inner = self.inner();
        let counted = |job: &ResizeJob| {
            inner.postings.iter().any(|posting| posting.room == Room::Counted && posting.job == *job)
        };
        let takes_room = |entry: &&ScriptJob| matches!(&entry.task, Task::Resize(job) if counted(job));
        Ok(inner.entries.iter().filter(takes_room).count() as u64)
    }

    async fn look_up(&self, lane: Lane, jobs: &[JobName]) -> Result<LookUp, TransportError> {
        self.fuse.spend().await;
        if self.searchable {
            let held = self.jobs();
            return Ok(LookUp::Missing(jobs.iter().filter(|job| !held.contains(job)).copied().collect()));
        }
        let waits = |entry: &&ScriptJob| {
            entry.token.is_none() && matches!(&entry.task, Task::Resize(job) if job.lane() == lane)
        };
        Ok(LookUp::Waiting(self.inner().entries.iter().filter(waits).count() as u64))
    }

    async fn check(&self) -> Result<(), TransportError> {
        Ok(())
    }
}

#[async_trait]
impl Announcer for Script {
    async fn announce(&self, changed: &Changed, _traceparent: Option<&str>) -> Result<(), TransportError> {
        self.fuse.spend().await;
        let mut inner = self.inner();
        inner.announced.push(changed.clone());
        inner
            .listeners
            .retain(|listener| listener.send(ListenEvent::Changed(Box::new(changed.clone()), None)).is_ok());
        Ok(())
    }

    async fn listen(&self) -> Result<Box<dyn Announcements>, TransportError> {
        let (sender, receiver) = mpsc::unbounded_channel();
        self.inner().listeners.push(sender);
        Ok(Box::new(ScriptAnnouncements(receiver)))
    }
}

#[async_trait]
impl DeadLetters for Script {
    async fn dead_letters(&self) -> Result<Vec<DeadJob>, TransportError> {
        let dead = |job: &ResizeJob| DeadJob {
            key: job.id.to_string(),
            id: Some(job.id),
            reason: DeathReason::Exhausted,
            failures: 0,
            lane: job.lane(),
            posted_at: None,
            body: job.encode(),
        };
        Ok(self.inner().dead.iter().map(dead).collect())
    }

    async fn forget_dead(&self, key: &str) -> Result<usize, TransportError> {
        let mut inner = self.inner();
        let before = inner.dead.len();
        inner.dead.retain(|job| job.id.to_string() != key);
        Ok(before - inner.dead.len())
    }
}

#[async_trait]
impl Transport for Script {
    async fn close(&self) {}
}

/// Hands out jobs as they come.
struct ScriptDeliveries(Script);

#[async_trait]
impl Deliveries for ScriptDeliveries {
    async fn next(&mut self) -> Option<Delivery> {
        loop {
            if let Some(delivery) = self.0.deliver() {
                return Some(delivery);
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

struct ScriptAnnouncements(mpsc::UnboundedReceiver<ListenEvent>);

#[async_trait]
impl Announcements for ScriptAnnouncements {
    async fn next(&mut self) -> Option<ListenEvent> {
        self.0.recv().await
    }
}

/// An unsettled delivery.
struct ScriptReceipt {
    script: Script,
    token: u64,
}

impl ScriptReceipt {
    async fn settle(
        self: Box<Self>,
        how: &'static str,
        change: impl FnOnce(&mut ScriptState, usize) + Send,
    ) -> Result<Settled, TransportError> {
        self.script.fuse.spend().await;
        let mut inner = self.script.inner();
        let Some(at) = inner.entries.iter().position(|entry| entry.token == Some(self.token)) else {
            return Ok(Settled::Stale);
        };
        inner.settled.push(how);
        change(&mut inner, at);
        Ok(Settled::Done)
    }
}

#[async_trait]
impl Receipt for ScriptReceipt {
    async fn finish(self: Box<Self>, changed: Option<Changed>) -> Result<Settled, TransportError> {
        if let Some(changed) = &changed {
            self.script.announce(changed, None).await?;
        }
        self.settle("finish", |inner, at| {
            inner.entries.remove(at);
        })
        .await
    }

    async fn retry(self: Box<Self>, _after: Duration) -> Result<Settled, TransportError> {
        self.settle("retry", |inner, at| {
            inner.entries[at].token = None;
            inner.entries[at].tries.failures += 1;
        })
        .await
    }

    async fn postpone(self: Box<Self>, _after: Duration) -> Result<Settled, TransportError> {
        self.settle("postpone", |inner, at| inner.entries[at].token = None).await
    }

    async fn dead_letter(self: Box<Self>, reason: DeathReason) -> Result<Settled, TransportError> {
        self.settle("dead-letter", |inner, at| {
            let entry = inner.entries.remove(at);
            if let Task::Resize(job) = entry.task {
                let letter = DeadLetter {
                    id: Some(job.id),
                    generation: Some(job.generation),
                    job: Some(job.clone()),
                    reason,
                };
                inner.dead.push(job);
                let tries = Tries { deliveries: 0, failures: 0 };
                inner.entries.push(ScriptJob { task: Task::Bury(letter), tries, token: None });
            }
        })
        .await
    }

    async fn release(self: Box<Self>) -> Result<Settled, TransportError> {
        self.settle("release", |inner, at| inner.entries[at].token = None).await
    }
}
