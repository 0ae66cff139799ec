//! Other programs that make thumbnails, where they are on the machine.

use std::{
    path::Path,
    process::{Command, Stdio},
    time::Instant,
};

/// The time of node with sharp: one decode, three sizes, as its manual recommends; the median of eleven runs.
const SHARP: &str = r"
const sharp = require('sharp');
sharp.concurrency(1);
sharp.cache(false);
(async () => {
  for (const path of process.argv.slice(1)) {
    const bytes = require('fs').readFileSync(path);
    const times = [];
    for (let run = 0; run < 11; run++) {
      const begun = performance.now();
      let source = sharp(bytes).rotate().resize(1024, 1024, { fit: 'inside', withoutEnlargement: true });
      const large = await source.clone().raw().toBuffer({ resolveWithObject: true });
      const raw = { raw: { width: large.info.width, height: large.info.height, channels: large.info.channels } };
      const encode = (side) => sharp(large.data, raw)
        .resize(side, side, { fit: 'inside', withoutEnlargement: true }).jpeg({ quality: 80 }).toBuffer();
      for (const side of [1024, 480, 160]) await encode(side);
      times.push(performance.now() - begun);
    }
    console.log('  sharp         ' + times.sort((a, b) => a - b)[5].toFixed(1).padStart(7) + ' ms  ' + path);
  }
})();
";

/// Prints what they take for these files, or that they are not there. Returns the milliseconds of sharp, if it is there.
pub fn compare(paths: &[&Path]) -> Vec<f64> {
    if runs(Command::new("vipsthumbnail").arg("--version")) {
        for path in paths {
            let begun = Instant::now();
            for side in ["1024", "480", "160"] {
                let output = std::env::temp_dir().join("up-bench-%s.jpg[Q=80]");
                let mut vips = Command::new("vipsthumbnail");
                runs(vips.args(["--size", side, "-o"]).arg(output).arg(path));
            }
            println!(
                "  vipsthumbnail {:>7.1} ms  {} (three processes)",
                begun.elapsed().as_secs_f64() * 1e3,
                path.display()
            );
        }
    } else {
        println!("  vipsthumbnail is not on this machine");
    }
    if runs(Command::new("node").args(["-e", "require('sharp')"])) {
        let mut sharp = Command::new("node");
        sharp.args(["-e", SHARP]).args(paths);
        let output = sharp.stderr(Stdio::inherit()).output();
        let Some(output) = output.ok().filter(|output| output.status.success()) else {
            println!("  node and sharp are there, and failed");
            return Vec::new();
        };
        let text = String::from_utf8_lossy(&output.stdout);
        print!("{text}");
        let times = text.lines().filter_map(|line| line.split_whitespace().nth(1)?.parse().ok());
        return times.collect();
    }
    println!("  node with sharp is not on this machine");
    Vec::new()
}

fn runs(command: &mut Command) -> bool {
    let silent = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    silent.status().is_ok_and(|status| status.success())
}
