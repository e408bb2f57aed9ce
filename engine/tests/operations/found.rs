//! What random operations have found, kept as they were printed.

use super::holds;
use super::world::disk::Loss;
use super::{Operation, Turn};

impl Turn {
    /// A turn without mishaps.
    fn new(operation: Operation, spec: &str) -> Self {
        Self {
            spec: spec.to_owned(),
            run: "1",
            operation,
            targets: Vec::new(),
            excludes: Vec::new(),
            replace: Vec::new(),
            confirms: false,
            mishaps: Vec::new(),
            crash: None,
        }
    }
}

/// It held the window for what had been begun under it, and said that all was destroyed.
#[test]
fn a_destroy_closes_what_a_crash_left_open() {
    let spec = "
  r00: { type: sim.window, name: r00 }
  r01: { type: sim.thing, name: r01, depends_on: [r00] }
";
    for at in 1..40 {
        holds::after(&[
            Turn { crash: Some((at, Loss::Nothing)), ..Turn::new(Operation::Apply, spec) },
            Turn::new(Operation::Destroy, spec),
        ]);
    }
}
