//! The configuration: layers, every problem at once, nothing secret shown.

// A test fails by panicking.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use channel_sync::config::{BUILT_IN, Config, LogFormat};

mod dependencies;
mod deployed;
mod documents;

/// A folder of its own for the files of one test.
struct Folder(PathBuf);

impl Folder {
    fn create(name: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path =
            std::env::temp_dir().join(format!("channel-sync-config-{name}-{}-{count}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, text).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn variables<'a>(pairs: &'a [(&'a str, &'a str)]) -> impl Iterator<Item = (String, String)> + 'a {
    pairs.iter().map(|(name, value)| (name.to_string(), value.to_string()))
}

/// The problems of a configuration, a line each, with the file called FILE.
fn problems(file: Option<&str>, environment: &[(&str, &str)]) -> String {
    let folder = Folder::create("problems");
    let path = file.map(|text| folder.write("channel-sync.toml", text));
    match Config::load(path.as_deref(), variables(environment)) {
        Ok(_) => "none".to_owned(),
        Err(problems) => {
            let lines: Vec<String> = problems.0.iter().map(ToString::to_string).collect();
            let text = lines.join("\n");
            path.map_or(text.clone(), |path| text.replace(&path.display().to_string(), "FILE"))
        }
    }
}

#[test]
fn the_built_in_defaults_are_a_configuration() {
    let config = Config::built_in().unwrap();
    assert_eq!(config.broker.url.expose(), "amqp://guest:guest@127.0.0.1:5672/%2f");
    assert_eq!(config.broker.prefix, "channel-sync");
    assert_eq!(config.broker.prefetch, 1000);
    assert_eq!(config.broker.heartbeat, Duration::from_secs(10));
    assert_eq!(config.ingest.body_bytes_max, 1_048_576);
    assert_eq!(config.database.lock_timeout, Duration::from_secs(2));
    assert_eq!(config.http.listen, Some("127.0.0.1:8080".parse().unwrap()));
    assert_eq!(config.log.format, LogFormat::Text);
    assert!(config.catalogue.find("equipment").is_some());
}

#[test]
fn every_key_has_a_comment_and_its_variable_is_taken() {
    let defaults = Config::built_in().unwrap();
    let mut section = "";
    let mut previous = "";
    let mut environment = Vec::new();
    for line in BUILT_IN.lines() {
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            section = name;
        } else if !line.starts_with('#')
            && let Some((key, value)) = line.split_once(" = ")
        {
            // A pair of min and max shares its comment.
            assert!(previous.starts_with('#') || key.ends_with("_max"), "{section}.{key} has no comment");
            let name = format!("CHANNEL_SYNC__{section}__{key}").to_uppercase();
            environment.push((name, value.trim_matches('"').to_owned()));
        }
        previous = line;
    }
    assert!(environment.len() >= 30);
    let config = Config::load(None, environment.clone().into_iter()).unwrap();
    for (name, _) in &environment {
        assert!(config.print().contains(&format!("# from the variable {name}\n")), "{name} is not taken");
    }
    let without_origins: String =
        config.print().lines().map(|line| format!("{}\n", line.split("  # from ").next().unwrap())).collect();
    assert_eq!(without_origins, defaults.print());
}

#[test]
fn every_key_is_read_and_has_a_bound() {
    // A number that nothing allows is refused at every key that is a number: none is in the file for show.
    for (key, value) in keys() {
        let wrong = match value {
            toml::Value::Integer(_) => "99999999999",
            toml::Value::Boolean(_) => "perhaps",
            _ => "\u{1}@ ",
        };
        let name = format!("CHANNEL_SYNC__{}", key.to_uppercase().replace('.', "__"));
        let found = problems(None, &[(&name, wrong)]);
        assert!(found.contains(&key) && found.contains("expected"), "{key} takes anything: {found}");
    }
}

fn keys() -> Vec<(String, toml::Value)> {
    let sections: toml::Table = toml::from_str(BUILT_IN).unwrap();
    let mut keys = Vec::new();
    for (section, values) in sections {
        for (key, value) in values.as_table().unwrap() {
            keys.push((format!("{section}.{key}"), value.clone()));
        }
    }
    keys
}

#[test]
fn the_ranges_in_the_file_are_those_that_are_checked() {
    // "… A to B <unit>." in the comment above an integer is its range.
    let mut section = "";
    let mut comment = String::new();
    let mut checked = 0;
    for line in BUILT_IN.lines() {
        if let Some(text) = line.strip_prefix('#') {
            comment.push_str(text);
        } else if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            section = name;
        } else if let Some((key, value)) = line.split_once(" = ") {
            if value.parse::<i64>().is_ok() {
                let words: Vec<&str> = comment.split_whitespace().collect();
                let is_number = |word: &str| word.parse::<i64>().is_ok();
                let at = (1..words.len() - 1)
                    .rfind(|at| words[*at] == "to" && is_number(words[at - 1]) && is_number(words[at + 1]));
                let at = at.unwrap_or_else(|| panic!("{section}.{key} names no range"));
                let expected = format!("expected {} to {}", words[at - 1], words[at + 1]);
                let name = format!("CHANNEL_SYNC__{section}__{key}").to_uppercase();
                let found = problems(None, &[(&name, "99999999999")]);
                assert!(found.contains(&expected), "{section}.{key}: {expected}, but: {found}");
                checked += 1;
            }
        } else {
            comment.clear();
        }
    }
    assert!(checked > 20);
}

#[test]
fn the_environment_wins_over_the_file_and_the_file_over_the_defaults() {
    let folder = Folder::create("layers");
    let path = folder.write(
        "mine.toml",
        "[broker]\nprefetch = 10\nprefix = 'from-file'\nurl = 'amqp://file'\n[http]\nlisten = 'off'\n",
    );
    let environment = [
        ("CHANNEL_SYNC__BROKER__PREFETCH", "20"),
        ("AMQP_URL", "amqp://short"),
        ("DATABASE_URL", "postgres://short/db"),
        ("CHANNEL_SYNC__DATABASE__URL", "postgresql://long/db"),
        ("CHANNEL_SYNC__BROKER__DECLARE_TOPOLOGY", "false"),
        ("CHANNEL_SYNC_SERVICE_HOST", "an orchestrator's own variable"),
        ("HOME", "/"),
    ];
    let config = Config::load(Some(&path), variables(&environment)).unwrap();
    assert_eq!(config.broker.prefetch, 20);
    assert_eq!(config.broker.prefix, "from-file");
    assert_eq!(config.broker.url.expose(), "amqp://short");
    assert_eq!(config.database.url.expose(), "postgresql://long/db");
    assert!(!config.broker.declare_topology);
    assert_eq!(config.http.listen, None);
}

#[test]
fn the_file_is_the_argument_or_else_the_variable() {
    let folder = Folder::create("file");
    let argument = folder.write("argument.toml", "broker.prefetch = 1\n");
    let variable = folder.write("variable.toml", "broker.prefetch = 2\n");
    let environment = [("CHANNEL_SYNC_CONFIG", variable.to_str().unwrap())];
    let load = |path: Option<&Path>| Config::load(path, variables(&environment)).unwrap().broker.prefetch;
    assert_eq!(load(Some(&argument)), 1);
    assert_eq!(load(None), 2);
    assert_eq!(
        problems(None, &[("CHANNEL_SYNC_CONFIG", ""), ("AMQP_URL", ""), ("DATABASE_URL", "")]),
        "none"
    );
    let missing = problems(None, &[("CHANNEL_SYNC_CONFIG", "/nowhere/file.toml")]);
    assert!(missing.starts_with("/nowhere/file.toml: expected a readable file ("), "{missing}");
}

#[test]
fn every_problem_is_reported_at_once() {
    let file = "\
[broker]
prefetch = 0
prefech = 10
heartbeat_seconds = \"ten\"
url = \"http://guest:secret@127.0.0.1\"

[brokr]
url = \"amqp://127.0.0.1\"

[http]
listen = \"0.0.0.0:8080\"
";
    let environment = [
        ("CHANNEL_SYNC__HTP__LISTEN", "127.0.0.1:1"),
        ("CHANNEL_SYNC__RETRY__DELAY_MS_MIN", "50000"),
        ("CHANNEL_SYNC__EXECUTOR__WORKERS", "seven"),
    ];
    assert_eq!(
        problems(Some(file), &environment),
        "\
broker.prefetch = 0 in FILE:2: expected 1 to 65535
broker.prefech in FILE:3: no such key; did you mean broker.prefetch?
broker.heartbeat_seconds = \"ten\" in FILE:4: expected an integer
broker.url = \"http://guest:***@127.0.0.1\" in FILE:5: expected a URL such as \
amqp://user:password@host:5672/virtual-host: the scheme is amqp or amqps, not http
[brokr] in FILE:7: no such section; did you mean [broker]?
http.listen = \"0.0.0.0:8080\" in FILE:11: expected a loopback address such as 127.0.0.1:8080: on any other, \
everybody who reaches the port could operate the service, and http.access_tokens names nobody who may
executor.workers = \"seven\" in the variable CHANNEL_SYNC__EXECUTOR__WORKERS: expected an integer
the variable CHANNEL_SYNC__HTP__LISTEN: stands for no key; did you mean CHANNEL_SYNC__HTTP__LISTEN?
retry.delay_ms_min = 50000 in the variable CHANNEL_SYNC__RETRY__DELAY_MS_MIN: \
expected at most retry.delay_ms_max, which is 3000"
    );
}

#[test]
fn what_is_wrong_is_said() {
    type File = &'static str;
    type Variables = &'static [(&'static str, &'static str)];
    type PartOfTheOneProblem = &'static str;
    let cases: &[(File, Variables, PartOfTheOneProblem)] = &[
        ("broker = 1", &[], "broker in FILE:1: expected a section such as [broker]"),
        ("prefetch = 1", &[], "prefetch in FILE:1: expected a section"),
        ("[broker]\nlock_timeout_ms = 1", &[], "did you mean database.lock_timeout_ms?"),
        ("[log]\nnonsense = 1", &[], "log.nonsense in FILE:2: no such key; [log] has "),
        ("[quux]\nnonsense = 1", &[], "[quux] in FILE:1: no such section; expected one of "),
        ("", &[("CHANNEL_SYNC__LOG__NONSENSE", "1")], "`channel-sync config print` shows all keys"),
        ("[broker\n", &[], "FILE:1: expected TOML: "),
        ("[broker]\nprefetch = 1\nprefetch = 2", &[], "FILE:3: expected TOML: duplicate key"),
        (
            "broker.prefetch = 99999999999999999999",
            &[],
            "(a number too large) in FILE:1: expected an integer",
        ),
        ("broker.prefetch = 1.5", &[], "broker.prefetch = 1.5 in FILE:1: expected an integer"),
        ("broker.prefetch = [1]", &[], "broker.prefetch = [1] in FILE:1: expected an integer"),
        ("broker.prefetch = 65536", &[], "expected 1 to 65535"),
        ("broker.prefetch = -1", &[], "expected 1 to 65535"),
        ("broker.prefix = ''", &[], "expected 1 to 100 letters"),
        ("broker.prefix = 'a b'", &[], "expected 1 to 100 letters"),
        ("broker.prefix = 'amq.x'", &[], "expected another beginning than amq."),
        ("broker.declare_topology = 'yes'", &[], "expected true or false"),
        ("", &[("CHANNEL_SYNC__BROKER__DECLARE_TOPOLOGY", "yes")], "expected true or false"),
        ("", &[("CHANNEL_SYNC__BROKER__PREFETCH", "")], "= \"\" in the variable"),
        ("", &[("CHANNEL_SYNC__broker__prefetch", "1")], "did you mean CHANNEL_SYNC__BROKER__PREFETCH?"),
        ("", &[("CHANNEL_SYNC__BROKER", "1")], "stands for no key"),
        (
            "broker.reconnect_delay_ms_max = 1",
            &[],
            "broker.reconnect_delay_ms_max = 1 in FILE:1: \
            expected at least broker.reconnect_delay_ms_min, which is 100",
        ),
        ("database.lock_timeout_ms = 60000", &[], "expected less than database.statement_timeout_seconds"),
        ("executor.workers = 7", &[], "expected at least 2 less than database.pool_size_max, which is 8"),
        ("database.pool_size_max = 3", &[], "expected at least 2 more than executor.workers, which is 2"),
        ("", &[("AMQP_URL", "amqp://")], "it names no host"),
        ("", &[("AMQP_URL", "amqp://h/a/b")], "is written %2f"),
        ("", &[("AMQP_URL", "amqp://h?heartbeat=5")], "it is broker.heartbeat_seconds"),
        ("", &[("AMQP_URL", "amqp://h?cacertfile=x")], "no parameter \"cacertfile\""),
        ("", &[("AMQP_URL", "amqp://h:x")], "invalid port number"),
        ("", &[("AMQP_URL", "amqp://h/%ff")], "hexadecimal digits of UTF-8"),
        ("", &[("AMQP_URL", "amqp://u:50%@h/v")], "hexadecimal digits of UTF-8"),
        ("", &[("DATABASE_URL", "mysql://h/db")], "the scheme is postgres or postgresql"),
        ("", &[("DATABASE_URL", "postgres://h:port/db")], "the port \"port\""),
        ("", &[("DATABASE_URL", "postgres://h/d b")], "white space is written %20"),
        ("broker.auth = 'gssapi'", &[], "expected \"plain\" or \"external\""),
        ("broker.auth = 'external'", &[], "expected \"plain\", as broker.url is not one of amqps://"),
        (
            "broker.auth = 'external'",
            &[("AMQP_URL", "amqps://h")],
            "expected broker.tls_certificate_file and broker.tls_key_file with it",
        ),
        ("broker.tls_ca_file = 'x'", &[], "expected no file, as broker.url is one of amqp://"),
        ("broker.tls_ca_file = 'x'", &[("AMQP_URL", "amqps://h")], "FILE:1: expected a readable file ("),
        ("broker.password_file = '/x'", &[], "as a password stands in broker.url already"),
        (
            "broker.password_file = '/x'",
            &[("AMQP_URL", "amqp://me@h")],
            "\"/x\" in FILE:1: expected a readable",
        ),
        ("database.password_file = '/'", &[], "expected a readable file ("),
        (
            "database.password_file = '/x'",
            &[("DATABASE_URL", "postgres://h/db?password=x")],
            "as a password stands in database.url already",
        ),
        ("database.tls = 'require'", &[], "expected \"verify-full\" or \"off\""),
        ("database.tls_key_file = 'x'", &[], "expected no file, as database.tls is \"off\""),
        (
            "database.tls = 'off'",
            &[("DATABASE_URL", "postgres://h/db?sslmode=verify-full")],
            "expected the same as database.url, which says sslmode=verify-full",
        ),
        ("", &[("DATABASE_URL", "postgres://h/db?sslmode=require")], "expected sslmode=verify-full or"),
        ("", &[("DATABASE_URL", "postgres://h/db?sslmode=verify-ca")], "expected sslmode=verify-full or"),
        (
            "",
            &[("DATABASE_URL", "postgres://h/db?sslrootcert=x")],
            "no sslrootcert here: it is database.tls_ca_file",
        ),
        ("", &[("DATABASE_URL", "postgres://h/db?sslkey=x")], "no sslkey here: it is database.tls_key_file"),
        (
            "http.access_tokens_file = '/x'",
            &[],
            "http.access_tokens_file = \"/x\" in FILE:1: expected a readable file (",
        ),
        ("http.listen = 'localhost:80'", &[], "expected an IP address and a port"),
        ("http.listen = '[::]:80'", &[], "expected a loopback address"),
        (
            "http.access_tokens = 'ada:operator:secret'",
            &[],
            "in entry 1 the hash is not 64 hexadecimal digits",
        ),
        ("log.format = 'xml'", &[], "expected \"text\" or \"json\""),
        ("log.filter = 'debgu'", &[], "\"debgu\" is no level"),
        ("log.filter = ''", &[], "\"\" is no level"),
        ("log.filter = 'info,a=b=c'", &[], "expected a level"),
        (
            "catalogue.file = 'nowhere.toml'",
            &[],
            "catalogue.file = \"nowhere.toml\" in FILE:1: expected a readable",
        ),
    ];
    for (file, environment, expected) in cases {
        let found = problems(Some(file), environment);
        assert!(found.contains(expected), "{file} {environment:?}\n  expected: {expected}\n  found: {found}");
        assert_eq!(found.lines().count(), 1, "{file} {environment:?}: {found}");
    }
}

#[test]
fn what_is_right_is_taken() {
    let cases: &[(&str, &str)] = &[
        ("AMQP_URL", "amqp://localhost"),
        ("AMQP_URL", "amqp://localhost/"),
        ("AMQP_URL", "amqps://user:p%40ss@host.example:5671/my%2fvhost"),
        ("AMQP_URL", "amqp://[::1]:5672/%2f"),
        ("DATABASE_URL", "postgres:///db?host=/run/postgresql"),
        ("DATABASE_URL", "postgresql://me@%2Frun%2Fpostgresql/db"),
        ("DATABASE_URL", "postgres://u:p@a:5432,b:5433/db"),
        ("DATABASE_URL", "postgres://u:p@[::1]:5432/db"),
        ("DATABASE_URL", "postgres://h/db?sslmode=disable&connect_timeout=3"),
        ("DATABASE_URL", "postgres://h/db?sslmode=verify-full"),
        ("CHANNEL_SYNC__HTTP__LISTEN", "127.9.9.9:0"),
        ("CHANNEL_SYNC__HTTP__LISTEN", "[::1]:8080"),
        ("CHANNEL_SYNC__HTTP__LISTEN", "off"),
        ("CHANNEL_SYNC__LOG__FILTER", "warn,channel_sync=debug,lapin=off"),
        ("CHANNEL_SYNC__LOG__FORMAT", "json"),
        ("CHANNEL_SYNC__CATALOGUE__FILE", ""),
    ];
    for (name, value) in cases {
        assert_eq!(problems(None, &[(name, value)]), "none", "{name}={value}");
    }
}

#[test]
fn no_password_is_shown() {
    let secrets: &[(&str, &str)] = &[
        ("AMQP_URL", "amqp://me:sesame@host/v"),
        ("AMQP_URL", "amqp://me:se?sesame@host/v"),
        ("AMQP_URL", "http://me:sesame@host/v"),
        ("AMQP_URL", "amqp:/me:sesame@host/v"),
        ("AMQP_URL", "amqp://me:se/sesame@host/v"),
        ("DATABASE_URL", "postgres://me:sesame@host/db"),
        ("DATABASE_URL", "postgres://me:se@sesame@host/db"),
        ("DATABASE_URL", "postgres://host/db?user=me&password=sesame"),
        ("DATABASE_URL", "postgres://host/db?user=me&password=ses@sesame"),
        ("DATABASE_URL", "host=h password=sesame"),
    ];
    for (name, value) in secrets {
        match Config::load(None, variables(&[(name, value)])) {
            Ok(config) => {
                assert!(!config.print().contains("sesame"), "{value}: {}", config.print());
                assert!(!format!("{config:?}").contains("sesame"), "{value}: {config:?}");
                let url = if *name == "AMQP_URL" { &config.broker.url } else { &config.database.url };
                assert!(url.expose().contains("sesame"));
                assert!(url.to_string().contains("***"), "{url}");
            }
            Err(problems) => assert!(!problems.to_string().contains("sesame"), "{value}: {problems}"),
        }
    }
    let file = "[broker]\nurl = \"amqp://me:sesame@host\n";
    assert!(!problems(Some(file), &[]).contains("sesame"));
}

#[test]
fn secrets_come_from_files() {
    let folder = Folder::create("secrets");
    folder.write("password", "sesame\n");
    folder.write("two-lines", "sesame\nopen\n");
    folder.write("tokens", "ada:operator:0000000000000000000000000000000000000000000000000000000000000000\n");
    let file = "broker.url = 'amqp://me@host'\nbroker.password_file = 'password'\n\
                database.password_file = 'password'\nhttp.access_tokens_file = 'tokens'\n\
                http.listen = '0.0.0.0:80'\n";
    let path = folder.write("channel-sync.toml", file);
    let config = Config::load(Some(&path), std::iter::empty()).unwrap();
    assert_eq!(config.broker.password.as_ref().unwrap().expose(), "sesame");
    assert_eq!(config.database.password.as_ref().unwrap().expose(), "sesame");
    assert!(!config.http.access_tokens.is_empty());
    assert!(!format!("{config:?} {}", config.print()).contains("sesame"), "{config:?}");

    let path = folder.write("channel-sync.toml", &file.replace("'password'", "'two-lines'"));
    let found = Config::load(Some(&path), std::iter::empty()).unwrap_err().to_string();
    assert!(found.contains("broker.password_file = \"***\""), "{found}");
    assert!(found.contains("expected a file with the password as its one line"), "{found}");
    let both = file.replace("'0.0.0.0:80'", "'off'\nhttp.access_tokens = 'eve:viewer:1111111111111111111111111111111111111111111111111111111111111111'");
    let path = folder.write("channel-sync.toml", &both);
    let found = Config::load(Some(&path), std::iter::empty()).unwrap_err().to_string();
    assert!(found.contains("http.access_tokens names tokens already"), "{found}");
}

#[test]
fn what_a_url_says_of_tls_is_not_the_drivers_to_judge() {
    let url = |parameters: &str| {
        let environment = [("DATABASE_URL", format!("postgres://u:a@h/db{parameters}"))];
        let environment: Vec<_> = environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
        Config::load(None, variables(&environment)).unwrap().database.url.expose().to_owned()
    };
    assert_eq!(url("?sslmode=disable"), "postgres://u:a@h/db");
    assert_eq!(url("?a=b&sslmode=disable&c=d"), "postgres://u:a@h/db?a=b&c=d");
}

#[test]
fn a_catalogue_of_the_operators_own_takes_the_place_of_the_built_in_one() {
    let folder = Folder::create("catalogue");
    folder.write("mine.toml", "[[category]]\nname = \"roofs\"\nreach = \"ongoing\"\n");
    let path = folder.write("channel-sync.toml", "catalogue.file = 'mine.toml'\n");
    let config = Config::load(Some(&path), std::iter::empty()).unwrap();
    assert!(config.catalogue.find("roofs").is_some());
    assert!(config.catalogue.find("equipment").is_none());

    folder.write("mine.toml", "[[category]]\nname = \"Roofs\"\nreach = \"ongoing\"\n");
    let problems = Config::load(Some(&path), std::iter::empty()).unwrap_err().to_string();
    assert!(problems.contains("expected a catalogue: "), "{problems}");
}

#[test]
fn the_whole_is_printed_with_what_each_value_came_from() {
    let folder = Folder::create("print");
    let path = folder.write("mine.toml", "\n[broker]\nprefetch = 10\n");
    let environment = [("AMQP_URL", "amqp://me:sesame@host/v")];
    let printed = Config::load(Some(&path), variables(&environment)).unwrap().print().to_owned();
    assert!(printed.starts_with("[broker]\nurl = \"amqp://me:***@host/v\"  # from the variable AMQP_URL\n"));
    assert!(printed.contains(&format!("\nprefetch = 10  # from {}:3\n", path.display())));
    assert!(printed.contains("\n\n[ingest]\nbatch_events_max = 500\nbatch_bytes_max = 16777216\n"));
    // What is printed is a configuration file.
    let again = folder.write("printed.toml", &printed.replace("***", "x"));
    assert!(Config::load(Some(&again), std::iter::empty()).is_ok());
}

#[test]
fn a_collector_is_named_by_a_url_without_credentials() {
    let endpoint = |text: &str| {
        let environment = [("CHANNEL_SYNC__TELEMETRY__OTLP_ENDPOINT", text)];
        Config::load(None, variables(&environment)).map(|config| config.telemetry.otlp_endpoint)
    };
    assert_eq!(endpoint("").unwrap(), None);
    for text in ["http://127.0.0.1:4318", "https://collector.example/otlp/"] {
        assert_eq!(endpoint(text).unwrap().unwrap().expose(), text);
    }
    for (text, expected) in [
        ("127.0.0.1:4318", "such as http://127.0.0.1:4318"),
        ("grpc://collector:4317", "the scheme is http or https, not grpc"),
        ("http://me:secret@collector", "credentials belong into OTEL_EXPORTER_OTLP_HEADERS"),
        ("http://collector?a=b", "/v1/traces is put"),
    ] {
        let found = endpoint(text).unwrap_err().to_string();
        assert!(found.contains(expected) && !found.contains("secret"), "{text}: {found}");
    }
}

#[test]
fn how_often_is_sampled_and_how_much_is_traced() {
    let defaults = Config::built_in().unwrap();
    assert_eq!(defaults.metrics.sample, Duration::from_secs(15));
    assert_eq!(defaults.telemetry.otlp_endpoint, None);
    assert_eq!(defaults.telemetry.service_name, "channel-sync");
    assert_eq!(defaults.telemetry.sampling_percent, 100);
    let found = problems(
        None,
        &[
            ("CHANNEL_SYNC__METRICS__SAMPLE_SECONDS", "0"),
            ("CHANNEL_SYNC__TELEMETRY__SAMPLING_PERCENT", "101"),
            ("CHANNEL_SYNC__TELEMETRY__SERVICE_NAME", ""),
        ],
    );
    for expected in ["expected 1 to 3600", "expected 0 to 100", "expected 1 to 100 letters"] {
        assert!(found.contains(expected), "{found}");
    }
}
