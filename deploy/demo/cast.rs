//! Who plays, and what everybody has in the beginning. Names and prices are made up; the equipment is real.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use serde_json::{Value, json};

/// The channel manager.
pub(crate) const HELIOS: &str = "helios";
/// Another channel manager, of which one of Helios' partners is a partner too.
pub(crate) const BOREALIS: &str = "borealis";
/// Non-exclusive.
pub(crate) const PAC: &str = "pac-energy";
/// Flexible.
pub(crate) const BRIGHT: &str = "bright-roofs";
/// Strict.
pub(crate) const SUMMIT: &str = "summit-solar";
/// Newly invited.
pub(crate) const NEWLEAF: &str = "newleaf";
/// A reseller: a strict partner of Helios with partners of its own.
pub(crate) const KEYSTONE: &str = "keystone";
/// Keystone's strict partner.
pub(crate) const MAPLE: &str = "maple";
/// Keystone's non-exclusive partner.
pub(crate) const HARBOR: &str = "harbor";

pub(crate) const EQUIPMENT: &str = "equipment";
pub(crate) const ADDERS: &str = "adders";
pub(crate) const COSTS: &str = "default-costs";
pub(crate) const DATES: &str = "estimated-installation-dates";
pub(crate) const PERSONAS: &str = "persona-inventory";
pub(crate) const ESCALATION: &str = "utility-rate-escalation";
pub(crate) const EXPIRATION: &str = "expiration-dates";
pub(crate) const COMPARABLES: &str = "comparable-values";
pub(crate) const EMAIL: &str = "proposal-email";
pub(crate) const LOGO: &str = "organization-logo";
pub(crate) const LICENSES: &str = "licenses";

// Equipment that Helios does not have from the first; the rest of the file it has.
pub(crate) const LG_410: &str = "module/lg-electronics-inc-lg410n2w-a5";
pub(crate) const HELIENE_475: &str = "module/heliene-96m475";
pub(crate) const SUNPOWER_475: &str = "module/sunpower-spr-x22-475-com";
const KYOCERA_255: &str = "module/kyocera-solar-kd255gx-lpb3";
pub(crate) const SILFAB_300: &str = "module/silfab-ssg300p";
const SILFAB_380: &str = "module/silfab-solar-inc-slg380m";
const SUNIVA_305: &str = "module/suniva-mvt305-72-5-100";
const FIRST_SOLAR_435: &str = "module/first-solar-inc-fs-6435a";
const FIRST_SOLAR_385: &str = "module/first-solar-inc-fs-6385";
const LONGI_375: &str = "module/longi-green-energy-technology-co-ltd-lr6-72ph-375m";
const NOT_HELIOS: [&str; 10] = [
    LG_410,
    HELIENE_475,
    SUNPOWER_475,
    KYOCERA_255,
    SILFAB_300,
    SILFAB_380,
    SUNIVA_305,
    FIRST_SOLAR_435,
    FIRST_SOLAR_385,
    LONGI_375,
];

// Equipment of Helios that plays a part.
pub(crate) const REC_275: &str = "module/rec-solar-rec275tp";
pub(crate) const REC_290: &str = "module/rec-solar-rec290tp2sm";
pub(crate) const REC_300: &str = "module/rec-solar-rec300pe72-blk";
pub(crate) const SUNPOWER_305: &str = "module/sunpower-t5-spr-305e";
const SILFAB_360: &str = "module/silfab-slg360m";
const SUNIVA_340: &str = "module/suniva-opt340-72-4-100";

/// Entries by key.
pub(crate) type Entries = BTreeMap<String, Value>;

