//! The phases: before, migration, side by side, after, and back.

use std::time::{Duration, Instant};

use tokio::time::sleep;

use super::probe::{Probe, Sign};
use super::scene::{Scene, Versions};
use super::table::{Row, Table};
use super::trouble;
use super::version::Version;
use super::views::{differences, views};

/// How long both work between two kills.
const BETWEEN_KILLS: Duration = Duration::from_secs(2);

/// Tells all of it, a line for each phase, each under load for at least so long. Whether nothing was found.
pub(crate) async fn tell(mut scene: Scene, seconds: Duration) -> bool {
    let mut table = Table::new("phase");

    scene.versions.before.command(&["migrate"]).await;
    let views_before = views(scene.client()).await;
    scene.versions.before.start().await;
    scene.stage.begin().await;
    scene.under_load(async |_, _| sleep(seconds).await).await;
    Versions::ask(&mut scene.versions.before).await;
    conclude(&mut scene, &mut table, "before alone", Vec::new(), String::new()).await;

    // From the moment at which the migration begins to the next job that was done.
    let (took, recovery) = scene
        .under_load(async |versions, probe| {
            sleep(seconds / 2).await;
            let started = Instant::now();
            let client = probe.connect().await;
            let migrating = async {
                let said = versions.after.command(&["migrate"]).await;
                (started.elapsed(), said)
            };
            let (took, recovery) = tokio::join!(migrating, probe.recovery_over(&client, Sign::Job, started));
            sleep(seconds / 2).await;
            (took, recovery)
        })
        .await;
    let note = format!("in {:.3} s: {}", took.0.as_secs_f64(), took.1.trim().replace('\n', ", "));
    Versions::ask(&mut scene.versions.before).await;
    conclude(&mut scene, &mut table, "after migrates under before", recovery.into_iter().collect(), note)
        .await;

    let (recoveries, failed) =
        scene.under_load(async |versions, probe| side_by_side(versions, probe, seconds).await).await;
    let note = format!("{} jobs given up after {} attempts, and replayed by both", failed.0, failed.1);
    Versions::ask(&mut scene.versions.before).await;
    Versions::ask(&mut scene.versions.after).await;
    conclude(&mut scene, &mut table, "side by side, killed in turn", recoveries, note).await;

    let recovery = scene
        .under_load(async |versions, probe| {
            versions.before.stop().await;
            let recovery = probe.recovery(Sign::Event).await;
            sleep(seconds).await;
            recovery
        })
        .await;
    Versions::ask(&mut scene.versions.after).await;
    verify(&mut scene.versions.after).await;
    conclude(&mut scene, &mut table, "after alone", recovery.into_iter().collect(), String::new()).await;

    let recovery = scene
        .under_load(async |versions, probe| {
            versions.after.stop().await;
            versions.before.start().await;
            let recovery = probe.recovery(Sign::Event).await;
            trouble::replay(&mut versions.before).await;
            sleep(seconds).await;
            recovery
        })
        .await;
    Versions::ask(&mut scene.versions.before).await;
    scene.settle().await;
    verify(&mut scene.versions.before).await;
    // Who has stopped holds no message any more, so that the queue shows what was not acknowledged.
    scene.versions.before.stop().await;
    let audit = scene.audit().await;
    table.print(Row {
        name: "back: before alone",
        audit,
        recoveries: recovery.into_iter().collect(),
        ..Row::default()
    });

    let different = differences(&views_before, &views(scene.client()).await);
    for difference in &different {
        println!("a view that readers rely on: {difference}");
    }
    scene.rules.compare(scene.client()).await;
    scene.versions.before.print_warnings();
    scene.versions.after.print_warnings();
    scene.stage.vhost.remove().await;
    table.is_sound() && different.is_empty()
}

/// Both at work: kills, jobs that fail, replays by either's command line. How long each kill kept jobs from being done,
/// and how many jobs were given up, after how many attempts.
async fn side_by_side(
    versions: &mut Versions,
    probe: &Probe,
    seconds: Duration,
) -> (Vec<Duration>, (i64, i64)) {
    versions.after.start().await;
    let client = probe.connect().await;
    let mut recoveries = Vec::new();
    let started = Instant::now();
    while started.elapsed() < seconds || recoveries.len() < 4 {
        sleep(BETWEEN_KILLS).await;
        let killed = Instant::now();
        let (_, recovery) =
            tokio::join!(versions.kill_one(), probe.recovery_over(&client, Sign::Job, killed));
        recoveries.extend(recovery);
    }
    let (mut jobs, mut attempts) = (0, 0);
    for of_before in [true, false] {
        let failed = trouble::fail(&client).await;
        (jobs, attempts) = (jobs + failed.0, attempts + failed.1);
        trouble::replay(if of_before { &mut versions.before } else { &mut versions.after }).await;
    }
    (recoveries, (jobs, attempts))
}

/// Whether strict partners have what their upstreams have, as the program itself sees it.
async fn verify(version: &mut Version) {
    version.command(&["verify", "--json"]).await;
}

async fn conclude(
    scene: &mut Scene,
    table: &mut Table,
    name: &'static str,
    recoveries: Vec<Duration>,
    note: String,
) {
    scene.settle().await;
    let audit = scene.audit().await;
    let runs = std::mem::take(&mut scene.versions.kills);
    table.print(Row { name, runs, audit, recoveries, note });
}
