//! Two measurements: what a held row costs everybody else, and how much memory a long queue takes.

use std::time::{Duration, Instant};

use tokio_postgres::Client;

use super::scene::Scene;
use super::support::load::Load;

/// The name of [`held_row`].
pub(crate) const HELD_ROW: &str = "held row";
/// The name of [`memory`].
pub(crate) const MEMORY: &str = "memory";

const PARTNERS: i64 = 1_000;

/// The time until 999 of 1,000 strict partners have a change, with and without a row of the last one held by a
/// foreign session, in turn. Prints medians and their ratio; false where the audit finds anything.
pub(crate) async fn held_row(rounds: usize, seed: u64) -> bool {
    let mut scene = Scene::set(Load::new(seed, 1, PARTNERS as usize), 1, seed).await;
    let (_, first) = scene.stage.load.edit_of_one_entry();
    scene.stage.send(vec![first]).await;
    scene.stage.settle().await;
    let (client, holder) = (scene.probe.connect().await, scene.probe.connect().await);
    let (mut free, mut held) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        free.push(others_have_a_change(&mut scene, &client).await);
        scene.stage.settle().await;
        let hold = "begin; select from setting join organization using (organization_no)
                     where organization_id = 'manager-0-0500' for update of setting";
        holder.batch_execute(hold).await.unwrap();
        held.push(others_have_a_change(&mut scene, &client).await);
        holder.batch_execute("rollback").await.unwrap();
        scene.stage.settle().await;
    }
    let audit = scene.end().await;
    let (free, held) = (median(free), median(held));
    println!(
        "held row: the other 999 of 1,000 partners have a change after {:.3} s, with a row of one held after {:.3} s: \
         {:.1} times (medians of {rounds})",
        free.as_secs_f64(),
        held.as_secs_f64(),
        held.as_secs_f64() / free.as_secs_f64()
    );
    if !audit.is_sound() {
        println!("{audit}");
    }
    audit.is_sound()
}

async fn others_have_a_change(scene: &mut Scene, client: &Client) -> Duration {
    let (event, message) = scene.stage.load.edit_of_one_entry();
    let started = Instant::now();
    scene.stage.send(vec![message]).await;
    let have = "select count(*) from job
                  join change c on c.change_no = job.cause_no
                  join event e on e.event_no = c.event_no
                  join organization o on o.organization_no = job.organization_no
                 where e.event_id = $1 and o.organization_id like 'manager-0-____'
                   and o.organization_id <> 'manager-0-0500'";
    let have = async || client.query_one(have, &[&event]).await.unwrap().get::<_, i64>(0);
    while have().await < PARTNERS - 1 {
        assert!(started.elapsed() < Duration::from_secs(120), "the others wait for one");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    started.elapsed()
}

fn median(mut all: Vec<Duration>) -> Duration {
    all.sort();
    all[all.len() / 2]
}

/// Publishes a long queue while no replica runs, starts one, and looks at its memory until all is done. False
/// where the audit finds anything.
pub(crate) async fn memory(length: usize, seed: u64) -> bool {
    let mut scene = Scene::set(Load::new(seed, 50, 0), 0, seed).await;
    let started = Instant::now();
    for _ in 0..length.div_ceil(1_000) {
        scene.stage.publish(1_000).await;
    }
    let published = started.elapsed();
    scene.cast.start().await;
    let (begin, started) = (scene.cast.memory_kib(), Instant::now());
    let (mut peak, mut samples) = (begin, Vec::new());
    // A minute for each 20,000, and five besides: after that, what is left is stuck.
    let limit = Duration::from_secs(300 + length as u64 * 60 / 20_000);
    while !scene.stage.is_settled().await.unwrap() && started.elapsed() < limit {
        for _ in 0..20 {
            peak = peak.max(scene.cast.memory_kib());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        samples.push(scene.cast.memory_kib());
    }
    let drained = started.elapsed();
    let at = |part: usize| samples.get(samples.len() * part / 4).copied().unwrap_or(begin) / 1024;
    let audit = scene.end().await;
    println!(
        "memory: {length} messages published in {:.0} s, done in {:.0} s; resident {} MiB at the start, then {}, {}, {} \
         MiB after a quarter, a half, three quarters; peak {} MiB; {} events",
        published.as_secs_f64(),
        drained.as_secs_f64(),
        begin / 1024,
        at(1),
        at(2),
        at(3),
        peak / 1024,
        audit.events
    );
    if !audit.is_sound() {
        println!("{audit}");
    }
    audit.is_sound()
}
