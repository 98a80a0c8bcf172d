//! The audit: whether exactly that came of a [`Load`] which must come of it, whatever happened meanwhile.
//!
//! It reads the tables, set by set, and knows nothing of how the service works. It is to be asked when all is
//! done, or when all should be: what is still under way counts as stuck.

use std::fmt;

use tokio_postgres::Client;

use super::load::Load;

/// What the audit found.
#[derive(Debug, Default)]
pub struct Audit {
    /// Events that were taken in.
    pub events: i64,
    /// Jobs that were done.
    pub jobs: i64,
    /// Messages that are accounted for nowhere, and jobs that should have been done and were not.
    pub lost: Vec<String>,
    /// Jobs that were done more often than once, or should not have been done.
    pub doubled: Vec<String>,
    /// Letters, and messages in the queue, that nobody works on.
    pub stuck: Vec<String>,
    /// Everything else that is not as it must be: values, order, states, dead letters.
    pub wrong: Vec<String>,
}

impl Audit {
    /// Whether nothing was found.
    pub fn is_sound(&self) -> bool {
        [&self.lost, &self.doubled, &self.stuck, &self.wrong].iter().all(|findings| findings.is_empty())
    }

    /// # Panics
    /// Unless nothing was found.
    pub fn assert_sound(&self) {
        assert!(self.is_sound(), "{self}");
    }
}

impl fmt::Display for Audit {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN_MAX: usize = 20;
        writeln!(out, "{} events, {} jobs", self.events, self.jobs)?;
        let all = [
            ("lost", &self.lost),
            ("doubled", &self.doubled),
            ("stuck", &self.stuck),
            ("wrong", &self.wrong),
        ];
        for (name, findings) in all {
            for finding in findings.iter().take(SHOWN_MAX) {
                writeln!(out, "{name}: {finding}")?;
            }
            if findings.len() > SHOWN_MAX {
                writeln!(out, "{name}: and {} more", findings.len() - SHOWN_MAX)?;
            }
        }
        Ok(())
    }
}

/// Compares what the database holds with what must have come of a load. The client's search path is the
/// schema's. `in_queue` and `dead`: how many messages are left in the queue, and among the broker's dead
/// letters.
///
/// # Errors
/// Where the database cannot be read.
pub async fn audit(
    client: &Client,
    load: &Load,
    in_queue: u64,
    dead: u64,
) -> Result<Audit, tokio_postgres::Error> {
    let count = "select (select count(*) from event), (select count(*) from job)";
    let count = client.query_one(count, &[]).await?;
    let mut audit = Audit { events: count.get(0), jobs: count.get(1), ..Audit::default() };
    messages(client, load, &mut audit).await?;
    order(client, load, &mut audit).await?;
    jobs(client, load, &mut audit).await?;
    values(client, load, &mut audit).await?;
    for (what, query) in UNFINISHED {
        audit.stuck.extend(findings(client, what, query).await?);
    }
    for (what, query) in ALWAYS {
        audit.wrong.extend(findings(client, what, query).await?);
    }
    if in_queue > 0 {
        audit.stuck.push(format!("{in_queue} messages in the queue"));
    }
    if dead > 0 {
        audit.wrong.push(format!("{dead} messages among the broker's dead letters"));
    }
    Ok(audit)
}

