//! The story: who does what, chapter by chapter, and what the rules table says of it.
//!
//! After the events of each step, the expected state is edited by hand, as the rules have it; the stage
//! compares it with Postgres.

use anyhow::Result;
use serde_json::{Value, json};

use super::cast::{
    ADDERS, BOREALIS, BRIGHT, COMPARABLES, COSTS, DATES, EMAIL, EQUIPMENT, ESCALATION, EXPIRATION, Entries,
    HARBOR, HELIENE_475, HELIOS, KEYSTONE, LG_410, LOGO, MAPLE, NEWLEAF, PAC, PERSONAS, REC_275, REC_290,
    REC_300, SILFAB_300, SUMMIT, SUNPOWER_305, SUNPOWER_475, helios, others, value_of,
};
use super::equipment;
use super::event::{Event, Fate, Flags, remove, set};
use super::expectation::{COLLECTIONS, ONBOARDING, ONGOING};
use super::stage::Stage;

/// Tells the whole story. True where everything came as the rules say.
pub(crate) async fn tell(mut stage: Stage<'_>) -> Result<bool> {
    let equipment = equipment::all()?;
    introduce(&stage);
    settings_are_maintained(&mut stage, &equipment).await?;
    partnerships_begin(&mut stage).await?;
    a_reseller_joins(&mut stage).await?;
    helios_changes(&mut stage, &equipment).await?;
    partners_edit(&mut stage).await?;
    declined_stays_away(&mut stage, &equipment).await?;
    flags_change(&mut stage).await?;
    things_go_wrong(&mut stage, &equipment).await?;
    stage.chapter("The end", "Everything once more: what Postgres has against what the rules table says.");
    stage.close().await
}

fn introduce(stage: &Stage<'_>) {
    stage.report.say(
        "Helios is a channel manager: its settings are synced to its partners. How, the flags of each \
         partnership say. Events go to RabbitMQ as CloudEvents, in structured form where nothing else is \
         said; what comes of them is read from Postgres. Who plays:",
    );
    let rows = [
        (HELIOS, "a channel manager", "–", "–"),
        (BOREALIS, "another channel manager", "–", "–"),
        (PAC, "a partner", "helios, borealis", "non-exclusive: gets what is new, edits freely"),
        (BRIGHT, "a partner", "helios", "flexible: the same, but from one manager only"),
        (SUMMIT, "a partner", "helios", "strict: a locked replica"),
        (NEWLEAF, "a partner, newly invited", "helios", "non-exclusive, after a first match"),
        (KEYSTONE, "a reseller", "helios", "strict"),
        (MAPLE, "the reseller's partner", "keystone", "strict"),
        (HARBOR, "the reseller's partner", "keystone", "non-exclusive"),
    ];
    let rows = rows.map(|(who, what, manager, mode)| [who, what, manager, mode].map(str::to_owned));
    stage.report.table(["organization", "is", "managed by", "and will be…"], &rows);
    stage.report.gap();
    stage.report.detail("match: the partner becomes a replica of its manager; nothing else stays");
    stage.report.detail("merge: the partner keeps all that it has; what it lacks is added");
    stage.report.detail("a collection has many entries (equipment); a default has one value a slot (costs)");
}

