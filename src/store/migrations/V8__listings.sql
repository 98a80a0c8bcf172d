-- What operators list, in a database of millions: indexes over the few rows that are not like most. They cost nothing
-- where an event is a setting's and accepted, and where a change is one of settings. None on jobs and settings.

-- Jobs of these kinds are found by their causes.
create index event_partnership on event (event_no) where type = 'partnership-changed';
create index change_beginning on change (change_no) where beginning is not null;
-- Events that came to nothing.
create index event_not_accepted on event (verdict, event_no) where verdict <> 'accepted';
-- Events of the last hour: they lie together.
create index event_received on event using brin (received_at);
