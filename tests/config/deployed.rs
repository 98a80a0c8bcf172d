//! What `deploy/` says to the program is what the program understands.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use channel_sync::config::{BUILT_IN, Config};
use serde::Deserialize;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(name: &str) -> String {
    std::fs::read_to_string(root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// All files for containers, Kubernetes and systemd.
fn files() -> Vec<(PathBuf, String)> {
    let mut folders =
        ["docker", "kubernetes", "systemd"].map(|name| root().join("deploy").join(name)).to_vec();
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                files.push((path.clone(), std::fs::read_to_string(path).unwrap()));
            }
        }
    }
    assert!(files.len() > 10, "{}", files.len());
    files
}

#[test]
fn every_variable_is_a_key() {
    let built_in: toml::Table = BUILT_IN.parse().unwrap();
    let mut found = 0;
    for (path, text) in files() {
        for rest in text.split("CHANNEL_SYNC__").skip(1) {
            let name: String = rest.chars().take_while(|c| c.is_ascii_uppercase() || *c == '_').collect();
            let (section, key) =
                name.split_once("__").unwrap_or_else(|| panic!("{}: {name}", path.display()));
            let known = built_in.get(&section.to_lowercase()).and_then(|keys| keys.get(key.to_lowercase()));
            assert!(known.is_some(), "{}: {name} is no key", path.display());
            found += 1;
        }
    }
    assert!(found >= 5, "{found}");
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Secret {
    string_data: BTreeMap<String, String>,
}

#[test]
fn the_configuration_for_kubernetes_is_in_order() {
    let secret: Secret = serde_saphyr::from_str(&read("deploy/kubernetes/secret.example.yaml")).unwrap();
    let file = root().join("deploy/kubernetes/channel-sync.toml");
    let load = |database_url: &str| {
        let environment = [
            ("AMQP_URL", &secret.string_data["AMQP_URL"]),
            ("DATABASE_URL", &secret.string_data[database_url]),
            ("CHANNEL_SYNC__HTTP__ACCESS_TOKENS", &secret.string_data["ACCESS_TOKENS"]),
        ];
        let environment = environment.map(|(name, value)| (name.to_owned(), value.clone()));
        Config::load(Some(&file), environment.into_iter()).unwrap()
    };
    let config = load("DATABASE_URL");
    assert!(!config.broker.declare_topology);
    assert_eq!(config.http.listen.unwrap().to_string(), "0.0.0.0:8080");
    load("MIGRATE_DATABASE_URL");
    // Whoever stops it waits longer than it takes to stop.
    let seconds = config.shutdown.timeout.as_secs();
    assert!(seconds < 40, "{seconds}");
    for (file, grace) in [
        ("deploy/kubernetes/deployment.yaml", "terminationGracePeriodSeconds: 40\n"),
        ("deploy/docker/compose.yaml", "stop_grace_period: 40s\n"),
        ("deploy/systemd/channel-sync.service", "TimeoutStopSec=40\n"),
    ] {
        assert!(read(file).contains(grace), "{file}: {grace}");
    }
}

#[test]
fn versions_are_those_of_the_manifest_and_of_the_toolchain() {
    let version = env!("CARGO_PKG_VERSION");
    for (file, said) in [
        ("deploy/docker/compose.yaml", format!("image: channel-sync:{version}\n")),
        ("deploy/docker/Dockerfile", format!("ARG VERSION={version}\n")),
        ("deploy/kubernetes/kustomization.yaml", format!("newTag: {version}\n")),
        ("deploy/kubernetes/migrate/kustomization.yaml", format!("newTag: {version}\n")),
    ] {
        assert!(read(file).contains(&said), "{file}: {said}");
    }
    let toolchain: toml::Table = read("rust-toolchain.toml").parse().unwrap();
    let channel = toolchain["toolchain"]["channel"].as_str().unwrap();
    let from = format!("FROM rust:{channel}-slim-bookworm AS build\n");
    assert!(read("deploy/docker/Dockerfile").contains(&from), "{from}");
}