async fn settings_are_maintained(stage: &mut Stage<'_>, equipment: &Entries) -> Result<()> {
    let settings = helios(equipment);
    let inverters =
        |(_, entries): &(&str, Entries)| entries.keys().filter(|key| key.starts_with("inverter/")).count();
    let inverters: usize = settings.iter().map(inverters).sum();
    let modules = settings.first().map_or(0, |(_, range)| range.len() - inverters);
    stage.chapter(
        "Helios maintains its settings",
        &format!(
            "Helios publishes every category as it is now, as a snapshot: {modules} real modules and \
             {inverters} inverters, adders, default costs and so on. Nobody is its partner yet: nothing goes on."
        ),
    );
    let events: Vec<Event> = settings
        .iter()
        .map(|(category, entries)| {
            let event = Event::snapshot(&format!("helios-{}-1", short(category)), HELIOS, category, entries);
            if *category == PERSONAS { event.version(1) } else { event }
        })
        .collect();
    stage.publish(&events).await?;
    own(stage, HELIOS, settings);
    stage.compare().await?;

    stage.report.say("The others have settings of their own, some under the same keys as Helios. They publish in binary form.");
    let (mut events, mut rows) = (Vec::new(), Vec::new());
    let others = others(equipment)?;
    for (organization, settings) in &others {
        let mut owned = Vec::new();
        for (category, entries) in settings {
            let id = format!("{organization}-{}-1", short(category));
            events.push(Event::snapshot(&id, organization, category, entries).binary());
            owned.push(format!("{category} {}", entries.len()));
        }
        rows.push([(*organization).to_owned(), settings.len().to_string(), owned.join(", ")]);
    }
    stage.publish_unlisted(&events).await?;
    for (organization, settings) in others {
        own(stage, organization, settings);
    }
    stage.report.table(["organization", "events", "entries of its own…"], &rows);
    stage.compare().await
}

/// Names the events about a category.
fn short(category: &str) -> &str {
    match category {
        COSTS => "costs",
        DATES => "dates",
        PERSONAS => "personas",
        ESCALATION => "escalation",
        EXPIRATION => "expiration",
        COMPARABLES => "comparables",
        EMAIL => "email",
        LOGO => "logo",
        other => other,
    }
}

fn own(stage: &mut Stage<'_>, organization: &str, settings: Vec<(&str, Entries)>) {
    for (category, entries) in settings {
        for (key, value) in entries {
            stage.expected.own(organization, category, &key, value);
        }
    }
}

async fn partnerships_begin(stage: &mut Stage<'_>) -> Result<()> {
    stage.chapter(
        "Partnerships begin",
        "Three organizations that are there already become partners of Helios, one of them of Borealis too. \
         Newleaf is new: Helios has invited it.",
    );
    stage
        .publish(&[
            Event::partnership("helios-pac-energy-1", HELIOS, PAC, Flags::NonExclusive),
            Event::partnership("borealis-pac-energy-1", BOREALIS, PAC, Flags::NonExclusive),
            Event::partnership("helios-bright-roofs-1", HELIOS, BRIGHT, Flags::Flexible),
            Event::partnership("helios-summit-solar-1", HELIOS, SUMMIT, Flags::Strict),
            Event::partnership("helios-newleaf-1", HELIOS, NEWLEAF, Flags::NonExclusive).invited(),
        ])
        .await?;

    let rules = &mut stage.expected;
    rules.mode(HELIOS, PAC, "non-exclusive");
    rules.filled(PAC, HELIOS, &COLLECTIONS);
    rules.mode(BOREALIS, PAC, "non-exclusive");
    rules.filled(PAC, BOREALIS, &COLLECTIONS);
    rules.mode(HELIOS, BRIGHT, "flexible");
    rules.filled(BRIGHT, HELIOS, &COLLECTIONS);
    rules.mode(HELIOS, SUMMIT, "strict");
    rules.replica(SUMMIT, HELIOS, &ONGOING);
    rules.mode(HELIOS, NEWLEAF, "non-exclusive");
    rules.replica(NEWLEAF, HELIOS, &ONGOING);
    rules.replica(NEWLEAF, HELIOS, &ONBOARDING);
    stage
        .tell(&[
            (PAC, "existing organization: merge collections, leave defaults alone; equal keys stay its own"),
            (BRIGHT, "existing organization: merge collections, leave defaults alone"),
            (SUMMIT, "existing organization: match; what it displaces is archived"),
            (NEWLEAF, "new organization: match, logo and licenses too; from now on it may edit"),
        ])
        .await?;
    stage
        .look(&[
            (PAC, EQUIPMENT, REC_275, "name"),
            (PAC, ADDERS, "snow-guard", "usd"),
            (BRIGHT, COSTS, "inverter", "usd_per_watt"),
            (SUMMIT, ADDERS, "steep-roof", "usd"),
            (SUMMIT, LOGO, "logo", "file"),
            (NEWLEAF, LOGO, "logo", "file"),
        ])
        .await
}

