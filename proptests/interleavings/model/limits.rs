//! What no program that keeps to this protocol can promise, because others keep to none: the
//! checker shows how it happens. `docs/model.md` lists these limits; if one of them can no longer
//! happen, the page must be corrected.

use super::check::breaks;
use super::properties::{ALL_OF_IT, FENCE, NOT_INSIDE, OWN_UNLINK};
use super::world::Op::{ForeignRewrite, Post, Revoke};
use super::world::World;
use super::worlds::{beside_foreign, made_anew_by_a_post, no_session, rewrite_and_posts, two};

fn beyond(mut world: World) -> World {
    world.beyond_limits = true;
    world
}

#[test]
fn a_peers_remove_and_create_between_our_comparison_and_our_unlink_costs_it_its_lock() {
    let keepers = two().keeper(0).keeper(1);
    let peer = keepers.task(2, &[ForeignRewrite]).task(3, &[Post]);
    breaks("a peer's race", &peer.budget(|b| b.crash = 1), ALL_OF_IT);
}

#[test]
fn a_peer_robbed_by_rm_rewrites_all_the_same() {
    let world = beside_foreign(ForeignRewrite).budget(|b| b.rm = 1);
    breaks("rm of a peer's lock", &world, ALL_OF_IT);
}

#[test]
fn a_peer_later_than_our_patience_rewrites_all_the_same() {
    let world = beside_foreign(ForeignRewrite).slow_foreign();
    breaks("a late peer", &world, ALL_OF_IT);
}

#[test]
fn a_session_file_renamed_by_others_moves_the_data_lock_and_a_revoke_goes_through_inside_an_append()
{
    let revoked = || two().task(2, &[Revoke]).budget(|b| b.replace = 1);
    breaks("replaced, a revoke", &beyond(revoked()), NOT_INSIDE);
    let removed = || two().budget(|b| (b.replace, b.rm) = (1, 1));
    breaks("replaced, rm", &beyond(removed()), FENCE);
}

#[test]
fn a_session_file_that_others_put_in_place_just_before_a_rewrites_rename_is_displaced() {
    breaks("removed, a rewrite", &beyond(made_anew_by_a_post()), ALL_OF_IT);
    let replaced = rewrite_and_posts().budget(|b| b.replace = 1);
    breaks("replaced, a rewrite", &beyond(replaced), ALL_OF_IT);
}

#[test]
fn an_rm_while_an_unused_session_file_goes_costs_a_third_party_its_lock() {
    breaks("unused, rm", &beyond(no_session().budget(|b| b.rm = 1)), OWN_UNLINK);
}
