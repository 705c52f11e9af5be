//! Systems on which every user has a number.

pub(super) fn may_stand_for_others(_number: u32) -> bool {
    false
}