async fn a_reseller_joins(stage: &mut Stage<'_>) -> Result<()> {
    stage.chapter("A reseller joins, with partners of its own", "First, Keystone has two partners.");
    stage
        .publish(&[
            Event::partnership("keystone-maple-1", KEYSTONE, MAPLE, Flags::Strict),
            Event::partnership("keystone-harbor-1", KEYSTONE, HARBOR, Flags::NonExclusive),
        ])
        .await?;
    let rules = &mut stage.expected;
    rules.mode(KEYSTONE, MAPLE, "strict");
    rules.replica(MAPLE, KEYSTONE, &ONGOING);
    rules.mode(KEYSTONE, HARBOR, "non-exclusive");
    rules.filled(HARBOR, KEYSTONE, &COLLECTIONS);
    stage
        .tell(&[
            (MAPLE, "existing organization: match with Keystone"),
            (HARBOR, "existing organization: merge with Keystone"),
        ])
        .await?;

    stage.report.say("Then Keystone becomes a strict partner of Helios: one event, three organizations.");
    stage.publish(&[Event::partnership("helios-keystone-1", HELIOS, KEYSTONE, Flags::Strict)]).await?;
    let rules = &mut stage.expected;
    rules.mode(HELIOS, KEYSTONE, "strict");
    rules.replica(KEYSTONE, HELIOS, &ONGOING);
    rules.replica(MAPLE, KEYSTONE, &ONGOING);
    rules.filled(HARBOR, KEYSTONE, &COLLECTIONS);
    stage
        .tell(&[
            (KEYSTONE, "existing organization: match with Helios"),
            (MAPLE, "match: all that changed in Keystone goes on, defaults and removals too"),
            (HARBOR, "merge: what is new in Keystone goes on; nothing is lost"),
        ])
        .await?;
    stage
        .look(&[
            (MAPLE, ADDERS, "steep-roof", "usd"),
            (MAPLE, ADDERS, "lift-rental", "usd"),
            (HARBOR, ADDERS, "steep-roof", "usd"),
            (HARBOR, ADDERS, "lift-rental", "usd"),
        ])
        .await
}

/// The event of chapter 4 that is published once more in chapter 8.
fn helios_equipment_2(equipment: &Entries) -> Result<Event> {
    let edits = [
        set(LG_410, value_of(equipment, LG_410)?),
        set(HELIENE_475, value_of(equipment, HELIENE_475)?),
        set(SUNPOWER_475, value_of(equipment, SUNPOWER_475)?),
        set(REC_300, with_warranty(value_of(equipment, REC_300)?)),
        remove(SUNPOWER_305),
    ];
    Ok(Event::changes("helios-equipment-2", HELIOS, EQUIPMENT, &edits))
}

fn with_warranty(mut module: Value) -> Value {
    module["warranty_years"] = json!(25);
    module
}

