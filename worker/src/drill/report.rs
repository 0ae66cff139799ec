//! The report of a drill: a table for people, or JSON.

use std::{
    collections::BTreeSet,
    io::{self, Write},
};

use serde_json::{Value, json};

use super::{
    attempts::{Attempt, Layer},
    verdict::Verdict,
};
use crate::confinement::{ConfinementMode, LayerStatus, SandboxStatus};

/// An attempt, how it ended in the whole sandbox, and how with each layer that has to stop it.
pub(super) struct Tried {
    pub(super) attempt: &'static Attempt,
    pub(super) whole: Verdict,
    pub(super) layers: Vec<(Layer, Verdict)>,
}

/// The outcome of a drill.
pub(super) struct Report {
    pub(super) mode: ConfinementMode,
    pub(super) status: SandboxStatus,
    pub(super) tried: Vec<Tried>,
}

/// A row: attempt, layers, result, and how it ended.
type Row = [String; 4];

impl Report {
    /// Whether every layer stopped every attempt that it has to stop, and the kernel enforces all of them.
    pub(super) fn all_held(&self) -> bool {
        let held = |tried: &Tried| tried.whole.held && tried.layers.iter().all(|(_, alone)| alone.held);
        self.status.is_enforced() && self.tried.iter().all(held)
    }

    /// Prints the report on standard output.
    pub(super) fn print(&self, as_json: bool) -> io::Result<()> {
        let mut out = io::stdout().lock();
        if as_json {
            return writeln!(out, "{}", self.json());
        }
        let heads = ["ATTEMPT", "LAYER", "RESULT", "HOW IT ENDED"].map(str::to_owned);
        let rows: Vec<Row> = [heads].into_iter().chain(self.tried.iter().flat_map(rows)).collect();
        let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or_default();
        let (first, second, third) = (width(0), width(1), width(2));
        for [attempt, layer, result, ended] in &rows {
            writeln!(out, "{attempt:<first$}  {layer:<second$}  {result:<third$}  {ended}")?;
        }
        for (name, cure) in self.cures() {
            writeln!(out, "{name} is missing: {cure}")?;
        }
        writeln!(out, "{}", self.level())
    }

    /// One sentence: what held, and the version of Landlock.
    fn level(&self) -> String {
        let landlock = match (&self.status.landlock, self.status.landlock_abi) {
            (LayerStatus::Enforced, abi) => format!("Landlock ABI {abi}"),
            (LayerStatus::Partial, abi) => format!("Landlock ABI {abi}, which lacks a part"),
            (LayerStatus::Missing(why), _) => format!("no Landlock ({why})"),
        };
        let escaped = self.tried.iter().filter(|tried| !tried.whole.held).count();
        let all = self.tried.len();
        if self.all_held() {
            format!("all {all} held; {landlock}")
        } else if escaped == 0 {
            format!("all {all} held, but a layer is MISSING; {landlock}")
        } else {
            format!("{escaped} of {all} got through; {landlock}")
        }
    }

    /// What is missing, and what an operator can do about it.
    fn cures(&self) -> BTreeSet<(String, &'static str)> {
        let alone = self.tried.iter().flat_map(|tried| &tried.layers);
        let missing = alone.filter(|(_, alone)| !alone.held).map(|(layer, _)| *layer);
        missing.map(|layer| (layer.name(), layer.cure())).collect()
    }

    fn json(&self) -> Value {
        let attempts: Vec<Value> = self
            .tried
            .iter()
            .map(|Tried { attempt, whole, layers }| {
                let layers: Vec<Value> = layers
                    .iter()
                    .map(|(layer, alone)| {
                        let mut value =
                            json!({ "layer": layer.kind(), "held": alone.held, "ended": alone.ended });
                        if let Layer::Landlock(abi) = layer {
                            value["abi"] = (*abi).into();
                        }
                        value
                    })
                    .collect();
                json!({ "attempt": attempt.name, "held": whole.held, "ended": whole.ended, "layers": layers })
            })
            .collect();
        let missing: Vec<Value> =
            self.cures().into_iter().map(|(layer, cure)| json!({ "layer": layer, "cure": cure })).collect();
        json!({
            "held": self.all_held(),
            "level": self.level(),
            "confinement": self.mode.name(),
            "sandbox": {
                "seccomp": self.status.filter.name(),
                "landlock": self.status.landlock.name(),
                "landlock_abi": self.status.landlock_abi,
                "limits": self.status.limits.name(),
            },
            "attempts": attempts,
            "missing": missing,
        })
    }
}

/// The rows of an attempt: one for the layers that held, and one for each that is missing.
fn rows(Tried { attempt, whole, layers }: &Tried) -> Vec<Row> {
    let name = attempt.name.to_owned();
    let held: Vec<String> =
        layers.iter().filter(|(_, alone)| alone.held).map(|(layer, _)| layer.name()).collect();
    let mut rows = Vec::new();
    if !held.is_empty() {
        let result = if whole.held { "held" } else { "MISSING" };
        rows.push([name.clone(), held.join(", "), result.to_owned(), whole.ended.clone()]);
    }
    for (layer, alone) in layers.iter().filter(|(_, alone)| !alone.held) {
        rows.push([name.clone(), layer.name(), "MISSING".to_owned(), alone.ended.clone()]);
    }
    rows
}