/// What an organization has, category by category.
pub(crate) type Settings = Vec<(&'static str, Entries)>;

/// Everything of the file that Helios has from the first.
pub(crate) fn helios_equipment(equipment: &Entries) -> Entries {
    let theirs = equipment.iter().filter(|(key, _)| !NOT_HELIOS.contains(&key.as_str()));
    theirs.map(|(key, value)| (key.clone(), value.clone())).collect()
}

/// What Helios has from the first.
pub(crate) fn helios(equipment: &Entries) -> Settings {
    let adders = [
        ("steep-roof", json!({ "name": "Steep roof", "usd": 900 })),
        ("tile-roof", json!({ "name": "Tile roof", "usd": 1100 })),
        ("trenching", json!({ "name": "Trenching", "usd_per_foot": 28 })),
        ("panel-upgrade", json!({ "name": "Main panel upgrade", "usd": 2400 })),
        ("ev-charger", json!({ "name": "EV charger", "usd": 1150 })),
        ("critter-guard", json!({ "name": "Critter guard", "usd": 650 })),
    ];
    let costs = [
        ("solar-module", json!({ "usd_per_watt": 0.62 })),
        ("inverter", json!({ "usd_per_watt": 0.21 })),
        ("battery", json!({ "usd_per_kwh": 710 })),
        ("energy-efficiency", json!({ "usd": 480 })),
        ("project", json!({ "usd_per_watt": 2.85 })),
    ];
    let dates = [("installation", json!({ "days": 45 })), ("permission-to-operate", json!({ "days": 75 }))];
    let personas = [
        ("retired-couple", json!({ "kwh_per_year": 6200, "peak": "day" })),
        ("family-of-four", json!({ "kwh_per_year": 10800, "peak": "evening" })),
        ("ev-owner", json!({ "kwh_per_year": 13900, "peak": "night" })),
        ("home-office", json!({ "kwh_per_year": 8100, "peak": "day" })),
    ];
    let escalation = [
        ("north-coast-power", json!({ "percent_per_year": 4.5 })),
        ("valley-electric", json!({ "percent_per_year": 3.9 })),
        ("city-light", json!({ "percent_per_year": 2.75 })),
    ];
    let email = [
        ("subject", json!("Your solar proposal")),
        ("text", json!("Thank you for thinking about solar power with us.")),
    ];
    let licenses = [
        ("california-c46", json!({ "number": "000000-C46" })),
        ("nevada-c2g", json!({ "number": "000000-C2G" })),
    ];
    vec![
        (EQUIPMENT, helios_equipment(equipment)),
        (ADDERS, entries(adders)),
        (COSTS, entries(costs)),
        (DATES, entries(dates)),
        (PERSONAS, entries(personas)),
        (ESCALATION, entries(escalation)),
        (EXPIRATION, entries([("proposal", json!({ "days": 30 }))])),
        (COMPARABLES, entries([("trees-planted", json!(true)), ("miles-not-driven", json!(true))])),
        (EMAIL, entries(email)),
        (LOGO, entries([("logo", json!({ "file": "sun.svg" }))])),
        (LICENSES, entries(licenses)),
    ]
}

/// What the others have before any partnership begins. Newleaf has nothing.
pub(crate) fn others(equipment: &Entries) -> Result<Vec<(&'static str, Settings)>> {
    let modules = |keys: &[&str]| -> Result<Entries> {
        keys.iter().map(|key| Ok(((*key).to_owned(), value_of(equipment, key)?))).collect()
    };
    let steep_roof = |usd: u32| ("steep-roof", json!({ "name": "Steep roof", "usd": usd }));
    let mut pac = modules(&[KYOCERA_255])?;
    pac.extend(entries([
        (REC_275, json!({ "name": "REC 275, the last pallet", "watts": 275 })),
        (HELIENE_475, json!({ "name": "Heliene 475, ordered directly", "watts": 475 })),
    ]));
    Ok(vec![
        (
            BOREALIS,
            vec![
                (EQUIPMENT, modules(&[LONGI_375, SILFAB_380, SILFAB_360])?),
                (ADDERS, entries([("snow-guard", json!({ "name": "Snow guard", "usd": 390 }))])),
            ],
        ),
        (
            PAC,
            vec![
                (EQUIPMENT, pac),
                (
                    ADDERS,
                    entries([steep_roof(750), ("boat-dock", json!({ "name": "Boat dock", "usd": 1800 }))]),
                ),
                (COSTS, entries([("project", json!({ "usd_per_watt": 3.1 }))])),
            ],
        ),
        (
            BRIGHT,
            vec![
                (EQUIPMENT, modules(&[SILFAB_300])?),
                (COSTS, entries([("inverter", json!({ "usd_per_watt": 0.25 }))])),
                (PERSONAS, entries([("winter-guest", json!({ "kwh_per_year": 3100, "peak": "day" }))])),
            ],
        ),
        (
            SUMMIT,
            vec![
                (EQUIPMENT, modules(&[SUNIVA_305, SUNIVA_340])?),
                (ADDERS, entries([steep_roof(1000)])),
                (COSTS, entries([("battery", json!({ "usd_per_kwh": 800 }))])),
                (LOGO, entries([("logo", json!({ "file": "peak.svg" }))])),
            ],
        ),
        (
            KEYSTONE,
            vec![
                (EQUIPMENT, modules(&[FIRST_SOLAR_435])?),
                (ADDERS, entries([("lift-rental", json!({ "name": "Lift rental", "usd": 520 }))])),
            ],
        ),
        (MAPLE, vec![(ADDERS, entries([steep_roof(820)]))]),
        (HARBOR, vec![(EQUIPMENT, modules(&[FIRST_SOLAR_385])?), (ADDERS, entries([steep_roof(880)]))]),
    ])
}

/// The value of a module or inverter, as the file has it.
pub(crate) fn value_of(equipment: &Entries, key: &str) -> Result<Value> {
    equipment.get(key).cloned().with_context(|| format!("find {key} in equipment.csv"))
}

fn entries<const N: usize>(entries: [(&str, Value); N]) -> Entries {
    entries.map(|(key, value)| (key.to_owned(), value)).into()
}
