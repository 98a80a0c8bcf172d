-- What operators did, the newest first. $1: before this one; $2: at most so many. Index: operator_action_pkey,
-- backwards.
select action_no, at, who, action, reason, subject
  from operator_action
 where $1::bigint is null or action_no < $1
 order by action_no desc
 limit $2