async fn helios_changes(stage: &mut Stage<'_>, equipment: &Entries) -> Result<()> {
    stage.chapter(
        "Helios changes its settings",
        "Three new modules, one with a longer warranty, an obsolete one removed. An adder is dearer; one \
         default cost changes, one is cleared. And there is a new logo.",
    );
    let steep_roof = json!({ "name": "Steep roof", "usd": 980 });
    let inverter = json!({ "usd_per_watt": 0.19 });
    let logo = json!({ "file": "new-sun.svg" });
    let cost_edits = [set("inverter", inverter.clone()), remove("energy-efficiency")];
    stage
        .publish(&[
            helios_equipment_2(equipment)?.binary(),
            Event::changes("helios-adders-2", HELIOS, ADDERS, &[set("steep-roof", steep_roof.clone())]),
            Event::changes("helios-costs-2", HELIOS, COSTS, &cost_edits),
            Event::changes("helios-logo-2", HELIOS, LOGO, &[set("logo", logo.clone())]),
        ])
        .await?;

    let rules = &mut stage.expected;
    for key in [LG_410, HELIENE_475, SUNPOWER_475] {
        rules.own(HELIOS, EQUIPMENT, key, value_of(equipment, key)?);
    }
    rules.own(HELIOS, EQUIPMENT, REC_300, with_warranty(value_of(equipment, REC_300)?));
    rules.gone(HELIOS, EQUIPMENT, SUNPOWER_305);
    rules.own(HELIOS, ADDERS, "steep-roof", steep_roof);
    rules.own(HELIOS, COSTS, "inverter", inverter);
    rules.gone(HELIOS, COSTS, "energy-efficiency");
    rules.own(HELIOS, LOGO, "logo", logo);
    // Collections: what is new goes to everybody who lacks it.
    for key in [LG_410, SUNPOWER_475] {
        rules.synced(PAC, HELIOS, EQUIPMENT, key);
    }
    for key in [LG_410, HELIENE_475, SUNPOWER_475] {
        rules.synced(BRIGHT, HELIOS, EQUIPMENT, key);
        rules.synced(NEWLEAF, HELIOS, EQUIPMENT, key);
    }
    // Strict: all of it.
    for (partner, manager) in [(SUMMIT, HELIOS), (KEYSTONE, HELIOS), (MAPLE, KEYSTONE)] {
        for key in [LG_410, HELIENE_475, SUNPOWER_475, REC_300] {
            rules.synced(partner, manager, EQUIPMENT, key);
        }
        rules.gone(partner, EQUIPMENT, SUNPOWER_305);
        rules.synced(partner, manager, ADDERS, "steep-roof");
        rules.synced(partner, manager, COSTS, "inverter");
        rules.gone(partner, COSTS, "energy-efficiency");
    }
    // What is new in Keystone.
    for key in [LG_410, HELIENE_475, SUNPOWER_475] {
        rules.synced(HARBOR, KEYSTONE, EQUIPMENT, key);
    }
    stage
        .tell(&[
            (SUMMIT, "match: added, changed and removed all apply, defaults too"),
            (PAC, "merge: only what is new; one of the three it has as its own"),
            (BRIGHT, "merge: only what is new; no changes, removals or defaults"),
            (NEWLEAF, "merge: the same; a logo is synced at the invitation only"),
            (KEYSTONE, "match"),
            (MAPLE, "match, by way of Keystone"),
            (HARBOR, "merge: what is new in Keystone"),
        ])
        .await?;
    stage
        .look(&[
            (SUMMIT, ADDERS, "steep-roof", "usd"),
            (NEWLEAF, ADDERS, "steep-roof", "usd"),
            (PAC, EQUIPMENT, HELIENE_475, "name"),
            (NEWLEAF, LOGO, "logo", "file"),
        ])
        .await
}

