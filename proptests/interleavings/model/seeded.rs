//! One thing left out at a time: the checker must find what that breaks.

use super::check::{breaks, is_harmless};
use super::properties::{
    ALL_OF_IT, COMPLETE, FENCE, HOLDS, MADE, NOT_IN_USE, NOT_INSIDE, NOT_OVERTAKEN, NOT_STUCK,
    ONE_HOLDER, ONE_INSIDE, OWN_UNLINK, TOLD, UNDER_DATA_LOCK,
};
use super::world::Op::{Foreign, ForeignRewrite, Post, Revoke};
use super::world::World;
use super::worlds::{
    TURN, abandoned, append_rewrite_and_posts, beside_foreign, giving_up, linked_and_killed, local,
    local_and_panic, made_and_post, made_anew_by_a_post, no_session, no_session_beside_foreign,
    panic_beside_foreign, post_beside_foreign, removed_and_post, rewrite_and_posts,
    rewrite_and_revoke, run, run_beside_foreign, stopped_and_replaced, three, two,
    two_leave_beside_foreign,
};

fn two_and_rm() -> World {
    two().budget(|b| b.rm = 1)
}

fn two_and_crash() -> World {
    two().budget(|b| b.crash = 1)
}

fn two_and_revoke() -> World {
    two().task(2, &[Revoke])
}

fn two_stopped_and_rm() -> World {
    two().budget(|b| (b.rm, b.stop) = (1, 1))
}

#[test]
fn without_the_inode_check_a_removed_file_is_taken_over() {
    let world = two().bug(|b| b.no_inode_check = true);
    breaks("no inode check", &world, HOLDS);
}

#[test]
fn without_the_owner_check_a_late_foreign_record_is_overlooked() {
    let world = beside_foreign(Foreign).slow_foreign();
    breaks("no owner check", &world.bug(|b| b.no_owner_check = true), FENCE);
}

#[test]
fn without_the_owner_check_our_own_kind_is_still_safe() {
    // Among our own a record changes only when its turn was closed, or its process is dead.
    for world in [local(), abandoned(), two_and_rm(), two_and_crash(), two_and_revoke()] {
        is_harmless("no owner check", &world.bug(|b| b.no_owner_check = true));
    }
}

#[test]
fn without_the_closed_check_a_cancelled_append_writes_after_the_release() {
    let world = abandoned().bug(|b| b.no_closed_check = true);
    breaks("no closed check", &world, FENCE);
}

#[test]
fn an_unlink_outside_the_data_lock_removes_a_living_lock() {
    let revoked = two_and_revoke().bug(|b| b.unlink_outside = true);
    breaks("unlink outside, a revoke", &revoked, OWN_UNLINK);
    let removed = two_and_rm().bug(|b| b.unlink_outside = true);
    breaks("unlink outside, rm", &removed, OWN_UNLINK);
}

#[test]
fn an_unlink_outside_the_data_lock_lets_a_peer_overtake_a_post() {
    let world = post_beside_foreign(Foreign).bug(|b| b.unlink_outside = true);
    breaks("unlink outside, a post", &world, NOT_OVERTAKEN);
}

#[test]
fn a_revoke_outside_the_data_lock_goes_through_inside_an_append() {
    let world = two_and_revoke().bug(|b| b.revoke_outside = true);
    breaks("revoke outside", &world, NOT_INSIDE);
    breaks(
        "revoke outside, rewrite",
        &rewrite_and_revoke().bug(|b| b.revoke_outside = true),
        NOT_INSIDE,
    );
}

#[test]
fn a_publish_outside_the_data_lock_breaks_the_fence_after_an_rm() {
    let world = two_and_rm().bug(|b| b.publish_outside = true);
    breaks("publish outside, rm", &world, FENCE);
}

#[test]
fn a_publish_outside_the_data_lock_is_harmless_without_an_rm() {
    // A publisher finds no lock file, and only an `rm` makes one go away inside somebody's section.
    for world in
        [two(), two_and_crash(), two_and_revoke(), two().task(2, &[Post]), local(), abandoned()]
    {
        is_harmless("publish outside", &world.bug(|b| b.publish_outside = true));
    }
}

#[test]
fn a_take_over_outside_the_data_lock_writes_over_an_append_in_flight() {
    let world = abandoned().bug(|b| b.take_outside = true);
    breaks("take over outside", &world, FENCE);
    let world = two_and_revoke().bug(|b| b.take_outside = true);
    breaks("take over outside, a revoke", &world, OWN_UNLINK);
}

