-- One transaction at a time takes messages in, so that numbers are given in the order in which they are committed.
-- Two processes may do so for a moment, where one takes over from another that has lost its link. Waits.
select pg_advisory_xact_lock(25459, -3)
