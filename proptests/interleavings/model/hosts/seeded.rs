//! One thing left out at a time: the checker must find what that breaks.

use super::super::check::{breaks, is_harmless};
use super::properties::{ALL_OF_IT, FENCE, HOLDS, ONE_HOLDER, ONE_NAME};
use super::world::Op::Post;
use super::world::World;
use super::worlds::{longer, resumed, revoked, rewritten, two};

fn one_cut_off(world: World) -> World {
    world.budget(|b| b.cut = 1)
}

#[test]
fn a_fence_that_does_not_take_the_lock_again_reads_an_old_record() {
    let world = one_cut_off(longer()).bug(|b| b.no_flock = true);
    breaks("no flock in the fence", &world, FENCE);
}

#[test]
fn a_record_that_is_not_read_anew_names_a_former_holder() {
    // The lock itself is enough, unless what is told of it counts for nothing.
    let world = one_cut_off(longer()).bug(|b| b.record_from_copy = true);
    is_harmless("record from the copy", &world);
    let both = one_cut_off(longer()).bug(|b| {
        b.record_from_copy = true;
        b.given_up_is_held = true;
    });
    breaks("record from the copy, given up is held", &both, FENCE);
}

#[test]
fn a_lock_that_is_given_up_is_no_longer_held() {
    let world = one_cut_off(longer()).bug(|b| b.given_up_is_held = true);
    breaks("given up is held", &world, FENCE);
}

#[test]
fn a_name_that_another_host_removed_must_not_be_believed() {
    let world = revoked().bug(|b| b.names_not_fetched = true);
    breaks("names not fetched", &world, FENCE);
}

#[test]
fn a_lock_file_that_stays_and_is_removed_must_not_be_resumed() {
    breaks("names not fetched", &resumed().bug(|b| b.names_not_fetched = true), HOLDS);
}

#[test]
fn a_file_open_by_its_temporary_name_keeps_two_names() {
    breaks("open by temporary", &two().bug(|b| b.open_by_temporary = true), ONE_NAME);
}

#[test]
fn a_lock_that_was_not_granted_is_not_to_be_taken_over() {
    let world = one_cut_off(two()).bug(|b| b.taken_unlocked = true);
    breaks("taken unlocked", &world, HOLDS);
}

#[test]
fn a_line_that_the_server_has_not_is_not_acknowledged() {
    let world = one_cut_off(two()).bug(|b| b.acknowledged_unsent = true);
    breaks("acknowledged unsent", &world, ALL_OF_IT);
}

#[test]
fn a_file_is_not_cut_without_the_data_lock() {
    let world = two().budget(|b| (b.cut, b.unsynced) = (1, 1));
    breaks("cut back unlocked", &world.bug(|b| b.cut_back_unlocked = true), ALL_OF_IT);
}

#[test]
fn a_post_into_the_gap_of_a_rewrite_is_displaced() {
    breaks("post in the gap", &rewritten().bug(|b| b.post_in_the_gap = true), ALL_OF_IT);
}

#[test]
fn an_empty_session_that_another_post_made_is_in_the_gap_as_well() {
    let world = rewritten().on(1, &[Post]).bug(|b| b.post_in_anothers_gap = true);
    breaks("post in another's gap", &world, ALL_OF_IT);
}

#[test]
fn a_server_that_takes_late_writes_lets_a_stale_line_in() {
    breaks("writes untied", &one_cut_off(two()).bug(|b| b.writes_untied = true), FENCE);
}

#[test]
fn a_server_without_a_lease_gives_the_locks_of_the_living_away() {
    // Turns are lost for nothing. But nothing else is.
    is_harmless("no lease", &longer().bug(|b| b.no_lease = true));
}

#[test]
fn a_server_without_a_grace_gives_away_what_was_granted_before() {
    let world = two().budget(|b| b.restart = 1).bug(|b| b.no_grace = true);
    breaks("no grace", &world, ONE_HOLDER);
}
