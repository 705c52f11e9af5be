//! What cannot be promised on a server: a removal and a rename go by no lock. `docs/model.md` lists
//! these limits.

use super::super::check::breaks;
use super::properties::{ALL_OF_IT, FENCE, OWN_REMOVAL};
use super::world::Op::Revoke;
use super::world::World;
use super::worlds::{REWRITE, TURN, rewritten, two};

#[test]
fn a_host_cut_off_between_its_comparison_and_its_removal_removes_the_next_holders_lock() {
    let world = two().budget(|b| b.cut = 1).beyond_limits(OWN_REMOVAL);
    breaks("a late removal", &world, OWN_REMOVAL);
}

#[test]
fn a_host_cut_off_in_its_rewrite_displaces_what_was_appended_since() {
    let world =
        World::new().on(0, &REWRITE).on(1, &TURN).budget(|b| b.cut = 1).beyond_limits(ALL_OF_IT);
    breaks("a late rename", &world, ALL_OF_IT);
}

#[test]
fn a_host_that_dies_in_its_rewrite_leaves_no_session() {
    let world = rewritten().on(1, &TURN).budget(|b| b.off = 1).beyond_limits(ALL_OF_IT);
    breaks("a rewrite cut short", &world, ALL_OF_IT);
}

#[test]
fn a_revoke_while_a_rewrite_has_left_no_session_does_not_stop_it() {
    let world = rewritten().on(1, &[Revoke]).beyond_limits(FENCE);
    breaks("a revoke in the gap", &world, FENCE);
}
