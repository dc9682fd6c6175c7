//! The promises, held against generated worlds: a few customers, a few journeys, and everything
//! that can come in an inconvenient order. What fails is made small and shown.

mod bounds;
mod journeys;
mod live;
mod order;
mod promises;
mod purchases;
mod records;
mod replay;
mod restart;
mod world;

use std::fmt::Debug;

use proptest::strategy::Strategy;
use proptest::test_runner::{Config, RngSeed, TestCaseError, TestRunner};

/// Tries a property on as many worlds, always the same ones; on many more where `tests/run` asks
/// for them. `PROPTEST_RNG_SEED` and `PROPTEST_CASES` try others.
fn hold<T: Debug>(
    name: &'static str,
    cases: u32,
    worlds: impl Strategy<Value = T>,
    property: impl Fn(T) -> Result<(), TestCaseError>,
) {
    let full = crate::support::full(name, "more generated worlds; a few were tried");
    let given = Config::default();
    let mut runner = TestRunner::new(Config {
        cases: if full { given.cases.max(2_000) } else { cases },
        rng_seed: match given.rng_seed {
            RngSeed::Random => RngSeed::Fixed(20_260_328),
            fixed @ RngSeed::Fixed(_) => fixed,
        },
        failure_persistence: None,
        max_shrink_iters: 20_000,
        ..given
    });
    runner.run(&worlds, property).unwrap_or_else(|failure| panic!("{failure}"));
}
