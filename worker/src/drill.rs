//! `up-worker drill`: attacks the sandbox of decoders on this host, and tells which layer stopped each attack.
//!
//! Every attack runs in a real process: the worker's own executable with the sandbox of a decoder, started, timed,
//! checked and killed by the code that makes thumbnails. Where several layers have to stop an attack, it is tried again
//! with each of them alone.

mod attempts;
mod report;
mod targets;
mod verdict;

use std::{process::ExitCode, time::Duration};

use anyhow::Context;
use rustix::process::{PTracer, set_ptracer};
use tokio::time::timeout;

use self::{
    attempts::{ATTEMPTS, Attempt, Layer},
    report::{Report, Tried},
    targets::OpenTargets,
    verdict::Verdict,
};
use crate::{
    Format,
    config::{DrillArgs, PixelConfig},
    confinement::{AttackOrder, ConfinementMode, Launch, Priority, SandboxLayers, sandbox_status},
    failpoint,
    maker::Maker,
};

/// The original of every attack: a GIF of one pixel.
const ORIGINAL: &[u8] = b"GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\xff\xff\xff\x2c\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02\x44\x01\x00\x3b";

/// The time limit of an attack that waits for it.
const SHORT: Duration = Duration::from_secs(1);

/// The time limit of every other attack. They take milliseconds, but the machine may be busy.
const LONG: Duration = Duration::from_secs(10);

/// The time after which an attack is given up: more than the worker's clock ever needs.
const PATIENCE: Duration = Duration::from_secs(15);

/// Runs the drill and prints its report. The exit code is 0 if every layer held, else 1.
///
/// # Errors
/// When the drill cannot open its targets, start processes or print.
pub(crate) async fn run(pixels: &PixelConfig, drill: &DrillArgs) -> anyhow::Result<ExitCode> {
    let mode = drill.confinement.unwrap_or(pixels.confinement);
    let range = Range { pixels, layers: drilled_layers(mode), targets: OpenTargets::open()? };
    // Some kernels let no process trace its parent, whatever its sandbox is. The drill is about the sandbox.
    let _ = set_ptracer(PTracer::Any);
    let status = sandbox_status(&range.launch(range.layers, &ATTEMPTS[0]))
        .await
        .context("could not start a process with the sandbox of a decoder")?;
    let mut tried = Vec::new();
    for attempt in &ATTEMPTS {
        tried.push(range.tried(attempt).await?);
    }
    let report = Report { mode, status, tried };
    report.print(drill.json).context("could not write to standard output")?;
    Ok(if report.all_held() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The layers that a decoder would enforce. Tests take one away.
fn drilled_layers(mode: ConfinementMode) -> SandboxLayers {
    let wanted = SandboxLayers::from(mode);
    let is_kept = |layer| !failpoint::is_dropped("layer-of-sandbox", layer);
    SandboxLayers {
        limits: wanted.limits && is_kept("limits"),
        landlock: wanted.landlock && is_kept("landlock"),
        filter: wanted.filter && is_kept("seccomp"),
    }
}

/// The settings of all attacks.
struct Range<'drill> {
    pixels: &'drill PixelConfig,
    layers: SandboxLayers,
    targets: OpenTargets,
}

impl Range<'_> {
    /// Makes an attempt in the whole sandbox, and with each of several layers alone.
    async fn tried(&self, attempt: &'static Attempt) -> anyhow::Result<Tried> {
        let whole = self.attack(attempt, attempt.layers[0], self.layers).await?;
        let mut layers = Vec::new();
        for layer in attempt.layers {
            let verdict = match attempt.layers {
                [_] => whole.clone(),
                _ => self.attack(attempt, *layer, alone(self.layers, *layer)).await?,
            };
            layers.push((*layer, verdict));
        }
        Ok(Tried { attempt, whole, layers })
    }

    /// Makes an attempt in a sandbox of these layers. `layer` is the one that has to stop it.
    async fn attack(
        &self,
        attempt: &Attempt,
        layer: Layer,
        layers: SandboxLayers,
    ) -> anyhow::Result<Verdict> {
        let job_timeout = if layer == Layer::Clock { SHORT } else { LONG };
        let maker =
            Maker::new(&PixelConfig { job_timeout, ..self.pixels.clone() }, self.launch(layers, attempt));
        maker.warm(1).await.context("could not start a process with the sandbox of a decoder")?;
        let made = timeout(PATIENCE, maker.make(ORIGINAL.into(), Format::Gif, Priority::Normal)).await.ok();
        Ok(verdict::of(made, layer))
    }

    fn launch(&self, layers: SandboxLayers, attempt: &Attempt) -> Launch {
        let order = AttackOrder { layers, attack: attempt.attack, targets: self.targets.named.clone() };
        // The report tells which layer is missing, so a missing one refuses no attacker.
        Launch { attack: Some(order), ..Launch::own(ConfinementMode::Off, self.pixels.job_memory_bytes) }
    }
}

/// A layer of a sandbox alone, if the sandbox has it.
fn alone(layers: SandboxLayers, layer: Layer) -> SandboxLayers {
    SandboxLayers {
        limits: layers.limits && layer == Layer::Limits,
        landlock: layers.landlock && matches!(layer, Layer::Landlock(_)),
        filter: layers.filter && layer == Layer::Seccomp,
    }
}
