//! Figures of a worker that a server started, on their way to that server: lines of JSON on standard output. They are
//! lost rather than waited for.

use std::sync::Arc;

use metrics::{
    Counter, CounterFn, Gauge, Histogram, HistogramFn, Key, KeyName, Label, Metadata, Recorder, SharedString,
    Unit, counter, histogram,
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
    /// Recorded in a histogram.
    Recorded(f64),
}

/// Begins to write figures to standard output.
///
/// # Errors
/// When standard output cannot be told not to wait, or figures go elsewhere already.
pub(super) fn install() -> anyhow::Result<()> {
    // A server that does not read must not hold up a worker.
    rustix::io::ioctl_fionbio(std::io::stdout(), true)?;
    metrics::set_global_recorder(Forward).map_err(|_| anyhow::anyhow!("figures go elsewhere already"))
}

/// Takes in a line that a worker wrote. What is none is ignored.
pub(super) fn replay(line: &str) {
    let Ok(Line { name, labels, value }) = serde_json::from_str(line) else { return };
    match value {
        Value::Added(number) => counter!(name, &labels).increment(number),
        Value::Recorded(number) => histogram!(name, &labels).record(number),
    }
}

struct Forward;

impl Recorder for Forward {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(Arc::new(Figure(key.clone())))
    }

    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        // A worker has none.
        Gauge::noop()
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::from_arc(Arc::new(Figure(key.clone())))
    }
}

struct Figure(Key);

impl Figure {
    fn line(&self, value: Value) -> Vec<u8> {
        let label = |label: &Label| (label.key().to_owned(), label.value().to_owned());
        let labels = self.0.labels().map(label).collect();
        let line = Line { name: self.0.name().to_owned(), labels, value };
        let mut line = serde_json::to_vec(&line).expect("texts and a number are JSON");
        line.push(b'\n');
        line
    }

    /// Whole or not at all: so short a write to a pipe is not divided (`PIPE_BUF` in pipe(7)).
    fn tell(&self, value: Value) {
        let _ = rustix::io::write(std::io::stdout(), &self.line(value));
    }
}

impl CounterFn for Figure {
    fn increment(&self, value: u64) {
        self.tell(Value::Added(value));
    }

    fn absolute(&self, _: u64) {
        debug_assert!(false, "counters here are added to");
    }
}

impl HistogramFn for Figure {
    fn record(&self, value: f64) {
        self.tell(Value::Recorded(value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_is_one_line_that_can_be_read_again() {
        let figure = Figure(Key::from_parts("up_x", vec![Label::new("stage", "make")]));
        let line = String::from_utf8(figure.line(Value::Recorded(0.25))).unwrap();
        assert_eq!(
            line,
            "{\"name\":\"up_x\",\"labels\":[[\"stage\",\"make\"]],\"value\":{\"recorded\":0.25}}\n"
        );
        assert_eq!(serde_json::from_str::<Line>(&line).unwrap().value, Value::Recorded(0.25));
    }
}
