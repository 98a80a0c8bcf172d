-- Who did what, and why: in the transaction that does it.
insert into operator_action (who, action, reason, subject)
values ($1, $2, $3, $4)