/// Every message is an event or a rejected message.
async fn messages(client: &Client, load: &Load, audit: &mut Audit) -> Result<(), tokio_postgres::Error> {
    let of_pairs = load.edits.iter().chain(&load.partnerships).map(|(id, _)| id.as_str());
    let events: Vec<&str> =
        of_pairs.chain(load.ignored.iter().chain(&load.others).map(String::as_str)).collect();
    let bad: Vec<&str> = load.bad.iter().map(String::as_str).collect();
    let lost = "select id from unnest($1::text[]) id
                 where not exists (select from event where event_id = id)
                union all
                select id from unnest($2::text[]) id
                 where id not in (select coalesce(properties ->> 'message_id', '-') from rejected_message)";
    for row in client.query(lost, &[&events, &bad]).await? {
        audit.lost.push(format!("message {}", row.get::<_, &str>(0)));
    }
    let other = "select coalesce(properties ->> 'message_id', '-'), reason from rejected_message
                  where not coalesce(properties ->> 'message_id', '-') = any ($1::text[])
                    and not exists (select from event e
                                     where e.event_no = rejected_message.event_no
                                       and e.event_id = any ($2::text[]))";
    for row in client.query(other, &[&bad, &load.others]).await? {
        let (id, reason): (&str, &str) = (row.get(0), row.get(1));
        audit.wrong.push(format!("message {id} was rejected: {reason}"));
    }
    let other = "select event_id, verdict::text from event
                  where not event_id = any ($1::text[])
                     or (not event_id = any ($3::text[])
                         and (verdict = 'rejected'
                              or (event_id = any ($2::text[])) is distinct from (verdict = 'ignored')))";
    for row in client.query(other, &[&events, &load.ignored, &load.others]).await? {
        let (id, verdict): (&str, &str) = (row.get(0), row.get(1));
        audit.wrong.push(format!("event {id} is there, and {verdict}"));
    }
    Ok(())
}

/// The edits of each organization were taken in in the order in which they were published.
async fn order(client: &Client, load: &Load, audit: &mut Audit) -> Result<(), tokio_postgres::Error> {
    let (ids, organizations): (Vec<&str>, Vec<&str>) =
        load.edits.iter().map(|(id, organization)| (id.as_str(), organization.as_str())).unzip();
    let query = "
        select event_id, event_no, before
          from (select event_id, event_no,
                       max(event_no) over (partition by p.organization_id order by place
                                               rows between unbounded preceding and 1 preceding) as before
                  from unnest($1::text[], $2::text[]) with ordinality p (event_id, organization_id, place)
                  join event using (event_id)) events
         where before > event_no";
    for row in client.query(query, &[&ids, &organizations]).await? {
        let (id, no, before): (&str, i64, i64) = (row.get(0), row.get(1), row.get(2));
        audit.wrong.push(format!("event {id} has number {no}, and one published before it {before}"));
    }
    Ok(())
}

/// Each job was done once, and no other.
async fn jobs(client: &Client, load: &Load, audit: &mut Audit) -> Result<(), tokio_postgres::Error> {
    let split = |pairs: &[(String, String)]| -> (Vec<String>, Vec<String>) { pairs.iter().cloned().unzip() };
    let (edits, editors) = split(&load.edits);
    let (partnerships, downstreams) = split(&load.partnerships);
    let (managers, reached) = split(&load.reached);
    let query = "
        with edit as (
             select * from unnest($1::text[], $2::text[]) e (event_id, organization_id)
        ), expected as (
             -- A job of its own for whoever edits; for a manager's edit, one for everybody in reach.
             select event_id, organization_id, 1 as jobs from edit
             union all
             select edit.event_id, r.organization_id, 1
               from edit
               join unnest($5::text[], $6::text[]) r (manager_id, organization_id)
                 on r.manager_id = edit.organization_id
             union all
             -- The change of the partnership, and the reconcile with which it begins.
             select p.event_id, p.organization_id, 2
               from unnest($3::text[], $4::text[]) p (event_id, organization_id)
        ), done as (
             select e.event_id, o.organization_id, count(*) as jobs
               from job j
               left join change c on c.change_no = j.cause_no
               join event e on e.event_no = coalesce(c.event_no, j.cause_no)
               join organization o on o.organization_no = j.organization_no
              where not e.event_id = any ($7::text[])
              group by 1, 2
        )
        select event_id, organization_id, coalesce(expected.jobs, 0), coalesce(done.jobs, 0)
          from expected
          full join done using (event_id, organization_id)
         where expected.jobs is distinct from done.jobs";
    let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 7] =
        [&edits, &editors, &partnerships, &downstreams, &managers, &reached, &load.others];
    for row in client.query(query, &parameters).await? {
        let (event, organization): (&str, &str) = (row.get(0), row.get(1));
        let (expected, done) = (i64::from(row.get::<_, i32>(2)), row.get::<_, i64>(3));
        let finding = format!("job of {organization} for {event}: {done} times, not {expected}");
        if done < expected { audit.lost.push(finding) } else { audit.doubled.push(finding) }
    }
    Ok(())
}

