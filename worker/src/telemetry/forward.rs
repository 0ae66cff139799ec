//! Forwards the metrics of a worker to the server that started it, as lines of JSON on standard output. When the pipe
//! is full, metrics are dropped: a job never waits for them.

use std::{collections::HashMap, sync::Arc};

use metrics::{
    Counter, CounterFn, Gauge, GaugeFn, Histogram, HistogramFn, Key, KeyName, Label, Metadata, Recorder,
    SharedString, Unit, counter, gauge, histogram,
};
use serde::{Deserialize, Serialize};

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Line {
    name: String,
    labels: Vec<(String, String)>,
    value: Value,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Value {
    /// Added to a counter.
    Added(u64),
    /// The value of a gauge from now on. Workers of one server write the same one, so the last counts.
    Set(f64),
    /// The value of a gauge from now on. A server shows the sum over its workers.
    Share(f64),
    /// Recorded in a histogram.
    Recorded(f64),
}

/// Writes metrics to standard output from now on.
///
/// # Errors
/// When standard output cannot be made non-blocking, or the process already records metrics.
pub(super) fn install() -> anyhow::Result<()> {
    // A server that does not read must not block a worker.
    rustix::io::ioctl_fionbio(std::io::stdout(), true)?;
    metrics::set_global_recorder(Forward).map_err(|_| anyhow::anyhow!("the process already records metrics"))
}

/// The gauges that a server sums over its workers.
const SUMMED: [&str; 2] = [super::SLOTS, super::SLOTS_BUSY];

/// The metrics that one worker with `--tell-parent` writes to its standard output. Dropped when the worker has ended: its
/// share of summed gauges ends with it.
#[derive(Default)]
pub struct ForwardedMetrics {
    /// The last value of each summed gauge. The value is absolute, so that a line that was dropped does not matter for
    /// long.
    shares: HashMap<String, f64>,
}

impl ForwardedMetrics {
    /// Records a line. Other lines are ignored.
    pub fn record(&mut self, line: &str) {
        let Ok(Line { name, labels, value }) = serde_json::from_str(line) else { return };
        match value {
            Value::Added(number) => counter!(name, &labels).increment(number),
            Value::Set(number) => gauge!(name, &labels).set(number),
            Value::Share(number) => {
                let last = self.shares.insert(name.clone(), number).unwrap_or(0.0);
                gauge!(name).increment(number - last);
            }
            Value::Recorded(number) => histogram!(name, &labels).record(number),
        }
    }
}

impl Drop for ForwardedMetrics {
    fn drop(&mut self) {
        for (name, share) in self.shares.drain() {
            gauge!(name).decrement(share);
        }
    }
}

struct Forward;

impl Recorder for Forward {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(Arc::new(ForwardedMetric(key.clone())))
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(Arc::new(ForwardedMetric(key.clone())))
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::from_arc(Arc::new(ForwardedMetric(key.clone())))
    }
}

struct ForwardedMetric(Key);

impl ForwardedMetric {
    fn line(&self, value: Value) -> Vec<u8> {
        let label = |label: &Label| (label.key().to_owned(), label.value().to_owned());
        let labels = self.0.labels().map(label).collect();
        let line = Line { name: self.0.name().to_owned(), labels, value };
        let mut line = serde_json::to_vec(&line).expect("texts and a number are JSON");
        line.push(b'\n');
        line
    }

    /// Atomic: a write to a pipe below `PIPE_BUF` is never split, see pipe(7).
    fn send(&self, value: Value) {
        let _ = rustix::io::write(std::io::stdout(), &self.line(value));
    }
}

impl CounterFn for ForwardedMetric {
    fn increment(&self, value: u64) {
        self.send(Value::Added(value));
    }

    fn absolute(&self, _: u64) {
        debug_assert!(false, "counters here are added to");
    }
}

impl GaugeFn for ForwardedMetric {
    fn increment(&self, _: f64) {
        debug_assert!(false, "gauges here are set");
    }

    fn decrement(&self, _: f64) {
        debug_assert!(false, "gauges here are set");
    }

    fn set(&self, value: f64) {
        let is_summed = SUMMED.contains(&self.0.name());
        self.send(if is_summed { Value::Share(value) } else { Value::Set(value) });
    }
}

impl HistogramFn for ForwardedMetric {
    fn record(&self, value: f64) {
        self.send(Value::Recorded(value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metric_is_one_line_that_can_be_read_again() {
        let metric = ForwardedMetric(Key::from_parts("up_x", vec![Label::new("stage", "make")]));
        let line = String::from_utf8(metric.line(Value::Recorded(0.25))).unwrap();
        assert_eq!(
            line,
            "{\"name\":\"up_x\",\"labels\":[[\"stage\",\"make\"]],\"value\":{\"recorded\":0.25}}\n"
        );
        assert_eq!(serde_json::from_str::<Line>(&line).unwrap().value, Value::Recorded(0.25));
        let gauge = metric.line(Value::Set(1.0));
        assert_eq!(serde_json::from_slice::<Line>(&gauge).unwrap().value, Value::Set(1.0));
    }
}
