//! A fault at every system call: the disk is full, it fails, a signal comes, the process is killed. What was acknowledged stays, what
//! failed has changed nothing, and the session can be had at once by the next.

#[path = "../power/model.rs"]
mod model;
#[path = "../power/script.rs"]
mod script;
mod sites;
#[path = "../power/strace.rs"]
mod strace;

use script::Script;

/// One test a script, so that they run beside each other.
macro_rules! every_call_fails {
    ($($test:ident: $script:ident,)*) => {$(
        #[test]
        fn $test() {
            sites::every_call_fails(Script::$script);
        }
    )*};
}

every_call_fails! {
    creating_a_session: Create,
    appending: Append,
    sealing_a_torn_tail: Seal,
    posting: Post,
    posting_the_first_line: PostCreating,
    rewriting: Rewrite,
    repairing: Repair,
    handing_over: HandOver,
    taking_over: TakeOver,
}