/// The managers' values are those that were published last.
async fn values(client: &Client, load: &Load, audit: &mut Audit) -> Result<(), tokio_postgres::Error> {
    let (mut organizations, mut categories, mut keys, mut values) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for ((organization, category, key), value) in &load.values {
        organizations.push(organization);
        categories.push(category);
        keys.push(key);
        values.push(value.map(|value| value.to_string()));
    }
    let query = "
        select e.organization_id, e.category, e.key, e.value, s.value::text
          from unnest($1::text[], $2::text[], $3::text[], $4::text[]) e (organization_id, category, key, value)
          left join setting_view s using (organization_id, category, key)
         where e.value is distinct from s.value::text";
    for row in client.query(query, &[&organizations, &categories, &keys, &values]).await? {
        let text = |column: usize| row.get::<_, Option<&str>>(column).unwrap_or("none");
        audit.wrong.push(format!("{} {} of {}: {}, not {}", text(1), text(2), text(0), text(4), text(3)));
    }
    Ok(())
}

/// What must be gone in the end.
const UNFINISHED: [(&str, &str); 1] = [(
    "a letter",
    "select kind || ' of event ' || coalesce(event_id, '?') || ', attempts ' || attempts
       from letter left join event using (event_no)",
)];

/// What must never be, at any moment between two transactions or in the end.
const ALWAYS: [(&str, &str); 4] = [
    (
        "a job has not succeeded",
        // But for an event that was found wrong when it ran: there is nothing to do for it.
        "select cause_no || '-' || organization_no || ': ' || coalesce(last_error, state::text)
           from job
          where state <> 'succeeded'
            and not (state = 'discarded'
                     and exists (select from event where event_no = cause_no and verdict = 'rejected'))",
    ),
    (
        "a strict partner differs from its manager",
        "with pair as (
              select upstream_no, downstream_no from partnership where mode = 'strict'
         ), held as (
              select organization_no, category, key, value_id
                from setting join category on category.name = setting.category and reach = 'ongoing'
         ), differs as (
              (select downstream_no, category, key, value_id from pair join held on organization_no = upstream_no
               except
               select downstream_no, category, key, value_id from pair join held on organization_no = downstream_no)
              union
              (select downstream_no, category, key, value_id from pair join held on organization_no = downstream_no
               except
               select downstream_no, category, key, value_id from pair join held on organization_no = upstream_no)
         )
         select organization_id || ': ' || category || ' ' || key
           from differs join organization on organization_no = downstream_no",
    ),
    (
        // What was done once more for an operator aside, which is done when it is asked for.
        "jobs of one manager's changes ran in another order",
        "select organization_no || ': change ' || change_no || ' after ' || before
           from (select j.organization_no, c.change_no,
                        max(c.change_no) over (partition by j.organization_no, c.organization_no
                                                   order by j.job_no
                                                    rows between unbounded preceding and 1 preceding) as before
                   from job j join change c on c.change_no = j.cause_no
                  where not exists (select from replay_job r
                                     where r.cause_no = j.cause_no
                                       and r.organization_no = j.organization_no)) jobs
          where before > change_no",
    ),
    (
        "an organization's own events ran in another order",
        "select organization_no || ': event ' || event_no || ' after ' || before
           from (select j.organization_no, e.event_no,
                        max(e.event_no) over (partition by j.organization_no order by j.job_no
                                                  rows between unbounded preceding and 1 preceding) as before
                   from job j join event e on e.event_no = j.cause_no
                  where not exists (select from replay_job r
                                     where r.cause_no = j.cause_no
                                       and r.organization_no = j.organization_no)) jobs
          where before > event_no",
    ),
];

async fn findings(client: &Client, what: &str, query: &str) -> Result<Vec<String>, tokio_postgres::Error> {
    let rows = client.query(query, &[]).await?;
    Ok(rows.iter().map(|row| format!("{what}: {}", row.get::<_, &str>(0))).collect())
}
