//! Whatever a question holds, it is answered, and by JSON.

use reqwest::header::CONTENT_TYPE;

use crate::api::{Api, VIEWER, encoded};

#[tokio::test]
async fn nothing_that_is_asked_brings_the_service_down() {
    let mut api = Api::start().await;
    api.tell_story().await;
    let long = "x".repeat(8_000);
    let very_long = "y".repeat(30_000);
    let deep = "[".repeat(5_000);
    let values: Vec<String> = [
        "",
        " ",
        ".",
        "%",
        "-1",
        "0",
        "99999999999999999999999999",
        "9223372036854775807",
        "-9223372036854775808",
        "9223372036854775807-2147483647",
        "1e3",
        "NaN",
        "true",
        "null",
        "[]",
        "[\"a\",\"b\"]",
        "[\"a\\u0000\",\"b\"]",
        "{\"a\":1}",
        "'; drop table event; --",
        "' or '1'='1",
        "$1",
        "\\",
        "a\nb\r\tc",
        "\u{1}\u{7f}\u{1b}[31m",
        "\u{202e}\u{feff}",
        "ö\u{301}🌞",
        "helios",
        "tests/platform",
        &long,
        &very_long,
        &deep,
    ]
    .iter()
    .map(|text| encoded(text))
    .chain(["%00", "%ff%fe", "%c3%28", "%ed%a0%80", "%zz", "%2", "a+b", "%E2%80%AE"].map(str::to_owned))
    .collect();
    let (mut asked, mut worst) = (0, 0);
    for (path, method, operation) in api.document.operations() {
        // What goes on without end is looked at elsewhere.
        if method != "GET" || path.ends_with("/live") {
            continue;
        }
        let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
        let names: Vec<&str> =
            parameters.iter().map(|parameter| parameter["name"].as_str().unwrap()).collect();
        let mut paths = Vec::new();
        for value in &values {
            for (name, parameter) in names.iter().zip(&parameters) {
                let harmless = path.replace("{organization_id}", "helios").replace("{event_id}", "helios-3");
                paths.push(if parameter["in"] == "path" {
                    path.replace(&format!("{{{name}}}"), value)
                } else {
                    format!("{harmless}?{name}={value}")
                });
            }
            paths.push(format!("{path}?{value}={value}"));
            paths.push(format!("{path}?{value}"));
        }
        for path in paths {
            let answer = api.send_anywhere("GET", &path, Some(VIEWER), None).await;
            asked += 1;
            worst = worst.max(answer.status.as_u16());
            let shown = &path[..path.len().min(200)];
            assert!(
                answer.status.as_u16() < 500,
                "{shown}: {} {:.200}",
                answer.status,
                answer.body.to_string()
            );
            // An address that is longer than any is refused before it is looked at.
            if answer.status.as_u16() != 414 {
                let content_type = answer.headers.get(CONTENT_TYPE).map(|value| value.to_str().unwrap());
                let expected =
                    if answer.status.is_success() { "application/json" } else { "application/problem+json" };
                assert_eq!(
                    content_type,
                    Some(expected),
                    "{shown}: {} {:.200}",
                    answer.status,
                    answer.body.to_string()
                );
            }
        }
    }
    assert!(asked > 1_000, "{asked} questions");
    assert!(worst >= 400);
    assert_eq!(api.actions().await, "");
    api.end().await;
}
