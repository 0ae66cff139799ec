//! Reports of readiness: whether the server can accept uploads.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use tokio::{
    sync::Mutex,
    task::JoinHandle,
    time::{Instant, timeout},
};

use crate::config::Lanes;

/// The result of a check. Reasons are for operators.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Report {
    /// Storage, outbox and broker answer.
    Ready,
    /// The broker is unavailable, storage is slow, or no worker process runs.
    Degraded(Vec<String>),
    /// Uploads cannot be accepted.
    NotReady(Vec<String>),
}

/// The times of [`Reports`].
#[derive(Debug, Clone, Copy)]
struct Times {
    /// How long a report is reused. It bounds the checks that requests for `/readyz` can cause.
    counts_for: Duration,
    /// How long a request waits for a check that runs: less than load balancers wait.
    waited_for: Duration,
    /// How long a check may run before a ready server counts as degraded.
    late_after: Duration,
}

const TIMES: Times = Times {
    counts_for: Duration::from_secs(3),
    waited_for: Duration::from_secs(2),
    late_after: Duration::from_secs(5),
};

/// The last report of a server, and the check that runs.
pub(crate) struct Reports {
    times: Times,
    state: Mutex<ReportState>,
}

impl Default for Reports {
    fn default() -> Self {
        Self { times: TIMES, state: Mutex::default() }
    }
}

#[derive(Default)]
struct ReportState {
    last: Option<(Instant, Report)>,
    running: Option<(Instant, JoinHandle<Report>)>,
}

impl Reports {
    /// The last report if it is not too old, else that of a new check; concurrent calls share one. A check that takes long
    /// is not waited for: then the last report counts, and after a while a ready server counts as degraded.
    pub(crate) async fn latest(&self, check: impl FnOnce() -> JoinHandle<Report>) -> Report {
        let Times { counts_for, waited_for, late_after } = self.times;
        let mut state = self.state.lock().await;
        if state.running.is_none() {
            if let Some((at, report)) = &state.last
                && at.elapsed() < counts_for
            {
                return report.clone();
            }
            state.running = Some((Instant::now(), check()));
        }
        let Some((begun, running)) = &mut state.running else { unreachable!("it runs since a moment ago") };
        let begun = *begun;
        let waits = waited_for.saturating_sub(begun.elapsed());
        match timeout(waits, running).await {
            Ok(checked) => {
                let panicked = |_| Report::NotReady(vec!["the check of readiness panicked".to_owned()]);
                let report = checked.unwrap_or_else(panicked);
                state.running = None;
                state.last = Some((Instant::now(), report.clone()));
                report
            }
            Err(_) => match &state.last {
                Some((_, report)) if begun.elapsed() < late_after => report.clone(),
                Some((_, report @ Report::NotReady(_))) => report.clone(),
                _ => Report::Degraded(vec![format!(
                    "a check of storage, outbox and broker has run for {:.0} s",
                    begun.elapsed().as_secs_f64()
                )]),
            },
        }
    }
}

/// The worker processes of a server.
#[derive(Default)]
pub(crate) struct WorkerProcesses {
    running: AtomicUsize,
    /// Those of all lanes that ended, or could not be started, and have not run for a while since.
    down: AtomicUsize,
}

impl WorkerProcesses {
    /// Counts a process as running until the guard is dropped.
    pub(crate) fn on_started(&self) -> RunningProcess<'_> {
        self.running.fetch_add(1, Ordering::Relaxed);
        RunningProcess(self)
    }

    /// Watches a process and those that replace it. Without a process that takes jobs of all lanes some job waits for
    /// ever, so only those count as down.
    pub(crate) const fn watch(&self, lanes: Lanes) -> ProcessLife<'_> {
        ProcessLife { processes: self, counts: matches!(lanes, Lanes::Any), is_down: false }
    }

    /// The number of processes that run.
    pub(crate) fn running(&self) -> usize {
        self.running.load(Ordering::Relaxed)
    }

    /// Whether none of so many, of all lanes, runs any more.
    pub(crate) fn are_all_down(&self, of: usize) -> bool {
        of > 0 && self.down.load(Ordering::Relaxed) >= of
    }
}

/// The life of a process and of those that replace it.
pub(crate) struct ProcessLife<'server> {
    processes: &'server WorkerProcesses,
    counts: bool,
    is_down: bool,
}

impl ProcessLife<'_> {
    /// The process ended, or could not be started.
    pub(crate) fn on_down(&mut self) {
        if self.counts && !std::mem::replace(&mut self.is_down, true) {
            self.processes.down.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The process has run for a while.
    pub(crate) fn on_proven(&mut self) {
        if std::mem::take(&mut self.is_down) {
            self.processes.down.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// A worker process that runs.
pub(crate) struct RunningProcess<'server>(&'server WorkerProcesses);

impl Drop for RunningProcess<'_> {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::*;

    const SOON: Duration = Duration::from_millis(1);
    const NEVER: Duration = Duration::from_secs(1_000_000);

    fn reports(counts_for: Duration, late_after: Duration) -> Reports {
        let times = Times { counts_for, waited_for: SOON, late_after };
        Reports { times, state: Mutex::default() }
    }

    async fn checked(reports: &Reports, report: &Report) {
        let report = report.clone();
        // The check must be over before the first request, which does not wait for it.
        let checked = tokio::spawn(async { report });
        while !checked.is_finished() {
            tokio::task::yield_now().await;
        }
        reports.latest(|| checked).await;
    }

    #[tokio::test]
    async fn a_report_is_reused_for_a_while() {
        let reports = reports(NEVER, NEVER);
        checked(&reports, &Report::Ready).await;
        let again = reports.latest(|| unreachable!("the last report is not too old")).await;
        assert_eq!(again, Report::Ready);
    }

    #[tokio::test]
    async fn a_check_that_takes_long_is_not_waited_for_and_degrades_a_ready_server_after_a_while() {
        for (late_after, is_degraded) in [(NEVER, false), (Duration::ZERO, true)] {
            let reports = reports(Duration::ZERO, late_after);
            checked(&reports, &Report::Ready).await;
            for _ in 0..2 {
                let report = reports.latest(|| tokio::spawn(pending())).await;
                assert_eq!(matches!(report, Report::Degraded(_)), is_degraded, "{report:?}");
            }
        }
    }

    #[tokio::test]
    async fn a_check_that_takes_long_does_not_make_a_server_ready_again() {
        let (reports, away) =
            (reports(Duration::ZERO, Duration::ZERO), Report::NotReady(vec!["away".to_owned()]));
        checked(&reports, &away).await;
        assert_eq!(reports.latest(|| tokio::spawn(pending())).await, away);
    }

    #[test]
    fn processes_of_all_lanes_are_down_until_one_has_run_for_a_while() {
        let processes = WorkerProcesses::default();
        let [mut one, mut other] = [Lanes::Any; 2].map(|lanes| processes.watch(lanes));
        let mut interactive = processes.watch(Lanes::Interactive);
        interactive.on_down();
        one.on_down();
        one.on_down();
        assert!(!processes.are_all_down(2), "one takes every job");
        other.on_down();
        assert!(processes.are_all_down(2));
        drop(processes.on_started());
        assert!(processes.are_all_down(2), "a process that dies at its start takes no job");
        one.on_proven();
        assert!(!processes.are_all_down(2));
        assert!(!WorkerProcesses::default().are_all_down(0), "no process is wanted");
    }
}