#[test]
fn reclaim_by_remove_and_create_removes_living_locks() {
    let outside = two_and_revoke().bug(|b| (b.remove_and_create, b.take_outside) = (true, true));
    breaks("remove and create, outside", &outside, OWN_UNLINK);
    let unchecked = three().bug(|b| (b.remove_and_create, b.no_inode_check) = (true, true));
    breaks("remove and create, no inode check", &unchecked, OWN_UNLINK);
}

#[test]
fn reclaim_by_remove_and_create_under_the_data_lock_robs_peers_only() {
    let crash = post_beside_foreign(ForeignRewrite).budget(|b| b.crash = 1);
    breaks("remove and create, a peer", &crash.bug(|b| b.remove_and_create = true), ALL_OF_IT);
    for world in [two(), two_and_crash(), three(), local(), two_and_revoke()] {
        is_harmless("remove and create", &world.bug(|b| b.remove_and_create = true));
    }
}

#[test]
fn a_take_over_by_exchange_outside_the_data_lock_removes_living_locks() {
    let outside = two_and_revoke().budget(|b| b.link = 1).bug(|b| b.take_outside = true);
    breaks("exchange outside, a revoke", &outside, OWN_UNLINK);
    let outside = abandoned().budget(|b| b.link = 1).bug(|b| b.take_outside = true);
    breaks("exchange outside", &outside, FENCE);
}

#[test]
fn an_exchange_without_a_look_at_what_was_there_robs_peers_only() {
    let crash = post_beside_foreign(ForeignRewrite).budget(|b| (b.link, b.crash) = (1, 1));
    breaks("exchange blindly, a peer", &crash.bug(|b| b.exchange_blindly = true), ALL_OF_IT);
    for world in [two(), two_and_crash(), three(), local(), two_and_revoke()] {
        let linked = world.budget(|b| b.link = 1);
        is_harmless("exchange blindly", &linked.bug(|b| b.exchange_blindly = true));
    }
}

#[test]
fn a_fence_before_the_data_lock_is_too_early() {
    let revoked = two_and_revoke().bug(|b| b.fence_early = true);
    breaks("fence early, a revoke", &revoked, FENCE);
    let removed = two_and_rm().bug(|b| b.fence_early = true);
    breaks("fence early, rm", &removed, FENCE);
}

#[test]
fn without_comparing_the_session_file_the_section_guards_nothing() {
    let world = rewrite_and_revoke().bug(|b| b.no_session_compare = true);
    breaks("no session compare", &world, NOT_INSIDE);
    let world =
        rewrite_and_posts().bug(|b| (b.no_session_compare, b.no_last_compare) = (true, true));
    breaks("no session compare at all", &world, ALL_OF_IT);
}

#[test]
fn without_the_last_compare_a_line_in_a_replaced_file_is_acknowledged() {
    let world = two().budget(|b| b.replace = 1);
    breaks("no last compare", &world.bug(|b| b.no_last_compare = true), ALL_OF_IT);
}

#[test]
fn a_release_by_who_did_not_acquire_drops_a_living_lock() {
    let world = two().budget(|b| b.fork = 1).bug(|b| b.child_unlocks = true);
    breaks("child unlocks", &world, HOLDS);
}

#[test]
fn a_release_by_close_alone_leaves_the_lock_with_a_forked_child() {
    let world = two().budget(|b| b.fork = 1).bug(|b| b.close_only = true);
    breaks("close without unlock", &world, NOT_STUCK);
}

#[test]
fn a_rewrite_that_does_not_lock_the_new_file_opens_a_second_section() {
    let mut world = rewrite_and_posts().bug(|b| b.rewrite_new_unlocked = true);
    world.watch_sections = true;
    breaks("rewrite, new file not locked", &world, ONE_INSIDE);
}

#[test]
fn a_rewrite_that_does_not_lock_the_new_file_loses_nothing_yet() {
    // After the rename nothing is left to do in the old section, so that it loses no line. See
    // `docs/model.md`.
    for world in [rewrite_and_posts(), rewrite_and_revoke()] {
        is_harmless("new file not locked", &world.bug(|b| b.rewrite_new_unlocked = true));
    }
}

#[test]
fn a_post_without_the_data_lock_is_lost_by_a_rewrite() {
    let world = rewrite_and_posts().bug(|b| b.post_unlocked = true);
    breaks("post unlocked", &world, ALL_OF_IT);
    let world = post_beside_foreign(Foreign).bug(|b| b.post_unlocked = true);
    breaks("post unlocked, a peer", &world, NOT_OVERTAKEN);
}

#[test]
fn a_post_that_leaves_the_dead_owners_record_is_overtaken() {
    let world = post_beside_foreign(Foreign).budget(|b| b.crash = 1);
    breaks("post keeps the record", &world.bug(|b| b.post_keeps_record = true), NOT_OVERTAKEN);
}