async fn partners_edit(stage: &mut Stage<'_>) -> Result<()> {
    stage.chapter(
        "Partners edit their settings",
        "Where the partnership is not strict, an edit stands. Where it is, the setting is locked and the \
         event is refused whole.",
    );
    let trenching = json!({ "name": "Trenching, rocky ground", "usd_per_foot": 41 });
    let project = json!({ "usd_per_watt": 2.6 });
    let logo = json!({ "file": "leaf.svg" });
    let peak = json!({ "file": "summit.svg" });
    let free = json!({ "name": "Steep roof", "usd": 0 });
    let declines = [remove(REC_290), remove(SILFAB_300)];
    let locked = Fate::State("locked");
    stage
        .publish(&[
            Event::changes("pac-energy-adders-2", PAC, ADDERS, &[set("trenching", trenching.clone())]),
            Event::changes("bright-roofs-equipment-2", BRIGHT, EQUIPMENT, &declines),
            Event::changes("newleaf-costs-1", NEWLEAF, COSTS, &[set("project", project.clone())]),
            Event::changes("newleaf-logo-1", NEWLEAF, LOGO, &[set("logo", logo.clone())]),
            Event::changes("summit-solar-adders-2", SUMMIT, ADDERS, &[set("steep-roof", free.clone())])
                .ends(locked),
            Event::changes("summit-solar-logo-2", SUMMIT, LOGO, &[set("logo", peak.clone())]),
            Event::changes("maple-adders-2", MAPLE, ADDERS, &[set("steep-roof", free)]).ends(locked),
        ])
        .await?;
    let rules = &mut stage.expected;
    rules.own(PAC, ADDERS, "trenching", trenching);
    rules.gone(BRIGHT, EQUIPMENT, REC_290);
    rules.gone(BRIGHT, EQUIPMENT, SILFAB_300);
    rules.own(NEWLEAF, COSTS, "project", project);
    rules.own(NEWLEAF, LOGO, "logo", logo);
    rules.own(SUMMIT, LOGO, "logo", peak);
    stage
        .tell(&[
            (PAC, "its edit stands; the synced adder is its own now"),
            (BRIGHT, "its edit stands; it declines the synced module, the other was its own"),
            (NEWLEAF, "its edits stand, defaults and logo too"),
            (SUMMIT, "the adder is locked by Helios; a logo never is"),
            (MAPLE, "locked by Keystone, its direct manager"),
        ])
        .await?;
    stage.reasons(&["summit-solar-adders-2", "maple-adders-2"]).await?;
    stage
        .look(&[
            (PAC, ADDERS, "trenching", "usd_per_foot"),
            (BRIGHT, EQUIPMENT, REC_290, "warranty_years"),
            (SUMMIT, ADDERS, "steep-roof", "usd"),
        ])
        .await
}

