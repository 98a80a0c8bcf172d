-- What is written most is written for less.

-- Jobs are written as succeeded, unless they say otherwise.
alter table job alter column state set default 'succeeded';