#[test]
fn without_the_seal_a_line_is_glued_to_a_torn_tail() {
    breaks("no seal", &two_and_crash().bug(|b| b.no_seal = true), ALL_OF_IT);
}

#[test]
fn without_the_watch_a_waiter_is_stuck_behind_a_stopped_former_holder() {
    breaks("no watch", &two_stopped_and_rm().bug(|b| b.no_watch = true), NOT_STUCK);
}

#[test]
fn a_watch_that_does_not_see_a_missing_file_leaves_the_waiter_stuck() {
    breaks("watch", &two_stopped_and_rm().bug(|b| b.watch_other_only = true), NOT_STUCK);
}

#[test]
fn a_keeper_that_tries_once_leaves_a_living_record_behind() {
    breaks("keeper tries once", &giving_up().bug(|b| b.keeper_tries_once = true), NOT_STUCK);
}

#[test]
fn an_append_that_does_not_fence_again_acknowledges_what_a_peer_writes_over() {
    let crash = post_beside_foreign(ForeignRewrite).budget(|b| b.crash = 1);
    breaks("no second fence, a post", &crash.bug(|b| b.ack_session_only = true), ALL_OF_IT);
    let rm = beside_foreign(ForeignRewrite).rm_sparing_foreign();
    breaks("no second fence, a turn", &rm.bug(|b| b.ack_session_only = true), ALL_OF_IT);
}

#[test]
fn an_empty_session_file_removed_after_the_lock_file_takes_a_peers_line_with_it() {
    let world = no_session_beside_foreign().bug(|b| b.session_removed_last = true);
    breaks("session removed last", &world, NOT_IN_USE);
}

#[test]
fn a_revoke_between_an_empty_session_file_and_its_lock_file_costs_a_third_party_its_lock() {
    let world = no_session().bug(|b| b.not_disowned = true);
    breaks("not disowned", &world, OWN_UNLINK);
    // If that is a foreign program, which has no fence, even a line.
    let mut peer =
        no_session().keeper(0).keeper(1).task(3, &[ForeignRewrite]).bug(|b| b.not_disowned = true);
    peer.watch_unlinks = false;
    breaks("not disowned, a peer", &peer, ALL_OF_IT);
}

#[test]
fn an_unlink_without_a_comparison_removes_a_living_lock() {
    let world = two_and_revoke().bug(|b| b.unlink_blindly = true);
    breaks("unlink blindly", &world, OWN_UNLINK);
}

#[test]
fn a_turn_that_goes_on_without_a_comparison_holds_nothing() {
    let world = run().budget(|b| b.rm = 1).bug(|b| b.go_on_blindly = true);
    breaks("go on blindly", &world, HOLDS);
}

#[test]
fn a_lock_that_is_kept_for_good_leaves_the_waiter_stuck() {
    breaks("kept for good", &run().bug(|b| b.keeps_for_good = true), NOT_STUCK);
}

#[test]
fn without_a_watch_over_the_data_lock_a_reader_of_an_old_file_stops_everybody() {
    for world in [two(), two().task(2, &[Post])] {
        let read = world.budget(|b| (b.reader, b.replace) = (1, 1));
        breaks("no data watch", &read.bug(|b| b.no_data_watch = true), NOT_STUCK);
    }
}

#[test]
fn a_keeper_that_forgets_what_was_left_meanwhile_leaves_a_living_record_behind() {
    breaks(
        "keeper forgets",
        &run_beside_foreign().bug(|b| b.keeper_forgets_the_next = true),
        NOT_STUCK,
    );
}

#[test]
fn a_keeper_that_knows_another_order_than_that_of_the_records_leaves_a_living_one_behind() {
    breaks(
        "numbered when told",
        &two_leave_beside_foreign().bug(|b| b.numbered_when_told = true),
        NOT_STUCK,
    );
    let lost = two_leave_beside_foreign().budget(|b| b.rm = 1);
    breaks("numbered when let go", &lost.bug(|b| b.numbered_when_let_go = true), NOT_STUCK);
}

#[test]
fn a_lock_file_that_is_filled_after_it_has_its_name_is_seen_empty() {
    breaks("create, then fill", &two().bug(|b| b.create_then_fill = true), COMPLETE);
    breaks("create, then fill, rm", &two_and_rm().bug(|b| b.create_then_fill = true), ONE_HOLDER);
}

#[test]
fn waiting_for_the_turn_lock_inside_a_section_is_a_deadlock() {
    breaks("wait inside", &two().bug(|b| b.wait_inside = true), NOT_STUCK);
}