async fn declined_stays_away(stage: &mut Stage<'_>, equipment: &Entries) -> Result<()> {
    stage.chapter(
        "What was declined stays away, until it is added anew",
        "Helios changes the module that Bright Roofs has declined, and the adder that PAC Energy has made \
         its own. It also has a new persona.",
    );
    let rec_290 = with_warranty(value_of(equipment, REC_290)?);
    let trenching = json!({ "name": "Trenching", "usd_per_foot": 30 });
    let persona = json!({ "kwh_per_year": 16400, "peak": "summer" });
    stage
        .publish(&[
            Event::changes("helios-equipment-3", HELIOS, EQUIPMENT, &[set(REC_290, rec_290.clone())]),
            Event::changes("helios-adders-3", HELIOS, ADDERS, &[set("trenching", trenching.clone())]),
            Event::changes("helios-personas-2", HELIOS, PERSONAS, &[set("pool-owner", persona.clone())])
                .version(2),
        ])
        .await?;
    let rules = &mut stage.expected;
    rules.own(HELIOS, EQUIPMENT, REC_290, rec_290.clone());
    rules.own(HELIOS, ADDERS, "trenching", trenching);
    rules.own(HELIOS, PERSONAS, "pool-owner", persona);
    for (partner, manager) in [(SUMMIT, HELIOS), (KEYSTONE, HELIOS), (MAPLE, KEYSTONE)] {
        rules.synced(partner, manager, EQUIPMENT, REC_290);
        rules.synced(partner, manager, ADDERS, "trenching");
        rules.synced(partner, manager, PERSONAS, "pool-owner");
    }
    for (partner, manager) in [(PAC, HELIOS), (BRIGHT, HELIOS), (NEWLEAF, HELIOS), (HARBOR, KEYSTONE)] {
        rules.synced(partner, manager, PERSONAS, "pool-owner");
    }
    stage
        .tell(&[
            (BRIGHT, "merge: the persona is new, the module is not"),
            (PAC, "merge: the same; its adder stays its own"),
            (SUMMIT, "match"),
        ])
        .await?;

    stage
        .report
        .say("Bright Roofs' data sync is switched off and on again. That is a merge, but it does not bring the module back.");
    stage
        .publish(&[
            Event::partnership("helios-bright-roofs-2", HELIOS, BRIGHT, Flags::SyncOff),
            Event::partnership("helios-bright-roofs-3", HELIOS, BRIGHT, Flags::Flexible),
        ])
        .await?;
    stage.tell(&[(BRIGHT, "sync turned on: merge; what it declined stays away")]).await?;

    stage.report.say("Helios removes the module.");
    stage.publish(&[Event::changes("helios-equipment-4", HELIOS, EQUIPMENT, &[remove(REC_290)])]).await?;
    for organization in [HELIOS, SUMMIT, KEYSTONE, MAPLE] {
        stage.expected.gone(organization, EQUIPMENT, REC_290);
    }
    stage
        .tell(&[
            (SUMMIT, "match: the removal applies"),
            (PAC, "merge: a removal is never merged"),
            (BRIGHT, "merge: the same"),
        ])
        .await?;
    stage.report.say("And adds it anew.");
    stage
        .publish(&[Event::changes("helios-equipment-5", HELIOS, EQUIPMENT, &[set(REC_290, rec_290.clone())])])
        .await?;
    let rules = &mut stage.expected;
    rules.own(HELIOS, EQUIPMENT, REC_290, rec_290);
    for (partner, manager) in [(SUMMIT, HELIOS), (KEYSTONE, HELIOS), (MAPLE, KEYSTONE), (BRIGHT, HELIOS)] {
        rules.synced(partner, manager, EQUIPMENT, REC_290);
    }
    stage
        .tell(&[
            (BRIGHT, "merge: the module is new again, so it comes back"),
            (SUMMIT, "match"),
            (PAC, "merge: it has the module still, as it first came"),
        ])
        .await?;
    stage
        .look(&[(BRIGHT, EQUIPMENT, REC_290, "warranty_years"), (PAC, EQUIPMENT, REC_290, "warranty_years")])
        .await
}

