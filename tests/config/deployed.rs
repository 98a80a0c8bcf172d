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
    metadata: Metadata,
    string_data: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Metadata {
    name: String,
}

/// Secrets as they would be mounted: what is asked for there by `text` and `names` is read from a folder of the test.
/// Whatever else is asked for is not there, and the configuration says so.
fn mounted<'a>(text: &str, at: &str, names: impl IntoIterator<Item = &'a str>) -> (crate::Folder, String) {
    let folder = crate::Folder::create("deployed");
    for name in names {
        let content = match name {
            "ca.pem" => authority(),
            "access-tokens" => format!("ada:operator:{}\n", "0".repeat(64)),
            _ => "a password\n".to_owned(),
        };
        folder.write(name, &content);
    }
    let text = text.replace(at, &format!("{}/", folder.0.display()));
    // The one file that systemd does not hand over; everybody may read it.
    folder.write("authority.pem", &authority());
    let authority = folder.0.join("authority.pem").display().to_string();
    (folder, text.replace("/etc/channel-sync/ca.pem", &authority))
}

fn authority() -> String {
    rcgen::generate_simple_self_signed(vec!["authority.example".to_owned()]).unwrap().cert.pem()
}

/// The configuration of a service that can do no more than it must, with its secrets in files.
fn check_service(config: &Config) {
    assert!(!config.broker.declare_topology);
    let (broker, database) = (config.broker.url.to_string(), config.database.url.to_string());
    assert!(broker.contains("//channel-sync-service@"), "{broker}");
    assert!(database.contains("//channel_sync_worker@"), "{database}");
    assert!(config.broker.password.is_some() && config.database.password.is_some());
    assert!(!config.http.access_tokens.is_empty());
}

/// The same of a migration.
fn check_migration(config: &Config) {
    let database = config.database.url.to_string();
    assert!(database.contains("//channel_sync_migrator@"), "{database}");
    assert!(config.database.password.is_some());
}

fn load_file(folder: &crate::Folder, text: &str) -> Config {
    let file = folder.write("channel-sync.toml", text);
    Config::load(Some(&file), std::iter::empty()).unwrap_or_else(|problems| panic!("{problems}"))
}

#[test]
fn on_kubernetes_secrets_are_mounted_where_the_configuration_looks() {
    let secrets: Vec<Secret> =
        serde_saphyr::from_multiple(&read("deploy/kubernetes/secret.example.yaml")).unwrap();
    let keys = |name: &str| {
        let secret = secrets.iter().find(|secret| secret.metadata.name == name).unwrap();
        secret.string_data.keys().map(String::as_str).collect::<Vec<_>>()
    };
    let at = "/run/secrets/channel-sync/";
    for (manifest, secret, configuration) in [
        ("deployment.yaml", "channel-sync", "channel-sync.toml"),
        ("migrate/job.yaml", "channel-sync-migrate", "migrate/migrate.toml"),
    ] {
        let manifest = read(&format!("deploy/kubernetes/{manifest}"));
        assert!(manifest.contains(&format!("mountPath: {}\n", at.trim_end_matches('/'))), "{manifest}");
        assert!(manifest.contains(&format!("secretName: {secret}\n")), "{manifest}");
        let text = read(&format!("deploy/kubernetes/{configuration}"));
        let (folder, text) = mounted(&text, at, keys(secret));
        let config = load_file(&folder, &text);
        if secret == "channel-sync" {
            check_service(&config);
            assert!(config.broker.tls.is_some() && config.database.tls.is_some());
            assert_eq!(config.http.listen.unwrap().to_string(), "0.0.0.0:8080");
        } else {
            check_migration(&config);
        }
    }
    let scrape = read("deploy/kubernetes/optional/service-monitor.yaml");
    let (name, key) = ("channel-sync-scrape", keys("channel-sync-scrape"));
    assert!(scrape.contains(&format!("name: {name}\n          key: {}\n", key[0])), "{scrape}");
}

#[test]
fn systemd_hands_over_what_the_configuration_looks_for() {
    for (unit, configuration) in [("channel-sync", "channel-sync"), ("channel-sync-migrate", "migrate")] {
        let service = read(&format!("deploy/systemd/{unit}.service"));
        let handed = service.lines().filter_map(|line| line.strip_prefix("LoadCredential=")?.split_once(':'));
        let names: Vec<&str> = handed.map(|(name, _)| name).collect();
        assert!(!names.is_empty(), "{unit}");
        assert!(service.contains(&format!("--config /etc/channel-sync/{configuration}.toml\n")), "{unit}");
        let text = read(&format!("deploy/systemd/{configuration}.toml"));
        let (folder, text) = mounted(&text, &format!("/run/credentials/{unit}.service/"), names);
        let config = load_file(&folder, &text);
        if unit == "channel-sync" { check_service(&config) } else { check_migration(&config) }
    }
}

#[derive(Deserialize)]
struct Compose {
    services: BTreeMap<String, Service>,
    secrets: BTreeMap<String, SecretFile>,
}

#[derive(Deserialize)]
struct Service {
    #[serde(default)]
    environment: BTreeMap<String, String>,
    #[serde(default)]
    secrets: Vec<String>,
}

#[derive(Deserialize)]
struct SecretFile {
    file: String,
}

#[test]
fn compose_gives_each_service_its_own_secrets() {
    let compose: Compose = serde_saphyr::from_str(&read("deploy/docker/compose.yaml")).unwrap();
    for (name, secret) in &compose.secrets {
        assert_eq!(secret.file, format!("./secrets/{name}"));
    }
    let load = |name: &str| {
        let service = &compose.services[name];
        let (folder, _) = mounted("", "-", service.secrets.iter().map(String::as_str));
        let there = format!("{}/", folder.0.display());
        let environment = service.environment.iter();
        let environment =
            environment.map(|(name, value)| (name.clone(), value.replace("/run/secrets/", &there)));
        Config::load(None, environment).unwrap_or_else(|problems| panic!("{name}: {problems}"))
    };
    check_service(&load("channel-sync"));
    check_migration(&load("migrate"));
    // No password beside the servers' own administrators' comes from the environment.
    for name in ["channel-sync", "migrate"] {
        let environment = &compose.services[name].environment;
        assert!(!environment.values().any(|value| value.contains("PASSWORD:")), "{name}");
    }
}

#[test]
fn whoever_stops_it_waits_longer_than_it_takes_to_stop() {
    let config = Config::load(None, std::iter::empty()).unwrap();
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