#[test]
fn i2_is_watched_where_it_is_broken() {
    for bug in [0, 1, 2] {
        let mut world = two_and_revoke().bug(|b| match bug {
            0 => b.unlink_outside = true,
            1 => b.revoke_outside = true,
            _ => b.publish_outside = true,
        });
        world.watch_sections = true;
        breaks("I2", &world, UNDER_DATA_LOCK);
    }
}

#[test]
fn a_number_that_is_used_again_makes_a_new_session_file_look_like_the_old_one() {
    let world = made_anew_by_a_post().bug(|b| (b.known_unpinned, b.length_only) = (true, true));
    breaks("known file not kept open", &world, ALL_OF_IT);
    // The line that was seen last tells it, too.
    let compared = made_anew_by_a_post().bug(|b| b.known_unpinned = true);
    is_harmless("known file not kept open, its last line compared", &compared);
    let open = made_anew_by_a_post().bug(|b| b.length_only = true);
    is_harmless("known file kept open, its last line not compared", &open);
}

#[test]
fn a_number_that_is_used_again_makes_a_peers_lock_file_look_like_that_of_the_dead_holder() {
    let world = post_beside_foreign(ForeignRewrite).budget(|b| b.crash = 1);
    breaks("lock file not kept open", &world.bug(|b| b.beside_unpinned = true), ALL_OF_IT);
}

#[test]
fn a_holder_who_is_not_told_that_the_file_was_cut_rewrites_without_what_was_posted_since() {
    let rewrite = append_rewrite_and_posts().budget(|b| b.shrink = 1);
    let world = rewrite.bug(|b| b.not_told = true);
    breaks("cut, not told", &world, TOLD);
    let mut lossy = world;
    lossy.watch_told = false;
    breaks("cut, not told, a rewrite", &lossy, ALL_OF_IT);
    let replaced = two().budget(|b| b.replace = 1).bug(|b| b.not_told = true);
    breaks("replaced, not told", &replaced, TOLD);
}

#[test]
fn the_length_alone_does_not_tell_that_a_file_was_cut_and_has_grown_again() {
    let rewrite = append_rewrite_and_posts().budget(|b| b.shrink = 1);
    breaks("length only", &rewrite.bug(|b| b.length_only = true), ALL_OF_IT);
}

#[test]
fn a_lock_file_with_a_second_name_that_is_refused_is_never_had_again() {
    breaks("links refused", &linked_and_killed().bug(|b| b.links_refused = true), NOT_STUCK);
}

#[test]
fn a_second_name_is_no_reason_to_unlink_a_living_lock() {
    let world = two().budget(|b| b.link = 1).bug(|b| b.links_unlinked_blindly = true);
    breaks("links unlinked blindly", &world, OWN_UNLINK);
}

#[test]
fn without_a_watch_a_wait_for_the_data_lock_of_a_replaced_file_never_ends() {
    breaks("no data watch", &stopped_and_replaced().bug(|b| b.no_data_watch = true), NOT_STUCK);
}

#[test]
fn a_watch_that_only_listens_misses_the_notice_that_was_lost() {
    let world = two_stopped_and_rm().budget(|b| b.lost_notice = 1);
    breaks("watch only told", &world.bug(|b| b.watch_only_told = true), NOT_STUCK);
    let world = stopped_and_replaced().budget(|b| b.lost_notice = 1);
    breaks("data watch only told", &world.bug(|b| b.watch_only_told = true), NOT_STUCK);
}

#[test]
fn a_waiting_thread_that_panics_and_keeps_the_stage_stops_its_process() {
    breaks("stage kept", &local_and_panic().bug(|b| b.stage_kept = true), NOT_STUCK);
    // It need not be its task that panics.
    let alone = World::new().task(0, &TURN).budget(|b| b.panic = 1);
    breaks("stage kept, alone", &alone.bug(|b| b.stage_kept = true), NOT_STUCK);
}

#[test]
fn a_turn_that_ends_by_a_panic_and_is_not_looked_after_leaves_a_living_record_behind() {
    let world = panic_beside_foreign().bug(|b| b.panic_untold = true);
    breaks("panic untold", &world, NOT_STUCK);
}

#[test]
fn a_look_outside_the_data_lock_makes_a_line_from_another_than_the_last() {
    let world = made_and_post().bug(|b| b.made_outside = true);
    breaks("made outside", &world, MADE);
}

#[test]
fn without_both_compares_a_post_into_a_removed_session_is_acknowledged() {
    let world =
        removed_and_post().bug(|b| (b.no_session_compare, b.no_last_compare) = (true, true));
    breaks("no compare, a removal", &world, ALL_OF_IT);
}