async fn flags_change(stage: &mut Stage<'_>) -> Result<()> {
    stage.chapter(
        "The flags change",
        "Bright Roofs becomes strict. Summit Solar's partnership ends. Keystone may edit from now on.",
    );
    stage
        .publish(&[
            Event::partnership("helios-bright-roofs-4", HELIOS, BRIGHT, Flags::Strict),
            Event::partnership("helios-summit-solar-2", HELIOS, SUMMIT, Flags::Ended),
            Event::partnership("helios-keystone-2", HELIOS, KEYSTONE, Flags::Flexible),
        ])
        .await?;
    let rules = &mut stage.expected;
    rules.mode(HELIOS, BRIGHT, "strict");
    rules.replica(BRIGHT, HELIOS, &ONGOING);
    rules.mode(HELIOS, SUMMIT, "off");
    rules.mode(HELIOS, KEYSTONE, "flexible");
    stage
        .tell(&[
            (BRIGHT, "became strict: match; what it displaces is archived"),
            (SUMMIT, "left strict: no value changes, all is unlocked"),
            (KEYSTONE, "left strict: no value changes, all is unlocked"),
            (MAPLE, "its lock is Keystone's, not Helios': it stays"),
        ])
        .await?;

    stage.report.say("Who is free may edit. A partnership that has ended brings nothing more.");
    let steep_roof = json!({ "name": "Steep roof", "usd": 1020 });
    let lift = json!({ "name": "Lift rental", "usd": 560 });
    let battery = json!({ "usd_per_kwh": 690 });
    let solar_module = json!({ "usd_per_watt": 0.58 });
    let costs = [set("solar-module", solar_module.clone()), set("battery", battery.clone())];
    stage
        .publish(&[
            Event::changes("summit-solar-adders-3", SUMMIT, ADDERS, &[set("steep-roof", steep_roof.clone())]),
            Event::changes("keystone-adders-2", KEYSTONE, ADDERS, &[set("lift-rental", lift.clone())]),
            Event::changes("helios-costs-3", HELIOS, COSTS, &costs),
        ])
        .await?;
    let rules = &mut stage.expected;
    rules.own(SUMMIT, ADDERS, "steep-roof", steep_roof);
    rules.own(KEYSTONE, ADDERS, "lift-rental", lift);
    rules.synced(MAPLE, KEYSTONE, ADDERS, "lift-rental");
    rules.own(HELIOS, COSTS, "solar-module", solar_module);
    rules.own(HELIOS, COSTS, "battery", battery);
    rules.synced(BRIGHT, HELIOS, COSTS, "solar-module");
    rules.synced(BRIGHT, HELIOS, COSTS, "battery");
    stage
        .tell(&[
            (SUMMIT, "its edit stands; Helios' costs reach it no more"),
            (KEYSTONE, "its edit stands; defaults are no longer synced to it"),
            (MAPLE, "match: Keystone's adder goes on to it"),
            (HARBOR, "merge: it has this adder from Keystone already"),
            (BRIGHT, "match, defaults too"),
        ])
        .await?;
    stage
        .look(&[
            (BRIGHT, COSTS, "battery", "usd_per_kwh"),
            (SUMMIT, COSTS, "battery", "usd_per_kwh"),
            (HARBOR, ADDERS, "lift-rental", "usd"),
        ])
        .await
}

async fn things_go_wrong(stage: &mut Stage<'_>, equipment: &Entries) -> Result<()> {
    stage.chapter(
        "Things go wrong",
        "Borealis wants Bright Roofs for itself. Maple wants to manage Helios. An event comes twice (once \
         in each form), an id is used again, a category is misspelt, an old version comes late, and one \
         event is about something that is never synced.",
    );
    let other = [set("steep-roof", json!({ "name": "Steep roof", "usd": 1 }))];
    let battery = [set("home-battery", json!({ "kwh": 13.5 }))];
    let old = [set("pool-owner", json!({ "kwh_per_year": 1 }))];
    let calendar = [set("calendar", json!({ "connected": true }))];
    stage
        .publish(&[
            Event::partnership("borealis-bright-roofs-1", BOREALIS, BRIGHT, Flags::Strict)
                .ends(Fate::Rejected("exclusive-conflict")),
            Event::partnership("maple-helios-1", MAPLE, HELIOS, Flags::NonExclusive)
                .ends(Fate::Rejected("partnership-cycle")),
            helios_equipment_2(equipment)?.ends(Fate::Duplicate),
            Event::changes("helios-adders-2", HELIOS, ADDERS, &other).ends(Fate::Rejected("id-reused")),
            Event::changes("helios-adder-1", HELIOS, "adder", &battery)
                .ends(Fate::Rejected("unknown-category")),
            Event::changes("helios-personas-0", HELIOS, PERSONAS, &old)
                .version(1)
                .ends(Fate::State("superseded")),
            Event::changes("helios-integrations-1", HELIOS, "integrations", &calendar)
                .ends(Fate::State("ignored")),
        ])
        .await?;
    stage.report.gap();
    stage
        .reasons(&[
            "borealis-bright-roofs-1",
            "maple-helios-1",
            "helios-adders-2",
            "helios-adder-1",
            "helios-personas-0",
        ])
        .await?;
    stage.report.detail("helios-equipment-2: came in chapter 4 with the same content; nothing is done again");
    stage.report.detail("helios-integrations-1: integrations are never synced; noted, nothing is done");
    stage.compare().await
}
