//! Time, tasks, threads: the only door to them.
//!
//! No other room reads a clock, starts a task or a thread, or waits for a signal by itself: so that a simulated run repeats,
//! nothing runs on after its owner is gone, and the process knows what it waits for when it stops.

mod clock;
mod cpu;
mod drain;
mod memory;
mod task;
mod turns;

pub use self::clock::{Clock, Elapsed};
pub use self::cpu::{Cpu, CpuError, metered};
pub use self::drain::{Drain, Hold, Stop, Unfinished};
pub use self::memory::{Budget, Room};
pub use self::task::{Ended, Task, blocking, to_the_end, wait};
pub use self::turns::{Turn, Turns};
