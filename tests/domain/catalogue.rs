//! The built-in catalogue is the table of the article, and a wrong one is refused with what was expected.

use channel_sync::domain::catalogue::{BUILT_IN, Catalogue, CatalogueError};

#[test]
fn the_built_in_catalogue_is_the_table_of_the_article() {
    let catalogue = Catalogue::parse(BUILT_IN).unwrap();
    let found: Vec<String> = catalogue
        .iter()
        .map(|(_, category)| {
            let group = category.group.as_deref().unwrap_or("-");
            format!("{group} {} {:?} {:?}", category.name, category.kind, category.reach)
        })
        .collect();
    let expected = [
        "project equipment Collection Ongoing",
        "project adders Collection Ongoing",
        "project default-costs Default Ongoing",
        "project estimated-installation-dates Default Ongoing",
        "usage persona-inventory Collection Ongoing",
        "usage utility-rate-escalation Collection Ongoing",
        "proposal expiration-dates Default Ongoing",
        "proposal comparable-values Default Ongoing",
        "proposal proposal-email Default Ongoing",
        "organization organization-logo Default OnboardingOnly",
        "organization licenses Collection OnboardingOnly",
        "- proposal-templates Collection Never",
        "- integrations Collection Never",
        "- integration-settings Collection Never",
        "- feature-settings Collection Never",
        "- financing-products Collection Never",
        "- operations-workflows Collection Never",
        "- qualifications Collection Never",
        "- user-settings Collection Never",
        "- notifications Collection Never",
    ];
    assert_eq!(found, expected);
}

#[test]
fn default_costs_has_its_five_slots_and_other_categories_take_any_key() {
    let catalogue = Catalogue::parse(BUILT_IN).unwrap();
    let costs = catalogue.get(catalogue.find("default-costs").unwrap());
    for slot in ["solar-module", "inverter", "battery", "energy-efficiency", "project"] {
        assert!(costs.allows_key(slot), "{slot}");
    }
    assert!(!costs.allows_key("roof"));

    let dates = catalogue.get(catalogue.find("expiration-dates").unwrap());
    assert!(dates.allows_key("anything"));
}

#[test]
fn every_category_is_found_by_its_name_and_no_other_is() {
    let catalogue = Catalogue::parse(BUILT_IN).unwrap();
    for (id, category) in catalogue.iter() {
        assert_eq!(catalogue.find(&category.name), Some(id));
        assert_eq!(catalogue.name(id), &*category.name);
    }
    assert_eq!(catalogue.find("no-such-category"), None);
}

#[test]
fn a_catalogue_without_categories_is_refused() {
    assert!(matches!(Catalogue::parse("").unwrap_err(), CatalogueError::Empty));
}

#[test]
fn a_name_that_stands_twice_is_refused() {
    let text = "[[category]]\nname = \"a\"\nreach = \"ongoing\"\n";
    let error = Catalogue::parse(&text.repeat(2)).unwrap_err();
    assert_eq!(error.to_string(), "the catalogue names the category \"a\" twice; expected each name once");
}

#[test]
fn a_name_that_no_event_could_write_is_refused() {
    for name in ["", "Equipment", "two words", "umläut", &"a".repeat(201)] {
        let error = Catalogue::parse(&format!("[[category]]\nname = {name:?}\nreach = \"ongoing\""));
        assert!(matches!(error.unwrap_err(), CatalogueError::Name(wrong) if wrong == name));
    }
}

#[test]
fn slots_of_a_collection_are_refused() {
    let text = "[[category]]\nname = \"a\"\nkind = \"collection\"\nreach = \"ongoing\"\nslots = [\"b\"]";
    assert!(matches!(Catalogue::parse(text).unwrap_err(), CatalogueError::Slots(name) if name == "a"));
}

#[test]
fn more_categories_than_can_be_numbered_are_refused() {
    let text: String = (0..1001)
        .map(|number| format!("[[category]]\nname = \"c{number}\"\nreach = \"ongoing\"\n"))
        .collect();
    assert!(matches!(Catalogue::parse(&text).unwrap_err(), CatalogueError::TooMany(1001)));
}

#[test]
fn a_key_or_a_word_that_the_catalogue_does_not_know_is_refused() {
    for text in [
        "[[category]]\nname = \"a\"\nreach = \"ongoing\"\ncolour = \"red\"",
        "[[category]]\nname = \"a\"\nreach = \"sometimes\"",
        "[[category]]\nname = \"a\"",
        "[[categories]]\nname = \"a\"\nreach = \"ongoing\"",
    ] {
        assert!(matches!(Catalogue::parse(text).unwrap_err(), CatalogueError::Format(_)), "{text}");
    }
}
