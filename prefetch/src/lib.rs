//! Foresees what a reader will want: takes facts and time, returns a plan. It never reads, never waits and
//! has no clock.
