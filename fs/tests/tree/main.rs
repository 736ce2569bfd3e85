//! Random trees and steps, those of somebody else behind our back among them: what the file system shows is what
//! the model shows, and so is what the store holds.

mod file_system;
mod model;

use file_system::Files;
use model::{Model, Seen, Step, step};
use proptest::prelude::*;

/// Plays `steps` on the model and on the file system.
async fn play(steps: Vec<Step>) {
    let (mut model, mut files) = (Model::default(), Files::new());
    for (number, step) in steps.iter().enumerate() {
        let is_allowed = model.allows(step);
        let expected = model.play(step);
        if !is_allowed {
            continue;
        }
        let seen = files.play(step).await;
        // Somebody else stored it since it was opened: its bytes may be gone.
        let is_stale =
            matches!(step, Step::ReadHeld) && model.is_held_stale() && seen == Seen::Failed(rustix::io::Errno::STALE);
        assert!(seen.is_as(&expected) || is_stale, "step {number}, {step:?}: {seen:?} is not {expected:?}");
    }
    files.check_all(&mut model).await;
}

proptest! {
    // 256 cases, or PROPTEST_CASES.
    #![proptest_config(ProptestConfig { max_shrink_iters: 4000, ..ProptestConfig::default() })]

    #[test]
    fn a_tree_is_what_the_model_says_whoever_changes_it(steps in proptest::collection::vec(step(), 1..60)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            tokio::time::timeout(std::time::Duration::from_secs(60), play(steps)).await.expect("nothing hangs");
        });
    }
}
